/**
 * @file kms/batch.h
 * Many items in one call: the columns of a row, the rows of a page. The key is looked up once, and
 * every item has a status of its own.
 *
 * A batch is one call: all its items are encrypted under the version that was the primary one when it
 * began, even if an alias is moved or a key disabled meanwhile. Take batches of hundreds, not of
 * millions.
 */
#ifndef KMS_BATCH_H
#define KMS_BATCH_H

#include <kms/encrypt.h>

KMS_BEGIN_DECLS

/** One item. Zero it, then set what the call reads. Its size is fixed. Since 0.2. */
typedef struct kms_batch_item {
    /** Read: the plaintext, or the blob. */
    const void *in;
    size_t in_len;
    /** Read: NULL for none. */
    const kms_context *context;
    /** Read: only for kms_re_encrypt_batch(): the context of the new blob; NULL for none. */
    const kms_context *new_context;
    /** Read: where the blob, or the plaintext, goes; it must not overlap any item's buffers. Of this item's
     * own that is checked, of others' not: what overlaps is lost. */
    void *out;
    size_t out_size;
    /** Written if status is KMS_OK. */
    size_t out_len;
    /** Written, if status is KMS_OK, by the calls that open blobs. */
    kms_key_used used;
    /** Written always. */
    kms_status status;
} kms_batch_item;

/**
 * Encrypts many plaintexts under one key, each as kms_encrypt().
 *
 * @param store          open store
 * @param keyref         key id, or alias in full
 * @param[in,out] items  count of them
 * @param count          1 or more
 *
 * What is wrong with one item is that item's status, and the others are done. What is wrong with the
 * store, the key or the reference is every item's.
 *
 * @retval KMS_OK                    every item is done
 * @retval KMS_ERR_INVALID_ARGUMENT  items is NULL or count 0; NULL store, NULL or malformed keyref,
 *                                   which is every item's status then; or as below
 * @retval any other                 the status of the first item that failed, which the message is
 *                                   about too
 *
 * Threads: any number may share store; the items must be this call's alone. Since 0.2. Source: Vault,
 * batch_input.
 */
KMS_API KMS_MUST_CHECK kms_status kms_encrypt_batch(kms_store *store, const char *keyref,
                                                    kms_batch_item *items, size_t count);

/**
 * Decrypts many blobs, of whatever keys, each as kms_decrypt(); used tells which key it was.
 *
 * Parameters, returns and threads: as kms_encrypt_batch(). Since 0.2.
 */
KMS_API KMS_MUST_CHECK kms_status kms_decrypt_batch(kms_store *store, kms_batch_item *items,
                                                    size_t count);

/**
 * Re-encrypts many blobs under one key, each as kms_re_encrypt(); used tells the key that opened it.
 *
 * Parameters, returns and threads: as kms_encrypt_batch(). Since 0.2.
 */
KMS_API KMS_MUST_CHECK kms_status kms_re_encrypt_batch(kms_store *store, const char *keyref,
                                                       kms_batch_item *items, size_t count);

KMS_END_DECLS

#endif
