/* The copy of a store under a new store key: all of the store's content is in it, and nothing of
 * what was destroyed before. */
#include "support/key_life.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static place here, there;
static kms_store *store, *copy;

#define COPY_ROOT_FILL 0x77

/* --- a store with everything in it ------------------------------------------------------------ */

#define KEYS 4
#define BLOBS 8
static char keys[KEYS][KMS_KEY_ID_SIZE];
static uint8_t blobs[BLOBS][KMS_CIPHERTEXT_SIZE(5)];
static size_t blob_count;

static void keep_blob(const char *keyref)
{
    ck_assert_uint_lt(blob_count, BLOBS);
    (void)fixture_encrypt(store, keyref, "text", blobs[blob_count], sizeof blobs[0]);
    blob_count++;
}

static void create_drawn_key(void)
{
    const kms_tag tags[] = {{"team", "payments"}, {"empty", ""}};
    kms_create_key_options options = KMS_CREATE_KEY_OPTIONS_INIT;

    options.description = "what it is for";
    options.tags = tags;
    options.tag_count = 2;
    options.rotation_days = 30;
    fixture_ok(kms_create_key(store, &options, keys[0]));
    keep_blob(keys[0]);
    fixture_rotate(store, keys[0]);
    keep_blob(keys[0]);
    fixture_rotate(store, keys[0]);
    keep_blob(keys[0]);
    fixture_ok(kms_update_primary_version(store, keys[0], 2));
    fixture_ok(kms_create_alias(store, "alias/drawn", keys[0]));
}

static void fill_store(void)
{
    blob_count = 0;
    create_drawn_key();
    life_create_imported(store, 2, keys[1]);
    fixture_ok(life_try_import(store, keys[1], 2, life_now_ms + 100 * LIFE_DAY_MS));
    keep_blob(keys[1]);
    fixture_ok(kms_service_key(store, "rds", keys[2]));
    keep_blob("alias/acs/rds");
    /* What is pending deletion, protected or off comes along as it is. */
    fixture_create_key(store, keys[3]);
    fixture_ok(kms_create_alias(store, "alias/moved", keys[3]));
    fixture_ok(kms_update_alias(store, "alias/moved", keys[1]));
    fixture_ok(kms_set_deletion_protection(store, keys[1], true));
    fixture_ok(kms_disable_key(store, keys[3]));
    fixture_ok(kms_schedule_key_deletion(store, keys[3], 7, NULL));
    fixture_ok(kms_flush_last_use(store));
}

static void setup_on(const char *engine)
{
    if (engine != NULL)
        setenv("KMS_TEST_BACKEND", engine, 1);
    place_init(&here);
    place_init(&there);
    store = life_open(&here);
}

static void finish(void)
{
    fixture_ok(kms_verify(store));
    kms_close(store);
    place_free(&here);
    place_free(&there);
}

static kms_status make_copy(uint8_t root_fill)
{
    kms_status st = kms_copy_resealed(store, place_engine(&there), fixture_root(root_fill));

    /* Its engine is closed whatever came of it. */
    ck_assert_uint_eq(there.made, there.closed);
    ck_assert_int_eq(atomic_load(&there.control.open_txns), 0);
    ck_assert_int_eq(atomic_load(&here.control.open_txns), 0);
    return st;
}

static void open_copy(void)
{
    copy = NULL;
    fixture_ok(life_try_open(&there, &copy, 0));
    fixture_ok(kms_verify(copy));
}

/* The engines that every build has, and LMDB where it is built in. */
static const char *engine_of(int number)
{
    static const char *const engines[] = {"memory", "file", "lmdb"};

#if !KMS_HAVE_LMDB
    if (number == 2) {
        fixture_skip("a copy of an LMDB store", "this build has no LMDB");
        return engines[0];
    }
#endif
    return engines[number];
}
#define ENGINES 3

/* --- the copy is the store -------------------------------------------------------------------- */

static kms_store_info info_of(kms_store *of)
{
    kms_store_info info = {.version = KMS_STORE_INFO_VERSION};

    fixture_ok(kms_get_store_info(of, &info));
    return info;
}

