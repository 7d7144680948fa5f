/* Messages of one size, as the subject of rows that seal and open them. */
#ifndef BENCH_MESSAGES_H
#define BENCH_MESSAGES_H

#include "bare.h"

#include <kms/kms.h>

typedef struct messages {
    /* One of the two: a store, and what to encrypt under; or the bare primitive. */
    kms_store *store;
    const char *keyref;
    bare *bare;
    size_t len;
    uint8_t *plain;
    /* Where sealing puts its blob, with a header in place for the bare primitive. */
    uint8_t *blob;
    /* Blobs to open, one after the other. */
    uint8_t *blobs;
    size_t count, next;
} messages;

/* Messages of that size, and blobs of them to open. keyref is borrowed. */
messages *messages_of(kms_store *store, const char *keyref, size_t len);
messages *messages_of_bare(bare_way way, size_t len);
/* The same with so many blobs. */
messages *messages_many_of_bare(bare_way way, size_t len, size_t count);

/* Messages without blobs yet, whose count is given: messages_seal() makes one. */
messages *messages_new(kms_store *store, const char *keyref, size_t len, size_t count);
void messages_seal(messages *of, size_t index);
/* Puts the blobs into an order drawn at random. */
void messages_shuffle(messages *of);

void messages_free(messages *of);

/* Rows: each operation is one message. */
void run_encrypt(void *subject, size_t n);
void run_decrypt(void *subject, size_t n);
void run_bare_seal(void *subject, size_t n);
void run_bare_open(void *subject, size_t n);

#endif
