/* Automatic rotation: the policy of a key, and the encrypting call that meets a key that is due. */
#include "support/rotation_trial.h"

#include <stdlib.h>
#include <string.h>

#define NOBODY "00000000-0000-4000-8000-000000000000"
#define T0 ROTATION_START_MS

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

static void at_day(int64_t day)
{
    hand.now_ms = T0 + day * DAY_MS;
}

/* --- the policy ------------------------------------------------------------------------------- */

START_TEST(an_interval_has_its_limits)
{
    static const struct {
        uint32_t days;
        kms_status wanted;
    } cases[] = {
        {KMS_ROTATION_DAYS_MIN, KMS_OK},
        {KMS_ROTATION_DAYS_MAX, KMS_OK},
        {KMS_ROTATION_DAYS_MIN - 1, KMS_ERR_INVALID_ARGUMENT},
        {KMS_ROTATION_DAYS_MAX + 1, KMS_ERR_INVALID_ARGUMENT},
        {1, KMS_ERR_INVALID_ARGUMENT},
        {65536 + 30, KMS_ERR_INVALID_ARGUMENT},
        {UINT32_MAX, KMS_ERR_INVALID_ARGUMENT},
    };
    char id[KMS_KEY_ID_SIZE];

    setup();
    ck_assert_uint_eq(KMS_ROTATION_DAYS_MIN, 7);
    ck_assert_uint_eq(KMS_ROTATION_DAYS_MAX, 730);
    fixture_create_key(store, id);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fixture_is(kms_update_rotation_policy(store, id, true, cases[i].days), cases[i].wanted);
        fixture_is(kms_update_rotation_policy(store, id, false, cases[i].days), cases[i].wanted);
    }
    ck_assert_uint_eq(fixture_describe(store, id).rotation_days, KMS_ROTATION_DAYS_MAX);
    finish();
}
END_TEST

START_TEST(a_policy_is_told_as_it_was_set)
{
    static const struct {
        int64_t day;
        bool enabled;
        uint32_t days;
        kms_status status;
        kms_rotation_state rotation;
        uint32_t told_days;
        int64_t next_day; /* 0: none */
        bool changes;
    } steps[] = {
        {0, true, 0, KMS_ERR_INVALID_ARGUMENT, KMS_ROTATION_DISABLED, 0, 0, false},
        {0, false, 0, KMS_OK, KMS_ROTATION_DISABLED, 0, 0, false},
        {1, false, 30, KMS_OK, KMS_ROTATION_DISABLED, 30, 0, true},
        {2, true, 0, KMS_OK, KMS_ROTATION_ENABLED, 30, 32, true},
        {3, true, 0, KMS_OK, KMS_ROTATION_ENABLED, 30, 32, false},
        {4, true, 30, KMS_OK, KMS_ROTATION_ENABLED, 30, 32, false},
        {5, true, 90, KMS_OK, KMS_ROTATION_ENABLED, 90, 92, true},
        {6, true, 7, KMS_OK, KMS_ROTATION_ENABLED, 7, 9, true},
        {7, false, 0, KMS_OK, KMS_ROTATION_DISABLED, 7, 0, true},
        {8, true, 0, KMS_OK, KMS_ROTATION_ENABLED, 7, 15, true},
        {9, false, 730, KMS_OK, KMS_ROTATION_DISABLED, 730, 0, true},
        {10, true, 365, KMS_OK, KMS_ROTATION_ENABLED, 365, 375, true},
    };
    char id[KMS_KEY_ID_SIZE];

    setup();
    fixture_create_key(store, id);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        uint64_t before = fixture_changes(store);
        kms_key_info info;

        at_day(steps[i].day);
        fixture_is(kms_update_rotation_policy(store, id, steps[i].enabled, steps[i].days),
                   steps[i].status);
        info = fixture_describe(store, id);
        ck_assert_int_eq(info.rotation, steps[i].rotation);
        ck_assert_uint_eq(info.rotation_days, steps[i].told_days);
        ck_assert_int_eq(info.next_rotation_ms,
                         steps[i].next_day != 0 ? T0 + steps[i].next_day * DAY_MS : 0);
        ck_assert_int_eq(info.last_rotation_ms, 0);
        ck_assert_uint_eq(fixture_changes(store), before + (steps[i].changes ? 1 : 0));
    }
    kms_close(store);
    store = rotation_open(&here, &hand, 0);
    ck_assert_int_eq(fixture_describe(store, id).next_rotation_ms, T0 + 375 * DAY_MS);
    finish();
}
END_TEST

