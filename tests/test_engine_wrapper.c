/* The wrapping engine does to its calls what a test asked for, and nothing else. */
#include <check.h>
#include <kms/memory.h>
#include <stdlib.h>
#include <string.h>

#include "support/engine_wrapper.h"

static const kms_backend_how how = {.version = 1, .busy_timeout_ms = 1000};

static engine_control control;
static kms_backend *engine;

static void start(void)
{
    kms_backend *inner;

    engine_control_init(&control);
    ck_assert_int_eq(kms_memory_backend(&inner), KMS_OK);
    ck_assert_int_eq(engine_wrap(&engine, inner, &control), KMS_OK);
    ck_assert_int_eq(engine->ops->create(engine, &how, NULL, 0), KMS_OK);
    engine_reset_counts(&control);
}

static void finish(void)
{
    ck_assert_int_eq(control.open_txns, 0);
    engine->ops->close(engine);
}

static kms_slice text(const char *string)
{
    return (kms_slice){string, strlen(string)};
}

static kms_txn *begin(unsigned mode)
{
    kms_revision revision;
    kms_txn *txn;

    ck_assert_int_eq(engine->ops->begin(engine, mode, &txn, &revision), KMS_OK);
    return txn;
}

/* begin(write), put, commit; the first failure. */
static kms_status write_record(const char *key)
{
    kms_revision revision;
    kms_txn *txn;
    kms_status status = engine->ops->begin(engine, KMS_TXN_WRITE, &txn, &revision);

    if (status != KMS_OK)
        return status;
    status = engine->ops->put(txn, text(key), text("v"));
    if (status == KMS_OK)
        return engine->ops->commit(txn);
    engine->ops->abort(txn);
    return status;
}

static bool is_there(const char *key)
{
    kms_txn *txn = begin(KMS_TXN_READ);
    kms_slice value;
    kms_status status = engine->ops->get(txn, text(key), &value);

    engine->ops->abort(txn);
    return status == KMS_OK;
}

START_TEST(every_kind_of_call_is_counted)
{
    kms_revision revision;
    kms_record record;
    uint64_t age;
    size_t count;
    kms_txn *txn;

    (void)engine->ops->open(engine, &how);
    (void)engine->ops->create(engine, &how, NULL, 0);
    ck_assert_int_eq(write_record("a"), KMS_OK);
    ck_assert(is_there("a"));
    txn = begin(KMS_TXN_WRITE);
    ck_assert_int_eq(control.open_txns, 1);
    ck_assert_int_eq(engine->ops->scan(txn, text(""), 1, &record, &count), KMS_OK);
    ck_assert_int_eq(engine->ops->del(txn, text("a")), KMS_OK);
    engine->ops->abort(txn);
    ck_assert_int_eq(engine->ops->hint(engine, &revision, &age), KMS_OK);
    ck_assert_uint_eq(engine_count(&control, ENGINE_BEGIN_WRITE), 2);
    ck_assert_uint_eq(engine_count(&control, ENGINE_ABORT), 2);
    for (engine_call kind = ENGINE_OPEN; kind < ENGINE_ABORT; kind++) {
        if (kind != ENGINE_BEGIN_WRITE)
            ck_assert_msg(engine_count(&control, kind) == 1, "calls of kind %d", (int)kind);
    }
    ck_assert_uint_eq(engine_count(&control, ENGINE_ANY), 13);
    engine_reset_counts(&control);
    ck_assert_uint_eq(engine_count(&control, ENGINE_ANY), 0);
}
END_TEST

START_TEST(the_nth_call_fails_once)
{
    for (unsigned long nth = 1; nth <= 4; nth++) {
        engine_fail(&control, ENGINE_ANY, nth, KMS_ERR_FULL, false);
        ck_assert_int_eq(write_record("a"), nth <= 3 ? KMS_ERR_FULL : KMS_OK);
        ck_assert_uint_eq(engine_disarm(&control), nth <= 3 ? 1 : 0);
        if (nth <= 3)
            ck_assert_int_eq(kms_error_status(), KMS_ERR_FULL);
        ck_assert(is_there("a") == (nth > 3));
        ck_assert_int_eq(control.open_txns, 0);
    }
}
END_TEST

