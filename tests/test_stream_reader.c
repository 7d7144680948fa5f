/* Reading a stream at any place: only the chunks of the range are touched. */
#include "support/stream_trial.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHUNK ((size_t)KMS_STREAM_CHUNK_SIZE)
#define SEALED ((size_t)(KMS_STREAM_CHUNK_SIZE + KMS_STREAM_CHUNK_OVERHEAD))
#define HEADER ((size_t)KMS_STREAM_HEADER_SIZE)

#define CHUNKS 9
#define PLAIN ((CHUNKS - 1) * CHUNK + 500)

static place here;
static kms_store *store;
static char key[KMS_KEY_ID_SIZE];
static bytes plain, stream;

/* The source, which counts how often each chunk was read. */
static unsigned touched[CHUNKS], header_reads;
static kms_status failure;
static size_t shortened_to;

static kms_status counting_read(void *data, uint64_t at, void *buffer, size_t len, size_t *len_read)
{
    size_t left = at < shortened_to ? shortened_to - (size_t)at : 0;

    (void)data;
    if (failure != KMS_OK)
        return failure;
    if (at < HEADER) {
        header_reads++;
    } else {
        ck_assert_uint_eq((at - HEADER) % SEALED, 0);
        ck_assert_uint_le(len, SEALED);
        touched[(at - HEADER) / SEALED]++;
    }
    *len_read = len < left ? len : left;
    memcpy(buffer, stream.data + at, *len_read);
    return KMS_OK;
}

static kms_status counting_size(void *data, uint64_t *size)
{
    (void)data;
    *size = stream.len;
    return failure;
}

static const kms_stream_io counting = {
    .version = KMS_STREAM_IO_VERSION, .read_at = counting_read, .get_size = counting_size};

static void forget(void)
{
    memset(touched, 0, sizeof touched);
    header_reads = 0;
}

static void setup(void)
{
    place_init(&here);
    store = place_open(&here);
    fixture_create_key(store, key);
    plain = stream_trial_plain(PLAIN);
    stream = stream_trial_seal(store, key, NULL, plain);
    shortened_to = stream.len;
    failure = KMS_OK;
    forget();
}

static void finish(void)
{
    free(plain.data);
    free(stream.data);
    kms_close(store);
    place_free(&here);
}

static kms_stream_reader *open_reader(void)
{
    kms_stream_reader *reader = NULL;

    fixture_ok(kms_stream_reader_open(store, NULL, &counting, &reader));
    return reader;
}

static void reads(kms_stream_reader *reader, size_t offset, size_t len)
{
    uint8_t *out = malloc(len + 1);
    size_t left = offset < PLAIN ? PLAIN - offset : 0, got = SIZE_MAX;

    ck_assert_ptr_nonnull(out);
    fixture_ok(kms_stream_reader_read(reader, offset, out, len, &got));
    ck_assert_uint_eq(got, len < left ? len : left);
    ck_assert(got == 0 || memcmp(out, plain.data + offset, got) == 0);
    free(out);
}

START_TEST(opening_reads_the_header_and_the_last_chunk)
{
    kms_stream_reader *reader;

    setup();
    reader = open_reader();
    ck_assert_uint_eq(kms_stream_reader_size(reader), PLAIN);
    ck_assert_uint_eq(header_reads, 1);
    for (size_t i = 0; i < CHUNKS; i++)
        ck_assert_uint_eq(touched[i], i == CHUNKS - 1);
    kms_stream_reader_close(reader);
    kms_stream_reader_close(NULL);
    finish();
}
END_TEST

START_TEST(a_range_touches_only_its_chunks)
{
    const struct {
        size_t offset, len, first, last;
    } ranges[] = {
        {0, 1, 0, 0},
        {CHUNK - 1, 1, 0, 0},
        {CHUNK, 1, 1, 1},
        {CHUNK - 1, 2, 0, 1},
        {2 * CHUNK, CHUNK, 2, 2},
        {2 * CHUNK + 5, CHUNK, 2, 3},
        {3 * CHUNK, 3 * CHUNK, 3, 5},
        {3 * CHUNK - 1, 3 * CHUNK + 2, 2, 6},
        {PLAIN - 600, 600, CHUNKS - 2, CHUNKS - 1},
        {PLAIN - 1, 1, CHUNKS - 1, CHUNKS - 1},
    };
    kms_stream_reader *reader;

    setup();
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        reader = open_reader();
        /* So that the last chunk, which opening keeps, is not kept any more. */
        reads(reader, 7 * CHUNK - 9, 1);
        forget();
        reads(reader, ranges[i].offset, ranges[i].len);
        ck_assert_uint_eq(header_reads, 0);
        for (size_t j = 0; j < CHUNKS; j++) {
            bool in = j >= ranges[i].first && j <= ranges[i].last;

            ck_assert_msg(touched[j] == in || (in && j == 6), "range %zu, chunk %zu: %u", i, j,
                          touched[j]);
        }
        kms_stream_reader_close(reader);
    }
    finish();
}
END_TEST

