/**
 * @file kms/blind_index.h
 * Blind indexes: searching an encrypted column for a value. Beside the blob stands a token of the
 * value, in a column of its own with an ordinary index; a query computes the token of what it looks
 * for, and decrypts the rows that it finds.
 *
 * What it leaks. Rows with equal tokens probably hold equal values, and so whoever sees the table sees
 * what repeats, and how often, as with kms_encrypt_deterministic(). Fewer bits leak less: of R rows,
 * R / 2^bits have any one token by chance, and nobody without the key can tell them from those that are
 * equal. With two or more such rows on average no single match proves anything; with many bits each
 * match does. Tokens do not tell the value, but whoever can have values of his own indexed can test a
 * guess. A query therefore always decrypts and compares what it finds. Whatever the bits, do not index
 * a column of few values: its tokens are its contents under another name.
 *
 * Normalise the value first (case, blanks, form of a date): tokens of what differs in one bit have
 * nothing in common.
 *
 * Rotation. Tokens follow from version 1 of the key, whatever its primary version: so that new
 * versions, by policy or on demand, change no token. Rotate the tokens by moving the alias to another
 * key: each call gives the tokens under the alias' key and under the key before, and a query that looks
 * for both finds every row while the tokens are rewritten in the background. Finish that before the
 * alias moves again, since it remembers one key. An index needs no key of its own, but with one it is
 * rotated apart from the data.
 */
#ifndef KMS_BLIND_INDEX_H
#define KMS_BLIND_INDEX_H

#include <kms/key.h>

/** Fewest and most bits of a token. */
#define KMS_BLIND_INDEX_BITS_MIN 8u
#define KMS_BLIND_INDEX_BITS_MAX 256u
/** Size of the longest token. */
#define KMS_BLIND_INDEX_TOKEN_MAX 32
/** Longest label, bytes, without its NUL. */
#define KMS_BLIND_INDEX_LABEL_MAX 255

KMS_BEGIN_DECLS

/** The tokens of one value. Its size is fixed: a later release uses what is reserved. Since 0.2. */
typedef struct kms_blind_tokens {
    /** Bytes of each token: bits / 8, rounded up. Bits beyond are zero, the last byte's lowest. */
    size_t len;
    /** Under the current key: store this one. The bytes behind len are zero. */
    uint8_t token[KMS_BLIND_INDEX_TOKEN_MAX];
    /** Whether there is a token under the key before: look for that one too. */
    bool has_previous;
    uint8_t previous[KMS_BLIND_INDEX_TOKEN_MAX];
    /**
     * KMS_OK if has_previous; KMS_ERR_NOT_FOUND if there is no key before; else why that key gives no
     * token: KMS_ERR_KEY_NOT_FOUND, KMS_ERR_DISABLED, KMS_ERR_PENDING_DELETION,
     * KMS_ERR_PENDING_IMPORT, KMS_ERR_DESTROYED, KMS_ERR_UNSUPPORTED. Then rows whose token was not
     * rewritten yet are not found, and a program that still has such rows must not go on.
     */
    kms_status previous_status;
    /** Zero. */
    uint8_t reserved[36];
} kms_blind_tokens;

/**
 * Computes the tokens of a value: under the key that a reference names, and, if it is an alias that
 * was moved, under the key before.
 *
 * @param store        open store
 * @param keyref       alias in full; or a key id, which has no key before
 * @param label        which index: "table.column", say; NUL-terminated, 1 to
 *                     KMS_BLIND_INDEX_LABEL_MAX bytes. Equal values under two labels have tokens with
 *                     nothing in common
 * @param value        the value, normalised; may be NULL only if value_len is 0
 * @param value_len    bytes
 * @param bits         KMS_BLIND_INDEX_BITS_MIN to KMS_BLIND_INDEX_BITS_MAX: how many bits of a token
 *                     there are. Another number gives other tokens, not parts of the same
 * @param[out] tokens  written whole; untouched on failure
 *
 * @retval KMS_OK
 * @retval KMS_ERR_INVALID_ARGUMENT  NULL, malformed keyref, label or bits out of their limits
 * @retval KMS_ERR_KEY_NOT_FOUND, KMS_ERR_ALIAS_NOT_FOUND
 * @retval KMS_ERR_UNSUPPORTED       the key is for deterministic encryption; its suite is not in this
 *                                   build
 * @retval KMS_ERR_DISABLED, KMS_ERR_PENDING_DELETION, KMS_ERR_PENDING_IMPORT, KMS_ERR_DESTROYED
 *                                   the key, or its version 1
 * @retval those of every look       see kms/status.h
 *
 * Threads: any number may share store. Allocates nothing when the keys are warm. Since 0.2. Source:
 * blind indexes as in CipherSweet (P.I.E. Security), by keyed BLAKE2b: docs/blob-format.md.
 */
KMS_API KMS_MUST_CHECK kms_status kms_blind_index(kms_store *store, const char *keyref,
                                                  const char *label, const void *value,
                                                  size_t value_len, unsigned bits,
                                                  kms_blind_tokens *tokens);

KMS_END_DECLS

#endif
