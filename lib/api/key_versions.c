#include "base/try.h"
#include "domain/keys.h"
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

static void describe(const kms__key *key, uint32_t number, kms_key_version_info *info)
{
    const kms__key_version *version = &key->versions[number - 1];

    memset(info, 0, sizeof *info);
    info->number = number;
    info->state = version->state;
    info->suite = version->suite;
    info->primary = number == key->primary;
    info->created_ms = version->created_ms;
    memcpy(info->commitment, version->commitment, sizeof info->commitment);
}

typedef struct description {
    const char *keyref;
    uint32_t number;
    kms_key_version_info info;
} description;

static kms_status describe_one(kms__txn *txn, void *argument)
{
    description *d = argument;
    const kms__key_version *version;
    uint32_t number;
    kms__key key;
    kms_status st;

    KMS__TRY(kms__key_find(txn, d->keyref, &key));
    number = d->number != 0 ? d->number : key.primary;
    st = kms__key_version_of(&key, number, &version);
    if (st == KMS_OK)
        describe(&key, number, &d->info);
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

static kms_status list(kms__txn *txn, void *argument)
{
    page *p = argument;
    kms__key key;

    KMS__TRY(kms__key_find(txn, p->keyref, &key));
    p->count = 0;
    for (uint32_t n = p->after; n < key.version_count && p->count < p->limit; n++)
        describe(&key, n + 1, &p->versions[p->count++]);
    p->more = p->after < key.version_count && key.version_count - p->after > p->count;
    kms__key_clear(&key);
    return KMS_OK;
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
