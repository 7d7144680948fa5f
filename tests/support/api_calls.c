#include "api_calls.h"
#include "rotation_trial.h"

#include <string.h>

#define TEXT "fifteen letters"

void api_calls_stage(kms_store *store, api_stage *stage)
{
    fixture_create_key(store, stage->a);
    fixture_create_key(store, stage->b);
    stage->blob_len = fixture_encrypt(store, stage->a, TEXT, stage->blob, sizeof stage->blob);
    fixture_rotate(store, stage->a);
    fixture_ok(kms_create_alias(store, "alias/a", stage->a));
    fixture_ok(kms_create_alias(store, "alias/b", stage->b));
    fixture_ok(kms_disable_key(store, stage->b));
    rotation_create_key(store, 30, stage->c);
    rotation_make_due(store, stage->c);
}

/* What outputs hold before a call, and must hold after a failure. */
#define FILL 0x6b

static void fill(void *output, size_t size)
{
    memset(output, FILL, size);
}

static kms_status untouched_unless_ok(kms_status st, const void *output, size_t size)
{
    const uint8_t *bytes = output;

    for (size_t i = 0; st != KMS_OK && i < size; i++)
        if (bytes[i] != FILL)
            ck_abort_msg("a call failed with %s and wrote its output", kms_status_name(st));
    return st;
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
    {"kms_update_rotation_policy", set_rotation_policy, true, 7},
    {"kms_rotate_due", rotate_due, true, 14},
    {"kms_get_store_info", store_info, false, 2},
    {"kms_verify", verify, false, 20},
    {"kms_would, create", would_create, false, 2},
    {"kms_would, rotate", would_rotate, false, 3},
    {"kms_would, delete", would_delete, false, 4},
    {"kms_would, describe", would_describe, false, 3},
    {"kms_would, encrypt", would_encrypt, false, 5},
};
_Static_assert(sizeof api_calls / sizeof *api_calls == API_CALLS, "API_CALLS is their number");
const size_t api_call_count = API_CALLS;
