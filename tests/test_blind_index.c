/* Blind indexes: a token for each value of each index, under the alias' key and the key before. */
#include "support/api_fixture.h"
#include "support/imported.h"

#include <sodium.h>
#include <string.h>

#define MOST KMS_BLIND_INDEX_TOKEN_MAX
#define LABEL "people.name"
#define DAY_MS (INT64_C(24) * 3600 * 1000)

static place here;
static kms_store *store;
static char a[KMS_KEY_ID_SIZE], b[KMS_KEY_ID_SIZE];
static kms_blind_tokens tokens, again;

static int64_t now_ms = INT64_C(1800000000000);

static int64_t the_time(void *data)
{
    (void)data;
    return now_ms;
}

static void setup(void)
{
    static const kms_clock clock = {KMS_CLOCK_VERSION, NULL, the_time};
    kms_open_options options = KMS_OPEN_OPTIONS_INIT;

    place_init(&here);
    options.clock = &clock;
    fixture_ok(place_try_open(&here, &store, KMS_OPEN_CREATE, &options));
    fixture_create_key(store, a);
    fixture_create_key(store, b);
    fixture_ok(kms_create_alias(store, "alias/index", a));
}

static void finish(void)
{
    fixture_ok(kms_verify(store));
    kms_close(store);
    place_free(&here);
}

static void index_of(const char *keyref, const char *label, const char *value, unsigned bits,
                     kms_blind_tokens *out)
{
    memset(out, 0x6b, sizeof *out);
    fixture_ok(kms_blind_index(store, keyref, label, value, strlen(value), bits, out));
    ck_assert_uint_eq(out->len, (bits + 7) / 8);
    ck_assert_int_eq(out->has_previous, out->previous_status == KMS_OK);
    ck_assert_int_eq(sodium_is_zero(out->reserved, sizeof out->reserved), 1);
    if (!out->has_previous)
        ck_assert_int_eq(sodium_is_zero(out->previous, sizeof out->previous), 1);
}

START_TEST(equal_values_of_one_index_have_equal_tokens)
{
    setup();
    index_of("alias/index", LABEL, "Zhang Wei", 64, &tokens);
    index_of(a, LABEL, "Zhang Wei", 64, &again);
    ck_assert_mem_eq(tokens.token, again.token, MOST);
    ck_assert_int_eq(tokens.previous_status, KMS_ERR_NOT_FOUND);
    kms_close(store);
    store = place_open(&here);
    index_of("alias/index", LABEL, "Zhang Wei", 64, &again);
    ck_assert_mem_eq(tokens.token, again.token, MOST);
    finish();
}
END_TEST

START_TEST(other_values_labels_keys_and_widths_have_other_tokens)
{
    enum { COUNT = 7 };
    static kms_blind_tokens all[COUNT];

    setup();
    index_of(a, "ab", "c", 128, &all[0]);
    index_of(a, "ab", "d", 128, &all[1]);
    index_of(a, "a", "bc", 128, &all[2]);
    index_of(a, "abc", "", 128, &all[3]);
    index_of(a, "ab", "c", 120, &all[4]);
    index_of(a, "ab", "c", 136, &all[5]);
    index_of(b, "ab", "c", 128, &all[6]);
    for (size_t i = 0; i < COUNT; i++)
        for (size_t j = 0; j < i; j++)
            ck_assert_mem_ne(all[i].token, all[j].token, 15);
    finish();
}
END_TEST

START_TEST(a_token_has_the_bits_that_were_asked_for_and_no_other)
{
    setup();
    for (unsigned bits = KMS_BLIND_INDEX_BITS_MIN; bits <= KMS_BLIND_INDEX_BITS_MAX; bits++) {
        uint8_t seen[MOST] = {0};

        for (char value[] = "0"; value[0] < 'h'; value[0]++) {
            index_of(a, LABEL, value, bits, &tokens);
            for (size_t i = 0; i < MOST; i++)
                seen[i] |= tokens.token[i];
        }
        /* With 56 values every bit that may be set was set once. */
        for (unsigned bit = 0; bit < 8 * MOST; bit++)
            ck_assert_int_eq((seen[bit / 8] >> (7 - bit % 8)) & 1, bit < bits);
    }
    finish();
}
END_TEST

/* The page, followed step by step, gives what the call gives. */
START_TEST(a_token_is_what_the_page_says)
{
    uint8_t material[32], base[32], use[32], whole[MOST];

    setup();
    imported_create(store, KMS_KEY_USAGE_ENCRYPT_DECRYPT, 0x31, a);
    memset(material, 0x31, sizeof material);
    page_derive("libkms base", material, a, 1, base);
    page_derive("libkms index", base, a, 1, use);
    for (unsigned bits = KMS_BLIND_INDEX_BITS_MIN; bits <= KMS_BLIND_INDEX_BITS_MAX; bits++) {
        page_prf(use, bits, (kms_slice){LABEL, strlen(LABEL)}, (kms_slice){"Zhang Wei", 9}, whole,
                 MOST);
        if (bits % 8 != 0)
            whole[bits / 8] &= (uint8_t) ~(0xffu >> bits % 8);
        index_of(a, LABEL, "Zhang Wei", bits, &tokens);
        ck_assert_mem_eq(tokens.token, whole, tokens.len);
    }
    finish();
}
END_TEST

