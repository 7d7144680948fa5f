/**
 * @file kms/data_key.h
 * Data keys: envelope encryption. A fresh random key is handed out in the clear, together with its
 * blob; encrypt much data with the one, keep the other beside the data, and wipe the first.
 *
 * A data key's blob opens by kms_decrypt(), kms_decrypt_data_key() or kms_export_data_key(), and can
 * be moved to another key by kms_re_encrypt().
 */
#ifndef KMS_DATA_KEY_H
#define KMS_DATA_KEY_H

#include <kms/blob.h>
#include <kms/context.h>

/** What most ciphers want. */
#define KMS_DATA_KEY_SIZE_DEFAULT 32
/** Largest data key, bytes; the smallest is 1. Source: Alibaba Cloud KMS, GenerateDataKey. */
#define KMS_DATA_KEY_SIZE_MAX 1024
/** Bytes of the public key that a data key may be exported to. */
#define KMS_EXPORT_PUBLIC_KEY_SIZE 32
/** Size of an exported data key of n bytes. */
#define KMS_EXPORTED_DATA_KEY_SIZE(n) ((size_t)(n) + 48)
/** Most bytes of one call of kms_generate_random(). */
#define KMS_RANDOM_MAX 1024

KMS_BEGIN_DECLS

/**
 * GenerateDataKey: draws a data key, and seals it under the primary version of a key.
 *
 * @param store          open store
 * @param keyref         key id, or alias in full
 * @param context        pairs bound to the blob; NULL for none
 * @param[out] data_key  caller's buffer; wipe it when it has served. Zero on failure, but where
 *                       data_key_len is out of its limits
 * @param data_key_len   bytes to draw, 1 to KMS_DATA_KEY_SIZE_MAX
 * @param blob           caller's buffer, which must not overlap data_key
 * @param blob_size      its size, at least KMS_CIPHERTEXT_SIZE(data_key_len)
 * @param[out] blob_len  bytes written
 *
 * On failure *blob_len is untouched, and the blob's buffer is unchanged or zero.
 *
 * @retval KMS_OK
 * @retval KMS_ERR_INVALID_ARGUMENT    NULL, malformed keyref or context, data_key_len out of its
 *                                     limits, overlapping buffers
 * @retval the others of kms_encrypt()
 *
 * Threads: any number may share store. Since 0.2. Source: Alibaba Cloud KMS, GenerateDataKey.
 */
KMS_API KMS_MUST_CHECK kms_status kms_generate_data_key(kms_store *store, const char *keyref,
                                                        const kms_context *context, void *data_key,
                                                        size_t data_key_len, void *blob,
                                                        size_t blob_size, size_t *blob_len);

/**
 * GenerateDataKeyWithoutPlaintext: the same, and the data key itself is shown to nobody: for who will
 * need it later, or elsewhere.
 *
 * Parameters, returns and threads: as kms_generate_data_key(). Since 0.2. Source: Alibaba Cloud KMS,
 * GenerateDataKeyWithoutPlaintext.
 */
KMS_API KMS_MUST_CHECK kms_status kms_generate_data_key_without_plaintext(
    kms_store *store, const char *keyref, const kms_context *context, size_t data_key_len,
    void *blob, size_t blob_size, size_t *blob_len);

/**
 * A data key in memory that is locked against swapping, left out of core dumps, and zero in a forked
 * child where the kernel can do that. Its size and place are fixed. Since 0.2.
 */
typedef struct kms_secret {
    /** Yours to read until kms_secret_free(). */
    const uint8_t *data;
    size_t size;
    /** Whether it is really locked: false where RLIMIT_MEMLOCK is too low. */
    bool locked;
} kms_secret;

/**
 * GenerateDataKey into locked memory.
 *
 * @param[out] data_key  release it with kms_secret_free(), before or after kms_close(); untouched on
 *                       failure
 *
 * Other parameters, returns and threads: as kms_generate_data_key(), and
 * @retval KMS_ERR_NOT_LOCKED  only with KMS_OPEN_REQUIRE_LOCKED
 *
 * Since 0.2.
 */
KMS_API KMS_MUST_CHECK kms_status kms_generate_data_key_locked(kms_store *store, const char *keyref,
                                                               const kms_context *context,
                                                               size_t data_key_len,
                                                               kms_secret **data_key, void *blob,
                                                               size_t blob_size, size_t *blob_len);

