/**
 * @file lmdb_env.c
 * Opening and closing an environment, or sharing the one that the process has open already.
 */
#include "lmdb_internal.h"

#if KMS_HAVE_LMDB

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* How often open() starts again because the file at the path changed while it was being opened. */
#define OPEN_ATTEMPTS 8

static uint64_t mix(uint64_t x)
{
    /* The finalizer of SplitMix64. */
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

static bool env_paths(lmdb_env *env, const char *path)
{
    /* Two names of one file must lead to one lock file, so symbolic links are followed first. */
    env->real_path = realpath(path, NULL);
    if (env->real_path == NULL)
        return false;
    env->lock_path = kms__lmdb_join(env->real_path, "-lock");
    env->guard_path = kms__lmdb_join(env->real_path, "-guard");
    return env->lock_path != NULL && env->guard_path != NULL;
}

static void env_free(lmdb_env *env)
{
    free(env->real_path);
    free(env->lock_path);
    free(env->guard_path);
    free(env);
}

static kms_status env_new(const lmdb_handle *handle, const lmdb_found *found, lmdb_env **made)
{
    lmdb_env *env = calloc(1, sizeof *env);
    if (env == NULL)
        return kms_set_error(KMS_ERR_NO_MEMORY, "%s: out of memory opening the store",
                             kms__lmdb_label(handle->path));
    env->write_lock.fd = -1;
    env->lock_file.fd = -1;
    env->data = found->id;
    env->incarnation = mix((uint64_t)found->id.dev ^ mix((uint64_t)found->id.ino));
    env->map_size = handle->map_size;
    env->refs = 1;
    kms_status status = KMS_OK;
    if (!env_paths(env, handle->path))
        status = kms__lmdb_fail(handle->path, "resolving the path", errno);
    if (status == KMS_OK)
        status = kms__lmdb_gate_init(&env->gate, handle->path);
    if (status != KMS_OK) {
        env_free(env);
        return status;
    }
    *made = env;
    return KMS_OK;
}

static void close_mdb(lmdb_env *env)
{
    if (env->mdb != NULL)
        mdb_env_close(env->mdb);
    env->mdb = NULL;
}

static void env_destroy(lmdb_env *env)
{
    kms__lmdb_pool_drain(env);
    /* LMDB first: closing our descriptor of its lock file drops the process' POSIX locks on it. */
    close_mdb(env);
    kms__lmdb_fd_close(&env->lock_file);
    kms__lmdb_fd_close(&env->write_lock);
    kms__lmdb_gate_destroy(&env->gate);
    env_free(env);
}

static kms_status lock_file_denied(const lmdb_env *env, int rc)
{
    return kms_set_error(KMS_ERR_READ_ONLY,
                         "%s: cannot be opened for writing (%s), so this process would read "
                         "unseen by writers; where surely nobody writes, open it as frozen",
                         kms__lmdb_label(env->lock_path), strerror(rc));
}

/* A sparse lock file on a full disk would be a SIGBUS as soon as LMDB touches its mapping. */
static kms_status fill_lock_file(lmdb_env *env, const lmdb_found *found)
{
    kms__lmdb_dress(env->lock_file.fd, found);
    int rc = posix_fallocate(env->lock_file.fd, 0, LMDB_LOCK_FILE_SIZE);
    if (rc == 0)
        return KMS_OK;
    unlink(env->lock_path);
    return kms__lmdb_fail(env->lock_path, "making the lock file", rc);
}

static kms_status open_lock_file(lmdb_env *env, const lmdb_found *found)
{
    struct stat st;
    mode_t mode = found->mode & 0666;
    if (kms__lmdb_fd_open(&env->lock_file, env->lock_path, O_RDWR | O_CREAT | O_NOFOLLOW, mode) < 0)
        return kms__lmdb_is_denied(errno)
                   ? lock_file_denied(env, errno)
                   : kms__lmdb_fail(env->lock_path, "opening the lock file", errno);
    if (fstat(env->lock_file.fd, &st) != 0)
        return kms__lmdb_fail(env->lock_path, "looking at the lock file", errno);
    env->lock = kms__lmdb_identity(&st);
    return st.st_size == 0 ? fill_lock_file(env, found) : KMS_OK;
}

/* Between the look at the file and its opening; open() begins again then, a few times. */
static kms_status changed(const lmdb_env *env)
{
    return kms_set_error(KMS_ERR_STORE_REPLACED,
                         "%s: the file was replaced while it was being opened: open it again",
                         kms__lmdb_label(env->real_path));
}

/* The description that will carry the write lock: its own, so that a child can let go of it. */
static kms_status open_write_lock(lmdb_env *env)
{
    struct stat st;
    if (kms__lmdb_fd_open(&env->write_lock, env->real_path, O_RDWR, 0) < 0) {
        if (kms__lmdb_is_denied(errno))
            return kms_set_error(KMS_ERR_READ_ONLY,
                                 "%s: cannot be opened for writing (%s): open it for reading only",
                                 kms__lmdb_label(env->real_path), strerror(errno));
        return kms__lmdb_fail(env->real_path, "opening the store for writing", errno);
    }
    if (fstat(env->write_lock.fd, &st) != 0 || !kms__lmdb_same(kms__lmdb_identity(&st), env->data))
        return changed(env);
    return KMS_OK;
}

static kms_status check_descriptor(lmdb_env *env)
{
    int fd;
    struct stat st;
    int rc = mdb_env_get_fd(env->mdb, &fd);
    if (rc != 0)
        return kms__lmdb_fail(env->real_path, "opening the store", rc);
    /* LMDB opens its lock file and its descriptor for meta pages with O_CLOEXEC, and leaves this
     * one to programs. */
    int flags = fcntl(fd, F_GETFD);
    if (flags < 0 || fcntl(fd, F_SETFD, flags | FD_CLOEXEC) != 0 || fstat(fd, &st) != 0)
        return kms__lmdb_fail(env->real_path, "opening the store", errno);
    return kms__lmdb_same(kms__lmdb_identity(&st), env->data) ? KMS_OK : changed(env);
}

static kms_status first_read_failed(const lmdb_env *env, int rc)
{
    /* LMDB's sign of life is a lock on the byte at the process' id, which is unique within one
     * pid namespace only. */
    if (rc == EAGAIN || rc == EACCES)
        return kms_set_error(KMS_ERR_STORAGE,
                             "%s: another process with this process' pid (%ld), in another pid "
                             "namespace, has this store open: share a pid namespace, or let the "
                             "processes have different pids",
                             kms__lmdb_label(env->real_path), (long)getpid());
    return kms__lmdb_fail(env->real_path, "beginning the first read", rc);
}

static kms_status check_database(lmdb_env *env, MDB_txn *txn)
{
    unsigned flags = 0;
    int rc = mdb_dbi_open(txn, NULL, 0, &env->dbi);
    if (rc == 0)
        rc = mdb_dbi_flags(txn, env->dbi, &flags);
    if (rc != 0)
        return kms__lmdb_fail(env->real_path, "opening the store", rc);
    if (flags != 0)
        return kms_set_error(KMS_ERR_NOT_A_STORE,
                             "%s: the LMDB file is not a libkms store (its keys are ordered in "
                             "another way)",
                             kms__lmdb_label(env->real_path));
    if (mdb_env_get_maxkeysize(env->mdb) < KMS_RECORD_KEY_MAX)
        return kms_set_error(KMS_ERR_UNSUPPORTED, "this build of LMDB allows keys of %d bytes only",
                             mdb_env_get_maxkeysize(env->mdb));
    return KMS_OK;
}

static kms_status open_database(lmdb_env *env)
{
    MDB_txn *txn = NULL;
    int rc = mdb_txn_begin(env->mdb, NULL, MDB_RDONLY, &txn);
    if (rc == MDB_READERS_FULL && mdb_reader_check(env->mdb, NULL) == 0)
        rc = mdb_txn_begin(env->mdb, NULL, MDB_RDONLY, &txn);
    if (rc != 0)
        return first_read_failed(env, rc);
    kms_status status = check_database(env, txn);
    /* Only a commit keeps the handle of the database. */
    rc = mdb_txn_commit(txn);
    if (status == KMS_OK && rc != 0)
        status = kms__lmdb_fail(env->real_path, "opening the store", rc);
    return status;
}

static kms_status env_start_locked(lmdb_env *env, const lmdb_found *found)
{
    unsigned flags = MDB_NOSUBDIR | MDB_NOTLS | (env->read_only ? MDB_RDONLY : 0u);
    kms_status status = env->read_only ? KMS_OK : open_write_lock(env);
    if (status == KMS_OK)
        status = open_lock_file(env, found);
    if (status == KMS_OK)
        status = kms__lmdb_map(env, env->real_path, flags, found->size);
    if (status == KMS_OK)
        status = check_descriptor(env);
    if (status == KMS_OK)
        status = kms__lmdb_hold_lock_file(env);
    if (status == KMS_OK)
        status = open_database(env);
    if (status == KMS_OK)
        mdb_reader_check(env->mdb, NULL);
    return status;
}

static void sweep_draft(const lmdb_env *env)
{
    /* Whoever was killed between giving a store its name and taking the draft's away left two
     * names. Nobody is making a store now: the guard is ours. */
    struct stat st;
    char *draft = kms__lmdb_draft_path(env->real_path);
    if (draft != NULL && !env->read_only && lstat(draft, &st) == 0 &&
        kms__lmdb_same(kms__lmdb_identity(&st), env->data))
        unlink(draft);
    free(draft);
}

/* Under the guard, which nobody may hold while he waits for it: so look at the file again. */
static kms_status env_start_guarded(lmdb_env *env, lmdb_handle *handle, lmdb_found *found,
                                    const kms_backend_how *how)
{
    lmdb_fd guard = {-1, NULL};
    kms_status status =
        kms__lmdb_guard_lock(&guard, env->guard_path, found, how->busy_timeout_ms, true);
    if (status == KMS_OK)
        status = kms__lmdb_inspect(handle->path, found);
    if (status == KMS_OK && !kms__lmdb_same(found->id, env->data))
        status = changed(env);
    if (status == KMS_OK)
        status = kms__lmdb_check_lock_file(env->lock_path);
    if (status == KMS_OK) {
        sweep_draft(env);
        status = kms__lmdb_guard_adopt(&guard, env->guard_path, env->lock_path, env->data);
    }
    if (status == KMS_OK)
        status = env_start_locked(env, found);
    if (status != KMS_OK)
        close_mdb(env);
    kms__lmdb_guard_unlock(&guard);
    return status;
}

static kms_status env_start_frozen(lmdb_env *env, const lmdb_found *found)
{
    unsigned flags = MDB_NOSUBDIR | MDB_NOTLS | MDB_RDONLY | MDB_NOLOCK;
    kms_status status = kms__lmdb_map(env, env->real_path, flags, found->size);
    if (status == KMS_OK)
        status = check_descriptor(env);
    return status == KMS_OK ? open_database(env) : status;
}

static kms_status env_make(lmdb_handle *handle, const kms_backend_how *how, lmdb_found *found)
{
    lmdb_env *env = NULL;
    kms_status status = env_new(handle, found, &env);
    if (status != KMS_OK)
        return status;
    env->frozen = (how->flags & KMS_BACKEND_FROZEN) != 0;
    env->read_only = env->frozen || (how->flags & KMS_BACKEND_READ_ONLY) != 0;
    status =
        env->frozen ? env_start_frozen(env, found) : env_start_guarded(env, handle, found, how);
    if (status != KMS_OK) {
        env_destroy(env);
        return status;
    }
    kms__lmdb_registry_add(env);
    handle->env = env;
    return KMS_OK;
}

static kms_status env_share(lmdb_handle *handle, const kms_backend_how *how, lmdb_env *env)
{
    if (atomic_load(&env->fatal))
        return kms__lmdb_fail(handle->path, "opening the store", MDB_PANIC);
    if (env->read_only && (how->flags & KMS_BACKEND_READ_ONLY) == 0)
        return kms_set_error(KMS_ERR_READ_ONLY,
                             "%s: this process has the store open for reading only: close it "
                             "first, or open it for writing first",
                             kms__lmdb_label(handle->path));
    env->refs++;
    handle->env = env;
    return KMS_OK;
}

static kms_status env_find_or_make(lmdb_handle *handle, const kms_backend_how *how)
{
    lmdb_found found;
    kms_status status = kms__lmdb_inspect(handle->path, &found);
    if (status != KMS_OK)
        return status;
    bool frozen = (how->flags & KMS_BACKEND_FROZEN) != 0;
    lmdb_env *env = frozen ? NULL : kms__lmdb_registry_find(found.id);
    if (env == NULL)
        status = kms__lmdb_peek(handle, &found, how);
    if (status != KMS_OK)
        return status;
    return env != NULL ? env_share(handle, how, env) : env_make(handle, how, &found);
}

kms_status kms__lmdb_env_open(lmdb_handle *handle, const kms_backend_how *how)
{
    kms_status status = KMS_ERR_STORE_REPLACED;
    kms__lmdb_registry_lock();
    for (int i = 0; i < OPEN_ATTEMPTS && status == KMS_ERR_STORE_REPLACED; i++)
        status = env_find_or_make(handle, how);
    kms__lmdb_registry_unlock();
    return status;
}

void kms__lmdb_env_release(lmdb_env *env)
{
    lmdb_fd guard = {-1, NULL};
    kms__lmdb_registry_lock();
    if (--env->refs == 0) {
        kms__lmdb_registry_remove(env);
        /* Without the guard, closing still does no more harm than a kill would. */
        if (!env->frozen)
            (void)kms__lmdb_guard_lock(&guard, env->guard_path, NULL, 0, false);
        env_destroy(env);
        kms__lmdb_guard_unlock(&guard);
    }
    kms__lmdb_registry_unlock();
}

#endif
