/* Streams: data of any size, pushed through in any pieces, in constant memory. */
#include "crypto/chunk.h"
#include "support/stream_trial.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHUNK ((size_t)KMS_STREAM_CHUNK_SIZE)

static place here;
static kms_store *store;
static char key[KMS_KEY_ID_SIZE];

static const kms_context_pair pairs[] = {{"bucket", "photos"}, {"object", "1.jpg"}};
static const kms_context context = {pairs, 2};

static void setup(void)
{
    place_init(&here);
    store = place_open(&here);
    fixture_create_key(store, key);
    fixture_ok(kms_create_alias(store, "alias/a", key));
}

static void finish(void)
{
    kms_close(store);
    place_free(&here);
}

static void same(bytes a, bytes b)
{
    ck_assert_uint_eq(a.len, b.len);
    ck_assert_int_eq(memcmp(a.data, b.data, a.len), 0);
}

static const size_t sizes[] = {0,         1,         CHUNK - 1, CHUNK,        CHUNK + 1,
                               2 * CHUNK, 3 * CHUNK, 100000,    5 * CHUNK - 1};

#define SIZES ((int)(sizeof sizes / sizeof sizes[0]))

START_TEST(what_is_pushed_in_comes_out_again_at_any_size)
{
    bytes plain = stream_trial_plain(sizes[_i]), stream, opened;

    setup();
    stream = stream_trial_seal(store, "alias/a", &context, plain);
    ck_assert_uint_eq(stream.len, KMS_STREAM_SIZE(plain.len));
    ck_assert_uint_eq(KMS_STREAM_PLAINTEXT_SIZE(stream.len), plain.len);
    fixture_ok(stream_trial_open(store, &context, stream, NULL, &opened));
    same(opened, plain);
    free(opened.data);
    free(stream.data);
    free(plain.data);
    finish();
}
END_TEST

START_TEST(each_suite_has_streams)
{
    char aes[KMS_KEY_ID_SIZE];
    bytes plain = stream_trial_plain(3 * CHUNK + 5), stream, opened;
    kms_blob_info info;

    setup();
    if (!fixture_has_suite_2(store)) {
        fixture_skip("streams of suite 2", "not in this build");
    } else {
        fixture_create_key_of(store, KMS_SUITE_AES_256_GCM, aes);
        stream = stream_trial_seal(store, aes, NULL, plain);
        fixture_ok(kms_inspect_stream(stream.data, stream.len, &info));
        ck_assert_int_eq(info.suite, KMS_SUITE_AES_256_GCM);
        fixture_ok(stream_trial_open(store, NULL, stream, NULL, &opened));
        same(opened, plain);
        free(opened.data);
        free(stream.data);
    }
    free(plain.data);
    finish();
}
END_TEST

START_TEST(one_plaintext_gives_two_streams_that_share_nothing)
{
    bytes plain = stream_trial_plain(2 * CHUNK), first, second;

    setup();
    first = stream_trial_seal(store, key, NULL, plain);
    second = stream_trial_seal(store, key, NULL, plain);
    for (size_t at = KMS_STREAM_HEADER_SIZE; at + 16 <= first.len; at += 16)
        trial_demand(memcmp(first.data + at, second.data + at, 16) != 0);
    free(first.data);
    free(second.data);
    free(plain.data);
    finish();
}
END_TEST

/* --- what a stream needs ------------------------------------------------------------------------ */

START_TEST(a_stream_outlives_its_store)
{
    uint8_t header[KMS_STREAM_HEADER_SIZE];
    kms_stream *sealing = NULL, *opening = NULL;
    bytes plain = stream_trial_plain(CHUNK + 7), chunks, opened;

    setup();
    fixture_ok(kms_stream_encrypt(store, key, NULL, header, &sealing));
    fixture_ok(kms_stream_decrypt(store, NULL, header, sizeof header, &opening));
    fixture_ok(kms_disable_key(store, key));
    kms_close(store);
    fixture_ok(stream_trial_push(sealing, plain, NULL, &chunks));
    fixture_ok(stream_trial_push(opening, chunks, NULL, &opened));
    same(opened, plain);
    free(opened.data);
    free(chunks.data);
    free(plain.data);
    kms_stream_free(sealing);
    kms_stream_free(opening);
    kms_stream_free(NULL);
    place_free(&here);
}
END_TEST

