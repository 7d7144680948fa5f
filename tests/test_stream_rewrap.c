/* Rewrapping a stream: only its header is rewritten, slot by slot, and whatever happens the stream
 * opens. What a power failure may leave is in test_stream_power_failure.c. */
#include "support/hand_clock.h"
#include "support/memory_stream.h"
#include "support/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SLOT (KMS_STREAM_HEADER_SIZE / 2)
#define PLAIN (KMS_STREAM_CHUNK_SIZE + 1000)

static place here;
static hand_clock hand = {HAND_START};
static kms_store *store;
static char key[KMS_KEY_ID_SIZE];
static uint8_t plain[PLAIN];
static memory_stream stream;

static const kms_context_pair here_pair = {"place", "here"}, there_pair = {"place", "there"};
static const kms_context of_here = {&here_pair, 1}, of_there = {&there_pair, 1};

static void setup(void)
{
    place_init(&here);
    store = hand_open(&here, &hand, 0, NULL);
    fixture_create_key(store, key);
    scratch_fill(plain, sizeof plain, 1);
    memory_stream_encrypt(&stream, store, key, &of_here, plain, sizeof plain);
}

static void finish(void)
{
    memory_stream_free(&stream);
    kms_close(store);
    place_free(&here);
}

static kms_status rewrap(const char *keyref)
{
    return kms_stream_rewrap(store, &of_here, keyref, &of_here, &stream.io, NULL);
}

static void opens(const kms_context *context)
{
    fixture_ok(memory_stream_open(&stream, store, context, plain, sizeof plain));
}

static kms_blob_info inspect(void)
{
    kms_blob_info info;

    fixture_ok(kms_inspect_stream(stream.bytes, KMS_STREAM_HEADER_SIZE, &info));
    return info;
}

static bool is_stale(const char *keyref)
{
    bool stale = false;

    fixture_ok(kms_stream_is_stale(store, keyref, stream.bytes, KMS_STREAM_HEADER_SIZE, &stale));
    return stale;
}

/* --- what is done ------------------------------------------------------------------------------- */

/* A sync first of all: who came before may have been killed before theirs. */
START_TEST(each_slot_is_written_and_synced_in_turn_and_the_one_that_counts_last)
{
    static const struct {
        uint64_t at;
        size_t len;
    } wanted[] = {{0, 0}, {SLOT, SLOT}, {0, 0}, {0, SLOT}, {0, 0}};

    setup();
    fixture_rotate(store, key);
    for (int turn = 0; turn < 3; turn++) {
        memory_stream_reset(&stream);
        fixture_ok(rewrap(key));
        ck_assert_uint_eq(stream.step_count, 5);
        for (size_t i = 0; i < 5; i++) {
            ck_assert_uint_eq(stream.steps[i].len, wanted[i].len);
            ck_assert(wanted[i].len == 0 || stream.steps[i].at == wanted[i].at);
        }
        ck_assert_int_eq(memcmp(stream.bytes, stream.bytes + SLOT, SLOT), 0);
    }
    opens(&of_here);
    finish();
}
END_TEST

/* After a call that broke off: the slot that counts is the second one. */
START_TEST(the_slot_that_is_not_whole_is_written_first)
{
    setup();
    stream.bytes[100] ^= 1;
    opens(&of_here);
    fixture_ok(rewrap(key));
    ck_assert_uint_eq(stream.step_count, 5);
    ck_assert_uint_eq(stream.steps[1].at, 0);
    ck_assert_uint_eq(stream.steps[3].at, SLOT);
    ck_assert_int_eq(memcmp(stream.bytes, stream.bytes + SLOT, SLOT), 0);
    opens(&of_here);
    finish();
}
END_TEST

START_TEST(the_data_are_neither_read_nor_written_nor_counted)
{
    setup();
    stream.size = UINT64_C(8) << 30;
    stream.held = KMS_STREAM_HEADER_SIZE;
    fixture_rotate(store, key);
    fixture_ok(rewrap(key));
    ck_assert_uint_eq(stream.calls[MEMORY_READ], 1);
    ck_assert_uint_eq(inspect().key_version, 2);
    stream.held = KMS_STREAM_SIZE(PLAIN);
    opens(&of_here);
    finish();
}
END_TEST

