/* The law of states: what each call answers in each state of its key. */
#include "support/api_fixture.h"

#include "domain/key_record.h"
#include "domain/state.h"

#include <string.h>

#define OK KMS_OK
#define DIS KMS_ERR_DISABLED
#define DEL KMS_ERR_PENDING_DELETION
#define IMP KMS_ERR_PENDING_IMPORT
#define BAD KMS_ERR_INVALID_STATE

/* Written out once more, so that a change of the law is a change here too. */
static const struct {
    kms_operation operation;
    /* Enabled, Disabled, PendingDeletion, PendingImport. */
    kms_status answer[4];
} law[] = {
    {KMS_OP_DESCRIBE_KEY, {OK, OK, OK, OK}},  {KMS_OP_ENABLE_KEY, {OK, OK, BAD, BAD}},
    {KMS_OP_DISABLE_KEY, {OK, OK, BAD, BAD}}, {KMS_OP_CREATE_KEY_VERSION, {OK, DIS, DEL, IMP}},
    {KMS_OP_CREATE_ALIAS, {OK, OK, BAD, OK}}, {KMS_OP_UPDATE_ALIAS, {OK, OK, DEL, OK}},
    {KMS_OP_DELETE_ALIAS, {OK, OK, OK, OK}},  {KMS_OP_ENCRYPT, {OK, DIS, DEL, IMP}},
    {KMS_OP_DECRYPT, {OK, DIS, DEL, IMP}},
};
#define LAWS (sizeof law / sizeof *law)
#define CASES (LAWS * 4)

static place here;
static kms_store *store;
static char id[KMS_KEY_ID_SIZE], other[KMS_KEY_ID_SIZE];
static uint8_t blob[200];
static size_t blob_len;

static void setup(void)
{
    place_init(&here);
    store = place_open(&here);
    fixture_create_key(store, id);
    fixture_create_key(store, other);
    fixture_ok(kms_create_alias(store, "alias/key", id));
    fixture_ok(kms_create_alias(store, "alias/other", other));
    blob_len = fixture_encrypt(store, id, "text", blob, sizeof blob);
}

static void finish(void)
{
    fixture_ok(kms_verify(store));
    kms_close(store);
    place_free(&here);
}

static kms_status encrypt(const char *keyref)
{
    uint8_t out[200];
    size_t len;

    return kms_encrypt(store, keyref, NULL, "x", 1, out, sizeof out, &len);
}

static kms_status decrypt(void)
{
    char plain[16];
    size_t len;

    return kms_decrypt(store, NULL, blob, blob_len, plain, sizeof plain, &len);
}

static kms_status describe_everything(void)
{
    kms_key_info info = {.version = KMS_KEY_INFO_VERSION};
    kms_key_version_info version;
    kms_alias_info alias;
    size_t count;

    fixture_ok(kms_describe_key(store, "alias/key", &info));
    fixture_ok(kms_describe_key_version(store, id, 0, &version));
    fixture_ok(kms_list_key_versions(store, id, 0, &version, 1, &count, NULL));
    fixture_ok(kms_describe_alias(store, "alias/key", &alias));
    fixture_ok(kms_list_aliases_by_key_id(store, id, NULL, &alias, 1, &count, NULL));
    fixture_ok(kms_ensure_alias(store, "alias/key", NULL, NULL));
    return kms_describe_key(store, id, &info);
}

static kms_status perform(kms_operation operation)
{
    switch (operation) {
    case KMS_OP_CREATE_KEY:
        break;
    case KMS_OP_DESCRIBE_KEY:
        return describe_everything();
    case KMS_OP_ENABLE_KEY:
        return kms_enable_key(store, id);
    case KMS_OP_DISABLE_KEY:
        return kms_disable_key(store, id);
    case KMS_OP_CREATE_KEY_VERSION:
        return kms_create_key_version(store, id, NULL);
    case KMS_OP_CREATE_ALIAS:
        return kms_create_alias(store, "alias/new", id);
    case KMS_OP_UPDATE_ALIAS:
        return kms_update_alias(store, "alias/other", id);
    case KMS_OP_DELETE_ALIAS:
        return kms_delete_alias(store, "alias/key");
    case KMS_OP_ENCRYPT:
        return encrypt(id);
    case KMS_OP_DECRYPT:
        return decrypt();
    }
    ck_abort_msg("no such operation");
    return KMS_OK;
}

START_TEST(every_call_answers_what_the_law_says)
{
    kms_operation operation = law[(size_t)_i / 4].operation;
    kms_key_state state = (kms_key_state)(_i % 4 + 1);
    kms_status wanted = law[(size_t)_i / 4].answer[_i % 4];
    uint64_t changes;

    ck_assert_int_eq(kms__state_allows(state, operation), wanted);
    setup();
    fixture_set_key_state(store, id, state);
    changes = fixture_changes(store);
    fixture_is(perform(operation), wanted);
    if (wanted != KMS_OK) {
        fixture_says(id);
        ck_assert_uint_eq(fixture_changes(store), changes);
    }
    finish();
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
