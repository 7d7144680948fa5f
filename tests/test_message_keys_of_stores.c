/* Message keys that calls of a store keep: no nonce repeats, and no key outlives its version's place in
 * the cache, nor the store. */
#include "crypto/generator.h"
#include "domain/open_version.h"
#include "support/kept_keys.h"
#include "support/plain_main.h"

#include <kms/kms.h>
#include <pthread.h>
#include <signal.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#define HALF KMS__NONCE_HALF
#define NONCE_AT 58
#define BLOB KMS_CIPHERTEXT_SIZE(8)
/* Halves of nonces in a seed; the first message takes three. */
#define LONGEST_RUN (KMS__GENERATOR_RESEED / HALF - 2)

static kms_store *store;
static char key_id[KMS_KEY_ID_SIZE];
static uint8_t suite_key[KMS__AEAD_KEY_SIZE];

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

static void look_at_suite_key(void)
{
    kms__pin pin;

    ck_assert_int_eq(kms__pin_primary(store, "alias/a", 0, &pin), KMS_OK);
    memcpy(suite_key, pin.opened->suite_key, sizeof suite_key);
    kms__pin_release(&pin);
}

static bool holds(const void *places, const uint8_t blob[BLOB])
{
    return kept_keys_hold(places, suite_key, blob + NONCE_AT);
}

/* A key for sealing and one for reading, of a run of another process, as it were. */
static const void *keep_two(uint8_t blob[BLOB], uint8_t other[BLOB])
{
    const void *places = kept_keys_of_thread();

    encrypt(blob);
    memcpy(other, blob, BLOB);
    ck_assert_int_eq(decrypt(blob), KMS_OK);
    randombytes_buf(other + NONCE_AT, sizeof(kept_nonce));
    ck_assert_int_eq(decrypt(other), KMS_ERR_INVALID_CIPHERTEXT);
    look_at_suite_key();
    ck_assert(holds(places, blob) && holds(places, other));
    return places;
}

/* --- Nonces ------------------------------------------------------------------------------------ */

#define THREADS 6
#define EACH 3000

static kept_nonce drawn[2 * THREADS][EACH];

static void *encrypt_many(void *argument)
{
    kept_nonce *to = argument;
    uint8_t blob[BLOB];

    for (size_t i = 0; i < EACH; i++) {
        encrypt(blob);
        memcpy(to[i], blob + NONCE_AT, sizeof(kept_nonce));
    }
    return NULL;
}

static int by_bytes(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(kept_nonce));
}

static bool has_first_half(kept_nonce *of_thread, const uint8_t half[HALF])
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

        ck_assert(i == 0 || memcmp(before, one, sizeof(kept_nonce)) != 0);
        if (i > 0 && memcmp(before, one, HALF) == 0)
            continue;
        runs++;
        for (size_t other = 0; other < thread; other++)
            ck_assert(!has_first_half(drawn[other], one));
    }
    ck_assert_uint_ge(runs, EACH / LONGEST_RUN);
}

/* The threads of the second round often have the cells, and the places, of the first one's. */
START_TEST(no_nonce_repeats_and_no_two_threads_share_a_first_half)
{
    pthread_t threads[THREADS];

    if (kept_keys_skip())
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
        qsort(drawn[i], EACH, sizeof(kept_nonce), by_bytes);
    for (size_t i = 0; i < (size_t)2 * THREADS; i++)
        check_runs(i);
    kms_close(store);
}
END_TEST

static bool share_a_first_half(size_t len)
{
    static uint8_t plain[KMS__MESSAGE_KEY_LONGEST + 1], opened[sizeof plain];
    static uint8_t blob[2][KMS_CIPHERTEXT_SIZE(sizeof plain)];
    size_t blob_len, opened_len;

    randombytes_buf(plain, len);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(
            kms_encrypt(store, "alias/a", NULL, plain, len, blob[i], sizeof blob[i], &blob_len),
            KMS_OK);
        ck_assert_int_eq(
            kms_decrypt(store, NULL, blob[i], blob_len, opened, sizeof opened, &opened_len),
            KMS_OK);
        ck_assert_uint_eq(opened_len, len);
        ck_assert(memcmp(opened, plain, len) == 0);
    }
    return memcmp(blob[0] + NONCE_AT, blob[1] + NONCE_AT, HALF) == 0;
}

