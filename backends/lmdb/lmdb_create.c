/**
 * @file lmdb_create.c
 * Making a store: under a name that nobody looks at, and only when it is whole and on disk it
 * gets its own name, by link(), which fails for all starters but one.
 */
#include "lmdb_internal.h"

#if KMS_HAVE_LMDB

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct draft {
    char *path;
    char *directory;
    char *guard_path;
    char *lock_path;
} draft;

char *kms__lmdb_draft_path(const char *path)
{
    return kms__lmdb_join(path, "-draft");
}

static void draft_free(draft *d)
{
    free(d->path);
    free(d->directory);
    free(d->guard_path);
    free(d->lock_path);
}

static kms_status draft_init(draft *d, const char *path)
{
    *d = (draft){kms__lmdb_draft_path(path), kms__lmdb_join(path, ""),
                 kms__lmdb_join(path, "-guard"), kms__lmdb_join(path, "-lock")};
    if (d->path == NULL || d->directory == NULL || d->guard_path == NULL || d->lock_path == NULL) {
        draft_free(d);
        return kms_set_error(KMS_ERR_NO_MEMORY, "%s: out of memory making the store",
                             kms__lmdb_label(path));
    }
    /* dirname() works in place, and may answer a constant: "/" and ".". */
    const char *directory = dirname(d->directory);
    if (directory != d->directory)
        memmove(d->directory, directory, strlen(directory) + 1);
    return KMS_OK;
}

static kms_status cannot_make(const char *path, const char *doing, int rc)
{
    if (kms__lmdb_is_denied(rc))
        return kms_set_error(KMS_ERR_READ_ONLY, "%s: %s: %s", kms__lmdb_label(path), doing,
                             strerror(rc));
    return kms__lmdb_fail(path, doing, rc);
}

static uint64_t map_size_for(const kms_record *records, size_t count)
{
    uint64_t bytes = (uint64_t)4 << 20;
    for (size_t i = 0; i < count; i++)
        bytes += 4 * (records[i].key.len + records[i].value.len) + 16384;
    return bytes / 65536 * 65536;
}

static int put_all(MDB_txn *txn, const kms_record *records, size_t count)
{
    MDB_dbi dbi;
    int rc = mdb_dbi_open(txn, NULL, 0, &dbi);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        MDB_val key = kms__lmdb_val(records[i].key);
        MDB_val value = kms__lmdb_val(records[i].value);
        rc = mdb_put(txn, dbi, &key, &value, 0);
    }
    return rc;
}

/* Without locks, and so without a lock file: the guard keeps everybody else away. */
static int write_draft(const draft *d, mode_t mode, const kms_record *records, size_t count)
{
    MDB_env *env = NULL;
    MDB_txn *txn = NULL;
    int rc = mdb_env_create(&env);
    if (rc != 0)
        return rc;
    rc = mdb_env_set_mapsize(env, (size_t)map_size_for(records, count));
    if (rc == 0)
        rc = mdb_env_open(env, d->path, MDB_NOSUBDIR | MDB_NOLOCK, mode);
    if (rc == 0)
        rc = mdb_txn_begin(env, NULL, 0, &txn);
    if (rc == 0)
        rc = put_all(txn, records, count);
    if (rc == 0)
        rc = mdb_txn_commit(txn);
    else if (txn != NULL)
        mdb_txn_abort(txn);
    mdb_env_close(env);
    return rc;
}

static int sync_path(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC);
    if (fd < 0)
        return errno;
    int rc = fsync(fd) == 0 ? 0 : errno;
    close(fd);
    return rc;
}

/* 0, EEXIST, or another errno. */
static int give_name(const draft *d, const char *path)
{
    if (link(d->path, path) == 0)
        return 0;
    int rc = errno;
#ifdef RENAME_NOREPLACE
    /* File systems without hard links. */
    if (rc == EPERM || rc == EOPNOTSUPP || rc == ENOSYS)
        rc = renameat2(AT_FDCWD, d->path, AT_FDCWD, path, RENAME_NOREPLACE) == 0 ? 0 : errno;
#endif
    return rc;
}

static kms_status exists(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0 && errno == ENOENT)
        return kms__lmdb_nothing_there(path);
    return kms_set_error(KMS_ERR_ALREADY_EXISTS, "%s: a file is there already",
                         kms__lmdb_label(path));
}

static bool is_taken(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

static kms_status publish(const draft *d, const char *path)
{
    int rc = sync_path(d->path, O_RDWR);
    if (rc != 0)
        return cannot_make(path, "writing the new store to disk", rc);
    rc = give_name(d, path);
    if (rc == EEXIST)
        return exists(path);
    if (rc != 0)
        return cannot_make(path, "giving the new store its name", rc);
    unlink(d->path);
    rc = sync_path(d->directory, O_RDONLY | O_DIRECTORY);
    /* The store is there and whole, and only a power cut now could take its name away. */
    return rc == 0 ? KMS_OK : cannot_make(d->directory, "writing the directory to disk", rc);
}

static kms_status make_guarded(const draft *d, const lmdb_handle *handle, const kms_record *records,
                               size_t count)
{
    /* What a creator left that was killed. */
    unlink(d->path);
    if (is_taken(handle->path))
        return exists(handle->path);
    int rc = write_draft(d, (mode_t)handle->mode, records, count);
    kms_status status =
        rc == 0 ? publish(d, handle->path) : cannot_make(handle->path, "making the store", rc);
    unlink(d->path);
    return status;
}

static kms_status check_directory(const draft *d)
{
    int fd = open(d->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        int rc = errno;
        if (rc == ENOENT || rc == ENOTDIR)
            return kms_set_error(KMS_ERR_NOT_FOUND, "%s: there is no such directory",
                                 kms__lmdb_label(d->directory));
        return cannot_make(d->directory, "opening the directory", rc);
    }
    kms_status status = kms__lmdb_check_fs(fd, d->directory);
    close(fd);
    if (status == KMS_OK && faccessat(AT_FDCWD, d->directory, W_OK | X_OK, AT_EACCESS) != 0)
        status = cannot_make(d->directory, "a store cannot be made in this directory", errno);
    return status;
}

static kms_status make(const draft *d, const lmdb_handle *handle, const kms_backend_how *how,
                       const kms_record *records, size_t count)
{
    lmdb_fd guard = {-1, NULL};
    kms_status status = check_directory(d);
    if (status != KMS_OK)
        return status;
    if (is_taken(handle->path))
        return exists(handle->path);
    status = kms__lmdb_check_lock_file(d->lock_path);
    if (status != KMS_OK)
        return status;
    lmdb_found like = {.exists = false, .mode = (mode_t)handle->mode};
    status = kms__lmdb_guard_lock(&guard, d->guard_path, &like, how->busy_timeout_ms, true);
    if (status == KMS_OK)
        status = make_guarded(d, handle, records, count);
    kms__lmdb_guard_unlock(&guard);
    return status;
}

kms_status kms__lmdb_create(lmdb_handle *handle, const kms_backend_how *how,
                            const kms_record *records, size_t count)
{
    draft d;
    kms_status status = draft_init(&d, handle->path);
    if (status != KMS_OK)
        return status;
    kms__lmdb_registry_lock();
    status = make(&d, handle, how, records, count);
    kms__lmdb_registry_unlock();
    draft_free(&d);
    return status == KMS_OK ? kms__lmdb_env_open(handle, how) : status;
}

#endif
