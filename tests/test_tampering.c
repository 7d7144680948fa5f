/* What becomes of a store whose records somebody else writes: each test is a line of the table in
 * docs/threat-model.md, and says as much as is true, not as much as one would wish. */
#include "support/named_records.h"

#include <stdlib.h>
#include <string.h>

#define DAY_MS (INT64_C(24) * 3600 * 1000)

static place here;
static kms_store *store;
static char key_a[KMS_KEY_ID_SIZE], key_b[KMS_KEY_ID_SIZE];
static int64_t now_ms = INT64_C(1767225600000);

static int64_t told(void *data)
{
    return *(const int64_t *)data;
}

static kms_store *open_here(void)
{
    static const kms_clock clock = {KMS_CLOCK_VERSION, &now_ms, told};
    kms_open_options options = KMS_OPEN_OPTIONS_INIT;
    kms_store *opened = NULL;

    options.clock = &clock;
    fixture_ok(place_try_open(&here, &opened, KMS_OPEN_CREATE, &options));
    return opened;
}

static void create_full_key(const char *alias, const char *description, const char *tag_value,
                            char id[KMS_KEY_ID_SIZE])
{
    kms_tag tag = {"owner", tag_value};
    kms_create_key_options options = KMS_CREATE_KEY_OPTIONS_INIT;
    uint8_t blob[200];

    options.description = description;
    options.tags = &tag;
    options.tag_count = 1;
    options.rotation_days = 700;
    fixture_ok(kms_create_key(store, &options, id));
    fixture_rotate(store, id);
    fixture_ok(kms_create_alias(store, alias, id));
    fixture_encrypt(store, alias, "used", blob, sizeof blob);
}

/* Two keys that have one record of each kind at least. */
static void setup(void)
{
    place_init(&here);
    store = open_here();
    create_full_key("alias/a", "what a is for", "anna", key_a);
    create_full_key("alias/b", "what b is for", "bert", key_b);
    fixture_ok(kms_flush_last_use(store));
    fixture_ok(kms_verify(store));
}

static void finish(void)
{
    kms_close(store);
    place_free(&here);
}

/* As another process would, with nothing remembered. */
static void open_anew(void)
{
    kms_close(store);
    store = open_here();
}

/* Both as the handle sees it and as a newcomer does. */
static void verify_finds(const char *words)
{
    fixture_is(kms_verify(store), KMS_ERR_CORRUPT);
    open_anew();
    fixture_is(kms_verify(store), KMS_ERR_CORRUPT);
    fixture_says(words);
}

/* --- changing records ------------------------------------------------------------------------ */

static void put_back(const stolen_set *old, stolen named)
{
    place_plant_record(&here, named_in(old, named));
}

static void take_away(stolen named)
{
    place_plant(&here, named.key, named.key_len, NULL, 0);
}

/* Each in the other's place. */
static void swap(const stolen_set *set, stolen one, stolen other)
{
    const stolen *first = named_in(set, one), *second = named_in(set, other);

    place_plant(&here, one.key, one.key_len, second->value, second->value_len);
    place_plant(&here, other.key, other.key_len, first->value, first->value_len);
}

/* --- records in a wrong place --------------------------------------------------------------- */

static kms_status encrypt(const char *keyref)
{
    uint8_t blob[200];
    size_t len;

    return kms_encrypt(store, keyref, NULL, "x", 1, blob, sizeof blob, &len);
}

static kms_status decrypt(const uint8_t *blob, size_t len)
{
    char plain[100];
    size_t plain_len;

    return kms_decrypt(store, NULL, blob, len, plain, sizeof plain, &plain_len);
}

static kms_status read_tags(const char *keyref)
{
    static kms_tag_info tags[KMS_TAGS_MAX];
    size_t count;

    return kms_list_resource_tags(store, keyref, tags, KMS_TAGS_MAX, &count);
}

static kms_status read_description(const char *keyref)
{
    char text[100];

    return kms_get_key_description(store, keyref, text, sizeof text);
}

static kms_status read_version(const char *keyref)
{
    kms_key_version_info info;

    return kms_describe_key_version(store, keyref, 1, &info);
}

START_TEST(alias_records_that_were_swapped_do_not_open)
{
    stolen_set good;

    setup();
    good = place_steal(&here);
    swap(&good, alias_record("alias/a"), alias_record("alias/b"));
    fixture_is(encrypt("alias/a"), KMS_ERR_CORRUPT);
    fixture_is(encrypt("alias/b"), KMS_ERR_CORRUPT);
    verify_finds("alias/a");
    stolen_free(&good);
    finish();
}
END_TEST

