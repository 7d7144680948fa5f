#include "vault/txn.h"
#include "base/kept_error.h"
#include "base/try.h"
#include "vault/foreign.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ATTEMPTS_MAX 24
/* Looks for an operation whose commit was of unknown outcome. */
#define SETTLE_ATTEMPTS 3

kms_status kms__store_check_writable(const kms_store *store)
{
    KMS__TRY(kms__store_check(store));
    if (store->read_only)
        return kms_set_error(KMS_ERR_READ_ONLY, "the store is open for reading only");
    return KMS_OK;
}

static kms_status begin(kms_store *store, unsigned mode, int64_t now_ms, kms__txn *txn)
{
    memset(txn, 0, sizeof *txn);
    txn->store = store;
    txn->now_ms = now_ms;
    txn->seal = (kms__seal){store->id, store->generation, store->records_key};
    return store->engine->ops->begin(store->engine, mode, &txn->engine_txn, &txn->revision);
}

static void end_without_trace(kms__txn *txn)
{
    if (txn->engine_txn != NULL)
        txn->store->engine->ops->abort(txn->engine_txn);
    txn->engine_txn = NULL;
    if (txn->header != NULL)
        sodium_memzero(txn->header, sizeof *txn->header);
    txn->header = NULL;
}

/* Waits longer each time, and never the same, so that writers in step fall out of it. */
static void back_off(unsigned attempt)
{
    uint32_t most_us = 100u << (attempt < 9 ? attempt : 9);
    uint32_t us = 1 + randombytes_uniform(most_us);
    struct timespec pause = {.tv_sec = 0, .tv_nsec = (long)us * 1000};

    nanosleep(&pause, NULL);
}

static void remember_changes(kms_store *store, uint64_t changes)
{
    uint64_t seen = atomic_load(&store->changes_seen);

    while (seen < changes && !atomic_compare_exchange_weak(&store->changes_seen, &seen, changes))
        continue;
}

/* seen was read before the transaction began: a change that another thread made since is no
 * rollback. */
static kms_status load_header(kms__txn *txn, kms__header_block *block, uint64_t seen)
{
    kms_slice value;
    kms_status st = txn->store->engine->ops->get(txn->engine_txn, kms__header_key(), &value);

    if (st == KMS_ERR_NOT_FOUND)
        return kms_set_error(KMS_ERR_CORRUPT, "the store's header record is missing");
    KMS__TRY(st);
    txn->header = block;
    KMS__TRY(kms__header_open(&txn->seal, value, block));
    if (block->header.changes < seen)
        return kms_set_error(KMS_ERR_ROLLBACK,
                             "the store is at change %llu, but this handle has seen %llu: an older "
                             "copy was put in its place",
                             (unsigned long long)block->header.changes, (unsigned long long)seen);
    return KMS_OK;
}

/* header: room for the header, if it is wanted. */
static kms_status read_once(kms_store *store, int64_t now_ms, kms__txn_body *body, void *argument,
                            kms__header_block *header)
{
    uint64_t seen = atomic_load(&store->changes_seen);
    kms__txn txn;
    kms_status st = begin(store, KMS_TXN_READ, now_ms, &txn);

    if (st == KMS_OK && header != NULL)
        st = load_header(&txn, header, seen);
    if (st == KMS_OK && header != NULL)
        remember_changes(store, txn.header->header.changes);
    if (st == KMS_OK)
        st = body(&txn, argument);
    end_without_trace(&txn);
    return st;
}

static kms_status read_with_retry(kms_store *store, kms__txn_body *body, void *argument,
                                  kms__header_block *header)
{
    int64_t now_ms = kms__store_now(store);
    kms__kept_error kept;

    kms__error_keep(&kept);
    kms__foreign_begin();
    for (unsigned attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
        kms_status st = read_once(store, now_ms, body, argument, header);

        if (st == KMS_OK)
            kms__error_restore(&kept);
        if (st != KMS_ERR_CONFLICT)
            return kms__foreign_end("engine", store->engine->ops->name, st);
        back_off(attempt);
    }
    return kms_set_error(KMS_ERR_CONFLICT, "writers kept changing the store; try again");
}

