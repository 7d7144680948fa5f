/**
 * @file lmdb_pool.c
 * Read transactions that are kept, with their reader slots and cursors, for the next one to use.
 *
 * Renewing one costs no allocation and no lock. An idle one holds no snapshot, so the pages of old
 * revisions are free for writers.
 */
#include "lmdb_internal.h"

#if KMS_HAVE_LMDB

#include <errno.h>
#include <stdlib.h>

static void reader_free(lmdb_txn *txn)
{
    if (txn->cursor != NULL)
        mdb_cursor_close(txn->cursor);
    if (txn->mdb != NULL)
        mdb_txn_abort(txn->mdb);
    free(txn);
}

/* Taking by exchange needs no list, and so no care about a transaction that comes back meanwhile.
 */
static lmdb_txn *pool_take(lmdb_env *env)
{
    for (size_t i = 0; i < LMDB_POOL_SIZE; i++) {
        if (atomic_load_explicit(&env->pool[i], memory_order_relaxed) == NULL)
            continue;
        lmdb_txn *txn = atomic_exchange_explicit(&env->pool[i], NULL, memory_order_acquire);
        if (txn != NULL)
            return txn;
    }
    return NULL;
}

static bool pool_keep(lmdb_env *env, lmdb_txn *txn)
{
    for (size_t i = 0; i < LMDB_POOL_SIZE; i++) {
        lmdb_txn *none = NULL;
        if (atomic_compare_exchange_strong_explicit(&env->pool[i], &none, txn, memory_order_release,
                                                    memory_order_relaxed))
            return true;
    }
    return false;
}

void kms__lmdb_pool_drain(lmdb_env *env)
{
    for (lmdb_txn *txn = pool_take(env); txn != NULL; txn = pool_take(env))
        reader_free(txn);
}

static int begin_new(lmdb_env *env, MDB_txn **mdb)
{
    int rc = mdb_txn_begin(env->mdb, NULL, MDB_RDONLY, mdb);
    if (rc != MDB_READERS_FULL)
        return rc;
    /* Dead processes' slots, and those of our own idle transactions. */
    mdb_reader_check(env->mdb, NULL);
    kms__lmdb_pool_drain(env);
    return mdb_txn_begin(env->mdb, NULL, MDB_RDONLY, mdb);
}

static lmdb_txn *renew_pooled(lmdb_env *env)
{
    for (lmdb_txn *txn = pool_take(env); txn != NULL; txn = pool_take(env)) {
        int rc = mdb_txn_renew(txn->mdb);
        if (rc == 0)
            return txn;
        /* Somebody took us for dead and the slot is perhaps another's now: ending this
         * transaction would free that one's slot, so it is leaked. */
        if (rc == MDB_BAD_RSLOT)
            txn->mdb = NULL;
        reader_free(txn);
    }
    return NULL;
}

static lmdb_txn *reader_new(lmdb_env *env, int *rc)
{
    lmdb_txn *txn = calloc(1, sizeof *txn);
    if (txn == NULL) {
        *rc = ENOMEM;
        return NULL;
    }
    *rc = begin_new(env, &txn->mdb);
    if (*rc == 0)
        return txn;
    free(txn);
    return NULL;
}

kms_status kms__lmdb_reader_begin(lmdb_handle *handle, lmdb_txn **begun)
{
    int rc = 0;
    lmdb_txn *txn = renew_pooled(handle->env);
    if (txn == NULL)
        txn = reader_new(handle->env, &rc);
    if (txn == NULL)
        return kms__lmdb_fail(handle->path, "beginning to read", rc);
    txn->base.backend = &handle->base;
    txn->env = handle->env;
    txn->cursor_current = false;
    *begun = txn;
    return KMS_OK;
}

void kms__lmdb_reader_end(lmdb_txn *txn)
{
    mdb_txn_reset(txn->mdb);
    if (!pool_keep(txn->env, txn))
        reader_free(txn);
}

#endif
