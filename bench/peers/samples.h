/* A plaintext, and blobs of it that are opened one after the other, as the library's rows do. */
#ifndef BENCH_SAMPLES_H
#define BENCH_SAMPLES_H

#include <stddef.h>
#include <stdint.h>

#define SAMPLES_NONCE 12
#define SAMPLES_TAG 16

typedef struct samples {
    size_t len, count, next;
    uint8_t *plain;
    /* Where decrypting puts its plaintext, and encrypting its blob: nonce, ciphertext, tag. Both have
     * room for a block more. */
    uint8_t *out, *blob;
    uint8_t *blobs;
} samples;

/* Seals one message into of->blob, opens one into of->out. */
typedef void samples_seal(void *subject);
typedef void samples_open(void *subject, const uint8_t *blob);

/* Makes the plaintext, and has the blobs sealed; the last of them must open to the plaintext. */
void samples_make(samples *of, size_t len, samples_seal *seal, samples_open *open, void *subject);
void samples_free(samples *of);

size_t samples_blob_size(const samples *of);

/* The next of the blobs. */
const uint8_t *samples_next(samples *of);

#endif
