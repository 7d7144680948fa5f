/* The stores that release 0.1 wrote open with this one, and it goes on with them. */
#include "crypto/aead.h"
#include "support/fixture_text.h"
#include "support/lmdb_trial.h"

#include <kms/kms.h>
#include <stdlib.h>
#include <string.h>

static kms_suite suite_of(const fixture_record *record)
{
    return (kms_suite)fixture_number(record, "suite");
}

static bool machine_reads_the_file(void)
{
    const uint16_t one = 1;
    bool little = *(const uint8_t *)&one == 1;

    if (little && sizeof(size_t) == 8)
        return true;
    trial_skip("the store of release 0.1", "LMDB's files are of another kind of machine here");
    return false;
}

/* A copy, so that the fixture stays as it is. */
static const char *copied(const char *name)
{
    const char *copy = trial_path(name);

    trial_copy_file(fixture_path(name), copy);
    return copy;
}

static kms_status open_raw(kms_store **store, const char *path, const uint8_t *root_key,
                           uint32_t flags)
{
    kms_backend *engine;
    kms_root *root;

    trial_ok(kms_lmdb_backend(&engine, path, NULL));
    trial_ok(kms_root_raw(&root, root_key, KMS_ROOT_KEY_SIZE));
    return kms_open(store, engine, root, flags, NULL);
}

static void store_is_as_recorded(kms_store *store, const fixture_record *all)
{
    const fixture_record *record = fixture_find(all, "store");
    kms_store_info info = {.version = KMS_STORE_INFO_VERSION};
    uint8_t id[KMS_STORE_ID_SIZE];

    fixture_exactly(record, "store-id", id, sizeof id);
    trial_ok(kms_get_store_info(store, &info));
    ck_assert_mem_eq(info.store_id, id, sizeof id);
    ck_assert_uint_eq(info.changes, fixture_number(record, "changes"));
    trial_ok(kms_verify(store));
}

static void key_is_as_recorded(kms_store *store, const fixture_record *record)
{
    kms_key_info info = {.version = KMS_KEY_INFO_VERSION};

    trial_ok(kms_describe_key(store, record->name, &info));
    ck_assert_uint_eq(info.state, fixture_number(record, "state"));
    ck_assert_uint_eq(info.spec, fixture_number(record, "spec"));
    ck_assert_uint_eq(info.usage, fixture_number(record, "usage"));
    ck_assert_uint_eq(info.origin, fixture_number(record, "origin"));
    ck_assert_uint_eq(info.suite, fixture_number(record, "suite"));
    ck_assert_uint_eq(info.primary_version, fixture_number(record, "primary-version"));
    ck_assert_uint_eq(info.version_count, fixture_number(record, "version-count"));
    ck_assert_int_eq(info.created_ms, (int64_t)fixture_number(record, "created-ms"));
    ck_assert_str_eq(info.key_id, record->name);
}

static void version_is_as_recorded(kms_store *store, const fixture_record *record)
{
    uint32_t number = (uint32_t)strtoul(record->name, NULL, 10);
    uint8_t commitment[KMS_COMMITMENT_SIZE];
    kms_key_version_info info;

    trial_ok(kms_describe_key_version(store, fixture_text(record, "key-id"), number, &info));
    ck_assert_uint_eq(info.number, number);
    ck_assert_uint_eq(info.state, fixture_number(record, "state"));
    ck_assert_uint_eq(info.suite, fixture_number(record, "suite"));
    ck_assert_uint_eq(info.primary, fixture_number(record, "primary"));
    ck_assert_int_eq(info.created_ms, (int64_t)fixture_number(record, "created-ms"));
    fixture_exactly(record, "commitment", commitment, sizeof commitment);
    ck_assert_mem_eq(info.commitment, commitment, sizeof commitment);
}

static bool is_among(kms_store *store, const char *key_id, const char *alias)
{
    kms_alias_info aliases[8];
    size_t count;

    trial_ok(kms_list_aliases_by_key_id(store, key_id, NULL, aliases, 8, &count, NULL));
    for (size_t i = 0; i < count; i++)
        if (strcmp(aliases[i].name, alias) == 0)
            return true;
    return false;
}