START_TEST(messages_of_up_to_64_kib_are_sealed_in_runs)
{
    static const size_t lens[] = {0, 64, 1152, 1153, 4096, KMS__MESSAGE_KEY_LONGEST};

    if (kept_keys_skip())
        return;
    open_store();
    for (size_t i = 0; i < sizeof lens / sizeof *lens; i++)
        ck_assert(share_a_first_half(lens[i]));
    ck_assert(!share_a_first_half((size_t)KMS__MESSAGE_KEY_LONGEST + 1));
    kms_close(store);
}
END_TEST

/* Its nonces follow from what it encrypts, so that none has a run. */
START_TEST(deterministic_keys_keep_none)
{
    kms_create_key_options options = KMS_CREATE_KEY_OPTIONS_INIT;
    uint8_t blob[BLOB];
    const void *places;
    kms__pin pin;
    size_t len;

    if (kept_keys_skip())
        return;
    places = kept_keys_of_thread();
    open_store();
    options.suite = KMS_SUITE_AES_256_GCM;
    options.usage = KMS_KEY_USAGE_DETERMINISTIC;
    ck_assert_int_eq(kms_create_key(store, &options, key_id), KMS_OK);
    ck_assert_int_eq(kms__pin_primary_for(store, key_id, KMS_OP_ENCRYPT_DETERMINISTIC, 0, &pin),
                     KMS_OK);
    ck_assert_uint_eq(pin.opened->number_as_owner, 0);
    kms__pin_release(&pin);
    {
        static const kms_context_pair pair = {"column", "ssn"};
        static const kms_context context = {&pair, 1};
        uint8_t opened[8];

        ck_assert_int_eq(kms_encrypt_deterministic(store, key_id, &context, "message.", 8, blob,
                                                   sizeof blob, &len),
                         KMS_OK);
        ck_assert_int_eq(kms_decrypt(store, &context, blob, len, opened, sizeof opened, &len),
                         KMS_OK);
    }
    ck_assert(kept_keys_are_wiped(places));
    kms_close(store);
}
END_TEST

/* --- What is wiped ----------------------------------------------------------------------------- */

START_TEST(a_disabled_keys_message_keys_are_wiped)
{
    uint8_t blob[BLOB], other[BLOB], out[BLOB];
    const void *places;
    size_t len;

    if (kept_keys_skip())
        return;
    open_store();
    places = keep_two(blob, other);
    ck_assert_int_eq(kms_disable_key(store, key_id), KMS_OK);
    ck_assert_int_eq(kms_encrypt(store, "alias/a", NULL, "x", 1, out, sizeof out, &len),
                     KMS_ERR_DISABLED);
    ck_assert_int_eq(decrypt(other), KMS_ERR_DISABLED);
    ck_assert_int_eq(decrypt(blob), KMS_ERR_DISABLED);
    ck_assert(!holds(places, blob) && !holds(places, other));
    ck_assert(kept_keys_are_wiped(places));
    kms_close(store);
}
END_TEST

START_TEST(a_closed_stores_message_keys_are_wiped_and_no_others)
{
    uint8_t blob[BLOB], other[BLOB];
    const void *places;
    kms_store *first;

    if (kept_keys_skip())
        return;
    open_store();
    (void)keep_two(blob, other);
    first = store;
    open_store();
    places = keep_two(blob, other);
    kms_close(first);
    ck_assert(holds(places, blob) && holds(places, other));
    kms_close(store);
    ck_assert(kept_keys_are_wiped(places));
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
    uint8_t blob[BLOB], other[BLOB], out[BLOB];
    char others[KMS_KEY_ID_SIZE];
    const void *places;
    size_t len;

    if (kept_keys_skip())
        return;
    open_with_few_entries();
    places = keep_two(blob, other);
    for (int i = 0; i < 8 * FEWEST; i++) {
        ck_assert_int_eq(kms_create_key(store, NULL, others), KMS_OK);
        ck_assert_int_eq(kms_encrypt(store, others, NULL, "x", 1, out, sizeof out, &len), KMS_OK);
    }
    ck_assert(kept_keys_are_wiped(places));
    kms_close(store);
}
END_TEST

/* --- Many keys, many threads ------------------------------------------------------------------- */

#define MANY (3 * FEWEST)

static char many[MANY][KMS_KEY_ID_SIZE];
static pthread_barrier_t all_done;

