/* Automatic rotation by the first encrypting call that meets a key whose rotation is due. */
#ifndef KMS__DOMAIN_ROTATE_ON_USE_H
#define KMS__DOMAIN_ROTATE_ON_USE_H

#include "domain/open_version.h"

/* As kms__pin_primary(), for who is about to encrypt: a key that is due is rotated first, if that
 * takes no waiting for a writer, and else it is used as if it were not due. */
kms_status kms__pin_for_encrypting(kms_store *store, const char *keyref, unsigned hazard,
                                   kms__pin *pin);

#endif
