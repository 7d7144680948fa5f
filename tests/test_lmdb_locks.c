/* Who may write to an LMDB store, in the ways in which LMDB's own lock was seen to fail. */
#include "support/lmdb_trial.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* Nobody else may write now: a newcomer is told so at once, and never stands in the same place. */
static void check_excluded(trial_peer *peer)
{
    kms_status status = KMS_OK;
    trial_peer_tell(peer, PEER_BEGIN, NULL, KMS_TXN_WRITE | KMS_TXN_NOWAIT);
    ck_assert_msg(trial_peer_answer(peer, 20000, &status, NULL, NULL), "the newcomer hangs");
    ck_assert_msg(status == KMS_ERR_BUSY, "the newcomer got %s", kms_status_name(status));
}

static kms_txn *begin(kms_backend *engine, unsigned mode)
{
    kms_txn *txn = NULL;
    kms_revision revision;
    trial_ok(engine->ops->begin(engine, mode, &txn, &revision));
    return txn;
}

static void put_and_commit(kms_txn *txn, uint64_t number)
{
    const kms_backend_ops *ops = txn->backend->ops;
    trial_ok(ops->put(txn, trial_key("number"), (kms_slice){&number, sizeof number}));
    trial_ok(ops->commit(txn));
}

static int count_maps_of(const char *path)
{
    char line[TRIAL_PATH_MAX * 2];
    int count = 0;
    FILE *maps = fopen("/proc/self/maps", "re");
    ck_assert_ptr_nonnull(maps);
    while (fgets(line, sizeof line, maps) != NULL) {
        char *name = strchr(line, '/');
        if (name != NULL && strcspn(name, "\n") == strlen(path) &&
            strncmp(name, path, strlen(path)) == 0)
            count++;
    }
    fclose(maps);
    return count;
}

START_TEST(one_file_opened_twice_is_one_environment)
{
    const char *path = trial_fast_path("store");
    trial_peer peer = trial_peer_start();
    kms_backend *first = trial_create(path, 1);
    kms_backend *second = trial_open(path);
    ck_assert_int_eq(count_maps_of(path), 1);
    /* Two of LMDB's would share one reader lock, and the first close would drop it for both. */
    kms_txn *snapshot = begin(first, KMS_TXN_READ);
    trial_close(second);
    trial_ok(trial_peer_do(&peer, PEER_OPEN, path, 0, NULL, NULL));
    for (uint64_t i = 2; i < 102; i++)
        trial_ok(trial_peer_do(&peer, PEER_WRITE, NULL, i, NULL, NULL));
    ck_assert_uint_eq(trial_number_in(snapshot), 1);
    first->ops->abort(snapshot);
    ck_assert_uint_eq(trial_read(first), 101);
    trial_peer_end(&peer);
    trial_close(first);
}
END_TEST

START_TEST(closing_one_of_two_handles_keeps_the_other_alone_in_its_write)
{
    const char *path = trial_fast_path("store");
    trial_peer peer = trial_peer_start();
    kms_backend *first = trial_create(path, 1);
    kms_backend *second = trial_open(path);
    kms_txn *txn = begin(first, KMS_TXN_WRITE);
    trial_close(second);
    trial_ok(trial_peer_do(&peer, PEER_OPEN, path, 0, NULL, NULL));
    check_excluded(&peer);
    put_and_commit(txn, 2);
    trial_ok(trial_peer_do(&peer, PEER_WRITE, NULL, 3, NULL, NULL));
    ck_assert_uint_eq(trial_read(first), 3);
    trial_peer_end(&peer);
    trial_close(first);
}
END_TEST

START_TEST(opening_and_closing_the_lock_file_lets_nobody_in)
{
    const char *path = trial_fast_path("store");
    trial_peer peer = trial_peer_start();
    kms_backend *engine = trial_create(path, 1);
    kms_txn *txn = begin(engine, KMS_TXN_WRITE);
    FILE *backup = fopen(trial_beside(path, "-lock"), "re");
    ck_assert_ptr_nonnull(backup);
    fclose(backup);
    trial_ok(trial_peer_do(&peer, PEER_OPEN, path, 0, NULL, NULL));
    check_excluded(&peer);
    put_and_commit(txn, 2);
    for (uint64_t i = 3; i < 9; i += 2) {
        trial_ok(trial_peer_do(&peer, PEER_WRITE, NULL, i, NULL, NULL));
        ck_assert_uint_eq(trial_read(engine), i);
        trial_write(engine, i + 1);
    }
    trial_peer_end(&peer);
    trial_close(engine);
}
END_TEST

