/*
 * An engine round another one, for tests: counts the calls that reach it, makes chosen ones fail,
 * and runs the test's own code at chosen moments.
 *
 *     engine_control control;
 *     engine_control_init(&control);
 *     engine_wrap(&backend, inner, &control);           takes inner over
 *     ...
 *     engine_fail(&control, ENGINE_ANY, 3, KMS_ERR_STORAGE, false);
 *     status = the operation under test;
 *     fired = engine_disarm(&control);                  was there a third call at all?
 *
 * The control is the test's own and outlives the engine, so that it can be asked after kms_close().
 * Several engines may share one. Arm and disarm while no other thread calls the engine; counting
 * and firing are safe from many threads.
 */
#ifndef KMS_TESTS_ENGINE_WRAPPER_H
#define KMS_TESTS_ENGINE_WRAPPER_H

#include <kms/backend.h>

#include <pthread.h>
#include <stdatomic.h>

/* What is counted. All but ENGINE_ABORT can fail, and so can be made to. */
typedef enum engine_call {
    ENGINE_OPEN,
    ENGINE_CREATE,
    ENGINE_BEGIN_READ,
    ENGINE_BEGIN_WRITE,
    ENGINE_GET,
    ENGINE_SCAN,
    ENGINE_PUT,
    ENGINE_DEL,
    ENGINE_COMMIT,
    ENGINE_HINT,
    ENGINE_ABORT,
    ENGINE_CALLS,
    /* For engine_fail(): the calls of every kind that can fail, counted together. */
    ENGINE_ANY = ENGINE_CALLS
} engine_call;

typedef enum engine_outcome { ENGINE_CERTAIN, ENGINE_APPLIED, ENGINE_DROPPED } engine_outcome;

typedef void engine_callback(void *data);

/* What a put() was called with; borrowed for the callback. */
typedef void engine_put_callback(void *data, kms_slice key, kms_slice value);

/* Read the first two as you like; change all but silent only through the functions below. */
typedef struct engine_control {
    atomic_ulong calls[ENGINE_CALLS];
    /* Transactions begun and neither committed nor aborted yet. */
    atomic_long open_txns;
    /* Calls that are made to fail leave no sentence. Yours to change. */
    bool silent;
    /* Writing transactions that were asked for without KMS_TXN_NOWAIT. */
    atomic_ulong patient_begins;

    /* The rest is the wrapper's. */
    pthread_mutex_t mutex;
    struct {
        bool armed;
        bool persistent;
        engine_call kind;
        unsigned long calls_to_go;
        unsigned long fired;
        kms_status status;
    } fault;
    unsigned conflicts_to_go;
    engine_outcome next_commit;
    struct {
        engine_callback *callback;
        void *data;
    } before[ENGINE_CALLS];
    struct {
        engine_put_callback *callback;
        void *data;
    } puts;
} engine_control;

void engine_control_init(engine_control *control);

/* Makes *backend an engine round inner, which it owns from now on, whatever is returned. */
kms_status engine_wrap(kms_backend **backend, kms_backend *inner, engine_control *control);

/* How often a kind was called; ENGINE_ANY: all kinds together, aborts included. */
unsigned long engine_count(const engine_control *control, engine_call kind);

/* Sets the counts to 0 again. open_txns goes on. */
void engine_reset_counts(engine_control *control);

/*
 * The nth call (1 is the next one) of that kind answers status instead of being made; with
 * persistently, all that follow do too. A commit that is made to fail has applied nothing.
 * Replaces an earlier fault.
 */
void engine_fail(engine_control *control, engine_call kind, unsigned long nth, kms_status status,
                 bool persistently);

/* Ends the fault, if it has not ended by itself. Answers how often it fired. */
unsigned long engine_disarm(engine_control *control);

/* The next `times` commits answer KMS_ERR_CONFLICT and apply nothing. */
void engine_conflict(engine_control *control, unsigned times);

/* The next commit answers KMS_ERR_COMMIT_UNKNOWN, after it was applied, or instead. */
void engine_commit_unknown(engine_control *control, bool applied);

/* Runs callback before every call of that kind (not ENGINE_ANY; NULL: no more), on the calling
 * thread and before faults are looked at. It may use the inner engine, and may change its own
 * setting. */
void engine_before(engine_control *control, engine_call kind, engine_callback *callback,
                   void *data);

/* Shows callback (NULL: no more) every record that is put, on the calling thread, also if the put is
 * made to fail or its transaction is never committed. */
void engine_watch_puts(engine_control *control, engine_put_callback *callback, void *data);

#endif
