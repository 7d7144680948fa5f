/* Batches: many items in one call, with a status each. */
#include "support/hand_clock.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

enum { ITEMS = 40, FIELD = 24, ROOM = KMS_CIPHERTEXT_SIZE(FIELD) };

static place here;
static kms_store *store;
static char a[KMS_KEY_ID_SIZE], b[KMS_KEY_ID_SIZE];
static char plain[ITEMS][FIELD], again[ITEMS][FIELD], numbers[ITEMS][8];
static uint8_t blobs[ITEMS][ROOM], moved[ITEMS][ROOM];
static kms_context_pair pairs[ITEMS];
static kms_context contexts[ITEMS];
static kms_batch_item items[ITEMS];

static void setup(void)
{
    place_init(&here);
    store = place_open(&here);
    fixture_create_key(store, a);
    fixture_create_key(store, b);
    fixture_ok(kms_create_alias(store, "alias/a", a));
    fixture_ok(kms_create_alias(store, "alias/b", b));
    for (size_t i = 0; i < ITEMS; i++) {
        snprintf(plain[i], FIELD, "field %zu", i);
        snprintf(numbers[i], sizeof numbers[i], "%zu", i);
        pairs[i] = (kms_context_pair){"row", numbers[i]};
        contexts[i] = (kms_context){&pairs[i], 1};
    }
}

static void finish(void)
{
    kms_close(store);
    place_free(&here);
}

static void prepare_encrypt(void)
{
    memset(items, 0, sizeof items);
    for (size_t i = 0; i < ITEMS; i++)
        items[i] = (kms_batch_item){.in = plain[i],
                                    .in_len = strlen(plain[i]) + 1,
                                    .context = &contexts[i],
                                    .out = blobs[i],
                                    .out_size = ROOM};
}

static void encrypt_all(const char *keyref)
{
    prepare_encrypt();
    fixture_ok(kms_encrypt_batch(store, keyref, items, ITEMS));
    for (size_t i = 0; i < ITEMS; i++) {
        ck_assert_int_eq(items[i].status, KMS_OK);
        ck_assert_uint_eq(items[i].out_len, KMS_CIPHERTEXT_SIZE(strlen(plain[i]) + 1));
    }
}

static void prepare_decrypt(uint8_t from[ITEMS][ROOM])
{
    memset(again, 0, sizeof again);
    memset(items, 0, sizeof items);
    for (size_t i = 0; i < ITEMS; i++)
        items[i] = (kms_batch_item){.in = from[i],
                                    .in_len = KMS_CIPHERTEXT_SIZE(strlen(plain[i]) + 1),
                                    .context = &contexts[i],
                                    .out = again[i],
                                    .out_size = FIELD};
}

static void check_item(size_t i, const char *key_id, uint32_t version)
{
    ck_assert_int_eq(items[i].status, KMS_OK);
    ck_assert_str_eq(again[i], plain[i]);
    ck_assert_str_eq(items[i].used.key_id, key_id);
    ck_assert_uint_eq(items[i].used.key_version, version);
}

START_TEST(what_a_batch_encrypts_a_batch_decrypts)
{
    setup();
    encrypt_all("alias/a");
    prepare_decrypt(blobs);
    fixture_ok(kms_decrypt_batch(store, items, ITEMS));
    for (size_t i = 0; i < ITEMS; i++)
        check_item(i, a, 1);
    finish();
}
END_TEST

START_TEST(a_batch_is_the_same_as_its_items_one_by_one)
{
    size_t len;

    setup();
    encrypt_all(a);
    for (size_t i = 0; i < ITEMS; i++) {
        fixture_ok(kms_decrypt(store, &contexts[i], blobs[i],
                               KMS_CIPHERTEXT_SIZE(strlen(plain[i]) + 1), again[i], FIELD, &len));
        ck_assert_str_eq(again[i], plain[i]);
        fixture_ok(kms_encrypt(store, i % 2 == 0 ? a : b, &contexts[i], plain[i],
                               strlen(plain[i]) + 1, blobs[i], ROOM, &len));
    }
    prepare_decrypt(blobs);
    fixture_ok(kms_decrypt_batch(store, items, ITEMS));
    for (size_t i = 0; i < ITEMS; i++)
        check_item(i, i % 2 == 0 ? a : b, 1);
    finish();
}
END_TEST

START_TEST(a_batch_looks_its_key_up_once)
{
    setup();
    encrypt_all("alias/a");
    engine_reset_counts(&here.control);
    encrypt_all("alias/a");
    ck_assert_uint_eq(engine_count(&here.control, ENGINE_HINT), 1);
    prepare_decrypt(blobs);
    fixture_ok(kms_decrypt_batch(store, items, ITEMS));
    engine_reset_counts(&here.control);
    fixture_ok(kms_decrypt_batch(store, items, ITEMS));
    ck_assert_uint_eq(engine_count(&here.control, ENGINE_ANY), 1);
    finish();
}
END_TEST

