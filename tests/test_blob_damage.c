/* Blobs that were cut, altered, forged or pasted: they never open, and tell one status by one order
 * of precedence. */
#include "support/api_fixture.h"

#include "crypto/aead.h"
#include "crypto/blob.h"
#include "domain/open_version.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define SUITES 2
#define TEXT "0123456789"
#define BLOB KMS_CIPHERTEXT_SIZE(sizeof TEXT)
#define FORMAT_AT 3
#define SUITE_AT 4
#define KIND_AT 5
#define KEY_ID_AT 6
#define VERSION_AT 22
#define COMMITMENT_AT 26
#define NONCE_AT 58
#define SEALED_AT 82

static place here;
static kms_store *store;
static char id[KMS_KEY_ID_SIZE];
static const kms_context_pair pair = {"table", "users"};
static const kms_context context = {&pair, 1};

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
    return true;
}

static void finish(void)
{
    kms_close(store);
    place_free(&here);
}

static void make_blob(const kms_context *bound, uint8_t blob[BLOB])
{
    size_t len;

    fixture_ok(kms_encrypt(store, id, bound, TEXT, sizeof TEXT, blob, BLOB, &len));
    ck_assert_uint_eq(len, BLOB);
}

/* A failed decryption left *len alone, and the buffer unchanged or zero. */
static void check_nothing_came_out(const uint8_t *out, size_t size, size_t len)
{
    size_t zeros = 0, kept = 0;

    for (size_t i = 0; i < size; i++) {
        zeros += out[i] == 0;
        kept += out[i] == 0xa5;
    }
    if (len != 77 || (kept != size && zeros + kept != size))
        ck_abort_msg("a failed decryption wrote to its buffer or length");
}

/* Decrypts a copy that ends where the blob ends, so that a look behind it is seen. */
static kms_status try_expecting(const char *expected, const kms_context *bound, const uint8_t *blob,
                                size_t blob_len)
{
    uint8_t out[BLOB + 64];
    uint8_t *copy = malloc(blob_len > 0 ? blob_len : 1);
    kms_key_used used = {.key_version = 4711};
    size_t len = 77;
    kms_status st;

    ck_assert_ptr_nonnull(copy);
    memcpy(copy, blob, blob_len);
    memset(out, 0xa5, sizeof out);
    st =
        kms_decrypt_expecting(store, expected, bound, copy, blob_len, out, sizeof out, &len, &used);
    if (st != KMS_OK) {
        check_nothing_came_out(out, sizeof out, len);
        if (used.key_version != 4711 || kms_error_status() != st)
            ck_abort_msg("a failed decryption told a key, or no sentence");
    }
    free(copy);
    return st;
}

static kms_status try(const uint8_t *blob, size_t blob_len)
{
    return try_expecting(NULL, NULL, blob, blob_len);
}

static kms_status inspect(const uint8_t *blob, size_t len)
{
    kms_blob_info info, before;
    kms_status st;

    memset(&before, 0x5c, sizeof before);
    info = before;
    st = kms_inspect_blob(blob, len, &info);
    if (st != KMS_OK && memcmp(&info, &before, sizeof info) != 0)
        ck_abort_msg("a failed inspection wrote its answer");
    return st;
}

/* --- cut and altered ------------------------------------------------------------------------ */

START_TEST(a_blob_cut_at_any_byte_does_not_open)
{
    uint8_t blob[BLOB];

    if (!setup(_i))
        return;
    make_blob(NULL, blob);
    fixture_ok(try(blob, BLOB));
    for (size_t len = 0; len < BLOB; len++) {
        fixture_is(try(blob, len), KMS_ERR_INVALID_CIPHERTEXT);
        fixture_is(inspect(blob, len),
                   len < KMS_BLOB_OVERHEAD ? KMS_ERR_INVALID_CIPHERTEXT : KMS_OK);
    }
    /* Cut at its start. */
    for (size_t at = 1; at < BLOB; at++)
        fixture_is(try(blob + at, BLOB - at), KMS_ERR_INVALID_CIPHERTEXT);
    finish();
}
END_TEST

START_TEST(a_blob_with_anything_behind_it_does_not_open)
{
    uint8_t blob[BLOB + 20];

    if (!setup(_i))
        return;
    memset(blob, 0, sizeof blob);
    make_blob(NULL, blob);
    for (size_t more = 1; more <= 20; more++)
        fixture_is(try(blob, BLOB + more), KMS_ERR_INVALID_CIPHERTEXT);
    memmove(blob + 1, blob, BLOB);
    fixture_is(try(blob, BLOB + 1), KMS_ERR_INVALID_CIPHERTEXT);
    finish();
}
END_TEST

