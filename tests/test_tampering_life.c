/* Material that was destroyed and is put back, stolen import tokens, and clocks that lie: lines of
 * the table in docs/threat-model.md, as tests/test_tampering.c has them of other records. */
#include "support/named_records.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DAY_MS (INT64_C(24) * 3600 * 1000)

static place here;
static kms_store *store;
static char key[KMS_KEY_ID_SIZE];
static int64_t now_ms = INT64_C(1767225600000);

static int64_t told(void *data)
{
    return *(const int64_t *)data;
}

static const kms_clock clock_told = {KMS_CLOCK_VERSION, &now_ms, told};

static kms_store *open_at(place *p)
{
    kms_open_options options = KMS_OPEN_OPTIONS_INIT;
    kms_store *opened = NULL;

    options.clock = &clock_told;
    fixture_ok(place_try_open(p, &opened, KMS_OPEN_CREATE, &options));
    return opened;
}

/* A key with two versions and an alias. */
static void setup(void)
{
    place_init(&here);
    store = open_at(&here);
    fixture_create_key(store, key);
    fixture_rotate(store, key);
    fixture_ok(kms_create_alias(store, "alias/a", key));
}

static void finish(void)
{
    kms_close(store);
    place_free(&here);
}

static void put_back(const stolen_set *old, stolen named)
{
    place_plant_record(&here, named_in(old, named));
}

static kms_status decrypt(kms_store *with, const uint8_t *blob, size_t len)
{
    char plain[100];
    size_t plain_len;

    return kms_decrypt(with, NULL, blob, len, plain, sizeof plain, &plain_len);
}

static kms_status encrypt(const char *keyref)
{
    uint8_t blob[200];
    size_t len;

    return kms_encrypt(store, keyref, NULL, "x", 1, blob, sizeof blob, &len);
}

static void purge_key(void)
{
    fixture_ok(kms_schedule_key_deletion(store, key, KMS_DELETION_DAYS_MIN, NULL));
    now_ms += 8 * DAY_MS;
    fixture_ok(kms_purge_key(store, key, now_ms));
}

static void reseal_to(place *target)
{
    place_init(target);
    fixture_ok(kms_copy_resealed(store, place_engine(target), fixture_root(FIXTURE_ROOT_FILL)));
}

/* --- what was destroyed ---------------------------------------------------------------------- */

START_TEST(a_purged_key_that_was_put_back_opens_and_verify_finds_it)
{
    uint8_t blob[200];
    stolen_set old;
    size_t len;

    setup();
    len = fixture_encrypt(store, key, "destroyed", blob, sizeof blob);
    old = place_steal(&here);
    purge_key();
    fixture_is(decrypt(store, blob, len), KMS_ERR_KEY_NOT_FOUND);
    put_back(&old, record_of('K', key, 0));
    put_back(&old, record_of('V', key, 1));
    put_back(&old, record_of('V', key, 2));
    fixture_opens_as(store, blob, len, "destroyed");
    fixture_is(kms_verify(store), KMS_ERR_CORRUPT);
    fixture_says("added");
    stolen_free(&old);
    finish();
}
END_TEST

START_TEST(a_purged_key_does_not_open_in_a_resealed_copy)
{
    const char *letters = "KVV";
    uint8_t blob[200];
    stolen_set old;
    place copy;
    size_t len;

    setup();
    len = fixture_encrypt(store, key, "destroyed", blob, sizeof blob);
    old = place_steal(&here);
    purge_key();
    reseal_to(&copy);
    kms_close(store);
    for (uint32_t i = 0; letters[i] != '\0'; i++)
        place_plant_record(&copy, named_in(&old, record_of(letters[i], key, i)));
    store = open_at(&copy);
    fixture_is(decrypt(store, blob, len), KMS_ERR_CORRUPT);
    fixture_is(kms_verify(store), KMS_ERR_CORRUPT);
    kms_close(store);
    stolen_free(&old);
    place_free(&copy);
    place_free(&here);
}
END_TEST

