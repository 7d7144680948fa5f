/* Programs that were built with the headers of release 0.1 go on: structs of version 1 are taken,
 * and written no further than they went. */
#include "support/api_fixture.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* As the headers of release 0.1 had them. */
typedef struct create_key_options_1 {
    uint32_t version;
    kms_key_spec spec;
    kms_key_usage usage;
    kms_suite suite;
} create_key_options_1;

typedef struct open_options_1 {
    uint32_t version;
    uint32_t busy_timeout_ms;
    uint32_t cache_entries;
    kms_strength strength;
    const kms_clock *clock;
} open_options_1;

typedef struct key_info_1 {
    uint32_t version;
    kms_key_state state;
    kms_key_spec spec;
    kms_key_usage usage;
    kms_key_origin origin;
    kms_suite suite;
    uint32_t primary_version;
    uint32_t version_count;
    int64_t created_ms;
    char key_id[KMS_KEY_ID_SIZE];
} key_info_1;

typedef struct store_info_1 {
    uint32_t version;
    bool read_only;
    bool memory_locked;
    bool has_aes_256_gcm;
    uint64_t changes;
    uint8_t store_id[KMS_STORE_ID_SIZE];
    char engine[KMS_ENGINE_NAME_SIZE];
} store_info_1;

typedef struct key_version_info_1 {
    uint32_t number;
    kms_key_version_state state;
    kms_suite suite;
    bool primary;
    int64_t created_ms;
    uint8_t commitment[KMS_COMMITMENT_SIZE];
    uint8_t reserved[64];
} key_version_info_1;

_Static_assert(sizeof(key_version_info_1) == sizeof(kms_key_version_info), "its size is fixed");
_Static_assert(sizeof(kms_alias_info) == 262 + 37 + 37 + 8 + 8 + 32, "its size is fixed");

/* The last `size` bytes before a page that nobody may touch. */
static void *before_the_end(size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *pages =
        mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    ck_assert_ptr_ne(pages, MAP_FAILED);
    ck_assert_int_eq(mprotect(pages + page, page, PROT_NONE), 0);
    return pages + page - size;
}

START_TEST(options_of_version_1_make_a_key_and_are_read_no_further)
{
    create_key_options_1 *options = before_the_end(sizeof *options);
    kms_store *store = fixture_memory_store();
    char id[KMS_KEY_ID_SIZE], tagged[KMS_KEY_ID_SIZE];
    kms_key_info info;
    kms_tag_info tags[1];
    size_t count;

    *options = (create_key_options_1){1, KMS_KEY_SPEC_SYMMETRIC_256, KMS_KEY_USAGE_ENCRYPT_DECRYPT,
                                      KMS_SUITE_XCHACHA20_POLY1305};
    fixture_ok(kms_create_key(store, (const kms_create_key_options *)(const void *)options, id));
    info = fixture_describe(store, id);
    ck_assert_int_eq(info.origin, KMS_KEY_ORIGIN_KMS);
    ck_assert_int_eq(info.suite, KMS_SUITE_XCHACHA20_POLY1305);
    ck_assert_uint_eq(info.rotation_days, 0);
    ck_assert(!info.deletion_protected);
    fixture_ok(kms_list_resource_tags(store, id, tags, 1, &count));
    ck_assert_uint_eq(count, 0);
    fixture_ok(kms_ensure_alias(store, "alias/a",
                                (const kms_create_key_options *)(const void *)options, tagged));
    options->suite = (kms_suite)77;
    fixture_is(kms_create_key(store, (const kms_create_key_options *)(const void *)options, id),
               KMS_ERR_INVALID_ARGUMENT);
    kms_close(store);
}
END_TEST

START_TEST(options_of_version_1_open_a_store_and_are_read_no_further)
{
    static place here;
    open_options_1 *options = before_the_end(sizeof *options);
    kms_store *store = NULL;
    char id[KMS_KEY_ID_SIZE];

    place_init(&here);
    *options = (open_options_1){1, 1000, 16, KMS_STRENGTH_DEFAULT, NULL};
    fixture_ok(place_try_open(&here, &store, KMS_OPEN_CREATE,
                              (const kms_open_options *)(const void *)options));
    fixture_create_key(store, id);
    kms_close(store);
    options->cache_entries = 15;
    fixture_is(place_try_open(&here, &store, 0, (const kms_open_options *)(const void *)options),
               KMS_ERR_INVALID_ARGUMENT);
    place_free(&here);
}
END_TEST

