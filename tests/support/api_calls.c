#include "api_calls_deletion.h"
#include "api_calls_life.h"
#include "api_calls_streams.h"
#include "rotation_trial.h"

#include <string.h>

#define TEXT "fifteen letters"

void api_calls_stage(kms_store *store, api_stage *stage)
{
    fixture_create_key(store, stage->a);
    fixture_create_key(store, stage->b);
    stage->blob_len = fixture_encrypt(store, stage->a, TEXT, stage->blob, sizeof stage->blob);
    api_streams_stage(store, stage);
    fixture_rotate(store, stage->a);
    fixture_ok(kms_create_alias(store, "alias/a", stage->a));
    fixture_ok(kms_create_alias(store, "alias/b", stage->b));
    api_life_stage(store, stage);
    fixture_ok(kms_disable_key(store, stage->b));
    rotation_create_key(store, 30, stage->c);
    rotation_make_due(store, stage->c);
    api_deletion_stage(store, stage);
    import_create(store, stage->waiting);
    import_create(store, stage->imported);
    import_raw(store, stage->imported, 1, 0);
    import_pack(store, stage->imported, KMS_WRAPPING_SEALED_BOX, 2, &stage->new_version);
    import_pack(store, stage->waiting, KMS_WRAPPING_SEALED_BOX, 3, &stage->first_material);
    stage->changes = fixture_changes(store);
}

static kms_status create_key(kms_store *store, const api_stage *stage)
{
    char id[KMS_KEY_ID_SIZE];

    (void)stage;
    fill(id, sizeof id);
    return untouched_unless_ok(kms_create_key(store, NULL, id), id, sizeof id);
}

static kms_status ensure_new_alias(kms_store *store, const api_stage *stage)
{
    char id[KMS_KEY_ID_SIZE];

    (void)stage;
    fill(id, sizeof id);
    return untouched_unless_ok(kms_ensure_alias(store, "alias/new", NULL, id), id, sizeof id);
}

static kms_status ensure_old_alias(kms_store *store, const api_stage *stage)
{
    char id[KMS_KEY_ID_SIZE];
    kms_status st;

    fill(id, sizeof id);
    st = untouched_unless_ok(kms_ensure_alias(store, "alias/b", NULL, id), id, sizeof id);
    if (st == KMS_OK && strcmp(id, stage->b) != 0)
        ck_abort_msg("another key than alias/b's");
    return st;
}

static kms_status rotate(kms_store *store, const api_stage *stage)
{
    uint32_t number;

    fill(&number, sizeof number);
    return untouched_unless_ok(kms_create_key_version(store, stage->a, &number), &number,
                               sizeof number);
}

static kms_status enable(kms_store *store, const api_stage *stage)
{
    return kms_enable_key(store, stage->b);
}

static kms_status disable(kms_store *store, const api_stage *stage)
{
    return kms_disable_key(store, stage->a);
}

static kms_status create_alias(kms_store *store, const api_stage *stage)
{
    return kms_create_alias(store, "alias/new", stage->a);
}

static kms_status update_alias(kms_store *store, const api_stage *stage)
{
    return kms_update_alias(store, "alias/a", stage->b);
}

static kms_status delete_alias(kms_store *store, const api_stage *stage)
{
    (void)stage;
    return kms_delete_alias(store, "alias/a");
}

static kms_status describe_key(kms_store *store, const api_stage *stage)
{
    kms_key_info info;

    (void)stage;
    fill(&info, sizeof info);
    info.version = KMS_KEY_INFO_VERSION;
    return untouched_unless_ok(kms_describe_key(store, "alias/a", &info), &info.state,
                               sizeof info - offsetof(kms_key_info, state));
}

static kms_status describe_version(kms_store *store, const api_stage *stage)
{
    kms_key_version_info info;

    fill(&info, sizeof info);
    return untouched_unless_ok(kms_describe_key_version(store, stage->a, 0, &info), &info,
                               sizeof info);
}

