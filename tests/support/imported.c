#include "imported.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

static kms_import raw(const uint8_t material[KMS_IMPORT_MATERIAL_SIZE])
{
    kms_import import = KMS_IMPORT_INIT;

    import.wrapping = KMS_WRAPPING_NONE_INSECURE;
    import.material = material;
    import.material_len = KMS_IMPORT_MATERIAL_SIZE;
    return import;
}

void imported_create(kms_store *store, kms_key_usage usage, uint8_t fill,
                     char key_id[KMS_KEY_ID_SIZE])
{
    kms_create_key_options options = KMS_CREATE_KEY_OPTIONS_INIT;
    uint8_t material[KMS_IMPORT_MATERIAL_SIZE];
    kms_import import = raw(material);

    memset(material, fill, sizeof material);
    options.usage = usage;
    options.origin = KMS_KEY_ORIGIN_EXTERNAL;
    fixture_ok(kms_create_key(store, &options, key_id));
    fixture_ok(kms_import_key_material(store, key_id, &import));
}

void imported_rotate(kms_store *store, const char *key_id, uint8_t fill)
{
    uint8_t material[KMS_IMPORT_MATERIAL_SIZE];
    kms_import import = raw(material);

    memset(material, fill, sizeof material);
    fixture_ok(kms_import_key_version(store, key_id, &import, NULL));
}

static uint8_t *put(uint8_t *at, uint64_t number, unsigned bytes)
{
    while (bytes-- > 0)
        *at++ = (uint8_t)(number >> (8 * bytes));
    return at;
}

void page_derive(const char *person, const uint8_t key[32], const char *key_id, uint32_t number,
                 uint8_t out[32])
{
    unsigned char salt[16], personalisation[16] = {0}, message[4];

    ck_assert_uint_le(strlen(person), sizeof personalisation);
    memcpy(personalisation, person, strlen(person));
    ck_assert_int_eq(sodium_hex2bin(salt, sizeof salt, key_id, strlen(key_id), "-", NULL, NULL), 0);
    put(message, number, 4);
    ck_assert_int_eq(crypto_generichash_blake2b_salt_personal(out, 32, message, sizeof message, key,
                                                              32, salt, personalisation),
                     0);
}

void page_prf(const uint8_t key[32], uint32_t number, kms_slice a, kms_slice b, uint8_t *out,
              size_t out_len)
{
    uint8_t *message = malloc(20 + a.len + b.len), *at = message;

    ck_assert_ptr_nonnull(message);
    at = put(at, number, 4);
    at = put(at, a.len, 8);
    if (a.len > 0)
        memcpy(at, a.data, a.len);
    at = put(at + a.len, b.len, 8);
    if (b.len > 0)
        memcpy(at, b.data, b.len);
    ck_assert_int_eq(crypto_generichash_blake2b(out, out_len, message, 20 + a.len + b.len, key, 32),
                     0);
    free(message);
}
