/* The purge of a key: nothing of it is left, however large it is, and however often it is cut short
 * on its way. */
#include "support/key_life.h"

#include "base/id.h"

#include <stdio.h>
#include <string.h>

static place here;
static kms_store *store;
static char id[KMS_KEY_ID_SIZE], other[KMS_KEY_ID_SIZE];
static uint8_t blob[200];
static size_t blob_len;

static const char *alias_name(unsigned number)
{
    static char name[32];

    snprintf(name, sizeof name, "alias/of/key-%u", number);
    return name;
}

/* A key with everything that a key can have, beside another one with as much. */
static void create_full_key(char key_id[KMS_KEY_ID_SIZE], const char *alias)
{
    const kms_tag tags[] = {{"name", "value"}, {"team", "payments"}};
    kms_create_key_options options = KMS_CREATE_KEY_OPTIONS_INIT;

    options.description = "what it is for";
    options.tags = tags;
    options.tag_count = 2;
    fixture_ok(kms_create_key(store, &options, key_id));
    fixture_ok(kms_create_alias(store, alias, key_id));
    blob_len = fixture_encrypt(store, key_id, "text", blob, sizeof blob);
    fixture_opens_as(store, blob, blob_len, "text");
    fixture_rotate(store, key_id);
    fixture_ok(kms_flush_last_use(store));
}

static void setup(void)
{
    place_init(&here);
    store = life_open(&here);
    create_full_key(other, "alias/other");
    create_full_key(id, alias_name(0));
    fixture_ok(kms_create_alias(store, alias_name(1), id));
}

static void finish(void)
{
    fixture_ok(kms_verify(store));
    kms_close(store);
    place_free(&here);
}

static void make_due(void)
{
    int64_t date_ms;

    fixture_ok(kms_schedule_key_deletion(store, id, 7, &date_ms));
    life_now_ms = date_ms;
}

static kms_status purge(void)
{
    return kms_purge_key(store, id, life_now_ms);
}

static bool has_bytes(const stolen *record, const void *bytes, size_t len)
{
    return memmem(record->key, record->key_len, bytes, len) != NULL;
}

/* Records whose keys name a key's id, or its aliases; `tags` takes their letters. */
static unsigned count_records_of(const char *key_id, const char *alias_prefix, char tags[32])
{
    stolen_set set = place_steal(&here);
    uint8_t bytes[KMS__ID_SIZE];
    unsigned found = 0;

    ck_assert(kms__id_parse(key_id, bytes));
    memset(tags, 0, 32);
    for (size_t i = 0; i < set.count; i++) {
        const stolen *record = &set.records[i];

        if (!has_bytes(record, bytes, sizeof bytes) &&
            !has_bytes(record, alias_prefix, strlen(alias_prefix)))
            continue;
        found++;
        if (strchr(tags, record->key[0]) == NULL)
            tags[strlen(tags)] = (char)record->key[0];
    }
    stolen_free(&set);
    return found;
}

static bool is_due(void)
{
    kms_key_filter filter = KMS_KEY_FILTER_INIT;
    char ids[4][KMS_KEY_ID_SIZE];
    size_t count = 0;

    filter.purge_due = true;
    fixture_ok(kms_find_keys(store, &filter, NULL, ids, 4, &count, NULL));
    ck_assert_uint_le(count, 1);
    return count == 1 && strcmp(ids[0], id) == 0;
}

static kms_status encrypt(const char *keyref)
{
    uint8_t out[200];
    size_t len;

    return kms_encrypt(store, keyref, NULL, "x", 1, out, sizeof out, &len);
}

static kms_status decrypt(void)
{
    char plain[16];
    size_t len;

    return kms_decrypt(store, NULL, blob, blob_len, plain, sizeof plain, &len);
}

/* --- a purge that nobody disturbs ------------------------------------------------------------ */

