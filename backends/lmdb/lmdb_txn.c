/**
 * @file lmdb_txn.c
 * Beginning and ending transactions.
 */
#include "lmdb_internal.h"

#if KMS_HAVE_LMDB

#include <errno.h>
#include <sys/resource.h>
#include <sys/statvfs.h>

/* More than one transaction can need: its records, copied trees and lists of free pages. */
#define ROOM_FOR_ONE_TXN ((uint64_t)8 << 20)

uint64_t kms__lmdb_newest(const lmdb_env *env)
{
    MDB_envinfo info;
    mdb_env_info(env->mdb, &info);
    return info.me_last_txnid;
}

static bool is_forked(const lmdb_handle *handle)
{
    return handle->generation != kms__lmdb_generation();
}

static kms_status forked(const lmdb_handle *handle)
{
    return kms_set_error(KMS_ERR_FORKED, "%s: opened before fork(): open it again in this process",
                         kms__lmdb_label(handle->path));
}

static kms_status begin_read(lmdb_handle *handle, kms_txn **txn, kms_revision *revision)
{
    lmdb_txn *reader;
    kms_status status = kms__lmdb_reader_begin(handle, &reader);
    if (status != KMS_OK)
        return status;
    *revision = (kms_revision){handle->env->incarnation, mdb_txn_id(reader->mdb)};
    *txn = &reader->base;
    return KMS_OK;
}

/* The caller holds both locks, and gives them back after a failure. */
static kms_status begin_locked(lmdb_handle *handle, kms_revision *revision)
{
    lmdb_env *env = handle->env;
    /* After the wait, during which the store may have been replaced. */
    kms_status status = kms__lmdb_look_now(handle, kms__lmdb_newest(env));
    if (status != KMS_OK)
        return status;
    kms__lmdb_renew_pid_lock(env);
    if (++env->writes % LMDB_WRITES_PER_CHECK == 0)
        mdb_reader_check(env->mdb, NULL);
    MDB_txn *mdb = NULL;
    int rc = mdb_txn_begin(env->mdb, NULL, 0, &mdb);
    if (rc == MDB_PANIC)
        atomic_store(&env->fatal, true);
    if (rc != 0)
        return kms__lmdb_fail(handle->path, "beginning to write", rc);
    env->writer = (lmdb_txn){.base = {&handle->base}, .env = env, .mdb = mdb, .write = true};
    *revision = (kms_revision){env->incarnation, mdb_txn_id(mdb) - 1};
    return KMS_OK;
}

static kms_status begin_write(lmdb_handle *handle, bool wait, kms_txn **txn, kms_revision *revision)
{
    lmdb_env *env = handle->env;
    if (handle->read_only)
        return kms_set_error(KMS_ERR_READ_ONLY, "%s: the store is open for reading only",
                             kms__lmdb_label(handle->path));
    kms_status status = kms__lmdb_write_lock(env, wait ? handle->busy_timeout_ms : 0);
    if (status != KMS_OK)
        return status;
    status = begin_locked(handle, revision);
    if (status != KMS_OK) {
        kms__lmdb_write_unlock(env);
        return status;
    }
    *txn = &env->writer.base;
    return KMS_OK;
}

kms_status kms__lmdb_begin(kms_backend *backend, unsigned mode, kms_txn **txn,
                           kms_revision *revision)
{
    lmdb_handle *handle = (lmdb_handle *)backend;
    if (is_forked(handle))
        return forked(handle);
    if ((mode & KMS_TXN_WRITE) != 0)
        return begin_write(handle, (mode & KMS_TXN_NOWAIT) == 0, txn, revision);
    kms_status status = kms__lmdb_look(handle, kms__lmdb_newest(handle->env));
    return status == KMS_OK ? begin_read(handle, txn, revision) : status;
}

kms_status kms__lmdb_hint(kms_backend *backend, kms_revision *revision, uint64_t *age_ns)
{
    lmdb_handle *handle = (lmdb_handle *)backend;
    if (is_forked(handle))
        return forked(handle);
    uint64_t newest = kms__lmdb_newest(handle->env);
    kms_status status = kms__lmdb_look(handle, newest);
    if (status != KMS_OK)
        return status;
    *revision = (kms_revision){handle->env->incarnation, newest};
    *age_ns = 0;
    return KMS_OK;
}

