/**
 * @file lmdb_look.c
 * Whether the store still stands where it was opened.
 *
 * After a restore by rename() this process would go on with a file that nobody else sees, and
 * without LMDB's lock file it would not learn of others' commits. Both show in stat().
 */
#include "lmdb_internal.h"

#if KMS_HAVE_LMDB

#include <errno.h>
#include <string.h>
#include <time.h>

enum { STANDS = 0, DATA_GONE = 1, LOCK_GONE = 2 };

/* So one look in each second that there is a call in. A clock that is set meanwhile only makes it another
 * second; one that stands still hides a store that was replaced until the next write or commit. (Reading
 * it takes 1 ns, and CLOCK_MONOTONIC_COARSE 5.) */
static int64_t this_second(void)
{
    return (int64_t)time(NULL);
}

static kms_status tell_lost(const lmdb_handle *handle, int lost)
{
    if (lost == DATA_GONE)
        return kms_set_error(KMS_ERR_STORE_REPLACED,
                             "%s: another file, or none, stands where this store was opened: close "
                             "it and open it again",
                             kms__lmdb_label(handle->path));
    return kms_set_error(KMS_ERR_STORE_REPLACED,
                         "%s: this lock file was removed or replaced while the store is in use, so "
                         "changes of other processes would be missed: close the store in every "
                         "process and open it again",
                         kms__lmdb_label(handle->env->lock_path));
}

/* 1: path is this file; 0: it is another, or none; -1: that could not be found out (errno). */
static int stands_at(const char *path, lmdb_identity id)
{
    struct stat st;
    if (stat(path, &st) == 0)
        return kms__lmdb_same(kms__lmdb_identity(&st), id);
    return errno == ENOENT || errno == ENOTDIR || errno == ELOOP ? 0 : -1;
}

kms_status kms__lmdb_look_now(lmdb_handle *handle, uint64_t number)
{
    lmdb_env *env = handle->env;
    int64_t now = this_second();
    int data = stands_at(handle->path, env->data);
    if (data < 0)
        return kms__lmdb_fail(handle->path, "looking whether the store still stands there", errno);
    int lock = env->frozen ? 1 : stands_at(env->lock_path, env->lock);
    if (lock < 0)
        return kms__lmdb_fail(env->lock_path, "looking whether the lock file still stands there",
                              errno);
    if (data == 0 || lock == 0)
        atomic_store(&handle->lost, data == 0 ? DATA_GONE : LOCK_GONE);
    int lost = atomic_load(&handle->lost);
    if (lost != STANDS)
        return tell_lost(handle, lost);
    atomic_store_explicit(&handle->looked_number, number, memory_order_relaxed);
    atomic_store_explicit(&handle->looked_in, now, memory_order_relaxed);
    return KMS_OK;
}

kms_status kms__lmdb_look(lmdb_handle *handle, uint64_t number)
{
    int lost = atomic_load_explicit(&handle->lost, memory_order_relaxed);
    if (lost != STANDS)
        return tell_lost(handle, lost);
    int64_t looked = atomic_load_explicit(&handle->looked_in, memory_order_relaxed);
    if (atomic_load_explicit(&handle->looked_number, memory_order_relaxed) == number &&
        this_second() == looked)
        return KMS_OK;
    return kms__lmdb_look_now(handle, number);
}

#endif
