/* Data keys: drawn, sealed, opened, exported; in the caller's memory and in locked memory. */
#include "support/api_fixture.h"

#include <sodium.h>
#include <string.h>

#define MOST KMS_DATA_KEY_SIZE_MAX
#define BLOB_MOST KMS_CIPHERTEXT_SIZE(MOST)

static place here;
static kms_store *store;
static char id[KMS_KEY_ID_SIZE];
static uint8_t key[MOST], blob[BLOB_MOST];
static size_t blob_len;

static const kms_context_pair pairs[] = {{"bucket", "photos"}, {"object", "1"}};
static const kms_context context = {pairs, 2};

static void setup(void)
{
    place_init(&here);
    store = place_open(&here);
    fixture_create_key(store, id);
    fixture_ok(kms_create_alias(store, "alias/a", id));
}

static void finish(void)
{
    kms_close(store);
    place_free(&here);
}

static void generate(size_t len)
{
    fixture_ok(
        kms_generate_data_key(store, "alias/a", &context, key, len, blob, sizeof blob, &blob_len));
    ck_assert_uint_eq(blob_len, KMS_CIPHERTEXT_SIZE(len));
}

static bool is_zero(const void *bytes, size_t len)
{
    return sodium_is_zero(bytes, len) == 1;
}

START_TEST(a_data_key_of_every_size_comes_back_by_decrypt)
{
    uint8_t plain[MOST];
    size_t len = 0;
    kms_blob_info info;

    setup();
    for (size_t size = 1; size <= MOST; size += size < 70 ? 1 : 53) {
        generate(size);
        fixture_ok(kms_decrypt(store, &context, blob, blob_len, plain, sizeof plain, &len));
        ck_assert_uint_eq(len, size);
        ck_assert_mem_eq(plain, key, size);
    }
    generate(MOST);
    fixture_ok(kms_inspect_blob(blob, blob_len, &info));
    ck_assert_int_eq(info.kind, KMS_BLOB_DATA_KEY);
    ck_assert_str_eq(info.key_id, id);
    fixture_is(kms_decrypt(store, NULL, blob, blob_len, plain, sizeof plain, &len),
               KMS_ERR_INVALID_CIPHERTEXT);
    finish();
}
END_TEST

START_TEST(no_two_data_keys_are_alike)
{
    enum { COUNT = 200 };
    static uint8_t keys[COUNT][16];

    setup();
    for (size_t i = 0; i < COUNT; i++) {
        generate(16);
        memcpy(keys[i], key, 16);
        for (size_t j = 0; j < i; j++)
            ck_assert_mem_ne(keys[i], keys[j], 16);
    }
    finish();
}
END_TEST

START_TEST(a_data_key_of_a_size_that_none_has_is_refused)
{
    static const size_t sizes[] = {0, MOST + 1, SIZE_MAX - 50, SIZE_MAX};
    static uint8_t large[2 * BLOB_MOST], larger[2 * BLOB_MOST];
    uint8_t public_key[32] = {9};
    kms_secret *secret = NULL;
    size_t len = 77;

    setup();
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        fixture_is(kms_generate_data_key(store, id, NULL, key, sizes[i], large, sizeof large, &len),
                   KMS_ERR_INVALID_ARGUMENT);
        fixture_says("1 to 1024");
        fixture_is(kms_generate_data_key_without_plaintext(store, id, NULL, sizes[i], large,
                                                           sizeof large, &len),
                   KMS_ERR_INVALID_ARGUMENT);
        fixture_is(kms_generate_data_key_locked(store, id, NULL, sizes[i], &secret, large,
                                                sizeof large, &len),
                   KMS_ERR_INVALID_ARGUMENT);
        fixture_is(kms_generate_and_export_data_key(store, id, NULL, sizes[i], public_key, large,
                                                    sizeof large, &len, larger, sizeof larger,
                                                    &len),
                   KMS_ERR_INVALID_ARGUMENT);
    }
    ck_assert_uint_eq(len, 77);
    ck_assert_ptr_null(secret);
    finish();
}
END_TEST

