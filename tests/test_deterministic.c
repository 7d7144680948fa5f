/* Deterministic encryption: equal is equal, and nothing else is; in both suites. */
#include "support/api_fixture.h"

#include "crypto/aead.h"
#include "domain/open_version.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define SUITES 2
#define TEXT "11010519491231002X"
#define BLOB KMS_CIPHERTEXT_SIZE(sizeof TEXT)
#define NONCE_AT 58
#define SEALED_AT 82

static place here;
static kms_store *store;
/* Two deterministic keys, and a normal one. */
static char a[KMS_KEY_ID_SIZE], b[KMS_KEY_ID_SIZE], normal[KMS_KEY_ID_SIZE];
static uint8_t blob[BLOB], again[BLOB];

static const kms_context_pair pairs[] = {{"table", "people"}, {"column", "id_number"}};
static const kms_context_pair turned[] = {{"column", "id_number"}, {"table", "people"}};
static const kms_context_pair others[] = {{"table", "people"}, {"column", "passport"}};
static const kms_context context = {pairs, 2}, same = {turned, 2}, other = {others, 2};

static void create(kms_suite suite, char id[KMS_KEY_ID_SIZE])
{
    kms_create_key_options options = KMS_CREATE_KEY_OPTIONS_INIT;

    options.usage = KMS_KEY_USAGE_DETERMINISTIC;
    options.suite = suite;
    fixture_ok(kms_create_key(store, &options, id));
}

static bool setup_suite(int number)
{
    kms_suite suite = number == 0 ? KMS_SUITE_XCHACHA20_POLY1305 : KMS_SUITE_AES_256_GCM;

    place_init(&here);
    store = place_open(&here);
    if (suite == KMS_SUITE_AES_256_GCM && !fixture_has_suite_2(store)) {
        kms_close(store);
        place_free(&here);
        fixture_skip("suite 2", "this build has no libcrypto");
        return false;
    }
    create(suite, a);
    create(suite, b);
    fixture_create_key_of(store, suite, normal);
    fixture_ok(kms_create_alias(store, "alias/a", a));
    fixture_ok(kms_create_alias(store, "alias/normal", normal));
    return true;
}

static void setup(void)
{
    ck_assert(setup_suite(0));
}

static void finish(void)
{
    fixture_ok(kms_verify(store));
    kms_close(store);
    place_free(&here);
}

static void seal(const char *keyref, const kms_context *with, const char *text, uint8_t out[BLOB])
{
    size_t len = 0;

    ck_assert_uint_eq(strlen(text) + 1, sizeof TEXT);
    fixture_ok(kms_encrypt_deterministic(store, keyref, with, text, sizeof TEXT, out, BLOB, &len));
    ck_assert_uint_eq(len, BLOB);
}

static kms_status try_open(const kms_context *with, const uint8_t *from, size_t len)
{
    char plain[sizeof TEXT] = {0};
    size_t plain_len = 77;
    kms_status st = kms_decrypt(store, with, from, len, plain, sizeof plain, &plain_len);

    if (st == KMS_OK)
        ck_assert(plain_len == sizeof TEXT && strcmp(plain, TEXT) == 0);
    else
        ck_assert(plain_len == 77 && sodium_is_zero((const uint8_t *)plain, sizeof plain) == 1);
    return st;
}

START_TEST(equal_values_of_one_column_give_equal_blobs)
{
    kms_blob_info info;

    if (!setup_suite(_i))
        return;
    seal("alias/a", &context, TEXT, blob);
    seal(a, &same, TEXT, again);
    ck_assert_mem_eq(blob, again, BLOB);
    fixture_ok(kms_inspect_blob(blob, BLOB, &info));
    ck_assert_int_eq(info.kind, KMS_BLOB_DETERMINISTIC);
    ck_assert_uint_eq(info.suite, (unsigned)_i + 1);
    ck_assert_str_eq(info.key_id, a);
    fixture_ok(try_open(&context, blob, BLOB));
    /* Another handle, whose cache is cold. */
    kms_close(store);
    store = place_open(&here);
    fixture_ok(try_open(&same, blob, BLOB));
    seal("alias/a", &context, TEXT, again);
    ck_assert_mem_eq(blob, again, BLOB);
    finish();
}
END_TEST

