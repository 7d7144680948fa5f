/* Memory that cannot be had: whichever allocation fails, a call is whole or nothing, tells so, and
 * loses nothing.
 *
 * malloc() and its kin and mmap() are this program's own, also for the libraries that it
 * uses. Sanitizers bring theirs: there is nothing to be tested then. */
#include "support/api_calls.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OWN_MALLOC 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
    __has_feature(memory_sanitizer)
#define OWN_MALLOC 0
#endif
#endif
#if !defined(OWN_MALLOC) && defined(__GLIBC__)
#define OWN_MALLOC 1
#elif !defined(OWN_MALLOC)
#define OWN_MALLOC 0
#endif

/* How many allocations go well before one fails; negative: all do. Volatile, because a compiler
 * knows that malloc() looks at no variable of the program's. */
static volatile int until_failure = -1;
static volatile bool persistent;
static volatile unsigned failed;
static volatile unsigned asked;

static bool now_fails(void)
{
    asked++;
    if (until_failure < 0)
        return false;
    if (until_failure > 0) {
        until_failure--;
        return false;
    }
    failed++;
    if (!persistent)
        until_failure = -1;
    return true;
}

/* What was given and not given back: libraries also free what the C library allocated within
 * itself, so it is known by its address. */
#define LIVE_MAX 65536
static const void *volatile live[LIVE_MAX];
static volatile unsigned live_count;

static unsigned place_in_table(const void *block)
{
    uintptr_t hash = ((uintptr_t)block >> 4) * 2654435761u;

    return (unsigned)(hash % LIVE_MAX);
}

