/* Encrypting and decrypting: sizes, contexts, buffers, and the key that is expected. */
#include "support/api_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static place here;
static kms_store *store;
static char id[KMS_KEY_ID_SIZE];

/* Loops choose the suite. */
#define SUITES 2

static bool setup(int suite)
{
    place_init(&here);
    store = place_open(&here);
    if (suite == 1 && !fixture_has_suite_2(store)) {
        fixture_skip("AES-256-GCM", "this build has no libcrypto");
        kms_close(store);
        place_free(&here);
        return false;
    }
    fixture_create_key_of(store, suite == 1 ? KMS_SUITE_AES_256_GCM : KMS_SUITE_XCHACHA20_POLY1305,
                          id);
    fixture_ok(kms_create_alias(store, "alias/a", id));
    return true;
}

static void finish(void)
{
    kms_close(store);
    place_free(&here);
}

/* --- sizes ---------------------------------------------------------------------------------- */

static const size_t sizes[] = {0,    1,    15,    16,    17,    31,    63,      64,
                               65,   127,  1023,  1024,  1151,  1152,  1153,    4095,
                               4096, 4097, 16384, 65535, 65536, 65537, 1048576, 1048577};
#define SIZES (sizeof sizes / sizeof *sizes)

static void check_size(size_t size)
{
    uint8_t *plain = malloc(size + 1), *blob = malloc(KMS_CIPHERTEXT_SIZE(size));
    uint8_t *out = malloc(size + 1);
    size_t blob_len = 0, out_len = 77;
    kms_blob_info info;

    ck_assert(plain != NULL && blob != NULL && out != NULL);
    for (size_t i = 0; i < size; i++)
        plain[i] = (uint8_t)(i * 131 + (i >> 8));
    out[size] = 0x99;
    fixture_ok(kms_encrypt(store, "alias/a", NULL, size == 0 ? NULL : plain, size, blob,
                           KMS_CIPHERTEXT_SIZE(size), &blob_len));
    ck_assert_uint_eq(blob_len, size + KMS_BLOB_OVERHEAD);
    ck_assert_uint_eq(KMS_PLAINTEXT_SIZE(blob_len), size);
    fixture_ok(kms_inspect_blob(blob, blob_len, &info));
    ck_assert_uint_eq(info.plaintext_size, size);
    fixture_ok(kms_decrypt(store, NULL, blob, blob_len, size == 0 ? NULL : out, size, &out_len));
    ck_assert_uint_eq(out_len, size);
    ck_assert_int_eq(memcmp(out, plain, size), 0);
    ck_assert_uint_eq(out[size], 0x99);
    free(plain);
    free(blob);
    free(out);
}

START_TEST(every_size_comes_back_as_it_was)
{
    if (!setup(_i))
        return;
    for (size_t i = 0; i < SIZES; i++)
        check_size(sizes[i]);
    for (size_t size = 0; size < 300; size++)
        check_size(size);
    finish();
}
END_TEST

START_TEST(sizes_over_the_limit_are_refused_before_anything_is_touched)
{
    uint8_t byte = 1, blob[100];
    size_t len = 77;

    setup(0);
    fixture_is(
        kms_encrypt(store, id, NULL, &byte, (size_t)KMS_PLAINTEXT_MAX + 1, blob, SIZE_MAX, &len),
        KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_encrypt(store, id, NULL, &byte, SIZE_MAX, blob, SIZE_MAX, &len),
               KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_encrypt(store, id, NULL, &byte, SIZE_MAX - 97, blob, 0, &len),
               KMS_ERR_INVALID_ARGUMENT);
    fixture_is(
        kms_encrypt(store, id, NULL, &byte, (size_t)KMS_PLAINTEXT_MAX, blob, sizeof blob, &len),
        KMS_ERR_BUFFER_TOO_SMALL);
    ck_assert_uint_eq(len, 77);
    finish();
}
END_TEST

