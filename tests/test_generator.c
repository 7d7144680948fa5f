/* The nonce generator: what it gives, when it goes to the system, and what it leaves behind. */
#include "base/fork.h"
#include "crypto/generator.h"

#include <check.h>
#include <pthread.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PER_SEED (KMS__GENERATOR_RESEED / KMS__NONCE_SIZE)
/* What the generator alone decides; the processor's own random number goes into the rest. */
#define PLAIN 16

typedef uint8_t nonce[KMS__NONCE_SIZE];

/* --- The system's randomness, counted ----------------------------------------------------------
 */

static unsigned system_calls;
static size_t system_bytes;
/* Runs inside the system's call, which is inside the generator's. */
static void (*interrupt)(void);
/* Instead of the system's, if not NULL. */
static const uint8_t *seed;

static void counted_buf(void *const buf, const size_t size)
{
    system_calls++;
    system_bytes += size;
    if (interrupt != NULL) {
        void (*const once)(void) = interrupt;

        interrupt = NULL;
        once();
    }
    if (seed != NULL)
        memcpy(buf, seed, size);
    else
        randombytes_sysrandom_implementation.buf(buf, size);
}

static const char *counted_name(void)
{
    return "counted";
}

static uint32_t counted_random(void)
{
    uint32_t value;

    counted_buf(&value, sizeof value);
    return value;
}

static randombytes_implementation counted = {
    .implementation_name = counted_name, .random = counted_random, .buf = counted_buf};

static kms__thread *self;

static void setup(void)
{
    ck_assert_int_eq(randombytes_set_implementation(&counted), 0);
    ck_assert_int_eq(kms__fork_init(), KMS_OK);
    self = kms__thread_self();
    ck_assert_ptr_nonnull(self);
    system_calls = 0;
    system_bytes = 0;
}

static void draw_many(nonce *nonces, size_t count)
{
    for (size_t i = 0; i < count; i++)
        kms__nonce(kms__thread_self(), nonces[i]);
}

static int by_plain_bytes(const void *a, const void *b)
{
    return memcmp(a, b, PLAIN);
}

/* Sorts them, and compares only what the generator alone decides. */
static bool all_differ(nonce *nonces, size_t count)
{
    qsort(nonces, count, sizeof *nonces, by_plain_bytes);
    for (size_t i = 1; i < count; i++)
        if (by_plain_bytes(nonces[i - 1], nonces[i]) == 0)
            return false;
    return true;
}

/* --- What it gives -----------------------------------------------------------------------------
 */

/* The stream written out from its definition: each 512 bytes of ChaCha20 under the key are the next
 * key and 20 nonces; after 170 nonces comes another seed. */
START_TEST(test_the_stream)
{
    static const uint8_t zero[crypto_stream_chacha20_NONCEBYTES];
    static uint8_t seeded[32];
    uint8_t key[32], block[512];
    nonce drawn;

    memset(seeded, 0x42, sizeof seeded);
    seed = seeded;
    for (size_t i = 0; i < (size_t)2 * PER_SEED; i++) {
        const size_t at = i % PER_SEED;
        const uint8_t *expected;

        if (at == 0)
            memcpy(key, seeded, sizeof key);
        if (at % 20 == 0) {
            crypto_stream_chacha20(block, sizeof block, zero, key);
            memcpy(key, block, sizeof key);
        }
        /* The last refill of a seed is a half one: it gives the buffer's end. */
        expected = block + 32 + (at % 20 + (at >= 160 ? 10 : 0)) * KMS__NONCE_SIZE;
        kms__nonce(self, drawn);
        ck_assert_mem_eq(drawn, expected, PLAIN);
        ck_assert_mem_ne(drawn + PLAIN, expected + PLAIN, KMS__NONCE_SIZE - PLAIN);
    }
}
END_TEST

START_TEST(test_one_seed_for_170_nonces)
{
    nonce drawn;

    ck_assert_uint_eq(PER_SEED, 170);
    for (unsigned seeds = 1; seeds <= 4; seeds++)
        for (size_t i = 0; i < PER_SEED; i++) {
            kms__nonce(self, drawn);
            ck_assert_uint_eq(system_calls, seeds);
            ck_assert_uint_eq(system_bytes, (size_t)32 * seeds);
        }
}
END_TEST

START_TEST(test_without_a_cell)
{
    nonce drawn[100];

    for (unsigned i = 0; i < 100; i++) {
        kms__nonce(NULL, drawn[i]);
        ck_assert_uint_eq(system_calls, i + 1);
    }
    ck_assert(all_differ(drawn, 100));
}
END_TEST

