/* Message keys that serve a run of messages: where a run begins and ends, that no two runs are one,
 * and that no key outlives its version's place in the cache. */
#include "base/fork.h"
#include "crypto/aes256gcm.h"
#include "crypto/generator.h"
#include "crypto/message_keys.h"
#include "domain/open_version.h"
#include "support/plain_main.h"

#include <kms/kms.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define HALF KMS__NONCE_HALF
#define TAG KMS__AEAD_TAG_SIZE
#define NONCE_AT 58
#define BLOB KMS_CIPHERTEXT_SIZE(8)
/* Halves of nonces in a seed; the first message takes three. */
#define HALVES (KMS__GENERATOR_RESEED / HALF)
#define LONGEST_RUN (HALVES - 2)
#define OWNER 7

typedef uint8_t nonce[KMS__AEAD_NONCE_SIZE];

static uint8_t suite_key[KMS__AEAD_KEY_SIZE];

static bool skip(void)
{
    ck_assert_int_eq(kms__fork_init(), KMS_OK);
    if (kms__aes256gcm_sodium_available() && kms__suite_available(KMS_SUITE_AES_256_GCM))
        return false;
    puts("SKIP: message keys that are kept: this processor has no AES, or the build no suite 2");
    return true;
}

static kms_slice slice(const void *data, size_t len)
{
    return (kms_slice){data, len};
}

/* --- The table --------------------------------------------------------------------------------- */

static kms__message_keys *open_keys(void)
{
    kms__message_keys *keys = kms__message_keys_open();

    randombytes_buf(suite_key, sizeof suite_key);
    if (keys == NULL)
        puts("SKIP: message keys that are kept: no memory can be locked here");
    return keys;
}

static kms__message_key *of_run(kms__message_keys *keys, uint64_t owner, nonce n)
{
    return kms__message_key_of_run(keys, owner, kms__thread_self(), suite_key, n);
}

static bool holds(const void *keys, const nonce n)
{
    uint8_t message_key[KMS__AEAD_KEY_SIZE];

    kms__suite_2_message_key(suite_key, n, message_key);
    return memmem(keys, KMS__MESSAGE_KEYS_SIZE, message_key, 16) != NULL ||
           memmem(keys, KMS__MESSAGE_KEYS_SIZE, message_key + 16, 16) != NULL;
}

static void seal_one(kms__message_keys *keys, uint64_t owner, nonce n, uint8_t sealed[8 + TAG])
{
    kms__message_key *key = of_run(keys, owner, n);

    ck_assert_ptr_nonnull(key);
    ck_assert_int_eq(kms__message_key_seal(key, n, slice("bound", 5), slice("message.", 8), sealed),
                     KMS_OK);
}

START_TEST(a_kept_key_gives_what_suite_2_gives)
{
    kms__message_keys *keys;
    uint8_t sealed[8 + TAG], opened[8];
    kms__message_key *key;
    nonce n;

    if (skip() || (keys = open_keys()) == NULL)
        return;
    for (int i = 0; i < 2000; i++) {
        seal_one(keys, OWNER, n, sealed);
        ck_assert_int_eq(kms__aead_open(KMS_SUITE_AES_256_GCM, suite_key, n, slice("bound", 5),
                                        slice(sealed, sizeof sealed), opened),
                         KMS_OK);
        if (i % 3 == 0)
            randombytes_buf(n, sizeof n);
        ck_assert_int_eq(kms__aead_seal(KMS_SUITE_AES_256_GCM, suite_key, n, slice("bound", 5),
                                        slice("message.", 8), sealed),
                         KMS_OK);
        key = kms__message_key_of_nonce(keys, OWNER, suite_key, n);
        ck_assert_int_eq(
            kms__message_key_open(key, n, slice("bound", 5), slice(sealed, sizeof sealed), opened),
            KMS_OK);
        ck_assert_mem_eq(opened, "message.", 8);
        sealed[i % (int)sizeof sealed] ^= 1;
        key = kms__message_key_of_nonce(keys, OWNER, suite_key, n);
        ck_assert_int_eq(
            kms__message_key_open(key, n, slice("bound", 5), slice(sealed, sizeof sealed), opened),
            KMS_ERR_INVALID_CIPHERTEXT);
        ck_assert(sodium_is_zero(opened, sizeof opened) || memcmp(opened, "message.", 8) == 0);
    }
    kms__message_keys_close(keys);
}
END_TEST

