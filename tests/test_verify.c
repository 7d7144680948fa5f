/* kms_verify(): what somebody did behind the store's back is found, and what the library itself
 * does is always in order. */
#include "support/named_records.h"

#include "domain/version_record.h"

#include <stdlib.h>
#include <string.h>

static place here;
static kms_store *store;
static char key_a[KMS_KEY_ID_SIZE], key_b[KMS_KEY_ID_SIZE];

static void give_all(const char *key_id, const char *text)
{
    kms_tag tag = {"owner", text};
    uint8_t blob[200];

    fixture_ok(kms_update_key_description(store, key_id, text));
    fixture_ok(kms_tag_resource(store, key_id, &tag, 1));
    fixture_encrypt(store, key_id, "used", blob, sizeof blob);
}

/* Two keys with two versions, an alias, a description, tags and last uses each. */
static void setup(void)
{
    place_init(&here);
    store = place_open(&here);
    fixture_create_key(store, key_a);
    fixture_create_key(store, key_b);
    fixture_rotate(store, key_a);
    fixture_rotate(store, key_b);
    fixture_ok(kms_create_alias(store, "alias/a", key_a));
    fixture_ok(kms_create_alias(store, "alias/b", key_b));
    give_all(key_a, "anna");
    give_all(key_b, "bert");
    fixture_ok(kms_flush_last_use(store));
    fixture_ok(kms_verify(store));
}

static void finish(void)
{
    kms_close(store);
    place_free(&here);
}

/* As another process would, with nothing remembered. */
static kms_status verify_anew(void)
{
    kms_store *fresh = NULL;
    kms_status st;

    kms_close(store);
    store = NULL;
    st = place_try_open(&here, &fresh, 0, NULL);
    if (st == KMS_OK)
        st = kms_verify(fresh);
    store = fresh;
    return st;
}

static bool is_sealed(const stolen *record)
{
    return record->key[0] != 'B' && record->key[0] != 'H';
}

static bool same_key(const stolen *one, const stolen *other)
{
    return one->key_len == other->key_len && memcmp(one->key, other->key, one->key_len) == 0;
}

static bool same_value(const stolen *one, const stolen *other)
{
    return one->value_len == other->value_len &&
           memcmp(one->value, other->value, one->value_len) == 0;
}

/* --- records --------------------------------------------------------------------------------- */

START_TEST(a_record_that_was_removed_is_missed)
{
    stolen_set good;

    setup();
    good = place_steal(&here);
    for (size_t i = 0; i < good.count; i++) {
        place_plant(&here, good.records[i].key, good.records[i].key_len, NULL, 0);
        if (good.records[i].key[0] == 'B')
            fixture_is(kms_verify(store), KMS_ERR_CORRUPT);
        else
            fixture_is(verify_anew(), KMS_ERR_CORRUPT);
        place_restore(&here, &good);
        fixture_ok(verify_anew());
    }
    ck_assert_uint_eq(good.count, 2 + 2 + 4 + 2 + 2 + 3 * 2);
    stolen_free(&good);
    finish();
}
END_TEST

START_TEST(a_record_that_was_altered_at_any_byte_is_found)
{
    stolen_set good;
    size_t tried = 0;

    setup();
    good = place_steal(&here);
    for (size_t i = 0; i < good.count; i++) {
        stolen *record = &good.records[i];

        for (size_t at = 0; at < record->value_len; at++, tried++) {
            kms_status st;

            record->value[at] ^= (uint8_t)(1u << (at + (size_t)_i) % 8);
            place_plant_record(&here, record);
            st = kms_verify(store);
            if (st != KMS_ERR_CORRUPT && st != KMS_ERR_NEWER_FORMAT)
                ck_abort_msg("record %c, byte %zu: %s", record->key[0], at, kms_status_name(st));
            record->value[at] ^= (uint8_t)(1u << (at + (size_t)_i) % 8);
        }
        place_plant_record(&here, record);
    }
    ck_assert_uint_gt(tried, 1000);
    fixture_ok(kms_verify(store));
    stolen_free(&good);
    finish();
}
END_TEST

/* As in a damaged tree, whose pages show a record that a search for it does not reach. */
START_TEST(a_record_that_is_listed_and_not_found_is_damage)
{
    unsigned long nth = 0, fired = 1;

    setup();
    while (fired == 1) {
        kms_status st;

        engine_fail(&here.control, ENGINE_GET, ++nth, KMS_ERR_NOT_FOUND, false);
        st = kms_verify(store);
        fired = engine_disarm(&here.control);
        fixture_is(st, fired == 1 ? KMS_ERR_CORRUPT : KMS_OK);
        fixture_says(nth == 1   ? "the store's header record"
                     : nth == 2 ? "the store's boot record"
                                : " of ");
    }
    ck_assert_uint_gt(nth, 2 + 4 * 2 + 4);
    finish();
}
END_TEST

