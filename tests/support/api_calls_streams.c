#include "api_calls_streams.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const char text[API_STREAM_TEXT] = "fifteen letters";

void api_streams_stage(kms_store *store, api_stage *stage)
{
    static uint8_t out[KMS_STREAM_ROOM(sizeof text)];
    kms_stream *stream = NULL;
    size_t used = 0, pushed = 0, ended = 0;
    bool done = false;

    fixture_ok(kms_stream_encrypt(store, stage->a, NULL, stage->stream, &stream));
    fixture_ok(kms_stream_push(stream, text, sizeof text, &used, out, sizeof out, &pushed));
    fixture_ok(kms_stream_finish(stream, out + pushed, sizeof out - pushed, &ended, &done));
    kms_stream_free(stream);
    ck_assert(done);
    ck_assert_uint_eq(KMS_STREAM_HEADER_SIZE + pushed + ended, sizeof stage->stream);
    memcpy(stage->stream + KMS_STREAM_HEADER_SIZE, out, pushed + ended);
    /* A rewrap that opens the stream and then fails has used the version: noted now, it is no news. */
    fixture_ok(kms_stream_decrypt(store, NULL, stage->stream, KMS_STREAM_HEADER_SIZE, &stream));
    kms_stream_free(stream);
}

/* --- streams ------------------------------------------------------------------------------------ */

kms_status api_stream_encrypt(kms_store *store, const api_stage *stage)
{
    struct {
        uint8_t header[KMS_STREAM_HEADER_SIZE];
        kms_stream *stream;
    } out;
    kms_status st;

    (void)stage;
    fill(&out, sizeof out);
    st = untouched_unless_ok(kms_stream_encrypt(store, "alias/a", NULL, out.header, &out.stream),
                             &out, sizeof out);
    if (st == KMS_OK)
        kms_stream_free(out.stream);
    return st;
}

kms_status api_stream_decrypt(kms_store *store, const api_stage *stage)
{
    kms_stream *stream;
    kms_status st;

    fill(&stream, sizeof(kms_stream *));
    st = untouched_unless_ok(
        kms_stream_decrypt(store, NULL, stage->stream, KMS_STREAM_HEADER_SIZE, &stream), &stream,
        sizeof(kms_stream *));
    if (st == KMS_OK)
        kms_stream_free(stream);
    return st;
}

/* The stage's stream, or a copy that is written to, as a place. It allocates nothing. */
static kms_status read_at(void *data, uint64_t at, void *buffer, size_t len, size_t *len_read)
{
    const size_t size = sizeof((api_stage *)0)->stream;

    *len_read = at >= size ? 0 : len < size - at ? len : size - at;
    memcpy(buffer, (const uint8_t *)data + at, *len_read);
    return KMS_OK;
}

static kms_status get_size(void *data, uint64_t *size)
{
    (void)data;
    *size = sizeof((api_stage *)0)->stream;
    return KMS_OK;
}

static kms_status write_at(void *data, uint64_t at, const void *buffer, size_t len)
{
    memcpy((uint8_t *)data + at, buffer, len);
    return KMS_OK;
}

static kms_status sync_nothing(void *data)
{
    (void)data;
    return KMS_OK;
}

static kms_stream_io io_of(uint8_t *bytes)
{
    return (kms_stream_io){KMS_STREAM_IO_VERSION, bytes, read_at, get_size, write_at, sync_nothing};
}

kms_status api_stream_reader(kms_store *store, const api_stage *stage)
{
    uint8_t copy[sizeof stage->stream];
    kms_stream_io io = io_of(copy);
    kms_stream_reader *reader;
    kms_status st;

    memcpy(copy, stage->stream, sizeof copy);
    fill(&reader, sizeof(kms_stream_reader *));
    st = untouched_unless_ok(kms_stream_reader_open(store, NULL, &io, &reader), &reader,
                             sizeof(kms_stream_reader *));
    if (st != KMS_OK)
        return st;
    if (kms_stream_reader_size(reader) != sizeof text)
        ck_abort_msg("another size than was encrypted");
    kms_stream_reader_close(reader);
    return st;
}