static void check_gone(void)
{
    kms_key_info info = {.version = KMS_KEY_INFO_VERSION};
    kms_alias_info alias;
    char tags[32];

    ck_assert_uint_eq(count_records_of(id, "alias/of/key", tags), 0);
    fixture_is(kms_describe_key(store, id, &info), KMS_ERR_KEY_NOT_FOUND);
    fixture_is(kms_describe_alias(store, alias_name(0), &alias), KMS_ERR_ALIAS_NOT_FOUND);
    fixture_is(encrypt(id), KMS_ERR_KEY_NOT_FOUND);
    fixture_is(encrypt(alias_name(0)), KMS_ERR_ALIAS_NOT_FOUND);
    fixture_is(decrypt(), KMS_ERR_KEY_NOT_FOUND);
    fixture_is(purge(), KMS_ERR_KEY_NOT_FOUND);
    ck_assert(!is_due());
    fixture_ok(kms_verify(store));
}

START_TEST(a_purge_leaves_nothing_of_the_key_and_all_of_the_others)
{
    char tags[32], tags_of_other[32];
    unsigned others;

    setup();
    ck_assert_uint_eq(count_records_of(id, "alias/of/key", tags), 10);
    ck_assert_str_eq(tags, "ADIKTUV");
    others = count_records_of(other, "alias/other", tags_of_other);
    ck_assert_uint_eq(others, 8);
    make_due();
    fixture_ok(purge());
    check_gone();
    ck_assert_uint_eq(count_records_of(other, "alias/other", tags_of_other), others);
    fixture_ok(encrypt("alias/other"));
    /* Its uses are not written down any more, and its aliases are free. */
    fixture_ok(kms_flush_last_use(store));
    ck_assert_uint_eq(count_records_of(id, "alias/of/key", tags), 0);
    fixture_ok(kms_create_alias(store, alias_name(0), other));
    finish();
}
END_TEST

START_TEST(a_purge_of_a_key_without_material_leaves_nothing_either)
{
    char tags[32];

    setup();
    life_create_waiting(store, id);
    if (_i == 1) {
        fixture_ok(life_try_import(store, id, 1, 0));
        fixture_ok(kms_delete_key_material(store, id, 0));
    }
    make_due();
    fixture_ok(purge());
    ck_assert_uint_eq(count_records_of(id, "alias/none", tags), 0);
    finish();
}
END_TEST

START_TEST(other_handles_do_not_use_a_purged_key_that_they_have_warm)
{
    kms_store *second = NULL;
    char plain[16];
    size_t len;

    setup();
    fixture_ok(life_try_open(&here, &second, 0));
    fixture_opens_as(second, blob, blob_len, "text");
    make_due();
    fixture_ok(purge());
    fixture_is(kms_decrypt(second, NULL, blob, blob_len, plain, sizeof plain, &len),
               KMS_ERR_KEY_NOT_FOUND);
    fixture_ok(kms_flush_last_use(second));
    fixture_ok(kms_verify(second));
    kms_close(second);
    finish();
}
END_TEST

#define MANY_ALIASES 200

START_TEST(the_largest_key_is_purged_to_the_last_record)
{
    char tags[32];
    uint64_t changes;

    setup();
    while (fixture_rotate(store, id) < KMS_KEY_VERSIONS_MAX)
        continue;
    for (unsigned i = 2; i < MANY_ALIASES; i++)
        fixture_ok(kms_create_alias(store, alias_name(i), id));
    ck_assert_uint_eq(count_records_of(id, "alias/of/key", tags),
                      KMS_KEY_VERSIONS_MAX + 2 * MANY_ALIASES + 4);
    make_due();
    changes = fixture_changes(store);
    fixture_ok(purge());
    /* In many transactions, each of which any engine takes. */
    ck_assert_uint_ge(fixture_changes(store),
                      changes + (KMS_KEY_VERSIONS_MAX + 2 * MANY_ALIASES) / KMS_TXN_WRITES_MAX);
    check_gone();
    finish();
}
END_TEST

/* --- a purge that is cut short --------------------------------------------------------------- */