/* What an alteration of one byte of a good blob is told as. */
static kms_status law_of_byte(size_t at, uint8_t now)
{
    if (at == FORMAT_AT && now > KMS__BLOB_FORMAT)
        return KMS_ERR_NEWER_FORMAT;
    if (at >= KEY_ID_AT && at < VERSION_AT)
        return KMS_ERR_KEY_NOT_FOUND;
    return KMS_ERR_INVALID_CIPHERTEXT;
}

START_TEST(a_blob_with_any_bit_flipped_does_not_open)
{
    bool with_context = _i >= SUITES;
    const kms_context *bound = with_context ? &context : NULL;
    uint8_t blob[BLOB];

    if (!setup(_i % SUITES))
        return;
    make_blob(bound, blob);
    for (size_t bit = 0; bit < BLOB * 8; bit++) {
        size_t at = bit / 8;

        blob[at] ^= (uint8_t)(1u << bit % 8);
        fixture_is(try_expecting(NULL, bound, blob, BLOB), law_of_byte(at, blob[at]));
        (void)inspect(blob, BLOB);
        blob[at] ^= (uint8_t)(1u << bit % 8);
    }
    fixture_ok(try_expecting(NULL, bound, blob, BLOB));
    finish();
}
END_TEST

START_TEST(a_blob_with_any_field_at_its_extremes_does_not_open)
{
    static const struct {
        size_t at, len;
    } fields[] = {{0, 3},
                  {FORMAT_AT, 1},
                  {SUITE_AT, 1},
                  {KIND_AT, 1},
                  {KEY_ID_AT, 16},
                  {VERSION_AT, 4},
                  {COMMITMENT_AT, 32},
                  {NONCE_AT, 24},
                  {SEALED_AT, sizeof TEXT},
                  {BLOB - 16, 16}};
    static const uint8_t extremes[] = {0x00, 0x7f, 0x80, 0xff};
    uint8_t good[BLOB], blob[BLOB];

    if (!setup(_i))
        return;
    make_blob(NULL, good);
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        for (size_t j = 0; j < sizeof extremes; j++) {
            memcpy(blob, good, BLOB);
            memset(blob + fields[i].at, extremes[j], fields[i].len);
            fixture_is(try(blob, BLOB), law_of_byte(fields[i].at, extremes[j]));
            (void)inspect(blob, BLOB);
        }
    finish();
}
END_TEST

START_TEST(every_other_suite_kind_and_version_does_not_open)
{
    static const uint32_t versions[] = {0, 2, 3, 1500, 1501, 0x7fffffff, 0x80000000, UINT32_MAX};
    uint8_t good[BLOB], blob[BLOB];

    if (!setup(_i))
        return;
    make_blob(NULL, good);
    memcpy(blob, good, BLOB);
    for (unsigned value = 0; value < 256; value++) {
        blob[SUITE_AT] = (uint8_t)value;
        if (blob[SUITE_AT] != good[SUITE_AT])
            fixture_is(try(blob, BLOB), KMS_ERR_INVALID_CIPHERTEXT);
        fixture_is(inspect(blob, BLOB),
                   value == 1 || value == 2 ? KMS_OK : KMS_ERR_INVALID_CIPHERTEXT);
    }
    memcpy(blob, good, BLOB);
    for (unsigned value = 0; value < 256; value++) {
        blob[KIND_AT] = (uint8_t)value;
        if (blob[KIND_AT] != good[KIND_AT])
            fixture_is(try(blob, BLOB), KMS_ERR_INVALID_CIPHERTEXT);
        fixture_is(inspect(blob, BLOB),
                   value >= 1 && value <= 4 ? KMS_OK : KMS_ERR_INVALID_CIPHERTEXT);
    }
    memcpy(blob, good, BLOB);
    for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) {
        for (int byte = 0; byte < 4; byte++)
            blob[VERSION_AT + byte] = (uint8_t)(versions[i] >> (24 - 8 * byte));
        fixture_is(try(blob, BLOB), KMS_ERR_INVALID_CIPHERTEXT);
    }
    finish();
}
END_TEST

