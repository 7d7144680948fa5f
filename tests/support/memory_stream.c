#include "memory_stream.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static kms_status called(memory_stream *s, memory_function which)
{
    s->calls[which]++;
    if (s->fail_in[which] == 0 || --s->fail_in[which] > 0)
        return KMS_OK;
    if (s->silent)
        return s->fail_with;
    return kms_set_error(s->fail_with, "call %u of function %d fails on demand", s->calls[which],
                         (int)which);
}

static kms_status read_at(void *data, uint64_t at, void *buffer, size_t len, size_t *len_read)
{
    memory_stream *s = data;
    kms_status st = called(s, MEMORY_READ);

    if (st != KMS_OK)
        return st;
    if (at > s->size)
        at = s->size;
    if (len > s->size - at)
        len = (size_t)(s->size - at);
    if (at + len > s->held)
        return kms_set_error(KMS_ERR_STORAGE, "only the first %zu bytes may be read", s->held);
    if (len > 0)
        memcpy(buffer, s->bytes + at, len);
    *len_read = len + s->boast;
    return KMS_OK;
}

static kms_status get_size(void *data, uint64_t *size)
{
    memory_stream *s = data;
    kms_status st = called(s, MEMORY_SIZE);

    if (st == KMS_OK)
        *size = s->size;
    return st;
}

static memory_step *next_step(memory_stream *s)
{
    ck_assert_uint_lt(s->step_count, MEMORY_STEPS);
    return &s->steps[s->step_count++];
}

static kms_status write_at(void *data, uint64_t at, const void *buffer, size_t len)
{
    memory_stream *s = data;
    kms_status st = called(s, MEMORY_WRITE);
    memory_step *step;

    if (st != KMS_OK)
        return st;
    if (at > s->held || len > s->held - at || len > sizeof step->bytes)
        return kms_set_error(KMS_ERR_STORAGE, "only the first %zu bytes may be written", s->held);
    step = next_step(s);
    step->at = at;
    step->len = len;
    memcpy(step->bytes, buffer, len);
    memcpy(s->bytes + at, buffer, len);
    return KMS_OK;
}

static kms_status sync_now(void *data)
{
    memory_stream *s = data;
    kms_status st = called(s, MEMORY_SYNC);

    if (st == KMS_OK)
        next_step(s)->len = 0;
    return st;
}

void memory_stream_of(memory_stream *stream, const void *bytes, size_t len)
{
    memset(stream, 0, sizeof *stream);
    stream->io =
        (kms_stream_io){KMS_STREAM_IO_VERSION, stream, read_at, get_size, write_at, sync_now};
    stream->bytes = malloc(len + 1);
    if (stream->bytes == NULL)
        abort();
    memcpy(stream->bytes, bytes, len);
    stream->held = len;
    stream->size = len;
}

void memory_stream_free(memory_stream *stream)
{
    free(stream->bytes);
    stream->bytes = NULL;
}

void memory_stream_reset(memory_stream *stream)
{
    stream->step_count = 0;
    memset(stream->calls, 0, sizeof stream->calls);
    memset(stream->fail_in, 0, sizeof stream->fail_in);
    stream->silent = false;
    stream->boast = 0;
}

/* Pushes all of it and ends the stream, into a buffer that has room. */
static kms_status push_all(kms_stream *stream, const void *in, size_t in_len, uint8_t *out,
                           size_t out_size, size_t *out_len)
{
    size_t used = 0, pushed = 0, ended = 0;
    bool done = false;
    kms_status st = kms_stream_push(stream, in, in_len, &used, out, out_size, &pushed);

    if (st == KMS_OK)
        st = kms_stream_finish(stream, out + pushed, out_size - pushed, &ended, &done);
    if (st == KMS_OK && (used != in_len || !done))
        return kms_set_error(KMS_ERR_CORRUPT, "a buffer with room did not take all");
    *out_len = pushed + ended;
    return st;
}

static uint8_t *room_for(size_t len)
{
    uint8_t *room = malloc(KMS_STREAM_HEADER_SIZE + KMS_STREAM_ROOM(len) + KMS_STREAM_ROOM(0));

    if (room == NULL)
        abort();
    return room;
}

void memory_stream_encrypt(memory_stream *stream, kms_store *store, const char *keyref,
                           const kms_context *context, const void *plain, size_t len)
{
    uint8_t *made = room_for(len);
    kms_stream *pushing = NULL;
    size_t made_len = 0;

    ck_assert_int_eq(kms_stream_encrypt(store, keyref, context, made, &pushing), KMS_OK);
    ck_assert_int_eq(push_all(pushing, plain, len, made + KMS_STREAM_HEADER_SIZE,
                              KMS_STREAM_ROOM(len) + KMS_STREAM_ROOM(0), &made_len),
                     KMS_OK);
    kms_stream_free(pushing);
    ck_assert_uint_eq(KMS_STREAM_HEADER_SIZE + made_len, KMS_STREAM_SIZE(len));
    memory_stream_of(stream, made, KMS_STREAM_HEADER_SIZE + made_len);
    free(made);
}

kms_status memory_stream_open(memory_stream *stream, kms_store *store, const kms_context *context,
                              const void *plain, size_t len)
{
    uint8_t *opened = room_for(stream->held);
    kms_stream *pushing = NULL;
    size_t opened_len = 0;
    kms_status st =
        kms_stream_decrypt(store, context, stream->bytes, KMS_STREAM_HEADER_SIZE, &pushing);

    if (st == KMS_OK)
        st = push_all(pushing, stream->bytes + KMS_STREAM_HEADER_SIZE,
                      stream->held - KMS_STREAM_HEADER_SIZE, opened,
                      KMS_STREAM_ROOM(stream->held) + KMS_STREAM_ROOM(0), &opened_len);
    if (st == KMS_OK && (opened_len != len || memcmp(opened, plain, len) != 0))
        st = kms_set_error(KMS_ERR_CORRUPT, "another plaintext");
    kms_stream_free(pushing);
    free(opened);
    return st;
}
