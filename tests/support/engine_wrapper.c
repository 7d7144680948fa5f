#include "engine_wrapper.h"

#include <stdlib.h>
#include <string.h>

struct wrapper {
    kms_backend base;
    kms_backend *inner;
    engine_control *control;
};

struct wrapper_txn {
    kms_txn base;
    kms_txn *inner;
    bool writes;
};

/* --- what a test asks for ------------------------------------------------------------------ */

void engine_control_init(engine_control *control)
{
    memset(control, 0, sizeof *control);
    pthread_mutex_init(&control->mutex, NULL);
}

unsigned long engine_count(const engine_control *control, engine_call kind)
{
    unsigned long sum = 0;

    if (kind != ENGINE_ANY)
        return atomic_load(&control->calls[kind]);
    for (int i = 0; i < ENGINE_CALLS; i++)
        sum += atomic_load(&control->calls[i]);
    return sum;
}

void engine_reset_counts(engine_control *control)
{
    for (int i = 0; i < ENGINE_CALLS; i++)
        atomic_store(&control->calls[i], 0);
}

void engine_fail(engine_control *control, engine_call kind, unsigned long nth, kms_status status,
                 bool persistently)
{
    pthread_mutex_lock(&control->mutex);
    control->fault.armed = nth > 0;
    control->fault.persistent = persistently;
    control->fault.kind = kind;
    control->fault.calls_to_go = nth;
    control->fault.fired = 0;
    control->fault.status = status;
    pthread_mutex_unlock(&control->mutex);
}

unsigned long engine_disarm(engine_control *control)
{
    unsigned long fired;

    pthread_mutex_lock(&control->mutex);
    control->fault.armed = false;
    fired = control->fault.fired;
    pthread_mutex_unlock(&control->mutex);
    return fired;
}

void engine_conflict(engine_control *control, unsigned times)
{
    pthread_mutex_lock(&control->mutex);
    control->conflicts_to_go = times;
    pthread_mutex_unlock(&control->mutex);
}

void engine_commit_unknown(engine_control *control, bool applied)
{
    pthread_mutex_lock(&control->mutex);
    control->next_commit = applied ? ENGINE_APPLIED : ENGINE_DROPPED;
    pthread_mutex_unlock(&control->mutex);
}

void engine_before(engine_control *control, engine_call kind, engine_callback *callback, void *data)
{
    pthread_mutex_lock(&control->mutex);
    control->before[kind].callback = callback;
    control->before[kind].data = data;
    pthread_mutex_unlock(&control->mutex);
}

void engine_watch_puts(engine_control *control, engine_put_callback *callback, void *data)
{
    pthread_mutex_lock(&control->mutex);
    control->puts.callback = callback;
    control->puts.data = data;
    pthread_mutex_unlock(&control->mutex);
}

/* --- what every call goes through ---------------------------------------------------------- */

/* With the mutex held: does the fault meet this call? */
static bool fault_meets(engine_control *control, engine_call kind)
{
    if (!control->fault.armed || (control->fault.kind != ENGINE_ANY && control->fault.kind != kind))
        return false;
    if (control->fault.calls_to_go > 1) {
        control->fault.calls_to_go--;
        return false;
    }
    control->fault.armed = control->fault.persistent;
    control->fault.fired++;
    return true;
}

/* Counts the call, runs the callback, and answers what the call shall answer: KMS_OK goes on. */
static kms_status enter(engine_control *control, engine_call kind)
{
    kms_status status = KMS_OK;
    engine_callback *callback;
    void *data;

    atomic_fetch_add(&control->calls[kind], 1);
    pthread_mutex_lock(&control->mutex);
    callback = control->before[kind].callback;
    data = control->before[kind].data;
    pthread_mutex_unlock(&control->mutex);
    if (callback != NULL)
        callback(data);
    if (kind == ENGINE_ABORT)
        return KMS_OK;

    pthread_mutex_lock(&control->mutex);
    if (fault_meets(control, kind))
        status = control->fault.status;
    pthread_mutex_unlock(&control->mutex);
    return control->silent ? status
                           : kms_set_error(status, "test engine: this call was made to fail");
}

static struct wrapper *of(kms_backend *backend)
{
    return (struct wrapper *)backend;
}

static engine_control *control_of(const kms_txn *txn)
{
    return of(txn->backend)->control;
}

static kms_txn *inner_of(kms_txn *txn)
{
    return ((struct wrapper_txn *)txn)->inner;
}

/* --- the engine ---------------------------------------------------------------------------- */

static kms_status wrapper_open(kms_backend *backend, const kms_backend_how *how)
{
    struct wrapper *wrapper = of(backend);
    kms_status status = enter(wrapper->control, ENGINE_OPEN);

    return status != KMS_OK ? status : wrapper->inner->ops->open(wrapper->inner, how);
}

static kms_status wrapper_create(kms_backend *backend, const kms_backend_how *how,
                                 const kms_record *records, size_t count)
{
    struct wrapper *wrapper = of(backend);
    kms_status status = enter(wrapper->control, ENGINE_CREATE);

    return status != KMS_OK ? status
                            : wrapper->inner->ops->create(wrapper->inner, how, records, count);
}

