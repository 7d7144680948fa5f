/* Keys: making, describing, listing, enabling and disabling them. */
#include "support/api_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOBODY "00000000-0000-4000-8000-000000000000"

static place here;
static kms_store *store;

static void setup(void)
{
    place_init(&here);
    store = place_open(&here);
}

static void finish(void)
{
    fixture_ok(kms_verify(store));
    kms_close(store);
    place_free(&here);
}

START_TEST(a_new_key_is_what_it_was_asked_to_be)
{
    kms_create_key_options options = KMS_CREATE_KEY_OPTIONS_INIT;
    char id[KMS_KEY_ID_SIZE];
    kms_key_info info;

    setup();
    fixture_ok(kms_create_key(store, _i == 0 ? NULL : &options, id));
    info = fixture_describe(store, id);
    ck_assert_str_eq(info.key_id, id);
    ck_assert_uint_eq(strlen(id), KMS_KEY_ID_SIZE - 1);
    ck_assert_int_eq(info.state, KMS_KEY_ENABLED);
    ck_assert_int_eq(info.spec, KMS_KEY_SPEC_SYMMETRIC_256);
    ck_assert_int_eq(info.usage, KMS_KEY_USAGE_ENCRYPT_DECRYPT);
    ck_assert_int_eq(info.origin, KMS_KEY_ORIGIN_KMS);
    ck_assert_int_eq(info.suite, KMS_SUITE_XCHACHA20_POLY1305);
    ck_assert_uint_eq(info.primary_version, 1);
    ck_assert_uint_eq(info.version_count, 1);
    finish();
}
END_TEST

START_TEST(a_key_may_use_aes_if_the_build_has_it)
{
    kms_create_key_options options = KMS_CREATE_KEY_OPTIONS_INIT;
    char id[KMS_KEY_ID_SIZE] = "untouched";

    setup();
    options.suite = KMS_SUITE_AES_256_GCM;
    if (fixture_has_suite_2(store)) {
        fixture_ok(kms_create_key(store, &options, id));
        ck_assert_int_eq(fixture_describe(store, id).suite, KMS_SUITE_AES_256_GCM);
    } else {
        fixture_is(kms_create_key(store, &options, id), KMS_ERR_UNSUPPORTED);
        ck_assert_str_eq(id, "untouched");
    }
    finish();
}
END_TEST

START_TEST(options_that_make_no_key_are_refused)
{
    static const struct {
        kms_create_key_options options;
        kms_status wanted;
    } cases[] = {
        {{0, 1, 1, 1, 1, 0, false, NULL, NULL, 0}, KMS_ERR_ABI},
        {{3, 1, 1, 1, 1, 0, false, NULL, NULL, 0}, KMS_ERR_ABI},
        {{2, 1, 1, 1, 0, 0, false, NULL, NULL, 0}, KMS_ERR_INVALID_ARGUMENT},
        {{2, 1, 1, 1, 3, 0, false, NULL, NULL, 0}, KMS_ERR_INVALID_ARGUMENT},
        {{2, 1, 1, 1, 1, 6, false, NULL, NULL, 0}, KMS_ERR_INVALID_ARGUMENT},
        {{2, 1, 1, 1, 1, 731, false, NULL, NULL, 0}, KMS_ERR_INVALID_ARGUMENT},
        {{2, 1, 1, 1, 2, 30, false, NULL, NULL, 0}, KMS_ERR_UNSUPPORTED},
        {{2, 1, 1, 1, 1, 0, false, NULL, NULL, 1}, KMS_ERR_INVALID_ARGUMENT},
        {{1, 0, 1, 1, 1, 0, false, NULL, NULL, 0}, KMS_ERR_INVALID_ARGUMENT},
        {{1, 2, 1, 1, 1, 0, false, NULL, NULL, 0}, KMS_ERR_INVALID_ARGUMENT},
        {{1, 1, 0, 1, 1, 0, false, NULL, NULL, 0}, KMS_ERR_INVALID_ARGUMENT},
        {{1, 1, 3, 1, 1, 0, false, NULL, NULL, 0}, KMS_ERR_INVALID_ARGUMENT},
        {{1, 1, 1, 0, 1, 0, false, NULL, NULL, 0}, KMS_ERR_INVALID_ARGUMENT},
        {{1, 1, 1, 3, 1, 0, false, NULL, NULL, 0}, KMS_ERR_INVALID_ARGUMENT},
        {{1, 1, 1, (kms_suite)258, 1, 0, false, NULL, NULL, 0}, KMS_ERR_INVALID_ARGUMENT},
        {{2, 1, 2, 1, 1, 30, false, NULL, NULL, 0}, KMS_ERR_UNSUPPORTED},
    };
    char id[KMS_KEY_ID_SIZE] = "untouched";

    setup();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fixture_is(kms_create_key(store, &cases[i].options, id), cases[i].wanted);
        fixture_is(kms_ensure_alias(store, "alias/a", &cases[i].options, id), cases[i].wanted);
    }
    fixture_is(kms_create_key(store, NULL, NULL), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_create_key(NULL, NULL, id), KMS_ERR_INVALID_ARGUMENT);
    ck_assert_str_eq(id, "untouched");
    ck_assert_uint_eq(fixture_changes(store), 0);
    finish();
}
END_TEST

