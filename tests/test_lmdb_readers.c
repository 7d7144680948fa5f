/* Read transactions: many, cheap, and harmless when their process dies. */
#include "support/lmdb_trial.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Stand before the C library's, for LMDB too as they are exported: count, and pass on. */
static atomic_ulong allocations;
static atomic_ulong stats;

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__)
#define COUNTS_ALLOCATIONS 1
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);

KMS_API void *malloc(size_t size)
{
    atomic_fetch_add(&allocations, 1);
    return __libc_malloc(size);
}

KMS_API void *calloc(size_t count, size_t size)
{
    atomic_fetch_add(&allocations, 1);
    return __libc_calloc(count, size);
}

KMS_API void *realloc(void *old, size_t size)
{
    atomic_fetch_add(&allocations, 1);
    return __libc_realloc(old, size);
}
#else
#define COUNTS_ALLOCATIONS 0
#endif

KMS_API int stat(const char *path, struct stat *st)
{
    atomic_fetch_add(&stats, 1);
    return fstatat(AT_FDCWD, path, st, 0);
}

static off_t size_of(const char *path)
{
    struct stat st;
    ck_assert_int_eq(fstatat(AT_FDCWD, path, &st, 0), 0);
    return st.st_size;
}

static void write_many(kms_backend *engine, int count)
{
    for (int i = 0; i < count; i++)
        trial_write(engine, (uint64_t)i);
}

START_TEST(a_reader_killed_in_its_transaction_does_not_make_the_file_grow)
{
    const char *path = trial_fast_path("store");
    trial_peer peer = trial_peer_start();
    kms_backend *engine = trial_create(path, 1);
    trial_ok(trial_peer_do(&peer, PEER_OPEN, path, 0, NULL, NULL));
    trial_ok(trial_peer_do(&peer, PEER_BEGIN, NULL, KMS_TXN_READ, NULL, NULL));
    /* A living reader keeps its pages: so the dead one would, too. */
    write_many(engine, 300);
    off_t with_reader = size_of(path);
    ck_assert_int_gt((int)with_reader, 1000000);
    trial_peer_kill(&peer);
    write_many(engine, 3000);
    ck_assert_int_lt((int)(size_of(path) - with_reader), 1000000);
    trial_close(engine);
}
END_TEST

START_TEST(dead_readers_are_cleared_at_open)
{
    const char *path = trial_fast_path("store");
    trial_peer dead = trial_peer_start();
    trial_peer alive = trial_peer_start();
    trial_ok(trial_peer_do(&dead, PEER_CREATE, path, 1, NULL, NULL));
    trial_ok(trial_peer_do(&alive, PEER_OPEN, path, 0, NULL, NULL));
    trial_ok(trial_peer_do(&dead, PEER_BEGIN, NULL, KMS_TXN_READ, NULL, NULL));
    trial_peer_kill(&dead);
    off_t before = size_of(path);
    /* Fewer writes than between two searches of a handle that stays open. */
    for (int round = 0; round < 40; round++) {
        kms_backend *engine = trial_open(path);
        write_many(engine, 20);
        trial_close(engine);
    }
    ck_assert_int_lt((int)(size_of(path) - before), 500000);
    trial_peer_end(&alive);
}
END_TEST

START_TEST(a_thousand_snapshots_at_once)
{
    enum { MANY = 1000 };
    static kms_txn *txns[MANY];
    kms_revision revision;
    kms_backend *engine = trial_create(trial_fast_path("store"), 0);
    for (size_t i = 0; i < MANY; i++) {
        trial_ok(engine->ops->begin(engine, KMS_TXN_READ, &txns[i], &revision));
        if (i % 100 == 99)
            trial_write(engine, i + 1);
    }
    for (size_t i = 0; i < MANY; i++) {
        ck_assert_uint_eq(trial_number_in(txns[i]), i / 100 * 100);
        engine->ops->abort(txns[i]);
    }
    ck_assert_uint_eq(trial_read(engine), MANY);
    trial_close(engine);
}
END_TEST

enum { TOO_MANY = 5000 };

/* Begins until that fails; answers how many were begun. */
static int take_all_slots(kms_backend *engine, kms_txn **txns)
{
    kms_revision revision;
    for (int i = 0; i < TOO_MANY; i++) {
        if (engine->ops->begin(engine, KMS_TXN_READ, &txns[i], &revision) != KMS_OK)
            return i;
    }
    return TOO_MANY;
}