START_TEST(arguments_that_are_missing_or_too_small_are_refused)
{
    size_t len = 77;

    setup();
    fixture_is(kms_generate_data_key(NULL, id, NULL, key, 32, blob, sizeof blob, &len),
               KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_generate_data_key(store, NULL, NULL, key, 32, blob, sizeof blob, &len),
               KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_generate_data_key(store, id, NULL, NULL, 32, blob, sizeof blob, &len),
               KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_generate_data_key(store, id, NULL, key, 32, NULL, sizeof blob, &len),
               KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_generate_data_key(store, id, NULL, key, 32, blob, sizeof blob, NULL),
               KMS_ERR_INVALID_ARGUMENT);
    memset(key, 0x55, sizeof key);
    fixture_is(kms_generate_data_key(store, id, NULL, key, 32, blob, KMS_CIPHERTEXT_SIZE(31), &len),
               KMS_ERR_BUFFER_TOO_SMALL);
    ck_assert(is_zero(key, 32));
    ck_assert_uint_eq(key[32], 0x55);
    fixture_is(kms_generate_data_key(store, id, NULL, blob + 40, 32, blob, sizeof blob, &len),
               KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_generate_data_key_locked(store, id, NULL, 32, NULL, blob, sizeof blob, &len),
               KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_decrypt_data_key(store, NULL, blob, 130, NULL), KMS_ERR_INVALID_ARGUMENT);
    ck_assert_uint_eq(len, 77);
    finish();
}
END_TEST

START_TEST(a_refused_data_key_leaves_nothing_behind)
{
    size_t len = 77;
    kms_secret *secret = NULL;

    setup();
    fixture_ok(kms_disable_key(store, id));
    memset(key, 0x55, sizeof key);
    memset(blob, 0, sizeof blob);
    fixture_is(kms_generate_data_key(store, "alias/a", NULL, key, 32, blob, sizeof blob, &len),
               KMS_ERR_DISABLED);
    ck_assert(is_zero(key, 32));
    fixture_is(kms_generate_data_key_without_plaintext(store, "alias/a", NULL, 32, blob,
                                                       sizeof blob, &len),
               KMS_ERR_DISABLED);
    fixture_is(
        kms_generate_data_key_locked(store, "alias/a", NULL, 32, &secret, blob, sizeof blob, &len),
        KMS_ERR_DISABLED);
    ck_assert(is_zero(blob, sizeof blob));
    ck_assert_ptr_null(secret);
    ck_assert_uint_eq(len, 77);
    finish();
}
END_TEST

START_TEST(a_data_key_without_plaintext_opens_later)
{
    kms_secret *secret = NULL;

    setup();
    fixture_ok(kms_generate_data_key_without_plaintext(store, id, &context, 48, blob, sizeof blob,
                                                       &blob_len));
    fixture_ok(kms_decrypt_data_key(store, &context, blob, blob_len, &secret));
    ck_assert_uint_eq(secret->size, 48);
    ck_assert(!is_zero(secret->data, 48));
    kms_secret_free(secret);
    kms_secret_free(NULL);
    finish();
}
END_TEST

START_TEST(a_locked_data_key_is_the_one_in_the_blob_and_outlives_the_store)
{
    kms_secret *made = NULL, *opened = NULL;

    setup();
    fixture_ok(
        kms_generate_data_key_locked(store, id, &context, 32, &made, blob, sizeof blob, &blob_len));
    ck_assert_uint_eq(blob_len, KMS_CIPHERTEXT_SIZE(32));
    fixture_ok(kms_decrypt_data_key(store, &context, blob, blob_len, &opened));
    finish();
    ck_assert_uint_eq(made->size, 32);
    ck_assert_mem_eq(made->data, opened->data, 32);
    kms_secret_free(made);
    kms_secret_free(opened);
}
END_TEST

