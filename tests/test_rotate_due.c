/* kms_rotate_due(): every key that is due is rotated and reported, and no other. */
#include "support/rotation_trial.h"

#include <stdlib.h>
#include <string.h>

#define T0 ROTATION_START_MS
#define KEYS 9

static place here;
static hand_clock hand;
static kms_store *store;

static void setup(void)
{
    place_init(&here);
    hand.now_ms = T0;
    store = rotation_open(&here, &hand, KMS_OPEN_CREATE);
}

static void finish(void)
{
    fixture_ok(kms_verify(store));
    kms_close(store);
    place_free(&here);
}

static int compare_ids(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* Keys that are due from day 30 on, in the order of their ids. */
static void make_due(char (*ids)[KMS_KEY_ID_SIZE], size_t count)
{
    for (size_t i = 0; i < count; i++)
        rotation_create_key(store, 30, ids[i]);
    qsort(ids, count, sizeof *ids, compare_ids);
}

/* Keys that are not due on day 30, each for a reason of its own. */
static void make_others(char (*ids)[KMS_KEY_ID_SIZE])
{
    kms_create_key_options external = KMS_CREATE_KEY_OPTIONS_INIT;

    fixture_create_key(store, ids[0]);
    rotation_create_key(store, 31, ids[1]);
    rotation_create_key(store, 30, ids[2]);
    fixture_ok(kms_disable_key(store, ids[2]));
    rotation_create_key(store, 30, ids[3]);
    fixture_ok(kms_schedule_key_deletion(store, ids[3], 60, NULL));
    rotation_create_key(store, 30, ids[4]);
    fixture_ok(kms_update_rotation_policy(store, ids[4], false, 0));
    fixture_ok(kms_service_key(store, "oss", ids[5]));
    external.origin = KMS_KEY_ORIGIN_EXTERNAL;
    fixture_ok(kms_create_key(store, &external, ids[6]));
}
#define OTHERS 7

START_TEST(where_nothing_is_due_there_are_no_results)
{
    char ids[OTHERS][KMS_KEY_ID_SIZE];
    kms_rotation_result results[4];
    size_t count = 77;
    bool more = true;

    setup();
    fixture_ok(kms_rotate_due(store, NULL, results, 4, &count, &more));
    ck_assert_uint_eq(count, 0);
    ck_assert(!more);
    make_others(ids);
    hand.now_ms = T0 + 30 * DAY_MS;
    engine_reset_counts(&here.control);
    count = 77;
    fixture_ok(kms_rotate_due(store, NULL, results, 4, &count, NULL));
    ck_assert_uint_eq(count, 0);
    ck_assert_uint_eq(engine_count(&here.control, ENGINE_BEGIN_WRITE), 0);
    finish();
}
END_TEST

START_TEST(every_due_key_is_rotated_and_reported_once_with_every_limit)
{
    char ids[KEYS][KMS_KEY_ID_SIZE], others[OTHERS][KMS_KEY_ID_SIZE];
    kms_rotation_result results[KEYS + 1];
    size_t seen = 0, count, limit = (size_t)_i + 1;
    bool more = true;

    setup();
    make_due(ids, KEYS);
    make_others(others);
    hand.now_ms = T0 + 30 * DAY_MS;
    while (more) {
        fixture_ok(
            kms_rotate_due(store, seen == 0 ? NULL : ids[seen - 1], results, limit, &count, &more));
        ck_assert_uint_eq(count, KEYS - seen < limit ? KEYS - seen : limit);
        for (size_t i = 0; i < count; i++) {
            ck_assert_str_eq(results[i].key_id, ids[seen + i]);
            ck_assert_int_eq(results[i].status, KMS_OK);
            ck_assert_uint_eq(results[i].key_version, 2);
        }
        seen += count;
        ck_assert(more == (seen < KEYS));
    }
    ck_assert_uint_eq(seen, KEYS);
    for (size_t i = 0; i < KEYS; i++) {
        ck_assert_uint_eq(fixture_describe(store, ids[i]).version_count, 2);
        ck_assert_int_eq(fixture_describe(store, ids[i]).last_rotation_ms, hand.now_ms);
        ck_assert_int_eq(fixture_describe(store, ids[i]).next_rotation_ms, T0 + 60 * DAY_MS);
        ck_assert_uint_eq(rotation_encrypt(store, ids[i]), 2);
    }
    for (size_t i = 0; i < OTHERS; i++)
        ck_assert_uint_le(fixture_describe(store, others[i]).version_count, 1);
    fixture_ok(kms_rotate_due(store, NULL, results, KEYS, &count, &more));
    ck_assert_uint_eq(count, 0);
    ck_assert(!more);
    /* They are what encrypting calls made, and these made none. */
    ck_assert_uint_eq(rotation_store_info(store).rotations_made, 0);
    finish();
}
END_TEST

START_TEST(many_due_keys_cross_every_batch)
{
    enum { MANY = 150 };
    static char ids[MANY][KMS_KEY_ID_SIZE];
    static kms_rotation_result results[MANY];
    size_t count;
    bool more;

    setup();
    make_due(ids, MANY);
    hand.now_ms = T0 + 31 * DAY_MS;
    fixture_ok(kms_rotate_due(store, NULL, results, MANY, &count, &more));
    ck_assert_uint_eq(count, MANY);
    ck_assert(!more);
    for (size_t i = 0; i < MANY; i++) {
        ck_assert_str_eq(results[i].key_id, ids[i]);
        ck_assert_int_eq(results[i].status, KMS_OK);
    }
    finish();
}
END_TEST

START_TEST(a_marker_need_not_be_there)
{
    char ids[2][KMS_KEY_ID_SIZE];
    kms_rotation_result results[2];
    size_t count;
    bool more;

    setup();
    make_due(ids, 2);
    hand.now_ms = T0 + 30 * DAY_MS;
    fixture_ok(
        kms_rotate_due(store, "ffffffff-ffff-4fff-bfff-ffffffffffff", results, 2, &count, &more));
    ck_assert_uint_eq(count, 0);
    ck_assert(!more);
    fixture_ok(
        kms_rotate_due(store, "00000000-0000-4000-8000-000000000000", results, 2, &count, &more));
    ck_assert_uint_eq(count, 2);
    finish();
}
END_TEST

START_TEST(a_key_with_all_its_versions_is_reported_and_the_others_are_done)
{
    char ids[3][KMS_KEY_ID_SIZE];
    kms_rotation_result results[4];
    size_t count;

    setup();
    make_due(ids, 3);
    rotation_fill_versions(store, ids[1]);
    hand.now_ms = T0 + 30 * DAY_MS;
    fixture_ok(kms_rotate_due(store, NULL, results, 4, &count, NULL));
    ck_assert_uint_eq(count, 3);
    for (size_t i = 0; i < 3; i++) {
        ck_assert_str_eq(results[i].key_id, ids[i]);
        ck_assert_int_eq(results[i].status, i == 1 ? KMS_ERR_LIMIT_EXCEEDED : KMS_OK);
        ck_assert_uint_eq(results[i].key_version, i == 1 ? 0 : 2);
    }
    ck_assert_uint_eq(fixture_describe(store, ids[1]).version_count, KMS_KEY_VERSIONS_MAX);
    ck_assert_int_eq(fixture_describe(store, ids[1]).last_rotation_ms, 0);
    /* It is due still, and encrypts under what it has. */
    fixture_ok(kms_rotate_due(store, NULL, results, 4, &count, NULL));
    ck_assert_uint_eq(count, 1);
    ck_assert_str_eq(results[0].key_id, ids[1]);
    ck_assert_uint_eq(rotation_encrypt(store, ids[1]), KMS_KEY_VERSIONS_MAX);
    finish();
}
END_TEST

START_TEST(a_fault_at_one_key_is_reported_and_the_others_are_done)
{
    static const struct {
        engine_call call;
        unsigned long second;
        kms_status status;
    } cases[] = {
        {ENGINE_BEGIN_WRITE, 2, KMS_ERR_BUSY},
        {ENGINE_COMMIT, 2, KMS_ERR_FULL},
        /* A version, a key and the header in each transaction. */
        {ENGINE_PUT, 5, KMS_ERR_STORAGE},
    };
    char ids[3][KMS_KEY_ID_SIZE];
    kms_rotation_result results[3];
    size_t count;

    setup();
    make_due(ids, 3);
    hand.now_ms = T0 + 30 * DAY_MS;
    engine_fail(&here.control, cases[_i].call, cases[_i].second, cases[_i].status, false);
    fixture_ok(kms_rotate_due(store, NULL, results, 3, &count, NULL));
    ck_assert_uint_eq(engine_disarm(&here.control), 1);
    ck_assert_uint_eq(count, 3);
    for (size_t i = 0; i < 3; i++) {
        ck_assert_int_eq(results[i].status, i == 1 ? cases[_i].status : KMS_OK);
        ck_assert_uint_eq(results[i].key_version, i == 1 ? 0 : 2);
        ck_assert_uint_eq(fixture_describe(store, ids[i]).version_count, i == 1 ? 1 : 2);
    }
    fixture_ok(kms_rotate_due(store, NULL, results, 3, &count, NULL));
    ck_assert_uint_eq(count, 1);
    ck_assert_str_eq(results[0].key_id, ids[1]);
    ck_assert_int_eq(results[0].status, KMS_OK);
    finish();
}
END_TEST

/* An outcome that the engine does not know is found out; no version is made twice. */
START_TEST(a_commit_of_unknown_outcome_makes_one_version_at_most)
{
    bool applied = _i == 1;
    char id[1][KMS_KEY_ID_SIZE];
    kms_rotation_result result;
    size_t count;

    setup();
    make_due(id, 1);
    hand.now_ms = T0 + 30 * DAY_MS;
    engine_commit_unknown(&here.control, applied);
    fixture_ok(kms_rotate_due(store, NULL, &result, 1, &count, NULL));
    ck_assert_uint_eq(count, 1);
    ck_assert_int_eq(result.status, applied ? KMS_OK : KMS_ERR_COMMIT_UNKNOWN);
    ck_assert_uint_eq(result.key_version, applied ? 2 : 0);
    ck_assert_uint_eq(fixture_describe(store, id[0]).version_count, applied ? 2 : 1);
    fixture_ok(kms_rotate_due(store, NULL, &result, 1, &count, NULL));
    ck_assert_uint_eq(count, applied ? 0 : 1);
    ck_assert_uint_eq(fixture_describe(store, id[0]).version_count, 2);
    finish();
}
END_TEST

START_TEST(a_look_that_fails_fails_the_call_and_changes_nothing)
{
    static const engine_call looks[] = {ENGINE_BEGIN_READ, ENGINE_SCAN, ENGINE_GET};
    char ids[2][KMS_KEY_ID_SIZE];
    kms_rotation_result results[2];
    size_t count = 77;
    bool more = true;

    setup();
    make_due(ids, 2);
    hand.now_ms = T0 + 30 * DAY_MS;
    for (size_t i = 0; i < sizeof looks / sizeof *looks; i++) {
        engine_fail(&here.control, looks[i], 1, KMS_ERR_STORAGE, false);
        fixture_is(kms_rotate_due(store, NULL, results, 2, &count, &more), KMS_ERR_STORAGE);
        ck_assert_uint_eq(engine_disarm(&here.control), 1);
    }
    ck_assert_uint_eq(count, 77);
    ck_assert(more);
    ck_assert_uint_eq(fixture_changes(store), 2);
    finish();
}
END_TEST

START_TEST(rotating_all_checks_its_arguments)
{
    char id[1][KMS_KEY_ID_SIZE];
    kms_rotation_result result;
    size_t count = 77;
    bool more = true;

    setup();
    make_due(id, 1);
    hand.now_ms = T0 + 30 * DAY_MS;
    fixture_is(kms_rotate_due(NULL, NULL, &result, 1, &count, &more), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_rotate_due(store, NULL, NULL, 1, &count, &more), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_rotate_due(store, NULL, &result, 0, &count, &more), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_rotate_due(store, NULL, &result, 1, NULL, &more), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_rotate_due(store, "", &result, 1, &count, &more), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_rotate_due(store, "alias/a", &result, 1, &count, &more),
               KMS_ERR_INVALID_ARGUMENT);
    kms_close(store);
    store = rotation_open(&here, &hand, KMS_OPEN_READ_ONLY);
    fixture_is(kms_rotate_due(store, NULL, &result, 1, &count, &more), KMS_ERR_READ_ONLY);
    ck_assert_uint_eq(count, 77);
    ck_assert(more);
    ck_assert_uint_eq(fixture_changes(store), 1);
    finish();
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {where_nothing_is_due_there_are_no_results, 0},
        {every_due_key_is_rotated_and_reported_once_with_every_limit, KEYS + 1},
        {many_due_keys_cross_every_batch, 0},
        {a_marker_need_not_be_there, 0},
        {a_key_with_all_its_versions_is_reported_and_the_others_are_done, 0},
        {a_fault_at_one_key_is_reported_and_the_others_are_done, 3},
        {a_commit_of_unknown_outcome_makes_one_version_at_most, 2},
        {a_look_that_fails_fails_the_call_and_changes_nothing, 0},
        {rotating_all_checks_its_arguments, 0},
    };

    return fixture_main("rotate_due", tests, sizeof tests / sizeof *tests, 120);
}
