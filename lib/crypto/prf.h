/* Values that follow from a key and a message: keyed BLAKE2b (RFC 7693) of an injective encoding.
 *
 *   message = number (4) | for each part: its length (8) | the part
 *
 * Every use has a key of its own (kdf.h), so one encoding serves all. docs/blob-format.md. */
#ifndef KMS__CRYPTO_PRF_H
#define KMS__CRYPTO_PRF_H

#include <kms/base.h>

#define KMS__PRF_KEY_SIZE 32
#define KMS__PRF_OUT_MIN 16
#define KMS__PRF_OUT_MAX 64

/* A context, a label, a plaintext or a value. */
#define KMS__PRF_PARTS 2

/* out_len is KMS__PRF_OUT_MIN to KMS__PRF_OUT_MAX. Nothing of the key is left behind; the parts are
 * read where they lie. */
void kms__prf(const uint8_t key[KMS__PRF_KEY_SIZE], uint32_t number,
              const kms_slice parts[KMS__PRF_PARTS], uint8_t *out, size_t out_len);

#endif
