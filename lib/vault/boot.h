/* The boot record: the one that stands in the clear, and says how a root key unlocks the store.
 *
 * "KMSS" | format (1) | store id (16) | store-key generation (4) | number of slots (1) | slots.
 * slot = number (1) | name length (1), provider's name | parameters' length (2), parameters |
 *        check (32) | nonce (24) | wrapped store key (32) | tag (16).
 * The store key is wrapped by XChaCha20-Poly1305 under KMS__USE_ROOT_WRAP of the root key, with
 * store id | format | generation | the slot up to its parameters as associated data. check is
 * KMS__USE_ROOT_CHECK of the root key: it commits to one root key. The header record holds a hash
 * of the whole boot record. */
#ifndef KMS__VAULT_BOOT_H
#define KMS__VAULT_BOOT_H

#include <kms/backend.h>
#include <kms/root.h>

#define KMS__BOOT_FORMAT 1
#define KMS__BOOT_SLOTS_MAX 16
#define KMS__BOOT_SLOT_MAX                                                                         \
    (1 + 1 + KMS_ROOT_NAME_MAX + 2 + KMS_ROOT_PARAMETERS_MAX + 32 + 24 + 32 + 16)
#define KMS__BOOT_MAX (4 + 1 + 16 + 4 + 1 + KMS__BOOT_SLOTS_MAX * KMS__BOOT_SLOT_MAX)
#define KMS__BOOT_HASH_SIZE 32
#define KMS__STORE_KEY_SIZE 32
/* Locked room for a root key and the wrapping key that is derived from it. */
#define KMS__ROOT_ROOM (KMS_ROOT_KEY_SIZE + 32)

/* The record key of the boot record. */
kms_slice kms__boot_key(void);

/* What tells a store from other files: the boot record's key, and how it begins. */
kms_record kms__boot_probe(void);

/* Makes the boot record of a new store, with one slot for root. store_key is wrapped in it.
 * boot has KMS__BOOT_MAX bytes. */
kms_status kms__boot_make(kms_root *root, kms_strength strength,
                          const uint8_t store_id[KMS_STORE_ID_SIZE], uint32_t generation,
                          const uint8_t store_key[KMS__STORE_KEY_SIZE],
                          uint8_t root_key[KMS__ROOT_ROOM], uint8_t *boot, size_t *boot_len);

/* Unlocks a boot record: gives store id, generation and store key (locked room of the caller's).
 * KMS_ERR_NOT_A_STORE, KMS_ERR_NEWER_FORMAT, KMS_ERR_CORRUPT, KMS_ERR_WRONG_ROOT_KEY, or what the
 * provider says. */
kms_status kms__boot_unlock(kms_slice boot, kms_root *root, uint8_t root_key[KMS__ROOT_ROOM],
                            uint8_t store_id[KMS_STORE_ID_SIZE], uint32_t *generation,
                            uint8_t store_key[KMS__STORE_KEY_SIZE]);

void kms__boot_hash(kms_slice boot, uint8_t hash[KMS__BOOT_HASH_SIZE]);

#endif
