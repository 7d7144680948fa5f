/* Making, finding and switching keys, within a transaction. */
#ifndef KMS__DOMAIN_KEYS_H
#define KMS__DOMAIN_KEYS_H

#include "domain/version_record.h"

#include <kms/would.h>

/* All that a new key or version needs and that is drawn before its transaction. */
typedef struct kms__key_seed {
    uint8_t id[KMS__ID_SIZE];
    kms_create_key_options options;
    kms_key_creator creator;
    /* KMS__MATERIAL_SIZE random bytes, in a secret cell. */
    uint8_t *material;
} kms__key_seed;

/* Checks the options (NULL: the defaults) and draws the rest. End it with kms__key_seed_wipe(),
 * after a failure too. */
kms_status kms__key_seed_draw(kms_store *store, const kms_create_key_options *options,
                              kms__key_seed *seed);
void kms__key_seed_wipe(kms_store *store, kms__key_seed *seed);

/* Takes options of every version that there was; NULL: the defaults. KMS_ERR_INVALID_ARGUMENT,
 * KMS_ERR_ABI, KMS_ERR_UNSUPPORTED. */
kms_status kms__create_key_options_take(const kms_create_key_options *options,
                                        kms_create_key_options *taken);

kms_status kms__key_create(kms__txn *txn, const kms__key_seed *seed);

/* Whether the key may get another version now, of whatever material. */
kms_status kms__key_has_room(const kms__key *key);

/* Whether the key may get another version of fresh material now. */
kms_status kms__key_can_rotate(const kms__key *key);

/* Gives a key that can rotate a version with the seed's material, as its primary one; the key is
 * yet to be saved. It keeps its primary version's suite. */
kms_status kms__key_renew(kms__txn *txn, kms__key *key, const kms__key_seed *seed);

/* CreateKeyVersion. */
kms_status kms__key_rotate(kms__txn *txn, const uint8_t id[KMS__ID_SIZE], const kms__key_seed *seed,
                           uint32_t *number);

/* operation: KMS_OP_ENABLE_KEY or KMS_OP_DISABLE_KEY. */
kms_status kms__key_switch(kms__txn *txn, const uint8_t id[KMS__ID_SIZE], kms_operation operation);

/* The key that a reference names, in whatever state. End it with kms__key_clear(). */
kms_status kms__key_find(kms__txn *txn, const char *keyref, kms__key *key);

/* Most changes of a key are one: load it, ask whether it allows the operation, alter it, save it.
 * alter may answer a failure, and *changed false if there is nothing to save. */
typedef kms_status kms__key_alter(kms__txn *txn, kms__key *key, const void *argument,
                                  bool *changed);

kms_status kms__key_change(kms__txn *txn, const uint8_t id[KMS__ID_SIZE], kms_operation operation,
                           kms__key_alter *alter, const void *argument);

#endif
