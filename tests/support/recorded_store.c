#include "recorded_store.h"
#include "crypto/aead.h"
#include "lmdb_trial.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

kms_suite recorded_suite(const fixture_record *record)
{
    return (kms_suite)fixture_number(record, "suite");
}

bool recorded_machine_reads_the_file(void)
{
    const uint16_t one = 1;
    bool little = *(const uint8_t *)&one == 1;

    if (little && sizeof(size_t) == 8)
        return true;
    trial_skip("a store of an older release", "LMDB's files are of another kind of machine here");
    return false;
}

const char *recorded_copy(const char *name)
{
    const char *copy = trial_path(name);

    trial_copy_file(fixture_path(name), copy);
    return copy;
}

int64_t recorded_now_ms;

static int64_t described_now(void *data)
{
    return *(const int64_t *)data;
}

kms_status recorded_open_with(kms_store **store, const char *path, kms_root *root,
                              const fixture_record *all, uint32_t flags)
{
    static const kms_clock clock = {KMS_CLOCK_VERSION, &recorded_now_ms, described_now};
    const fixture_record *record = fixture_find(all, "store");
    kms_open_options options = KMS_OPEN_OPTIONS_INIT;
    kms_backend *engine;

    trial_ok(kms_lmdb_backend(&engine, path, NULL));
    if (fixture_has(record, "now-ms")) {
        recorded_now_ms = (int64_t)fixture_number(record, "now-ms");
        options.clock = &clock;
    }
    return kms_open(store, engine, root, flags, &options);
}

kms_status recorded_open(kms_store **store, const char *path, const fixture_record *all,
                         uint32_t flags)
{
    uint8_t root_key[KMS_ROOT_KEY_SIZE];
    kms_root *root;

    fixture_exactly(fixture_find(all, "store"), "root-key", root_key, sizeof root_key);
    trial_ok(kms_root_raw(&root, root_key, sizeof root_key));
    return recorded_open_with(store, path, root, all, flags);
}

void recorded_store_agrees(kms_store *store, const fixture_record *all)
{
    const fixture_record *record = fixture_find(all, "store");
    kms_store_info info = {.version = KMS_STORE_INFO_VERSION};
    uint8_t id[KMS_STORE_ID_SIZE];

    fixture_exactly(record, "store-id", id, sizeof id);
    trial_ok(kms_get_store_info(store, &info));
    ck_assert_mem_eq(info.store_id, id, sizeof id);
    ck_assert_uint_eq(info.changes, fixture_number(record, "changes"));
    ck_assert_uint_eq(info.store_key_generation,
                      fixture_has(record, "generation") ? fixture_number(record, "generation") : 1);
    trial_ok(kms_verify(store));
}

int64_t recorded_date(const fixture_record *record, const char *field)
{
    return (int64_t)fixture_number(record, field);
}

/* What a description of release 0.1 does not say. */
static void life_is_as_recorded(const kms_key_info *info, const fixture_record *record)
{
    ck_assert_uint_eq(info->creator, fixture_number(record, "creator"));
    ck_assert_uint_eq(info->deletion_protected, fixture_number(record, "deletion-protected"));
    ck_assert_uint_eq(info->rotation, fixture_number(record, "rotation"));
    ck_assert_uint_eq(info->rotation_days, fixture_number(record, "rotation-days"));
    ck_assert_int_eq(info->last_rotation_ms, recorded_date(record, "last-rotation-ms"));
    ck_assert_int_eq(info->next_rotation_ms, recorded_date(record, "next-rotation-ms"));
    ck_assert_int_eq(info->deletion_ms, recorded_date(record, "deletion-ms"));
    ck_assert_int_eq(info->material_expires_ms, recorded_date(record, "material-expires-ms"));
    ck_assert_uint_eq(info->minimum_version, fixture_number(record, "minimum-version"));
    ck_assert_uint_eq(info->version_window, fixture_number(record, "version-window"));
    ck_assert_uint_eq(info->lowest_version, fixture_number(record, "lowest-version"));
}

/* What 0.1 did not have is not there in its stores. */
static void life_is_that_of_0_1(const kms_key_info *info)
{
    ck_assert_uint_eq(info->creator, KMS_KEY_CREATOR_USER);
    ck_assert(!info->deletion_protected);
    ck_assert_uint_eq(info->rotation, KMS_ROTATION_DISABLED);
    ck_assert_uint_eq(info->rotation_days, 0);
    ck_assert_int_eq(info->last_rotation_ms, 0);
    ck_assert_int_eq(info->deletion_ms, 0);
    ck_assert_int_eq(info->material_expires_ms, 0);
    ck_assert_uint_eq(info->lowest_version, 1);
}