static void alias_is_as_recorded(kms_store *store, const fixture_record *record)
{
    const char *before = fixture_text(record, "previous-key-id");
    kms_alias_info info;

    trial_ok(kms_describe_alias(store, record->name, &info));
    ck_assert_str_eq(info.name, record->name);
    ck_assert_str_eq(info.key_id, fixture_text(record, "key-id"));
    ck_assert_str_eq(info.previous_key_id, strcmp(before, "-") == 0 ? "" : before);
    ck_assert_int_eq(info.created_ms, (int64_t)fixture_number(record, "created-ms"));
    ck_assert_int_eq(info.moved_ms, (int64_t)fixture_number(record, "moved-ms"));
    ck_assert(is_among(store, info.key_id, record->name));
}

static kms_status expected_status(const fixture_record *record)
{
    if (strcmp(record->name, "disabled") == 0)
        return KMS_ERR_DISABLED;
    if (kms__suite_available(suite_of(record)))
        return KMS_OK;
    trial_skip("a blob of the store", "this build has no AES-256-GCM");
    return KMS_ERR_UNSUPPORTED;
}

static void blob_is_as_recorded(kms_store *store, const fixture_record *record)
{
    size_t len, plain_len, opened_len = 0;
    uint8_t *bytes = fixture_bytes(record, "blob-bytes", &len);
    uint8_t *plain = fixture_bytes(record, "plaintext", &plain_len);
    kms_status expected = expected_status(record);
    uint8_t opened[256];
    kms_key_used used;
    fixture_context context;

    trial_is(kms_decrypt_expecting(store, fixture_text(record, "key-id"),
                                   fixture_context_of(record, &context), bytes, len, opened,
                                   sizeof opened, &opened_len, &used),
             expected);
    if (expected == KMS_OK) {
        ck_assert_uint_eq(opened_len, plain_len);
        ck_assert_mem_eq(opened, plain, plain_len);
        ck_assert_uint_eq(used.key_version, fixture_number(record, "key-version"));
    }
    free(bytes);
    free(plain);
}

static size_t for_each(kms_store *store, const fixture_record *all, const char *kind,
                       void (*look)(kms_store *, const fixture_record *))
{
    size_t count = 0;

    for (const fixture_record *record = fixture_find(all, kind); record != NULL;
         record = fixture_find(record->next, kind), count++)
        look(store, record);
    return count;
}

static void everything_is_as_recorded(kms_store *store, const fixture_record *all)
{
    char keys[16][KMS_KEY_ID_SIZE];
    kms_alias_info aliases[16];
    size_t count;

    store_is_as_recorded(store, all);
    trial_ok(kms_list_keys(store, NULL, keys, 16, &count, NULL));
    ck_assert_uint_eq(for_each(store, all, "key", key_is_as_recorded), count);
    trial_ok(kms_list_aliases(store, NULL, aliases, 16, &count, NULL));
    ck_assert_uint_eq(for_each(store, all, "alias", alias_is_as_recorded), count);
    for_each(store, all, "version", version_is_as_recorded);
    ck_assert_uint_ge(for_each(store, all, "blob", blob_is_as_recorded), 1);
}

START_TEST(test_store_of_0_1_holds_what_it_held)
{
    const fixture_record *all = fixture_read("store-0.1.txt");
    const uint32_t ways[] = {0, KMS_OPEN_READ_ONLY, KMS_OPEN_FROZEN, 0};
    uint8_t root_key[KMS_ROOT_KEY_SIZE];
    const char *path;

    if (!machine_reads_the_file())
        return;
    path = copied("store-0.1.kms");
    fixture_exactly(fixture_find(all, "store"), "root-key", root_key, sizeof root_key);
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        kms_store *store;

        trial_ok(open_raw(&store, path, root_key, ways[i]));
        everything_is_as_recorded(store, all);
        kms_close(store);
    }
}
END_TEST

START_TEST(test_store_of_0_1_opens_under_its_root_key_alone)
{
    uint8_t root_key[KMS_ROOT_KEY_SIZE];
    kms_store *store = NULL;

    if (!machine_reads_the_file())
        return;
    fixture_exactly(fixture_find(fixture_read("store-0.1.txt"), "store"), "root-key", root_key,
                    sizeof root_key);
    root_key[31] ^= 1;
    trial_is(open_raw(&store, copied("store-0.1.kms"), root_key, 0), KMS_ERR_WRONG_ROOT_KEY);
    ck_assert_ptr_null(store);
}
END_TEST

