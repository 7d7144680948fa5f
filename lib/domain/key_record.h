/* Keys as records: what a key is, and the material of its versions.
 *
 * Key record K | key id:
 *   body format (1) | spec (1) | usage (1) | origin (1) | state (1) | created (8, ms) |
 *   primary version (4) | number of versions (4) |
 *   for each version: state (1) | suite (1) | created (8) | commitment (32).
 * Version record V | key id | number (4):
 *   body format (1) | material (32). */
#ifndef KMS__DOMAIN_KEY_RECORD_H
#define KMS__DOMAIN_KEY_RECORD_H

#include "vault/txn.h"

#include <kms/key_version.h>

#define KMS__KEY_BODY 1
#define KMS__VERSION_BODY 1
#define KMS__MATERIAL_SIZE 32
#define KMS__VERSION_PLAIN_SIZE (1 + KMS__MATERIAL_SIZE)

typedef struct kms__key_version {
    kms_key_version_state state;
    kms_suite suite;
    int64_t created_ms;
    uint8_t commitment[KMS_COMMITMENT_SIZE];
} kms__key_version;

typedef struct kms__key {
    uint8_t id[KMS__ID_SIZE];
    kms_key_spec spec;
    kms_key_usage usage;
    kms_key_origin origin;
    kms_key_state state;
    int64_t created_ms;
    uint32_t primary;
    uint32_t version_count;
    /* version_count of them; number n stands at n - 1. Malloc'd. */
    kms__key_version *versions;
} kms__key;

kms__record_key kms__key_record_key(const uint8_t id[KMS__ID_SIZE]);
kms__record_key kms__version_record_key(const uint8_t id[KMS__ID_SIZE], uint32_t number);

/* Reads a key; end it with kms__key_clear(). mark may be NULL. KMS_ERR_KEY_NOT_FOUND. */
kms_status kms__key_load(kms__txn *txn, const uint8_t id[KMS__ID_SIZE], kms__key *key,
                         uint8_t mark[KMS__MARK_SIZE]);
kms_status kms__key_save(kms__txn *txn, const kms__key *key);
void kms__key_clear(kms__key *key);

/* Decodes the plaintext of a key record. */
kms_status kms__key_decode(const uint8_t id[KMS__ID_SIZE], kms_slice plain, kms__key *key);

/* A version of a key by number; KMS_ERR_VERSION_NOT_FOUND. */
kms_status kms__key_version_of(const kms__key *key, uint32_t number,
                               const kms__key_version **version);

/* Adds a version with this material as the primary one, and writes its record.
 * The key itself is yet to be saved; it has less than KMS_KEY_VERSIONS_MAX. */
kms_status kms__key_add_version(kms__txn *txn, kms__key *key, kms_suite suite, int64_t now_ms,
                                const uint8_t material[KMS__MATERIAL_SIZE]);

/* Reads a version's material into a secret cell (KMS__SECRET_CELL bytes; the material stands at
 * its start), and checks it against the commitment in the key. mark may be NULL. */
kms_status kms__material_load(kms__txn *txn, const kms__key *key, uint32_t number, uint8_t *cell,
                              uint8_t mark[KMS__MARK_SIZE]);

#endif
