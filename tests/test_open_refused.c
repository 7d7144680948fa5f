/* What does not open: wrong root keys, other things than stores, newer formats, and damage. */
#include "support/api_fixture.h"

#include "vault/boot.h"
#include "vault/record.h"

#include <string.h>

static place here;

static void check_consumed(void)
{
    ck_assert_uint_eq(here.made, here.closed);
    ck_assert_int_eq(atomic_load(&here.control.open_txns), 0);
}

/* Opening fails like this, leaves *store alone, and takes the engine over all the same. */
static void refuses(uint32_t flags, kms_status wanted)
{
    kms_store *store = (kms_store *)&here;

    fixture_is(place_try_open(&here, &store, flags, NULL), wanted);
    ck_assert_ptr_eq(store, &here);
    check_consumed();
}

static void make_and_close(void)
{
    kms_close(place_open(&here));
    check_consumed();
}

/* --- wrong keys, and what is no store ------------------------------------------------------- */

START_TEST(a_wrong_root_key_does_not_open_the_store)
{
    kms_store *store = NULL;

    place_init(&here);
    make_and_close();
    for (unsigned fill = 1; fill < 256; fill += 50) {
        fixture_is(kms_open(&store, place_engine(&here), fixture_root((uint8_t)fill), 0, NULL),
                   KMS_ERR_WRONG_ROOT_KEY);
        check_consumed();
    }
    ck_assert_ptr_null(store);
    make_and_close();
    place_free(&here);
}
END_TEST

START_TEST(a_root_of_another_kind_does_not_open_the_store)
{
    kms_store *store = NULL;
    kms_root *root;

    place_init(&here);
    make_and_close();
    fixture_ok(kms_root_passphrase(&root, "RRRR", 4));
    fixture_is(kms_open(&store, place_engine(&here), root, 0, NULL), KMS_ERR_WRONG_ROOT_KEY);
    fixture_says("no slot for a root of kind \"passphrase\"");
    check_consumed();
    place_free(&here);
}
END_TEST

START_TEST(what_is_no_store_is_refused_and_left_untouched)
{
    static uint8_t large[KMS__BOOT_MAX + 1] = "KMSS\1";
    const kms_record strangers[] = {
        {{"A", 1}, {"someone's", 9}},
        {{"B", 1}, {"", 0}},
        {{"B", 1}, {"KMS", 3}},
        {{"B", 1}, {"KMSX\1aaaaaaaaaaaaaaaaaaaaaaaaaaa", 32}},
        {{"B", 1}, {large, sizeof large}},
    };
    stolen_set before, after;

    place_init(&here);
    place_create_raw(&here, &strangers[_i], 1);
    before = place_steal(&here);
    refuses(0, KMS_ERR_NOT_A_STORE);
    refuses(KMS_OPEN_CREATE, KMS_ERR_NOT_A_STORE);
    refuses(KMS_OPEN_READ_ONLY, KMS_ERR_NOT_A_STORE);
    after = place_steal(&here);
    ck_assert_uint_eq(after.count, 1);
    ck_assert_uint_eq(after.records[0].value_len, before.records[0].value_len);
    ck_assert_int_eq(
        memcmp(after.records[0].value, before.records[0].value, before.records[0].value_len), 0);
    stolen_free(&before);
    stolen_free(&after);
    place_free(&here);
}
END_TEST

/* --- newer formats -------------------------------------------------------------------------- */

/* Alters one byte of the record of a tag, and tells what opening answers. */
static kms_status open_altered(char tag, size_t at, uint8_t mask)
{
    stolen_set good = place_steal(&here);
    stolen bad = *stolen_find(&good, tag);
    kms_store *store = NULL;
    kms_status st;

    bad.value[at] ^= mask;
    place_plant_record(&here, &bad);
    st = place_try_open(&here, &store, 0, NULL);
    kms_close(store);
    bad.value[at] ^= mask;
    place_plant_record(&here, &bad);
    stolen_free(&good);
    return st;
}

START_TEST(a_newer_store_is_refused_with_a_message_that_says_so)
{
    place_init(&here);
    make_and_close();
    fixture_is(open_altered('B', 4, KMS__BOOT_FORMAT ^ 2), KMS_ERR_NEWER_FORMAT);
    fixture_says("newer libkms");
    fixture_is(open_altered('H', 0, KMS__RECORD_FORMAT ^ 2), KMS_ERR_NEWER_FORMAT);
    fixture_says("newer libkms");
    make_and_close();
    place_free(&here);
}
END_TEST

START_TEST(a_header_that_grew_is_a_newer_one)
{
    stolen_set good;
    stolen header;

    place_init(&here);
    make_and_close();
    good = place_steal(&here);
    header = *stolen_find(&good, 'H');
    header.value[header.value_len++] = 0;
    place_plant_record(&here, &header);
    refuses(0, KMS_ERR_NEWER_FORMAT);
    stolen_free(&good);
    place_free(&here);
}
END_TEST

START_TEST(a_boot_record_that_still_unlocks_but_is_not_the_headers_is_refused)
{
    stolen_set good;
    stolen boot;

    place_init(&here);
    make_and_close();
    good = place_steal(&here);
    boot = *stolen_find(&good, 'B');
    /* A second slot, which is not looked at once the first fits. */
    ck_assert_uint_eq(boot.value[25], 1);
    boot.value[25] = 2;
    place_plant_record(&here, &boot);
    refuses(0, KMS_ERR_CORRUPT);
    fixture_says("tampered");
    /* Something behind the last slot. */
    boot.value[25] = 1;
    boot.value[boot.value_len++] = 0;
    place_plant_record(&here, &boot);
    refuses(0, KMS_ERR_CORRUPT);
    boot.value_len--;
    place_plant_record(&here, &boot);
    make_and_close();
    stolen_free(&good);
    place_free(&here);
}
END_TEST