static kms_status wrapper_begin(kms_backend *backend, unsigned mode, kms_txn **txn,
                                kms_revision *revision)
{
    struct wrapper *wrapper = of(backend);
    bool writes = (mode & KMS_TXN_WRITE) != 0;
    kms_status status = enter(wrapper->control, writes ? ENGINE_BEGIN_WRITE : ENGINE_BEGIN_READ);
    struct wrapper_txn *begun;

    if (writes && (mode & KMS_TXN_NOWAIT) == 0)
        atomic_fetch_add(&wrapper->control->patient_begins, 1);
    if (status != KMS_OK)
        return status;
    begun = malloc(sizeof *begun);
    if (begun == NULL)
        return kms_set_error(KMS_ERR_NO_MEMORY, "test engine: no memory for a transaction");
    begun->base.backend = backend;
    begun->writes = writes;
    status = wrapper->inner->ops->begin(wrapper->inner, mode, &begun->inner, revision);
    if (status != KMS_OK) {
        free(begun);
        return status;
    }
    atomic_fetch_add(&wrapper->control->open_txns, 1);
    *txn = &begun->base;
    return KMS_OK;
}

static kms_status wrapper_get(kms_txn *txn, kms_slice key, kms_slice *value)
{
    kms_status status = enter(control_of(txn), ENGINE_GET);
    kms_txn *inner = inner_of(txn);

    return status != KMS_OK ? status : inner->backend->ops->get(inner, key, value);
}

static kms_status wrapper_scan(kms_txn *txn, kms_slice from, size_t limit, kms_record *records,
                               size_t *count)
{
    kms_status status = enter(control_of(txn), ENGINE_SCAN);
    kms_txn *inner = inner_of(txn);

    return status != KMS_OK ? status
                            : inner->backend->ops->scan(inner, from, limit, records, count);
}

static void show_put(engine_control *control, kms_slice key, kms_slice value)
{
    engine_put_callback *callback;
    void *data;

    pthread_mutex_lock(&control->mutex);
    callback = control->puts.callback;
    data = control->puts.data;
    pthread_mutex_unlock(&control->mutex);
    if (callback != NULL)
        callback(data, key, value);
}

static kms_status wrapper_put(kms_txn *txn, kms_slice key, kms_slice value)
{
    kms_status status = enter(control_of(txn), ENGINE_PUT);
    kms_txn *inner = inner_of(txn);

    show_put(control_of(txn), key, value);
    return status != KMS_OK ? status : inner->backend->ops->put(inner, key, value);
}

static kms_status wrapper_del(kms_txn *txn, kms_slice key)
{
    kms_status status = enter(control_of(txn), ENGINE_DEL);
    kms_txn *inner = inner_of(txn);

    return status != KMS_OK ? status : inner->backend->ops->del(inner, key);
}

static kms_status commit_inner(kms_txn *inner, engine_outcome outcome)
{
    kms_status status = KMS_OK;

    if (outcome == ENGINE_DROPPED)
        inner->backend->ops->abort(inner);
    else
        status = inner->backend->ops->commit(inner);
    if (status == KMS_OK && outcome != ENGINE_CERTAIN)
        return kms_set_error(KMS_ERR_COMMIT_UNKNOWN, "test engine: this commit was made unknown");
    return status;
}

static kms_status wrapper_commit(kms_txn *base)
{
    struct wrapper_txn *txn = (struct wrapper_txn *)base;
    engine_control *control = control_of(base);
    kms_status status = enter(control, ENGINE_COMMIT);
    engine_outcome outcome = ENGINE_CERTAIN;

    pthread_mutex_lock(&control->mutex);
    if (status == KMS_OK && txn->writes && control->conflicts_to_go > 0) {
        control->conflicts_to_go--;
        status = kms_set_error(KMS_ERR_CONFLICT, "test engine: this commit was made to conflict");
    } else if (status == KMS_OK && txn->writes) {
        outcome = control->next_commit;
        control->next_commit = ENGINE_CERTAIN;
    }
    pthread_mutex_unlock(&control->mutex);
    if (status == KMS_OK)
        status = commit_inner(txn->inner, outcome);
    else
        txn->inner->backend->ops->abort(txn->inner);
    atomic_fetch_sub(&control->open_txns, 1);
    free(txn);
    return status;
}

static void wrapper_abort(kms_txn *txn)
{
    kms_txn *inner = inner_of(txn);

    enter(control_of(txn), ENGINE_ABORT);
    inner->backend->ops->abort(inner);
    atomic_fetch_sub(&control_of(txn)->open_txns, 1);
    free(txn);
}

static kms_status wrapper_hint(kms_backend *backend, kms_revision *revision, uint64_t *age_ns)
{
    struct wrapper *wrapper = of(backend);
    kms_status status = enter(wrapper->control, ENGINE_HINT);

    return status != KMS_OK ? status : wrapper->inner->ops->hint(wrapper->inner, revision, age_ns);
}

static void wrapper_close(kms_backend *backend)
{
    struct wrapper *wrapper = of(backend);

    wrapper->inner->ops->close(wrapper->inner);
    free(wrapper);
}

static const kms_backend_ops wrapper_ops = {
    .abi = KMS_BACKEND_ABI,
    .name = "test",
    .open = wrapper_open,
    .create = wrapper_create,
    .begin = wrapper_begin,
    .get = wrapper_get,
    .scan = wrapper_scan,
    .put = wrapper_put,
    .del = wrapper_del,
    .commit = wrapper_commit,
    .abort = wrapper_abort,
    .hint = wrapper_hint,
    .close = wrapper_close,
};

kms_status engine_wrap(kms_backend **backend, kms_backend *inner, engine_control *control)
{
    struct wrapper *wrapper = malloc(sizeof *wrapper);

    if (wrapper == NULL) {
        inner->ops->close(inner);
        return kms_set_error(KMS_ERR_NO_MEMORY, "test engine: no memory for the wrapper");
    }
    wrapper->base.ops = &wrapper_ops;
    wrapper->inner = inner;
    wrapper->control = control;
    *backend = &wrapper->base;
    return KMS_OK;
}
