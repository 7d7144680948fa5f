/*
 * Several processes change and use one LMDB store at once, and one of them is killed on its way.
 * Afterwards the store is whole, every change that was acknowledged is in it and no other, and every
 * blob that was ever made opens.
 *
 * Each process keeps a journal in memory that outlives it: what it is about to do, and then what
 * was acknowledged. Only the change that a killed process was about to make may be there or not.
 */
#include "support/lmdb_trial.h"
#include "support/store_worker.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORKERS 4

/* --- What is there afterwards ----------------------------------------------------------------- */

static bool was_about_to(const journal *j, intent what, int about)
{
    return atomic_load(&j->about_to) == what && j->about == about;
}

static void key_is_there(kms_store *store, const journal *j, int at)
{
    const key_note *key = &j->keys[at];
    kms_key_info info = {.version = KMS_KEY_INFO_VERSION};
    uint32_t more = was_about_to(j, NEW_VERSION, at) ? 1 : 0;

    trial_ok(kms_describe_key(store, key->id, &info));
    ck_assert_uint_ge(info.version_count, key->versions);
    ck_assert_uint_le(info.version_count, key->versions + more);
    ck_assert_uint_eq(info.primary_version, info.version_count);
    if (!was_about_to(j, STATE, at))
        ck_assert_int_eq(info.state == KMS_KEY_DISABLED, key->disabled);
}

/* Whether the store's alias points to this key of the journal; NO_KEY: is not there. */
static bool points_to(kms_store *store, const journal *j, const char *name, int key)
{
    kms_alias_info info;
    kms_status st = kms_describe_alias(store, name, &info);

    if (st == KMS_ERR_ALIAS_NOT_FOUND)
        return key == NO_KEY;
    trial_ok(st);
    return key != NO_KEY && strcmp(info.key_id, j->keys[key].id) == 0;
}

static size_t count_keys(kms_store *store)
{
    static char ids[100][KMS_KEY_ID_SIZE];
    size_t count, all = 0;
    bool more = true;

    while (more) {
        trial_ok(kms_list_keys(store, all > 0 ? ids[99] : NULL, ids, 100, &count, &more));
        ck_assert(count == 100 || !more);
        all += count;
    }
    return all;
}

/* None but those that are in a journal, and the two that all share. */
static void no_other_key_is_there(kms_store *store, const journal *journals)
{
    size_t made = 2, perhaps = 0;

    for (unsigned i = 0; i < WORKERS; i++) {
        made += (size_t)journals[i].key_count;
        perhaps += atomic_load(&journals[i].about_to) == NEW_KEY;
    }
    ck_assert_uint_ge(count_keys(store), made);
    ck_assert_uint_le(count_keys(store), made + perhaps);
}

static void aliases_are_there(kms_store *store, const journal *j, unsigned number)
{
    for (int i = 0; i < ALIASES; i++) {
        const char *name = worker_alias_name(number, i);

        ck_assert_msg(points_to(store, j, name, j->aliases[i]) ||
                          (was_about_to(j, ALIAS, i) && points_to(store, j, name, j->about_key)),
                      "%s", name);
    }
}

static void shared_alias_is_someones_last(kms_store *store, journal *journals)
{
    bool found = false;

    for (unsigned i = 0; i < WORKERS; i++) {
        const journal *j = &journals[i];

        found |= j->last_shared != NO_KEY && points_to(store, j, SHARED_ALIAS, j->last_shared);
        found |= atomic_load(&j->about_to) == SHARE && points_to(store, j, SHARED_ALIAS, j->about);
    }
    ck_assert(found);
}

/* Exactly one made it, and it stayed as that one made it. */
static void contended_aliases_have_one_maker(kms_store *store, journal *journals)
{
    for (int number = 0; number < CONTENDED; number++) {
        const char *name = worker_contended_name(number);
        int makers = 0, perhaps = 0;

        for (unsigned i = 0; i < WORKERS; i++) {
            const journal *j = &journals[i];

            if (j->contended[number] != NO_KEY) {
                makers++;
                ck_assert(points_to(store, j, name, j->contended[number]));
            } else if (was_about_to(j, CONTEND, number)) {
                perhaps += points_to(store, j, name, j->about_key);
            }
        }
        ck_assert_int_le(makers, 1);
        ck_assert(makers + perhaps > 0 || points_to(store, &journals[0], name, NO_KEY));
    }
}

static void shared_versions_are_distinct(kms_store *store, journal *journals)
{
    kms_key_info info = {.version = KMS_KEY_INFO_VERSION};
    unsigned long made = 0, perhaps = 0;

    for (unsigned i = 0; i < WORKERS; i++) {
        made += journals[i].shared_versions;
        perhaps += was_about_to(&journals[i], SHARED_VERSION, 0);
    }
    trial_ok(kms_describe_key(store, SHARED_KEY_ALIAS, &info));
    ck_assert_uint_ge(info.version_count, 1 + made);
    ck_assert_uint_le(info.version_count, 1 + made + perhaps);
    for (uint32_t n = 2; n <= info.version_count; n++) {
        unsigned times = 0;

        for (unsigned i = 0; i < WORKERS; i++)
            times += journals[i].had_version[n];
        ck_assert_uint_le(times, 1);
    }
}

/* The header counts every change, and each one once. */
static void changes_are_counted(kms_store *store, journal *journals, unsigned long before)
{
    kms_store_info info = {.version = KMS_STORE_INFO_VERSION};
    unsigned long made = before, perhaps = 0;

    for (unsigned i = 0; i < WORKERS; i++) {
        made += journals[i].changes;
        perhaps += atomic_load(&journals[i].about_to) != NONE;
    }
    trial_ok(kms_get_store_info(store, &info));
    ck_assert_uint_ge(info.changes, made);
    ck_assert_uint_le(info.changes, made + perhaps);
}