START_TEST(parts_of_two_blobs_do_not_make_a_third)
{
    static const size_t ends[] = {FORMAT_AT,     SUITE_AT, KIND_AT,   KEY_ID_AT, VERSION_AT,
                                  COMMITMENT_AT, NONCE_AT, SEALED_AT, BLOB - 16};
    uint8_t one[BLOB], other[BLOB], old[BLOB], mixed[BLOB];

    if (!setup(_i))
        return;
    make_blob(NULL, old);
    fixture_rotate(store, id);
    make_blob(NULL, one);
    make_blob(NULL, other);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        memcpy(mixed, one, BLOB);
        memcpy(mixed, old, ends[i]);
        if (memcmp(mixed, one, BLOB) != 0)
            fixture_is(try(mixed, BLOB), KMS_ERR_INVALID_CIPHERTEXT);
        memcpy(mixed, one, BLOB);
        memcpy(mixed, other, ends[i]);
        if (memcmp(mixed, one, BLOB) != 0)
            fixture_is(try(mixed, BLOB), KMS_ERR_INVALID_CIPHERTEXT);
    }
    fixture_ok(try(one, BLOB));
    fixture_ok(try(old, BLOB));
    finish();
}
END_TEST

START_TEST(bytes_at_random_never_open)
{
    uint8_t good[BLOB], blob[BLOB + 32];
    uint32_t tries = fixture_is_watched() ? 2000 : 20000;

    if (!setup(_i))
        return;
    make_blob(NULL, good);
    for (uint32_t n = 0; n < tries; n++) {
        size_t len = randombytes_uniform(sizeof blob + 1);
        size_t kept = randombytes_uniform(BLOB);

        randombytes_buf(blob, sizeof blob);
        memcpy(blob, good, kept);
        if (try(blob, len) == KMS_OK && (len != BLOB || memcmp(blob, good, BLOB) != 0))
            ck_abort_msg("a forged blob of %zu bytes opened", len);
        (void)inspect(blob, len);
    }
    finish();
}
END_TEST

/* --- kinds ---------------------------------------------------------------------------------- */

/* A blob that kms_encrypt() does not make, sealed under the right key: of any kind, and perhaps with
 * another commitment than the key's. */
static void forge(unsigned kind, uint8_t commitment_mask, uint8_t blob[BLOB])
{
    kms__associated associated;
    kms__pin pin;

    fixture_ok(kms__associated_begin(NULL, &associated));
    fixture_ok(kms__pin_primary(store, id, 0, &pin));
    memcpy(blob, pin.opened->blob_prefix, KMS__BLOB_PREFIX);
    blob[KIND_AT] = (uint8_t)kind;
    blob[COMMITMENT_AT] ^= commitment_mask;
    randombytes_buf(blob + NONCE_AT, SEALED_AT - NONCE_AT);
    fixture_ok(kms__aead_seal(pin.opened->suite, pin.opened->suite_key, blob + NONCE_AT,
                              kms__associated_end(&associated, blob),
                              (kms_slice){TEXT, sizeof TEXT}, blob + SEALED_AT));
    kms__pin_release(&pin);
}

START_TEST(decrypt_opens_its_own_kinds_and_no_other)
{
    uint8_t blob[BLOB];

    if (!setup(_i))
        return;
    for (unsigned kind = 0; kind < 256; kind++) {
        bool taken = kind == KMS_BLOB_DATA || kind == KMS_BLOB_DATA_KEY;

        forge(kind, 0, blob);
        fixture_is(try(blob, BLOB), taken ? KMS_OK : KMS_ERR_INVALID_CIPHERTEXT);
    }
    finish();
}
END_TEST

START_TEST(a_blob_that_commits_to_another_key_does_not_open_even_if_it_is_authentic)
{
    uint8_t blob[BLOB];

    if (!setup(_i))
        return;
    forge(KMS_BLOB_DATA, 0, blob);
    fixture_ok(try(blob, BLOB));
    forge(KMS_BLOB_DATA, 1, blob);
    fixture_is(try(blob, BLOB), KMS_ERR_INVALID_CIPHERTEXT);
    finish();
}
END_TEST

/* --- the order of precedence ---------------------------------------------------------------- */

/* Everything that can be wrong at once; each member counts through its possibilities. */
typedef struct wrong {
    unsigned format;   /* as it is, newer */
    unsigned expected; /* none, the blob's, another */
    unsigned key;      /* known, unknown */
    unsigned state;    /* of the key, less one */
    unsigned version;  /* enabled, disabled */
    unsigned damage;
} wrong;

