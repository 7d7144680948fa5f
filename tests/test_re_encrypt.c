/* ReEncrypt: a blob moves to another key, version or context, and nobody sees its plaintext. */
#include "support/api_fixture.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

static place here;
static kms_store *store;
static char a[KMS_KEY_ID_SIZE], b[KMS_KEY_ID_SIZE];
static uint8_t blob[300], out[300];
static size_t blob_len, out_len;

static const kms_context_pair old_pairs[] = {{"table", "people"}, {"column", "address"}};
static const kms_context_pair new_pairs[] = {{"table", "customers"}};
static const kms_context old_context = {old_pairs, 2}, new_context = {new_pairs, 1};

#define TEXT "1 Main Street"

static void setup(void)
{
    place_init(&here);
    store = place_open(&here);
    fixture_create_key(store, a);
    fixture_create_key(store, b);
    fixture_ok(kms_create_alias(store, "alias/a", a));
    fixture_ok(kms_create_alias(store, "alias/b", b));
    fixture_ok(kms_encrypt(store, "alias/a", &old_context, TEXT, sizeof TEXT, blob, sizeof blob,
                           &blob_len));
}

static void finish(void)
{
    kms_close(store);
    place_free(&here);
}

static void opens(const kms_context *context, const char *key_id, uint32_t version)
{
    char plain[sizeof TEXT];
    kms_key_used used;
    size_t len = 0;

    fixture_ok(kms_decrypt_expecting(store, key_id, context, out, out_len, plain, sizeof plain,
                                     &len, &used));
    ck_assert_str_eq(plain, TEXT);
    ck_assert_uint_eq(used.key_version, version);
}

START_TEST(a_blob_moves_to_any_key_reference)
{
    const char *const references[] = {"alias/b", b};
    kms_key_used source;

    setup();
    for (size_t i = 0; i < 2; i++) {
        out_len = 0;
        fixture_ok(kms_re_encrypt(store, &old_context, blob, blob_len, references[i], &old_context,
                                  out, sizeof out, &out_len, &source));
        ck_assert_uint_eq(out_len, blob_len);
        ck_assert_str_eq(source.key_id, a);
        ck_assert_uint_eq(source.key_version, 1);
        opens(&old_context, b, 1);
    }
    finish();
}
END_TEST

START_TEST(a_blob_moves_to_its_own_keys_newest_version_and_to_another_context)
{
    setup();
    fixture_rotate(store, a);
    fixture_ok(kms_re_encrypt(store, &old_context, blob, blob_len, "alias/a", &new_context, out,
                              sizeof out, &out_len, NULL));
    opens(&new_context, a, 2);
    fixture_ok(kms_re_encrypt(store, &old_context, blob, blob_len, a, NULL, out, sizeof out,
                              &out_len, NULL));
    opens(NULL, a, 2);
    finish();
}
END_TEST

START_TEST(a_blob_stays_of_its_kind)
{
    uint8_t key[32], plain[32];
    kms_blob_info info;
    size_t len = 0;

    setup();
    fixture_ok(
        kms_generate_data_key(store, a, NULL, key, sizeof key, blob, sizeof blob, &blob_len));
    fixture_ok(kms_re_encrypt(store, NULL, blob, blob_len, "alias/b", NULL, out, sizeof out,
                              &out_len, NULL));
    fixture_ok(kms_inspect_blob(out, out_len, &info));
    ck_assert_int_eq(info.kind, KMS_BLOB_DATA_KEY);
    fixture_ok(kms_decrypt(store, NULL, out, out_len, plain, sizeof plain, &len));
    ck_assert_mem_eq(plain, key, sizeof key);
    finish();
}
END_TEST

START_TEST(large_and_empty_plaintexts_move_too)
{
    static const size_t sizes[] = {0, 1, 1023, 1024, 1025, 5000, 300000};

    setup();
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t size = sizes[i], len = 0, moved_len = 0;
        uint8_t *plain = malloc(size + 1), *again = malloc(size + 1);
        uint8_t *from = malloc(KMS_CIPHERTEXT_SIZE(size)), *to = malloc(KMS_CIPHERTEXT_SIZE(size));

        ck_assert(plain != NULL && again != NULL && from != NULL && to != NULL);
        randombytes_buf(plain, size + 1);
        fixture_ok(kms_encrypt(store, a, NULL, plain, size, from, KMS_CIPHERTEXT_SIZE(size), &len));
        fixture_ok(kms_re_encrypt(store, NULL, from, len, b, NULL, to, KMS_CIPHERTEXT_SIZE(size),
                                  &moved_len, NULL));
        fixture_ok(kms_decrypt(store, NULL, to, moved_len, again, size + 1, &len));
        ck_assert_uint_eq(len, size);
        ck_assert(memcmp(plain, again, size) == 0);
        free(plain);
        free(again);
        free(from);
        free(to);
    }
    finish();
}
END_TEST