START_TEST(what_version_1_of_a_key_told_is_told_and_nothing_behind_it)
{
    key_info_1 *old = before_the_end(sizeof *old);
    kms_store *store = fixture_memory_store();
    char id[KMS_KEY_ID_SIZE];
    kms_key_info now;

    fixture_create_key(store, id);
    fixture_rotate(store, id);
    memset(old, 0x5a, sizeof *old);
    old->version = 1;
    fixture_ok(kms_describe_key(store, id, (kms_key_info *)(void *)old));
    now = fixture_describe(store, id);
    ck_assert_uint_eq(old->version, 1);
    ck_assert_uint_eq(now.version, KMS_KEY_INFO_VERSION);
    now.version = 1;
    ck_assert_int_eq(memcmp(old, &now, offsetof(key_info_1, key_id) + KMS_KEY_ID_SIZE), 0);
    ck_assert_uint_eq(old->version_count, 2);
    ck_assert_str_eq(old->key_id, id);
    kms_close(store);
}
END_TEST

START_TEST(what_version_1_of_a_store_told_is_told_and_nothing_behind_it)
{
    store_info_1 *old = before_the_end(sizeof *old);
    kms_store *store = fixture_memory_store();
    kms_store_info now = {.version = KMS_STORE_INFO_VERSION};
    char id[KMS_KEY_ID_SIZE];

    fixture_create_key(store, id);
    memset(old, 0x5a, sizeof *old);
    old->version = 1;
    fixture_ok(kms_get_store_info(store, (kms_store_info *)(void *)old));
    fixture_ok(kms_get_store_info(store, &now));
    ck_assert_uint_eq(old->version, 1);
    ck_assert_uint_eq(old->changes, 1);
    ck_assert(!old->read_only && old->has_aes_256_gcm == now.has_aes_256_gcm);
    ck_assert_mem_eq(old->store_id, now.store_id, sizeof now.store_id);
    ck_assert_str_eq(old->engine, now.engine);
    kms_close(store);
}
END_TEST

START_TEST(a_version_that_is_none_is_refused_and_nothing_is_written)
{
    static const uint32_t versions[] = {0, 3, 77, UINT32_MAX};
    kms_create_key_options options = KMS_CREATE_KEY_OPTIONS_INIT;
    kms_key_filter filter = KMS_KEY_FILTER_INIT;
    kms_store *store = fixture_memory_store();
    char id[KMS_KEY_ID_SIZE], page[1][KMS_KEY_ID_SIZE];
    kms_store_info store_info, store_before;
    kms_key_info info, before;
    size_t count = 77;

    fixture_create_key(store, id);
    memset(&info, 0x5a, sizeof info);
    memset(&store_info, 0x5a, sizeof store_info);
    info.version = store_info.version = options.version = filter.version = versions[_i];
    before = info;
    store_before = store_info;
    fixture_is(kms_describe_key(store, id, &info), KMS_ERR_ABI);
    fixture_is(kms_get_store_info(store, &store_info), KMS_ERR_ABI);
    fixture_is(kms_create_key(store, &options, page[0]), KMS_ERR_ABI);
    fixture_is(kms_find_keys(store, &filter, NULL, page, 1, &count, NULL), KMS_ERR_ABI);
    ck_assert_int_eq(memcmp(&info, &before, sizeof info), 0);
    ck_assert_int_eq(memcmp(&store_info, &store_before, sizeof store_info), 0);
    ck_assert_uint_eq(count, 77);
    ck_assert_uint_eq(fixture_changes(store), 1);
    kms_close(store);
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {options_of_version_1_make_a_key_and_are_read_no_further, 0},
        {options_of_version_1_open_a_store_and_are_read_no_further, 0},
        {what_version_1_of_a_key_told_is_told_and_nothing_behind_it, 0},
        {what_version_1_of_a_store_told_is_told_and_nothing_behind_it, 0},
        {a_version_that_is_none_is_refused_and_nothing_is_written, 4},
    };

    return fixture_main("old_structs", tests, sizeof tests / sizeof *tests, 60);
}
