#include "crypto/wrapping.h"

#if KMS_HAVE_LIBCRYPTO

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <sodium.h>
#include <string.h>

/* libcrypto keeps the private key in its own heap for as long as a call takes, and clears it when
 * it frees it. What it puts into the thread's queue of errors is taken out again: an application's
 * TLS would find it there. */

static kms_status failed(void)
{
    return kms_set_error(KMS_ERR_NO_MEMORY, "libcrypto could not make or use an RSA key");
}

static bool encode_public(const EVP_PKEY *pair, uint8_t *out, size_t *len)
{
    int needed = i2d_PUBKEY(pair, NULL);

    if (needed <= 0 || needed > KMS_IMPORT_PUBLIC_KEY_MAX)
        return false;
    *len = (size_t)i2d_PUBKEY(pair, &out);
    return true;
}

static bool encode_secret(const EVP_PKEY *pair, uint8_t *out, size_t *len)
{
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(pair);
    int needed = info != NULL ? i2d_PKCS8_PRIV_KEY_INFO(info, NULL) : 0;
    bool fits = needed > 0 && needed <= KMS__WRAPPING_SECRET_MAX;

    if (fits)
        *len = (size_t)i2d_PKCS8_PRIV_KEY_INFO(info, &out);
    PKCS8_PRIV_KEY_INFO_free(info);
    return fits;
}

kms_status kms__rsa_pair(unsigned bits, uint8_t *secret, size_t *secret_len, uint8_t *public_key,
                         size_t *public_key_len)
{
    EVP_PKEY *pair;
    bool ok;

    ERR_set_mark();
    pair = EVP_RSA_gen(bits);
    ok = pair != NULL && encode_public(pair, public_key, public_key_len) &&
         encode_secret(pair, secret, secret_len);
    EVP_PKEY_free(pair);
    ERR_pop_to_mark();
    return ok ? KMS_OK : failed();
}

static EVP_PKEY *decode_secret(kms_slice secret)
{
    const unsigned char *at = secret.data;
    PKCS8_PRIV_KEY_INFO *info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, (long)secret.len);
    EVP_PKEY *pair = info != NULL ? EVP_PKCS82PKEY(info) : NULL;

    PKCS8_PRIV_KEY_INFO_free(info);
    return pair;
}

static EVP_PKEY_CTX *start_oaep(EVP_PKEY *pair)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(pair, NULL);

    if (context != NULL && EVP_PKEY_decrypt_init(context) == 1 &&
        EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING) == 1 &&
        EVP_PKEY_CTX_set_rsa_oaep_md(context, EVP_sha256()) == 1 &&
        EVP_PKEY_CTX_set_rsa_mgf1_md(context, EVP_sha256()) == 1)
        return context;
    EVP_PKEY_CTX_free(context);
    return NULL;
}

/* libcrypto wants room for as many bytes as the modulus has. */
static kms_status open_oaep(EVP_PKEY_CTX *context, kms_slice wrapped,
                            uint8_t material[KMS_IMPORT_MATERIAL_SIZE])
{
    uint8_t plain[512];
    size_t len = sizeof plain;
    bool ok = EVP_PKEY_decrypt(context, plain, &len, wrapped.data, wrapped.len) == 1 &&
              len == KMS_IMPORT_MATERIAL_SIZE;

    if (ok)
        memcpy(material, plain, KMS_IMPORT_MATERIAL_SIZE);
    sodium_memzero(plain, sizeof plain);
    return ok ? KMS_OK : kms__wrapping_invalid();
}

kms_status kms__rsa_open(kms_slice secret, kms_slice wrapped,
                         uint8_t material[KMS_IMPORT_MATERIAL_SIZE])
{
    EVP_PKEY *pair;
    EVP_PKEY_CTX *context;
    kms_status st;

    ERR_set_mark();
    pair = decode_secret(secret);
    context = pair != NULL ? start_oaep(pair) : NULL;
    st = context != NULL ? open_oaep(context, wrapped, material) : failed();
    EVP_PKEY_CTX_free(context);
    EVP_PKEY_free(pair);
    ERR_pop_to_mark();
    return st;
}

#else

/* kms__wrapping_check() has refused it before. */
kms_status kms__rsa_pair(unsigned bits, uint8_t *secret, size_t *secret_len, uint8_t *public_key,
                         size_t *public_key_len)
{
    (void)bits, (void)secret, (void)secret_len, (void)public_key, (void)public_key_len;
    return kms__wrapping_check(KMS_WRAPPING_RSA_2048_OAEP_SHA_256);
}

kms_status kms__rsa_open(kms_slice secret, kms_slice wrapped,
                         uint8_t material[KMS_IMPORT_MATERIAL_SIZE])
{
    (void)secret, (void)wrapped, (void)material;
    return kms__wrapping_check(KMS_WRAPPING_RSA_2048_OAEP_SHA_256);
}

#endif
