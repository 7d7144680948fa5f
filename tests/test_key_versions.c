/* Key versions: rotating a key, and looking at its generations. */
#include "support/api_fixture.h"

#include <stdlib.h>
#include <string.h>

static place here;
static kms_store *store;
static char id[KMS_KEY_ID_SIZE];

static void setup(void)
{
    place_init(&here);
    store = place_open(&here);
    fixture_ok(kms_ensure_alias(store, "alias/a", NULL, id));
}

static void finish(void)
{
    fixture_ok(kms_verify(store));
    kms_close(store);
    place_free(&here);
}

static uint32_t version_of(const uint8_t *blob, size_t len)
{
    kms_blob_info info;

    fixture_ok(kms_inspect_blob(blob, len, &info));
    return info.key_version;
}

static kms_key_version_info describe(uint32_t number)
{
    kms_key_version_info info;

    fixture_ok(kms_describe_key_version(store, id, number, &info));
    return info;
}

START_TEST(a_new_version_encrypts_at_once_and_the_old_ones_go_on_decrypting)
{
    enum { TURNS = 5 };
    uint8_t blobs[TURNS + 1][200];
    size_t lens[TURNS + 1];
    uint32_t number = 0;

    setup();
    for (uint32_t turn = 0; turn <= TURNS; turn++) {
        lens[turn] = fixture_encrypt(store, _i == 0 ? "alias/a" : id, "text", blobs[turn], 200);
        ck_assert_uint_eq(version_of(blobs[turn], lens[turn]), turn + 1);
        for (uint32_t old = 0; old <= turn; old++)
            fixture_opens_as(store, blobs[old], lens[old], "text");
        fixture_ok(kms_create_key_version(store, id, &number));
        ck_assert_uint_eq(number, turn + 2);
        ck_assert_uint_eq(fixture_describe(store, id).primary_version, number);
        ck_assert_uint_eq(fixture_describe(store, "alias/a").version_count, number);
    }
    fixture_ok(kms_create_key_version(store, id, NULL));
    finish();
}
END_TEST

START_TEST(a_new_version_keeps_the_suite_of_its_key)
{
    char other[KMS_KEY_ID_SIZE];
    kms_key_version_info info;

    setup();
    if (fixture_has_suite_2(store)) {
        fixture_create_key_of(store, KMS_SUITE_AES_256_GCM, other);
        fixture_rotate(store, other);
        fixture_ok(kms_describe_key_version(store, other, 2, &info));
        ck_assert_int_eq(info.suite, KMS_SUITE_AES_256_GCM);
    }
    fixture_rotate(store, id);
    ck_assert_int_eq(describe(2).suite, KMS_SUITE_XCHACHA20_POLY1305);
    finish();
}
END_TEST

START_TEST(a_version_tells_what_it_is)
{
    static const uint8_t zeros[sizeof((kms_key_version_info *)0)->reserved];
    kms_key_version_info first, second, primary;
    kms_blob_info blob_info;
    uint8_t blob[200];
    size_t len;

    setup();
    len = fixture_encrypt(store, id, "x", blob, sizeof blob);
    fixture_ok(kms_inspect_blob(blob, len, &blob_info));
    fixture_rotate(store, id);
    first = describe(1);
    second = describe(2);
    primary = describe(0);
    ck_assert_uint_eq(first.number, 1);
    ck_assert(!first.primary && second.primary);
    ck_assert_int_eq(memcmp(&primary, &second, sizeof second), 0);
    ck_assert_int_eq(first.state, KMS_KEY_VERSION_ENABLED);
    ck_assert_mem_eq(first.commitment, blob_info.commitment, KMS_COMMITMENT_SIZE);
    ck_assert_mem_ne(first.commitment, second.commitment, KMS_COMMITMENT_SIZE);
    ck_assert_mem_eq(first.reserved, zeros, sizeof zeros);
    fixture_ok(kms_describe_key_version(store, "alias/a", 1, &primary));
    ck_assert_int_eq(memcmp(&primary, &first, sizeof first), 0);
    finish();
}
END_TEST

START_TEST(a_version_that_is_not_there_is_told)
{
    static const uint32_t numbers[] = {2, 3, 1500, 1501, UINT32_MAX};
    kms_key_version_info info = {.number = 77};

    setup();
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        fixture_is(kms_describe_key_version(store, id, numbers[i], &info),
                   KMS_ERR_VERSION_NOT_FOUND);
    fixture_is(kms_describe_key_version(store, id, 1, NULL), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_describe_key_version(NULL, id, 1, &info), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_create_key_version(NULL, id, &info.number), KMS_ERR_INVALID_ARGUMENT);
    ck_assert_uint_eq(info.number, 77);
    finish();
}
END_TEST

#define VERSIONS 5

