#include "domain/key_versions.h"
#include "base/try.h"
#include "crypto/blob.h"
#include "domain/deletion.h"
#include "domain/reference.h"

#include <kms/key_version.h>
#include <string.h>

typedef struct rotation {
    uint8_t id[KMS__ID_SIZE];
    kms__key_seed seed;
    uint32_t number;
} rotation;

static kms_status rotate(kms__txn *txn, void *argument)
{
    rotation *r = argument;

    return kms__key_rotate(txn, r->id, &r->seed, &r->number);
}

kms_status kms_create_key_version(kms_store *store, const char *key_id, uint32_t *version_number)
{
    rotation r;
    kms_status st;

    KMS__TRY(kms__store_check_writable(store));
    KMS__TRY(kms__key_id_parse(key_id, r.id));
    KMS__TRY(kms__key_seed_draw(store, NULL, &r.seed));
    st = kms__store_write(store, rotate, &r);
    kms__key_seed_wipe(store, &r.seed);
    if (st == KMS_OK && version_number != NULL)
        *version_number = r.number;
    return st;
}

typedef struct description {
    const char *keyref;
    uint32_t number;
    kms_key_version_info info;
} description;

static kms_status describe(kms__txn *txn, const kms__key *key, description *d)
{
    uint32_t number = d->number != 0 ? d->number : key->primary;
    kms__key_version *version;
    kms__last_uses uses;
    kms_status st;

    KMS__TRY(kms__key_version_of(key, number, &version));
    KMS__TRY(kms__last_uses_load(txn, key->id, &uses));
    st = kms__version_describe(txn, key, number, &uses, &d->info);
    kms__last_uses_clear(&uses);
    return st;
}

static kms_status describe_one(kms__txn *txn, void *argument)
{
    description *d = argument;
    kms__key key;
    kms_status st;

    KMS__TRY(kms__key_find(txn, d->keyref, &key));
    st = describe(txn, &key, d);
    kms__key_clear(&key);
    return st;
}

kms_status kms_describe_key_version(kms_store *store, const char *keyref, uint32_t number,
                                    kms_key_version_info *info)
{
    description d = {.keyref = keyref, .number = number};

    KMS__TRY(kms__store_check(store));
    if (info == NULL)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "info is NULL");
    KMS__TRY(kms__store_read(store, describe_one, &d));
    *info = d.info;
    return KMS_OK;
}

typedef struct page {
    const char *keyref;
    uint32_t after;
    kms_key_version_info *versions;
    size_t limit;
    size_t count;
    bool more;
} page;

static kms_status fill_page(kms__txn *txn, const kms__key *key, page *p)
{
    kms__last_uses uses;
    kms_status st = KMS_OK;

    KMS__TRY(kms__last_uses_load(txn, key->id, &uses));
    p->count = 0;
    for (uint32_t n = p->after; n < key->version_count && p->count < p->limit && st == KMS_OK; n++)
        st = kms__version_describe(txn, key, n + 1, &uses, &p->versions[p->count++]);
    kms__last_uses_clear(&uses);
    p->more = p->after < key->version_count && key->version_count - p->after > p->count;
    return st;
}

static kms_status list(kms__txn *txn, void *argument)
{
    page *p = argument;
    kms__key key;
    kms_status st;

    KMS__TRY(kms__key_find(txn, p->keyref, &key));
    st = fill_page(txn, &key, p);
    kms__key_clear(&key);
    return st;
}

kms_status kms_list_key_versions(kms_store *store, const char *keyref, uint32_t after,
                                 kms_key_version_info *versions, size_t limit, size_t *count,
                                 bool *more)
{
    page p = {.keyref = keyref, .after = after, .versions = versions, .limit = limit};

    KMS__TRY(kms__store_check(store));
    if (versions == NULL || count == NULL || limit == 0)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT,
                             "a list needs a page of one entry or more, and where to count it");
    KMS__TRY(kms__store_read(store, list, &p));
    *count = p.count;
    if (more != NULL)
        *more = p.more;
    return KMS_OK;
}

/* What a change of a version is about. */
typedef struct change {
    uint8_t id[KMS__ID_SIZE];
    uint32_t number;
    uint32_t window;
    uint32_t days;
    kms_key_version_state state;
    int64_t date_ms;
} change;

static kms_status apply(kms_store *store, const char *key_id, kms__txn_body *body, change *c)
{
    KMS__TRY(kms__store_check_writable(store));
    KMS__TRY(kms__key_id_parse(key_id, c->id));
    return kms__store_write(store, body, c);
}

