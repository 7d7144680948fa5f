/* The chunks of a stream (docs/stream-format.md), after the STREAM construction of Hoang, Reyhanitabar,
 * Rogaway and Vizar, "Online Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance", 2015:
 * each is sealed under its place in the stream, and the last one as the last.
 *
 * A chunk holds KMS__CHUNK_SIZE bytes of plaintext. The last one holds fewer, perhaps none, so its size
 * alone says which it is. */
#ifndef KMS__CRYPTO_CHUNK_H
#define KMS__CRYPTO_CHUNK_H

#include "base/thread.h"
#include "crypto/aead.h"

#include <kms/key_version.h>

#define KMS__CHUNK_SIZE 65536
/* What is drawn for the chunk, and the tag. */
#define KMS__CHUNK_SALT 16
#define KMS__CHUNK_OVERHEAD (KMS__CHUNK_SALT + KMS__AEAD_TAG_SIZE)
#define KMS__CHUNK_SEALED (KMS__CHUNK_SIZE + KMS__CHUNK_OVERHEAD)

#define KMS__STREAM_KEY_SIZE 32

/* A secret: it lies in locked memory. */
typedef struct kms__chunk_cipher {
    kms_suite suite;
    uint8_t key[KMS__AEAD_KEY_SIZE];
} kms__chunk_cipher;

/* false: the suite is none. */
bool kms__chunk_cipher_init(kms__chunk_cipher *cipher, kms_suite suite,
                            const uint8_t stream_key[KMS__STREAM_KEY_SIZE]);

/* Names a stream's key without revealing it. */
void kms__stream_commitment(const uint8_t stream_key[KMS__STREAM_KEY_SIZE],
                            uint8_t commitment[KMS_COMMITMENT_SIZE]);

/* Seals chunk number `index`, of at most KMS__CHUNK_SIZE bytes, into KMS__CHUNK_OVERHEAD bytes more.
 * out may not overlap plain. */
kms_status kms__chunk_seal(const kms__chunk_cipher *cipher, uint64_t index, kms_slice plain,
                           uint8_t *out);

/* KMS_ERR_INVALID_CIPHERTEXT, and nothing of the plaintext in out, if it is not that chunk. sealed.len
 * may be of any size. */
kms_status kms__chunk_open(const kms__chunk_cipher *cipher, uint64_t index, kms_slice sealed,
                           uint8_t *out);

#endif
