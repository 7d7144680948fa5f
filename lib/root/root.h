/* What the providers of root keys here share. */
#ifndef KMS__ROOT_ROOT_H
#define KMS__ROOT_ROOT_H

#include <kms/root.h>

/* KMS_ERR_FORKED unless epoch, kms__fork_epoch() when a root was made, is this process': in a
 * forked child the root's secret is zero. */
kms_status kms__root_check(uint64_t epoch);

#endif
