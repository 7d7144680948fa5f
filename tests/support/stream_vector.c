#include "stream_vector.h"
#include "crypto/kdf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void must(bool condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "stream_vector: %s: %s\n", what, kms_error_message());
    exit(EXIT_FAILURE);
}

void stream_vector_plain(uint8_t *plain, size_t len)
{
    for (size_t i = 0; i < len; i++)
        plain[i] = (uint8_t)(i % 251);
}

size_t stream_vector_chunks(const stream_vector *v)
{
    return v->plain_len / KMS__CHUNK_SIZE + 1;
}

void stream_vector_blob(const stream_vector *v, size_t sealing, uint8_t blob[KMS__STREAM_BLOB])
{
    static kms__associated associated;
    const stream_sealing *s = &v->sealings[sealing];
    uint8_t suite_key[32], commitment[KMS_COMMITMENT_SIZE], secret[KMS__STREAM_SECRET];
    kms__use use = s->suite == KMS_SUITE_AES_256_GCM ? KMS__USE_SUITE_2 : KMS__USE_SUITE_1;

    secret[0] = (uint8_t)v->suite;
    memcpy(secret + 1, v->key, KMS__STREAM_KEY_SIZE);
    kms__derive(use, s->material, s->key_id, s->key_version, suite_key);
    kms__derive(KMS__USE_COMMITMENT, s->material, s->key_id, s->key_version, commitment);
    kms__blob_write_prefix(blob, s->suite, KMS_BLOB_STREAM_HEADER, s->key_id, s->key_version,
                           commitment);
    memcpy(blob + KMS__BLOB_NONCE_AT, s->nonce, sizeof s->nonce);
    must(kms__associated_begin(v->context, &associated) == KMS_OK, "a context");
    must(kms__aead_seal(s->suite, suite_key, s->nonce, kms__associated_end(&associated, blob),
                        (kms_slice){secret, sizeof secret}, blob + KMS__BLOB_HEADER) == KMS_OK,
         "a header's blob");
}

void stream_vector_slot(const stream_vector *v, size_t sealing, uint8_t slot[KMS__STREAM_SLOT])
{
    uint8_t blob[KMS__STREAM_BLOB], commitment[KMS_COMMITMENT_SIZE];

    stream_vector_blob(v, sealing, blob);
    kms__stream_commitment(v->key, commitment);
    kms__stream_slot_write(sealing + 1, commitment, blob, slot);
}

/* 2 * index, and 1 for the last one, which is shorter: as the page has it. */
static void make_nonce(size_t index, bool last, const uint8_t *salt,
                       uint8_t nonce[KMS__AEAD_NONCE_SIZE])
{
    memset(nonce, 0, 8);
    nonce[7] = (uint8_t)(2 * index + (last ? 1 : 0));
    memcpy(nonce + 8, salt, KMS__CHUNK_SALT);
}

uint8_t *stream_vector_seal(const stream_vector *v, size_t *len)
{
    size_t count = stream_vector_chunks(v);
    uint8_t *plain = calloc(1, v->plain_len + 1), *out, *at, nonce[KMS__AEAD_NONCE_SIZE];
    kms__chunk_cipher cipher;

    *len = v->plain_len + count * KMS__CHUNK_OVERHEAD;
    at = out = calloc(1, *len);
    must(plain != NULL && out != NULL && count <= STREAM_VECTOR_SALTS, "memory");
    must(kms__chunk_cipher_init(&cipher, v->suite, v->key), "a suite");
    stream_vector_plain(plain, v->plain_len);
    for (size_t i = 0; i < count; i++) {
        bool last = i + 1 == count;
        size_t size = last ? v->plain_len % KMS__CHUNK_SIZE : KMS__CHUNK_SIZE;
        const uint8_t *salt = v->salts + i * KMS__CHUNK_SALT;

        make_nonce(i, last, salt, nonce);
        memcpy(at, salt, KMS__CHUNK_SALT);
        must(kms__aead_seal(v->suite, cipher.key, nonce, (kms_slice){NULL, 0},
                            (kms_slice){plain + i * KMS__CHUNK_SIZE, size},
                            at + KMS__CHUNK_SALT) == KMS_OK,
             "a chunk");
        at += size + KMS__CHUNK_OVERHEAD;
    }
    free(plain);
    return out;
}

/* A rewrap writes the slot that does not count, which of two equal ones is the second, and then the
 * other. */
static void rewrap(const stream_vector *v, uint8_t *header)
{
    uint8_t slot[KMS__STREAM_SLOT];
    size_t first = v->written < sizeof slot ? v->written : sizeof slot;

    stream_vector_slot(v, 1, slot);
    memcpy(header + KMS__STREAM_SLOT, slot, first);
    memcpy(header, slot, v->written - first);
}

uint8_t *stream_vector_make(const stream_vector *v, size_t *len)
{
    size_t chunks_len;
    uint8_t *chunks = stream_vector_seal(v, &chunks_len);
    uint8_t *out = calloc(1, KMS__STREAM_HEADER + chunks_len);

    must(out != NULL, "memory");
    stream_vector_slot(v, 0, out);
    memcpy(out + KMS__STREAM_SLOT, out, KMS__STREAM_SLOT);
    if (v->sealings_count > 1)
        rewrap(v, out);
    memcpy(out + KMS__STREAM_HEADER, chunks, chunks_len);
    free(chunks);
    *len = KMS__STREAM_HEADER + chunks_len;
    return out;
}

size_t stream_vector_counts(const stream_vector *v)
{
    return v->sealings_count > 1 && v->written >= KMS__STREAM_SLOT ? 1 : 0;
}
