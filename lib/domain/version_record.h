/* Key versions as records: their material, and what else only that version needs.
 *
 * Version record V | key id | number (4):
 *   body format (1) = 2 | source (1) | state before a scheduled destruction (1) | expires (8, ms) |
 *   destroy (8, ms) | material (32; zero bytes where the key says that there is none).
 * Body format 1 has the material alone; it is read, and written as 2. */
#ifndef KMS__DOMAIN_VERSION_RECORD_H
#define KMS__DOMAIN_VERSION_RECORD_H

#include "domain/key_record.h"

#define KMS__VERSION_BODY 2
#define KMS__MATERIAL_SIZE 32
#define KMS__VERSION_PLAIN_SIZE (1 + 1 + 1 + 8 + 8 + KMS__MATERIAL_SIZE)

/* What a version record holds beside the material. */
typedef struct kms__version_extra {
    kms_material_source source;
    /* Only of a version that is scheduled to be destroyed. */
    kms_key_version_state state_before;
    int64_t expires_ms;
    int64_t destroy_ms;
} kms__version_extra;

kms__record_key kms__version_record_key(const uint8_t id[KMS__ID_SIZE], uint32_t number);

/* Reads a version: its material into the start of a secret cell (KMS__SECRET_CELL bytes), checked
 * against the commitment in the key, and the rest into extra. Where the key says that there is no
 * material, the cell is zero. mark and extra may be NULL. */
kms_status kms__version_load(kms__txn *txn, const kms__key *key, uint32_t number, uint8_t *cell,
                             kms__version_extra *extra, uint8_t mark[KMS__MARK_SIZE]);

/* The same without the material, for who has no use for it. */
kms_status kms__version_extra_load(kms__txn *txn, const kms__key *key, uint32_t number,
                                   kms__version_extra *extra);

/* Writes a version; material NULL: none. */
kms_status kms__version_save(kms__txn *txn, const uint8_t id[KMS__ID_SIZE], uint32_t number,
                             const kms__version_extra *extra,
                             const uint8_t material[KMS__MATERIAL_SIZE]);

/* Changes what stands beside a version's material. */
kms_status kms__version_extra_save(kms__txn *txn, const kms__key *key, uint32_t number,
                                   const kms__version_extra *extra);

/* Adds a version with this material as the primary one, and writes its record. The key itself is
 * yet to be saved; it has less than KMS_KEY_VERSIONS_MAX. */
kms_status kms__key_add_version(kms__txn *txn, kms__key *key, kms_suite suite,
                                const kms__version_extra *extra,
                                const uint8_t material[KMS__MATERIAL_SIZE]);

/* The commitment of this material as a version of a key. */
void kms__version_commitment(const uint8_t id[KMS__ID_SIZE], uint32_t number,
                             const uint8_t material[KMS__MATERIAL_SIZE],
                             uint8_t commitment[KMS_COMMITMENT_SIZE]);

#endif
