/* The LMDB engine's everyday: its constructor, records, snapshots and revisions. */
#include "support/lmdb_trial.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

START_TEST(constructor_refuses_what_it_must)
{
    kms_backend *engine = NULL;
    kms_lmdb_options options = KMS_LMDB_OPTIONS_INIT;
    char *longest = malloc(4002);
    ck_assert_ptr_nonnull(longest);
    memset(longest, 'a', 4001);
    longest[4001] = '\0';
    trial_is(kms_lmdb_backend(NULL, "x", NULL), KMS_ERR_INVALID_ARGUMENT);
    trial_is(kms_lmdb_backend(&engine, NULL, NULL), KMS_ERR_INVALID_ARGUMENT);
    trial_is(kms_lmdb_backend(&engine, "", NULL), KMS_ERR_INVALID_ARGUMENT);
    trial_is(kms_lmdb_backend(&engine, longest, NULL), KMS_ERR_INVALID_ARGUMENT);
    options.mode = 01000;
    trial_is(kms_lmdb_backend(&engine, "x", &options), KMS_ERR_INVALID_ARGUMENT);
    options.mode = 0;
    options.version = 2;
    trial_is(kms_lmdb_backend(&engine, "x", &options), KMS_ERR_ABI);
    ck_assert_ptr_null(engine);
    longest[4000] = '\0';
    trial_ok(kms_lmdb_backend(&engine, longest, NULL));
    trial_close(engine);
    free(longest);
}
END_TEST

START_TEST(open_refuses_a_newer_how_and_a_second_open)
{
    kms_backend *engine = trial_create(trial_fast_path("store"), 1);
    kms_backend_how how = {.version = 2};
    trial_is(trial_try_open(engine, 0, 0), KMS_ERR_INVALID_ARGUMENT);
    trial_is(trial_try_create(engine, 1), KMS_ERR_INVALID_ARGUMENT);
    trial_is(engine->ops->open(engine, &how), KMS_ERR_ABI);
    ck_assert_uint_eq(trial_read(engine), 1);
    trial_close(engine);
}
END_TEST

START_TEST(records_are_written_read_and_removed)
{
    kms_backend *engine = trial_create(trial_fast_path("store"), 1);
    kms_txn *txn;
    kms_revision revision;
    kms_slice value;
    trial_ok(engine->ops->begin(engine, KMS_TXN_WRITE, &txn, &revision));
    trial_ok(engine->ops->put(txn, trial_key("a"), (kms_slice){"", 0}));
    trial_ok(engine->ops->put(txn, trial_key("b"), (kms_slice){"old", 3}));
    trial_ok(engine->ops->put(txn, trial_key("b"), (kms_slice){"newer", 5}));
    trial_ok(engine->ops->put(txn, trial_key("c"), (kms_slice){NULL, 0}));
    trial_ok(engine->ops->del(txn, trial_key("c")));
    ck_assert_int_eq(engine->ops->del(txn, trial_key("c")), KMS_ERR_NOT_FOUND);
    trial_ok(engine->ops->get(txn, trial_key("b"), &value));
    ck_assert(value.len == 5 && memcmp(value.data, "newer", 5) == 0);
    trial_ok(engine->ops->commit(txn));
    trial_ok(engine->ops->begin(engine, KMS_TXN_READ, &txn, &revision));
    trial_ok(engine->ops->get(txn, trial_key("a"), &value));
    ck_assert_uint_eq(value.len, 0);
    ck_assert_int_eq(engine->ops->get(txn, trial_key("c"), &value), KMS_ERR_NOT_FOUND);
    ck_assert_int_eq(engine->ops->get(txn, trial_key("bb"), &value), KMS_ERR_NOT_FOUND);
    trial_ok(engine->ops->commit(txn));
    trial_close(engine);
}
END_TEST

