/* The suites: known answers, round trips and refusals. */
#include "base/fork.h"
#include "crypto/aead.h"
#include "crypto/xchacha20poly1305.h"

#include <check.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TAG KMS__AEAD_TAG_SIZE
/* What the output holds before a call. */
#define UNTOUCHED 0xe7

static uint8_t key[KMS__AEAD_KEY_SIZE];
static uint8_t nonce[KMS__AEAD_NONCE_SIZE];

static void setup(void)
{
    ck_assert_int_eq(kms__fork_init(), KMS_OK);
    for (size_t i = 0; i < sizeof key; i++)
        key[i] = (uint8_t)(0x80 + i);
    for (size_t i = 0; i < sizeof nonce; i++)
        nonce[i] = (uint8_t)(0x40 + i);
}

static const kms_suite suites[] = {KMS_SUITE_XCHACHA20_POLY1305, KMS_SUITE_AES_256_GCM};

static void from_hex(uint8_t *bytes, size_t size, const char *hex)
{
    size_t len = 0;

    ck_assert_int_eq(sodium_hex2bin(bytes, size, hex, strlen(hex), NULL, &len, NULL), 0);
    ck_assert_uint_eq(len, size);
}

static void pattern(uint8_t *bytes, size_t len, unsigned first)
{
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(first + 7 * i);
}

static bool all_are(const uint8_t *bytes, size_t len, uint8_t value)
{
    for (size_t i = 0; i < len; i++)
        if (bytes[i] != value)
            return false;
    return true;
}

static kms_slice slice(const void *data, size_t len)
{
    return (kms_slice){len > 0 ? data : NULL, len};
}

/* --- Known answers -----------------------------------------------------------------------------
 */

/* draft-irtf-cfrg-xchacha-03, 2.2.1: suite 2's message keys rest on it. */
START_TEST(test_hchacha20)
{
    uint8_t input[16], expected[32], derived[32];

    for (size_t i = 0; i < sizeof key; i++)
        key[i] = (uint8_t)i;
    from_hex(input, sizeof input, "000000090000004a0000000031415927");
    from_hex(expected, sizeof expected,
             "82413b4227b27bfed30e42508a877d73a0f9e4d58a74a853c12ec41326d3ecdc");
    ck_assert_int_eq(crypto_core_hchacha20(derived, input, key, NULL), 0);
    ck_assert_mem_eq(derived, expected, sizeof expected);
}
END_TEST

/* draft-irtf-cfrg-xchacha-03, A.3.1. */
START_TEST(test_suite_1_known)
{
    static const char plain[] = "Ladies and Gentlemen of the class of '99: If I could offer you "
                                "only one tip for the future, sunscreen would be it.";
    uint8_t associated[12], expected[114 + TAG], sealed[114 + TAG], opened[114];

    from_hex(associated, sizeof associated, "50515253c0c1c2c3c4c5c6c7");
    from_hex(expected, sizeof expected,
             "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3"
             "a82f4eda7e39ae64c6708c54c216cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2b"
             "c369488f76b2383565d3fff921f9664c97637da9768812f615c68b13b52e"
             "c0875924c1c7987947deafd8780acf49");
    ck_assert_uint_eq(strlen(plain), sizeof opened);
    ck_assert_int_eq(kms__aead_seal(KMS_SUITE_XCHACHA20_POLY1305, key, nonce,
                                    slice(associated, sizeof associated),
                                    slice(plain, sizeof opened), sealed),
                     KMS_OK);
    ck_assert_mem_eq(sealed, expected, sizeof expected);
    ck_assert_int_eq(kms__aead_open(KMS_SUITE_XCHACHA20_POLY1305, key, nonce,
                                    slice(associated, sizeof associated),
                                    slice(expected, sizeof expected), opened),
                     KMS_OK);
    ck_assert_mem_eq(opened, plain, sizeof opened);
}
END_TEST

/* Short messages are put together of libsodium's parts: they are what its own call makes, at every length
 * and one beyond, under associated data of every remainder of a block. */
