#include "base/try.h"
#include "domain/chunk_room.h"
#include "domain/seal.h"
#include "domain/stream_io.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define NO_CHUNK UINT64_MAX

struct kms_stream_reader {
    uint64_t epoch;
    kms_stream_io io;
    /* Of the plaintext. */
    uint64_t size;
    kms__chunk_room *room;
    /* Which chunk's plaintext is in the room. */
    uint64_t kept;
};

/* Plaintext bytes of a chunk. */
static size_t chunk_len(const kms_stream_reader *r, uint64_t index)
{
    uint64_t left = r->size - index * KMS__CHUNK_SIZE;

    return left < KMS__CHUNK_SIZE ? (size_t)left : KMS__CHUNK_SIZE;
}

/* Reads and opens one chunk into out, which has room for its plaintext. */
static kms_status open_chunk(kms_stream_reader *r, uint64_t index, uint8_t *out)
{
    size_t len = chunk_len(r, index) + KMS__CHUNK_OVERHEAD, got = 0;
    uint64_t at = KMS__STREAM_HEADER + index * KMS__CHUNK_SEALED;

    KMS__TRY(kms__stream_io_read(&r->io, at, r->room->sealed, len, &got));
    if (got < len)
        return kms_set_error(KMS_ERR_INVALID_CIPHERTEXT,
                             "the source of the stream ends at chunk %llu, and did not before",
                             (unsigned long long)index);
    return kms__chunk_open(&r->room->secret->cipher, index, (kms_slice){r->room->sealed, len}, out);
}

static kms_status keep_chunk(kms_stream_reader *r, uint64_t index)
{
    if (r->kept == index)
        return KMS_OK;
    r->kept = NO_CHUNK;
    KMS__TRY(open_chunk(r, index, r->room->secret->plain));
    r->kept = index;
    return KMS_OK;
}

static kms_status not_that_long(uint64_t size)
{
    return kms_set_error(KMS_ERR_INVALID_CIPHERTEXT,
                         "the stream is damaged: no stream has %llu bytes",
                         (unsigned long long)size);
}

/* The size of the source tells that of the plaintext, which the last chunk then proves. */
static kms_status find_size(kms_stream_reader *r)
{
    uint64_t size = 0;

    KMS__TRY(kms__stream_io_size(&r->io, &size));
    if (size < KMS__STREAM_HEADER + KMS__CHUNK_OVERHEAD ||
        size > KMS_STREAM_SIZE(KMS_STREAM_PLAINTEXT_MAX))
        return not_that_long(size);
    r->size = KMS_STREAM_PLAINTEXT_SIZE(size);
    if (KMS_STREAM_SIZE(r->size) != size)
        return not_that_long(size);
    return keep_chunk(r, r->size / KMS__CHUNK_SIZE);
}

static kms_status open_reader(kms_store *store, const kms_context *context, kms_stream_reader *r)
{
    uint8_t header[KMS__STREAM_HEADER];

    KMS__TRY(kms__chunk_room_make(store, &r->room));
    KMS__TRY(kms__stream_io_header(&r->io, header));
    KMS__TRY(kms__stream_open(store, context, header, &r->room->secret->cipher));
    return find_size(r);
}

kms_status kms_stream_reader_open(kms_store *store, const kms_context *context,
                                  const kms_stream_io *io, kms_stream_reader **reader)
{
    kms_stream_reader *made;
    kms_status st;

    KMS__TRY(kms__store_check(store));
    KMS__TRY(kms__stream_io_check(io, false));
    if (reader == NULL)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "reader is NULL");
    made = calloc(1, sizeof *made);
    if (made == NULL)
        return kms_set_error(KMS_ERR_NO_MEMORY, "no memory for a stream");
    made->epoch = kms__fork_epoch();
    made->io = *io;
    made->kept = NO_CHUNK;
    st = open_reader(store, context, made);
    if (st == KMS_OK)
        *reader = made;
    else
        kms_stream_reader_close(made);
    return st;
}

void kms_stream_reader_close(kms_stream_reader *reader)
{
    if (reader == NULL)
        return;
    kms__chunk_room_free(reader->room);
    free(reader);
}

uint64_t kms_stream_reader_size(const kms_stream_reader *reader)
{
    return reader->size;
}

/* Gives what a chunk has from an offset in it; a whole one straight into out. */
static kms_status read_chunk(kms_stream_reader *r, uint64_t offset, uint8_t *out, size_t wanted,
                             size_t *len)
{
    uint64_t index = offset / KMS__CHUNK_SIZE;
    size_t within = (size_t)(offset % KMS__CHUNK_SIZE);
    size_t all = chunk_len(r, index), left = all - within;

    *len = left < wanted ? left : wanted;
    if (*len == all && index != r->kept)
        return open_chunk(r, index, out);
    KMS__TRY(keep_chunk(r, index));
    memcpy(out, r->room->secret->plain + within, *len);
    return KMS_OK;
}

static kms_status read_range(kms_stream_reader *r, uint64_t offset, uint8_t *out, size_t len)
{
    for (size_t done = 0, got = 0; done < len; done += got) {
        kms_status st = read_chunk(r, offset + done, out + done, len - done, &got);

        if (st != KMS_OK) {
            sodium_memzero(out, done);
            return st;
        }
    }
    return KMS_OK;
}

kms_status kms_stream_reader_read(kms_stream_reader *reader, uint64_t offset, void *out, size_t len,
                                  size_t *out_len)
{
    uint64_t left;

    if (reader == NULL || out_len == NULL || (out == NULL && len > 0))
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "reader, out or out_len is NULL");
    if (reader->epoch != kms__fork_epoch())
        return kms_set_error(KMS_ERR_FORKED, "the stream was opened before fork()");
    left = offset < reader->size ? reader->size - offset : 0;
    if (len > left)
        len = (size_t)left;
    KMS__TRY(read_range(reader, offset, out, len));
    *out_len = len;
    return KMS_OK;
}
