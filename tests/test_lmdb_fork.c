/* What fork() does to an open LMDB store: the child starts anew, and the parent notices nothing. */
#include "support/lmdb_trial.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct family {
    kms_backend *inherited;
    const char *path;
    int ready[2];
    int go[2];
} family;

static family family_new(const char *path, kms_backend *inherited)
{
    family f = {inherited, path, {-1, -1}, {-1, -1}};
    ck_assert_int_eq(pipe(f.ready), 0);
    ck_assert_int_eq(pipe(f.go), 0);
    return f;
}

static void tell(const int pipe_ends[2])
{
    trial_must(write(pipe_ends[1], "x", 1) == 1);
}

static void hear(const int pipe_ends[2])
{
    char byte;
    trial_must(read(pipe_ends[0], &byte, 1) == 1);
}

static kms_backend *open_in_child(const char *path)
{
    kms_backend *engine = NULL;
    trial_must(kms_lmdb_backend(&engine, path, NULL) == KMS_OK);
    trial_must(trial_try_open(engine, 0, 5000) == KMS_OK);
    return engine;
}

static int go_on_with_its_own(void *argument)
{
    family *f = argument;
    kms_txn *txn;
    kms_revision revision;
    uint64_t number = 0;
    uint64_t age;
    trial_must(f->inherited->ops->begin(f->inherited, KMS_TXN_READ, &txn, &revision) ==
               KMS_ERR_FORKED);
    trial_must(f->inherited->ops->begin(f->inherited, KMS_TXN_WRITE, &txn, &revision) ==
               KMS_ERR_FORKED);
    trial_must(f->inherited->ops->hint(f->inherited, &revision, &age) == KMS_ERR_FORKED);
    kms_backend *own = open_in_child(f->path);
    trial_must(trial_try_read(own, &number) == KMS_OK && number == 2);
    trial_must(trial_try_write(own, 3) == KMS_OK);
    trial_close(own);
    return 0;
}

START_TEST(a_forked_child_goes_on_with_its_own)
{
    const char *path = trial_fast_path("store");
    kms_backend *engine = trial_create(path, 1);
    trial_write(engine, 2);
    family f = family_new(path, engine);
    ck_assert_int_eq(trial_wait(trial_fork(go_on_with_its_own, &f)), 0);
    ck_assert_uint_eq(trial_read(engine), 3);
    trial_write(engine, 4);
    ck_assert_uint_eq(trial_read(engine), 4);
    trial_close(engine);
}
END_TEST

static int close_the_inherited(void *argument)
{
    family *f = argument;
    kms_txn *snapshot;
    kms_revision revision;
    kms_backend *own = open_in_child(f->path);
    trial_must(own->ops->begin(own, KMS_TXN_READ, &snapshot, &revision) == KMS_OK);
    trial_must(trial_number_in(snapshot) == 1);
    trial_close(f->inherited);
    tell(f->ready);
    hear(f->go);
    /* Others wrote a hundred times: with its locks gone, this snapshot would be overwritten. */
    trial_must(trial_number_in(snapshot) == 1);
    own->ops->abort(snapshot);
    trial_must(trial_try_write(own, 1000) == KMS_OK);
    trial_close(own);
    return 0;
}

START_TEST(a_forked_child_that_closes_what_it_inherited_keeps_its_own_locks)
{
    const char *path = trial_fast_path("store");
    trial_peer peer = trial_peer_start();
    kms_backend *engine = trial_create(path, 1);
    family f = family_new(path, engine);
    pid_t child = trial_fork(close_the_inherited, &f);
    hear(f.ready);
    trial_ok(trial_peer_do(&peer, PEER_OPEN, path, 0, NULL, NULL));
    for (uint64_t i = 2; i < 102; i++)
        trial_ok(trial_peer_do(&peer, PEER_WRITE, NULL, i, NULL, NULL));
    tell(f.go);
    ck_assert_int_eq(trial_wait(child), 0);
    ck_assert_uint_eq(trial_read(engine), 1000);
    trial_write(engine, 1001);
    trial_peer_end(&peer);
    trial_close(engine);
}
END_TEST

/* A parent that forks within its write; the child sleeps and holds whatever it inherited. */
static int fork_within_a_write(void *argument)
{
    family *f = argument;
    kms_txn *txn;
    kms_revision revision;
    kms_backend *engine = open_in_child(f->path);
    trial_must(engine->ops->begin(engine, KMS_TXN_WRITE, &txn, &revision) == KMS_OK);
    pid_t child = fork();
    trial_must(child >= 0);
    if (child > 0) {
        trial_must(write(f->ready[1], &child, sizeof child) == sizeof child);
        pause();
    }
    sleep(100);
    return 0;
}

