/* The blob's layout, and the canonical form of an encryption context (docs/blob-format.md). */
#ifndef KMS__CRYPTO_BLOB_H
#define KMS__CRYPTO_BLOB_H

#include "base/id.h"

#include <kms/blob.h>
#include <kms/context.h>
#include <string.h>

#define KMS__BLOB_FORMAT 1
/* Everything before the ciphertext. */
#define KMS__BLOB_HEADER 82
/* Everything before the nonce: the same for all blobs of one version, suite and kind. */
#define KMS__BLOB_PREFIX 58
#define KMS__BLOB_MAGIC "KMS"
#define KMS__BLOB_FORMAT_AT 3
#define KMS__BLOB_SUITE_AT 4
#define KMS__BLOB_KIND_AT 5
/* Key id and version, which follow each other. */
#define KMS__BLOB_VERSION_NAME_AT 6
#define KMS__BLOB_VERSION_AT (KMS__BLOB_VERSION_NAME_AT + KMS__ID_SIZE)
#define KMS__BLOB_VERSION_NAME (KMS__ID_SIZE + 4)
#define KMS__BLOB_COMMITMENT_AT (KMS__BLOB_VERSION_NAME_AT + KMS__BLOB_VERSION_NAME)
#define KMS__BLOB_NONCE_AT KMS__BLOB_PREFIX

_Static_assert(sizeof KMS__BLOB_MAGIC - 1 == KMS__BLOB_FORMAT_AT &&
                   KMS__BLOB_COMMITMENT_AT + KMS_COMMITMENT_SIZE == KMS__BLOB_PREFIX,
               "the fields of a blob follow each other");

/* Header and context: the associated data of a blob. */
#define KMS__ASSOCIATED_MAX (KMS__BLOB_HEADER + KMS_CONTEXT_MAX)

typedef struct kms__blob {
    kms_suite suite;
    kms_blob_kind kind;
    uint8_t key_id[KMS__ID_SIZE];
    uint32_t key_version;
    /* Into the blob. */
    const uint8_t *header;
    const uint8_t *version_name;
    const uint8_t *commitment;
    const uint8_t *nonce;
    kms_slice sealed;
} kms__blob;

void kms__blob_write_prefix(uint8_t prefix[KMS__BLOB_PREFIX], kms_suite suite, kms_blob_kind kind,
                            const uint8_t key_id[KMS__ID_SIZE], uint32_t key_version,
                            const uint8_t commitment[KMS_COMMITMENT_SIZE]);

/* Key id and version as a header has them, where there is no blob. */
void kms__blob_write_version_name(uint8_t name[KMS__BLOB_VERSION_NAME],
                                  const uint8_t key_id[KMS__ID_SIZE], uint32_t key_version);

/* Key ids, versions and commitments are public: no need to compare them in constant time. So many bytes
 * at a time the compiler compares without a call. */
static inline bool kms__same_version_name(const uint8_t *a, const uint8_t *b)
{
    return memcmp(a, b, KMS__ID_SIZE) == 0 && memcmp(a + KMS__ID_SIZE, b + KMS__ID_SIZE, 4) == 0;
}

static inline bool kms__same_commitment(const uint8_t *a, const uint8_t *b)
{
    const size_t half = KMS_COMMITMENT_SIZE / 2;

    return memcmp(a, b, half) == 0 && memcmp(a + half, b + half, half) == 0;
}

kms_status kms__not_a_blob(size_t len);

/* KMS_ERR_INVALID_CIPHERTEXT for what is longer than the blob of the longest plaintext. */
static inline kms_status kms__blob_check_size(size_t len)
{
    return (uint64_t)len > (uint64_t)KMS_PLAINTEXT_MAX + KMS_BLOB_OVERHEAD ? kms__not_a_blob(len)
                                                                           : KMS_OK;
}

/* Says what is wrong with what is no blob that this library reads. */
kms_status kms__blob_refuse(const void *data, size_t len);

/* Reads a blob's parts in place. KMS_ERR_NEWER_FORMAT, KMS_ERR_INVALID_CIPHERTEXT. Suite, kind and
 * version are as they stand there, perhaps none that a blob has: whoever opens a blob compares them
 * with its key's, whose state is told first. */
static inline kms_status kms__blob_read(const void *data, size_t len, kms__blob *blob)
{
    const uint8_t *at = data, *version;

    if (len < KMS_BLOB_OVERHEAD || memcmp(at, KMS__BLOB_MAGIC, KMS__BLOB_FORMAT_AT) != 0 ||
        at[KMS__BLOB_FORMAT_AT] != KMS__BLOB_FORMAT) {
        const kms_status refused = kms__blob_refuse(data, len);

        /* It never is KMS_OK: for the static analyser, which sees one file at a time. */
        return refused != KMS_OK ? refused : KMS_ERR_INVALID_CIPHERTEXT;
    }
    /* Nonce and text are needed only when the key was found, which would be one wait more. */
    __builtin_prefetch(at + KMS__BLOB_NONCE_AT);
    __builtin_prefetch(at + len - 1);
    blob->header = at;
    blob->suite = (kms_suite)at[KMS__BLOB_SUITE_AT];
    blob->kind = (kms_blob_kind)at[KMS__BLOB_KIND_AT];
    memcpy(blob->key_id, at + KMS__BLOB_VERSION_NAME_AT, KMS__ID_SIZE);
    version = at + KMS__BLOB_VERSION_AT;
    blob->key_version = (uint32_t)version[0] << 24 | (uint32_t)version[1] << 16 |
                        (uint32_t)version[2] << 8 | version[3];
    blob->version_name = at + KMS__BLOB_VERSION_NAME_AT;
    blob->commitment = at + KMS__BLOB_COMMITMENT_AT;
    blob->nonce = at + KMS__BLOB_NONCE_AT;
    blob->sealed = (kms_slice){at + KMS__BLOB_HEADER, len - KMS__BLOB_HEADER};
    return KMS_OK;
}

/* KMS_ERR_INVALID_CIPHERTEXT for a suite, kind or version that no blob has. */
kms_status kms__blob_check_fields(const kms__blob *blob);

/* The associated data of one blob: its header, and the context behind it. */
typedef struct kms__associated {
    uint8_t bytes[KMS__ASSOCIATED_MAX];
    size_t context_len;
} kms__associated;

/* No context and an empty one are the same. */
static inline bool kms__context_is_empty(const kms_context *context)
{
    return context == NULL || context->count == 0;
}

kms_status kms__associated_write(const kms_context *context, kms__associated *associated);

/* Writes the canonical context to its place. KMS_ERR_INVALID_ARGUMENT: a malformed context. */
static inline kms_status kms__associated_begin(const kms_context *context,
                                               kms__associated *associated)
{
    associated->context_len = 0;
    return kms__context_is_empty(context) ? KMS_OK : kms__associated_write(context, associated);
}

/* Completes it with a blob's header, which is used in place where there is no context. */
static inline kms_slice kms__associated_end(kms__associated *associated,
                                            const uint8_t header[KMS__BLOB_HEADER])
{
    if (associated->context_len == 0)
        return (kms_slice){header, KMS__BLOB_HEADER};
    memcpy(associated->bytes, header, KMS__BLOB_HEADER);
    return (kms_slice){associated->bytes, KMS__BLOB_HEADER + associated->context_len};
}

#endif