START_TEST(opening_and_closing_the_lock_file_does_not_let_a_newcomer_start_it_anew)
{
    const char *path = trial_fast_path("store");
    trial_peer peer = trial_peer_start();
    kms_backend *engine = trial_create(path, 1);
    kms_txn *other = begin(engine, KMS_TXN_READ);
    FILE *backup = fopen(trial_beside(path, "-lock"), "re");
    ck_assert_ptr_nonnull(backup);
    fclose(backup);
    /* The write that follows takes back the sign of life that fclose() dropped. */
    trial_write(engine, 2);
    kms_txn *snapshot = begin(engine, KMS_TXN_READ);
    trial_ok(trial_peer_do(&peer, PEER_OPEN, path, 0, NULL, NULL));
    for (uint64_t i = 3; i < 103; i++)
        trial_ok(trial_peer_do(&peer, PEER_WRITE, NULL, i, NULL, NULL));
    ck_assert_uint_eq(trial_number_in(snapshot), 2);
    engine->ops->abort(snapshot);
    engine->ops->abort(other);
    trial_peer_end(&peer);
    trial_close(engine);
}
END_TEST

START_TEST(removing_the_lock_file_lets_nobody_in)
{
    const char *path = trial_fast_path("store");
    trial_peer peer = trial_peer_start();
    kms_backend *engine = trial_create(path, 1);
    kms_revision revision;
    kms_txn *txn = begin(engine, KMS_TXN_WRITE);
    ck_assert_int_eq(unlink(trial_beside(path, "-lock")), 0);
    trial_ok(trial_peer_do(&peer, PEER_OPEN, path, 0, NULL, NULL));
    check_excluded(&peer);
    put_and_commit(txn, 2);
    trial_is(engine->ops->begin(engine, KMS_TXN_WRITE, &txn, &revision), KMS_ERR_STORE_REPLACED);
    trial_says("-lock: this lock file was removed");
    trial_ok(trial_peer_do(&peer, PEER_WRITE, NULL, 3, NULL, NULL));
    trial_peer_end(&peer);
    trial_close(engine);
    engine = trial_open(path);
    ck_assert_uint_eq(trial_read(engine), 3);
    trial_close(engine);
}
END_TEST

START_TEST(a_waiter_killed_in_another_pid_namespace_opens_no_door)
{
    const char *path = trial_fast_path("store");
    trial_peer newcomer = trial_peer_start();
    trial_peer owner = trial_peer_start_namespaced(SEAT_THREAD);
    if (owner.pid == 0) {
        trial_skip(__func__, "pid namespaces are not permitted here");
        return;
    }
    trial_peer waiter = trial_peer_start_namespaced(SEAT_CHILD);
    trial_close(trial_create(path, 1));
    trial_ok(trial_peer_do(&owner, PEER_OPEN, path, 0, NULL, NULL));
    trial_ok(trial_peer_do(&waiter, PEER_OPEN, path, 0, NULL, NULL));
    trial_ok(trial_peer_do(&newcomer, PEER_OPEN, path, 0, NULL, NULL));
    trial_ok(trial_peer_do(&owner, PEER_BEGIN, NULL, KMS_TXN_WRITE, NULL, NULL));
    /* The waiter's thread id is the owner's: 2. */
    trial_peer_tell(&waiter, PEER_BEGIN, NULL, KMS_TXN_WRITE);
    usleep(100000);
    trial_peer_kill(&waiter);
    check_excluded(&newcomer);
    trial_ok(trial_peer_do(&owner, PEER_PUT, NULL, 2, NULL, NULL));
    trial_ok(trial_peer_do(&owner, PEER_COMMIT, NULL, 0, NULL, NULL));
    trial_ok(trial_peer_do(&newcomer, PEER_WRITE, NULL, 3, NULL, NULL));
    trial_peer_end(&newcomer);
    trial_peer_end(&owner);
}
END_TEST

START_TEST(equal_pids_in_two_pid_namespaces_are_refused_with_a_sentence)
{
    const char *path = trial_fast_path("store");
    char message[512] = "";
    uint64_t number = 0;
    trial_peer first = trial_peer_start_namespaced(SEAT_INIT);
    if (first.pid == 0) {
        trial_skip(__func__, "pid namespaces are not permitted here");
        return;
    }
    trial_peer second = trial_peer_start_namespaced(SEAT_INIT);
    trial_close(trial_create(path, 1));
    trial_ok(trial_peer_do(&first, PEER_OPEN, path, 0, NULL, NULL));
    ck_assert_int_eq(trial_peer_do(&second, PEER_OPEN, path, 0, NULL, message), KMS_ERR_STORAGE);
    ck_assert_ptr_nonnull(strstr(message, "another process with this process' pid (1), in another "
                                          "pid namespace, has this store open"));
    trial_ok(trial_peer_do(&first, PEER_WRITE, NULL, 2, NULL, NULL));
    trial_ok(trial_peer_do(&first, PEER_CLOSE, NULL, 0, NULL, NULL));
    trial_ok(trial_peer_do(&second, PEER_OPEN, path, 0, NULL, NULL));
    trial_ok(trial_peer_do(&second, PEER_READ, NULL, 0, &number, NULL));
    ck_assert_uint_eq(number, 2);
    trial_peer_end(&first);
    trial_peer_end(&second);
}
END_TEST

