/* A clock that is wrong does little harm to automatic rotation: set back, far ahead, at its ends,
 * or a year from another process' clock. */
#include "support/rotation_trial.h"

#include <string.h>

#define T0 ROTATION_START_MS
#define YEAR_MS (365 * DAY_MS)

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

static void reopen(void)
{
    kms_close(store);
    store = rotation_open(&here, &hand, 0);
}

static void at_day(int64_t day)
{
    hand.now_ms = T0 + day * DAY_MS;
}

/* The same from a handle that knows the key and from one that does not. */
#define WARM_AND_COLD 2

static void chill(int cold)
{
    if (cold)
        reopen();
}

/* --- set back ---------------------------------------------------------------------------------- */

START_TEST(a_clock_set_back_makes_no_second_version)
{
    char id[KMS_KEY_ID_SIZE];

    setup();
    rotation_create_key(store, 7, id);
    at_day(7);
    ck_assert_uint_eq(rotation_encrypt(store, id), 2);
    at_day(5);
    for (int i = 0; i < 3; i++) {
        chill(_i);
        ck_assert_uint_eq(rotation_encrypt(store, id), 2);
    }
    /* The same days once more: an interval from when the date was brought back. */
    for (int64_t day = 6; day < 12; day++) {
        at_day(day);
        chill(_i);
        ck_assert_uint_eq(rotation_encrypt(store, id), 2);
    }
    ck_assert_uint_eq(fixture_describe(store, id).version_count, 2);
    finish();
}
END_TEST

START_TEST(a_clock_set_back_and_right_again_loses_no_rotation)
{
    char id[KMS_KEY_ID_SIZE];

    setup();
    rotation_create_key(store, 30, id);
    at_day(30);
    ck_assert_uint_eq(rotation_encrypt(store, id), 2);
    at_day(28);
    chill(_i);
    ck_assert_uint_eq(rotation_encrypt(store, id), 2);
    at_day(60);
    chill(_i);
    ck_assert_uint_eq(rotation_encrypt(store, id), 3);
    at_day(90);
    ck_assert_uint_eq(rotation_encrypt(store, id), 4);
    ck_assert_uint_eq(fixture_describe(store, id).version_count, 4);
    finish();
}
END_TEST

/* Clocks of one machine differ by some hours without anything being wrong: nothing is written. */
START_TEST(a_date_some_hours_ahead_stays_as_it_is)
{
    char id[KMS_KEY_ID_SIZE];
    uint64_t changes;

    setup();
    rotation_create_key(store, 30, id);
    at_day(30);
    ck_assert_uint_eq(rotation_encrypt(store, id), 2);
    changes = fixture_changes(store);
    hand.now_ms -= DAY_MS;
    chill(_i);
    ck_assert_uint_eq(rotation_encrypt(store, id), 2);
    ck_assert_uint_eq(fixture_changes(store), changes);
    ck_assert_int_eq(fixture_describe(store, id).last_rotation_ms, T0 + 30 * DAY_MS);
    hand.now_ms--;
    chill(_i);
    ck_assert_uint_eq(rotation_encrypt(store, id), 2);
    ck_assert_uint_eq(fixture_changes(store), changes + 1);
    ck_assert_int_eq(fixture_describe(store, id).last_rotation_ms, hand.now_ms);
    finish();
}
END_TEST

/* --- far ahead --------------------------------------------------------------------------------- */

START_TEST(a_clock_far_ahead_rotates_once_and_not_once_an_interval)
{
    char id[KMS_KEY_ID_SIZE];

    setup();
    rotation_create_key(store, 7, id);
    ck_assert_uint_eq(rotation_encrypt(store, id), 1);
    hand.now_ms = T0 + 10 * YEAR_MS;
    for (int i = 0; i < 5; i++) {
        chill(_i);
        ck_assert_uint_eq(rotation_encrypt(store, id), 2);
    }
    ck_assert_int_eq(fixture_describe(store, id).next_rotation_ms, hand.now_ms + 7 * DAY_MS);
    finish();
}
END_TEST