START_TEST(other_values_columns_and_keys_give_other_blobs)
{
    enum { COUNT = 5 };
    static uint8_t blobs[COUNT][BLOB];

    if (!setup_suite(_i))
        return;
    seal(a, &context, TEXT, blobs[0]);
    seal(a, &context, "110105194912310038", blobs[1]);
    seal(a, &other, TEXT, blobs[2]);
    seal(b, &context, TEXT, blobs[3]);
    seal(b, &other, TEXT, blobs[4]);
    for (size_t i = 0; i < COUNT; i++)
        for (size_t j = 0; j < i; j++) {
            ck_assert_mem_ne(blobs[i] + NONCE_AT, blobs[j] + NONCE_AT, SEALED_AT - NONCE_AT);
            ck_assert_mem_ne(blobs[i] + SEALED_AT, blobs[j] + SEALED_AT, BLOB - SEALED_AT);
        }
    finish();
}
END_TEST

/* Context and plaintext that are the same bytes one behind the other. */
START_TEST(what_moves_from_the_context_to_the_plaintext_gives_another_nonce)
{
    static const kms_context_pair long_pair[] = {{"k", "ab"}}, short_pair[] = {{"k", "a"}};
    static const kms_context long_context = {long_pair, 1}, short_context = {short_pair, 1};
    uint8_t one[KMS_CIPHERTEXT_SIZE(1)], two[KMS_CIPHERTEXT_SIZE(2)];
    size_t len;

    setup();
    fixture_ok(kms_encrypt_deterministic(store, a, &long_context, "c", 1, one, sizeof one, &len));
    fixture_ok(kms_encrypt_deterministic(store, a, &short_context, "bc", 2, two, sizeof two, &len));
    ck_assert_mem_ne(one + NONCE_AT, two + NONCE_AT, SEALED_AT - NONCE_AT);
    finish();
}
END_TEST

START_TEST(a_blob_does_not_open_in_another_column)
{
    kms_key_used used;
    char plain[sizeof TEXT];
    size_t len;

    if (!setup_suite(_i))
        return;
    seal(a, &context, TEXT, blob);
    fixture_is(try_open(&other, blob, BLOB), KMS_ERR_INVALID_CIPHERTEXT);
    fixture_is(try_open(NULL, blob, BLOB), KMS_ERR_INVALID_CIPHERTEXT);
    fixture_is(
        kms_decrypt_expecting(store, b, &context, blob, BLOB, plain, sizeof plain, &len, &used),
        KMS_ERR_INCORRECT_KEY);
    fixture_ok(try_open(&context, blob, BLOB));
    finish();
}
END_TEST

