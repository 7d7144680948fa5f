#include "base/try.h"
#include "domain/chunk_room.h"
#include "domain/seal.h"
#include "domain/stream_header.h"

#include <kms/stream.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(KMS_STREAM_HEADER_SIZE == KMS__STREAM_HEADER &&
                   KMS_STREAM_CHUNK_SIZE == KMS__CHUNK_SIZE &&
                   KMS_STREAM_CHUNK_OVERHEAD == KMS__CHUNK_OVERHEAD,
               "sizes of kms/stream.h");

/* The last chunk of the longest stream, which is empty. */
#define LAST_INDEX (KMS_STREAM_PLAINTEXT_MAX / KMS__CHUNK_SIZE)

/* One way of a stream: pieces are gathered to a chunk, and what comes out of it waits to be taken. */
struct kms_stream {
    uint64_t epoch;
    bool decrypting;
    /* kms_stream_finish() was called; and the last chunk was handled. */
    bool finishing, finished;
    /* The failure that it was lost by. */
    kms_status lost;
    uint64_t index;
    kms__chunk_room *room;
    /* Where both are: in the room. Of a whole chunk, bytes in and out. */
    uint8_t *gathering, *waiting;
    size_t chunk_in, chunk_out;
    size_t gathered;
    size_t waiting_at, waiting_end;
};

/* Where the call's input comes from and its output goes. */
typedef struct piece {
    const uint8_t *in;
    size_t in_len, in_used;
    uint8_t *out;
    size_t out_size, out_len;
} piece;

static kms_status make_stream(const kms_store *store, bool decrypting, kms_stream **stream)
{
    kms_stream *made = calloc(1, sizeof *made);
    kms_status st;

    if (made == NULL)
        return kms_set_error(KMS_ERR_NO_MEMORY, "no memory for a stream");
    st = kms__chunk_room_make(store, &made->room);
    if (st != KMS_OK) {
        free(made);
        return st;
    }
    made->epoch = kms__fork_epoch();
    made->decrypting = decrypting;
    made->gathering = decrypting ? made->room->sealed : made->room->secret->plain;
    made->waiting = decrypting ? made->room->secret->plain : made->room->sealed;
    made->chunk_in = decrypting ? KMS__CHUNK_SEALED : KMS__CHUNK_SIZE;
    made->chunk_out = decrypting ? KMS__CHUNK_SIZE : KMS__CHUNK_SEALED;
    *stream = made;
    return KMS_OK;
}

void kms_stream_free(kms_stream *stream)
{
    if (stream == NULL)
        return;
    kms__chunk_room_free(stream->room);
    free(stream);
}

kms_status kms_stream_encrypt(kms_store *store, const char *keyref, const kms_context *context,
                              void *header, kms_stream **stream)
{
    kms_stream *made = NULL;
    kms_status st;

    KMS__TRY(kms__store_check(store));
    if (header == NULL || stream == NULL)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "header or stream is NULL");
    KMS__TRY(make_stream(store, false, &made));
    st = kms__stream_begin(store, keyref, context, header, &made->room->secret->cipher);
    if (st == KMS_OK)
        *stream = made;
    else
        kms_stream_free(made);
    return st;
}

static kms_status check_header(const void *header, size_t header_len)
{
    if (header == NULL)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "header is NULL");
    return kms__stream_header_check(header_len);
}

kms_status kms_stream_decrypt(kms_store *store, const kms_context *context, const void *header,
                              size_t header_len, kms_stream **stream)
{
    kms_stream *made = NULL;
    kms_status st;

    KMS__TRY(kms__store_check(store));
    if (stream == NULL || header_len > KMS__STREAM_HEADER)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT,
                             "stream is NULL, or the header has more than %d bytes",
                             KMS__STREAM_HEADER);
    KMS__TRY(check_header(header, header_len));
    KMS__TRY(make_stream(store, true, &made));
    st = kms__stream_open(store, context, header, &made->room->secret->cipher);
    if (st == KMS_OK)
        *stream = made;
    else
        kms_stream_free(made);
    return st;
}

/* --- chunks ------------------------------------------------------------------------------------- */

/* Handles one chunk, the last one if it is no whole one. */
static kms_status handle(kms_stream *s, kms_slice in, uint8_t *out)
{
    kms_status st;

    if (s->index >= LAST_INDEX && in.len > (s->decrypting ? KMS__CHUNK_OVERHEAD : 0))
        return kms_set_error(KMS_ERR_LIMIT_EXCEEDED, "a stream has at most 2^62 bytes");
    st = s->decrypting ? kms__chunk_open(&s->room->secret->cipher, s->index, in, out)
                       : kms__chunk_seal(&s->room->secret->cipher, s->index, in, out);
    if (st == KMS_OK)
        s->index++;
    return st;
}

/* Gives what waits, as far as there is room. */
static void give(kms_stream *s, piece *p)
{
    size_t left = s->waiting_end - s->waiting_at, room = p->out_size - p->out_len;
    size_t len = left < room ? left : room;

    if (len == 0)
        return;
    memcpy(p->out + p->out_len, s->waiting + s->waiting_at, len);
    p->out_len += len;
    s->waiting_at += len;
}

static bool waits(const kms_stream *s)
{
    return s->waiting_at < s->waiting_end;
}

