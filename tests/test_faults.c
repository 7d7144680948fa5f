/* Whatever call of the engine fails: every change is made whole or not at all, the status is passed
 * on, no transaction stays open, and no change is ever made twice. */
#include "support/api_calls.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static place here;
static kms_store *store;
static api_stage stage;

static void setup(void)
{
    place_init(&here);
    store = place_open(&here);
    api_calls_stage(store, &stage);
}

/* With nothing cached. */
static void reopen(void)
{
    kms_close(store);
    store = place_open(&here);
}

static void finish(void)
{
    kms_close(store);
    place_free(&here);
}

static bool equal_sets(const stolen_set *a, const stolen_set *b)
{
    bool equal = a->count == b->count;

    for (size_t i = 0; equal && i < a->count; i++) {
        const stolen *x = &a->records[i], *y = &b->records[i];

        equal = x->key_len == y->key_len && memcmp(x->key, y->key, x->key_len) == 0 &&
                x->value_len == y->value_len && memcmp(x->value, y->value, x->value_len) == 0;
    }
    return equal;
}

/* The store holds what it held, to the byte. */
static void check_unchanged(const stolen_set *before, const char *name)
{
    stolen_set now = place_steal(&here);

    ck_assert_msg(equal_sets(before, &now), "%s failed and changed the store", name);
    stolen_free(&now);
}

static void check_in_order(void)
{
    ck_assert_int_eq(atomic_load(&here.control.open_txns), 0);
    fixture_ok(kms_verify(store));
}

/* --- one call of the engine fails ------------------------------------------------------------- */

static void fail_each(const api_call *call, kms_status with)
{
    stolen_set before;
    unsigned nth = 0;
    bool fired = true;

    /* Closing writes down what the stage has used. */
    reopen();
    before = place_steal(&here);
    while (fired) {
        kms_status st;

        reopen();
        engine_fail(&here.control, ENGINE_ANY, ++nth, with, false);
        st = call->perform(store, &stage);
        fired = engine_disarm(&here.control) > 0;
        ck_assert_msg(st == (fired ? with : KMS_OK), "%s, engine call %u: %s", call->name, nth,
                      kms_status_name(st));
        if (fired)
            check_unchanged(&before, call->name);
        check_in_order();
    }
    /* Not vacuous: so many calls have each failed once. */
    ck_assert_msg(nth - 1 >= call->least_engine_calls, "%s makes %u engine calls", call->name,
                  nth - 1);
    if (call->changes)
        ck_assert_uint_eq(fixture_changes(store), stage.changes + 1);
    stolen_free(&before);
}

START_TEST(a_call_is_whole_or_nothing_whichever_engine_call_fails)
{
    setup();
    ck_assert_uint_eq(fixture_changes(store), stage.changes);
    fail_each(&api_calls[_i], KMS_ERR_STORAGE);
    finish();
}
END_TEST

START_TEST(an_engines_own_status_is_passed_on)
{
    static const kms_status statuses[] = {KMS_ERR_FULL, KMS_ERR_BUSY, KMS_ERR_STORE_REPLACED,
                                          KMS_ERR_CORRUPT, KMS_ERR_NO_MEMORY};

    setup();
    for (size_t i = 0; i < api_call_count; i++) {
        kms_status with = statuses[i % 5];

        reopen();
        engine_fail(&here.control, ENGINE_ANY, 2, with, true);
        fixture_is(api_calls[i].perform(store, &stage), with);
        ck_assert_uint_gt(engine_disarm(&here.control), 0);
        check_in_order();
    }
    finish();
}
END_TEST

START_TEST(an_engine_that_does_not_say_why_it_failed_is_named)
{
    static const kms_status statuses[] = {KMS_ERR_STORAGE, KMS_ERR_FULL, (kms_status)4711,
                                          (kms_status)-1};

    setup();
    here.control.silent = true;
    for (size_t i = 0; i < 4 * api_call_count; i++) {
        kms_status with = statuses[i % 4];

        reopen();
        engine_fail(&here.control, ENGINE_ANY, 2, with, true);
        (void)kms_set_error(KMS_ERR_FULL, "an older failure");
        fixture_is(api_calls[i / 4].perform(store, &stage), i % 4 < 2 ? with : KMS_ERR_STORAGE);
        fixture_says("engine \"");
        ck_assert_uint_gt(engine_disarm(&here.control), 0);
        check_in_order();
    }
    finish();
}
END_TEST