START_TEST(a_blob_with_any_bit_flipped_or_cut_does_not_open)
{
    if (!setup_suite(_i))
        return;
    seal(a, &context, TEXT, blob);
    for (size_t bit = 0; bit < BLOB * 8; bit++) {
        blob[bit / 8] ^= (uint8_t)(1u << bit % 8);
        ck_assert_int_ne(try_open(&context, blob, BLOB), KMS_OK);
        blob[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t len = 0; len < BLOB; len++)
        fixture_is(try_open(&context, blob, len), KMS_ERR_INVALID_CIPHERTEXT);
    fixture_ok(try_open(&context, blob, BLOB));
    finish();
}
END_TEST

/* Sealed under the key's own suite key, as somebody would who took another nonce or kind. */
static void forge(const char *keyref, kms_operation operation, unsigned kind, const uint8_t *nonce)
{
    kms__associated associated;
    kms__pin pin;

    fixture_ok(kms__associated_begin(&context, &associated));
    fixture_ok(kms__pin_primary_for(store, keyref, operation, 0, &pin));
    memcpy(again, pin.opened->blob_prefix, KMS__BLOB_PREFIX);
    again[KMS__BLOB_KIND_AT] = (uint8_t)kind;
    memcpy(again + NONCE_AT, nonce, SEALED_AT - NONCE_AT);
    fixture_ok(kms__aead_seal(pin.opened->suite, pin.opened->suite_key, nonce,
                              kms__associated_end(&associated, again),
                              (kms_slice){TEXT, sizeof TEXT}, again + SEALED_AT));
    kms__pin_release(&pin);
}

START_TEST(an_authentic_blob_of_another_nonce_does_not_open)
{
    uint8_t nonce[SEALED_AT - NONCE_AT];

    if (!setup_suite(_i))
        return;
    seal(a, &context, TEXT, blob);
    forge(a, KMS_OP_ENCRYPT_DETERMINISTIC, KMS_BLOB_DETERMINISTIC, blob + NONCE_AT);
    ck_assert_mem_eq(again, blob, BLOB);
    for (size_t bit = 0; bit < sizeof nonce * 8; bit++) {
        memcpy(nonce, blob + NONCE_AT, sizeof nonce);
        nonce[bit / 8] ^= (uint8_t)(1u << bit % 8);
        forge(a, KMS_OP_ENCRYPT_DETERMINISTIC, KMS_BLOB_DETERMINISTIC, nonce);
        fixture_is(try_open(&context, again, BLOB), KMS_ERR_INVALID_CIPHERTEXT);
    }
    finish();
}
END_TEST

START_TEST(a_kind_that_is_not_its_keys_does_not_open)
{
    uint8_t nonce[SEALED_AT - NONCE_AT];

    if (!setup_suite(_i))
        return;
    seal(a, &context, TEXT, blob);
    memcpy(nonce, blob + NONCE_AT, sizeof nonce);
    for (unsigned kind = 0; kind < 6; kind++) {
        forge(a, KMS_OP_ENCRYPT_DETERMINISTIC, kind, nonce);
        fixture_is(try_open(&context, again, BLOB),
                   kind == KMS_BLOB_DETERMINISTIC ? KMS_OK : KMS_ERR_INVALID_CIPHERTEXT);
        forge(normal, KMS_OP_ENCRYPT, kind, nonce);
        fixture_is(try_open(&context, again, BLOB),
                   kind == KMS_BLOB_DATA || kind == KMS_BLOB_DATA_KEY ? KMS_OK
                                                                      : KMS_ERR_INVALID_CIPHERTEXT);
    }
    finish();
}
END_TEST

START_TEST(values_of_every_size_come_back)
{
    static const size_t sizes[] = {0, 1, 15, 16, 63, 64, 65, 127, 128, 129, 1000, 70000};

    if (!setup_suite(_i))
        return;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t size = sizes[i], len = 0;
        uint8_t *plain = malloc(size + 1), *back = malloc(size + 1);
        uint8_t *one = malloc(KMS_CIPHERTEXT_SIZE(size)), *two = malloc(KMS_CIPHERTEXT_SIZE(size));

        ck_assert(plain != NULL && back != NULL && one != NULL && two != NULL);
        randombytes_buf(plain, size + 1);
        fixture_ok(kms_encrypt_deterministic(store, a, &context, plain, size, one,
                                             KMS_CIPHERTEXT_SIZE(size), &len));
        fixture_ok(kms_encrypt_deterministic(store, a, &context, plain, size, two,
                                             KMS_CIPHERTEXT_SIZE(size), &len));
        ck_assert(memcmp(one, two, len) == 0);
        fixture_ok(kms_decrypt(store, &context, one, len, back, size + 1, &len));
        ck_assert_uint_eq(len, size);
        ck_assert(memcmp(plain, back, size) == 0);
        free(plain);
        free(back);
        free(one);
        free(two);
    }
    fixture_ok(
        kms_encrypt_deterministic(store, a, &context, NULL, 0, blob, sizeof blob, &(size_t){0}));
    fixture_ok(kms_decrypt(store, &context, blob, KMS_BLOB_OVERHEAD, NULL, 0, &(size_t){0}));
    finish();
}
END_TEST

/* --- the two usages ------------------------------------------------------------------------- */