/* --- rotation ------------------------------------------------------------------------------- */

START_TEST(new_versions_change_no_token)
{
    setup();
    index_of("alias/index", LABEL, "Zhang Wei", 64, &tokens);
    for (int i = 0; i < 3; i++) {
        fixture_rotate(store, a);
        index_of("alias/index", LABEL, "Zhang Wei", 64, &again);
        ck_assert_mem_eq(tokens.token, again.token, MOST);
    }
    fixture_ok(kms_update_rotation_policy(store, a, true, 7));
    now_ms += 8 * DAY_MS;
    (void)fixture_encrypt(store, a, "x", (uint8_t[200]){0}, 200);
    ck_assert_uint_eq(fixture_describe(store, a).primary_version, 5);
    index_of("alias/index", LABEL, "Zhang Wei", 64, &again);
    ck_assert_mem_eq(tokens.token, again.token, MOST);
    finish();
}
END_TEST

START_TEST(after_a_move_one_call_gives_both_tokens)
{
    kms_blind_tokens of_a, of_b;

    setup();
    fixture_rotate(store, a);
    index_of("alias/index", LABEL, "Zhang Wei", 100, &tokens);
    index_of(a, LABEL, "Zhang Wei", 100, &of_a);
    index_of(b, LABEL, "Zhang Wei", 100, &of_b);
    fixture_ok(kms_update_alias(store, "alias/index", b));
    index_of("alias/index", LABEL, "Zhang Wei", 100, &again);
    ck_assert(again.has_previous);
    ck_assert_mem_eq(again.token, of_b.token, MOST);
    ck_assert_mem_eq(again.previous, tokens.token, MOST);
    ck_assert_mem_eq(again.previous, of_a.token, MOST);
    /* Warm, and back again. */
    index_of("alias/index", LABEL, "Zhang Wei", 100, &again);
    ck_assert_mem_eq(again.previous, of_a.token, MOST);
    fixture_ok(kms_update_alias(store, "alias/index", a));
    index_of("alias/index", LABEL, "Zhang Wei", 100, &again);
    ck_assert_mem_eq(again.token, of_a.token, MOST);
    ck_assert_mem_eq(again.previous, of_b.token, MOST);
    /* A key id has no key before. */
    index_of(b, LABEL, "Zhang Wei", 100, &again);
    ck_assert_int_eq(again.previous_status, KMS_ERR_NOT_FOUND);
    finish();
}
END_TEST

START_TEST(a_key_before_that_cannot_be_used_is_told_and_stops_nobody)
{
    static const kms_status wanted[] = {KMS_OK, KMS_ERR_DISABLED, KMS_ERR_PENDING_DELETION,
                                        KMS_ERR_PENDING_IMPORT};

    setup();
    fixture_ok(kms_update_alias(store, "alias/index", b));
    index_of("alias/index", LABEL, "Zhang Wei", 64, &tokens);
    fixture_set_key_state(store, a, (kms_key_state)(_i + 1));
    fixture_is(kms_encrypt(store, NULL, NULL, "x", 1, (uint8_t[99]){0}, 99, &(size_t){0}),
               KMS_ERR_INVALID_ARGUMENT);
    index_of("alias/index", LABEL, "Zhang Wei", 64, &again);
    ck_assert_int_eq(again.previous_status, wanted[_i]);
    ck_assert_mem_eq(again.token, tokens.token, MOST);
    /* A call that succeeds leaves the message as it is. */
    ck_assert_int_eq(kms_error_status(), KMS_ERR_INVALID_ARGUMENT);
    finish();
}
END_TEST

START_TEST(a_key_before_that_was_destroyed_is_told_and_stops_nobody)
{
    setup();
    fixture_ok(kms_update_alias(store, "alias/index", b));
    fixture_ok(kms_schedule_key_deletion(store, a, 7, NULL));
    now_ms += 8 * DAY_MS;
    fixture_ok(kms_purge_key(store, a, now_ms));
    index_of("alias/index", LABEL, "Zhang Wei", 64, &tokens);
    ck_assert_int_eq(tokens.previous_status, KMS_ERR_KEY_NOT_FOUND);
    finish();
}
END_TEST

/* What is wrong with the store is no matter of the key before. */
START_TEST(a_failing_engine_fails_the_call)
{
    setup();
    fixture_ok(kms_update_alias(store, "alias/index", b));
    kms_close(store);
    store = place_open(&here);
    for (unsigned long at = 1;; at++) {
        kms_blind_tokens out, untouched;
        kms_status st;

        memset(&out, 0x6b, sizeof out);
        untouched = out;
        engine_fail(&here.control, ENGINE_GET, at, KMS_ERR_STORAGE, false);
        st = kms_blind_index(store, "alias/index", LABEL, "Zhang Wei", 9, 64, &out);
        if (engine_disarm(&here.control) == 0) {
            fixture_ok(st);
            ck_assert_uint_gt(at, 5);
            break;
        }
        fixture_is(st, KMS_ERR_STORAGE);
        ck_assert_mem_eq(&out, &untouched, sizeof out);
        kms_close(store);
        store = place_open(&here);
    }
    finish();
}
END_TEST

