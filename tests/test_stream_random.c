/* Streams of random sizes, sealed in random pieces, and then opened in random pieces, read at random
 * places, or either with random damage: 10,000 cases, whose seed is printed. KMS_TEST_SEED=number repeats a run. */
#include "support/stream_trial.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CASES 10000
/* As many tests, each with its part of the cases. */
#define PARTS 10

#define CHUNK ((size_t)KMS_STREAM_CHUNK_SIZE)
#define SEALED ((size_t)(KMS_STREAM_CHUNK_SIZE + KMS_STREAM_CHUNK_OVERHEAD))
#define HEADER ((size_t)KMS_STREAM_HEADER_SIZE)
#define SLOT (HEADER / 2)

static place here;
static kms_store *store;
static char keys[2][KMS_KEY_ID_SIZE];
static size_t key_count;
static uint64_t seed;

static const kms_context_pair pairs[] = {{"a", "1"}, {"b", "2"}};
static const kms_context contexts[] = {{NULL, 0}, {pairs, 1}, {pairs, 2}};

static void setup(void)
{
    place_init(&here);
    store = place_open(&here);
    fixture_create_key(store, keys[key_count++]);
    if (fixture_has_suite_2(store))
        fixture_create_key_of(store, KMS_SUITE_AES_256_GCM, keys[key_count++]);
}

static void finish(void)
{
    kms_close(store);
    place_free(&here);
    key_count = 0;
}

/* A stream, and what it holds. */
typedef struct trial {
    trial_random random;
    const char *key;
    const kms_context *context;
    bytes plain;
    bytes stream;
} trial;

static size_t draw_len(trial_random *random)
{
    switch (trial_random_below(random, 12)) {
    case 0:
        return trial_random_below(random, 4) * CHUNK;
    case 1:
        return CHUNK * (1 + trial_random_below(random, 2)) - 20 + trial_random_below(random, 40);
    case 2:
        return trial_random_below(random, 4 * CHUNK);
    default:
        return trial_random_below(random, 3000);
    }
}

static bytes seal_in_pieces(trial *t)
{
    uint8_t header[HEADER];
    kms_stream *stream = NULL;
    bytes chunks, whole;

    fixture_ok(kms_stream_encrypt(store, t->key, t->context, header, &stream));
    fixture_ok(stream_trial_push(stream, t->plain, &t->random, &chunks));
    kms_stream_free(stream);
    /* Room for what damage may add. */
    whole = (bytes){malloc(HEADER + chunks.len + 2 * SEALED), HEADER + chunks.len};
    trial_demand(whole.data != NULL);
    memcpy(whole.data, header, HEADER);
    memcpy(whole.data + HEADER, chunks.data, chunks.len);
    free(chunks.data);
    return whole;
}

static void begin(trial *t, uint64_t number)
{
    t->random = trial_random_of(seed + number);
    t->key = keys[trial_random_below(&t->random, key_count)];
    t->context = &contexts[trial_random_below(&t->random, 3)];
    t->plain = stream_trial_plain(draw_len(&t->random));
    t->stream = seal_in_pieces(t);
    ck_assert_uint_eq(t->stream.len, KMS_STREAM_SIZE(t->plain.len));
}

static void end(trial *t)
{
    free(t->plain.data);
    free(t->stream.data);
}

static void opens_in_pieces(trial *t)
{
    bytes opened;

    fixture_ok(stream_trial_open(store, t->context, t->stream, &t->random, &opened));
    ck_assert_uint_eq(opened.len, t->plain.len);
    ck_assert_int_eq(memcmp(opened.data, t->plain.data, opened.len), 0);
    free(opened.data);
}

/* Whatever a reader gives is the plaintext's; the first failure ends it. */
static kms_status read_range(trial *t, kms_stream_reader *reader)
{
    uint64_t offset = trial_random_below(&t->random, t->plain.len + 10);
    size_t len = trial_random_below(&t->random, 4) == 0
                     ? trial_random_below(&t->random, t->plain.len + 10)
                     : trial_random_below(&t->random, 300);
    size_t left = offset < t->plain.len ? t->plain.len - (size_t)offset : 0, got = SIZE_MAX;
    uint8_t *out = malloc(len + 1);
    kms_status st;

    trial_demand(out != NULL);
    st = kms_stream_reader_read(reader, offset, out, len, &got);
    if (st == KMS_OK) {
        trial_demand(got == (len < left ? len : left));
        trial_demand(got == 0 || memcmp(out, t->plain.data + offset, got) == 0);
    }
    free(out);
    return st;
}

static kms_status read_ranges(trial *t)
{
    kms_stream_io io = stream_trial_io(&t->stream);
    kms_stream_reader *reader = NULL;
    kms_status st = kms_stream_reader_open(store, t->context, &io, &reader);

    if (st == KMS_OK)
        ck_assert_uint_eq(kms_stream_reader_size(reader), t->plain.len);
    for (size_t i = 0; st == KMS_OK && i < 6; i++)
        st = read_range(t, reader);
    kms_stream_reader_close(reader);
    return st;
}

/* --- damage ------------------------------------------------------------------------------------- */

