/* The thread's last failure, put aside: for who looks at something that may well be missing, and
 * whose own call then succeeds. */
#ifndef KMS__BASE_KEPT_ERROR_H
#define KMS__BASE_KEPT_ERROR_H

#include <kms/status.h>

typedef struct kms__kept_error {
    kms_status status;
    char message[512];
} kms__kept_error;

void kms__error_keep(kms__kept_error *kept);
void kms__error_restore(const kms__kept_error *kept);

#endif
