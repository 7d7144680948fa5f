#include "crypto/wrapping.h"
#include "base/try.h"

#include <sodium.h>
#include <string.h>

static unsigned rsa_bits(kms_wrapping wrapping)
{
    switch (wrapping) {
    case KMS_WRAPPING_RSA_2048_OAEP_SHA_256:
        return 2048;
    case KMS_WRAPPING_RSA_3072_OAEP_SHA_256:
        return 3072;
    case KMS_WRAPPING_RSA_4096_OAEP_SHA_256:
        return 4096;
    case KMS_WRAPPING_SEALED_BOX:
    case KMS_WRAPPING_NONE_INSECURE:
        break;
    }
    return 0;
}

kms_status kms__wrapping_check(kms_wrapping wrapping)
{
    if (wrapping == KMS_WRAPPING_SEALED_BOX)
        return KMS_OK;
    if (rsa_bits(wrapping) == 0)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "%u is no wrapping of imported material",
                             (unsigned)wrapping);
#if KMS_HAVE_LIBCRYPTO
    return KMS_OK;
#else
    return kms_set_error(KMS_ERR_UNSUPPORTED,
                         "wrapping by RSA is not in this build of libkms, which has no libcrypto: "
                         "use KMS_WRAPPING_SEALED_BOX");
#endif
}

kms_status kms__wrapping_invalid(void)
{
    return kms_set_error(KMS_ERR_INVALID_IMPORT,
                         "the wrapped material does not open: it was cut or altered, or was "
                         "wrapped under another public key than the token's");
}

kms_status kms__wrapping_pair(kms_wrapping wrapping, uint8_t *secret, size_t *secret_len,
                              uint8_t *public_key, size_t *public_key_len)
{
    KMS__TRY(kms__wrapping_check(wrapping));
    if (wrapping != KMS_WRAPPING_SEALED_BOX)
        return kms__rsa_pair(rsa_bits(wrapping), secret, secret_len, public_key, public_key_len);
    (void)crypto_box_keypair(public_key, secret);
    *secret_len = crypto_box_SECRETKEYBYTES;
    *public_key_len = crypto_box_PUBLICKEYBYTES;
    return KMS_OK;
}

static kms_status open_box(kms_slice secret, kms_slice wrapped,
                           uint8_t material[KMS_IMPORT_MATERIAL_SIZE])
{
    uint8_t public_key[crypto_box_PUBLICKEYBYTES];

    if (secret.len != crypto_box_SECRETKEYBYTES ||
        wrapped.len != crypto_box_SEALBYTES + KMS_IMPORT_MATERIAL_SIZE ||
        crypto_scalarmult_base(public_key, secret.data) != 0 ||
        crypto_box_seal_open(material, wrapped.data, wrapped.len, public_key, secret.data) != 0)
        return kms__wrapping_invalid();
    return KMS_OK;
}

kms_status kms__wrapping_open(kms_wrapping wrapping, kms_slice secret, kms_slice wrapped,
                              uint8_t material[KMS_IMPORT_MATERIAL_SIZE])
{
    KMS__TRY(kms__wrapping_check(wrapping));
    if (wrapping == KMS_WRAPPING_SEALED_BOX)
        return open_box(secret, wrapped, material);
    return kms__rsa_open(secret, wrapped, material);
}