START_TEST(a_fault_that_passes_leaves_the_handle_as_good_as_before)
{
    setup();
    for (size_t i = 0; i < api_call_count; i++)
        for (unsigned nth = 1; nth <= 4; nth++) {
            engine_fail(&here.control, ENGINE_ANY, nth, KMS_ERR_STORAGE, false);
            (void)api_calls[i].perform(store, &stage);
            (void)engine_disarm(&here.control);
        }
    check_in_order();
    finish();
    setup();
    fixture_ok(api_calls[0].perform(store, &stage));
    finish();
}
END_TEST

/* --- opening ---------------------------------------------------------------------------------- */

static void fail_opening(uint32_t flags, unsigned least)
{
    unsigned nth = 0;
    bool fired = true;

    while (fired) {
        kms_store *opened = NULL;
        kms_status st;

        engine_fail(&here.control, ENGINE_ANY, ++nth, KMS_ERR_STORAGE, false);
        st = place_try_open(&here, &opened, flags, NULL);
        fired = engine_disarm(&here.control) > 0;
        fixture_is(st, fired ? KMS_ERR_STORAGE : KMS_OK);
        ck_assert((opened == NULL) == fired);
        kms_close(opened);
        ck_assert_uint_eq(here.made, here.closed);
        ck_assert_int_eq(atomic_load(&here.control.open_txns), 0);
    }
    ck_assert_uint_ge(nth - 1, least);
}

START_TEST(opening_survives_every_fault_and_closes_its_engine)
{
    place_init(&here);
    /* open and create */
    fail_opening(KMS_OPEN_CREATE, 2);
    /* open, begin and get of the boot record, begin and get of the header */
    fail_opening(0, 5);
    fail_opening(KMS_OPEN_READ_ONLY, 5);
    place_free(&here);
}
END_TEST

START_TEST(a_store_that_could_not_be_made_is_not_there)
{
    kms_store *opened = NULL;

    place_init(&here);
    engine_fail(&here.control, ENGINE_CREATE, 1, KMS_ERR_FULL, false);
    fixture_is(place_try_open(&here, &opened, KMS_OPEN_CREATE, NULL), KMS_ERR_FULL);
    fixture_is(place_try_open(&here, &opened, 0, NULL), KMS_ERR_NOT_FOUND);
    kms_close(place_open(&here));
    place_free(&here);
}
END_TEST

/* Somebody else makes the store between open() and create(). */
static void make_it_first(void *data)
{
    place *p = data;
    kms_store *theirs = NULL;

    engine_before(&p->control, ENGINE_CREATE, NULL, NULL);
    fixture_ok(kms_open(&theirs, place_bare_engine(p), fixture_root(FIXTURE_ROOT_FILL),
                        KMS_OPEN_CREATE, NULL));
    fixture_ok(kms_ensure_alias(theirs, "alias/theirs", NULL, NULL));
    kms_close(theirs);
}

START_TEST(who_comes_second_opens_what_the_first_one_made)
{
    place_init(&here);
    engine_before(&here.control, ENGINE_CREATE, make_it_first, &here);
    store = place_open(&here);
    ck_assert_uint_eq(fixture_changes(store), 1);
    (void)fixture_describe(store, "alias/theirs");
    finish();
}
END_TEST

/* --- conflicts -------------------------------------------------------------------------------- */

START_TEST(a_conflict_anywhere_is_run_again_and_succeeds)
{
    static const engine_call kinds[] = {ENGINE_GET, ENGINE_SCAN, ENGINE_PUT, ENGINE_DEL,
                                        ENGINE_COMMIT};
    const api_call *call = &api_calls[_i];
    unsigned fired = 0;
    uint64_t before;

    if (strcmp(call->name, API_COPY_RESEALED) == 0)
        return;
    setup();
    for (size_t kind = 0; kind < 5; kind++)
        for (unsigned nth = 1; nth <= 4; nth++) {
            finish();
            setup();
            before = fixture_changes(store);
            reopen();
            engine_fail(&here.control, kinds[kind], nth, KMS_ERR_CONFLICT, false);
            fixture_ok(call->perform(store, &stage));
            fired += (unsigned)engine_disarm(&here.control);
            ck_assert_uint_eq(fixture_changes(store), before + (call->changes ? 1 : 0));
            check_in_order();
        }
    ck_assert_uint_gt(fired, 0);
    finish();
}
END_TEST

