/* AES-256-GCM itself, under one key and a 96-bit nonce, in its two implementations. Same meaning of
 * all arguments as in crypto/aead.h. */
#ifndef KMS__CRYPTO_AES256GCM_H
#define KMS__CRYPTO_AES256GCM_H

#include "crypto/aead.h"

#include <sodium.h>

#define KMS__AES256GCM_NONCE_SIZE 12

/* The longest plaintext for which libsodium's is the faster one, where the key is set for the message; under
 * a key that is kept see message_keys.c. */
#define KMS__AES256GCM_SODIUM_LONGEST 1152

/* libsodium's: only where the processor has AES and carry-less multiplication. It cannot fail but
 * for a tag that does not fit. */
bool kms__aes256gcm_sodium_available(void);
kms_status kms__aes256gcm_sodium_seal(const uint8_t *key, const uint8_t *nonce,
                                      kms_slice associated, kms_slice plain, uint8_t *out);
kms_status kms__aes256gcm_sodium_open(const uint8_t *key, const uint8_t *nonce,
                                      kms_slice associated, kms_slice sealed, uint8_t *out);

/* As in crypto/stack.h, but this part of libsodium 1.0.18 goes down 544 bytes at most, and is called so
 * often that sodium_stackzero()'s five calls count. That part leaves round keys there, the first of which
 * is half of the key. */
void kms__aes256gcm_sodium_wipe_stack(void);

/* Under a key that crypto_aead_aes256gcm_beforenm() has expanded. */
static inline void kms__aes256gcm_sodium_seal_by(const crypto_aead_aes256gcm_state *state,
                                                 const uint8_t *nonce, kms_slice associated,
                                                 kms_slice plain, uint8_t *out)
{
    (void)crypto_aead_aes256gcm_encrypt_afternm(out, NULL, plain.data, plain.len, associated.data,
                                                associated.len, NULL, nonce, state);
    kms__aes256gcm_sodium_wipe_stack();
}

static inline kms_status kms__aes256gcm_sodium_open_by(const crypto_aead_aes256gcm_state *state,
                                                       const uint8_t *nonce, kms_slice associated,
                                                       kms_slice sealed, uint8_t *out)
{
    const int opened = crypto_aead_aes256gcm_decrypt_afternm(
        out, NULL, NULL, sealed.data, sealed.len, associated.data, associated.len, nonce, state);

    kms__aes256gcm_sodium_wipe_stack();
    return opened == 0 ? KMS_OK : KMS_ERR_INVALID_CIPHERTEXT;
}

/* libcrypto's: on every processor, in builds with it. */
kms_status kms__aes256gcm_libcrypto_seal(const uint8_t *key, const uint8_t *nonce,
                                         kms_slice associated, kms_slice plain, uint8_t *out);
kms_status kms__aes256gcm_libcrypto_open(const uint8_t *key, const uint8_t *nonce,
                                         kms_slice associated, kms_slice sealed, uint8_t *out);

/* Suite 2: AES-256-GCM under a key that HChaCha20 derives from the nonce's first 12 bytes. */
void kms__suite_2_message_key(const uint8_t *key, const uint8_t *nonce,
                              uint8_t message_key[KMS__AEAD_KEY_SIZE]);
kms_status kms__suite_2_seal(const uint8_t *key, const uint8_t *nonce, kms_slice associated,
                             kms_slice plain, uint8_t *out);
kms_status kms__suite_2_open(const uint8_t *key, const uint8_t *nonce, kms_slice associated,
                             kms_slice sealed, uint8_t *out);

#endif