START_TEST(a_blob_is_not_longer_than_that_of_the_longest_plaintext)
{
    const size_t most = KMS_CIPHERTEXT_SIZE(KMS_PLAINTEXT_MAX);
    const size_t too_long[] = {most + 1, SIZE_MAX / 2, SIZE_MAX};
    uint8_t blob[KMS_CIPHERTEXT_SIZE(1)], plain[1];
    kms_blob_info info;
    size_t len;

    setup(0);
    fixture_ok(kms_encrypt(store, id, NULL, "x", 1, blob, sizeof blob, &len));
    /* Told before anything else, so the rest need not be there. */
    for (size_t i = 0; i < sizeof too_long / sizeof *too_long; i++) {
        fixture_is(kms_inspect_blob(blob, too_long[i], &info), KMS_ERR_INVALID_CIPHERTEXT);
        fixture_is(kms_decrypt(store, NULL, blob, too_long[i], plain, 1, &len),
                   KMS_ERR_INVALID_CIPHERTEXT);
        fixture_is(kms_decrypt(store, NULL, NULL, too_long[i], plain, 1, &len),
                   KMS_ERR_INVALID_ARGUMENT);
    }
    fixture_ok(kms_inspect_blob(blob, most, &info));
    ck_assert_uint_eq(info.plaintext_size, KMS_PLAINTEXT_MAX);
    fixture_is(kms_decrypt(store, NULL, blob, most, plain, 1, &len), KMS_ERR_BUFFER_TOO_SMALL);
    finish();
}
END_TEST

START_TEST(sizes_are_known_before_the_call)
{
    ck_assert_uint_eq(KMS_CIPHERTEXT_SIZE(0), 98);
    for (size_t n = 0; n < 98; n++)
        ck_assert_uint_eq(KMS_PLAINTEXT_SIZE(n), 0);
    for (size_t n = 0; n < 5000; n += 7)
        ck_assert_uint_eq(KMS_PLAINTEXT_SIZE(KMS_CIPHERTEXT_SIZE(n)), n);
}
END_TEST

START_TEST(encrypting_twice_gives_different_blobs)
{
    enum { TIMES = 400 };
    static uint8_t blobs[TIMES][KMS_CIPHERTEXT_SIZE(5)];
    size_t same = 0;

    if (!setup(_i))
        return;
    for (size_t i = 0; i < TIMES; i++) {
        fixture_encrypt(store, id, "text", blobs[i], sizeof blobs[i]);
        for (size_t j = 0; j < i; j++)
            same += memcmp(blobs[i] + 58, blobs[j] + 58, 24) == 0 ||
                    memcmp(blobs[i] + 82, blobs[j] + 82, 5) == 0;
        ck_assert_mem_eq(blobs[i], blobs[0], 58);
    }
    /* Five bytes may meet once in 2^40. */
    ck_assert_uint_eq(same, 0);
    finish();
}
END_TEST

/* --- buffers -------------------------------------------------------------------------------- */

static void check_unchanged(const uint8_t *buffer, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (buffer[i] != 0xa5)
            ck_abort_msg("byte %zu was touched", i);
}

START_TEST(a_buffer_that_is_too_small_is_told_and_untouched)
{
    uint8_t blob[KMS_CIPHERTEXT_SIZE(10)], out[10], buffer[KMS_CIPHERTEXT_SIZE(10)];
    size_t len = 77;

    setup(0);
    memset(buffer, 0xa5, sizeof buffer);
    for (size_t size = 0; size < sizeof buffer; size++)
        fixture_is(kms_encrypt(store, id, NULL, "123456789", 10, buffer, size, &len),
                   KMS_ERR_BUFFER_TOO_SMALL);
    check_unchanged(buffer, sizeof buffer);
    fixture_encrypt(store, id, "123456789", blob, sizeof blob);
    memset(out, 0xa5, sizeof out);
    for (size_t size = 0; size < sizeof out; size++)
        fixture_is(kms_decrypt(store, NULL, blob, sizeof blob, out, size, &len),
                   KMS_ERR_BUFFER_TOO_SMALL);
    check_unchanged(out, sizeof out);
    ck_assert_uint_eq(len, 77);
    finish();
}
END_TEST

