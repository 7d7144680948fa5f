/* Locked memory for secrets. */
#include "base/fork.h"
#include "crypto/secret.h"

#include <check.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* Enough for slabs of every size. */
#define MANY 6000

static bool all_zero(const void *start, size_t len)
{
    return sodium_is_zero(start, len) == 1;
}

static void setup(void)
{
    ck_assert_int_eq(kms__fork_init(), KMS_OK);
}

/* --- Pools -------------------------------------------------------------------------------------
 */

static int by_address(const void *a, const void *b)
{
    const uintptr_t one = *(const uintptr_t *)a, other = *(const uintptr_t *)b;

    return (one > other) - (one < other);
}

static void take_many(kms__secrets *pool, void *cells[MANY])
{
    for (size_t i = 0; i < MANY; i++) {
        ck_assert_int_eq(kms__secret_take(pool, &cells[i]), KMS_OK);
        ck_assert_uint_eq((uintptr_t)cells[i] % KMS__SECRET_CELL, 0);
        ck_assert(all_zero(cells[i], KMS__SECRET_CELL));
        memset(cells[i], 0xa5, KMS__SECRET_CELL);
    }
}

START_TEST(test_cells_are_distinct_and_wiped)
{
    static void *first[MANY], *second[MANY];
    kms__secrets *pool = NULL;

    ck_assert_int_eq(kms__secrets_open(&pool, false), KMS_OK);
    take_many(pool, first);
    for (size_t i = 0; i < MANY; i++) {
        kms__secret_give(pool, first[i]);
        ck_assert(all_zero(first[i], KMS__SECRET_CELL));
    }
    take_many(pool, second);
    qsort(first, MANY, sizeof *first, by_address);
    qsort(second, MANY, sizeof *second, by_address);
    for (size_t i = 0; i + 1 < MANY; i++)
        ck_assert_uint_ge((uintptr_t)second[i + 1] - (uintptr_t)second[i], KMS__SECRET_CELL);
    /* None is lost. */
    ck_assert_mem_eq(first, second, sizeof first);
    kms__secrets_close(pool);
}
END_TEST

START_TEST(test_given_cells_are_taken_again)
{
    kms__secrets *pool = NULL;
    void *kept = NULL, *cell = NULL;
    uintptr_t lowest = UINTPTR_MAX, highest = 0;

    ck_assert_int_eq(kms__secrets_open(&pool, false), KMS_OK);
    ck_assert_int_eq(kms__secret_take(pool, &kept), KMS_OK);
    memset(kept, 0x77, KMS__SECRET_CELL);
    for (size_t i = 0; i < 10000; i++) {
        ck_assert_int_eq(kms__secret_take(pool, &cell), KMS_OK);
        ck_assert_ptr_ne(cell, kept);
        lowest = (uintptr_t)cell < lowest ? (uintptr_t)cell : lowest;
        highest = (uintptr_t)cell > highest ? (uintptr_t)cell : highest;
        memset(cell, 0xff, KMS__SECRET_CELL);
        kms__secret_give(pool, cell);
    }
    ck_assert_uint_lt(highest - lowest, 4096);
    ck_assert_uint_eq(*(unsigned char *)kept, 0x77);
    kms__secret_give(pool, NULL);
    kms__secrets_close(pool);
    kms__secrets_close(NULL);
}
END_TEST

typedef struct worker {
    kms__secrets *pool;
    unsigned char mark;
    bool failed;
} worker;

static bool marked(const unsigned char *cell, unsigned char mark)
{
    for (size_t i = 0; i < KMS__SECRET_CELL; i++)
        if (cell[i] != mark)
            return false;
    return true;
}

static void *take_and_give(void *argument)
{
    worker *self = argument;
    void *held[16];

    for (int round = 0; round < 300 && !self->failed; round++) {
        for (size_t i = 0; i < 16; i++) {
            if (kms__secret_take(self->pool, &held[i]) != KMS_OK ||
                !all_zero(held[i], KMS__SECRET_CELL)) {
                self->failed = true;
                return NULL;
            }
            memset(held[i], self->mark, KMS__SECRET_CELL);
        }
        for (size_t i = 0; i < 16; i++) {
            self->failed = self->failed || !marked(held[i], self->mark);
            kms__secret_give(self->pool, held[i]);
        }
    }
    return NULL;
}

