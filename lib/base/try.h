/* Passing a failure on, in functions that own nothing. */
#ifndef KMS__BASE_TRY_H
#define KMS__BASE_TRY_H

#include <kms/status.h>

#define KMS__TRY(call)                                                                             \
    do {                                                                                           \
        kms_status kms__tried = (call);                                                            \
        if (kms__tried != KMS_OK)                                                                  \
            return kms__tried;                                                                     \
    } while (0)

#endif