START_TEST(a_child_that_outlives_its_parent_killed_in_a_write_holds_no_lock)
{
    const char *path = trial_fast_path("store");
    trial_close(trial_create(path, 1));
    family f = family_new(path, NULL);
    pid_t orphan = 0;
    pid_t parent = trial_fork(fork_within_a_write, &f);
    ck_assert(read(f.ready[0], &orphan, sizeof orphan) == sizeof orphan);
    kms_backend *engine = trial_open(path);
    kms_txn *txn;
    kms_revision revision;
    trial_is(engine->ops->begin(engine, KMS_TXN_WRITE | KMS_TXN_NOWAIT, &txn, &revision),
             KMS_ERR_BUSY);
    kill(parent, SIGKILL);
    trial_wait(parent);
    ck_assert_int_eq(kill(orphan, 0), 0);
    double begun = trial_seconds();
    kms_status status = trial_try_write(engine, 2);
    double took = trial_seconds() - begun;
    kill(orphan, SIGKILL);
    trial_ok(status);
    ck_assert_double_lt(took, 3.0);
    trial_close(engine);
}
END_TEST

static int open_beside_a_writing_parent(void *argument)
{
    family *f = argument;
    kms_txn *txn;
    kms_revision revision;
    kms_backend *own = open_in_child(f->path);
    trial_must(own->ops->begin(own, KMS_TXN_WRITE | KMS_TXN_NOWAIT, &txn, &revision) ==
               KMS_ERR_BUSY);
    trial_close(own);
    return 0;
}

START_TEST(a_child_forked_within_a_write_neither_breaks_nor_shares_it)
{
    const char *path = trial_fast_path("store");
    kms_backend *engine = trial_create(path, 1);
    family f = family_new(path, engine);
    kms_txn *txn;
    kms_revision revision;
    uint64_t two = 2;
    trial_ok(engine->ops->begin(engine, KMS_TXN_WRITE, &txn, &revision));
    ck_assert_int_eq(trial_wait(trial_fork(open_beside_a_writing_parent, &f)), 0);
    trial_ok(engine->ops->put(txn, trial_key("number"), (kms_slice){&two, sizeof two}));
    trial_ok(engine->ops->commit(txn));
    ck_assert_uint_eq(trial_read(engine), 2);
    trial_close(engine);
}
END_TEST

static int end_the_parents_transaction(void *argument)
{
    kms_txn *txn = argument;
    const kms_backend_ops *ops = txn->backend->ops;
    trial_must(ops->commit(txn) == KMS_ERR_FORKED);
    ops->abort(txn);
    return 0;
}

START_TEST(a_child_cannot_end_its_parents_write)
{
    kms_backend *engine = trial_create(trial_fast_path("store"), 1);
    kms_txn *txn;
    kms_revision revision;
    uint64_t two = 2;
    trial_ok(engine->ops->begin(engine, KMS_TXN_WRITE, &txn, &revision));
    trial_ok(engine->ops->put(txn, trial_key("number"), (kms_slice){&two, sizeof two}));
    ck_assert_int_eq(trial_wait(trial_fork(end_the_parents_transaction, txn)), 0);
    ck_assert_uint_eq(trial_read(engine), 1);
    trial_ok(engine->ops->commit(txn));
    ck_assert_uint_eq(trial_read(engine), 2);
    trial_close(engine);
}
END_TEST

static atomic_bool stop;

static void *keep_opening(void *path)
{
    while (!atomic_load(&stop))
        trial_close(open_in_child(path));
    return NULL;
}

static int open_once(void *path)
{
    kms_backend *engine = open_in_child(path);
    uint64_t number = 0;
    alarm(30);
    trial_must(trial_try_read(engine, &number) == KMS_OK && number == 1);
    trial_close(engine);
    return 0;
}

START_TEST(a_child_forked_while_another_thread_opens_does_not_hang)
{
    pthread_t thread;
    char path[TRIAL_PATH_MAX];
    if (trial_is_watched()) {
        trial_skip(__func__, "a sanitizer's allocator does not survive fork() beside threads");
        return;
    }
    snprintf(path, sizeof path, "%s", trial_fast_path("store"));
    trial_close(trial_create(path, 1));
    ck_assert_int_eq(pthread_create(&thread, NULL, keep_opening, path), 0);
    for (int i = 0; i < 60; i++)
        ck_assert_int_eq(trial_wait(trial_fork(open_once, path)), 0);
    atomic_store(&stop, true);
    pthread_join(thread, NULL);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_forked_child_goes_on_with_its_own,
        a_forked_child_that_closes_what_it_inherited_keeps_its_own_locks,
        a_child_that_outlives_its_parent_killed_in_a_write_holds_no_lock,
        a_child_forked_within_a_write_neither_breaks_nor_shares_it,
        a_child_cannot_end_its_parents_write,
        a_child_forked_while_another_thread_opens_does_not_hang,
    };
    return trial_main("lmdb_fork", tests, sizeof tests / sizeof tests[0]);
}
