#include "crypto/generator.h"
#include "crypto/stack.h"

#include <signal.h>
#include <sodium.h>
#include <string.h>
#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#elif !defined(__aarch64__)
#include <time.h>
#endif

/* With the key a refill is 512 bytes, which libsodium makes in one go of its vector code. (Measured
 * on a Zen 5: 227 ns, or 11.4 a nonce; 848 bytes take 650 ns, 19 a nonce.) */
#define KEY_SIZE crypto_stream_chacha20_KEYBYTES
#define BUFFER_SIZE (20 * KMS__NONCE_SIZE)
#define MIXED_SIZE 8

/* All zero in a fresh cell, and in a forked child: then it is not seeded. */
typedef struct generator {
    /* One refill of the stream writes both of these. */
    struct {
        uint8_t key[KEY_SIZE];
        uint8_t bytes[BUFFER_SIZE];
    } next;
    /* Which seed of the process this one is, from 1 on. */
    uint64_t seeded;
    /* Bytes of the buffer not handed out yet: its last ones. */
    uint32_t left;
    /* Bytes that this seed may still give beyond the buffer. */
    uint32_t budget;
    volatile sig_atomic_t busy;
} generator;

_Static_assert(sizeof(generator) <= KMS__THREAD_GENERATOR_SIZE, "the state fits into its cell");
_Static_assert(_Alignof(generator) <= 8, "the cell is aligned to 8");
_Static_assert(KMS__GENERATOR_RESEED % KMS__NONCE_SIZE == 0, "a seed gives whole nonces");
_Static_assert(2 * KMS__NONCE_HALF == KMS__NONCE_SIZE, "a nonce has two halves");

/* Seeds of all generators; the parent's too, in a forked child. */
static _Atomic uint64_t seeds;

/* The former key is gone when this returns, so nothing that was handed out can be found again. */
static void refill(generator *state)
{
    static const uint8_t nonce[crypto_stream_chacha20_NONCEBYTES];
    uint8_t key[KEY_SIZE];

    if (!state->seeded || state->budget == 0) {
        randombytes_buf(state->next.key, sizeof state->next.key);
        state->budget = KMS__GENERATOR_RESEED;
        state->seeded = atomic_fetch_add_explicit(&seeds, 1, memory_order_relaxed) + 1;
    }
    memcpy(key, state->next.key, sizeof key);
    (void)crypto_stream_chacha20((unsigned char *)&state->next, sizeof state->next, nonce, key);
    sodium_memzero(key, sizeof key);
    sodium_stackzero(KMS__STACK_USED);
    state->left = state->budget < BUFFER_SIZE ? state->budget : BUFFER_SIZE;
    state->budget -= state->left;
}

/* The bytes leave the buffer before the caller has them. The buffer outlives the call, so that
 * memset() is no dead store, and saves sodium_memzero()'s call. */
static inline void take(generator *state, uint8_t *bytes, uint32_t size)
{
    uint8_t *from;

    if (!state->seeded || state->left < size)
        refill(state);
    from = state->next.bytes + (BUFFER_SIZE - state->left);
    state->left -= size;
    memcpy(bytes, from, size);
    memset(from, 0, size);
}

/* Tells the seed. 0: the generator cannot be used now. Either this call interrupted another one of the same
 * thread (a signal handler did), or a signal handler forked while this call ran, and the fork
 * wiped the state under it: then the child goes on with what it still has of the parent's, so
 * that goes too. */
static inline uint64_t draw(generator *state, uint8_t *bytes, uint32_t size)
{
    uint64_t seed;

    if (state->busy)
        return 0;
    state->busy = 1;
    atomic_signal_fence(memory_order_seq_cst);
    take(state, bytes, size);
    seed = state->seeded;
    atomic_signal_fence(memory_order_seq_cst);
    if (!state->busy) {
        sodium_memzero(state, sizeof *state);
        return 0;
    }
    state->busy = 0;
    return seed;
}

static uint64_t cycle_counter(void)
{
#if defined(__x86_64__) || defined(__i386__)
    return __rdtsc();
#elif defined(__aarch64__)
    uint64_t ticks;

    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
    return ticks;
#else
    struct timespec now = {0};

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
#endif
}

#if defined(__x86_64__)
/* libsodium's answer, kept: asking takes 3 ns. */
static bool has_rdrand(void)
{
    enum { UNKNOWN, NO, YES };
    static _Atomic int known = UNKNOWN;
    int answer = atomic_load_explicit(&known, memory_order_relaxed);

    if (answer == UNKNOWN) {
        answer = sodium_runtime_has_rdrand() ? YES : NO;
        atomic_store_explicit(&known, answer, memory_order_relaxed);
    }
    return answer == YES;
}

/* RDRAND may run dry for a moment, and is broken on a few processors: a value of it is only ever
 * XORed into random bytes, which it cannot weaken. */
__attribute__((target("rdrnd"))) static bool processor_random(uint64_t *value)
{
    unsigned long long drawn;

    if (!has_rdrand())
        return false;
    for (int attempt = 0; attempt < 10; attempt++)
        if (_rdrand64_step(&drawn)) {
            *value = drawn;
            return true;
        }
    return false;
}
#else
static bool processor_random(uint64_t *value)
{
    (void)value;
    return false;
}
#endif

/* Copies of a running machine (a restored snapshot, a live clone) wake up with the same generator,
 * and often with the same cycle counter. Only what the processor draws anew tells them apart at
 * once; without it the counter soon does. Into the last bytes, since suite 2 derives its message
 * key from the first. */
static void part_clones(uint8_t last[MIXED_SIZE])
{
    uint64_t mixed, fresh;

    if (!processor_random(&fresh))
        fresh = cycle_counter();
    memcpy(&mixed, last, MIXED_SIZE);
    mixed ^= fresh;
    memcpy(last, &mixed, MIXED_SIZE);
}

void kms__nonce(kms__thread *thread, uint8_t nonce[KMS__NONCE_SIZE])
{
    if (thread == NULL || draw((generator *)(void *)thread->generator, nonce, KMS__NONCE_SIZE) == 0)
        randombytes_buf(nonce, KMS__NONCE_SIZE);
    part_clones(nonce + KMS__NONCE_SIZE - MIXED_SIZE);
}

uint64_t kms__nonce_half(kms__thread *thread, uint8_t half[KMS__NONCE_HALF])
{
    const uint64_t seed = draw((generator *)(void *)thread->generator, half, KMS__NONCE_HALF);

    part_clones(half + KMS__NONCE_HALF - MIXED_SIZE);
    return seed;
}
