/* Ensuring an alias, or a service's key: however many start at once, there is one key. */
#include "support/api_fixture.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define STARTERS 16

/* What the processes share. */
typedef struct shared {
    atomic_bool go;
    /* A service's key instead of an alias of the user's. */
    bool service;
    char ids[STARTERS][KMS_KEY_ID_SIZE];
    char blobs[STARTERS][200];
    size_t lens[STARTERS];
} shared;

#if KMS_HAVE_LMDB

static kms_status ensure(kms_store *store, const shared *all, char id[KMS_KEY_ID_SIZE])
{
    return all->service ? kms_service_key(store, "rds", id)
                        : kms_ensure_alias(store, "alias/MyAppKey", NULL, id);
}

/* A whole program: opens the store that perhaps is not there yet, and encrypts. */
static int starter(const char *path, shared *all, unsigned number)
{
    kms_backend *engine;
    kms_store *store = NULL;

    while (!atomic_load(&all->go))
        usleep(100);
    if (kms_lmdb_backend(&engine, path, NULL) != KMS_OK)
        return 2;
    if (kms_open(&store, engine, fixture_root(FIXTURE_ROOT_FILL), KMS_OPEN_CREATE, NULL) !=
            KMS_OK ||
        ensure(store, all, all->ids[number]) != KMS_OK ||
        kms_encrypt(store, all->service ? "alias/acs/rds" : "alias/MyAppKey", NULL, "text", 5,
                    all->blobs[number], 200, &all->lens[number]) != KMS_OK) {
        fprintf(stderr, "process %u: %s\n", number, kms_error_message());
        return 3;
    }
    kms_close(store);
    return 0;
}

static void start_all(const char *path, shared *all)
{
    pid_t children[STARTERS];

    for (unsigned i = 0; i < STARTERS; i++) {
        children[i] = fork();
        ck_assert_int_ge(children[i], 0);
        if (children[i] == 0)
            _exit(starter(path, all, i));
    }
    atomic_store(&all->go, true);
    for (unsigned i = 0; i < STARTERS; i++) {
        int status = -1;

        ck_assert_int_eq(waitpid(children[i], &status, 0), children[i]);
        ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "process %u: %x", i, status);
    }
}

static void check_one_key(kms_store *store, const shared *all)
{
    char page[3][KMS_KEY_ID_SIZE];
    size_t count;

    fixture_ok(kms_list_keys(store, NULL, page, 3, &count, NULL));
    ck_assert_uint_eq(count, 1);
    ck_assert_uint_eq(fixture_changes(store), 1);
    for (unsigned i = 0; i < STARTERS; i++) {
        ck_assert_str_eq(all->ids[i], page[0]);
        fixture_opens_as(store, (const uint8_t *)all->blobs[i], all->lens[i], "text");
    }
    fixture_ok(kms_verify(store));
}

START_TEST(sixteen_processes_on_an_empty_store_end_with_one_key)
{
    const char *folder = getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp";
    shared *all =
        mmap(NULL, sizeof *all, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    char path[4000], other[4096];
    kms_store *store = NULL;
    kms_backend *engine;

    ck_assert_ptr_ne(all, MAP_FAILED);
    all->service = _i >= 3;
    snprintf(path, sizeof path, "%s/kms-ensure-XXXXXX", folder);
    ck_assert_ptr_nonnull(mkdtemp(path));
    strcat(path, "/app.kms");
    start_all(path, all);
    fixture_ok(kms_lmdb_backend(&engine, path, NULL));
    fixture_ok(kms_open(&store, engine, fixture_root(FIXTURE_ROOT_FILL), 0, NULL));
    check_one_key(store, all);
    kms_close(store);
    unlink(path);
    snprintf(other, sizeof other, "%s-lock", path);
    unlink(other);
    snprintf(other, sizeof other, "%s-guard", path);
    unlink(other);
    *strrchr(path, '/') = '\0';
    ck_assert_int_eq(rmdir(path), 0);
    munmap(all, sizeof *all);
}
END_TEST

#else

START_TEST(sixteen_processes_on_an_empty_store_end_with_one_key)
{
    (void)sizeof(shared);
    fixture_skip("sixteen processes on one store", "this build has no LMDB");
}
END_TEST

#endif

/* --- threads -------------------------------------------------------------------------------- */

#define NAMES 8

typedef struct worker {
    kms_store *store;
    pthread_barrier_t *barrier;
    kms_status status;
    char ids[NAMES][KMS_KEY_ID_SIZE];
} worker;

static void *ensure_all(void *argument)
{
    worker *w = argument;
    char name[32];

    pthread_barrier_wait(w->barrier);
    for (unsigned i = 0; i < NAMES && w->status == KMS_OK; i++) {
        snprintf(name, sizeof name, "alias/%u", i);
        w->status = kms_ensure_alias(w->store, name, NULL, w->ids[i]);
    }
    return NULL;
}

START_TEST(threads_of_one_handle_end_with_one_key_for_each_alias)
{
    static worker workers[STARTERS];
    pthread_t threads[STARTERS];
    pthread_barrier_t barrier;
    place here;
    kms_store *store;

    place_init(&here);
    store = place_open(&here);
    pthread_barrier_init(&barrier, NULL, STARTERS);
    for (unsigned i = 0; i < STARTERS; i++) {
        workers[i].store = store;
        workers[i].barrier = &barrier;
        ck_assert_int_eq(pthread_create(&threads[i], NULL, ensure_all, &workers[i]), 0);
    }
    for (unsigned i = 0; i < STARTERS; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    for (unsigned i = 0; i < STARTERS; i++) {
        ck_assert_int_eq(workers[i].status, KMS_OK);
        ck_assert_int_eq(memcmp(workers[i].ids, workers[0].ids, sizeof workers[0].ids), 0);
    }
    ck_assert_uint_eq(fixture_changes(store), NAMES);
    fixture_ok(kms_verify(store));
    kms_close(store);
    place_free(&here);
}
END_TEST

START_TEST(an_alias_that_is_there_is_found_without_waiting_for_a_writer)
{
    char id[KMS_KEY_ID_SIZE], again[KMS_KEY_ID_SIZE];
    place here;
    kms_store *store;

    place_init(&here);
    store = place_open(&here);
    fixture_ok(kms_ensure_alias(store, "alias/a", NULL, id));
    engine_reset_counts(&here.control);
    fixture_ok(kms_ensure_alias(store, "alias/a", NULL, again));
    ck_assert_str_eq(id, again);
    ck_assert_uint_eq(engine_count(&here.control, ENGINE_BEGIN_WRITE), 0);
    kms_close(store);
    place_free(&here);
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {sixteen_processes_on_an_empty_store_end_with_one_key, 6},
        {threads_of_one_handle_end_with_one_key_for_each_alias, 0},
        {an_alias_that_is_there_is_found_without_waiting_for_a_writer, 0},
    };

    return fixture_main("ensure_alias", tests, sizeof tests / sizeof *tests, 120);
}