enum {
    WHOLE,
    BAD_TAG,
    BAD_TEXT,
    BAD_NONCE,
    BAD_COMMITMENT,
    BAD_CONTEXT,
    CUT,
    SUITE_0,
    SUITE_3,
    SUITE_OTHER,
    KIND_0,
    KIND_STREAM,
    KIND_5,
    VERSION_0,
    VERSION_LATER,
    DAMAGES
};

static const unsigned possibilities[] = {2, 3, 2, 4, 2, DAMAGES};
#define COMBINATIONS (2 * 3 * 2 * 4 * 2 * DAMAGES)

static wrong combination(unsigned number)
{
    unsigned digits[6];

    for (size_t i = 0; i < 6; i++) {
        digits[i] = number % possibilities[i];
        number /= possibilities[i];
    }
    return (wrong){digits[0], digits[1], digits[2], digits[3], digits[4], digits[5]};
}

/* The law, in its order. */
static kms_status law(const wrong *w)
{
    static const kms_status of_state[] = {KMS_OK, KMS_ERR_DISABLED, KMS_ERR_PENDING_DELETION,
                                          KMS_ERR_PENDING_IMPORT};

    if (w->format == 1)
        return KMS_ERR_NEWER_FORMAT;
    if (w->expected == 2)
        return KMS_ERR_INCORRECT_KEY;
    if (w->key == 1)
        return KMS_ERR_KEY_NOT_FOUND;
    if (of_state[w->state] != KMS_OK)
        return of_state[w->state];
    /* A blob that names no version of the key's cannot meet that version's state. */
    if (w->version == 1 && w->damage != VERSION_0 && w->damage != VERSION_LATER)
        return KMS_ERR_DISABLED;
    return w->damage == WHOLE ? KMS_OK : KMS_ERR_INVALID_CIPHERTEXT;
}

static size_t do_damage(unsigned damage, uint8_t blob[BLOB])
{
    switch (damage) {
    case BAD_TAG:
        blob[BLOB - 1] ^= 1;
        break;
    case BAD_TEXT:
        blob[SEALED_AT] ^= 1;
        break;
    case BAD_NONCE:
        blob[NONCE_AT] ^= 1;
        break;
    case BAD_COMMITMENT:
        blob[COMMITMENT_AT] ^= 1;
        break;
    case CUT:
        return BLOB - 1;
    case SUITE_0:
    case SUITE_3:
        blob[SUITE_AT] = damage == SUITE_0 ? 0 : 3;
        break;
    case SUITE_OTHER:
        blob[SUITE_AT] ^= 3;
        break;
    case KIND_0:
    case KIND_STREAM:
    case KIND_5:
        blob[KIND_AT] = damage == KIND_0 ? 0 : damage == KIND_5 ? 5 : KMS_BLOB_STREAM_HEADER;
        break;
    case VERSION_0:
    case VERSION_LATER:
        blob[VERSION_AT + 3] = damage == VERSION_0 ? 0 : 9;
        break;
    default:
        break;
    }
    return BLOB;
}

static kms_status try_combination(const wrong *w, const uint8_t good[BLOB], const char *other)
{
    uint8_t blob[BLOB];
    char named[KMS_KEY_ID_SIZE];
    size_t len;

    memcpy(blob, good, BLOB);
    len = do_damage(w->damage, blob);
    if (w->format == 1)
        blob[FORMAT_AT] = KMS__BLOB_FORMAT + 1;
    if (w->key == 1)
        blob[KEY_ID_AT] ^= 1;
    kms__id_format(blob + KEY_ID_AT, named);
    return try_expecting(w->expected == 0   ? NULL
                         : w->expected == 1 ? named
                                            : other,
                         w->damage == BAD_CONTEXT ? NULL : &context, blob, len);
}

