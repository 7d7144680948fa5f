#include "base/file.h"
#include "base/try.h"
#include "domain/chunk_room.h"
#include "domain/stream_io.h"
#include "vault/store.h"

#include <errno.h>
#include <fcntl.h>
#include <kms/file.h>
#include <stdint.h>
#include <unistd.h>

/* --- a descriptor as a place for a stream ------------------------------------------------------- */

/* A file, and what to call it in a sentence. */
typedef struct named_file {
    int fd;
    const char *name;
} named_file;

static kms_status file_read_at(void *data, uint64_t at, void *buffer, size_t len, size_t *len_read)
{
    const named_file *file = data;

    return kms__file_read(file->fd, file->name, at, buffer, len, len_read);
}

static kms_status file_get_size(void *data, uint64_t *size)
{
    const named_file *file = data;
    struct stat st;

    if (fstat(file->fd, &st) != 0)
        return kms__file_failed(file->name, "look at");
    *size = (uint64_t)st.st_size;
    return KMS_OK;
}

/* Linux appends what is written to such a descriptor, wherever it should go. */
static kms_status refuse_appending(const named_file *file)
{
    int flags = fcntl(file->fd, F_GETFL);

    if (flags >= 0 && (flags & O_APPEND) == 0)
        return KMS_OK;
    if (flags < 0)
        return kms__file_failed(file->name, "write");
    return kms_set_error(KMS_ERR_FILE, "%s: write: it is open for appending only (O_APPEND)",
                         kms__file_label(file->name));
}

static kms_status file_write_at(void *data, uint64_t at, const void *buffer, size_t len)
{
    const named_file *file = data;

    KMS__TRY(refuse_appending(file));
    return kms__file_write(file->fd, file->name, at, buffer, len);
}

static kms_status file_sync(void *data)
{
    const named_file *file = data;

    return kms__file_sync(file->fd, file->name);
}

static kms_stream_io io_of(named_file *file)
{
    return (kms_stream_io){KMS_STREAM_IO_VERSION, file,          file_read_at,
                           file_get_size,         file_write_at, file_sync};
}

/* The descriptor itself is the data, so that nothing needs to be kept for it. */
static named_file of_fd(void *data)
{
    return (named_file){(int)(intptr_t)data, "the stream's file"};
}

static kms_status fd_read_at(void *data, uint64_t at, void *buffer, size_t len, size_t *len_read)
{
    named_file file = of_fd(data);

    return file_read_at(&file, at, buffer, len, len_read);
}

static kms_status fd_get_size(void *data, uint64_t *size)
{
    named_file file = of_fd(data);

    return file_get_size(&file, size);
}

static kms_status fd_write_at(void *data, uint64_t at, const void *buffer, size_t len)
{
    named_file file = of_fd(data);

    return file_write_at(&file, at, buffer, len);
}

static kms_status fd_sync(void *data)
{
    named_file file = of_fd(data);

    return file_sync(&file);
}

void kms_stream_io_of_fd(kms_stream_io *io, int fd)
{
    *io = (kms_stream_io){KMS_STREAM_IO_VERSION, (void *)(intptr_t)fd, fd_read_at,
                          fd_get_size,           fd_write_at,          fd_sync};
}

/* --- from one file into another ----------------------------------------------------------------- */

typedef struct conversion {
    const kms_file_options *options;
    const char *from;
    int fd;
    struct stat before;
    kms__new_file to;
    kms__chunk_room *room;
    /* Bytes read and written so far. */
    uint64_t read, written;
} conversion;

static kms_status check_options(const kms_file_options *options)
{
    if (options == NULL || options->version == KMS_FILE_OPTIONS_VERSION)
        return KMS_OK;
    return kms_set_error(KMS_ERR_ABI, "file options have version %u, this libkms knows %u",
                         options->version, KMS_FILE_OPTIONS_VERSION);
}

static kms_status begin(kms_store *store, const char *from, const char *to,
                        const kms_file_options *options, conversion *c)
{
    *c = (conversion){.options = options, .from = from, .fd = -1, .to = KMS__NEW_FILE_NONE};
    KMS__TRY(kms__store_check(store));
    if (from == NULL || to == NULL)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "from or to is NULL");
    KMS__TRY(check_options(options));
    KMS__TRY(kms__chunk_room_make(store, &c->room));
    KMS__TRY(kms__file_open(from, O_RDONLY, &c->fd, &c->before));
    return kms__new_file_begin(to, c->fd, &c->to);
}

static kms_status read_on(conversion *c, void *buffer, size_t len, size_t *got)
{
    KMS__TRY(kms__file_read(c->fd, c->from, c->read, buffer, len, got));
    c->read += *got;
    return KMS_OK;
}

static kms_status write_on(conversion *c, const void *buffer, size_t len)
{
    KMS__TRY(kms__file_write(c->to.fd, c->to.path, c->written, buffer, len));
    c->written += len;
    return KMS_OK;
}

static kms_status report(const conversion *c)
{
    const kms_file_options *options = c->options;

    if (options == NULL || options->progress == NULL ||
        options->progress(options->progress_data, c->read, (uint64_t)c->before.st_size))
        return KMS_OK;
    return kms_set_error(KMS_ERR_CANCELLED, "%s: cancelled after %llu bytes",
                         kms__file_label(c->from), (unsigned long long)c->read);
}

static bool same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static kms_status was_changed(const conversion *c)
{
    return kms_set_error(KMS_ERR_CHANGED, "%s was changed while it was read",
                         kms__file_label(c->from));
}