START_TEST(reading_on_in_small_pieces_reads_each_chunk_once)
{
    kms_stream_reader *reader;

    setup();
    reader = open_reader();
    forget();
    for (size_t at = 0; at < PLAIN; at += 1000)
        reads(reader, at, 1000);
    for (size_t i = 0; i < CHUNKS; i++)
        ck_assert_uint_eq(touched[i], 1);
    kms_stream_reader_close(reader);
    finish();
}
END_TEST

START_TEST(at_the_end_fewer_bytes_are_read_and_behind_it_none)
{
    kms_stream_reader *reader;

    setup();
    reader = open_reader();
    reads(reader, PLAIN - 10, 100);
    reads(reader, PLAIN, 100);
    reads(reader, PLAIN + 1, 1);
    reads(reader, SIZE_MAX, 1);
    reads(reader, 5, 0);
    reads(reader, 0, PLAIN + 1000);
    kms_stream_reader_close(reader);
    finish();
}
END_TEST

START_TEST(an_empty_stream_can_be_read)
{
    bytes nothing = {NULL, 0};
    kms_stream_reader *reader;

    setup();
    free(stream.data);
    free(plain.data);
    plain = stream_trial_plain(0);
    stream = stream_trial_seal(store, key, NULL, nothing);
    shortened_to = stream.len;
    reader = open_reader();
    ck_assert_uint_eq(kms_stream_reader_size(reader), 0);
    kms_stream_reader_close(reader);
    finish();
}
END_TEST

START_TEST(damage_beside_the_range_does_no_harm_and_in_it_gives_nothing)
{
    uint8_t out[3000];
    kms_stream_reader *reader;
    size_t got = 5;

    setup();
    stream.data[HEADER + 3 * SEALED + 99] ^= 1;
    reader = open_reader();
    reads(reader, 0, 3 * CHUNK);
    memset(out, 0, sizeof out);
    fixture_is(kms_stream_reader_read(reader, 3 * CHUNK - 1000, out, sizeof out, &got),
               KMS_ERR_INVALID_CIPHERTEXT);
    fixture_says("chunk 3");
    ck_assert_uint_eq(got, 5);
    ck_assert(sodium_is_zero(out, sizeof out));
    /* It stays usable, and what failed is not kept. */
    reads(reader, 4 * CHUNK, CHUNK);
    fixture_is(kms_stream_reader_read(reader, 3 * CHUNK, out, 1, &got), KMS_ERR_INVALID_CIPHERTEXT);
    stream.data[HEADER + 3 * SEALED + 99] ^= 1;
    reads(reader, 3 * CHUNK, 1);
    kms_stream_reader_close(reader);
    finish();
}
END_TEST

START_TEST(a_source_that_became_shorter_is_an_error)
{
    kms_stream_reader *reader;
    uint8_t out[10];
    size_t got;

    setup();
    reader = open_reader();
    shortened_to = HEADER + 5 * SEALED;
    reads(reader, 4 * CHUNK, 10);
    fixture_is(kms_stream_reader_read(reader, 5 * CHUNK, out, sizeof out, &got),
               KMS_ERR_INVALID_CIPHERTEXT);
    kms_stream_reader_close(reader);
    reader = NULL;
    fixture_is(kms_stream_reader_open(store, NULL, &counting, &reader), KMS_ERR_INVALID_CIPHERTEXT);
    shortened_to = HEADER - 1;
    fixture_is(kms_stream_reader_open(store, NULL, &counting, &reader), KMS_ERR_INVALID_CIPHERTEXT);
    ck_assert_ptr_null(reader);
    finish();
}
END_TEST