START_TEST(listing_gives_every_version_once_with_every_limit)
{
    kms_key_version_info page[VERSIONS + 1];
    size_t count, limit = (size_t)_i + 1;
    uint32_t seen = 0;
    bool more = true;

    setup();
    for (int i = 1; i < VERSIONS; i++)
        fixture_rotate(store, id);
    while (more) {
        fixture_ok(kms_list_key_versions(store, id, seen, page, limit, &count, &more));
        ck_assert_uint_eq(count, VERSIONS - seen < limit ? VERSIONS - seen : limit);
        for (size_t i = 0; i < count; i++) {
            kms_key_version_info described = describe(seen + (uint32_t)i + 1);

            ck_assert_int_eq(memcmp(&page[i], &described, sizeof described), 0);
        }
        seen += (uint32_t)count;
        ck_assert(more == (seen < VERSIONS));
    }
    finish();
}
END_TEST

START_TEST(listing_versions_checks_its_arguments)
{
    kms_key_version_info page[2];
    size_t count = 77;
    bool more = true;

    setup();
    fixture_is(kms_list_key_versions(store, id, 0, page, 0, &count, &more),
               KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_list_key_versions(store, id, 0, NULL, 1, &count, &more),
               KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_list_key_versions(store, id, 0, page, 1, NULL, &more), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_list_key_versions(NULL, id, 0, page, 1, &count, &more),
               KMS_ERR_INVALID_ARGUMENT);
    ck_assert_uint_eq(count, 77);
    ck_assert(more);
    fixture_ok(kms_list_key_versions(store, "alias/a", 0, page, SIZE_MAX, &count, NULL));
    ck_assert_uint_eq(count, 1);
    for (uint32_t after = 1; after != 0; after *= 2) {
        fixture_ok(kms_list_key_versions(store, id, after, page, 2, &count, &more));
        ck_assert_uint_eq(count, 0);
        ck_assert(!more);
    }
    finish();
}
END_TEST

START_TEST(a_key_has_at_most_1500_versions)
{
    static kms_key_version_info page[KMS_KEY_VERSIONS_MAX + 1];
    uint8_t first[200], last[200];
    size_t first_len, last_len, count;
    uint32_t number = 0;
    bool more;

    setup();
    first_len = fixture_encrypt(store, id, "first", first, sizeof first);
    for (uint32_t i = 2; i <= KMS_KEY_VERSIONS_MAX; i++)
        number = fixture_rotate(store, id);
    ck_assert_uint_eq(number, KMS_KEY_VERSIONS_MAX);
    fixture_is(kms_would(store, KMS_OP_CREATE_KEY_VERSION, id), KMS_ERR_LIMIT_EXCEEDED);
    fixture_is(kms_create_key_version(store, id, &number), KMS_ERR_LIMIT_EXCEEDED);
    fixture_says("move the alias");
    ck_assert_uint_eq(number, KMS_KEY_VERSIONS_MAX);
    last_len = fixture_encrypt(store, id, "last", last, sizeof last);
    ck_assert_uint_eq(version_of(last, last_len), KMS_KEY_VERSIONS_MAX);
    fixture_opens_as(store, first, first_len, "first");
    fixture_opens_as(store, last, last_len, "last");
    fixture_ok(kms_list_key_versions(store, id, 0, page, KMS_KEY_VERSIONS_MAX + 1, &count, &more));
    ck_assert_uint_eq(count, KMS_KEY_VERSIONS_MAX);
    fixture_ok(kms_disable_key(store, id));
    fixture_ok(kms_enable_key(store, id));
    finish();
}
END_TEST

START_TEST(a_version_that_is_not_enabled_is_not_used)
{
    static const kms_status wanted[] = {KMS_ERR_DISABLED, KMS_ERR_PENDING_DELETION,
                                        KMS_ERR_DESTROYED};
    uint8_t blob[200], other[200];
    size_t len, other_len = 77;
    char plain[8];

    setup();
    len = fixture_encrypt(store, id, "x", blob, sizeof blob);
    fixture_rotate(store, id);
    fixture_set_version_state(store, id, 1, (kms_key_version_state)(_i + 2));
    fixture_is(kms_decrypt(store, NULL, blob, len, plain, sizeof plain, &other_len), wanted[_i]);
    ck_assert_uint_eq(other_len, 77);
    ck_assert_int_eq(describe(1).state, (kms_key_version_state)(_i + 2));
    other_len = fixture_encrypt(store, id, "y", other, sizeof other);
    fixture_opens_as(store, other, other_len, "y");
    fixture_set_version_state(store, id, 1, KMS_KEY_VERSION_ENABLED);
    fixture_opens_as(store, blob, len, "x");
    finish();
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {a_new_version_encrypts_at_once_and_the_old_ones_go_on_decrypting, 2},
        {a_new_version_keeps_the_suite_of_its_key, 0},
        {a_version_tells_what_it_is, 0},
        {a_version_that_is_not_there_is_told, 0},
        {listing_gives_every_version_once_with_every_limit, VERSIONS + 1},
        {listing_versions_checks_its_arguments, 0},
        {a_key_has_at_most_1500_versions, 0},
        {a_version_that_is_not_enabled_is_not_used, 3},
    };

    return fixture_main("key_versions", tests, sizeof tests / sizeof *tests, 120);
}
