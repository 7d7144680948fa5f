/**
 * @file lmdb_error.c
 * LMDB's and the system's error numbers as statuses and sentences.
 */
#include "lmdb_internal.h"

#if KMS_HAVE_LMDB

#include <errno.h>
#include <string.h>

/* Leaves the sentence itself room within the 511 bytes of a message. */
#define LABEL_MAX 200

const char *kms__lmdb_label(const char *path)
{
    size_t len = strlen(path);
    return len <= LABEL_MAX ? path : path + (len - LABEL_MAX);
}

bool kms__lmdb_is_denied(int rc)
{
    return rc == EACCES || rc == EPERM || rc == EROFS;
}

bool kms__lmdb_is_full(int rc)
{
    return rc == ENOSPC || rc == EDQUOT || rc == EFBIG;
}

static kms_status fail_lmdb(const char *path, const char *doing, int rc)
{
    const char *label = kms__lmdb_label(path);
    switch (rc) {
    case MDB_MAP_FULL:
        return kms_set_error(KMS_ERR_FULL,
                             "%s: %s: the store fills the address space reserved for it: open it "
                             "again with a larger map_size",
                             label, doing);
    case MDB_MAP_RESIZED:
        return kms_set_error(KMS_ERR_STORAGE,
                             "%s: %s: another process let the store outgrow the address space that "
                             "this one has reserved: close and reopen it",
                             label, doing);
    case MDB_PANIC:
        return kms_set_error(KMS_ERR_STORAGE,
                             "%s: %s: an earlier write failed at its last step: close every handle "
                             "of the store in this process and open it again",
                             label, doing);
    case MDB_READERS_FULL:
        return kms_set_error(KMS_ERR_LIMIT_EXCEEDED,
                             "%s: %s: all reader slots of the lock file are taken by living "
                             "processes: end some read transactions",
                             label, doing);
    case MDB_INVALID:
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
        return kms_set_error(KMS_ERR_CORRUPT, "%s: %s: the file is damaged (%s)", label, doing,
                             mdb_strerror(rc));
    case MDB_VERSION_MISMATCH:
        return kms_set_error(KMS_ERR_UNSUPPORTED,
                             "%s: %s: a process with an incompatible build of LMDB has it open, or "
                             "made it",
                             label, doing);
    default:
        return kms_set_error(KMS_ERR_STORAGE, "%s: %s: %s", label, doing, mdb_strerror(rc));
    }
}

kms_status kms__lmdb_fail(const char *path, const char *doing, int rc)
{
    if (rc < 0)
        return fail_lmdb(path, doing, rc);
    kms_status status = KMS_ERR_STORAGE;
    if (kms__lmdb_is_full(rc))
        status = KMS_ERR_FULL;
    else if (rc == ENOMEM)
        status = KMS_ERR_NO_MEMORY;
    return kms_set_error(status, "%s: %s: %s%s", kms__lmdb_label(path), doing, mdb_strerror(rc),
                         status == KMS_ERR_FULL ? ": make room and try again" : "");
}

#endif
