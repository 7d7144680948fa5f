/* fork(): an inherited store answers KMS_ERR_FORKED to everything, and troubles nobody. */
#include "support/api_calls.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static place here;
static kms_store *store;
static api_stage stage;

static void setup(void)
{
    place_init(&here);
    store = place_open(&here);
    api_calls_stage(store, &stage);
}

static void finish(void)
{
    fixture_ok(kms_verify(store));
    kms_close(store);
    place_free(&here);
}

/* The child's checks arrive as its exit status. */
#define child_must(condition)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #condition,                     \
                    kms_error_message());                                                          \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

static void in_child(void (*body)(void *), void *argument)
{
    pid_t child = fork();
    int status = -1;

    ck_assert_int_ge(child, 0);
    if (child == 0) {
        alarm(60);
        body(argument);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child ended with %x", status);
}

/* --- every call -------------------------------------------------------------------------------- */

static void every_call(void *unused)
{
    unsigned long before = engine_count(&here.control, ENGINE_ANY);

    (void)unused;
    for (size_t i = 0; i < api_call_count; i++) {
        kms_status st = api_calls[i].perform(store, &stage);

        if (st != KMS_ERR_FORKED || kms_error_status() != KMS_ERR_FORKED) {
            fprintf(stderr, "%s: %s\n", api_calls[i].name, kms_status_name(st));
            _exit(1);
        }
    }
    /* Not even arguments that are wrong are told first, and the engine is never asked. */
    child_must(kms_encrypt(store, NULL, NULL, NULL, 5, NULL, 0, NULL) == KMS_ERR_FORKED);
    child_must(kms_create_key(store, NULL, NULL) == KMS_ERR_FORKED);
    child_must(engine_count(&here.control, ENGINE_ANY) == before);
}

START_TEST(every_call_on_an_inherited_store_answers_forked)
{
    setup();
    in_child(every_call, NULL);
    for (size_t i = 0; i < api_call_count; i++)
        if (!api_calls[i].changes)
            fixture_ok(api_calls[i].perform(store, &stage));
    fixture_ok(kms_enable_key(store, stage.b));
    finish();
}
END_TEST

static void grandchild(void *unused)
{
    (void)unused;
    in_child(every_call, NULL);
    every_call(NULL);
}

START_TEST(a_childs_child_has_inherited_it_as_well)
{
    setup();
    in_child(grandchild, NULL);
    finish();
}
END_TEST

/* --- closing ----------------------------------------------------------------------------------- */

static void close_it(void *unused)
{
    unsigned long closed = here.closed;

    (void)unused;
    kms_close(store);
    child_must(here.closed == closed);
    exit(0);
}

START_TEST(closing_an_inherited_store_troubles_nobody)
{
    setup();
    for (int i = 0; i < 3; i++) {
        in_child(close_it, NULL);
        for (size_t j = 0; j < api_call_count; j++)
            if (!api_calls[j].changes)
                fixture_ok(api_calls[j].perform(store, &stage));
        fixture_rotate(store, stage.a);
    }
    finish();
}
END_TEST

/* --- a store of the child's own ---------------------------------------------------------------- */

static void open_own(void *unused)
{
    kms_store *own = NULL;
    api_stage its;

    (void)unused;
    child_must(kms_open_memory(&own) == KMS_OK);
    api_calls_stage(own, &its);
    for (size_t i = 0; i < api_call_count; i++)
        child_must(api_calls[i].changes || api_calls[i].perform(own, &its) == KMS_OK);
    child_must(api_calls[0].perform(store, &stage) == KMS_ERR_FORKED);
    kms_close(store);
    child_must(kms_verify(own) == KMS_OK);
    kms_close(own);
}

START_TEST(the_child_opens_a_store_of_its_own)
{
    setup();
    in_child(open_own, NULL);
    finish();
}
END_TEST

#if KMS_HAVE_LMDB

static kms_store *open_lmdb(const char *path)
{
    kms_store *opened = NULL;
    kms_backend *engine;

    if (kms_lmdb_backend(&engine, path, NULL) == KMS_OK)
        (void)!kms_open(&opened, engine, fixture_root(FIXTURE_ROOT_FILL), KMS_OPEN_CREATE, NULL);
    return opened;
}

typedef struct shared_file {
    const char *path;
    kms_store *parents;
    char id[KMS_KEY_ID_SIZE];
} shared_file;

static void open_the_same(void *argument)
{
    const shared_file *file = argument;
    kms_store *own = open_lmdb(file->path);

    child_must(own != NULL);
    child_must(kms_create_key_version(own, file->id, NULL) == KMS_OK);
    child_must(kms_create_key_version(file->parents, file->id, NULL) == KMS_ERR_FORKED);
    kms_close(file->parents);
    child_must(kms_create_key_version(own, file->id, NULL) == KMS_OK);
    kms_close(own);
}

START_TEST(the_child_opens_the_same_file_again)
{
    const char *folder = getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp";
    char path[4000], command[4100];
    shared_file file = {.path = path};

    snprintf(path, sizeof path, "%s/kms-fork-XXXXXX", folder);
    ck_assert_ptr_nonnull(mkdtemp(path));
    strcat(path, "/app.kms");
    file.parents = open_lmdb(path);
    ck_assert_ptr_nonnull(file.parents);
    fixture_create_key(file.parents, file.id);
    for (int i = 0; i < 3; i++)
        in_child(open_the_same, &file);
    ck_assert_uint_eq(fixture_describe(file.parents, file.id).version_count, 7);
    fixture_rotate(file.parents, file.id);
    fixture_ok(kms_verify(file.parents));
    kms_close(file.parents);
    *strrchr(path, '/') = '\0';
    snprintf(command, sizeof command, "rm -rf '%s'", path);
    ck_assert_int_eq(system(command), 0);
}
END_TEST

#else

START_TEST(the_child_opens_the_same_file_again)
{
    fixture_skip("a file that parent and child share", "this build has no LMDB");
}
END_TEST

#endif

/* --- forking in the middle of things ------------------------------------------------------------ */

static atomic_bool stop;

/* On a busy machine the threads come to the limit before the forks are over. */
static bool has_rotated(void)
{
    kms_status st = kms_create_key_version(store, stage.a, NULL);

    return st == KMS_OK || st == KMS_ERR_LIMIT_EXCEEDED;
}

static void *write_for_ever(void *unused)
{
    uint8_t blob[200];
    size_t len;

    (void)unused;
    while (!atomic_load(&stop))
        if (!has_rotated() || kms_disable_key(store, stage.b) != KMS_OK ||
            kms_enable_key(store, stage.b) != KMS_OK ||
            kms_encrypt(store, "alias/a", NULL, "x", 1, blob, sizeof blob, &len) != KMS_OK)
            return (void *)1;
    return NULL;
}

static void refuse_and_close(void *unused)
{
    (void)unused;
    child_must(kms_disable_key(store, stage.b) == KMS_ERR_FORKED);
    child_must(kms_verify(store) == KMS_ERR_FORKED);
    kms_close(store);
    /* What the threads had allocated when they vanished is lost in the child: nobody looks for
     * leaks in another program. */
    execl("/bin/true", "true", (char *)NULL);
    child_must(false);
}

START_TEST(a_fork_while_other_threads_change_the_store_blocks_nobody)
{
    enum { THREADS = 3 };
    int forks = fixture_is_watched() ? 10 : 60;
    pthread_t threads[THREADS];
    void *failed;

    setup();
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, write_for_ever, NULL), 0);
    for (int i = 0; i < forks; i++)
        in_child(refuse_and_close, NULL);
    atomic_store(&stop, true);
    for (int i = 0; i < THREADS; i++) {
        ck_assert_int_eq(pthread_join(threads[i], &failed), 0);
        ck_assert_ptr_null(failed);
    }
    finish();
}
END_TEST