START_TEST(test_threads_share_a_pool)
{
    kms__secrets *pool = NULL;
    worker workers[8];
    pthread_t threads[8];

    ck_assert_int_eq(kms__secrets_open(&pool, false), KMS_OK);
    for (size_t i = 0; i < 8; i++) {
        workers[i] = (worker){pool, (unsigned char)(i + 1), false};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, take_and_give, &workers[i]), 0);
    }
    for (size_t i = 0; i < 8; i++) {
        pthread_join(threads[i], NULL);
        ck_assert(!workers[i].failed);
    }
    kms__secrets_close(pool);
}
END_TEST

/* --- Blocks ------------------------------------------------------------------------------------
 */

START_TEST(test_blocks)
{
    static const size_t sizes[] = {0, 1, 64, 4095, 4096, 4097, 70000};

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        bool locked;
        unsigned char *block = kms__secret_block(sizes[i], &locked);

        ck_assert_ptr_nonnull(block);
        ck_assert(all_zero(block, sizes[i]));
        memset(block, 0xa5, sizes[i]);
        kms__secret_block_free(block, sizes[i]);
    }
    kms__secret_block_free(NULL, 100);
}
END_TEST

START_TEST(test_impossible_block)
{
    bool locked = true;

    ck_assert_ptr_null(kms__secret_block(SIZE_MAX - 5, &locked));
    ck_assert_int_eq(kms_error_status(), KMS_ERR_NO_MEMORY);
    ck_assert_ptr_null(kms__secret_block(SIZE_MAX / 2, &locked));
}
END_TEST

/* --- What the kernel knows of the pages --------------------------------------------------------
 */

/* Whether the mapping that holds address has the flag in /proc/self/smaps, " dd" for one. */
static bool has_flag(const void *address, const char *flag)
{
    FILE *maps = fopen("/proc/self/smaps", "r");
    char line[512];
    bool inside = false, found = false;

    ck_assert_ptr_nonnull(maps);
    while (fgets(line, sizeof line, maps) != NULL) {
        unsigned long from, to;

        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            inside = (uintptr_t)address >= from && (uintptr_t)address < to;
        else if (inside && strncmp(line, "VmFlags:", 8) == 0)
            found = strstr(line, flag) != NULL;
    }
    ck_assert_int_eq(fclose(maps), 0);
    return found;
}

static bool is_locked(kms__secrets *pool)
{
    return kms__secrets_locked(pool);
}

static void expect_flags(const void *secret, bool locked)
{
    ck_assert(has_flag(secret, " dd"));
#if defined(MADV_WIPEONFORK) && !defined(KMS_NO_WIPEONFORK)
    ck_assert(has_flag(secret, " wf"));
#endif
    ck_assert_int_eq(has_flag(secret, " lo"), locked);
}

static bool mlock_works(void)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return page != MAP_FAILED && mlock(page, 4096) == 0 && has_flag(page, " lo");
}

START_TEST(test_locked_and_out_of_dumps)
{
    kms__secrets *pool = NULL;
    void *cell = NULL, *block;
    bool locked = false;

    if (!mlock_works()) {
        puts("SKIP: locked secrets: this process cannot lock memory (or a sanitizer pretends to)");
        return;
    }
    ck_assert_int_eq(kms__secrets_open(&pool, true), KMS_OK);
    ck_assert_int_eq(kms__secret_take(pool, &cell), KMS_OK);
    ck_assert(is_locked(pool));
    expect_flags(cell, true);
    block = kms__secret_block(5000, &locked);
    ck_assert_ptr_nonnull(block);
    ck_assert(locked);
    expect_flags(block, true);
    kms__secret_block_free(block, 5000);
    kms__secrets_close(pool);
}
END_TEST

/* --- Without the right to lock -----------------------------------------------------------------
 */