/* All of the file was read, and is as long as it was when the call began. */
static kms_status check_size(const conversion *c, struct stat *now)
{
    if (fstat(c->fd, now) != 0)
        return kms__file_failed(c->from, "look at");
    if (now->st_size == c->before.st_size && c->read == (uint64_t)c->before.st_size)
        return KMS_OK;
    return was_changed(c);
}

/* Keeps the first failure: what is released afterwards adds none. */
static kms_status end(conversion *c, kms_status st)
{
    if (st == KMS_OK)
        st = kms__new_file_commit(&c->to);
    else
        kms__new_file_abandon(&c->to);
    if (c->fd >= 0)
        (void)close(c->fd);
    kms__chunk_room_free(c->room);
    return st;
}

static kms_status encrypt_chunks(conversion *c)
{
    size_t len = KMS__CHUNK_SIZE;

    for (uint64_t index = 0; len == KMS__CHUNK_SIZE; index++) {
        KMS__TRY(read_on(c, c->room->secret->plain, KMS__CHUNK_SIZE, &len));
        /* Whoever writes on need not be followed for ever. */
        if (c->read > (uint64_t)c->before.st_size)
            return was_changed(c);
        KMS__TRY(kms__chunk_room_seal(c->room, index, len));
        KMS__TRY(write_on(c, c->room->sealed, len + KMS__CHUNK_OVERHEAD));
        KMS__TRY(report(c));
    }
    return KMS_OK;
}

static kms_status encrypt(kms_store *store, const char *keyref, const kms_context *context,
                          conversion *c)
{
    uint8_t header[KMS__STREAM_HEADER];
    struct stat now;

    KMS__TRY(kms__stream_begin(store, keyref, context, header, &c->room->secret->cipher));
    KMS__TRY(write_on(c, header, sizeof header));
    KMS__TRY(encrypt_chunks(c));
    KMS__TRY(check_size(c, &now));
    return same_time(now.st_mtim, c->before.st_mtim) ? KMS_OK : was_changed(c);
}

kms_status kms_encrypt_file(kms_store *store, const char *keyref, const kms_context *context,
                            const char *from, const char *to, const kms_file_options *options)
{
    conversion c;
    kms_status st = begin(store, from, to, options, &c);

    if (st == KMS_OK)
        st = encrypt(store, keyref, context, &c);
    return end(&c, st);
}

static kms_status decrypt_chunks(conversion *c)
{
    size_t len = KMS__CHUNK_SEALED;

    for (uint64_t index = 0; len == KMS__CHUNK_SEALED; index++) {
        KMS__TRY(read_on(c, c->room->sealed, KMS__CHUNK_SEALED, &len));
        KMS__TRY(kms__file_about(c->from, kms__chunk_room_open(c->room, index, len)));
        KMS__TRY(write_on(c, c->room->secret->plain, len - KMS__CHUNK_OVERHEAD));
        KMS__TRY(report(c));
    }
    return KMS_OK;
}

/* The stream proves itself, so the file's date says nothing: its header may be rewrapped meanwhile. */
static kms_status decrypt(kms_store *store, const kms_context *context, conversion *c)
{
    named_file file = {c->fd, c->from};
    kms_stream_io io = io_of(&file);
    uint8_t header[KMS__STREAM_HEADER];
    struct stat now;

    KMS__TRY(kms__file_about(c->from, kms__stream_io_header(&io, header)));
    c->read = sizeof header;
    KMS__TRY(kms__file_about(c->from,
                             kms__stream_open(store, context, header, &c->room->secret->cipher)));
    KMS__TRY(decrypt_chunks(c));
    return check_size(c, &now);
}

kms_status kms_decrypt_file(kms_store *store, const kms_context *context, const char *from,
                            const char *to, const kms_file_options *options)
{
    conversion c;
    kms_status st = begin(store, from, to, options, &c);

    if (st == KMS_OK)
        st = decrypt(store, context, &c);
    return end(&c, st);
}

/* --- rotation ----------------------------------------------------------------------------------- */

/* Whoever rewrites the header of the file holds this lock, which ends with the descriptor. */
static kms_status lock_file(const named_file *file)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = KMS__STREAM_HEADER};

    if (fcntl(file->fd, F_OFD_SETLK, &whole) == 0)
        return KMS_OK;
    if (errno == EAGAIN || errno == EACCES)
        return kms_set_error(KMS_ERR_BUSY, "%s: somebody else is rewrapping it",
                             kms__file_label(file->name));
    return kms__file_failed(file->name, "lock");
}

/* Whoever replaced the file meanwhile has made another one, which this call would pass over. */
static kms_status check_still_there(const named_file *file, const struct stat *locked)
{
    struct stat now;

    if (stat(file->name, &now) != 0)
        return kms__file_failed(file->name, "look at");
    if (now.st_dev == locked->st_dev && now.st_ino == locked->st_ino)
        return KMS_OK;
    return kms_set_error(KMS_ERR_CHANGED, "%s was replaced meanwhile: try again",
                         kms__file_label(file->name));
}

kms_status kms_rewrap_file(kms_store *store, const kms_context *source_context, const char *keyref,
                           const kms_context *destination_context, const char *path,
                           kms_key_used *source)
{
    named_file file = {.fd = -1, .name = path};
    kms_stream_io io = io_of(&file);
    struct stat st_file;
    kms_status st;

    KMS__TRY(kms__store_check(store));
    if (path == NULL)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "path is NULL");
    KMS__TRY(kms__file_open(path, O_RDWR, &file.fd, &st_file));
    st = lock_file(&file);
    if (st == KMS_OK)
        st = check_still_there(&file, &st_file);
    if (st == KMS_OK)
        st = kms__file_about(path, kms_stream_rewrap(store, source_context, keyref,
                                                     destination_context, &io, source));
    (void)close(file.fd);
    return st;
}