static void enable_all(kms_store *store, const journal *j)
{
    for (int i = 0; i < j->key_count; i++)
        trial_ok(kms_enable_key(store, j->keys[i].id));
}

static void blobs_open(kms_store *store, const journal *j)
{
    ck_assert_int_gt(j->blob_count, 0);
    for (int i = 0; i < j->blob_count; i++)
        trial_ok(worker_decrypt(store, &j->blobs[i]));
}

static void everything_is_there(const char *path, journal *journals, unsigned long before)
{
    kms_store *store = worker_open_store(path);

    trial_ok(kms_verify(store));
    for (unsigned i = 0; i < WORKERS; i++) {
        for (int key = 0; key < journals[i].key_count; key++)
            key_is_there(store, &journals[i], key);
        aliases_are_there(store, &journals[i], i);
    }
    no_other_key_is_there(store, journals);
    shared_alias_is_someones_last(store, journals);
    contended_aliases_have_one_maker(store, journals);
    shared_versions_are_distinct(store, journals);
    changes_are_counted(store, journals, before);
    for (unsigned i = 0; i < WORKERS; i++) {
        enable_all(store, &journals[i]);
        blobs_open(store, &journals[i]);
    }
    trial_ok(kms_verify(store));
    kms_close(store);
}

/* --- The tests -------------------------------------------------------------------------------- */

static journal *make_journals(void)
{
    journal *journals = mmap(NULL, WORKERS * sizeof *journals, PROT_READ | PROT_WRITE,
                             MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    ck_assert_ptr_ne(journals, MAP_FAILED);
    for (unsigned i = 0; i < WORKERS; i++)
        worker_begin_journal(&journals[i]);
    return journals;
}

/* The shared alias, with a key of its own; the other one the workers make, whoever comes first. */
static unsigned long furnish(const char *path)
{
    kms_store_info info = {.version = KMS_STORE_INFO_VERSION};
    kms_store *store = worker_open_store(path);

    trial_ok(kms_ensure_alias(store, SHARED_ALIAS, NULL, NULL));
    trial_ok(kms_get_store_info(store, &info));
    kms_close(store);
    /* The first worker's kms_ensure_alias() is one more change. */
    return (unsigned long)info.changes + 1;
}

static bool has_ended(pid_t pid)
{
    siginfo_t info = {.si_pid = 0};

    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == pid;
}

/* Wherever it is by then. */
static void kill_in_the_middle(pid_t pid, const journal *j)
{
    while (atomic_load(&j->operations) < 50 && !has_ended(pid))
        usleep(1000);
    kill(pid, SIGKILL);
}

static void at_once(const char *path, unsigned long operations, bool with_a_kill)
{
    journal *journals = make_journals();
    unsigned long before = furnish(path);
    worker workers[WORKERS];
    pid_t pids[WORKERS];

    for (unsigned i = 0; i < WORKERS; i++) {
        workers[i] = (worker){.journal = &journals[i],
                              .path = path,
                              .number = i,
                              .operations = with_a_kill && i == 0 ? ULONG_MAX : operations,
                              .random = (uint64_t)getpid() * WORKERS + i};
        pids[i] = trial_fork(worker_run, &workers[i]);
    }
    if (with_a_kill)
        kill_in_the_middle(pids[0], &journals[0]);
    for (unsigned i = 0; i < WORKERS; i++)
        ck_assert_int_eq(trial_wait(pids[i]), with_a_kill && i == 0 ? 128 + SIGKILL : 0);
    everything_is_there(path, journals, before);
}

START_TEST(test_processes_at_once)
{
    at_once(trial_fast_path("store"), trial_is_watched() ? 150 : 3000, false);
}
END_TEST

START_TEST(test_processes_at_once_on_disk)
{
    at_once(trial_path("store"), trial_is_watched() ? 100 : 1500, false);
}
END_TEST

START_TEST(test_one_of_them_is_killed)
{
    char name[16];

    for (unsigned i = 0; i < (trial_is_watched() ? 2 : 12); i++) {
        snprintf(name, sizeof name, "store-%u", i);
        at_once(trial_fast_path(name), 200, true);
    }
}
END_TEST

typedef struct growth {
    const char *path;
    _Atomic bool *over;
} growth;

static int grow(void *argument)
{
    const growth *g = argument;
    kms_store *store = worker_open_store(g->path);
    char key_id[KMS_KEY_ID_SIZE];

    while (!atomic_load(g->over))
        trial_must(kms_create_key(store, NULL, key_id) == KMS_OK);
    kms_close(store);
    return 0;
}

/* Whoever opens a store reads its size and its pages while others make it longer. */
START_TEST(test_opened_while_another_one_grows_it)
{
    growth g = {.path = trial_fast_path("store")};
    unsigned openings = trial_is_watched() ? 50 : 1000;
    pid_t child;

    g.over = mmap(NULL, sizeof *g.over, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(g.over, MAP_FAILED);
    furnish(g.path);
    child = trial_fork(grow, &g);
    for (unsigned i = 0; i < openings; i++)
        kms_close(worker_open_store(g.path));
    atomic_store(g.over, true);
    ck_assert_int_eq(trial_wait(child), 0);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        test_processes_at_once,
        test_processes_at_once_on_disk,
        test_one_of_them_is_killed,
        test_opened_while_another_one_grows_it,
    };

    return trial_main("processes", tests, sizeof tests / sizeof tests[0]);
}