static kms_status describe_alias(kms_store *store, const api_stage *stage)
{
    kms_alias_info info;

    (void)stage;
    fill(&info, sizeof info);
    return untouched_unless_ok(kms_describe_alias(store, "alias/a", &info), &info, sizeof info);
}

static kms_status list_keys(kms_store *store, const api_stage *stage)
{
    char page[4][KMS_KEY_ID_SIZE];
    size_t count;

    (void)stage;
    fill(&count, sizeof count);
    return untouched_unless_ok(kms_list_keys(store, NULL, page, 4, &count, NULL), &count,
                               sizeof count);
}

static kms_status list_versions(kms_store *store, const api_stage *stage)
{
    kms_key_version_info page[4];
    size_t count;

    (void)stage;
    fill(&count, sizeof count);
    return untouched_unless_ok(kms_list_key_versions(store, "alias/a", 0, page, 4, &count, NULL),
                               &count, sizeof count);
}

static kms_status list_aliases(kms_store *store, const api_stage *stage)
{
    kms_alias_info page[4];
    size_t count;

    (void)stage;
    fill(&count, sizeof count);
    return untouched_unless_ok(kms_list_aliases(store, NULL, page, 4, &count, NULL), &count,
                               sizeof count);
}

static kms_status list_by_key(kms_store *store, const api_stage *stage)
{
    kms_alias_info page[4];
    size_t count;

    fill(&count, sizeof count);
    return untouched_unless_ok(
        kms_list_aliases_by_key_id(store, stage->a, NULL, page, 4, &count, NULL), &count,
        sizeof count);
}

static kms_status encrypt(kms_store *store, const api_stage *stage)
{
    struct {
        uint8_t blob[KMS_CIPHERTEXT_SIZE(1)];
        size_t len;
    } out;

    (void)stage;
    fill(&out, sizeof out);
    return untouched_unless_ok(
        kms_encrypt(store, "alias/a", NULL, "x", 1, out.blob, sizeof out.blob, &out.len), &out,
        sizeof out);
}

static kms_status decrypt(kms_store *store, const api_stage *stage)
{
    struct {
        char plain[sizeof TEXT];
        size_t len;
        kms_key_used used;
    } out;
    kms_status st;

    fill(&out, sizeof out);
    st = kms_decrypt_expecting(store, stage->a, NULL, stage->blob, stage->blob_len, out.plain,
                               sizeof out.plain, &out.len, &out.used);
    if (st == KMS_OK && strcmp(out.plain, TEXT) != 0)
        ck_abort_msg("another plaintext than was encrypted");
    return untouched_unless_ok(st, &out, sizeof out);
}

static kms_status decrypt_plainly(kms_store *store, const api_stage *stage)
{
    char plain[sizeof TEXT];
    size_t len;

    fill(plain, sizeof plain);
    return untouched_unless_ok(
        kms_decrypt(store, NULL, stage->blob, stage->blob_len, plain, sizeof plain, &len), plain,
        sizeof plain);
}

static const kms_context_pair place_pair = {"place", "here"};
static const kms_context place_context = {&place_pair, 1};

static kms_status derive(kms_store *store, const api_stage *stage)
{
    struct {
        uint8_t key[32];
        kms_key_used used;
    } out;

    (void)stage;
    fill(&out, sizeof out);
    return untouched_unless_ok(
        kms_derive_key(store, "alias/a", 1, &place_context, out.key, sizeof out.key, &out.used),
        &out, sizeof out);
}

static kms_status blind_index(kms_store *store, const api_stage *stage)
{
    kms_blind_tokens tokens;

    (void)stage;
    fill(&tokens, sizeof tokens);
    return untouched_unless_ok(kms_blind_index(store, "alias/a", "index", "x", 1, 32, &tokens),
                               &tokens, sizeof tokens);
}

static kms_status set_rotation_policy(kms_store *store, const api_stage *stage)
{
    return kms_update_rotation_policy(store, stage->a, true, 90);
}

