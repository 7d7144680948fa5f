/* Keeping the thread's last failure across a call that may fail and be got over: a public call that
 * succeeds leaves kms_error_message() as it was. */
#ifndef KMS__BASE_KEPT_ERROR_H
#define KMS__BASE_KEPT_ERROR_H

#include <kms/status.h>

typedef struct kms__kept_error {
    kms_status status;
    char message[512];
} kms__kept_error;

/* Copies the calling thread's last failure. */
void kms__error_keep(kms__kept_error *kept);

/* Makes it the last failure again. */
void kms__error_restore(const kms__kept_error *kept);

#endif
