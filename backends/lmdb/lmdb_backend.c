/**
 * @file lmdb_backend.c
 * The LMDB engine's constructor and table of functions; the other files say what is behind them.
 *
 * | file            | concept                                                              |
 * |-----------------|----------------------------------------------------------------------|
 * | lmdb_env.c      | opening and closing an environment, one for each file and process    |
 * | lmdb_map.c      | reserving address space                                              |
 * | lmdb_create.c   | making a store, all or nothing, once                                 |
 * | lmdb_files.c    | paths, file systems, what stands at a path; lmdb_meta.c: LMDB or not |
 * | lmdb_peek.c     | telling a store from another program's LMDB file                     |
 * | lmdb_guard.c    | the guard file round open, create and close                          |
 * | lmdb_registry.c | one list of environments for the process, and fork()                 |
 * | lmdb_lock.c     | who may write                                                        |
 * | lmdb_look.c     | noticing that the store was replaced                                 |
 * | lmdb_txn.c      | transactions; lmdb_pool.c: kept readers; lmdb_records.c: records     |
 */
#include "lmdb_internal.h"

#if KMS_HAVE_LMDB

#include <stdlib.h>
#include <string.h>

#define PATH_LEN_MAX 4000
#define MAP_SIZE_DEFAULT (sizeof(void *) > 4 ? (uint64_t)64 << 30 : (uint64_t)512 << 20)
#define MODE_DEFAULT 0600u

static kms_status check_how(const lmdb_handle *handle, const kms_backend_how *how)
{
    if (how->version != 1)
        return kms_set_error(KMS_ERR_ABI, "the LMDB engine knows version 1 of kms_backend_how");
    if (handle->env != NULL)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "%s: this engine is open already",
                             kms__lmdb_label(handle->path));
    return KMS_OK;
}

static kms_status opened(lmdb_handle *handle, const kms_backend_how *how)
{
    handle->busy_timeout_ms = how->busy_timeout_ms;
    handle->read_only = (how->flags & (KMS_BACKEND_READ_ONLY | KMS_BACKEND_FROZEN)) != 0;
    handle->generation = kms__lmdb_generation();
    atomic_store(&handle->lost, 0);
    return kms__lmdb_look_now(handle, kms__lmdb_newest(handle->env));
}

/* A handle that could not be completed must be as it was before, since open may be tried again. */
static kms_status complete(lmdb_handle *handle, const kms_backend_how *how, kms_status status)
{
    if (status == KMS_OK)
        status = opened(handle, how);
    if (status != KMS_OK && handle->env != NULL) {
        kms__lmdb_env_release(handle->env);
        handle->env = NULL;
    }
    return status;
}

static kms_status lmdb_open(kms_backend *backend, const kms_backend_how *how)
{
    lmdb_handle *handle = (lmdb_handle *)backend;
    kms_status status = check_how(handle, how);
    return status == KMS_OK ? complete(handle, how, kms__lmdb_env_open(handle, how)) : status;
}

static kms_status lmdb_create(kms_backend *backend, const kms_backend_how *how,
                              const kms_record *records, size_t count)
{
    lmdb_handle *handle = (lmdb_handle *)backend;
    kms_status status = check_how(handle, how);
    if (status != KMS_OK)
        return status;
    if ((how->flags & (KMS_BACKEND_READ_ONLY | KMS_BACKEND_FROZEN)) != 0)
        return kms_set_error(KMS_ERR_READ_ONLY, "%s: a store cannot be made for reading only",
                             kms__lmdb_label(handle->path));
    return complete(handle, how, kms__lmdb_create(handle, how, records, count));
}

static void lmdb_close(kms_backend *backend)
{
    lmdb_handle *handle = (lmdb_handle *)backend;
    /* In a forked child the env belongs to the parent: closing it would drop the child's locks. */
    if (handle->env != NULL && handle->generation == kms__lmdb_generation())
        kms__lmdb_env_release(handle->env);
    free(handle->path);
    free(handle);
}

static const kms_backend_ops lmdb_ops = {
    .abi = KMS_BACKEND_ABI,
    .name = "lmdb",
    .open = lmdb_open,
    .create = lmdb_create,
    .begin = kms__lmdb_begin,
    .get = kms__lmdb_get,
    .scan = kms__lmdb_scan,
    .put = kms__lmdb_put,
    .del = kms__lmdb_del,
    .commit = kms__lmdb_commit,
    .abort = kms__lmdb_abort,
    .hint = kms__lmdb_hint,
    .close = lmdb_close,
};

static kms_status check_options(const char *path, const kms_lmdb_options *options)
{
    if (path[0] == '\0' || strnlen(path, PATH_LEN_MAX + 1) > PATH_LEN_MAX)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT,
                             "kms_lmdb_backend: the path must have 1 to %d bytes", PATH_LEN_MAX);
    if (path[strlen(path) - 1] == '/')
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT,
                             "%s: the path ends in a slash, which only a directory's may: name the "
                             "store's file",
                             kms__lmdb_label(path));
    if (options == NULL)
        return KMS_OK;
    if (options->version != KMS_LMDB_OPTIONS_VERSION)
        return kms_set_error(KMS_ERR_ABI, "kms_lmdb_backend: options of version %u; known is %u",
                             options->version, KMS_LMDB_OPTIONS_VERSION);
    if ((options->mode & ~0777u) != 0)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT,
                             "kms_lmdb_backend: mode 0%o has unknown bits", options->mode);
    return KMS_OK;
}

kms_status kms_lmdb_backend(kms_backend **backend, const char *path,
                            const kms_lmdb_options *options)
{
    if (backend == NULL || path == NULL)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "kms_lmdb_backend: %s is NULL",
                             backend == NULL ? "backend" : "path");
    kms_status status = check_options(path, options);
    if (status != KMS_OK)
        return status;
    lmdb_handle *handle = calloc(1, sizeof *handle);
    char *absolute = kms__lmdb_absolute(path);
    if (handle == NULL || absolute == NULL) {
        free(handle);
        free(absolute);
        return kms_set_error(KMS_ERR_NO_MEMORY, "kms_lmdb_backend: no memory");
    }
    handle->base.ops = &lmdb_ops;
    handle->path = absolute;
    handle->mode = options != NULL && options->mode != 0 ? options->mode : MODE_DEFAULT;
    handle->map_size =
        options != NULL && options->map_size != 0 ? options->map_size : MAP_SIZE_DEFAULT;
    *backend = &handle->base;
    return KMS_OK;
}

#endif