static void compare_key(const char *key_id)
{
    kms_key_info a = fixture_describe(store, key_id), b = fixture_describe(copy, key_id);
    kms_key_version_info versions_a[4], versions_b[4];
    kms_tag_info tags_a[KMS_TAGS_MAX], tags_b[KMS_TAGS_MAX];
    char text_a[100], text_b[100];
    size_t count_a, count_b;

    ck_assert_int_eq(memcmp(&a, &b, sizeof a), 0);
    fixture_ok(kms_list_key_versions(store, key_id, 0, versions_a, 4, &count_a, NULL));
    fixture_ok(kms_list_key_versions(copy, key_id, 0, versions_b, 4, &count_b, NULL));
    ck_assert_uint_eq(count_a, count_b);
    ck_assert_int_eq(memcmp(versions_a, versions_b, count_a * sizeof *versions_a), 0);
    fixture_ok(kms_list_resource_tags(store, key_id, tags_a, KMS_TAGS_MAX, &count_a));
    fixture_ok(kms_list_resource_tags(copy, key_id, tags_b, KMS_TAGS_MAX, &count_b));
    ck_assert_uint_eq(count_a, count_b);
    ck_assert_int_eq(memcmp(tags_a, tags_b, count_a * sizeof *tags_a), 0);
    fixture_ok(kms_get_key_description(store, key_id, text_a, sizeof text_a));
    fixture_ok(kms_get_key_description(copy, key_id, text_b, sizeof text_b));
    ck_assert_str_eq(text_a, text_b);
}

static void compare_aliases(void)
{
    kms_alias_info a[5], b[5];
    size_t count_a, count_b;

    fixture_ok(kms_list_aliases(store, NULL, a, 5, &count_a, NULL));
    fixture_ok(kms_list_aliases(copy, NULL, b, 5, &count_b, NULL));
    ck_assert_uint_eq(count_a, 3);
    ck_assert_uint_eq(count_b, 3);
    ck_assert_int_eq(memcmp(a, b, 3 * sizeof *a), 0);
}

/* The same records, none of which is the same bytes. */
static void compare_records(void)
{
    stolen_set a = place_steal(&here), b = place_steal(&there);

    ck_assert_uint_eq(a.count, b.count);
    for (size_t i = 0; i < a.count; i++) {
        const stolen *x = &a.records[i], *y = &b.records[i];

        ck_assert_uint_eq(x->key_len, y->key_len);
        ck_assert_int_eq(memcmp(x->key, y->key, x->key_len), 0);
        ck_assert_uint_eq(x->value_len, y->value_len);
        ck_assert_int_ne(memcmp(x->value, y->value, x->value_len), 0);
    }
    stolen_free(&a);
    stolen_free(&b);
}

START_TEST(the_copy_has_all_that_the_store_has)
{
    kms_store_info a, b;

    setup_on(engine_of(_i));
    fill_store();
    a = info_of(store);
    fixture_ok(make_copy(FIXTURE_ROOT_FILL));
    compare_records();
    open_copy();
    b = info_of(copy);
    ck_assert_int_eq(memcmp(a.store_id, b.store_id, sizeof a.store_id), 0);
    ck_assert_uint_eq(b.store_key_generation, a.store_key_generation + 1);
    ck_assert_uint_ge(b.changes, a.changes);
    for (int i = 0; i < KEYS; i++)
        compare_key(keys[i]);
    compare_aliases();
    for (size_t i = 0; i < blob_count; i++)
        fixture_opens_as(copy, blobs[i], sizeof blobs[0], "text");
    kms_close(copy);
    /* The store stayed as it was. */
    ck_assert_uint_eq(info_of(store).changes, a.changes);
    ck_assert_uint_eq(info_of(store).store_key_generation, a.store_key_generation);
    fixture_opens_as(store, blobs[0], sizeof blobs[0], "text");
    finish();
}
END_TEST

