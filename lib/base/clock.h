/* The system's clock, where the options name no other, and units of its time. */
#ifndef KMS__BASE_CLOCK_H
#define KMS__BASE_CLOCK_H

#include <kms/clock.h>
#include <time.h>

#define KMS__HOUR_MS (INT64_C(3600) * 1000)
#define KMS__DAY_MS (24 * KMS__HOUR_MS)

kms_clock kms__clock_system(void);

/* The end of the second that it is by the system's clock: takes 1 ns, where the clock takes 5. */
static inline int64_t kms__clock_end_of_second(void)
{
    return (int64_t)time(NULL) * 1000 + 999;
}

#endif
