/* Streams of known keys, nonces and salts are made again to the byte, and open by every way under the
 * store that their keys are in; so does one that 0.2 made by its public calls. */
#include "support/lmdb_trial.h"
#include "support/recorded_store.h"
#include "support/recorded_streams.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HASH_SIZE 32

static void agrees(const fixture_record *record, const char *field, const void *value, size_t len)
{
    uint8_t *expected = malloc(len);

    fixture_exactly(record, field, expected, len);
    ck_assert_msg(memcmp(expected, value, len) == 0, "%s: another %s", record->name, field);
    free(expected);
}

static void sealing_agrees(const fixture_record *record, const stream_vector *v, size_t number)
{
    uint8_t blob[KMS__STREAM_BLOB], slot[KMS__STREAM_SLOT];

    stream_vector_blob(v, number, blob);
    stream_vector_slot(v, number, slot);
    agrees(record, number == 0 ? "blob-bytes" : "next-blob-bytes", blob, sizeof blob);
    agrees(record, number == 0 ? "checksum" : "next-checksum", slot + sizeof slot - HASH_SIZE,
           HASH_SIZE);
}

static void made_again(const fixture_record *record, const stream_vector *v)
{
    uint8_t commitment[KMS_COMMITMENT_SIZE], hash[HASH_SIZE], *stream, *chunks;
    kms__chunk_cipher cipher;
    size_t len, chunks_len;

    kms__stream_commitment(v->key, commitment);
    agrees(record, "commitment", commitment, sizeof commitment);
    ck_assert(kms__chunk_cipher_init(&cipher, v->suite, v->key));
    agrees(record, "chunk-key", cipher.key, sizeof cipher.key);
    for (size_t i = 0; i < v->sealings_count; i++)
        sealing_agrees(record, v, i);
    chunks = stream_vector_seal(v, &chunks_len);
    if (fixture_has(record, "chunks"))
        agrees(record, "chunks", chunks, chunks_len);
    stream = stream_vector_make(v, &len);
    ck_assert_uint_eq(len, fixture_number(record, "stream-size"));
    ck_assert_uint_eq(len, KMS_STREAM_SIZE(v->plain_len));
    (void)crypto_generichash_blake2b(hash, sizeof hash, stream, len, NULL, 0);
    agrees(record, "stream-hash", hash, sizeof hash);
    free(stream);
    free(chunks);
}

START_TEST(test_known_streams_are_made_again)
{
    ck_assert_uint_ge(streams_for_each(made_again), 19);
}
END_TEST

static kms_store *current_store;

/* The one that counts is the one that the vector says, and only its context opens it. */
static void opens(const fixture_record *record, const stream_vector *v)
{
    static const kms_context_pair pair = {"volume", "another"};
    static const kms_context another = {&pair, 1};
    const stream_sealing *s = &v->sealings[stream_vector_counts(v)];
    char id[KMS_KEY_ID_SIZE];
    kms_blob_info info;
    uint8_t *stream;
    size_t len;

    (void)record;
    stream = stream_vector_make(v, &len);
    trial_ok(kms_inspect_stream(stream, KMS_STREAM_HEADER_SIZE, &info));
    kms__id_format(s->key_id, id);
    ck_assert_str_eq(info.key_id, id);
    ck_assert_uint_eq(info.key_version, s->key_version);
    ck_assert_uint_eq(info.kind, KMS_BLOB_STREAM_HEADER);
    streams_open_by_every_way(current_store, v->context, stream, len, v->plain_len);
    streams_refused_by_every_way(current_store, &another, stream, len, KMS_ERR_INVALID_CIPHERTEXT,
                                 "another context");
    free(stream);
}

START_TEST(test_known_streams_open_by_every_way)
{
    if (!recorded_machine_reads_the_file())
        return;
    current_store = streams_open_store();
    streams_for_each(opens);
    kms_close(current_store);
}
END_TEST

static uint8_t *read_fixture(const char *name, size_t *len)
{
    FILE *file = fopen(fixture_path(name), "rbe");
    uint8_t *bytes = malloc(1u << 20);

    ck_assert(file != NULL && bytes != NULL);
    *len = fread(bytes, 1, 1u << 20, file);
    ck_assert_int_eq(fclose(file), 0);
    return bytes;
}

START_TEST(test_stream_that_0_2_made_opens_by_every_way)
{
    const fixture_record *record = fixture_find(fixture_read("stream-0.2.txt"), "stream");
    fixture_context room;
    uint8_t *stream;
    kms_store *store;
    size_t len;

    if (!recorded_machine_reads_the_file())
        return;
    if (!kms__suite_available(KMS_SUITE_AES_256_GCM)) {
        trial_skip("a stream of 0.2", "this build has no AES-256-GCM");
        return;
    }
    store = streams_open_store();
    stream = read_fixture("stream-0.2.kmstream", &len);
    streams_open_by_every_way(store, fixture_context_of(record, &room), stream, len,
                              (size_t)fixture_number(record, "plaintext-size"));
    kms_close(store);
    free(stream);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        test_known_streams_are_made_again,
        test_known_streams_open_by_every_way,
        test_stream_that_0_2_made_opens_by_every_way,
    };

    return trial_main("fixture_streams", tests, sizeof tests / sizeof tests[0]);
}