/* Whatever would change the key, or use it, is refused with a sentence that says so. */
static void check_refused_while_purging(void)
{
    const kms_tag tags[] = {{"name", "value"}};
    int64_t date_ms;

    fixture_is(encrypt(id), KMS_ERR_PENDING_DELETION);
    fixture_says("is being purged");
    fixture_is(decrypt(), KMS_ERR_PENDING_DELETION);
    fixture_says("is being purged");
    fixture_is(kms_would(store, KMS_OP_CANCEL_KEY_DELETION, id), KMS_ERR_INVALID_STATE);
    fixture_says("is being purged");
    fixture_is(kms_cancel_key_deletion(store, id), KMS_ERR_INVALID_STATE);
    fixture_says("is being purged");
    fixture_is(kms_schedule_key_deletion(store, id, 7, &date_ms), KMS_ERR_INVALID_STATE);
    fixture_says("is being purged");
    fixture_is(kms_enable_key(store, id), KMS_ERR_INVALID_STATE);
    fixture_is(kms_disable_key(store, id), KMS_ERR_INVALID_STATE);
    fixture_is(kms_set_deletion_protection(store, id, true), KMS_ERR_INVALID_STATE);
    fixture_is(kms_create_alias(store, "alias/new", id), KMS_ERR_INVALID_STATE);
    fixture_is(kms_update_alias(store, "alias/other", id), KMS_ERR_PENDING_DELETION);
    fixture_is(kms_update_key_description(store, id, "new"), KMS_ERR_PENDING_DELETION);
    fixture_is(kms_tag_resource(store, id, tags, 1), KMS_ERR_PENDING_DELETION);
    fixture_is(kms_create_key_version(store, id, NULL), KMS_ERR_PENDING_DELETION);
    fixture_is(kms_update_rotation_policy(store, id, true, 7), KMS_ERR_PENDING_DELETION);
    fixture_is(kms_update_primary_version(store, id, 1), KMS_ERR_INVALID_STATE);
    fixture_says("is being purged");
    fixture_is(kms_set_minimum_version(store, id, 1, 1), KMS_ERR_INVALID_STATE);
    fixture_is(kms_disable_key_version(store, id, 1), KMS_ERR_INVALID_STATE);
    fixture_is(kms_schedule_key_version_destruction(store, id, 1, 7, &date_ms),
               KMS_ERR_INVALID_STATE);
    fixture_is(kms_would(store, KMS_OP_CHANGE_KEY_VERSION, id), KMS_ERR_INVALID_STATE);
    fixture_ok(kms_would(store, KMS_OP_PURGE_KEY, id));
}

/* And it can be looked at. */
static void check_described_while_purging(void)
{
    kms_key_info info = fixture_describe(store, id);
    kms_key_version_info versions[4];
    kms_alias_info aliases[4];
    kms_tag_info tags[KMS_TAGS_MAX];
    char text[100];
    size_t count;
    bool stale;

    ck_assert_int_eq(info.state, KMS_KEY_PENDING_DELETION);
    ck_assert_uint_eq(info.version_count, 2);
    fixture_ok(kms_describe_key_version(store, id, 1, &versions[0]));
    fixture_ok(kms_list_key_versions(store, id, 0, versions, 4, &count, NULL));
    ck_assert_uint_eq(count, 2);
    fixture_ok(kms_list_aliases_by_key_id(store, id, NULL, aliases, 4, &count, NULL));
    ck_assert_uint_le(count, 2);
    fixture_ok(kms_get_key_description(store, id, text, sizeof text));
    fixture_ok(kms_list_resource_tags(store, id, tags, KMS_TAGS_MAX, &count));
    fixture_ok(kms_blob_is_stale(store, id, blob, blob_len, &stale));
}

static bool has_key(void)
{
    kms_key_info info = {.version = KMS_KEY_INFO_VERSION};

    return kms_describe_key(store, id, &info) == KMS_OK;
}

/* Fewer records than it had, and not all gone. */
static bool is_being_purged(unsigned whole)
{
    char tags[32];

    return has_key() && count_records_of(id, "alias/of/key", tags) < whole;
}

static void check_between(unsigned whole, unsigned *cut_short)
{
    fixture_ok(kms_verify(store));
    ck_assert_int_eq(atomic_load(&here.control.open_txns), 0);
    if (!has_key())
        return;
    ck_assert(is_due());
    check_described_while_purging();
    if (!is_being_purged(whole))
        return;
    ++*cut_short;
    check_refused_while_purging();
    fixture_ok(encrypt("alias/other"));
}

