/* Message keys that serve a run of messages: where a run begins and ends, what is wiped when, and what
 * forks, signals and threads that end do to them. */
#include "base/fork.h"
#include "crypto/aes256gcm.h"
#include "crypto/generator.h"
#include "crypto/message_keys.h"
#include "support/kept_keys.h"
#include "support/plain_main.h"

#include <errno.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define HALF KMS__NONCE_HALF
#define TAG KMS__AEAD_TAG_SIZE
/* Halves of nonces in a seed; the first message takes three. */
#define HALVES (KMS__GENERATOR_RESEED / HALF)
#define LONGEST_RUN (HALVES - 2)

static bool refuse_to_lock;
static size_t locked_bytes;

/* Seen by shared libraries, too. */
#pragma GCC visibility push(default)

int mlock(const void *where, size_t size)
{
    if (refuse_to_lock) {
        errno = ENOMEM;
        return -1;
    }
    locked_bytes += size;
    return (int)syscall(SYS_mlock, where, size);
}

#pragma GCC visibility pop

static uint8_t suite_key[KMS__AEAD_KEY_SIZE];
static uint64_t owner;

/* The thread's places; NULL: not here. */
static const void *start(void)
{
    if (kept_keys_skip())
        return NULL;
    randombytes_buf(suite_key, sizeof suite_key);
    owner = kms__message_keys_owner();
    return kept_keys_of_thread();
}

static kms_slice slice(const void *data, size_t len)
{
    return (kms_slice){len > 0 ? data : NULL, len};
}

static bool of_run(uint64_t of, kept_nonce n, kms__message_key *key)
{
    return kms__message_key_of_run(kms__thread_self(), of, suite_key, n, key);
}

static bool of_nonce(uint64_t of, const kept_nonce n, kms__message_key *key)
{
    return kms__message_key_of_nonce(kms__thread_self(), of, suite_key, n, key);
}

static bool holds(const void *places, const kept_nonce n)
{
    return kept_keys_hold(places, suite_key, n);
}

static void seal_one(uint64_t of, kept_nonce n, uint8_t sealed[8 + TAG])
{
    kms__message_key key;

    ck_assert(of_run(of, n, &key));
    ck_assert_int_eq(
        kms__message_key_seal(&key, n, slice("bound", 5), slice("message.", 8), sealed), KMS_OK);
}

/* A message sealed elsewhere, so that its key is kept for reading. */
static void read_under(uint64_t of, const kept_nonce n)
{
    uint8_t sealed[8 + TAG], opened[8];
    kms__message_key key;

    ck_assert_int_eq(kms__aead_seal(KMS_SUITE_AES_256_GCM, suite_key, n, slice(NULL, 0),
                                    slice("message.", 8), sealed),
                     KMS_OK);
    ck_assert(of_nonce(of, n, &key));
    ck_assert_int_eq(
        kms__message_key_open(&key, n, slice(NULL, 0), slice(sealed, sizeof sealed), opened),
        KMS_OK);
    ck_assert_mem_eq(opened, "message.", 8);
}

static void read_one(uint64_t of, kept_nonce n)
{
    randombytes_buf(n, sizeof(kept_nonce));
    read_under(of, n);
}

/* --- What is sealed ---------------------------------------------------------------------------- */

#define LONGEST KMS__MESSAGE_KEY_LONGEST

static uint8_t plain[LONGEST], opened_text[LONGEST];

static void expect_opens(kms_status st, size_t len)
{
    ck_assert_int_eq(st, KMS_OK);
    ck_assert(memcmp(opened_text, plain, len) == 0);
    sodium_memzero(opened_text, sizeof opened_text);
}

