/*
 * A change that was acknowledged is seen by the very next call of every process: a moved alias, a
 * new version, a disabled key.
 *
 * Changes are numbered. The writer puts a change's number on a shared board before it begins, and
 * once more after it was acknowledged. A reader looks at the board, makes its call, and looks
 * again: what it saw must be the state after one of the changes between the last one acknowledged
 * before the call and the last one begun after it.
 */
#include "support/lmdb_trial.h"
#include "support/plain_main.h"

#include <errno.h>
#include <kms/kms.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define ALIAS "alias/MyAppKey"
#define KEYS 8
#define READERS 2
/* Watched programs are some fifty times slower. */
#define ROUNDS(n) (trial_is_watched() ? (n) / 20 : (n))

typedef struct board {
    _Atomic uint64_t begun;
    _Atomic uint64_t acknowledged;
    _Atomic bool over;
    _Atomic unsigned readers;
    /* Calls that were judged; and those during which nothing was under way. */
    _Atomic unsigned long looks;
    _Atomic unsigned long sharp;
    _Atomic unsigned long wrong;
    char first_wrong[700];
} board;

/* What a test is about; the same in all processes. */
typedef struct stage {
    board *board;
    /* NULL: in memory, and readers are threads of the writer's process. */
    const char *path;
    const struct scenario *scenario;
    char keys[KEYS][KMS_KEY_ID_SIZE];
    uint8_t blob[KMS_CIPHERTEXT_SIZE(6)];
} stage;

typedef struct scenario {
    kms_status (*change)(kms_store *store, const stage *s, uint64_t number);
    /* The state that a call sees. */
    uint64_t (*look)(kms_store *store, const stage *s);
    /* The state after a change. */
    uint64_t (*state)(uint64_t number);
    /* After each change the writer waits until it was looked at in peace. */
    bool in_peace;
} scenario;

#define UNEXPECTED UINT64_MAX

static kms_store *open_store(const char *path)
{
    static const uint8_t root_key[KMS_ROOT_KEY_SIZE] = {1};
    kms_backend *engine;
    kms_root *root;
    kms_store *store;

    if (path == NULL)
        trial_must(kms_open_memory(&store) == KMS_OK);
    else
        trial_must(kms_lmdb_backend(&engine, path, NULL) == KMS_OK &&
                   kms_root_raw(&root, root_key, sizeof root_key) == KMS_OK &&
                   kms_open(&store, engine, root, KMS_OPEN_CREATE, NULL) == KMS_OK);
    return store;
}