START_TEST(a_deterministic_key_serves_nothing_else)
{
    static const char *const references[] = {"alias/a", a};
    uint8_t key[32], out[300];
    size_t len = 77;

    setup();
    /* Cold, and then warm. */
    for (size_t i = 0; i < 4; i++) {
        const char *keyref = references[i % 2];

        fixture_is(kms_encrypt(store, keyref, &context, "x", 1, out, sizeof out, &len),
                   KMS_ERR_UNSUPPORTED);
        fixture_says(a);
        fixture_says("kms_encrypt_deterministic()");
        fixture_is(kms_generate_data_key(store, keyref, NULL, key, 32, out, sizeof out, &len),
                   KMS_ERR_UNSUPPORTED);
        fixture_is(kms_would(store, KMS_OP_ENCRYPT, keyref), KMS_ERR_UNSUPPORTED);
        fixture_is(kms_would(store, KMS_OP_DERIVE_KEY, keyref), KMS_ERR_UNSUPPORTED);
        fixture_ok(kms_would(store, KMS_OP_DECRYPT, keyref));
        fixture_ok(kms_would(store, KMS_OP_ENCRYPT_DETERMINISTIC, keyref));
        seal(keyref, &context, TEXT, blob);
    }
    ck_assert_uint_eq(len, 77);
    finish();
}
END_TEST

START_TEST(another_key_encrypts_nothing_deterministically)
{
    size_t len = 77;

    setup();
    memset(blob, 0, sizeof blob);
    for (size_t i = 0; i < 4; i++) {
        const char *keyref = i % 2 == 0 ? "alias/normal" : normal;

        fixture_is(kms_encrypt_deterministic(store, keyref, &context, "x", 1, blob, BLOB, &len),
                   KMS_ERR_UNSUPPORTED);
        fixture_says("KMS_KEY_USAGE_DETERMINISTIC");
        fixture_is(kms_would(store, KMS_OP_ENCRYPT_DETERMINISTIC, keyref), KMS_ERR_UNSUPPORTED);
        fixture_ok(kms_would(store, KMS_OP_ENCRYPT, keyref));
        (void)fixture_encrypt(store, keyref, TEXT, again, sizeof again);
    }
    ck_assert_uint_eq(len, 77);
    ck_assert_int_eq(sodium_is_zero(blob, sizeof blob), 1);
    finish();
}
END_TEST

START_TEST(a_deterministic_key_never_gets_another_version)
{
    kms_create_key_options options = KMS_CREATE_KEY_OPTIONS_INIT;
    char id[KMS_KEY_ID_SIZE];
    uint64_t changes;

    setup();
    changes = fixture_changes(store);
    fixture_is(kms_create_key_version(store, a, NULL), KMS_ERR_UNSUPPORTED);
    fixture_says("move the alias");
    fixture_is(kms_would(store, KMS_OP_CREATE_KEY_VERSION, a), KMS_ERR_UNSUPPORTED);
    fixture_is(kms_update_rotation_policy(store, a, true, 90), KMS_ERR_UNSUPPORTED);
    fixture_says(a);
    options.usage = KMS_KEY_USAGE_DETERMINISTIC;
    options.rotation_days = 90;
    fixture_is(kms_create_key(store, &options, id), KMS_ERR_UNSUPPORTED);
    fixture_says("equal values");
    ck_assert_uint_eq(fixture_changes(store), changes);
    ck_assert_uint_eq(fixture_describe(store, a).version_count, 1);
    ck_assert_int_eq(fixture_describe(store, a).usage, KMS_KEY_USAGE_DETERMINISTIC);
    finish();
}
END_TEST

static kms_import raw_import(const uint8_t material[KMS_IMPORT_MATERIAL_SIZE])
{
    kms_import import = KMS_IMPORT_INIT;

    import.wrapping = KMS_WRAPPING_NONE_INSECURE;
    import.material = material;
    import.material_len = KMS_IMPORT_MATERIAL_SIZE;
    return import;
}

