/* The store of the whole life of keys. */
#include "engine_wrapper.h"
#include "fixture_maker.h"

#include <kms/memory.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DAY_MS (INT64_C(24) * 3600 * 1000)

typedef char key_id[KMS_KEY_ID_SIZE];

/* A second a look, from 2026-01-01 on, and what days() adds. */
static int64_t now_ms = INT64_C(1767225600000);

static int64_t next_second(void *data)
{
    (void)data;
    now_ms += 1000;
    return now_ms;
}

static const kms_clock stepping = {KMS_CLOCK_VERSION, NULL, next_second};

static void days(int64_t count)
{
    now_ms += count * DAY_MS;
}

static const kms_context_pair pairs[] = {{"table", "customers"}, {"column", "ssn"}};
static const kms_context context = {pairs, 2};

/* --- Policies --------------------------------------------------------------------------------- */

/* Rotated by its policy, and on demand. */
static void make_rotating(kms_store *store)
{
    static const kms_tag tags[] = {
        {"team", "payments"}, {"env", ""}, {"caf\xc3\xa9", "\xc3\xa0 la carte"}, {"Z", "first"}};
    kms_create_key_options options = KMS_CREATE_KEY_OPTIONS_INIT;
    key_id id;

    options.rotation_days = 30;
    options.description = "Cards; rotates by itself every 30 days. \xe2\x82\xac";
    options.tags = tags;
    options.tag_count = sizeof tags / sizeof *tags;
    maker_ok(kms_create_key(store, &options, id));
    maker_ok(kms_create_alias(store, "alias/rotating", id));
    maker_make_blob(store, "alias/rotating", "opens", &context);
    days(31);
    maker_make_blob(store, "alias/rotating", "opens", NULL);
    maker_ok(kms_create_key_version(store, id, NULL));
    maker_make_blob(store, "alias/rotating", "opens", NULL);
}

/* A clock that was a year ahead has rotated it; go_on() brings the date back. */
static void make_leapt(kms_store *store)
{
    kms_create_key_options options = KMS_CREATE_KEY_OPTIONS_INIT;
    key_id id;

    options.rotation_days = 60;
    maker_ok(kms_create_key(store, &options, id));
    maker_ok(kms_create_alias(store, "alias/leapt", id));
    days(400);
    maker_make_blob(store, "alias/leapt", "opens", NULL);
    days(-400);
}

/* A policy that rests, since the key is disabled, and one that is turned off. */
static void make_resting(kms_store *store)
{
    kms_create_key_options options = KMS_CREATE_KEY_OPTIONS_INIT;
    key_id id;

    options.rotation_days = 7;
    maker_ok(kms_create_key(store, &options, id));
    maker_make_blob(store, id, "disabled", NULL);
    maker_ok(kms_disable_key(store, id));
    options.rotation_days = 730;
    options.deletion_protected = true;
    maker_ok(kms_create_key(store, &options, id));
    maker_ok(kms_update_rotation_policy(store, id, false, 0));
    maker_make_blob(store, id, "opens", NULL);
}

/* --- Versions --------------------------------------------------------------------------------- */

/* Version 1 is destroyed, 2 scheduled to be, 3 disabled, 4 below the window, 6 primary. */
static void make_versions(kms_store *store)
{
    static const char *const expected[] = {
        "destroyed", "pending-deletion", "disabled", "disabled", "opens", "opens", "opens"};
    kms_create_key_options options = KMS_CREATE_KEY_OPTIONS_INIT;
    key_id id;

    options.suite = maker_other_suite();
    maker_ok(kms_create_key(store, &options, id));
    maker_make_blob(store, id, expected[0], NULL);
    for (size_t i = 1; i < sizeof expected / sizeof *expected; i++) {
        maker_ok(kms_create_key_version(store, id, NULL));
        maker_make_blob(store, id, expected[i], NULL);
    }
    maker_ok(kms_update_primary_version(store, id, 6));
    maker_ok(kms_set_minimum_version(store, id, 2, 1));
    maker_ok(kms_disable_key_version(store, id, 3));
    maker_ok(kms_disable_key_version(store, id, 2));
    maker_ok(kms_schedule_key_version_destruction(store, id, 2, KMS_DELETION_DAYS_MAX, NULL));
    maker_ok(kms_schedule_key_version_destruction(store, id, 1, KMS_DELETION_DAYS_MIN, NULL));
    days(8);
    maker_ok(kms_purge_key_version(store, id, 1, now_ms));
}

