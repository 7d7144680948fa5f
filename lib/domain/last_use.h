/* When a key's versions were last used, as far as handles wrote it down.
 *
 * Last-use record U | key id: body format (1) = 1 | number of versions (4) |
 *   for each version: last encrypted (8, ms, to the hour) | last decrypted (8). 0 is never. */
#ifndef KMS__DOMAIN_LAST_USE_H
#define KMS__DOMAIN_LAST_USE_H

#include "domain/key_record.h"

#define KMS__LAST_USE_BODY 1

typedef struct kms__last_use {
    int64_t encrypt_ms;
    int64_t decrypt_ms;
} kms__last_use;

/* Of the versions of one key; number n stands at n - 1. Malloc'd. */
typedef struct kms__last_uses {
    kms__last_use *of;
    uint32_t count;
} kms__last_uses;

kms__record_key kms__last_use_record_key(const uint8_t id[KMS__ID_SIZE]);

/* None if there is no record; end it with kms__last_uses_clear(). */
kms_status kms__last_uses_load(kms__txn *txn, const uint8_t id[KMS__ID_SIZE], kms__last_uses *uses);
void kms__last_uses_clear(kms__last_uses *uses);

/* Never, for a version that the record does not have. */
kms__last_use kms__last_use_of(const kms__last_uses *uses, uint32_t number);

/* Writes what the store's cache has noted; nothing if the records know it already. KMS_ERR_BUSY if
 * somebody else is writing. */
kms_status kms__last_use_flush(kms_store *store);

#endif