START_TEST(describing_takes_an_id_or_an_alias)
{
    char id[KMS_KEY_ID_SIZE], upper[KMS_KEY_ID_SIZE];

    setup();
    fixture_ok(kms_ensure_alias(store, "alias/a", NULL, id));
    ck_assert_str_eq(fixture_describe(store, "alias/a").key_id, id);
    for (size_t i = 0; i < sizeof id; i++)
        upper[i] = (char)(id[i] >= 'a' && id[i] <= 'f' ? id[i] - 32 : id[i]);
    ck_assert_str_eq(fixture_describe(store, upper).key_id, id);
    finish();
}
END_TEST

static const struct {
    const char *reference;
    kms_status wanted;
} bad_references[] = {
    {NULL, KMS_ERR_INVALID_ARGUMENT},
    {"", KMS_ERR_INVALID_ARGUMENT},
    {"MyAppKey", KMS_ERR_INVALID_ARGUMENT},
    {"Alias/MyAppKey", KMS_ERR_INVALID_ARGUMENT},
    {"alias/", KMS_ERR_INVALID_ARGUMENT},
    {"alias/a b", KMS_ERR_INVALID_ARGUMENT},
    {"00000000-0000-4000-8000-00000000000", KMS_ERR_INVALID_ARGUMENT},
    {"00000000-0000-4000-8000-0000000000000", KMS_ERR_INVALID_ARGUMENT},
    {"00000000000040008000000000000000", KMS_ERR_INVALID_ARGUMENT},
    {"00000000-0000-4000-8000-00000000000g", KMS_ERR_INVALID_ARGUMENT},
    {NOBODY, KMS_ERR_KEY_NOT_FOUND},
    {"alias/nobody", KMS_ERR_ALIAS_NOT_FOUND},
    {"alias/acs/nobody", KMS_ERR_ALIAS_NOT_FOUND},
};
#define BAD_REFERENCES (sizeof bad_references / sizeof *bad_references)

START_TEST(a_bad_reference_is_refused_by_every_call_that_takes_one)
{
    kms_key_info info = {.version = KMS_KEY_INFO_VERSION, .version_count = 77};
    kms_key_version_info version;
    uint8_t blob[200];
    size_t len = 77, count = 77;
    bool more;

    setup();
    for (size_t i = 0; i < BAD_REFERENCES; i++) {
        const char *bad = bad_references[i].reference;
        kms_status wanted = bad_references[i].wanted;

        fixture_is(kms_describe_key(store, bad, &info), wanted);
        fixture_is(kms_describe_key_version(store, bad, 0, &version), wanted);
        fixture_is(kms_list_key_versions(store, bad, 0, &version, 1, &count, &more), wanted);
        fixture_is(kms_encrypt(store, bad, NULL, "x", 1, blob, sizeof blob, &len), wanted);
        fixture_is(kms_would(store, KMS_OP_DESCRIBE_KEY, bad), wanted);
        fixture_is(kms_would(store, KMS_OP_ENCRYPT, bad), wanted);
        fixture_is(kms_would(store, KMS_OP_DECRYPT, bad), wanted);
    }
    ck_assert_uint_eq(info.version_count, 77);
    ck_assert_uint_eq(len, 77);
    ck_assert_uint_eq(count, 77);
    finish();
}
END_TEST