START_TEST(a_clock_that_was_far_ahead_leaves_the_schedule_running)
{
    char id[KMS_KEY_ID_SIZE];
    kms_key_info info;

    setup();
    rotation_create_key(store, 30, id);
    hand.now_ms = T0 + 10 * YEAR_MS;
    ck_assert_uint_eq(rotation_encrypt(store, id), 2);
    at_day(1);
    chill(_i);
    ck_assert_uint_eq(rotation_encrypt(store, id), 2);
    info = fixture_describe(store, id);
    ck_assert_uint_eq(info.version_count, 2);
    ck_assert_int_eq(info.last_rotation_ms, T0 + DAY_MS);
    ck_assert_int_eq(info.next_rotation_ms, T0 + 31 * DAY_MS);
    at_day(30);
    ck_assert_uint_eq(rotation_encrypt(store, id), 2);
    at_day(31);
    ck_assert_uint_eq(rotation_encrypt(store, id), 3);
    at_day(61);
    ck_assert_uint_eq(rotation_encrypt(store, id), 4);
    ck_assert_uint_eq(rotation_store_info(store).rotations_put_off, 0);
    finish();
}
END_TEST

/* The policy itself was set by a clock that was ahead. */
START_TEST(a_policy_that_starts_in_the_future_starts_now)
{
    char id[KMS_KEY_ID_SIZE];

    setup();
    hand.now_ms = T0 + 10 * YEAR_MS;
    rotation_create_key(store, 30, id);
    ck_assert_uint_eq(rotation_encrypt(store, id), 1);
    at_day(0);
    chill(_i);
    ck_assert_uint_eq(rotation_encrypt(store, id), 1);
    ck_assert_int_eq(fixture_describe(store, id).next_rotation_ms, T0 + 30 * DAY_MS);
    at_day(30);
    ck_assert_uint_eq(rotation_encrypt(store, id), 2);
    finish();
}
END_TEST

START_TEST(rotating_all_brings_dates_back_and_says_so)
{
    char id[KMS_KEY_ID_SIZE];
    kms_rotation_result result;
    size_t count;

    setup();
    rotation_create_key(store, 30, id);
    hand.now_ms = T0 + 10 * YEAR_MS;
    fixture_ok(kms_rotate_due(store, NULL, &result, 1, &count, NULL));
    ck_assert_uint_eq(count, 1);
    ck_assert_uint_eq(result.key_version, 2);
    at_day(1);
    fixture_ok(kms_rotate_due(store, NULL, &result, 1, &count, NULL));
    ck_assert_uint_eq(count, 1);
    ck_assert_str_eq(result.key_id, id);
    ck_assert_int_eq(result.status, KMS_OK);
    ck_assert_uint_eq(result.key_version, 0);
    ck_assert_int_eq(fixture_describe(store, id).next_rotation_ms, T0 + 31 * DAY_MS);
    fixture_ok(kms_rotate_due(store, NULL, &result, 1, &count, NULL));
    ck_assert_uint_eq(count, 0);
    ck_assert_uint_eq(fixture_describe(store, id).version_count, 2);
    finish();
}
END_TEST

/* A warm key costs no transaction at any date but those on which there is something to do. */
START_TEST(a_clock_that_leaps_about_costs_a_warm_key_no_more_than_one_attempt_a_leap)
{
    static const int64_t years[] = {10, 0, 10, 0, 10, 0, 9, 1, 9, 2, -5, 8, 3};
    char id[KMS_KEY_ID_SIZE];

    setup();
    rotation_create_key(store, 30, id);
    for (size_t i = 0; i < sizeof years / sizeof *years; i++) {
        hand.now_ms = T0 + years[i] * YEAR_MS;
        (void)rotation_encrypt(store, id);
        engine_reset_counts(&here.control);
        for (int j = 0; j < 10; j++)
            (void)rotation_encrypt(store, id);
        ck_assert_msg(engine_count(&here.control, ENGINE_BEGIN_WRITE) == 0,
                      "leap %zu: a warm key begins transactions", i);
    }
    finish();
}
END_TEST

/* --- two clocks -------------------------------------------------------------------------------- */