/* --- Deletion --------------------------------------------------------------------------------- */

static void make_deleted(kms_store *store)
{
    static const kms_tag tag = {"keep-until", "2027"};
    key_id enabled, disabled;

    maker_ok(kms_create_key(store, NULL, enabled));
    maker_ok(kms_create_alias(store, "alias/deleted", enabled));
    maker_ok(kms_tag_resource(store, enabled, &tag, 1));
    maker_make_blob(store, "alias/deleted", "pending-deletion", NULL);
    maker_ok(kms_schedule_key_deletion(store, enabled, KMS_DELETION_DAYS_MAX, NULL));
    maker_ok(kms_create_key(store, NULL, disabled));
    maker_ok(kms_disable_key(store, disabled));
    maker_ok(kms_schedule_key_deletion(store, disabled, 0, NULL));
}

static void make_purged(kms_store *store)
{
    kms_create_key_options options = KMS_CREATE_KEY_OPTIONS_INIT;
    key_id id;

    options.description = "purged";
    maker_ok(kms_create_key(store, &options, id));
    maker_ok(kms_create_alias(store, "alias/purged", id));
    maker_make_blob(store, id, "purged", NULL);
    maker_ok(kms_flush_last_use(store));
    maker_ok(kms_schedule_key_deletion(store, id, KMS_DELETION_DAYS_MIN, NULL));
    days(8);
    maker_ok(kms_purge_key(store, id, now_ms));
}

/* Of a key with three versions, two aliases and all else, only the versions are gone. */
static void make_half_purged(kms_store *store, engine_control *control)
{
    static const kms_tag tag = {"state", "half gone"};
    kms_create_key_options options = KMS_CREATE_KEY_OPTIONS_INIT;
    key_id id;

    options.description = "its purge was cut short";
    options.tags = &tag;
    options.tag_count = 1;
    maker_ok(kms_create_key(store, &options, id));
    maker_ok(kms_create_alias(store, "alias/half/purged", id));
    maker_ok(kms_create_alias(store, "alias/half/purged/too", id));
    maker_make_blob(store, id, "pending-deletion", NULL);
    maker_ok(kms_create_key_version(store, id, NULL));
    maker_ok(kms_create_key_version(store, id, NULL));
    maker_ok(kms_flush_last_use(store));
    maker_ok(kms_schedule_key_deletion(store, id, KMS_DELETION_DAYS_MIN, NULL));
    days(8);
    engine_fail(control, ENGINE_COMMIT, 3, KMS_ERR_FULL, false);
    maker_must(kms_purge_key(store, id, now_ms) == KMS_ERR_FULL, "a purge that is cut short");
    maker_must(engine_disarm(control) == 1, "a purge of three transactions");
}

/* --- Imported material ------------------------------------------------------------------------ */

static void make_external(kms_store *store, key_id id)
{
    kms_create_key_options options = KMS_CREATE_KEY_OPTIONS_INIT;

    options.origin = KMS_KEY_ORIGIN_EXTERNAL;
    maker_ok(kms_create_key(store, &options, id));
}

static kms_import raw_import(uint8_t material[KMS_IMPORT_MATERIAL_SIZE], int64_t expires_ms)
{
    kms_import import = KMS_IMPORT_INIT;

    randombytes_buf(material, KMS_IMPORT_MATERIAL_SIZE);
    import.wrapping = KMS_WRAPPING_NONE_INSECURE;
    import.material = material;
    import.material_len = KMS_IMPORT_MATERIAL_SIZE;
    import.expires_ms = expires_ms;
    return import;
}