START_TEST(of_several_things_wrong_the_first_of_the_order_is_told)
{
    kms_key_state state = (kms_key_state)(_i % 4 + 1);
    kms_key_version_state version = _i < 4 ? KMS_KEY_VERSION_ENABLED : KMS_KEY_VERSION_DISABLED;
    char other[KMS_KEY_ID_SIZE];
    unsigned tried = 0;
    uint8_t good[BLOB];

    setup(0);
    fixture_create_key(store, other);
    make_blob(&context, good);
    fixture_set_version_state(store, id, 1, version);
    fixture_set_key_state(store, id, state);
    for (unsigned n = 0; n < COMBINATIONS; n++) {
        wrong w = combination(n);
        kms_status st;

        if (w.state + 1 != (unsigned)state || w.version != (version != KMS_KEY_VERSION_ENABLED))
            continue;
        tried++;
        st = try_combination(&w, good, other);
        ck_assert_msg(st == law(&w),
                      "format %u expected %u key %u state %u version %u damage %u: %s, not %s",
                      w.format, w.expected, w.key, w.state, w.version, w.damage,
                      kms_status_name(st), kms_status_name(law(&w)));
    }
    ck_assert_uint_eq(tried, COMBINATIONS / 8);
    finish();
}
END_TEST

START_TEST(arguments_and_sizes_are_told_before_anything_of_the_blob)
{
    static const kms_context_pair twice[] = {{"a", "1"}, {"a", "2"}};
    static const kms_context malformed = {twice, 2};
    uint8_t blob[BLOB], out[BLOB];
    size_t len;

    setup(0);
    make_blob(NULL, blob);
    for (int turn = 0; turn < 3; turn++) {
        fixture_is(try_expecting("no id", NULL, blob, BLOB), KMS_ERR_INVALID_ARGUMENT);
        fixture_is(try_expecting("alias/a", NULL, blob, BLOB), KMS_ERR_INVALID_ARGUMENT);
        fixture_is(try_expecting(NULL, &malformed, blob, BLOB), KMS_ERR_INVALID_ARGUMENT);
        fixture_is(kms_decrypt(store, NULL, blob, BLOB, out, sizeof TEXT - 1, &len),
                   KMS_ERR_BUFFER_TOO_SMALL);
        /* First a good blob, then a newer one, then none at all. */
        blob[turn == 0 ? FORMAT_AT : 0] = 9;
    }
    finish();
}
END_TEST

START_TEST(a_newer_blob_says_so_however_little_of_it_there_is)
{
    uint8_t blob[BLOB];

    setup(0);
    make_blob(NULL, blob);
    for (unsigned format = 2; format < 256; format++) {
        blob[FORMAT_AT] = (uint8_t)format;
        for (size_t len = 4; len <= BLOB; len += 47) {
            fixture_is(try(blob, len), KMS_ERR_NEWER_FORMAT);
            fixture_is(inspect(blob, len), KMS_ERR_NEWER_FORMAT);
        }
    }
    fixture_says("newer libkms");
    finish();
}
END_TEST

START_TEST(inspecting_tells_what_the_blob_says_with_no_store)
{
    kms_blob_info info;
    uint8_t blob[BLOB];

    if (!setup(_i))
        return;
    fixture_rotate(store, id);
    make_blob(&context, blob);
    finish();
    fixture_ok(kms_inspect_blob(blob, BLOB, &info));
    ck_assert_int_eq(info.kind, KMS_BLOB_DATA);
    ck_assert_int_eq(info.suite, _i == 0 ? KMS_SUITE_XCHACHA20_POLY1305 : KMS_SUITE_AES_256_GCM);
    ck_assert_str_eq(info.key_id, id);
    ck_assert_uint_eq(info.key_version, 2);
    ck_assert_uint_eq(info.plaintext_size, sizeof TEXT);
    ck_assert_mem_eq(info.commitment, blob + COMMITMENT_AT, KMS_COMMITMENT_SIZE);
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {a_blob_cut_at_any_byte_does_not_open, SUITES},
        {a_blob_with_anything_behind_it_does_not_open, SUITES},
        {a_blob_with_any_bit_flipped_does_not_open, 2 * SUITES},
        {a_blob_with_any_field_at_its_extremes_does_not_open, SUITES},
        {every_other_suite_kind_and_version_does_not_open, SUITES},
        {parts_of_two_blobs_do_not_make_a_third, SUITES},
        {bytes_at_random_never_open, SUITES},
        {decrypt_opens_its_own_kinds_and_no_other, SUITES},
        {a_blob_that_commits_to_another_key_does_not_open_even_if_it_is_authentic, SUITES},
        {of_several_things_wrong_the_first_of_the_order_is_told, 8},
        {arguments_and_sizes_are_told_before_anything_of_the_blob, 0},
        {a_newer_blob_says_so_however_little_of_it_there_is, 0},
        {inspecting_tells_what_the_blob_says_with_no_store, SUITES},
    };

    return fixture_main("blob_damage", tests, sizeof tests / sizeof *tests, 60);
}