START_TEST(test_suite_1_is_libsodiums_own_at_every_short_length)
{
    enum { LEN = KMS__XCHACHA20POLY1305_SHORT + 65, BOUND = 99 };
    static uint8_t text[LEN], associated[BOUND], made[LEN + TAG + 1], own[LEN + TAG],
        opened[LEN + 1];

    randombytes_buf(text, sizeof text);
    randombytes_buf(associated, sizeof associated);
    for (size_t len = 0; len <= LEN; len++) {
        const kms_slice bound = slice(associated, len % (BOUND + 1));

        randombytes_buf(nonce, sizeof nonce);
        made[len + TAG] = opened[len] = UNTOUCHED;
        ck_assert_int_eq(
            kms__xchacha20poly1305_sodium_seal(key, nonce, bound, slice(text, len), made), KMS_OK);
        (void)crypto_aead_xchacha20poly1305_ietf_encrypt(own, NULL, text, len, associated,
                                                         bound.len, NULL, nonce, key);
        ck_assert_msg(memcmp(made, own, len + TAG) == 0, "%zu bytes", len);
        ck_assert_uint_eq(made[len + TAG], UNTOUCHED);
        ck_assert_int_eq(
            kms__xchacha20poly1305_sodium_open(key, nonce, bound, slice(own, len + TAG), opened),
            KMS_OK);
        ck_assert_msg(memcmp(opened, text, len) == 0, "%zu bytes", len);
        ck_assert_uint_eq(opened[len], UNTOUCHED);
        own[len + TAG - 1] ^= 1;
        ck_assert_int_eq(
            kms__xchacha20poly1305_sodium_open(key, nonce, bound, slice(own, len + TAG), opened),
            KMS_ERR_INVALID_CIPHERTEXT);
        ck_assert_msg(sodium_is_zero(opened, len), "%zu bytes", len);
    }
}
END_TEST

/* --- What goes in comes out --------------------------------------------------------------------
 */

static void round_trip(kms_suite suite, size_t len, size_t associated_len)
{
    static uint8_t plain[40000], associated[9000], sealed[40000 + TAG + 1], opened[40000 + 1];
    const kms_slice bound = slice(associated, associated_len);

    randombytes_buf(plain, len);
    randombytes_buf(associated, associated_len);
    randombytes_buf(nonce, sizeof nonce);
    sealed[len + TAG] = opened[len] = UNTOUCHED;
    ck_assert_int_eq(kms__aead_seal(suite, key, nonce, bound, slice(plain, len), sealed), KMS_OK);
    ck_assert_int_eq(
        kms__aead_open(suite, key, nonce, bound, slice(sealed, len + TAG), len > 0 ? opened : NULL),
        KMS_OK);
    ck_assert(memcmp(opened, plain, len) == 0);
    ck_assert(len < 16 || memmem(sealed, len, plain, 16) == NULL);
    ck_assert_uint_eq(sealed[len + TAG], UNTOUCHED);
    ck_assert_uint_eq(opened[len], UNTOUCHED);
}

START_TEST(test_round_trips)
{
    static const size_t lens[] = {0,   1,   15,   16,   17,   63,   64,   65,   127,  128,  767,
                                  768, 769, 1023, 1024, 1025, 1151, 1152, 1153, 4096, 9999, 40000};
    const kms_suite suite = suites[_i];

    for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
        round_trip(suite, lens[i], 0);
        round_trip(suite, lens[i], 82);
        round_trip(suite, lens[i], 82 + 8192);
    }
}
END_TEST

static void *round_trips_of_thread(void *unused)
{
    uint8_t plain[2000], sealed[2000 + TAG], opened[2000], own[KMS__AEAD_NONCE_SIZE];

    (void)unused;
    for (size_t i = 0; i < 2000; i += 7) {
        const kms_suite suite = suites[i % 2];

        randombytes_buf(plain, sizeof plain);
        randombytes_buf(own, sizeof own);
        if (!kms__suite_available(suite))
            continue;
        if (kms__aead_seal(suite, key, own, slice(NULL, 0), slice(plain, i), sealed) != KMS_OK ||
            kms__aead_open(suite, key, own, slice(NULL, 0), slice(sealed, i + TAG), opened) !=
                KMS_OK ||
            memcmp(plain, opened, i) != 0)
            return NULL;
    }
    return key;
}