static void import_boxed(kms_store *store, const char *id, bool as_version, int64_t expires_ms)
{
    static kms_import_parameters parameters;
    uint8_t material[KMS_IMPORT_MATERIAL_SIZE], box[crypto_box_SEALBYTES + sizeof material];
    kms_import import = KMS_IMPORT_INIT;

    randombytes_buf(material, sizeof material);
    maker_ok(kms_get_parameters_for_import(store, id, KMS_WRAPPING_SEALED_BOX, &parameters));
    maker_must(crypto_box_seal(box, material, sizeof material, parameters.public_key) == 0,
               "a box");
    import.token = parameters.token;
    import.token_len = parameters.token_len;
    import.material = box;
    import.material_len = sizeof box;
    import.expires_ms = expires_ms;
    if (as_version)
        maker_ok(kms_import_key_version(store, id, &import, NULL));
    else
        maker_ok(kms_import_key_material(store, id, &import));
}

static void make_imported(kms_store *store)
{
    static const kms_tag waits = {"waits", "for its first material"};
    uint8_t material[KMS_IMPORT_MATERIAL_SIZE];
    kms_import import;
    key_id waiting, lasting, expired, deleted;

    make_external(store, waiting);
    maker_ok(kms_tag_resource(store, waiting, &waits, 1));
    make_external(store, lasting);
    import_boxed(store, lasting, false, now_ms + 3650 * DAY_MS);
    maker_make_blob(store, lasting, "opens", &context);
    make_external(store, expired);
    import = raw_import(material, now_ms + 5 * DAY_MS);
    maker_ok(kms_import_key_material(store, expired, &import));
    maker_make_blob(store, expired, "pending-import", NULL);
    make_external(store, deleted);
    import_boxed(store, deleted, false, 0);
    maker_make_blob(store, deleted, "pending-import", NULL);
    maker_ok(kms_delete_key_material(store, deleted, 0));
    days(6);
}

/* The material of version 1 was deleted, that of version 2 has expired, version 3 encrypts. */
static void make_imported_versions(kms_store *store)
{
    uint8_t material[KMS_IMPORT_MATERIAL_SIZE];
    kms_import import = raw_import(material, 0);
    key_id id;

    make_external(store, id);
    maker_ok(kms_import_key_material(store, id, &import));
    maker_make_blob(store, id, "pending-import", NULL);
    import_boxed(store, id, true, now_ms + 2 * DAY_MS);
    maker_make_blob(store, id, "pending-import", NULL);
    import_boxed(store, id, true, 0);
    maker_make_blob(store, id, "opens", NULL);
    maker_ok(kms_delete_key_material(store, id, 1));
    days(3);
}

/* --- Aliases, services ------------------------------------------------------------------------ */

static void make_service(kms_store *store)
{
    key_id service, own;

    maker_ok(kms_service_key(store, "oss", service));
    maker_ok(kms_create_alias(store, "alias/bucket", service));
    maker_make_blob(store, "alias/bucket", "opens", NULL);
    maker_ok(kms_create_key(store, NULL, own));
    maker_ok(kms_update_alias(store, "alias/bucket", own));
    maker_make_blob(store, "alias/bucket", "opens", &context);
    maker_make_blob(store, "alias/acs/oss", "opens", NULL);
}

/* As many tags as a key can have, with the longest name and the longest value. */
static void make_tagged(kms_store *store)
{
    char names[KMS_TAGS_MAX][KMS_TAG_NAME_MAX + 1], value[KMS_TAG_VALUE_MAX + 1];
    kms_tag tags[KMS_TAGS_MAX];
    key_id id;

    memset(value, 'v', sizeof value);
    value[KMS_TAG_VALUE_MAX] = '\0';
    for (int i = 0; i < KMS_TAGS_MAX; i++) {
        snprintf(names[i], sizeof names[i], "tag-%d", i);
        tags[i] = (kms_tag){names[i], "of many"};
    }
    memset(names[3], 'n', KMS_TAG_NAME_MAX);
    names[3][KMS_TAG_NAME_MAX] = '\0';
    tags[3].value = value;
    maker_ok(kms_create_key(store, NULL, id));
    maker_ok(kms_tag_resource(store, id, tags, KMS_TAGS_MAX));
}

/* --- The store -------------------------------------------------------------------------------- */

