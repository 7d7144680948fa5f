/* A store that is replaced, restored or moved while handles of it are open. */
#include "support/lmdb_trial.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A closed store beside path, that many commits long, whose number says so. */
static const char *make_backup(const char *path, uint64_t commits)
{
    const char *backup = trial_path("backup");
    kms_backend *engine = trial_create(backup, 1);
    for (uint64_t i = 2; i <= commits; i++)
        trial_write(engine, i);
    trial_close(engine);
    unlink(trial_beside(backup, "-lock"));
    unlink(trial_beside(backup, "-guard"));
    ck_assert_str_ne(path, backup);
    return backup;
}

static kms_status look(kms_backend *engine)
{
    kms_revision revision;
    uint64_t age;
    return engine->ops->hint(engine, &revision, &age);
}

static kms_status try_begin(kms_backend *engine, unsigned mode)
{
    kms_txn *txn;
    kms_revision revision;
    kms_status status = engine->ops->begin(engine, mode, &txn, &revision);
    if (status == KMS_OK)
        engine->ops->abort(txn);
    return status;
}

START_TEST(a_write_to_a_replaced_store_is_refused_at_once_and_for_ever)
{
    const char *path = trial_path("store");
    const char *aside = trial_path("aside");
    kms_backend *engine = trial_create(path, 1);
    const char *backup = make_backup(path, 3);
    ck_assert_int_eq(rename(path, aside), 0);
    ck_assert_int_eq(rename(backup, path), 0);
    trial_is(try_begin(engine, KMS_TXN_WRITE), KMS_ERR_STORE_REPLACED);
    trial_says("close it and open it again");
    trial_says(path);
    /* Even when the old one comes back, somebody may have been there meanwhile. */
    ck_assert_int_eq(rename(aside, path), 0);
    trial_is(try_begin(engine, KMS_TXN_WRITE), KMS_ERR_STORE_REPLACED);
    trial_is(try_begin(engine, KMS_TXN_READ), KMS_ERR_STORE_REPLACED);
    trial_is(look(engine), KMS_ERR_STORE_REPLACED);
    trial_close(engine);
    engine = trial_open(path);
    ck_assert_uint_eq(trial_read(engine), 1);
    trial_close(engine);
}
END_TEST

START_TEST(a_reader_notices_within_a_second_or_so)
{
    const char *path = trial_path("store");
    kms_backend *engine = trial_create(path, 1);
    const char *backup = make_backup(path, 3);
    ck_assert_uint_eq(trial_read(engine), 1);
    ck_assert_int_eq(rename(backup, path), 0);
    usleep(1100000);
    trial_is(look(engine), KMS_ERR_STORE_REPLACED);
    trial_is(try_begin(engine, KMS_TXN_READ), KMS_ERR_STORE_REPLACED);
    trial_close(engine);
}
END_TEST

START_TEST(a_reader_that_never_asks_for_the_hint_notices_too)
{
    const char *path = trial_path("store");
    kms_backend *engine = trial_create(path, 1);
    ck_assert_int_eq(unlink(path), 0);
    usleep(1100000);
    trial_is(try_begin(engine, KMS_TXN_READ), KMS_ERR_STORE_REPLACED);
    trial_close(engine);
}
END_TEST

START_TEST(a_removed_store_is_refused)
{
    const char *path = trial_path("store");
    kms_backend *engine = trial_create(path, 1);
    ck_assert_int_eq(unlink(path), 0);
    trial_is(try_begin(engine, KMS_TXN_WRITE), KMS_ERR_STORE_REPLACED);
    trial_close(engine);
    ck_assert(!trial_exists(path));
}
END_TEST

START_TEST(a_removed_lock_file_shows_as_soon_as_the_hint_moves)
{
    const char *path = trial_path("store");
    trial_peer peer = trial_peer_start();
    kms_backend *engine = trial_create(path, 1);
    trial_ok(look(engine));
    ck_assert_int_eq(unlink(trial_beside(path, "-lock")), 0);
    trial_ok(trial_peer_do(&peer, PEER_OPEN, path, 0, NULL, NULL));
    trial_ok(trial_peer_do(&peer, PEER_WRITE, NULL, 2, NULL, NULL));
    /* Snapshots of this handle would stay at 1 for ever, equal to every tag. */
    trial_is(look(engine), KMS_ERR_STORE_REPLACED);
    trial_says("-lock: this lock file was removed or replaced");
    trial_is(try_begin(engine, KMS_TXN_READ), KMS_ERR_STORE_REPLACED);
    trial_close(engine);
    engine = trial_open(path);
    ck_assert_uint_eq(trial_read(engine), 2);
    trial_peer_end(&peer);
    trial_close(engine);
}
END_TEST

START_TEST(a_reader_without_hints_sees_a_removed_lock_file_when_others_commit)
{
    const char *path = trial_path("store");
    trial_peer peer = trial_peer_start();
    kms_backend *engine = trial_create(path, 1);
    ck_assert_uint_eq(trial_read(engine), 1);
    ck_assert_int_eq(unlink(trial_beside(path, "-lock")), 0);
    trial_ok(trial_peer_do(&peer, PEER_OPEN, path, 0, NULL, NULL));
    trial_ok(trial_peer_do(&peer, PEER_WRITE, NULL, 2, NULL, NULL));
    trial_is(try_begin(engine, KMS_TXN_READ), KMS_ERR_STORE_REPLACED);
    trial_peer_end(&peer);
    trial_close(engine);
}
END_TEST