kms_status kms__store_read(kms_store *store, kms__txn_body *body, void *argument)
{
    return read_with_retry(store, body, argument, NULL);
}

kms_status kms__store_read_header(kms_store *store, kms__txn_body *body, void *argument)
{
    kms_status st;

    KMS__TRY(kms__gate_enter(&store->gate, store->busy_timeout_ms));
    st = read_with_retry(store, body, argument, store->header_block);
    kms__gate_leave(&store->gate);
    return st;
}

static kms_status write_header(kms__txn *txn)
{
    uint8_t value[KMS__HEADER_VALUE_SIZE];
    kms_slice slice = {value, sizeof value};

    kms__header_seal(&txn->seal, txn->header, value);
    return txn->store->engine->ops->put(txn->engine_txn, kms__header_key(), slice);
}

static kms_status commit(kms__txn *txn, const uint8_t operation[KMS__OPERATION_ID_SIZE])
{
    uint64_t changes;
    kms_txn *engine_txn;
    kms_status st;

    if (txn->writes == 0)
        return KMS_OK;
    if (!txn->quiet)
        kms__header_count(&txn->header->header, operation);
    changes = txn->header->header.changes;
    KMS__TRY(write_header(txn));
    engine_txn = txn->engine_txn;
    txn->engine_txn = NULL;
    st = txn->store->engine->ops->commit(engine_txn);
    if (st == KMS_OK)
        remember_changes(txn->store, changes);
    return st;
}

/* What is drawn before the first run of a change. */
typedef struct draw {
    uint8_t operation[KMS__OPERATION_ID_SIZE];
    int64_t now_ms;
} draw;

static draw draw_for(const kms_store *store)
{
    draw drawn = {.now_ms = kms__store_now(store)};

    randombytes_buf(drawn.operation, sizeof drawn.operation);
    return drawn;
}

static kms_status write_once(kms_store *store, bool wait, kms__txn_body *body, void *argument,
                             const draw *drawn)
{
    uint64_t seen = atomic_load(&store->changes_seen);
    unsigned mode = wait ? KMS_TXN_WRITE : KMS_TXN_WRITE | KMS_TXN_NOWAIT;
    kms__txn txn;
    kms_status st;

    st = begin(store, mode, drawn->now_ms, &txn);
    if (st == KMS_OK)
        st = load_header(&txn, store->header_block, seen);
    if (st == KMS_OK)
        st = body(&txn, argument);
    if (st == KMS_OK)
        st = commit(&txn, drawn->operation);
    end_without_trace(&txn);
    return st;
}

typedef struct settle {
    const uint8_t *operation;
    bool found;
} settle;

static kms_status look_for_operation(kms__txn *txn, void *argument)
{
    settle *look = argument;

    look->found = kms__header_knows(&txn->header->header, look->operation);
    return KMS_OK;
}

/* Finding the operation proves that it was applied. Not finding it proves nothing: it may be on
 * its way, or older than those that the header keeps. */
/* The caller holds the gate, and so the store's header block. */
static kms_status settle_unknown(kms_store *store, const draw *drawn)
{
    settle look = {drawn->operation, false};

    for (unsigned attempt = 0; attempt < SETTLE_ATTEMPTS; attempt++) {
        if (read_once(store, drawn->now_ms, look_for_operation, &look, store->header_block) ==
                KMS_OK &&
            look.found)
            return KMS_OK;
        back_off(attempt + 4);
    }
    return kms_set_error(KMS_ERR_COMMIT_UNKNOWN,
                         "the change may or may not have been made: look before trying again");
}

static kms_status write_with_retry(kms_store *store, kms__txn_body *body, void *argument)
{
    draw drawn = draw_for(store);

    for (unsigned attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
        kms_status st = write_once(store, store->busy_timeout_ms != 0, body, argument, &drawn);

        if (st == KMS_ERR_COMMIT_UNKNOWN)
            return settle_unknown(store, &drawn);
        if (st != KMS_ERR_CONFLICT)
            return st;
        back_off(attempt);
    }
    return kms_set_error(KMS_ERR_CONFLICT, "other writers kept winning; try again");
}

