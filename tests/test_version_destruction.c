/* Destroying one version: scheduled, cancellable, and carried out by a purge that names it. */
#include "support/hand_clock.h"

#include "base/id.h"
#include "domain/version_record.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define VERSIONS 3
/* The version that all of this is about. */
#define IT 2u

static place here;
static hand_clock hand = {HAND_START};
static kms_store *store, *theirs;
static char id[KMS_KEY_ID_SIZE];
static uint8_t blobs[VERSIONS + 1][KMS_CIPHERTEXT_SIZE(2)];

static void setup(void)
{
    place_init(&here);
    store = hand_open(&here, &hand, 0, NULL);
    theirs = hand_open(&here, &hand, 0, NULL);
    fixture_create_key(store, id);
    for (uint32_t n = 1; n <= VERSIONS; n++) {
        if (n > 1)
            fixture_rotate(store, id);
        fixture_encrypt(store, id, "x", blobs[n], sizeof blobs[n]);
        fixture_opens_as(store, blobs[n], sizeof blobs[n], "x");
        fixture_opens_as(theirs, blobs[n], sizeof blobs[n], "x");
    }
}

static void finish(void)
{
    fixture_ok(kms_verify(store));
    kms_close(theirs);
    kms_close(store);
    place_free(&here);
}

/* What both handles answer to the blob of that version. */
static void is_answered(uint32_t number, kms_status wanted)
{
    kms_store *const handles[] = {theirs, store};

    for (size_t i = 0; i < 2; i++) {
        char plain[2] = "?";
        size_t len = 77;

        fixture_is(
            kms_decrypt(handles[i], NULL, blobs[number], sizeof blobs[number], plain, 2, &len),
            wanted);
        ck_assert_str_eq(plain, wanted == KMS_OK ? "x" : "?");
    }
}

static void names_it(void)
{
    char words[64];

    snprintf(words, sizeof words, "version %u of key %s", IT, id);
    fixture_says(words);
}

static kms_key_version_info describe(void)
{
    kms_key_version_info info, page[VERSIONS];
    size_t count;

    fixture_ok(kms_describe_key_version(theirs, id, IT, &info));
    fixture_ok(kms_list_key_versions(store, id, 0, page, VERSIONS, &count, NULL));
    ck_assert_uint_eq(count, VERSIONS);
    ck_assert_int_eq(memcmp(&page[IT - 1], &info, sizeof info), 0);
    return info;
}

static int64_t schedule(uint32_t days)
{
    int64_t date = 0;

    fixture_ok(kms_schedule_key_version_destruction(store, id, IT, days, &date));
    return date;
}

/* --- the window ---------------------------------------------------------------------------------- */

START_TEST(the_window_has_7_to_366_days_and_30_unless_told)
{
    static const uint32_t days[][2] = {{0, 30}, {7, 7}, {8, 8}, {30, 30}, {365, 365}, {366, 366}};

    setup();
    for (size_t i = 0; i < sizeof days / sizeof *days; i++) {
        hand.now_ms += 1;
        ck_assert_int_eq(schedule(days[i][0]), hand.now_ms + (int64_t)days[i][1] * DAY_MS);
        ck_assert_int_eq(describe().destroy_ms, hand.now_ms + (int64_t)days[i][1] * DAY_MS);
        fixture_ok(kms_cancel_key_version_destruction(store, id, IT));
        ck_assert_int_eq(describe().destroy_ms, 0);
    }
    fixture_ok(kms_schedule_key_version_destruction(store, id, IT, 7, NULL));
    finish();
}
END_TEST

