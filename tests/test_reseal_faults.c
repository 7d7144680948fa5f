/* kms_copy_resealed() when something is in its way: it fails, leaves the store as it is, closes its
 * engine, and never makes a copy that is less than one snapshot of the store. */
#include "support/key_life.h"

#include <string.h>

static place here, there;
static kms_store *store;
static char id[KMS_KEY_ID_SIZE];
static uint8_t blob[200];
static size_t blob_len;

static void setup(void)
{
    place_init(&here);
    place_init(&there);
    store = life_open(&here);
    fixture_create_key(store, id);
    fixture_rotate(store, id);
    fixture_ok(kms_create_alias(store, "alias/key", id));
    fixture_ok(kms_update_key_description(store, id, "text"));
    blob_len = fixture_encrypt(store, id, "text", blob, sizeof blob);
    fixture_ok(kms_flush_last_use(store));
}

static void finish(void)
{
    fixture_ok(kms_verify(store));
    kms_close(store);
    place_free(&here);
    place_free(&there);
}

static void check_closed(void)
{
    ck_assert_uint_eq(there.made, there.closed);
    ck_assert_int_eq(atomic_load(&there.control.open_txns), 0);
    ck_assert_int_eq(atomic_load(&here.control.open_txns), 0);
}

static kms_status make_copy(void)
{
    kms_status st = kms_copy_resealed(store, place_engine(&there), fixture_root(FIXTURE_ROOT_FILL));

    check_closed();
    return st;
}

/* What is there opens, and is whole. */
static uint64_t check_copy(void)
{
    kms_store *copy = NULL;
    uint64_t changes;

    fixture_ok(life_try_open(&there, &copy, 0));
    fixture_ok(kms_verify(copy));
    fixture_opens_as(copy, blob, blob_len, "text");
    ck_assert_str_eq(fixture_describe_alias(copy, "alias/key").key_id, id);
    changes = fixture_changes(copy);
    kms_close(copy);
    return changes;
}

/* As an administrator does after a failure. */
static void delete_copy(void)
{
    place_free(&there);
    place_init(&there);
}

static bool same_records(place *p, const stolen_set *before)
{
    stolen_set now = place_steal(p);
    bool same = now.count == before->count;

    for (size_t i = 0; same && i < now.count; i++)
        same =
            now.records[i].value_len == before->records[i].value_len &&
            memcmp(now.records[i].value, before->records[i].value, now.records[i].value_len) == 0;
    stolen_free(&now);
    return same;
}

/* --- refusals --------------------------------------------------------------------------------- */

START_TEST(a_store_at_the_target_is_refused_and_left_as_it_is)
{
    stolen_set before;

    setup();
    kms_close(place_open(&there));
    before = place_steal(&there);
    fixture_is(make_copy(), KMS_ERR_ALREADY_EXISTS);
    ck_assert(same_records(&there, &before));
    stolen_free(&before);
    finish();
}
END_TEST

START_TEST(a_store_is_no_target_of_its_own)
{
    stolen_set before;

    setup();
    before = place_steal(&here);
    fixture_is(kms_copy_resealed(store, place_bare_engine(&here), fixture_root(FIXTURE_ROOT_FILL)),
               KMS_ERR_ALREADY_EXISTS);
    ck_assert_uint_eq(here.made, here.closed + 1);
    ck_assert(same_records(&here, &before));
    stolen_free(&before);
    finish();
}
END_TEST

START_TEST(whatever_is_missing_the_rest_is_taken_over)
{
    setup();
    fixture_is(kms_copy_resealed(NULL, place_engine(&there), fixture_root(FIXTURE_ROOT_FILL)),
               KMS_ERR_INVALID_ARGUMENT);
    check_closed();
    fixture_is(kms_copy_resealed(store, NULL, fixture_root(FIXTURE_ROOT_FILL)),
               KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_copy_resealed(store, place_engine(&there), NULL), KMS_ERR_INVALID_ARGUMENT);
    check_closed();
    fixture_is(kms_copy_resealed(NULL, NULL, NULL), KMS_ERR_INVALID_ARGUMENT);
    ck_assert_uint_eq(engine_count(&there.control, ENGINE_ANY), 0);
    fixture_ok(make_copy());
    finish();
}
END_TEST

START_TEST(an_engine_of_another_contract_is_refused_and_closed)
{
    kms_backend_ops ops;
    kms_backend *engine;

    setup();
    engine = place_bare_engine(&there);
    ops = *engine->ops;
    ops.abi++;
    engine->ops = &ops;
    fixture_is(kms_copy_resealed(store, engine, fixture_root(FIXTURE_ROOT_FILL)), KMS_ERR_ABI);
    check_closed();
    finish();
}
END_TEST

START_TEST(a_damaged_store_is_not_copied)
{
    static const char tags[] = "AKVHDU";
    stolen_set set;
    stolen damaged;

    setup();
    set = place_steal(&here);
    damaged = *stolen_find(&set, tags[_i]);
    damaged.value[damaged.value_len / 2] ^= 1;
    place_plant_record(&here, &damaged);
    fixture_is(make_copy(), KMS_ERR_CORRUPT);
    damaged.value[damaged.value_len / 2] ^= 1;
    place_plant_record(&here, &damaged);
    stolen_free(&set);
    finish();
}
END_TEST