START_TEST(a_key_may_be_born_with_a_policy)
{
    kms_create_key_options options = KMS_CREATE_KEY_OPTIONS_INIT;
    char id[KMS_KEY_ID_SIZE];
    kms_key_info info;

    setup();
    at_day(1);
    options.rotation_days = 90;
    if (_i == 0)
        fixture_ok(kms_create_key(store, &options, id));
    else
        fixture_ok(kms_ensure_alias(store, "alias/a", &options, id));
    info = fixture_describe(store, id);
    ck_assert_int_eq(info.rotation, KMS_ROTATION_ENABLED);
    ck_assert_uint_eq(info.rotation_days, 90);
    ck_assert_int_eq(info.next_rotation_ms, T0 + 91 * DAY_MS);
    ck_assert_int_eq(info.last_rotation_ms, 0);
    at_day(91);
    ck_assert_uint_eq(rotation_encrypt(store, id), 2);
    finish();
}
END_TEST

START_TEST(an_update_takes_the_id_of_a_key_that_is_there)
{
    static const struct {
        const char *key;
        kms_status wanted;
    } cases[] = {
        {NULL, KMS_ERR_INVALID_ARGUMENT},      {"", KMS_ERR_INVALID_ARGUMENT},
        {"alias/a", KMS_ERR_INVALID_ARGUMENT}, {NOBODY, KMS_ERR_KEY_NOT_FOUND},
        {"a", KMS_ERR_INVALID_ARGUMENT},
    };
    char id[KMS_KEY_ID_SIZE];

    setup();
    fixture_ok(kms_ensure_alias(store, "alias/a", NULL, id));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        fixture_is(kms_update_rotation_policy(store, cases[i].key, true, 30), cases[i].wanted);
    fixture_is(kms_update_rotation_policy(NULL, id, true, 30), KMS_ERR_INVALID_ARGUMENT);
    kms_close(store);
    store = rotation_open(&here, &hand, KMS_OPEN_READ_ONLY);
    fixture_is(kms_update_rotation_policy(store, id, true, 30), KMS_ERR_READ_ONLY);
    ck_assert_uint_eq(fixture_changes(store), 1);
    finish();
}
END_TEST

START_TEST(a_policy_changes_only_while_its_key_is_enabled)
{
    static const struct {
        kms_key_state state;
        kms_status wanted;
    } cases[] = {
        {KMS_KEY_ENABLED, KMS_OK},
        {KMS_KEY_DISABLED, KMS_ERR_DISABLED},
        {KMS_KEY_PENDING_DELETION, KMS_ERR_PENDING_DELETION},
        {KMS_KEY_PENDING_IMPORT, KMS_ERR_PENDING_IMPORT},
    };
    char id[KMS_KEY_ID_SIZE];
    kms_status wanted = cases[_i].wanted;

    setup();
    rotation_create_key(store, 30, id);
    fixture_set_key_state(store, id, cases[_i].state);
    fixture_is(kms_would(store, KMS_OP_UPDATE_ROTATION_POLICY, id), wanted);
    fixture_is(kms_update_rotation_policy(store, id, true, 60), wanted);
    fixture_is(kms_update_rotation_policy(store, id, false, 0), wanted);
    ck_assert_uint_eq(fixture_describe(store, id).rotation_days, wanted == KMS_OK ? 60 : 30);
    fixture_set_key_state(store, id, KMS_KEY_ENABLED);
    finish();
}
END_TEST

/* --- keys that are rotated by moving an alias -------------------------------------------------- */