START_TEST(a_rewrapped_stream_needs_the_old_version_no_more)
{
    kms_key_used source;

    setup();
    ck_assert(!is_stale(key));
    fixture_rotate(store, key);
    ck_assert(is_stale(key));
    ck_assert_uint_eq(inspect().key_version, 1);
    memset(&source, 0, sizeof source);
    fixture_ok(kms_stream_rewrap(store, &of_here, key, &of_here, &stream.io, &source));
    ck_assert_str_eq(source.key_id, key);
    ck_assert_uint_eq(source.key_version, 1);
    ck_assert(!is_stale(key));
    ck_assert_uint_eq(inspect().key_version, 2);
    ck_assert_str_eq(inspect().key_id, key);
    fixture_ok(kms_disable_key_version(store, key, 1));
    opens(&of_here);
    fixture_ok(kms_enable_key_version(store, key, 1));
    fixture_ok(kms_schedule_key_version_destruction(store, key, 1, 0, NULL));
    hand.now_ms += 40 * DAY_MS;
    fixture_ok(kms_purge_key_version(store, key, 1, hand.now_ms));
    /* Either slot alone is enough. */
    for (size_t at = 0; at < KMS_STREAM_HEADER_SIZE; at += SLOT) {
        stream.bytes[at] ^= 1;
        opens(&of_here);
        stream.bytes[at] ^= 1;
    }
    finish();
}
END_TEST

START_TEST(key_alias_and_context_may_be_others)
{
    char other[KMS_KEY_ID_SIZE];

    setup();
    fixture_create_key(store, other);
    fixture_ok(kms_create_alias(store, "alias/other", other));
    fixture_ok(kms_stream_rewrap(store, &of_here, "alias/other", &of_there, &stream.io, NULL));
    ck_assert_str_eq(inspect().key_id, other);
    ck_assert(is_stale(key));
    ck_assert(!is_stale("alias/other"));
    opens(&of_there);
    fixture_is(memory_stream_open(&stream, store, &of_here, plain, sizeof plain),
               KMS_ERR_INVALID_CIPHERTEXT);
    fixture_ok(kms_disable_key(store, key));
    opens(&of_there);
    fixture_ok(kms_stream_rewrap(store, &of_there, other, NULL, &stream.io, NULL));
    opens(NULL);
    finish();
}
END_TEST

START_TEST(chunks_keep_their_suite_under_a_key_of_another)
{
    char others[2][KMS_KEY_ID_SIZE];
    kms_suite suites[2] = {KMS_SUITE_XCHACHA20_POLY1305, KMS_SUITE_AES_256_GCM};

    setup();
    if (!fixture_has_suite_2(store)) {
        fixture_skip("streams of suite 2", "it is not in this build");
        finish();
        return;
    }
    for (int i = 0; i < 2; i++)
        fixture_create_key_of(store, suites[i], others[i]);
    memory_stream_free(&stream);
    memory_stream_encrypt(&stream, store, others[_i], &of_here, plain, sizeof plain);
    for (int i = 0; i < 3; i++) {
        fixture_ok(rewrap(others[(_i + 1 + i) % 2]));
        ck_assert_int_eq(inspect().suite, suites[(_i + 1 + i) % 2]);
        opens(&of_here);
    }
    finish();
}
END_TEST

/* --- what fails --------------------------------------------------------------------------------- */

START_TEST(a_call_that_may_not_rewrap_writes_nothing)
{
    static const char unknown[] = "00112233-4455-4677-8899-aabbccddeeff";
    char other[KMS_KEY_ID_SIZE];
    uint8_t before[KMS_STREAM_SIZE(PLAIN)];
    kms_key_used source;

    setup();
    fixture_create_key(store, other);
    memcpy(before, stream.bytes, sizeof before);
    memset(&source, 0x6b, sizeof source);
#define REFUSED(from, to, status)                                                                  \
    fixture_is(kms_stream_rewrap(store, from, to, &of_here, &stream.io, &source), status)
    REFUSED(&of_there, key, KMS_ERR_INVALID_CIPHERTEXT);
    REFUSED(NULL, key, KMS_ERR_INVALID_CIPHERTEXT);
    REFUSED(&of_here, unknown, KMS_ERR_KEY_NOT_FOUND);
    REFUSED(&of_here, "alias/none", KMS_ERR_ALIAS_NOT_FOUND);
    REFUSED(&of_here, "no key", KMS_ERR_INVALID_ARGUMENT);
    REFUSED(&of_here, NULL, KMS_ERR_INVALID_ARGUMENT);
    fixture_ok(kms_disable_key(store, other));
    REFUSED(&of_here, other, KMS_ERR_DISABLED);
    fixture_ok(kms_enable_key(store, other));
    fixture_ok(kms_disable_key(store, key));
    REFUSED(&of_here, other, KMS_ERR_DISABLED);
    fixture_ok(kms_enable_key(store, key));
    for (size_t i = 0; i < sizeof source; i++)
        ck_assert_uint_eq(((const uint8_t *)&source)[i], 0x6b);
    ck_assert_uint_eq(stream.calls[MEMORY_WRITE], 0);
    ck_assert_int_eq(memcmp(before, stream.bytes, sizeof before), 0);
    finish();
}
END_TEST

