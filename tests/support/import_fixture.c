#include "import_fixture.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#if KMS_HAVE_LIBCRYPTO
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#endif

const kms_wrapping import_wrappings[IMPORT_WRAPPINGS] = {
    KMS_WRAPPING_SEALED_BOX, KMS_WRAPPING_RSA_2048_OAEP_SHA_256, KMS_WRAPPING_RSA_3072_OAEP_SHA_256,
    KMS_WRAPPING_RSA_4096_OAEP_SHA_256};

int64_t import_now_ms = INT64_C(1770000000000);

bool import_has(kms_wrapping wrapping)
{
#if KMS_HAVE_LIBCRYPTO
    (void)wrapping;
    return true;
#else
    return wrapping == KMS_WRAPPING_SEALED_BOX || wrapping == KMS_WRAPPING_NONE_INSECURE;
#endif
}

static int64_t tell(void *data)
{
    return *(const int64_t *)data;
}

kms_store *import_open(place *p)
{
    kms_open_options options = KMS_OPEN_OPTIONS_INIT;
    kms_clock clock = {KMS_CLOCK_VERSION, &import_now_ms, tell};
    kms_store *store = NULL;

    options.clock = &clock;
    fixture_ok(place_try_open(p, &store, KMS_OPEN_CREATE, &options));
    return store;
}

void import_create(kms_store *store, char key_id[KMS_KEY_ID_SIZE])
{
    kms_create_key_options options = KMS_CREATE_KEY_OPTIONS_INIT;

    options.origin = KMS_KEY_ORIGIN_EXTERNAL;
    fixture_ok(kms_create_key(store, &options, key_id));
}

import_material import_material_of(uint32_t n)
{
    import_material made;

    for (size_t i = 0; i < sizeof made.bytes; i++)
        made.bytes[i] = (uint8_t)(0xa5 + 7 * i);
    memcpy(made.bytes + 8, &n, sizeof n);
    return made;
}

#if KMS_HAVE_LIBCRYPTO
static bool set_padding(EVP_PKEY_CTX *context, import_padding padding)
{
    const EVP_MD *md = padding == IMPORT_OAEP_SHA_1 ? EVP_sha1() : EVP_sha256();

    if (padding == IMPORT_PKCS_1)
        return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) == 1;
    return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING) == 1 &&
           EVP_PKEY_CTX_set_rsa_oaep_md(context, md) == 1 &&
           EVP_PKEY_CTX_set_rsa_mgf1_md(context, md) == 1;
}

static void wrap_rsa(const kms_import_parameters *parameters, import_padding padding,
                     const void *material, size_t len, uint8_t wrapped[512], size_t *wrapped_len)
{
    const uint8_t *at = parameters->public_key;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &at, (long)parameters->public_key_len);
    EVP_PKEY_CTX *context;

    ck_assert_ptr_nonnull(key);
    ck_assert_ptr_eq(at, parameters->public_key + parameters->public_key_len);
    ck_assert_int_eq(EVP_PKEY_get_bits(key), 1024 * (int)parameters->wrapping);
    context = EVP_PKEY_CTX_new(key, NULL);
    ck_assert_ptr_nonnull(context);
    ck_assert_int_eq(EVP_PKEY_encrypt_init(context), 1);
    ck_assert(set_padding(context, padding));
    *wrapped_len = 512;
    ck_assert_int_eq(EVP_PKEY_encrypt(context, wrapped, wrapped_len, material, len), 1);
    EVP_PKEY_CTX_free(context);
    EVP_PKEY_free(key);
}
#else
static void wrap_rsa(const kms_import_parameters *parameters, import_padding padding,
                     const void *material, size_t len, uint8_t wrapped[512], size_t *wrapped_len)
{
    (void)parameters, (void)padding, (void)material, (void)len, (void)wrapped, (void)wrapped_len;
    ck_abort_msg("this build has no libcrypto");
}
#endif

void import_wrap_as(const kms_import_parameters *parameters, import_padding padding,
                    const void *material, size_t len, uint8_t wrapped[512], size_t *wrapped_len)
{
    if (parameters->wrapping != KMS_WRAPPING_SEALED_BOX) {
        wrap_rsa(parameters, padding, material, len, wrapped, wrapped_len);
        return;
    }
    ck_assert_uint_eq(parameters->public_key_len, crypto_box_PUBLICKEYBYTES);
    ck_assert_uint_le(len, 256);
    ck_assert_int_eq(crypto_box_seal(wrapped, material, len, parameters->public_key), 0);
    *wrapped_len = len + crypto_box_SEALBYTES;
}

