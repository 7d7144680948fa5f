/* Whether a blob is under what its key reference encrypts with now: told without opening anything. */
#include "support/api_fixture.h"

#include <string.h>

#define NOBODY "00000000-0000-4000-8000-000000000000"

static place here;
static kms_store *store;
static char id[KMS_KEY_ID_SIZE], other[KMS_KEY_ID_SIZE];
static uint8_t blob[KMS_CIPHERTEXT_SIZE(2)];

/* The blob is of version 1 of id, which alias/a points to. */
static void setup(void)
{
    place_init(&here);
    store = place_open(&here);
    fixture_ok(kms_ensure_alias(store, "alias/a", NULL, id));
    fixture_create_key(store, other);
    fixture_encrypt(store, "alias/a", "x", blob, sizeof blob);
}

static void finish(void)
{
    fixture_ok(kms_verify(store));
    kms_close(store);
    place_free(&here);
}

static bool is_stale(const char *keyref)
{
    bool first = true, second = false;

    fixture_ok(kms_blob_is_stale(store, keyref, blob, sizeof blob, &first));
    fixture_ok(kms_blob_is_stale(store, keyref, blob, sizeof blob, &second));
    ck_assert(first == second);
    return first;
}

START_TEST(a_blob_is_stale_from_the_next_rotation_on)
{
    setup();
    ck_assert(!is_stale("alias/a") && !is_stale(id));
    fixture_rotate(store, id);
    ck_assert(is_stale("alias/a") && is_stale(id));
    fixture_encrypt(store, "alias/a", "x", blob, sizeof blob);
    ck_assert(!is_stale("alias/a") && !is_stale(id));
    finish();
}
END_TEST

START_TEST(a_blob_is_fresh_again_when_its_version_is_primary_again)
{
    setup();
    fixture_rotate(store, id);
    fixture_ok(kms_update_primary_version(store, id, 1));
    ck_assert(!is_stale("alias/a") && !is_stale(id));
    fixture_encrypt(store, id, "x", blob, sizeof blob);
    fixture_ok(kms_update_primary_version(store, id, 2));
    ck_assert(is_stale("alias/a") && is_stale(id));
    finish();
}
END_TEST

START_TEST(a_blob_is_stale_where_another_key_encrypts)
{
    setup();
    ck_assert(is_stale(other));
    fixture_ok(kms_update_alias(store, "alias/a", other));
    ck_assert(is_stale("alias/a") && !is_stale(id));
    fixture_ok(kms_update_alias(store, "alias/a", id));
    ck_assert(!is_stale("alias/a"));
    finish();
}
END_TEST

START_TEST(a_key_in_any_state_is_told_of)
{
    setup();
    fixture_set_key_state(store, id, (kms_key_state)(_i + 1));
    ck_assert(!is_stale("alias/a") && !is_stale(id));
    fixture_ok(kms_update_alias(store, "alias/a", other));
    ck_assert(is_stale("alias/a"));
    finish();
}
END_TEST

START_TEST(a_version_in_any_state_is_told_of)
{
    setup();
    fixture_rotate(store, id);
    fixture_set_version_state(store, id, 1, (kms_key_version_state)(_i + 1));
    ck_assert(is_stale("alias/a") && is_stale(id));
    fixture_set_version_state(store, id, 1, KMS_KEY_VERSION_ENABLED);
    fixture_set_version_state(store, id, 2, (kms_key_version_state)(_i + 1));
    ck_assert(is_stale(id));
    fixture_set_version_state(store, id, 2, KMS_KEY_VERSION_ENABLED);
    finish();
}
END_TEST

static void remove_versions(void)
{
    stolen_set set = place_steal(&here);
    unsigned removed = 0;

    for (size_t i = 0; i < set.count; i++)
        if (set.records[i].key[0] == 'V') {
            place_plant(&here, set.records[i].key, set.records[i].key_len, NULL, 0);
            removed++;
        }
    ck_assert_uint_eq(removed, 2);
    stolen_free(&set);
}

