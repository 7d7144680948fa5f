/* Derived keys: the same for the same version, context and length, and another for any other. */
#include "support/api_fixture.h"
#include "support/imported.h"

#include <sodium.h>
#include <string.h>

#define MOST KMS_DERIVED_KEY_SIZE_MAX

static place here;
static kms_store *store;
static char id[KMS_KEY_ID_SIZE];
static uint8_t key[MOST], again[MOST];

static const kms_context_pair pairs[] = {{"tenant", "17"}, {"for", "uploads"}};
static const kms_context_pair turned[] = {{"for", "uploads"}, {"tenant", "17"}};
static const kms_context_pair others[] = {{"tenant", "18"}, {"for", "uploads"}};
static const kms_context context = {pairs, 2}, same = {turned, 2}, other = {others, 2};
/* Of the context, by hand. */
static const char canonical[] = "\0\3for\0\7uploads\0\6tenant\0\2"
                                "17";

static void setup(void)
{
    place_init(&here);
    store = place_open(&here);
    fixture_create_key(store, id);
    fixture_ok(kms_create_alias(store, "alias/a", id));
}

static void finish(void)
{
    fixture_ok(kms_verify(store));
    kms_close(store);
    place_free(&here);
}

static void derive(const char *keyref, uint32_t version, const kms_context *with, uint8_t *out,
                   size_t len, uint32_t wanted_version)
{
    kms_key_used used;

    memset(out, 0, len);
    fixture_ok(kms_derive_key(store, keyref, version, with, out, len, &used));
    ck_assert_str_eq(used.key_id, id);
    ck_assert_uint_eq(used.key_version, wanted_version);
}

START_TEST(a_derived_key_is_the_same_for_ever)
{
    setup();
    derive("alias/a", 0, &context, key, 32, 1);
    derive(id, 1, &same, again, 32, 1);
    ck_assert_mem_eq(key, again, 32);
    kms_close(store);
    store = place_open(&here);
    derive(id, 0, &context, again, 32, 1);
    ck_assert_mem_eq(key, again, 32);
    finish();
}
END_TEST

START_TEST(another_context_version_key_or_length_gives_another_key)
{
    enum { COUNT = 5 };
    static uint8_t keys[COUNT][MOST];
    char second[KMS_KEY_ID_SIZE];

    setup();
    derive(id, 0, &context, keys[0], 32, 1);
    derive(id, 0, &other, keys[1], 32, 1);
    derive(id, 0, &context, keys[2], 33, 1);
    fixture_rotate(store, id);
    derive(id, 0, &context, keys[3], 32, 2);
    fixture_create_key(store, second);
    fixture_ok(kms_derive_key(store, second, 0, &context, keys[4], 32, NULL));
    for (size_t i = 0; i < COUNT; i++)
        for (size_t j = 0; j < i; j++)
            for (size_t at = 0; at + 8 <= 32; at++)
                ck_assert_mem_ne(keys[i] + at, keys[j] + at, 8);
    finish();
}
END_TEST

START_TEST(an_old_version_goes_on_giving_its_keys)
{
    setup();
    derive("alias/a", 0, &context, key, 48, 1);
    for (uint32_t version = 2; version < 6; version++) {
        ck_assert_uint_eq(fixture_rotate(store, id), version);
        derive("alias/a", 1, &context, again, 48, 1);
        ck_assert_mem_eq(key, again, 48);
        derive("alias/a", 0, &context, again, 48, version);
        ck_assert_mem_ne(key, again, 48);
    }
    finish();
}
END_TEST

static int64_t now_ms = INT64_C(1800000000000);

static int64_t the_time(void *data)
{
    (void)data;
    return now_ms;
}

START_TEST(a_key_that_is_due_is_rotated_first)
{
    kms_clock clock = {KMS_CLOCK_VERSION, NULL, the_time};
    kms_create_key_options options = KMS_CREATE_KEY_OPTIONS_INIT;
    kms_open_options open = KMS_OPEN_OPTIONS_INIT;

    place_init(&here);
    open.clock = &clock;
    fixture_ok(place_try_open(&here, &store, KMS_OPEN_CREATE, &open));
    options.rotation_days = 7;
    fixture_ok(kms_create_key(store, &options, id));
    derive(id, 0, &context, key, 32, 1);
    now_ms += INT64_C(8) * 24 * 3600 * 1000;
    /* Naming a version asks for no other. */
    derive(id, 1, &context, again, 32, 1);
    ck_assert_mem_eq(key, again, 32);
    derive(id, 0, &context, again, 32, 2);
    finish();
}
END_TEST

/* The page, followed step by step, gives what the call gives. */
START_TEST(a_derived_key_is_what_the_page_says)
{
    const kms_slice message = {canonical, sizeof canonical - 1}, none = {NULL, 0};
    uint8_t material[32], base[32], use[32];

    setup();
    imported_create(store, KMS_KEY_USAGE_ENCRYPT_DECRYPT, 0x31, id);
    imported_rotate(store, id, 0x32);
    for (uint32_t version = 1; version <= 2; version++) {
        memset(material, 0x30 + (int)version, sizeof material);
        page_derive("libkms base", material, id, version, base);
        page_derive("libkms derive", base, id, version, use);
        for (uint32_t len = KMS_DERIVED_KEY_SIZE_MIN; len <= MOST; len++) {
            page_prf(use, len, message, none, again, len);
            derive(id, version, &context, key, len, version);
            ck_assert_mem_eq(key, again, len);
        }
    }
    finish();
}
END_TEST

