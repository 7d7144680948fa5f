/*
 * How to write a storage engine, shown on a plain file. Read it beside <kms/backend.h>: every
 * function of the contract is here, in the contract's order, and each section begins with the
 * promise that it keeps. The suite of <kms/conformance.h> says whether it does.
 *
 * The idea: a commit writes the whole store to a new file and renames it over the old one. The
 * kernel makes renaming atomic, so whoever opens the file gets one commit's content or the next
 * one's, and never a mixture. That is all that snapshots and crashes ask of us.
 */
#include "file_backend.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "file_image.h"
#include "file_lock.h"

/*
 * An engine's own struct begins with kms_backend, its transactions' with kms_txn: the core hands
 * these back to us, and we cast.
 */
struct file_backend {
    kms_backend base;
    char *path;     /* the store */
    char *new_path; /* the next commit, before it gets the store's name */
    char *lock_path;
    kms_backend_how how;
    uint64_t incarnation;
    /* The newest content that this handle has loaded, and the newest header that it has seen or
     * written. The mutex guards both. */
    pthread_mutex_t mutex;
    struct image *newest;
    struct header seen;
    struct board board; /* the hint; none for a store that is read frozen */
    _Atomic uint64_t next_look_ns;
};

struct file_txn {
    kms_txn base;
    struct image *image; /* the snapshot */
    bool writes;
    bool changed;
    int lock; /* a writer's */
    struct draft draft;
};

static struct file_backend *of(kms_backend *backend)
{
    return (struct file_backend *)backend;
}

/* --- looking at the file -------------------------------------------------------------------
 *
 * "From now on every begin() of any process sees them." So begin() looks whether the file is still
 * the one that was loaded. Not by stat(): a new file may get the inode number, and within a tick of
 * the kernel's clock also the time, of one that is gone. The header tells for sure.
 */
