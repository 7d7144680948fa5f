/* Each AEAD has two implementations, libsodium's and libcrypto's: they agree byte for byte, open each
 * other's and refuse the same; and where libcrypto cannot, suite 1 does without it. The seed is
 * printed, and KMS_TEST_SEED repeats it. */
#include "base/fork.h"
#include "crypto/aes256gcm.h"
#include "crypto/xchacha20poly1305.h"
#include "support/plain_main.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if KMS_HAVE_LIBCRYPTO

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/provider.h>

#define TAG KMS__AEAD_TAG_SIZE
/* What the output holds before a call. */
#define UNTOUCHED 0xe7
#define ASSOCIATED_MOST 300
/* libcrypto takes more than 4 MiB in several steps. */
#define LONGEST (((size_t)9 << 20) + 100)

typedef kms_status seal(const uint8_t *key, const uint8_t *nonce, kms_slice associated,
                        kms_slice plain, uint8_t *out);
typedef kms_status open(const uint8_t *key, const uint8_t *nonce, kms_slice associated,
                        kms_slice sealed, uint8_t *out);

/* Of libsodium and of libcrypto. */
typedef struct pair {
    const char *name;
    seal *seal[2];
    open *open[2];
    /* The longest plaintext that the suite leaves to libsodium. */
    size_t sodium_longest;
} pair;

static const pair pairs[] = {
    {"XChaCha20-Poly1305",
     {kms__xchacha20poly1305_sodium_seal, kms__xchacha20poly1305_libcrypto_seal},
     {kms__xchacha20poly1305_sodium_open, kms__xchacha20poly1305_libcrypto_open},
     KMS__XCHACHA20POLY1305_SHORT},
    {"AES-256-GCM",
     {kms__aes256gcm_sodium_seal, kms__aes256gcm_libcrypto_seal},
     {kms__aes256gcm_sodium_open, kms__aes256gcm_libcrypto_open},
     1152},
};

#define PAIRS (sizeof pairs / sizeof *pairs)

static bool both_are_here(const pair *p)
{
    if (p->seal[0] != kms__aes256gcm_sodium_seal || kms__aes256gcm_sodium_available())
        return true;
    puts("SKIP: libsodium's AES-GCM against libcrypto's: this processor has no AES");
    return false;
}

/* --- Repeatable randomness --------------------------------------------------------------------- */

static uint64_t random_state;

static uint64_t next_random(void)
{
    uint64_t z = random_state += 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static size_t up_to(size_t most)
{
    return (size_t)(next_random() % (most + 1));
}

static void fill(uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)next_random();
}

/* Every test is a process of its own, so each prints the seed that it began with. */
static void choose_seed(void)
{
    const char *given = getenv("KMS_TEST_SEED");

    ck_assert_int_eq(kms__fork_init(), KMS_OK);
    if (given != NULL)
        random_state = strtoull(given, NULL, 10);
    else
        randombytes_buf(&random_state, sizeof random_state);
    printf("KMS_TEST_SEED=%llu\n", (unsigned long long)random_state);
}

/* --- One message ------------------------------------------------------------------------------- */

static uint8_t key[KMS__AEAD_KEY_SIZE], nonce[KMS__AEAD_NONCE_SIZE];
static uint8_t *associated, *plain, *sealed[2], *opened;

static void setup(void)
{
    choose_seed();
    associated = malloc(ASSOCIATED_MOST);
    plain = malloc(LONGEST);
    sealed[0] = malloc(LONGEST + TAG + 1);
    sealed[1] = malloc(LONGEST + TAG + 1);
    opened = malloc(LONGEST + 1);
    ck_assert(associated != NULL && plain != NULL && sealed[0] != NULL && sealed[1] != NULL &&
              opened != NULL);
}

static void finish(void)
{
    free(associated);
    free(plain);
    free(sealed[0]);
    free(sealed[1]);
    free(opened);
}

static kms_slice slice(const void *data, size_t len)
{
    return (kms_slice){len > 0 ? data : NULL, len};
}

static bool all_are(const uint8_t *bytes, size_t len, uint8_t value)
{
    return len == 0 || (bytes[0] == value && memcmp(bytes, bytes + 1, len - 1) == 0);
}

static void expect_opens(const pair *p, int by, const uint8_t *from, kms_slice bound, size_t len)
{
    memset(opened, UNTOUCHED, len + 1);
    ck_assert_int_eq(p->open[by](key, nonce, bound, slice(from, len + TAG), opened), KMS_OK);
    ck_assert_msg(memcmp(opened, plain, len) == 0, "%s, %zu bytes", p->name, len);
    ck_assert_uint_eq(opened[len], UNTOUCHED);
}

