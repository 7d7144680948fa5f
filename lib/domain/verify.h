/* Reading a whole store and checking that it is whole. */
#ifndef KMS__DOMAIN_VERIFY_H
#define KMS__DOMAIN_VERIFY_H

#include "vault/txn.h"

/* A body for kms__store_read_header(). argument is not used. */
kms_status kms__verify(kms__txn *txn, void *argument);

#endif