START_TEST(an_imported_deterministic_key_takes_its_material_and_no_other)
{
    static const uint8_t first[KMS_IMPORT_MATERIAL_SIZE] = {1},
                         second[KMS_IMPORT_MATERIAL_SIZE] = {2};
    kms_create_key_options options = KMS_CREATE_KEY_OPTIONS_INIT;
    kms_import import = raw_import(first), another = raw_import(second);
    char ids[2][KMS_KEY_ID_SIZE];
    uint32_t number = 77;

    setup();
    options.usage = KMS_KEY_USAGE_DETERMINISTIC;
    options.origin = KMS_KEY_ORIGIN_EXTERNAL;
    for (size_t i = 0; i < 2; i++) {
        fixture_ok(kms_create_key(store, &options, ids[i]));
        fixture_ok(kms_import_key_material(store, ids[i], &import));
    }
    seal(ids[0], &context, TEXT, blob);
    seal(ids[1], &context, TEXT, again);
    /* The key id is in every derivation: one material in two keys shows nothing in common. */
    ck_assert_mem_ne(blob + NONCE_AT, again + NONCE_AT, SEALED_AT - NONCE_AT);
    fixture_is(kms_import_key_version(store, ids[0], &another, &number), KMS_ERR_UNSUPPORTED);
    fixture_says("move the alias");
    fixture_is(kms_would(store, KMS_OP_IMPORT_KEY_VERSION, ids[0]), KMS_ERR_UNSUPPORTED);
    ck_assert_uint_eq(number, 77);
    fixture_ok(kms_delete_key_material(store, ids[0], 0));
    fixture_ok(kms_import_key_material(store, ids[0], &import));
    seal(ids[0], &context, TEXT, again);
    ck_assert_mem_eq(blob, again, BLOB);
    finish();
}
END_TEST

START_TEST(arguments_are_checked_and_nothing_is_written)
{
    size_t len = 77;
    kms_context none = {pairs, 0};

    setup();
    memset(blob, 0, sizeof blob);
    fixture_is(kms_encrypt_deterministic(store, a, NULL, "x", 1, blob, BLOB, &len),
               KMS_ERR_INVALID_ARGUMENT);
    fixture_says("table and column");
    fixture_is(kms_encrypt_deterministic(store, a, &none, "x", 1, blob, BLOB, &len),
               KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_encrypt_deterministic(NULL, a, &context, "x", 1, blob, BLOB, &len),
               KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_encrypt_deterministic(store, NULL, &context, "x", 1, blob, BLOB, &len),
               KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_encrypt_deterministic(store, "a", &context, "x", 1, blob, BLOB, &len),
               KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_encrypt_deterministic(store, a, &context, NULL, 1, blob, BLOB, &len),
               KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_encrypt_deterministic(store, a, &context, "x", 1, NULL, BLOB, &len),
               KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_encrypt_deterministic(store, a, &context, "x", 1, blob, BLOB, NULL),
               KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_encrypt_deterministic(store, a, &context, blob + 5, 4, blob, BLOB, &len),
               KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_encrypt_deterministic(store, a, &context, "x", 1, blob, KMS_BLOB_OVERHEAD, &len),
               KMS_ERR_BUFFER_TOO_SMALL);
    fixture_is(kms_encrypt_deterministic(store, "alias/none", &context, "x", 1, blob, BLOB, &len),
               KMS_ERR_ALIAS_NOT_FOUND);
    ck_assert_uint_eq(len, 77);
    ck_assert_int_eq(sodium_is_zero(blob, sizeof blob), 1);
    finish();
}
END_TEST

START_TEST(the_state_of_the_key_counts)
{
    static const kms_status wanted[] = {KMS_OK, KMS_ERR_DISABLED, KMS_ERR_PENDING_DELETION,
                                        KMS_ERR_PENDING_IMPORT};
    size_t len;

    setup();
    seal("alias/a", &context, TEXT, blob);
    fixture_set_key_state(store, a, (kms_key_state)(_i + 1));
    fixture_is(
        kms_encrypt_deterministic(store, "alias/a", &context, TEXT, sizeof TEXT, again, BLOB, &len),
        wanted[_i]);
    fixture_is(kms_would(store, KMS_OP_ENCRYPT_DETERMINISTIC, "alias/a"), wanted[_i]);
    fixture_is(try_open(&context, blob, BLOB), wanted[_i]);
    /* The usage is told before the state. */
    fixture_is(kms_encrypt(store, "alias/a", NULL, "x", 1, again, BLOB, &len), KMS_ERR_UNSUPPORTED);
    finish();
}
END_TEST

START_TEST(a_failing_engine_writes_nothing)
{
    unsigned long at = 0, fired;

    setup();
    seal(a, &context, TEXT, blob);
    do {
        size_t len = 77;
        kms_status st;

        kms_close(store);
        store = place_open(&here);
        memset(again, 0, sizeof again);
        engine_fail(&here.control, ENGINE_GET, ++at, KMS_ERR_STORAGE, false);
        st = kms_encrypt_deterministic(store, "alias/a", &context, TEXT, sizeof TEXT, again, BLOB,
                                       &len);
        fired = engine_disarm(&here.control);
        fixture_is(st, fired > 0 ? KMS_ERR_STORAGE : KMS_OK);
        ck_assert_uint_eq(len, fired > 0 ? 77 : BLOB);
        ck_assert_int_eq(sodium_is_zero(again, sizeof again), fired > 0);
    } while (fired > 0);
    /* Alias, key and version. */
    ck_assert_uint_gt(at, 3);
    ck_assert_mem_eq(again, blob, BLOB);
    finish();
}
END_TEST

