/* What calls leave behind: no key that was used lies on the stack or in libcrypto's memory after
 * them, and warm calls allocate nothing. */
#include "base/fork.h"
#include "crypto/aead.h"
#include "crypto/generator.h"
#include "crypto/kdf.h"
#include "crypto/message_keys.h"
#include "crypto/prf.h"
#include "support/kept_keys.h"

#include <check.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#if KMS_HAVE_LIBCRYPTO
#include <openssl/crypto.h>
#include <openssl/evp.h>
#endif

#define TAG KMS__AEAD_TAG_SIZE
#define LONGEST 4000

static uint8_t key[KMS__AEAD_KEY_SIZE];
static uint8_t nonce[KMS__AEAD_NONCE_SIZE];

static void setup(void)
{
    ck_assert_int_eq(kms__fork_init(), KMS_OK);
    randombytes_buf(key, sizeof key);
    randombytes_buf(nonce, sizeof nonce);
}

static kms_slice slice(const void *data, size_t len)
{
    return (kms_slice){data, len};
}

/* Suite 1's key for the message, as XChaCha20 derives it, or suite 2's. */
static void derive_message_key(kms_suite suite, uint8_t message_key[32])
{
    uint8_t input[16] = {0};

    memcpy(input, nonce, suite == KMS_SUITE_XCHACHA20_POLY1305 ? 16 : 12);
    ck_assert_int_eq(crypto_core_hchacha20(message_key, input, key, NULL), 0);
}

/* --- What the stack keeps --------------------------------------------------------------------- */

#define STACK ((size_t)2 << 20)
#define DEEP ((size_t)128 << 10)

typedef struct task {
    void (*body)(void *);
    void *argument;
} task;

/* So that an optimiser leaves it where it is. */
static void make_real(void *bytes)
{
    __asm__ volatile("" : : "r"(bytes) : "memory");
}

/* Far below the frames that a thread's end uses again, so that these do not hide what is left. */
static void *deep_down(void *argument)
{
    const task *deep = argument;
    uint8_t room[DEEP];

    make_real(room);
    deep->body(deep->argument);
    make_real(room);
    return NULL;
}

/* Whether eight bytes in a row of the secret are there, or four of them twice, as vector code has
 * them. */
static bool holds_part(const uint8_t *memory, size_t size, const uint8_t secret[32])
{
    for (size_t at = 0; at < 32; at += 4) {
        uint8_t twice[8];

        memcpy(twice, secret + at, 4);
        memcpy(twice + 4, secret + at, 4);
        if (memmem(memory, size, twice, 8) != NULL ||
            (at < 28 && memmem(memory, size, secret + at, 8) != NULL))
            return true;
    }
    return false;
}

/* Runs body on a stack of our own, and searches that afterwards. */
static bool leaves_on_stack(const uint8_t secret[32], void (*body)(void *), void *argument)
{
    unsigned char *stack =
        mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    task deep = {body, argument};
    pthread_attr_t attributes;
    pthread_t thread;
    bool found;

    ck_assert_ptr_ne(stack, MAP_FAILED);
    ck_assert_int_eq(pthread_attr_init(&attributes), 0);
    ck_assert_int_eq(pthread_attr_setstack(&attributes, stack, STACK), 0);
    ck_assert_int_eq(pthread_create(&thread, &attributes, deep_down, &deep), 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attributes);
    found = holds_part(stack, STACK, secret);
    munmap(stack, STACK);
    return found;
}

static void copy_and_leave(void *secret)
{
    uint8_t copy[32];

    memcpy(copy, secret, sizeof copy);
    make_real(copy);
}

/* valgrind takes a search of what was never written for an error. */
static bool under_valgrind(void)
{
    const char *preloaded = getenv("LD_PRELOAD");

    return preloaded != NULL && strstr(preloaded, "vgpreload") != NULL;
}

/* ThreadSanitizer saves registers, keys in them too, wherever it looks at an access. */
#if defined(__SANITIZE_THREAD__)
#define SPILLS_REGISTERS true
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SPILLS_REGISTERS true
#endif
#endif
#ifndef SPILLS_REGISTERS
#define SPILLS_REGISTERS false
#endif

/* Shows that the search finds what does lie there. */
static bool stack_can_be_searched(void)
{
    uint8_t secret[32];

    if (under_valgrind() || SPILLS_REGISTERS) {
        puts("SKIP: keys on the stack: not under valgrind or ThreadSanitizer");
        return false;
    }
    randombytes_buf(secret, sizeof secret);
    if (leaves_on_stack(secret, copy_and_leave, secret))
        return true;
    puts("SKIP: keys on the stack: locals are not on the thread's stack here");
    return false;
}

