#include <kms/memory.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "memory_tree.h"

struct memory_txn {
    kms_txn base;
    struct kms__tree_node *root; /* the version that the transaction shows */
    kms_revision revision;
    bool writes;
    bool changed;
    struct memory_txn *next; /* in the pool */
};

/*
 * The mutex is held for a few instructions at a time, never while a transaction is open: a writer
 * is one because `writing` says so. Hence a reader never waits for a writer.
 */
struct memory_backend {
    kms_backend base;
    kms_backend_how how;
    pthread_mutex_t mutex;
    pthread_cond_t writer_gone;
    bool created;
    bool writing;
    struct kms__tree_node *root;  /* the newest committed version */
    uint64_t number;              /* and its revision */
    _Atomic uint64_t hint;        /* the same, to be read without the mutex */
    struct memory_txn *pool;      /* ended transactions, so that beginning one allocates nothing */
    struct kms__tree_stock stock; /* the writer's */
};

/* A store in memory is never replaced or restored behind its handle. */
#define INCARNATION 1u

static struct memory_backend *of(kms_backend *backend)
{
    return (struct memory_backend *)backend;
}

static struct memory_backend *of_txn(const struct memory_txn *txn)
{
    return of(txn->base.backend);
}

/* --- the store's life ---------------------------------------------------------------------- */

static kms_status memory_open(kms_backend *backend, const kms_backend_how *how)
{
    struct memory_backend *memory = of(backend);

    if (!memory->created)
        return kms_set_error(KMS_ERR_NOT_FOUND,
                             "memory store: nothing was created in this engine yet");
    memory->how = *how;
    return KMS_OK;
}

static kms_status memory_create(kms_backend *backend, const kms_backend_how *how,
                                const kms_record *records, size_t count)
{
    struct memory_backend *memory = of(backend);
    struct kms__tree_node *root = NULL;

    if (memory->created)
        return kms_set_error(KMS_ERR_ALREADY_EXISTS,
                             "memory store: this engine holds a store already");
    if (how->flags & KMS_BACKEND_READ_ONLY)
        return kms_set_error(KMS_ERR_READ_ONLY,
                             "memory store: a store cannot be created for reading only");
    for (size_t i = 0; i < count; i++) {
        kms_status status = kms__tree_put(&root, &memory->stock, records[i].key, records[i].value);

        if (status != KMS_OK) {
            kms__tree_drop(root);
            return status;
        }
    }
    memory->how = *how;
    memory->root = root;
    memory->number = 1;
    atomic_store(&memory->hint, 1);
    memory->created = true;
    return KMS_OK;
}

static void memory_close(kms_backend *backend)
{
    struct memory_backend *memory = of(backend);

    while (memory->pool != NULL) {
        struct memory_txn *txn = memory->pool;

        memory->pool = txn->next;
        free(txn);
    }
    kms__tree_drop(memory->root);
    kms__tree_stock_free(&memory->stock);
    pthread_cond_destroy(&memory->writer_gone);
    pthread_mutex_destroy(&memory->mutex);
    free(memory);
}

/* --- beginning ----------------------------------------------------------------------------- */

static struct timespec deadline_in(uint32_t milliseconds)
{
    struct timespec at;

    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += (time_t)(milliseconds / 1000);
    at.tv_nsec += (long)(milliseconds % 1000) * 1000000L;
    if (at.tv_nsec >= 1000000000L) {
        at.tv_sec++;
        at.tv_nsec -= 1000000000L;
    }
    return at;
}

/* With the mutex held: waits until no writer is there. */
static bool wait_for_writer(struct memory_backend *memory)
{
    uint32_t patience = memory->how.busy_timeout_ms;
    struct timespec deadline = deadline_in(patience);
    int rc = 0;

    while (memory->writing && rc != ETIMEDOUT) {
        if (patience == UINT32_MAX)
            pthread_cond_wait(&memory->writer_gone, &memory->mutex);
        else
            rc = pthread_cond_timedwait(&memory->writer_gone, &memory->mutex, &deadline);
    }
    return !memory->writing;
}

/* With the mutex held. */
static kms_status become_writer(struct memory_backend *memory, unsigned mode)
{
    if (memory->how.flags & KMS_BACKEND_READ_ONLY)
        return kms_set_error(KMS_ERR_READ_ONLY, "memory store: it is open for reading only");
    if (memory->writing && (mode & KMS_TXN_NOWAIT))
        return kms_set_error(KMS_ERR_BUSY, "memory store: another thread is writing");
    if (memory->writing && !wait_for_writer(memory))
        return kms_set_error(KMS_ERR_BUSY, "memory store: another thread wrote for over %u ms",
                             (unsigned)memory->how.busy_timeout_ms);
    memory->writing = true;
    return KMS_OK;
}

/* With the mutex held: from the pool, or new. */
static struct memory_txn *txn_take(struct memory_backend *memory)
{
    struct memory_txn *txn = memory->pool;

    if (txn != NULL)
        memory->pool = txn->next;
    else
        txn = malloc(sizeof *txn);
    return txn;
}

/* With the mutex held. */
static kms_status begin_locked(struct memory_backend *memory, unsigned mode,
                               struct memory_txn **begun)
{
    bool writes = (mode & KMS_TXN_WRITE) != 0;
    struct memory_txn *txn;
    kms_status status;