static void fill(kms_store *store, engine_control *control)
{
    make_rotating(store);
    make_leapt(store);
    make_resting(store);
    make_versions(store);
    make_deleted(store);
    make_purged(store);
    make_half_purged(store, control);
    make_imported(store);
    make_imported_versions(store);
    make_service(store);
    make_tagged(store);
    maker_ok(kms_flush_last_use(store));
}

static kms_root *root_of(const uint8_t root_key[KMS_ROOT_KEY_SIZE])
{
    kms_root *root;

    maker_ok(kms_root_raw(&root, root_key, KMS_ROOT_KEY_SIZE));
    return root;
}

static kms_backend *engine_at(const char *path)
{
    kms_backend *engine;

    if (kms_lmdb_backend(&engine, path, NULL) == KMS_ERR_UNSUPPORTED)
        exit(EXIT_UNSUPPORTED);
    return engine;
}

/* Makes the first generation in memory, and the second one at the path. */
static void make_generations(const char *path, const uint8_t root_key[KMS_ROOT_KEY_SIZE])
{
    kms_open_options options = KMS_OPEN_OPTIONS_INIT;
    engine_control control;
    kms_backend *inner, *engine;
    kms_store *store;

    options.clock = &stepping;
    engine_control_init(&control);
    maker_ok(kms_memory_backend(&inner));
    maker_ok(engine_wrap(&engine, inner, &control));
    maker_ok(kms_open(&store, engine, root_of(root_key), KMS_OPEN_CREATE, &options));
    fill(store, &control);
    maker_ok(kms_verify(store));
    maker_ok(kms_copy_resealed(store, engine_at(path), root_of(root_key)));
    kms_close(store);
}

/* A token of the key that waits for its first material. */
static void print_token(kms_store *store)
{
    kms_key_filter filter = KMS_KEY_FILTER_INIT;
    static kms_import_parameters parameters;
    key_id waiting;
    size_t count;

    filter.tag_name = "waits";
    maker_ok(kms_find_keys(store, &filter, NULL, &waiting, 1, &count, NULL));
    maker_must(count == 1, "a key that waits for its first material");
    maker_ok(kms_get_parameters_for_import(store, waiting, KMS_WRAPPING_SEALED_BOX, &parameters));
    printf("\ntoken waiting\nkey-id %s\nwrapping %d\nexpires-ms %lld\n", waiting,
           parameters.wrapping, (long long)parameters.expires_ms);
    maker_bytes("public-key", parameters.public_key, parameters.public_key_len);
    maker_bytes("token-bytes", parameters.token, parameters.token_len);
}

/* What the second generation itself writes. */
static void go_on(kms_store *store)
{
    static const kms_tag tag = {"env", "production"};
    kms_alias_info alias;
    key_id fresh;

    maker_ok(kms_describe_alias(store, "alias/rotating", &alias));
    maker_ok(kms_tag_resource(store, alias.key_id, &tag, 1));
    maker_ok(kms_create_key(store, NULL, fresh));
    maker_ok(kms_create_alias(store, "alias/moved", fresh));
    maker_ok(kms_update_alias(store, "alias/moved", alias.key_id));
    maker_ok(kms_update_alias(store, "alias/moved", fresh));
    maker_make_blob(store, "alias/moved", "opens", &context);
    maker_make_blob(store, "alias/leapt", "opens", NULL);
    maker_ok(kms_flush_last_use(store));
}

void maker_make_life(const char *path, const uint8_t root_key[KMS_ROOT_KEY_SIZE])
{
    kms_open_options options = KMS_OPEN_OPTIONS_INIT;
    kms_store *store;

    printf("# A store of libkms %s with keys in every state, and blobs made under it.\n",
           kms_version());
    make_generations(path, root_key);
    options.clock = &stepping;
    maker_ok(kms_open(&store, engine_at(path), root_of(root_key), 0, &options));
    go_on(store);
    printf("\nstore raw\n");
    maker_bytes("root-key", root_key, KMS_ROOT_KEY_SIZE);
    maker_store(store, now_ms);
    print_token(store);
    maker_ok(kms_verify(store));
    kms_close(store);
}