/* By suite 2 without a key that is kept, by each implementation, and under the key of its nonce. */
static void opens_everywhere(const kept_nonce n, kms_slice bound, kms_slice sealed)
{
    const size_t len = sealed.len - TAG;
    uint8_t message_key[KMS__AEAD_KEY_SIZE];
    kms__message_key key;

    kms__suite_2_message_key(suite_key, n, message_key);
    expect_opens(kms__aead_open(KMS_SUITE_AES_256_GCM, suite_key, n, bound, sealed, opened_text),
                 len);
    expect_opens(kms__aes256gcm_libcrypto_open(message_key, n + HALF, bound, sealed, opened_text),
                 len);
    if (kms__aes256gcm_sodium_available())
        expect_opens(kms__aes256gcm_sodium_open(message_key, n + HALF, bound, sealed, opened_text),
                     len);
    ck_assert(of_nonce(owner, n, &key));
    expect_opens(kms__message_key_open(&key, n, bound, sealed, opened_text), len);
}

static void is_refused_once_altered(const kept_nonce n, kms_slice bound, uint8_t *sealed,
                                    size_t len)
{
    kms__message_key key;

    sealed[len / 2] ^= 1;
    ck_assert(of_nonce(owner, n, &key));
    ck_assert_int_eq(kms__message_key_open(&key, n, bound, slice(sealed, len + TAG), opened_text),
                     KMS_ERR_INVALID_CIPHERTEXT);
    ck_assert(sodium_is_zero(opened_text, sizeof opened_text));
}

/* Around the lengths at which one implementation gives way to the other, and at the last one. */
START_TEST(a_kept_key_gives_what_suite_2_gives)
{
    static const size_t lens[] = {0,    1,    64,   1023, 1024, 1025, 1152,  1153,   1407,
                                  1408, 1409, 2047, 2048, 4096, 9999, 65535, LONGEST};
    static uint8_t sealed[LONGEST + TAG], same[LONGEST + TAG];
    kms__message_key key;
    kept_nonce n;

    if (start() == NULL)
        return;
    randombytes_buf(plain, sizeof plain);
    for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
        const size_t len = lens[i];
        const kms_slice bound = slice(plain + 100, i % 3 * 41);

        ck_assert(kms__message_key_serves(len));
        ck_assert(of_run(owner, n, &key));
        ck_assert_int_eq(kms__message_key_seal(&key, n, bound, slice(plain, len), sealed), KMS_OK);
        ck_assert_int_eq(
            kms__aead_seal(KMS_SUITE_AES_256_GCM, suite_key, n, bound, slice(plain, len), same),
            KMS_OK);
        ck_assert(memcmp(sealed, same, len + TAG) == 0);
        opens_everywhere(n, bound, slice(sealed, len + TAG));
        is_refused_once_altered(n, bound, sealed, len);
    }
    ck_assert(!kms__message_key_serves((size_t)LONGEST + 1));
}
END_TEST

/* First halves that share their beginning share a place, and are told apart; so are owners. */
START_TEST(keys_of_like_nonces_and_of_other_owners_are_told_apart)
{
    kept_nonce n = {0};

    if (start() == NULL)
        return;
    for (unsigned i = 0; i < 2000; i++) {
        const uint64_t of = owner + i / 3 % 2;

        n[8] = (uint8_t)(i % 5);
        n[HALF] = (uint8_t)i;
        suite_key[0] = (uint8_t)of;
        read_under(of, n);
    }
}
END_TEST

START_TEST(a_run_ends_with_the_generators_seed)
{
    const void *places = start();
    uint8_t sealed[8 + TAG];
    unsigned in_run = 0, runs = 0;
    kept_nonce n, first;

    if (places == NULL)
        return;
    for (unsigned i = 0; i < 10 * HALVES; i++) {
        seal_one(owner, n, sealed);
        if (i > 0 && memcmp(n, first, HALF) == 0) {
            in_run++;
            ck_assert(memcmp(n, first, sizeof n) != 0);
        } else {
            ck_assert(runs <= 1 || in_run == LONGEST_RUN);
            /* The ended run's key is gone with the next one's first message. */
            ck_assert(i == 0 || !holds(places, first));
            runs++;
            in_run = 1;
        }
        memcpy(first, n, sizeof n);
        ck_assert(holds(places, n));
    }
    ck_assert_uint_ge(runs, 10);
}
END_TEST