START_TEST(limits_of_keys_and_values_hold)
{
    static char big[KMS_RECORD_VALUE_MAX + 1];
    kms_backend *engine = trial_create(trial_fast_path("store"), 1);
    kms_txn *txn;
    kms_revision revision;
    kms_slice value;
    kms_record record;
    size_t count;
    memset(big, 'k', sizeof big);
    trial_ok(engine->ops->begin(engine, KMS_TXN_WRITE, &txn, &revision));
    trial_is(engine->ops->put(txn, (kms_slice){big, 321}, (kms_slice){"v", 1}),
             KMS_ERR_INVALID_ARGUMENT);
    trial_is(engine->ops->put(txn, (kms_slice){big, 0}, (kms_slice){"v", 1}),
             KMS_ERR_INVALID_ARGUMENT);
    trial_is(engine->ops->put(txn, (kms_slice){big, 1}, (kms_slice){big, sizeof big}),
             KMS_ERR_INVALID_ARGUMENT);
    trial_is(engine->ops->get(txn, (kms_slice){big, 321}, &value), KMS_ERR_INVALID_ARGUMENT);
    trial_is(engine->ops->del(txn, (kms_slice){big, 0}), KMS_ERR_INVALID_ARGUMENT);
    trial_is(engine->ops->scan(txn, (kms_slice){NULL, 0}, 0, &record, &count),
             KMS_ERR_INVALID_ARGUMENT);
    trial_is(engine->ops->scan(txn, (kms_slice){NULL, 0}, KMS_SCAN_MAX + 1, &record, &count),
             KMS_ERR_INVALID_ARGUMENT);
    trial_ok(engine->ops->put(txn, (kms_slice){big, 320}, (kms_slice){big, KMS_RECORD_VALUE_MAX}));
    trial_ok(engine->ops->commit(txn));
    trial_ok(engine->ops->begin(engine, KMS_TXN_READ, &txn, &revision));
    trial_ok(engine->ops->get(txn, (kms_slice){big, 320}, &value));
    ck_assert(value.len == KMS_RECORD_VALUE_MAX && memcmp(value.data, big, value.len) == 0);
    trial_is(engine->ops->put(txn, (kms_slice){big, 1}, (kms_slice){"v", 1}), KMS_ERR_READ_ONLY);
    trial_is(engine->ops->del(txn, (kms_slice){big, 1}), KMS_ERR_READ_ONLY);
    engine->ops->abort(txn);
    trial_close(engine);
}
END_TEST

static void check_scan(kms_txn *txn, const char *from, size_t limit, const char *wanted)
{
    kms_record records[KMS_SCAN_MAX];
    char text[64] = "";
    size_t count = 0;
    trial_ok(txn->backend->ops->scan(txn, trial_key(from), limit, records, &count));
    for (size_t i = 0; i < count; i++) {
        strncat(text, records[i].key.data, records[i].key.len);
        strcat(text, " ");
    }
    ck_assert_str_eq(text, wanted);
}

START_TEST(scans_go_in_byte_order_and_again_in_the_next_transaction)
{
    kms_backend *engine = trial_create(trial_fast_path("store"), 1);
    const char *keys[] = {"b", "ab", "\xff", "a", "abc", "aa"};
    kms_txn *txn;
    kms_revision revision;
    trial_ok(engine->ops->begin(engine, KMS_TXN_WRITE, &txn, &revision));
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        trial_ok(engine->ops->put(txn, trial_key(keys[i]), (kms_slice){"v", 1}));
    check_scan(txn, "ab", 2, "ab abc ");
    trial_ok(engine->ops->commit(txn));
    for (int round = 0; round < 3; round++) {
        trial_ok(engine->ops->begin(engine, KMS_TXN_READ, &txn, &revision));
        check_scan(txn, "", 256, "a aa ab abc b number \xff ");
        check_scan(txn, "ab", 3, "ab abc b ");
        check_scan(txn, "abb", 1, "abc ");
        check_scan(txn, "\xff\x01", 9, "");
        engine->ops->abort(txn);
        /* The kept cursor must not show the older snapshot. */
        trial_ok(trial_try_fill(engine, "\xff", 10));
    }
    trial_close(engine);
}
END_TEST

START_TEST(a_snapshot_repeats_its_reads_and_tells_its_own_revision)
{
    kms_backend *engine = trial_create(trial_fast_path("store"), 1);
    kms_txn *old, *now;
    kms_revision before, after, hint;
    uint64_t age = 99;
    trial_ok(engine->ops->begin(engine, KMS_TXN_READ, &old, &before));
    trial_write(engine, 2);
    trial_ok(engine->ops->begin(engine, KMS_TXN_READ, &now, &after));
    trial_ok(engine->ops->hint(engine, &hint, &age));
    ck_assert_uint_eq(trial_number_in(old), 1);
    ck_assert_uint_eq(trial_number_in(now), 2);
    ck_assert_uint_eq(after.number, before.number + 1);
    ck_assert_uint_eq(hint.number, after.number);
    ck_assert_uint_eq(after.incarnation, before.incarnation);
    ck_assert_uint_eq(hint.incarnation, before.incarnation);
    ck_assert_uint_eq(age, 0);
    engine->ops->abort(old);
    engine->ops->abort(now);
    trial_close(engine);
}
END_TEST

