/*
 * The streams of tests/fixtures/streams-0.2.txt, and every way to open a stream.
 */
#ifndef KMS_TESTS_RECORDED_STREAMS_H
#define KMS_TESTS_RECORDED_STREAMS_H

#include "fixture_text.h"
#include "stream_vector.h"

#include <kms/kms.h>

#define STREAM_SEALED (KMS_STREAM_CHUNK_SIZE + KMS_STREAM_CHUNK_OVERHEAD)

/* Looks at each stream whose suites are in this build; answers how many there are. */
size_t streams_for_each(void (*look)(const fixture_record *, const stream_vector *));

typedef struct named_stream {
    fixture_context room;
    stream_vector vector;
    /* malloc'd, with room for a chunk behind the stream. */
    uint8_t *bytes;
    size_t len;
} named_stream;

void streams_make(const char *name, named_stream *s);

/* The store that has their keys, for reading. */
kms_store *streams_open_store(void);

/* A place in memory for a stream that is there; io is kms_stream_rewrap()'s too. */
kms_stream_io streams_io(named_stream *s);

/* Pushed at once, in pieces, read from its end to its beginning, and as a file: each opens to the
 * plaintext of stream_vector_plain(), or answers the status. */
void streams_open_by_every_way(kms_store *store, const kms_context *context, uint8_t *stream,
                               size_t len, size_t plain_len);
void streams_refused_by_every_way(kms_store *store, const kms_context *context, uint8_t *stream,
                                  size_t len, kms_status expected, const char *what);

#endif