/* A stream that is sealed and opened at once: one chunk after the other. */
static void pass_through(size_t chunks)
{
    static uint8_t in[CHUNK], out[KMS_STREAM_ROOM(CHUNK)], back[KMS_STREAM_ROOM(sizeof out)];
    uint8_t header[KMS_STREAM_HEADER_SIZE];
    kms_stream *sealing = NULL, *opening = NULL;
    size_t used, got, got_back;

    fixture_ok(kms_stream_encrypt(store, key, NULL, header, &sealing));
    fixture_ok(kms_stream_decrypt(store, NULL, header, sizeof header, &opening));
    for (size_t i = 0; i < chunks; i++) {
        memset(in, (int)i, sizeof in);
        fixture_ok(kms_stream_push(sealing, in, sizeof in, &used, out, sizeof out, &got));
        trial_demand(used == sizeof in);
        fixture_ok(kms_stream_push(opening, out, got, &used, back, sizeof back, &got_back));
        trial_demand(used == got && got_back == sizeof in);
        trial_demand(memcmp(back, in, sizeof in) == 0);
    }
    kms_stream_free(sealing);
    kms_stream_free(opening);
}

/* 256 MiB both ways, after a short one that brought in code and buffers: the process grows by less than
 * 1 MiB. */
START_TEST(a_stream_of_any_size_takes_less_than_1_mib)
{
    struct rusage before, after;

    setup();
    pass_through(2);
    getrusage(RUSAGE_SELF, &before);
    pass_through(fixture_is_watched() ? 64 : 4096);
    getrusage(RUSAGE_SELF, &after);
    if (!fixture_is_watched())
        ck_assert_int_lt(after.ru_maxrss - before.ru_maxrss, 1024);
    finish();
}
END_TEST

START_TEST(a_tiny_output_buffer_is_enough)
{
    uint8_t header[KMS_STREAM_HEADER_SIZE], byte;
    kms_stream *stream = NULL;
    bytes plain = stream_trial_plain(CHUNK + 100);
    size_t at = 0, used, got, total = 0;
    bool done = false;

    setup();
    fixture_ok(kms_stream_encrypt(store, key, NULL, header, &stream));
    while (at < plain.len) {
        fixture_ok(kms_stream_push(stream, plain.data + at, plain.len - at, &used, &byte, 1, &got));
        trial_demand(used + got > 0);
        at += used;
        total += got;
    }
    while (!done) {
        fixture_ok(kms_stream_finish(stream, &byte, 1, &got, &done));
        total += got;
    }
    ck_assert_uint_eq(total + sizeof header, KMS_STREAM_SIZE(plain.len));
    kms_stream_free(stream);
    free(plain.data);
    finish();
}
END_TEST

START_TEST(without_an_output_buffer_a_chunk_is_taken_and_nothing_given)
{
    uint8_t header[KMS_STREAM_HEADER_SIZE];
    kms_stream *stream = NULL;
    bytes plain = stream_trial_plain(3 * CHUNK);
    size_t used = 9, got = 9;
    bool done = true;

    setup();
    fixture_ok(kms_stream_encrypt(store, key, NULL, header, &stream));
    fixture_ok(kms_stream_push(stream, plain.data, plain.len, &used, NULL, 0, &got));
    ck_assert_uint_eq(used, CHUNK);
    ck_assert_uint_eq(got, 0);
    fixture_ok(kms_stream_push(stream, NULL, 0, &used, NULL, 0, &got));
    ck_assert_uint_eq(used, 0);
    fixture_ok(kms_stream_finish(stream, NULL, 0, &got, &done));
    ck_assert(!done && got == 0);
    fixture_is(kms_stream_push(stream, "a", 1, &used, NULL, 0, &got), KMS_ERR_INVALID_ARGUMENT);
    kms_stream_free(stream);
    free(plain.data);
    finish();
}
END_TEST

/* --- what it refuses ---------------------------------------------------------------------------- */

