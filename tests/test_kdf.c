/* Derivations against values computed without libsodium, and that no two uses share a key. */
#include "crypto/kdf.h"
#include "crypto/prf.h"

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
    {KMS__USE_NONCE, 1, "libkms nonce",
     "d207f0b25eae37acd4f30701e88e7e300d68c6908f8e6fc01f5545c555b1fff1"},
    {KMS__USE_BASE, 1, "libkms base",
     "2988bf587afd0370bf4f5eda9440f104de05fb88881e80e6072eadca85ab0f52"},
    {KMS__USE_DERIVED_KEY, 1, "libkms derive",
     "a5869370693a6f3d9ca70f7b7a863ef846dbb33d011cc8ad49ca882269936238"},
    {KMS__USE_BLIND_INDEX, 1, "libkms index",
     "b600d2809545780c22c9943d98e5e9aaf2854b1bd3dafdcb7b19ee352a950513"},
    {KMS__USE_IMPORT_TOKEN, 1, "libkms import",
     "a86500a8d5d9fd45060e27f9b78024f450b077011dd6086adf096a66294fc5ca"},
    {KMS__USE_NONCE, 0x01020304, "libkms nonce",
     "0bad8aba9e5f5d20481912bea9bf175afed00c8c32399682e2717dd5ed421e2a"},
    {KMS__USE_BASE, 0x01020304, "libkms base",
     "f2503e88cc7bb02aa933efa37b7579dd6fa047b00a2a8cbc4c232f884e65366f"},
    {KMS__USE_DERIVED_KEY, 0x01020304, "libkms derive",
     "1ed839784e9cf2f3fa2851c834cf83f26c61578d2fbd8df92ecf57f1994451d6"},
    {KMS__USE_BLIND_INDEX, 0x01020304, "libkms index",
     "e8a2ddf9b877fcc0aeddffa6c5bec3fa860c136cb57e919fd8083c6c41deee5d"},
    {KMS__USE_IMPORT_TOKEN, 0x01020304, "libkms import",
     "8fca5574e79662354b13d908a66c04281633c43872de406d0f58fa0ad24dcfdc"},
};

#define USES 11
static const kms__use uses[USES] = {
    KMS__USE_SUITE_1,   KMS__USE_SUITE_2,     KMS__USE_COMMITMENT,  KMS__USE_NONCE,
    KMS__USE_BASE,      KMS__USE_DERIVED_KEY, KMS__USE_BLIND_INDEX, KMS__USE_RECORDS,
    KMS__USE_ROOT_WRAP, KMS__USE_ROOT_CHECK,  KMS__USE_IMPORT_TOKEN};

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

/* --- values that follow from a message -------------------------------------------------------- */

static const uint8_t zeros[300];

/* Computed by Python's hashlib: hashlib.blake2b(number.to_bytes(4, "big") + b"".join(
 * len(part).to_bytes(8, "big") + part for part in parts), digest_size=len, key=key) */
static const struct {
    uint32_t number;
    kms_slice parts[KMS__PRF_PARTS];
    size_t len;
    const char *value;
} values[] = {
    {24, {{"table", 5}, {"value", 5}}, 24, "39373b88af22b4e323a22a8cdb5c668ce38e391846e9e713"},
    {24, {{"", 0}, {"tablevalue", 10}}, 24, "b430d1fdec7670d2f12a5ee02bdd45bf44db7430ef12c6c6"},
    {24, {{"tablevalue", 10}, {"", 0}}, 24, "a28bb909c21abd36a166173a569b7a340062f867654b12a7"},
    {64,
     {{"", 0}, {"", 0}},
     64,
     "972813ac6400b23ae39f3ce2bc95e29c9109245bc602b3a0c811949c54e2737b067b6d9037dae4b383b8a9ee18a0d"
     "5b20ca57e2872fd7a5201d5612355d0892d"},
    {16, {{zeros, 300}, {zeros, 200}}, 16, "8558c4845d512912096d603d7836c19e"},
};

START_TEST(test_known_values)
{
    uint8_t expected[KMS__PRF_OUT_MAX], value[KMS__PRF_OUT_MAX];
    size_t len = 0;

    ck_assert_int_eq(sodium_hex2bin(expected, sizeof expected, values[_i].value,
                                    strlen(values[_i].value), NULL, &len, NULL),
                     0);
    ck_assert_uint_eq(len, values[_i].len);
    kms__prf(key, values[_i].number, values[_i].parts, value, len);
    ck_assert_mem_eq(value, expected, len);
}
END_TEST

/* Every way to share eight bytes between two parts, each with two numbers: all differ. */
START_TEST(test_no_two_messages_are_encoded_alike)
{
    uint8_t made[18][32];
    size_t count = 0;

    for (uint32_t number = 1; number <= 2; number++)
        for (size_t first = 0; first <= 8; first++) {
            const kms_slice parts[KMS__PRF_PARTS] = {{zeros, first}, {zeros, 8 - first}};

            kms__prf(key, number, parts, made[count++], 32);
        }
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < i; j++)
            ck_assert_mem_ne(made[i], made[j], 32);
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
    tcase_add_loop_test(tcase, test_known_values, 0, (int)(sizeof values / sizeof *values));
    tcase_add_test(tcase, test_no_two_messages_are_encoded_alike);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