/*
 * What bounds the versions: the clock behind (B) rotates only an interval after the dates that it
 * last wrote or brought back; the clock ahead (A) waits an interval from its own last rotation, of
 * which the stamp tells unless B has rotated since. So B makes at most one version in an interval,
 * and A one for each of B's, and one an interval of its own: two an interval begun.
 */
static const struct {
    uint32_t days;
    int64_t apart_ms;
    int64_t step_ms;
} pairs[] = {
    {7, YEAR_MS, 0},        {7, YEAR_MS, 60000},        {30, YEAR_MS, 60000},
    {365, YEAR_MS, 60000},  {730, YEAR_MS, 60000},      {7, 2 * DAY_MS, 60000},
    {7, DAY_MS / 2, 60000}, {30, YEAR_MS, DAY_MS / 10}, {7, 10 * YEAR_MS, DAY_MS / 10},
};

#define CALLS 1000

static void alternate(kms_store *const handles[2], hand_clock clocks[2], const char *id,
                      int64_t step_ms)
{
    for (int i = 0; i < CALLS; i++) {
        (void)rotation_encrypt(handles[i % 2], id);
        clocks[0].now_ms += step_ms;
        clocks[1].now_ms += step_ms;
    }
}

START_TEST(two_clocks_a_year_apart_make_two_versions_an_interval_at_most)
{
    static hand_clock clocks[2];
    int pair = _i / 2, first = _i % 2;
    int64_t elapsed_ms = pairs[pair].step_ms * CALLS;
    int64_t intervals = elapsed_ms / (pairs[pair].days * DAY_MS) + 1;
    char id[KMS_KEY_ID_SIZE];
    kms_store *handles[2];
    uint32_t made;

    rotation_place_init_shared(&here);
    clocks[first].now_ms = T0;
    clocks[!first].now_ms = T0 + pairs[pair].apart_ms;
    for (int i = 0; i < 2; i++)
        handles[i] = rotation_open(&here, &clocks[i], KMS_OPEN_CREATE);
    rotation_create_key(handles[0], pairs[pair].days, id);
    alternate(handles, clocks, id, pairs[pair].step_ms);
    made = fixture_describe(handles[0], id).version_count - 1;
    ck_assert_msg(made <= 2 * intervals, "%u versions in %d intervals", made, (int)intervals);
    /* And it does rotate: by the clock ahead, and whenever an interval has gone by. */
    ck_assert_msg(made >= intervals - 1, "%u versions in %d intervals", made, (int)intervals);
    ck_assert_uint_eq(rotation_store_info(handles[0]).rotations_made +
                          rotation_store_info(handles[1]).rotations_made,
                      made);
    fixture_ok(kms_verify(handles[0]));
    for (int i = 0; i < 2; i++)
        kms_close(handles[i]);
    place_free(&here);
}
END_TEST

/* --- the ends of time -------------------------------------------------------------------------- */

static const int64_t ends[] = {
    INT64_MIN,
    INT64_MIN + 1,
    INT64_MIN + DAY_MS,
    -DAY_MS,
    -30000,
    -1,
    0,
    1,
    T0,
    INT64_MAX - 8 * DAY_MS,
    INT64_MAX - DAY_MS,
    INT64_MAX - 30000,
    INT64_MAX - 1,
    INT64_MAX,
};
#define ENDS ((int)(sizeof ends / sizeof *ends))

/* From every date to every other one: each encrypt succeeds, and a leap makes one version at most. */
START_TEST(no_date_is_too_early_or_too_late)
{
    char id[KMS_KEY_ID_SIZE];
    kms_rotation_result result;
    size_t count;

    setup();
    hand.now_ms = ends[_i];
    rotation_create_key(store, 7, id);
    ck_assert_uint_eq(rotation_encrypt(store, id), 1);
    for (int i = 0; i < ENDS; i++) {
        uint32_t before = fixture_describe(store, id).version_count;

        hand.now_ms = ends[i];
        for (int j = 0; j < 3; j++)
            ck_assert_uint_le(rotation_encrypt(store, id), before + 1);
        fixture_ok(kms_rotate_due(store, NULL, &result, 1, &count, NULL));
        ck_assert_uint_le(fixture_describe(store, id).version_count, before + 1);
        fixture_ok(kms_update_rotation_policy(store, id, true, (uint32_t)i + 7));
        hand.now_ms = ends[_i];
        (void)rotation_encrypt(store, id);
    }
    finish();
}
END_TEST