START_TEST(only_the_blob_of_a_data_key_opens_as_one)
{
    static uint8_t large[2000], long_blob[KMS_CIPHERTEXT_SIZE(2000)];
    kms_secret *secret = NULL;
    uint8_t public_key[32], secret_key[32], exported[200];
    size_t len = 0;

    setup();
    crypto_box_keypair(public_key, secret_key);
    blob_len = fixture_encrypt(store, id, "no data key", blob, sizeof blob);
    fixture_is(kms_decrypt_data_key(store, NULL, blob, blob_len, &secret),
               KMS_ERR_INVALID_CIPHERTEXT);
    fixture_is(kms_export_data_key(store, NULL, blob, blob_len, public_key, exported,
                                   sizeof exported, &len),
               KMS_ERR_INVALID_CIPHERTEXT);
    fixture_ok(
        kms_encrypt(store, id, NULL, large, sizeof large, long_blob, sizeof long_blob, &len));
    fixture_is(kms_decrypt_data_key(store, NULL, long_blob, len, &secret),
               KMS_ERR_INVALID_CIPHERTEXT);
    generate(32);
    fixture_is(kms_decrypt_data_key(store, NULL, blob, blob_len, &secret),
               KMS_ERR_INVALID_CIPHERTEXT);
    for (size_t cut = 0; cut < blob_len; cut++)
        fixture_is(kms_decrypt_data_key(store, &context, blob, cut, &secret),
                   KMS_ERR_INVALID_CIPHERTEXT);
    ck_assert_ptr_null(secret);
    finish();
}
END_TEST

/* --- export ----------------------------------------------------------------------------------- */

START_TEST(an_exported_data_key_is_the_one_in_the_blob)
{
    uint8_t public_key[32], secret_key[32], exported[KMS_EXPORTED_DATA_KEY_SIZE(MOST)];
    uint8_t here_plain[MOST], there_plain[MOST];
    static const size_t sizes[] = {1, 32, MOST};
    size_t len = 0, exported_len = 0;

    setup();
    crypto_box_keypair(public_key, secret_key);
    for (size_t i = 0; i < 3; i++) {
        fixture_ok(kms_generate_and_export_data_key(store, "alias/a", &context, sizes[i],
                                                    public_key, blob, sizeof blob, &blob_len,
                                                    exported, sizeof exported, &exported_len));
        ck_assert_uint_eq(exported_len, KMS_EXPORTED_DATA_KEY_SIZE(sizes[i]));
        fixture_ok(
            kms_decrypt(store, &context, blob, blob_len, here_plain, sizeof here_plain, &len));
        ck_assert_int_eq(
            crypto_box_seal_open(there_plain, exported, exported_len, public_key, secret_key), 0);
        ck_assert_mem_eq(here_plain, there_plain, sizes[i]);

        memset(exported, 0, sizeof exported);
        fixture_ok(kms_export_data_key(store, &context, blob, blob_len, public_key, exported,
                                       sizeof exported, &exported_len));
        ck_assert_int_eq(
            crypto_box_seal_open(there_plain, exported, exported_len, public_key, secret_key), 0);
        ck_assert_mem_eq(here_plain, there_plain, sizes[i]);
    }
    finish();
}
END_TEST

START_TEST(what_cannot_be_exported_is_refused_and_leaves_nothing_behind)
{
    static const uint8_t weak[32]; /* the point of order one: nothing can be sealed to it */
    uint8_t public_key[32], secret_key[32], exported[KMS_EXPORTED_DATA_KEY_SIZE(32)] = {0};
    size_t len = 77, exported_len = 88;

    setup();
    crypto_box_keypair(public_key, secret_key);
    memset(blob, 0, sizeof blob);
    fixture_is(kms_generate_and_export_data_key(store, id, NULL, 32, weak, blob, sizeof blob, &len,
                                                exported, sizeof exported, &exported_len),
               KMS_ERR_INVALID_ARGUMENT);
    fixture_says("public key");
    ck_assert(is_zero(blob, sizeof blob));
    fixture_is(kms_generate_and_export_data_key(store, id, NULL, 32, NULL, blob, sizeof blob, &len,
                                                exported, sizeof exported, &exported_len),
               KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_generate_and_export_data_key(store, id, NULL, 32, public_key, blob, sizeof blob,
                                                &len, exported, sizeof exported - 1, &exported_len),
               KMS_ERR_BUFFER_TOO_SMALL);
    fixture_is(kms_generate_and_export_data_key(store, id, NULL, 32, public_key, blob, sizeof blob,
                                                &len, blob + 10, sizeof exported, &exported_len),
               KMS_ERR_INVALID_ARGUMENT);
    generate(32);
    fixture_is(kms_export_data_key(store, NULL, blob, blob_len, public_key, exported,
                                   sizeof exported, &exported_len),
               KMS_ERR_INVALID_CIPHERTEXT);
    fixture_is(kms_export_data_key(store, &context, blob, blob_len, weak, exported, sizeof exported,
                                   &exported_len),
               KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_export_data_key(store, &context, blob, blob_len, public_key, exported,
                                   sizeof exported - 1, &exported_len),
               KMS_ERR_BUFFER_TOO_SMALL);
    ck_assert(is_zero(exported, sizeof exported));
    ck_assert_uint_eq(len, 77);
    ck_assert_uint_eq(exported_len, 88);
    finish();
}
END_TEST

