/* The stores that every release wrote open with this one, and it goes on with them. */
#include "crypto/aead.h"
#include "support/lmdb_trial.h"
#include "support/recorded_store.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/* Opening and reading is no change. */
static void store_holds_what_it_held(const char *kms, const char *text)
{
    const fixture_record *all = fixture_read(text);
    const uint32_t ways[] = {KMS_OPEN_READ_ONLY, KMS_OPEN_FROZEN, 0};
    kms_store *store;
    const char *path;

    if (!recorded_machine_reads_the_file())
        return;
    path = recorded_copy(kms);
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        trial_ok(recorded_open(&store, path, all, ways[i]));
        recorded_all_agrees(store, all);
        kms_close(store);
    }
    /* The last one has written down what it used. */
    trial_ok(recorded_open(&store, path, all, KMS_OPEN_READ_ONLY));
    recorded_store_agrees(store, all);
    kms_close(store);
}

START_TEST(test_store_of_0_1_holds_what_it_held)
{
    store_holds_what_it_held("store-0.1.kms", "store-0.1.txt");
}
END_TEST

START_TEST(test_store_of_0_1_opens_under_its_root_key_alone)
{
    const fixture_record *all = fixture_read("store-0.1.txt");
    uint8_t root_key[KMS_ROOT_KEY_SIZE];
    kms_store *store = NULL;
    kms_root *root;

    if (!recorded_machine_reads_the_file())
        return;
    fixture_exactly(fixture_find(all, "store"), "root-key", root_key, sizeof root_key);
    root_key[31] ^= 1;
    trial_ok(kms_root_raw(&root, root_key, sizeof root_key));
    trial_is(recorded_open_with(&store, recorded_copy("store-0.1.kms"), root, all, 0),
             KMS_ERR_WRONG_ROOT_KEY);
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

    if (!kms__suite_available(recorded_suite(record)))
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
    uint8_t blob[KMS_CIPHERTEXT_SIZE(5)], plain[5];
    kms_store *store;
    const char *path;
    size_t len;

    if (!recorded_machine_reads_the_file())
        return;
    path = recorded_copy("store-0.1.kms");
    trial_ok(recorded_open(&store, path, all, 0));
    go_on_with(store, blob, sizeof blob, &len);
    kms_close(store);
    trial_ok(recorded_open(&store, path, all, 0));
    trial_ok(kms_verify(store));
    trial_ok(kms_decrypt(store, NULL, blob, sizeof blob, plain, sizeof plain, &len));
    ck_assert_mem_eq(plain, "go on", 5);
    ck_assert_uint_ge(recorded_for_each(store, all, "blob", opens_whatever_its_state_was), 10);
    kms_close(store);
}
END_TEST

/* Every change that 0.1 did not know, on records that 0.1 wrote. */
static void live_on_with(kms_store *store, const char *id)
{
    static const kms_tag tag = {"since", "0.2"};
    char text[16];
    kms_key_version_info version;

    trial_ok(kms_tag_resource(store, id, &tag, 1));
    trial_ok(kms_update_key_description(store, id, "made by 0.1"));
    trial_ok(kms_update_rotation_policy(store, id, true, 30));
    trial_ok(kms_disable_key_version(store, id, 1));
    trial_ok(kms_schedule_key_version_destruction(store, id, 2, 0, NULL));
    trial_ok(kms_set_minimum_version(store, id, 3, 0));
    trial_ok(kms_verify(store));
    trial_ok(kms_get_key_description(store, id, text, sizeof text));
    ck_assert_str_eq(text, "made by 0.1");
    trial_ok(kms_describe_key_version(store, id, 2, &version));
    ck_assert_uint_eq(version.state, KMS_KEY_VERSION_DESTROY_SCHEDULED);
    ck_assert_uint_eq(version.source, KMS_MATERIAL_DRAWN);
    trial_ok(kms_cancel_key_version_destruction(store, id, 2));
    trial_ok(kms_enable_key_version(store, id, 1));
    trial_ok(kms_set_minimum_version(store, id, 0, 0));
}

START_TEST(test_store_of_0_1_takes_what_0_2_brings)
{
    const fixture_record *all = fixture_read("store-0.1.txt");
    kms_alias_info alias;
    kms_store *store;
    const char *path;

    if (!recorded_machine_reads_the_file())
        return;
    path = recorded_copy("store-0.1.kms");
    trial_ok(recorded_open(&store, path, all, 0));
    trial_ok(kms_describe_alias(store, "alias/there-and/back", &alias));
    live_on_with(store, alias.key_id);
    recorded_for_each(store, all, "blob", recorded_blob_agrees);
    trial_ok(kms_flush_last_use(store));
    kms_close(store);
    trial_ok(recorded_open(&store, path, all, 0));
    trial_ok(kms_verify(store));
    recorded_for_each(store, all, "blob", recorded_blob_agrees);
    kms_close(store);
}
END_TEST

START_TEST(test_store_of_0_2_holds_what_it_held)
{
    store_holds_what_it_held("store-0.2.kms", "store-0.2.txt");
}
END_TEST