static void import_raw(const char *id)
{
    uint8_t material[KMS_IMPORT_MATERIAL_SIZE];
    kms_import import = KMS_IMPORT_INIT;

    memset(material, 0x4d, sizeof material);
    import.wrapping = KMS_WRAPPING_NONE_INSECURE;
    import.material = material;
    import.material_len = sizeof material;
    fixture_ok(kms_import_key_material(store, id, &import));
}

/* 0: external and waiting; 1: external with material; 2: of a service. */
static void make_unrotatable(int kind, char id[KMS_KEY_ID_SIZE])
{
    kms_create_key_options options = KMS_CREATE_KEY_OPTIONS_INIT;

    if (kind == 2) {
        fixture_ok(kms_service_key(store, "oss", id));
        return;
    }
    options.origin = KMS_KEY_ORIGIN_EXTERNAL;
    fixture_ok(kms_create_key(store, &options, id));
    if (kind == 1)
        import_raw(id);
}

START_TEST(imported_and_service_keys_have_no_rotation_of_their_own)
{
    static const kms_key_state states[] = {KMS_KEY_ENABLED, KMS_KEY_DISABLED,
                                           KMS_KEY_PENDING_DELETION};
    char id[KMS_KEY_ID_SIZE];

    setup();
    make_unrotatable(_i, id);
    for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
        if (_i != 0)
            fixture_set_key_state(store, id, states[i]);
        fixture_is(kms_update_rotation_policy(store, id, true, 30), KMS_ERR_UNSUPPORTED);
        fixture_says("move the alias");
        fixture_is(kms_update_rotation_policy(store, id, false, 0), KMS_ERR_UNSUPPORTED);
        fixture_is(kms_create_key_version(store, id, NULL), KMS_ERR_UNSUPPORTED);
        fixture_says("move the alias");
        fixture_is(kms_would(store, KMS_OP_UPDATE_ROTATION_POLICY, id), KMS_ERR_UNSUPPORTED);
        fixture_is(kms_would(store, KMS_OP_CREATE_KEY_VERSION, id), KMS_ERR_UNSUPPORTED);
    }
    if (_i != 0)
        fixture_set_key_state(store, id, KMS_KEY_ENABLED);
    ck_assert_int_eq(fixture_describe(store, id).rotation, KMS_ROTATION_DISABLED);
    ck_assert_uint_eq(fixture_describe(store, id).rotation_days, 0);
    finish();
}
END_TEST

START_TEST(an_imported_key_is_not_born_with_a_policy)
{
    kms_create_key_options options = KMS_CREATE_KEY_OPTIONS_INIT;
    char id[KMS_KEY_ID_SIZE];

    setup();
    options.origin = KMS_KEY_ORIGIN_EXTERNAL;
    options.rotation_days = 30;
    fixture_is(kms_create_key(store, &options, id), KMS_ERR_UNSUPPORTED);
    fixture_says("moving an alias");
    ck_assert_uint_eq(fixture_changes(store), 0);
    finish();
}
END_TEST

/* A key of each origin takes its turn, the first again at the end: all that was encrypted opens. */
START_TEST(moving_an_alias_rotates_a_key_of_every_origin)
{
    char ids[4][KMS_KEY_ID_SIZE];
    uint8_t blobs[5][200];
    size_t len = 0;
    kms_blob_info info;

    setup();
    fixture_create_key(store, ids[0]);
    make_unrotatable(1, ids[1]);
    make_unrotatable(2, ids[2]);
    rotation_create_key(store, 30, ids[3]);
    fixture_ok(kms_create_alias(store, "alias/app", ids[0]));
    for (int turn = 0; turn < 5; turn++) {
        fixture_ok(kms_update_alias(store, "alias/app", ids[turn % 4]));
        len = fixture_encrypt(store, "alias/app", "x", blobs[turn], sizeof blobs[turn]);
        fixture_ok(kms_inspect_blob(blobs[turn], len, &info));
        ck_assert_str_eq(info.key_id, ids[turn % 4]);
        for (int i = 0; i <= turn; i++)
            fixture_opens_as(store, blobs[i], len, "x");
    }
    finish();
}
END_TEST

/* --- the first encrypting call that meets a key that is due ------------------------------------ */

