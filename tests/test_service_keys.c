/* Service-managed keys: one for each service, whoever comes first; users cannot touch them, and
 * rotate them by moving an alias of their own. */
#include "support/key_life.h"

#include <stdio.h>
#include <string.h>

static place here;
static kms_store *store;
static char id[KMS_KEY_ID_SIZE], own[KMS_KEY_ID_SIZE];

static void setup(void)
{
    place_init(&here);
    store = life_open(&here);
    fixture_create_key(store, own);
    fixture_ok(kms_create_alias(store, "alias/own", own));
    fixture_ok(kms_service_key(store, "rds", id));
}

static void finish(void)
{
    fixture_ok(kms_verify(store));
    kms_close(store);
    place_free(&here);
}

/* --- finding and making ---------------------------------------------------------------------- */

START_TEST(a_service_finds_the_key_that_it_made)
{
    char again[KMS_KEY_ID_SIZE], another[KMS_KEY_ID_SIZE];
    kms_key_info info;
    uint64_t changes;

    setup();
    changes = fixture_changes(store);
    engine_reset_counts(&here.control);
    fixture_ok(kms_service_key(store, "rds", again));
    ck_assert_str_eq(again, id);
    fixture_ok(kms_service_key(store, "rds", NULL));
    /* Without waiting for a writer. */
    ck_assert_uint_eq(engine_count(&here.control, ENGINE_BEGIN_WRITE), 0);
    ck_assert_uint_eq(fixture_changes(store), changes);
    ck_assert_str_eq(fixture_describe_alias(store, "alias/acs/rds").key_id, id);
    info = fixture_describe(store, "alias/acs/rds");
    ck_assert_str_eq(info.key_id, id);
    ck_assert_int_eq(info.creator, KMS_KEY_CREATOR_SERVICE);
    ck_assert_int_eq(info.origin, KMS_KEY_ORIGIN_KMS);
    ck_assert_int_eq(info.state, KMS_KEY_ENABLED);
    ck_assert_int_eq(info.rotation, KMS_ROTATION_DISABLED);
    ck_assert_uint_eq(info.version_count, 1);
    ck_assert_int_eq(fixture_describe(store, own).creator, KMS_KEY_CREATOR_USER);
    fixture_ok(kms_service_key(store, "RDS", another));
    ck_assert_str_ne(another, id);
    /* Key and alias are one change. */
    ck_assert_uint_eq(fixture_changes(store), changes + 1);
    finish();
}
END_TEST

static void check_alias_of(const char *service, const char *key_id)
{
    char alias[KMS_ALIAS_SIZE + 20];

    snprintf(alias, sizeof alias, "alias/acs/%s", service);
    ck_assert_str_eq(fixture_describe_alias(store, alias).key_id, key_id);
}

START_TEST(the_name_of_a_service_has_1_to_251_characters_of_an_alias)
{
    static const char *const refused[] = {NULL, "", " ", "a b", "a.b", "\xc3\xa9", "a\n", "a:b"};
    static const char *const taken[] = {"a", "A-Z_09", "oss/bucket", "/", "acs"};
    char name[KMS_SERVICE_NAME_MAX + 2], made[KMS_KEY_ID_SIZE] = "untouched";
    uint64_t changes;

    setup();
    changes = fixture_changes(store);
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        fixture_is(kms_service_key(store, refused[i], made), KMS_ERR_INVALID_ARGUMENT);
    memset(name, 'n', sizeof name);
    name[KMS_SERVICE_NAME_MAX + 1] = '\0';
    fixture_is(kms_service_key(store, name, made), KMS_ERR_INVALID_ARGUMENT);
    fixture_says("1 to 251");
    fixture_is(kms_service_key(NULL, "rds", made), KMS_ERR_INVALID_ARGUMENT);
    ck_assert_str_eq(made, "untouched");
    ck_assert_uint_eq(fixture_changes(store), changes);
    name[KMS_SERVICE_NAME_MAX] = '\0';
    fixture_ok(kms_service_key(store, name, made));
    check_alias_of(name, made);
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++) {
        fixture_ok(kms_service_key(store, taken[i], made));
        check_alias_of(taken[i], made);
    }
    finish();
}
END_TEST

