/*
 * Streams in memory for tests: made and opened in one go or in pieces drawn at random, and read at any
 * place.
 */
#ifndef KMS_TESTS_STREAM_TRIAL_H
#define KMS_TESTS_STREAM_TRIAL_H

#include "api_fixture.h"

/* As ck_assert(), which writes to a file each time: for what is checked thousands of times. */
#define trial_demand(what)                                                                         \
    do {                                                                                           \
        if (!(what))                                                                               \
            ck_abort_msg("%s", #what);                                                             \
    } while (0)

/* Bytes that free() ends. */
typedef struct bytes {
    uint8_t *data;
    size_t len;
} bytes;

/* Numbers that repeat for one seed. */
typedef struct trial_random {
    uint64_t state;
} trial_random;

trial_random trial_random_of(uint64_t seed);
uint64_t trial_random_next(trial_random *random);
/* 0 to limit - 1. */
size_t trial_random_below(trial_random *random, size_t limit);

/* A plaintext that differs everywhere. */
bytes stream_trial_plain(size_t len);

/* Header and chunks of a stream; fails the test if it cannot be made. */
bytes stream_trial_seal(kms_store *store, const char *keyref, const kms_context *context,
                        bytes plain);

/* Pushes everything through a stream that is begun, and finishes it. pieces NULL: in one call; else in
 * pieces and output buffers of random sizes, 0 among them. On failure the status, and *out has what was
 * given before. */
kms_status stream_trial_push(kms_stream *stream, bytes in, trial_random *pieces, bytes *out);

/* Opens a whole stream by pushing. out->data is NULL on failure. */
kms_status stream_trial_open(kms_store *store, const kms_context *context, bytes stream,
                             trial_random *pieces, bytes *out);

/* A place to read the stream from; stream must stay. */
kms_stream_io stream_trial_io(bytes *stream);

#endif