static void *given(void *block)
{
    unsigned at = place_in_table(block);

    if (block == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    while (live[at] != NULL)
        at = (at + 1) % LIVE_MAX;
    live[at] = block;
    live_count++;
    return block;
}

/* Takes a block out, and moves up what stands behind it. */
static void given_back(const void *block)
{
    unsigned at = place_in_table(block), next;

    while (live[at] != NULL && live[at] != block)
        at = (at + 1) % LIVE_MAX;
    if (block == NULL || live[at] == NULL)
        return;
    live_count--;
    live[at] = NULL;
    for (next = (at + 1) % LIVE_MAX; live[next] != NULL; next = (next + 1) % LIVE_MAX) {
        const void *moved = live[next];
        unsigned to = place_in_table(moved);

        live[next] = NULL;
        while (live[to] != NULL)
            to = (to + 1) % LIVE_MAX;
        live[to] = moved;
    }
}

#if OWN_MALLOC

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void __libc_free(void *block);

/* Seen by shared libraries, too. */
#pragma GCC visibility push(default)

void *malloc(size_t size)
{
    return given(now_fails() ? NULL : __libc_malloc(size));
}

void *calloc(size_t count, size_t size)
{
    return given(now_fails() ? NULL : __libc_calloc(count, size));
}

void *realloc(void *old, size_t size)
{
    if (now_fails())
        return given(NULL);
    given_back(old);
    return given(__libc_realloc(old, size));
}

void free(void *block)
{
    given_back(block);
    __libc_free(block);
}

void *mmap(void *where, size_t size, int protection, int flags, int fd, off_t offset)
{
    void *made;

    if (now_fails()) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    made = (void *)syscall(SYS_mmap, where, size, protection, flags, fd, offset);
    return made == MAP_FAILED ? made : given(made);
}

int munmap(void *where, size_t size)
{
    given_back(where);
    return (int)syscall(SYS_munmap, where, size);
}

#pragma GCC visibility pop

#endif

static void fail_at(unsigned nth, bool for_ever)
{
    failed = 0;
    persistent = for_ever;
    until_failure = (int)nth - 1;
}

static unsigned end_failing(void)
{
    until_failure = -1;
    return failed;
}

/* Whether this program's allocations are its own to fail. */
static bool can_test(void)
{
    void *volatile block;

    fail_at(1, false);
    block = malloc(10);
    (void)end_failing();
    free(block);
    if (block != NULL)
        fixture_skip("failing allocations", "the allocator is a sanitizer's or valgrind's");
    return block == NULL;
}

static place here;
static kms_store *store;
static api_stage stage;

static bool setup(void)
{
    /* Engines on disk allocate as they like; their own tests are elsewhere. */
    setenv("KMS_TEST_BACKEND", "memory", 1);
    if (!can_test())
        return false;
    place_init(&here);
    store = place_open(&here);
    api_calls_stage(store, &stage);
    return true;
}

static void finish(void)
{
    kms_close(store);
    place_free(&here);
}

/* --- calls ------------------------------------------------------------------------------------- */

static void check_in_order(uint64_t changes)
{
    ck_assert_int_eq(atomic_load(&here.control.open_txns), 0);
    ck_assert_uint_eq(fixture_changes(store), changes);
    fixture_ok(kms_verify(store));
}

START_TEST(a_call_is_whole_or_nothing_whichever_allocation_fails)
{
    const api_call *call = &api_calls[_i];
    unsigned nth = 0, fired = 1;

    if (!setup())
        return;
    for (nth = 1; fired > 0; nth++) {
        kms_status st;

        kms_close(store);
        store = place_open(&here);
        fail_at(nth, false);
        st = call->perform(store, &stage);
        fired = end_failing();
        ck_assert_msg(st == (fired ? KMS_ERR_NO_MEMORY : KMS_OK), "%s, allocation %u: %s (%s)",
                      call->name, nth, kms_status_name(st), kms_error_message());
        check_in_order(stage.changes + (!fired && call->changes ? 1 : 0));
    }
    ck_assert_uint_ge(nth, 3);
    finish();
}
END_TEST

START_TEST(no_memory_at_all_is_survived_as_well)
{
    if (!setup())
        return;
    kms_close(store);
    store = place_open(&here);
    for (size_t i = 0; i < api_call_count; i++) {
        kms_status st;

        fail_at(1, true);
        st = api_calls[i].perform(store, &stage);
        ck_assert_uint_gt(end_failing(), 0);
        fixture_is(st, KMS_ERR_NO_MEMORY);
    }
    check_in_order(stage.changes);
    finish();
}
END_TEST

/* --- opening, and what is lost ------------------------------------------------------------------ */

static kms_root *root_of(bool passphrase)
{
    kms_root *root;

    if (!passphrase)
        return fixture_root(FIXTURE_ROOT_FILL);
    fixture_ok(kms_root_passphrase(&root, "secret", 6));
    return root;
}

START_TEST(opening_loses_nothing_whichever_allocation_fails)
{
    uint32_t flags = _i == 0 ? 0 : KMS_OPEN_CREATE;
    unsigned nth, fired = 1;
    unsigned before;

    if (!setup())
        return;
    kms_close(store);
    for (nth = 1; fired > 0; nth++) {
        kms_store *opened = NULL;
        kms_backend *engine;
        kms_root *root;
        kms_status st;

        before = live_count;
        if (_i == 0)
            engine = place_engine(&here);
        else
            fixture_ok(kms_memory_backend(&engine));
        root = root_of(false);
        fail_at(nth, false);
        st = kms_open(&opened, engine, root, flags, NULL);
        fired = end_failing();
        ck_assert_msg(st == (fired ? KMS_ERR_NO_MEMORY : KMS_OK), "allocation %u: %s", nth,
                      kms_status_name(st));
        ck_assert((opened == NULL) == (fired > 0));
        kms_close(opened);
        ck_assert_uint_eq(live_count, before);
    }
    ck_assert_uint_ge(nth, 6);
    place_free(&here);
}
END_TEST

/* Changes are tried too: some of them succeed. */
static void disturb_every_call(void)
{
    for (size_t i = 0; i < api_call_count; i++)
        for (unsigned nth = 1; nth < 20; nth++) {
            fail_at(nth, nth % 2 == 0);
            (void)!api_calls[i].perform(store, &stage);
            (void)end_failing();
        }
}

START_TEST(failing_calls_lose_nothing)
{
    unsigned before;

    if (!setup())
        return;
    finish();
    before = live_count;
    (void)setup();
    disturb_every_call();
    ck_assert_uint_gt(live_count, before);
    finish();
    ck_assert_uint_eq(live_count, before);
}
END_TEST

/* The engine frees what it dropped with its next transaction: the last one must always be the same,
 * or the new ids of others, which are drawn, would be counted. */
static unsigned count_live(void)
{
    ck_assert_int_eq(kms_enable_key(store, stage.b), KMS_ERR_STORAGE);
    return live_count;
}

START_TEST(a_call_gives_its_secrets_back)
{
    unsigned before;

    if (!setup())
        return;
    /* Changes that are never made, so that the engine does not grow. */
    engine_fail(&here.control, ENGINE_COMMIT, 1, KMS_ERR_STORAGE, true);
    for (size_t i = 0; i < api_call_count; i++)
        (void)!api_calls[i].perform(store, &stage);
    before = count_live();
    for (int turn = 0; turn < 300; turn++)
        for (size_t i = 0; i < api_call_count; i++)
            if (api_calls[i].changes)
                ck_assert_int_eq(api_calls[i].perform(store, &stage), KMS_ERR_STORAGE);
    ck_assert_uint_eq(count_live(), before);
    (void)engine_disarm(&here.control);
    finish();
}
END_TEST

/* What was noted is not lost with it. */
START_TEST(a_flush_of_last_uses_is_taken_up_again_whichever_allocation_fails)
{
    kms_key_version_info info;
    unsigned nth, fired = 1;

    if (!setup())
        return;
    for (nth = 1; fired > 0; nth++) {
        kms_status st;

        fixture_ok(kms_describe_key_version(store, stage.a, 1, &info));
        ck_assert_int_eq(info.last_encrypt_ms, 0);
        fail_at(nth, false);
        st = kms_flush_last_use(store);
        fired = end_failing();
        ck_assert_int_eq(st, fired ? KMS_ERR_NO_MEMORY : KMS_OK);
        check_in_order(stage.changes);
    }
    ck_assert_uint_ge(nth, 5);
    fixture_ok(kms_describe_key_version(store, stage.a, 1, &info));
    ck_assert_int_gt(info.last_encrypt_ms, 0);
    finish();
}
END_TEST

static kms_status make_raw_root(void)
{
    kms_root *root = NULL;
    kms_status st = kms_root_raw(&root, "0123456789abcdef0123456789abcdef", 32);

    if ((root != NULL) != (st == KMS_OK))
        ck_abort_msg("status and output disagree");
    kms_root_free(root);
    return st;
}

static kms_status make_passphrase_root(void)
{
    kms_root *root = NULL;
    kms_status st = kms_root_passphrase(&root, "secret", 6);

    if ((root != NULL) != (st == KMS_OK))
        ck_abort_msg("status and output disagree");
    kms_root_free(root);
    return st;
}

static kms_status make_memory_engine(void)
{
    kms_backend *engine = NULL;
    kms_status st = kms_memory_backend(&engine);

    if ((engine != NULL) != (st == KMS_OK))
        ck_abort_msg("status and output disagree");
    kms_backend_free(engine);
    return st;
}

static kms_status make_memory_store(void)
{
    kms_store *made = NULL;
    kms_status st = kms_open_memory(&made);

    if ((made != NULL) != (st == KMS_OK))
        ck_abort_msg("status and output disagree");
    kms_close(made);
    return st;
}

START_TEST(constructors_lose_nothing_whichever_allocation_fails)
{
    static kms_status (*const makes[])(void) = {make_raw_root, make_passphrase_root,
                                                make_memory_engine, make_memory_store};
    unsigned nth, fired = 1;
    unsigned before;

    if (!setup())
        return;
    before = live_count;
    for (nth = 1; fired > 0; nth++) {
        kms_status st;

        fail_at(nth, false);
        st = makes[_i]();
        fired = end_failing();
        ck_assert_int_eq(st, fired ? KMS_ERR_NO_MEMORY : KMS_OK);
        ck_assert_uint_eq(live_count, before);
    }
    ck_assert_uint_ge(nth, 3);
    finish();
}
END_TEST

START_TEST(recording_a_failure_allocates_nothing)
{
    unsigned before;

    if (!setup())
        return;
    before = asked;
    for (int i = 0; i < 1000; i++)
        (void)kms_set_error(KMS_ERR_STORAGE, "%d: %s %*d", i, kms_version(), i, i);
    ck_assert_uint_eq(asked, before);
    finish();
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {a_call_is_whole_or_nothing_whichever_allocation_fails, API_CALLS},
        {no_memory_at_all_is_survived_as_well, 0},
        {a_flush_of_last_uses_is_taken_up_again_whichever_allocation_fails, 0},
        {opening_loses_nothing_whichever_allocation_fails, 2},
        {failing_calls_lose_nothing, 0},
        {a_call_gives_its_secrets_back, 0},
        {constructors_lose_nothing_whichever_allocation_fails, 4},
        {recording_a_failure_allocates_nothing, 0},
    };

    return fixture_main("no_memory", tests, sizeof tests / sizeof *tests, 120);
}