START_TEST(a_copy_lives_on_and_is_copied_again)
{
    place third;
    kms_store *last = NULL;

    setup_on(NULL);
    fill_store();
    fixture_ok(make_copy(FIXTURE_ROOT_FILL));
    open_copy();
    fixture_rotate(copy, keys[0]);
    fixture_ok(kms_cancel_key_deletion(copy, keys[3]));
    fixture_ok(kms_enable_key(copy, keys[3]));
    fixture_ok(kms_verify(copy));
    place_init(&third);
    fixture_ok(kms_copy_resealed(copy, place_engine(&third), fixture_root(FIXTURE_ROOT_FILL)));
    kms_close(copy);
    fixture_ok(life_try_open(&third, &last, 0));
    ck_assert_uint_eq(info_of(last).store_key_generation, 3);
    ck_assert_uint_eq(fixture_describe(last, keys[0]).version_count, 4);
    fixture_opens_as(last, blobs[0], sizeof blobs[0], "text");
    kms_close(last);
    place_free(&third);
    finish();
}
END_TEST

START_TEST(a_store_open_for_reading_is_copied)
{
    setup_on(NULL);
    fill_store();
    kms_close(store);
    fixture_ok(life_try_open(&here, &store, KMS_OPEN_READ_ONLY));
    fixture_ok(make_copy(FIXTURE_ROOT_FILL));
    open_copy();
    fixture_rotate(copy, keys[0]);
    kms_close(copy);
    finish();
}
END_TEST

START_TEST(an_empty_store_is_copied)
{
    setup_on(NULL);
    fixture_ok(make_copy(FIXTURE_ROOT_FILL));
    open_copy();
    ck_assert_uint_eq(info_of(copy).changes, 0);
    fixture_create_key(copy, keys[0]);
    kms_close(copy);
    finish();
}
END_TEST

START_TEST(another_root_key_unlocks_the_copy)
{
    setup_on(NULL);
    fill_store();
    fixture_ok(make_copy(COPY_ROOT_FILL));
    copy = NULL;
    fixture_is(life_try_open(&there, &copy, 0), KMS_ERR_WRONG_ROOT_KEY);
    fixture_ok(kms_open(&copy, place_engine(&there), fixture_root(COPY_ROOT_FILL), 0, NULL));
    fixture_opens_as(copy, blobs[0], sizeof blobs[0], "text");
    kms_close(copy);
    finish();
}
END_TEST

/* --- what was destroyed is not in it ---------------------------------------------------------- */

/* A record of the one does not open in the other. */
static void check_foreign(place *p, const stolen_set *from, const stolen_set *own)
{
    static const char tags[] = "AKV";

    for (size_t i = 0; tags[i] != '\0'; i++) {
        kms_store *opened = NULL;

        place_plant_record(p, stolen_find(from, tags[i]));
        fixture_ok(life_try_open(p, &opened, 0));
        fixture_is(kms_verify(opened), KMS_ERR_CORRUPT);
        kms_close(opened);
        place_plant_record(p, stolen_find(own, tags[i]));
    }
    place_plant_record(p, stolen_find(from, 'H'));
    ck_assert_int_eq(life_try_open(p, &copy, 0), KMS_ERR_CORRUPT);
    place_plant_record(p, stolen_find(own, 'H'));
}

START_TEST(sealed_records_of_the_one_do_not_open_in_the_other)
{
    stolen_set old_set, new_set;

    setup_on(NULL);
    fill_store();
    fixture_ok(make_copy(FIXTURE_ROOT_FILL));
    kms_close(store);
    old_set = place_steal(&here);
    new_set = place_steal(&there);
    check_foreign(&there, &old_set, &new_set);
    check_foreign(&here, &new_set, &old_set);
    store = life_open(&here);
    open_copy();
    kms_close(copy);
    stolen_free(&old_set);
    stolen_free(&new_set);
    finish();
}
END_TEST

START_TEST(an_import_token_of_the_old_store_key_is_refused_by_the_copy)
{
    kms_import_parameters parameters;
    kms_import import = KMS_IMPORT_INIT;
    uint8_t box[80] = {0};

    setup_on(NULL);
    fill_store();
    fixture_ok(kms_get_parameters_for_import(store, keys[1], KMS_WRAPPING_SEALED_BOX, &parameters));
    fixture_ok(make_copy(FIXTURE_ROOT_FILL));
    open_copy();
    import.token = parameters.token;
    import.token_len = parameters.token_len;
    import.material = box;
    import.material_len = sizeof box;
    fixture_is(kms_import_key_material(copy, keys[1], &import), KMS_ERR_INVALID_IMPORT);
    kms_close(copy);
    finish();
}
END_TEST