START_TEST(null_arguments_are_refused)
{
    uint8_t blob[200], out[100];
    size_t len, n = 77;

    setup(0);
    len = fixture_encrypt(store, id, "text", blob, sizeof blob);
    fixture_is(kms_encrypt(NULL, id, NULL, "x", 1, out, sizeof out, &n), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_encrypt(store, NULL, NULL, "x", 1, out, sizeof out, &n),
               KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_encrypt(store, id, NULL, NULL, 1, out, sizeof out, &n),
               KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_encrypt(store, id, NULL, "x", 1, NULL, 200, &n), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_encrypt(store, id, NULL, "x", 1, out, sizeof out, NULL),
               KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_decrypt(NULL, NULL, blob, len, out, sizeof out, &n), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_decrypt(store, NULL, NULL, len, out, sizeof out, &n), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_decrypt(store, NULL, blob, len, NULL, sizeof out, &n), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_decrypt(store, NULL, blob, len, out, sizeof out, NULL),
               KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_inspect_blob(NULL, len, &(kms_blob_info){0}), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_inspect_blob(blob, len, NULL), KMS_ERR_INVALID_ARGUMENT);
    ck_assert_uint_eq(n, 77);
    finish();
}
END_TEST

/* Two ranges meet iff each begins before the other ends. */
static bool meet(long a, long a_len, long b, long b_len)
{
    return a < b + b_len && b < a + a_len;
}

START_TEST(overlapping_buffers_are_refused_and_neighbours_are_not)
{
    enum { N = 20, BLOB = N + KMS_BLOB_OVERHEAD, MIDDLE = 150 };
    uint8_t room[MIDDLE + BLOB + MIDDLE] = {0};
    size_t len;

    setup(0);
    for (long at = 0; at <= (long)(sizeof room - N); at++) {
        bool overlaps = meet(at, N, MIDDLE, BLOB);

        fixture_is(kms_encrypt(store, id, NULL, room + at, N, room + MIDDLE, BLOB, &len),
                   overlaps ? KMS_ERR_INVALID_ARGUMENT : KMS_OK);
    }
    fixture_ok(kms_encrypt(store, id, NULL, room, N, room + MIDDLE, BLOB, &len));
    for (long at = 0; at <= (long)(sizeof room - N); at++) {
        bool overlaps = meet(at, N, MIDDLE, BLOB);

        fixture_is(kms_decrypt(store, NULL, room + MIDDLE, BLOB, room + at, N, &len),
                   overlaps ? KMS_ERR_INVALID_ARGUMENT : KMS_OK);
    }
    /* Nothing overlaps with nothing. */
    fixture_ok(kms_encrypt(store, id, NULL, room + MIDDLE, 0, room + MIDDLE, BLOB, &len));
    fixture_ok(kms_decrypt(store, NULL, room + MIDDLE, len, room + MIDDLE, 0, &len));
    finish();
}
END_TEST

/* --- contexts ------------------------------------------------------------------------------- */

static size_t seal(const kms_context *context, uint8_t *blob, size_t size)
{
    size_t len = 0;

    fixture_ok(kms_encrypt(store, id, context, "text", 5, blob, size, &len));
    return len;
}

static kms_status open_with(const kms_context *context, const uint8_t *blob, size_t len)
{
    char plain[6] = "keep!";
    size_t plain_len = 77;
    kms_status st = kms_decrypt(store, context, blob, len, plain, sizeof plain, &plain_len);

    if (st == KMS_OK)
        ck_assert_str_eq(plain, "text");
    else
        ck_assert(plain_len == 77 && (strcmp(plain, "keep!") == 0 || plain[0] == '\0'));
    return st;
}

START_TEST(the_order_of_a_context_has_no_meaning)
{
    kms_context_pair pairs[] = {{"table", "users"}, {"column", "ssn"}, {"a", ""},
                                {"ab", "x"},        {"z\xff", "1"},    {"Z", "2"}};
    kms_context context = {pairs, 6};
    uint8_t blob[200];
    size_t len;

    if (!setup(_i))
        return;
    len = seal(&context, blob, sizeof blob);
    /* All 720 orders, by Heap's method. */
    for (size_t stack[6] = {0}, i = 1; i < 6;) {
        if (stack[i] < i) {
            size_t other = i % 2 == 0 ? 0 : stack[i];
            kms_context_pair kept = pairs[other];

            pairs[other] = pairs[i];
            pairs[i] = kept;
            fixture_ok(open_with(&context, blob, len));
            stack[i]++;
            i = 1;
        } else {
            stack[i++] = 0;
        }
    }
    finish();
}
END_TEST