START_TEST(conflicts_without_end_are_told_after_a_bounded_time)
{
    stolen_set before;

    setup();
    before = place_steal(&here);
    for (size_t i = 0; i < api_call_count; i++) {
        if (!api_calls[i].changes || i % 3 != (size_t)_i)
            continue;
        engine_reset_counts(&here.control);
        engine_conflict(&here.control, 1000000);
        fixture_is(api_calls[i].perform(store, &stage), KMS_ERR_CONFLICT);
        engine_conflict(&here.control, 0);
        ck_assert_uint_gt(engine_count(&here.control, ENGINE_COMMIT), 5);
        ck_assert_uint_lt(engine_count(&here.control, ENGINE_COMMIT), 100);
        check_unchanged(&before, api_calls[i].name);
        check_in_order();
    }
    stolen_free(&before);
    finish();
}
END_TEST

/* Another process of the same store. */
typedef struct rival {
    kms_store *store;
    char key_id[KMS_KEY_ID_SIZE];
    unsigned changes;
} rival;

static void open_rival(rival *r)
{
    fixture_ok(
        kms_open(&r->store, place_bare_engine(&here), fixture_root(FIXTURE_ROOT_FILL), 0, NULL));
}

/* Comes between the first run and the second. */
static void ensure_first(void *data)
{
    rival *r = data;

    if (engine_count(&here.control, ENGINE_BEGIN_WRITE) < 2)
        return;
    engine_before(&here.control, ENGINE_BEGIN_WRITE, NULL, NULL);
    fixture_ok(kms_ensure_alias(r->store, "alias/new", NULL, r->key_id));
    r->changes++;
}

START_TEST(a_rerun_finds_what_a_rival_made_and_makes_no_second_key)
{
    rival other = {.store = NULL};
    char id[KMS_KEY_ID_SIZE], page[API_STAGE_KEYS + 3][KMS_KEY_ID_SIZE];
    size_t count;

    setup();
    open_rival(&other);
    engine_reset_counts(&here.control);
    engine_before(&here.control, ENGINE_BEGIN_WRITE, ensure_first, &other);
    engine_conflict(&here.control, 1);
    fixture_ok(kms_ensure_alias(store, "alias/new", NULL, id));
    ck_assert_uint_eq(other.changes, 1);
    ck_assert_str_eq(id, other.key_id);
    fixture_ok(kms_list_keys(store, NULL, page, API_STAGE_KEYS + 3, &count, NULL));
    ck_assert_uint_eq(count, API_STAGE_KEYS + 1);
    check_in_order();
    kms_close(other.store);
    finish();
}
END_TEST

/* --- commits of unknown outcome ---------------------------------------------------------------- */

START_TEST(a_commit_of_unknown_outcome_that_was_applied_is_found)
{
    const api_call *call = &api_calls[_i];

    if (!call->changes)
        return;
    setup();
    engine_reset_counts(&here.control);
    engine_commit_unknown(&here.control, true);
    fixture_ok(call->perform(store, &stage));
    ck_assert_uint_eq(engine_count(&here.control, ENGINE_COMMIT), 1);
    ck_assert_uint_eq(fixture_changes(store), stage.changes + 1);
    check_in_order();
    finish();
}
END_TEST

START_TEST(a_commit_of_unknown_outcome_that_was_not_applied_is_told_and_not_rerun)
{
    const api_call *call = &api_calls[_i];
    stolen_set before;

    if (!call->changes)
        return;
    setup();
    before = place_steal(&here);
    engine_reset_counts(&here.control);
    engine_commit_unknown(&here.control, false);
    fixture_is(call->perform(store, &stage), KMS_ERR_COMMIT_UNKNOWN);
    ck_assert_uint_eq(engine_count(&here.control, ENGINE_COMMIT), 1);
    check_unchanged(&before, call->name);
    check_in_order();
    /* The handle goes on. */
    fixture_ok(call->perform(store, &stage));
    ck_assert_uint_eq(fixture_changes(store), stage.changes + 1);
    stolen_free(&before);
    finish();
}
END_TEST

