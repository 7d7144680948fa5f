#include "crypto/aes256gcm.h"

#include <sodium.h>
#include <string.h>

/* The nonce's first half makes the message key; the second is AES-256-GCM's own nonce. */
#define KEY_HALF 12

void kms__suite_2_message_key(const uint8_t *key, const uint8_t *nonce,
                              uint8_t message_key[KMS__AEAD_KEY_SIZE])
{
    uint8_t input[crypto_core_hchacha20_INPUTBYTES] = {0};

    memcpy(input, nonce, KEY_HALF);
    (void)crypto_core_hchacha20(message_key, input, key, NULL);
}

#if KMS_HAVE_LIBCRYPTO

/* Setting a key costs libcrypto more, and wiping it as well; the rest less. Measured with 82 bytes
 * of associated data on a Zen 5 with libsodium 1.0.18 and OpenSSL 3.0, sealing / opening in ns:
 *             64 B        1,024 B     1,152 B     1,408 B     4,096 B        16,384 B
 * libsodium   228 / 251   607 / 710   647 / 765   760 / 898   2,011 / 2,420  7,710 / 9,351
 * libcrypto   591 / 590   744 / 737   726 / 725   792 / 780   1,310 / 1,302  3,761 / 3,730 */
static bool sodium_is_faster(size_t len)
{
    return len <= KMS__AES256GCM_SODIUM_LONGEST && kms__aes256gcm_sodium_available();
}

kms_status kms__suite_2_seal(const uint8_t *key, const uint8_t *nonce, kms_slice associated,
                             kms_slice plain, uint8_t *out)
{
    uint8_t message_key[KMS__AEAD_KEY_SIZE];
    kms_status status;

    kms__suite_2_message_key(key, nonce, message_key);
    status =
        (sodium_is_faster(plain.len) ? kms__aes256gcm_sodium_seal : kms__aes256gcm_libcrypto_seal)(
            message_key, nonce + KEY_HALF, associated, plain, out);
    sodium_memzero(message_key, sizeof message_key);
    return status;
}

kms_status kms__suite_2_open(const uint8_t *key, const uint8_t *nonce, kms_slice associated,
                             kms_slice sealed, uint8_t *out)
{
    uint8_t message_key[KMS__AEAD_KEY_SIZE];
    kms_status status;

    kms__suite_2_message_key(key, nonce, message_key);
    status = (sodium_is_faster(sealed.len - KMS__AEAD_TAG_SIZE) ? kms__aes256gcm_sodium_open
                                                                : kms__aes256gcm_libcrypto_open)(
        message_key, nonce + KEY_HALF, associated, sealed, out);
    sodium_memzero(message_key, sizeof message_key);
    return status;
}

#endif