    if (!memory->created)
        return kms_set_error(KMS_ERR_STORAGE, "memory store: it is not open");
    txn = txn_take(memory);
    if (txn == NULL)
        return kms_set_error(KMS_ERR_NO_MEMORY, "memory store: no memory for a transaction");
    status = writes ? become_writer(memory, mode) : KMS_OK;
    if (status != KMS_OK) {
        txn->next = memory->pool;
        memory->pool = txn;
        return status;
    }
    *txn = (struct memory_txn){
        .base = {.backend = &memory->base},
        .root = kms__tree_share(memory->root),
        .revision = {.incarnation = INCARNATION, .number = memory->number},
        .writes = writes,
    };
    *begun = txn;
    return KMS_OK;
}

static kms_status memory_begin(kms_backend *backend, unsigned mode, kms_txn **txn,
                               kms_revision *revision)
{
    struct memory_backend *memory = of(backend);
    struct memory_txn *begun = NULL;
    kms_status status;

    pthread_mutex_lock(&memory->mutex);
    status = begin_locked(memory, mode, &begun);
    pthread_mutex_unlock(&memory->mutex);
    if (begun == NULL)
        return status;
    *txn = &begun->base;
    *revision = begun->revision;
    return KMS_OK;
}

/* --- inside a transaction ------------------------------------------------------------------ */

static kms_status memory_get(kms_txn *base, kms_slice key, kms_slice *value)
{
    const struct memory_txn *txn = (struct memory_txn *)base;

    return kms__tree_get(txn->root, key, value) ? KMS_OK : KMS_ERR_NOT_FOUND;
}

static kms_status memory_scan(kms_txn *base, kms_slice from, size_t limit, kms_record *records,
                              size_t *count)
{
    const struct memory_txn *txn = (struct memory_txn *)base;

    *count = kms__tree_scan(txn->root, from, limit, records);
    return KMS_OK;
}

static kms_status must_write(const struct memory_txn *txn)
{
    return txn->writes ? KMS_OK
                       : kms_set_error(KMS_ERR_READ_ONLY,
                                       "memory store: a read transaction was asked to write");
}

static kms_status memory_put(kms_txn *base, kms_slice key, kms_slice value)
{
    struct memory_txn *txn = (struct memory_txn *)base;
    kms_status status = must_write(txn);

    if (status == KMS_OK)
        status = kms__tree_put(&txn->root, &of_txn(txn)->stock, key, value);
    txn->changed |= status == KMS_OK;
    return status;
}

static kms_status memory_del(kms_txn *base, kms_slice key)
{
    struct memory_txn *txn = (struct memory_txn *)base;
    kms_status status = must_write(txn);

    if (status == KMS_OK)
        status = kms__tree_del(&txn->root, &of_txn(txn)->stock, key);
    txn->changed |= status == KMS_OK;
    return status;
}

/* --- ending -------------------------------------------------------------------------------- */

/* Hands the transaction back to the pool. What it showed is dropped outside the mutex, for that
 * may free many records. */
static void end(struct memory_txn *txn, bool publish)
{
    struct memory_backend *memory = of_txn(txn);
    struct kms__tree_node *gone = txn->root;

    pthread_mutex_lock(&memory->mutex);
    if (publish) {
        gone = memory->root;
        memory->root = txn->root;
        memory->number++;
        atomic_store_explicit(&memory->hint, memory->number, memory_order_release);
    }
    if (txn->writes) {
        memory->writing = false;
        pthread_cond_signal(&memory->writer_gone);
    }
    txn->next = memory->pool;
    memory->pool = txn;
    pthread_mutex_unlock(&memory->mutex);
    kms__tree_drop(gone);
}

static kms_status memory_commit(kms_txn *base)
{
    struct memory_txn *txn = (struct memory_txn *)base;

    end(txn, txn->changed);
    return KMS_OK;
}

static void memory_abort(kms_txn *base)
{
    end((struct memory_txn *)base, false);
}

static kms_status memory_hint(kms_backend *backend, kms_revision *revision, uint64_t *age_ns)
{
    revision->incarnation = INCARNATION;
    revision->number = atomic_load_explicit(&of(backend)->hint, memory_order_acquire);
    *age_ns = 0;
    return KMS_OK;
}

/* --- the engine ---------------------------------------------------------------------------- */

static const kms_backend_ops memory_ops = {
    .abi = KMS_BACKEND_ABI,
    .name = "memory",
    .open = memory_open,
    .create = memory_create,
    .begin = memory_begin,
    .get = memory_get,
    .scan = memory_scan,
    .put = memory_put,
    .del = memory_del,
    .commit = memory_commit,
    .abort = memory_abort,
    .hint = memory_hint,
    .close = memory_close,
};

/* The busy timeout must not follow the wall clock when somebody sets it. */
static bool locks_init(struct memory_backend *memory)
{
    pthread_condattr_t monotonic;
    bool ready = false;

    if (pthread_condattr_init(&monotonic) != 0)
        return false;
    if (pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0 &&
        pthread_cond_init(&memory->writer_gone, &monotonic) == 0) {
        ready = pthread_mutex_init(&memory->mutex, NULL) == 0;
        if (!ready)
            pthread_cond_destroy(&memory->writer_gone);
    }
    pthread_condattr_destroy(&monotonic);
    return ready;
}

kms_status kms_memory_backend(kms_backend **backend)
{
    struct memory_backend *memory;

    if (backend == NULL)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "kms_memory_backend: backend is NULL");
    memory = calloc(1, sizeof *memory);
    if (memory == NULL || !locks_init(memory)) {
        free(memory);
        return kms_set_error(KMS_ERR_NO_MEMORY, "memory store: no memory for the engine");
    }
    memory->base.ops = &memory_ops;
    *backend = &memory->base;
    return KMS_OK;
}