START_TEST(the_first_encrypt_that_meets_a_due_key_rotates_it)
{
    static const struct {
        uint32_t days;
        const char *keyref;
    } cases[] = {{7, NULL}, {7, "alias/a"}, {90, NULL}, {730, "alias/a"}};
    kms_create_key_options options = KMS_CREATE_KEY_OPTIONS_INIT;
    char id[KMS_KEY_ID_SIZE];
    const char *keyref = cases[_i].keyref != NULL ? cases[_i].keyref : id;
    int64_t due = T0 + cases[_i].days * DAY_MS;
    uint8_t old[200];
    size_t old_len;
    kms_key_info info;

    setup();
    options.rotation_days = cases[_i].days;
    fixture_ok(kms_ensure_alias(store, "alias/a", &options, id));
    old_len = fixture_encrypt(store, keyref, "old", old, sizeof old);
    hand.now_ms = due - 1;
    ck_assert_uint_eq(rotation_encrypt(store, keyref), 1);
    ck_assert_uint_eq(fixture_changes(store), 1);
    hand.now_ms = due;
    ck_assert_uint_eq(rotation_encrypt(store, keyref), 2);
    ck_assert_uint_eq(fixture_changes(store), 2);
    ck_assert_uint_eq(rotation_encrypt(store, keyref), 2);
    info = fixture_describe(store, id);
    ck_assert_uint_eq(info.primary_version, 2);
    ck_assert_uint_eq(info.version_count, 2);
    ck_assert_int_eq(info.last_rotation_ms, due);
    ck_assert_int_eq(info.next_rotation_ms, due + cases[_i].days * DAY_MS);
    fixture_opens_as(store, old, old_len, "old");
    ck_assert_uint_eq(rotation_store_info(store).rotations_made, 1);
    ck_assert_uint_eq(rotation_store_info(store).rotations_put_off, 0);
    finish();
}
END_TEST

START_TEST(a_cold_handle_rotates_as_a_warm_one_does)
{
    char id[KMS_KEY_ID_SIZE];

    setup();
    rotation_create_key(store, 30, id);
    for (uint32_t i = 1; i <= 5; i++) {
        kms_close(store);
        store = rotation_open(&here, &hand, 0);
        at_day(30 * (int64_t)i);
        ck_assert_uint_eq(rotation_encrypt(store, id), i + 1);
        ck_assert_uint_eq(rotation_encrypt(store, id), i + 1);
    }
    ck_assert_uint_eq(fixture_describe(store, id).version_count, 6);
    finish();
}
END_TEST

START_TEST(a_new_version_keeps_its_keys_suite)
{
    kms_create_key_options options = KMS_CREATE_KEY_OPTIONS_INIT;
    char id[KMS_KEY_ID_SIZE];

    setup();
    options.suite = fixture_has_suite_2(store) ? KMS_SUITE_AES_256_GCM : options.suite;
    options.rotation_days = 30;
    fixture_ok(kms_create_key(store, &options, id));
    at_day(30);
    ck_assert_uint_eq(rotation_encrypt(store, id), 2);
    ck_assert_int_eq(fixture_describe(store, id).suite, options.suite);
    finish();
}
END_TEST

START_TEST(a_key_without_a_policy_never_rotates)
{
    char id[KMS_KEY_ID_SIZE];

    setup();
    fixture_create_key(store, id);
    if (_i == 1)
        fixture_ok(kms_update_rotation_policy(store, id, false, 30));
    for (int64_t day = 0; day < 100000; day += 999) {
        at_day(day);
        ck_assert_uint_eq(rotation_encrypt(store, id), 1);
    }
    finish();
}
END_TEST

