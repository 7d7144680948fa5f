/*
 * What the tests of a key's life share: a clock that stands where the test puts it, and keys whose
 * material is imported.
 */
#ifndef KMS_TESTS_KEY_LIFE_H
#define KMS_TESTS_KEY_LIFE_H

#include "api_fixture.h"

#define LIFE_DAY_MS (INT64_C(24) * 3600 * 1000)
/* Where the clock stands at first. */
#define LIFE_START_MS (INT64_C(1) << 51)

/* What every store that life_open() opened takes for the time. */
extern int64_t life_now_ms;

kms_status life_try_open(place *p, kms_store **store, uint32_t flags);
/* Makes the store if it is not there. */
kms_store *life_open(place *p);

/* 32 bytes of `fill`, as they are. */
kms_status life_try_import(kms_store *store, const char *key_id, uint8_t fill, int64_t expires_ms);
kms_status life_try_import_version(kms_store *store, const char *key_id, uint8_t fill,
                                   uint32_t *number);
/* An external key that waits for its first material. */
void life_create_waiting(kms_store *store, char key_id[KMS_KEY_ID_SIZE]);
/* The same with `versions` versions: number n's material is 32 bytes of n. */
void life_create_imported(kms_store *store, uint32_t versions, char key_id[KMS_KEY_ID_SIZE]);

#endif