START_TEST(what_is_no_stream_is_refused_and_left_alone)
{
    static uint8_t junk[KMS_STREAM_HEADER_SIZE + 100];
    memory_stream other;

    setup();
    memory_stream_of(&other, junk, sizeof junk);
    fixture_is(kms_stream_rewrap(store, NULL, key, NULL, &other.io, NULL),
               KMS_ERR_INVALID_CIPHERTEXT);
    other.size = other.held = KMS_STREAM_HEADER_SIZE - 1;
    fixture_is(kms_stream_rewrap(store, NULL, key, NULL, &other.io, NULL),
               KMS_ERR_INVALID_CIPHERTEXT);
    fixture_says("8191 bytes");
    other.size = other.held = 0;
    fixture_is(kms_stream_rewrap(store, NULL, key, NULL, &other.io, NULL),
               KMS_ERR_INVALID_CIPHERTEXT);
    ck_assert_uint_eq(other.calls[MEMORY_WRITE], 0);
    memory_stream_free(&other);
    finish();
}
END_TEST

START_TEST(a_place_that_lacks_a_function_is_refused)
{
    kms_stream_io io;

    setup();
    fixture_is(kms_stream_rewrap(store, &of_here, key, NULL, NULL, NULL), KMS_ERR_INVALID_ARGUMENT);
    io = stream.io;
    io.write_at = NULL;
    fixture_is(kms_stream_rewrap(store, &of_here, key, NULL, &io, NULL), KMS_ERR_INVALID_ARGUMENT);
    fixture_says("write_at");
    io = stream.io;
    io.sync = NULL;
    fixture_is(kms_stream_rewrap(store, &of_here, key, NULL, &io, NULL), KMS_ERR_INVALID_ARGUMENT);
    fixture_says("sync");
    io = stream.io;
    io.read_at = NULL;
    fixture_is(kms_stream_rewrap(store, &of_here, key, NULL, &io, NULL), KMS_ERR_INVALID_ARGUMENT);
    for (uint32_t version = 0; version < 4; version += 2) {
        io = stream.io;
        io.version = version;
        fixture_is(kms_stream_rewrap(store, &of_here, key, NULL, &io, NULL), KMS_ERR_ABI);
    }
    ck_assert_uint_eq(stream.calls[MEMORY_READ], 0);
    finish();
}
END_TEST

/* Whatever fails, the stream opens, and who makes the call again finishes the work. */
static void fail_each_call(kms_status with, bool silent, kms_status wanted, const char *words)
{
    static const unsigned times[MEMORY_FUNCTIONS] = {1, 0, 2, 3};

    for (int which = 0; which < MEMORY_FUNCTIONS; which++)
        for (unsigned nth = 1; nth <= times[which]; nth++) {
            memory_stream_reset(&stream);
            stream.fail_in[which] = nth;
            stream.fail_with = with;
            stream.silent = silent;
            (void)kms_set_error(KMS_ERR_FULL, "an older failure");
            fixture_is(rewrap(key), wanted);
            fixture_says(words);
            ck_assert_uint_eq(stream.fail_in[which], 0);
            opens(&of_here);
            memory_stream_reset(&stream);
            fixture_ok(rewrap(key));
            ck_assert_int_eq(memcmp(stream.bytes, stream.bytes + SLOT, SLOT), 0);
            ck_assert_uint_eq(stream.calls[MEMORY_SYNC], times[MEMORY_SYNC]);
            ck_assert_uint_eq(stream.calls[MEMORY_WRITE], times[MEMORY_WRITE]);
            opens(&of_here);
        }
}

