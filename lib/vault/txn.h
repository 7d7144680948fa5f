/* Transactions over sealed records, and the only retry loop of the library.
 *
 * A body may run more than once: it changes nothing but its transaction and its argument, draws
 * ids and times before, and its caller publishes results after KMS_OK. What was got over on the
 * way to KMS_OK leaves no message. */
#ifndef KMS__VAULT_TXN_H
#define KMS__VAULT_TXN_H

#include "vault/header.h"
#include "vault/store.h"

typedef struct kms__txn {
    kms_store *store;
    kms_txn *engine_txn;
    kms_revision revision;
    /* The store's clock, read once before the first run began. */
    int64_t now_ms;
    kms__seal seal;
    /* NULL in kms__store_read(). A copy of the transaction's own, wiped when it ends. */
    kms__header_block *header;
    size_t writes;
    size_t bytes;
    /* Set by a body whose change is no news to anybody: it is not counted, nor looked for if its
     * outcome is unknown. */
    bool quiet;
} kms__txn;

typedef kms_status kms__txn_body(kms__txn *txn, void *argument);

/* Runs body on a snapshot. */
kms_status kms__store_read(kms_store *store, kms__txn_body *body, void *argument);

/* Runs body and commits what it wrote, together with the header; a body that wrote nothing leaves
 * no trace. Runs it again after KMS_ERR_CONFLICT, bounded; finds out what became of a commit of
 * unknown outcome where the store can tell. */
kms_status kms__store_write(kms_store *store, kms__txn_body *body, void *argument);

/* As kms__store_write(), but only if nobody else is writing: KMS_ERR_BUSY at once, and one attempt. */
kms_status kms__store_try_write(kms_store *store, kms__txn_body *body, void *argument);

/* As kms__store_read(), with the header opened and checked against a rollback. Waits for the
 * handle's changes, and they for it: there is one header block. */
kms_status kms__store_read_header(kms_store *store, kms__txn_body *body, void *argument);

/* Whether the record is there, and its mark. KMS_ERR_NOT_FOUND comes without a sentence. */
kms_status kms__txn_mark(kms__txn *txn, const kms__record_key *key, uint8_t mark[KMS__MARK_SIZE]);

/* Opens a record into room of the caller's, of exactly len bytes. Another length of the record is
 * KMS_ERR_CORRUPT, a longer one KMS_ERR_NEWER_FORMAT. mark may be NULL. KMS_ERR_NOT_FOUND comes
 * without a sentence. */
kms_status kms__txn_read(kms__txn *txn, const kms__record_key *key, void *plain, size_t len,
                         uint8_t mark[KMS__MARK_SIZE]);

/* As kms__txn_read(), for a record whose older form is shorter: its length is one of two. */
kms_status kms__txn_read_either(kms__txn *txn, const kms__record_key *key, void *plain,
                                size_t least, size_t most, uint8_t mark[KMS__MARK_SIZE]);

/* Opens a record of any length into malloc'd memory, the caller's to free. */
kms_status kms__txn_read_alloc(kms__txn *txn, const kms__record_key *key, uint8_t **plain,
                               size_t *len, uint8_t mark[KMS__MARK_SIZE]);

/* Seals and writes a record, over an older one. */
kms_status kms__txn_write(kms__txn *txn, const kms__record_key *key, kms_slice plain);

/* Removes a record. KMS_ERR_NOT_FOUND comes without a sentence. */
kms_status kms__txn_delete(kms__txn *txn, const kms__record_key *key);

/* Copies of record keys, a batch at a time: an engine's slices end with its next call. */
#define KMS__KEY_BATCH 64

typedef struct kms__key_batch {
    kms__record_key keys[KMS__KEY_BATCH];
    size_t count;
} kms__key_batch;

/* The first KMS__KEY_BATCH record keys at or after `from`, which may be empty. */
kms_status kms__txn_scan_keys(kms__txn *txn, const kms__record_key *from, kms__key_batch *batch);

/* Where the next batch begins; false if this one was the last. */
bool kms__key_batch_next(const kms__key_batch *batch, kms__record_key *from);

/* The least record key that is greater. */
kms__record_key kms__record_key_successor(const kms__record_key *key);

#endif