START_TEST(a_run_ends_with_the_generators_seed)
{
    kms__message_keys *keys;
    uint8_t sealed[8 + TAG];
    unsigned in_run = 0, runs = 0;
    nonce n, first;

    if (skip() || (keys = open_keys()) == NULL)
        return;
    for (unsigned i = 0; i < 10 * HALVES; i++) {
        seal_one(keys, OWNER, n, sealed);
        if (i > 0 && memcmp(n, first, HALF) == 0) {
            in_run++;
            ck_assert(memcmp(n, first, sizeof n) != 0);
        } else {
            ck_assert(runs <= 1 || in_run == LONGEST_RUN);
            /* The ended run's key is gone with the next one's first message. */
            ck_assert(i == 0 || !holds(keys, first));
            runs++;
            in_run = 1;
        }
        memcpy(first, n, sizeof n);
        ck_assert(holds(keys, n));
    }
    ck_assert_uint_ge(runs, 10);
    kms__message_keys_close(keys);
}
END_TEST

START_TEST(what_is_forgotten_is_wiped)
{
    kms__message_keys *keys;
    uint8_t sealed[8 + TAG];
    kms__message_key *key;
    nonce mine, others, read;

    if (skip() || (keys = open_keys()) == NULL)
        return;
    seal_one(keys, OWNER, mine, sealed);
    seal_one(keys, OWNER + 1, others, sealed);
    randombytes_buf(read, sizeof read);
    key = kms__message_key_of_nonce(keys, OWNER, suite_key, read);
    (void)!kms__message_key_open(key, read, slice(NULL, 0), slice(sealed, sizeof sealed), sealed);
    ck_assert(holds(keys, mine) && holds(keys, others) && holds(keys, read));
    kms__message_keys_forget(keys, OWNER);
    ck_assert(!holds(keys, mine) && holds(keys, others) && !holds(keys, read));
    /* One that is taken is wiped as it is put back. */
    key = of_run(keys, OWNER + 1, others);
    ck_assert_ptr_null(of_run(keys, OWNER + 1, mine));
    kms__message_keys_forget(keys, OWNER + 1);
    ck_assert(holds(keys, others));
    ck_assert_int_eq(
        kms__message_key_seal(key, others, slice(NULL, 0), slice("message.", 8), sealed), KMS_OK);
    ck_assert(!holds(keys, others));
    ck_assert(sodium_is_zero((const uint8_t *)keys, KMS__MESSAGE_KEYS_SIZE));
    kms__message_keys_close(keys);
}
END_TEST

static void *read_for_ever(void *argument)
{
    kms__message_keys *keys = argument;
    uint8_t sealed[8 + TAG] = {0}, opened[8];
    nonce n = {0};

    for (uint64_t i = 0; i < 200000; i++) {
        const uint64_t owner = 1 + i % 50;
        kms__message_key *key;

        n[0] = (uint8_t)(i % 13);
        n[HALF - 1] = (uint8_t)(i % 29);
        key = kms__message_key_of_nonce(keys, owner, suite_key, n);
        if (key != NULL)
            (void)!kms__message_key_open(key, n, slice(NULL, 0), slice(sealed, sizeof sealed),
                                         opened);
        if (i % 7 == 0)
            kms__message_keys_forget(keys, owner);
    }
    return NULL;
}

START_TEST(threads_that_take_and_forget_leave_nothing)
{
    kms__message_keys *keys;
    pthread_t threads[4];

    if (skip() || (keys = open_keys()) == NULL)
        return;
    for (size_t i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, read_for_ever, keys), 0);
    for (size_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    for (uint64_t owner = 1; owner <= 50; owner++)
        kms__message_keys_forget(keys, owner);
    ck_assert(sodium_is_zero((const uint8_t *)keys, KMS__MESSAGE_KEYS_SIZE));
    kms__message_keys_close(keys);
}
END_TEST

/* --- fork() ------------------------------------------------------------------------------------ */

/* Where the kernel does not wipe pages, a child has its parent's keys, and its store refuses it. */
static bool kernel_wipes(void)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool wipes = page != MAP_FAILED && kms__fork_wipes(page, 4096);

    if (page != MAP_FAILED)
        munmap(page, 4096);
    if (!wipes)
        puts("SKIP: message keys in a forked child: this kernel does not wipe pages");
    return wipes;
}

static void wait_for(pid_t child)
{
    int status = -1;

    ck_assert_int_ge(child, 0);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
}

START_TEST(a_child_has_no_run_of_its_parents)
{
    kms__message_keys *keys;
    uint8_t sealed[8 + TAG];
    nonce parents, n;
    pid_t child;

    if (skip() || !kernel_wipes() || (keys = open_keys()) == NULL)
        return;
    seal_one(keys, OWNER, parents, sealed);
    child = fork();
    if (child == 0) {
        if (!sodium_is_zero((const uint8_t *)keys, KMS__MESSAGE_KEYS_SIZE))
            _exit(1);
        seal_one(keys, OWNER, n, sealed);
        _exit(memcmp(n, parents, HALF) != 0 && memcmp(n + HALF, parents + HALF, HALF) != 0 ? 0 : 2);
    }
    wait_for(child);
    seal_one(keys, OWNER, n, sealed);
    ck_assert_mem_eq(n, parents, HALF);
    kms__message_keys_close(keys);
}
END_TEST

