#include "crypto/aes256gcm.h"

#include <sodium.h>

bool kms__aes256gcm_sodium_available(void)
{
    return crypto_aead_aes256gcm_is_available() != 0;
}

/* As in crypto/stack.h, but this part of libsodium 1.0.18 takes only some 500 bytes. It leaves
 * round keys there, the first of which is half of the key. Wiping so much takes 11 ns. */
#define STACK_USED 1024

/* With a state of our own, since libsodium's one-call forms leave theirs unwiped as well. */
kms_status kms__aes256gcm_sodium_seal(const uint8_t *key, const uint8_t *nonce,
                                      kms_slice associated, kms_slice plain, uint8_t *out)
{
    crypto_aead_aes256gcm_state state;

    (void)crypto_aead_aes256gcm_beforenm(&state, key);
    (void)crypto_aead_aes256gcm_encrypt_afternm(out, NULL, plain.data, plain.len, associated.data,
                                                associated.len, NULL, nonce, &state);
    sodium_memzero(&state, sizeof state);
    sodium_stackzero(STACK_USED);
    return KMS_OK;
}

kms_status kms__aes256gcm_sodium_open(const uint8_t *key, const uint8_t *nonce,
                                      kms_slice associated, kms_slice sealed, uint8_t *out)
{
    crypto_aead_aes256gcm_state state;
    int opened;

    (void)crypto_aead_aes256gcm_beforenm(&state, key);
    opened = crypto_aead_aes256gcm_decrypt_afternm(out, NULL, NULL, sealed.data, sealed.len,
                                                   associated.data, associated.len, nonce, &state);
    sodium_memzero(&state, sizeof state);
    sodium_stackzero(STACK_USED);
    return opened == 0 ? KMS_OK : KMS_ERR_INVALID_CIPHERTEXT;
}
