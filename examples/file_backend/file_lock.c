#include "file_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { BOARD_SIZE = sizeof(uint64_t) };

/* --- the lock ------------------------------------------------------------------------------
 *
 * "KMS_TXN_WRITE waits for another writer (of any process) at most busy_timeout_ms."
 *
 * flock() belongs to what open() answered, so opening the file anew for every writer keeps apart
 * threads, handles and processes alike, and the kernel frees it when a process dies. It has no
 * timeout: we ask again and again. The store itself cannot be the file that is locked, because
 * every commit replaces it.
 */
uint64_t monotonic_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static bool lock_within(int fd, uint32_t patience_ms)
{
    uint64_t began = monotonic_ns();
    struct timespec rest = {.tv_sec = 0, .tv_nsec = 100000};

    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return false;
        if (patience_ms != UINT32_MAX && (monotonic_ns() - began) / 1000000u >= patience_ms) {
            errno = EWOULDBLOCK;
            return false;
        }
        nanosleep(&rest, NULL);
        if (rest.tv_nsec < 5000000)
            rest.tv_nsec *= 2;
    }
    return true;
}

kms_status lock_take(const char *path, uint32_t patience_ms, int *lock)
{
    int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    kms_status status;

    if (fd >= 0 && lock_within(fd, patience_ms)) {
        *lock = fd;
        return KMS_OK;
    }
    if (fd >= 0 && errno == EWOULDBLOCK)
        status = kms_set_error(KMS_ERR_BUSY, "%s: another writer holds the store", path);
    else
        status = kms_set_error(KMS_ERR_STORAGE, "%s: cannot be locked: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return status;
}

/* Unlocked by name, not by close() alone: a child process that was forked meanwhile has the
 * descriptor too, and would keep the lock. */
void lock_give(int fd)
{
    flock(fd, LOCK_UN);
    close(fd);
}

/* --- the board -----------------------------------------------------------------------------
 *
 * "hint: never behind a commit that was acknowledged. No allocation, and no system call."
 *
 * So it cannot look at the file. All processes map the first bytes of the lock file instead, and
 * a writer notes the number of its commit there before it answers KMS_OK.
 */
kms_status board_map(struct board *board, const char *path, bool reading)
{
    int flags = O_NOFOLLOW | O_CLOEXEC;
    bool writable = true;
    int fd = open(path, flags | O_RDWR | O_CREAT, 0600);
    struct stat about;
    void *map = MAP_FAILED;

    if (fd < 0 && reading) {
        writable = false;
        fd = open(path, flags | O_RDONLY);
    }
    if (fd >= 0 && fstat(fd, &about) == 0 &&
        (about.st_size >= BOARD_SIZE || (writable && ftruncate(fd, BOARD_SIZE) == 0)))
        map = mmap(NULL, BOARD_SIZE, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd,
                   0);
    if (fd >= 0)
        close(fd);
    if (map == MAP_FAILED)
        return kms_set_error(KMS_ERR_READ_ONLY,
                             "%s: cannot be used; a store that nobody writes can be opened frozen",
                             path);
    board->number = map;
    board->writable = writable;
    return KMS_OK;
}

void board_note(struct board *board, uint64_t number)
{
    atomic_store(board->number, number);
}

/* A writer may have died after its commit and before it noted it. Nobody was told of that commit,
 * but the hint should not stay behind what snapshots show. */
void board_raise(struct board *board, uint64_t number)
{
    uint64_t noted;

    if (board->number == NULL || !board->writable)
        return;
    noted = atomic_load(board->number);
    while (noted < number && !atomic_compare_exchange_weak(board->number, &noted, number))
        ;
}

void board_unmap(struct board *board)
{
    if (board->number != NULL)
        munmap((void *)board->number, BOARD_SIZE);
}
