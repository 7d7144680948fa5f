#include "base/clock.h"

#include <time.h>

static int64_t system_now_ms(void *data)
{
    struct timespec now;

    (void)data;
    if (clock_gettime(CLOCK_REALTIME_COARSE, &now) != 0)
        return 0;
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

kms_clock kms__clock_system(void)
{
    kms_clock clock = {.version = KMS_CLOCK_VERSION, .data = NULL, .now_ms = system_now_ms};

    return clock;
}
