/* Streams of tests/fixtures, damaged in each way: none opens, by any way. What a rewrap that broke off
 * leaves opens, and is finished. */
#include "support/lmdb_trial.h"
#include "support/recorded_store.h"
#include "support/recorded_streams.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define HASH_SIZE 32

static uint8_t *chunk_at(const named_stream *s, size_t index)
{
    return s->bytes + KMS_STREAM_HEADER_SIZE + index * STREAM_SEALED;
}

static void remove_bytes(named_stream *s, uint8_t *at, size_t len)
{
    memmove(at, at + len, s->len - (size_t)(at - s->bytes) - len);
    s->len -= len;
}

static void insert_bytes(named_stream *s, uint8_t *at, size_t len)
{
    memmove(at + len, at, s->len - (size_t)(at - s->bytes));
    s->len += len;
}

static void flip_first_chunk(named_stream *s)
{
    chunk_at(s, 0)[0] ^= 1;
}
static void flip_tag(named_stream *s)
{
    s->bytes[s->len - 1] ^= 128;
}
static void flip_ciphertext(named_stream *s)
{
    chunk_at(s, 1)[30000] ^= 16;
}
static void cut_a_byte(named_stream *s)
{
    s->len--;
}
static void cut_last_chunk(named_stream *s)
{
    s->len = (size_t)(chunk_at(s, 3) - s->bytes);
}
static void cut_within_a_chunk(named_stream *s)
{
    s->len -= STREAM_SEALED;
}
static void cut_all_chunks(named_stream *s)
{
    s->len = KMS_STREAM_HEADER_SIZE;
}
static void cut_header(named_stream *s)
{
    s->len = KMS_STREAM_HEADER_SIZE - 1;
}

static void cut_and_close(named_stream *s)
{
    /* The last chunk in the place of one before it. */
    remove_bytes(s, chunk_at(s, 2), STREAM_SEALED);
}

static void add_a_byte(named_stream *s)
{
    s->bytes[s->len++] = 0;
}

static void add_a_chunk(named_stream *s)
{
    memcpy(s->bytes + s->len, s->bytes + KMS_STREAM_HEADER_SIZE, STREAM_SEALED);
    s->len += STREAM_SEALED;
}

static void remove_first_chunk(named_stream *s)
{
    remove_bytes(s, chunk_at(s, 0), STREAM_SEALED);
}

static void double_a_chunk(named_stream *s)
{
    insert_bytes(s, chunk_at(s, 1), STREAM_SEALED);
    memcpy(chunk_at(s, 1), chunk_at(s, 0), STREAM_SEALED);
}

static void swap_chunks(named_stream *s)
{
    static uint8_t kept[STREAM_SEALED];

    memcpy(kept, chunk_at(s, 0), STREAM_SEALED);
    memcpy(chunk_at(s, 0), chunk_at(s, 1), STREAM_SEALED);
    memcpy(chunk_at(s, 1), kept, STREAM_SEALED);
}

static void splice(named_stream *s)
{
    named_stream other;

    streams_make("suite-1-chunk-and-one", &other);
    memcpy(chunk_at(s, 0), chunk_at(&other, 0), STREAM_SEALED);
    free(other.bytes);
}

static void exchange_headers(named_stream *s)
{
    named_stream other;

    streams_make("suite-1-chunk", &other);
    memcpy(s->bytes, other.bytes, KMS_STREAM_HEADER_SIZE);
    free(other.bytes);
}

/* A whole slot of another stream, with a sequence that wins. */
static void plant_a_slot(named_stream *s)
{
    named_stream other;
    uint8_t blob[KMS__STREAM_BLOB], commitment[KMS_COMMITMENT_SIZE];

    streams_make("suite-1-chunk", &other);
    stream_vector_blob(&other.vector, 0, blob);
    kms__stream_commitment(other.vector.key, commitment);
    kms__stream_slot_write(9, commitment, blob, s->bytes);
    free(other.bytes);
}

static void plant_a_commitment(named_stream *s)
{
    uint8_t blob[KMS__STREAM_BLOB], commitment[KMS_COMMITMENT_SIZE] = {1};

    stream_vector_blob(&s->vector, 0, blob);
    kms__stream_slot_write(2, commitment, blob, s->bytes + KMS__STREAM_SLOT);
}

static void damage_both_slots(named_stream *s)
{
    s->bytes[100] ^= 1;
    s->bytes[KMS__STREAM_SLOT + 4000] ^= 1;
}

static void forget_the_magic(named_stream *s)
{
    s->bytes[0] ^= 1;
    s->bytes[KMS__STREAM_SLOT] ^= 1;
}

static void name_the_checksum(uint8_t *slot)
{
    (void)crypto_generichash_blake2b(slot + KMS__STREAM_SLOT - HASH_SIZE, HASH_SIZE, slot,
                                     KMS__STREAM_SLOT - HASH_SIZE, NULL, 0);
}

