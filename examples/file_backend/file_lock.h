/*
 * What the processes that share a store tell one another, both in one small file beside it: who
 * writes (a lock on the file), and which commit is the newest (a number in it, the "board").
 */
#ifndef EXAMPLE_FILE_LOCK_H
#define EXAMPLE_FILE_LOCK_H

#include <kms/backend.h>

#include <stdatomic.h>

uint64_t monotonic_ns(void);

/* KMS_ERR_BUSY if another writer keeps the lock for longer than patience_ms; UINT32_MAX waits for
 * ever. */
kms_status lock_take(const char *path, uint32_t patience_ms, int *lock);
void lock_give(int lock);

struct board {
    _Atomic uint64_t *number; /* NULL: not mapped */
    bool writable;
};

/* reading: the file need not be writable. */
kms_status board_map(struct board *board, const char *path, bool reading);
void board_unmap(struct board *board);
void board_note(struct board *board, uint64_t number);
/* Notes a larger number only. */
void board_raise(struct board *board, uint64_t number);

#endif