static void description_is_as_recorded(kms_store *store, const fixture_record *record)
{
    static char text[KMS_DESCRIPTION_MAX + 1];
    uint8_t *wanted;
    size_t len = 0;

    trial_ok(kms_get_key_description(store, record->name, text, sizeof text));
    if (!fixture_has(record, "description")) {
        ck_assert_str_eq(text, "");
        return;
    }
    wanted = fixture_bytes(record, "description", &len);
    ck_assert_str_eq(text, (const char *)wanted);
    free(wanted);
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
    if (fixture_has(record, "creator"))
        life_is_as_recorded(&info, record);
    else
        life_is_that_of_0_1(&info);
    description_is_as_recorded(store, record);
}

/* A tag by its name, of which tags have all. */
static const kms_tag_info *tag_named(const kms_tag_info *tags, size_t count, const char *hex)
{
    for (size_t i = 0; i < count; i++) {
        char name[2 * KMS_TAG_NAME_MAX + 1];

        sodium_bin2hex(name, sizeof name, (const unsigned char *)tags[i].name,
                       strlen(tags[i].name));
        if (strcmp(name, hex) == 0)
            return &tags[i];
    }
    ck_abort_msg("no tag %s", hex);
    return NULL;
}

static void tag_is_as_recorded(kms_store *store, const fixture_record *record)
{
    static kms_tag_info tags[KMS_TAGS_MAX];
    size_t count = 0, len = 0;
    uint8_t *value = fixture_bytes(record, "value", &len);

    trial_ok(
        kms_list_resource_tags(store, fixture_text(record, "key-id"), tags, KMS_TAGS_MAX, &count));
    ck_assert_str_eq(tag_named(tags, count, record->name)->value, (const char *)value);
    free(value);
}

static void use_is_as_recorded(const kms_key_version_info *info, const fixture_record *record)
{
    if (!fixture_has(record, "source")) {
        ck_assert_uint_eq(info->source, KMS_MATERIAL_DRAWN);
        ck_assert_int_eq(info->expires_ms, 0);
        ck_assert_int_eq(info->last_encrypt_ms, 0);
        ck_assert_int_eq(info->last_decrypt_ms, 0);
        return;
    }
    ck_assert_uint_eq(info->source, fixture_number(record, "source"));
    ck_assert_int_eq(info->expires_ms, recorded_date(record, "expires-ms"));
    ck_assert_int_eq(info->destroy_ms, recorded_date(record, "destroy-ms"));
    ck_assert_int_eq(info->last_encrypt_ms, recorded_date(record, "last-encrypt-ms"));
    ck_assert_int_eq(info->last_decrypt_ms, recorded_date(record, "last-decrypt-ms"));
    ck_assert_uint_eq(info->retired, fixture_number(record, "retired"));
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
    use_is_as_recorded(&info, record);
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
    static const struct {
        const char *name;
        kms_status status;
    } refusals[] = {{"disabled", KMS_ERR_DISABLED},
                    {"pending-deletion", KMS_ERR_PENDING_DELETION},
                    {"pending-import", KMS_ERR_PENDING_IMPORT},
                    {"destroyed", KMS_ERR_DESTROYED},
                    {"purged", KMS_ERR_KEY_NOT_FOUND}};

    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
        if (strcmp(record->name, refusals[i].name) == 0)
            return refusals[i].status;
    ck_assert_str_eq(record->name, "opens");
    if (kms__suite_available(recorded_suite(record)))
        return KMS_OK;
    trial_skip("a blob of the store", "this build has no AES-256-GCM");
    return KMS_ERR_UNSUPPORTED;
}

void recorded_blob_agrees(kms_store *store, const fixture_record *record)
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

size_t recorded_for_each(kms_store *store, const fixture_record *all, const char *kind,
                         void (*look)(kms_store *, const fixture_record *))
{
    size_t count = 0;

    for (const fixture_record *record = fixture_find(all, kind); record != NULL;
         record = fixture_find(record->next, kind), count++)
        look(store, record);
    return count;
}

static size_t count_tags(kms_store *store, char keys[][KMS_KEY_ID_SIZE], size_t count)
{
    static kms_tag_info tags[KMS_TAGS_MAX];
    size_t all = 0, some;

    for (size_t i = 0; i < count; i++) {
        trial_ok(kms_list_resource_tags(store, keys[i], tags, KMS_TAGS_MAX, &some));
        all += some;
    }
    return all;
}

void recorded_all_agrees(kms_store *store, const fixture_record *all)
{
    char keys[32][KMS_KEY_ID_SIZE];
    kms_alias_info aliases[32];
    size_t count;

    recorded_store_agrees(store, all);
    trial_ok(kms_list_keys(store, NULL, keys, 32, &count, NULL));
    ck_assert_uint_eq(recorded_for_each(store, all, "key", key_is_as_recorded), count);
    ck_assert_uint_eq(recorded_for_each(store, all, "tag", tag_is_as_recorded),
                      count_tags(store, keys, count));
    trial_ok(kms_list_aliases(store, NULL, aliases, 32, &count, NULL));
    ck_assert_uint_eq(recorded_for_each(store, all, "alias", alias_is_as_recorded), count);
    recorded_for_each(store, all, "version", version_is_as_recorded);
    ck_assert_uint_ge(recorded_for_each(store, all, "blob", recorded_blob_agrees), 1);
}
