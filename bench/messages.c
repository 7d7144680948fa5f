#include "messages.h"
#include "fail.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/* Few enough to stay in the nearer caches, for the primitive as for the library. */
#define BYTES_AT_MOST ((size_t)128 * 1024)
#define BLOBS_AT_MOST 64

static void *memory(size_t size)
{
    void *got = NULL;

    must(posix_memalign(&got, 64, size > 0 ? size : 1) == 0, "memory for messages");
    memset(got, 0, size);
    return got;
}

static uint8_t *blob_at(const messages *of, size_t index)
{
    return of->blobs + index * KMS_CIPHERTEXT_SIZE(of->len);
}

messages *messages_new(kms_store *store, const char *keyref, size_t len, size_t count)
{
    messages *made = memory(sizeof *made);

    *made = (messages){.store = store, .keyref = keyref, .len = len, .count = count};
    made->plain = memory(len);
    made->blob = memory(KMS_CIPHERTEXT_SIZE(len));
    made->blobs = memory(KMS_CIPHERTEXT_SIZE(len) * count);
    randombytes_buf(made->plain, len);
    return made;
}

void messages_free(messages *of)
{
    if (of->bare != NULL)
        bare_free(of->bare);
    free(of->plain);
    free(of->blob);
    free(of->blobs);
    free(of);
}

void messages_seal(messages *of, size_t index)
{
    size_t len;

    must_ok(kms_encrypt(of->store, of->keyref, NULL, of->plain, of->len, blob_at(of, index),
                        KMS_CIPHERTEXT_SIZE(of->len), &len));
}

void messages_shuffle(messages *of)
{
    size_t size = KMS_CIPHERTEXT_SIZE(of->len);

    for (size_t i = of->count; i > 1; i--) {
        size_t j = randombytes_uniform((uint32_t)i);

        memcpy(of->blob, blob_at(of, i - 1), size);
        memmove(blob_at(of, i - 1), blob_at(of, j), size);
        memcpy(blob_at(of, j), of->blob, size);
    }
}

static size_t count_for(size_t len)
{
    size_t fit = BYTES_AT_MOST / KMS_CIPHERTEXT_SIZE(len);

    return fit > BLOBS_AT_MOST ? BLOBS_AT_MOST : fit > 1 ? fit : 1;
}

messages *messages_of(kms_store *store, const char *keyref, size_t len)
{
    messages *made = messages_new(store, keyref, len, count_for(len));

    for (size_t i = 0; i < made->count; i++)
        messages_seal(made, i);
    return made;
}

messages *messages_of_bare(bare_way way, size_t len)
{
    return messages_many_of_bare(way, len, count_for(len));
}

messages *messages_many_of_bare(bare_way way, size_t len, size_t count)
{
    messages *made = messages_new(NULL, NULL, len, count);

    made->bare = bare_new(way);
    randombytes_buf(made->blob, BARE_PREFIX);
    for (size_t i = 0; i < made->count; i++) {
        memcpy(blob_at(made, i), made->blob, BARE_PREFIX);
        bare_seal(made->bare, made->plain, len, blob_at(made, i));
    }
    return made;
}

static uint8_t *next_blob(messages *of)
{
    uint8_t *blob = blob_at(of, of->next);

    of->next = of->next + 1 < of->count ? of->next + 1 : 0;
    return blob;
}

void run_encrypt(void *subject, size_t n)
{
    messages *of = subject;
    size_t size = KMS_CIPHERTEXT_SIZE(of->len), len;

    for (size_t i = 0; i < n; i++)
        must_ok(kms_encrypt(of->store, of->keyref, NULL, of->plain, of->len, of->blob, size, &len));
}

void run_decrypt(void *subject, size_t n)
{
    messages *of = subject;
    size_t size = KMS_CIPHERTEXT_SIZE(of->len), len;

    for (size_t i = 0; i < n; i++)
        must_ok(kms_decrypt(of->store, NULL, next_blob(of), size, of->plain, of->len, &len));
}

void run_bare_seal(void *subject, size_t n)
{
    messages *of = subject;

    for (size_t i = 0; i < n; i++)
        bare_seal(of->bare, of->plain, of->len, of->blob);
}

void run_bare_open(void *subject, size_t n)
{
    messages *of = subject;

    for (size_t i = 0; i < n; i++)
        bare_open(of->bare, next_blob(of), of->len, of->plain);
}
