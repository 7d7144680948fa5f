/* What the library keeps for each thread: the state of its nonce generator, its hazard pointers, and
 * where what else is attached to it lies, in one cell of a locked slab that fork() wipes. */
#ifndef KMS__BASE_THREAD_H
#define KMS__BASE_THREAD_H

#include <kms/status.h>
#include <stdatomic.h>

/* What the processor reads of memory at a time: on another one, calls are only slower. */
#define KMS__CACHE_LINE 64

/* A call pins at most two entries at a time (re-encryption: source and destination). */
#define KMS__HAZARDS 2
#define KMS__THREAD_CELL_SIZE 1024
#define KMS__THREAD_GENERATOR_SIZE 960

typedef struct kms__thread {
    /* Address of the owning thread's own thread-local marker; 0: free, or forked. */
    _Atomic uintptr_t owner;
    _Atomic(const void *) hazards[KMS__HAZARDS];
    /* What a floor above keeps for the thread elsewhere, and what takes it back when the cell is
     * cleared: as the thread ends, or in a child whose cells the kernel did not wipe. NULL: nothing. */
    void *attached;
    void (*give_back)(void *attached);
    unsigned char padding[KMS__CACHE_LINE - (3 + KMS__HAZARDS) * sizeof(uintptr_t)];
    _Alignas(8) unsigned char generator[KMS__THREAD_GENERATOR_SIZE];
} kms__thread;

_Static_assert(sizeof(kms__thread) == KMS__THREAD_CELL_SIZE, "a cell fills its place in the slab");

/* A thread's own, whose address stands in its cell. */
typedef struct kms__thread_marker {
    kms__thread *cell;
} kms__thread_marker;
extern _Thread_local kms__thread_marker kms__thread_mine;

/* Looked at every time: in a forked child the cell is wiped. */
static inline bool kms__thread_owns(const kms__thread_marker *me)
{
    return me->cell != NULL &&
           atomic_load_explicit(&me->cell->owner, memory_order_relaxed) == (uintptr_t)me;
}

kms__thread *kms__thread_claim(void);

/* The calling thread's cell; NULL when none can be had (KMS_ERR_NO_MEMORY is recorded then).
 * Allocates only on a thread's first call; the cell goes back, wiped, when the thread ends. */
static inline kms__thread *kms__thread_self(void)
{
    const kms__thread_marker *me = &kms__thread_mine;

    return kms__thread_owns(me) ? me->cell : kms__thread_claim();
}

/* Whether any thread's hazard pointer names this entry. Called after the entry was unlinked
 * (seq_cst), so that no new hazard can appear. */
bool kms__thread_pinned(const void *entry);

/* Whether every slab of thread cells is locked in memory. */
bool kms__threads_locked(void);

#endif
