#include "hand_clock.h"

static int64_t tell(void *data)
{
    return atomic_load(&((hand_clock *)data)->now_ms);
}

kms_store *hand_open(place *p, hand_clock *hand, uint32_t flags, const kms_open_options *options)
{
    const kms_clock clock = {KMS_CLOCK_VERSION, hand, tell};
    kms_open_options taken = KMS_OPEN_OPTIONS_INIT;
    bool read_only = (flags & (KMS_OPEN_READ_ONLY | KMS_OPEN_FROZEN)) != 0;
    kms_store *store = NULL;

    if (options != NULL)
        taken = *options;
    taken.clock = &clock;
    fixture_ok(place_try_open(p, &store, read_only ? flags : flags | KMS_OPEN_CREATE, &taken));
    return store;
}