/**
 * Decrypts a data key's blob into locked memory.
 *
 * @param store          open store
 * @param context        the pairs that it was made with; NULL for none
 * @param blob           from kms_generate_data_key() and its like, and nothing else
 * @param blob_len       bytes
 * @param[out] data_key  release it with kms_secret_free(), before or after kms_close(); untouched on
 *                       failure
 *
 * @retval KMS_OK
 * @retval KMS_ERR_INVALID_CIPHERTEXT  as kms_decrypt(); and a blob of another kind
 * @retval KMS_ERR_NOT_LOCKED          only with KMS_OPEN_REQUIRE_LOCKED
 * @retval the others of kms_decrypt()
 *
 * Threads: any number may share store. Since 0.2.
 */
KMS_API KMS_MUST_CHECK kms_status kms_decrypt_data_key(kms_store *store, const kms_context *context,
                                                       const void *blob, size_t blob_len,
                                                       kms_secret **data_key);

/**
 * Wipes and frees a data key in locked memory. NULL is ignored.
 *
 * Threads: no other may use the secret. Since 0.2.
 */
KMS_API void kms_secret_free(kms_secret *secret);

/**
 * GenerateAndExportDataKey: draws a data key, seals it under a key, and also for the holder of an
 * X25519 secret key elsewhere (libsodium's crypto_box_seal()), without showing it to the caller.
 *
 * @param store              open store
 * @param keyref             key id, or alias in full
 * @param context            pairs bound to the blob; NULL for none
 * @param data_key_len       bytes to draw, 1 to KMS_DATA_KEY_SIZE_MAX
 * @param public_key         KMS_EXPORT_PUBLIC_KEY_SIZE bytes
 * @param blob               caller's buffer
 * @param blob_size          its size, at least KMS_CIPHERTEXT_SIZE(data_key_len)
 * @param[out] blob_len      bytes written
 * @param exported           caller's buffer, which must not overlap blob
 * @param exported_size      its size, at least KMS_EXPORTED_DATA_KEY_SIZE(data_key_len)
 * @param[out] exported_len  bytes written
 *
 * On failure lengths are untouched, and buffers are unchanged or zero.
 *
 * @retval KMS_OK
 * @retval KMS_ERR_INVALID_ARGUMENT  as kms_generate_data_key(); and a public key that is none
 * @retval KMS_ERR_BUFFER_TOO_SMALL
 * @retval the others of kms_generate_data_key()
 *
 * Threads: any number may share store. Since 0.2. Source: Alibaba Cloud KMS,
 * GenerateAndExportDataKey.
 */
KMS_API KMS_MUST_CHECK kms_status kms_generate_and_export_data_key(
    kms_store *store, const char *keyref, const kms_context *context, size_t data_key_len,
    const uint8_t public_key[KMS_EXPORT_PUBLIC_KEY_SIZE], void *blob, size_t blob_size,
    size_t *blob_len, void *exported, size_t exported_size, size_t *exported_len);

/**
 * ExportDataKey: seals the data key of a blob for the holder of an X25519 secret key elsewhere.
 *
 * @param store              open store
 * @param context            the pairs that the blob was made with; NULL for none
 * @param blob               a data key's blob, and nothing else
 * @param blob_len           bytes
 * @param public_key         KMS_EXPORT_PUBLIC_KEY_SIZE bytes
 * @param exported           caller's buffer
 * @param exported_size      its size, at least KMS_EXPORTED_DATA_KEY_SIZE() of the data key's
 * @param[out] exported_len  bytes written
 *
 * On failure *exported_len is untouched, and the buffer is unchanged or zero.
 *
 * @retval KMS_OK
 * @retval KMS_ERR_INVALID_ARGUMENT    NULL, malformed context, a public key that is none
 * @retval KMS_ERR_BUFFER_TOO_SMALL
 * @retval KMS_ERR_INVALID_CIPHERTEXT  as kms_decrypt(); and a blob of another kind
 * @retval the others of kms_decrypt()
 *
 * Threads: any number may share store. Since 0.2. Source: Alibaba Cloud KMS, ExportDataKey.
 */
KMS_API KMS_MUST_CHECK kms_status
kms_export_data_key(kms_store *store, const kms_context *context, const void *blob, size_t blob_len,
                    const uint8_t public_key[KMS_EXPORT_PUBLIC_KEY_SIZE], void *exported,
                    size_t exported_size, size_t *exported_len);

/**
 * GenerateRandom: random bytes from the system, fit for keys.
 *
 * @param[out] bytes  caller's buffer
 * @param len         1 to KMS_RANDOM_MAX
 *
 * @retval KMS_OK
 * @retval KMS_ERR_INVALID_ARGUMENT  NULL, or len out of its limits
 *
 * Threads: any. Since 0.2. Source: AWS KMS, GenerateRandom.
 */
KMS_API KMS_MUST_CHECK kms_status kms_generate_random(void *bytes, size_t len);

KMS_END_DECLS

#endif