/* Changes what is there, and adds to it. */
static void go_on_with(kms_store *store, uint8_t *blob, size_t blob_size, size_t *blob_len)
{
    kms_alias_info alias;
    uint32_t version;
    char fresh[KMS_KEY_ID_SIZE];

    trial_ok(kms_describe_alias(store, "alias/there-and/back", &alias));
    trial_ok(kms_create_key_version(store, alias.key_id, &version));
    ck_assert_uint_eq(version, 4);
    trial_ok(kms_create_key(store, NULL, fresh));
    trial_ok(kms_update_alias(store, "alias/MyAppKey", fresh));
    trial_ok(kms_delete_alias(store, "alias/there-and/back"));
    trial_ok(kms_describe_alias(store, "alias/Retired", &alias));
    trial_ok(kms_enable_key(store, alias.key_id));
    trial_ok(kms_encrypt(store, "alias/MyAppKey", NULL, "go on", 5, blob, blob_size, blob_len));
    trial_ok(kms_verify(store));
}

static void opens_whatever_its_state_was(kms_store *store, const fixture_record *record)
{
    size_t len, plain_len, opened_len;
    uint8_t *bytes = fixture_bytes(record, "blob-bytes", &len);
    uint8_t *plain = fixture_bytes(record, "plaintext", &plain_len);
    uint8_t opened[256];
    fixture_context context;

    if (!kms__suite_available(suite_of(record)))
        return;
    trial_ok(kms_decrypt(store, fixture_context_of(record, &context), bytes, len, opened,
                         sizeof opened, &opened_len));
    ck_assert_uint_eq(opened_len, plain_len);
    ck_assert_mem_eq(opened, plain, plain_len);
    free(bytes);
    free(plain);
}

START_TEST(test_store_of_0_1_goes_on)
{
    const fixture_record *all = fixture_read("store-0.1.txt");
    uint8_t root_key[KMS_ROOT_KEY_SIZE], blob[KMS_CIPHERTEXT_SIZE(5)], plain[5];
    kms_store *store;
    const char *path;
    size_t len;

    if (!machine_reads_the_file())
        return;
    path = copied("store-0.1.kms");
    fixture_exactly(fixture_find(all, "store"), "root-key", root_key, sizeof root_key);
    trial_ok(open_raw(&store, path, root_key, 0));
    go_on_with(store, blob, sizeof blob, &len);
    kms_close(store);
    trial_ok(open_raw(&store, path, root_key, 0));
    trial_ok(kms_verify(store));
    trial_ok(kms_decrypt(store, NULL, blob, sizeof blob, plain, sizeof plain, &len));
    ck_assert_mem_eq(plain, "go on", 5);
    ck_assert_uint_ge(for_each(store, all, "blob", opens_whatever_its_state_was), 10);
    kms_close(store);
}
END_TEST

/* A day long after the store was made. */
static int64_t later_ms = INT64_C(1900000000000);

static int64_t tell_later(void *data)
{
    return *(int64_t *)data;
}

static kms_store *open_later(const char *path, const uint8_t *root_key)
{
    const kms_clock clock = {KMS_CLOCK_VERSION, &later_ms, tell_later};
    kms_open_options options = KMS_OPEN_OPTIONS_INIT;
    kms_backend *engine;
    kms_store *store;
    kms_root *root;

    options.clock = &clock;
    trial_ok(kms_lmdb_backend(&engine, path, NULL));
    trial_ok(kms_root_raw(&root, root_key, KMS_ROOT_KEY_SIZE));
    trial_ok(kms_open(&store, engine, root, 0, &options));
    return store;
}

/* The answer to the recorded blobs of that version. */
static void blobs_of_version_are(kms_store *store, const fixture_record *all, const char *key_id,
                                 uint64_t number, kms_status wanted)
{
    unsigned found = 0;

    for (const fixture_record *record = fixture_find(all, "blob"); record != NULL;
         record = fixture_find(record->next, "blob")) {
        size_t len, opened_len;
        uint8_t *bytes, opened[256];
        fixture_context context;

        if (strcmp(fixture_text(record, "key-id"), key_id) != 0 ||
            fixture_number(record, "key-version") != number)
            continue;
        bytes = fixture_bytes(record, "blob-bytes", &len);
        trial_is(kms_decrypt(store, fixture_context_of(record, &context), bytes, len, opened,
                             sizeof opened, &opened_len),
                 wanted);
        free(bytes);
        found++;
    }
    ck_assert_uint_gt(found, 0);
}