/* Handles what was gathered: straight into the caller's buffer if it fits. Nothing waits. */
static kms_status handle_gathered(kms_stream *s, size_t out_len, piece *p)
{
    bool fits = p->out_size - p->out_len >= out_len;
    uint8_t *out = fits && out_len > 0 ? p->out + p->out_len : s->waiting;

    KMS__TRY(handle(s, (kms_slice){s->gathering, s->gathered}, out));
    s->gathered = 0;
    if (fits) {
        p->out_len += out_len;
        return KMS_OK;
    }
    s->waiting_at = 0;
    s->waiting_end = out_len;
    give(s, p);
    return KMS_OK;
}

/* Whole chunks that lie in the caller's buffers go from one to the other. */
static kms_status handle_in_place(kms_stream *s, piece *p)
{
    while (s->gathered == 0 && p->in_len - p->in_used >= s->chunk_in &&
           p->out_size - p->out_len >= s->chunk_out) {
        KMS__TRY(handle(s, (kms_slice){p->in + p->in_used, s->chunk_in}, p->out + p->out_len));
        p->in_used += s->chunk_in;
        p->out_len += s->chunk_out;
    }
    return KMS_OK;
}

static void gather(kms_stream *s, piece *p)
{
    size_t wanted = s->chunk_in - s->gathered, left = p->in_len - p->in_used;
    size_t len = wanted < left ? wanted : left;

    if (len == 0)
        return;
    memcpy(s->gathering + s->gathered, p->in + p->in_used, len);
    s->gathered += len;
    p->in_used += len;
}

static kms_status push(kms_stream *s, piece *p)
{
    give(s, p);
    while (!waits(s) && p->in_used < p->in_len) {
        KMS__TRY(handle_in_place(s, p));
        gather(s, p);
        if (s->gathered == s->chunk_in)
            KMS__TRY(handle_gathered(s, s->chunk_out, p));
    }
    return KMS_OK;
}

static kms_status check(const kms_stream *s, const piece *p)
{
    if (s->epoch != kms__fork_epoch())
        return kms_set_error(KMS_ERR_FORKED, "the stream was begun before fork()");
    if ((p->in == NULL && p->in_len > 0) || (p->out == NULL && p->out_size > 0))
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "in or out is NULL");
    if (kms__overlap(p->in, p->in_len, p->out, p->out_size))
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "in and out overlap");
    if (s->lost != KMS_OK)
        return kms_set_error(s->lost, "the stream failed before: begin anew");
    return KMS_OK;
}

/* A stream that failed is lost, and nothing of this call is given. */
static kms_status lose(kms_stream *s, const piece *p, kms_status st)
{
    if (p->out_len > 0)
        sodium_memzero(p->out, p->out_len);
    s->lost = st;
    return st;
}

kms_status kms_stream_push(kms_stream *stream, const void *in, size_t in_len, size_t *in_used,
                           void *out, size_t out_size, size_t *out_len)
{
    piece p = {.in = in, .in_len = in_len, .out = out, .out_size = out_size};
    kms_status st;

    if (stream == NULL || in_used == NULL || out_len == NULL)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "stream, in_used or out_len is NULL");
    KMS__TRY(check(stream, &p));
    if (stream->finishing)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "the stream is finished");
    st = push(stream, &p);
    if (st != KMS_OK)
        return lose(stream, &p, st);
    *in_used = p.in_used;
    *out_len = p.out_len;
    return KMS_OK;
}

/* The last chunk is what was gathered since the last whole one. */
static kms_status finish(kms_stream *s, piece *p)
{
    give(s, p);
    if (waits(s) || s->finished)
        return KMS_OK;
    if (s->decrypting && s->gathered < KMS__CHUNK_OVERHEAD)
        return kms_set_error(KMS_ERR_INVALID_CIPHERTEXT,
                             "the stream was cut before its last chunk");
    KMS__TRY(handle_gathered(
        s, s->decrypting ? s->gathered - KMS__CHUNK_OVERHEAD : s->gathered + KMS__CHUNK_OVERHEAD,
        p));
    s->finished = true;
    return KMS_OK;
}

kms_status kms_stream_finish(kms_stream *stream, void *out, size_t out_size, size_t *out_len,
                             bool *done)
{
    piece p = {.out = out, .out_size = out_size};
    kms_status st;

    if (stream == NULL || out_len == NULL || done == NULL)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "stream, out_len or done is NULL");
    KMS__TRY(check(stream, &p));
    stream->finishing = true;
    st = finish(stream, &p);
    if (st != KMS_OK)
        return lose(stream, &p, st);
    *out_len = p.out_len;
    *done = !waits(stream);
    return KMS_OK;
}

/* --- what a header says ------------------------------------------------------------------------- */

kms_status kms_inspect_stream(const void *header, size_t header_len, kms_blob_info *info)
{
    kms__stream_slot slot;

    KMS__TRY(check_header(header, header_len));
    KMS__TRY(kms__stream_slot_read(header, &slot));
    return kms_inspect_blob(slot.blob, KMS__STREAM_BLOB, info);
}

kms_status kms_stream_is_stale(kms_store *store, const char *keyref, const void *header,
                               size_t header_len, bool *stale)
{
    kms__stream_slot slot;

    KMS__TRY(kms__store_check(store));
    KMS__TRY(check_header(header, header_len));
    KMS__TRY(kms__stream_slot_read(header, &slot));
    KMS__TRY(kms_blob_is_stale(store, keyref, slot.blob, KMS__STREAM_BLOB, stale));
    /* A rewrap that broke off is to be finished: the other slot is of the key before. */
    *stale = *stale || !kms__stream_slots_agree(header);
    return KMS_OK;
}