/* --- refusals ------------------------------------------------------------------------------- */

static void refused(const char *keyref, const char *label, const void *value, size_t len,
                    unsigned bits, kms_status wanted)
{
    kms_blind_tokens out, untouched;

    memset(&out, 0x6b, sizeof out);
    untouched = out;
    fixture_is(kms_blind_index(store, keyref, label, value, len, bits, &out), wanted);
    ck_assert_mem_eq(&out, &untouched, sizeof out);
}

START_TEST(what_is_wrong_is_told_and_nothing_is_written)
{
    kms_create_key_options options = KMS_CREATE_KEY_OPTIONS_INIT;
    char label[KMS_BLIND_INDEX_LABEL_MAX + 2] = "";
    char deterministic[KMS_KEY_ID_SIZE];

    setup();
    refused(NULL, LABEL, "x", 1, 64, KMS_ERR_INVALID_ARGUMENT);
    refused("index", LABEL, "x", 1, 64, KMS_ERR_INVALID_ARGUMENT);
    refused("alias/none", LABEL, "x", 1, 64, KMS_ERR_ALIAS_NOT_FOUND);
    refused("00000000-0000-4000-8000-000000000000", LABEL, "x", 1, 64, KMS_ERR_KEY_NOT_FOUND);
    refused(a, NULL, "x", 1, 64, KMS_ERR_INVALID_ARGUMENT);
    refused(a, "", "x", 1, 64, KMS_ERR_INVALID_ARGUMENT);
    fixture_says("table.column");
    refused(a, LABEL, NULL, 1, 64, KMS_ERR_INVALID_ARGUMENT);
    refused(a, LABEL, "x", 1, 0, KMS_ERR_INVALID_ARGUMENT);
    refused(a, LABEL, "x", 1, 7, KMS_ERR_INVALID_ARGUMENT);
    refused(a, LABEL, "x", 1, 257, KMS_ERR_INVALID_ARGUMENT);
    fixture_says("8 to 256");
    memset(label, 'x', sizeof label - 2);
    index_of(a, label, "", 64, &tokens);
    label[sizeof label - 2] = 'x';
    label[sizeof label - 1] = '\0';
    refused(a, label, "x", 1, 64, KMS_ERR_INVALID_ARGUMENT);
    options.usage = KMS_KEY_USAGE_DETERMINISTIC;
    fixture_ok(kms_create_key(store, &options, deterministic));
    refused(deterministic, LABEL, "x", 1, 64, KMS_ERR_UNSUPPORTED);
    fixture_is(kms_blind_index(store, a, LABEL, "x", 1, 64, NULL), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_blind_index(NULL, a, LABEL, "x", 1, 64, &tokens), KMS_ERR_INVALID_ARGUMENT);
    finish();
}
END_TEST

START_TEST(the_state_of_the_key_counts)
{
    static const kms_status wanted[] = {KMS_OK, KMS_ERR_DISABLED, KMS_ERR_PENDING_DELETION,
                                        KMS_ERR_PENDING_IMPORT};

    setup();
    index_of("alias/index", LABEL, "x", 64, &tokens);
    fixture_set_key_state(store, a, (kms_key_state)(_i + 1));
    if (wanted[_i] == KMS_OK)
        index_of("alias/index", LABEL, "x", 64, &tokens);
    else
        refused("alias/index", LABEL, "x", 1, 64, wanted[_i]);
    finish();
}
END_TEST

START_TEST(a_first_version_that_cannot_be_used_refuses_rather_than_changing_tokens)
{
    setup();
    fixture_rotate(store, a);
    fixture_ok(kms_disable_key_version(store, a, 1));
    refused("alias/index", LABEL, "x", 1, 64, KMS_ERR_DISABLED);
    fixture_says("version 1");
    finish();
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {equal_values_of_one_index_have_equal_tokens, 0},
        {other_values_labels_keys_and_widths_have_other_tokens, 0},
        {a_token_has_the_bits_that_were_asked_for_and_no_other, 0},
        {a_token_is_what_the_page_says, 0},
        {new_versions_change_no_token, 0},
        {after_a_move_one_call_gives_both_tokens, 0},
        {a_key_before_that_cannot_be_used_is_told_and_stops_nobody, 4},
        {a_key_before_that_was_destroyed_is_told_and_stops_nobody, 0},
        {a_failing_engine_fails_the_call, 0},
        {what_is_wrong_is_told_and_nothing_is_written, 0},
        {the_state_of_the_key_counts, 4},
        {a_first_version_that_cannot_be_used_refuses_rather_than_changing_tokens, 0},
    };

    return fixture_main("blind_index", tests, sizeof tests / sizeof *tests, 60);
}