/* In both slots, with checksums that are right. */
static void set_in_both(named_stream *s, size_t at, uint8_t value)
{
    for (size_t i = 0; i < KMS__STREAM_SLOTS; i++) {
        s->bytes[i * KMS__STREAM_SLOT + at] = value;
        name_the_checksum(s->bytes + i * KMS__STREAM_SLOT);
    }
}

static void newer_format(named_stream *s)
{
    set_in_both(s, 8, 2);
}
static void no_format(named_stream *s)
{
    set_in_both(s, 8, 0);
}
static void fill_zeros(named_stream *s)
{
    set_in_both(s, 4063, 1);
}
static void fill_first_zero(named_stream *s)
{
    set_in_both(s, 180, 1);
}
static void other_kind(named_stream *s)
{
    set_in_both(s, 49 + 5, 1);
}
static void other_blob_suite(named_stream *s)
{
    set_in_both(s, 49 + 4, 2);
}
static void newer_blob(named_stream *s)
{
    set_in_both(s, 49 + 3, 2);
}
static void other_key(named_stream *s)
{
    set_in_both(s, 49 + 6, 0xff);
}

static const struct damage {
    const char *what;
    void (*make)(named_stream *);
    kms_status expected;
} damages[] = {
    {"a salt changed", flip_first_chunk, KMS_ERR_INVALID_CIPHERTEXT},
    {"a ciphertext changed", flip_ciphertext, KMS_ERR_INVALID_CIPHERTEXT},
    {"the last tag changed", flip_tag, KMS_ERR_INVALID_CIPHERTEXT},
    {"the last byte cut", cut_a_byte, KMS_ERR_INVALID_CIPHERTEXT},
    {"cut at a chunk's end", cut_last_chunk, KMS_ERR_INVALID_CIPHERTEXT},
    {"cut within a chunk", cut_within_a_chunk, KMS_ERR_INVALID_CIPHERTEXT},
    {"no chunk", cut_all_chunks, KMS_ERR_INVALID_CIPHERTEXT},
    {"half a header", cut_header, KMS_ERR_INVALID_CIPHERTEXT},
    {"a chunk before the last one removed", cut_and_close, KMS_ERR_INVALID_CIPHERTEXT},
    {"a byte added", add_a_byte, KMS_ERR_INVALID_CIPHERTEXT},
    {"a chunk added", add_a_chunk, KMS_ERR_INVALID_CIPHERTEXT},
    {"the first chunk removed", remove_first_chunk, KMS_ERR_INVALID_CIPHERTEXT},
    {"a chunk doubled", double_a_chunk, KMS_ERR_INVALID_CIPHERTEXT},
    {"two chunks swapped", swap_chunks, KMS_ERR_INVALID_CIPHERTEXT},
    {"a chunk of another stream", splice, KMS_ERR_INVALID_CIPHERTEXT},
    {"the header of another stream", exchange_headers, KMS_ERR_INVALID_CIPHERTEXT},
    {"a slot of another stream", plant_a_slot, KMS_ERR_INVALID_CIPHERTEXT},
    {"another commitment", plant_a_commitment, KMS_ERR_INVALID_CIPHERTEXT},
    {"both slots damaged", damage_both_slots, KMS_ERR_INVALID_CIPHERTEXT},
    {"no magic", forget_the_magic, KMS_ERR_INVALID_CIPHERTEXT},
    {"format 2", newer_format, KMS_ERR_NEWER_FORMAT},
    {"format 0", no_format, KMS_ERR_INVALID_CIPHERTEXT},
    {"something in the last zero", fill_zeros, KMS_ERR_INVALID_CIPHERTEXT},
    {"something in the first zero", fill_first_zero, KMS_ERR_INVALID_CIPHERTEXT},
    {"a blob of kind 1", other_kind, KMS_ERR_INVALID_CIPHERTEXT},
    {"a blob of the other suite", other_blob_suite, KMS_ERR_INVALID_CIPHERTEXT},
    {"a blob of format 2", newer_blob, KMS_ERR_NEWER_FORMAT},
    {"an unknown key", other_key, KMS_ERR_KEY_NOT_FOUND},
};

START_TEST(test_damaged_streams_are_refused_by_every_way)
{
    named_stream s;
    kms_store *store;

    if (!recorded_machine_reads_the_file())
        return;
    store = streams_open_store();
    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        streams_make("suite-1-long", &s);
        damages[i].make(&s);
        streams_refused_by_every_way(store, s.vector.context, s.bytes, s.len, damages[i].expected,
                                     damages[i].what);
        free(s.bytes);
    }
    kms_close(store);
}
END_TEST

/* One slot alone keeps a stream open, whatever happens to the other. */
static void damage_first_slot(named_stream *s)
{
    s->bytes[2000] ^= 1;
}
static void wipe_second_slot(named_stream *s)
{
    memset(s->bytes + 4096, 0, 4096);
}

static void newer_first_slot(named_stream *s)
{
    s->bytes[8] = 2;
    name_the_checksum(s->bytes);
}

static void fill_second_slot(named_stream *s)
{
    s->bytes[4096 + 3000] = 1;
    name_the_checksum(s->bytes + 4096);
}

