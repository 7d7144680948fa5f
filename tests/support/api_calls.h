/*
 * Every public call that uses a store, in a form that tests can walk through: each is performed on
 * a stage that api_calls_stage() made, and checks by itself that a failure left its outputs alone.
 */
#ifndef KMS_TESTS_API_CALLS_H
#define KMS_TESTS_API_CALLS_H

#include "import_fixture.h"

/* Bytes of the stage's stream in the clear. */
#define API_STREAM_TEXT 16

/* What stands on the stage: alias/a points to key a, which is enabled and has two versions; alias/b
 * points to key b, which is disabled and has three: the first is disabled, the second scheduled to be
 * destroyed. Key a has a tag, key b a description. The rotation of key c, which no alias points to, is
 * due. The
 * deletion of key scheduled is scheduled; key service is service-managed; key imported has material,
 * key waiting has none yet. */
typedef struct api_stage {
    char a[KMS_KEY_ID_SIZE], b[KMS_KEY_ID_SIZE], c[KMS_KEY_ID_SIZE];
    char scheduled[KMS_KEY_ID_SIZE], service[KMS_KEY_ID_SIZE];
    char imported[KMS_KEY_ID_SIZE], waiting[KMS_KEY_ID_SIZE];
    /* Of key a's first version, in which TEXT stands. */
    uint8_t blob[KMS_CIPHERTEXT_SIZE(16)];
    size_t blob_len;
    /* Under key a's first version, too. */
    uint8_t stream[KMS_STREAM_SIZE(API_STREAM_TEXT)];
    /* For key imported and key waiting; with either comes new material in a sealed box. */
    import_parcel new_version, first_material;
    /* How many the store counts when the stage is set. */
    uint64_t changes;
} api_stage;

#define API_STAGE_KEYS 7

/* The one call that a conflict ends: it reads one long snapshot, which has no second. */
#define API_COPY_RESEALED "kms_copy_resealed"

void api_calls_stage(kms_store *store, api_stage *stage);

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
#define API_CALLS 69

extern const api_call api_calls[];
extern const size_t api_call_count;

#endif