START_TEST(no_version_is_opened)
{
    char plain[2];
    size_t len;

    setup();
    kms_close(store);
    store = place_open(&here);
    remove_versions();
    engine_reset_counts(&here.control);
    ck_assert(!is_stale("alias/a") && is_stale(other));
    /* An alias and a key, or a key alone, for each of two calls. */
    ck_assert_uint_eq(engine_count(&here.control, ENGINE_GET), 6);
    ck_assert_uint_eq(engine_count(&here.control, ENGINE_SCAN), 0);
    ck_assert_uint_eq(engine_count(&here.control, ENGINE_BEGIN_WRITE), 0);
    fixture_is(kms_decrypt(store, NULL, blob, sizeof blob, plain, 2, &len), KMS_ERR_CORRUPT);
    kms_close(store);
    place_free(&here);
}
END_TEST

static const struct {
    /* A byte of it that is another one; what is told of that. */
    size_t at;
    uint8_t value;
    kms_status answer;
} damages[] = {
    {0, 'k', KMS_ERR_INVALID_CIPHERTEXT}, {2, 0, KMS_ERR_INVALID_CIPHERTEXT},
    {3, 0, KMS_ERR_INVALID_CIPHERTEXT},   {3, 2, KMS_ERR_NEWER_FORMAT},
    {3, 255, KMS_ERR_NEWER_FORMAT},       {4, 0, KMS_ERR_INVALID_CIPHERTEXT},
    {4, 3, KMS_ERR_INVALID_CIPHERTEXT},   {5, 0, KMS_ERR_INVALID_CIPHERTEXT},
    {5, 5, KMS_ERR_INVALID_CIPHERTEXT},   {25, 0, KMS_ERR_INVALID_CIPHERTEXT},
};
#define DAMAGES ((int)(sizeof damages / sizeof *damages))

START_TEST(what_is_no_blob_is_refused)
{
    bool stale = true;

    setup();
    blob[damages[_i].at] = damages[_i].value;
    fixture_is(kms_blob_is_stale(store, "alias/a", blob, sizeof blob, &stale), damages[_i].answer);
    fixture_is(kms_blob_is_stale(store, "alias/none", blob, sizeof blob, &stale),
               damages[_i].answer);
    ck_assert(stale);
    finish();
}
END_TEST

START_TEST(a_blob_that_was_cut_is_refused)
{
    bool stale = true;

    setup();
    for (size_t len = 0; len < KMS_BLOB_OVERHEAD; len++)
        fixture_is(kms_blob_is_stale(store, id, blob, len, &stale), KMS_ERR_INVALID_CIPHERTEXT);
    ck_assert(stale);
    /* What it says of itself is not proven, and asks for no plaintext. */
    fixture_ok(kms_blob_is_stale(store, id, blob, KMS_BLOB_OVERHEAD, &stale));
    ck_assert(!stale);
    finish();
}
END_TEST

START_TEST(arguments_are_checked)
{
    bool stale = true;

    setup();
    fixture_is(kms_blob_is_stale(NULL, id, blob, sizeof blob, &stale), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_blob_is_stale(store, NULL, blob, sizeof blob, &stale), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_blob_is_stale(store, "what", blob, sizeof blob, &stale),
               KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_blob_is_stale(store, id, NULL, sizeof blob, &stale), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_blob_is_stale(store, id, blob, sizeof blob, NULL), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_blob_is_stale(store, NOBODY, blob, sizeof blob, &stale), KMS_ERR_KEY_NOT_FOUND);
    fixture_is(kms_blob_is_stale(store, "alias/none", blob, sizeof blob, &stale),
               KMS_ERR_ALIAS_NOT_FOUND);
    ck_assert(stale);
    finish();
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {a_blob_is_stale_from_the_next_rotation_on, 0},
        {a_blob_is_fresh_again_when_its_version_is_primary_again, 0},
        {a_blob_is_stale_where_another_key_encrypts, 0},
        {a_key_in_any_state_is_told_of, 4},
        {a_version_in_any_state_is_told_of, 3},
        {no_version_is_opened, 0},
        {what_is_no_blob_is_refused, DAMAGES},
        {a_blob_that_was_cut_is_refused, 0},
        {arguments_are_checked, 0},
    };

    return fixture_main("blob_is_stale", tests, sizeof tests / sizeof *tests, 60);
}