static kms_status make_primary(kms__txn *txn, void *argument)
{
    const change *c = argument;

    return kms__version_make_primary(txn, c->id, c->number);
}

kms_status kms_update_primary_version(kms_store *store, const char *key_id, uint32_t number)
{
    change c = {.number = number};

    return apply(store, key_id, make_primary, &c);
}

static kms_status switch_version(kms__txn *txn, void *argument)
{
    const change *c = argument;

    return kms__version_switch(txn, c->id, c->number, c->state);
}

kms_status kms_disable_key_version(kms_store *store, const char *key_id, uint32_t number)
{
    change c = {.number = number, .state = KMS_KEY_VERSION_DISABLED};

    return apply(store, key_id, switch_version, &c);
}

kms_status kms_enable_key_version(kms_store *store, const char *key_id, uint32_t number)
{
    change c = {.number = number, .state = KMS_KEY_VERSION_ENABLED};

    return apply(store, key_id, switch_version, &c);
}

static kms_status set_minimum(kms__txn *txn, void *argument)
{
    const change *c = argument;

    return kms__version_set_minimum(txn, c->id, c->number, c->window);
}

kms_status kms_set_minimum_version(kms_store *store, const char *key_id, uint32_t minimum,
                                   uint32_t window)
{
    change c = {.number = minimum, .window = window};

    KMS__TRY(kms__store_check_writable(store));
    if (window >= KMS_KEY_VERSIONS_MAX)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "a window of %u versions: it has at most %d",
                             window, KMS_KEY_VERSIONS_MAX - 1);
    return apply(store, key_id, set_minimum, &c);
}

static kms_status schedule(kms__txn *txn, void *argument)
{
    change *c = argument;

    return kms__version_schedule_destruction(txn, c->id, c->number, c->days, &c->date_ms);
}

kms_status kms_schedule_key_version_destruction(kms_store *store, const char *key_id,
                                                uint32_t number, uint32_t days, int64_t *destroy_ms)
{
    change c = {.number = number, .days = days};

    KMS__TRY(kms__store_check_writable(store));
    KMS__TRY(kms__deletion_days_check(&c.days));
    KMS__TRY(apply(store, key_id, schedule, &c));
    if (destroy_ms != NULL)
        *destroy_ms = c.date_ms;
    return KMS_OK;
}

static kms_status cancel(kms__txn *txn, void *argument)
{
    const change *c = argument;

    return kms__version_cancel_destruction(txn, c->id, c->number);
}

kms_status kms_cancel_key_version_destruction(kms_store *store, const char *key_id, uint32_t number)
{
    change c = {.number = number};

    return apply(store, key_id, cancel, &c);
}

static kms_status purge(kms__txn *txn, void *argument)
{
    const change *c = argument;

    return kms__version_purge(txn, c->id, c->number, c->date_ms);
}

kms_status kms_purge_key_version(kms_store *store, const char *key_id, uint32_t number,
                                 int64_t today_ms)
{
    change c = {.number = number, .date_ms = today_ms};

    return apply(store, key_id, purge, &c);
}

kms_status kms_flush_last_use(kms_store *store)
{
    KMS__TRY(kms__store_check_writable(store));
    return kms__last_use_flush(store);
}

typedef struct comparison {
    const char *keyref;
    const kms__blob *blob;
    bool stale;
} comparison;

static kms_status compare(kms__txn *txn, void *argument)
{
    comparison *c = argument;
    kms__key key;

    KMS__TRY(kms__key_find(txn, c->keyref, &key));
    c->stale =
        memcmp(key.id, c->blob->key_id, KMS__ID_SIZE) != 0 || key.primary != c->blob->key_version;
    kms__key_clear(&key);
    return KMS_OK;
}

kms_status kms_blob_is_stale(kms_store *store, const char *keyref, const void *blob,
                             size_t blob_len, bool *stale)
{
    kms__blob parts;
    comparison c = {.keyref = keyref, .blob = &parts};

    KMS__TRY(kms__store_check(store));
    if (blob == NULL || stale == NULL)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "blob or stale is NULL");
    KMS__TRY(kms__blob_read(blob, blob_len, &parts));
    KMS__TRY(kms__blob_check_fields(&parts));
    KMS__TRY(kms__store_read(store, compare, &c));
    *stale = c.stale;
    return KMS_OK;
}