START_TEST(a_version_that_was_moved_to_another_key_does_not_open)
{
    uint8_t blob[200];
    stolen_set good;
    size_t len;

    setup();
    len = fixture_encrypt(store, key_a, "of a", blob, sizeof blob);
    good = place_steal(&here);
    swap(&good, record_of('V', key_a, 2), record_of('V', key_b, 2));
    fixture_is(encrypt(key_a), KMS_ERR_CORRUPT);
    fixture_is(decrypt(blob, len), KMS_ERR_CORRUPT);
    verify_finds("version 2");
    place_restore(&here, &good);
    swap(&good, record_of('V', key_a, 1), record_of('V', key_a, 2));
    fixture_is(encrypt(key_a), KMS_ERR_CORRUPT);
    verify_finds("version 1");
    stolen_free(&good);
    finish();
}
END_TEST

START_TEST(tags_descriptions_and_last_uses_that_were_swapped_do_not_open)
{
    stolen_set good;

    setup();
    good = place_steal(&here);
    swap(&good, record_of('T', key_a, 0), record_of('T', key_b, 0));
    fixture_is(read_tags(key_a), KMS_ERR_CORRUPT);
    fixture_is(kms_verify(store), KMS_ERR_CORRUPT);
    place_restore(&here, &good);
    swap(&good, record_of('D', key_a, 0), record_of('D', key_b, 0));
    fixture_is(read_description(key_a), KMS_ERR_CORRUPT);
    fixture_is(kms_verify(store), KMS_ERR_CORRUPT);
    place_restore(&here, &good);
    swap(&good, record_of('U', key_a, 0), record_of('U', key_b, 0));
    fixture_is(read_version(key_a), KMS_ERR_CORRUPT);
    fixture_is(kms_verify(store), KMS_ERR_CORRUPT);
    fixture_ok(encrypt(key_a));
    place_restore(&here, &good);
    fixture_ok(kms_verify(store));
    stolen_free(&good);
    finish();
}
END_TEST

START_TEST(no_record_of_another_store_opens)
{
    stolen_set foreign, good;
    stolen named;

    setup();
    foreign = place_steal(&here);
    finish();
    setup();
    good = place_steal(&here);
    for (const char *letter = "DIKTUV"; *letter != '\0'; letter++) {
        const stolen *from = stolen_find(&foreign, *letter);

        named = *stolen_find(&good, *letter);
        place_plant(&here, named.key, named.key_len, from->value, from->value_len);
        fixture_is(kms_verify(store), KMS_ERR_CORRUPT);
        place_restore(&here, &good);
    }
    put_back(&foreign, alias_record("alias/a"));
    fixture_is(encrypt("alias/a"), KMS_ERR_CORRUPT);
    verify_finds("alias/a");
    stolen_free(&foreign);
    stolen_free(&good);
    finish();
}
END_TEST

/* --- records taken away --------------------------------------------------------------------- */

START_TEST(a_removed_version_shows_when_it_is_needed)
{
    setup();
    take_away(record_of('V', key_a, 2));
    fixture_is(encrypt(key_a), KMS_ERR_CORRUPT);
    fixture_says("missing");
    verify_finds("version 2");
    finish();
}
END_TEST

START_TEST(a_removed_key_is_not_there_and_verify_finds_it)
{
    setup();
    take_away(record_of('K', key_a, 0));
    fixture_is(encrypt(key_a), KMS_ERR_KEY_NOT_FOUND);
    fixture_is(encrypt("alias/a"), KMS_ERR_CORRUPT);
    verify_finds("missing");
    finish();
}
END_TEST

START_TEST(a_removed_alias_is_made_anew_and_verify_finds_it)
{
    char id[KMS_KEY_ID_SIZE];
    stolen index;

    setup();
    index = record_of('I', key_a, 0);
    memcpy(index.key + 17, "alias/a", 7);
    index.key_len += 7;
    take_away(index);
    take_away(alias_record("alias/a"));
    fixture_is(encrypt("alias/a"), KMS_ERR_ALIAS_NOT_FOUND);
    fixture_is(kms_verify(store), KMS_ERR_CORRUPT);
    fixture_ok(kms_ensure_alias(store, "alias/a", NULL, id));
    ck_assert_str_ne(id, key_a);
    /* What was made since hides nothing. */
    verify_finds("removed");
    finish();
}
END_TEST

