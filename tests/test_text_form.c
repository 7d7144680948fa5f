/* The text form of blobs: one for each, and nothing else is taken. */
#include "support/api_fixture.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define PLAIN_MOST 40
#define BLOB_MOST KMS_CIPHERTEXT_SIZE(PLAIN_MOST)
#define TEXT_MOST KMS_TEXT_SIZE(BLOB_MOST)

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static uint8_t blob[BLOB_MOST];
static char text[TEXT_MOST];
static size_t blob_len, text_len;

/* A blob of this many bytes of plaintext, whose text is in text. */
static void make(size_t plain_len)
{
    uint8_t plain[PLAIN_MOST] = {0};
    kms_store *store = fixture_memory_store();
    char id[KMS_KEY_ID_SIZE];

    fixture_create_key(store, id);
    fixture_ok(kms_encrypt(store, id, NULL, plain, plain_len, blob, sizeof blob, &blob_len));
    kms_close(store);
    fixture_ok(kms_blob_to_text(blob, blob_len, text, KMS_TEXT_SIZE(blob_len), &text_len));
}

/* What reading a text of len characters answers; what it leaves behind is looked at. */
static kms_status read_text(const char *from, size_t len, uint8_t out[BLOB_MOST + 3])
{
    size_t out_len = 77;
    kms_status st;

    memset(out, 0, BLOB_MOST + 3);
    st = kms_blob_from_text(from, len, out, BLOB_MOST + 3, &out_len);
    if (st == KMS_OK)
        ck_assert(out_len == blob_len && memcmp(out, blob, blob_len) == 0);
    else
        ck_assert(out_len == 77 && sodium_is_zero(out, BLOB_MOST + 3) == 1);
    return st;
}

static void refused(const char *from, size_t len)
{
    uint8_t out[BLOB_MOST + 3];

    fixture_is(read_text(from, len, out), KMS_ERR_INVALID_CIPHERTEXT);
}

START_TEST(a_blob_of_every_size_comes_back_from_its_text)
{
    uint8_t out[BLOB_MOST + 3];

    for (size_t size = 0; size <= PLAIN_MOST; size++) {
        make(size);
        ck_assert_uint_eq(text_len, strlen(text));
        ck_assert_uint_eq(text_len + 1, KMS_TEXT_SIZE(blob_len));
        ck_assert_uint_eq(KMS_TEXT_BLOB_SIZE(text_len), blob_len);
        fixture_ok(read_text(text, text_len, out));
    }
}
END_TEST

START_TEST(a_text_has_no_character_that_needs_quoting)
{
    for (int i = 0; i < 20; i++) {
        make(PLAIN_MOST);
        ck_assert_int_eq(strncmp(text, KMS_TEXT_PREFIX, KMS_TEXT_PREFIX_LEN), 0);
        ck_assert_uint_eq(strspn(text + KMS_TEXT_PREFIX_LEN, alphabet),
                          text_len - KMS_TEXT_PREFIX_LEN);
    }
}
END_TEST

/* Made by Python: "kms1." + base64.urlsafe_b64encode(blob).decode().rstrip("=") for the header "KMS",
 * 1, 1, 1 and 92 bytes of 0xfb, of which four are the version. */
START_TEST(a_known_blob_has_its_known_text)
{
    static const char known[] = "kms1.S01TAQEB-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-"
                                "_v7-_v7-_v7-_v7-_v7-_v7-_v7"
                                "-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_s";
    uint8_t bytes[98] = {'K', 'M', 'S', 1, 1, 1};
    char made[KMS_TEXT_SIZE(98)];

    memset(bytes + 6, 0xfb, sizeof bytes - 6);
    fixture_ok(kms_blob_to_text(bytes, sizeof bytes, made, sizeof made, NULL));
    ck_assert_str_eq(made, known);
}
END_TEST

START_TEST(a_text_with_any_character_changed_is_another_blob_or_none)
{
    uint8_t out[BLOB_MOST + 3];
    unsigned decoded = 0, newer = 0;

    make(7);
    for (size_t at = 0; at < text_len; at++)
        for (int c = 0; c < 256; c++) {
            char changed[TEXT_MOST];
            size_t len = 77;
            kms_status st;

            memcpy(changed, text, text_len + 1);
            changed[at] = (char)c;
            if (changed[at] == text[at])
                continue;
            st = kms_blob_from_text(changed, text_len, out, sizeof out, &len);
            if (st == KMS_OK) {
                ck_assert_uint_eq(len, blob_len);
                ck_assert_mem_ne(out, blob, blob_len);
                ck_assert(at >= KMS_TEXT_PREFIX_LEN && c != 0 && strchr(alphabet, c) != NULL);
                decoded++;
            } else {
                ck_assert(st == KMS_ERR_INVALID_CIPHERTEXT || st == KMS_ERR_NEWER_FORMAT);
                newer += st == KMS_ERR_NEWER_FORMAT;
            }
        }
    ck_assert_uint_gt(decoded, 5000);
    /* The forms 2 to 9, and the blob formats above 1. */
    ck_assert_uint_gt(newer, 8);
}
END_TEST

