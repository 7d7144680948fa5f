/* The law of states: what each call answers in each state of its key. */
#include "support/key_life.h"

#include "domain/key_record.h"
#include "domain/state.h"

#include <string.h>

#define OK KMS_OK
#define DIS KMS_ERR_DISABLED
#define DEL KMS_ERR_PENDING_DELETION
#define IMP KMS_ERR_PENDING_IMPORT
#define BAD KMS_ERR_INVALID_STATE
#define UNS KMS_ERR_UNSUPPORTED

static place here;
static kms_store *store;
/* The key that a test is about, whose alias is alias/key; and one that stands beside it. */
static char id[KMS_KEY_ID_SIZE], other[KMS_KEY_ID_SIZE];
static uint8_t blob[200];
static size_t blob_len;
/* Of a data key. */
static uint8_t key_blob[KMS_CIPHERTEXT_SIZE(16)];
static size_t key_blob_len;

typedef enum subject { DRAWN, IMPORTED, SERVICE, SUBJECTS } subject;

#define VERSIONS 3

static void create_subject(subject kind)
{
    switch (kind) {
    case IMPORTED:
        life_create_imported(store, VERSIONS, id);
        break;
    case SERVICE:
        fixture_ok(kms_service_key(store, "rds", id));
        break;
    default:
        fixture_create_key(store, id);
        while (fixture_rotate(store, id) < VERSIONS)
            continue;
    }
}

static void setup_with(subject kind)
{
    place_init(&here);
    store = life_open(&here);
    create_subject(kind);
    fixture_create_key(store, other);
    fixture_ok(kms_create_alias(store, "alias/key", id));
    fixture_ok(kms_create_alias(store, "alias/other", other));
    blob_len = fixture_encrypt(store, id, "text", blob, sizeof blob);
    fixture_ok(kms_generate_data_key_without_plaintext(store, id, NULL, 16, key_blob,
                                                       sizeof key_blob, &key_blob_len));
}

static void setup(void)
{
    setup_with(DRAWN);
}

static void finish(void)
{
    fixture_ok(kms_verify(store));
    kms_close(store);
    place_free(&here);
}

/* --- performing every operation -------------------------------------------------------------- */

/* An operation of several calls answers what all of them answer. */
static kms_status all_alike(const kms_status *answers, size_t count)
{
    for (size_t i = 1; i < count; i++)
        ck_assert_msg(answers[i] == answers[0], "call %zu: %s, but the first one: %s", i,
                      kms_status_name(answers[i]), kms_status_name(answers[0]));
    return answers[0];
}

static kms_status encrypt(const char *keyref)
{
    uint8_t out[200];
    size_t len;

    return kms_encrypt(store, keyref, NULL, "x", 1, out, sizeof out, &len);
}

/* Every call that encrypts. */
static kms_status encrypt_by_id(void)
{
    static const uint8_t public_key[KMS_EXPORT_PUBLIC_KEY_SIZE] = {9};
    uint8_t out[200], exported[KMS_EXPORTED_DATA_KEY_SIZE(16)], key[16];
    kms_batch_item item = {.in = "x", .in_len = 1, .out = out, .out_size = sizeof out};
    kms_secret *secret = NULL;
    kms_status answers[6];
    size_t len, exported_len;
    int n = 0;

    answers[n++] = kms_encrypt_batch(store, id, &item, 1);
    answers[n++] = kms_generate_data_key(store, id, NULL, key, 16, out, sizeof out, &len);
    answers[n++] =
        kms_generate_data_key_without_plaintext(store, id, NULL, 16, out, sizeof out, &len);
    answers[n++] =
        kms_generate_data_key_locked(store, id, NULL, 16, &secret, out, sizeof out, &len);
    kms_secret_free(secret);
    answers[n++] =
        kms_generate_and_export_data_key(store, id, NULL, 16, public_key, out, sizeof out, &len,
                                         exported, sizeof exported, &exported_len);
    answers[n++] = encrypt(id);
    return all_alike(answers, (size_t)n);
}

