#include "base/gate.h"

#include <errno.h>
#include <time.h>

kms_status kms__gate_init(kms__gate *gate)
{
    pthread_condattr_t attr;
    bool ok;

    gate->taken = false;
    if (pthread_mutex_init(&gate->mutex, NULL) != 0)
        return kms_set_error(KMS_ERR_NO_MEMORY, "a lock could not be made");
    ok = pthread_condattr_init(&attr) == 0;
    if (ok) {
        /* A wall clock that is set would end waits early or never. */
        (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        ok = pthread_cond_init(&gate->left, &attr) == 0;
        pthread_condattr_destroy(&attr);
    }
    if (!ok) {
        pthread_mutex_destroy(&gate->mutex);
        return kms_set_error(KMS_ERR_NO_MEMORY, "a lock could not be made");
    }
    return KMS_OK;
}

void kms__gate_destroy(kms__gate *gate)
{
    pthread_cond_destroy(&gate->left);
    pthread_mutex_destroy(&gate->mutex);
}

static struct timespec deadline_after(uint32_t timeout_ms)
{
    struct timespec at;

    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += timeout_ms / 1000;
    at.tv_nsec += (long)(timeout_ms % 1000) * 1000000L;
    if (at.tv_nsec >= 1000000000L) {
        at.tv_sec++;
        at.tv_nsec -= 1000000000L;
    }
    return at;
}

kms_status kms__gate_enter(kms__gate *gate, uint32_t timeout_ms)
{
    struct timespec deadline = deadline_after(timeout_ms);
    int rc = 0;

    pthread_mutex_lock(&gate->mutex);
    while (gate->taken && rc == 0) {
        if (timeout_ms == UINT32_MAX)
            rc = pthread_cond_wait(&gate->left, &gate->mutex);
        else
            rc = pthread_cond_timedwait(&gate->left, &gate->mutex, &deadline);
    }
    if (rc == 0)
        gate->taken = true;
    pthread_mutex_unlock(&gate->mutex);
    if (rc != 0)
        return kms_set_error(KMS_ERR_BUSY,
                             "other threads were changing the store for longer than %u ms",
                             timeout_ms);
    return KMS_OK;
}

void kms__gate_leave(kms__gate *gate)
{
    pthread_mutex_lock(&gate->mutex);
    gate->taken = false;
    pthread_cond_signal(&gate->left);
    pthread_mutex_unlock(&gate->mutex);
}