START_TEST(one_kind_fails_until_it_is_disarmed)
{
    engine_fail(&control, ENGINE_PUT, 2, KMS_ERR_STORAGE, true);
    ck_assert_int_eq(write_record("a"), KMS_OK);
    ck_assert_int_eq(write_record("b"), KMS_ERR_STORAGE);
    ck_assert_int_eq(write_record("b"), KMS_ERR_STORAGE);
    ck_assert(is_there("a"));
    ck_assert_uint_eq(engine_disarm(&control), 2);
    ck_assert_int_eq(write_record("b"), KMS_OK);
}
END_TEST

START_TEST(commits_conflict_as_often_as_asked)
{
    engine_conflict(&control, 2);
    ck_assert_int_eq(engine->ops->commit(begin(KMS_TXN_READ)), KMS_OK);
    ck_assert_int_eq(write_record("a"), KMS_ERR_CONFLICT);
    ck_assert_int_eq(write_record("a"), KMS_ERR_CONFLICT);
    ck_assert(!is_there("a"));
    ck_assert_int_eq(write_record("a"), KMS_OK);
    ck_assert(is_there("a"));
}
END_TEST

START_TEST(an_unknown_commit_is_applied_or_not)
{
    engine_commit_unknown(&control, true);
    ck_assert_int_eq(write_record("applied"), KMS_ERR_COMMIT_UNKNOWN);
    ck_assert_int_eq(kms_error_status(), KMS_ERR_COMMIT_UNKNOWN);
    ck_assert(is_there("applied"));
    engine_commit_unknown(&control, false);
    ck_assert_int_eq(write_record("dropped"), KMS_ERR_COMMIT_UNKNOWN);
    ck_assert(!is_there("dropped"));
    ck_assert_int_eq(write_record("after"), KMS_OK);
}
END_TEST

/* Another writer slips in, once. */
static void slip_in(void *data)
{
    engine_before(&control, ENGINE_BEGIN_WRITE, NULL, NULL);
    *(kms_status *)data = write_record("slipped in");
}

START_TEST(a_callback_runs_before_its_calls)
{
    kms_status slipped = KMS_ERR_STORAGE;

    engine_before(&control, ENGINE_BEGIN_WRITE, slip_in, &slipped);
    ck_assert(!is_there("slipped in"));
    ck_assert_int_eq(write_record("a"), KMS_OK);
    ck_assert_int_eq(slipped, KMS_OK);
    ck_assert(is_there("slipped in"));
    ck_assert_uint_eq(engine_count(&control, ENGINE_BEGIN_WRITE), 2);
}
END_TEST

/* Adds up the lengths of keys and values. */
static void add_up(void *data, kms_slice key, kms_slice value)
{
    size_t *sum = data;

    *sum += 100 * key.len + value.len;
}

START_TEST(every_put_is_shown_also_one_that_fails_or_is_never_committed)
{
    size_t sum = 0;

    engine_watch_puts(&control, add_up, &sum);
    ck_assert_int_eq(write_record("ab"), KMS_OK);
    ck_assert_uint_eq(sum, 201);
    engine_fail(&control, ENGINE_PUT, 1, KMS_ERR_STORAGE, false);
    ck_assert_int_eq(write_record("ab"), KMS_ERR_STORAGE);
    ck_assert_uint_eq(sum, 402);
    engine_conflict(&control, 1);
    ck_assert_int_eq(write_record("ab"), KMS_ERR_CONFLICT);
    ck_assert_uint_eq(sum, 603);
    engine_watch_puts(&control, NULL, NULL);
    ck_assert_int_eq(write_record("ab"), KMS_OK);
    ck_assert_uint_eq(sum, 603);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engine_wrapper");
    SRunner *runner = srunner_create(suite);
    TCase *tcase = tcase_create("wrapper");
    int failed;

    tcase_add_checked_fixture(tcase, start, finish);
    tcase_add_test(tcase, every_kind_of_call_is_counted);
    tcase_add_test(tcase, the_nth_call_fails_once);
    tcase_add_test(tcase, one_kind_fails_until_it_is_disarmed);
    tcase_add_test(tcase, commits_conflict_as_often_as_asked);
    tcase_add_test(tcase, an_unknown_commit_is_applied_or_not);
    tcase_add_test(tcase, a_callback_runs_before_its_calls);
    tcase_add_test(tcase, every_put_is_shown_also_one_that_fails_or_is_never_committed);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