/* Under more keys than the cache has entries, so that threads evict what others use. */
static void *use_many(void *argument)
{
    const void **places = argument;
    uint8_t blobs[8][BLOB], opened[8];
    size_t len;

    *places = kept_keys_of_thread();
    for (size_t i = 0; i < 2500; i++) {
        const char *keyref = many[(i * 7 + (size_t)(uintptr_t)places / sizeof *places) % MANY];

        if (kms_encrypt(store, keyref, NULL, &i, sizeof i, blobs[i % 8], BLOB, &len) != KMS_OK)
            abort();
        if (i >= 8 &&
            kms_decrypt(store, NULL, blobs[i * 5 % 8], BLOB, opened, sizeof opened, &len) != KMS_OK)
            abort();
        if (kms_decrypt(store, NULL, blobs[i % 8], BLOB, opened, sizeof opened, &len) != KMS_OK ||
            memcmp(opened, &i, sizeof i) != 0)
            abort();
    }
    pthread_barrier_wait(&all_done);
    pthread_barrier_wait(&all_done);
    return NULL;
}

START_TEST(threads_that_evict_each_others_keys_go_on_and_leave_none)
{
    kms_create_key_options options = KMS_CREATE_KEY_OPTIONS_INIT;
    const void *places[THREADS];
    pthread_t threads[THREADS];

    if (kept_keys_skip())
        return;
    open_with_few_entries();
    options.suite = KMS_SUITE_AES_256_GCM;
    for (size_t i = 0; i < MANY; i++)
        ck_assert_int_eq(kms_create_key(store, &options, many[i]), KMS_OK);
    pthread_barrier_init(&all_done, NULL, THREADS + 1);
    for (size_t i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, use_many, &places[i]), 0);
    pthread_barrier_wait(&all_done);
    kms_close(store);
    for (size_t i = 0; i < THREADS; i++)
        ck_assert(kept_keys_are_wiped(places[i]));
    pthread_barrier_wait(&all_done);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}
END_TEST

/* --- Signals ----------------------------------------------------------------------------------- */

#define INTERRUPTIONS 400

static volatile sig_atomic_t interruptions, failed;
static kept_nonce of_handler[INTERRUPTIONS];

static void on_signal(int number)
{
    uint8_t blob[BLOB], opened[8];
    size_t len;

    (void)number;
    if (interruptions >= INTERRUPTIONS)
        return;
    if (kms_encrypt(store, "alias/a", NULL, "handlers", 8, blob, sizeof blob, &len) != KMS_OK ||
        kms_decrypt(store, NULL, blob, len, opened, sizeof opened, &len) != KMS_OK ||
        memcmp(opened, "handlers", 8) != 0)
        failed = 1;
    memcpy(of_handler[interruptions], blob + NONCE_AT, sizeof(kept_nonce));
    interruptions++;
}

static void interrupt_often(suseconds_t microseconds)
{
    const struct timeval time = {0, microseconds};
    const struct itimerval timer = {time, time};

    ck_assert_int_eq(setitimer(ITIMER_REAL, &timer, NULL), 0);
}

/* What the handler seals has none of the interrupted call's nonces. */
START_TEST(a_signal_handler_may_seal_and_open_in_the_middle_of_a_call)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    uint8_t blob[BLOB];

    if (kept_keys_skip())
        return;
    open_store();
    encrypt(blob);
    ck_assert_int_eq(decrypt(blob), KMS_OK);
    ck_assert_int_eq(sigaction(SIGALRM, &action, NULL), 0);
    interrupt_often(100);
    while (interruptions < INTERRUPTIONS) {
        encrypt(blob);
        if (decrypt(blob) != KMS_OK)
            failed = 1;
        for (int i = 0; i < interruptions; i++)
            if (memcmp(of_handler[i], blob + NONCE_AT, sizeof(kept_nonce)) == 0)
                failed = 1;
    }
    interrupt_often(0);
    ck_assert_int_eq(failed, 0);
    kms_close(store);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        no_nonce_repeats_and_no_two_threads_share_a_first_half,
        messages_of_up_to_64_kib_are_sealed_in_runs,
        deterministic_keys_keep_none,
        a_disabled_keys_message_keys_are_wiped,
        a_closed_stores_message_keys_are_wiped_and_no_others,
        an_evicted_versions_message_keys_are_wiped,
        threads_that_evict_each_others_keys_go_on_and_leave_none,
        a_signal_handler_may_seal_and_open_in_the_middle_of_a_call,
    };

    return plain_main("message_keys_of_stores", tests, sizeof tests / sizeof *tests);
}