typedef struct message {
    kms_suite suite;
    size_t len;
    uint8_t sealed[LONGEST + TAG];
    bool well;
} message;

static void seal_message(void *argument)
{
    static const uint8_t plain[LONGEST];
    message *used = argument;

    used->well = kms__aead_seal(used->suite, key, nonce, slice(plain, 82), slice(plain, used->len),
                                used->sealed) == KMS_OK;
}

static void open_message(void *argument)
{
    static const uint8_t associated[82];
    static uint8_t opened[LONGEST];
    message *used = argument;

    used->well = kms__aead_open(used->suite, key, nonce, slice(associated, sizeof associated),
                                slice(used->sealed, used->len + TAG), opened) == KMS_OK;
}

static void expect_no_key(message *used, void (*body)(void *))
{
    uint8_t message_key[32];

    derive_message_key(used->suite, message_key);
    ck_assert(!leaves_on_stack(message_key, body, used));
    ck_assert(used->well);
    ck_assert(!leaves_on_stack(key, body, used));
}

START_TEST(test_no_key_stays_on_the_stack)
{
    static message used;

    if (!stack_can_be_searched())
        return;
    used.suite = _i == 0 ? KMS_SUITE_XCHACHA20_POLY1305 : KMS_SUITE_AES_256_GCM;
    for (used.len = 1; used.len <= LONGEST; used.len += used.len / 4 + 1) {
        expect_no_key(&used, seal_message);
        expect_no_key(&used, open_message);
    }
}
END_TEST

/* Derives and keeps the key twice, to seal under it and to open. */
static void use_kept_keys(void *argument)
{
    static uint8_t text[LONGEST], sealed[LONGEST + TAG];
    const kms_slice bound = slice(key, sizeof key);
    const size_t len = *(size_t *)argument;
    kms__thread *thread = kms__thread_self();
    kms__message_key kept;

    if (!kms__message_key_of_nonce(thread, kms__message_keys_owner(), key, nonce, &kept) ||
        kms__message_key_seal(&kept, nonce, bound, slice(text, len), sealed) != KMS_OK)
        abort();
    if (!kms__message_key_of_nonce(thread, kms__message_keys_owner(), key, nonce, &kept) ||
        kms__message_key_open(&kept, nonce, bound, slice(sealed, len + TAG), text) != KMS_OK)
        abort();
}

START_TEST(test_no_kept_key_stays_on_the_stack)
{
    uint8_t message_key[32];

    if (kept_keys_skip() || !stack_can_be_searched())
        return;
    for (size_t len = 1; len <= LONGEST; len += len / 4 + 1) {
        randombytes_buf(nonce, sizeof nonce);
        derive_message_key(KMS_SUITE_AES_256_GCM, message_key);
        ck_assert(!leaves_on_stack(message_key, use_kept_keys, &len));
        ck_assert(!leaves_on_stack(key, use_kept_keys, &len));
    }
}
END_TEST

static void derive(void *out)
{
    kms__derive(KMS__USE_RECORDS, key, nonce, 1, out);
}

START_TEST(test_derived_key_stays_off_the_stack)
{
    uint8_t derived[KMS__KDF_OUT_SIZE];

    if (!stack_can_be_searched())
        return;
    derive(derived);
    ck_assert(!leaves_on_stack(derived, derive, derived));
    ck_assert(!leaves_on_stack(key, derive, derived));
}
END_TEST

static void make_value(void *out)
{
    static const uint8_t text[LONGEST];
    const kms_slice parts[KMS__PRF_PARTS] = {slice(text, 100), slice(text, sizeof text)};

    kms__prf(key, 24, parts, out, 64);
}

START_TEST(test_a_value_and_its_key_stay_off_the_stack)
{
    uint8_t value[64];

    if (!stack_can_be_searched())
        return;
    make_value(value);
    ck_assert(!leaves_on_stack(value, make_value, value));
    ck_assert(!leaves_on_stack(value + 32, make_value, value));
    ck_assert(!leaves_on_stack(key, make_value, value));
}
END_TEST

static void draw_once(void *thread)
{
    uint8_t drawn[KMS__NONCE_SIZE];

    kms__nonce(thread, drawn);
}

/* Neither the generator's former key, with which a memory dump would tell the nonces given before,
 * nor the one that it goes on with. The state starts with the key. */
START_TEST(test_generator_key_stays_off_the_stack)
{
    kms__thread *cell = kms__thread_self();
    uint8_t former[32];

    ck_assert_ptr_nonnull(cell);
    if (!stack_can_be_searched())
        return;
    for (int i = 0; i < 100; i++) {
        draw_once(cell);
        memcpy(former, cell->generator, sizeof former);
        ck_assert(!leaves_on_stack(former, draw_once, cell));
        ck_assert(!leaves_on_stack(cell->generator, draw_once, cell));
    }
}
END_TEST