START_TEST(a_text_that_is_cut_or_has_anything_before_or_behind_it_is_refused)
{
    char longer[TEXT_MOST + 8];

    for (size_t size = 0; size < 3; size++) {
        make(size);
        for (size_t len = 0; len < KMS_TEXT_SIZE(KMS_BLOB_OVERHEAD) - 1; len++)
            refused(text, len);
        for (int c = 0; c < 256; c++) {
            if (c != 0 && strchr(alphabet, c) != NULL)
                continue;
            memcpy(longer, text, text_len);
            longer[text_len] = (char)c;
            refused(longer, text_len + 1);
            longer[0] = (char)c;
            memcpy(longer + 1, text, text_len);
            refused(longer, text_len + 1);
        }
        memcpy(longer, text, text_len);
        memcpy(longer + text_len, "==", 2);
        refused(longer, text_len + 1);
        refused(longer, text_len + 2);
    }
}
END_TEST

/* Two blobs of 98 and 99 bytes leave four and two bits of the last character without a meaning. */
START_TEST(bits_without_a_meaning_must_be_zero)
{
    static const unsigned spare[] = {4, 2, 0};

    for (size_t size = 0; size < 3; size++) {
        size_t bits =
            spare[(KMS_BLOB_OVERHEAD + size) % 3 == 0 ? 2 : (KMS_BLOB_OVERHEAD + size) % 3 - 1];
        const char *last;

        make(size);
        last = strchr(alphabet, text[text_len - 1]);
        ck_assert_ptr_nonnull(last);
        ck_assert_uint_eq((size_t)(last - alphabet) & ((1u << bits) - 1), 0);
        for (size_t more = 1; more < (1u << bits); more++) {
            text[text_len - 1] = alphabet[(size_t)(last - alphabet) + more];
            refused(text, text_len);
        }
    }
}
END_TEST

START_TEST(what_is_no_text_form_is_refused)
{
    static const char *const texts[] = {"",          "k",         "kms1",       "kms1.",
                                        "kms1.AAAA", "KMS1.AAAA", "kms1:AAAA",  "kms0.AAAA",
                                        "kms/.AAAA", "vault:v1:", "1 Main St.", "kms1.S01TAQEB"};
    char newer[] = "kms2.AAAA";
    uint8_t out[BLOB_MOST + 3];

    make(1);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        refused(texts[i], strlen(texts[i]));
    for (int form = '2'; form <= '9'; form++) {
        newer[3] = (char)form;
        fixture_is(read_text(newer, strlen(newer), out), KMS_ERR_NEWER_FORMAT);
    }
    newer[3] = ':';
    refused(newer, strlen(newer));
}
END_TEST

START_TEST(what_is_no_blob_gets_no_text)
{
    char out[TEXT_MOST];
    char untouched[TEXT_MOST];
    size_t len = 77;

    memset(out, 0x6b, sizeof out);
    memset(untouched, 0x6b, sizeof untouched);
    fixture_is(kms_blob_to_text("1 Main Street", 13, out, sizeof out, &len),
               KMS_ERR_INVALID_CIPHERTEXT);
    make(3);
    fixture_is(kms_blob_to_text(blob, KMS_BLOB_OVERHEAD - 1, out, sizeof out, &len),
               KMS_ERR_INVALID_CIPHERTEXT);
    blob[3] = 2;
    fixture_is(kms_blob_to_text(blob, blob_len, out, sizeof out, &len), KMS_ERR_NEWER_FORMAT);
    ck_assert_mem_eq(out, untouched, sizeof out);
    ck_assert_uint_eq(len, 77);
}
END_TEST

START_TEST(arguments_that_are_missing_too_small_or_overlapping_are_refused)
{
    union {
        uint8_t blob[2 * TEXT_MOST];
        char text[2 * TEXT_MOST];
    } both;
    uint8_t out[BLOB_MOST];
    size_t len = 77;

    make(5);
    fixture_is(kms_blob_to_text(NULL, blob_len, text, sizeof text, &len), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_blob_to_text(blob, blob_len, NULL, sizeof text, &len), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_blob_to_text(blob, SIZE_MAX, text, SIZE_MAX, &len), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_blob_to_text(blob, blob_len, text, KMS_TEXT_SIZE(blob_len) - 1, &len),
               KMS_ERR_BUFFER_TOO_SMALL);
    fixture_is(kms_blob_from_text(NULL, text_len, out, sizeof out, &len), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_blob_from_text(text, text_len, NULL, sizeof out, &len),
               KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_blob_from_text(text, text_len, out, sizeof out, NULL), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_blob_from_text(text, SIZE_MAX, out, SIZE_MAX, &len), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_blob_from_text(text, text_len, out, blob_len - 1, &len),
               KMS_ERR_BUFFER_TOO_SMALL);
    memcpy(both.blob, blob, blob_len);
    fixture_is(kms_blob_to_text(both.blob, blob_len, both.text + blob_len - 1, TEXT_MOST, &len),
               KMS_ERR_INVALID_ARGUMENT);
    memcpy(both.text, text, text_len);
    fixture_is(kms_blob_from_text(both.text, text_len, both.blob + 1, TEXT_MOST, &len),
               KMS_ERR_INVALID_ARGUMENT);
    ck_assert_uint_eq(len, 77);
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {a_blob_of_every_size_comes_back_from_its_text, 0},
        {a_text_has_no_character_that_needs_quoting, 0},
        {a_known_blob_has_its_known_text, 0},
        {a_text_with_any_character_changed_is_another_blob_or_none, 0},
        {a_text_that_is_cut_or_has_anything_before_or_behind_it_is_refused, 0},
        {bits_without_a_meaning_must_be_zero, 0},
        {what_is_no_text_form_is_refused, 0},
        {what_is_no_blob_gets_no_text, 0},
        {arguments_that_are_missing_too_small_or_overlapping_are_refused, 0},
    };

    return fixture_main("text_form", tests, sizeof tests / sizeof *tests, 60);
}
