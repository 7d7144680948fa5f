/**
 * @file kms/encrypt.h
 * Encrypting and decrypting small secrets: fields, passwords, configurations, TLS keys.
 *
 * Both calls allocate nothing and make no system call when the key is warm and no rotation of it is
 * due, but for reseeding the nonce generator (once in some 170 encryptions) and, with the LMDB
 * engine, one stat() of each of its files a second.
 */
#ifndef KMS_ENCRYPT_H
#define KMS_ENCRYPT_H

#include <kms/blob.h>
#include <kms/context.h>

KMS_BEGIN_DECLS

/**
 * Encrypt: seals a plaintext under the primary version of a key.
 *
 * The blob carries key id and version: kms_decrypt() needs neither, and keeps opening it after
 * any number of rotations. kms_inspect_blob() tells them. Encrypting the same plaintext twice
 * gives different blobs. A key whose rotation is due gets its new version first, which writes to
 * the store (see kms/rotation.h).
 *
 * @param store      open store
 * @param keyref     key id, or alias in full ("alias/MyAppKey")
 * @param context    pairs bound to the blob; NULL for none; borrowed for the call
 * @param plain      plaintext; may be NULL only if plain_len is 0
 * @param plain_len  bytes, at most KMS_PLAINTEXT_MAX
 * @param blob       caller's buffer, which must not overlap plain
 * @param blob_size  its size, at least KMS_CIPHERTEXT_SIZE(plain_len)
 * @param[out] blob_len  bytes written, KMS_CIPHERTEXT_SIZE(plain_len)
 *
 * On failure *blob_len is untouched, and the buffer is unchanged or zero.
 *
 * @retval KMS_OK
 * @retval KMS_ERR_INVALID_ARGUMENT  NULL, malformed keyref or context, size over a limit,
 *                                   overlapping buffers
 * @retval KMS_ERR_BUFFER_TOO_SMALL  blob_size is below the size stated above
 * @retval KMS_ERR_KEY_NOT_FOUND, KMS_ERR_ALIAS_NOT_FOUND
 * @retval KMS_ERR_DISABLED, KMS_ERR_PENDING_DELETION, KMS_ERR_PENDING_IMPORT
 * @retval KMS_ERR_UNSUPPORTED       the key's suite is not in this build; the key is for deterministic
 *                                   encryption
 * @retval KMS_ERR_FORKED            store was opened before fork()
 * @retval KMS_ERR_STORAGE, KMS_ERR_BUSY, KMS_ERR_STORE_REPLACED, KMS_ERR_CORRUPT,
 *         KMS_ERR_NEWER_FORMAT, KMS_ERR_NO_MEMORY, KMS_ERR_NOT_LOCKED
 *
 * Threads: any number may share store. Since 0.1. Source: Alibaba Cloud KMS, Encrypt, without its
 * limit of 6 KB.
 */
KMS_API KMS_MUST_CHECK kms_status kms_encrypt(kms_store *store, const char *keyref,
                                              const kms_context *context, const void *plain,
                                              size_t plain_len, void *blob, size_t blob_size,
                                              size_t *blob_len);

/**
 * Decrypt: opens a blob under the key and version that it names.
 *
 * @param store       open store
 * @param context     the pairs that it was encrypted with; NULL for none
 * @param blob        from kms_encrypt(); blobs of data keys and deterministic blobs open too
 * @param blob_len    bytes
 * @param plain       caller's buffer, which must not overlap blob; may be NULL only if the
 *                    plaintext is empty
 * @param plain_size  its size, at least KMS_PLAINTEXT_SIZE(blob_len)
 * @param[out] plain_len  bytes written
 *
 * On failure *plain_len is untouched, and the buffer is unchanged or zero, never part of a
 * plaintext.
 *
 * Of several things wrong, the first of this order is told: arguments and sizes;
 * KMS_ERR_NEWER_FORMAT; KMS_ERR_INVALID_CIPHERTEXT, if it is no whole blob; KMS_ERR_KEY_NOT_FOUND;
 * the key's state; the version, which is KMS_ERR_INVALID_CIPHERTEXT if the key has none of that
 * number, then its own state, then KMS_ERR_UNSUPPORTED; KMS_ERR_INVALID_CIPHERTEXT for the rest.
 *
 * @retval KMS_OK
 * @retval KMS_ERR_INVALID_ARGUMENT    NULL, malformed context, overlapping buffers
 * @retval KMS_ERR_BUFFER_TOO_SMALL    plain_size is below the size stated above
 * @retval KMS_ERR_NEWER_FORMAT        a newer libkms made the blob
 * @retval KMS_ERR_KEY_NOT_FOUND       the store has no key of the id that it names
 * @retval KMS_ERR_DISABLED            the key or its version is disabled, or the version is below
 *                                     the lowest of its key that decrypts
 * @retval KMS_ERR_PENDING_DELETION    the key is scheduled for deletion, or its version to be
 *                                     destroyed
 * @retval KMS_ERR_DESTROYED           the version was destroyed
 * @retval KMS_ERR_PENDING_IMPORT      the material of the key's primary version, or of the blob's,
 *                                     is not there, or has expired
 * @retval KMS_ERR_INVALID_CIPHERTEXT  cut, altered, longer than any blob; of another context,
 *                                     version or kind, or not of its key's usage
 * @retval KMS_ERR_UNSUPPORTED         the version's suite is not in this build
 * @retval KMS_ERR_FORKED, KMS_ERR_STORAGE, KMS_ERR_BUSY, KMS_ERR_STORE_REPLACED,
 *         KMS_ERR_CORRUPT, KMS_ERR_NO_MEMORY, KMS_ERR_NOT_LOCKED
 *
 * Threads: any number may share store. Since 0.1. Source: Alibaba Cloud KMS, Decrypt.
 */