START_TEST(the_store_before_its_resealing_shows_by_its_generation)
{
    kms_store_info before = {.version = KMS_STORE_INFO_VERSION}, after = before;
    kms_store *resealed;
    place copy;

    setup();
    reseal_to(&copy);
    resealed = open_at(&copy);
    fixture_ok(kms_get_store_info(store, &before));
    fixture_ok(kms_get_store_info(resealed, &after));
    ck_assert_mem_eq(before.store_id, after.store_id, sizeof before.store_id);
    ck_assert_uint_eq(before.store_key_generation, 1);
    ck_assert_uint_eq(after.store_key_generation, 2);
    ck_assert_uint_gt(after.changes, before.changes);
    kms_close(resealed);
    place_free(&copy);
    finish();
}
END_TEST

/* The copy's header would vouch for what the store's own does not. */
START_TEST(a_store_that_was_tampered_with_is_not_resealed)
{
    stolen_set old;
    place copy;

    setup();
    old = place_steal(&here);
    fixture_ok(kms_disable_key(store, key));
    put_back(&old, record_of('K', key, 0));
    place_init(&copy);
    fixture_is(kms_copy_resealed(store, place_engine(&copy), fixture_root(FIXTURE_ROOT_FILL)),
               KMS_ERR_CORRUPT);
    fixture_says("replayed");
    ck_assert_uint_eq(engine_count(&copy.control, ENGINE_CREATE), 0);
    stolen_free(&old);
    place_free(&copy);
    finish();
}
END_TEST

static void destroy_version_1(void)
{
    fixture_ok(kms_schedule_key_version_destruction(store, key, 1, KMS_DELETION_DAYS_MIN, NULL));
    now_ms += 8 * DAY_MS;
    fixture_ok(kms_purge_key_version(store, key, 1, now_ms));
}

START_TEST(a_destroyed_version_comes_back_only_with_both_its_records)
{
    uint8_t blob[200];
    stolen_set old;
    size_t len;

    setup();
    fixture_ok(kms_update_primary_version(store, key, 1));
    len = fixture_encrypt(store, key, "destroyed", blob, sizeof blob);
    fixture_ok(kms_update_primary_version(store, key, 2));
    old = place_steal(&here);
    destroy_version_1();
    fixture_is(decrypt(store, blob, len), KMS_ERR_DESTROYED);
    put_back(&old, record_of('V', key, 1));
    fixture_is(decrypt(store, blob, len), KMS_ERR_DESTROYED);
    fixture_is(kms_verify(store), KMS_ERR_CORRUPT);
    put_back(&old, record_of('K', key, 0));
    fixture_opens_as(store, blob, len, "destroyed");
    fixture_is(kms_verify(store), KMS_ERR_CORRUPT);
    fixture_says("replayed");
    stolen_free(&old);
    finish();
}
END_TEST

/* --- files ------------------------------------------------------------------------------------ */

static bool file_holds(const char *path, const stolen *record)
{
    FILE *file = fopen(path, "rb");
    char *bytes = NULL;
    size_t len = 0;
    bool holds;

    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fseek(file, 0, SEEK_END), 0);
    len = (size_t)ftell(file);
    rewind(file);
    bytes = malloc(len);
    ck_assert_ptr_nonnull(bytes);
    ck_assert_uint_eq(fread(bytes, 1, len, file), len);
    fclose(file);
    holds = memmem(bytes, len, record->value, record->value_len) != NULL;
    free(bytes);
    return holds;
}

/* Deletion is not erasure: this is what kms_copy_resealed() is for. */
START_TEST(a_destroyed_record_stays_in_the_file_and_is_not_in_a_resealed_copy)
{
    stolen_set old;
    place copy;

    setup();
    if (here.memory != NULL) {
        fixture_skip("what stays in a store's file", "KMS_TEST_BACKEND has no file");
        finish();
        return;
    }
    fixture_ok(kms_schedule_key_version_destruction(store, key, 1, KMS_DELETION_DAYS_MIN, NULL));
    old = place_steal(&here);
    now_ms += 8 * DAY_MS;
    fixture_ok(kms_purge_key_version(store, key, 1, now_ms));
    if (strcmp(getenv("KMS_TEST_BACKEND"), "lmdb") == 0)
        ck_assert(file_holds(here.path, named_in(&old, record_of('V', key, 1))));
    reseal_to(&copy);
    ck_assert(!file_holds(copy.path, named_in(&old, record_of('V', key, 1))));
    ck_assert(!file_holds(copy.path, named_in(&old, record_of('V', key, 2))));
    stolen_free(&old);
    place_free(&copy);
    finish();
}
END_TEST