START_TEST(a_full_table_of_readers_is_a_clear_error)
{
    static kms_txn *txns[TOO_MANY];
    kms_backend *engine = trial_create(trial_fast_path("store"), 1);
    int count = take_all_slots(engine, txns);
    ck_assert_int_ge(count, 4090);
    ck_assert_int_lt(count, TOO_MANY);
    ck_assert_int_eq(kms_error_status(), KMS_ERR_LIMIT_EXCEEDED);
    trial_says("reader slots");
    for (int i = 0; i < count; i++)
        engine->ops->abort(txns[i]);
    ck_assert_uint_eq(trial_read(engine), 1);
    trial_close(engine);
}
END_TEST

static int take_all_and_die(void *path)
{
    static kms_txn *txns[TOO_MANY];
    kms_backend *engine = NULL;
    trial_must(kms_lmdb_backend(&engine, path, NULL) == KMS_OK);
    trial_must(trial_try_open(engine, 0, 5000) == KMS_OK);
    trial_must(take_all_slots(engine, txns) > 4000);
    abort();
}

START_TEST(slots_of_the_dead_are_taken_back_when_the_table_is_full)
{
    char path[TRIAL_PATH_MAX];
    kms_txn *txns[50];
    kms_revision revision;
    snprintf(path, sizeof path, "%s", trial_fast_path("store"));
    kms_backend *engine = trial_create(path, 1);
    ck_assert_int_eq(trial_wait(trial_fork(take_all_and_die, path)), 128 + 6);
    for (size_t i = 0; i < 50; i++)
        trial_ok(engine->ops->begin(engine, KMS_TXN_READ, &txns[i], &revision));
    for (size_t i = 0; i < 50; i++)
        engine->ops->abort(txns[i]);
    trial_close(engine);
}
END_TEST

/* Without the framework's checks, which allocate. */
static bool read_once(kms_backend *engine)
{
    kms_txn *txn;
    kms_revision revision;
    kms_record records[4];
    size_t count = 0;
    uint64_t age;
    if (engine->ops->hint(engine, &revision, &age) != KMS_OK ||
        engine->ops->begin(engine, KMS_TXN_READ, &txn, &revision) != KMS_OK)
        return false;
    bool right = trial_number_in(txn) == 1;
    kms_status status = engine->ops->scan(txn, (kms_slice){NULL, 0}, 4, records, &count);
    return engine->ops->commit(txn) == KMS_OK && status == KMS_OK && right && count == 1;
}

START_TEST(warm_reads_allocate_nothing)
{
    if (!COUNTS_ALLOCATIONS || trial_is_watched()) {
        trial_skip(__func__, "allocations cannot be counted here");
        return;
    }
    kms_backend *engine = trial_create(trial_fast_path("store"), 1);
    bool right = true;
    unsigned long before = atomic_load(&allocations);
    right &= read_once(engine);
    unsigned long cold = atomic_load(&allocations) - before;
    before = atomic_load(&allocations);
    for (int i = 0; i < 10000; i++)
        right &= read_once(engine);
    unsigned long warm = atomic_load(&allocations) - before;
    ck_assert(right);
    ck_assert_uint_gt(cold, 0);
    ck_assert_uint_eq(warm, 0);
    trial_close(engine);
}
END_TEST

START_TEST(warm_reads_look_at_the_paths_once_a_second)
{
    kms_backend *engine = trial_create(trial_fast_path("store"), 1);
    bool right = read_once(engine);
    atomic_store(&stats, 0);
    double begun = trial_seconds();
    while (trial_seconds() - begun < 2.5)
        right &= read_once(engine);
    ck_assert(right);
    /* Two files, each second; one look more where the seconds fall unluckily. */
    ck_assert_uint_ge(atomic_load(&stats), 4);
    ck_assert_uint_le(atomic_load(&stats), 6);
    trial_close(engine);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_reader_killed_in_its_transaction_does_not_make_the_file_grow,
        dead_readers_are_cleared_at_open,
        a_thousand_snapshots_at_once,
        a_full_table_of_readers_is_a_clear_error,
        slots_of_the_dead_are_taken_back_when_the_table_is_full,
        warm_reads_allocate_nothing,
        warm_reads_look_at_the_paths_once_a_second,
    };
    return trial_main("lmdb_readers", tests, sizeof tests / sizeof tests[0]);
}