kms_status kms__store_write(kms_store *store, kms__txn_body *body, void *argument)
{
    kms__kept_error kept;
    kms_status st;

    KMS__TRY(kms__gate_enter(&store->gate, store->busy_timeout_ms));
    kms__error_keep(&kept);
    kms__foreign_begin();
    st = write_with_retry(store, body, argument);
    if (st == KMS_OK)
        kms__error_restore(&kept);
    else
        st = kms__foreign_end("engine", store->engine->ops->name, st);
    kms__gate_leave(&store->gate);
    return st;
}

kms_status kms__store_try_write(kms_store *store, kms__txn_body *body, void *argument)
{
    draw drawn = draw_for(store);
    kms__kept_error kept;
    kms_status st;

    KMS__TRY(kms__gate_enter(&store->gate, 0));
    kms__error_keep(&kept);
    kms__foreign_begin();
    st = write_once(store, false, body, argument, &drawn);
    if (st == KMS_OK)
        kms__error_restore(&kept);
    else
        st = kms__foreign_end("engine", store->engine->ops->name, st);
    kms__gate_leave(&store->gate);
    return st;
}

static kms_status get(kms__txn *txn, const kms__record_key *key, kms_slice *value)
{
    return txn->store->engine->ops->get(txn->engine_txn, kms__record_slice(key), value);
}

kms_status kms__txn_mark(kms__txn *txn, const kms__record_key *key, uint8_t mark[KMS__MARK_SIZE])
{
    kms_slice value;

    KMS__TRY(get(txn, key, &value));
    return kms__record_mark(kms__record_slice(key), value, mark);
}

kms_status kms__txn_read_either(kms__txn *txn, const kms__record_key *key, void *plain,
                                size_t least, size_t most, uint8_t mark[KMS__MARK_SIZE])
{
    char name[KMS__RECORD_NAME_SIZE];
    kms_slice value;

    KMS__TRY(get(txn, key, &value));
    if (value.len > most + KMS__RECORD_OVERHEAD)
        return kms_set_error(KMS_ERR_NEWER_FORMAT,
                             "%s is longer than this libkms knows: use a newer one",
                             kms__record_name(kms__record_slice(key), name));
    if (value.len != most + KMS__RECORD_OVERHEAD && value.len != least + KMS__RECORD_OVERHEAD)
        return kms_set_error(KMS_ERR_CORRUPT, "%s is damaged",
                             kms__record_name(kms__record_slice(key), name));
    if (mark != NULL)
        KMS__TRY(kms__record_mark(kms__record_slice(key), value, mark));
    return kms__record_open(&txn->seal, kms__record_slice(key), value, plain);
}

kms_status kms__txn_read(kms__txn *txn, const kms__record_key *key, void *plain, size_t len,
                         uint8_t mark[KMS__MARK_SIZE])
{
    return kms__txn_read_either(txn, key, plain, len, len, mark);
}

kms_status kms__txn_read_alloc(kms__txn *txn, const kms__record_key *key, uint8_t **plain,
                               size_t *len, uint8_t mark[KMS__MARK_SIZE])
{
    uint8_t *room;
    kms_slice value;
    kms_status st;

    KMS__TRY(get(txn, key, &value));
    if (mark != NULL)
        KMS__TRY(kms__record_mark(kms__record_slice(key), value, mark));
    room = malloc(kms__record_plain_size(value) + 1);
    if (room == NULL)
        return kms_set_error(KMS_ERR_NO_MEMORY, "out of memory for a record of %zu bytes",
                             value.len);
    st = kms__record_open(&txn->seal, kms__record_slice(key), value, room);
    if (st != KMS_OK) {
        free(room);
        return st;
    }
    *plain = room;
    *len = kms__record_plain_size(value);
    return KMS_OK;
}

/* The core keeps within what every engine takes; a body that would not is our own mistake, told
 * before the engine sees it. One write is left for the header. */