/* Of all kinds, so that the fixture is worth its name. */
START_TEST(test_store_of_0_2_has_keys_in_every_state)
{
    const fixture_record *all = fixture_read("store-0.2.txt");
    unsigned states = 0, version_states = 0, origins = 0, creators = 0, rotations = 0;

    for (const fixture_record *r = fixture_find(all, "key"); r != NULL;
         r = fixture_find(r->next, "key")) {
        states |= 1u << fixture_number(r, "state");
        origins |= 1u << fixture_number(r, "origin");
        creators |= 1u << fixture_number(r, "creator");
        rotations |= 1u << fixture_number(r, "rotation");
    }
    for (const fixture_record *r = fixture_find(all, "version"); r != NULL;
         r = fixture_find(r->next, "version"))
        version_states |= 1u << fixture_number(r, "state");
    ck_assert_uint_eq(states, 0x1e);
    ck_assert_uint_eq(version_states, 0x3e);
    ck_assert_uint_eq(origins, 0x6);
    ck_assert_uint_eq(creators, 0x6);
    ck_assert_uint_eq(rotations, 0x7);
}
END_TEST

static kms_status import_boxed(kms_store *store, const fixture_record *token)
{
    uint8_t public_key[crypto_box_PUBLICKEYBYTES], box[crypto_box_SEALBYTES + 32];
    static const uint8_t material[32] = "the first material of this key.";
    kms_import import = KMS_IMPORT_INIT;
    size_t len = 0;
    uint8_t *bytes = fixture_bytes(token, "token-bytes", &len);
    kms_status st;

    fixture_exactly(token, "public-key", public_key, sizeof public_key);
    ck_assert_int_eq(crypto_box_seal(box, material, sizeof material, public_key), 0);
    import.token = bytes;
    import.token_len = len;
    import.material = box;
    import.material_len = sizeof box;
    st = kms_import_key_material(store, fixture_text(token, "key-id"), &import);
    free(bytes);
    return st;
}

START_TEST(test_store_of_0_2_takes_material_by_the_token_that_it_gave)
{
    const fixture_record *all = fixture_read("store-0.2.txt");
    const fixture_record *token = fixture_find(all, "token");
    kms_key_info info = {.version = KMS_KEY_INFO_VERSION};
    kms_store *store;

    if (!recorded_machine_reads_the_file())
        return;
    trial_ok(recorded_open(&store, recorded_copy("store-0.2.kms"), all, 0));
    recorded_now_ms = recorded_date(token, "expires-ms");
    trial_is(import_boxed(store, token), KMS_ERR_EXPIRED);
    recorded_now_ms -= 1;
    trial_ok(import_boxed(store, token));
    trial_ok(kms_describe_key(store, fixture_text(token, "key-id"), &info));
    ck_assert_uint_eq(info.state, KMS_KEY_ENABLED);
    trial_ok(kms_verify(store));
    kms_close(store);
}
END_TEST

/* The id of the key whose purge was cut short: it alone waits for deletion and has two aliases. */
static void half_purged(kms_store *store, char id[KMS_KEY_ID_SIZE])
{
    kms_alias_info alias;

    trial_ok(kms_describe_alias(store, "alias/half/purged", &alias));
    memcpy(id, alias.key_id, KMS_KEY_ID_SIZE);
}

START_TEST(test_purge_of_0_2_that_was_cut_short_is_finished)
{
    const fixture_record *all = fixture_read("store-0.2.txt");
    char id[KMS_KEY_ID_SIZE], text[8];
    kms_alias_info alias;
    kms_store *store;

    if (!recorded_machine_reads_the_file())
        return;
    trial_ok(recorded_open(&store, recorded_copy("store-0.2.kms"), all, 0));
    half_purged(store, id);
    trial_is(kms_cancel_key_deletion(store, id), KMS_ERR_INVALID_STATE);
    trial_ok(kms_purge_key(store, id, recorded_now_ms));
    trial_is(kms_get_key_description(store, id, text, sizeof text), KMS_ERR_KEY_NOT_FOUND);
    trial_is(kms_describe_alias(store, "alias/half/purged/too", &alias), KMS_ERR_ALIAS_NOT_FOUND);
    trial_ok(kms_verify(store));
    kms_close(store);
}
END_TEST

static kms_status open_passphrase(kms_store **store, const char *path, const fixture_record *all,
                                  const uint8_t *passphrase, size_t len)
{
    kms_root *root;

    trial_ok(kms_root_passphrase(&root, passphrase, len));
    return recorded_open_with(store, path, root, all, 0);
}

START_TEST(test_passphrase_store_of_0_1_opens)
{
    const fixture_record *all = fixture_read("passphrase-0.1.txt");
    kms_store *store;
    uint8_t *passphrase;
    const char *path;
    size_t len;

    if (!recorded_machine_reads_the_file())
        return;
    path = recorded_copy("passphrase-0.1.kms");
    passphrase = fixture_bytes(fixture_find(all, "store"), "passphrase", &len);
    trial_is(open_passphrase(&store, path, all, passphrase, len - 1), KMS_ERR_WRONG_ROOT_KEY);
    trial_ok(open_passphrase(&store, path, all, passphrase, len));
    recorded_all_agrees(store, all);
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
        test_store_of_0_1_takes_what_0_2_brings,
        test_passphrase_store_of_0_1_opens,
        test_store_of_0_2_holds_what_it_held,
        test_store_of_0_2_has_keys_in_every_state,
        test_store_of_0_2_takes_material_by_the_token_that_it_gave,
        test_purge_of_0_2_that_was_cut_short_is_finished,
    };

    return trial_main("fixture_stores", tests, sizeof tests / sizeof tests[0]);
}
