/**
 * @file lmdb_guard.c
 * The guard file: one process at a time opens, makes or closes a store.
 *
 * Two things go wrong without it. Some releases of LMDB fail at random when one process opens a
 * store while another closes it. And LMDB's lock file says which transaction is the last one, but
 * not of which data file: a newcomer to a store that was restored by rename() would believe a lock
 * file that old processes keep alive for the old data, and lose commits. So the guard remembers
 * which data file the lock file belongs to.
 *
 * Either name may be taken by a file of somebody else's. Nothing is opened through a link,
 * written or removed there before it has shown that it is ours, or LMDB's.
 */
#include "lmdb_internal.h"

#if KMS_HAVE_LMDB

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define GUARD_TEXT_LEN 80
#define GUARD_TEXT_START "libkms guard "
/* How a lock file begins: MDB_txbody in mdb.c of LMDB 0.9, in the machine's own byte order. */
#define LOCK_MAGIC 0xBEEFC0DEu

void kms__lmdb_dress(int fd, const lmdb_found *like)
{
    if (!like->exists)
        return;
    /* The administrator's tool must not leave files that the service itself cannot open. Where
     * this fails, the next opener says so. */
    if (geteuid() == 0 && fchown(fd, like->uid, like->gid) != 0)
        return;
    (void)fchmod(fd, like->mode & 0666);
}

static kms_status cannot_open(const char *path, int rc)
{
    if (kms__lmdb_is_denied(rc))
        return kms_set_error(
            KMS_ERR_READ_ONLY,
            "%s: cannot be opened for writing (%s), which even readers of a living "
            "store need; where surely nobody writes, open it as frozen",
            kms__lmdb_label(path), strerror(rc));
    return kms__lmdb_fail(path, "opening the file", rc);
}

static kms_status not_ours(const char *path)
{
    return kms_set_error(
        KMS_ERR_NOT_A_STORE,
        "%s: this is another program's, where a file of the store belongs: move it "
        "away, or keep the store elsewhere",
        kms__lmdb_label(path));
}

static bool is_no_file(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 && !S_ISREG(st.st_mode);
}

static bool is_zero(const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (bytes[i] != 0)
            return false;
    return true;
}

/* Empty, or zeros after a power cut: not written yet. */
static kms_status check_guard(const lmdb_fd *guard, const char *guard_path)
{
    static const char start[] = GUARD_TEXT_START;
    char there[GUARD_TEXT_LEN + 1];
    ssize_t got = pread(guard->fd, there, sizeof there, 0);
    if (got < 0)
        return kms__lmdb_fail(guard_path, "reading the guard file", errno);
    size_t len = (size_t)got;
    if (len == sizeof there ||
        (!is_zero(there, len) && (len < strlen(start) || memcmp(there, start, strlen(start)) != 0)))
        return not_ours(guard_path);
    return KMS_OK;
}

static kms_status check_lock_fd(int fd, const char *lock_path)
{
    struct stat st;
    uint32_t magic = 0;
    if (fstat(fd, &st) != 0 || pread(fd, &magic, sizeof magic, 0) < 0)
        return kms__lmdb_fail(lock_path, "looking at the lock file", errno);
    bool is_lmdbs = magic == LOCK_MAGIC && st.st_size >= (off_t)sizeof magic;
    bool is_fresh = magic == 0 && (st.st_size == 0 || st.st_size == LMDB_LOCK_FILE_SIZE);
    return S_ISREG(st.st_mode) && (is_lmdbs || is_fresh) ? KMS_OK : not_ours(lock_path);
}

static int open_guard(lmdb_fd *guard, const char *guard_path, const lmdb_found *like, bool make)
{
    int flags = O_RDWR | O_NOFOLLOW;
    if (kms__lmdb_fd_open(guard, guard_path, flags, 0) >= 0 || errno != ENOENT || !make)
        return guard->fd;
    if (kms__lmdb_fd_open(guard, guard_path, flags | O_CREAT | O_EXCL, like->mode & 0666) >= 0) {
        kms__lmdb_dress(guard->fd, like);
        return guard->fd;
    }
    return errno == EEXIST ? kms__lmdb_fd_open(guard, guard_path, flags, 0) : -1;
}