/* How many of the stolen version records stand in a file, byte for byte. */
static unsigned count_in_file(const char *path, const stolen_set *set, char tag)
{
    FILE *file = fopen(path, "rb");
    unsigned found = 0;
    char *bytes;
    size_t size;

    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fseek(file, 0, SEEK_END), 0);
    size = (size_t)ftell(file);
    rewind(file);
    bytes = malloc(size);
    ck_assert_ptr_nonnull(bytes);
    ck_assert_uint_eq(fread(bytes, 1, size, file), size);
    fclose(file);
    for (size_t i = 0; i < set->count; i++)
        if (set->records[i].key[0] == (uint8_t)tag &&
            memmem(bytes, size, set->records[i].value, set->records[i].value_len) != NULL)
            found++;
    free(bytes);
    return found;
}

static bool has_version_record(place *p)
{
    stolen_set set = place_steal(p);
    bool found = false;

    for (size_t i = 0; i < set.count; i++)
        found = found || set.records[i].key[0] == 'V';
    stolen_free(&set);
    return found;
}

#define DESTROYED_VERSIONS 100

/* Deletion is not erasure: what kms/deletion.h warns of, and what helps. */
START_TEST(purged_material_stays_in_an_lmdb_file_and_is_not_in_the_copy)
{
    char id[KMS_KEY_ID_SIZE];
    stolen_set before;
    int64_t date_ms;

    setup_on(engine_of(2));
    if (here.memory != NULL) {
        finish();
        return;
    }
    fixture_create_key(store, id);
    while (fixture_rotate(store, id) < DESTROYED_VERSIONS)
        continue;
    before = place_steal(&here);
    ck_assert_uint_eq(count_in_file(here.path, &before, 'V'), DESTROYED_VERSIONS);
    fixture_ok(kms_schedule_key_deletion(store, id, 7, &date_ms));
    life_now_ms = date_ms;
    fixture_ok(kms_purge_key(store, id, date_ms));
    ck_assert(!has_version_record(&here));
    ck_assert_uint_gt(count_in_file(here.path, &before, 'V'), 0);
    fixture_ok(make_copy(FIXTURE_ROOT_FILL));
    ck_assert_uint_eq(count_in_file(there.path, &before, 'V'), 0);
    ck_assert(!has_version_record(&there));
    stolen_free(&before);
    finish();
}
END_TEST

START_TEST(a_purge_that_was_cut_short_goes_on_in_the_copy)
{
    int64_t date_ms;

    setup_on(NULL);
    fill_store();
    date_ms = fixture_describe(store, keys[3]).deletion_ms;
    life_now_ms = date_ms;
    engine_fail(&here.control, ENGINE_BEGIN_WRITE, 2, KMS_ERR_STORAGE, false);
    fixture_is(kms_purge_key(store, keys[3], date_ms), KMS_ERR_STORAGE);
    fixture_ok(make_copy(FIXTURE_ROOT_FILL));
    open_copy();
    fixture_is(kms_cancel_key_deletion(copy, keys[3]), KMS_ERR_INVALID_STATE);
    fixture_ok(kms_purge_key(copy, keys[3], date_ms));
    fixture_ok(kms_verify(copy));
    kms_close(copy);
    finish();
}
END_TEST

/* --- large stores ----------------------------------------------------------------------------- */

#define MANY 2000