static kms_status charge(kms__txn *txn, size_t bytes)
{
    if (txn->writes + 2 > KMS_TXN_WRITES_MAX ||
        bytes > KMS_TXN_BYTES_MAX - KMS__HEADER_VALUE_SIZE - txn->bytes)
        return kms_set_error(KMS_ERR_LIMIT_EXCEEDED,
                             "the change is larger than one transaction may be");
    txn->writes++;
    txn->bytes += bytes;
    return KMS_OK;
}

/* Takes the older value out of the set hash. *was tells whether there was one. */
static kms_status leave_set(kms__txn *txn, const kms__record_key *key, bool *was)
{
    uint8_t mark[KMS__MARK_SIZE];
    kms_status st = kms__txn_mark(txn, key, mark);

    *was = st == KMS_OK;
    if (*was)
        kms__set_hash_toggle(&txn->header->header, kms__record_slice(key), mark);
    return st == KMS_ERR_NOT_FOUND ? KMS_OK : st;
}

kms_status kms__txn_write(kms__txn *txn, const kms__record_key *key, kms_slice plain)
{
    size_t value_len = plain.len + KMS__RECORD_OVERHEAD;
    uint8_t mark[KMS__MARK_SIZE];
    kms_slice value;
    uint8_t *sealed;
    bool was;
    kms_status st;

    if (plain.len > KMS__RECORD_PLAIN_MAX)
        return kms_set_error(KMS_ERR_LIMIT_EXCEEDED, "a record of %zu bytes is too large",
                             plain.len);
    KMS__TRY(charge(txn, key->len + value_len));
    KMS__TRY(leave_set(txn, key, &was));
    sealed = malloc(value_len);
    if (sealed == NULL)
        return kms_set_error(KMS_ERR_NO_MEMORY, "out of memory for a record of %zu bytes",
                             value_len);
    kms__record_seal(&txn->seal, kms__record_slice(key), plain, sealed);
    value = (kms_slice){sealed, value_len};
    st = kms__record_mark(kms__record_slice(key), value, mark);
    if (st == KMS_OK)
        st = txn->store->engine->ops->put(txn->engine_txn, kms__record_slice(key), value);
    free(sealed);
    KMS__TRY(st);
    kms__set_hash_toggle(&txn->header->header, kms__record_slice(key), mark);
    txn->header->header.records += was ? 0 : 1;
    return KMS_OK;
}

kms_status kms__txn_delete(kms__txn *txn, const kms__record_key *key)
{
    bool was;

    KMS__TRY(charge(txn, key->len));
    KMS__TRY(leave_set(txn, key, &was));
    KMS__TRY(txn->store->engine->ops->del(txn->engine_txn, kms__record_slice(key)));
    txn->header->header.records--;
    return KMS_OK;
}

kms_status kms__txn_scan_keys(kms__txn *txn, const kms__record_key *from, kms__key_batch *batch)
{
    kms_record records[KMS__KEY_BATCH];

    KMS__TRY(txn->store->engine->ops->scan(txn->engine_txn, kms__record_slice(from), KMS__KEY_BATCH,
                                           records, &batch->count));
    for (size_t i = 0; i < batch->count; i++) {
        if (records[i].key.len > KMS_RECORD_KEY_MAX)
            return kms_set_error(KMS_ERR_CORRUPT, "a record's key is longer than any of ours");
        batch->keys[i].len = records[i].key.len;
        memcpy(batch->keys[i].bytes, records[i].key.data, records[i].key.len);
    }
    return KMS_OK;
}

bool kms__key_batch_next(const kms__key_batch *batch, kms__record_key *from)
{
    if (batch->count < KMS__KEY_BATCH)
        return false;
    *from = kms__record_key_successor(&batch->keys[batch->count - 1]);
    return true;
}

kms__record_key kms__record_key_successor(const kms__record_key *key)
{
    kms__record_key next = *key;

    /* No key of ours is so long that the byte would not fit. */
    if (next.len < sizeof next.bytes)
        next.bytes[next.len++] = 0;
    return next;
}