#if KMS_HAVE_LIBCRYPTO

/* --- What libcrypto keeps ----------------------------------------------------------------------
 */

/* libcrypto's memory, counted and remembered. */
#define BLOCKS 65536
static struct {
    unsigned char *start;
    size_t size;
} blocks[BLOCKS];
static size_t allocations, live_blocks;
static pthread_mutex_t blocks_mutex = PTHREAD_MUTEX_INITIALIZER;

static void remember(void *start, size_t size)
{
    pthread_mutex_lock(&blocks_mutex);
    allocations++;
    live_blocks++;
    for (size_t i = 0; i < BLOCKS; i++)
        if (blocks[i].start == NULL) {
            blocks[i].start = start;
            blocks[i].size = size;
            break;
        }
    pthread_mutex_unlock(&blocks_mutex);
}

static void forget(const void *start)
{
    pthread_mutex_lock(&blocks_mutex);
    for (size_t i = 0; i < BLOCKS; i++)
        if (blocks[i].start == start) {
            blocks[i].start = NULL;
            live_blocks--;
            break;
        }
    pthread_mutex_unlock(&blocks_mutex);
}

static void *counted_malloc(size_t size, const char *file, int line)
{
    void *start = malloc(size);

    (void)file;
    (void)line;
    if (start != NULL)
        remember(start, size);
    return start;
}

static void counted_free(void *start, const char *file, int line)
{
    (void)file;
    (void)line;
    if (start != NULL)
        forget(start);
    free(start);
}

static void *counted_realloc(void *start, size_t size, const char *file, int line)
{
    void *moved = counted_malloc(size, file, line);

    if (moved == NULL || start == NULL)
        return moved;
    for (size_t i = 0; i < BLOCKS; i++)
        if (blocks[i].start == start)
            memcpy(moved, start, blocks[i].size < size ? blocks[i].size : size);
    counted_free(start, file, line);
    return moved;
}

static bool libcrypto_holds(const uint8_t *bytes, size_t len)
{
    bool found = false;

    for (size_t i = 0; i < BLOCKS; i++)
        if (blocks[i].start != NULL && blocks[i].size >= len)
            found = found || memmem(blocks[i].start, blocks[i].size, bytes, len) != NULL;
    return found;
}

static void count_allocations(void)
{
    ck_assert_int_eq(CRYPTO_set_mem_functions(counted_malloc, counted_realloc, counted_free), 1);
}

static void seal_and_open(kms_suite suite, size_t len)
{
    static uint8_t plain[LONGEST];
    uint8_t sealed[LONGEST + TAG], opened[LONGEST];

    ck_assert_int_eq(kms__aead_seal(suite, key, nonce, slice(plain, 82), slice(plain, len), sealed),
                     KMS_OK);
    ck_assert_int_eq(
        kms__aead_open(suite, key, nonce, slice(plain, 82), slice(sealed, len + TAG), opened),
        KMS_OK);
    sealed[0] ^= 1;
    ck_assert_int_eq(
        kms__aead_open(suite, key, nonce, slice(plain, 82), slice(sealed, len + TAG), opened),
        KMS_ERR_INVALID_CIPHERTEXT);
}

static const kms_suite suites[] = {KMS_SUITE_XCHACHA20_POLY1305, KMS_SUITE_AES_256_GCM};

START_TEST(test_warm_calls_allocate_nothing)
{
    size_t after_first;

    count_allocations();
    seal_and_open(suites[_i], 4000);
    after_first = allocations;
    ck_assert_uint_gt(after_first, 0);
    for (size_t len = 1; len <= 4000; len += 13)
        seal_and_open(suites[_i], len);
    ck_assert_uint_eq(allocations, after_first);
}
END_TEST

/* Whether libcrypto has any of what hides the last block of a message of this length. Plaintexts
 * are zeros, so that the ciphertext of a longer one shows it. */
static bool libcrypto_holds_key_stream(kms_suite suite, size_t len)
{
    static const uint8_t zeros[LONGEST];
    uint8_t stream[LONGEST + TAG];
    const size_t last = (len - 1) / 64 * 64;

    ck_assert_uint_le(last + 64, LONGEST);
    ck_assert_int_eq(
        kms__aead_seal(suite, key, nonce, slice(zeros, 82), slice(zeros, last + 64), stream),
        KMS_OK);
    seal_and_open(suite, len);
    for (size_t at = last; at < last + 64; at += 16)
        if (libcrypto_holds(stream + at, 16))
            return true;
    return false;
}