/* Every call that decrypts. */
static kms_status decrypt(void)
{
    static const uint8_t public_key[KMS_EXPORT_PUBLIC_KEY_SIZE] = {9};
    uint8_t exported[KMS_EXPORTED_DATA_KEY_SIZE(16)];
    char plain[16];
    kms_batch_item item = {.in = blob, .in_len = blob_len, .out = plain, .out_size = sizeof plain};
    kms_secret *secret = NULL;
    kms_status answers[5];
    size_t len;
    int n = 0;

    answers[n++] = kms_decrypt_batch(store, &item, 1);
    answers[n++] = kms_decrypt_data_key(store, NULL, key_blob, key_blob_len, &secret);
    kms_secret_free(secret);
    answers[n++] = kms_export_data_key(store, NULL, key_blob, key_blob_len, public_key, exported,
                                       sizeof exported, &len);
    answers[n++] =
        kms_decrypt_expecting(store, id, NULL, blob, blob_len, plain, sizeof plain, &len, NULL);
    answers[n++] = kms_decrypt(store, NULL, blob, blob_len, plain, sizeof plain, &len);
    return all_alike(answers, (size_t)n);
}

static kms_status describe_everything(void)
{
    kms_key_info info = {.version = KMS_KEY_INFO_VERSION};
    kms_tag_info tags[KMS_TAGS_MAX];
    kms_key_version_info version;
    kms_alias_info alias;
    char text[8];
    size_t count;
    bool stale;

    fixture_ok(kms_describe_key(store, "alias/key", &info));
    fixture_ok(kms_describe_key_version(store, id, 0, &version));
    fixture_ok(kms_list_key_versions(store, id, 0, &version, 1, &count, NULL));
    fixture_ok(kms_describe_alias(store, "alias/key", &alias));
    fixture_ok(kms_list_aliases_by_key_id(store, id, NULL, &alias, 1, &count, NULL));
    fixture_ok(kms_ensure_alias(store, "alias/key", NULL, NULL));
    fixture_ok(kms_get_key_description(store, id, text, sizeof text));
    fixture_ok(kms_list_resource_tags(store, id, tags, KMS_TAGS_MAX, &count));
    fixture_ok(kms_blob_is_stale(store, id, blob, blob_len, &stale));
    return kms_describe_key(store, id, &info);
}

static kms_status enable(void)
{
    return kms_enable_key(store, id);
}

static kms_status disable(void)
{
    return kms_disable_key(store, id);
}

static kms_status rotate(void)
{
    return kms_create_key_version(store, id, NULL);
}

static kms_status create_alias(void)
{
    return kms_create_alias(store, "alias/new", id);
}

static kms_status move_alias(void)
{
    return kms_update_alias(store, "alias/other", id);
}

static kms_status delete_alias(void)
{
    return kms_delete_alias(store, "alias/key");
}

static kms_status set_policy(void)
{
    const kms_status answers[] = {kms_update_rotation_policy(store, id, true, 90),
                                  kms_update_rotation_policy(store, id, false, 0)};

    return all_alike(answers, 2);
}

static kms_status describe_anew(void)
{
    return kms_update_key_description(store, id, "text");
}

static kms_status tag(void)
{
    const kms_tag tags[] = {{"name", "value"}};
    char ids[2][KMS_KEY_ID_SIZE];
    kms_status answers[2];

    memcpy(ids[0], other, sizeof other);
    memcpy(ids[1], id, sizeof id);
    answers[0] = kms_tag_resource(store, id, tags, 1);
    answers[1] = kms_tag_resources(store, (const char(*)[KMS_KEY_ID_SIZE])ids, 2, tags, 1);
    return all_alike(answers, 2);
}

static kms_status untag(void)
{
    const char *const names[] = {"name"};
    char ids[2][KMS_KEY_ID_SIZE];
    kms_status answers[2];

    memcpy(ids[0], other, sizeof other);
    memcpy(ids[1], id, sizeof id);
    answers[0] = kms_untag_resource(store, id, names, 1);
    answers[1] = kms_untag_resources(store, (const char(*)[KMS_KEY_ID_SIZE])ids, 2, NULL, 0);
    return all_alike(answers, 2);
}

static kms_status schedule(void)
{
    return kms_schedule_key_deletion(store, id, 0, NULL);
}