/* Two clones of one machine have the same state, but each its own processor or time. */
START_TEST(test_clones_part)
{
    kms__thread *clone = malloc(sizeof *clone);
    nonce one, two;

    ck_assert_ptr_nonnull(clone);
    kms__nonce(self, one);
    for (int i = 0; i < 400; i++) {
        memcpy(clone->generator, self->generator, sizeof clone->generator);
        seed = (const uint8_t *)"32 bytes, the same to both clones";
        kms__nonce(self, one);
        kms__nonce(clone, two);
        ck_assert_mem_eq(one, two, PLAIN);
        ck_assert_mem_ne(one + PLAIN, two + PLAIN, KMS__NONCE_SIZE - PLAIN);
    }
    free(clone);
}
END_TEST

#define SAMPLES 100000

/* Each of the 192 bits is set half the time, and each byte value comes up equally often: within
 * six standard deviations. */
START_TEST(test_looks_random)
{
    static unsigned set[KMS__NONCE_SIZE * 8], seen[256];
    const double per_value = (double)SAMPLES * KMS__NONCE_SIZE / 256;
    double chi_square = 0;
    nonce drawn;

    for (int i = 0; i < SAMPLES; i++) {
        kms__nonce(self, drawn);
        for (size_t bit = 0; bit < sizeof drawn * 8; bit++)
            set[bit] += drawn[bit / 8] >> (bit % 8) & 1;
        for (size_t at = 0; at < sizeof drawn; at++)
            seen[drawn[at]]++;
    }
    for (size_t bit = 0; bit < sizeof drawn * 8; bit++) /* deviation: sqrt(100000) / 2 = 158 */
        ck_assert_msg(set[bit] > SAMPLES / 2 - 950 && set[bit] < SAMPLES / 2 + 950, "bit %zu", bit);
    for (size_t value = 0; value < 256; value++)
        chi_square += (seen[value] - per_value) * (seen[value] - per_value) / per_value;
    ck_assert(chi_square > 255 - 6 * 22.6 && chi_square < 255 + 6 * 22.6);
}
END_TEST

/* --- What it leaves behind ---------------------------------------------------------------------
 */

static bool holds(const kms__thread *cell, const void *bytes, size_t len)
{
    return memmem(cell->generator, sizeof cell->generator, bytes, len) != NULL;
}

START_TEST(test_given_bytes_are_gone)
{
    kms__thread *before = malloc(sizeof *before);
    unsigned found = 0;
    nonce drawn;

    ck_assert_ptr_nonnull(before);
    for (size_t i = 0; i < (size_t)3 * PER_SEED; i++) {
        memcpy(before, self, sizeof *before);
        kms__nonce(self, drawn);
        ck_assert(!holds(self, drawn, PLAIN));
        ck_assert(!holds(self, drawn, 8));
        /* Shows that the search would find them: before, they lay there but for refills. */
        found += holds(before, drawn, PLAIN);
    }
    ck_assert_uint_eq(found, 3 * (PER_SEED - (PER_SEED + 19) / 20));
    free(before);
}
END_TEST

/* The state starts with the key: what made the last nonces cannot be computed from what is left. */
START_TEST(test_former_keys_are_gone)
{
    static uint8_t keys[3 * PER_SEED + 1][32];
    nonce drawn;

    for (size_t i = 0; i < (size_t)3 * PER_SEED; i++) {
        kms__nonce(self, drawn);
        memcpy(keys[i], self->generator, 32);
        for (size_t j = 0; j < i; j++)
            if (memcmp(keys[j], keys[i], 32) != 0)
                ck_assert(!holds(self, keys[j], 32));
    }
    ck_assert_mem_ne(keys[0], keys[3 * PER_SEED - 1], 32);
}
END_TEST

/* --- Threads and forks -------------------------------------------------------------------------
 */

#define THREADS 8
#define EACH 20000

static void *draw_each(void *nonces)
{
    draw_many(nonces, EACH);
    return NULL;
}

START_TEST(test_threads_never_repeat)
{
    nonce *all = calloc((size_t)THREADS * EACH, sizeof *all);
    pthread_t threads[THREADS];

    ck_assert_ptr_nonnull(all);
    ck_assert_int_eq(randombytes_set_implementation(&randombytes_sysrandom_implementation), 0);
    for (size_t i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, draw_each, all + i * EACH), 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    ck_assert(all_differ(all, (size_t)THREADS * EACH));
    free(all);
}
END_TEST

#define FORKED 300