START_TEST(a_source_that_fails_passes_its_status_on)
{
    kms_stream_reader *reader, *none = NULL;
    uint8_t out[10];
    size_t got;

    setup();
    reader = open_reader();
    failure = KMS_ERR_BUSY;
    fixture_is(kms_stream_reader_read(reader, 0, out, sizeof out, &got), KMS_ERR_BUSY);
    fixture_says("read_at");
    fixture_is(kms_stream_reader_open(store, NULL, &counting, &none), KMS_ERR_BUSY);
    failure = (kms_status)12345;
    fixture_is(kms_stream_reader_read(reader, 0, out, sizeof out, &got), KMS_ERR_STORAGE);
    failure = KMS_OK;
    reads(reader, 0, 10);
    kms_stream_reader_close(reader);
    finish();
}
END_TEST

START_TEST(arguments_are_checked)
{
    kms_stream_reader *reader = NULL;
    kms_stream_io io = counting;
    uint8_t out[10];
    size_t got = 5;

    setup();
    fixture_is(kms_stream_reader_open(NULL, NULL, &io, &reader), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_stream_reader_open(store, NULL, NULL, &reader), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_stream_reader_open(store, NULL, &io, NULL), KMS_ERR_INVALID_ARGUMENT);
    io.version = 2;
    fixture_is(kms_stream_reader_open(store, NULL, &io, &reader), KMS_ERR_ABI);
    io = counting;
    io.read_at = NULL;
    fixture_is(kms_stream_reader_open(store, NULL, &io, &reader), KMS_ERR_INVALID_ARGUMENT);
    io = counting;
    io.get_size = NULL;
    fixture_is(kms_stream_reader_open(store, NULL, &io, &reader), KMS_ERR_INVALID_ARGUMENT);
    ck_assert_ptr_null(reader);
    reader = open_reader();
    fixture_is(kms_stream_reader_read(NULL, 0, out, 1, &got), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_stream_reader_read(reader, 0, NULL, 1, &got), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_stream_reader_read(reader, 0, out, 1, NULL), KMS_ERR_INVALID_ARGUMENT);
    ck_assert_uint_eq(got, 5);
    kms_stream_reader_close(reader);
    finish();
}
END_TEST

START_TEST(a_file_is_read_by_its_descriptor)
{
    char path[] = "/tmp/libkms-stream-XXXXXX";
    kms_stream_reader *reader = NULL;
    kms_stream_io io;
    int fd = mkstemp(path);
    uint8_t out[10];
    size_t got;

    setup();
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(write(fd, stream.data, stream.len), (ssize_t)stream.len);
    kms_stream_io_of_fd(&io, fd);
    fixture_ok(kms_stream_reader_open(store, NULL, &io, &reader));
    reads(reader, 5 * CHUNK - 3, 10);
    ck_assert_int_eq(lseek(fd, 0, SEEK_CUR), (off_t)stream.len);
    ck_assert_int_eq(close(fd), 0);
    fixture_is(kms_stream_reader_read(reader, 0, out, sizeof out, &got), KMS_ERR_FILE);
    fixture_says("Bad file descriptor");
    kms_stream_reader_close(reader);
    finish();
}
END_TEST

START_TEST(a_child_of_fork_cannot_read_on)
{
    kms_stream_reader *reader;
    int status = -1;
    pid_t child;

    setup();
    reader = open_reader();
    child = fork();
    if (child == 0) {
        uint8_t out[1];
        size_t got;
        kms_status st = kms_stream_reader_read(reader, 0, out, 1, &got);

        kms_stream_reader_close(reader);
        _exit(st == KMS_ERR_FORKED ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    reads(reader, 0, 10);
    kms_stream_reader_close(reader);
    finish();
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {opening_reads_the_header_and_the_last_chunk, 0},
        {a_range_touches_only_its_chunks, 0},
        {reading_on_in_small_pieces_reads_each_chunk_once, 0},
        {at_the_end_fewer_bytes_are_read_and_behind_it_none, 0},
        {an_empty_stream_can_be_read, 0},
        {damage_beside_the_range_does_no_harm_and_in_it_gives_nothing, 0},
        {a_source_that_became_shorter_is_an_error, 0},
        {a_source_that_fails_passes_its_status_on, 0},
        {arguments_are_checked, 0},
        {a_file_is_read_by_its_descriptor, 0},
        {a_child_of_fork_cannot_read_on, 0},
    };

    return fixture_main("stream_reader", tests, sizeof tests / sizeof tests[0], 60);
}
