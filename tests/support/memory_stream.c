#include "memory_stream.h"
#include "stream_trial.h"

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

void memory_stream_of(memory_stream *stream, const void *data, size_t len)
{
    memset(stream, 0, sizeof *stream);
    stream->io =
        (kms_stream_io){KMS_STREAM_IO_VERSION, stream, read_at, get_size, write_at, sync_now};
    stream->bytes = malloc(len + 1);
    if (stream->bytes == NULL)
        abort();
    memcpy(stream->bytes, data, len);
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

void memory_stream_encrypt(memory_stream *stream, kms_store *store, const char *keyref,
                           const kms_context *context, const void *plain, size_t len)
{
    bytes made =
        stream_trial_seal(store, keyref, context, (bytes){(uint8_t *)(uintptr_t)plain, len});

    ck_assert_uint_eq(made.len, KMS_STREAM_SIZE(len));
    memory_stream_of(stream, made.data, made.len);
    free(made.data);
}

kms_status memory_stream_open(memory_stream *stream, kms_store *store, const kms_context *context,
                              const void *plain, size_t len)
{
    bytes opened;
    kms_status st =
        stream_trial_open(store, context, (bytes){stream->bytes, stream->held}, NULL, &opened);

    if (st == KMS_OK && (opened.len != len || memcmp(opened.data, plain, len) != 0))
        st = kms_set_error(KMS_ERR_CORRUPT, "another plaintext");
    free(opened.data);
    return st;
}