/* Room that parent and children share. */
static nonce *shared_nonces(size_t count)
{
    void *room = mmap(NULL, count * sizeof(nonce), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    ck_assert_ptr_ne(room, MAP_FAILED);
    return room;
}

static pid_t fork_by(bool raw)
{
#ifdef SYS_fork
    if (raw)
        return (pid_t)syscall(SYS_fork);
#else
    (void)raw;
#endif
    return fork();
}

static void wait_for(pid_t child)
{
    int status = 0;

    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
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

/* Parent, child, second child and grandchild go on from one state in the middle of a buffer. */
START_TEST(test_forks_never_repeat)
{
    nonce *all = shared_nonces((size_t)5 * FORKED);
    pid_t child;

    if (skip_raw(_i))
        return;
    draw_many(all, FORKED);
    child = fork_by(_i == 1);
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        draw_many(all + FORKED, FORKED);
        child = fork_by(_i == 1);
        if (child == 0) {
            draw_many(all + 2 * FORKED, FORKED);
            _exit(0);
        }
        wait_for(child);
        _exit(0);
    }
    wait_for(child);
    child = fork_by(_i == 1);
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        draw_many(all + 3 * FORKED, FORKED);
        _exit(0);
    }
    wait_for(child);
    draw_many(all + 4 * FORKED, FORKED);
    ck_assert(all_differ(all, (size_t)5 * FORKED));
}
END_TEST

/* Even where the same thread cell is used on without asking for it again. */
START_TEST(test_fork_reseeds_a_kept_cell)
{
    nonce *all = shared_nonces(2);
    const pid_t child = (kms__nonce(self, all[0]), fork());

    ck_assert_int_ge(child, 0);
    if (child == 0) {
        system_calls = 0;
        kms__nonce(self, all[1]);
        _exit(system_calls == 1 ? 0 : 1);
    }
    wait_for(child);
    kms__nonce(self, all[0]);
    ck_assert(all_differ(all, 2));
}
END_TEST

/* --- Interrupted by itself ---------------------------------------------------------------------
 */

static nonce inner[3];

static void on_signal(int number)
{
    (void)number;
    for (size_t i = 0; i < 3; i++)
        kms__nonce(self, inner[i]);
}

static void raise_signal(void)
{
    raise(SIGUSR1);
}

/* The handler runs while the interrupted call has just asked the system for its seed. */
START_TEST(test_signal_handler_draws)
{
    nonce all[3 + PER_SEED];

    ck_assert(signal(SIGUSR1, on_signal) != SIG_ERR);
    interrupt = raise_signal;
    kms__nonce(self, all[3]);
    ck_assert(interrupt == NULL);
    /* The seed, and each of the handler's from the system. */
    ck_assert_uint_eq(system_calls, 4);
    ck_assert_uint_eq(system_bytes, 32 + 3 * KMS__NONCE_SIZE);
    draw_many(all + 4, PER_SEED - 1);
    ck_assert_uint_eq(system_calls, 4);
    memcpy(all, inner, sizeof inner);
    ck_assert(all_differ(all, 3 + PER_SEED));
}
END_TEST

static nonce *handler_room;
static pid_t handler_child;

static void fork_inside(void)
{
    const uint8_t *const parents_seed = seed;

    handler_child = fork();
    if (handler_child != 0 || handler_room == NULL)
        return;
    seed = NULL;
    draw_many(handler_room, 2);
    seed = parents_seed;
}

/* A handler forks while the generator is at work. The child returns into the interrupted call, with
 * the parent's seed still on its way: it must drop that, and not only for this one nonce. */
static void fork_amid_a_draw(nonce *all, bool child_draws_inside)
{
    static uint8_t same[32];

    randombytes_buf(same, sizeof same);
    handler_room = child_draws_inside ? all + (size_t)2 * FORKED : NULL;
    seed = same;
    interrupt = fork_inside;
    kms__nonce(self, all[0]);
    ck_assert_int_ge(handler_child, 0);
    seed = NULL;
    if (handler_child == 0) {
        draw_many(all, FORKED);
        _exit(0);
    }
    wait_for(handler_child);
    draw_many(all + FORKED, FORKED);
}

START_TEST(test_fork_inside_a_draw)
{
    nonce *all = shared_nonces((size_t)2 * FORKED + 2);

    fork_amid_a_draw(all, _i == 1);
    ck_assert(all_differ(all, (size_t)2 * FORKED + (_i == 1 ? 2 : 0)));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("generator");
    TCase *tcase = tcase_create("nonces");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, test_the_stream);
    tcase_add_test(tcase, test_one_seed_for_170_nonces);
    tcase_add_test(tcase, test_without_a_cell);
    tcase_add_test(tcase, test_clones_part);
    tcase_add_test(tcase, test_looks_random);
    tcase_add_test(tcase, test_given_bytes_are_gone);
    tcase_add_test(tcase, test_former_keys_are_gone);
    tcase_add_test(tcase, test_threads_never_repeat);
    tcase_add_loop_test(tcase, test_forks_never_repeat, 0, 2);
    tcase_add_test(tcase, test_fork_reseeds_a_kept_cell);
    tcase_add_test(tcase, test_signal_handler_draws);
    tcase_add_loop_test(tcase, test_fork_inside_a_draw, 0, 2);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