START_TEST(removed_tags_descriptions_and_last_uses_are_none_and_verify_finds_it)
{
    char text[100] = "x";
    stolen_set good;

    setup();
    good = place_steal(&here);
    for (const char *letter = "DTU"; *letter != '\0'; letter++) {
        take_away(record_of(*letter, key_a, 0));
        fixture_ok(read_tags(key_a));
        fixture_ok(read_version(key_a));
        fixture_ok(kms_get_key_description(store, key_a, text, sizeof text));
        ck_assert_str_eq(text, *letter == 'D' ? "" : "what a is for");
        fixture_is(kms_verify(store), KMS_ERR_CORRUPT);
        fixture_says("removed");
        place_restore(&here, &good);
    }
    fixture_ok(kms_verify(store));
    stolen_free(&good);
    finish();
}
END_TEST

/* --- records of an older copy --------------------------------------------------------------- */

START_TEST(an_older_alias_record_leads_to_the_key_before_and_verify_finds_it)
{
    uint8_t blob[200];
    kms_blob_info info;
    stolen_set old;
    size_t len;

    setup();
    old = place_steal(&here);
    fixture_ok(kms_update_alias(store, "alias/a", key_b));
    put_back(&old, alias_record("alias/a"));
    len = fixture_encrypt(store, "alias/a", "under the key before", blob, sizeof blob);
    fixture_ok(kms_inspect_blob(blob, len, &info));
    ck_assert_str_eq(info.key_id, key_a);
    verify_finds("alias/a");
    stolen_free(&old);
    finish();
}
END_TEST

static kms_status use(void)
{
    return encrypt(key_a);
}

static kms_status purge(void)
{
    now_ms += 400 * DAY_MS;
    return kms_purge_key(store, key_a, now_ms);
}

static kms_status use_version_1(void)
{
    kms_key_version_info info;

    fixture_ok(kms_describe_key_version(store, key_a, 1, &info));
    return info.state == KMS_KEY_VERSION_ENABLED && !info.retired ? KMS_OK : KMS_ERR_DISABLED;
}

static kms_status find_policy(void)
{
    return fixture_describe(store, key_a).rotation == KMS_ROTATION_ENABLED ? KMS_OK
                                                                           : KMS_ERR_DISABLED;
}

static kms_status disable_key(void)
{
    return kms_disable_key(store, key_a);
}

static kms_status disable_version_1(void)
{
    return kms_disable_key_version(store, key_a, 1);
}

static kms_status raise_minimum(void)
{
    return kms_set_minimum_version(store, key_a, 2, 0);
}

static kms_status schedule_deletion(void)
{
    return kms_schedule_key_deletion(store, key_a, 0, NULL);
}

static kms_status turn_policy_off(void)
{
    return kms_update_rotation_policy(store, key_a, false, 0);
}

static kms_status protect(void)
{
    fixture_ok(kms_set_deletion_protection(store, key_a, true));
    return KMS_OK;
}

/* What one key record says, put back to what it said before. */
static const struct {
    kms_status (*change)(void);
    /* KMS_OK before the change and after its rollback. */
    kms_status (*look)(void);
    kms_status refused;
} rollbacks[] = {
    {disable_key, use, KMS_ERR_DISABLED},
    {disable_version_1, use_version_1, KMS_ERR_DISABLED},
    {raise_minimum, use_version_1, KMS_ERR_DISABLED},
    {schedule_deletion, use, KMS_ERR_PENDING_DELETION},
    {turn_policy_off, find_policy, KMS_ERR_DISABLED},
    {protect, schedule_deletion, KMS_ERR_DELETION_PROTECTED},
};

START_TEST(an_older_key_record_undoes_what_was_changed_and_verify_finds_it)
{
    stolen_set old;

    setup();
    old = place_steal(&here);
    fixture_ok(rollbacks[_i].change());
    ck_assert_int_eq(rollbacks[_i].look(), rollbacks[_i].refused);
    put_back(&old, record_of('K', key_a, 0));
    ck_assert_int_eq(rollbacks[_i].look(), KMS_OK);
    verify_finds("replayed");
    stolen_free(&old);
    finish();
}
END_TEST

START_TEST(an_older_key_record_undoes_a_rotation_and_verify_finds_it)
{
    uint8_t blob[200];
    stolen_set old;
    size_t len;

    setup();
    old = place_steal(&here);
    fixture_rotate(store, key_a);
    len = fixture_encrypt(store, key_a, "under version 3", blob, sizeof blob);
    put_back(&old, record_of('K', key_a, 0));
    fixture_is(decrypt(blob, len), KMS_ERR_INVALID_CIPHERTEXT);
    verify_finds("is no version of its key");
    stolen_free(&old);
    finish();
}
END_TEST