START_TEST(arguments_are_checked)
{
    static uint8_t buffer[2 * KMS_STREAM_HEADER_SIZE];
    kms_stream *stream = NULL;
    size_t used = 7, got = 7;
    bool done = false;

    setup();
    fixture_is(kms_stream_encrypt(NULL, key, NULL, buffer, &stream), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_stream_encrypt(store, NULL, NULL, buffer, &stream), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_stream_encrypt(store, key, NULL, NULL, &stream), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_stream_encrypt(store, key, NULL, buffer, NULL), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_stream_encrypt(store, "alias/none", NULL, buffer, &stream),
               KMS_ERR_ALIAS_NOT_FOUND);
    ck_assert_ptr_null(stream);
    ck_assert(sodium_is_zero(buffer, sizeof buffer));

    fixture_ok(kms_stream_encrypt(store, key, NULL, buffer, &stream));
    fixture_is(kms_stream_push(NULL, "a", 1, &used, buffer, 1, &got), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_stream_push(stream, NULL, 1, &used, buffer, 1, &got), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_stream_push(stream, "a", 1, NULL, buffer, 1, &got), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_stream_push(stream, "a", 1, &used, NULL, 1, &got), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_stream_push(stream, "a", 1, &used, buffer, 1, NULL), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_stream_push(stream, buffer, 9, &used, buffer + 8, 9, &got),
               KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_stream_finish(NULL, buffer, 1, &got, &done), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_stream_finish(stream, NULL, 1, &got, &done), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_stream_finish(stream, buffer, 1, NULL, &done), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_stream_finish(stream, buffer, 1, &got, NULL), KMS_ERR_INVALID_ARGUMENT);
    ck_assert(used == 7 && got == 7);
    /* None of that lost it. */
    fixture_ok(kms_stream_finish(stream, buffer, sizeof buffer, &got, &done));
    ck_assert(done);
    fixture_is(kms_stream_push(stream, "a", 1, &used, buffer, 1, &got), KMS_ERR_INVALID_ARGUMENT);
    fixture_says("finished");
    fixture_ok(kms_stream_finish(stream, buffer, sizeof buffer, &got, &done));
    ck_assert(done && got == 0);
    kms_stream_free(stream);
    finish();
}
END_TEST

START_TEST(opening_checks_its_arguments_too)
{
    static uint8_t header[KMS_STREAM_HEADER_SIZE + 1];
    kms_stream *stream = NULL, *sealing = NULL;
    kms_blob_info info;
    bool stale;

    setup();
    fixture_ok(kms_stream_encrypt(store, key, NULL, header, &sealing));
    kms_stream_free(sealing);
    fixture_is(kms_stream_decrypt(NULL, NULL, header, 8192, &stream), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_stream_decrypt(store, NULL, NULL, 8192, &stream), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_stream_decrypt(store, NULL, header, 8192, NULL), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_stream_decrypt(store, NULL, header, 8193, &stream), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_stream_decrypt(store, NULL, header, 8191, &stream), KMS_ERR_INVALID_CIPHERTEXT);
    fixture_is(kms_stream_decrypt(store, NULL, header, 0, &stream), KMS_ERR_INVALID_CIPHERTEXT);
    fixture_is(kms_inspect_stream(header, 8191, &info), KMS_ERR_INVALID_CIPHERTEXT);
    fixture_is(kms_inspect_stream(NULL, 8192, &info), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_inspect_stream(header, 8192, NULL), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_stream_is_stale(store, key, header, 8192, NULL), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_stream_is_stale(store, key, header, 8191, &stale), KMS_ERR_INVALID_CIPHERTEXT);
    fixture_is(kms_stream_is_stale(store, "nonsense", header, 8192, &stale),
               KMS_ERR_INVALID_ARGUMENT);
    ck_assert_ptr_null(stream);
    finish();
}
END_TEST

START_TEST(the_context_is_bound)
{
    bytes plain = stream_trial_plain(10), stream, opened;
    const kms_context other = {pairs, 1};

    setup();
    stream = stream_trial_seal(store, key, &context, plain);
    fixture_is(stream_trial_open(store, NULL, stream, NULL, &opened), KMS_ERR_INVALID_CIPHERTEXT);
    fixture_is(stream_trial_open(store, &other, stream, NULL, &opened), KMS_ERR_INVALID_CIPHERTEXT);
    fixture_ok(stream_trial_open(store, &context, stream, NULL, &opened));
    free(opened.data);
    free(stream.data);
    free(plain.data);
    finish();
}
END_TEST

