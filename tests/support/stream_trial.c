#include "stream_trial.h"

#include <stdlib.h>
#include <string.h>

trial_random trial_random_of(uint64_t seed)
{
    return (trial_random){seed};
}

/* SplitMix64: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", 2014. */
uint64_t trial_random_next(trial_random *random)
{
    uint64_t z = random->state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

size_t trial_random_below(trial_random *random, size_t limit)
{
    return (size_t)(trial_random_next(random) % limit);
}

static uint8_t *room(size_t len)
{
    uint8_t *data = malloc(len > 0 ? len : 1);

    trial_demand(data != NULL);
    return data;
}

bytes stream_trial_plain(size_t len)
{
    trial_random random = trial_random_of(len);
    bytes plain = {room(len), len};

    for (size_t i = 0; i < len; i++)
        plain.data[i] =
            (uint8_t)(i % 8 == 0 ? trial_random_next(&random) : random.state >> (i % 8));
    return plain;
}

/* Mostly small, at times a chunk or more. */
static size_t draw_size(trial_random *random)
{
    switch (trial_random_below(random, 8)) {
    case 0:
    case 1:
        return trial_random_below(random, 3);
    case 2:
        return KMS_STREAM_CHUNK_SIZE - 40 + trial_random_below(random, 80);
    case 3:
        return trial_random_below(random, 3 * KMS_STREAM_CHUNK_SIZE);
    default:
        return trial_random_below(random, 5000);
    }
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Where the stream's output is collected. */
typedef struct sink {
    bytes *out;
    size_t room;
    trial_random *pieces;
} sink;

static void make_room(sink *s, size_t wanted)
{
    if (s->out->len + wanted <= s->room)
        return;
    s->room = 2 * (s->out->len + wanted);
    s->out->data = realloc(s->out->data, s->room);
    trial_demand(s->out->data != NULL);
}

static size_t out_size(const sink *s, size_t in_len)
{
    return s->pieces == NULL ? KMS_STREAM_ROOM(in_len) : draw_size(s->pieces);
}

/* One call, whose output buffer is of its own size, so that a byte too many is seen under a checker. */
static kms_status push_piece(kms_stream *stream, sink *s, const uint8_t *in, size_t len,
                             size_t *used)
{
    size_t size = out_size(s, len), got = 0;
    uint8_t *piece = room(size);
    kms_status st = kms_stream_push(stream, in, len, used, piece, size, &got);

    if (st == KMS_OK) {
        trial_demand(*used <= len);
        trial_demand(got <= size);
        trial_demand(s->pieces != NULL || *used == len);
        make_room(s, got);
        memcpy(s->out->data + s->out->len, piece, got);
        s->out->len += got;
    }
    free(piece);
    return st;
}

static kms_status finish_piece(kms_stream *stream, sink *s, bool *done)
{
    size_t size = out_size(s, 0), got = 0;
    uint8_t *piece = room(size);
    kms_status st = kms_stream_finish(stream, piece, size, &got, done);

    if (st == KMS_OK) {
        trial_demand(got <= size);
        make_room(s, got);
        memcpy(s->out->data + s->out->len, piece, got);
        s->out->len += got;
    }
    free(piece);
    return st;
}

static kms_status push_all(kms_stream *stream, bytes in, sink *s)
{
    bool done = false;
    kms_status st;

    for (size_t at = 0, used = 0; at < in.len; at += used) {
        size_t left = in.len - at;
        size_t len = s->pieces == NULL ? left : least(left, draw_size(s->pieces));

        st = push_piece(stream, s, in.data + at, len, &used);
        if (st != KMS_OK)
            return st;
    }
    do
        st = finish_piece(stream, s, &done);
    while (st == KMS_OK && !done);
    return st;
}

kms_status stream_trial_push(kms_stream *stream, bytes in, trial_random *pieces, bytes *out)
{
    sink s = {out, 0, pieces};

    *out = (bytes){NULL, 0};
    make_room(&s, 1);
    return push_all(stream, in, &s);
}

bytes stream_trial_seal(kms_store *store, const char *keyref, const kms_context *context,
                        bytes plain)
{
    uint8_t header[KMS_STREAM_HEADER_SIZE];
    kms_stream *stream = NULL;
    bytes chunks, whole;

    fixture_ok(kms_stream_encrypt(store, keyref, context, header, &stream));
    fixture_ok(stream_trial_push(stream, plain, NULL, &chunks));
    kms_stream_free(stream);
    whole = (bytes){room(sizeof header + chunks.len), sizeof header + chunks.len};
    memcpy(whole.data, header, sizeof header);
    memcpy(whole.data + sizeof header, chunks.data, chunks.len);
    free(chunks.data);
    return whole;
}

kms_status stream_trial_open(kms_store *store, const kms_context *context, bytes stream,
                             trial_random *pieces, bytes *out)
{
    size_t header_len = least(stream.len, KMS_STREAM_HEADER_SIZE);
    bytes chunks = {stream.data + header_len, stream.len - header_len};
    kms_stream *opened = NULL;
    kms_status st;

    *out = (bytes){NULL, 0};
    st = kms_stream_decrypt(store, context, stream.data, header_len, &opened);
    if (st != KMS_OK)
        return st;
    st = stream_trial_push(opened, chunks, pieces, out);
    kms_stream_free(opened);
    if (st != KMS_OK) {
        free(out->data);
        *out = (bytes){NULL, 0};
    }
    return st;
}

static kms_status read_at(void *data, uint64_t at, void *buffer, size_t len, size_t *len_read)
{
    const bytes *stream = data;
    size_t left = at < stream->len ? stream->len - (size_t)at : 0;

    *len_read = least(len, left);
    if (*len_read > 0)
        memcpy(buffer, stream->data + at, *len_read);
    return KMS_OK;
}

static kms_status get_size(void *data, uint64_t *size)
{
    *size = ((const bytes *)data)->len;
    return KMS_OK;
}

kms_stream_io stream_trial_io(bytes *stream)
{
    return (kms_stream_io){
        .version = KMS_STREAM_IO_VERSION, .data = stream, .read_at = read_at, .get_size = get_size};
}
