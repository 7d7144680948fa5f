/* The system's clock, where the options name no other, and units of its time. */
#ifndef KMS__BASE_CLOCK_H
#define KMS__BASE_CLOCK_H

#include <kms/clock.h>

#define KMS__HOUR_MS (INT64_C(3600) * 1000)
#define KMS__DAY_MS (24 * KMS__HOUR_MS)

kms_clock kms__clock_system(void);

#endif