START_TEST(another_context_does_not_open_the_blob)
{
    static const kms_context_pair sealed[] = {{"table", "users"}, {"column", "ssn"}};
    static const kms_context_pair others[][3] = {
        {{"table", "users"}},
        {{"column", "ssn"}},
        {{"table", "users"}, {"column", "ssN"}},
        {{"table", "users"}, {"Column", "ssn"}},
        {{"table", "ssn"}, {"column", "users"}},
        {{"users", "table"}, {"ssn", "column"}},
        {{"table", "userscolumn"}, {"ssn", ""}},
        {{"tableu", "sers"}, {"column", "ssn"}},
        {{"table", "users"}, {"column", "ssn"}, {"x", ""}},
        {{"columnssn", ""}, {"table", "users"}},
    };
    kms_context context = {sealed, 2};
    uint8_t blob[200];
    size_t len;

    if (!setup(_i))
        return;
    len = seal(&context, blob, sizeof blob);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        kms_context other = {others[i], 0};

        while (other.count < 3 && others[i][other.count].key != NULL)
            other.count++;
        fixture_is(open_with(&other, blob, len), KMS_ERR_INVALID_CIPHERTEXT);
    }
    fixture_is(open_with(NULL, blob, len), KMS_ERR_INVALID_CIPHERTEXT);
    fixture_ok(open_with(&context, blob, len));
    finish();
}
END_TEST

START_TEST(no_context_and_an_empty_one_are_the_same)
{
    static const kms_context_pair pair = {"a", "b"};
    const kms_context contexts[] = {{NULL, 0}, {&pair, 0}, {&pair, 1}};
    uint8_t blob[200];
    size_t len;

    if (!setup(_i))
        return;
    len = seal(NULL, blob, sizeof blob);
    fixture_ok(open_with(&contexts[0], blob, len));
    fixture_ok(open_with(&contexts[1], blob, len));
    fixture_is(open_with(&contexts[2], blob, len), KMS_ERR_INVALID_CIPHERTEXT);
    len = seal(&contexts[1], blob, sizeof blob);
    fixture_ok(open_with(NULL, blob, len));
    finish();
}
END_TEST

START_TEST(a_malformed_context_is_refused)
{
    static const kms_context_pair bad[][3] = {
        {{NULL, "x"}},
        {{"x", NULL}},
        {{"", "x"}},
        {{"a", "1"}, {"a", "2"}},
        {{"a", "1"}, {"a", "1"}},
        {{"a", "1"}, {"b", "1"}, {"a", "2"}},
        {{"b", "1"}, {"a", "1"}, {"b", "2"}},
        {{"a", "1"}, {"b", "1"}, {"", ""}},
    };
    static const size_t counts[] = {1, 1, 1, 2, 2, 3, 3, 3};
    kms_context context = {NULL, 1};
    uint8_t blob[200], other[200];
    size_t len, n = 77;

    setup(0);
    len = seal(NULL, blob, sizeof blob);
    for (size_t i = 0; i <= sizeof bad / sizeof *bad; i++) {
        fixture_is(kms_encrypt(store, id, &context, "x", 1, other, sizeof other, &n),
                   KMS_ERR_INVALID_ARGUMENT);
        fixture_is(open_with(&context, blob, len), KMS_ERR_INVALID_ARGUMENT);
        if (i < sizeof bad / sizeof *bad)
            context = (kms_context){bad[i], counts[i]};
    }
    ck_assert_uint_eq(n, 77);
    finish();
}
END_TEST