START_TEST(who_may_only_read_finds_a_key_and_makes_none)
{
    char found[KMS_KEY_ID_SIZE];

    setup();
    kms_close(store);
    fixture_ok(life_try_open(&here, &store, KMS_OPEN_READ_ONLY));
    fixture_ok(kms_service_key(store, "rds", found));
    ck_assert_str_eq(found, id);
    fixture_is(kms_service_key(store, "oss", found), KMS_ERR_READ_ONLY);
    ck_assert_str_eq(found, id);
    finish();
}
END_TEST

/* --- what users cannot do -------------------------------------------------------------------- */

static kms_status do_what_is_refused(int number)
{
    switch (number) {
    case 0:
        return kms_disable_key(store, id);
    case 1:
        return kms_schedule_key_deletion(store, id, 7, NULL);
    case 2:
        return kms_create_key_version(store, id, NULL);
    case 3:
        return kms_update_rotation_policy(store, id, true, 30);
    case 4:
        return kms_update_rotation_policy(store, id, false, 0);
    case 5:
        return kms_update_primary_version(store, id, 1);
    case 6:
        return kms_disable_key_version(store, id, 1);
    case 7:
        return kms_enable_key_version(store, id, 1);
    case 8:
        return kms_set_minimum_version(store, id, 1, 0);
    case 9:
        return kms_schedule_key_version_destruction(store, id, 1, 7, NULL);
    case 10:
        return kms_cancel_key_version_destruction(store, id, 1);
    case 11:
        return kms_purge_key_version(store, id, 1, life_now_ms);
    case 12:
        return life_try_import(store, id, 1, 0);
    case 13:
        return life_try_import_version(store, id, 1, NULL);
    default:
        return kms_delete_key_material(store, id, 0);
    }
}

START_TEST(users_cannot_disable_delete_rotate_or_change_it)
{
    uint64_t changes;

    setup();
    changes = fixture_changes(store);
    fixture_is(do_what_is_refused(_i), KMS_ERR_UNSUPPORTED);
    fixture_says(id);
    if (_i >= 2 && _i <= 4)
        fixture_says("move the alias");
    ck_assert_uint_eq(fixture_changes(store), changes);
    finish();
}
END_TEST

START_TEST(users_cannot_make_move_or_delete_a_services_alias)
{
    static const char *const reserved[] = {"alias/acs/rds", "alias/acs/new", "alias/acs",
                                           "alias/acs_mine"};

    setup();
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++) {
        fixture_is(kms_create_alias(store, reserved[i], own), KMS_ERR_INVALID_ARGUMENT);
        fixture_says("reserved");
        fixture_is(kms_update_alias(store, reserved[i], own), KMS_ERR_INVALID_ARGUMENT);
        fixture_is(kms_delete_alias(store, reserved[i]), KMS_ERR_INVALID_ARGUMENT);
        fixture_is(kms_ensure_alias(store, reserved[i], NULL, NULL), KMS_ERR_INVALID_ARGUMENT);
        fixture_is(kms_would(store, KMS_OP_DELETE_ALIAS, reserved[i]), KMS_ERR_INVALID_ARGUMENT);
    }
    check_alias_of("rds", id);
    finish();
}
END_TEST

/* --- what users can do ----------------------------------------------------------------------- */