/* A key record that says pending deletion, put back over a cancelled deletion: it may be purged. */
START_TEST(a_deletion_that_was_cancelled_can_be_put_back_and_verify_finds_it)
{
    stolen_set old;

    setup();
    fixture_ok(kms_schedule_key_deletion(store, key_a, KMS_DELETION_DAYS_MIN, NULL));
    old = place_steal(&here);
    fixture_ok(kms_cancel_key_deletion(store, key_a));
    put_back(&old, record_of('K', key_a, 0));
    fixture_is(encrypt(key_a), KMS_ERR_PENDING_DELETION);
    fixture_is(kms_verify(store), KMS_ERR_CORRUPT);
    fixture_ok(purge());
    /* It is gone, but the store tells for ever that somebody wrote it. */
    verify_finds("replayed");
    stolen_free(&old);
    finish();
}
END_TEST

START_TEST(older_tags_descriptions_and_last_uses_open_and_verify_finds_them)
{
    static const kms_tag tag = {"owner", "carol"};
    char text[100];
    stolen_set old;

    setup();
    old = place_steal(&here);
    fixture_ok(kms_tag_resource(store, key_a, &tag, 1));
    fixture_ok(kms_update_key_description(store, key_a, "another"));
    now_ms += 2 * 3600 * 1000;
    fixture_ok(encrypt(key_a));
    fixture_ok(kms_flush_last_use(store));
    for (const char *letter = "DTU"; *letter != '\0'; letter++) {
        stolen_set now = place_steal(&here);

        put_back(&old, record_of(*letter, key_a, 0));
        fixture_ok(read_tags(key_a));
        fixture_ok(read_version(key_a));
        fixture_ok(kms_get_key_description(store, key_a, text, sizeof text));
        ck_assert_str_eq(text, *letter == 'D' ? "what a is for" : "another");
        fixture_is(kms_verify(store), KMS_ERR_CORRUPT);
        fixture_says("replayed");
        place_restore(&here, &now);
        stolen_free(&now);
    }
    fixture_ok(kms_verify(store));
    stolen_free(&old);
    finish();
}
END_TEST

START_TEST(last_uses_put_back_with_their_header_are_not_noticed)
{
    kms_key_version_info before, after;
    stolen_set old;

    setup();
    old = place_steal(&here);
    now_ms += 2 * 3600 * 1000;
    fixture_ok(encrypt(key_a));
    fixture_ok(kms_flush_last_use(store));
    fixture_ok(kms_describe_key_version(store, key_a, 2, &before));
    place_restore(&here, &old);
    fixture_ok(kms_describe_key_version(store, key_a, 2, &after));
    ck_assert_int_lt(after.last_encrypt_ms, before.last_encrypt_ms);
    fixture_ok(kms_verify(store));
    stolen_free(&old);
    finish();
}
END_TEST

START_TEST(a_replay_shows_after_later_changes_too)
{
    stolen_set old;

    setup();
    old = place_steal(&here);
    fixture_ok(kms_disable_key(store, key_a));
    put_back(&old, record_of('K', key_a, 0));
    /* The library itself writes over the record that was put back. */
    fixture_rotate(store, key_a);
    fixture_ok(kms_disable_key(store, key_a));
    verify_finds("replayed");
    stolen_free(&old);
    finish();
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {alias_records_that_were_swapped_do_not_open, 0},
        {a_version_that_was_moved_to_another_key_does_not_open, 0},
        {tags_descriptions_and_last_uses_that_were_swapped_do_not_open, 0},
        {no_record_of_another_store_opens, 0},
        {a_removed_version_shows_when_it_is_needed, 0},
        {a_removed_key_is_not_there_and_verify_finds_it, 0},
        {a_removed_alias_is_made_anew_and_verify_finds_it, 0},
        {removed_tags_descriptions_and_last_uses_are_none_and_verify_finds_it, 0},
        {an_older_alias_record_leads_to_the_key_before_and_verify_finds_it, 0},
        {an_older_key_record_undoes_what_was_changed_and_verify_finds_it,
         sizeof rollbacks / sizeof *rollbacks},
        {an_older_key_record_undoes_a_rotation_and_verify_finds_it, 0},
        {a_deletion_that_was_cancelled_can_be_put_back_and_verify_finds_it, 0},
        {older_tags_descriptions_and_last_uses_open_and_verify_finds_them, 0},
        {last_uses_put_back_with_their_header_are_not_noticed, 0},
        {a_replay_shows_after_later_changes_too, 0},
    };

    return fixture_main("tampering", tests, sizeof tests / sizeof *tests, 60);
}