/* As from a signal handler that calls in the middle. */
START_TEST(none_is_to_be_had_while_one_is_taken)
{
    uint8_t sealed[8 + TAG];
    kms__message_key key, other;
    kept_nonce n, m;

    if (start() == NULL)
        return;
    ck_assert(of_run(owner, n, &key));
    memcpy(m, n, sizeof m);
    ck_assert(!of_nonce(owner, m, &other));
    ck_assert(!of_run(owner, m, &other));
    ck_assert_int_eq(
        kms__message_key_seal(&key, n, slice("bound", 5), slice("message.", 8), sealed), KMS_OK);
    seal_one(owner, m, sealed);
    ck_assert_mem_eq(m, n, HALF);
    ck_assert(memcmp(m, n, sizeof m) != 0);
}
END_TEST

/* --- What is wiped ----------------------------------------------------------------------------- */

START_TEST(what_is_forgotten_is_wiped)
{
    const void *places = start();
    uint64_t other = kms__message_keys_owner();
    uint8_t sealed[8 + TAG];
    kept_nonce mine, others, read;

    if (places == NULL)
        return;
    seal_one(owner, mine, sealed);
    seal_one(other, others, sealed);
    read_one(owner, read);
    ck_assert(holds(places, mine) && holds(places, others) && holds(places, read));
    kms__message_keys_forget(0);
    ck_assert(holds(places, mine) && holds(places, others) && holds(places, read));
    kms__message_keys_forget(owner);
    ck_assert(!holds(places, mine) && holds(places, others) && !holds(places, read));
    kms__message_keys_forget(other);
    ck_assert(!holds(places, others) && kept_keys_are_wiped(places));
    /* Another key takes the place of the first. */
    for (int i = 0; i < 200; i++)
        read_one(owner, i == 0 ? read : mine);
    ck_assert(!holds(places, read) && holds(places, mine));
}
END_TEST

typedef struct one_thread {
    pthread_barrier_t kept, looked;
    kept_nonce sealed_under, read;
    const void *places;
} one_thread;

static void *keep_two(void *argument)
{
    one_thread *told = argument;
    uint8_t sealed[8 + TAG];

    told->places = kept_keys_of_thread();
    seal_one(owner, told->sealed_under, sealed);
    read_one(owner, told->read);
    pthread_barrier_wait(&told->kept);
    pthread_barrier_wait(&told->looked);
    return NULL;
}

/* Forgets (or not) what another thread keeps; that thread ends. */
static void look_at_a_thread(one_thread *told, bool forget_it)
{
    pthread_t thread;

    pthread_barrier_init(&told->kept, NULL, 2);
    pthread_barrier_init(&told->looked, NULL, 2);
    ck_assert_int_eq(pthread_create(&thread, NULL, keep_two, told), 0);
    pthread_barrier_wait(&told->kept);
    ck_assert(holds(told->places, told->sealed_under) && holds(told->places, told->read));
    if (forget_it)
        kms__message_keys_forget(owner);
    ck_assert(kept_keys_are_wiped(told->places) == forget_it);
    pthread_barrier_wait(&told->looked);
    pthread_join(thread, NULL);
    ck_assert(kept_keys_are_wiped(told->places));
    pthread_barrier_destroy(&told->kept);
    pthread_barrier_destroy(&told->looked);
}

START_TEST(another_threads_keys_are_wiped_when_they_are_forgotten_and_when_it_ends)
{
    one_thread first, second;
    const void *mine = start();

    if (mine == NULL)
        return;
    look_at_a_thread(&first, true);
    ck_assert_ptr_ne(first.places, mine);
    look_at_a_thread(&second, false);
    /* The next thread has the places of one that ended. */
    ck_assert_ptr_eq(second.places, first.places);
}
END_TEST

#define THREADS 4
#define NONCES 120
#define ROUNDS 4000

static kept_nonce nonces[NONCES];
static uint8_t messages[NONCES][8 + TAG];
/* Owners that nobody has pinned any more, for whichever thread comes by. */
static _Atomic uint64_t unpinned[16];
static const void *places_of[THREADS];
static pthread_barrier_t all_done;