/* Both seal alike, and each opens what the other sealed. */
static void compare(const pair *p, size_t len, size_t associated_len)
{
    const kms_slice bound = slice(associated, associated_len);

    fill(key, sizeof key);
    fill(nonce, sizeof nonce);
    fill(plain, len);
    fill(associated, associated_len);
    for (int by = 0; by < 2; by++) {
        sealed[by][len + TAG] = UNTOUCHED;
        ck_assert_int_eq(p->seal[by](key, nonce, bound, slice(plain, len), sealed[by]), KMS_OK);
        ck_assert_uint_eq(sealed[by][len + TAG], UNTOUCHED);
    }
    ck_assert_msg(memcmp(sealed[0], sealed[1], len + TAG) == 0, "%s, %zu bytes with %zu", p->name,
                  len, associated_len);
    expect_opens(p, 0, sealed[1], bound, len);
    expect_opens(p, 1, sealed[0], bound, len);
}

static void expect_refused(const pair *p, kms_slice bound, size_t len)
{
    for (int by = 0; by < 2; by++) {
        memset(opened, UNTOUCHED, len + 1);
        ck_assert_int_eq(p->open[by](key, nonce, bound, slice(sealed[0], len + TAG), opened),
                         KMS_ERR_INVALID_CIPHERTEXT);
        ck_assert_msg(all_are(opened, len, 0) || all_are(opened, len, UNTOUCHED),
                      "%s, %zu bytes: something is left", p->name, len);
        ck_assert_uint_eq(opened[len], UNTOUCHED);
    }
}

static void flip(uint8_t *bytes, size_t len)
{
    bytes[up_to(len - 1)] ^= (uint8_t)(1u << up_to(7));
}

/* A bit of the text, the tag, the associated data, or what the nonce and key are. */
static void damage(const pair *p, size_t len, size_t associated_len)
{
    const struct {
        uint8_t *bytes;
        size_t len;
    } places[] = {{sealed[0], len},
                  {sealed[0] + len, TAG},
                  {associated, associated_len},
                  {nonce, KMS__AES256GCM_NONCE_SIZE},
                  {key, sizeof key}};

    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        uint64_t before = random_state;

        if (places[i].len == 0)
            continue;
        flip(places[i].bytes, places[i].len);
        expect_refused(p, slice(associated, associated_len), len);
        random_state = before; /* the same bit once more */
        flip(places[i].bytes, places[i].len);
    }
}

/* --- Tests ------------------------------------------------------------------------------------- */

static void at_every_short_length(const pair *p)
{
    for (size_t len = 0; len <= 300; len++) {
        compare(p, len, up_to(40));
        damage(p, len, 0);
    }
}

/* Blocks are of 16 and 64 bytes, and vector code takes several at a time. */
static void around(const pair *p, size_t len)
{
    for (size_t by = 0; by <= 34; by++)
        compare(p, len + by - 17, up_to(ASSOCIATED_MOST));
}

START_TEST(both_agree_on_every_short_length_and_around_blocks)
{
    setup();
    for (size_t i = 0; i < PAIRS; i++) {
        const pair *p = &pairs[i];

        if (!both_are_here(p))
            continue;
        at_every_short_length(p);
        around(p, p->sodium_longest);
        for (size_t len = 512; len <= 65536; len *= 2)
            around(p, len);
    }
    finish();
}
END_TEST

/* One random number of bytes, split at random into associated data and text. */
START_TEST(both_agree_on_random_lengths_and_splits)
{
    setup();
    for (size_t i = 0; i < PAIRS; i++)
        for (size_t times = 0; times < 1500 && both_are_here(&pairs[i]); times++) {
            size_t all = up_to(times % 10 == 0 ? 60000 : 4000);
            size_t bound = up_to(all < ASSOCIATED_MOST ? all : ASSOCIATED_MOST);

            compare(&pairs[i], all - bound, bound);
        }
    finish();
}
END_TEST

START_TEST(what_is_damaged_is_refused_and_leaves_nothing)
{
    setup();
    for (size_t i = 0; i < PAIRS; i++)
        for (size_t times = 0; times < 1000 && both_are_here(&pairs[i]); times++) {
            size_t len = up_to(times % 10 == 0 ? 60000 : 4000), bound = up_to(ASSOCIATED_MOST);

            compare(&pairs[i], len, bound);
            damage(&pairs[i], len, bound);
        }
    finish();
}
END_TEST

START_TEST(both_agree_on_several_mebibytes)
{
    const size_t step = (size_t)4 << 20;

    setup();
    for (size_t i = 0; i < PAIRS; i++) {
        const size_t lens[] = {step - 1, step, step + 1, 2 * step + up_to(1 << 20), LONGEST};

        for (size_t j = 0; j < sizeof lens / sizeof *lens && both_are_here(&pairs[i]); j++) {
            compare(&pairs[i], lens[j], 82);
            damage(&pairs[i], lens[j], 82);
        }
    }
    finish();
}
END_TEST

