#include "domain/last_use.h"
#include "base/try.h"
#include "wire/wire.h"

#include <stdlib.h>
#include <string.h>

/* Keys that one transaction writes. */
#define BATCH 60

_Static_assert(BATCH + 2 < KMS_TXN_WRITES_MAX, "a batch fits a transaction");
_Static_assert(5 + 16 * KMS_KEY_VERSIONS_MAX <= KMS__RECORD_PLAIN_MAX, "it fits a record");

kms__record_key kms__last_use_record_key(const uint8_t id[KMS__ID_SIZE])
{
    return kms__record_key_of(KMS__TAG_LAST_USE, id);
}

void kms__last_uses_clear(kms__last_uses *uses)
{
    free(uses->of);
    memset(uses, 0, sizeof *uses);
}

kms__last_use kms__last_use_of(const kms__last_uses *uses, uint32_t number)
{
    static const kms__last_use never;

    return number <= uses->count ? uses->of[number - 1] : never;
}

static kms_status make_room(kms__last_uses *uses, uint32_t count)
{
    kms__last_use *of = calloc((size_t)count + 1, sizeof *of);

    if (of == NULL)
        return kms_set_error(KMS_ERR_NO_MEMORY, "out of memory for the uses of %u versions", count);
    if (uses->of != NULL)
        memcpy(of, uses->of, uses->count * sizeof *of);
    free(uses->of);
    uses->of = of;
    uses->count = count;
    return KMS_OK;
}

static kms_status decode(const kms__record_key *record_key, kms_slice plain, kms__last_uses *uses)
{
    kms__reader reader = kms__reader_of(plain.data, plain.len);
    char name[KMS__RECORD_NAME_SIZE];
    uint8_t body = kms__read_u8(&reader);
    uint32_t count = kms__read_u32(&reader);

    if (body == KMS__LAST_USE_BODY && count <= KMS_KEY_VERSIONS_MAX) {
        KMS__TRY(make_room(uses, count));
        for (uint32_t i = 0; i < count; i++) {
            uses->of[i].encrypt_ms = kms__read_i64(&reader);
            uses->of[i].decrypt_ms = kms__read_i64(&reader);
        }
        if (kms__reader_ended(&reader))
            return KMS_OK;
    }
    return kms_set_error(KMS_ERR_NEWER_FORMAT, "%s was written by a newer libkms",
                         kms__record_name(kms__record_slice(record_key), name));
}

kms_status kms__last_uses_load(kms__txn *txn, const uint8_t id[KMS__ID_SIZE], kms__last_uses *uses)
{
    kms__record_key record_key = kms__last_use_record_key(id);
    uint8_t *plain = NULL;
    size_t len = 0;
    kms_status st = kms__txn_read_alloc(txn, &record_key, &plain, &len, NULL);

    memset(uses, 0, sizeof *uses);
    if (st == KMS_ERR_NOT_FOUND)
        return KMS_OK;
    KMS__TRY(st);
    st = decode(&record_key, (kms_slice){plain, len}, uses);
    free(plain);
    if (st != KMS_OK)
        kms__last_uses_clear(uses);
    return st;
}

static kms_status save(kms__txn *txn, const uint8_t id[KMS__ID_SIZE], const kms__last_uses *uses)
{
    kms__record_key record_key = kms__last_use_record_key(id);
    size_t size = 1 + 4 + (size_t)uses->count * 16;
    uint8_t *plain = malloc(size);
    kms__writer writer = kms__writer_to(plain, size);
    kms_status st;

    if (plain == NULL)
        return kms_set_error(KMS_ERR_NO_MEMORY, "out of memory for the uses of %u versions",
                             uses->count);
    kms__write_u8(&writer, KMS__LAST_USE_BODY);
    kms__write_u32(&writer, uses->count);
    for (uint32_t i = 0; i < uses->count; i++) {
        kms__write_i64(&writer, uses->of[i].encrypt_ms);
        kms__write_i64(&writer, uses->of[i].decrypt_ms);
    }
    st = kms__txn_write(txn, &record_key, (kms_slice){plain, writer.len});
    free(plain);
    return st;
}