START_TEST(an_alias_of_the_users_own_is_its_manual_rotation)
{
    uint8_t old_blob[200], new_blob[200];
    kms_blob_info info;
    size_t old_len, new_len;
    bool stale;

    setup();
    fixture_ok(kms_create_alias(store, "alias/mine", id));
    old_len = fixture_encrypt(store, "alias/mine", "old", old_blob, sizeof old_blob);
    fixture_ok(kms_inspect_blob(old_blob, old_len, &info));
    ck_assert_str_eq(info.key_id, id);
    fixture_ok(kms_update_alias(store, "alias/mine", own));
    new_len = fixture_encrypt(store, "alias/mine", "new", new_blob, sizeof new_blob);
    fixture_ok(kms_inspect_blob(new_blob, new_len, &info));
    ck_assert_str_eq(info.key_id, own);
    fixture_opens_as(store, old_blob, old_len, "old");
    fixture_opens_as(store, new_blob, new_len, "new");
    fixture_ok(kms_blob_is_stale(store, "alias/mine", old_blob, old_len, &stale));
    ck_assert(stale);
    fixture_ok(kms_blob_is_stale(store, "alias/mine", new_blob, new_len, &stale));
    ck_assert(!stale);
    /* The service's own goes on as it was; and back again. */
    ck_assert_str_eq(fixture_describe_alias(store, "alias/acs/rds").key_id, id);
    fixture_ok(kms_update_alias(store, "alias/mine", id));
    ck_assert_str_eq(fixture_describe_alias(store, "alias/mine").previous_key_id, own);
    fixture_ok(kms_delete_alias(store, "alias/mine"));
    finish();
}
END_TEST

static void find(const kms_key_filter *filter, const char *wanted)
{
    char ids[4][KMS_KEY_ID_SIZE];
    size_t count;

    fixture_ok(kms_find_keys(store, filter, NULL, ids, 4, &count, NULL));
    ck_assert_uint_eq(count, 1);
    ck_assert_str_eq(ids[0], wanted);
}

START_TEST(keys_are_found_by_who_made_them)
{
    kms_key_filter filter = KMS_KEY_FILTER_INIT;
    char ids[4][KMS_KEY_ID_SIZE];
    size_t count;

    setup();
    filter.creators = KMS_FILTER_BIT(KMS_KEY_CREATOR_SERVICE);
    find(&filter, id);
    filter.alias_prefix = "alias/acs/";
    find(&filter, id);
    filter.creators = 0;
    find(&filter, id);
    filter.alias_prefix = NULL;
    filter.creators = KMS_FILTER_BIT(KMS_KEY_CREATOR_USER);
    find(&filter, own);
    filter.creators |= KMS_FILTER_BIT(KMS_KEY_CREATOR_SERVICE);
    fixture_ok(kms_find_keys(store, &filter, NULL, ids, 4, &count, NULL));
    ck_assert_uint_eq(count, 2);
    filter.creators = KMS_FILTER_BIT(KMS_KEY_CREATOR_SERVICE + 1);
    fixture_is(kms_find_keys(store, &filter, NULL, ids, 4, &count, NULL), KMS_ERR_INVALID_ARGUMENT);
    finish();
}
END_TEST

START_TEST(its_description_tags_and_protection_are_the_users)
{
    const kms_tag tags[] = {{"team", "storage"}};
    kms_key_filter filter = KMS_KEY_FILTER_INIT;
    char text[32];

    setup();
    fixture_ok(kms_update_key_description(store, id, "of the database"));
    fixture_ok(kms_get_key_description(store, "alias/acs/rds", text, sizeof text));
    ck_assert_str_eq(text, "of the database");
    fixture_ok(kms_tag_resource(store, id, tags, 1));
    filter.tag_name = "team";
    find(&filter, id);
    fixture_ok(kms_set_deletion_protection(store, id, true));
    fixture_ok(kms_enable_key(store, id));
    finish();
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {a_service_finds_the_key_that_it_made, 0},
        {the_name_of_a_service_has_1_to_251_characters_of_an_alias, 0},
        {who_may_only_read_finds_a_key_and_makes_none, 0},
        {users_cannot_disable_delete_rotate_or_change_it, 15},
        {users_cannot_make_move_or_delete_a_services_alias, 0},
        {an_alias_of_the_users_own_is_its_manual_rotation, 0},
        {keys_are_found_by_who_made_them, 0},
        {its_description_tags_and_protection_are_the_users, 0},
    };

    return fixture_main("service_keys", tests, sizeof tests / sizeof *tests, 60);
}
