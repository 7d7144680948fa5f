/* Sealing and opening blobs under opened versions. */
#ifndef KMS__DOMAIN_SEAL_H
#define KMS__DOMAIN_SEAL_H

#include "crypto/blob.h"
#include "domain/open_version.h"

#include <kms/encrypt.h>

/* Seals plain under the primary version of a key into a blob of the kind, KMS_CIPHERTEXT_SIZE() of
 * its length, which has that room. A key that is due is rotated first. On failure the blob is
 * unchanged or zero. */
kms_status kms__blob_seal(kms_store *store, const char *keyref, kms_blob_kind kind,
                          const kms_context *context, kms_slice plain, uint8_t *blob);

/* The same into a deterministic blob, under a deterministic key. The context has a pair at least:
 * KMS_ERR_INVALID_ARGUMENT. */
kms_status kms__blob_seal_deterministic(kms_store *store, const char *keyref,
                                        const kms_context *context, kms_slice plain, uint8_t *blob);

/* Kinds of blobs, as a set. */
#define KMS__KIND(kind) (1u << (unsigned)(kind))

/* What Decrypt opens; a stream's header opens only as a stream. */
#define KMS__KINDS_DECRYPTED                                                                       \
    (KMS__KIND(KMS_BLOB_DATA) | KMS__KIND(KMS_BLOB_DATA_KEY) | KMS__KIND(KMS_BLOB_DETERMINISTIC))

/* Opens a blob that kms__blob_read() has taken apart, if it is of one of the kinds and of its key's
 * usage, into room for its plaintext, which is unchanged or zero on failure. The context was begun before the blob was read,
 * because what is wrong with arguments is told first. */
kms_status kms__blob_open(kms_store *store, unsigned kinds, kms__associated *associated,
                          const kms__blob *blob, uint8_t *plain);

/* The two above under a version that is pinned already, for many blobs in a row. */
kms_status kms__blob_seal_under(const kms__pin *pin, kms_blob_kind kind,
                                kms__associated *associated, kms_slice plain, uint8_t *blob);
kms_status kms__blob_open_under(const kms__pin *pin, unsigned kinds, kms__associated *associated,
                                const kms__blob *blob, uint8_t *plain);

/* Whether two buffers share a byte. */
static inline bool kms__overlap(const void *a, size_t a_len, const void *b, size_t b_len)
{
    uintptr_t from_a = (uintptr_t)a, from_b = (uintptr_t)b;

    return a_len > 0 && b_len > 0 &&
           (from_a < from_b ? from_b - from_a < a_len : from_a - from_b < b_len);
}

/* Demands a context that names something. KMS_ERR_INVALID_ARGUMENT. */
kms_status kms__check_context_is_there(const kms_context *context);

/* Checks of an encrypting call's arguments. */
kms_status kms__check_encrypt(const void *plain, size_t plain_len, const void *blob,
                              size_t blob_size, const size_t *blob_len);

/* Checks of a call's arguments. KMS_ERR_INVALID_ARGUMENT, KMS_ERR_BUFFER_TOO_SMALL. */
kms_status kms__check_blob_room(size_t plain_len, const void *blob, size_t blob_size,
                                const size_t *blob_len);

#endif
