/* Sealed records: how a value stands in an engine.
 *
 * value = format (1) | store-key generation (4) | nonce (24) | ciphertext | tag (16), sealed by
 * XChaCha20-Poly1305 with store id | format | generation | record key as associated data. */
#ifndef KMS__VAULT_RECORD_H
#define KMS__VAULT_RECORD_H

#include "base/id.h"

#include <kms/backend.h>
#include <kms/root.h>

#define KMS__RECORD_FORMAT 1
#define KMS__RECORD_OVERHEAD (1 + 4 + 24 + 16)
/* Most plaintext of a record. */
#define KMS__RECORD_PLAIN_MAX (KMS_RECORD_VALUE_MAX - KMS__RECORD_OVERHEAD)
/* Nonce and tag: two values of one record with equal marks are the same value. */
#define KMS__MARK_SIZE (24 + 16)

/* What seals a store's records. */
typedef struct kms__seal {
    const uint8_t *store_id;
    uint32_t generation;
    const uint8_t *key;
} kms__seal;

/* Writes plain.len + KMS__RECORD_OVERHEAD bytes to value, under a nonce drawn now. */
void kms__record_seal(const kms__seal *seal, kms_slice record_key, kms_slice plain, uint8_t *value);

/* Writes value.len - KMS__RECORD_OVERHEAD bytes to plain, which must have that room (known from
 * kms__record_plain_size()). KMS_ERR_NEWER_FORMAT, KMS_ERR_CORRUPT. */
kms_status kms__record_open(const kms__seal *seal, kms_slice record_key, kms_slice value,
                            uint8_t *plain);

/* Size of the plaintext of a value; 0 for what is too short. */
size_t kms__record_plain_size(kms_slice value);

/* KMS_ERR_CORRUPT for a value that is too short to have a mark. */
kms_status kms__record_mark(kms_slice record_key, kms_slice value, uint8_t mark[KMS__MARK_SIZE]);

/* Names a record for a message: "the record of alias/MyAppKey". */
#define KMS__RECORD_NAME_SIZE 320
const char *kms__record_name(kms_slice record_key, char name[KMS__RECORD_NAME_SIZE]);

/* Record keys: a letter, and what it is about. */
typedef struct kms__record_key {
    uint8_t bytes[KMS_RECORD_KEY_MAX];
    size_t len;
} kms__record_key;

#define KMS__TAG_ALIAS 'A'
#define KMS__TAG_BOOT 'B'
#define KMS__TAG_DESCRIPTION 'D'
#define KMS__TAG_HEADER 'H'
#define KMS__TAG_INDEX 'I'
#define KMS__TAG_KEY 'K'
#define KMS__TAG_TAGS 'T'
#define KMS__TAG_LAST_USE 'U'
#define KMS__TAG_VERSION 'V'

/* The record key of a letter and a key's id: a whole one, or what others begin with. */
kms__record_key kms__record_key_of(uint8_t tag, const uint8_t key_id[KMS__ID_SIZE]);

static inline kms_slice kms__record_slice(const kms__record_key *key)
{
    kms_slice slice = {key->bytes, key->len};

    return slice;
}

#endif
