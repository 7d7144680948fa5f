/**
 * @file kms/blob.h
 * Blobs: self-describing ciphertext. A blob carries the id and version of the key that made it.
 * Layout and test vectors: docs/blob-format.md.
 */
#ifndef KMS_BLOB_H
#define KMS_BLOB_H

#include <kms/key_version.h>

/** Bytes that a blob is longer than its plaintext, always. */
#define KMS_BLOB_OVERHEAD 98
/** Most bytes of one plaintext: AES-GCM's own limit, 2^36 - 32. */
#define KMS_PLAINTEXT_MAX 68719476704u
/** Size of the blob of n bytes of plaintext; n is at most KMS_PLAINTEXT_MAX. */
#define KMS_CIPHERTEXT_SIZE(n) ((size_t)(n) + KMS_BLOB_OVERHEAD)
/** Size of the plaintext of a blob of n bytes; 0 for what is too short to be a blob. */
#define KMS_PLAINTEXT_SIZE(n)                                                                      \
    ((size_t)(n) < KMS_BLOB_OVERHEAD ? (size_t)0 : (size_t)(n)-KMS_BLOB_OVERHEAD)

KMS_BEGIN_DECLS

/** What a blob is for. Since 0.1. */
typedef enum kms_blob_kind {
    KMS_BLOB_DATA = 1,
    KMS_BLOB_DATA_KEY = 2,
    KMS_BLOB_STREAM_HEADER = 3,
    KMS_BLOB_DETERMINISTIC = 4
} kms_blob_kind;

/** What a blob says of itself. Its size is fixed. Since 0.1. */
typedef struct kms_blob_info {
    kms_blob_kind kind;
    kms_suite suite;
    /** The key that made it, and the number of the version. */
    char key_id[KMS_KEY_ID_SIZE];
    uint32_t key_version;
    uint8_t commitment[KMS_COMMITMENT_SIZE];
    /** Size of its plaintext, bytes. */
    uint64_t plaintext_size;
} kms_blob_info;

/**
 * Reads what a blob says of itself, with no store and no key.
 *
 * Nothing of it is proven until kms_decrypt() opens the blob.
 *
 * @param blob       the blob
 * @param blob_len   its size, bytes
 * @param[out] info  written whole; untouched on failure
 *
 * @retval KMS_OK
 * @retval KMS_ERR_INVALID_ARGUMENT    NULL
 * @retval KMS_ERR_NEWER_FORMAT        a newer libkms made it
 * @retval KMS_ERR_INVALID_CIPHERTEXT  it is no blob: too short or too long, or a field that no
 *                                     blob has
 *
 * Threads: any. No allocation. Since 0.1.
 */
KMS_API KMS_MUST_CHECK kms_status kms_inspect_blob(const void *blob, size_t blob_len,
                                                   kms_blob_info *info);

KMS_END_DECLS

#endif