/* --- imported material ------------------------------------------------------------------------ */

static kms_import_parameters parameters;

static void create_external(char id[KMS_KEY_ID_SIZE])
{
    kms_create_key_options options = KMS_CREATE_KEY_OPTIONS_INIT;

    options.origin = KMS_KEY_ORIGIN_EXTERNAL;
    fixture_ok(kms_create_key(store, &options, id));
    fixture_ok(kms_get_parameters_for_import(store, id, KMS_WRAPPING_SEALED_BOX, &parameters));
}

/* Material of that byte, wrapped for the token's public key. */
static kms_status import_expiring(kms_store *into, const char *id, uint8_t fill, int64_t expires_ms)
{
    static uint8_t box[crypto_box_SEALBYTES + KMS_IMPORT_MATERIAL_SIZE];
    uint8_t material[KMS_IMPORT_MATERIAL_SIZE];
    kms_import import = KMS_IMPORT_INIT;

    memset(material, fill, sizeof material);
    ck_assert_int_eq(crypto_box_seal(box, material, sizeof material, parameters.public_key), 0);
    import.token = parameters.token;
    import.token_len = parameters.token_len;
    import.material = box;
    import.material_len = sizeof box;
    import.expires_ms = expires_ms;
    return kms_import_key_material(into, id, &import);
}

static kms_status import(kms_store *into, const char *id, uint8_t fill)
{
    return import_expiring(into, id, fill, 0);
}

START_TEST(a_stolen_import_token_is_good_for_its_own_key_and_day_only)
{
    char mine[KMS_KEY_ID_SIZE], other[KMS_KEY_ID_SIZE];

    setup();
    create_external(other);
    create_external(mine);
    fixture_is(import(store, other, 7), KMS_ERR_INVALID_IMPORT);
    now_ms += DAY_MS;
    fixture_is(import(store, mine, 7), KMS_ERR_EXPIRED);
    now_ms -= 1;
    fixture_ok(import(store, mine, 7));
    /* Used again, it brings nothing else. */
    fixture_is(import(store, mine, 8), KMS_ERR_INCORRECT_MATERIAL);
    fixture_ok(import(store, mine, 7));
    fixture_ok(kms_verify(store));
    finish();
}
END_TEST

/* Under the same root key, and with a key of the same id. */
START_TEST(an_import_token_of_a_store_opens_in_no_resealed_copy_of_it)
{
    kms_store *resealed;
    char id[KMS_KEY_ID_SIZE];
    place copy;

    setup();
    create_external(id);
    reseal_to(&copy);
    resealed = open_at(&copy);
    fixture_is(import(resealed, id, 7), KMS_ERR_INVALID_IMPORT);
    fixture_ok(import(store, id, 7));
    kms_close(resealed);
    place_free(&copy);
    finish();
}
END_TEST

START_TEST(an_import_token_that_was_altered_at_any_byte_does_not_open)
{
    char id[KMS_KEY_ID_SIZE];

    setup();
    create_external(id);
    for (size_t at = 0; at < parameters.token_len; at++) {
        kms_status st;

        parameters.token[at] ^= 1;
        st = import(store, id, 7);
        ck_assert_msg(st == KMS_ERR_INVALID_IMPORT, "byte %zu: %s", at, kms_status_name(st));
        parameters.token[at] ^= 1;
    }
    parameters.token_len--;
    fixture_is(import(store, id, 7), KMS_ERR_INVALID_IMPORT);
    parameters.token_len++;
    parameters.token[0] = 2;
    fixture_is(import(store, id, 7), KMS_ERR_NEWER_FORMAT);
    parameters.token[0] = 1;
    fixture_ok(import(store, id, 7));
    finish();
}
END_TEST