START_TEST(what_is_wrong_with_an_item_is_that_items_status)
{
    setup();
    encrypt_all("alias/a");
    prepare_encrypt();
    items[3].in = NULL;
    items[5].out_size = ROOM - FIELD;
    items[7].out = NULL;
    fixture_is(kms_encrypt_batch(store, "alias/a", items, ITEMS), KMS_ERR_INVALID_ARGUMENT);
    for (size_t i = 0; i < ITEMS; i++)
        ck_assert_int_eq(items[i].status, i == 3 || i == 7 ? KMS_ERR_INVALID_ARGUMENT
                                          : i == 5         ? KMS_ERR_BUFFER_TOO_SMALL
                                                           : KMS_OK);

    encrypt_all("alias/a");
    blobs[4][100] ^= 1;
    prepare_decrypt(blobs);
    items[9].context = NULL;
    items[11].out_size = 1;
    fixture_is(kms_decrypt_batch(store, items, ITEMS), KMS_ERR_INVALID_CIPHERTEXT);
    for (size_t i = 0; i < ITEMS; i++) {
        if (i == 4 || i == 9) {
            ck_assert_int_eq(items[i].status, KMS_ERR_INVALID_CIPHERTEXT);
            ck_assert_int_eq(sodium_is_zero((uint8_t *)again[i], FIELD), 1);
            ck_assert_uint_eq(items[i].out_len, 0);
        } else if (i == 11) {
            ck_assert_int_eq(items[i].status, KMS_ERR_BUFFER_TOO_SMALL);
        } else {
            check_item(i, a, 1);
        }
    }
    finish();
}
END_TEST

START_TEST(what_is_wrong_with_the_key_is_every_items_status)
{
    setup();
    fixture_ok(kms_disable_key(store, a));
    prepare_encrypt();
    fixture_is(kms_encrypt_batch(store, "alias/a", items, ITEMS), KMS_ERR_DISABLED);
    for (size_t i = 0; i < ITEMS; i++)
        ck_assert_int_eq(items[i].status, KMS_ERR_DISABLED);
    fixture_is(kms_encrypt_batch(store, "alias/none", items, ITEMS), KMS_ERR_ALIAS_NOT_FOUND);
    finish();
}
END_TEST

START_TEST(a_batch_of_nothing_is_refused)
{
    setup();
    prepare_encrypt();
    items[0].status = KMS_ERR_FULL;
    fixture_is(kms_encrypt_batch(store, "alias/a", items, 0), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_encrypt_batch(store, "alias/a", NULL, 1), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_encrypt_batch(store, NULL, items, 1), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_encrypt_batch(store, "none", items, 1), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_encrypt_batch(NULL, "alias/a", items, 1), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_decrypt_batch(store, items, 0), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_re_encrypt_batch(store, "alias/a", items, 0), KMS_ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(items[0].status, KMS_ERR_INVALID_ARGUMENT);
    finish();
}
END_TEST

/* As every encrypting call: the first one that meets a key that is due. */
START_TEST(a_batch_that_meets_a_due_key_rotates_it)
{
    hand_clock hand = {HAND_START};

    setup();
    kms_close(store);
    store = hand_open(&here, &hand, 0, NULL);
    fixture_ok(kms_update_rotation_policy(store, a, true, 7));
    fixture_ok(kms_update_rotation_policy(store, b, true, 7));
    encrypt_all("alias/a");
    hand.now_ms += 7 * DAY_MS;
    encrypt_all("alias/a");
    prepare_decrypt(blobs);
    fixture_ok(kms_decrypt_batch(store, items, ITEMS));
    for (size_t i = 0; i < ITEMS; i++)
        check_item(i, a, 2);
    for (size_t i = 0; i < ITEMS; i++) {
        items[i].out = moved[i];
        items[i].out_size = ROOM;
        items[i].new_context = &contexts[i];
    }
    fixture_ok(kms_re_encrypt_batch(store, "alias/b", items, ITEMS));
    ck_assert_uint_eq(fixture_describe(store, b).primary_version, 2);
    finish();
}
END_TEST

START_TEST(a_batch_moves_to_another_key)
{
    setup();
    encrypt_all("alias/a");
    fixture_rotate(store, b);
    blobs[6][90] ^= 1;
    prepare_decrypt(blobs);
    for (size_t i = 0; i < ITEMS; i++) {
        items[i].out = moved[i];
        items[i].out_size = ROOM;
        items[i].new_context = &contexts[i];
    }
    fixture_is(kms_re_encrypt_batch(store, "alias/b", items, ITEMS), KMS_ERR_INVALID_CIPHERTEXT);
    for (size_t i = 0; i < ITEMS; i++)
        ck_assert_int_eq(items[i].status, i == 6 ? KMS_ERR_INVALID_CIPHERTEXT : KMS_OK);
    ck_assert_str_eq(items[0].used.key_id, a);
    prepare_decrypt(moved);
    items[6].in = NULL;
    fixture_is(kms_decrypt_batch(store, items, ITEMS), KMS_ERR_INVALID_ARGUMENT);
    for (size_t i = 0; i < ITEMS; i++)
        if (i != 6)
            check_item(i, b, 2);
    finish();
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {what_a_batch_encrypts_a_batch_decrypts, 0},
        {a_batch_is_the_same_as_its_items_one_by_one, 0},
        {a_batch_looks_its_key_up_once, 0},
        {what_is_wrong_with_an_item_is_that_items_status, 0},
        {what_is_wrong_with_the_key_is_every_items_status, 0},
        {a_batch_of_nothing_is_refused, 0},
        {a_batch_moves_to_another_key, 0},
        {a_batch_that_meets_a_due_key_rotates_it, 0},
    };

    return fixture_main("batch", tests, sizeof tests / sizeof *tests, 60);
}