/* A lock on a file that has lost its name excludes nobody. */
static bool guard_stands(const lmdb_fd *guard, const char *guard_path)
{
    struct stat held, there;
    return fstat(guard->fd, &held) == 0 && lstat(guard_path, &there) == 0 &&
           kms__lmdb_same(kms__lmdb_identity(&held), kms__lmdb_identity(&there));
}

kms_status kms__lmdb_guard_lock(lmdb_fd *guard, const char *guard_path, const lmdb_found *like,
                                uint32_t timeout_ms, bool make)
{
    int64_t wait = timeout_ms > LMDB_GUARD_WAIT_MS ? timeout_ms : LMDB_GUARD_WAIT_MS;
    int64_t deadline = kms__lmdb_now_ms() + wait;
    unsigned round = 0;
    while (kms__lmdb_now_ms() <= deadline) {
        if (guard->fd < 0 && is_no_file(guard_path))
            return not_ours(guard_path);
        if (guard->fd < 0 && open_guard(guard, guard_path, like, make) < 0)
            return cannot_open(guard_path, errno);
        bool locked = flock(guard->fd, LOCK_EX | LOCK_NB) == 0;
        if (!locked && errno != EWOULDBLOCK && errno != EINTR)
            return kms__lmdb_fail(guard_path, "locking the guard file", errno);
        if (locked && guard_stands(guard, guard_path))
            return check_guard(guard, guard_path);
        if (locked)
            kms__lmdb_fd_close(guard);
        else
            kms__lmdb_pause(&round);
    }
    return kms_set_error(KMS_ERR_BUSY, "%s: another process is opening or closing the store",
                         kms__lmdb_label(guard_path));
}

void kms__lmdb_guard_unlock(lmdb_fd *guard)
{
    kms__lmdb_fd_close(guard);
}

kms_status kms__lmdb_check_lock_file(const char *lock_path)
{
    struct stat st;
    if (is_no_file(lock_path))
        return not_ours(lock_path);
    /* Closing a descriptor of it would drop the POSIX locks that the process has on it. */
    if (lstat(lock_path, &st) == 0 && kms__lmdb_registry_uses_lock_file(kms__lmdb_identity(&st)))
        return KMS_OK;
    int fd = open(lock_path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return errno == ENOENT ? KMS_OK : cannot_open(lock_path, errno);
    kms_status status = check_lock_fd(fd, lock_path);
    close(fd);
    return status;
}

static void guard_text(char text[GUARD_TEXT_LEN], lmdb_identity data)
{
    memset(text, 0, GUARD_TEXT_LEN);
    snprintf(text, GUARD_TEXT_LEN, GUARD_TEXT_START "1, lock file of %" PRIxMAX ":%" PRIxMAX "\n",
             (uintmax_t)data.dev, (uintmax_t)data.ino);
}

kms_status kms__lmdb_guard_adopt(lmdb_fd *guard, const char *guard_path, const char *lock_path,
                                 lmdb_identity data)
{
    char wanted[GUARD_TEXT_LEN];
    char there[GUARD_TEXT_LEN];
    guard_text(wanted, data);
    if (pread(guard->fd, there, sizeof there, 0) == (ssize_t)sizeof there &&
        memcmp(there, wanted, sizeof there) == 0)
        return KMS_OK;
    /* In this order: a death between the two leaves a guard that distrusts the lock file. */
    if (unlink(lock_path) != 0 && errno != ENOENT)
        return kms__lmdb_fail(lock_path, "removing the lock file of another data file", errno);
    ssize_t wrote = pwrite(guard->fd, wanted, sizeof wanted, 0);
    if (wrote != (ssize_t)sizeof wanted)
        return kms__lmdb_fail(guard_path, "writing the guard file", wrote < 0 ? errno : ENOSPC);
    return KMS_OK;
}

#endif