/* The tag's key of suite 1: as much as the message's own for whoever forges. */
static void derive_tag_key(const uint8_t message_key[32], uint8_t tag_key[32])
{
    uint8_t rest[12] = {0};

    memcpy(rest + 4, nonce + 16, 8);
    ck_assert_int_eq(crypto_stream_chacha20_ietf(tag_key, 32, rest, message_key), 0);
}

static void expect_not_held(const uint8_t secret[32])
{
    ck_assert(!libcrypto_holds(secret, 16));
    ck_assert(!libcrypto_holds(secret + 16, 16));
}

static const char *const names[] = {"ChaCha20-Poly1305", "AES-256-GCM"};

/* The first control shows that the search finds a key that libcrypto does hold. */
START_TEST(test_no_message_key_stays_in_libcrypto)
{
    EVP_CIPHER_CTX *control;
    EVP_CIPHER *cipher;
    uint8_t message_key[32], tag_key[32];

    if (under_valgrind()) {
        puts("SKIP: keys in libcrypto's memory: not under valgrind");
        return;
    }
    count_allocations();
    derive_message_key(suites[_i], message_key);
    derive_tag_key(message_key, tag_key);
    control = EVP_CIPHER_CTX_new();
    cipher = EVP_CIPHER_fetch(NULL, names[_i], NULL);
    ck_assert_int_eq(EVP_EncryptInit_ex2(control, cipher, message_key, nonce + 12, NULL), 1);
    ck_assert(libcrypto_holds(message_key, 16));
    ck_assert(libcrypto_holds(message_key + 16, 16));
    EVP_CIPHER_CTX_free(control);
    EVP_CIPHER_free(cipher);
    ck_assert(!libcrypto_holds(message_key, 16));
    for (size_t len = 1; len <= 3900; len += len < 4 ? 1 : 433) {
        ck_assert(!libcrypto_holds_key_stream(suites[_i], len));
        expect_not_held(message_key);
        expect_not_held(tag_key);
    }
}
END_TEST

/* Shows that the search above finds key stream that libcrypto does hold. */
START_TEST(test_key_stream_can_be_found)
{
    EVP_CIPHER_CTX *control;
    uint8_t message_key[32], tag_key[32], rest[12] = {0};
    int written;

    if (under_valgrind())
        return;
    count_allocations();
    derive_message_key(KMS_SUITE_XCHACHA20_POLY1305, message_key);
    derive_tag_key(message_key, tag_key);
    memcpy(rest + 4, nonce + 16, 8);
    control = EVP_CIPHER_CTX_new();
    ck_assert_int_eq(EVP_EncryptInit_ex2(control, EVP_chacha20_poly1305(), message_key, rest, NULL),
                     1);
    ck_assert_int_eq(EVP_EncryptUpdate(control, NULL, &written, rest, 1), 1);
    ck_assert(libcrypto_holds(tag_key, 16));
    EVP_CIPHER_CTX_free(control);
    expect_not_held(tag_key);
}
END_TEST

static void *use_libcrypto_in_thread(void *unused)
{
    seal_and_open(KMS_SUITE_XCHACHA20_POLY1305, 4000);
    seal_and_open(KMS_SUITE_AES_256_GCM, 4000);
    return unused;
}

START_TEST(test_ending_threads_free_their_contexts)
{
    size_t live = 0;

    count_allocations();
    for (int i = 0; i < 50; i++) {
        pthread_t thread;

        ck_assert_int_eq(pthread_create(&thread, NULL, use_libcrypto_in_thread, NULL), 0);
        pthread_join(thread, NULL);
        if (i == 0)
            live = live_blocks;
        ck_assert_uint_eq(live_blocks, live);
    }
}
END_TEST

#endif

static void add_tests(TCase *tcase)
{
    tcase_add_test(tcase, test_no_kept_key_stays_on_the_stack);
    tcase_add_test(tcase, test_derived_key_stays_off_the_stack);
    tcase_add_test(tcase, test_a_value_and_its_key_stay_off_the_stack);
    tcase_add_test(tcase, test_generator_key_stays_off_the_stack);
    tcase_add_loop_test(tcase, test_no_key_stays_on_the_stack, 0,
                        kms__suite_available(KMS_SUITE_AES_256_GCM) ? 2 : 1);
#if KMS_HAVE_LIBCRYPTO
    tcase_add_loop_test(tcase, test_warm_calls_allocate_nothing, 0, 2);
    tcase_add_loop_test(tcase, test_no_message_key_stays_in_libcrypto, 0, 2);
    tcase_add_test(tcase, test_key_stream_can_be_found);
    tcase_add_test(tcase, test_ending_threads_free_their_contexts);
#endif
}

int main(void)
{
    Suite *suite = suite_create("traces");
    TCase *tcase = tcase_create("calls");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, setup, NULL);
    add_tests(tcase);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