/* --- Without libcrypto's help ------------------------------------------------------------------ */

static void expect_suite_1_works(void)
{
    for (size_t len = 0; len < 5000; len += 499) {
        fill(plain, len);
        ck_assert_int_eq(kms__aead_seal(KMS_SUITE_XCHACHA20_POLY1305, key, nonce, slice(NULL, 0),
                                        slice(plain, len), sealed[0]),
                         KMS_OK);
        expect_opens(&pairs[0], 0, sealed[0], slice(NULL, 0), len);
        ck_assert_int_eq(kms__aead_open(KMS_SUITE_XCHACHA20_POLY1305, key, nonce, slice(NULL, 0),
                                        slice(sealed[0], len + TAG), opened),
                         KMS_OK);
        ck_assert(memcmp(opened, plain, len) == 0);
        sealed[0][len] ^= 1;
        ck_assert_int_eq(kms__aead_open(KMS_SUITE_XCHACHA20_POLY1305, key, nonce, slice(NULL, 0),
                                        slice(sealed[0], len + TAG), opened),
                         KMS_ERR_INVALID_CIPHERTEXT);
        ck_assert(all_are(opened, len, 0));
    }
}

static void expect_suite_2_tells(kms_status expected)
{
    memset(sealed[0], UNTOUCHED, 5000 + TAG);
    ck_assert_int_eq(kms__aead_seal(KMS_SUITE_AES_256_GCM, key, nonce, slice(NULL, 0),
                                    slice(plain, 5000), sealed[0]),
                     expected);
    ck_assert_int_eq(kms_error_status(), expected);
    ck_assert_ptr_nonnull(strstr(kms_error_message(), "libcrypto"));
    ck_assert(all_are(sealed[0], 5000 + TAG, UNTOUCHED) || all_are(sealed[0], 5000 + TAG, 0));
}

/* With the null provider libcrypto takes no other by itself: as where only approved ones are. */
START_TEST(without_chacha20_in_libcrypto_suite_1_works)
{
    OSSL_PROVIDER *none;

    setup();
    none = OSSL_PROVIDER_load(NULL, "null");
    ck_assert_ptr_nonnull(none);
    ck_assert_int_eq(pairs[0].seal[1](key, nonce, slice(NULL, 0), slice(plain, 5000), sealed[0]),
                     KMS_ERR_UNSUPPORTED);
    expect_suite_1_works();
    expect_suite_2_tells(KMS_ERR_UNSUPPORTED);
    /* The program's own list of libcrypto's errors stays as it was. */
    ck_assert_uint_eq(ERR_peek_error(), 0);
    ck_assert_int_eq(OSSL_PROVIDER_unload(none), 1);
    finish();
}
END_TEST

static volatile bool no_memory;

static void *may_fail_malloc(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return no_memory ? NULL : malloc(size);
}

static void *may_fail_realloc(void *start, size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return no_memory ? NULL : realloc(start, size);
}

static void plain_free(void *start, const char *file, int line)
{
    (void)file;
    (void)line;
    free(start);
}

START_TEST(without_memory_for_libcrypto_suite_1_works)
{
    setup();
    ck_assert_int_eq(CRYPTO_set_mem_functions(may_fail_malloc, may_fail_realloc, plain_free), 1);
    compare(&pairs[0], 5000, 82);
    /* The context that the thread has is used on: only a thread without one needs memory. */
    no_memory = true;
    compare(&pairs[0], 5000, 82);
    expect_suite_2_tells(KMS_ERR_NO_MEMORY);
    expect_suite_1_works();
    no_memory = false;
    ck_assert_int_eq(kms__aead_seal(KMS_SUITE_AES_256_GCM, key, nonce, slice(NULL, 0),
                                    slice(plain, 5000), sealed[0]),
                     KMS_OK);
    finish();
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        both_agree_on_every_short_length_and_around_blocks,
        both_agree_on_random_lengths_and_splits,
        both_agree_on_several_mebibytes,
        what_is_damaged_is_refused_and_leaves_nothing,
        without_chacha20_in_libcrypto_suite_1_works,
        without_memory_for_libcrypto_suite_1_works,
    };

    return plain_main("aead_pairs", tests, sizeof tests / sizeof *tests);
}

#else

START_TEST(nothing_to_compare)
{
    puts("SKIP: libsodium's AEADs against libcrypto's: this build is without libcrypto");
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {nothing_to_compare};

    return plain_main("aead_pairs", tests, sizeof tests / sizeof *tests);
}

#endif