static void refused(const char *keyref, uint32_t version, const kms_context *with, size_t len,
                    kms_status wanted)
{
    uint8_t out[MOST + 1] = {0};
    kms_key_used used, untouched;

    memset(&used, 0x6b, sizeof used);
    untouched = used;
    fixture_is(kms_derive_key(store, keyref, version, with, out, len, &used), wanted);
    ck_assert_int_eq(sodium_is_zero(out, sizeof out), 1);
    ck_assert_mem_eq(&used, &untouched, sizeof used);
}

START_TEST(what_is_wrong_is_told_and_nothing_is_written)
{
    static const kms_context_pair twice[] = {{"a", "1"}, {"a", "2"}};
    static const kms_context malformed = {twice, 2}, empty = {pairs, 0};
    kms_create_key_options options = KMS_CREATE_KEY_OPTIONS_INIT;
    char deterministic[KMS_KEY_ID_SIZE];

    setup();
    refused(id, 0, NULL, 32, KMS_ERR_INVALID_ARGUMENT);
    refused(id, 0, &empty, 32, KMS_ERR_INVALID_ARGUMENT);
    refused(id, 0, &malformed, 32, KMS_ERR_INVALID_ARGUMENT);
    refused(NULL, 0, &context, 32, KMS_ERR_INVALID_ARGUMENT);
    refused("a", 0, &context, 32, KMS_ERR_INVALID_ARGUMENT);
    refused(id, 0, &context, 0, KMS_ERR_INVALID_ARGUMENT);
    refused(id, 0, &context, KMS_DERIVED_KEY_SIZE_MIN - 1, KMS_ERR_INVALID_ARGUMENT);
    refused(id, 0, &context, MOST + 1, KMS_ERR_INVALID_ARGUMENT);
    fixture_says("16 to 64");
    refused("alias/none", 1, &context, 32, KMS_ERR_ALIAS_NOT_FOUND);
    refused("00000000-0000-4000-8000-000000000000", 0, &context, 32, KMS_ERR_KEY_NOT_FOUND);
    refused("alias/a", 2, &context, 32, KMS_ERR_VERSION_NOT_FOUND);
    fixture_says(id);
    refused(id, UINT32_MAX, &context, 32, KMS_ERR_VERSION_NOT_FOUND);
    options.usage = KMS_KEY_USAGE_DETERMINISTIC;
    fixture_ok(kms_create_key(store, &options, deterministic));
    refused(deterministic, 0, &context, 32, KMS_ERR_UNSUPPORTED);
    refused(deterministic, 1, &context, 32, KMS_ERR_UNSUPPORTED);
    fixture_says(deterministic);
    fixture_is(kms_derive_key(NULL, id, 0, &context, key, 32, NULL), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_derive_key(store, id, 0, &context, NULL, 32, NULL), KMS_ERR_INVALID_ARGUMENT);
    finish();
}
END_TEST

START_TEST(the_state_of_the_key_counts)
{
    static const kms_status wanted[] = {KMS_OK, KMS_ERR_DISABLED, KMS_ERR_PENDING_DELETION,
                                        KMS_ERR_PENDING_IMPORT};

    setup();
    fixture_rotate(store, id);
    derive("alias/a", 0, &context, key, 32, 2);
    derive("alias/a", 1, &context, key, 32, 1);
    fixture_set_key_state(store, id, (kms_key_state)(_i + 1));
    if (wanted[_i] == KMS_OK) {
        derive("alias/a", 0, &context, key, 32, 2);
    } else {
        refused("alias/a", 0, &context, 32, wanted[_i]);
        refused(id, 1, &context, 32, wanted[_i]);
    }
    fixture_is(kms_would(store, KMS_OP_DERIVE_KEY, "alias/a"), wanted[_i]);
    finish();
}
END_TEST

START_TEST(the_state_of_the_version_counts)
{
    setup();
    fixture_rotate(store, id);
    fixture_ok(kms_disable_key_version(store, id, 1));
    refused(id, 1, &context, 32, KMS_ERR_DISABLED);
    derive(id, 2, &context, key, 32, 2);
    fixture_ok(kms_enable_key_version(store, id, 1));
    derive(id, 1, &context, key, 32, 1);
    fixture_ok(kms_set_minimum_version(store, id, 2, 0));
    refused(id, 1, &context, 32, KMS_ERR_DISABLED);
    finish();
}
END_TEST

/* A warm key serves each of its uses, whichever opened it. */
START_TEST(deriving_and_encrypting_share_a_warm_key)
{
    uint8_t blob[200];
    size_t len;

    setup();
    derive("alias/a", 0, &context, key, 32, 1);
    len = fixture_encrypt(store, "alias/a", "text", blob, sizeof blob);
    fixture_opens_as(store, blob, len, "text");
    derive(id, 1, &context, again, 32, 1);
    ck_assert_mem_eq(key, again, 32);
    fixture_opens_as(store, blob, len, "text");
    finish();
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {a_derived_key_is_the_same_for_ever, 0},
        {another_context_version_key_or_length_gives_another_key, 0},
        {an_old_version_goes_on_giving_its_keys, 0},
        {a_key_that_is_due_is_rotated_first, 0},
        {a_derived_key_is_what_the_page_says, 0},
        {what_is_wrong_is_told_and_nothing_is_written, 0},
        {the_state_of_the_key_counts, 4},
        {the_state_of_the_version_counts, 0},
        {deriving_and_encrypting_share_a_warm_key, 0},
    };

    return fixture_main("derive_key", tests, sizeof tests / sizeof *tests, 60);
}
