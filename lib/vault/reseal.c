#include "vault/reseal.h"
#include "base/try.h"
#include "vault/open.h"

#include <sodium.h>
#include <string.h>

/* What one transaction of the target takes of sealed bytes; the last record may go beyond it. */
#define BATCH_BYTES ((size_t)512 * 1024)

_Static_assert(BATCH_BYTES + KMS_RECORD_VALUE_MAX + KMS__HEADER_VALUE_SIZE < KMS_TXN_BYTES_MAX &&
                   KMS__KEY_BATCH + 2 < KMS_TXN_WRITES_MAX,
               "a batch fits a transaction");

typedef struct copying {
    kms__txn *from;
    kms_store *target;
    kms_root *root;
    kms__txn_body *check;
    /* Of the store: the target's own counter goes on from there. */
    uint64_t changes;
    bool begun;
    /* Room for one record's plaintext, in locked memory. */
    uint8_t *plain;
    kms__key_batch batch;
    /* Of the batch: those before it are in the target. */
    size_t at;
    size_t next;
} copying;

static bool is_copied(const kms__record_key *key)
{
    return key->len != 1 || (key->bytes[0] != KMS__TAG_BOOT && key->bytes[0] != KMS__TAG_HEADER);
}

/* A second snapshot would not be the one that the target has the beginning of. */
static kms_status snapshot_is_lost(void)
{
    return kms_set_error(KMS_ERR_STORAGE, "the store's engine lost its snapshot: delete the copy "
                                          "and try again");
}

static kms_status copy_record(kms__txn *to, copying *c, const kms__record_key *key)
{
    kms_backend *engine = c->from->store->engine;
    kms_slice name = kms__record_slice(key), value;
    kms_status st = engine->ops->get(c->from->engine_txn, name, &value);

    /* The target's transaction, which this is a part of, is not what is to be run again. */
    if (st == KMS_ERR_CONFLICT)
        return snapshot_is_lost();
    KMS__TRY(st);
    KMS__TRY(kms__record_open(&c->from->seal, name, value, c->plain));
    st = kms__txn_write(to, key, (kms_slice){c->plain, kms__record_plain_size(value)});
    sodium_memzero(c->plain, kms__record_plain_size(value));
    return st;
}

static kms_status copy_some(kms__txn *to, void *argument)
{
    copying *c = argument;

    if (to->header->header.changes < c->changes)
        to->header->header.changes = c->changes;
    for (c->next = c->at; c->next < c->batch.count && to->bytes < BATCH_BYTES; c->next++)
        if (is_copied(&c->batch.keys[c->next]))
            KMS__TRY(copy_record(to, c, &c->batch.keys[c->next]));
    return KMS_OK;
}

static kms_status copy_all(copying *c)
{
    kms__record_key from = {.len = 0};

    do {
        KMS__TRY(kms__txn_scan_keys(c->from, &from, &c->batch));
        for (c->at = 0; c->at < c->batch.count; c->at = c->next)
            KMS__TRY(kms__store_write(c->target, copy_some, c));
    } while (kms__key_batch_next(&c->batch, &from));
    return KMS_OK;
}

/* Checked first: sealed anew, a record that was removed or replayed would show no more. And made in
 * the snapshot: the counter of the changes is that of the content. */
static kms_status copy_snapshot(kms__txn *txn, void *argument)
{
    copying *c = argument;

    if (c->begun)
        return snapshot_is_lost();
    KMS__TRY(c->check(txn, NULL));
    c->begun = true;
    c->from = txn;
    c->changes = txn->header->header.changes;
    KMS__TRY(kms__store_create_successor(c->target, c->root, txn->store, c->changes));
    return copy_all(c);
}

kms_status kms__store_reseal(kms_store *store, kms_store *target, kms_root *root,
                             kms__txn_body *check)
{
    copying c = {.target = target, .root = root, .check = check};
    kms_status st;

    KMS__TRY(kms__store_secret_block(store, KMS__RECORD_PLAIN_MAX, &c.plain));
    st = kms__store_read_header(store, copy_snapshot, &c);
    kms__secret_block_free(c.plain, KMS__RECORD_PLAIN_MAX);
    return st;
}