/* LMDB does not tell that it has given up, but then refuses every transaction. */
static bool is_dead(lmdb_env *env)
{
    MDB_txn *txn = NULL;
    int rc = mdb_txn_begin(env->mdb, NULL, MDB_RDONLY, &txn);
    if (rc == 0)
        mdb_txn_abort(txn);
    return rc == MDB_PANIC;
}

/* A short write, which LMDB reports as EIO, is how a disk or a size limit begins to be full. */
static bool is_out_of_room(const lmdb_env *env)
{
    struct statvfs fs;
    struct rlimit limit;
    struct stat st;
    int fd = env->write_lock.fd;
    if (fstatvfs(fd, &fs) == 0 && (uint64_t)fs.f_bavail * fs.f_frsize < ROOM_FOR_ONE_TXN)
        return true;
    return fstat(fd, &st) == 0 && getrlimit(RLIMIT_FSIZE, &limit) == 0 &&
           limit.rlim_cur != RLIM_INFINITY &&
           (uint64_t)limit.rlim_cur < (uint64_t)st.st_size + ROOM_FOR_ONE_TXN;
}

static kms_status commit_failed(const lmdb_handle *handle, lmdb_env *env, int rc)
{
    /* Once LMDB has tried to write the meta page, the commit may or may not be on disk. */
    if (is_dead(env)) {
        atomic_store(&env->fatal, true);
        return kms_set_error(KMS_ERR_COMMIT_UNKNOWN,
                             "%s: the last step of the write failed (%s): it may or may not have "
                             "been made; close the store and open it again to look",
                             kms__lmdb_label(handle->path), mdb_strerror(rc));
    }
    if (rc == EIO && is_out_of_room(env))
        rc = ENOSPC;
    if (rc == EIO)
        return kms_set_error(KMS_ERR_COMMIT_UNKNOWN,
                             "%s: the disk failed during the write (%s): look whether it was made "
                             "before you repeat it",
                             kms__lmdb_label(handle->path), mdb_strerror(rc));
    return kms__lmdb_fail(handle->path, "writing", rc);
}

static void close_write_cursor(lmdb_txn *txn)
{
    if (txn->cursor != NULL)
        mdb_cursor_close(txn->cursor);
    txn->cursor = NULL;
}

static kms_status commit_write(lmdb_txn *txn)
{
    lmdb_env *env = txn->env;
    const lmdb_handle *handle = (const lmdb_handle *)txn->base.backend;
    kms_status status = txn->failed;
    close_write_cursor(txn);
    if (status != KMS_OK) {
        mdb_txn_abort(txn->mdb);
        status = kms_set_error(status,
                               "%s: a record of this transaction could not be written, so "
                               "none was",
                               kms__lmdb_label(handle->path));
    } else {
        int rc = mdb_txn_commit(txn->mdb);
        status = rc == 0 ? KMS_OK : commit_failed(handle, env, rc);
    }
    kms__lmdb_write_unlock(env);
    return status;
}

kms_status kms__lmdb_commit(kms_txn *base)
{
    lmdb_txn *txn = (lmdb_txn *)base;
    const lmdb_handle *handle = (const lmdb_handle *)base->backend;
    if (is_forked(handle))
        return forked(handle);
    if (txn->write)
        return commit_write(txn);
    kms__lmdb_reader_end(txn);
    return KMS_OK;
}

void kms__lmdb_abort(kms_txn *base)
{
    lmdb_txn *txn = (lmdb_txn *)base;
    /* The parent's transaction, over locks and memory that are the parent's. */
    if (is_forked((const lmdb_handle *)base->backend))
        return;
    if (!txn->write) {
        kms__lmdb_reader_end(txn);
        return;
    }
    close_write_cursor(txn);
    mdb_txn_abort(txn->mdb);
    kms__lmdb_write_unlock(txn->env);
}

#endif