/* A refusal leaves the outputs alone. */
static void refused(const kms_context *context, const void *from, size_t from_len, const char *to,
                    size_t size, kms_status wanted)
{
    kms_key_used source;
    uint8_t untouched[sizeof source];

    memset(&source, 0x6b, sizeof source);
    memset(untouched, 0x6b, sizeof untouched);
    memset(out, 0, sizeof out);
    out_len = 77;
    fixture_is(
        kms_re_encrypt(store, context, from, from_len, to, NULL, out, size, &out_len, &source),
        wanted);
    ck_assert_uint_eq(out_len, 77);
    ck_assert_mem_eq(&source, untouched, sizeof source);
    ck_assert_int_eq(sodium_is_zero(out, sizeof out), 1);
}

START_TEST(what_is_wrong_is_told_and_nothing_is_written)
{
    static const char absent[] = "00000000-0000-4000-8000-000000000000";

    setup();
    refused(&new_context, blob, blob_len, "alias/b", sizeof out, KMS_ERR_INVALID_CIPHERTEXT);
    refused(NULL, blob, blob_len, "alias/b", sizeof out, KMS_ERR_INVALID_CIPHERTEXT);
    for (size_t cut = 0; cut < blob_len; cut += 7)
        refused(&old_context, blob, cut, "alias/b", sizeof out, KMS_ERR_INVALID_CIPHERTEXT);
    refused(&old_context, blob, blob_len, "alias/none", sizeof out, KMS_ERR_ALIAS_NOT_FOUND);
    refused(&old_context, blob, blob_len, absent, sizeof out, KMS_ERR_KEY_NOT_FOUND);
    refused(&old_context, blob, blob_len, "none", sizeof out, KMS_ERR_INVALID_ARGUMENT);
    refused(&old_context, blob, blob_len, NULL, sizeof out, KMS_ERR_INVALID_ARGUMENT);
    refused(&old_context, NULL, blob_len, b, sizeof out, KMS_ERR_INVALID_ARGUMENT);
    refused(&old_context, blob, blob_len, b, blob_len - 1, KMS_ERR_BUFFER_TOO_SMALL);
    fixture_is(kms_re_encrypt(store, &old_context, blob, blob_len, b, NULL, blob + 5, sizeof out,
                              &out_len, NULL),
               KMS_ERR_INVALID_ARGUMENT);
    fixture_is(
        kms_re_encrypt(store, &old_context, blob, blob_len, b, NULL, out, sizeof out, NULL, NULL),
        KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_re_encrypt(NULL, &old_context, blob, blob_len, b, NULL, out, sizeof out,
                              &out_len, NULL),
               KMS_ERR_INVALID_ARGUMENT);
    finish();
}
END_TEST

/* The source decrypts, and the destination encrypts: each answers for its own state. */
START_TEST(the_states_of_both_keys_count)
{
    static const kms_status wanted[] = {KMS_OK, KMS_ERR_DISABLED, KMS_ERR_PENDING_DELETION,
                                        KMS_ERR_PENDING_IMPORT};
    kms_key_state source = (kms_key_state)(_i / 4 + 1), destination = (kms_key_state)(_i % 4 + 1);
    kms_status st = wanted[_i / 4] != KMS_OK ? wanted[_i / 4] : wanted[_i % 4];

    setup();
    fixture_set_key_state(store, a, source);
    fixture_set_key_state(store, b, destination);
    if (st != KMS_OK) {
        refused(&old_context, blob, blob_len, "alias/b", sizeof out, st);
        fixture_says(wanted[_i / 4] != KMS_OK ? a : b);
    } else {
        fixture_ok(kms_re_encrypt(store, &old_context, blob, blob_len, "alias/b", NULL, out,
                                  sizeof out, &out_len, NULL));
        opens(NULL, b, 1);
    }
    finish();
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {a_blob_moves_to_any_key_reference, 0},
        {a_blob_moves_to_its_own_keys_newest_version_and_to_another_context, 0},
        {a_blob_stays_of_its_kind, 0},
        {large_and_empty_plaintexts_move_too, 0},
        {what_is_wrong_is_told_and_nothing_is_written, 0},
        {the_states_of_both_keys_count, 16},
    };

    return fixture_main("re_encrypt", tests, sizeof tests / sizeof *tests, 60);
}
