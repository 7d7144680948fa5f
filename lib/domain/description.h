/* A key's description, in a record of its own: D | key id: body format (1) = 1 | the text. */
#ifndef KMS__DOMAIN_DESCRIPTION_H
#define KMS__DOMAIN_DESCRIPTION_H

#include "vault/txn.h"

#define KMS__DESCRIPTION_BODY 1

kms__record_key kms__description_record_key(const uint8_t id[KMS__ID_SIZE]);

/* NULL is none. KMS_ERR_INVALID_ARGUMENT. */
kms_status kms__description_check(const char *text);

/* "" or NULL removes it; what is so already is not written. The key is there, and the text was
 * checked. */
kms_status kms__description_save(kms__txn *txn, const uint8_t id[KMS__ID_SIZE], const char *text);

/* "" if there is none; malloc'd, the caller's to free. */
kms_status kms__description_load(kms__txn *txn, const uint8_t id[KMS__ID_SIZE], char **text);

#endif