void import_pack_bytes(kms_store *store, const char *key_id, kms_wrapping wrapping,
                       const void *material, size_t len, import_parcel *parcel)
{
    const kms_import blank = KMS_IMPORT_INIT;

    fixture_ok(kms_get_parameters_for_import(store, key_id, wrapping, &parcel->parameters));
    import_wrap_as(&parcel->parameters, IMPORT_OAEP_SHA_256, material, len, parcel->wrapped,
                   &parcel->wrapped_len);
    parcel->import = blank;
    parcel->import.wrapping = wrapping;
    parcel->import.token = parcel->parameters.token;
    parcel->import.token_len = parcel->parameters.token_len;
    parcel->import.material = parcel->wrapped;
    parcel->import.material_len = parcel->wrapped_len;
}

void import_pack(kms_store *store, const char *key_id, kms_wrapping wrapping, uint32_t n,
                 import_parcel *parcel)
{
    import_material material = import_material_of(n);

    import_pack_bytes(store, key_id, wrapping, material.bytes, sizeof material.bytes, parcel);
}

static kms_import raw(const import_material *material, int64_t expires_ms)
{
    kms_import import = KMS_IMPORT_INIT;

    import.wrapping = KMS_WRAPPING_NONE_INSECURE;
    import.material = material->bytes;
    import.material_len = sizeof material->bytes;
    import.expires_ms = expires_ms;
    return import;
}

kms_status import_try_raw(kms_store *store, const char *key_id, uint32_t n, int64_t expires_ms)
{
    import_material material = import_material_of(n);
    kms_import import = raw(&material, expires_ms);

    return kms_import_key_material(store, key_id, &import);
}

void import_raw(kms_store *store, const char *key_id, uint32_t n, int64_t expires_ms)
{
    fixture_ok(import_try_raw(store, key_id, n, expires_ms));
}

kms_status import_try_raw_version(kms_store *store, const char *key_id, uint32_t n,
                                  int64_t expires_ms, uint32_t *number)
{
    import_material material = import_material_of(n);
    kms_import import = raw(&material, expires_ms);

    return kms_import_key_version(store, key_id, &import, number);
}

uint32_t import_raw_version(kms_store *store, const char *key_id, uint32_t n, int64_t expires_ms)
{
    uint32_t number = 0;

    fixture_ok(import_try_raw_version(store, key_id, n, expires_ms, &number));
    return number;
}

kms_key_version_info import_describe(kms_store *store, const char *key_id, uint32_t number)
{
    kms_key_version_info info;

    fixture_ok(kms_describe_key_version(store, key_id, number, &info));
    return info;
}

void import_setup(import_stage *at)
{
    place_init(&at->here);
    at->store = import_open(&at->here);
    import_create(at->store, at->key);
}

bool import_setup_for(import_stage *at, kms_wrapping wrapping)
{
    if (!import_has(wrapping)) {
        fixture_skip("wrapping by RSA", "this build has no libcrypto");
        return false;
    }
    import_setup(at);
    return true;
}

void import_finish(import_stage *at)
{
    fixture_ok(kms_verify(at->store));
    kms_close(at->store);
    place_free(&at->here);
}

void import_still_waits(const import_stage *at)
{
    uint8_t blob[KMS_CIPHERTEXT_SIZE(1)];
    size_t len;

    ck_assert_int_eq(fixture_describe(at->store, at->key).state, KMS_KEY_PENDING_IMPORT);
    fixture_is(kms_encrypt(at->store, at->key, NULL, "x", 1, blob, sizeof blob, &len),
               KMS_ERR_PENDING_IMPORT);
}

void import_refused(import_stage *at, const kms_import *import, kms_status wanted)
{
    unsigned long before = engine_count(&at->here.control, ENGINE_PUT);
    uint32_t number = 77;

    fixture_is(kms_import_key_material(at->store, at->key, import), wanted);
    fixture_is(kms_import_key_version(at->store, at->key, import, &number), wanted);
    ck_assert_uint_eq(engine_count(&at->here.control, ENGINE_PUT), before);
    ck_assert_uint_eq(number, 77);
}

size_t import_stride(size_t index)
{
    static const size_t strides[IMPORT_WRAPPINGS] = {1, 1, 41, 43};

    return strides[index] * (fixture_is_watched() && index > 0 ? 20 : 1);
}

uint8_t *import_cut(const void *from, size_t from_len, size_t len)
{
    uint8_t *cut = calloc(1, len > 0 ? len : 1);

    ck_assert_ptr_nonnull(cut);
    memcpy(cut, from, len < from_len ? len : from_len);
    return cut;
}
