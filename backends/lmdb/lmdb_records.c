/**
 * @file lmdb_records.c
 * Reading and writing records within a transaction.
 */
#include "lmdb_internal.h"

#if KMS_HAVE_LMDB

#include <errno.h>

static const char *path_of(const lmdb_txn *txn)
{
    return ((const lmdb_handle *)txn->base.backend)->path;
}

MDB_val kms__lmdb_val(kms_slice slice)
{
    return (MDB_val){slice.len, (void *)(uintptr_t)(slice.len == 0 ? "" : slice.data)};
}

static kms_slice as_slice(const MDB_val *val)
{
    return (kms_slice){val->mv_data, val->mv_size};
}

static kms_status check_key(const lmdb_txn *txn, kms_slice key)
{
    if (key.len >= 1 && key.len <= KMS_RECORD_KEY_MAX)
        return KMS_OK;
    return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "%s: a record key of %zu bytes",
                         kms__lmdb_label(path_of(txn)), key.len);
}

kms_status kms__lmdb_get(kms_txn *base, kms_slice key, kms_slice *value)
{
    lmdb_txn *txn = (lmdb_txn *)base;
    kms_status status = check_key(txn, key);
    if (status != KMS_OK)
        return status;
    MDB_val wanted = kms__lmdb_val(key);
    MDB_val found;
    int rc = mdb_get(txn->mdb, txn->env->dbi, &wanted, &found);
    if (rc == MDB_NOTFOUND)
        return KMS_ERR_NOT_FOUND;
    if (rc != 0)
        return kms__lmdb_fail(path_of(txn), "reading a record", rc);
    *value = as_slice(&found);
    return KMS_OK;
}

/* A pooled transaction keeps its cursor, which has to be renewed once in each of its lives. */
static int ready_cursor(lmdb_txn *txn)
{
    int rc = 0;
    if (txn->cursor == NULL)
        rc = mdb_cursor_open(txn->mdb, txn->env->dbi, &txn->cursor);
    else if (!txn->cursor_current)
        rc = mdb_cursor_renew(txn->mdb, txn->cursor);
    txn->cursor_current = rc == 0;
    return rc;
}

static int walk(lmdb_txn *txn, kms_slice from, size_t limit, kms_record *records, size_t *count)
{
    MDB_val key = kms__lmdb_val(from);
    MDB_val value;
    size_t n = 0;
    int rc = mdb_cursor_get(txn->cursor, &key, &value, from.len == 0 ? MDB_FIRST : MDB_SET_RANGE);
    while (rc == 0) {
        records[n++] = (kms_record){as_slice(&key), as_slice(&value)};
        if (n == limit)
            break;
        rc = mdb_cursor_get(txn->cursor, &key, &value, MDB_NEXT);
    }
    *count = n;
    return rc == MDB_NOTFOUND ? 0 : rc;
}

kms_status kms__lmdb_scan(kms_txn *base, kms_slice from, size_t limit, kms_record *records,
                          size_t *count)
{
    lmdb_txn *txn = (lmdb_txn *)base;
    if (limit < 1 || limit > KMS_SCAN_MAX || from.len > KMS_RECORD_KEY_MAX)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT,
                             "%s: a scan of %zu records from a key of %zu bytes",
                             kms__lmdb_label(path_of(txn)), limit, from.len);
    size_t found = 0;
    int rc = ready_cursor(txn);
    if (rc == 0)
        rc = walk(txn, from, limit, records, &found);
    if (rc != 0)
        return kms__lmdb_fail(path_of(txn), "reading records", rc);
    *count = found;
    return KMS_OK;
}

static kms_status check_write(const lmdb_txn *txn, kms_slice key)
{
    if (!txn->write)
        return kms_set_error(KMS_ERR_READ_ONLY, "%s: a write in a read transaction",
                             kms__lmdb_label(path_of(txn)));
    return check_key(txn, key);
}

static kms_status write_failed(lmdb_txn *txn, const char *doing, int rc)
{
    txn->failed = kms__lmdb_fail(path_of(txn), doing, rc);
    return txn->failed;
}

kms_status kms__lmdb_put(kms_txn *base, kms_slice key, kms_slice value)
{
    lmdb_txn *txn = (lmdb_txn *)base;
    kms_status status = check_write(txn, key);
    if (status != KMS_OK)
        return status;
    if (value.len > KMS_RECORD_VALUE_MAX)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "%s: a record value of %zu bytes",
                             kms__lmdb_label(path_of(txn)), value.len);
    MDB_val name = kms__lmdb_val(key);
    MDB_val content = kms__lmdb_val(value);
    int rc = mdb_put(txn->mdb, txn->env->dbi, &name, &content, 0);
    return rc == 0 ? KMS_OK : write_failed(txn, "writing a record", rc);
}

kms_status kms__lmdb_del(kms_txn *base, kms_slice key)
{
    lmdb_txn *txn = (lmdb_txn *)base;
    kms_status status = check_write(txn, key);
    if (status != KMS_OK)
        return status;
    MDB_val name = kms__lmdb_val(key);
    int rc = mdb_del(txn->mdb, txn->env->dbi, &name, NULL);
    if (rc == MDB_NOTFOUND)
        return KMS_ERR_NOT_FOUND;
    return rc == 0 ? KMS_OK : write_failed(txn, "removing a record", rc);
}

#endif
