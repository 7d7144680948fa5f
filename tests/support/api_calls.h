/*
 * Every public call that uses a store, in a form that tests can walk through: each is performed on
 * a stage that api_calls_stage() made, and checks by itself that a failure left its outputs alone.
 */
#ifndef KMS_TESTS_API_CALLS_H
#define KMS_TESTS_API_CALLS_H

#include "api_fixture.h"

/* What stands on the stage: alias/a points to key a, which is enabled and has two versions; alias/b
 * points to key b, which is disabled; the rotation of key c, which no alias points to, is due. */
typedef struct api_stage {
    char a[KMS_KEY_ID_SIZE], b[KMS_KEY_ID_SIZE], c[KMS_KEY_ID_SIZE];
    /* Of key a's first version, in which TEXT stands. */
    uint8_t blob[KMS_CIPHERTEXT_SIZE(16)];
    size_t blob_len;
} api_stage;

void api_calls_stage(kms_store *store, api_stage *stage);

/* Changes that setting the stage makes, and the keys on it. */
#define API_STAGE_CHANGES 8
#define API_STAGE_KEYS 3

typedef struct api_call {
    const char *name;
    /* Succeeds on the stage. */
    kms_status (*perform)(kms_store *store, const api_stage *stage);
    /* It changes the store. */
    bool changes;
    /* How many calls of the engine it makes at least when nothing is cached. */
    unsigned least_engine_calls;
} api_call;

/* How many there are, for tests that take one each. */
#define API_CALLS 28

extern const api_call api_calls[];
extern const size_t api_call_count;

#endif