kms_status api_stream_rewrap(kms_store *store, const api_stage *stage)
{
    uint8_t copy[sizeof stage->stream];
    kms_stream_io io = io_of(copy);
    kms_key_used source;
    kms_status st;

    memcpy(copy, stage->stream, sizeof copy);
    fill(&source, sizeof source);
    st = untouched_unless_ok(kms_stream_rewrap(store, NULL, "alias/a", NULL, &io, &source), &source,
                             sizeof source);
    if ((memcmp(copy, stage->stream, sizeof copy) == 0) != (st != KMS_OK))
        ck_abort_msg("a call failed and wrote to the stream, or succeeded and did not");
    return st;
}

kms_status api_stream_is_stale(kms_store *store, const api_stage *stage)
{
    uint8_t stale[sizeof(bool)];

    fill(stale, sizeof stale);
    return untouched_unless_ok(kms_stream_is_stale(store, "alias/a", stage->stream,
                                                   KMS_STREAM_HEADER_SIZE, (bool *)(void *)stale),
                               stale, sizeof stale);
}

/* --- files, made and looked at by bare calls of the system, for the allocator may be out of order ------ */

static char folder[200], from[220], to[220];

static void put_source(const void *bytes, size_t len)
{
    int fd;

    snprintf(folder, sizeof folder, "%.150s/kms-call-XXXXXX",
             getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp");
    if (mkdtemp(folder) == NULL)
        ck_abort_msg("no folder to work in");
    snprintf(from, sizeof from, "%s/from", folder);
    snprintf(to, sizeof to, "%s/to", folder);
    fd = open(from, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, bytes, len) != (ssize_t)len || close(fd) != 0)
        ck_abort_msg("no file to work with");
}

static bool source_holds(const void *bytes, size_t len)
{
    uint8_t there[sizeof((api_stage *)0)->stream + 1];
    int fd = open(from, O_RDONLY | O_CLOEXEC);
    ssize_t got = read(fd, there, sizeof there);

    (void)close(fd);
    return got == (ssize_t)len && memcmp(there, bytes, len) == 0;
}

/* Whatever else the call left in the folder keeps it from being removed. */
static kms_status look_and_remove(kms_status st, off_t to_size)
{
    struct stat made;

    if ((stat(to, &made) == 0) != (st == KMS_OK) || (st == KMS_OK && made.st_size != to_size))
        ck_abort_msg("a call failed and made a file, or succeeded and did not");
    if ((st == KMS_OK && unlink(to) != 0) || unlink(from) != 0 || rmdir(folder) != 0)
        ck_abort_msg("a call with %s left something behind", kms_status_name(st));
    return st;
}

kms_status api_encrypt_file(kms_store *store, const api_stage *stage)
{
    (void)stage;
    put_source(text, sizeof text);
    return look_and_remove(kms_encrypt_file(store, "alias/a", NULL, from, to, NULL),
                           sizeof stage->stream);
}

kms_status api_decrypt_file(kms_store *store, const api_stage *stage)
{
    put_source(stage->stream, sizeof stage->stream);
    return look_and_remove(kms_decrypt_file(store, NULL, from, to, NULL), sizeof text);
}

kms_status api_rewrap_file(kms_store *store, const api_stage *stage)
{
    kms_key_used source;
    kms_status st;

    put_source(stage->stream, sizeof stage->stream);
    fill(&source, sizeof source);
    st = untouched_unless_ok(kms_rewrap_file(store, NULL, "alias/a", NULL, from, &source), &source,
                             sizeof source);
    if (source_holds(stage->stream, sizeof stage->stream) != (st != KMS_OK))
        ck_abort_msg("a call failed and wrote to the file, or succeeded and did not");
    if (unlink(from) != 0 || rmdir(folder) != 0)
        ck_abort_msg("a call with %s left something behind", kms_status_name(st));
    return st;
}
