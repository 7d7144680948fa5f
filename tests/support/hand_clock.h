/* A clock that stands where a test puts it, and stores that go by it. */
#ifndef KMS_TESTS_HAND_CLOCK_H
#define KMS_TESTS_HAND_CLOCK_H

#include "api_fixture.h"

#define HOUR_MS (INT64_C(3600) * 1000)
#define DAY_MS (24 * HOUR_MS)
/* A full hour of the year 2027. */
#define HAND_START (INT64_C(500000) * HOUR_MS)

typedef struct hand_clock {
    _Atomic int64_t now_ms;
} hand_clock;

/* Opens the store of a place, and makes it first if it is not there. options may be NULL; their
 * clock is not looked at. */
kms_store *hand_open(place *p, hand_clock *hand, uint32_t flags, const kms_open_options *options);

#endif
