/* A change is seen by every other process' very next look, by the rule that the core's cache
 * follows: what was read is tagged with the revision of the snapshot, never with the hint. */
#include "support/lmdb_trial.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef struct meeting {
    atomic_ullong acknowledged;
    atomic_ullong looks;
    atomic_ullong reloads;
    atomic_ullong stale;
    atomic_bool opened;
    atomic_bool done;
    char path[TRIAL_PATH_MAX];
} meeting;

static meeting *shared;

typedef struct cached {
    kms_revision tag;
    uint64_t number;
} cached;

static bool same(kms_revision a, kms_revision b)
{
    return a.incarnation == b.incarnation && a.number == b.number;
}

/* One look by the cache rule. */
static uint64_t look(kms_backend *engine, cached *entry)
{
    kms_revision revision;
    kms_txn *txn;
    uint64_t age;
    trial_must(engine->ops->hint(engine, &revision, &age) == KMS_OK);
    if (same(revision, entry->tag))
        return entry->number;
    trial_must(engine->ops->begin(engine, KMS_TXN_READ, &txn, &revision) == KMS_OK);
    if (!same(revision, entry->tag)) {
        *entry = (cached){revision, trial_number_in(txn)};
        atomic_fetch_add(&shared->reloads, 1);
    }
    engine->ops->abort(txn);
    return entry->number;
}

static int keep_looking(void *argument)
{
    kms_backend *engine = NULL;
    cached entry = {{0, 0}, 0};
    (void)argument;
    trial_must(kms_lmdb_backend(&engine, shared->path, NULL) == KMS_OK);
    trial_must(trial_try_open(engine, 0, 5000) == KMS_OK);
    atomic_store(&shared->opened, true);
    while (!atomic_load(&shared->done)) {
        uint64_t acknowledged = atomic_load(&shared->acknowledged);
        if (look(engine, &entry) < acknowledged)
            atomic_fetch_add(&shared->stale, 1);
        atomic_fetch_add(&shared->looks, 1);
    }
    trial_close(engine);
    return 0;
}

/* A reader that never gets the processor would miss nothing, and show nothing. */
static void wait_for_looks(unsigned long long count)
{
    unsigned long long until = atomic_load(&shared->looks) + count;
    while (atomic_load(&shared->looks) < until)
        sched_yield();
}

static void meet(const char *path, uint64_t commits)
{
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert(shared != MAP_FAILED);
    snprintf(shared->path, sizeof shared->path, "%s", path);
    kms_backend *engine = trial_create(path, 0);
    pid_t child = trial_fork(keep_looking, NULL);
    while (!atomic_load(&shared->opened))
        usleep(1000);
    for (uint64_t i = 1; i <= commits; i++) {
        trial_write(engine, i);
        atomic_store(&shared->acknowledged, i);
        if (i % 64 == 0)
            wait_for_looks(2);
    }
    atomic_store(&shared->done, true);
    ck_assert_int_eq(trial_wait(child), 0);
    ck_assert_uint_eq(atomic_load(&shared->stale), 0);
    ck_assert_uint_ge(atomic_load(&shared->reloads), commits / 64);
    trial_close(engine);
}

START_TEST(three_thousand_durable_commits_are_never_missed)
{
    meet(trial_path("store"), trial_is_watched() ? 300 : 3000);
}
END_TEST

START_TEST(fifty_thousand_quick_commits_are_never_missed)
{
    meet(trial_fast_path("store"), trial_is_watched() ? 2000 : 50000);
}
END_TEST

START_TEST(the_hint_is_never_behind_a_commit_that_was_acknowledged)
{
    const char *path = trial_fast_path("store");
    trial_peer peer = trial_peer_start();
    kms_backend *engine = trial_create(path, 0);
    trial_ok(trial_peer_do(&peer, PEER_OPEN, path, 0, NULL, NULL));
    for (uint64_t i = 1; i <= 2000; i++) {
        kms_revision hint, snapshot;
        kms_txn *txn;
        uint64_t age;
        trial_ok(trial_peer_do(&peer, PEER_WRITE, NULL, i, NULL, NULL));
        trial_ok(engine->ops->hint(engine, &hint, &age));
        trial_ok(engine->ops->begin(engine, KMS_TXN_READ, &txn, &snapshot));
        ck_assert_uint_eq(trial_number_in(txn), i);
        ck_assert_uint_eq(hint.number, snapshot.number);
        engine->ops->abort(txn);
    }
    trial_peer_end(&peer);
    trial_close(engine);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        three_thousand_durable_commits_are_never_missed,
        fifty_thousand_quick_commits_are_never_missed,
        the_hint_is_never_behind_a_commit_that_was_acknowledged,
    };
    return trial_main("lmdb_coherence", tests, sizeof tests / sizeof tests[0]);
}