START_TEST(a_context_takes_8192_bytes_and_not_one_more)
{
    static char value[KMS_CONTEXT_MAX + 1], key[KMS_CONTEXT_MAX + 1];
    kms_context_pair pairs[2] = {{"k", value}, {key, "v"}};
    kms_context context = {pairs, 1};
    uint8_t blob[200];
    size_t n;

    if (!setup(_i))
        return;
    memset(value, 'v', sizeof value - 1);
    value[KMS_CONTEXT_MAX - 5] = '\0';
    fixture_ok(open_with(&context, blob, seal(&context, blob, sizeof blob)));
    value[KMS_CONTEXT_MAX - 5] = 'v';
    value[KMS_CONTEXT_MAX - 4] = '\0';
    fixture_is(kms_encrypt(store, id, &context, "x", 1, blob, sizeof blob, &n),
               KMS_ERR_INVALID_ARGUMENT);
    /* The same with two pairs: 4 + 1 + 3000, and 4 + 5182 + 1. */
    value[3000] = '\0';
    memset(key, 'y', sizeof key - 1);
    key[KMS_CONTEXT_MAX - 3005 - 5] = '\0';
    context.count = 2;
    fixture_ok(open_with(&context, blob, seal(&context, blob, sizeof blob)));
    key[KMS_CONTEXT_MAX - 3005 - 5] = 'y';
    key[KMS_CONTEXT_MAX - 3005 - 4] = '\0';
    fixture_is(kms_encrypt(store, id, &context, "x", 1, blob, sizeof blob, &n),
               KMS_ERR_INVALID_ARGUMENT);
    finish();
}
END_TEST

START_TEST(lengths_that_do_not_fit_their_field_are_refused)
{
    static char value[70000];
    kms_context_pair pair = {"k", value};
    kms_context context = {&pair, 1};
    uint8_t blob[200];
    size_t n;

    setup(0);
    for (size_t len = 65530; len < 65545; len++) {
        memset(value, 'v', sizeof value);
        value[len] = '\0';
        fixture_is(kms_encrypt(store, id, &context, "x", 1, blob, sizeof blob, &n),
                   KMS_ERR_INVALID_ARGUMENT);
    }
    finish();
}
END_TEST

START_TEST(a_context_may_have_many_pairs)
{
    enum { MOST = KMS_CONTEXT_MAX / 7 };
    static char keys[MOST + 600][8];
    static kms_context_pair pairs[MOST + 600];
    kms_context context = {pairs, MOST};
    uint8_t blob[200];
    size_t n, len;

    setup(0);
    for (size_t i = 0; i < MOST + 600; i++) {
        snprintf(keys[i], sizeof keys[i], "%03zx", (i * 2654435761u) % 4096);
        pairs[i] = (kms_context_pair){keys[i], ""};
    }
    len = seal(&context, blob, sizeof blob);
    fixture_ok(open_with(&context, blob, len));
    for (context.count = MOST + 1; context.count <= MOST + 600; context.count += 100)
        fixture_is(kms_encrypt(store, id, &context, "x", 1, blob, sizeof blob, &n),
                   KMS_ERR_INVALID_ARGUMENT);
    context.count = SIZE_MAX;
    fixture_is(kms_encrypt(store, id, &context, "x", 1, blob, sizeof blob, &n),
               KMS_ERR_INVALID_ARGUMENT);
    finish();
}
END_TEST

/* --- the expected key ----------------------------------------------------------------------- */

START_TEST(only_a_blob_of_the_expected_key_opens)
{
    static const char *const malformed[] = {"", "alias/a", "x", "0000"};
    kms_key_used used = {.key_id = "untouched", .key_version = 77};
    char other[KMS_KEY_ID_SIZE], plain[8] = "keep";
    uint8_t blob[200];
    size_t len, n = 77;

    if (!setup(_i))
        return;
    fixture_create_key(store, other);
    fixture_rotate(store, id);
    len = fixture_encrypt(store, id, "text", blob, sizeof blob);
    fixture_is(kms_decrypt_expecting(store, other, NULL, blob, len, plain, 8, &n, &used),
               KMS_ERR_INCORRECT_KEY);
    fixture_says(other);
    fixture_says(id);
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++)
        fixture_is(kms_decrypt_expecting(store, malformed[i], NULL, blob, len, plain, 8, &n, &used),
                   KMS_ERR_INVALID_ARGUMENT);
    ck_assert_str_eq(plain, "keep");
    ck_assert_uint_eq(n, 77);
    ck_assert_str_eq(used.key_id, "untouched");
    ck_assert_uint_eq(used.key_version, 77);
    fixture_ok(kms_decrypt_expecting(store, id, NULL, blob, len, plain, 8, &n, &used));
    ck_assert_str_eq(plain, "text");
    ck_assert_str_eq(used.key_id, id);
    ck_assert_uint_eq(used.key_version, 2);
    fixture_ok(kms_decrypt_expecting(store, id, NULL, blob, len, plain, 8, &n, NULL));
    memset(&used, 0, sizeof used);
    fixture_ok(kms_decrypt_expecting(store, NULL, NULL, blob, len, plain, 8, &n, &used));
    ck_assert_str_eq(used.key_id, id);
    finish();
}
END_TEST