START_TEST(an_alias_record_with_a_name_that_no_alias_has_is_damage)
{
    static const char key[] = "Aalias/z\0z";

    setup();
    place_plant(&here, key, sizeof key - 1, "0123456789012345678901234567890123456789012345", 46);
    fixture_is(kms_verify(store), KMS_ERR_CORRUPT);
    fixture_says("record of alias/z");
    finish();
}
END_TEST

START_TEST(a_record_that_was_cut_or_grew_is_found)
{
    stolen_set good;

    setup();
    good = place_steal(&here);
    for (size_t i = 0; i < good.count; i++) {
        stolen record = good.records[i];

        for (size_t len = 0; len < record.value_len; len += len < 50 ? 1 : 13) {
            place_plant(&here, record.key, record.key_len, record.value, len);
            if (kms_verify(store) != KMS_ERR_CORRUPT)
                ck_abort_msg("record %c, cut to %zu bytes", record.key[0], len);
        }
        record.value[record.value_len] = 0;
        place_plant(&here, record.key, record.key_len, record.value, record.value_len + 1);
        ck_assert_int_ne(kms_verify(store), KMS_OK);
        place_plant_record(&here, &record);
    }
    fixture_ok(kms_verify(store));
    stolen_free(&good);
    finish();
}
END_TEST

START_TEST(a_record_that_was_swapped_with_another_is_found)
{
    stolen_set good;
    size_t swapped = 0;

    setup();
    good = place_steal(&here);
    for (size_t i = 0; i < good.count; i++)
        for (size_t j = 0; j < i; j++) {
            stolen *one = &good.records[i], *other = &good.records[j];

            if (one->key[0] != other->key[0])
                continue;
            place_plant(&here, one->key, one->key_len, other->value, other->value_len);
            fixture_is(kms_verify(store), KMS_ERR_CORRUPT);
            place_plant(&here, other->key, other->key_len, one->value, one->value_len);
            fixture_is(kms_verify(store), KMS_ERR_CORRUPT);
            place_plant_record(&here, one);
            place_plant_record(&here, other);
            swapped++;
        }
    /* Keys, aliases, index records, descriptions, tags, last uses, and six pairs of versions. */
    ck_assert_uint_eq(swapped, 6 * 1 + 6);
    fixture_ok(kms_verify(store));
    stolen_free(&good);
    finish();
}
END_TEST

START_TEST(a_record_of_another_store_is_found)
{
    stolen_set good, foreign;

    setup();
    foreign = place_steal(&here);
    finish();
    setup();
    good = place_steal(&here);
    for (size_t i = 0; i < foreign.count; i++) {
        const stolen *record = &foreign.records[i];

        if (record->key[0] == 'H' || record->key[0] == 'B')
            continue;
        place_plant_record(&here, record);
        fixture_is(kms_verify(store), KMS_ERR_CORRUPT);
        place_restore(&here, &good);
    }
    fixture_ok(kms_verify(store));
    stolen_free(&good);
    stolen_free(&foreign);
    finish();
}
END_TEST

START_TEST(a_record_that_no_libkms_made_is_found)
{
    static const struct {
        const char *key;
        size_t len;
    } strange[] = {{"A", 1},
                   {"C", 1},
                   {"I", 1},
                   {"Ialias/a", 8},
                   {"K", 1},
                   {"Kshort", 6},
                   {"V", 1},
                   {"\0", 1},
                   {"\xff", 1},
                   {"B2", 2},
                   {"H2", 2},
                   {"Aalias/c", 8},
                   {"D", 1},
                   {"T", 1},
                   {"U", 1},
                   {"Dshort", 6},
                   {"U0123456789abcdef0", 18}};
    static uint8_t longest[KMS_RECORD_KEY_MAX];
    stolen_set good;

    setup();
    good = place_steal(&here);
    for (size_t i = 0; i <= sizeof strange / sizeof *strange; i++) {
        bool last = i == sizeof strange / sizeof *strange;

        memset(longest, 'K', sizeof longest);
        place_plant(&here, last ? (const void *)longest : strange[i].key,
                    last ? sizeof longest : strange[i].len, good.records[0].value,
                    good.records[0].value_len);
        fixture_is(kms_verify(store), KMS_ERR_CORRUPT);
        place_restore(&here, &good);
    }
    fixture_ok(kms_verify(store));
    stolen_free(&good);
    finish();
}
END_TEST

/* --- replays ---------------------------------------------------------------------------------- */

