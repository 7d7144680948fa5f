#include "base/thread.h"
#include "base/fork.h"
#include "base/slab.h"

#include <pthread.h>
#include <sched.h>
#include <sodium.h>
#include <stdlib.h>

/* Most programs run fewer threads than the first slab has cells; the later ones hold more. */
#define FIRST_CELLS 16
#define LATER_CELLS 64

/* A slab's description, in ordinary memory: a forked child still finds it. Never freed. */
typedef struct cells {
    struct cells *next;
    kms__thread *cell;
    size_t count;
    /* As it was when this process tried, by its epoch: a forked child inherits no locks. */
    _Atomic bool locked;
    _Atomic uint64_t tried_in;
} cells;

/* Grows at its head only, so that it can be walked without a lock. */
static _Atomic(cells *) all_cells;

/* The fork epoch of the process in which a thread is adding a slab, or 0. A lock that some other
 * thread held when the process forked would stay locked for ever in the child; this one shows that
 * it belongs to another process. */
static _Atomic uint64_t growing;

/* TLS is of the default model: the initial-exec model saves one call (some 2 ns), but would put all
 * thread-local data of the library (the error message's half KiB) into the small reserve that dlopen()
 * has, and dlopen() then fails where the reserve is used up. In a statically linked program the linker
 * makes it a plain access anyway. */
_Thread_local kms__thread_marker kms__thread_mine;

static pthread_key_t exit_key;
static pthread_once_t exit_key_once = PTHREAD_ONCE_INIT;
static int exit_key_error;
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;
static int fork_error;

/* Before the rest: it may belong to the cell that has it. */
static void detach(kms__thread *cell)
{
    if (cell->give_back != NULL)
        cell->give_back(cell->attached);
    cell->give_back = NULL;
    cell->attached = NULL;
}

/* Wiped before the owner is: another thread takes the cell from then on. */
static void clear_cell(kms__thread *cell)
{
    detach(cell);
    for (size_t i = 0; i < KMS__HAZARDS; i++)
        atomic_store(&cell->hazards[i], NULL);
    sodium_memzero(cell->generator, sizeof cell->generator);
    atomic_store(&cell->owner, 0);
}

/* Runs when a thread ends. Other libraries' destructors may call the library after it: they claim
 * a cell anew, and this runs again. */
static void give_back(void *value)
{
    kms__thread_marker *me = value;
    kms__thread *cell = kms__thread_owns(me) ? me->cell : NULL;

    /* Before it is cleared: a signal handler that calls the library meanwhile claims another. */
    me->cell = NULL;
    atomic_signal_fence(memory_order_seq_cst);
    if (cell != NULL)
        clear_cell(cell);
}

static void make_exit_key(void)
{
    exit_key_error = pthread_key_create(&exit_key, give_back);
}

/* In a forked child of a kernel that cannot wipe the cells itself. */
static void clear_all_cells(void)
{
    for (cells *slab = atomic_load(&all_cells); slab != NULL; slab = slab->next)
        for (size_t i = 0; i < slab->count; i++)
            clear_cell(&slab->cell[i]);
}

static void clear_cells_on_fork(void)
{
    fork_error = pthread_atfork(NULL, NULL, clear_all_cells);
}

static bool cleared_on_fork(const kms__slab *slab)
{
    return slab->wiped_on_fork ||
           (pthread_once(&fork_once, clear_cells_on_fork) == 0 && fork_error == 0);
}

static bool make_cells(size_t count, cells *made)
{
    kms__slab slab;

    if (kms__slab_make(count * sizeof(kms__thread), &slab) != KMS_OK)
        return false;
    if (!cleared_on_fork(&slab)) {
        kms__slab_free(slab.start, slab.size);
        return false;
    }
    made->cell = (kms__thread *)(void *)slab.start;
    made->count = slab.size / sizeof(kms__thread);
    atomic_init(&made->locked, slab.locked);
    atomic_init(&made->tried_in, kms__fork_epoch());
    return true;
}

static bool add_cells(cells *head)
{
    cells *added = malloc(sizeof *added);

    if (added == NULL || !make_cells(head == NULL ? FIRST_CELLS : LATER_CELLS, added)) {
        free(added);
        (void)kms_set_error(KMS_ERR_NO_MEMORY, "no memory for the state of one more thread");
        return false;
    }
    added->next = head;
    atomic_store(&all_cells, added);
    return true;
}

/* One thread adds a slab while the others, which also found no free cell, wait for it. */
static bool grow(cells *seen)
{
    const uint64_t epoch = kms__fork_epoch();
    uint64_t holder = atomic_load(&growing);
    bool grown = true;

    if (holder == epoch || !atomic_compare_exchange_strong(&growing, &holder, epoch)) {
        sched_yield();
        return true;
    }
    if (atomic_load(&all_cells) == seen)
        grown = add_cells(seen);
    atomic_store(&growing, 0);
    return grown;
}

static void lock_again(cells *slab)
{
    const uint64_t epoch = kms__fork_epoch();

    for (; slab != NULL; slab = slab->next)
        if (atomic_load(&slab->tried_in) != epoch) {
            atomic_store(&slab->locked,
                         kms__slab_lock(slab->cell, slab->count * sizeof(kms__thread)));
            atomic_store(&slab->tried_in, epoch);
        }
}

static kms__thread *claim_free(cells *slab, uintptr_t owner)
{
    for (; slab != NULL; slab = slab->next)
        for (size_t i = 0; i < slab->count; i++) {
            uintptr_t none = 0;

            if (atomic_load_explicit(&slab->cell[i].owner, memory_order_relaxed) == 0 &&
                atomic_compare_exchange_strong(&slab->cell[i].owner, &none, owner))
                return &slab->cell[i];
        }
    return NULL;
}

kms__thread *kms__thread_claim(void)
{
    kms__thread_marker *me = &kms__thread_mine;

    me->cell = NULL;
    if (kms__fork_init() != KMS_OK)
        return NULL;
    if (pthread_once(&exit_key_once, make_exit_key) != 0 || exit_key_error != 0 ||
        pthread_setspecific(exit_key, me) != 0) {
        (void)kms_set_error(KMS_ERR_NO_MEMORY, "no thread-specific data for one more thread");
        return NULL;
    }
    while (me->cell == NULL) {
        cells *slabs = atomic_load(&all_cells);

        lock_again(slabs);
        me->cell = claim_free(slabs, (uintptr_t)me);
        if (me->cell == NULL && !grow(slabs))
            return NULL;
    }
    return me->cell;
}

bool kms__thread_pinned(const void *entry)
{
    for (cells *slab = atomic_load(&all_cells); slab != NULL; slab = slab->next)
        for (size_t i = 0; i < slab->count; i++)
            for (size_t j = 0; j < KMS__HAZARDS; j++)
                if (atomic_load(&slab->cell[i].hazards[j]) == entry)
                    return true;
    return false;
}

bool kms__threads_locked(void)
{
    for (cells *slab = atomic_load(&all_cells); slab != NULL; slab = slab->next)
        if (!atomic_load(&slab->locked))
            return false;
    return true;
}
