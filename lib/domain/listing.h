/* Lists, a page at a time: the records whose keys begin with a prefix. */
#ifndef KMS__DOMAIN_LISTING_H
#define KMS__DOMAIN_LISTING_H

#include "vault/txn.h"

/* Writes what a record tells to place `at` of the page. record_key is a copy: it may read. */
typedef kms_status kms__listing_add(kms__txn *txn, const kms__record_key *record_key, void *page,
                                    size_t at);

/* Whether a record belongs into the list. */
typedef kms_status kms__listing_wants(kms__txn *txn, const kms__record_key *record_key,
                                      const void *filter, bool *wanted);

typedef struct kms__listing {
    kms_slice prefix;
    /* Begin behind prefix and these bytes; data NULL: at the first. */
    kms_slice after;
    /* NULL: every record does. */
    kms__listing_wants *wants;
    const void *filter;
    kms__listing_add *add;
    /* The caller's array, of `limit` entries. */
    void *page;
    size_t limit;
} kms__listing;

/* Fills a page from one snapshot. count and more (which may be NULL) are written on KMS_OK. */
kms_status kms__list(kms_store *store, const kms__listing *listing, size_t *count, bool *more);

#endif