static kms_status cancel(void)
{
    return kms_cancel_key_deletion(store, id);
}

static kms_status protect(void)
{
    const kms_status answers[] = {kms_set_deletion_protection(store, id, true),
                                  kms_set_deletion_protection(store, id, false)};

    return all_alike(answers, 2);
}

static kms_status purge(void)
{
    return kms_purge_key(store, id, life_now_ms);
}

static kms_status get_parameters(void)
{
    kms_import_parameters parameters;

    return kms_get_parameters_for_import(store, id, KMS_WRAPPING_SEALED_BOX, &parameters);
}

static kms_status import_material(void)
{
    return life_try_import(store, id, VERSIONS, 0);
}

static kms_status import_version(void)
{
    return life_try_import_version(store, id, VERSIONS + 1, NULL);
}

static kms_status delete_material(void)
{
    return kms_delete_key_material(store, id, 0);
}

/* Ends with what may change the key's own state. */
static kms_status change_versions(void)
{
    kms_status answers[8];
    int n = 0;

    answers[n++] = kms_disable_key_version(store, id, 1);
    answers[n++] = kms_enable_key_version(store, id, 1);
    answers[n++] = kms_set_minimum_version(store, id, 1, 2);
    answers[n++] = kms_schedule_key_version_destruction(store, id, 1, 7, NULL);
    answers[n++] = kms_cancel_key_version_destruction(store, id, 1);
    (void)!kms_schedule_key_version_destruction(store, id, 1, 7, NULL);
    life_now_ms += 7 * LIFE_DAY_MS;
    answers[n++] = kms_purge_key_version(store, id, 1, life_now_ms);
    answers[n++] = kms_update_primary_version(store, id, 2);
    return all_alike(answers, (size_t)n);
}

static const kms_context_pair place_pair = {"place", "here"};
static const kms_context place_context = {&place_pair, 1};

static kms_status derive(void)
{
    kms_blind_tokens tokens;
    kms_status answers[2];
    uint8_t key[32];

    answers[0] = kms_blind_index(store, id, "index", "x", 1, 32, &tokens);
    answers[1] = kms_derive_key(store, id, 0, &place_context, key, sizeof key, NULL);
    return all_alike(answers, 2);
}

/* No subject here is for that: tests/test_deterministic.c has one that is. */
static kms_status encrypt_deterministically(void)
{
    uint8_t out[200];
    size_t len;

    return kms_encrypt_deterministic(store, id, &place_context, "x", 1, out, sizeof out, &len);
}

/* --- the law --------------------------------------------------------------------------------- */

