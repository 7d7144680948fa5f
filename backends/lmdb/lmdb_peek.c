/**
 * @file lmdb_peek.c
 * Whether an LMDB file is a store at all, found out before anything of it is touched.
 *
 * Another program's LMDB file may be in use at its path, with a lock file of the same name. Opening
 * it as a store would put our files beside it and distrust its lock file. Where our guard file
 * stands beside the data file, it is a store; where it does not (a copy that was put there, or
 * somebody else's file), a look at one record tells.
 */
#include "lmdb_internal.h"

#if KMS_HAVE_LMDB

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool has_guard(const char *path)
{
    struct stat st;
    char *real_path = realpath(path, NULL);
    char *guard_path = real_path != NULL ? kms__lmdb_join(real_path, "-guard") : NULL;
    bool there = guard_path != NULL && stat(guard_path, &st) == 0;
    free(guard_path);
    free(real_path);
    return there;
}

static bool begins_with(MDB_val value, kms_slice start)
{
    return value.mv_size >= start.len && memcmp(value.mv_data, start.data, start.len) == 0;
}

/* 0; MDB_NOTFOUND if it is no store; else why it could not be told. */
static int look_for(MDB_env *env, const char *path, const kms_record *probe)
{
    MDB_txn *txn = NULL;
    MDB_dbi dbi;
    MDB_val value;
    MDB_val key = kms__lmdb_val(probe->key);
    int rc = mdb_env_open(env, path, MDB_NOSUBDIR | MDB_RDONLY | MDB_NOLOCK, 0);
    if (rc == 0)
        rc = mdb_txn_begin(env, NULL, MDB_RDONLY, &txn);
    if (rc == 0)
        rc = mdb_dbi_open(txn, NULL, 0, &dbi);
    if (rc == 0)
        rc = mdb_get(txn, dbi, &key, &value);
    if (rc == 0 && !begins_with(value, probe->value))
        rc = MDB_NOTFOUND;
    if (txn != NULL)
        mdb_txn_abort(txn);
    return rc;
}

kms_status kms__lmdb_peek(const lmdb_handle *handle, const lmdb_found *found,
                          const kms_backend_how *how)
{
    MDB_env *env = NULL;
    if (how->probe.key.len == 0 || has_guard(handle->path))
        return KMS_OK;
    int rc = mdb_env_create(&env);
    if (rc == 0)
        rc = mdb_env_set_mapsize(env, (size_t)(found->size / 65536 + 1) * 65536);
    if (rc == 0)
        rc = look_for(env, handle->path, &how->probe);
    if (env != NULL)
        mdb_env_close(env);
    if (rc == MDB_NOTFOUND || rc == MDB_INCOMPATIBLE)
        return kms_set_error(KMS_ERR_NOT_A_STORE,
                             "%s: this LMDB file is another program's, not a libkms store",
                             kms__lmdb_label(handle->path));
    return rc == 0 ? KMS_OK : kms__lmdb_fail(handle->path, "looking whether it is a store", rc);
}

#endif