static void purge_with_a_fault(unsigned nth, bool reopen, unsigned *cut_short, bool *fired)
{
    char tags[32];
    unsigned whole;
    kms_status st;

    setup();
    make_due();
    whole = count_records_of(id, "alias/of/key", tags);
    engine_fail(&here.control, ENGINE_ANY, nth, KMS_ERR_STORAGE, false);
    st = purge();
    *fired = engine_disarm(&here.control) > 0;
    fixture_is(st, *fired ? KMS_ERR_STORAGE : KMS_OK);
    if (reopen) {
        kms_close(store);
        store = life_open(&here);
    }
    check_between(whole, cut_short);
    if (*fired)
        fixture_ok(purge());
    check_gone();
    fixture_ok(encrypt("alias/other"));
    finish();
}

START_TEST(a_purge_that_is_cut_short_anywhere_is_finished_by_the_next)
{
    unsigned nth = 0, cut_short = 0;
    bool fired = true;

    while (fired)
        purge_with_a_fault(++nth, _i == 1, &cut_short, &fired);
    ck_assert_uint_ge(nth, 40);
    ck_assert_uint_ge(cut_short, 10);
}
END_TEST

/* Once it has begun there is nothing to protect: whatever the clocks say. */
START_TEST(a_purge_that_has_begun_is_finished_whatever_the_clock_says)
{
    setup();
    make_due();
    /* The second transaction of the purge. */
    engine_fail(&here.control, ENGINE_BEGIN_WRITE, 2, KMS_ERR_STORAGE, false);
    fixture_is(purge(), KMS_ERR_STORAGE);
    life_now_ms -= 100 * LIFE_DAY_MS;
    check_refused_while_purging();
    ck_assert(is_due());
    fixture_ok(purge());
    check_gone();
    finish();
}
END_TEST

START_TEST(aliases_may_leave_a_key_that_is_being_purged)
{
    setup();
    make_due();
    engine_fail(&here.control, ENGINE_BEGIN_WRITE, 2, KMS_ERR_STORAGE, false);
    fixture_is(purge(), KMS_ERR_STORAGE);
    fixture_ok(kms_update_alias(store, alias_name(0), other));
    fixture_ok(kms_delete_alias(store, alias_name(1)));
    fixture_ok(kms_verify(store));
    fixture_ok(purge());
    fixture_ok(encrypt(alias_name(0)));
    finish();
}
END_TEST

/* Two administrators at once: between two transactions of the one comes the whole of the other. */
static void purge_first(void *data)
{
    kms_store *rival = data;

    if (engine_count(&here.control, ENGINE_BEGIN_WRITE) < 3)
        return;
    engine_before(&here.control, ENGINE_BEGIN_WRITE, NULL, NULL);
    fixture_ok(kms_purge_key(rival, id, life_now_ms));
}

START_TEST(two_purges_of_one_key_do_not_disturb_each_other)
{
    kms_store *rival = NULL;

    setup();
    make_due();
    fixture_ok(life_try_open(&here, &rival, 0));
    engine_reset_counts(&here.control);
    engine_before(&here.control, ENGINE_BEGIN_WRITE, purge_first, rival);
    fixture_ok(purge());
    ck_assert_uint_gt(engine_count(&here.control, ENGINE_BEGIN_WRITE), 4);
    check_gone();
    kms_close(rival);
    finish();
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {a_purge_leaves_nothing_of_the_key_and_all_of_the_others, 0},
        {a_purge_of_a_key_without_material_leaves_nothing_either, 2},
        {other_handles_do_not_use_a_purged_key_that_they_have_warm, 0},
        {the_largest_key_is_purged_to_the_last_record, 0},
        {a_purge_that_is_cut_short_anywhere_is_finished_by_the_next, 2},
        {a_purge_that_has_begun_is_finished_whatever_the_clock_says, 0},
        {aliases_may_leave_a_key_that_is_being_purged, 0},
        {two_purges_of_one_key_do_not_disturb_each_other, 0},
    };

    return fixture_main("purge", tests, sizeof tests / sizeof *tests, 120);
}
