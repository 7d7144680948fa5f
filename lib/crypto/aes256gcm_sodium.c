#include "crypto/aes256gcm.h"

#include <sodium.h>
#include <string.h>

bool kms__aes256gcm_sodium_available(void)
{
    return crypto_aead_aes256gcm_is_available() != 0;
}

/* Its frame lies where those lay that libsodium's functions had. Whoever might look at the memory through
 * the pointer keeps the compiler from leaving the zeros out. */
__attribute__((noinline)) void kms__aes256gcm_sodium_wipe_stack(void)
{
    uint8_t below[768];
    size_t size = sizeof below;

    /* So the compiler calls memset(), which is much faster here than what it would put in its place. */
    __asm__("" : "+r"(size));
    memset(below, 0, size);
    __asm__ volatile("" : : "r"(below) : "memory");
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
