/* Deleting keys: scheduled, taken back, protected from, and carried out by a purge that names its
 * key and finds its window over by two clocks. */
#include "support/key_life.h"

#include <limits.h>
#include <string.h>

#define NOBODY "00000000-0000-4000-8000-000000000000"

static place here;
static kms_store *store;
static char id[KMS_KEY_ID_SIZE], other[KMS_KEY_ID_SIZE];
static uint8_t blob[200];
static size_t blob_len;

static void setup(void)
{
    place_init(&here);
    store = life_open(&here);
    fixture_create_key(store, id);
    fixture_create_key(store, other);
    blob_len = fixture_encrypt(store, id, "text", blob, sizeof blob);
}

static void finish(void)
{
    fixture_ok(kms_verify(store));
    kms_close(store);
    place_free(&here);
}

static kms_status encrypt(kms_store *with, const char *keyref)
{
    uint8_t out[200];
    size_t len;

    return kms_encrypt(with, keyref, NULL, "x", 1, out, sizeof out, &len);
}

static kms_status decrypt(kms_store *with)
{
    char plain[16];
    size_t len;

    return kms_decrypt(with, NULL, blob, blob_len, plain, sizeof plain, &len);
}

static int64_t schedule(uint32_t days)
{
    int64_t date_ms = -1;

    fixture_ok(kms_schedule_key_deletion(store, id, days, &date_ms));
    return date_ms;
}

/* The ids that are due, in their order. */
static size_t list_due(char (*ids)[KMS_KEY_ID_SIZE], size_t limit)
{
    kms_key_filter filter = KMS_KEY_FILTER_INIT;
    size_t count = 0;

    filter.purge_due = true;
    fixture_ok(kms_find_keys(store, &filter, NULL, ids, limit, &count, NULL));
    return count;
}

static bool is_due(const char *key_id)
{
    char ids[4][KMS_KEY_ID_SIZE];
    size_t count = list_due(ids, 4);

    for (size_t i = 0; i < count; i++)
        if (strcmp(ids[i], key_id) == 0)
            return true;
    return false;
}

/* --- scheduling ------------------------------------------------------------------------------ */

START_TEST(a_window_has_7_to_366_days_and_30_if_nothing_is_said)
{
    static const struct {
        uint32_t days;
        /* 0: refused. */
        uint32_t becomes;
    } windows[] = {{0, 30},  {1, 0},     {6, 0},   {7, 7},         {8, 8},
                   {30, 30}, {366, 366}, {367, 0}, {UINT32_MAX, 0}};
    int64_t date_ms = -1;

    setup();
    if (windows[_i].becomes == 0) {
        fixture_is(kms_schedule_key_deletion(store, id, windows[_i].days, &date_ms),
                   KMS_ERR_INVALID_ARGUMENT);
        fixture_says("7 to 366");
        ck_assert_int_eq(date_ms, -1);
        ck_assert_int_eq(fixture_describe(store, id).state, KMS_KEY_ENABLED);
        ck_assert_int_eq(fixture_describe(store, id).deletion_ms, 0);
    } else {
        date_ms = schedule(windows[_i].days);
        ck_assert_int_eq(date_ms, life_now_ms + windows[_i].becomes * LIFE_DAY_MS);
        ck_assert_int_eq(fixture_describe(store, id).deletion_ms, date_ms);
        ck_assert_int_eq(fixture_describe(store, id).state, KMS_KEY_PENDING_DELETION);
    }
    finish();
}
END_TEST

