#include "key_life.h"

#include <string.h>

int64_t life_now_ms = LIFE_START_MS;

static int64_t tell(void *data)
{
    const int64_t *now_ms = data;

    return *now_ms;
}

kms_status life_try_open(place *p, kms_store **store, uint32_t flags)
{
    const kms_clock clock = {KMS_CLOCK_VERSION, &life_now_ms, tell};
    kms_open_options options = KMS_OPEN_OPTIONS_INIT;

    options.clock = &clock;
    return place_try_open(p, store, flags, &options);
}

kms_store *life_open(place *p)
{
    kms_store *store = NULL;

    fixture_ok(life_try_open(p, &store, KMS_OPEN_CREATE));
    return store;
}

static kms_import raw_import(const uint8_t material[KMS_IMPORT_MATERIAL_SIZE], int64_t expires_ms)
{
    kms_import import = KMS_IMPORT_INIT;

    import.wrapping = KMS_WRAPPING_NONE_INSECURE;
    import.material = material;
    import.material_len = KMS_IMPORT_MATERIAL_SIZE;
    import.expires_ms = expires_ms;
    return import;
}

kms_status life_try_import(kms_store *store, const char *key_id, uint8_t fill, int64_t expires_ms)
{
    uint8_t material[KMS_IMPORT_MATERIAL_SIZE];
    kms_import import = raw_import(material, expires_ms);

    memset(material, fill, sizeof material);
    return kms_import_key_material(store, key_id, &import);
}

kms_status life_try_import_version(kms_store *store, const char *key_id, uint8_t fill,
                                   uint32_t *number)
{
    uint8_t material[KMS_IMPORT_MATERIAL_SIZE];
    kms_import import = raw_import(material, 0);

    memset(material, fill, sizeof material);
    return kms_import_key_version(store, key_id, &import, number);
}

void life_create_waiting(kms_store *store, char key_id[KMS_KEY_ID_SIZE])
{
    kms_create_key_options options = KMS_CREATE_KEY_OPTIONS_INIT;

    options.origin = KMS_KEY_ORIGIN_EXTERNAL;
    fixture_ok(kms_create_key(store, &options, key_id));
}

void life_create_imported(kms_store *store, uint32_t versions, char key_id[KMS_KEY_ID_SIZE])
{
    uint32_t number;

    life_create_waiting(store, key_id);
    fixture_ok(life_try_import(store, key_id, 1, 0));
    for (uint32_t n = 2; n <= versions; n++) {
        fixture_ok(life_try_import_version(store, key_id, (uint8_t)n, &number));
        ck_assert_uint_eq(number, n);
    }
}