START_TEST(a_second_handle_after_a_removed_lock_file_gets_an_environment_of_its_own)
{
    const char *path = trial_path("store");
    kms_backend *old = trial_create(path, 1);
    ck_assert_int_eq(unlink(trial_beside(path, "-lock")), 0);
    kms_backend *now = trial_open(path);
    trial_write(now, 2);
    trial_is(look(old), KMS_ERR_STORE_REPLACED);
    trial_close(old);
    trial_write(now, 3);
    ck_assert_uint_eq(trial_read(now), 3);
    trial_close(now);
}
END_TEST

/* An old process keeps LMDB's lock file of the old data alive, whose last transaction is another. */
static void check_newcomers(uint64_t old_commits, uint64_t backup_commits)
{
    const char *path = trial_path("store");
    trial_peer old = trial_peer_start();
    trial_peer next = trial_peer_start();
    uint64_t number = 0;
    trial_ok(trial_peer_do(&old, PEER_CREATE, path, 1, NULL, NULL));
    for (uint64_t i = 2; i <= old_commits; i++)
        trial_ok(trial_peer_do(&old, PEER_WRITE, NULL, i, NULL, NULL));
    ck_assert_int_eq(rename(make_backup(path, backup_commits), path), 0);
    kms_backend *engine = trial_open(path);
    ck_assert_uint_eq(trial_read(engine), backup_commits);
    trial_write(engine, 777);
    ck_assert_uint_eq(trial_read(engine), 777);
    trial_ok(trial_peer_do(&next, PEER_OPEN, path, 0, NULL, NULL));
    trial_ok(trial_peer_do(&next, PEER_READ, NULL, 0, &number, NULL));
    ck_assert_uint_eq(number, 777);
    ck_assert_int_eq(trial_peer_do(&old, PEER_WRITE, NULL, 999, NULL, NULL),
                     KMS_ERR_STORE_REPLACED);
    ck_assert_uint_eq(trial_read(engine), 777);
    trial_peer_end(&old);
    trial_peer_end(&next);
    trial_close(engine);
}

START_TEST(who_opens_a_restored_older_store_sees_and_keeps_all_commits)
{
    check_newcomers(6, 3);
}
END_TEST

START_TEST(who_opens_a_restored_newer_store_sees_and_keeps_all_commits)
{
    check_newcomers(3, 6);
}
END_TEST

START_TEST(one_process_may_hold_the_old_and_open_the_new)
{
    const char *path = trial_path("store");
    kms_backend *old = trial_create(path, 1);
    kms_revision before, after;
    uint64_t age;
    trial_ok(old->ops->hint(old, &before, &age));
    ck_assert_int_eq(rename(make_backup(path, 3), path), 0);
    kms_backend *now = trial_open(path);
    trial_write(now, 4);
    ck_assert_uint_eq(trial_read(now), 4);
    trial_ok(now->ops->hint(now, &after, &age));
    ck_assert_uint_ne(before.incarnation, after.incarnation);
    trial_is(try_begin(old, KMS_TXN_WRITE), KMS_ERR_STORE_REPLACED);
    trial_close(old);
    trial_write(now, 5);
    ck_assert_uint_eq(trial_read(now), 5);
    trial_close(now);
}
END_TEST

START_TEST(a_symbolic_link_that_is_turned_elsewhere_shows)
{
    const char *link_path = trial_path("link");
    const char *one = trial_path("one");
    const char *two = trial_path("two");
    trial_close(trial_create(one, 1));
    trial_close(trial_create(two, 2));
    ck_assert_int_eq(symlink(one, link_path), 0);
    kms_backend *engine = trial_open(link_path);
    ck_assert_uint_eq(trial_read(engine), 1);
    ck_assert_int_eq(unlink(link_path), 0);
    ck_assert_int_eq(symlink(two, link_path), 0);
    trial_is(try_begin(engine, KMS_TXN_WRITE), KMS_ERR_STORE_REPLACED);
    trial_close(engine);
}
END_TEST

START_TEST(a_waiter_learns_of_a_replacement_during_its_wait)
{
    const char *path = trial_path("store");
    trial_peer holder = trial_peer_start();
    trial_peer waiter = trial_peer_start();
    kms_status status = KMS_OK;
    trial_ok(trial_peer_do(&holder, PEER_CREATE, path, 1, NULL, NULL));
    trial_ok(trial_peer_do(&waiter, PEER_OPEN, path, 0, NULL, NULL));
    trial_ok(trial_peer_do(&holder, PEER_BEGIN, NULL, KMS_TXN_WRITE, NULL, NULL));
    trial_peer_tell(&waiter, PEER_BEGIN, NULL, KMS_TXN_WRITE);
    usleep(50000);
    ck_assert_int_eq(rename(make_backup(path, 3), path), 0);
    trial_ok(trial_peer_do(&holder, PEER_ABORT, NULL, 0, NULL, NULL));
    ck_assert(trial_peer_answer(&waiter, 20000, &status, NULL, NULL));
    ck_assert_int_eq(status, KMS_ERR_STORE_REPLACED);
    trial_peer_end(&holder);
    trial_peer_end(&waiter);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_write_to_a_replaced_store_is_refused_at_once_and_for_ever,
        a_reader_notices_within_a_second_or_so,
        a_reader_that_never_asks_for_the_hint_notices_too,
        a_removed_store_is_refused,
        a_removed_lock_file_shows_as_soon_as_the_hint_moves,
        a_reader_without_hints_sees_a_removed_lock_file_when_others_commit,
        a_second_handle_after_a_removed_lock_file_gets_an_environment_of_its_own,
        who_opens_a_restored_older_store_sees_and_keeps_all_commits,
        who_opens_a_restored_newer_store_sees_and_keeps_all_commits,
        one_process_may_hold_the_old_and_open_the_new,
        a_symbolic_link_that_is_turned_elsewhere_shows,
        a_waiter_learns_of_a_replacement_during_its_wait,
    };
    return trial_main("lmdb_replaced", tests, sizeof tests / sizeof tests[0]);
}
