/* AES-256-GCM itself, under one key and a 96-bit nonce, in its two implementations. Same meaning of
 * all arguments as in crypto/aead.h. */
#ifndef KMS__CRYPTO_AES256GCM_H
#define KMS__CRYPTO_AES256GCM_H

#include "crypto/aead.h"

#define KMS__AES256GCM_NONCE_SIZE 12

/* libsodium's: only where the processor has AES and carry-less multiplication. It cannot fail but
 * for a tag that does not fit. */
bool kms__aes256gcm_sodium_available(void);
kms_status kms__aes256gcm_sodium_seal(const uint8_t *key, const uint8_t *nonce,
                                      kms_slice associated, kms_slice plain, uint8_t *out);
kms_status kms__aes256gcm_sodium_open(const uint8_t *key, const uint8_t *nonce,
                                      kms_slice associated, kms_slice sealed, uint8_t *out);

/* libcrypto's: on every processor, in builds with it. */
kms_status kms__aes256gcm_libcrypto_seal(const uint8_t *key, const uint8_t *nonce,
                                         kms_slice associated, kms_slice plain, uint8_t *out);
kms_status kms__aes256gcm_libcrypto_open(const uint8_t *key, const uint8_t *nonce,
                                         kms_slice associated, kms_slice sealed, uint8_t *out);

/* Suite 2: AES-256-GCM under a key that HChaCha20 derives for each message. */
kms_status kms__suite_2_seal(const uint8_t *key, const uint8_t *nonce, kms_slice associated,
                             kms_slice plain, uint8_t *out);
kms_status kms__suite_2_open(const uint8_t *key, const uint8_t *nonce, kms_slice associated,
                             kms_slice sealed, uint8_t *out);

#endif