START_TEST(a_process_killed_in_a_write_stops_nobody)
{
    const char *path = trial_fast_path("store");
    trial_close(trial_create(path, 1));
    for (uint64_t round = 1; round <= 5; round++) {
        trial_peer peer = trial_peer_start();
        trial_ok(trial_peer_do(&peer, PEER_OPEN, path, 0, NULL, NULL));
        trial_ok(trial_peer_do(&peer, PEER_BEGIN, NULL, KMS_TXN_WRITE, NULL, NULL));
        trial_ok(trial_peer_do(&peer, PEER_PUT, NULL, 99, NULL, NULL));
        trial_peer_kill(&peer);
        kms_backend *engine = trial_open(path);
        double begun = trial_seconds();
        ck_assert_uint_eq(trial_read(engine), round);
        trial_write(engine, round + 1);
        ck_assert_double_lt(trial_seconds() - begun, 3.0);
        trial_close(engine);
    }
}
END_TEST

START_TEST(waiting_for_another_process_ends_at_the_busy_timeout)
{
    const char *path = trial_fast_path("store");
    trial_peer peer = trial_peer_start();
    kms_backend *engine = trial_engine(path, 0);
    kms_txn *txn;
    kms_revision revision;
    trial_ok(trial_peer_do(&peer, PEER_CREATE, path, 1, NULL, NULL));
    trial_ok(trial_peer_do(&peer, PEER_BEGIN, NULL, KMS_TXN_WRITE, NULL, NULL));
    trial_ok(trial_try_open(engine, 0, 800));
    double begun = trial_seconds();
    trial_is(engine->ops->begin(engine, KMS_TXN_WRITE, &txn, &revision), KMS_ERR_BUSY);
    double waited = trial_seconds() - begun;
    ck_assert_msg(waited > 0.79 && waited < 5.0, "waited %f s", waited);
    trial_says(path);
    trial_says("another process is writing");
    begun = trial_seconds();
    trial_is(engine->ops->begin(engine, KMS_TXN_WRITE | KMS_TXN_NOWAIT, &txn, &revision),
             KMS_ERR_BUSY);
    ck_assert_double_lt(trial_seconds() - begun, 0.7);
    ck_assert_uint_eq(trial_read(engine), 1);
    trial_ok(trial_peer_do(&peer, PEER_ABORT, NULL, 0, NULL, NULL));
    trial_write(engine, 2);
    trial_peer_end(&peer);
    trial_close(engine);
}
END_TEST

static void *wait_and_fail(void *argument)
{
    kms_backend *engine = argument;
    kms_txn *txn;
    kms_revision revision;
    double begun = trial_seconds();
    trial_must(engine->ops->begin(engine, KMS_TXN_WRITE | KMS_TXN_NOWAIT, &txn, &revision) ==
               KMS_ERR_BUSY);
    trial_must(trial_seconds() - begun < 0.7);
    trial_must(engine->ops->begin(engine, KMS_TXN_WRITE, &txn, &revision) == KMS_ERR_BUSY);
    double waited = trial_seconds() - begun;
    trial_must(waited > 0.79 && waited < 5.0);
    trial_must(strstr(kms_error_message(), "another thread is writing") != NULL);
    return NULL;
}

START_TEST(waiting_for_another_thread_ends_at_the_busy_timeout)
{
    const char *path = trial_fast_path("store");
    kms_backend *engine = trial_engine(path, 0);
    kms_txn *txn;
    kms_revision revision;
    pthread_t thread;
    trial_close(trial_create(path, 1));
    trial_ok(trial_try_open(engine, 0, 800));
    trial_ok(engine->ops->begin(engine, KMS_TXN_WRITE, &txn, &revision));
    ck_assert_int_eq(pthread_create(&thread, NULL, wait_and_fail, engine), 0);
    pthread_join(thread, NULL);
    put_and_commit(txn, 2);
    trial_close(engine);
}
END_TEST

START_TEST(a_thread_does_not_wait_for_itself)
{
    const char *path = trial_fast_path("store");
    kms_backend *first = trial_create(path, 1);
    kms_backend *second = trial_engine(path, 0);
    kms_txn *txn, *nested;
    kms_revision revision;
    trial_ok(trial_try_open(second, 0, UINT32_MAX));
    trial_ok(first->ops->begin(first, KMS_TXN_WRITE, &txn, &revision));
    trial_is(second->ops->begin(second, KMS_TXN_WRITE, &nested, &revision), KMS_ERR_BUSY);
    trial_says("this thread itself");
    put_and_commit(txn, 2);
    trial_write(second, 3);
    trial_close(first);
    trial_close(second);
}
END_TEST