START_TEST(an_outcome_that_cannot_be_looked_up_stays_unknown)
{
    char id[KMS_KEY_ID_SIZE] = "untouched";

    setup();
    engine_commit_unknown(&here.control, true);
    engine_fail(&here.control, ENGINE_BEGIN_READ, 1, KMS_ERR_STORAGE, true);
    fixture_is(kms_create_key(store, NULL, id), KMS_ERR_COMMIT_UNKNOWN);
    ck_assert_uint_gt(engine_disarm(&here.control), 1);
    ck_assert_str_eq(id, "untouched");
    ck_assert_uint_eq(fixture_changes(store), stage.changes + 1);
    check_in_order();
    /* One look that fails is not the last. */
    engine_commit_unknown(&here.control, true);
    engine_fail(&here.control, ENGINE_BEGIN_READ, 1, KMS_ERR_STORAGE, false);
    fixture_ok(kms_create_key(store, NULL, id));
    ck_assert_uint_eq(engine_disarm(&here.control), 1);
    ck_assert_uint_eq(fixture_changes(store), stage.changes + 2);
    finish();
}
END_TEST

static void change_often(void *data)
{
    rival *r = data;

    engine_before(&here.control, ENGINE_BEGIN_READ, NULL, NULL);
    for (unsigned i = 0; i < r->changes; i++)
        fixture_ok(i % 2 == 0 ? kms_enable_key(r->store, stage.b)
                              : kms_disable_key(r->store, stage.b));
}

START_TEST(an_outcome_is_found_behind_31_later_changes_and_never_guessed)
{
    rival other = {.changes = 31 + (unsigned)_i};
    char id[KMS_KEY_ID_SIZE];

    setup();
    open_rival(&other);
    engine_commit_unknown(&here.control, true);
    engine_before(&here.control, ENGINE_BEGIN_READ, change_often, &other);
    fixture_is(kms_create_key(store, NULL, id), _i == 0 ? KMS_OK : KMS_ERR_COMMIT_UNKNOWN);
    ck_assert_uint_eq(fixture_changes(store), stage.changes + 1 + other.changes);
    kms_close(other.store);
    finish();
}
END_TEST

/* --- waiting for another writer ---------------------------------------------------------------- */

static double seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

START_TEST(a_change_waits_for_another_writer_as_long_as_it_was_told)
{
    static const uint32_t timeouts[] = {0, 1, 60};
    kms_open_options options = KMS_OPEN_OPTIONS_INIT;
    kms_revision revision;
    double before, waited;
    kms_txn *txn;

    setup();
    kms_close(store);
    if (here.memory == NULL) {
        fixture_skip("waiting for a writer of the same thread", "this engine's own tests have it");
        place_free(&here);
        return;
    }
    options.busy_timeout_ms = timeouts[_i];
    fixture_ok(place_try_open(&here, &store, 0, &options));
    fixture_ok(here.memory->ops->begin(here.memory, KMS_TXN_WRITE, &txn, &revision));
    for (size_t i = 0; i < api_call_count; i++) {
        before = seconds();
        fixture_is(api_calls[i].perform(store, &stage),
                   api_calls[i].changes ? KMS_ERR_BUSY : KMS_OK);
        waited = seconds() - before;
        ck_assert_msg(!api_calls[i].changes || waited * 1000 >= timeouts[_i], "waited %f s",
                      waited);
        ck_assert_msg(waited < 5, "waited %f s", waited);
    }
    here.memory->ops->abort(txn);
    fixture_ok(kms_enable_key(store, stage.b));
    finish();
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {a_call_is_whole_or_nothing_whichever_engine_call_fails, API_CALLS},
        {an_engines_own_status_is_passed_on, 0},
        {an_engine_that_does_not_say_why_it_failed_is_named, 0},
        {a_fault_that_passes_leaves_the_handle_as_good_as_before, 0},
        {opening_survives_every_fault_and_closes_its_engine, 0},
        {a_store_that_could_not_be_made_is_not_there, 0},
        {who_comes_second_opens_what_the_first_one_made, 0},
        {a_conflict_anywhere_is_run_again_and_succeeds, API_CALLS},
        {conflicts_without_end_are_told_after_a_bounded_time, 3},
        {a_rerun_finds_what_a_rival_made_and_makes_no_second_key, 0},
        {a_commit_of_unknown_outcome_that_was_applied_is_found, API_CALLS},
        {a_commit_of_unknown_outcome_that_was_not_applied_is_told_and_not_rerun, API_CALLS},
        {an_outcome_that_cannot_be_looked_up_stays_unknown, 0},
        {an_outcome_is_found_behind_31_later_changes_and_never_guessed, 2},
        {a_change_waits_for_another_writer_as_long_as_it_was_told, 3},
    };

    return fixture_main("faults", tests, sizeof tests / sizeof *tests, 60);
}
