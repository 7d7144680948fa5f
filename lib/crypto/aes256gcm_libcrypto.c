#include "crypto/aes256gcm.h"
#include "crypto/evp_aead.h"

#if KMS_HAVE_LIBCRYPTO

_Static_assert(KMS__AES256GCM_NONCE_SIZE == KMS__EVP_NONCE_SIZE, "GCM's nonce has 96 bits");

/* There is no other implementation for every processor, so a failure is told. */
static kms_status told(kms_status status)
{
    if (status == KMS_ERR_UNSUPPORTED)
        return kms_set_error(status, "libcrypto gives no AES-256-GCM: see the providers in its "
                                     "openssl.cnf");
    if (status == KMS_ERR_NO_MEMORY)
        return kms_set_error(status, "libcrypto's AES-256-GCM failed: no memory for its context");
    return status;
}

kms_status kms__aes256gcm_libcrypto_seal(const uint8_t *key, const uint8_t *nonce,
                                         kms_slice associated, kms_slice plain, uint8_t *out)
{
    return told(kms__evp_seal(KMS__EVP_AES_256_GCM, key, nonce, associated, plain, out));
}

kms_status kms__aes256gcm_libcrypto_open(const uint8_t *key, const uint8_t *nonce,
                                         kms_slice associated, kms_slice sealed, uint8_t *out)
{
    return told(kms__evp_open(KMS__EVP_AES_256_GCM, key, nonce, associated, sealed, out));
}

#else

static kms_status unsupported(void)
{
    return kms_set_error(KMS_ERR_UNSUPPORTED, "this build of libkms has no libcrypto");
}

kms_status kms__aes256gcm_libcrypto_seal(const uint8_t *key, const uint8_t *nonce,
                                         kms_slice associated, kms_slice plain, uint8_t *out)
{
    (void)key, (void)nonce, (void)associated, (void)plain, (void)out;
    return unsupported();
}

kms_status kms__aes256gcm_libcrypto_open(const uint8_t *key, const uint8_t *nonce,
                                         kms_slice associated, kms_slice sealed, uint8_t *out)
{
    (void)key, (void)nonce, (void)associated, (void)sealed, (void)out;
    return unsupported();
}

#endif
