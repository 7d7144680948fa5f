/* Importing key material: tokens, and what becomes of a key when material comes and goes.
 *
 * Token: format (1) = 1 | nonce (24) | ciphertext | tag (16), sealed by XChaCha20-Poly1305 under
 * KMS__USE_IMPORT_TOKEN of the records key, with store id | format | store-key generation as
 * associated data. Its plaintext: key id (16) | wrapping (1) | expires (8, ms) | private key.
 * So nothing has to be kept in the store, and whoever could open a token could open the material's
 * own record as well. */
#ifndef KMS__DOMAIN_IMPORT_H
#define KMS__DOMAIN_IMPORT_H

#include "domain/keys.h"

#include <kms/import.h>

/* Makes a pair and the token that belongs to it. */
kms_status kms__import_token_make(kms_store *store, const uint8_t id[KMS__ID_SIZE],
                                  kms_wrapping wrapping, kms_import_parameters *parameters);

/* Material that has come in, unwrapped. */
typedef struct kms__incoming {
    uint8_t id[KMS__ID_SIZE];
    kms__version_extra extra;
    /* In a secret cell. */
    uint8_t *material;
    /* Out: the version that it became. */
    uint32_t number;
} kms__incoming;

/* Checks an import and unwraps it. End it with kms__incoming_wipe(), after a failure too. */
kms_status kms__incoming_take(kms_store *store, const uint8_t id[KMS__ID_SIZE],
                              const kms_import *import, kms__incoming *incoming);
void kms__incoming_wipe(kms_store *store, kms__incoming *incoming);

/* ImportKeyMaterial. */
kms_status kms__import_material(kms__txn *txn, const kms__incoming *incoming);

/* New material as a new version. */
kms_status kms__import_version(kms__txn *txn, kms__incoming *incoming);

/* Whether an import is possible at all, as far as the key is concerned: for kms_would(). */
kms_status kms__import_has_first(const kms__key *key);

/* Takes material away: of one version; number 0: of some, the primary version first, and *more
 * tells whether others have theirs still. */
kms_status kms__import_delete(kms__txn *txn, const uint8_t id[KMS__ID_SIZE], uint32_t number,
                              bool *more);

#endif