START_TEST(scheduling_refuses_what_is_no_key_of_the_store)
{
    int64_t date_ms = -1;

    setup();
    fixture_ok(kms_create_alias(store, "alias/key", id));
    fixture_is(kms_schedule_key_deletion(store, NULL, 0, &date_ms), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_schedule_key_deletion(store, "x", 0, &date_ms), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_schedule_key_deletion(store, "alias/key", 0, &date_ms),
               KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_schedule_key_deletion(store, NOBODY, 0, &date_ms), KMS_ERR_KEY_NOT_FOUND);
    fixture_is(kms_schedule_key_deletion(NULL, id, 0, &date_ms), KMS_ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(date_ms, -1);
    fixture_ok(kms_schedule_key_deletion(store, id, 0, NULL));
    fixture_is(kms_schedule_key_deletion(store, id, 0, &date_ms), KMS_ERR_INVALID_STATE);
    ck_assert_int_eq(date_ms, -1);
    fixture_is(kms_cancel_key_deletion(store, "alias/key"), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_cancel_key_deletion(store, NOBODY), KMS_ERR_KEY_NOT_FOUND);
    fixture_is(kms_set_deletion_protection(store, NOBODY, true), KMS_ERR_KEY_NOT_FOUND);
    fixture_is(kms_purge_key(store, NULL, life_now_ms), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_purge_key(store, "alias/key", life_now_ms), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_purge_key(store, NOBODY, life_now_ms), KMS_ERR_KEY_NOT_FOUND);
    finish();
}
END_TEST

/* The place's engines share one memory, or one file: so do other processes. */
START_TEST(a_scheduled_key_serves_no_handle_from_then_on)
{
    kms_store *second = NULL;

    setup();
    fixture_ok(kms_create_alias(store, "alias/key", id));
    fixture_ok(life_try_open(&here, &second, 0));
    fixture_ok(encrypt(second, "alias/key"));
    fixture_ok(encrypt(second, id));
    fixture_ok(decrypt(second));
    (void)schedule(7);
    for (int i = 0; i < 2; i++) {
        kms_store *with = i == 0 ? store : second;

        fixture_is(encrypt(with, "alias/key"), KMS_ERR_PENDING_DELETION);
        fixture_says("kms_cancel_key_deletion()");
        fixture_is(encrypt(with, id), KMS_ERR_PENDING_DELETION);
        fixture_is(decrypt(with), KMS_ERR_PENDING_DELETION);
        fixture_ok(encrypt(with, other));
    }
    fixture_ok(kms_cancel_key_deletion(second, id));
    fixture_ok(encrypt(store, "alias/key"));
    fixture_ok(decrypt(store));
    kms_close(second);
    finish();
}
END_TEST

START_TEST(a_key_that_is_taken_back_is_what_it_was)
{
    static const kms_key_state before[] = {KMS_KEY_ENABLED, KMS_KEY_DISABLED,
                                           KMS_KEY_PENDING_IMPORT};
    kms_key_info was, is;

    setup();
    if (before[_i] == KMS_KEY_DISABLED)
        fixture_ok(kms_disable_key(store, id));
    else if (before[_i] == KMS_KEY_PENDING_IMPORT)
        life_create_waiting(store, id);
    was = fixture_describe(store, id);
    ck_assert_int_eq(was.state, before[_i]);
    (void)schedule(7);
    /* However late it is, as long as nobody purged. */
    life_now_ms += 1000 * LIFE_DAY_MS;
    ck_assert_int_eq(fixture_describe(store, id).state, KMS_KEY_PENDING_DELETION);
    fixture_ok(kms_cancel_key_deletion(store, id));
    is = fixture_describe(store, id);
    ck_assert_int_eq(memcmp(&was, &is, sizeof is), 0);
    fixture_is(kms_cancel_key_deletion(store, id), KMS_ERR_INVALID_STATE);
    fixture_says("not scheduled");
    if (before[_i] == KMS_KEY_ENABLED)
        fixture_opens_as(store, blob, blob_len, "text");
    finish();
}
END_TEST

START_TEST(a_key_whose_material_went_meanwhile_comes_back_pending_import)
{
    kms_key_state before = _i % 2 == 0 ? KMS_KEY_ENABLED : KMS_KEY_DISABLED;
    bool expires = _i >= 2;

    setup();
    life_create_imported(store, 1, id);
    if (expires)
        fixture_ok(life_try_import(store, id, 1, life_now_ms + LIFE_DAY_MS));
    if (before == KMS_KEY_DISABLED)
        fixture_ok(kms_disable_key(store, id));
    (void)schedule(7);
    if (!expires)
        fixture_ok(kms_delete_key_material(store, id, 0));
    life_now_ms += 2 * LIFE_DAY_MS;
    ck_assert_int_eq(fixture_describe(store, id).state, KMS_KEY_PENDING_DELETION);
    fixture_ok(kms_cancel_key_deletion(store, id));
    ck_assert_int_eq(fixture_describe(store, id).state, KMS_KEY_PENDING_IMPORT);
    fixture_is(encrypt(store, id), KMS_ERR_PENDING_IMPORT);
    fixture_says(expires ? "expired" : "deleted");
    fixture_ok(life_try_import(store, id, 1, 0));
    ck_assert_int_eq(fixture_describe(store, id).state, before);
    finish();
}
END_TEST

START_TEST(a_policy_rests_while_its_key_is_pending_deletion)
{
    kms_key_info info;

    setup();
    fixture_ok(kms_update_rotation_policy(store, id, true, 7));
    (void)schedule(366);
    info = fixture_describe(store, id);
    ck_assert_int_eq(info.rotation, KMS_ROTATION_SUSPENDED);
    life_now_ms += 20 * LIFE_DAY_MS;
    ck_assert_uint_eq(fixture_describe(store, id).version_count, 1);
    fixture_ok(kms_cancel_key_deletion(store, id));
    ck_assert_int_eq(fixture_describe(store, id).rotation, KMS_ROTATION_ENABLED);
    fixture_ok(encrypt(store, id));
    ck_assert_uint_eq(fixture_describe(store, id).version_count, 2);
    finish();
}
END_TEST

/* --- protection ------------------------------------------------------------------------------ */

START_TEST(a_protected_key_is_not_scheduled_and_its_versions_are_not_destroyed)
{
    kms_create_key_options options = KMS_CREATE_KEY_OPTIONS_INIT;
    uint64_t changes;
    int64_t date_ms = -1;

    setup();
    if (_i == 0) {
        fixture_ok(kms_set_deletion_protection(store, id, true));
    } else {
        options.deletion_protected = true;
        fixture_ok(kms_create_key(store, &options, id));
    }
    fixture_rotate(store, id);
    ck_assert(fixture_describe(store, id).deletion_protected);
    changes = fixture_changes(store);
    fixture_is(kms_would(store, KMS_OP_SCHEDULE_KEY_DELETION, id), KMS_ERR_DELETION_PROTECTED);
    fixture_is(kms_schedule_key_deletion(store, id, 7, &date_ms), KMS_ERR_DELETION_PROTECTED);
    fixture_says("kms_set_deletion_protection()");
    fixture_is(kms_schedule_key_version_destruction(store, id, 1, 7, &date_ms),
               KMS_ERR_DELETION_PROTECTED);
    ck_assert_int_eq(date_ms, -1);
    /* Again changes nothing. */
    fixture_ok(kms_set_deletion_protection(store, id, true));
    ck_assert_uint_eq(fixture_changes(store), changes);
    fixture_ok(encrypt(store, id));
    fixture_ok(kms_set_deletion_protection(store, id, false));
    ck_assert(!fixture_describe(store, id).deletion_protected);
    fixture_ok(kms_schedule_key_version_destruction(store, id, 1, 7, &date_ms));
    fixture_ok(kms_schedule_key_deletion(store, id, 7, &date_ms));
    /* Who is too late takes it back first. */
    fixture_is(kms_set_deletion_protection(store, id, true), KMS_ERR_INVALID_STATE);
    finish();
}
END_TEST

/* --- when a purge is refused ----------------------------------------------------------------- */

START_TEST(a_purge_wants_the_window_over_by_both_dates)
{
    /* From the end of the window: the store's clock, and what the caller says, in ms. */
    static const struct {
        int64_t clock;
        int64_t today;
        kms_status answer;
    } dates[] = {
        {-1, -1, KMS_ERR_INVALID_STATE},
        {-1, 0, KMS_ERR_INVALID_STATE},
        {0, -1, KMS_ERR_INVALID_STATE},
        {-7 * LIFE_DAY_MS, -7 * LIFE_DAY_MS, KMS_ERR_INVALID_STATE},
        {LIFE_DAY_MS / 2, -LIFE_DAY_MS / 2, KMS_ERR_INVALID_STATE},
        {-LIFE_DAY_MS / 2, LIFE_DAY_MS / 2, KMS_ERR_INVALID_STATE},
        /* The store's clock leapt a year. */
        {365 * LIFE_DAY_MS, -6 * LIFE_DAY_MS, KMS_ERR_INVALID_ARGUMENT},
        /* What the caller says is a year off. */
        {-6 * LIFE_DAY_MS, 365 * LIFE_DAY_MS, KMS_ERR_INVALID_ARGUMENT},
        {LIFE_DAY_MS + 1, 0, KMS_ERR_INVALID_ARGUMENT},
        {0, LIFE_DAY_MS + 1, KMS_ERR_INVALID_ARGUMENT},
        {10 * LIFE_DAY_MS, INT64_MIN / 2, KMS_ERR_INVALID_ARGUMENT},
        {0, 0, KMS_OK},
        {LIFE_DAY_MS, 0, KMS_OK},
        {0, LIFE_DAY_MS, KMS_OK},
        {3650 * LIFE_DAY_MS, 3650 * LIFE_DAY_MS, KMS_OK},
    };
    stolen_set before, now;
    int64_t date_ms;

    setup();
    date_ms = schedule(7);
    life_now_ms = date_ms + dates[_i].clock;
    before = place_steal(&here);
    fixture_is(kms_purge_key(store, id, date_ms + dates[_i].today), dates[_i].answer);
    now = place_steal(&here);
    if (dates[_i].answer != KMS_OK) {
        fixture_says(id);
        ck_assert_uint_eq(now.count, before.count);
        fixture_ok(kms_cancel_key_deletion(store, id));
        fixture_opens_as(store, blob, blob_len, "text");
    } else {
        fixture_is(decrypt(store), KMS_ERR_KEY_NOT_FOUND);
    }
    stolen_free(&before);
    stolen_free(&now);
    finish();
}
END_TEST

START_TEST(clocks_at_their_ends_destroy_nothing_and_overflow_nowhere)
{
    static const int64_t ends[] = {INT64_MIN, INT64_MIN + 1, -1, 0, INT64_MAX - 1, INT64_MAX};

    setup();
    life_now_ms = ends[_i];
    (void)schedule(7);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        for (size_t j = 0; j < sizeof ends / sizeof *ends; j++) {
            bool over = ends[i] >= INT64_MAX - 1 && ends[j] >= INT64_MAX - 1;

            if (over)
                continue;
            life_now_ms = ends[i];
            ck_assert_int_ne(kms_purge_key(store, id, ends[j]), KMS_OK);
        }
    life_now_ms = LIFE_START_MS;
    fixture_ok(kms_cancel_key_deletion(store, id));
    fixture_opens_as(store, blob, blob_len, "text");
    finish();
}
END_TEST

START_TEST(a_key_that_is_not_scheduled_is_not_purged)
{
    setup();
    life_now_ms += 1000 * LIFE_DAY_MS;
    fixture_is(kms_purge_key(store, id, life_now_ms), KMS_ERR_INVALID_STATE);
    fixture_says("not scheduled");
    (void)schedule(7);
    fixture_ok(kms_cancel_key_deletion(store, id));
    life_now_ms += 1000 * LIFE_DAY_MS;
    fixture_is(kms_purge_key(store, id, life_now_ms), KMS_ERR_INVALID_STATE);
    fixture_opens_as(store, blob, blob_len, "text");
    finish();
}
END_TEST

START_TEST(asking_about_a_purge_tells_whether_its_window_is_over)
{
    int64_t date_ms;

    setup();
    date_ms = schedule(7);
    life_now_ms = date_ms - 1;
    fixture_is(kms_would(store, KMS_OP_PURGE_KEY, id), KMS_ERR_INVALID_STATE);
    life_now_ms = date_ms;
    fixture_ok(kms_would(store, KMS_OP_PURGE_KEY, id));
    ck_assert_int_eq(fixture_describe(store, id).state, KMS_KEY_PENDING_DELETION);
    finish();
}
END_TEST

/* --- what is due ----------------------------------------------------------------------------- */

START_TEST(what_is_due_is_listed_and_nothing_else)
{
    int64_t date_ms;

    setup();
    ck_assert(!is_due(id));
    date_ms = schedule(7);
    life_now_ms = date_ms - 1;
    ck_assert(!is_due(id));
    life_now_ms = date_ms;
    ck_assert(is_due(id));
    ck_assert(!is_due(other));
    fixture_ok(kms_cancel_key_deletion(store, id));
    ck_assert(!is_due(id));
    /* A version's destruction, too. */
    fixture_rotate(store, other);
    fixture_ok(kms_schedule_key_version_destruction(store, other, 1, 7, &date_ms));
    life_now_ms = date_ms - 1;
    ck_assert(!is_due(other));
    life_now_ms = date_ms;
    ck_assert(is_due(other));
    fixture_ok(kms_purge_key_version(store, other, 1, life_now_ms));
    ck_assert(!is_due(other));
    finish();
}
END_TEST

/* Whatever is called and however long one waits: only a purge destroys. */
START_TEST(nothing_is_destroyed_by_another_call_or_in_bulk)
{
    kms_rotation_result results[4];
    char ids[4][KMS_KEY_ID_SIZE], third[KMS_KEY_ID_SIZE];
    stolen_set before, now;
    size_t count;

    setup();
    (void)schedule(7);
    fixture_ok(kms_schedule_key_deletion(store, other, 7, NULL));
    fixture_create_key(store, third);
    life_now_ms += 1000 * LIFE_DAY_MS;
    ck_assert_uint_eq(list_due(ids, 4), 2);
    before = place_steal(&here);
    fixture_ok(kms_rotate_due(store, NULL, results, 4, &count, NULL));
    fixture_ok(kms_list_keys(store, NULL, ids, 4, &count, NULL));
    ck_assert_uint_eq(count, 3);
    fixture_ok(kms_verify(store));
    fixture_ok(kms_flush_last_use(store));
    kms_close(store);
    store = life_open(&here);
    fixture_ok(encrypt(store, third));
    ck_assert_int_eq(decrypt(store), KMS_ERR_PENDING_DELETION);
    now = place_steal(&here);
    ck_assert_uint_ge(now.count, before.count);
    stolen_free(&before);
    stolen_free(&now);
    /* A purge destroys the key that it names. */
    fixture_ok(kms_purge_key(store, other, life_now_ms));
    fixture_ok(kms_cancel_key_deletion(store, id));
    fixture_opens_as(store, blob, blob_len, "text");
    finish();
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {a_window_has_7_to_366_days_and_30_if_nothing_is_said, 9},
        {scheduling_refuses_what_is_no_key_of_the_store, 0},
        {a_scheduled_key_serves_no_handle_from_then_on, 0},
        {a_key_that_is_taken_back_is_what_it_was, 3},
        {a_key_whose_material_went_meanwhile_comes_back_pending_import, 4},
        {a_policy_rests_while_its_key_is_pending_deletion, 0},
        {a_protected_key_is_not_scheduled_and_its_versions_are_not_destroyed, 2},
        {a_purge_wants_the_window_over_by_both_dates, 15},
        {clocks_at_their_ends_destroy_nothing_and_overflow_nowhere, 6},
        {a_key_that_is_not_scheduled_is_not_purged, 0},
        {asking_about_a_purge_tells_whether_its_window_is_over, 0},
        {what_is_due_is_listed_and_nothing_else, 0},
        {nothing_is_destroyed_by_another_call_or_in_bulk, 0},
    };

    return fixture_main("deletion", tests, sizeof tests / sizeof *tests, 60);
}
