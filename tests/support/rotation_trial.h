/*
 * What the tests of automatic rotation share: a clock that stands where the test put it, stores
 * opened with it, and short forms of calls that must succeed.
 */
#ifndef KMS_TESTS_ROTATION_TRIAL_H
#define KMS_TESTS_ROTATION_TRIAL_H

#include "api_fixture.h"

#define DAY_MS (INT64_C(24) * 3600 * 1000)
/* 2023-11-14. */
#define ROTATION_START_MS INT64_C(1700000000000)

/* Any thread may move it; one in shared memory is of several processes. */
typedef struct hand_clock {
    _Atomic int64_t now_ms;
} hand_clock;

/* The clock to hand to kms_open(); it borrows the hand. */
kms_clock hand_clock_of(hand_clock *hand);

/* Opens the place's store with that clock. */
kms_store *rotation_open(place *p, hand_clock *hand, uint32_t flags);

/* A place that several handles can have open at once, on whatever engine of this build allows it. */
void rotation_place_init_shared(place *p);

/* Makes a key that rotates by itself every so many days. */
void rotation_create_key(kms_store *store, uint32_t days, char key_id[KMS_KEY_ID_SIZE]);

/* Makes a key that has a policy, but no rotation yet, due by whatever clock after 1972. */
void rotation_make_due(kms_store *store, const char *key_id);

/* Gives a key all the versions that it can have. */
void rotation_fill_versions(kms_store *store, const char *key_id);

/* Encrypts, sees that what it made opens, and gives the version that the blob names. */
uint32_t rotation_encrypt(kms_store *store, const char *keyref);

kms_store_info rotation_store_info(kms_store *store);

#endif
