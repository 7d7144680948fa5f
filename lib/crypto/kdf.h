/* Derivations: keyed BLAKE2b with a salt, and a personalisation of its own for every use, so that
 * no two uses ever share a key. docs/blob-format.md and docs/store-format.md list them. */
#ifndef KMS__CRYPTO_KDF_H
#define KMS__CRYPTO_KDF_H

#include <kms/base.h>

#define KMS__KDF_KEY_SIZE 32
#define KMS__KDF_SALT_SIZE 16
#define KMS__KDF_OUT_SIZE 32

typedef enum kms__use {
    /* From a version's material; salt: key id; number: key version. */
    KMS__USE_SUITE_1,
    KMS__USE_SUITE_2,
    KMS__USE_COMMITMENT,
    /* Of a deterministic key: for its nonces. Of any other: what the next two come from. */
    KMS__USE_NONCE,
    KMS__USE_BASE,
    /* From a version's base; salt: key id; number: key version. */
    KMS__USE_DERIVED_KEY,
    KMS__USE_BLIND_INDEX,
    /* From the store key; salt: store id; number: store-key generation. */
    KMS__USE_RECORDS,
    /* From a root key; salt: store id; number: root slot. */
    KMS__USE_ROOT_WRAP,
    KMS__USE_ROOT_CHECK,
    /* From the records key; salt: store id; number: store-key generation. */
    KMS__USE_IMPORT_TOKEN,
    /* From a stream's key; salt: zeros; number: KMS__CHUNK_SIZE. */
    KMS__USE_STREAM_1,
    KMS__USE_STREAM_2,
    KMS__USE_STREAM_COMMITMENT
} kms__use;

/* out may be in locked memory, and must not overlap key. */
void kms__derive(kms__use use, const uint8_t key[KMS__KDF_KEY_SIZE],
                 const uint8_t salt[KMS__KDF_SALT_SIZE], uint32_t number,
                 uint8_t out[KMS__KDF_OUT_SIZE]);

#endif
