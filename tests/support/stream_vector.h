/*
 * Streams in which everything is chosen (docs/stream-format.md): the stream's key, the salts of its
 * chunks, and how its header's blob is sealed, once or, after a rewrap, twice. So the same vector
 * gives the same bytes for ever.
 */
#ifndef KMS_TESTS_STREAM_VECTOR_H
#define KMS_TESTS_STREAM_VECTOR_H

#include "domain/stream_header.h"

#define STREAM_VECTOR_SALTS 4
#define STREAM_VECTOR_SEALINGS 2

/* Under which version the stream's key is sealed, and with which nonce. */
typedef struct stream_sealing {
    uint8_t material[32];
    uint8_t key_id[KMS__ID_SIZE];
    uint32_t key_version;
    kms_suite suite;
    uint8_t nonce[KMS__AEAD_NONCE_SIZE];
} stream_sealing;

typedef struct stream_vector {
    /* Of the chunks. */
    kms_suite suite;
    uint8_t key[KMS__STREAM_KEY_SIZE];
    uint8_t salts[STREAM_VECTOR_SALTS * KMS__CHUNK_SALT];
    size_t plain_len;
    const kms_context *context;
    size_t sealings_count;
    stream_sealing sealings[STREAM_VECTOR_SEALINGS];
    /* Of the two slots that a rewrap writes, 4,096 bytes each: so many bytes arrived. */
    size_t written;
} stream_vector;

/* Byte i is i mod 251. */
void stream_vector_plain(uint8_t *plain, size_t len);

size_t stream_vector_chunks(const stream_vector *v);

/* After kms__fork_init(). Each fails the program if the suite is not in this build. */
void stream_vector_blob(const stream_vector *v, size_t sealing, uint8_t blob[KMS__STREAM_BLOB]);
void stream_vector_slot(const stream_vector *v, size_t sealing, uint8_t slot[KMS__STREAM_SLOT]);
/* The chunks alone, malloc'd. */
uint8_t *stream_vector_seal(const stream_vector *v, size_t *len);
/* The whole stream, malloc'd. */
uint8_t *stream_vector_make(const stream_vector *v, size_t *len);

/* Which of the sealings opens it. */
size_t stream_vector_counts(const stream_vector *v);

#endif