/* Once it has succeeded, no key is due. */
static kms_status rotate_due(kms_store *store, const api_stage *stage)
{
    kms_rotation_result results[2];
    size_t count;
    kms_status st;

    fill(&count, sizeof count);
    st = untouched_unless_ok(kms_rotate_due(store, NULL, results, 2, &count, NULL), &count,
                             sizeof count);
    if (st != KMS_OK || count == 0)
        return st;
    if (count != 1 || strcmp(results[0].key_id, stage->c) != 0)
        ck_abort_msg("another key than c is due");
    if ((results[0].status == KMS_OK) != (results[0].key_version != 0))
        ck_abort_msg("a version is reported with a failure, or none without");
    return results[0].status;
}

static kms_status get_parameters(kms_store *store, const api_stage *stage)
{
    kms_import_parameters parameters;

    fill(&parameters, sizeof parameters);
    return untouched_unless_ok(
        kms_get_parameters_for_import(store, stage->waiting, KMS_WRAPPING_SEALED_BOX, &parameters),
        &parameters, sizeof parameters);
}

static kms_status import_first(kms_store *store, const api_stage *stage)
{
    return kms_import_key_material(store, stage->waiting, &stage->first_material.import);
}

static kms_status import_again(kms_store *store, const api_stage *stage)
{
    return import_try_raw(store, stage->imported, 1, INT64_MAX);
}

static kms_status import_version(kms_store *store, const api_stage *stage)
{
    uint32_t number;

    fill(&number, sizeof number);
    return untouched_unless_ok(
        kms_import_key_version(store, stage->imported, &stage->new_version.import, &number),
        &number, sizeof number);
}

static kms_status delete_material(kms_store *store, const api_stage *stage)
{
    return kms_delete_key_material(store, stage->imported, 1);
}

static kms_status delete_all_material(kms_store *store, const api_stage *stage)
{
    return kms_delete_key_material(store, stage->imported, 0);
}

static kms_status would_import(kms_store *store, const api_stage *stage)
{
    return kms_would(store, KMS_OP_IMPORT_KEY_VERSION, stage->imported);
}

static kms_status store_info(kms_store *store, const api_stage *stage)
{
    kms_store_info info;

    (void)stage;
    fill(&info, sizeof info);
    info.version = KMS_STORE_INFO_VERSION;
    return untouched_unless_ok(kms_get_store_info(store, &info), &info.read_only,
                               sizeof info - offsetof(kms_store_info, read_only));
}

static kms_status verify(kms_store *store, const api_stage *stage)
{
    (void)stage;
    return kms_verify(store);
}

static kms_status would_create(kms_store *store, const api_stage *stage)
{
    (void)stage;
    return kms_would(store, KMS_OP_CREATE_KEY, NULL);
}

static kms_status would_rotate(kms_store *store, const api_stage *stage)
{
    return kms_would(store, KMS_OP_CREATE_KEY_VERSION, stage->a);
}

static kms_status would_delete(kms_store *store, const api_stage *stage)
{
    (void)stage;
    return kms_would(store, KMS_OP_DELETE_ALIAS, "alias/a");
}

static kms_status would_describe(kms_store *store, const api_stage *stage)
{
    (void)stage;
    return kms_would(store, KMS_OP_DESCRIBE_KEY, "alias/a");
}

static kms_status would_encrypt(kms_store *store, const api_stage *stage)
{
    (void)stage;
    return kms_would(store, KMS_OP_ENCRYPT, "alias/a");
}