START_TEST(another_window_is_refused)
{
    static const uint32_t days[] = {1, 6, 367, 1000, UINT32_MAX};
    int64_t date = 77;

    setup();
    for (size_t i = 0; i < sizeof days / sizeof *days; i++)
        fixture_is(kms_schedule_key_version_destruction(store, id, IT, days[i], &date),
                   KMS_ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(date, 77);
    is_answered(IT, KMS_OK);
    finish();
}
END_TEST

/* --- scheduled and cancelled --------------------------------------------------------------------- */

START_TEST(a_scheduled_version_decrypts_no_more_and_comes_back_as_it_was)
{
    bool was_disabled = _i == 1;

    setup();
    if (was_disabled)
        fixture_ok(kms_disable_key_version(store, id, IT));
    schedule(0);
    is_answered(IT, KMS_ERR_PENDING_DELETION);
    names_it();
    fixture_says("kms_cancel_key_version_destruction()");
    is_answered(1, KMS_OK);
    is_answered(3, KMS_OK);
    ck_assert_int_eq(describe().state, KMS_KEY_VERSION_DESTROY_SCHEDULED);
    fixture_ok(kms_verify(theirs));
    /* Also when its window is over. */
    hand.now_ms += 400 * DAY_MS;
    is_answered(IT, KMS_ERR_PENDING_DELETION);
    fixture_ok(kms_cancel_key_version_destruction(theirs, id, IT));
    ck_assert_int_eq(describe().state,
                     was_disabled ? KMS_KEY_VERSION_DISABLED : KMS_KEY_VERSION_ENABLED);
    is_answered(IT, was_disabled ? KMS_ERR_DISABLED : KMS_OK);
    fixture_ok(kms_enable_key_version(store, id, IT));
    is_answered(IT, KMS_OK);
    finish();
}
END_TEST

static kms_status schedule_it(void)
{
    return kms_schedule_key_version_destruction(store, id, IT, 7, NULL);
}

static kms_status cancel_it(void)
{
    return kms_cancel_key_version_destruction(store, id, IT);
}

static kms_status enable_it(void)
{
    return kms_enable_key_version(store, id, IT);
}

static kms_status disable_it(void)
{
    return kms_disable_key_version(store, id, IT);
}

static kms_status make_it_primary(void)
{
    return kms_update_primary_version(store, id, IT);
}

static kms_status purge_it(void)
{
    return kms_purge_key_version(store, id, IT, hand.now_ms);
}

typedef enum life { NOT_SCHEDULED = 1, SCHEDULED = 2, DESTROYED = 4 } life;

static const struct {
    kms_status (*call)(void);
    /* When it is refused: lives joined by |. */
    unsigned refused;
} calls[] = {
    {schedule_it, SCHEDULED | DESTROYED},     {cancel_it, NOT_SCHEDULED | DESTROYED},
    {enable_it, SCHEDULED | DESTROYED},       {disable_it, SCHEDULED | DESTROYED},
    {make_it_primary, SCHEDULED | DESTROYED}, {purge_it, NOT_SCHEDULED | SCHEDULED | DESTROYED},
};
#define CALLS ((int)(sizeof calls / sizeof *calls))

START_TEST(what_a_version_is_not_ready_for_is_refused_and_changes_nothing)
{
    static const life lives[] = {NOT_SCHEDULED, SCHEDULED, DESTROYED};
    life now = lives[_i / CALLS];
    kms_key_version_info before, after;
    uint64_t changes;

    setup();
    if (now != NOT_SCHEDULED)
        schedule(7);
    if (now == DESTROYED) {
        hand.now_ms += 7 * DAY_MS;
        fixture_ok(purge_it());
    }
    before = describe();
    changes = fixture_changes(store);
    if ((calls[_i % CALLS].refused & now) == 0) {
        fixture_ok(calls[_i % CALLS].call());
    } else {
        fixture_is(calls[_i % CALLS].call(), KMS_ERR_INVALID_STATE);
        names_it();
        after = describe();
        ck_assert_int_eq(memcmp(&before, &after, sizeof after), 0);
        ck_assert_uint_eq(fixture_changes(store), changes);
    }
    finish();
}
END_TEST

START_TEST(deletion_protection_keeps_versions_too)
{
    setup();
    fixture_ok(kms_set_deletion_protection(store, id, true));
    fixture_is(schedule_it(), KMS_ERR_DELETION_PROTECTED);
    fixture_says("kms_set_deletion_protection()");
    is_answered(IT, KMS_OK);
    fixture_ok(kms_set_deletion_protection(store, id, false));
    fixture_ok(schedule_it());
    fixture_ok(kms_set_deletion_protection(store, id, true));
    hand.now_ms += 400 * DAY_MS;
    fixture_is(kms_purge_key_version(store, id, IT, hand.now_ms), KMS_ERR_DELETION_PROTECTED);
    fixture_ok(cancel_it());
    is_answered(IT, KMS_OK);
    finish();
}
END_TEST

/* --- purged --------------------------------------------------------------------------------------- */

static const struct {
    /* Both from the end of the window. */
    int64_t clock, today;
    kms_status answer;
} dates[] = {
    {0, 0, KMS_OK},
    {DAY_MS, 0, KMS_OK},
    {0, DAY_MS, KMS_OK},
    {900 * DAY_MS, 900 * DAY_MS, KMS_OK},
    {-1, -1, KMS_ERR_INVALID_STATE},
    {-1, 0, KMS_ERR_INVALID_STATE},
    {0, -1, KMS_ERR_INVALID_STATE},
    {-1, DAY_MS - 1, KMS_ERR_INVALID_STATE},
    {DAY_MS - 1, -1, KMS_ERR_INVALID_STATE},
    {-7 * DAY_MS, -7 * DAY_MS, KMS_ERR_INVALID_STATE},
    {0, DAY_MS + 1, KMS_ERR_INVALID_ARGUMENT},
    {DAY_MS + 1, 0, KMS_ERR_INVALID_ARGUMENT},
    {365 * DAY_MS, 0, KMS_ERR_INVALID_ARGUMENT},
    {0, INT64_MAX / 2, KMS_ERR_INVALID_ARGUMENT},
    {0, INT64_MIN / 2, KMS_ERR_INVALID_ARGUMENT},
};
#define DATES ((int)(sizeof dates / sizeof *dates))

START_TEST(a_version_is_purged_only_when_its_window_is_over_by_both_dates)
{
    int64_t due;

    setup();
    due = schedule(7);
    hand.now_ms = due + dates[_i].clock;
    fixture_is(kms_purge_key_version(store, id, IT, due + dates[_i].today), dates[_i].answer);
    if (dates[_i].answer != KMS_OK) {
        names_it();
        ck_assert_int_eq(describe().state, KMS_KEY_VERSION_DESTROY_SCHEDULED);
        fixture_ok(cancel_it());
    }
    is_answered(IT, dates[_i].answer == KMS_OK ? KMS_ERR_DESTROYED : KMS_OK);
    finish();
}
END_TEST

/* What stands in the version's record, behind the calls. */
typedef struct record {
    kms__version_extra extra;
    bool has_material;
    bool is_zero;
} record;

static kms_status look(kms__txn *txn, void *argument)
{
    uint8_t plain[KMS__VERSION_PLAIN_SIZE], key_id[KMS__ID_SIZE];
    record *found = argument;
    kms__record_key record_key;
    kms__key key;
    kms_status st;

    ck_assert(kms__id_parse(id, key_id));
    record_key = kms__version_record_key(key_id, IT);
    fixture_ok(kms__txn_read(txn, &record_key, plain, sizeof plain, NULL));
    found->is_zero =
        sodium_is_zero(plain + sizeof plain - KMS__MATERIAL_SIZE, KMS__MATERIAL_SIZE) == 1;
    fixture_ok(kms__key_load(txn, key_id, &key, NULL));
    found->has_material = key.versions[IT - 1].has_material;
    st = kms__version_extra_load(txn, &key, IT, &found->extra);
    kms__key_clear(&key);
    return st;
}

static record look_at_record(void)
{
    record found;

    fixture_ok(kms__store_read(store, look, &found));
    return found;
}

START_TEST(a_purge_destroys_the_material_for_good)
{
    uint8_t blob[KMS_CIPHERTEXT_SIZE(2)];
    kms_key_version_info before, after;
    record found;

    setup();
    before = describe();
    schedule(7);
    found = look_at_record();
    ck_assert(found.has_material && !found.is_zero);
    hand.now_ms += 7 * DAY_MS;
    fixture_ok(purge_it());
    found = look_at_record();
    ck_assert(!found.has_material && found.is_zero);
    ck_assert_int_eq(found.extra.destroy_ms, 0);
    ck_assert_int_eq(found.extra.state_before, 0);
    ck_assert_int_eq(found.extra.source, KMS_MATERIAL_DRAWN);
    is_answered(IT, KMS_ERR_DESTROYED);
    names_it();
    after = describe();
    ck_assert_int_eq(after.state, KMS_KEY_VERSION_DESTROYED);
    ck_assert_int_eq(after.destroy_ms, 0);
    /* What is known of it stays known. */
    ck_assert_int_eq(after.created_ms, before.created_ms);
    ck_assert_mem_eq(after.commitment, before.commitment, KMS_COMMITMENT_SIZE);
    is_answered(1, KMS_OK);
    is_answered(3, KMS_OK);
    kms_close(store);
    store = hand_open(&here, &hand, 0, NULL);
    is_answered(IT, KMS_ERR_DESTROYED);
    fixture_ok(kms_verify(store));
    ck_assert_uint_eq(fixture_rotate(store, id), VERSIONS + 1);
    fixture_encrypt(theirs, id, "x", blob, sizeof blob);
    fixture_opens_as(store, blob, sizeof blob, "x");
    finish();
}
END_TEST

START_TEST(a_key_with_a_destroyed_version_can_be_deleted)
{
    kms_key_info info = {.version = KMS_KEY_INFO_VERSION};
    int64_t due;

    setup();
    hand.now_ms = schedule(7);
    fixture_ok(purge_it());
    fixture_ok(kms_schedule_key_deletion(store, id, 7, &due));
    hand.now_ms = due;
    fixture_ok(kms_purge_key(store, id, due));
    fixture_is(kms_describe_key(theirs, id, &info), KMS_ERR_KEY_NOT_FOUND);
    finish();
}
END_TEST

START_TEST(a_destruction_is_whole_or_nothing_whichever_engine_call_fails)
{
    unsigned nth = 0;
    bool fired = true;

    setup();
    while (fired) {
        kms_status st;

        fixture_ok(kms_schedule_key_version_destruction(store, id, IT, 7, NULL));
        hand.now_ms += 7 * DAY_MS;
        engine_fail(&here.control, ENGINE_ANY, ++nth, KMS_ERR_STORAGE, false);
        st = _i == 0 ? purge_it() : cancel_it();
        fired = engine_disarm(&here.control) > 0;
        fixture_is(st, fired ? KMS_ERR_STORAGE : KMS_OK);
        fixture_ok(kms_verify(store));
        if (fired) {
            ck_assert_int_eq(describe().state, KMS_KEY_VERSION_DESTROY_SCHEDULED);
            fixture_ok(cancel_it());
            is_answered(IT, KMS_OK);
        }
    }
    is_answered(IT, _i == 0 ? KMS_ERR_DESTROYED : KMS_OK);
    /* begin, header, key, version, its mark, put, key's mark, put, header, commit */
    ck_assert_uint_ge(nth - 1, 9);
    finish();
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {the_window_has_7_to_366_days_and_30_unless_told, 0},
        {another_window_is_refused, 0},
        {a_scheduled_version_decrypts_no_more_and_comes_back_as_it_was, 2},
        {what_a_version_is_not_ready_for_is_refused_and_changes_nothing, 3 * CALLS},
        {deletion_protection_keeps_versions_too, 0},
        {a_version_is_purged_only_when_its_window_is_over_by_both_dates, DATES},
        {a_purge_destroys_the_material_for_good, 0},
        {a_key_with_a_destroyed_version_can_be_deleted, 0},
        {a_destruction_is_whole_or_nothing_whichever_engine_call_fails, 2},
    };

    return fixture_main("version_destruction", tests, sizeof tests / sizeof *tests, 60);
}
