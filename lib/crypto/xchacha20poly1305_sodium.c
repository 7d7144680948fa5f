#include "crypto/stack.h"
#include "crypto/xchacha20poly1305.h"

#include <sodium.h>

/* Shorter messages than this do not reach the vector code that spills the message's key. */
#define SPILLS_FROM 256

kms_status kms__xchacha20poly1305_sodium_seal(const uint8_t *key, const uint8_t *nonce,
                                              kms_slice associated, kms_slice plain, uint8_t *out)
{
    (void)crypto_aead_xchacha20poly1305_ietf_encrypt(
        out, NULL, plain.data, plain.len, associated.data, associated.len, NULL, nonce, key);
    if (plain.len >= SPILLS_FROM)
        sodium_stackzero(KMS__STACK_USED);
    return KMS_OK;
}

kms_status kms__xchacha20poly1305_sodium_open(const uint8_t *key, const uint8_t *nonce,
                                              kms_slice associated, kms_slice sealed, uint8_t *out)
{
    const int opened = crypto_aead_xchacha20poly1305_ietf_decrypt(
        out, NULL, NULL, sealed.data, sealed.len, associated.data, associated.len, nonce, key);

    if (sealed.len >= SPILLS_FROM + KMS__AEAD_TAG_SIZE)
        sodium_stackzero(KMS__STACK_USED);
    return opened == 0 ? KMS_OK : KMS_ERR_INVALID_CIPHERTEXT;
}