/* As when a signal handler forks during the call, and the child returns into it. */
START_TEST(a_fork_while_a_key_is_taken_gives_no_ciphertext_in_the_child)
{
    kms__message_keys *keys;
    uint8_t sealed[8 + TAG];
    kms__message_key *key;
    kms_status st;
    pid_t child;
    nonce n;

    if (skip() || !kernel_wipes() || (keys = open_keys()) == NULL)
        return;
    key = of_run(keys, OWNER, n);
    child = fork();
    st = kms__message_key_seal(key, n, slice(NULL, 0), slice("message.", 8), sealed);
    if (child == 0)
        _exit(st == KMS_ERR_FORKED && sodium_is_zero(sealed, sizeof sealed) ? 0 : 1);
    wait_for(child);
    ck_assert_int_eq(st, KMS_OK);
    kms__message_keys_close(keys);
}
END_TEST

/* --- Stores ------------------------------------------------------------------------------------ */

static kms_store *store;
static char key_id[KMS_KEY_ID_SIZE];

static void open_store(void)
{
    kms_create_key_options options = KMS_CREATE_KEY_OPTIONS_INIT;

    options.suite = KMS_SUITE_AES_256_GCM;
    ck_assert_int_eq(kms_open_memory(&store), KMS_OK);
    ck_assert_int_eq(kms_ensure_alias(store, "alias/a", &options, key_id), KMS_OK);
}

static void encrypt(uint8_t blob[BLOB])
{
    size_t len;

    if (kms_encrypt(store, "alias/a", NULL, "message.", 8, blob, BLOB, &len) != KMS_OK)
        abort();
}

static kms_status decrypt(const uint8_t blob[BLOB])
{
    uint8_t opened[8];
    size_t len;

    return kms_decrypt(store, NULL, blob, BLOB, opened, sizeof opened, &len);
}

/* The store's table, and the suite key, by a look at the opened version. */
static const void *look_at_keys(void)
{
    const void *keys;
    kms__pin pin;

    ck_assert_int_eq(kms__pin_primary(store, "alias/a", 0, &pin), KMS_OK);
    keys = pin.opened->message_keys;
    memcpy(suite_key, pin.opened->suite_key, sizeof suite_key);
    kms__pin_release(&pin);
    if (keys == NULL)
        puts("SKIP: message keys of a store: no memory can be locked here");
    return keys;
}

#define THREADS 6
#define EACH 3000

static nonce drawn[2 * THREADS][EACH];

static void *encrypt_many(void *argument)
{
    nonce *to = argument;
    uint8_t blob[BLOB];

    for (size_t i = 0; i < EACH; i++) {
        encrypt(blob);
        memcpy(to[i], blob + NONCE_AT, sizeof(nonce));
    }
    return NULL;
}

static int by_bytes(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(nonce));
}

static bool has_first_half(nonce *of_thread, const uint8_t half[HALF])
{
    for (size_t i = 0; i < EACH; i++)
        if (memcmp(of_thread[i], half, HALF) == 0)
            return true;
    return false;
}

/* A thread's own nonces are sorted: those of a run stand together. */
static void check_runs(size_t thread)
{
    size_t runs = 0;

    for (size_t i = 0; i < EACH; i++) {
        const uint8_t *one = drawn[thread][i], *before = i > 0 ? drawn[thread][i - 1] : NULL;

        ck_assert(i == 0 || memcmp(before, one, sizeof(nonce)) != 0);
        if (i > 0 && memcmp(before, one, HALF) == 0)
            continue;
        runs++;
        for (size_t other = 0; other < thread; other++)
            ck_assert(!has_first_half(drawn[other], one));
    }
    ck_assert_uint_ge(runs, EACH / LONGEST_RUN);
}

