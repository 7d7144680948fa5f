/* Blobs that earlier releases made of known material open with this one, and it makes the same; and so
 * do the nonces of deterministic blobs, derived keys and tokens follow. */
#include "base/fork.h"
#include "crypto/aead.h"
#include "crypto/blob.h"
#include "crypto/kdf.h"
#include "crypto/prf.h"
#include "support/fixture_text.h"
#include "support/plain_main.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static kms_suite suite_of(const fixture_record *record)
{
    return (kms_suite)fixture_number(record, "suite");
}

/* Every derivation on the way gives what it gave. */
static void derive_as_recorded(const fixture_record *record, const kms__blob *blob,
                               uint8_t suite_key[32])
{
    uint8_t material[32], expected[32], commitment[32];
    kms__use use = suite_of(record) == KMS_SUITE_AES_256_GCM ? KMS__USE_SUITE_2 : KMS__USE_SUITE_1;

    fixture_exactly(record, "material", material, sizeof material);
    kms__derive(use, material, blob->key_id, blob->key_version, suite_key);
    fixture_exactly(record, "suite-key", expected, sizeof expected);
    ck_assert_mem_eq(suite_key, expected, sizeof expected);
    kms__derive(KMS__USE_COMMITMENT, material, blob->key_id, blob->key_version, commitment);
    fixture_exactly(record, "commitment", expected, sizeof expected);
    ck_assert_mem_eq(commitment, expected, sizeof expected);
    ck_assert_mem_eq(blob->commitment, expected, sizeof expected);
}

static void read_as_recorded(const fixture_record *record, const uint8_t *bytes, size_t len,
                             kms__blob *blob)
{
    kms_blob_info info;
    uint8_t nonce[KMS__AEAD_NONCE_SIZE];

    ck_assert_int_eq(kms__blob_read(bytes, len, blob), KMS_OK);
    ck_assert_int_eq(kms_inspect_blob(bytes, len, &info), KMS_OK);
    ck_assert_uint_eq(info.suite, suite_of(record));
    ck_assert_uint_eq(info.kind, fixture_number(record, "kind"));
    ck_assert_uint_eq(info.key_version, fixture_number(record, "key-version"));
    ck_assert_str_eq(info.key_id, fixture_text(record, "key-id"));
    fixture_exactly(record, "nonce", nonce, sizeof nonce);
    ck_assert_mem_eq(blob->nonce, nonce, sizeof nonce);
}

/* Opening gives the plaintext, sealing it with the same nonce the same bytes. */
static void opens_and_seals(const fixture_record *record, const uint8_t *bytes, size_t len)
{
    size_t plain_len, context_len;
    uint8_t *plain = fixture_bytes(record, "plaintext", &plain_len);
    uint8_t *context_bytes = fixture_bytes(record, "context-bytes", &context_len);
    uint8_t *room = calloc(1, len);
    uint8_t suite_key[32];
    kms__associated associated;
    fixture_context context;
    kms_slice data;
    kms__blob blob;

    read_as_recorded(record, bytes, len, &blob);
    derive_as_recorded(record, &blob, suite_key);
    ck_assert_int_eq(kms__associated_begin(fixture_context_of(record, &context), &associated),
                     KMS_OK);
    ck_assert_uint_eq(associated.context_len, context_len);
    ck_assert_mem_eq(associated.bytes + KMS__BLOB_HEADER, context_bytes, context_len);
    data = kms__associated_end(&associated, blob.header);
    ck_assert_int_eq(kms__aead_open(blob.suite, suite_key, blob.nonce, data, blob.sealed, room),
                     KMS_OK);
    ck_assert_uint_eq(KMS_PLAINTEXT_SIZE(len), plain_len);
    ck_assert_mem_eq(room, plain, plain_len);
    ck_assert_int_eq(kms__aead_seal(blob.suite, suite_key, blob.nonce, data,
                                    (kms_slice){plain, plain_len}, room),
                     KMS_OK);
    ck_assert_mem_eq(room, blob.sealed.data, blob.sealed.len);
    free(room);
    free(plain);
    free(context_bytes);
}

START_TEST(test_known_blobs_open_and_are_made_again)
{
    unsigned seen[3] = {0};

    ck_assert_int_eq(kms__fork_init(), KMS_OK);
    for (const fixture_record *record = fixture_find(fixture_read("blobs-0.1.txt"), "blob");
         record != NULL; record = fixture_find(record->next, "blob")) {
        size_t len;
        uint8_t *bytes = fixture_bytes(record, "blob-bytes", &len);

        if (kms__suite_available(suite_of(record)))
            opens_and_seals(record, bytes, len);
        else
            printf("SKIP: %s: this build has no AES-256-GCM\n", record->name);
        seen[suite_of(record)]++;
        free(bytes);
    }
    ck_assert_uint_ge(seen[1], 4);
    ck_assert_uint_ge(seen[2], 4);
}
END_TEST

