/* Project Wycheproof's vectors, where the environment's KMS_TEST_VECTORS names their folder. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#if KMS_HAVE_JANSSON

#include "base/fork.h"
#include "crypto/aes256gcm.h"
#include "crypto/xchacha20poly1305.h"

#include <jansson.h>
#include <sodium.h>
#include <string.h>

#define LONGEST 4096

typedef kms_status (*seal)(const uint8_t *key, const uint8_t *nonce, kms_slice associated,
                           kms_slice plain, uint8_t *out);
typedef kms_status (*open)(const uint8_t *key, const uint8_t *nonce, kms_slice associated,
                           kms_slice sealed, uint8_t *out);

typedef struct bytes {
    uint8_t data[LONGEST];
    size_t len;
} bytes;

typedef struct vector {
    long long number;
    const char *comment;
    bool valid;
    bytes key, nonce, associated, plain, sealed;
} vector;

static void add_hex(const json_t *test, const char *name, bytes *to)
{
    const char *hex = json_string_value(json_object_get(test, name));
    size_t len = 0;

    ck_assert_ptr_nonnull(hex);
    ck_assert_int_eq(
        sodium_hex2bin(to->data + to->len, LONGEST - to->len, hex, strlen(hex), NULL, &len, NULL),
        0);
    to->len += len;
}

static void read_vector(const json_t *test, vector *read)
{
    const char *result = json_string_value(json_object_get(test, "result"));

    memset(read, 0, sizeof *read);
    ck_assert_ptr_nonnull(result);
    read->number = json_integer_value(json_object_get(test, "tcId"));
    read->comment = json_string_value(json_object_get(test, "comment"));
    read->valid = strcmp(result, "valid") == 0;
    add_hex(test, "key", &read->key);
    add_hex(test, "iv", &read->nonce);
    add_hex(test, "aad", &read->associated);
    add_hex(test, "msg", &read->plain);
    add_hex(test, "ct", &read->sealed);
    add_hex(test, "tag", &read->sealed);
}

static kms_slice slice(const bytes *of)
{
    return (kms_slice){of->len > 0 ? of->data : NULL, of->len};
}

/* Valid: opens to the message, and sealing gives the same. Invalid: refused, and nothing leaks. */
static void check_vector(const vector *test, seal sealer, open opener)
{
    static uint8_t out[LONGEST];
    kms_status status;

    memset(out, 0, sizeof out);
    status = opener(test->key.data, test->nonce.data, slice(&test->associated),
                    slice(&test->sealed), out);
    if (!test->valid) {
        ck_assert_msg(status == KMS_ERR_INVALID_CIPHERTEXT, "test %lld opens: %s", test->number,
                      test->comment);
        ck_assert_msg(sodium_is_zero(out, sizeof out), "test %lld leaks", test->number);
        return;
    }
    ck_assert_msg(status == KMS_OK, "test %lld does not open: %s", test->number, test->comment);
    ck_assert_msg(memcmp(out, test->plain.data, test->plain.len) == 0, "test %lld: %s",
                  test->number, test->comment);
    ck_assert_int_eq(sealer(test->key.data, test->nonce.data, slice(&test->associated),
                            slice(&test->plain), out),
                     KMS_OK);
    ck_assert_msg(memcmp(out, test->sealed.data, test->sealed.len) == 0, "test %lld: %s",
                  test->number, test->comment);
}

static long long number_in(const json_t *group, const char *name)
{
    return json_integer_value(json_object_get(group, name));
}

static unsigned check_group(const json_t *group, seal sealer, open opener)
{
    const json_t *tests = json_object_get(group, "tests");
    static vector test;
    unsigned checked = 0;

    for (size_t i = 0; i < json_array_size(tests); i++) {
        read_vector(json_array_get(tests, i), &test);
        check_vector(&test, sealer, opener);
        checked++;
    }
    return checked;
}

/* Checks every group of that nonce size with 256-bit keys and 128-bit tags; other sizes cannot even
 * be asked of the library. Returns how many vectors that were; 0: no file. */