START_TEST(a_call_that_changes_a_key_takes_its_id_and_nothing_else)
{
    setup();
    fixture_ok(kms_ensure_alias(store, "alias/a", NULL, NULL));
    for (size_t i = 0; i < BAD_REFERENCES + 1; i++) {
        bool alias = i == BAD_REFERENCES;
        const char *bad = alias ? "alias/a" : bad_references[i].reference;
        kms_status wanted = alias ? KMS_ERR_INVALID_ARGUMENT : bad_references[i].wanted;

        if (wanted == KMS_ERR_ALIAS_NOT_FOUND)
            wanted = KMS_ERR_INVALID_ARGUMENT;
        fixture_is(kms_enable_key(store, bad), wanted);
        fixture_is(kms_disable_key(store, bad), wanted);
        fixture_is(kms_create_key_version(store, bad, NULL), wanted);
        fixture_is(kms_create_alias(store, "alias/b", bad), wanted);
        fixture_is(kms_update_alias(store, "alias/a", bad), wanted);
        fixture_is(kms_would(store, KMS_OP_ENABLE_KEY, bad), wanted);
        fixture_is(kms_would(store, KMS_OP_DISABLE_KEY, bad), wanted);
        fixture_is(kms_would(store, KMS_OP_CREATE_KEY_VERSION, bad), wanted);
        fixture_is(kms_would(store, KMS_OP_CREATE_ALIAS, bad), wanted);
        fixture_is(kms_would(store, KMS_OP_UPDATE_ALIAS, bad), wanted);
    }
    fixture_is(kms_disable_key(store, "alias/a"), KMS_ERR_INVALID_ARGUMENT);
    fixture_says("takes a key id");
    ck_assert_uint_eq(fixture_changes(store), 1);
    finish();
}
END_TEST

START_TEST(describing_checks_its_arguments)
{
    kms_key_info info = {.version = 0};
    char id[KMS_KEY_ID_SIZE];

    setup();
    fixture_create_key(store, id);
    fixture_is(kms_describe_key(store, id, &info), KMS_ERR_ABI);
    info.version = KMS_KEY_INFO_VERSION + 1;
    fixture_is(kms_describe_key(store, id, &info), KMS_ERR_ABI);
    fixture_is(kms_describe_key(store, id, NULL), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_describe_key(NULL, id, &info), KMS_ERR_INVALID_ARGUMENT);
    ck_assert_str_eq(info.key_id, "");
    finish();
}
END_TEST

START_TEST(a_disabled_key_serves_nobody_until_it_is_enabled_again)
{
    char id[KMS_KEY_ID_SIZE], plain[8] = "keep";
    uint8_t blob[200], other[200];
    size_t len, plain_len = 77;

    setup();
    fixture_ok(kms_ensure_alias(store, "alias/a", NULL, id));
    len = fixture_encrypt(store, id, "x", blob, sizeof blob);
    fixture_opens_as(store, blob, len, "x");
    fixture_ok(kms_disable_key(store, id));
    ck_assert_int_eq(fixture_describe(store, id).state, KMS_KEY_DISABLED);
    fixture_is(kms_encrypt(store, id, NULL, "x", 1, other, sizeof other, &plain_len),
               KMS_ERR_DISABLED);
    fixture_says(id);
    fixture_is(kms_encrypt(store, "alias/a", NULL, "x", 1, other, sizeof other, &plain_len),
               KMS_ERR_DISABLED);
    fixture_says("alias/a");
    fixture_is(kms_decrypt(store, NULL, blob, len, plain, sizeof plain, &plain_len),
               KMS_ERR_DISABLED);
    fixture_is(kms_create_key_version(store, id, NULL), KMS_ERR_DISABLED);
    ck_assert_uint_eq(plain_len, 77);
    ck_assert_str_eq(plain, "keep");
    fixture_ok(kms_enable_key(store, id));
    fixture_opens_as(store, blob, len, "x");
    finish();
}
END_TEST

START_TEST(switching_a_key_to_what_it_is_changes_nothing)
{
    char id[KMS_KEY_ID_SIZE];

    setup();
    fixture_create_key(store, id);
    ck_assert_uint_eq(fixture_changes(store), 1);
    fixture_ok(kms_enable_key(store, id));
    ck_assert_uint_eq(fixture_changes(store), 1);
    fixture_ok(kms_disable_key(store, id));
    fixture_ok(kms_disable_key(store, id));
    ck_assert_uint_eq(fixture_changes(store), 2);
    fixture_ok(kms_enable_key(store, id));
    fixture_ok(kms_enable_key(store, id));
    ck_assert_uint_eq(fixture_changes(store), 3);
    finish();
}
END_TEST

/* --- listing -------------------------------------------------------------------------------- */

#define KEYS 9