/* The threads of the second round often have the cells of the first one's. */
START_TEST(no_nonce_repeats_and_no_two_threads_share_a_first_half)
{
    pthread_t threads[THREADS];

    if (skip())
        return;
    open_store();
    for (size_t i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, encrypt_many, drawn[i]), 0);
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        ck_assert_int_eq(pthread_create(&threads[i], NULL, encrypt_many, drawn[THREADS + i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (size_t i = 0; i < (size_t)2 * THREADS; i++)
        qsort(drawn[i], EACH, sizeof(nonce), by_bytes);
    for (size_t i = 0; i < (size_t)2 * THREADS; i++)
        check_runs(i);
    kms_close(store);
}
END_TEST

START_TEST(a_disabled_keys_message_keys_are_wiped)
{
    const void *keys;
    uint8_t blob[BLOB], other[BLOB], out[BLOB];
    size_t len;

    if (skip())
        return;
    open_store();
    encrypt(blob);
    /* A run of another thread, or of another process: only read. */
    memcpy(other, blob, sizeof other);
    ck_assert_int_eq(decrypt(blob), KMS_OK);
    randombytes_buf(other + NONCE_AT, sizeof(nonce));
    ck_assert_int_eq(decrypt(other), KMS_ERR_INVALID_CIPHERTEXT);
    keys = look_at_keys();
    if (keys == NULL)
        return;
    ck_assert(holds(keys, blob + NONCE_AT) && holds(keys, other + NONCE_AT));
    ck_assert_int_eq(kms_disable_key(store, key_id), KMS_OK);
    ck_assert_int_eq(kms_encrypt(store, "alias/a", NULL, "x", 1, out, sizeof out, &len),
                     KMS_ERR_DISABLED);
    ck_assert_int_eq(decrypt(other), KMS_ERR_DISABLED);
    ck_assert_int_eq(decrypt(blob), KMS_ERR_DISABLED);
    ck_assert(!holds(keys, blob + NONCE_AT) && !holds(keys, other + NONCE_AT));
    ck_assert(sodium_is_zero(keys, KMS__MESSAGE_KEYS_SIZE));
    kms_close(store);
}
END_TEST

/* The fewest that a store may have. */
#define FEWEST 16

static void open_with_few_entries(void)
{
    kms_open_options options = KMS_OPEN_OPTIONS_INIT;
    kms_create_key_options key_options = KMS_CREATE_KEY_OPTIONS_INIT;
    const uint8_t root_key[KMS_ROOT_KEY_SIZE] = {3};
    kms_backend *engine;
    kms_root *root;

    options.cache_entries = FEWEST;
    key_options.suite = KMS_SUITE_AES_256_GCM;
    ck_assert_int_eq(kms_memory_backend(&engine), KMS_OK);
    ck_assert_int_eq(kms_root_raw(&root, root_key, sizeof root_key), KMS_OK);
    ck_assert_int_eq(kms_open(&store, engine, root, KMS_OPEN_CREATE, &options), KMS_OK);
    ck_assert_int_eq(kms_ensure_alias(store, "alias/a", &key_options, key_id), KMS_OK);
}

START_TEST(an_evicted_versions_message_keys_are_wiped)
{
    const void *keys;
    uint8_t blob[BLOB], out[BLOB];
    char others[KMS_KEY_ID_SIZE];
    size_t len;

    if (skip())
        return;
    open_with_few_entries();
    encrypt(blob);
    keys = look_at_keys();
    if (keys == NULL)
        return;
    ck_assert(holds(keys, blob + NONCE_AT));
    for (int i = 0; i < 8 * FEWEST; i++) {
        ck_assert_int_eq(kms_create_key(store, NULL, others), KMS_OK);
        ck_assert_int_eq(kms_encrypt(store, others, NULL, "x", 1, out, sizeof out, &len), KMS_OK);
    }
    ck_assert(!holds(keys, blob + NONCE_AT));
    ck_assert(sodium_is_zero(keys, KMS__MESSAGE_KEYS_SIZE));
    kms_close(store);
}
END_TEST

/* Its nonces follow from what it encrypts, so that none has a run. */
START_TEST(deterministic_keys_keep_none)
{
    kms_create_key_options options = KMS_CREATE_KEY_OPTIONS_INIT;
    kms__pin pin;

    if (skip())
        return;
    open_store();
    options.suite = KMS_SUITE_AES_256_GCM;
    options.usage = KMS_KEY_USAGE_DETERMINISTIC;
    ck_assert_int_eq(kms_create_key(store, &options, key_id), KMS_OK);
    ck_assert_int_eq(kms__pin_primary_for(store, key_id, KMS_OP_ENCRYPT_DETERMINISTIC, 0, &pin),
                     KMS_OK);
    ck_assert_ptr_null(pin.opened->message_keys);
    kms__pin_release(&pin);
    kms_close(store);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_kept_key_gives_what_suite_2_gives,
        a_run_ends_with_the_generators_seed,
        what_is_forgotten_is_wiped,
        threads_that_take_and_forget_leave_nothing,
        a_child_has_no_run_of_its_parents,
        a_fork_while_a_key_is_taken_gives_no_ciphertext_in_the_child,
        no_nonce_repeats_and_no_two_threads_share_a_first_half,
        a_disabled_keys_message_keys_are_wiped,
        an_evicted_versions_message_keys_are_wiped,
        deterministic_keys_keep_none,
    };

    return plain_main("message_keys", tests, sizeof tests / sizeof *tests);
}