/* The store, with its keys and the alias on the first of them. */
static kms_store *furnish(stage *s)
{
    kms_store *store = open_store(s->path);
    size_t len;

    s->board =
        mmap(NULL, sizeof *s->board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(s->board, MAP_FAILED);
    for (size_t i = 0; i < KEYS; i++)
        trial_ok(kms_create_key(store, NULL, s->keys[i]));
    trial_ok(kms_create_alias(store, ALIAS, s->keys[0]));
    trial_ok(kms_encrypt(store, ALIAS, NULL, "before", 6, s->blob, sizeof s->blob, &len));
    return store;
}

/* --- The scenarios ---------------------------------------------------------------------------- */

static uint64_t see_unexpected(const stage *s, const char *call)
{
    if (atomic_fetch_add(&s->board->wrong, 1) == 0)
        snprintf(s->board->first_wrong, sizeof s->board->first_wrong, "%s: %s", call,
                 kms_error_message());
    return UNEXPECTED;
}

static kms_status encrypt_and_inspect(kms_store *store, kms_blob_info *info)
{
    uint8_t blob[KMS_CIPHERTEXT_SIZE(5)];
    size_t len;
    kms_status st = kms_encrypt(store, ALIAS, NULL, "after", 5, blob, sizeof blob, &len);

    return st == KMS_OK ? kms_inspect_blob(blob, len, info) : st;
}

static kms_status move_alias(kms_store *store, const stage *s, uint64_t number)
{
    return kms_update_alias(store, ALIAS, s->keys[number % KEYS]);
}

static uint64_t look_at_key(kms_store *store, const stage *s)
{
    kms_blob_info info;

    if (encrypt_and_inspect(store, &info) == KMS_OK)
        for (size_t i = 0; i < KEYS; i++)
            if (strcmp(info.key_id, s->keys[i]) == 0)
                return i;
    return see_unexpected(s, "kms_encrypt");
}

static uint64_t key_after(uint64_t number)
{
    return number % KEYS;
}

static kms_status disable_or_enable(kms_store *store, const stage *s, uint64_t number)
{
    return number % 2 == 1 ? kms_disable_key(store, s->keys[0]) : kms_enable_key(store, s->keys[0]);
}

static uint64_t as_state(kms_status st, const stage *s, const char *call)
{
    if (st == KMS_OK || st == KMS_ERR_DISABLED)
        return st == KMS_ERR_DISABLED;
    return see_unexpected(s, call);
}

static uint64_t look_by_encrypting(kms_store *store, const stage *s)
{
    kms_blob_info info;

    return as_state(encrypt_and_inspect(store, &info), s, "kms_encrypt");
}

static uint64_t disabled_after(uint64_t number)
{
    return number % 2;
}

static const scenario moves = {move_alias, look_at_key, key_after, false};
static const scenario disabling = {disable_or_enable, look_by_encrypting, disabled_after, true};

/* --- Readers ---------------------------------------------------------------------------------- */

typedef struct reader {
    pthread_t thread;
    const stage *stage;
    kms_store *store;
} reader;

static bool is_between(const scenario *what, uint64_t state, uint64_t least, uint64_t most)
{
    for (uint64_t number = least; number <= most; number++)
        if (what->state(number) == state)
            return true;
    return false;
}

static void look_once(const reader *r)
{
    board *b = r->stage->board;
    uint64_t least = atomic_load(&b->acknowledged);
    uint64_t state = r->stage->scenario->look(r->store, r->stage);
    uint64_t most = atomic_load(&b->begun);

    if (!is_between(r->stage->scenario, state, least, most) && atomic_fetch_add(&b->wrong, 1) == 0)
        snprintf(b->first_wrong, sizeof b->first_wrong,
                 "state %llu was seen, of no change from %llu to %llu", (unsigned long long)state,
                 (unsigned long long)least, (unsigned long long)most);
    atomic_fetch_add(&b->looks, 1);
    if (least == most)
        atomic_fetch_add(&b->sharp, 1);
}

static void *look_on(void *argument)
{
    const reader *r = argument;

    atomic_fetch_add(&r->stage->board->readers, 1);
    while (!atomic_load(&r->stage->board->over))
        look_once(r);
    return NULL;
}

static void start_readers(reader *readers, const stage *s, kms_store *store)
{
    for (size_t i = 0; i < READERS; i++) {
        readers[i].stage = s;
        readers[i].store = store;
        trial_must(pthread_create(&readers[i].thread, NULL, look_on, &readers[i]) == 0);
    }
}

static void join_readers(reader *readers)
{
    for (size_t i = 0; i < READERS; i++)
        pthread_join(readers[i].thread, NULL);
}

/* --- The writer ------------------------------------------------------------------------------- */

/* Until somebody has looked while nothing was under way. */
static void wait_for_a_sharp_look(board *b, unsigned long before)
{
    const struct timespec moment = {0, 20000};

    /* Whoever sleeps goes before those who never do. */
    while (atomic_load(&b->sharp) == before && atomic_load(&b->wrong) == 0)
        nanosleep(&moment, NULL);
}

static void make_changes(kms_store *store, const stage *s, uint64_t count)
{
    board *b = s->board;

    while (atomic_load(&b->readers) < READERS)
        sched_yield();
    for (uint64_t number = 1; number <= count && atomic_load(&b->wrong) == 0; number++) {
        atomic_store(&b->begun, number);
        trial_ok(s->scenario->change(store, s, number));
        atomic_store(&b->acknowledged, number);
        if (s->scenario->in_peace)
            wait_for_a_sharp_look(b, atomic_load(&b->sharp));
    }
    atomic_store(&b->over, true);
}

static void all_was_right(const stage *s, uint64_t count)
{
    ck_assert_msg(atomic_load(&s->board->wrong) == 0, "%s (and %lu more)", s->board->first_wrong,
                  atomic_load(&s->board->wrong) - 1);
    ck_assert_uint_ge(atomic_load(&s->board->looks), count / 4);
}

static void in_threads(const scenario *what, uint64_t count)
{
    stage s = {.scenario = what};
    kms_store *store = furnish(&s);
    reader readers[READERS];

    start_readers(readers, &s, store);
    make_changes(store, &s, count);
    join_readers(readers);
    all_was_right(&s, count);
    kms_close(store);
}

/* --- Tests: one process -------------------------------------------------------------------------
 */

START_TEST(test_moved_alias_among_threads)
{
    in_threads(&moves, ROUNDS(20000));
}
END_TEST

START_TEST(test_disabled_key_among_threads)
{
    in_threads(&disabling, ROUNDS(2000));
}
END_TEST

#if KMS_HAVE_LMDB

/* --- Tests: two processes that tell each other -------------------------------------------------- */

typedef struct line {
    stage *stage;
    int told[2];
    int answered[2];
} line;

static bool get_byte(int fd, uint8_t *byte)
{
    ssize_t got;

    do
        got = read(fd, byte, 1);
    while (got < 0 && errno == EINTR);
    return got == 1;
}

static int answering_process(void *argument)
{
    line *l = argument;
    kms_store *store = open_store(l->stage->path);
    uint8_t byte;

    close(l->told[1]);
    while (get_byte(l->told[0], &byte)) {
        byte = (uint8_t)look_at_key(store, l->stage);
        trial_must(write(l->answered[1], &byte, 1) == 1);
    }
    kms_close(store);
    return 0;
}

START_TEST(test_told_through_a_pipe)
{
    const uint64_t count = ROUNDS(10000);
    stage s = {.path = trial_fast_path("store"), .scenario = &moves};
    line l = {.stage = &s};
    kms_store *store = furnish(&s);
    pid_t child;

    kms_close(store);
    ck_assert_int_eq(pipe(l.told), 0);
    ck_assert_int_eq(pipe(l.answered), 0);
    child = trial_fork(answering_process, &l);
    close(l.told[0]);
    store = open_store(s.path);
    for (uint64_t number = 1; number <= count; number++) {
        uint8_t byte = 0;

        trial_ok(move_alias(store, &s, number));
        ck_assert_int_eq(write(l.told[1], &byte, 1), 1);
        ck_assert(get_byte(l.answered[0], &byte));
        ck_assert_uint_eq(byte, key_after(number));
    }
    close(l.told[1]);
    ck_assert_int_eq(trial_wait(child), 0);
    kms_close(store);
}
END_TEST

static int reading_process(void *argument)
{
    stage *s = argument;
    kms_store *store = open_store(s->path);
    reader readers[READERS];

    start_readers(readers, s, store);
    join_readers(readers);
    kms_close(store);
    return 0;
}

static void in_two_processes(const char *path, const scenario *what, uint64_t count)
{
    stage s = {.path = path, .scenario = what};
    kms_store *store = furnish(&s);
    pid_t child;

    /* A child takes no open store with it. */
    kms_close(store);
    child = trial_fork(reading_process, &s);
    store = open_store(path);
    make_changes(store, &s, count);
    ck_assert_int_eq(trial_wait(child), 0);
    all_was_right(&s, count);
    kms_close(store);
}

/* --- Tests: two processes, and nobody waits ---------------------------------------------------- */

static kms_status add_version(kms_store *store, const stage *s, uint64_t number)
{
    (void)number;
    return kms_create_key_version(store, s->keys[0], NULL);
}

static uint64_t look_at_version(kms_store *store, const stage *s)
{
    kms_blob_info info;

    if (encrypt_and_inspect(store, &info) == KMS_OK)
        return info.key_version;
    return see_unexpected(s, "kms_encrypt");
}

static uint64_t version_after(uint64_t number)
{
    return number + 1;
}

static uint64_t look_by_decrypting(kms_store *store, const stage *s)
{
    uint8_t plain[6];
    size_t len;

    return as_state(kms_decrypt(store, NULL, s->blob, sizeof s->blob, plain, sizeof plain, &len), s,
                    "kms_decrypt");
}

static const scenario versions = {add_version, look_at_version, version_after, false};
static const scenario disabling_decrypt = {disable_or_enable, look_by_decrypting, disabled_after,
                                           true};

/* On a disk, readers see a commit's page for as long as it is synced, before it is acknowledged and
 * before snapshots show it: what is read meanwhile must not be taken for what comes. */
START_TEST(test_moved_alias_on_disk)
{
    in_two_processes(trial_path("store"), &moves, ROUNDS(3000));
}
END_TEST

START_TEST(test_moved_alias_in_memory_of_the_system)
{
    in_two_processes(trial_fast_path("store"), &moves, ROUNDS(10000));
}
END_TEST

START_TEST(test_new_version)
{
    in_two_processes(trial_fast_path("store"), &versions, ROUNDS(1000));
}
END_TEST

START_TEST(test_disabled_key_encrypts_no_more)
{
    in_two_processes(trial_path("store"), &disabling, ROUNDS(500));
}
END_TEST

START_TEST(test_disabled_key_decrypts_no_more)
{
    in_two_processes(trial_path("store"), &disabling_decrypt, ROUNDS(500));
}
END_TEST

#endif

int main(void)
{
    const TTest *const tests[] = {
        test_moved_alias_among_threads,
        test_disabled_key_among_threads,
#if KMS_HAVE_LMDB
        test_told_through_a_pipe,
        test_moved_alias_on_disk,
        test_moved_alias_in_memory_of_the_system,
        test_new_version,
        test_disabled_key_encrypts_no_more,
        test_disabled_key_decrypts_no_more,
#endif
    };

#if KMS_HAVE_LMDB
    return trial_main("freshness", tests, sizeof tests / sizeof tests[0]);
#else
    return plain_main("freshness", tests, sizeof tests / sizeof tests[0]);
#endif
}