/* --- rotation ------------------------------------------------------------------------------- */

START_TEST(an_alias_moves_to_another_deterministic_key_and_to_no_other)
{
    setup();
    seal("alias/a", &context, TEXT, blob);
    fixture_is(kms_update_alias(store, "alias/a", normal), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_update_alias(store, "alias/normal", a), KMS_ERR_INVALID_ARGUMENT);
    fixture_ok(kms_update_alias(store, "alias/a", b));
    seal("alias/a", &context, TEXT, again);
    ck_assert_mem_ne(blob, again, BLOB);
    fixture_ok(try_open(&context, blob, BLOB));
    fixture_ok(try_open(&context, again, BLOB));
    finish();
}
END_TEST

START_TEST(re_encrypting_gives_what_encrypting_there_gives)
{
    size_t len = 0;

    if (!setup_suite(_i))
        return;
    seal(a, &context, TEXT, blob);
    fixture_ok(kms_re_encrypt(store, &context, blob, BLOB, b, &context, again, BLOB, &len, NULL));
    ck_assert_uint_eq(len, BLOB);
    seal(b, &context, TEXT, blob);
    ck_assert_mem_eq(again, blob, BLOB);
    fixture_ok(kms_re_encrypt(store, &context, again, BLOB, a, &other, blob, BLOB, &len, NULL));
    seal(a, &other, TEXT, again);
    ck_assert_mem_eq(again, blob, BLOB);
    finish();
}
END_TEST

START_TEST(re_encrypting_never_changes_the_kind)
{
    uint8_t out[BLOB] = {0};
    size_t len = 77, made;

    setup();
    seal(a, &context, TEXT, blob);
    fixture_is(kms_re_encrypt(store, &context, blob, BLOB, normal, &context, out, BLOB, &len, NULL),
               KMS_ERR_UNSUPPORTED);
    fixture_is(kms_re_encrypt(store, &context, blob, BLOB, b, NULL, out, BLOB, &len, NULL),
               KMS_ERR_INVALID_ARGUMENT);
    made = fixture_encrypt(store, normal, TEXT, blob, BLOB);
    fixture_is(kms_re_encrypt(store, NULL, blob, made, a, &context, out, BLOB, &len, NULL),
               KMS_ERR_UNSUPPORTED);
    ck_assert_uint_eq(len, 77);
    ck_assert_int_eq(sodium_is_zero(out, sizeof out), 1);
    finish();
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {equal_values_of_one_column_give_equal_blobs, SUITES},
        {other_values_columns_and_keys_give_other_blobs, SUITES},
        {what_moves_from_the_context_to_the_plaintext_gives_another_nonce, 0},
        {a_blob_does_not_open_in_another_column, SUITES},
        {a_blob_with_any_bit_flipped_or_cut_does_not_open, SUITES},
        {an_authentic_blob_of_another_nonce_does_not_open, SUITES},
        {a_kind_that_is_not_its_keys_does_not_open, SUITES},
        {values_of_every_size_come_back, SUITES},
        {a_deterministic_key_serves_nothing_else, 0},
        {another_key_encrypts_nothing_deterministically, 0},
        {a_deterministic_key_never_gets_another_version, 0},
        {an_imported_deterministic_key_takes_its_material_and_no_other, 0},
        {arguments_are_checked_and_nothing_is_written, 0},
        {the_state_of_the_key_counts, 4},
        {a_failing_engine_writes_nothing, 0},
        {an_alias_moves_to_another_deterministic_key_and_to_no_other, 0},
        {re_encrypting_gives_what_encrypting_there_gives, SUITES},
        {re_encrypting_never_changes_the_kind, 0},
    };

    return fixture_main("deterministic", tests, sizeof tests / sizeof *tests, 60);
}