/* Their records have no date, source or state before: they get them with the first change. */
START_TEST(test_versions_of_0_1_live_on)
{
    const fixture_record *all = fixture_read("store-0.1.txt");
    uint8_t root_key[KMS_ROOT_KEY_SIZE];
    kms_key_version_info info;
    kms_alias_info alias;
    kms_store *store;
    const char *path;
    int64_t due;

    if (!machine_reads_the_file())
        return;
    path = copied("store-0.1.kms");
    fixture_exactly(fixture_find(all, "store"), "root-key", root_key, sizeof root_key);
    store = open_later(path, root_key);
    trial_ok(kms_describe_alias(store, "alias/there-and/back", &alias));
    blobs_of_version_are(store, all, alias.key_id, 1, KMS_OK);
    trial_ok(kms_disable_key_version(store, alias.key_id, 1));
    blobs_of_version_are(store, all, alias.key_id, 1, KMS_ERR_DISABLED);
    trial_ok(kms_schedule_key_version_destruction(store, alias.key_id, 1, 7, &due));
    trial_ok(kms_cancel_key_version_destruction(store, alias.key_id, 1));
    blobs_of_version_are(store, all, alias.key_id, 1, KMS_ERR_DISABLED);
    trial_ok(kms_enable_key_version(store, alias.key_id, 1));
    blobs_of_version_are(store, all, alias.key_id, 1, KMS_OK);
    trial_ok(kms_describe_key_version(store, alias.key_id, 1, &info));
    ck_assert_int_eq(info.source, KMS_MATERIAL_DRAWN);
    ck_assert_int_eq(info.expires_ms, 0);
    trial_ok(kms_set_minimum_version(store, alias.key_id, 2, 0));
    blobs_of_version_are(store, all, alias.key_id, 1, KMS_ERR_DISABLED);
    blobs_of_version_are(store, all, alias.key_id, 2, KMS_OK);
    trial_ok(kms_set_minimum_version(store, alias.key_id, 0, 0));
    trial_ok(kms_update_primary_version(store, alias.key_id, 2));
    trial_ok(kms_schedule_key_version_destruction(store, alias.key_id, 1, 7, &due));
    later_ms = due;
    trial_ok(kms_purge_key_version(store, alias.key_id, 1, due));
    blobs_of_version_are(store, all, alias.key_id, 1, KMS_ERR_DESTROYED);
    blobs_of_version_are(store, all, alias.key_id, 2, KMS_OK);
    kms_close(store);
    store = open_later(path, root_key);
    trial_ok(kms_verify(store));
    trial_ok(kms_describe_key_version(store, alias.key_id, 1, &info));
    ck_assert_int_eq(info.state, KMS_KEY_VERSION_DESTROYED);
    kms_close(store);
}
END_TEST

static kms_status open_passphrase(kms_store **store, const char *path, const uint8_t *passphrase,
                                  size_t len)
{
    kms_backend *engine;
    kms_root *root;

    trial_ok(kms_lmdb_backend(&engine, path, NULL));
    trial_ok(kms_root_passphrase(&root, passphrase, len));
    return kms_open(store, engine, root, 0, NULL);
}

START_TEST(test_passphrase_store_of_0_1_opens)
{
    const fixture_record *all = fixture_read("passphrase-0.1.txt");
    kms_store *store;
    uint8_t *passphrase;
    const char *path;
    size_t len;

    if (!machine_reads_the_file())
        return;
    path = copied("passphrase-0.1.kms");
    passphrase = fixture_bytes(fixture_find(all, "store"), "passphrase", &len);
    trial_is(open_passphrase(&store, path, passphrase, len - 1), KMS_ERR_WRONG_ROOT_KEY);
    trial_ok(open_passphrase(&store, path, passphrase, len));
    everything_is_as_recorded(store, all);
    kms_close(store);
    free(passphrase);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        test_store_of_0_1_holds_what_it_held,
        test_store_of_0_1_opens_under_its_root_key_alone,
        test_store_of_0_1_goes_on,
        test_versions_of_0_1_live_on,
        test_passphrase_store_of_0_1_opens,
    };

    return trial_main("fixture_stores", tests, sizeof tests / sizeof tests[0]);
}