static void check_waits_for_guard(const char *path, trial_peer *peer, int what)
{
    kms_status status = KMS_ERR_STORAGE;
    int guard = open(trial_beside(path, "-guard"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_ge(guard, 0);
    ck_assert_int_eq(flock(guard, LOCK_EX), 0);
    trial_peer_tell(peer, what, path, 0);
    ck_assert_msg(!trial_peer_answer(peer, 300, &status, NULL, NULL), "%c did not wait", what);
    close(guard);
    ck_assert(trial_peer_answer(peer, 20000, &status, NULL, NULL));
    ck_assert_int_eq(status, KMS_OK);
}

START_TEST(open_create_and_close_take_turns_by_the_guard_file)
{
    const char *path = trial_fast_path("store");
    trial_peer peer = trial_peer_start();
    check_waits_for_guard(path, &peer, PEER_CREATE);
    check_waits_for_guard(path, &peer, PEER_CLOSE);
    check_waits_for_guard(path, &peer, PEER_OPEN);
    trial_peer_end(&peer);
}
END_TEST

static int open_and_close(void *path)
{
    for (int i = 0; i < 150; i++) {
        kms_backend *engine = NULL;
        uint64_t number = 0;
        trial_must(kms_lmdb_backend(&engine, path, NULL) == KMS_OK);
        trial_must(trial_try_open(engine, 0, 20000) == KMS_OK);
        trial_must(trial_try_read(engine, &number) == KMS_OK && number == 1);
        trial_close(engine);
    }
    return 0;
}

START_TEST(processes_that_open_and_close_do_not_disturb_each_other)
{
    pid_t children[4];
    char path[TRIAL_PATH_MAX];
    snprintf(path, sizeof path, "%s", trial_fast_path("store"));
    trial_close(trial_create(path, 1));
    for (size_t i = 0; i < 4; i++)
        children[i] = trial_fork(open_and_close, path);
    for (size_t i = 0; i < 4; i++)
        ck_assert_int_eq(trial_wait(children[i]), 0);
}
END_TEST

static int count_up(void *path)
{
    kms_backend *engine = NULL;
    trial_must(kms_lmdb_backend(&engine, path, NULL) == KMS_OK);
    trial_must(trial_try_open(engine, 0, 60000) == KMS_OK);
    for (int i = 0; i < 250; i++) {
        kms_txn *txn;
        kms_revision revision;
        trial_must(engine->ops->begin(engine, KMS_TXN_WRITE, &txn, &revision) == KMS_OK);
        uint64_t number = trial_number_in(txn) + 1;
        trial_must(engine->ops->put(txn, trial_key("number"),
                                    (kms_slice){&number, sizeof number}) == KMS_OK);
        trial_must(engine->ops->commit(txn) == KMS_OK);
    }
    trial_close(engine);
    return 0;
}

START_TEST(no_increment_of_any_process_is_lost)
{
    pid_t children[4];
    char path[TRIAL_PATH_MAX];
    snprintf(path, sizeof path, "%s", trial_fast_path("store"));
    trial_close(trial_create(path, 0));
    for (size_t i = 0; i < 4; i++)
        children[i] = trial_fork(count_up, path);
    for (size_t i = 0; i < 4; i++)
        ck_assert_int_eq(trial_wait(children[i]), 0);
    kms_backend *engine = trial_open(path);
    ck_assert_uint_eq(trial_read(engine), 1000);
    trial_close(engine);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        one_file_opened_twice_is_one_environment,
        closing_one_of_two_handles_keeps_the_other_alone_in_its_write,
        opening_and_closing_the_lock_file_lets_nobody_in,
        opening_and_closing_the_lock_file_does_not_let_a_newcomer_start_it_anew,
        removing_the_lock_file_lets_nobody_in,
        a_waiter_killed_in_another_pid_namespace_opens_no_door,
        equal_pids_in_two_pid_namespaces_are_refused_with_a_sentence,
        a_process_killed_in_a_write_stops_nobody,
        waiting_for_another_process_ends_at_the_busy_timeout,
        waiting_for_another_thread_ends_at_the_busy_timeout,
        a_thread_does_not_wait_for_itself,
        open_create_and_close_take_turns_by_the_guard_file,
        processes_that_open_and_close_do_not_disturb_each_other,
        no_increment_of_any_process_is_lost,
    };
    return trial_main("lmdb_locks", tests, sizeof tests / sizeof tests[0]);
}
