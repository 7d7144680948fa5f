/* What may be done with keys, within a transaction. */
#ifndef KMS__DOMAIN_KEYS_H
#define KMS__DOMAIN_KEYS_H

#include "domain/key_record.h"

#include <kms/would.h>

/* All that a new key or version needs and that is drawn before its transaction. */
typedef struct kms__key_seed {
    uint8_t id[KMS__ID_SIZE];
    kms_create_key_options options;
    int64_t now_ms;
    /* KMS__MATERIAL_SIZE random bytes, in a secret cell. */
    uint8_t *material;
} kms__key_seed;

/* Checks the options (NULL: the defaults) and draws the rest. End it with kms__key_seed_wipe(),
 * after a failure too. */
kms_status kms__key_seed_draw(kms_store *store, const kms_create_key_options *options,
                              kms__key_seed *seed);
void kms__key_seed_wipe(kms_store *store, kms__key_seed *seed);

/* KMS_ERR_INVALID_ARGUMENT, KMS_ERR_ABI, KMS_ERR_UNSUPPORTED. */
kms_status kms__create_key_options_check(const kms_create_key_options *options);

kms_status kms__key_create(kms__txn *txn, const kms__key_seed *seed);

/* Whether the key may get another version now. */
kms_status kms__key_can_rotate(const kms__key *key);

/* Adds a version with the seed's material and date; the key keeps its primary version's suite. */
kms_status kms__key_rotate(kms__txn *txn, const uint8_t id[KMS__ID_SIZE], const kms__key_seed *seed,
                           uint32_t *number);

/* operation: KMS_OP_ENABLE_KEY or KMS_OP_DISABLE_KEY. */
kms_status kms__key_switch(kms__txn *txn, const uint8_t id[KMS__ID_SIZE], kms_operation operation);

/* The key that a reference names, in whatever state. End it with kms__key_clear(). */
kms_status kms__key_find(kms__txn *txn, const char *keyref, kms__key *key);

#endif
