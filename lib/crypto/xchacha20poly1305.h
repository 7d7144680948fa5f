/* XChaCha20-Poly1305 (IETF), in its two implementations, byte for byte the same. Same meaning of
 * all arguments as in crypto/aead.h. */
#ifndef KMS__CRYPTO_XCHACHA20POLY1305_H
#define KMS__CRYPTO_XCHACHA20POLY1305_H

#include "crypto/aead.h"

/* The longest plaintext that is put together of libsodium's parts. */
#define KMS__XCHACHA20POLY1305_SHORT 960

/* libsodium's: in every build. It cannot fail but for a tag that does not fit. */
kms_status kms__xchacha20poly1305_sodium_seal(const uint8_t *key, const uint8_t *nonce,
                                              kms_slice associated, kms_slice plain, uint8_t *out);
kms_status kms__xchacha20poly1305_sodium_open(const uint8_t *key, const uint8_t *nonce,
                                              kms_slice associated, kms_slice sealed, uint8_t *out);

/* libcrypto's ChaCha20-Poly1305 under a key that HChaCha20 derives; in builds with it. What else it
 * can answer is kms__evp_seal()'s; unrecorded. */
kms_status kms__xchacha20poly1305_libcrypto_seal(const uint8_t *key, const uint8_t *nonce,
                                                 kms_slice associated, kms_slice plain,
                                                 uint8_t *out);
kms_status kms__xchacha20poly1305_libcrypto_open(const uint8_t *key, const uint8_t *nonce,
                                                 kms_slice associated, kms_slice sealed,
                                                 uint8_t *out);

/* Suite 1: whichever of them is faster for the length. */
kms_status kms__suite_1_seal(const uint8_t *key, const uint8_t *nonce, kms_slice associated,
                             kms_slice plain, uint8_t *out);
kms_status kms__suite_1_open(const uint8_t *key, const uint8_t *nonce, kms_slice associated,
                             kms_slice sealed, uint8_t *out);

#endif