/* --- nonces ------------------------------------------------------------------------------------- */

#define NONCES 40

typedef struct nonces {
    uint8_t childs[NONCES][24], parents[NONCES][24];
} nonces;

static void draw_nonces(kms_store *from, const char *key, uint8_t (*out)[24])
{
    uint8_t blob[KMS_CIPHERTEXT_SIZE(1)];
    size_t len;

    for (int i = 0; i < NONCES; i++) {
        if (kms_encrypt(from, key, NULL, "x", 1, blob, sizeof blob, &len) != KMS_OK)
            abort();
        memcpy(out[i], blob + 58, 24);
    }
}

static void draw_in_child(void *argument)
{
    kms_store *own = NULL;
    char id[KMS_KEY_ID_SIZE];

    child_must(kms_open_memory(&own) == KMS_OK);
    child_must(kms_create_key(own, NULL, id) == KMS_OK);
    draw_nonces(own, id, ((nonces *)argument)->childs);
    kms_close(own);
}

START_TEST(parent_and_child_never_draw_the_same_nonce)
{
    nonces *all =
        mmap(NULL, sizeof *all, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    size_t same = 0;

    ck_assert_ptr_ne(all, MAP_FAILED);
    setup();
    fixture_encrypt(store, stage.a, "seeded", (uint8_t[200]){0}, 200);
    in_child(draw_in_child, all);
    draw_nonces(store, stage.a, all->parents);
    for (int i = 0; i < NONCES; i++)
        for (int j = 0; j < NONCES; j++)
            /* The end has fresh bits of the processor in it; the start comes from the generator. */
            same += memcmp(all->childs[i], all->parents[j], 16) == 0;
    ck_assert_uint_eq(same, 0);
    munmap(all, sizeof *all);
    finish();
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {every_call_on_an_inherited_store_answers_forked, 0},
        {a_childs_child_has_inherited_it_as_well, 0},
        {closing_an_inherited_store_troubles_nobody, 0},
        {the_child_opens_a_store_of_its_own, 0},
        {the_child_opens_the_same_file_again, 0},
        {a_fork_while_other_threads_change_the_store_blocks_nobody, 0},
        {parent_and_child_never_draw_the_same_nonce, 0},
    };

    return fixture_main("fork", tests, sizeof tests / sizeof *tests, 120);
}
