#include "samples.h"
#include "fail.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/* As many as messages.c has. */
#define BYTES_AT_MOST ((size_t)128 * 1024)
#define BLOBS_AT_MOST 64
#define BLOCK 64

size_t samples_blob_size(const samples *of)
{
    return SAMPLES_NONCE + of->len + SAMPLES_TAG;
}

static size_t count_for(size_t size)
{
    size_t fit = BYTES_AT_MOST / size;

    return fit > BLOBS_AT_MOST ? BLOBS_AT_MOST : fit > 1 ? fit : 1;
}

static uint8_t *memory(size_t size)
{
    uint8_t *got = calloc(1, size + BLOCK);

    must(got != NULL, "memory for messages");
    return got;
}

void samples_make(samples *of, size_t len, samples_seal *seal, samples_open *open, void *subject)
{
    size_t size;

    of->len = len;
    size = samples_blob_size(of);
    of->count = count_for(size);
    of->plain = memory(len);
    of->out = memory(len);
    of->blob = memory(size);
    of->blobs = memory(size * of->count);
    randombytes_buf(of->plain, len);
    for (size_t i = 0; i < of->count; i++) {
        seal(subject);
        memcpy(of->blobs + i * size, of->blob, size);
    }
    open(subject, of->blob);
    must(memcmp(of->out, of->plain, len) == 0, "the plaintext that was encrypted");
}

void samples_free(samples *of)
{
    free(of->plain);
    free(of->out);
    free(of->blob);
    free(of->blobs);
}

const uint8_t *samples_next(samples *of)
{
    const uint8_t *blob = of->blobs + of->next * samples_blob_size(of);

    of->next = of->next + 1 < of->count ? of->next + 1 : 0;
    return blob;
}