START_TEST(the_keys_state_counts_when_a_stream_begins)
{
    uint8_t header[KMS_STREAM_HEADER_SIZE];
    bytes plain = stream_trial_plain(10), stream, opened;
    kms_stream *begun = NULL;

    setup();
    stream = stream_trial_seal(store, key, NULL, plain);
    fixture_ok(kms_disable_key(store, key));
    fixture_is(kms_stream_encrypt(store, "alias/a", NULL, header, &begun), KMS_ERR_DISABLED);
    fixture_is(stream_trial_open(store, NULL, stream, NULL, &opened), KMS_ERR_DISABLED);
    fixture_ok(kms_enable_key(store, key));
    fixture_rotate(store, key);
    fixture_ok(stream_trial_open(store, NULL, stream, NULL, &opened));
    free(opened.data);
    free(stream.data);
    free(plain.data);
    finish();
}
END_TEST

/* A header is a blob of its own kind: no other call opens it, and no other blob makes a header. */
START_TEST(a_header_opens_as_nothing_but_a_stream)
{
    uint8_t plain[64], out[300];
    size_t len;
    bytes stream, nothing = {plain, 0};
    /* Where docs/stream-format.md puts the blob, and its size. */
    const size_t blob_at = 49, blob_len = 131;
    kms_secret *secret = NULL;
    kms_blob_info info;

    setup();
    stream = stream_trial_seal(store, key, NULL, nothing);
    fixture_is(kms_decrypt(store, NULL, stream.data + blob_at, blob_len, plain, sizeof plain, &len),
               KMS_ERR_INVALID_CIPHERTEXT);
    fixture_is(kms_decrypt_data_key(store, NULL, stream.data + blob_at, blob_len, &secret),
               KMS_ERR_INVALID_CIPHERTEXT);
    fixture_is(kms_re_encrypt(store, NULL, stream.data + blob_at, blob_len, key, NULL, out,
                              sizeof out, &len, NULL),
               KMS_ERR_INVALID_CIPHERTEXT);
    fixture_is(kms_decrypt(store, NULL, stream.data, stream.len, plain, sizeof plain, &len),
               KMS_ERR_BUFFER_TOO_SMALL);
    fixture_is(kms_inspect_blob(stream.data, stream.len, &info), KMS_ERR_INVALID_CIPHERTEXT);
    fixture_says("kms_stream_decrypt()");
    free(stream.data);
    finish();
}
END_TEST

START_TEST(a_deterministic_key_makes_no_streams)
{
    kms_create_key_options options = KMS_CREATE_KEY_OPTIONS_INIT;
    uint8_t header[KMS_STREAM_HEADER_SIZE];
    char deterministic[KMS_KEY_ID_SIZE];
    kms_stream *stream = NULL;

    setup();
    options.usage = KMS_KEY_USAGE_DETERMINISTIC;
    fixture_ok(kms_create_key(store, &options, deterministic));
    fixture_is(kms_stream_encrypt(store, deterministic, NULL, header, &stream),
               KMS_ERR_UNSUPPORTED);
    finish();
}
END_TEST

/* --- a child of fork() -------------------------------------------------------------------------- */

static int use_in_child(kms_stream *stream)
{
    uint8_t out[KMS_STREAM_ROOM(1)];
    size_t used, got;
    bool done;

    if (kms_stream_push(stream, "a", 1, &used, out, sizeof out, &got) != KMS_ERR_FORKED)
        return 1;
    if (kms_stream_finish(stream, out, sizeof out, &got, &done) != KMS_ERR_FORKED)
        return 2;
    kms_stream_free(stream);
    return 0;
}

