#include "domain/listing.h"
#include "base/try.h"
#include "wire/wire.h"

#include <string.h>

typedef struct progress {
    const kms__listing *listing;
    size_t count;
    bool more;
} progress;

static bool has_prefix(kms_slice key, kms_slice prefix)
{
    return key.len >= prefix.len && memcmp(key.data, prefix.data, prefix.len) == 0;
}

static kms__record_key start_of(const kms__listing *listing)
{
    kms__record_key start;
    kms__writer writer = kms__writer_to(start.bytes, sizeof start.bytes);

    kms__write_bytes(&writer, listing->prefix.data, listing->prefix.len);
    kms__write_bytes(&writer, listing->after.data, listing->after.len);
    start.len = writer.len;
    return listing->after.data != NULL ? kms__record_key_successor(&start) : start;
}

/* *done tells that the page is full, or the prefix' records are at their end. */
static kms_status add_batch(kms__txn *txn, progress *p, const kms__key_batch *b, bool *done)
{
    *done = false;
    for (size_t i = 0; i < b->count; i++) {
        if (!has_prefix(kms__record_slice(&b->keys[i]), p->listing->prefix)) {
            *done = true;
            return KMS_OK;
        }
        if (p->listing->wants != NULL) {
            bool wanted = false;

            KMS__TRY(p->listing->wants(txn, &b->keys[i], p->listing->filter, &wanted));
            if (!wanted)
                continue;
        }
        if (p->count == p->listing->limit) {
            p->more = true;
            *done = true;
            return KMS_OK;
        }
        KMS__TRY(p->listing->add(txn, &b->keys[i], p->listing->page, p->count));
        p->count++;
    }
    return KMS_OK;
}

static kms_status fill_page(kms__txn *txn, void *argument)
{
    progress *p = argument;
    kms__record_key from = start_of(p->listing);
    kms__key_batch batch;
    bool done;

    p->count = 0;
    p->more = false;
    do {
        KMS__TRY(kms__txn_scan_keys(txn, &from, &batch));
        KMS__TRY(add_batch(txn, p, &batch, &done));
    } while (!done && kms__key_batch_next(&batch, &from));
    return KMS_OK;
}

kms_status kms__list(kms_store *store, const kms__listing *listing, size_t *count, bool *more)
{
    progress p = {.listing = listing};

    if (listing->page == NULL || count == NULL || listing->limit == 0)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT,
                             "a list needs a page of one entry or more, and where to count it");
    KMS__TRY(kms__store_read(store, fill_page, &p));
    *count = p.count;
    if (more != NULL)
        *more = p.more;
    return KMS_OK;
}