START_TEST(a_large_store_is_copied_in_many_transactions)
{
    char first[KMS_KEY_ID_SIZE], id[KMS_KEY_ID_SIZE], page[100][KMS_KEY_ID_SIZE];
    size_t count = 100, all = 0;
    bool more = true;

    setup_on("memory");
    fill_store();
    fixture_create_key(store, first);
    for (int i = 1; i < MANY; i++)
        fixture_create_key(store, id);
    fixture_ok(make_copy(FIXTURE_ROOT_FILL));
    ck_assert_uint_gt(engine_count(&there.control, ENGINE_COMMIT), 2 * MANY / KMS_TXN_WRITES_MAX);
    compare_records();
    open_copy();
    while (more) {
        fixture_ok(kms_list_keys(copy, all > 0 ? page[count - 1] : NULL, page, 100, &count, &more));
        all += count;
    }
    ck_assert_uint_eq(all, MANY + KEYS);
    fixture_ok(kms_would(copy, KMS_OP_ENCRYPT, first));
    fixture_ok(kms_would(copy, KMS_OP_ENCRYPT, id));
    fixture_opens_as(copy, blobs[0], sizeof blobs[0], "text");
    kms_close(copy);
    finish();
}
END_TEST

/* So many bytes that they, and not the number of records, fill a transaction. */
START_TEST(long_records_are_copied_within_what_a_transaction_takes)
{
    kms_create_key_options options = KMS_CREATE_KEY_OPTIONS_INIT;
    char text[KMS_DESCRIPTION_MAX + 1], id[KMS_KEY_ID_SIZE], found[KMS_DESCRIPTION_MAX + 1];

    setup_on("memory");
    memset(text, 'd', KMS_DESCRIPTION_MAX);
    text[KMS_DESCRIPTION_MAX] = '\0';
    options.description = text;
    for (int i = 0; i < 200; i++)
        fixture_ok(kms_create_key(store, &options, id));
    fixture_rotate(store, id);
    while (fixture_rotate(store, id) < KMS_KEY_VERSIONS_MAX)
        continue;
    fixture_ok(make_copy(FIXTURE_ROOT_FILL));
    open_copy();
    fixture_ok(kms_get_key_description(copy, id, found, sizeof found));
    ck_assert_str_eq(found, text);
    ck_assert_uint_eq(fixture_describe(copy, id).version_count, KMS_KEY_VERSIONS_MAX);
    kms_close(copy);
    finish();
}
END_TEST

/* --- putting it in the store's place ----------------------------------------------------------- */

START_TEST(handles_of_the_old_store_are_told_when_the_copy_takes_its_place)
{
    setup_on(engine_of(2));
    if (here.memory != NULL) {
        finish();
        return;
    }
    fill_store();
    fixture_opens_as(store, blobs[0], sizeof blobs[0], "text");
    fixture_ok(make_copy(FIXTURE_ROOT_FILL));
    ck_assert_int_eq(rename(there.path, here.path), 0);
    fixture_is(kms_enable_key(store, keys[0]), KMS_ERR_STORE_REPLACED);
    fixture_is(kms_verify(store), KMS_ERR_STORE_REPLACED);
    fixture_is(kms_would(store, KMS_OP_ENCRYPT, keys[0]), KMS_ERR_STORE_REPLACED);
    kms_close(store);
    store = life_open(&here);
    ck_assert_uint_eq(info_of(store).store_key_generation, 2);
    for (size_t i = 0; i < blob_count; i++)
        fixture_opens_as(store, blobs[i], sizeof blobs[0], "text");
    fixture_rotate(store, keys[0]);
    finish();
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {the_copy_has_all_that_the_store_has, ENGINES},
        {a_copy_lives_on_and_is_copied_again, 0},
        {a_store_open_for_reading_is_copied, 0},
        {an_empty_store_is_copied, 0},
        {another_root_key_unlocks_the_copy, 0},
        {sealed_records_of_the_one_do_not_open_in_the_other, 0},
        {an_import_token_of_the_old_store_key_is_refused_by_the_copy, 0},
        {purged_material_stays_in_an_lmdb_file_and_is_not_in_the_copy, 0},
        {a_purge_that_was_cut_short_goes_on_in_the_copy, 0},
        {a_large_store_is_copied_in_many_transactions, 0},
        {long_records_are_copied_within_what_a_transaction_takes, 0},
        {handles_of_the_old_store_are_told_when_the_copy_takes_its_place, 0},
    };

    return fixture_main("reseal", tests, sizeof tests / sizeof *tests, 120);
}