KMS_API KMS_MUST_CHECK kms_status kms_decrypt(kms_store *store, const kms_context *context,
                                              const void *blob, size_t blob_len, void *plain,
                                              size_t plain_size, size_t *plain_len);

/** Which key opened a blob. Its size is fixed. Since 0.1. */
typedef struct kms_key_used {
    char key_id[KMS_KEY_ID_SIZE];
    uint32_t key_version;
} kms_key_used;

/**
 * Decrypts as kms_decrypt(), but only a blob of the key that the caller expects, and tells which
 * key and version it was. A blob that was pasted from another tenant's column, who has another
 * key, is refused before the store is asked.
 *
 * @param expected_key_id  the one key whose blobs are wanted; NULL for any
 * @param[out] used        the key and version that opened it; NULL if not wanted; untouched on
 *                         failure
 *
 * Other parameters, returns and threads: as kms_decrypt(); and
 * @retval KMS_ERR_INVALID_ARGUMENT  expected_key_id is not a key id
 * @retval KMS_ERR_INCORRECT_KEY     the blob names another key; told after what is no whole
 *                                   blob and before KMS_ERR_KEY_NOT_FOUND
 *
 * Since 0.1. Source: AWS KMS, Decrypt with KeyId.
 */
KMS_API KMS_MUST_CHECK kms_status kms_decrypt_expecting(
    kms_store *store, const char *expected_key_id, const kms_context *context, const void *blob,
    size_t blob_len, void *plain, size_t plain_size, size_t *plain_len, kms_key_used *used);

/**
 * ReEncrypt: opens a blob and seals its plaintext anew under the primary version of a key, without
 * showing it to the caller. The new blob is of the same kind: data, a data key, or deterministic. A
 * deterministic blob moves to a deterministic key only, and no other blob does.
 *
 * @param store                open store
 * @param source_context       the pairs that the blob was made with; NULL for none
 * @param blob                 from kms_encrypt(), kms_generate_data_key() or
 *                             kms_encrypt_deterministic()
 * @param blob_len             bytes
 * @param keyref               the destination: key id, or alias in full; the blob's own key too
 * @param destination_context  the pairs to bind to the new blob; NULL for none, which a
 *                             deterministic blob does not take
 * @param out                  caller's buffer, which must not overlap blob
 * @param out_size             its size, at least blob_len
 * @param[out] out_len         bytes written, blob_len
 * @param[out] source          the key and version that opened blob; NULL if not wanted
 *
 * On failure *out_len and *source are untouched, and out is unchanged or zero.
 *
 * The states of both keys count: the source's as for kms_decrypt(), and then the destination's as for
 * kms_encrypt(). The statuses are those of both.
 *
 * @retval KMS_OK
 * @retval KMS_ERR_INVALID_CIPHERTEXT  as kms_decrypt()
 * @retval KMS_ERR_UNSUPPORTED         as kms_encrypt(); and a destination that is not for blobs of this
 *                                     kind
 * @retval those of kms_decrypt() and kms_encrypt()
 *
 * Threads: any number may share store. A plaintext of more than 1,024 bytes takes locked memory of
 * its size for the call. Since 0.2. Source: Alibaba Cloud KMS, ReEncrypt.
 */
KMS_API KMS_MUST_CHECK kms_status
kms_re_encrypt(kms_store *store, const kms_context *source_context, const void *blob,
               size_t blob_len, const char *keyref, const kms_context *destination_context,
               void *out, size_t out_size, size_t *out_len, kms_key_used *source);

KMS_END_DECLS

#endif
