#include "domain/stream_io.h"
#include "base/kept_error.h"
#include "base/try.h"
#include "vault/foreign.h"

kms_status kms__stream_io_check(const kms_stream_io *io, bool for_writing)
{
    if (io == NULL)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "io is NULL");
    if (io->version != KMS_STREAM_IO_VERSION)
        return kms_set_error(KMS_ERR_ABI, "io has version %u, this libkms knows %u", io->version,
                             KMS_STREAM_IO_VERSION);
    if (io->read_at == NULL || io->get_size == NULL)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "read_at or get_size of io is missing");
    if (for_writing && (io->write_at == NULL || io->sync == NULL))
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "write_at or sync of io is missing");
    return KMS_OK;
}

/* A function of the caller's that succeeds leaves the thread's last failure as it was, too. */
static kms_status answered(const char *function, const kms__kept_error *before, kms_status st)
{
    st = kms__foreign_end("function", function, st);
    if (st == KMS_OK)
        kms__error_restore(before);
    return st;
}

static void about_to_ask(kms__kept_error *before)
{
    kms__error_keep(before);
    kms__foreign_begin();
}

kms_status kms__stream_io_read(const kms_stream_io *io, uint64_t at, void *buffer, size_t len,
                               size_t *len_read)
{
    kms__kept_error before;
    size_t got = 0;

    about_to_ask(&before);
    KMS__TRY(answered("read_at", &before, io->read_at(io->data, at, buffer, len, &got)));
    if (got > len)
        return kms_set_error(KMS_ERR_FILE,
                             "function \"read_at\" tells of %zu bytes, of %zu asked for", got, len);
    *len_read = got;
    return KMS_OK;
}

kms_status kms__stream_io_size(const kms_stream_io *io, uint64_t *size)
{
    kms__kept_error before;

    about_to_ask(&before);
    return answered("get_size", &before, io->get_size(io->data, size));
}

static kms_status write_at(const kms_stream_io *io, uint64_t at, const void *buffer, size_t len)
{
    kms__kept_error before;

    about_to_ask(&before);
    return answered("write_at", &before, io->write_at(io->data, at, buffer, len));
}

static kms_status sync_now(const kms_stream_io *io)
{
    kms__kept_error before;

    about_to_ask(&before);
    return answered("sync", &before, io->sync(io->data));
}

static kms_status read_header(const kms_stream_io *io, uint8_t *header)
{
    size_t got = 0;

    KMS__TRY(kms__stream_io_read(io, 0, header, KMS__STREAM_HEADER, &got));
    return kms__stream_header_check(got);
}

kms_status kms__stream_io_header(const kms_stream_io *io, uint8_t *header)
{
    kms__kept_error before;
    kms__stream_slot slot;

    kms__error_keep(&before);
    KMS__TRY(read_header(io, header));
    if (kms__stream_slot_read(header, &slot) == KMS_OK)
        return KMS_OK;
    kms__error_restore(&before);
    return read_header(io, header);
}

kms_status kms__stream_io_rewrite(const kms_stream_io *io, const kms__stream_slot *current,
                                  const uint8_t bytes[KMS__STREAM_SLOT])
{
    uint64_t counts = (uint64_t)current->number * KMS__STREAM_SLOT;

    /* Who came before may have been killed before his own sync: the slot that counts is not durable
     * for certain, and the other one is about to be lost. */
    KMS__TRY(sync_now(io));
    KMS__TRY(write_at(io, KMS__STREAM_SLOT - counts, bytes, KMS__STREAM_SLOT));
    KMS__TRY(sync_now(io));
    KMS__TRY(write_at(io, counts, bytes, KMS__STREAM_SLOT));
    return sync_now(io);
}