START_TEST(deleted_material_comes_back_only_with_both_its_records)
{
    char id[KMS_KEY_ID_SIZE];
    stolen_set old;

    setup();
    create_external(id);
    fixture_ok(import(store, id, 7));
    old = place_steal(&here);
    fixture_ok(kms_delete_key_material(store, id, 0));
    put_back(&old, record_of('K', id, 0));
    fixture_is(encrypt(id), KMS_ERR_CORRUPT);
    put_back(&old, record_of('V', id, 1));
    fixture_ok(encrypt(id));
    fixture_is(kms_verify(store), KMS_ERR_CORRUPT);
    fixture_says("replayed");
    stolen_free(&old);
    finish();
}
END_TEST

/* The date of expiry stands in both. */
START_TEST(an_older_record_of_a_key_or_version_does_not_prolong_its_material)
{
    const char letter = _i == 0 ? 'K' : 'V';
    char id[KMS_KEY_ID_SIZE];
    stolen_set old;

    setup();
    create_external(id);
    fixture_ok(import(store, id, 7));
    old = place_steal(&here);
    fixture_ok(import_expiring(store, id, 7, now_ms + DAY_MS / 2));
    put_back(&old, record_of(letter, id, 1));
    fixture_ok(encrypt(id));
    fixture_is(kms_verify(store), KMS_ERR_CORRUPT);
    fixture_says("different dates of expiry");
    now_ms += DAY_MS / 2;
    fixture_is(encrypt(id), KMS_ERR_PENDING_IMPORT);
    stolen_free(&old);
    finish();
}
END_TEST

static kms_status import_another_version(kms_store *into, const char *id, uint8_t fill)
{
    uint8_t material[KMS_IMPORT_MATERIAL_SIZE];
    kms_import import = KMS_IMPORT_INIT;

    memset(material, fill, sizeof material);
    import.wrapping = KMS_WRAPPING_NONE_INSECURE;
    import.material = material;
    import.material_len = sizeof material;
    return kms_import_key_version(into, id, &import, NULL);
}

/* Of other versions than the primary one, only their own record has the date. */
START_TEST(an_older_record_of_another_version_prolongs_its_material_and_is_found)
{
    char id[KMS_KEY_ID_SIZE];
    uint8_t blob[200];
    stolen_set old;
    size_t len;

    setup();
    create_external(id);
    fixture_ok(import(store, id, 7));
    len = fixture_encrypt(store, id, "long ago", blob, sizeof blob);
    fixture_ok(import_another_version(store, id, 8));
    old = place_steal(&here);
    fixture_ok(import_expiring(store, id, 7, now_ms + DAY_MS / 2));
    now_ms += DAY_MS;
    fixture_is(decrypt(store, blob, len), KMS_ERR_PENDING_IMPORT);
    put_back(&old, record_of('V', id, 1));
    fixture_opens_as(store, blob, len, "long ago");
    fixture_is(kms_verify(store), KMS_ERR_CORRUPT);
    fixture_says("replayed");
    stolen_free(&old);
    finish();
}
END_TEST

/* An alias goes on working, and is missing where the index is asked. */
START_TEST(a_removed_index_record_is_found)
{
    kms_alias_info page[2];
    stolen_set all;
    size_t count;
    const stolen *index;

    setup();
    all = place_steal(&here);
    index = stolen_find(&all, 'I');
    place_plant(&here, index->key, index->key_len, NULL, 0);
    fixture_ok(kms_list_aliases_by_key_id(store, key, NULL, page, 2, &count, NULL));
    ck_assert_uint_eq(count, 0);
    fixture_ok(encrypt("alias/a"));
    fixture_is(kms_delete_alias(store, "alias/a"), KMS_ERR_CORRUPT);
    fixture_says("alias/a");
    fixture_is(kms_verify(store), KMS_ERR_CORRUPT);
    purge_key();
    fixture_is(encrypt("alias/a"), KMS_ERR_CORRUPT);
    stolen_free(&all);
    finish();
}
END_TEST

/* --- clocks that lie -------------------------------------------------------------------------- */

