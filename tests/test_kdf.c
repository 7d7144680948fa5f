/* Derivations against values computed without libsodium, and that no two uses share a key. */
#include "crypto/kdf.h"

#include <check.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/* Computed by Python's hashlib: key = bytes(range(0x10, 0x30)), salt = bytes(range(0xf0, 0x100)),
 * hashlib.blake2b(number.to_bytes(4, "big"), digest_size=32, key=key, salt=salt, person=person) */
static const struct {
    kms__use use;
    uint32_t number;
    const char *person;
    const char *derived;
} known[] = {
    {KMS__USE_SUITE_1, 1, "libkms suite 1",
     "66fa95e182686081a907a2e9485a5e6b42c754d781049c705720eb6ca938ef71"},
    {KMS__USE_SUITE_2, 1, "libkms suite 2",
     "b344a597f62dd9f09a6cb3a56a8f10bd7ad1d57ad3bf0cf3853361c1f8d92c17"},
    {KMS__USE_COMMITMENT, 1, "libkms commit",
     "10e131788a26c4eb667dccdb4f0f2f298ad0e055eb6199deafd72b52a2b1242f"},
    {KMS__USE_RECORDS, 1, "libkms records",
     "2f19a37de73e7cdc9cd8c2efc311812fb9f52d873ca2c468d2bd7d2d58f19326"},
    {KMS__USE_ROOT_WRAP, 1, "libkms rootwrap",
     "eb556eae823d0f6809244209a777d6ed8b2de7d6f6537398a5fc45720c965176"},
    {KMS__USE_ROOT_CHECK, 1, "libkms rootchck",
     "d336bdf0c6e6ab30d9b5b8b74351425d413799028b377329a88a65df87c1dbbf"},
    {KMS__USE_SUITE_1, 0x01020304, "libkms suite 1",
     "d05d9863b387b92ddc24496581d488afc18a8023d011bac6b440d83fec384f48"},
    {KMS__USE_SUITE_2, 0x01020304, "libkms suite 2",
     "392dfe29816243915f36910e63e233e9a30a4023ccebd95cf9306f7860ddcb0f"},
    {KMS__USE_COMMITMENT, 0x01020304, "libkms commit",
     "680410fb8534e065c873013ab06fd7bf58c13ced8693477abfbe7b532269ea65"},
    {KMS__USE_RECORDS, 0x01020304, "libkms records",
     "4a02898e5ec02dad3828839a664e3d8f0180c91ae8135dfc83795d93b1ad51aa"},
    {KMS__USE_ROOT_WRAP, 0x01020304, "libkms rootwrap",
     "49a3724a9c68c7d582c2b7283b1b05ec459be5b9934c4a64495fca8d91c4402b"},
    {KMS__USE_ROOT_CHECK, 0x01020304, "libkms rootchck",
     "84f9627aec5dd4f2f4980dfacf4efff16c4101bae04adcf88f2b89923a14180b"},
};

#define USES 6
static const kms__use uses[USES] = {KMS__USE_SUITE_1, KMS__USE_SUITE_2,   KMS__USE_COMMITMENT,
                                    KMS__USE_RECORDS, KMS__USE_ROOT_WRAP, KMS__USE_ROOT_CHECK};

static uint8_t key[KMS__KDF_KEY_SIZE];
static uint8_t salt[KMS__KDF_SALT_SIZE];

static void count_up(uint8_t *bytes, size_t len, uint8_t first)
{
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(first + i);
}

static void setup(void)
{
    ck_assert_int_ge(sodium_init(), 0);
    count_up(key, sizeof key, 0x10);
    count_up(salt, sizeof salt, 0xf0);
}

START_TEST(test_known_answers)
{
    uint8_t expected[KMS__KDF_OUT_SIZE];
    uint8_t derived[KMS__KDF_OUT_SIZE];
    size_t len = 0;

    ck_assert_int_eq(sodium_hex2bin(expected, sizeof expected, known[_i].derived,
                                    strlen(known[_i].derived), NULL, &len, NULL),
                     0);
    ck_assert_uint_eq(len, sizeof expected);
    kms__derive(known[_i].use, key, salt, known[_i].number, derived);
    ck_assert_msg(memcmp(derived, expected, sizeof derived) == 0, "%s, number %u", known[_i].person,
                  known[_i].number);
}
END_TEST

/* Every use, with each of key, salt and number as it is and changed: all differ. */
START_TEST(test_all_apart)
{
    uint8_t derived[USES * 8][KMS__KDF_OUT_SIZE];
    size_t count = 0;

    for (size_t use = 0; use < USES; use++)
        for (unsigned change = 0; change < 8; change++) {
            key[31] = (uint8_t)(change & 1);
            salt[15] = (uint8_t)(change & 2);
            kms__derive(uses[use], key, salt, 7 + (change & 4), derived[count++]);
        }
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < i; j++)
            ck_assert_mem_ne(derived[i], derived[j], KMS__KDF_OUT_SIZE);
}
END_TEST

START_TEST(test_repeats)
{
    uint8_t one[KMS__KDF_OUT_SIZE], two[KMS__KDF_OUT_SIZE];

    kms__derive(KMS__USE_RECORDS, key, salt, UINT32_MAX, one);
    kms__derive(KMS__USE_RECORDS, key, salt, UINT32_MAX, two);
    ck_assert_mem_eq(one, two, sizeof one);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kdf");
    TCase *tcase = tcase_create("derive");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_loop_test(tcase, test_known_answers, 0, (int)(sizeof known / sizeof *known));
    tcase_add_test(tcase, test_all_apart);
    tcase_add_test(tcase, test_repeats);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
