/**
 * @file lmdb_lock.c
 * Who may write: one thread of one process.
 *
 * LMDB has a lock of its own, a robust mutex in its lock file. It was seen to let two writers in
 * at once: when a process opens the store twice and closes it once, when anything in the process
 * opens and closes the lock file, when the lock file is removed, and when a waiter is killed whose
 * thread id is the owner's in another pid namespace. So a lock of an open file description on the
 * data file stands round every write. It belongs to the description, not to the process or to an
 * id, and the kernel drops it with its last descriptor.
 */
#include "lmdb_internal.h"

#if KMS_HAVE_LMDB

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

/* Far beyond the data: nobody else has a reason to lock this byte of the data file. */
#define WRITE_LOCK_BYTE ((off_t)(sizeof(off_t) > 4 ? (int64_t)1 << 62 : 0x7FFFFF00))

int64_t kms__lmdb_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void kms__lmdb_pause(unsigned *round)
{
    long us = *round < 7 ? 20L << *round : 2000;
    nanosleep(&(struct timespec){0, us * 1000}, NULL);
    *round += 1;
}

kms_status kms__lmdb_gate_init(lmdb_gate *gate, const char *path)
{
    pthread_condattr_t attr;
    int rc = pthread_condattr_init(&attr);
    if (rc != 0)
        return kms__lmdb_fail(path, "preparing to lock", rc);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    rc = pthread_cond_init(&gate->freed, &attr);
    pthread_condattr_destroy(&attr);
    if (rc != 0)
        return kms__lmdb_fail(path, "preparing to lock", rc);
    pthread_mutex_init(&gate->mutex, NULL);
    gate->busy = false;
    return KMS_OK;
}

void kms__lmdb_gate_destroy(lmdb_gate *gate)
{
    pthread_mutex_destroy(&gate->mutex);
    pthread_cond_destroy(&gate->freed);
}

static kms_status busy(const lmdb_env *env, uint32_t timeout_ms, const char *who)
{
    return kms_set_error(KMS_ERR_BUSY, "%s: %s is writing; waited %u ms",
                         kms__lmdb_label(env->real_path), who, timeout_ms);
}

/* Waits until the gate is free or the time is up; the mutex is held. */
static bool gate_wait(lmdb_gate *gate, int64_t deadline_ms)
{
    struct timespec until = {(time_t)(deadline_ms / 1000), (long)(deadline_ms % 1000) * 1000000};
    int rc = 0;
    while (gate->busy && rc == 0)
        rc = deadline_ms == INT64_MAX ? pthread_cond_wait(&gate->freed, &gate->mutex)
                                      : pthread_cond_timedwait(&gate->freed, &gate->mutex, &until);
    return !gate->busy;
}

static kms_status gate_enter(lmdb_env *env, uint32_t timeout_ms, int64_t deadline_ms)
{
    lmdb_gate *gate = &env->gate;
    pthread_mutex_lock(&gate->mutex);
    bool mine = gate->busy && pthread_equal(gate->owner, pthread_self());
    bool entered = !mine && gate_wait(gate, deadline_ms);
    if (entered) {
        gate->busy = true;
        gate->owner = pthread_self();
    }
    pthread_mutex_unlock(&gate->mutex);
    if (entered)
        return KMS_OK;
    /* Waiting for oneself would never end. */
    return busy(env, mine ? 0 : timeout_ms, mine ? "this thread itself" : "another thread");
}

static void gate_leave(lmdb_gate *gate)
{
    pthread_mutex_lock(&gate->mutex);
    gate->busy = false;
    pthread_cond_signal(&gate->freed);
    pthread_mutex_unlock(&gate->mutex);
}

/* 0, or the errno of the refusal: EAGAIN or EACCES when somebody else holds the lock. */
static int set_lock(int fd, bool hold)
{
#ifdef F_OFD_SETLK
    struct flock lock = {.l_type = (short)(hold ? F_WRLCK : F_UNLCK),
                         .l_whence = SEEK_SET,
                         .l_start = WRITE_LOCK_BYTE,
                         .l_len = 1};
    if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
        return 0;
    if (errno != EINVAL)
        return errno;
#endif
    /* Systems without OFD locks: flock() belongs to the description just the same. */
    return flock(fd, hold ? LOCK_EX | LOCK_NB : LOCK_UN) == 0 ? 0 : errno;
}

static kms_status file_lock(lmdb_env *env, uint32_t timeout_ms, int64_t deadline_ms)
{
    unsigned round = 0;
    for (;;) {
        int rc = set_lock(env->write_lock.fd, true);
        if (rc == 0)
            return KMS_OK;
        if (rc != EAGAIN && rc != EACCES && rc != EINTR)
            return kms__lmdb_fail(env->real_path, "locking the store for writing", rc);
        if (timeout_ms == 0 || kms__lmdb_now_ms() >= deadline_ms)
            return busy(env, timeout_ms, "another process");
        kms__lmdb_pause(&round);
    }
}

kms_status kms__lmdb_write_lock(lmdb_env *env, uint32_t timeout_ms)
{
    int64_t deadline =
        timeout_ms == UINT32_MAX ? INT64_MAX : kms__lmdb_now_ms() + (int64_t)timeout_ms;
    kms_status status = gate_enter(env, timeout_ms, deadline);
    if (status != KMS_OK)
        return status;
    status = file_lock(env, timeout_ms, deadline);
    if (status != KMS_OK)
        gate_leave(&env->gate);
    return status;
}

void kms__lmdb_write_unlock(lmdb_env *env)
{
    set_lock(env->write_lock.fd, false);
    gate_leave(&env->gate);
}

kms_status kms__lmdb_hold_lock_file(lmdb_env *env)
{
#ifdef F_OFD_SETLK
    /* Byte 0 is what LMDB locks, shared, while a process has the store open. Whoever gets it
     * alone starts the lock file anew, which must not happen to living users. */
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
    if (fcntl(env->lock_file.fd, F_OFD_SETLK, &lock) != 0 && errno != EINVAL)
        return kms__lmdb_fail(env->lock_path, "marking the lock file as in use", errno);
#endif
    return KMS_OK;
}

void kms__lmdb_renew_pid_lock(lmdb_env *env)
{
    /* LMDB's sign of life is a POSIX lock on the byte at the process' id. Any close() of the lock
     * file in this process drops it, and then another's search for dead readers takes our slots.
     * Locking what one already holds changes nothing. */
    struct flock lock = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)getpid(), .l_len = 1};
    (void)fcntl(env->lock_file.fd, F_SETLK, &lock);
}

#endif