static bool opens(uint64_t of, size_t number)
{
    uint8_t opened[8];
    kms__message_key key;
    kms_status st;

    if (of_nonce(of, nonces[number], &key))
        st = kms__message_key_open(&key, nonces[number], slice(NULL, 0),
                                   slice(messages[number], sizeof messages[number]), opened);
    else
        st = kms__aead_open(KMS_SUITE_AES_256_GCM, suite_key, nonces[number], slice(NULL, 0),
                            slice(messages[number], sizeof messages[number]), opened);
    return st == KMS_OK && memcmp(opened, "message.", 8) == 0;
}

/* Has an owner to itself for a while, then leaves it to be forgotten, often by another thread. */
static void *read_and_forget(void *argument)
{
    const size_t me = (size_t)(uintptr_t)argument;
    bool well = true;

    places_of[me] = kept_keys_of_thread();
    for (size_t i = 0; i < ROUNDS; i++) {
        const uint64_t mine = kms__message_keys_owner();

        for (size_t j = 0; j < 12; j++)
            well = opens(mine, (i * 7 + j / 2 * 11) % NONCES) && well;
        kms__message_keys_forget(atomic_exchange(&unpinned[(i * 5 + me) % 16], mine));
    }
    pthread_barrier_wait(&all_done);
    pthread_barrier_wait(&all_done);
    return well ? argument : places_of;
}

START_TEST(threads_that_fill_while_others_forget_use_no_wrong_key_and_leave_none)
{
    pthread_t threads[THREADS];
    void *well = NULL;

    if (start() == NULL)
        return;
    for (size_t i = 0; i < NONCES; i++) {
        randombytes_buf(nonces[i], sizeof nonces[i]);
        ck_assert_int_eq(kms__aead_seal(KMS_SUITE_AES_256_GCM, suite_key, nonces[i], slice(NULL, 0),
                                        slice("message.", 8), messages[i]),
                         KMS_OK);
    }
    pthread_barrier_init(&all_done, NULL, THREADS + 1);
    for (size_t i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, read_and_forget, (void *)(uintptr_t)i),
                         0);
    pthread_barrier_wait(&all_done);
    for (size_t i = 0; i < 16; i++)
        kms__message_keys_forget(atomic_load(&unpinned[i]));
    for (size_t i = 0; i < THREADS; i++)
        ck_assert(kept_keys_are_wiped(places_of[i]));
    pthread_barrier_wait(&all_done);
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], &well);
        ck_assert_uint_eq((uintptr_t)well, i);
    }
}
END_TEST

/* --- fork() ------------------------------------------------------------------------------------ */

static void wait_for(pid_t child)
{
    int status = -1;

    ck_assert_int_ge(child, 0);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
}

/* The first slab of cells, and the places. */
#define LOCKED_BY_A_THREAD (16 * sizeof(kms__thread) + KMS__MESSAGE_KEYS_SIZE)

/* It takes its parent's places, wiped, and locks them, since a child inherits no locks; so also the
 * threads' cells. */
START_TEST(a_child_has_no_run_of_its_parents)
{
    const void *places = start();
    uint8_t sealed[8 + TAG];
    kept_nonce parents, n;
    pid_t child;

    if (places == NULL)
        return;
    seal_one(owner, parents, sealed);
    locked_bytes = 0;
    child = fork();
    if (child == 0) {
        if (!kept_keys_are_wiped(places))
            _exit(1);
        seal_one(owner, n, sealed);
        if (kms__thread_self()->attached != places || locked_bytes < LOCKED_BY_A_THREAD)
            _exit(2);
        _exit(memcmp(n, parents, HALF) != 0 && memcmp(n + HALF, parents + HALF, HALF) != 0 ? 0 : 3);
    }
    wait_for(child);
    seal_one(owner, n, sealed);
    ck_assert_mem_eq(n, parents, HALF);
}
END_TEST

START_TEST(a_child_that_cannot_lock_keeps_none)
{
    const void *places = start();
    kms__message_key key;
    kept_nonce n;
    pid_t child;

    if (places == NULL)
        return;
    child = fork();
    if (child == 0) {
        refuse_to_lock = true;
        if (of_run(owner, n, &key) || !kept_keys_are_wiped(places))
            _exit(1);
        _exit(kms__threads_locked() ? 2 : 0);
    }
    wait_for(child);
}
END_TEST