START_TEST(decrypting_and_asking_rotate_nothing)
{
    static const kms_operation questions[] = {KMS_OP_ENCRYPT, KMS_OP_DECRYPT, KMS_OP_DESCRIBE_KEY,
                                              KMS_OP_CREATE_KEY_VERSION,
                                              KMS_OP_UPDATE_ROTATION_POLICY};
    char id[KMS_KEY_ID_SIZE];
    uint8_t blob[200];
    size_t len;
    bool stale = true;

    setup();
    rotation_create_key(store, 30, id);
    len = fixture_encrypt(store, id, "x", blob, sizeof blob);
    at_day(31);
    for (size_t i = 0; i < sizeof questions / sizeof *questions; i++)
        fixture_ok(kms_would(store, questions[i], id));
    fixture_opens_as(store, blob, len, "x");
    fixture_ok(kms_blob_is_stale(store, id, blob, len, &stale));
    ck_assert(!stale);
    ck_assert_uint_eq(fixture_changes(store), 1);
    ck_assert_uint_eq(fixture_describe(store, id).version_count, 1);
    ck_assert_uint_eq(rotation_encrypt(store, id), 2);
    fixture_ok(kms_blob_is_stale(store, id, blob, len, &stale));
    ck_assert(stale);
    finish();
}
END_TEST

/* --- the schedule ------------------------------------------------------------------------------ */

START_TEST(a_rotation_on_demand_does_not_move_the_schedule)
{
    char id[KMS_KEY_ID_SIZE];

    setup();
    rotation_create_key(store, 30, id);
    at_day(29);
    ck_assert_uint_eq(fixture_rotate(store, id), 2);
    ck_assert_int_eq(fixture_describe(store, id).last_rotation_ms, 0);
    ck_assert_int_eq(fixture_describe(store, id).next_rotation_ms, T0 + 30 * DAY_MS);
    at_day(30);
    ck_assert_uint_eq(rotation_encrypt(store, id), 3);
    at_day(31);
    ck_assert_uint_eq(fixture_rotate(store, id), 4);
    at_day(59);
    ck_assert_uint_eq(rotation_encrypt(store, id), 4);
    at_day(60);
    ck_assert_uint_eq(rotation_encrypt(store, id), 5);
    finish();
}
END_TEST

START_TEST(a_rotation_on_demand_of_a_due_key_leaves_it_due)
{
    char id[KMS_KEY_ID_SIZE];

    setup();
    rotation_create_key(store, 30, id);
    at_day(30);
    ck_assert_uint_eq(fixture_rotate(store, id), 2);
    ck_assert_uint_eq(rotation_encrypt(store, id), 3);
    ck_assert_uint_eq(rotation_encrypt(store, id), 3);
    finish();
}
END_TEST

START_TEST(another_interval_counts_from_where_the_schedule_began)
{
    char id[KMS_KEY_ID_SIZE];

    setup();
    rotation_create_key(store, 90, id);
    at_day(20);
    ck_assert_uint_eq(rotation_encrypt(store, id), 1);
    fixture_ok(kms_update_rotation_policy(store, id, true, 14));
    ck_assert_int_eq(fixture_describe(store, id).next_rotation_ms, T0 + 14 * DAY_MS);
    ck_assert_uint_eq(rotation_encrypt(store, id), 2);
    ck_assert_int_eq(fixture_describe(store, id).next_rotation_ms, T0 + 34 * DAY_MS);
    at_day(33);
    fixture_ok(kms_update_rotation_policy(store, id, true, 30));
    at_day(49);
    ck_assert_uint_eq(rotation_encrypt(store, id), 2);
    at_day(50);
    ck_assert_uint_eq(rotation_encrypt(store, id), 3);
    finish();
}
END_TEST

START_TEST(a_policy_turned_off_and_on_again_starts_anew)
{
    char id[KMS_KEY_ID_SIZE];

    setup();
    rotation_create_key(store, 30, id);
    at_day(30);
    fixture_ok(kms_update_rotation_policy(store, id, false, 0));
    ck_assert_uint_eq(rotation_encrypt(store, id), 1);
    at_day(100);
    ck_assert_uint_eq(rotation_encrypt(store, id), 1);
    fixture_ok(kms_update_rotation_policy(store, id, true, 0));
    ck_assert_uint_eq(rotation_encrypt(store, id), 1);
    at_day(129);
    ck_assert_uint_eq(rotation_encrypt(store, id), 1);
    at_day(130);
    ck_assert_uint_eq(rotation_encrypt(store, id), 2);
    ck_assert_int_eq(fixture_describe(store, id).last_rotation_ms, T0 + 130 * DAY_MS);
    /* What happened is not forgotten with the policy. */
    fixture_ok(kms_update_rotation_policy(store, id, false, 0));
    ck_assert_int_eq(fixture_describe(store, id).last_rotation_ms, T0 + 130 * DAY_MS);
    finish();
}
END_TEST

