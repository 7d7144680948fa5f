/*
 * A stream in memory, as kms_stream_io sees one: it keeps what was written and synced in order, can
 * make the nth call of a function fail, and can refuse what lies behind some offset.
 */
#ifndef KMS_TESTS_MEMORY_STREAM_H
#define KMS_TESTS_MEMORY_STREAM_H

#include <kms/kms.h>

typedef enum memory_function {
    MEMORY_READ,
    MEMORY_SIZE,
    MEMORY_WRITE,
    MEMORY_SYNC,
    MEMORY_FUNCTIONS
} memory_function;

/* A write, or where len is 0, a sync. */
typedef struct memory_step {
    uint64_t at;
    size_t len;
    uint8_t bytes[KMS_STREAM_HEADER_SIZE];
} memory_step;

#define MEMORY_STEPS 20

typedef struct memory_stream {
    kms_stream_io io;
    /* Of which `held` are there, and the rest of `size` is told of, but fails when it is read. */
    uint8_t *bytes;
    size_t held;
    uint64_t size;
    memory_step steps[MEMORY_STEPS];
    size_t step_count;
    unsigned calls[MEMORY_FUNCTIONS];
    /* The nth call from now of a function, counted from 1, fails with a status; silent: without a
     * sentence. 0: none does. */
    unsigned fail_in[MEMORY_FUNCTIONS];
    kms_status fail_with;
    bool silent;
    /* How many bytes read_at tells of beyond those that it was asked for. */
    size_t boast;
} memory_stream;

/* A stream of a plaintext, whose `io` leads to it. Fails the test if it cannot be made. */
void memory_stream_encrypt(memory_stream *stream, kms_store *store, const char *keyref,
                           const kms_context *context, const void *plain, size_t len);
/* One that holds these bytes, which are copied. */
void memory_stream_of(memory_stream *stream, const void *data, size_t len);
void memory_stream_free(memory_stream *stream);

/* Forgets the steps, the counts, and which call was to fail. */
void memory_stream_reset(memory_stream *stream);

/* Opens all of it by pushing, and compares: KMS_ERR_CORRUPT if it is another plaintext. */
kms_status memory_stream_open(memory_stream *stream, kms_store *store, const kms_context *context,
                              const void *plain, size_t len);

#endif
