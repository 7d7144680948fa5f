/* Fork epochs, and the cells that the library keeps for each thread. */
#include "base/fork.h"
#include "base/thread.h"

#include <check.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MANY 200

static const char entry_a, entry_b;

static void setup(void)
{
    ck_assert_int_eq(kms__fork_init(), KMS_OK);
}

static bool all_zero(const unsigned char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (bytes[i] != 0)
            return false;
    return true;
}

static bool is_fresh(kms__thread *cell)
{
    return all_zero(cell->generator, sizeof cell->generator) &&
           atomic_load(&cell->hazards[0]) == NULL && atomic_load(&cell->hazards[1]) == NULL;
}

/* Runs body in a forked child (raw: by the bare system call); its answer is true for success. */
static bool in_child(bool raw, bool (*body)(void *), void *argument)
{
    int status = 0;
#ifdef SYS_fork
    const pid_t child = raw ? (pid_t)syscall(SYS_fork) : fork();
#else
    const pid_t child = fork();
    (void)raw;
#endif

    ck_assert_int_ge(child, 0);
    if (child == 0) {
        alarm(60);
        _exit(body(argument) ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Whether the system call alone forks here as well, and the kernel wipes pages then. */
static bool raw_fork_works(void)
{
#if defined(SYS_fork) && defined(MADV_WIPEONFORK) && !defined(KMS_NO_WIPEONFORK)
    return true;
#else
    return false;
#endif
}

static bool skip_raw(int way)
{
    if (way == 0 || raw_fork_works())
        return false;
    puts("SKIP: a fork by the bare system call: without MADV_WIPEONFORK it is not seen");
    return true;
}

/* --- Epochs ------------------------------------------------------------------------------------
 */

static bool grandchild_differs(void *epochs)
{
    const uint64_t *seen = epochs;

    return kms__fork_epoch() != 0 && kms__fork_epoch() != seen[0] && kms__fork_epoch() != seen[1];
}

static bool child_differs(void *parent_epoch)
{
    const uint64_t inherited = *(uint64_t *)parent_epoch;
    uint64_t epochs[2] = {inherited, kms__fork_epoch()};

    /* Asking, or opening something of its own, must not make an inherited handle valid again. */
    return epochs[1] != 0 && epochs[1] != inherited && kms__fork_init() == KMS_OK &&
           kms__fork_epoch() == epochs[1] && in_child(false, grandchild_differs, epochs);
}

START_TEST(test_epoch_differs_in_children)
{
    uint64_t epoch = kms__fork_epoch();

    if (skip_raw(_i))
        return;
    ck_assert_uint_ne(epoch, 0);
    ck_assert(in_child(_i == 1, child_differs, &epoch));
    ck_assert(in_child(_i == 1, child_differs, &epoch));
    ck_assert_uint_eq(kms__fork_epoch(), epoch);
    ck_assert_int_eq(kms__fork_init(), KMS_OK);
    ck_assert_uint_eq(kms__fork_epoch(), epoch);
}
END_TEST

typedef struct racer {
    _Atomic int *waited_for;
    uint64_t epoch;
} racer;

/* Both threads set out as nearly at once as can be. */
static void *report_epoch(void *argument)
{
    racer *self = argument;

    atomic_fetch_sub(self->waited_for, 1);
    while (atomic_load(self->waited_for) > 0)
        sched_yield();
    self->epoch = kms__fork_epoch();
    return NULL;
}

static bool threads_agree(void *unused)
{
    _Atomic int waited_for = 2;
    racer one = {&waited_for, 0}, other = {&waited_for, 0};
    pthread_t thread;

    (void)unused;
    if (pthread_create(&thread, NULL, report_epoch, &one) != 0)
        return false;
    report_epoch(&other);
    pthread_join(thread, NULL);
    return one.epoch == other.epoch && one.epoch == kms__fork_epoch();
}

START_TEST(test_epoch_is_one_for_all_threads)
{
    ck_assert(threads_agree(NULL));
    for (int i = 0; i < 50; i++)
        ck_assert(in_child(false, threads_agree, NULL));
}
END_TEST

/* --- Cells -------------------------------------------------------------------------------------
 */

START_TEST(test_self_is_steady)
{
    kms__thread *cell = kms__thread_self();

    ck_assert_ptr_nonnull(cell);
    ck_assert_uint_eq((uintptr_t)cell % 64, 0);
    ck_assert(is_fresh(cell));
    cell->generator[7] = 7;
    ck_assert_ptr_eq(kms__thread_self(), cell);
    ck_assert_uint_eq(cell->generator[7], 7);
}
END_TEST

static pthread_barrier_t together;

/* Claims a cell, dirties it, and ends only when all the others have theirs. */
static void *claim_and_dirty(void *unused)
{
    kms__thread *cell = kms__thread_self();
    const bool fresh = cell != NULL && is_fresh(cell);

    (void)unused;
    if (fresh) {
        memset(cell->generator, 0xa5, sizeof cell->generator);
        atomic_store(&cell->hazards[0], (const void *)&entry_a);
    }
    pthread_barrier_wait(&together);
    return fresh ? cell : NULL;
}

static void run_many(kms__thread *cells[MANY])
{
    pthread_t threads[MANY];

    ck_assert_int_eq(pthread_barrier_init(&together, NULL, MANY), 0);
    for (size_t i = 0; i < MANY; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, claim_and_dirty, NULL), 0);
    for (size_t i = 0; i < MANY; i++) {
        void *cell = NULL;

        ck_assert_int_eq(pthread_join(threads[i], &cell), 0);
        ck_assert_ptr_nonnull(cell);
        cells[i] = cell;
    }
    pthread_barrier_destroy(&together);
}

static int by_address(const void *a, const void *b)
{
    const uintptr_t one = *(const uintptr_t *)a, other = *(const uintptr_t *)b;

    return (one > other) - (one < other);
}

static size_t distinct(kms__thread **cells, size_t count)
{
    size_t found = 1;

    qsort(cells, count, sizeof *cells, by_address);
    for (size_t i = 1; i < count; i++)
        found += cells[i] != cells[i - 1];
    return found;
}

/* The second round finds the cells of the first free again and wiped. It may use the few that the
 * first left over in the last slab, but needs no further slab. */
START_TEST(test_many_threads)
{
    static kms__thread *cells[2 * MANY];

    run_many(cells);
    for (size_t i = 0; i < MANY; i++) {
        ck_assert_uint_eq(atomic_load(&cells[i]->owner), 0);
        ck_assert(is_fresh(cells[i]));
    }
    ck_assert(!kms__thread_pinned(&entry_a));
    ck_assert_uint_eq(distinct(cells, MANY), MANY);
    run_many(cells + MANY);
    ck_assert_uint_eq(distinct(cells + MANY, MANY), MANY);
    ck_assert_uint_lt(distinct(cells, (size_t)2 * MANY), MANY + 64);
}
END_TEST

typedef struct pin {
    pthread_barrier_t ready, seen;
} pin;

static void *pin_two(void *argument)
{
    pin *pins = argument;
    kms__thread *cell = kms__thread_self();

    atomic_store(&cell->hazards[0], (const void *)&entry_a);
    atomic_store(&cell->hazards[1], (const void *)&entry_b);
    pthread_barrier_wait(&pins->ready);
    pthread_barrier_wait(&pins->seen);
    atomic_store(&cell->hazards[1], NULL);
    pthread_barrier_wait(&pins->ready);
    pthread_barrier_wait(&pins->seen);
    return NULL;
}

START_TEST(test_pins_are_seen)
{
    pin pins;
    pthread_t thread;

    ck_assert(!kms__thread_pinned(&entry_a));
    pthread_barrier_init(&pins.ready, NULL, 2);
    pthread_barrier_init(&pins.seen, NULL, 2);
    ck_assert_int_eq(pthread_create(&thread, NULL, pin_two, &pins), 0);
    pthread_barrier_wait(&pins.ready);
    ck_assert(kms__thread_pinned(&entry_a));
    ck_assert(kms__thread_pinned(&entry_b));
    pthread_barrier_wait(&pins.seen);
    pthread_barrier_wait(&pins.ready);
    ck_assert(kms__thread_pinned(&entry_a));
    ck_assert(!kms__thread_pinned(&entry_b));
    pthread_barrier_wait(&pins.seen);
    pthread_join(thread, NULL);
    ck_assert(!kms__thread_pinned(&entry_a));
    pthread_barrier_destroy(&pins.ready);
    pthread_barrier_destroy(&pins.seen);
}
END_TEST

/* --- Thread ends -------------------------------------------------------------------------------
 */

static pthread_key_t late_key;
static kms__thread *_Atomic late_cell;

/* Of another library, as it were, whose destructor runs after the cell went back. */
static void late_destructor(void *unused)
{
    kms__thread *cell = kms__thread_self();

    (void)unused;
    if (cell != NULL && is_fresh(cell)) {
        memset(cell->generator, 0x5a, sizeof cell->generator);
        atomic_store(&late_cell, cell);
    }
}

static void *end_with_late_destructor(void *unused)
{
    kms__thread *cell = kms__thread_self();

    (void)unused;
    memset(cell->generator, 0xa5, sizeof cell->generator);
    pthread_setspecific(late_key, cell);
    return cell;
}

/* Destructors run in the order of their keys on glibc. Here the other library's key is made before
 * the library's own (0), so that its destructor finds the thread's cell still there, or after it
 * (1), so that it has to claim one again. Either way nothing stays behind. */
START_TEST(test_destructors_may_use_the_library)
{
    kms__thread *late;
    void *cell = NULL;
    pthread_t thread;

    if (_i == 1)
        ck_assert_ptr_nonnull(kms__thread_self());
    ck_assert_int_eq(pthread_key_create(&late_key, late_destructor), 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, end_with_late_destructor, NULL), 0);
    ck_assert_int_eq(pthread_join(thread, &cell), 0);
    late = atomic_load(&late_cell);
    ck_assert_ptr_nonnull(cell);
    ck_assert_uint_eq(atomic_load(&((kms__thread *)cell)->owner), 0);
    ck_assert(is_fresh(cell));
    ck_assert_int_eq(late != NULL, _i == 1);
    if (late != NULL) {
        ck_assert_uint_eq(atomic_load(&late->owner), 0);
        ck_assert(is_fresh(late));
    }
    pthread_key_delete(late_key);
}
END_TEST

/* --- Children ----------------------------------------------------------------------------------
 */

static bool child_has_fresh_cell(void *parent_cell)
{
    kms__thread *inherited = parent_cell;
    const bool wiped = atomic_load(&inherited->owner) == 0 && is_fresh(inherited);
    const bool unpinned = !kms__thread_pinned(&entry_a);
    kms__thread *cell = kms__thread_self();

    return wiped && unpinned && cell != NULL && is_fresh(cell) && kms__thread_self() == cell &&
           atomic_load(&cell->owner) != 0;
}

START_TEST(test_child_claims_anew)
{
    kms__thread *cell = kms__thread_self();

    if (skip_raw(_i))
        return;
    ck_assert_ptr_nonnull(cell);
    memset(cell->generator, 0xa5, sizeof cell->generator);
    atomic_store(&cell->hazards[0], (const void *)&entry_a);
    ck_assert(in_child(_i == 1, child_has_fresh_cell, cell));
    ck_assert(kms__thread_pinned(&entry_a));
    ck_assert_uint_eq(cell->generator[0], 0xa5);
    ck_assert_ptr_eq(kms__thread_self(), cell);
}
END_TEST

/* The sanitizers' own locks may be held by another thread when a process forks. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

static _Atomic bool stop_churning;

static void *end_at_once(void *unused)
{
    (void)unused;
    return kms__thread_self();
}

static void *churn(void *unused)
{
    pthread_t threads[24];

    (void)unused;
    while (!atomic_load(&stop_churning)) {
        size_t started = 0;

        while (started < 24 && pthread_create(&threads[started], NULL, end_at_once, NULL) == 0)
            started++;
        while (started > 0)
            pthread_join(threads[--started], NULL);
    }
    return NULL;
}

static bool forty_threads(void *unused)
{
    pthread_t threads[40];
    void *cell = NULL;
    bool all = true;

    (void)unused;
    for (size_t i = 0; i < 40; i++)
        if (pthread_create(&threads[i], NULL, end_at_once, NULL) != 0)
            return false;
    for (size_t i = 0; i < 40; i++) {
        pthread_join(threads[i], &cell);
        all = all && cell != NULL;
    }
    return all;
}

/* As in_child(), but the child ends without looking back: what another thread of the parent had in
 * hand at the fork is lost to it, and no leak to tell of. */
static bool in_torn_child(bool (*body)(void *))
{
    bool *answer =
        mmap(NULL, sizeof *answer, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    bool well;
    pid_t child;

    ck_assert_ptr_ne(answer, MAP_FAILED);
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        alarm(60);
        *answer = body(NULL);
        raise(SIGKILL);
    }
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    well = *answer;
    munmap(answer, sizeof *answer);
    return well;
}

static bool skip_torn(void)
{
    if (SANITIZED)
        puts("SKIP: a fork amid other threads' claims: a sanitizer would hang in the child");
    return SANITIZED;
}

/* A child of a process whose other threads were claiming cells does not hang. */
START_TEST(test_fork_amid_claims)
{
    pthread_t thread;

    if (skip_torn())
        return;
    ck_assert_int_eq(pthread_create(&thread, NULL, churn, NULL), 0);
    for (int i = 0; i < 15; i++)
        ck_assert(in_torn_child(forty_threads));
    atomic_store(&stop_churning, true);
    pthread_join(thread, NULL);
}
END_TEST

static bool claims(void *unused)
{
    (void)unused;
    return kms__thread_self() != NULL;
}

static void *tell_and_claim(void *started)
{
    atomic_store((_Atomic bool *)started, true);
    return kms__thread_self();
}

/* Making the first slab takes a thread some 100 us; the fork comes a little later every time. */
static bool forks_amid_first_claim(void *turn)
{
    const int spins = 400 * *(int *)turn;
    _Atomic bool started = false;
    pthread_t thread;
    bool well;

    if (pthread_create(&thread, NULL, tell_and_claim, &started) != 0)
        return false;
    while (!atomic_load(&started))
        sched_yield();
    for (volatile int i = 0; i < spins; i++)
        continue;
    well = in_torn_child(claims);
    pthread_join(thread, NULL);
    return well;
}

/* Nor does one whose parent was just adding a slab. This process itself has none yet. Under
 * valgrind there is time for a part of the turns only. */
START_TEST(test_fork_amid_growth)
{
    const time_t end = time(NULL) + 4;

    if (skip_torn())
        return;
    for (int turn = 0; turn < 200 && time(NULL) < end; turn++)
        ck_assert(in_child(false, forks_amid_first_claim, &turn));
}
END_TEST

/* --- Locking -----------------------------------------------------------------------------------
 */

/* Gives up the privilege and the right to lock memory. false: it can still be locked. */
static bool forbid_locking(void)
{
    const struct rlimit none = {0, 0};
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (setrlimit(RLIMIT_MEMLOCK, &none) != 0 || (geteuid() == 0 && setuid(65534) != 0))
        return false;
    return page != MAP_FAILED && mlock(page, 4096) != 0;
}

START_TEST(test_unlocked_cells_show)
{
    if (!forbid_locking()) {
        puts("SKIP: unlocked thread cells: memory can be locked whatever the limit here");
        return;
    }
    ck_assert(kms__threads_locked());
    ck_assert_ptr_nonnull(kms__thread_self());
    ck_assert(!kms__threads_locked());
}
END_TEST

START_TEST(test_locked_cells_show)
{
    const struct rlimit enough = {1 << 20, 1 << 20};

    if (setrlimit(RLIMIT_MEMLOCK, &enough) != 0) {
        puts("SKIP: locked thread cells: this process may lock less than 1 MiB");
        return;
    }
    ck_assert_ptr_nonnull(kms__thread_self());
    ck_assert(kms__threads_locked());
}
END_TEST

static TCase *add_case(Suite *suite, const char *name)
{
    TCase *tcase = tcase_create(name);

    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, setup, NULL);
    suite_add_tcase(suite, tcase);
    return tcase;
}

int main(void)
{
    Suite *suite = suite_create("thread");
    TCase *epochs = add_case(suite, "epochs");
    TCase *cells = add_case(suite, "cells");
    SRunner *runner;
    int failed;

    tcase_add_loop_test(epochs, test_epoch_differs_in_children, 0, 2);
    tcase_add_test(epochs, test_epoch_is_one_for_all_threads);
    tcase_add_test(cells, test_self_is_steady);
    tcase_add_test(cells, test_many_threads);
    tcase_add_test(cells, test_pins_are_seen);
    tcase_add_loop_test(cells, test_destructors_may_use_the_library, 0, 2);
    tcase_add_loop_test(cells, test_child_claims_anew, 0, 2);
    tcase_add_test(cells, test_fork_amid_claims);
    tcase_add_test(cells, test_fork_amid_growth);
    tcase_add_test(cells, test_locked_cells_show);
    tcase_add_test(cells, test_unlocked_cells_show);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
