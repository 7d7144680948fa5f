/* The system's clock, where the options name no other. */
#ifndef KMS__BASE_CLOCK_H
#define KMS__BASE_CLOCK_H

#include <kms/clock.h>

kms_clock kms__clock_system(void);

#endif
