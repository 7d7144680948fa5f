/* Streams that were tampered with: truncation, reordering, duplication, splicing and appended data are
 * all found, with one status, and no byte is given before its chunk is verified. */
#include "support/stream_trial.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK ((size_t)KMS_STREAM_CHUNK_SIZE)
#define SEALED ((size_t)(KMS_STREAM_CHUNK_SIZE + KMS_STREAM_CHUNK_OVERHEAD))
#define HEADER ((size_t)KMS_STREAM_HEADER_SIZE)
#define SLOT (HEADER / 2)

/* Four whole chunks and a last one of 1,000 bytes. */
#define WHOLE 4
#define LAST 1000
#define PLAIN (WHOLE * CHUNK + LAST)

static place here;
static kms_store *store;
static char key[KMS_KEY_ID_SIZE];
static bytes plain, stream, other;

static void setup(void)
{
    place_init(&here);
    store = place_open(&here);
    fixture_create_key(store, key);
    plain = stream_trial_plain(PLAIN);
    stream = stream_trial_seal(store, key, NULL, plain);
    other = stream_trial_seal(store, key, NULL, plain);
    /* Room for what is added. */
    stream.data = realloc(stream.data, stream.len + 3 * SEALED);
    ck_assert_ptr_nonnull(stream.data);
}

static void finish(void)
{
    free(plain.data);
    free(stream.data);
    free(other.data);
    kms_close(store);
    place_free(&here);
}

static uint8_t *chunk(bytes of, size_t index)
{
    return of.data + HEADER + index * SEALED;
}

/* What a reader gives of chunks that are whole; the last status. */
static kms_status read_all(void)
{
    kms_stream_io io = stream_trial_io(&stream);
    kms_stream_reader *reader = NULL;
    static uint8_t out[PLAIN + 3 * CHUNK];
    kms_status st;
    size_t got = 0;

    memset(out, 0, sizeof out);
    st = kms_stream_reader_open(store, NULL, &io, &reader);
    if (st == KMS_OK) {
        st = kms_stream_reader_read(reader, 0, out, sizeof out, &got);
        trial_demand(st == KMS_OK || sodium_is_zero(out, sizeof out));
    }
    kms_stream_reader_close(reader);
    return st;
}

/* Pushes in small pieces, and holds what was given to the plaintext's beginning: a chunk is given whole or
 * not at all, and `whole` of them at most. */
static void gives_no_more_than(size_t whole)
{
    kms_stream *opened = NULL;
    bytes chunks = {stream.data + HEADER, stream.len - HEADER}, given;
    trial_random pieces = trial_random_of(7);

    fixture_ok(kms_stream_decrypt(store, NULL, stream.data, HEADER, &opened));
    fixture_is(stream_trial_push(opened, chunks, &pieces, &given), KMS_ERR_INVALID_CIPHERTEXT);
    ck_assert_uint_le(given.len, whole * CHUNK);
    ck_assert_int_eq(memcmp(given.data, plain.data, given.len), 0);
    free(given.data);
    kms_stream_free(opened);
}

/* Every way of opening finds it. */
static void is_found(size_t whole_before)
{
    bytes opened;

    fixture_is(stream_trial_open(store, NULL, stream, NULL, &opened), KMS_ERR_INVALID_CIPHERTEXT);
    gives_no_more_than(whole_before);
    fixture_is(read_all(), KMS_ERR_INVALID_CIPHERTEXT);
}

START_TEST(a_bit_that_changed_is_found_in_every_part_of_a_chunk)
{
    /* Salt, ciphertext, tag; of the first chunk, one amid, the last whole one, the last. */
    const size_t chunks[] = {0, 2, 3, 4};

    setup();
    for (size_t i = 0; i < 4; i++) {
        size_t len = chunks[i] == WHOLE ? LAST + 32 : SEALED;
        const size_t at[] = {0, 15, 16, len / 2, len - 17, len - 16, len - 1};

        for (size_t j = 0; j < 7; j++) {
            chunk(stream, chunks[i])[at[j]] ^= 0x10;
            is_found(chunks[i]);
            chunk(stream, chunks[i])[at[j]] ^= 0x10;
        }
    }
    ck_assert_int_eq(read_all(), KMS_OK);
    finish();
}
END_TEST