START_TEST(a_newer_record_is_refused_with_a_message_that_says_so)
{
    static const char tags[] = {'A', 'K', 'V'};
    stolen_set good;
    uint8_t blob[200];
    stolen bad;
    kms_store *store;
    size_t len;

    place_init(&here);
    store = place_open(&here);
    fixture_ok(kms_ensure_alias(store, "alias/a", NULL, NULL));
    good = place_steal(&here);
    bad = *stolen_find(&good, tags[_i]);
    bad.value[0] = KMS__RECORD_FORMAT + 1;
    place_plant_record(&here, &bad);
    fixture_is(kms_encrypt(store, "alias/a", NULL, "x", 1, blob, sizeof blob, &len),
               KMS_ERR_NEWER_FORMAT);
    fixture_says("newer libkms");
    fixture_is(kms_would(store, KMS_OP_ENCRYPT, "alias/a"), KMS_ERR_NEWER_FORMAT);
    fixture_is(kms_verify(store), KMS_ERR_NEWER_FORMAT);
    kms_close(store);
    stolen_free(&good);
    place_free(&here);
}
END_TEST

/* --- damage --------------------------------------------------------------------------------- */

static void check_never_opens(char tag, uint8_t mask)
{
    stolen_set good = place_steal(&here);
    size_t len = stolen_find(&good, tag)->value_len;

    for (size_t at = 0; at < len; at++) {
        kms_status st = open_altered(tag, at, mask);

        ck_assert_msg(st == KMS_ERR_CORRUPT || st == KMS_ERR_NEWER_FORMAT ||
                          st == KMS_ERR_WRONG_ROOT_KEY || st == KMS_ERR_NOT_A_STORE,
                      "%c, byte %zu: %s", tag, at, kms_status_name(st));
        if (here.made != here.closed || kms_error_status() != st)
            ck_abort_msg("%c, byte %zu: the engine stays open, or no sentence", tag, at);
    }
    stolen_free(&good);
    make_and_close();
}

START_TEST(a_boot_or_header_record_altered_at_any_byte_never_opens)
{
    static const uint8_t masks[] = {0x01, 0x80, 0xff};

    place_init(&here);
    make_and_close();
    check_never_opens('B', masks[_i]);
    check_never_opens('H', masks[_i]);
    place_free(&here);
}
END_TEST

static void check_no_cut_opens(char tag)
{
    stolen_set good = place_steal(&here);
    stolen cut = *stolen_find(&good, tag);
    size_t whole = cut.value_len;
    kms_store *store = NULL;

    for (cut.value_len = 0; cut.value_len < whole; cut.value_len++) {
        place_plant_record(&here, &cut);
        ck_assert_int_ne(place_try_open(&here, &store, 0, NULL), KMS_OK);
        check_consumed();
    }
    place_plant_record(&here, &cut);
    make_and_close();
    place_plant(&here, cut.key, cut.key_len, NULL, 0);
    ck_assert_int_ne(place_try_open(&here, &store, KMS_OPEN_CREATE, NULL), KMS_OK);
    check_consumed();
    place_plant_record(&here, &cut);
    stolen_free(&good);
}

START_TEST(a_boot_or_header_record_that_is_cut_or_gone_never_opens)
{
    place_init(&here);
    make_and_close();
    check_no_cut_opens('B');
    check_no_cut_opens('H');
    place_free(&here);
}
END_TEST

START_TEST(the_boot_record_of_another_store_under_the_same_root_does_not_fit)
{
    stolen_set one, other;
    place second;

    place_init(&here);
    place_init(&second);
    make_and_close();
    kms_close(place_open(&second));
    one = place_steal(&here);
    other = place_steal(&second);
    place_plant_record(&here, stolen_find(&other, 'B'));
    refuses(0, KMS_ERR_CORRUPT);
    place_restore(&here, &one);
    place_plant_record(&here, stolen_find(&other, 'H'));
    refuses(0, KMS_ERR_CORRUPT);
    place_restore(&here, &one);
    make_and_close();
    stolen_free(&one);
    stolen_free(&other);
    place_free(&second);
    place_free(&here);
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {a_wrong_root_key_does_not_open_the_store, 0},
        {a_root_of_another_kind_does_not_open_the_store, 0},
        {what_is_no_store_is_refused_and_left_untouched, 5},
        {a_newer_store_is_refused_with_a_message_that_says_so, 0},
        {a_header_that_grew_is_a_newer_one, 0},
        {a_boot_record_that_still_unlocks_but_is_not_the_headers_is_refused, 0},
        {a_newer_record_is_refused_with_a_message_that_says_so, 3},
        {a_boot_or_header_record_altered_at_any_byte_never_opens, 3},
        {a_boot_or_header_record_that_is_cut_or_gone_never_opens, 0},
        {the_boot_record_of_another_store_under_the_same_root_does_not_fit, 0},
    };

    return fixture_main("open_refused", tests, sizeof tests / sizeof *tests, 60);
}