/* Gives up the privilege and all but so many bytes. false: memory can be locked all the same. */
static bool limit_locking(rlim_t bytes)
{
    const struct rlimit limit = {bytes, bytes};
    const size_t more = bytes + 65536;
    void *pages = mmap(NULL, more, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool refused;

    if (setrlimit(RLIMIT_MEMLOCK, &limit) != 0 || (geteuid() == 0 && setuid(65534) != 0) ||
        pages == MAP_FAILED)
        return false;
    refused = mlock(pages, more) != 0;
    munmap(pages, more);
    return refused;
}

START_TEST(test_unlocked_shows)
{
    kms__secrets *pool = NULL;
    void *cell = NULL, *block;
    bool locked = true;

    if (!limit_locking(0)) {
        puts("SKIP: unlocked secrets: memory can be locked whatever the limit here");
        return;
    }
    ck_assert_int_eq(kms__secrets_open(&pool, false), KMS_OK);
    ck_assert_int_eq(kms__secret_take(pool, &cell), KMS_OK);
    ck_assert(!is_locked(pool));
    expect_flags(cell, false);
    kms__secrets_close(pool);
    block = kms__secret_block(100, &locked);
    ck_assert_ptr_nonnull(block);
    ck_assert(!locked);
    kms__secret_block_free(block, 100);
}
END_TEST

START_TEST(test_demand_fails_at_open)
{
    kms__secrets *pool = NULL;

    if (!limit_locking(0)) {
        puts("SKIP: demanding locked secrets: memory can be locked whatever the limit here");
        return;
    }
    ck_assert_int_eq(kms__secrets_open(&pool, true), KMS_ERR_NOT_LOCKED);
    ck_assert_ptr_null(pool);
    ck_assert_int_eq(kms_error_status(), KMS_ERR_NOT_LOCKED);
    ck_assert_ptr_nonnull(strstr(kms_error_message(), "RLIMIT_MEMLOCK"));
}
END_TEST

/* The limit is met when the pool grows: what was had before stays usable and locked. */
START_TEST(test_demand_fails_on_growth)
{
    kms__secrets *pool = NULL;
    void *cell = NULL, *refused = NULL;
    size_t taken = 0;
    kms_status status;

    if (!limit_locking(65536)) {
        puts("SKIP: running out of locked memory: memory can be locked whatever the limit here");
        return;
    }
    ck_assert_int_eq(kms__secrets_open(&pool, true), KMS_OK);
    while ((status = kms__secret_take(pool, &refused)) == KMS_OK && taken < MANY) {
        cell = refused;
        refused = NULL;
        taken++;
    }
    ck_assert_int_eq(status, KMS_ERR_NOT_LOCKED);
    ck_assert_ptr_null(refused);
    ck_assert_uint_ge(taken, 4096 / KMS__SECRET_CELL);
    ck_assert(is_locked(pool));
    kms__secret_give(pool, cell);
    ck_assert_int_eq(kms__secret_take(pool, &refused), KMS_OK);
    ck_assert_ptr_eq(refused, cell);
    kms__secrets_close(pool);
}
END_TEST

/* --- Children ----------------------------------------------------------------------------------
 */

START_TEST(test_child_sees_nothing)
{
#if defined(MADV_WIPEONFORK) && !defined(KMS_NO_WIPEONFORK)
    kms__secrets *pool = NULL;
    void *cell = NULL;
    bool locked;
    unsigned char *block = kms__secret_block(8192, &locked);
    int status = 0;
    pid_t child;

    ck_assert_int_eq(kms__secrets_open(&pool, false), KMS_OK);
    ck_assert_int_eq(kms__secret_take(pool, &cell), KMS_OK);
    ck_assert_ptr_nonnull(block);
    memset(cell, 0xa5, KMS__SECRET_CELL);
    memset(block, 0xa5, 8192);
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        const bool wiped = all_zero(cell, KMS__SECRET_CELL) && all_zero(block, 8192);

        /* Freeing finds its canary whole: only the secret's own pages were wiped. */
        kms__secret_block_free(block, 8192);
        _exit(wiped ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    ck_assert(marked(cell, 0xa5) && marked(block, 0xa5) && marked(block + 8128, 0xa5));
    kms__secret_block_free(block, 8192);
    kms__secrets_close(pool);
#else
    puts("SKIP: secrets in a forked child: without MADV_WIPEONFORK it has a copy");
#endif
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("secret");
    TCase *tcase = tcase_create("secrets");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, test_cells_are_distinct_and_wiped);
    tcase_add_test(tcase, test_given_cells_are_taken_again);
    tcase_add_test(tcase, test_threads_share_a_pool);
    tcase_add_test(tcase, test_blocks);
    tcase_add_test(tcase, test_impossible_block);
    tcase_add_test(tcase, test_locked_and_out_of_dumps);
    tcase_add_test(tcase, test_unlocked_shows);
    tcase_add_test(tcase, test_demand_fails_at_open);
    tcase_add_test(tcase, test_demand_fails_on_growth);
    tcase_add_test(tcase, test_child_sees_nothing);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