static void flip_in(trial *t, size_t from, size_t to)
{
    size_t at = from + trial_random_below(&t->random, to - from);

    t->stream.data[at] ^= (uint8_t)(1u << trial_random_below(&t->random, 8));
}

static void cut(trial *t)
{
    t->stream.len = trial_random_below(&t->random, t->stream.len);
}

static void append(trial *t)
{
    size_t len = 1 + trial_random_below(&t->random,
                                        trial_random_below(&t->random, 2) == 0 ? 2 * SEALED : 64);

    for (size_t i = 0; i < len; i++)
        t->stream.data[t->stream.len++] = (uint8_t)trial_random_next(&t->random);
}

/* One whole chunk more, a copy of a chunk there: or one taken out, or two that change places. */
static void move_chunks(trial *t)
{
    size_t whole = t->plain.len / CHUNK, one, other;
    uint8_t *chunks = t->stream.data + HEADER, *kept;

    if (whole < 2) {
        flip_in(t, HEADER, t->stream.len);
        return;
    }
    one = trial_random_below(&t->random, whole);
    other = (one + 1 + trial_random_below(&t->random, whole - 1)) % whole;
    switch (trial_random_below(&t->random, 3)) {
    case 0:
        memmove(chunks + (one + 1) * SEALED, chunks + one * SEALED,
                t->stream.len - HEADER - one * SEALED);
        t->stream.len += SEALED;
        break;
    case 1:
        memmove(chunks + one * SEALED, chunks + (one + 1) * SEALED,
                t->stream.len - HEADER - (one + 1) * SEALED);
        t->stream.len -= SEALED;
        break;
    default:
        kept = malloc(SEALED);
        trial_demand(kept != NULL);
        memcpy(kept, chunks + one * SEALED, SEALED);
        memcpy(chunks + one * SEALED, chunks + other * SEALED, SEALED);
        memcpy(chunks + other * SEALED, kept, SEALED);
        free(kept);
    }
}

/* Chunks of another stream of the same key and size behind this one's header. */
static void splice(trial *t)
{
    bytes other = seal_in_pieces(t);
    size_t from = HEADER + t->plain.len / CHUNK * SEALED;

    memcpy(t->stream.data + from, other.data + from, other.len - from);
    free(other.data);
}

/* Does something to the stream; tells whether its plaintext is still to be had: one slot is enough. */
static bool damage(trial *t)
{
    size_t slot;

    switch (trial_random_below(&t->random, 7)) {
    case 0:
        cut(t);
        return false;
    case 1:
        append(t);
        return false;
    case 2:
        move_chunks(t);
        return false;
    case 3:
        splice(t);
        return false;
    case 4:
        slot = trial_random_below(&t->random, 2) * SLOT;
        flip_in(t, slot, slot + SLOT);
        return true;
    case 5:
        flip_in(t, 0, SLOT);
        flip_in(t, SLOT, HEADER);
        return false;
    default:
        flip_in(t, HEADER, t->stream.len);
        return false;
    }
}

static void check_damaged(trial *t)
{
    bool readable = damage(t);
    bytes opened;

    if (readable)
        opens_in_pieces(t);
    else
        fixture_is(stream_trial_open(store, t->context, t->stream,
                                     trial_random_below(&t->random, 2) == 0 ? NULL : &t->random,
                                     &opened),
                   KMS_ERR_INVALID_CIPHERTEXT);
}

/* A range may lie beside the damage: what it gives is right then. */
static void check_ranges_of_damaged(trial *t)
{
    bool readable = damage(t);
    kms_status st = read_ranges(t);

    ck_assert_msg(st == KMS_OK || (!readable && st == KMS_ERR_INVALID_CIPHERTEXT), "%s",
                  kms_status_name(st));
}

/* --- the cases ---------------------------------------------------------------------------------- */

/* Of one stream: opened and read whole, and either with damage. */
#define CASES_A_STREAM 4

static void check_stream(uint64_t number)
{
    trial t;
    uint8_t *whole;
    size_t len;

    begin(&t, number);
    len = t.stream.len;
    whole = malloc(len);
    trial_demand(whole != NULL);
    memcpy(whole, t.stream.data, len);
    opens_in_pieces(&t);
    fixture_ok(read_ranges(&t));
    check_damaged(&t);
    memcpy(t.stream.data, whole, len);
    t.stream.len = len;
    check_ranges_of_damaged(&t);
    free(whole);
    end(&t);
}

START_TEST(random_pieces_ranges_and_damage)
{
    uint64_t each = (fixture_is_watched() ? CASES / 20 : CASES) / PARTS / CASES_A_STREAM;

    setup();
    for (uint64_t i = 0; i < each; i++)
        check_stream((uint64_t)_i * each + i);
    finish();
}
END_TEST

static uint64_t draw_seed(void)
{
    const char *wanted = getenv("KMS_TEST_SEED");

    if (wanted != NULL)
        return strtoull(wanted, NULL, 10);
    if (sodium_init() < 0)
        return 1;
    return randombytes_random();
}

int main(void)
{
    const fixture_test tests[] = {{random_pieces_ranges_and_damage, PARTS}};

    seed = draw_seed();
    printf("KMS_TEST_SEED=%" PRIu64 "\n", seed);
    return fixture_main("stream_random", tests, 1, 120);
}