START_TEST(a_clock_far_ahead_destroys_nothing)
{
    int64_t today;

    setup();
    fixture_ok(kms_schedule_key_deletion(store, key, 0, NULL));
    today = now_ms;
    now_ms += 10 * 365 * DAY_MS;
    fixture_is(kms_purge_key(store, key, today), KMS_ERR_INVALID_ARGUMENT);
    now_ms = today;
    fixture_is(kms_purge_key(store, key, today + 31 * DAY_MS), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_purge_key(store, key, today), KMS_ERR_INVALID_STATE);
    fixture_ok(kms_cancel_key_deletion(store, key));
    fixture_ok(encrypt(key));
    finish();
}
END_TEST

START_TEST(a_clock_that_was_set_back_brings_expired_material_back)
{
    char id[KMS_KEY_ID_SIZE];

    setup();
    create_external(id);
    fixture_ok(import_expiring(store, id, 7, now_ms + DAY_MS / 2));
    fixture_ok(encrypt(id));
    now_ms += DAY_MS / 2;
    fixture_is(encrypt(id), KMS_ERR_PENDING_IMPORT);
    now_ms -= 1;
    fixture_ok(encrypt(id));
    finish();
}
END_TEST

START_TEST(a_clock_far_ahead_or_set_back_rotates_a_key_once)
{
    setup();
    fixture_ok(kms_update_rotation_policy(store, key, true, KMS_ROTATION_DAYS_MIN));
    now_ms += 10 * 365 * DAY_MS;
    fixture_ok(encrypt(key));
    fixture_ok(encrypt(key));
    ck_assert_uint_eq(fixture_describe(store, key).primary_version, 3);
    now_ms -= 10 * 365 * DAY_MS;
    kms_close(store);
    store = open_at(&here);
    fixture_ok(encrypt(key));
    ck_assert_uint_eq(fixture_describe(store, key).primary_version, 3);
    ck_assert_int_le(fixture_describe(store, key).last_rotation_ms, now_ms);
    finish();
}
END_TEST

/* What a handle keeps of a key does not outlast the clock that it was read by. */
START_TEST(a_clock_that_was_set_back_under_an_open_handle_puts_no_rotation_off)
{
    setup();
    fixture_ok(kms_update_rotation_policy(store, key, true, KMS_ROTATION_DAYS_MIN));
    now_ms += 10 * 365 * DAY_MS;
    fixture_ok(encrypt(key));
    fixture_ok(encrypt(key));
    now_ms -= 10 * 365 * DAY_MS;
    fixture_ok(encrypt(key));
    ck_assert_int_le(fixture_describe(store, key).last_rotation_ms, now_ms);
    now_ms += (KMS_ROTATION_DAYS_MIN + 1) * DAY_MS;
    fixture_ok(encrypt(key));
    ck_assert_uint_eq(fixture_describe(store, key).primary_version, 4);
    finish();
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {a_purged_key_that_was_put_back_opens_and_verify_finds_it, 0},
        {a_purged_key_does_not_open_in_a_resealed_copy, 0},
        {the_store_before_its_resealing_shows_by_its_generation, 0},
        {a_store_that_was_tampered_with_is_not_resealed, 0},
        {a_destroyed_version_comes_back_only_with_both_its_records, 0},
        {a_destroyed_record_stays_in_the_file_and_is_not_in_a_resealed_copy, 0},
        {a_stolen_import_token_is_good_for_its_own_key_and_day_only, 0},
        {an_import_token_of_a_store_opens_in_no_resealed_copy_of_it, 0},
        {an_import_token_that_was_altered_at_any_byte_does_not_open, 0},
        {deleted_material_comes_back_only_with_both_its_records, 0},
        {an_older_record_of_a_key_or_version_does_not_prolong_its_material, 2},
        {an_older_record_of_another_version_prolongs_its_material_and_is_found, 0},
        {a_removed_index_record_is_found, 0},
        {a_clock_far_ahead_destroys_nothing, 0},
        {a_clock_that_was_set_back_brings_expired_material_back, 0},
        {a_clock_far_ahead_or_set_back_rotates_a_key_once, 0},
        {a_clock_that_was_set_back_under_an_open_handle_puts_no_rotation_off, 0},
    };

    return fixture_main("tampering_life", tests, sizeof tests / sizeof *tests, 60);
}