START_TEST(test_threads)
{
    pthread_t threads[8];

    for (size_t i = 0; i < 8; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, round_trips_of_thread, NULL), 0);
    for (size_t i = 0; i < 8; i++) {
        void *well = NULL;

        pthread_join(threads[i], &well);
        ck_assert_ptr_nonnull(well);
    }
}
END_TEST

/* --- Refusals ----------------------------------------------------------------------------------
 */

static void expect_refused(kms_suite suite, kms_slice associated, const uint8_t *sealed, size_t len)
{
    uint8_t out[2000];

    memset(out, UNTOUCHED, sizeof out);
    ck_assert_int_eq(kms__aead_open(suite, key, nonce, associated, slice(sealed, len), out),
                     KMS_ERR_INVALID_CIPHERTEXT);
    ck_assert_int_eq(kms_error_status(), KMS_ERR_INVALID_CIPHERTEXT);
    ck_assert_str_ne(kms_error_message(), "");
    len = len < TAG ? 0 : len - TAG;
    ck_assert(all_are(out, len, UNTOUCHED) || all_are(out, len, 0));
    ck_assert(all_are(out + len, sizeof out - len, UNTOUCHED));
}

static void expect_flips_refused(kms_suite suite, uint8_t *flipped, size_t len,
                                 const uint8_t *sealed, size_t sealed_len, kms_slice associated)
{
    for (size_t bit = 0; bit < len * 8; bit++) {
        flipped[bit / 8] ^= (uint8_t)(1u << bit % 8);
        expect_refused(suite, associated, sealed, sealed_len);
        flipped[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

/* A short message and one beyond the lengths up to which libsodium is used. */
START_TEST(test_any_flipped_bit_is_refused)
{
    static const size_t lens[] = {0, 40, 1200};
    uint8_t plain[1200] = {0}, sealed[1200 + TAG + 1], opened[1200], associated[20] = {0};
    const kms_slice bound = slice(associated, sizeof associated);
    const kms_suite suite = suites[_i];

    pattern(plain, sizeof plain, 3);
    pattern(associated, sizeof associated, 5);
    for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
        const size_t len = lens[i];

        ck_assert_int_eq(kms__aead_seal(suite, key, nonce, bound, slice(plain, len), sealed),
                         KMS_OK);
        expect_flips_refused(suite, sealed, len + TAG, sealed, len + TAG, bound);
        expect_flips_refused(suite, associated, sizeof associated, sealed, len + TAG, bound);
        expect_flips_refused(suite, nonce, sizeof nonce, sealed, len + TAG, bound);
        expect_flips_refused(suite, key, sizeof key, sealed, len + TAG, bound);
        ck_assert_int_eq(kms__aead_open(suite, key, nonce, bound, slice(sealed, len + TAG), opened),
                         KMS_OK);
    }
}
END_TEST

START_TEST(test_any_other_length_is_refused)
{
    uint8_t plain[1300] = {0}, sealed[1300 + TAG + 1] = {0}, associated[20] = {0};
    const kms_suite suite = suites[_i];

    pattern(plain, sizeof plain, 3);
    pattern(associated, sizeof associated, 5);
    ck_assert_int_eq(kms__aead_seal(suite, key, nonce, slice(associated, sizeof associated),
                                    slice(plain, sizeof plain), sealed),
                     KMS_OK);
    for (size_t len = 0; len <= sizeof sealed; len++)
        if (len != sizeof plain + TAG)
            expect_refused(suite, slice(associated, sizeof associated), sealed, len);
    for (size_t len = 0; len < sizeof associated; len++)
        expect_refused(suite, slice(associated, len), sealed, sizeof plain + TAG);
}
END_TEST

/* The limit itself would be too much to encrypt here; one byte more is refused before a byte of it
 * is read. */
START_TEST(test_limits)
{
    static const uint64_t longest[] = {(UINT64_C(1) << 38) - 64, (UINT64_C(1) << 36) - 32};
    const kms_suite suite = suites[_i];
    uint8_t bytes[64], out[64];
    const size_t too_long = (size_t)longest[_i] + 1;

    if (longest[_i] >= SIZE_MAX) {
        puts("SKIP: a suite's limit: no length reaches it on this machine");
        return;
    }
    memset(bytes, 0, sizeof bytes);
    memset(out, UNTOUCHED, sizeof out);
    ck_assert_int_eq(kms__aead_seal(suite, key, nonce, slice(NULL, 0), slice(bytes, too_long), out),
                     KMS_ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(
        kms__aead_seal(suite, key, nonce, slice(NULL, 0), slice(bytes, SIZE_MAX - 3), out),
        KMS_ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(
        kms__aead_open(suite, key, nonce, slice(NULL, 0), slice(bytes, too_long + TAG), out),
        KMS_ERR_INVALID_CIPHERTEXT);
    ck_assert_int_eq(kms__aead_open(suite, key, nonce, slice(NULL, 0), slice(bytes, SIZE_MAX), out),
                     KMS_ERR_INVALID_CIPHERTEXT);
    ck_assert(all_are(out, sizeof out, UNTOUCHED));
}
END_TEST

START_TEST(test_unknown_suites)
{
    static const int unknown[] = {-1, 0, 3, 255};
    uint8_t bytes[64] = {0}, out[64];

    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        const kms_suite suite = (kms_suite)unknown[i];

        ck_assert(!kms__suite_available(suite));
        ck_assert_int_eq(kms__aead_seal(suite, key, nonce, slice(NULL, 0), slice(bytes, 16), out),
                         KMS_ERR_UNSUPPORTED);
        ck_assert_int_eq(kms__aead_open(suite, key, nonce, slice(NULL, 0), slice(bytes, 32), out),
                         KMS_ERR_UNSUPPORTED);
    }
    ck_assert(kms__suite_available(KMS_SUITE_XCHACHA20_POLY1305));
}
END_TEST

#if KMS_HAVE_LIBCRYPTO

/* --- Suite 2 ------------------------------------------------------------------------------------
 */

/* Computed by Python, with AESGCM of its package cryptography 48, and HChaCha20 written out there
 * from the draft and checked with its vector above:
 *   key = bytes(range(0x80, 0xa0)); nonce = bytes(range(0x40, 0x58))
 *   pattern = lambda first, n: bytes((first + 7 * i) & 255 for i in range(n))
 *   message_key = hchacha20(key, nonce[:12] + bytes(4))
 *   sealed = AESGCM(message_key).encrypt(nonce[12:], pattern(1, plain), pattern(101, associated))
 *   hash = hashlib.blake2b(sealed, digest_size=16) */
static const struct {
    size_t plain, associated;
    const char *tag, *hash;
} suite_2_known[] = {
    {0, 0, "00dafd519a723f2936f9de7609b7768b", "2476a737bfc8c6de2f4797c4cb707b3d"},
    {0, 13, "ea64e657518bbd67fca093adef5cd36f", "8f27cc0f6e1faee88e487a040a5b4ccd"},
    {1, 0, "ecfaf557cbababc6211c831d84d8b90b", "1b7cd8ad050df54745e89716b3be5ab3"},
    {16, 82, "77640fb65f52f4a888bb5614fde23633", "c5137c9fb16aed143fff297b18fa2fb8"},
    {114, 12, "8ab71bd8155c6aa51b5ea44072c7c152", "b25ea446b3bf321d648295050cb24467"},
    {1152, 82, "c5f9a83427ec0f45f154cd7745327faf", "874a49c70583664a672e24f7ddc6120c"},
    {1153, 82, "5bcdb4977d80c2282617519277c8e54a", "b0658b03435c9040f764a372deb9d6e9"},
    {5000, 300, "912a1642721e1197abf3ac7cf41b6f31", "73988f4713ccdec6064140dacd224649"},
};

START_TEST(test_suite_2_known)
{
    const size_t len = suite_2_known[_i].plain;
    const kms_suite suite = KMS_SUITE_AES_256_GCM;
    uint8_t plain[5000] = {0}, associated[300] = {0}, sealed[5000 + TAG], opened[5000], tag[TAG],
            hash[16], hashed[16];
    const kms_slice bound = slice(associated, suite_2_known[_i].associated);

    pattern(plain, sizeof plain, 1);
    pattern(associated, sizeof associated, 101);
    from_hex(tag, sizeof tag, suite_2_known[_i].tag);
    from_hex(hash, sizeof hash, suite_2_known[_i].hash);
    ck_assert_int_eq(kms__aead_seal(suite, key, nonce, bound, slice(plain, len), sealed), KMS_OK);
    ck_assert_mem_eq(sealed + len, tag, sizeof tag);
    crypto_generichash(hashed, sizeof hashed, sealed, len + TAG, NULL, 0);
    ck_assert_mem_eq(hashed, hash, sizeof hash);
    ck_assert_int_eq(kms__aead_open(suite, key, nonce, bound, slice(sealed, len + TAG), opened),
                     KMS_OK);
    ck_assert_mem_eq(opened, plain, len);
}
END_TEST

/* One suite's ciphertext is not the other's. */
START_TEST(test_other_suite_is_refused)
{
    uint8_t plain[64], sealed[64 + TAG];

    pattern(plain, sizeof plain, 3);
    for (size_t i = 0; i < 2; i++) {
        ck_assert_int_eq(kms__aead_seal(suites[i], key, nonce, slice(NULL, 0),
                                        slice(plain, sizeof plain), sealed),
                         KMS_OK);
        expect_refused(suites[1 - i], slice(NULL, 0), sealed, sizeof sealed);
    }
}
END_TEST

static void add_libcrypto_tests(TCase *tcase)
{
    tcase_add_loop_test(tcase, test_suite_2_known, 0,
                        (int)(sizeof suite_2_known / sizeof *suite_2_known));
    tcase_add_test(tcase, test_other_suite_is_refused);
}

#else

START_TEST(test_suite_2_is_not_there)
{
    uint8_t bytes[64] = {0}, out[64];

    ck_assert(!kms__suite_available(KMS_SUITE_AES_256_GCM));
    ck_assert_int_eq(
        kms__aead_seal(KMS_SUITE_AES_256_GCM, key, nonce, slice(NULL, 0), slice(bytes, 16), out),
        KMS_ERR_UNSUPPORTED);
    ck_assert_int_eq(
        kms__aead_open(KMS_SUITE_AES_256_GCM, key, nonce, slice(NULL, 0), slice(bytes, 32), out),
        KMS_ERR_UNSUPPORTED);
}
END_TEST

static void add_libcrypto_tests(TCase *tcase)
{
    tcase_add_test(tcase, test_suite_2_is_not_there);
}

#endif

static void add_tests(TCase *tcase)
{
    const int count = kms__suite_available(KMS_SUITE_AES_256_GCM) ? 2 : 1;

    tcase_add_test(tcase, test_hchacha20);
    tcase_add_test(tcase, test_suite_1_known);
    tcase_add_test(tcase, test_suite_1_is_libsodiums_own_at_every_short_length);
    tcase_add_loop_test(tcase, test_round_trips, 0, count);
    tcase_add_test(tcase, test_threads);
    tcase_add_loop_test(tcase, test_any_flipped_bit_is_refused, 0, count);
    tcase_add_loop_test(tcase, test_any_other_length_is_refused, 0, count);
    tcase_add_loop_test(tcase, test_limits, 0, count);
    tcase_add_test(tcase, test_unknown_suites);
    add_libcrypto_tests(tcase);
}

int main(void)
{
    Suite *suite = suite_create("aead");
    TCase *tcase = tcase_create("suites");
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
