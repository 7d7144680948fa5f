/* A lock for one holder at a time, with a bound on the wait. */
#ifndef KMS__BASE_GATE_H
#define KMS__BASE_GATE_H

#include <kms/status.h>
#include <pthread.h>

typedef struct kms__gate {
    pthread_mutex_t mutex;
    pthread_cond_t left;
    bool taken;
} kms__gate;

kms_status kms__gate_init(kms__gate *gate);
void kms__gate_destroy(kms__gate *gate);

/* KMS_ERR_BUSY after timeout_ms; UINT32_MAX waits for ever. */
kms_status kms__gate_enter(kms__gate *gate, uint32_t timeout_ms);
void kms__gate_leave(kms__gate *gate);

#endif