START_TEST(test_one_slot_that_is_whole_is_enough)
{
    void (*const losses[])(named_stream *) = {damage_first_slot, wipe_second_slot, newer_first_slot,
                                              fill_second_slot};
    named_stream s;
    kms_store *store;

    if (!recorded_machine_reads_the_file())
        return;
    store = streams_open_store();
    for (size_t i = 0; i < sizeof losses / sizeof losses[0]; i++) {
        streams_make("suite-1-chunk", &s);
        losses[i](&s);
        streams_open_by_every_way(store, s.vector.context, s.bytes, s.len, s.vector.plain_len);
        free(s.bytes);
    }
    kms_close(store);
}
END_TEST

/* The suite of the chunks is sealed, so only a holder of the key can name another. */
START_TEST(test_chunks_of_an_unknown_suite_do_not_open)
{
    named_stream s;
    kms_store *store;
    const uint8_t suites[] = {0, 3, 255};

    if (!recorded_machine_reads_the_file())
        return;
    store = streams_open_store();
    for (size_t i = 0; i < sizeof suites; i++) {
        uint8_t blob[KMS__STREAM_BLOB], commitment[KMS_COMMITMENT_SIZE];

        streams_make("suite-1-chunk", &s);
        s.vector.suite = (kms_suite)suites[i];
        stream_vector_blob(&s.vector, 0, blob);
        kms__stream_commitment(s.vector.key, commitment);
        kms__stream_slot_write(2, commitment, blob, s.bytes);
        streams_refused_by_every_way(store, s.vector.context, s.bytes, s.len,
                                     KMS_ERR_INVALID_CIPHERTEXT, "an unknown suite");
        trial_says("suite");
        free(s.bytes);
    }
    kms_close(store);
}
END_TEST

/* --- What a rewrap makes of its header -------------------------------------------------------- */

static kms_status rewrap(kms_store *store, named_stream *s, const kms_context *from,
                         const kms_context *to)
{
    const kms_stream_io io = streams_io(s);

    return kms_stream_rewrap(store, from, "alias/rotating", to, &io, NULL);
}

static bool is_stale(kms_store *store, const named_stream *s)
{
    bool stale = false;

    trial_ok(
        kms_stream_is_stale(store, "alias/rotating", s->bytes, KMS_STREAM_HEADER_SIZE, &stale));
    return stale;
}

START_TEST(test_a_rewrap_that_broke_off_is_stale_until_it_is_finished)
{
    const char *const names[] = {"rewrap-first-slot-torn", "rewrap-first-slot-whole",
                                 "rewrap-second-slot-torn"};
    named_stream s;
    kms_store *store;

    if (!recorded_machine_reads_the_file())
        return;
    store = streams_open_store();
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        streams_make(names[i], &s);
        ck_assert_msg(is_stale(store, &s), "%s", names[i]);
        trial_ok(rewrap(store, &s, s.vector.context, s.vector.context));
        ck_assert_msg(!is_stale(store, &s), "%s", names[i]);
        ck_assert_mem_eq(s.bytes, s.bytes + KMS__STREAM_SLOT, KMS__STREAM_SLOT);
        streams_open_by_every_way(store, s.vector.context, s.bytes, s.len, s.vector.plain_len);
        free(s.bytes);
    }
    kms_close(store);
}
END_TEST

/* It opens for ever, and cannot be rewrapped; what is wrong with the arguments is told before. */
START_TEST(test_the_last_sequence_opens_and_is_not_rewrapped)
{
    static const kms_context_pair pair = {"", "a key must have a byte"};
    static const kms_context malformed = {&pair, 1};
    named_stream s;
    kms_store *store;

    if (!recorded_machine_reads_the_file())
        return;
    store = streams_open_store();
    streams_make("suite-1-context", &s);
    memset(s.bytes + 9, 0xff, 8);
    name_the_checksum(s.bytes);
    streams_open_by_every_way(store, s.vector.context, s.bytes, s.len, s.vector.plain_len);
    trial_is(rewrap(store, &s, s.vector.context, s.vector.context), KMS_ERR_INVALID_CIPHERTEXT);
    trial_says("sequence");
    damage_both_slots(&s);
    trial_is(rewrap(store, &s, &malformed, NULL), KMS_ERR_INVALID_ARGUMENT);
    trial_is(rewrap(store, &s, NULL, &malformed), KMS_ERR_INVALID_ARGUMENT);
    trial_is(rewrap(store, &s, NULL, NULL), KMS_ERR_INVALID_CIPHERTEXT);
    kms_close(store);
    free(s.bytes);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        test_damaged_streams_are_refused_by_every_way,
        test_one_slot_that_is_whole_is_enough,
        test_chunks_of_an_unknown_suite_do_not_open,
        test_a_rewrap_that_broke_off_is_stale_until_it_is_finished,
        test_the_last_sequence_opens_and_is_not_rewrapped,
    };

    return trial_main("fixture_stream_damage", tests, sizeof tests / sizeof tests[0]);
}