/* What changed and came between two copies: each of it put back alone, and all of it. */
static size_t replay_each(const stolen_set *old, const stolen_set *now)
{
    size_t replayed = 0;

    for (size_t i = 0; i < old->count; i++) {
        bool unchanged = false;

        for (size_t j = 0; j < now->count; j++)
            unchanged |= same_key(&old->records[i], &now->records[j]) &&
                         same_value(&old->records[i], &now->records[j]);
        if (unchanged || !is_sealed(&old->records[i]))
            continue;
        place_plant_record(&here, &old->records[i]);
        fixture_is(kms_verify(store), KMS_ERR_CORRUPT);
        place_restore(&here, now);
        replayed++;
    }
    return replayed;
}

static void replay_all(const stolen_set *old, const stolen_set *now)
{
    for (size_t i = 0; i < old->count; i++)
        if (is_sealed(&old->records[i]))
            place_plant_record(&here, &old->records[i]);
    fixture_is(kms_verify(store), KMS_ERR_CORRUPT);
    fixture_is(verify_anew(), KMS_ERR_CORRUPT);
    place_restore(&here, now);
    fixture_ok(verify_anew());
}

static void change_everything(void)
{
    fixture_ok(kms_disable_key_version(store, key_a, 1));
    fixture_rotate(store, key_b);
    fixture_ok(kms_update_alias(store, "alias/b", key_a));
    fixture_ok(kms_delete_alias(store, "alias/a"));
    give_all(key_a, "another text");
}

START_TEST(an_older_record_that_was_put_back_is_found)
{
    stolen_set old, now;

    setup();
    old = place_steal(&here);
    change_everything();
    now = place_steal(&here);
    /* Two keys, both aliases, both index records, a description, tags. */
    ck_assert_uint_eq(replay_each(&old, &now), 8);
    replay_all(&old, &now);
    stolen_free(&old);
    stolen_free(&now);
    finish();
}
END_TEST

START_TEST(a_deleted_alias_that_was_put_back_whole_is_found)
{
    stolen_set old;

    setup();
    old = place_steal(&here);
    fixture_ok(kms_delete_alias(store, "alias/a"));
    for (size_t i = 0; i < old.count; i++)
        if ((old.records[i].key[0] == 'A' || old.records[i].key[0] == 'I') &&
            memmem(old.records[i].key, old.records[i].key_len, "alias/a", 7) != NULL)
            place_plant_record(&here, &old.records[i]);
    fixture_is(kms_verify(store), KMS_ERR_CORRUPT);
    fixture_is(verify_anew(), KMS_ERR_CORRUPT);
    fixture_says("added");
    stolen_free(&old);
    finish();
}
END_TEST

START_TEST(an_older_header_over_newer_records_is_found)
{
    stolen_set old;

    setup();
    old = place_steal(&here);
    change_everything();
    place_plant_record(&here, stolen_find(&old, 'H'));
    fixture_is(kms_verify(store), KMS_ERR_ROLLBACK);
    fixture_is(kms_disable_key(store, key_b), KMS_ERR_ROLLBACK);
    fixture_is(verify_anew(), KMS_ERR_CORRUPT);
    stolen_free(&old);
    finish();
}
END_TEST

START_TEST(a_whole_older_copy_is_noticed_only_by_who_saw_the_newer_one)
{
    kms_store_info info = {.version = KMS_STORE_INFO_VERSION};
    uint64_t changes;
    stolen_set old;

    setup();
    changes = fixture_changes(store);
    old = place_steal(&here);
    change_everything();
    ck_assert_uint_eq(fixture_changes(store), changes + 6);
    place_restore(&here, &old);
    fixture_is(kms_verify(store), KMS_ERR_ROLLBACK);
    fixture_is(kms_get_store_info(store, &info), KMS_ERR_ROLLBACK);
    fixture_is(kms_create_alias(store, "alias/new", key_a), KMS_ERR_ROLLBACK);
    fixture_ok(verify_anew());
    ck_assert_uint_eq(fixture_changes(store), changes);
    stolen_free(&old);
    finish();
}
END_TEST

/* --- what does not agree ---------------------------------------------------------------------- */

/* Sealed by the store itself, so that nothing but the disagreement is wrong. */
typedef struct forgery {
    stolen named;
    const char *plain;
    size_t len;
} forgery;

static kms_status write_forgery(kms__txn *txn, void *argument)
{
    const forgery *f = argument;
    kms__record_key name = {.len = f->named.key_len};

    memcpy(name.bytes, f->named.key, f->named.key_len);
    return kms__txn_write(txn, &name, (kms_slice){f->plain, f->len});
}