START_TEST(a_key_without_a_policy_rotates_on_no_date)
{
    char ids[3][KMS_KEY_ID_SIZE];
    kms_rotation_result results[3];
    size_t count;

    setup();
    fixture_create_key(store, ids[0]);
    rotation_create_key(store, 7, ids[1]);
    fixture_ok(kms_update_rotation_policy(store, ids[1], false, 0));
    rotation_create_key(store, 7, ids[2]);
    fixture_ok(kms_disable_key(store, ids[2]));
    hand.now_ms = ends[_i];
    for (int i = 0; i < 2; i++)
        ck_assert_uint_eq(rotation_encrypt(store, ids[i]), 1);
    fixture_ok(kms_rotate_due(store, NULL, results, 3, &count, NULL));
    ck_assert_uint_eq(count, 0);
    for (int i = 0; i < 3; i++)
        ck_assert_uint_eq(fixture_describe(store, ids[i]).version_count, 1);
    finish();
}
END_TEST

/* The date of the first attempt is none that a clock could show. */
START_TEST(a_new_handle_has_no_attempt_to_wait_for)
{
    char id[KMS_KEY_ID_SIZE];
    uint64_t changes;

    setup();
    rotation_create_key(store, 7, id);
    changes = fixture_changes(store);
    hand.now_ms = ends[_i];
    reopen();
    (void)rotation_encrypt(store, id);
    /* A version, or a date brought back; unless the key was made just then. */
    ck_assert_uint_eq(fixture_changes(store), changes + (ends[_i] == T0 ? 0 : 1));
    finish();
}
END_TEST

START_TEST(a_rotation_is_put_off_and_tried_again_on_every_date)
{
    char id[KMS_KEY_ID_SIZE];

    setup();
    rotation_create_key(store, 7, id);
    hand.now_ms = ends[_i];
    (void)rotation_encrypt(store, id);
    engine_fail(&here.control, ENGINE_BEGIN_WRITE, 1, KMS_ERR_FULL, true);
    hand.now_ms = T0 + YEAR_MS;
    (void)rotation_encrypt(store, id);
    hand.now_ms = ends[_i];
    (void)rotation_encrypt(store, id);
    (void)rotation_encrypt(store, id);
    (void)engine_disarm(&here.control);
    hand.now_ms = T0 + 2 * YEAR_MS;
    (void)rotation_encrypt(store, id);
    ck_assert_uint_ge(fixture_describe(store, id).version_count, 2);
    finish();
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {a_clock_set_back_makes_no_second_version, WARM_AND_COLD},
        {a_clock_set_back_and_right_again_loses_no_rotation, WARM_AND_COLD},
        {a_date_some_hours_ahead_stays_as_it_is, WARM_AND_COLD},
        {a_clock_far_ahead_rotates_once_and_not_once_an_interval, WARM_AND_COLD},
        {a_clock_that_was_far_ahead_leaves_the_schedule_running, WARM_AND_COLD},
        {a_policy_that_starts_in_the_future_starts_now, WARM_AND_COLD},
        {rotating_all_brings_dates_back_and_says_so, 0},
        {a_clock_that_leaps_about_costs_a_warm_key_no_more_than_one_attempt_a_leap, 0},
        {two_clocks_a_year_apart_make_two_versions_an_interval_at_most,
         2 * (int)(sizeof pairs / sizeof *pairs)},
        {no_date_is_too_early_or_too_late, ENDS},
        {a_key_without_a_policy_rotates_on_no_date, ENDS},
        {a_new_handle_has_no_attempt_to_wait_for, ENDS},
        {a_rotation_is_put_off_and_tried_again_on_every_date, ENDS},
    };

    return fixture_main("rotation_clocks", tests, sizeof tests / sizeof *tests, 120);
}
