#include "crypto/aes256gcm.h"

#include <sodium.h>

bool kms__aes256gcm_sodium_available(void)
{
    return crypto_aead_aes256gcm_is_available() != 0;
}

/* As in crypto/stack.h, but this part of libsodium 1.0.18 takes only some 500 bytes. It leaves
 * round keys there, the first of which is half of the key. Wiping so much takes 5 ns, and
 * half of it no less. */
#define STACK_USED 1024

void kms__aes256gcm_sodium_seal_by(const crypto_aead_aes256gcm_state *state, const uint8_t *nonce,
                                   kms_slice associated, kms_slice plain, uint8_t *out)
{
    (void)crypto_aead_aes256gcm_encrypt_afternm(out, NULL, plain.data, plain.len, associated.data,
                                                associated.len, NULL, nonce, state);
    sodium_stackzero(STACK_USED);
}

kms_status kms__aes256gcm_sodium_open_by(const crypto_aead_aes256gcm_state *state,
                                         const uint8_t *nonce, kms_slice associated,
                                         kms_slice sealed, uint8_t *out)
{
    const int opened = crypto_aead_aes256gcm_decrypt_afternm(
        out, NULL, NULL, sealed.data, sealed.len, associated.data, associated.len, nonce, state);

    sodium_stackzero(STACK_USED);
    return opened == 0 ? KMS_OK : KMS_ERR_INVALID_CIPHERTEXT;
}

/* With a state of our own, since libsodium's one-call forms leave theirs unwiped as well. */
kms_status kms__aes256gcm_sodium_seal(const uint8_t *key, const uint8_t *nonce,
                                      kms_slice associated, kms_slice plain, uint8_t *out)
{
    crypto_aead_aes256gcm_state state;

    (void)crypto_aead_aes256gcm_beforenm(&state, key);
    kms__aes256gcm_sodium_seal_by(&state, nonce, associated, plain, out);
    sodium_memzero(&state, sizeof state);
    return KMS_OK;
}

kms_status kms__aes256gcm_sodium_open(const uint8_t *key, const uint8_t *nonce,
                                      kms_slice associated, kms_slice sealed, uint8_t *out)
{
    crypto_aead_aes256gcm_state state;
    kms_status status;

    (void)crypto_aead_aes256gcm_beforenm(&state, key);
    status = kms__aes256gcm_sodium_open_by(&state, nonce, associated, sealed, out);
    sodium_memzero(&state, sizeof state);
    return status;
}