/* Written out once more, so that a change of the law is a change here too. */
static const struct {
    kms_operation operation;
    kms_status (*perform)(void);
    /* Which subjects answer KMS_ERR_UNSUPPORTED, whatever their state: 1 << subject. */
    unsigned refused;
    /* Enabled, Disabled, PendingDeletion, PendingImport. */
    kms_status answer[4];
} law[] = {
    {KMS_OP_DESCRIBE_KEY, describe_everything, 0, {OK, OK, OK, OK}},
    {KMS_OP_ENABLE_KEY, enable, 0, {OK, OK, BAD, BAD}},
    {KMS_OP_DISABLE_KEY, disable, 1 << SERVICE, {OK, OK, BAD, BAD}},
    {KMS_OP_CREATE_KEY_VERSION, rotate, 1 << IMPORTED | 1 << SERVICE, {OK, DIS, DEL, IMP}},
    {KMS_OP_CREATE_ALIAS, create_alias, 0, {OK, OK, BAD, OK}},
    {KMS_OP_UPDATE_ALIAS, move_alias, 0, {OK, OK, DEL, OK}},
    {KMS_OP_DELETE_ALIAS, delete_alias, 0, {OK, OK, OK, OK}},
    {KMS_OP_ENCRYPT, encrypt_by_id, 0, {OK, DIS, DEL, IMP}},
    {KMS_OP_DECRYPT, decrypt, 0, {OK, DIS, DEL, IMP}},
    {KMS_OP_UPDATE_ROTATION_POLICY, set_policy, 1 << IMPORTED | 1 << SERVICE, {OK, DIS, DEL, IMP}},
    {KMS_OP_UPDATE_KEY_DESCRIPTION, describe_anew, 0, {OK, OK, DEL, OK}},
    {KMS_OP_TAG_RESOURCE, tag, 0, {OK, OK, DEL, OK}},
    {KMS_OP_UNTAG_RESOURCE, untag, 0, {OK, OK, DEL, OK}},
    {KMS_OP_SCHEDULE_KEY_DELETION, schedule, 1 << SERVICE, {OK, OK, BAD, OK}},
    {KMS_OP_CANCEL_KEY_DELETION, cancel, 0, {BAD, BAD, OK, BAD}},
    {KMS_OP_SET_DELETION_PROTECTION, protect, 0, {OK, OK, BAD, OK}},
    {KMS_OP_PURGE_KEY, purge, 0, {BAD, BAD, OK, BAD}},
    {KMS_OP_GET_PARAMETERS_FOR_IMPORT, get_parameters, 1 << DRAWN | 1 << SERVICE, {OK, OK, OK, OK}},
    {KMS_OP_IMPORT_KEY_MATERIAL, import_material, 1 << DRAWN | 1 << SERVICE, {OK, OK, BAD, OK}},
    {KMS_OP_IMPORT_KEY_VERSION, import_version, 1 << DRAWN | 1 << SERVICE, {OK, OK, BAD, OK}},
    {KMS_OP_DELETE_KEY_MATERIAL, delete_material, 1 << DRAWN | 1 << SERVICE, {OK, OK, OK, OK}},
    {KMS_OP_CHANGE_KEY_VERSION, change_versions, 1 << SERVICE, {OK, OK, OK, OK}},
    {KMS_OP_DERIVE_KEY, derive, 0, {OK, DIS, DEL, IMP}},
    {KMS_OP_ENCRYPT_DETERMINISTIC,
     encrypt_deterministically,
     1 << DRAWN | 1 << IMPORTED | 1 << SERVICE,
     {OK, DIS, DEL, IMP}},
};
#define LAWS (sizeof law / sizeof *law)
#define CASES (LAWS * 4 * SUBJECTS)

static void check_answer(kms_status st, kms_status wanted, const char *how)
{
    ck_assert_msg(st == wanted, "%s: %s instead of %s: %s", how, kms_status_name(st),
                  kms_status_name(wanted), kms_error_message());
    if (st == KMS_OK)
        return;
    ck_assert_int_eq(kms_error_status(), st);
    fixture_says(id);
}

/* Every call, and what is asked of it beforehand, in every state of a key of every kind. What the
 * key's origin or creator refuses comes before what its state refuses. */
START_TEST(every_call_answers_what_the_law_says)
{
    size_t row = (size_t)_i / 4 % LAWS;
    subject kind = (subject)((size_t)_i / 4 / LAWS);
    kms_operation operation = law[row].operation;
    kms_key_state state = (kms_key_state)(_i % 4 + 1);
    kms_status wanted = (law[row].refused & 1u << kind) != 0 ? UNS : law[row].answer[_i % 4];
    uint64_t changes;

    ck_assert_int_eq(kms__state_allows(state, operation), law[row].answer[_i % 4]);
    setup_with(kind);
    fixture_set_key_state(store, id, state);
    ck_assert_int_eq(fixture_describe(store, id).state, state);
    changes = fixture_changes(store);
    check_answer(kms_would(store, operation,
                           operation == KMS_OP_DELETE_ALIAS ? "alias/key" : (const char *)id),
                 wanted, "would");
    ck_assert_uint_eq(fixture_changes(store), changes);
    check_answer(law[row].perform(), wanted, "does");
    if (wanted != KMS_OK)
        ck_assert_uint_eq(fixture_changes(store), changes);
    finish();
}
END_TEST

START_TEST(the_law_names_every_operation_once)
{
    for (int operation = KMS_OP_DESCRIBE_KEY; operation <= KMS_OP_DERIVE_KEY; operation++) {
        unsigned found = 0;

        for (size_t i = 0; i < LAWS; i++)
            found += law[i].operation == (kms_operation)operation;
        ck_assert_msg(found == 1, "operation %d stands there %u times", operation, found);
    }
    ck_assert_int_eq(kms__state_allows(KMS_KEY_ENABLED, (kms_operation)(KMS_OP_DERIVE_KEY + 1)),
                     KMS_ERR_INVALID_ARGUMENT);
}
END_TEST