static kms_status take_in(kms__last_uses *uses, const kms__use_note *note, bool *changed)
{
    int64_t *at;

    if (uses->of == NULL || note->version > uses->count)
        KMS__TRY(make_room(uses, note->version));
    at = note->encrypted ? &uses->of[note->version - 1].encrypt_ms
                         : &uses->of[note->version - 1].decrypt_ms;
    if (note->at_ms > *at) {
        *at = note->at_ms;
        *changed = true;
    }
    return KMS_OK;
}

/* Notes in the order of their keys. */
typedef struct flush {
    const kms__use_note *notes;
    size_t count;
    /* How many of them this transaction has taken in. */
    size_t done;
    /* Only look whether there is something to write. */
    bool look;
    bool wanted;
} flush;

static int compare(const void *a, const void *b)
{
    const kms__use_note *left = a, *right = b;
    int order = memcmp(left->key_id, right->key_id, KMS__ID_SIZE);

    if (order == 0)
        order = (left->version > right->version) - (left->version < right->version);
    return order != 0 ? order : (int)left->encrypted - (int)right->encrypted;
}

/* Sorts notes, and makes one of those that are about the same; gives how many are left. */
static size_t put_in_order(kms__use_note *notes, size_t count)
{
    size_t kept = 0;

    if (count == 0)
        return 0;
    qsort(notes, count, sizeof *notes, compare);
    for (size_t i = 1; i < count; i++) {
        if (compare(&notes[kept], &notes[i]) != 0)
            notes[++kept] = notes[i];
        else if (notes[i].at_ms > notes[kept].at_ms)
            notes[kept].at_ms = notes[i].at_ms;
    }
    return kept + 1;
}

static bool is_there(kms__txn *txn, const uint8_t id[KMS__ID_SIZE], kms_status *st)
{
    kms__record_key record_key = kms__key_record_key(id);
    uint8_t mark[KMS__MARK_SIZE];

    *st = kms__txn_mark(txn, &record_key, mark);
    if (*st != KMS_ERR_NOT_FOUND)
        return *st == KMS_OK;
    /* It was purged meanwhile. */
    *st = KMS_OK;
    return false;
}

/* The notes of the key that comes next. */
static kms_status flush_key(kms__txn *txn, flush *f)
{
    const uint8_t *id = f->notes[f->done].key_id;
    bool changed = false;
    kms__last_uses uses;
    kms_status st;
    bool there = is_there(txn, id, &st);

    KMS__TRY(st);
    KMS__TRY(kms__last_uses_load(txn, id, &uses));
    while (st == KMS_OK && f->done < f->count &&
           memcmp(f->notes[f->done].key_id, id, KMS__ID_SIZE) == 0)
        st = take_in(&uses, &f->notes[f->done++], &changed);
    changed = changed && there;
    f->wanted = f->wanted || changed;
    if (st == KMS_OK && changed && !f->look)
        st = save(txn, id, &uses);
    kms__last_uses_clear(&uses);
    return st;
}

static kms_status flush_batch(kms__txn *txn, void *argument)
{
    flush *f = argument;

    txn->quiet = true;
    f->done = 0;
    f->wanted = false;
    for (unsigned keys = 0; keys < BATCH && f->done < f->count; keys++)
        KMS__TRY(flush_key(txn, f));
    return KMS_OK;
}

/* Mostly the records know it, and nobody has to be kept from writing. */
static kms_status flush_some(kms_store *store, flush *f)
{
    f->look = true;
    KMS__TRY(kms__store_read(store, flush_batch, f));
    if (!f->wanted)
        return KMS_OK;
    f->look = false;
    return kms__store_try_write(store, flush_batch, f);
}

kms_status kms__last_use_flush(kms_store *store)
{
    kms__use_note *notes = NULL;
    size_t count = 0, done = 0;
    kms_status st = KMS_OK;

    KMS__TRY(kms__cache_collect_uses(store->cache, &notes, &count));
    count = put_in_order(notes, count);
    while (st == KMS_OK && done < count) {
        flush f = {.notes = notes + done, .count = count - done};

        st = flush_some(store, &f);
        if (st == KMS_OK)
            done += f.done;
    }
    if (done < count)
        kms__cache_keep_uses(store->cache, notes + done, count - done);
    free(notes);
    return st;
}