static unsigned check_file(const char *name, long long nonce_bits, seal sealer, open opener)
{
    const char *folder = getenv("KMS_TEST_VECTORS");
    unsigned checked = 0;
    char path[4096];
    json_error_t error;
    json_t *root, *groups;

    (void)snprintf(path, sizeof path, "%s/%s", folder != NULL ? folder : ".", name);
    root = json_load_file(path, 0, &error);
    if (root == NULL && json_error_code(&error) == json_error_cannot_open_file) {
        printf("SKIP: Wycheproof: no %s in KMS_TEST_VECTORS=%s\n", name,
               folder != NULL ? folder : "(unset)");
        return 0;
    }
    ck_assert_msg(root != NULL, "%s, line %d: %s", path, error.line, error.text);
    groups = json_object_get(root, "testGroups");
    for (size_t i = 0; i < json_array_size(groups); i++) {
        const json_t *group = json_array_get(groups, i);

        if (number_in(group, "keySize") == 256 && number_in(group, "tagSize") == 128 &&
            number_in(group, "ivSize") == nonce_bits)
            checked += check_group(group, sealer, opener);
    }
    json_decref(root);
    ck_assert_uint_gt(checked, 0);
    return checked;
}

static void check_xchacha20(seal sealer, open opener)
{
    const unsigned checked = check_file("xchacha20_poly1305_test.json", 192, sealer, opener);

    ck_assert(checked == 0 || checked > 200);
}

START_TEST(test_libsodium_xchacha20)
{
    check_xchacha20(kms__xchacha20poly1305_sodium_seal, kms__xchacha20poly1305_sodium_open);
}
END_TEST

START_TEST(test_libcrypto_xchacha20)
{
#if KMS_HAVE_LIBCRYPTO
    check_xchacha20(kms__xchacha20poly1305_libcrypto_seal, kms__xchacha20poly1305_libcrypto_open);
#else
    puts("SKIP: Wycheproof for libcrypto's ChaCha20: this build is without libcrypto");
#endif
}
END_TEST

START_TEST(test_suite_1)
{
    check_xchacha20(kms__suite_1_seal, kms__suite_1_open);
}
END_TEST

START_TEST(test_libsodium_aes_gcm)
{
    unsigned checked;

    if (!kms__aes256gcm_sodium_available()) {
        puts("SKIP: Wycheproof for libsodium's AES-GCM: this processor has no AES");
        return;
    }
    checked =
        check_file("aes_gcm_test.json", 96, kms__aes256gcm_sodium_seal, kms__aes256gcm_sodium_open);
    ck_assert(checked == 0 || checked > 50);
}
END_TEST

START_TEST(test_libcrypto_aes_gcm)
{
#if KMS_HAVE_LIBCRYPTO
    const unsigned checked = check_file("aes_gcm_test.json", 96, kms__aes256gcm_libcrypto_seal,
                                        kms__aes256gcm_libcrypto_open);

    ck_assert(checked == 0 || checked > 50);
#else
    puts("SKIP: Wycheproof for libcrypto's AES-GCM: this build is without libcrypto");
#endif
}
END_TEST

static void setup(void)
{
    ck_assert_int_eq(kms__fork_init(), KMS_OK);
}

static void add_tests(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, test_libsodium_xchacha20);
    tcase_add_test(tcase, test_libcrypto_xchacha20);
    tcase_add_test(tcase, test_suite_1);
    tcase_add_test(tcase, test_libsodium_aes_gcm);
    tcase_add_test(tcase, test_libcrypto_aes_gcm);
}

#else

START_TEST(test_nothing)
{
    puts("SKIP: Wycheproof: this build of the tests is without jansson (Debian: libjansson-dev)");
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_test(tcase, test_nothing);
}

#endif

int main(void)
{
    Suite *suite = suite_create("wycheproof");
    TCase *tcase = tcase_create("vectors");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 60);
    add_tests(tcase);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
