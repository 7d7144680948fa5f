/* Dates come from the one clock, which a test may replace. */
#include "support/api_fixture.h"

#include <string.h>
#include <time.h>

static place here;

/* A clock that stands where the test put it. */
static struct {
    int64_t now_ms;
    unsigned asked;
    long open_txns;
} hand;

static int64_t tell(void *data)
{
    ck_assert_ptr_eq(data, &hand);
    hand.asked++;
    hand.open_txns += atomic_load(&here.control.open_txns);
    return hand.now_ms;
}

static kms_store *open_with_hand(void)
{
    kms_open_options options = KMS_OPEN_OPTIONS_INIT;
    kms_clock clock = {KMS_CLOCK_VERSION, &hand, tell};
    kms_store *store = NULL;

    options.clock = &clock;
    fixture_ok(place_try_open(&here, &store, KMS_OPEN_CREATE, &options));
    /* The struct was copied. */
    memset(&clock, 0xee, sizeof clock);
    return store;
}

START_TEST(every_date_is_the_clocks)
{
    static const int64_t starts[] = {1000000, 0, -5000, INT64_MAX - 100, INT64_MIN};
    char one[KMS_KEY_ID_SIZE], two[KMS_KEY_ID_SIZE];
    kms_key_version_info version;
    kms_alias_info alias;
    int64_t t = starts[_i];
    kms_store *store;

    place_init(&here);
    store = open_with_hand();
    hand.now_ms = t;
    fixture_create_key(store, one);
    hand.now_ms = t + 10;
    fixture_ok(kms_ensure_alias(store, "alias/two", NULL, two));
    hand.now_ms = t + 20;
    fixture_rotate(store, one);
    hand.now_ms = t + 30;
    fixture_ok(kms_create_alias(store, "alias/one", one));
    hand.now_ms = t + 40;
    fixture_ok(kms_update_alias(store, "alias/one", two));
    hand.now_ms = t + 50;
    fixture_ok(kms_update_alias(store, "alias/one", two));
    kms_close(store);
    store = open_with_hand();
    ck_assert_int_eq(fixture_describe(store, one).created_ms, t);
    ck_assert_int_eq(fixture_describe(store, two).created_ms, t + 10);
    fixture_ok(kms_describe_key_version(store, one, 1, &version));
    ck_assert_int_eq(version.created_ms, t);
    fixture_ok(kms_describe_key_version(store, one, 2, &version));
    ck_assert_int_eq(version.created_ms, t + 20);
    alias = fixture_describe_alias(store, "alias/two");
    ck_assert_int_eq(alias.created_ms, t + 10);
    ck_assert_int_eq(alias.moved_ms, t + 10);
    alias = fixture_describe_alias(store, "alias/one");
    ck_assert_int_eq(alias.created_ms, t + 30);
    ck_assert_int_eq(alias.moved_ms, t + 40);
    ck_assert_uint_gt(hand.asked, 5);
    ck_assert_int_eq(hand.open_txns, 0);
    kms_close(store);
    place_free(&here);
}
END_TEST

START_TEST(encrypting_and_decrypting_ask_a_warm_keys_clock_once)
{
    char id[KMS_KEY_ID_SIZE];
    uint8_t blob[200];
    kms_store *store;
    size_t len;

    place_init(&here);
    store = open_with_hand();
    fixture_create_key(store, id);
    len = fixture_encrypt(store, id, "x", blob, sizeof blob);
    fixture_opens_as(store, blob, len, "x");
    hand.asked = 0;
    len = fixture_encrypt(store, id, "x", blob, sizeof blob);
    ck_assert_uint_eq(hand.asked, 1);
    fixture_opens_as(store, blob, len, "x");
    ck_assert_uint_eq(hand.asked, 2);
    kms_close(store);
    place_free(&here);
}
END_TEST

START_TEST(a_rerun_after_a_conflict_keeps_the_first_runs_date)
{
    char id[KMS_KEY_ID_SIZE];
    kms_store *store;

    place_init(&here);
    store = open_with_hand();
    hand.asked = 0;
    engine_conflict(&here.control, 3);
    fixture_create_key(store, id);
    ck_assert_uint_eq(engine_count(&here.control, ENGINE_COMMIT), 4);
    ck_assert_uint_eq(hand.asked, 1);
    kms_close(store);
    place_free(&here);
}
END_TEST

START_TEST(without_a_clock_dates_are_the_systems)
{
    struct timespec from, to;
    char id[KMS_KEY_ID_SIZE];
    kms_store *store;
    int64_t created;

    store = fixture_memory_store();
    clock_gettime(CLOCK_REALTIME_COARSE, &from);
    fixture_create_key(store, id);
    clock_gettime(CLOCK_REALTIME, &to);
    created = fixture_describe(store, id).created_ms;
    ck_assert_int_ge(created, (int64_t)from.tv_sec * 1000 + from.tv_nsec / 1000000);
    ck_assert_int_le(created, (int64_t)to.tv_sec * 1000 + to.tv_nsec / 1000000);
    kms_close(store);
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {every_date_is_the_clocks, 5},
        {encrypting_and_decrypting_ask_a_warm_keys_clock_once, 0},
        {a_rerun_after_a_conflict_keeps_the_first_runs_date, 0},
        {without_a_clock_dates_are_the_systems, 0},
    };

    return fixture_main("clock", tests, sizeof tests / sizeof *tests, 30);
}
