/* The suites: authenticated encryption with a 24-byte nonce and a 32-byte key. */
#ifndef KMS__CRYPTO_AEAD_H
#define KMS__CRYPTO_AEAD_H

#include <kms/key.h>

#define KMS__AEAD_KEY_SIZE 32
#define KMS__AEAD_NONCE_SIZE 24
#define KMS__AEAD_TAG_SIZE 16

/* Whether this build can use the suite. */
bool kms__suite_available(kms_suite suite);

/* Writes plain.len bytes of ciphertext and the tag to out, which may not overlap plain. After
 * kms__fork_init(). KMS_ERR_UNSUPPORTED: suite not in this build; KMS_ERR_INVALID_ARGUMENT: longer
 * than the suite's limit; KMS_ERR_NO_MEMORY. out is unchanged or zero on failure. */
kms_status kms__aead_seal(kms_suite suite, const uint8_t key[KMS__AEAD_KEY_SIZE],
                          const uint8_t nonce[KMS__AEAD_NONCE_SIZE], kms_slice associated,
                          kms_slice plain, uint8_t *out);

/* Opens what kms__aead_seal() wrote: sealed is ciphertext and tag, out has room for the plaintext
 * and may not overlap it. KMS_ERR_INVALID_CIPHERTEXT if it is not authentic, or of a length that no
 * seal gives; out is unchanged or zero then, never part of a plaintext. */
kms_status kms__aead_open(kms_suite suite, const uint8_t key[KMS__AEAD_KEY_SIZE],
                          const uint8_t nonce[KMS__AEAD_NONCE_SIZE], kms_slice associated,
                          kms_slice sealed, uint8_t *out);

#endif
