#include "crypto/aes256gcm.h"

#include <sodium.h>

bool kms__aes256gcm_sodium_available(void)
{
    return crypto_aead_aes256gcm_is_available() != 0;
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