START_TEST(a_description_tags_or_last_uses_of_no_key_are_found)
{
    static const char nobody[] = "00000000-0000-4000-8000-000000000000";
    const forgery orphans[] = {
        {record_of('D', nobody, 0), "\1text", 5},
        {record_of('T', nobody, 0), "\1\1\1n\0\1v", 7},
        {record_of('U', nobody, 0), "\1\0\0\0\1\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\0", 21},
    };

    for (size_t i = 0; i < sizeof orphans / sizeof *orphans; i++) {
        forgery f = orphans[i];

        setup();
        fixture_ok(kms__store_write(store, write_forgery, &f));
        fixture_is(kms_verify(store), KMS_ERR_CORRUPT);
        fixture_says("missing");
        finish();
        setup();
        /* It is only that the key is not there. */
        f.named = record_of((char)orphans[i].named.key[0], key_a, 0);
        fixture_ok(kms__store_write(store, write_forgery, &f));
        fixture_ok(kms_verify(store));
        finish();
    }
}
END_TEST

/* A key whose primary version expires, in its own record or in the version's alone. */
static kms_status set_one_expiry(kms__txn *txn, void *argument)
{
    const char *letter = argument;
    kms__version_extra extra;
    uint8_t id[KMS__ID_SIZE];
    kms__key key;
    kms_status st;

    ck_assert(kms__id_parse(key_a, id));
    fixture_ok(kms__key_load(txn, id, &key, NULL));
    fixture_ok(kms__version_extra_load(txn, &key, 2, &extra));
    key.expires_ms = extra.expires_ms = INT64_C(1) << 50;
    if (*letter == 'K')
        st = kms__key_save(txn, &key);
    else
        st = kms__version_extra_save(txn, &key, 2, &extra);
    kms__key_clear(&key);
    return st;
}

START_TEST(a_key_and_its_primary_version_that_tell_different_expiries_are_found)
{
    char letters[] = "KV";

    setup();
    fixture_ok(kms__store_write(store, set_one_expiry, &letters[_i]));
    fixture_is(kms_verify(store), KMS_ERR_CORRUPT);
    fixture_says("different dates of expiry");
    fixture_ok(kms__store_write(store, set_one_expiry, &letters[1 - _i]));
    fixture_ok(kms_verify(store));
    finish();
}
END_TEST

START_TEST(tags_that_were_damaged_are_named_and_the_key_goes_on)
{
    static kms_tag_info tags[KMS_TAGS_MAX];
    const stolen *record;
    stolen_set good;
    uint8_t blob[200];
    size_t count;

    setup();
    good = place_steal(&here);
    record = named_in(&good, record_of('T', key_a, 0));
    record->value[record->value_len - 1] ^= 1;
    place_plant_record(&here, record);
    fixture_is(kms_list_resource_tags(store, key_a, tags, KMS_TAGS_MAX, &count), KMS_ERR_CORRUPT);
    fixture_says("the tags of key");
    fixture_is(kms_verify(store), KMS_ERR_CORRUPT);
    fixture_says("the tags of key");
    fixture_encrypt(store, key_a, "goes on", blob, sizeof blob);
    stolen_free(&good);
    finish();
}
END_TEST

/* --- the cache must not serve what is not there any more -------------------------------------- */

START_TEST(a_warm_key_does_not_outlive_its_records)
{
    static const char tags[] = {'A', 'K', 'V'};
    uint8_t blob[200];
    stolen_set good;
    size_t len;

    setup();
    fixture_encrypt(store, "alias/a", "x", blob, sizeof blob);
    good = place_steal(&here);
    for (size_t i = 0; i < good.count; i++)
        if (good.records[i].key[0] == (uint8_t)tags[_i])
            place_plant(&here, good.records[i].key, good.records[i].key_len, NULL, 0);
    ck_assert_int_ne(kms_encrypt(store, "alias/a", NULL, "x", 1, blob, sizeof blob, &len), KMS_OK);
    place_restore(&here, &good);
    fixture_encrypt(store, "alias/a", "x", blob, sizeof blob);
    stolen_free(&good);
    finish();
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {a_record_that_was_removed_is_missed, 0},
        {a_record_that_was_altered_at_any_byte_is_found, 2},
        {a_record_that_is_listed_and_not_found_is_damage, 0},
        {an_alias_record_with_a_name_that_no_alias_has_is_damage, 0},
        {a_record_that_was_cut_or_grew_is_found, 0},
        {a_record_that_was_swapped_with_another_is_found, 0},
        {a_record_of_another_store_is_found, 0},
        {a_record_that_no_libkms_made_is_found, 0},
        {an_older_record_that_was_put_back_is_found, 0},
        {a_deleted_alias_that_was_put_back_whole_is_found, 0},
        {an_older_header_over_newer_records_is_found, 0},
        {a_whole_older_copy_is_noticed_only_by_who_saw_the_newer_one, 0},
        {a_description_tags_or_last_uses_of_no_key_are_found, 0},
        {a_key_and_its_primary_version_that_tell_different_expiries_are_found, 2},
        {tags_that_were_damaged_are_named_and_the_key_goes_on, 0},
        {a_warm_key_does_not_outlive_its_records, 3},
    };

    return fixture_main("verify", tests, sizeof tests / sizeof *tests, 120);
}
