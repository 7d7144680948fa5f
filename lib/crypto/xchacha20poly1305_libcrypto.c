#include "crypto/evp_aead.h"
#include "crypto/stack.h"
#include "crypto/xchacha20poly1305.h"

#if KMS_HAVE_LIBCRYPTO

#include <sodium.h>
#include <string.h>

/* What of the nonce makes the message's key; the rest, behind zeros, is ChaCha20's own nonce
 * (draft-irtf-cfrg-xchacha-03, 2.3). */
#define KEY_PART crypto_core_hchacha20_INPUTBYTES
#define REST (KMS__AEAD_NONCE_SIZE - KEY_PART)

typedef struct message {
    uint8_t key[KMS__AEAD_KEY_SIZE];
    uint8_t nonce[KMS__EVP_NONCE_SIZE];
} message;

static void derive(const uint8_t *key, const uint8_t *nonce, message *of)
{
    (void)crypto_core_hchacha20(of->key, nonce, key, NULL);
    memset(of->nonce, 0, sizeof of->nonce - REST);
    memcpy(of->nonce + sizeof of->nonce - REST, nonce + KEY_PART, REST);
}

kms_status kms__xchacha20poly1305_libcrypto_seal(const uint8_t *key, const uint8_t *nonce,
                                                 kms_slice associated, kms_slice plain,
                                                 uint8_t *out)
{
    message own;
    kms_status status;

    derive(key, nonce, &own);
    status = kms__evp_seal(KMS__EVP_CHACHA20_POLY1305, own.key, own.nonce, associated, plain, out);
    sodium_memzero(&own, sizeof own);
    sodium_stackzero(KMS__STACK_USED);
    return status;
}

kms_status kms__xchacha20poly1305_libcrypto_open(const uint8_t *key, const uint8_t *nonce,
                                                 kms_slice associated, kms_slice sealed,
                                                 uint8_t *out)
{
    message own;
    kms_status status;

    derive(key, nonce, &own);
    status = kms__evp_open(KMS__EVP_CHACHA20_POLY1305, own.key, own.nonce, associated, sealed, out);
    sodium_memzero(&own, sizeof own);
    sodium_stackzero(KMS__STACK_USED);
    return status;
}

#else

typedef int kms__no_xchacha20poly1305_of_libcrypto;

#endif