START_TEST(a_stream_that_was_cut_is_found_wherever_it_was_cut)
{
    size_t whole_len;

    setup();
    whole_len = stream.len;
    for (size_t i = 0; i <= WHOLE; i++) {
        const size_t ends[] = {HEADER + i * SEALED, HEADER + i * SEALED + 1,
                               HEADER + i * SEALED + 31, HEADER + i * SEALED + 32,
                               HEADER + i * SEALED + 33};

        for (size_t j = 0; j < 5; j++) {
            stream.len = ends[j];
            is_found(i);
        }
    }
    stream.len = whole_len - 1;
    is_found(WHOLE);
    finish();
}
END_TEST

START_TEST(what_was_added_is_found)
{
    size_t whole_len;

    setup();
    whole_len = stream.len;
    memset(stream.data + whole_len, 0, 3 * SEALED);
    for (size_t added = 1; added < 2 * SEALED; added = added * 3 + 1) {
        stream.len = whole_len + added;
        is_found(WHOLE);
    }
    /* So much that the last chunk has become a whole one, and a last one follows. */
    stream.len = HEADER + (WHOLE + 1) * SEALED;
    is_found(WHOLE);
    stream.len += 32;
    is_found(WHOLE);
    /* The last chunk once more; the whole stream once more. */
    stream.len = whole_len + LAST + 32;
    memcpy(stream.data + whole_len, chunk(stream, WHOLE), LAST + 32);
    is_found(WHOLE);
    finish();
}
END_TEST

static void swap(uint8_t *a, uint8_t *b)
{
    static uint8_t kept[SEALED];

    memcpy(kept, a, SEALED);
    memcpy(a, b, SEALED);
    memcpy(b, kept, SEALED);
}

START_TEST(chunks_that_changed_places_are_found)
{
    setup();
    for (size_t a = 0; a < WHOLE; a++)
        for (size_t b = a + 1; b < WHOLE; b++) {
            swap(chunk(stream, a), chunk(stream, b));
            is_found(a);
            swap(chunk(stream, a), chunk(stream, b));
        }
    finish();
}
END_TEST

START_TEST(a_chunk_that_was_doubled_or_left_out_is_found)
{
    uint8_t *kept;
    size_t whole_len;

    setup();
    whole_len = stream.len;
    kept = malloc(whole_len);
    ck_assert_ptr_nonnull(kept);
    memcpy(kept, stream.data, whole_len);
    for (size_t i = 0; i < WHOLE; i++) {
        memmove(chunk(stream, i + 1), chunk(stream, i), whole_len - HEADER - i * SEALED);
        stream.len = whole_len + SEALED;
        is_found(i + 1);
        memcpy(stream.data, kept, whole_len);
        memmove(chunk(stream, i), chunk(stream, i + 1), whole_len - HEADER - (i + 1) * SEALED);
        stream.len = whole_len - SEALED;
        is_found(i);
        memcpy(stream.data, kept, whole_len);
        stream.len = whole_len;
    }
    free(kept);
    finish();
}
END_TEST

START_TEST(parts_of_another_stream_of_the_same_key_are_found)
{
    setup();
    for (size_t i = 0; i < WHOLE; i++) {
        swap(chunk(stream, i), chunk(other, i));
        is_found(i);
        swap(chunk(stream, i), chunk(other, i));
    }
    memcpy(chunk(stream, WHOLE), chunk(other, WHOLE), LAST + 32);
    is_found(WHOLE);
    /* Another's header before these chunks, of which one is the other's by now. */
    memcpy(stream.data, other.data, HEADER);
    is_found(0);
    finish();
}
END_TEST

/* --- headers ------------------------------------------------------------------------------------ */