/* Whole records, but not those that the last change left. */
START_TEST(a_store_that_lacks_a_record_is_not_copied)
{
    static const char tags[] = "AKVIDU";
    const stolen *taken;
    stolen_set set;

    setup();
    set = place_steal(&here);
    taken = stolen_find(&set, tags[_i]);
    place_plant(&here, taken->key, taken->key_len, NULL, 0);
    fixture_is(make_copy(), KMS_ERR_CORRUPT);
    place_plant_record(&here, taken);
    stolen_free(&set);
    finish();
}
END_TEST

/* --- faults of both engines -------------------------------------------------------------------- */

static bool fail_once(engine_control *control, unsigned nth, kms_status with)
{
    bool fired;
    kms_status st;

    engine_fail(control, ENGINE_ANY, nth, with, false);
    st = make_copy();
    fired = engine_disarm(control) > 0;
    fixture_is(st, fired ? with : KMS_OK);
    return fired;
}

START_TEST(every_fault_of_either_engine_is_told_and_leaves_nothing_open)
{
    engine_control *control = _i % 2 == 0 ? &here.control : &there.control;
    kms_status with = _i < 2 ? KMS_ERR_STORAGE : KMS_ERR_FULL;
    stolen_set before;
    unsigned nth = 1;

    setup();
    before = place_steal(&here);
    while (fail_once(control, nth, with)) {
        ck_assert(same_records(&here, &before));
        delete_copy();
        nth++;
    }
    ck_assert_uint_ge(nth, 14);
    (void)check_copy();
    stolen_free(&before);
    finish();
}
END_TEST

START_TEST(conflicts_of_the_target_are_run_again)
{
    setup();
    engine_conflict(&there.control, 3);
    fixture_ok(make_copy());
    (void)check_copy();
    finish();
}
END_TEST

START_TEST(a_commit_of_unknown_outcome_is_found_or_told)
{
    setup();
    engine_commit_unknown(&there.control, _i == 0);
    fixture_is(make_copy(), _i == 0 ? KMS_OK : KMS_ERR_COMMIT_UNKNOWN);
    if (_i == 0)
        (void)check_copy();
    finish();
}
END_TEST

/* Where reading answers a conflict, a second snapshot would be another one. */
START_TEST(a_snapshot_that_is_lost_ends_the_copy)
{
    static const engine_call kinds[] = {ENGINE_GET, ENGINE_SCAN};
    unsigned nth = 0, lost = 0;
    bool fired = true;

    setup();
    while (fired) {
        kms_status st;

        engine_fail(&here.control, kinds[_i], ++nth, KMS_ERR_CONFLICT, false);
        st = make_copy();
        fired = engine_disarm(&here.control) > 0;
        if (st == KMS_OK) {
            (void)check_copy();
        } else {
            fixture_is(st, KMS_ERR_STORAGE);
            fixture_says("delete the copy");
            lost++;
        }
        delete_copy();
    }
    ck_assert_uint_ge(lost, _i == 0 ? 5 : 1);
    finish();
}
END_TEST

/* --- others write meanwhile -------------------------------------------------------------------- */

typedef struct writer {
    kms_store *store;
    unsigned changes;
} writer;

static void write_meanwhile(void *data)
{
    writer *w = data;

    engine_before(&there.control, ENGINE_CREATE, NULL, NULL);
    for (unsigned i = 0; i < 20; i++)
        fixture_ok(i % 2 == 0 ? kms_disable_key(w->store, id) : kms_enable_key(w->store, id));
    fixture_ok(kms_create_alias(w->store, "alias/late", id));
    w->changes = 21;
}

/* The counter tells whoever keeps it elsewhere that a store was not put back. */
START_TEST(a_copy_is_never_behind_the_changes_that_it_holds)
{
    writer rival = {.changes = 0};
    kms_store *copy = NULL;
    kms_alias_info alias;
    uint64_t before;

    setup();
    before = fixture_changes(store);
    fixture_ok(life_try_open(&here, &rival.store, 0));
    engine_before(&there.control, ENGINE_CREATE, write_meanwhile, &rival);
    fixture_ok(make_copy());
    ck_assert_uint_eq(rival.changes, 21);
    ck_assert_uint_ge(check_copy(), before);
    fixture_ok(life_try_open(&there, &copy, 0));
    if (kms_describe_alias(copy, "alias/late", &alias) == KMS_OK)
        ck_assert_uint_ge(fixture_changes(copy), before + rival.changes);
    kms_close(copy);
    kms_close(rival.store);
    finish();
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {a_store_at_the_target_is_refused_and_left_as_it_is, 0},
        {a_store_is_no_target_of_its_own, 0},
        {whatever_is_missing_the_rest_is_taken_over, 0},
        {an_engine_of_another_contract_is_refused_and_closed, 0},
        {a_damaged_store_is_not_copied, 6},
        {a_store_that_lacks_a_record_is_not_copied, 6},
        {every_fault_of_either_engine_is_told_and_leaves_nothing_open, 4},
        {conflicts_of_the_target_are_run_again, 0},
        {a_commit_of_unknown_outcome_is_found_or_told, 2},
        {a_snapshot_that_is_lost_ends_the_copy, 2},
        {a_copy_is_never_behind_the_changes_that_it_holds, 0},
    };

    return fixture_main("reseal_faults", tests, sizeof tests / sizeof *tests, 60);
}