static kms_status open_store(const struct file_backend *file, int *fd)
{
    *fd = open(file->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* nor wait for a pipe's writer */
    if (*fd >= 0)
        return KMS_OK;
    if (errno == ENOENT)
        return kms_set_error(KMS_ERR_NOT_FOUND, "%s: no store is there", file->path);
    return kms_set_error(KMS_ERR_STORAGE, "%s: cannot be opened: %s", file->path, strerror(errno));
}

/* "KMS_ERR_STORE_REPLACED: another store stands where this one was opened." An older commit, or
 * another one with the same number, is a backup that was put back: another store as well. */
static kms_status same_store(const struct file_backend *file, const struct header *found)
{
    bool same = found->revision.incarnation == file->incarnation;

    if (found->revision.number == file->seen.revision.number)
        same = same && found->mark == file->seen.mark;
    if (same && found->revision.number >= file->seen.revision.number)
        return KMS_OK;
    return kms_set_error(KMS_ERR_STORE_REPLACED, "%s: another store stands there now", file->path);
}

/* With the mutex held. loads: also takes a newer content over. */
static kms_status look(struct file_backend *file, bool loads)
{
    struct image *image = NULL;
    struct header header;
    kms_status status;
    int fd;

    if (file->how.flags & KMS_BACKEND_FROZEN)
        return KMS_OK;
    status = open_store(file, &fd);
    if (status == KMS_ERR_NOT_FOUND)
        return kms_set_error(KMS_ERR_STORAGE, "%s: the store is gone", file->path);
    if (status != KMS_OK)
        return status;
    status = header_read(fd, file->path, &header);
    if (status == KMS_OK)
        status = same_store(file, &header);
    if (status == KMS_OK && loads && header.mark != file->newest->header.mark)
        status = image_load(fd, file->path, &image);
    close(fd);
    if (image != NULL) {
        image_drop(file->newest);
        file->newest = image;
        file->seen = image->header;
    }
    return status;
}

/* --- open ---------------------------------------------------------------------------------- */

static kms_status file_open(kms_backend *backend, const kms_backend_how *how)
{
    struct file_backend *file = of(backend);
    struct image *image = NULL;
    kms_status status;
    int fd;

    file->how = *how;
    status = open_store(file, &fd);
    if (status != KMS_OK)
        return status;
    status = image_load(fd, file->path, &image);
    close(fd);
    if (status == KMS_OK && !(how->flags & KMS_BACKEND_FROZEN))
        status =
            board_map(&file->board, file->lock_path, (how->flags & KMS_BACKEND_READ_ONLY) != 0);
    if (status != KMS_OK) {
        image_drop(image);
        return status;
    }
    file->newest = image;
    file->seen = image->header;
    file->incarnation = image->header.revision.incarnation;
    atomic_store(&file->next_look_ns, monotonic_ns() + 1000000000u);
    board_raise(&file->board, image->header.revision.number);
    return KMS_OK;
}

/* --- create --------------------------------------------------------------------------------
 *
 * "Durably and all or nothing": the records are written under another name. link() gives the
 * finished file the store's name and, unlike rename(), never takes it from another one.
 */
static kms_status draw(void *into, size_t len)
{
    if (getrandom(into, len, 0) == (ssize_t)len)
        return KMS_OK;
    return kms_set_error(KMS_ERR_STORAGE, "file store: the system gives no random numbers");
}

/* A name is durable once its folder is. */
static bool sync_folder(const struct file_backend *file)
{
    const char *slash = strrchr(file->path, '/');
    char folder[4096] = ".";
    bool synced;
    int fd;

    if (slash != NULL)
        snprintf(folder, sizeof folder, "%.*s", (int)(slash - file->path) + 1, file->path);
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    synced = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return synced;
}

/* With the lock held. */
static kms_status publish_first(struct file_backend *file, const struct table *table)
{
    struct header header = {.revision = {.number = 1}};
    kms_status status = draw(&header.revision.incarnation, sizeof header.revision.incarnation);

    if (status == KMS_OK)
        status = draw(&header.mark, sizeof header.mark);
    if (status == KMS_OK)
        status = image_save(file->new_path, &header, table);
    if (status != KMS_OK)
        return status;
    if (link(file->new_path, file->path) != 0)
        status = kms_set_error(errno == EEXIST ? KMS_ERR_ALREADY_EXISTS : KMS_ERR_STORAGE,
                               "%s: cannot be made: %s", file->path, strerror(errno));
    unlink(file->new_path);
    if (status == KMS_OK && !sync_folder(file))
        status = kms_set_error(KMS_ERR_STORAGE, "%s: its folder cannot be synced: %s", file->path,
                               strerror(errno));
    return status;
}

/* With the lock held. */
static kms_status nothing_there(const struct file_backend *file)
{
    struct header header;
    kms_status status;
    int fd;

    status = open_store(file, &fd);
    if (status == KMS_ERR_NOT_FOUND)
        return KMS_OK;
    if (status != KMS_OK)
        return status;
    status = header_read(fd, file->path, &header);
    close(fd);
    if (status != KMS_OK)
        return status;
    return kms_set_error(KMS_ERR_ALREADY_EXISTS, "%s: a store is there already", file->path);
}

static kms_status create_locked(struct file_backend *file, const kms_record *records, size_t count)
{
    const struct table nothing = {NULL, 0};
    struct draft draft = {0};
    kms_status status = nothing_there(file);

    if (status == KMS_OK)
        status = draft_start(&draft, &nothing);
    for (size_t i = 0; i < count && status == KMS_OK; i++)
        status = draft_put(&draft, records[i].key, records[i].value);
    if (status == KMS_OK)
        status = publish_first(file, &draft.table);
    draft_end(&draft);
    return status;
}

static kms_status file_create(kms_backend *backend, const kms_backend_how *how,
                              const kms_record *records, size_t count)
{
    struct file_backend *file = of(backend);
    kms_status status;
    int lock;

    if (how->flags & (KMS_BACKEND_READ_ONLY | KMS_BACKEND_FROZEN))
        return kms_set_error(KMS_ERR_READ_ONLY, "%s: cannot be made for reading only", file->path);
    status = lock_take(file->lock_path, how->busy_timeout_ms, &lock);
    if (status != KMS_OK)
        return status;
    status = create_locked(file, records, count);
    if (status == KMS_OK)
        status = file_open(backend, how);
    if (status == KMS_OK)
        board_note(&file->board, 1); /* a store that stood here before may have left more */
    lock_give(lock);
    return status;
}

/* --- begin --------------------------------------------------------------------------------- */

static kms_status begin_snapshot(struct file_backend *file, struct file_txn *txn)
{
    kms_status status;

    pthread_mutex_lock(&file->mutex);
    status = look(file, true);
    if (status == KMS_OK)
        txn->image = image_hold(file->newest);
    pthread_mutex_unlock(&file->mutex);
    return status;
}

/* The lock comes first: what is loaded under it stays the newest until the writer ends. */
static kms_status begin_writer(struct file_backend *file, struct file_txn *txn, unsigned mode)
{
    uint32_t patience_ms = mode & KMS_TXN_NOWAIT ? 0 : file->how.busy_timeout_ms;
    kms_status status;

    if (file->how.flags & (KMS_BACKEND_READ_ONLY | KMS_BACKEND_FROZEN))
        return kms_set_error(KMS_ERR_READ_ONLY, "%s: is open for reading only", file->path);
    status = lock_take(file->lock_path, patience_ms, &txn->lock);
    if (status != KMS_OK)
        return status;
    status = begin_snapshot(file, txn);
    if (status == KMS_OK)
        status = draft_start(&txn->draft, &txn->image->table);
    if (status != KMS_OK) {
        image_drop(txn->image);
        lock_give(txn->lock);
        return status;
    }
    board_note(&file->board, txn->image->header.revision.number);
    return KMS_OK;
}

static kms_status file_begin(kms_backend *backend, unsigned mode, kms_txn **txn,
                             kms_revision *revision)
{
    struct file_txn *begun = calloc(1, sizeof *begun);
    kms_status status;

    if (begun == NULL)
        return kms_set_error(KMS_ERR_NO_MEMORY, "file store: no memory for a transaction");
    begun->base.backend = backend;
    begun->writes = (mode & KMS_TXN_WRITE) != 0;
    status =
        begun->writes ? begin_writer(of(backend), begun, mode) : begin_snapshot(of(backend), begun);
    if (status != KMS_OK) {
        free(begun);
        return status;
    }
    assert(begun->image != NULL);
    *revision = begun->image->header.revision;
    *txn = &begun->base;
    return KMS_OK;
}

/* --- get, scan, put, del -------------------------------------------------------------------
 *
 * "It sees its own writes and no other's, and reads repeat": a reader reads its image, a writer
 * its draft, and nobody else changes either. Slices may point into both.
 */
static const struct table *table_of(const struct file_txn *txn)
{
    return txn->writes ? &txn->draft.table : &txn->image->table;
}

static kms_status file_get(kms_txn *base, kms_slice key, kms_slice *value)
{
    const struct table *table = table_of((struct file_txn *)base);
    bool found;
    size_t at = table_find(table, key, &found);

    if (!found)
        return KMS_ERR_NOT_FOUND;
    *value = table->records[at].value;
    return KMS_OK;
}

static kms_status file_scan(kms_txn *base, kms_slice from, size_t limit, kms_record *records,
                            size_t *count)
{
    const struct table *table = table_of((struct file_txn *)base);
    bool found;
    size_t at = table_find(table, from, &found);

    *count = table->count - at < limit ? table->count - at : limit;
    if (*count > 0)
        memcpy(records, table->records + at, *count * sizeof *records);
    return KMS_OK;
}

static kms_status must_write(const struct file_txn *txn)
{
    if (txn->writes)
        return KMS_OK;
    return kms_set_error(KMS_ERR_READ_ONLY, "file store: a read transaction was asked to write");
}

static kms_status file_put(kms_txn *base, kms_slice key, kms_slice value)
{
    struct file_txn *txn = (struct file_txn *)base;
    kms_status status = must_write(txn);

    if (status == KMS_OK)
        status = draft_put(&txn->draft, key, value);
    txn->changed |= status == KMS_OK;
    return status;
}

static kms_status file_del(kms_txn *base, kms_slice key)
{
    struct file_txn *txn = (struct file_txn *)base;
    kms_status status = must_write(txn);

    if (status == KMS_OK)
        status = draft_del(&txn->draft, key);
    txn->changed |= status == KMS_OK;
    return status;
}

/* --- commit, abort -------------------------------------------------------------------------
 *
 * "KMS_OK: all its writes are durable. KMS_ERR_STORAGE, KMS_ERR_FULL: surely not applied.
 * KMS_ERR_COMMIT_UNKNOWN: perhaps applied." Until rename() nothing has happened. Once it has,
 * others may have seen the commit, so a folder that cannot be synced leaves it unknown whether it
 * would survive a power cut. CONFLICT never comes: there is one writer at a time.
 */
static void end(struct file_txn *txn)
{
    draft_end(&txn->draft);
    if (txn->writes)
        lock_give(txn->lock);
    image_drop(txn->image);
    free(txn);
}

static kms_status publish(struct file_backend *file, const struct file_txn *txn)
{
    struct header header = txn->image->header;
    kms_status status = draw(&header.mark, sizeof header.mark);

    header.revision.number++;
    if (status == KMS_OK)
        status = image_save(file->new_path, &header, &txn->draft.table);
    if (status != KMS_OK)
        return status;
    if (rename(file->new_path, file->path) != 0) {
        status = kms_set_error(errno == EIO ? KMS_ERR_COMMIT_UNKNOWN : KMS_ERR_STORAGE,
                               "%s: cannot be renamed: %s", file->new_path, strerror(errno));
        unlink(file->new_path);
        return status;
    }
    pthread_mutex_lock(&file->mutex);
    if (header.revision.number > file->seen.revision.number) /* else a reader saw it already */
        file->seen = header;
    pthread_mutex_unlock(&file->mutex);
    board_note(&file->board, header.revision.number);
    if (!sync_folder(file))
        return kms_set_error(KMS_ERR_COMMIT_UNKNOWN, "%s: its folder cannot be synced: %s",
                             file->path, strerror(errno));
    return KMS_OK;
}

static kms_status file_commit(kms_txn *base)
{
    struct file_txn *txn = (struct file_txn *)base;
    kms_status status = txn->changed ? publish(of(base->backend), txn) : KMS_OK;

    end(txn);
    return status;
}

static void file_abort(kms_txn *base)
{
    end((struct file_txn *)base);
}

/* --- hint ----------------------------------------------------------------------------------
 *
 * The board, and at most once a second a look at the file, for nobody notes on the board that
 * somebody moved another store here.
 */
static kms_status file_hint(kms_backend *backend, kms_revision *revision, uint64_t *age_ns)
{
    struct file_backend *file = of(backend);
    uint64_t due = atomic_load(&file->next_look_ns);
    uint64_t now = monotonic_ns();
    kms_status status = KMS_OK;

    *age_ns = 0;
    if (file->board.number == NULL) {
        *revision = file->newest->header.revision;
        return KMS_OK;
    }
    if (now >= due &&
        atomic_compare_exchange_strong(&file->next_look_ns, &due, now + 1000000000u)) {
        pthread_mutex_lock(&file->mutex);
        status = look(file, false);
        pthread_mutex_unlock(&file->mutex);
    }
    revision->incarnation = file->incarnation;
    revision->number = atomic_load(file->board.number);
    return status;
}

/* --- close, and the constructor ------------------------------------------------------------ */

static void file_close(kms_backend *backend)
{
    struct file_backend *file = of(backend);

    image_drop(file->newest);
    board_unmap(&file->board);
    pthread_mutex_destroy(&file->mutex);
    free(file->path);
    free(file->new_path);
    free(file->lock_path);
    free(file);
}

static const kms_backend_ops file_ops = {
    .abi = KMS_BACKEND_ABI,
    .name = "file",
    .open = file_open,
    .create = file_create,
    .begin = file_begin,
    .get = file_get,
    .scan = file_scan,
    .put = file_put,
    .del = file_del,
    .commit = file_commit,
    .abort = file_abort,
    .hint = file_hint,
    .close = file_close,
};

static char *joined(const char *path, const char *ending)
{
    size_t size = strlen(path) + strlen(ending) + 1;
    char *whole = malloc(size);

    if (whole != NULL)
        snprintf(whole, size, "%s%s", path, ending);
    return whole;
}

/* A constructor only notes what is wanted: open() and create() do the work, and name what fails. */
kms_status example_file_backend(kms_backend **backend, const char *path)
{
    struct file_backend *file;

    if (backend == NULL || path == NULL || path[0] == '\0' || strlen(path) > 4000)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT,
                             "example_file_backend: a path of 1 to 4000 bytes is needed");
    file = calloc(1, sizeof *file);
    if (file == NULL)
        return kms_set_error(KMS_ERR_NO_MEMORY, "file store: no memory for the engine");
    pthread_mutex_init(&file->mutex, NULL);
    file->base.ops = &file_ops;
    file->path = joined(path, "");
    file->new_path = joined(path, "-new");
    file->lock_path = joined(path, "-lock");
    if (file->path == NULL || file->new_path == NULL || file->lock_path == NULL) {
        file_close(&file->base);
        return kms_set_error(KMS_ERR_NO_MEMORY, "file store: no memory for the engine");
    }
    *backend = &file->base;
    return KMS_OK;
}