const api_call api_calls[] = {
    /* begin, header, two marks, two records, the header, commit */
    {"kms_create_key", create_key, true, 8},
    {"kms_ensure_alias, new", ensure_new_alias, true, 13},
    {"kms_ensure_alias, there", ensure_old_alias, false, 2},
    {"kms_create_key_version", rotate, true, 9},
    {"kms_enable_key", enable, true, 7},
    {"kms_disable_key", disable, true, 7},
    {"kms_create_alias", create_alias, true, 10},
    {"kms_update_alias", update_alias, true, 13},
    {"kms_delete_alias", delete_alias, true, 9},
    {"kms_describe_key", describe_key, false, 3},
    {"kms_describe_key_version", describe_version, false, 2},
    {"kms_describe_alias", describe_alias, false, 2},
    {"kms_list_keys", list_keys, false, 2},
    {"kms_list_key_versions", list_versions, false, 3},
    {"kms_list_aliases", list_aliases, false, 4},
    {"kms_list_aliases_by_key_id", list_by_key, false, 5},
    {"kms_encrypt", encrypt, false, 5},
    {"kms_decrypt_expecting", decrypt, false, 4},
    {"kms_decrypt", decrypt_plainly, false, 4},
    /* The alias' key, and its first version. */
    {"kms_derive_key", derive, false, 8},
    {"kms_blind_index", blind_index, false, 8},
    {"kms_update_rotation_policy", set_rotation_policy, true, 7},
    {"kms_rotate_due", rotate_due, true, 14},
    {"kms_get_parameters_for_import", get_parameters, false, 2},
    {"kms_import_key_material, the first", import_first, true, 10},
    {"kms_import_key_material, again", import_again, true, 10},
    {"kms_import_key_version", import_version, true, 10},
    {"kms_delete_key_material", delete_material, true, 10},
    {"kms_delete_key_material, all", delete_all_material, true, 10},
    {"kms_would, import", would_import, false, 3},
    {"kms_get_store_info", store_info, false, 2},
    {"kms_verify", verify, false, 20},
    {"kms_would, create", would_create, false, 2},
    {"kms_would, rotate", would_rotate, false, 3},
    {"kms_would, delete", would_delete, false, 4},
    {"kms_would, describe", would_describe, false, 3},
    {"kms_would, encrypt", would_encrypt, false, 5},
    {"kms_schedule_key_deletion", api_schedule_key, true, 7},
    {"kms_cancel_key_deletion", api_cancel_key, true, 7},
    {"kms_set_deletion_protection", api_protect_key, true, 7},
    {"kms_service_key, new", api_new_service, true, 13},
    {"kms_service_key, there", api_old_service, false, 2},
    {"kms_find_keys, due", api_find_due, false, 6},
    {"kms_would, schedule", api_would_schedule, false, 3},
    {API_COPY_RESEALED, api_copy_resealed, false, 20},
    {"kms_update_primary_version", api_update_primary, true, 8},
    {"kms_disable_key_version", api_disable_version, true, 7},
    {"kms_enable_key_version", api_enable_version, true, 7},
    {"kms_set_minimum_version", api_set_minimum, true, 7},
    {"kms_schedule_key_version_destruction", api_schedule_version, true, 11},
    {"kms_cancel_key_version_destruction", api_cancel_version, true, 11},
    {"kms_tag_resource", api_tag, true, 8},
    {"kms_untag_resource", api_untag, true, 8},
    {"kms_tag_resources", api_tag_many, true, 12},
    {"kms_untag_resources", api_untag_many, true, 10},
    {"kms_list_resource_tags", api_list_tags, false, 4},
    {"kms_update_key_description", api_update_description, true, 8},
    {"kms_get_key_description", api_get_description, false, 4},
    {"kms_find_keys", api_find_keys, false, 7},
    {"kms_find_aliases", api_find_aliases, false, 4},
    {"kms_blob_is_stale", api_is_stale, false, 3},
    {"kms_stream_encrypt", api_stream_encrypt, false, 5},
    {"kms_stream_decrypt", api_stream_decrypt, false, 4},
    {"kms_stream_reader_open", api_stream_reader, false, 4},
    {"kms_stream_rewrap", api_stream_rewrap, false, 7},
    {"kms_stream_is_stale", api_stream_is_stale, false, 3},
    {"kms_encrypt_file", api_encrypt_file, false, 5},
    {"kms_decrypt_file", api_decrypt_file, false, 4},
    {"kms_rewrap_file", api_rewrap_file, false, 7},
};
_Static_assert(sizeof api_calls / sizeof *api_calls == API_CALLS, "API_CALLS is their number");
const size_t api_call_count = API_CALLS;