START_TEST(a_refusal_names_the_alias_that_led_to_the_key)
{
    static const kms_status wanted[] = {DIS, DEL, IMP};

    setup();
    fixture_set_key_state(store, id, (kms_key_state)(_i + 2));
    fixture_is(encrypt("alias/key"), wanted[_i]);
    fixture_says("alias/key");
    fixture_says(id);
    finish();
}
END_TEST

START_TEST(a_warm_key_follows_every_change_of_its_state)
{
    static const kms_status wanted[] = {OK, DIS, DEL, IMP};

    setup();
    for (int turn = 0; turn < 12; turn++) {
        kms_key_state state = (kms_key_state)(turn * 7 % 4 + 1);

        fixture_set_key_state(store, id, state);
        fixture_is(encrypt("alias/key"), wanted[state - 1]);
        fixture_is(encrypt(id), wanted[state - 1]);
        fixture_is(decrypt(), wanted[state - 1]);
        fixture_ok(encrypt(other));
    }
    finish();
}
END_TEST

START_TEST(an_alias_may_leave_a_key_in_any_state)
{
    setup();
    fixture_set_key_state(store, id, (kms_key_state)(_i + 1));
    fixture_ok(kms_update_alias(store, "alias/key", other));
    fixture_ok(encrypt("alias/key"));
    finish();
}
END_TEST

START_TEST(a_state_of_a_newer_release_is_told_as_such)
{
    static const unsigned states[] = {0, 5, 6, 128, 255};
    kms_key_state state = (kms_key_state)states[_i];

    for (size_t i = 0; i < LAWS; i++)
        ck_assert_int_eq(kms__state_allows(state, law[i].operation), KMS_ERR_NEWER_FORMAT);
    setup();
    fixture_set_key_state(store, id, state);
    fixture_is(encrypt(id), KMS_ERR_NEWER_FORMAT);
    fixture_is(decrypt(), KMS_ERR_NEWER_FORMAT);
    fixture_is(kms_enable_key(store, id), KMS_ERR_NEWER_FORMAT);
    fixture_is(kms_create_alias(store, "alias/new", id), KMS_ERR_NEWER_FORMAT);
    fixture_ok(encrypt(other));
    fixture_is(kms_verify(store), KMS_ERR_NEWER_FORMAT);
    fixture_says(id);
    kms_close(store);
    place_free(&here);
}
END_TEST

/* --- a key that waits for its first material ------------------------------------------------- */

static kms_status save_without_versions(kms__txn *txn, void *argument)
{
    kms__key key = {.spec = KMS_KEY_SPEC_SYMMETRIC_256,
                    .usage = KMS_KEY_USAGE_ENCRYPT_DECRYPT,
                    .origin = KMS_KEY_ORIGIN_KMS,
                    .creator = KMS_KEY_CREATOR_USER,
                    .base = KMS_KEY_ENABLED,
                    .created_ms = 7};

    memcpy(key.id, argument, KMS__ID_SIZE);
    return kms__key_save(txn, &key);
}

START_TEST(a_key_without_a_version_is_described_and_serves_nobody)
{
    uint8_t bytes[KMS__ID_SIZE];
    char empty[KMS_KEY_ID_SIZE];
    kms_key_version_info version;
    kms_key_info info;
    size_t count;

    setup();
    kms__id_draw(bytes);
    kms__id_format(bytes, empty);
    fixture_ok(kms__store_write(store, save_without_versions, bytes));
    info = fixture_describe(store, empty);
    ck_assert_int_eq(info.state, KMS_KEY_PENDING_IMPORT);
    ck_assert_uint_eq(info.version_count, 0);
    ck_assert_uint_eq(info.primary_version, 0);
    ck_assert_int_eq(info.created_ms, 7);
    fixture_is(encrypt(empty), KMS_ERR_PENDING_IMPORT);
    fixture_is(kms_create_key_version(store, empty, NULL), KMS_ERR_PENDING_IMPORT);
    fixture_is(kms_would(store, KMS_OP_CREATE_KEY_VERSION, empty), KMS_ERR_PENDING_IMPORT);
    fixture_is(kms_describe_key_version(store, empty, 0, &version), KMS_ERR_VERSION_NOT_FOUND);
    fixture_ok(kms_list_key_versions(store, empty, 0, &version, 1, &count, NULL));
    ck_assert_uint_eq(count, 0);
    fixture_ok(kms_create_alias(store, "alias/empty", empty));
    finish();
}
END_TEST