/* The value follows from the record's material by way of the key that stands there, or two. */
static void value_follows(const fixture_record *record, kms__use use, uint32_t number,
                          const kms_slice parts[KMS__PRF_PARTS], const uint8_t *value, size_t len)
{
    uint32_t version = (uint32_t)fixture_number(record, "key-version");
    bool deterministic = use == KMS__USE_NONCE;
    uint8_t material[32], key[32], expected[32], id[KMS__ID_SIZE], made[KMS__PRF_OUT_MAX];

    ck_assert(kms__id_parse(fixture_text(record, "key-id"), id));
    fixture_exactly(record, "material", material, sizeof material);
    if (!deterministic) {
        kms__derive(KMS__USE_BASE, material, id, version, key);
        fixture_exactly(record, "base", material, sizeof material);
        ck_assert_mem_eq(material, key, sizeof key);
    }
    kms__derive(use, material, id, version, key);
    fixture_exactly(record, deterministic ? "nonce-key" : "use-key", expected, sizeof expected);
    ck_assert_mem_eq(key, expected, sizeof key);
    kms__prf(key, number, parts, made, len);
    ck_assert_mem_eq(made, value, len);
}

START_TEST(test_known_deterministic_blobs_open_and_are_made_again)
{
    unsigned count = 0;

    ck_assert_int_eq(kms__fork_init(), KMS_OK);
    for (const fixture_record *record = fixture_find(fixture_read("derived-0.2.txt"), "blob");
         record != NULL; record = fixture_find(record->next, "blob")) {
        size_t len, plain_len, context_len, nonce_len;
        uint8_t *bytes = fixture_bytes(record, "blob-bytes", &len);
        uint8_t *plain = fixture_bytes(record, "plaintext", &plain_len);
        uint8_t *context = fixture_bytes(record, "context-bytes", &context_len);
        uint8_t *nonce = fixture_bytes(record, "nonce", &nonce_len);
        const kms_slice parts[] = {{context, context_len}, {plain, plain_len}};

        if (kms__suite_available(suite_of(record)))
            opens_and_seals(record, bytes, len);
        else
            printf("SKIP: %s: this build has no AES-256-GCM\n", record->name);
        value_follows(record, KMS__USE_NONCE, 24, parts, nonce, nonce_len);
        count++;
        free(bytes);
        free(plain);
        free(context);
        free(nonce);
    }
    ck_assert_uint_eq(count, 3);
}
END_TEST

START_TEST(test_known_derived_keys_follow_again)
{
    unsigned count = 0;

    for (const fixture_record *record = fixture_find(fixture_read("derived-0.2.txt"), "derived");
         record != NULL; record = fixture_find(record->next, "derived")) {
        kms__associated associated;
        fixture_context context;
        kms_slice parts[KMS__PRF_PARTS] = {{NULL, 0}, {NULL, 0}};
        size_t len;
        uint8_t *value = fixture_bytes(record, "value", &len);

        ck_assert_int_eq(kms__associated_begin(fixture_context_of(record, &context), &associated),
                         KMS_OK);
        parts[0] = (kms_slice){associated.bytes + KMS__BLOB_HEADER, associated.context_len};
        value_follows(record, KMS__USE_DERIVED_KEY, (uint32_t)len, parts, value, len);
        count++;
        free(value);
    }
    ck_assert_uint_eq(count, 2);
}
END_TEST

START_TEST(test_known_tokens_follow_again)
{
    unsigned count = 0;

    for (const fixture_record *record = fixture_find(fixture_read("derived-0.2.txt"), "index");
         record != NULL; record = fixture_find(record->next, "index")) {
        uint32_t bits = (uint32_t)fixture_number(record, "bits");
        size_t label_len, plain_len, len;
        uint8_t *label = fixture_bytes(record, "label", &label_len);
        uint8_t *plain = fixture_bytes(record, "plaintext", &plain_len);
        uint8_t *value = fixture_bytes(record, "value", &len);
        const kms_slice parts[] = {{label, label_len}, {plain, plain_len}};

        /* Those of whole bytes; test_blind_index.c has every other number of bits. */
        if (bits == 256)
            value_follows(record, KMS__USE_BLIND_INDEX, bits, parts, value, len);
        count += bits == 256;
        free(label);
        free(plain);
        free(value);
    }
    ck_assert_uint_eq(count, 1);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {test_known_blobs_open_and_are_made_again,
                                  test_known_deterministic_blobs_open_and_are_made_again,
                                  test_known_derived_keys_follow_again,
                                  test_known_tokens_follow_again};

    return plain_main("fixture_blobs", tests, sizeof tests / sizeof tests[0]);
}
