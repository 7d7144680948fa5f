/* kms_verify(): what somebody did behind the store's back is found, and what the library itself
 * does is always in order. */
#include "support/api_fixture.h"

#include <stdlib.h>
#include <string.h>

static place here;
static kms_store *store;
static char key_a[KMS_KEY_ID_SIZE], key_b[KMS_KEY_ID_SIZE];

/* Two keys with two versions each, and two aliases. */
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
    ck_assert_uint_eq(good.count, 2 + 2 + 4 + 2 + 2);
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
                                : "record of ");
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
    /* Keys, aliases, index records, and six pairs of versions. */
    ck_assert_uint_eq(swapped, 1 + 1 + 1 + 6);
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
    } strange[] = {{"A", 1}, {"C", 1},  {"I", 1},    {"Ialias/a", 8}, {"K", 1},  {"Kshort", 6},
                   {"V", 1}, {"\0", 1}, {"\xff", 1}, {"B2", 2},       {"H2", 2}, {"Aalias/c", 8}};
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
    fixture_ok(kms_disable_key(store, key_a));
    fixture_rotate(store, key_b);
    fixture_ok(kms_update_alias(store, "alias/b", key_a));
    fixture_ok(kms_delete_alias(store, "alias/a"));
}

START_TEST(an_older_record_that_was_put_back_is_found)
{
    stolen_set old, now;

    setup();
    old = place_steal(&here);
    change_everything();
    now = place_steal(&here);
    /* Two keys, both aliases, both index records. */
    ck_assert_uint_eq(replay_each(&old, &now), 6);
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
    ck_assert_uint_eq(fixture_changes(store), changes + 4);
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
        {a_warm_key_does_not_outlive_its_records, 3},
    };

    return fixture_main("verify", tests, sizeof tests / sizeof *tests, 60);
}