static void opens(void)
{
    bytes opened;

    fixture_ok(stream_trial_open(store, NULL, stream, NULL, &opened));
    ck_assert_uint_eq(opened.len, plain.len);
    free(opened.data);
    ck_assert_int_eq(read_all(), KMS_OK);
}

static void header_is_refused(void)
{
    kms_stream_io io = stream_trial_io(&stream);
    kms_stream_reader *reader = NULL;
    kms_stream *opened = NULL;
    kms_blob_info info;

    fixture_is(kms_stream_decrypt(store, NULL, stream.data, HEADER, &opened),
               KMS_ERR_INVALID_CIPHERTEXT);
    fixture_is(kms_stream_reader_open(store, NULL, &io, &reader), KMS_ERR_INVALID_CIPHERTEXT);
    fixture_is(kms_inspect_stream(stream.data, HEADER, &info), KMS_ERR_INVALID_CIPHERTEXT);
}

START_TEST(a_header_with_one_damaged_slot_opens_and_with_two_is_refused)
{
    setup();
    for (size_t at = 0; at < SLOT; at += at < 200 || at >= SLOT - 40 ? 3 : 111) {
        stream.data[at] ^= 0x01;
        opens();
        stream.data[SLOT + (at * 7) % SLOT] ^= 0x80;
        header_is_refused();
        stream.data[at] ^= 0x01;
        opens();
        stream.data[SLOT + (at * 7) % SLOT] ^= 0x80;
    }
    finish();
}
END_TEST

START_TEST(what_is_no_stream_is_refused)
{
    uint8_t blob[200];
    size_t len = fixture_encrypt((setup(), store), key, "text", blob, sizeof blob);

    memset(stream.data, 0, HEADER);
    header_is_refused();
    memcpy(stream.data, blob, len);
    header_is_refused();
    memset(stream.data, 0xff, HEADER);
    header_is_refused();
    finish();
}
END_TEST

/* --- after a failure ---------------------------------------------------------------------------- */

START_TEST(a_stream_that_failed_is_lost_and_its_output_is_zero)
{
    static uint8_t out[KMS_STREAM_ROOM(PLAIN + SEALED)];
    kms_stream *opened = NULL;
    size_t used = 77, got = 77;
    bool done = false;

    setup();
    chunk(stream, 2)[100] ^= 1;
    memset(out, 0, sizeof out);
    fixture_ok(kms_stream_decrypt(store, NULL, stream.data, HEADER, &opened));
    fixture_is(kms_stream_push(opened, stream.data + HEADER, stream.len - HEADER, &used, out,
                               sizeof out, &got),
               KMS_ERR_INVALID_CIPHERTEXT);
    fixture_says("chunk 2");
    ck_assert(used == 77 && got == 77);
    ck_assert(sodium_is_zero(out, sizeof out));
    chunk(stream, 2)[100] ^= 1;
    fixture_is(kms_stream_push(opened, chunk(stream, 2), SEALED, &used, out, sizeof out, &got),
               KMS_ERR_INVALID_CIPHERTEXT);
    fixture_is(kms_stream_finish(opened, out, sizeof out, &got, &done), KMS_ERR_INVALID_CIPHERTEXT);
    ck_assert(!done && got == 77);
    kms_stream_free(opened);
    finish();
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {a_bit_that_changed_is_found_in_every_part_of_a_chunk, 0},
        {a_stream_that_was_cut_is_found_wherever_it_was_cut, 0},
        {what_was_added_is_found, 0},
        {chunks_that_changed_places_are_found, 0},
        {a_chunk_that_was_doubled_or_left_out_is_found, 0},
        {parts_of_another_stream_of_the_same_key_are_found, 0},
        {a_header_with_one_damaged_slot_opens_and_with_two_is_refused, 0},
        {what_is_no_stream_is_refused, 0},
        {a_stream_that_failed_is_lost_and_its_output_is_zero, 0},
    };

    return fixture_main("stream_damage", tests, sizeof tests / sizeof tests[0], 60);
}
