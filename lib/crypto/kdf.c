#include "crypto/kdf.h"
#include "crypto/stack.h"

#include <sodium.h>

_Static_assert(crypto_generichash_blake2b_SALTBYTES == KMS__KDF_SALT_SIZE, "a salt is an id");

static const char *personalisation(kms__use use)
{
    switch (use) {
    case KMS__USE_SUITE_1:
        return "libkms suite 1\0";
    case KMS__USE_SUITE_2:
        return "libkms suite 2\0";
    case KMS__USE_COMMITMENT:
        return "libkms commit\0\0";
    case KMS__USE_NONCE:
        return "libkms nonce\0\0\0";
    case KMS__USE_BASE:
        return "libkms base\0\0\0\0";
    case KMS__USE_DERIVED_KEY:
        return "libkms derive\0\0";
    case KMS__USE_BLIND_INDEX:
        return "libkms index\0\0\0";
    case KMS__USE_RECORDS:
        return "libkms records\0";
    case KMS__USE_ROOT_WRAP:
        return "libkms rootwrap";
    case KMS__USE_ROOT_CHECK:
        return "libkms rootchck";
    case KMS__USE_IMPORT_TOKEN:
        return "libkms import\0\0";
    case KMS__USE_STREAM_1:
        return "libkms stream 1";
    case KMS__USE_STREAM_2:
        return "libkms stream 2";
    case KMS__USE_STREAM_COMMITMENT:
        return "libkms strmcmt\0";
    }
    return "libkms no use\0\0";
}

void kms__derive(kms__use use, const uint8_t key[KMS__KDF_KEY_SIZE],
                 const uint8_t salt[KMS__KDF_SALT_SIZE], uint32_t number,
                 uint8_t out[KMS__KDF_OUT_SIZE])
{
    const uint8_t message[4] = {(uint8_t)(number >> 24), (uint8_t)(number >> 16),
                                (uint8_t)(number >> 8), (uint8_t)number};

    /* Its arguments' sizes are constants within their limits, so it cannot fail. */
    (void)crypto_generichash_blake2b_salt_personal(out, KMS__KDF_OUT_SIZE, message, sizeof message,
                                                   key, KMS__KDF_KEY_SIZE, salt,
                                                   (const unsigned char *)personalisation(use));
    sodium_stackzero(KMS__STACK_USED); /* BLAKE2b makes the derived key there. */
}