static int compare_ids(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void make_keys(char (*ids)[KMS_KEY_ID_SIZE], size_t count)
{
    for (size_t i = 0; i < count; i++)
        fixture_create_key(store, ids[i]);
    qsort(ids, count, sizeof *ids, compare_ids);
}

START_TEST(listing_gives_every_key_once_with_every_limit)
{
    char ids[KEYS][KMS_KEY_ID_SIZE], page[KEYS + 1][KMS_KEY_ID_SIZE];
    size_t seen = 0, count, limit = (size_t)_i + 1;
    bool more = true;

    setup();
    make_keys(ids, KEYS);
    /* Neighbours among the records. */
    fixture_ok(kms_create_alias(store, "alias/a", ids[0]));
    while (more) {
        fixture_ok(
            kms_list_keys(store, seen == 0 ? NULL : ids[seen - 1], page, limit, &count, &more));
        ck_assert_uint_eq(count, KEYS - seen < limit ? KEYS - seen : limit);
        for (size_t i = 0; i < count; i++)
            ck_assert_str_eq(page[i], ids[seen + i]);
        seen += count;
        ck_assert(more == (seen < KEYS));
    }
    ck_assert_uint_eq(seen, KEYS);
    finish();
}
END_TEST

START_TEST(listing_many_keys_crosses_every_batch)
{
    enum { MANY = 200 };
    static char ids[MANY][KMS_KEY_ID_SIZE], page[MANY][KMS_KEY_ID_SIZE];
    size_t count;
    bool more;

    setup();
    make_keys(ids, MANY);
    for (size_t limit = 63; limit <= MANY; limit += limit == 65 ? 62 : 1) {
        fixture_ok(kms_list_keys(store, NULL, page, limit, &count, &more));
        ck_assert_uint_eq(count, limit);
        ck_assert(more == (limit < MANY));
        ck_assert_int_eq(memcmp(page, ids, limit * sizeof *ids), 0);
    }
    finish();
}
END_TEST

START_TEST(a_marker_need_not_be_there)
{
    char ids[2][KMS_KEY_ID_SIZE], page[3][KMS_KEY_ID_SIZE];
    size_t count;
    bool more;

    setup();
    make_keys(ids, 2);
    fixture_ok(kms_list_keys(store, NOBODY, page, 3, &count, &more));
    ck_assert_uint_eq(count, 2);
    fixture_ok(
        kms_list_keys(store, "ffffffff-ffff-4fff-bfff-ffffffffffff", page, 3, &count, &more));
    ck_assert_uint_eq(count, 0);
    ck_assert(!more);
    fixture_ok(kms_list_keys(store, NULL, page, SIZE_MAX, &count, NULL));
    ck_assert_uint_eq(count, 2);
    finish();
}
END_TEST

START_TEST(listing_checks_its_arguments)
{
    char page[1][KMS_KEY_ID_SIZE];
    size_t count = 77;
    bool more = true;

    setup();
    fixture_is(kms_list_keys(store, NULL, page, 0, &count, &more), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_list_keys(store, NULL, NULL, 1, &count, &more), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_list_keys(store, NULL, page, 1, NULL, &more), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_list_keys(NULL, NULL, page, 1, &count, &more), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_list_keys(store, "alias/a", page, 1, &count, &more), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_list_keys(store, "", page, 1, &count, &more), KMS_ERR_INVALID_ARGUMENT);
    ck_assert_uint_eq(count, 77);
    ck_assert(more);
    fixture_ok(kms_list_keys(store, NULL, page, 1, &count, &more));
    ck_assert_uint_eq(count, 0);
    ck_assert(!more);
    finish();
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {a_new_key_is_what_it_was_asked_to_be, 2},
        {a_key_may_use_aes_if_the_build_has_it, 0},
        {options_that_make_no_key_are_refused, 0},
        {describing_takes_an_id_or_an_alias, 0},
        {a_bad_reference_is_refused_by_every_call_that_takes_one, 0},
        {a_call_that_changes_a_key_takes_its_id_and_nothing_else, 0},
        {describing_checks_its_arguments, 0},
        {a_disabled_key_serves_nobody_until_it_is_enabled_again, 0},
        {switching_a_key_to_what_it_is_changes_nothing, 0},
        {listing_gives_every_key_once_with_every_limit, KEYS + 1},
        {listing_many_keys_crosses_every_batch, 0},
        {a_marker_need_not_be_there, 0},
        {listing_checks_its_arguments, 0},
    };

    return fixture_main("keys", tests, sizeof tests / sizeof *tests, 60);
}
