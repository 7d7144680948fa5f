#include "crypto/aead.h"
#include "crypto/aes256gcm.h"
#include "crypto/xchacha20poly1305.h"

typedef struct suite {
    /* Longest plaintext. */
    uint64_t longest;
    kms_status (*seal)(const uint8_t *key, const uint8_t *nonce, kms_slice associated,
                       kms_slice plain, uint8_t *out);
    kms_status (*open)(const uint8_t *key, const uint8_t *nonce, kms_slice associated,
                       kms_slice sealed, uint8_t *out);
} suite;

static kms_status not_authentic(void)
{
    return kms_set_error(KMS_ERR_INVALID_CIPHERTEXT,
                         "the ciphertext is not authentic: changed, cut, or of another context");
}

static const suite *find(kms_suite wanted)
{
    /* The block counter of ChaCha20-IETF has 32 bits, and its first block makes the tag's key. */
    static const suite suite_1 = {(UINT64_C(1) << 38) - 64, kms__suite_1_seal, kms__suite_1_open};
#if KMS_HAVE_LIBCRYPTO
    /* So has GCM's, whose first two values serve the tag. */
    static const suite suite_2 = {(UINT64_C(1) << 36) - 32, kms__suite_2_seal, kms__suite_2_open};
#endif

    switch (wanted) {
    case KMS_SUITE_XCHACHA20_POLY1305:
        return &suite_1;
    case KMS_SUITE_AES_256_GCM:
#if KMS_HAVE_LIBCRYPTO
        return &suite_2;
#else
        return NULL;
#endif
    }
    return NULL;
}

static kms_status unsupported(kms_suite wanted)
{
    return kms_set_error(KMS_ERR_UNSUPPORTED, "suite %d is not in this build of libkms",
                         (int)wanted);
}

bool kms__suite_available(kms_suite wanted)
{
    return find(wanted) != NULL;
}

kms_status kms__aead_seal(kms_suite wanted, const uint8_t key[KMS__AEAD_KEY_SIZE],
                          const uint8_t nonce[KMS__AEAD_NONCE_SIZE], kms_slice associated,
                          kms_slice plain, uint8_t *out)
{
    const suite *found = find(wanted);

    if (found == NULL)
        return unsupported(wanted);
    if (plain.len > found->longest)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT,
                             "%zu bytes are too long for one message: at most %llu", plain.len,
                             (unsigned long long)found->longest);
    return found->seal(key, nonce, associated, plain, out);
}

kms_status kms__aead_open(kms_suite wanted, const uint8_t key[KMS__AEAD_KEY_SIZE],
                          const uint8_t nonce[KMS__AEAD_NONCE_SIZE], kms_slice associated,
                          kms_slice sealed, uint8_t *out)
{
    const suite *found = find(wanted);
    kms_status status = KMS_ERR_INVALID_CIPHERTEXT;

    if (found == NULL)
        return unsupported(wanted);
    /* No seal gives such a length. */
    if (sealed.len >= KMS__AEAD_TAG_SIZE && sealed.len - KMS__AEAD_TAG_SIZE <= found->longest)
        status = found->open(key, nonce, associated, sealed, out);
    return status == KMS_ERR_INVALID_CIPHERTEXT ? not_authentic() : status;
}
