/**
 * @file kms/deterministic.h
 * Deterministic encryption, for columns that must stay UNIQUE, or be joined and searched by their
 * values: equal plaintexts give equal blobs.
 *
 * What it leaks. Whoever sees the blobs sees which rows of a column hold equal values, and how often
 * each value occurs, and so learns much of a column with few values (a sex, a country, a diagnosis),
 * or with values whose frequency is known. Use it for values that hardly repeat, such as identity
 * numbers. Whoever can have values of his own encrypted there (by signing up, say) can test whether a
 * guessed value is in the column. Nothing else leaks but the length, as with every blob; and
 * kms_encrypt(), which leaks neither, is the call for every other column. kms_blind_index() searches
 * such a column with a leak that can be made smaller.
 *
 * The context names the place, such as table and column. Equal values of two columns differ, and a
 * blob does not open in another column. To join two columns, give both the same context.
 *
 * A key for it is made with usage KMS_KEY_USAGE_DETERMINISTIC. It has one version for ever: with
 * another one, values that are equal would no longer be equal as blobs, and UNIQUE would pass
 * duplicates without a word. Rotate by moving the alias to another deterministic key, and re-encrypt
 * the column (kms_re_encrypt()) in one transaction of the database that lets nobody else in and begins
 * before the alias moves. If a process was killed in between, kms_blob_is_stale() finds the rows that are
 * left; re-encrypt them before anybody inserts. examples/searchable_column shows it.
 */
#ifndef KMS_DETERMINISTIC_H
#define KMS_DETERMINISTIC_H

#include <kms/blob.h>
#include <kms/context.h>

KMS_BEGIN_DECLS

/**
 * Encrypts so that equal plaintexts with equal contexts give equal blobs, under the one version of a
 * deterministic key. kms_decrypt() opens the blob, and takes no other for this plaintext.
 *
 * @param store      open store
 * @param keyref     key id, or alias in full, of a key with usage KMS_KEY_USAGE_DETERMINISTIC
 * @param context    pairs bound to the blob, one at least: name table and column; borrowed for the
 *                   call
 * @param plain      plaintext; may be NULL only if plain_len is 0
 * @param plain_len  bytes, at most KMS_PLAINTEXT_MAX
 * @param blob       caller's buffer, which must not overlap plain
 * @param blob_size  its size, at least KMS_CIPHERTEXT_SIZE(plain_len)
 * @param[out] blob_len  bytes written, KMS_CIPHERTEXT_SIZE(plain_len)
 *
 * On failure *blob_len is untouched, and the buffer is unchanged or zero.
 *
 * @retval KMS_OK
 * @retval KMS_ERR_INVALID_ARGUMENT  NULL, malformed keyref or context, an empty context, size over a
 *                                   limit, overlapping buffers
 * @retval KMS_ERR_BUFFER_TOO_SMALL  blob_size is below the size stated above
 * @retval KMS_ERR_KEY_NOT_FOUND, KMS_ERR_ALIAS_NOT_FOUND
 * @retval KMS_ERR_UNSUPPORTED       the key is not for deterministic encryption; its suite is not in
 *                                   this build
 * @retval KMS_ERR_DISABLED, KMS_ERR_PENDING_DELETION, KMS_ERR_PENDING_IMPORT
 * @retval those of every look       see kms/status.h
 *
 * Threads: any number may share store. Allocates nothing when the key is warm. Since 0.2. Source:
 * Rogaway and Shrimpton, "Deterministic Authenticated-Encryption" (2006), with a nonce by keyed
 * BLAKE2b: docs/blob-format.md.
 */
KMS_API KMS_MUST_CHECK kms_status kms_encrypt_deterministic(kms_store *store, const char *keyref,
                                                            const kms_context *context,
                                                            const void *plain, size_t plain_len,
                                                            void *blob, size_t blob_size,
                                                            size_t *blob_len);

KMS_END_DECLS

#endif