/* --- rotation, and random bytes ---------------------------------------------------------------- */

START_TEST(a_rotation_takes_effect_with_the_next_data_key)
{
    static uint8_t first[BLOB_MOST];
    size_t first_len;
    kms_blob_info info;
    uint8_t plain[32];
    size_t len;

    setup();
    generate(32);
    memcpy(first, blob, blob_len);
    first_len = blob_len;
    fixture_rotate(store, id);
    generate(32);
    fixture_ok(kms_inspect_blob(blob, blob_len, &info));
    ck_assert_uint_eq(info.key_version, 2);
    fixture_ok(kms_decrypt(store, &context, first, first_len, plain, sizeof plain, &len));
    finish();
}
END_TEST

typedef struct hand {
    int64_t now_ms;
} hand;

static int64_t read_hand(void *data)
{
    return ((const hand *)data)->now_ms;
}

START_TEST(the_first_data_key_that_meets_a_due_key_rotates_it)
{
    hand h = {1000};
    kms_clock clock = {KMS_CLOCK_VERSION, &h, read_hand};
    kms_open_options options = KMS_OPEN_OPTIONS_INIT;

    setup();
    kms_close(store);
    options.clock = &clock;
    fixture_ok(place_try_open(&here, &store, 0, &options));
    fixture_ok(kms_update_rotation_policy(store, id, true, 7));
    generate(32);
    ck_assert_uint_eq(fixture_describe(store, id).primary_version, 1);
    h.now_ms += INT64_C(7) * 24 * 3600 * 1000;
    generate(32);
    ck_assert_uint_eq(fixture_describe(store, id).primary_version, 2);
    finish();
}
END_TEST

START_TEST(random_bytes_come_in_every_size_that_is_allowed)
{
    uint8_t bytes[KMS_RANDOM_MAX + 1], other[KMS_RANDOM_MAX];

    fixture_is(kms_generate_random(NULL, 8), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_generate_random(bytes, 0), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_generate_random(bytes, KMS_RANDOM_MAX + 1), KMS_ERR_INVALID_ARGUMENT);
    for (size_t len = 1; len <= KMS_RANDOM_MAX; len += 31) {
        memset(bytes, 0xa5, sizeof bytes);
        fixture_ok(kms_generate_random(bytes, len));
        ck_assert_uint_eq(bytes[len], 0xa5);
    }
    fixture_ok(kms_generate_random(bytes, KMS_RANDOM_MAX));
    fixture_ok(kms_generate_random(other, KMS_RANDOM_MAX));
    ck_assert_mem_ne(bytes, other, KMS_RANDOM_MAX);
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {a_data_key_of_every_size_comes_back_by_decrypt, 0},
        {no_two_data_keys_are_alike, 0},
        {a_data_key_of_a_size_that_none_has_is_refused, 0},
        {arguments_that_are_missing_or_too_small_are_refused, 0},
        {a_refused_data_key_leaves_nothing_behind, 0},
        {a_data_key_without_plaintext_opens_later, 0},
        {a_locked_data_key_is_the_one_in_the_blob_and_outlives_the_store, 0},
        {only_the_blob_of_a_data_key_opens_as_one, 0},
        {an_exported_data_key_is_the_one_in_the_blob, 0},
        {what_cannot_be_exported_is_refused_and_leaves_nothing_behind, 0},
        {a_rotation_takes_effect_with_the_next_data_key, 0},
        {the_first_data_key_that_meets_a_due_key_rotates_it, 0},
        {random_bytes_come_in_every_size_that_is_allowed, 0},
    };

    return fixture_main("data_keys", tests, sizeof tests / sizeof *tests, 60);
}