START_TEST(a_blob_of_another_key_is_refused_before_the_store_is_asked)
{
    char other[KMS_KEY_ID_SIZE], plain[8];
    uint8_t blob[200];
    size_t len, n;

    setup(0);
    fixture_create_key(store, other);
    len = fixture_encrypt(store, id, "text", blob, sizeof blob);
    engine_reset_counts(&here.control);
    fixture_is(kms_decrypt_expecting(store, other, NULL, blob, len, plain, 8, &n, NULL),
               KMS_ERR_INCORRECT_KEY);
    ck_assert_uint_eq(engine_count(&here.control, ENGINE_ANY), 0);
    finish();
}
END_TEST

START_TEST(a_warm_call_asks_the_engine_for_nothing_but_a_hint)
{
    uint8_t blob[200];
    size_t len;

    if (!setup(_i))
        return;
    len = fixture_encrypt(store, "alias/a", "text", blob, sizeof blob);
    fixture_opens_as(store, blob, len, "text");
    engine_reset_counts(&here.control);
    for (int i = 0; i < 100; i++) {
        len = fixture_encrypt(store, "alias/a", "text", blob, sizeof blob);
        fixture_opens_as(store, blob, len, "text");
    }
    ck_assert_uint_eq(engine_count(&here.control, ENGINE_ANY), 200);
    ck_assert_uint_eq(engine_count(&here.control, ENGINE_HINT), 200);
    finish();
}
END_TEST

START_TEST(a_change_that_is_not_about_the_key_unseals_nothing)
{
    char other[KMS_KEY_ID_SIZE];
    uint8_t blob[200];

    setup(0);
    fixture_encrypt(store, "alias/a", "text", blob, sizeof blob);
    fixture_create_key(store, other);
    engine_reset_counts(&here.control);
    fixture_encrypt(store, "alias/a", "text", blob, sizeof blob);
    /* Alias, key and version are compared once; then the entry is warm again. */
    ck_assert_uint_eq(engine_count(&here.control, ENGINE_BEGIN_READ), 1);
    ck_assert_uint_eq(engine_count(&here.control, ENGINE_GET), 3);
    engine_reset_counts(&here.control);
    fixture_encrypt(store, "alias/a", "text", blob, sizeof blob);
    ck_assert_uint_eq(engine_count(&here.control, ENGINE_ANY), 1);
    finish();
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {every_size_comes_back_as_it_was, SUITES},
        {sizes_over_the_limit_are_refused_before_anything_is_touched, 0},
        {sizes_are_known_before_the_call, 0},
        {encrypting_twice_gives_different_blobs, SUITES},
        {a_buffer_that_is_too_small_is_told_and_untouched, 0},
        {null_arguments_are_refused, 0},
        {overlapping_buffers_are_refused_and_neighbours_are_not, 0},
        {the_order_of_a_context_has_no_meaning, SUITES},
        {another_context_does_not_open_the_blob, SUITES},
        {no_context_and_an_empty_one_are_the_same, SUITES},
        {a_blob_is_not_longer_than_that_of_the_longest_plaintext, 0},
        {a_malformed_context_is_refused, 0},
        {a_context_takes_8192_bytes_and_not_one_more, SUITES},
        {lengths_that_do_not_fit_their_field_are_refused, 0},
        {a_context_may_have_many_pairs, 0},
        {only_a_blob_of_the_expected_key_opens, SUITES},
        {a_blob_of_another_key_is_refused_before_the_store_is_asked, 0},
        {a_warm_call_asks_the_engine_for_nothing_but_a_hint, SUITES},
        {a_change_that_is_not_about_the_key_unseals_nothing, 0},
    };

    return fixture_main("encrypt", tests, sizeof tests / sizeof *tests, 60);
}