START_TEST(a_policy_rests_while_its_key_does)
{
    bool deletion = _i == 1;
    uint8_t blob[200];
    char id[KMS_KEY_ID_SIZE];
    kms_key_info info;
    size_t len;

    setup();
    rotation_create_key(store, 30, id);
    at_day(10);
    fixture_ok(deletion ? kms_schedule_key_deletion(store, id, 366, NULL)
                        : kms_disable_key(store, id));
    at_day(31);
    info = fixture_describe(store, id);
    ck_assert_int_eq(info.rotation, KMS_ROTATION_SUSPENDED);
    ck_assert_uint_eq(info.rotation_days, 30);
    ck_assert_int_eq(info.next_rotation_ms, T0 + 30 * DAY_MS);
    fixture_is(kms_encrypt(store, id, NULL, "x", 1, blob, sizeof blob, &len),
               deletion ? KMS_ERR_PENDING_DELETION : KMS_ERR_DISABLED);
    ck_assert_uint_eq(fixture_describe(store, id).version_count, 1);
    at_day(200);
    fixture_ok(deletion ? kms_cancel_key_deletion(store, id) : kms_enable_key(store, id));
    ck_assert_int_eq(fixture_describe(store, id).rotation, KMS_ROTATION_ENABLED);
    ck_assert_uint_eq(rotation_encrypt(store, id), 2);
    ck_assert_uint_eq(rotation_encrypt(store, id), 2);
    /* The day it was made, not the one on which it was due. */
    ck_assert_int_eq(fixture_describe(store, id).last_rotation_ms, T0 + 200 * DAY_MS);
    ck_assert_int_eq(fixture_describe(store, id).next_rotation_ms, T0 + 230 * DAY_MS);
    finish();
}
END_TEST

START_TEST(making_an_older_version_primary_leaves_the_schedule_alone)
{
    char id[KMS_KEY_ID_SIZE];

    setup();
    rotation_create_key(store, 30, id);
    at_day(30);
    ck_assert_uint_eq(rotation_encrypt(store, id), 2);
    fixture_ok(kms_update_primary_version(store, id, 1));
    at_day(59);
    ck_assert_uint_eq(rotation_encrypt(store, id), 1);
    at_day(60);
    ck_assert_uint_eq(rotation_encrypt(store, id), 3);
    finish();
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {an_interval_has_its_limits, 0},
        {a_policy_is_told_as_it_was_set, 0},
        {a_key_may_be_born_with_a_policy, 2},
        {an_update_takes_the_id_of_a_key_that_is_there, 0},
        {a_policy_changes_only_while_its_key_is_enabled, 4},
        {imported_and_service_keys_have_no_rotation_of_their_own, 3},
        {an_imported_key_is_not_born_with_a_policy, 0},
        {moving_an_alias_rotates_a_key_of_every_origin, 0},
        {the_first_encrypt_that_meets_a_due_key_rotates_it, 4},
        {a_cold_handle_rotates_as_a_warm_one_does, 0},
        {a_new_version_keeps_its_keys_suite, 0},
        {a_key_without_a_policy_never_rotates, 2},
        {decrypting_and_asking_rotate_nothing, 0},
        {a_rotation_on_demand_does_not_move_the_schedule, 0},
        {a_rotation_on_demand_of_a_due_key_leaves_it_due, 0},
        {another_interval_counts_from_where_the_schedule_began, 0},
        {a_policy_turned_off_and_on_again_starts_anew, 0},
        {a_policy_rests_while_its_key_does, 2},
        {making_an_older_version_primary_leaves_the_schedule_alone, 0},
    };

    return fixture_main("rotation", tests, sizeof tests / sizeof *tests, 60);
}
