/**
 * @file kms/text.h
 * Blobs as text, for columns, files and URLs that hold nothing else.
 *
 * The text form is "kms1." and the blob in base64url without padding (RFC 4648, section 5): letters,
 * digits, "-", "_" and the one ".", so that nothing of it has to be quoted in SQL, CSV or URLs. A blob
 * has exactly one text form, and so a column of texts is as unique as one of blobs. "1" is the number
 * of the form. A comparison of texts must tell capital letters from small ones.
 */
#ifndef KMS_TEXT_H
#define KMS_TEXT_H

#include <kms/blob.h>

/** What every text form begins with. */
#define KMS_TEXT_PREFIX "kms1."
/** Characters of that. */
#define KMS_TEXT_PREFIX_LEN 5
/** Size of the text form of a blob of n bytes, with its final NUL. */
#define KMS_TEXT_SIZE(n)                                                                           \
    (KMS_TEXT_PREFIX_LEN + (size_t)(n) / 3 * 4 +                                                   \
     ((size_t)(n) % 3 == 0 ? (size_t)0 : (size_t)(n) % 3 + 1) + 1)
/** Most bytes of the blob in a text of n characters, without its NUL; 0 for what is too short. */
#define KMS_TEXT_BLOB_SIZE(n)                                                                      \
    ((size_t)(n) < KMS_TEXT_PREFIX_LEN ? (size_t)0                                                 \
                                       : ((size_t)(n)-KMS_TEXT_PREFIX_LEN) / 4 * 3 +               \
                                             (((size_t)(n)-KMS_TEXT_PREFIX_LEN) % 4 < 2            \
                                                  ? (size_t)0                                      \
                                                  : ((size_t)(n)-KMS_TEXT_PREFIX_LEN) % 4 - 1))

KMS_BEGIN_DECLS

/**
 * Writes a blob as text. What is no blob is refused, so that no plaintext gets into a column of
 * ciphertext by mistake; whether the blob opens is not looked at.
 *
 * @param blob           a blob of any kind
 * @param blob_len       bytes
 * @param[out] text      caller's buffer, which must not overlap blob; NUL-terminated
 * @param text_size      its size, at least KMS_TEXT_SIZE(blob_len)
 * @param[out] text_len  characters written, without the NUL; NULL if not wanted
 *
 * On failure text and *text_len are untouched.
 *
 * @retval KMS_OK
 * @retval KMS_ERR_INVALID_ARGUMENT    NULL, overlapping buffers
 * @retval KMS_ERR_BUFFER_TOO_SMALL    text_size is below the size stated above
 * @retval KMS_ERR_NEWER_FORMAT        a newer libkms made the blob
 * @retval KMS_ERR_INVALID_CIPHERTEXT  it is no blob
 *
 * Threads: any. No allocation. Since 0.2. Source: Vault's transit engine, whose ciphertext is text
 * with a prefix.
 */
KMS_API KMS_MUST_CHECK kms_status kms_blob_to_text(const void *blob, size_t blob_len, char *text,
                                                   size_t text_size, size_t *text_len);

/**
 * Reads a blob from its text form. Only the one text that kms_blob_to_text() gives is taken: no
 * blanks, no padding, no other alphabet, nothing behind it, no spare bits.
 *
 * @param text           the text
 * @param text_len       characters, without a final NUL
 * @param[out] blob      caller's buffer, which must not overlap text
 * @param blob_size      its size, at least KMS_TEXT_BLOB_SIZE(text_len)
 * @param[out] blob_len  bytes written
 *
 * On failure *blob_len is untouched, and the buffer is unchanged or zero.
 *
 * @retval KMS_OK
 * @retval KMS_ERR_INVALID_ARGUMENT    NULL, overlapping buffers
 * @retval KMS_ERR_BUFFER_TOO_SMALL    blob_size is below the size stated above
 * @retval KMS_ERR_NEWER_FORMAT        a newer libkms made the text, or the blob in it
 * @retval KMS_ERR_INVALID_CIPHERTEXT  it is no text form of a blob: cut, altered or something else
 *
 * Threads: any. No allocation. Since 0.2. Source: as kms_blob_to_text().
 */
KMS_API KMS_MUST_CHECK kms_status kms_blob_from_text(const char *text, size_t text_len, void *blob,
                                                     size_t blob_size, size_t *blob_len);

KMS_END_DECLS

#endif