/* As when a signal handler forks during the call, and the child returns into it. */
START_TEST(a_fork_while_a_key_is_taken_gives_no_ciphertext_in_the_child)
{
    static const size_t lens[] = {8, 8000};
    const void *places = start();
    static uint8_t sealed[8000 + TAG];
    kms__message_key key;
    kms_status st;
    pid_t child;
    kept_nonce n;

    if (places == NULL)
        return;
    for (size_t i = 0; i < 2; i++) {
        ck_assert(of_run(owner, n, &key));
        child = fork();
        st = kms__message_key_seal(&key, n, slice(NULL, 0), slice(plain, lens[i]), sealed);
        if (child == 0)
            _exit(st == KMS_ERR_FORKED && sodium_is_zero(sealed, lens[i] + TAG) &&
                          kept_keys_are_wiped(places)
                      ? 0
                      : 1);
        wait_for(child);
        ck_assert_int_eq(st, KMS_OK);
    }
}
END_TEST

/* --- Locked memory ----------------------------------------------------------------------------- */

static void *takes_one(void *unused)
{
    static const kept_nonce n = {0};

    return kept_keys_of_thread() != NULL ? (void *)n : unused;
}

static bool a_thread_has_keys(void)
{
    pthread_t thread;
    void *had = NULL;

    ck_assert_int_eq(pthread_create(&thread, NULL, takes_one, NULL), 0);
    pthread_join(thread, &had);
    return had != NULL;
}

static void a_thread_tries_once(void)
{
    ck_assert_ptr_null(kept_keys_of_thread());
    ck_assert_int_eq(kms_error_status(), KMS_OK);
}

START_TEST(where_no_memory_can_be_locked_none_is_kept)
{
    ck_assert_int_eq(kms__fork_init(), KMS_OK);
    ck_assert_ptr_nonnull(kms__thread_self());
    refuse_to_lock = true;
    a_thread_tries_once();
    ck_assert(!a_thread_has_keys());
    refuse_to_lock = false;
    a_thread_tries_once();
    ck_assert(a_thread_has_keys());
}
END_TEST

/* Whatever a process may lock by its privileges: half of the limit is left to others. */
START_TEST(at_most_half_of_the_limit_is_taken)
{
    struct rlimit limit;

    ck_assert_int_eq(kms__fork_init(), KMS_OK);
    ck_assert_ptr_nonnull(kms__thread_self());
    ck_assert_int_eq(getrlimit(RLIMIT_MEMLOCK, &limit), 0);
    if (limit.rlim_cur < (rlim_t)8 * KMS__MESSAGE_KEYS_LOCKED) {
        puts("SKIP: half of what may be locked: this process may lock too little");
        return;
    }
    limit.rlim_cur = (rlim_t)2 * KMS__MESSAGE_KEYS_LOCKED - 2;
    ck_assert_int_eq(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
    a_thread_tries_once();
    limit.rlim_cur += 2;
    ck_assert_int_eq(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
    a_thread_tries_once();
    ck_assert(a_thread_has_keys());
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_kept_key_gives_what_suite_2_gives,
        keys_of_like_nonces_and_of_other_owners_are_told_apart,
        a_run_ends_with_the_generators_seed,
        none_is_to_be_had_while_one_is_taken,
        what_is_forgotten_is_wiped,
        another_threads_keys_are_wiped_when_they_are_forgotten_and_when_it_ends,
        threads_that_fill_while_others_forget_use_no_wrong_key_and_leave_none,
        a_child_has_no_run_of_its_parents,
        a_child_that_cannot_lock_keeps_none,
        a_fork_while_a_key_is_taken_gives_no_ciphertext_in_the_child,
        where_no_memory_can_be_locked_none_is_kept,
        at_most_half_of_the_limit_is_taken,
    };

    return plain_main("message_keys", tests, sizeof tests / sizeof *tests);
}