START_TEST(a_key_record_of_a_newer_release_is_refused_with_a_message)
{
    uint8_t newer[] = {KMS__KEY_BODY + 1, 1, 1, 1, 1, 1, 0};
    kms_key_info info = {.version = KMS_KEY_INFO_VERSION};
    kms__key key;
    uint8_t bytes[KMS__ID_SIZE];

    setup();
    ck_assert(kms__id_parse(id, bytes));
    fixture_is(kms__key_decode(bytes, (kms_slice){newer, sizeof newer}, &key),
               KMS_ERR_NEWER_FORMAT);
    fixture_says("newer libkms");
    newer[0] = 0;
    fixture_is(kms__key_decode(bytes, (kms_slice){newer, sizeof newer}, &key), KMS_ERR_CORRUPT);
    fixture_is(kms__key_decode(bytes, (kms_slice){NULL, 0}, &key), KMS_ERR_CORRUPT);
    fixture_ok(kms_describe_key(store, id, &info));
    finish();
}
END_TEST

/* A key record as it stands, with one byte more or less, or its counts at their extremes; in the form
 * of each release. */
START_TEST(a_key_record_is_never_read_past_its_end)
{
    static const struct {
        uint8_t body;
        /* Where spec, usage, origin, creator and state end. */
        size_t kinds;
        size_t fixed;
        size_t version;
    } forms[] = {{1, 4, 21, 42}, {2, 5, 73, 43}};
    size_t fixed = forms[_i].fixed, whole = fixed + 2 * forms[_i].version;
    uint8_t record[200] = {forms[_i].body};
    uint8_t bytes[KMS__ID_SIZE] = {0};
    kms__key key;

    memset(record + 1, 1, forms[_i].kinds);
    record[fixed - 5] = 2; /* primary */
    record[fixed - 1] = 2; /* versions */
    fixture_ok(kms__key_decode(bytes, (kms_slice){record, whole}, &key));
    ck_assert_uint_eq(key.version_count, 2);
    ck_assert_int_eq(key.base, KMS_KEY_ENABLED);
    ck_assert_int_eq(key.creator, KMS_KEY_CREATOR_USER);
    kms__key_clear(&key);
    for (size_t len = 1; len < whole; len++)
        fixture_is(kms__key_decode(bytes, (kms_slice){record, len}, &key), KMS_ERR_CORRUPT);
    fixture_is(kms__key_decode(bytes, (kms_slice){record, whole + 1}, &key), KMS_ERR_NEWER_FORMAT);
    record[fixed - 5] = 3;
    fixture_is(kms__key_decode(bytes, (kms_slice){record, whole}, &key), KMS_ERR_CORRUPT);
    record[fixed - 5] = 2;
    record[fixed - 4] = 0xff;
    fixture_is(kms__key_decode(bytes, (kms_slice){record, whole}, &key), KMS_ERR_CORRUPT);
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {every_call_answers_what_the_law_says, CASES},
        {the_law_names_every_operation_once, 0},
        {a_refusal_names_the_alias_that_led_to_the_key, 3},
        {a_warm_key_follows_every_change_of_its_state, 0},
        {an_alias_may_leave_a_key_in_any_state, 4},
        {a_state_of_a_newer_release_is_told_as_such, 5},
        {a_key_without_a_version_is_described_and_serves_nobody, 0},
        {a_key_record_of_a_newer_release_is_refused_with_a_message, 0},
        {a_key_record_is_never_read_past_its_end, 2},
    };

    return fixture_main("states", tests, sizeof tests / sizeof *tests, 60);
}