START_TEST(a_write_is_based_on_the_newest_revision_and_abort_leaves_nothing)
{
    kms_backend *engine = trial_create(trial_fast_path("store"), 1);
    kms_txn *txn;
    kms_revision base, read;
    trial_ok(engine->ops->begin(engine, KMS_TXN_READ, &txn, &read));
    engine->ops->abort(txn);
    for (int i = 0; i < 2; i++) {
        trial_ok(engine->ops->begin(engine, KMS_TXN_WRITE, &txn, &base));
        ck_assert_uint_eq(base.number, read.number);
        trial_ok(engine->ops->put(txn, trial_key("number"), (kms_slice){"12345678", 8}));
        engine->ops->abort(txn);
        ck_assert_uint_eq(trial_read(engine), 1);
    }
    trial_close(engine);
}
END_TEST

START_TEST(read_only_handles_read_beside_writing_ones_and_never_write)
{
    const char *path = trial_fast_path("store");
    kms_backend *writer = trial_create(path, 1);
    kms_backend *reader = trial_engine(path, 0);
    kms_txn *txn;
    kms_revision revision;
    trial_ok(trial_try_open(reader, KMS_BACKEND_READ_ONLY, 0));
    trial_write(writer, 2);
    ck_assert_uint_eq(trial_read(reader), 2);
    trial_is(reader->ops->begin(reader, KMS_TXN_WRITE, &txn, &revision), KMS_ERR_READ_ONLY);
    trial_close(writer);
    ck_assert_uint_eq(trial_read(reader), 2);
    trial_close(reader);
}
END_TEST

START_TEST(a_process_that_reads_only_is_told_how_it_could_write)
{
    const char *path = trial_fast_path("store");
    trial_close(trial_create(path, 1));
    kms_backend *reader = trial_engine(path, 0);
    kms_backend *writer = trial_engine(path, 0);
    trial_ok(trial_try_open(reader, KMS_BACKEND_READ_ONLY, 0));
    trial_is(trial_try_open(writer, 0, 0), KMS_ERR_READ_ONLY);
    trial_says("open for reading only");
    trial_close(reader);
    trial_ok(trial_try_open(writer, 0, 0));
    trial_write(writer, 2);
    trial_close(writer);
}
END_TEST

START_TEST(a_store_is_made_with_the_mode_asked_for)
{
    const char *path = trial_fast_path("store");
    kms_lmdb_options options = KMS_LMDB_OPTIONS_INIT;
    const char *suffixes[] = {"", "-lock", "-guard"};
    kms_backend *engine;
    struct stat st;
    umask(027);
    options.mode = 0660;
    trial_ok(kms_lmdb_backend(&engine, path, &options));
    trial_ok(trial_try_create(engine, 1));
    for (size_t i = 0; i < 3; i++) {
        ck_assert_int_eq(stat(trial_beside(path, suffixes[i]), &st), 0);
        ck_assert_uint_eq(st.st_mode & 0777, 0640);
    }
    trial_close(engine);
}
END_TEST

START_TEST(relative_paths_survive_a_change_of_directory)
{
    char folder[TRIAL_PATH_MAX];
    snprintf(folder, sizeof folder, "%s", trial_fast_path("x"));
    *strrchr(folder, '/') = '\0';
    ck_assert_int_eq(chdir(folder), 0);
    kms_backend *engine = trial_create("store", 1);
    ck_assert_int_eq(chdir("/"), 0);
    trial_write(engine, 2);
    ck_assert_uint_eq(trial_read(engine), 2);
    trial_close(engine);
    ck_assert(trial_exists(trial_fast_path("store")));
}
END_TEST

static void *read_and_write(void *argument)
{
    kms_backend *engine = argument;
    for (int i = 0; i < 300; i++) {
        uint64_t number;
        trial_must(trial_try_read(engine, &number) == KMS_OK);
        if (i % 10 == 0)
            trial_must(trial_try_write(engine, number + 1) == KMS_OK);
    }
    return NULL;
}

START_TEST(threads_share_a_handle)
{
    pthread_t threads[8];
    kms_backend *engine = trial_create(trial_fast_path("store"), 1);
    for (size_t i = 0; i < 8; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, read_and_write, engine), 0);
    for (size_t i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    trial_close(engine);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        constructor_refuses_what_it_must,
        open_refuses_a_newer_how_and_a_second_open,
        records_are_written_read_and_removed,
        limits_of_keys_and_values_hold,
        scans_go_in_byte_order_and_again_in_the_next_transaction,
        a_snapshot_repeats_its_reads_and_tells_its_own_revision,
        a_write_is_based_on_the_newest_revision_and_abort_leaves_nothing,
        read_only_handles_read_beside_writing_ones_and_never_write,
        a_process_that_reads_only_is_told_how_it_could_write,
        a_store_is_made_with_the_mode_asked_for,
        relative_paths_survive_a_change_of_directory,
        threads_share_a_handle,
    };
    return trial_main("lmdb_records", tests, sizeof tests / sizeof tests[0]);
}