START_TEST(a_failure_of_the_place_is_passed_on_with_its_sentence)
{
    setup();
    fail_each_call(KMS_ERR_FULL, false, KMS_ERR_FULL, "fails on demand");
    fail_each_call(KMS_ERR_BUSY, false, KMS_ERR_BUSY, "fails on demand");
    fail_each_call(KMS_ERR_FILE, true, KMS_ERR_FILE, "without saying why");
    fail_each_call((kms_status)4711, true, KMS_ERR_STORAGE, "4711");
    fail_each_call((kms_status)-1, true, KMS_ERR_STORAGE, "no status");
    finish();
}
END_TEST

START_TEST(a_place_that_tells_of_more_than_was_asked_for_is_not_believed)
{
    setup();
    stream.boast = 1;
    fixture_is(rewrap(key), KMS_ERR_FILE);
    fixture_says("read_at");
    ck_assert_uint_eq(stream.calls[MEMORY_WRITE], 0);
    finish();
}
END_TEST

START_TEST(a_call_that_succeeds_leaves_the_message_as_it_is)
{
    setup();
    (void)kms_set_error(KMS_ERR_FULL, "an older failure");
    fixture_ok(rewrap(key));
    ck_assert_str_eq(kms_error_message(), "an older failure");
    ck_assert_int_eq(kms_error_status(), KMS_ERR_FULL);
    finish();
}
END_TEST

/* --- files that are open ------------------------------------------------------------------------ */

START_TEST(a_descriptor_is_a_place)
{
    kms_stream_io io;
    int fd;

    setup();
    scratch_begin();
    scratch_write(scratch_path("stream"), stream.bytes, stream.held);
    fixture_rotate(store, key);
    fd = open(scratch_path("stream"), O_RDWR | O_CLOEXEC);
    kms_stream_io_of_fd(&io, fd);
    fixture_ok(kms_stream_rewrap(store, &of_here, key, &of_here, &io, NULL));
    ck_assert_int_eq(lseek(fd, 0, SEEK_CUR), 0);
    ck_assert_int_eq(pread(fd, stream.bytes, stream.held, 0), (ssize_t)stream.held);
    ck_assert_uint_eq(inspect().key_version, 2);
    opens(&of_here);
    ck_assert_int_eq(close(fd), 0);
    fixture_is(kms_stream_rewrap(store, &of_here, key, &of_here, &io, NULL), KMS_ERR_FILE);
    fixture_says(strerror(EBADF));
    scratch_end();
    finish();
}
END_TEST

/* Linux would append what is meant for the header. */
START_TEST(a_descriptor_for_reading_or_appending_only_is_told)
{
    const struct {
        int flags;
        const char *says;
    } kinds[] = {{O_RDONLY, strerror(EBADF)}, {O_RDWR | O_APPEND, "O_APPEND"}};
    kms_stream_io io;

    setup();
    scratch_begin();
    scratch_write(scratch_path("stream"), stream.bytes, stream.held);
    for (size_t i = 0; i < 2; i++) {
        int fd = open(scratch_path("stream"), kinds[i].flags | O_CLOEXEC);

        kms_stream_io_of_fd(&io, fd);
        fixture_is(kms_stream_rewrap(store, &of_here, key, &of_here, &io, NULL), KMS_ERR_FILE);
        fixture_says(kinds[i].says);
        ck_assert(scratch_holds(scratch_path("stream"), stream.bytes, stream.held));
        (void)close(fd);
    }
    scratch_end();
    finish();
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {each_slot_is_written_and_synced_in_turn_and_the_one_that_counts_last, 0},
        {the_slot_that_is_not_whole_is_written_first, 0},
        {the_data_are_neither_read_nor_written_nor_counted, 0},
        {a_rewrapped_stream_needs_the_old_version_no_more, 0},
        {key_alias_and_context_may_be_others, 0},
        {chunks_keep_their_suite_under_a_key_of_another, 2},
        {a_call_that_may_not_rewrap_writes_nothing, 0},
        {what_is_no_stream_is_refused_and_left_alone, 0},
        {a_place_that_lacks_a_function_is_refused, 0},
        {a_failure_of_the_place_is_passed_on_with_its_sentence, 0},
        {a_place_that_tells_of_more_than_was_asked_for_is_not_believed, 0},
        {a_call_that_succeeds_leaves_the_message_as_it_is, 0},
        {a_descriptor_is_a_place, 0},
        {a_descriptor_for_reading_or_appending_only_is_told, 0},
    };

    return fixture_main("stream_rewrap", tests, sizeof tests / sizeof *tests, 60);
}