START_TEST(a_child_of_fork_cannot_go_on_with_a_stream)
{
    uint8_t header[KMS_STREAM_HEADER_SIZE];
    kms_stream *stream = NULL;
    bytes plain = stream_trial_plain(9), chunks, opened;
    int status = -1;
    pid_t child;

    setup();
    fixture_ok(kms_stream_encrypt(store, key, NULL, header, &stream));
    child = fork();
    if (child == 0)
        _exit(use_in_child(stream));
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 0);
    /* The parent's is as it was. */
    fixture_ok(stream_trial_push(stream, plain, NULL, &chunks));
    kms_stream_free(stream);
    fixture_ok(kms_stream_decrypt(store, NULL, header, sizeof header, &stream));
    fixture_ok(stream_trial_push(stream, chunks, NULL, &opened));
    same(opened, plain);
    kms_stream_free(stream);
    free(opened.data);
    free(chunks.data);
    free(plain.data);
    finish();
}
END_TEST

/* What a copy of a running machine would do: seal another chunk in the same place of the same stream. */
START_TEST(a_chunk_that_is_sealed_twice_has_two_nonces)
{
    const uint8_t stream_key[KMS__STREAM_KEY_SIZE] = {1};
    uint8_t first[10 + KMS__CHUNK_OVERHEAD], second[10 + KMS__CHUNK_OVERHEAD], back[10];
    const kms_slice text = {"ten bytes.", 10};
    kms__chunk_cipher cipher;

    setup();
    ck_assert(kms__chunk_cipher_init(&cipher, KMS_SUITE_XCHACHA20_POLY1305, stream_key));
    fixture_ok(kms__chunk_seal(&cipher, 5, text, first));
    fixture_ok(kms__chunk_seal(&cipher, 5, text, second));
    ck_assert_int_ne(memcmp(first, second, KMS__CHUNK_SALT), 0);
    ck_assert_int_ne(memcmp(first + KMS__CHUNK_SALT, second + KMS__CHUNK_SALT, 10), 0);
    fixture_ok(kms__chunk_open(&cipher, 5, (kms_slice){second, sizeof second}, back));
    ck_assert_int_eq(memcmp(back, text.data, 10), 0);
    fixture_is(kms__chunk_open(&cipher, 6, (kms_slice){second, sizeof second}, back),
               KMS_ERR_INVALID_CIPHERTEXT);
    finish();
}
END_TEST

/* --- rotation ----------------------------------------------------------------------------------- */

START_TEST(a_stream_tells_its_key_and_whether_it_is_stale)
{
    bytes plain = stream_trial_plain(0), stream;
    kms_blob_info info;
    bool stale = true;

    setup();
    stream = stream_trial_seal(store, "alias/a", NULL, plain);
    fixture_ok(kms_inspect_stream(stream.data, stream.len, &info));
    ck_assert_str_eq(info.key_id, key);
    ck_assert_uint_eq(info.key_version, 1);
    ck_assert_int_eq(info.kind, KMS_BLOB_STREAM_HEADER);
    fixture_ok(kms_stream_is_stale(store, "alias/a", stream.data, stream.len, &stale));
    ck_assert(!stale);
    fixture_rotate(store, key);
    fixture_ok(kms_stream_is_stale(store, "alias/a", stream.data, stream.len, &stale));
    ck_assert(stale);
    free(stream.data);
    free(plain.data);
    finish();
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {what_is_pushed_in_comes_out_again_at_any_size, SIZES},
        {each_suite_has_streams, 0},
        {one_plaintext_gives_two_streams_that_share_nothing, 0},
        {a_stream_outlives_its_store, 0},
        {a_stream_of_any_size_takes_less_than_1_mib, 0},
        {a_tiny_output_buffer_is_enough, 0},
        {without_an_output_buffer_a_chunk_is_taken_and_nothing_given, 0},
        {arguments_are_checked, 0},
        {opening_checks_its_arguments_too, 0},
        {the_context_is_bound, 0},
        {the_keys_state_counts_when_a_stream_begins, 0},
        {a_header_opens_as_nothing_but_a_stream, 0},
        {a_deterministic_key_makes_no_streams, 0},
        {a_child_of_fork_cannot_go_on_with_a_stream, 0},
        {a_chunk_that_is_sealed_twice_has_two_nonces, 0},
        {a_stream_tells_its_key_and_whether_it_is_stale, 0},
    };

    return fixture_main("streams", tests, sizeof tests / sizeof tests[0], 60);
}
