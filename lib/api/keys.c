#include "domain/keys.h"
#include "base/try.h"
#include "domain/listing.h"
#include "domain/reference.h"

#include <kms/key.h>
#include <string.h>

static kms_status create(kms__txn *txn, void *argument)
{
    return kms__key_create(txn, argument);
}

kms_status kms_create_key(kms_store *store, const kms_create_key_options *options,
                          char key_id[KMS_KEY_ID_SIZE])
{
    kms__key_seed seed;
    kms_status st;

    KMS__TRY(kms__store_check_writable(store));
    if (key_id == NULL)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "key_id is NULL");
    KMS__TRY(kms__key_seed_draw(store, options, &seed));
    st = kms__store_write(store, create, &seed);
    kms__key_seed_wipe(store, &seed);
    if (st == KMS_OK)
        kms__id_format(seed.id, key_id);
    return st;
}

typedef struct description {
    const char *keyref;
    kms_key_info info;
} description;

/* A key that waits for its first material has no version, and so no suite yet. */
static kms_status suite_of(const kms__key *key, kms_suite *suite)
{
    const kms__key_version *primary;

    *suite = (kms_suite)0;
    if (key->version_count == 0)
        return KMS_OK;
    KMS__TRY(kms__key_version_of(key, key->primary, &primary));
    *suite = primary->suite;
    return KMS_OK;
}

static kms_status describe(kms__txn *txn, void *argument)
{
    description *d = argument;
    kms_suite suite;
    kms__key key;
    kms_status st;

    KMS__TRY(kms__key_find(txn, d->keyref, &key));
    st = suite_of(&key, &suite);
    if (st == KMS_OK) {
        d->info = (kms_key_info){
            .version = KMS_KEY_INFO_VERSION,
            .state = key.state,
            .spec = key.spec,
            .usage = key.usage,
            .origin = key.origin,
            .suite = suite,
            .primary_version = key.primary,
            .version_count = key.version_count,
            .created_ms = key.created_ms,
        };
        kms__id_format(key.id, d->info.key_id);
    }
    kms__key_clear(&key);
    return st;
}

kms_status kms_describe_key(kms_store *store, const char *keyref, kms_key_info *info)
{
    description d = {.keyref = keyref};

    KMS__TRY(kms__store_check(store));
    if (info == NULL)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "info is NULL");
    if (info->version != KMS_KEY_INFO_VERSION)
        return kms_set_error(KMS_ERR_ABI, "kms_key_info of version %u: set it to %u", info->version,
                             KMS_KEY_INFO_VERSION);
    KMS__TRY(kms__store_read(store, describe, &d));
    *info = d.info;
    return KMS_OK;
}

static kms_status add_id(kms__txn *txn, const kms__record_key *record_key, void *page, size_t at)
{
    char(*key_ids)[KMS_KEY_ID_SIZE] = page;

    (void)txn;
    if (record_key->len != 1 + KMS__ID_SIZE)
        return kms_set_error(KMS_ERR_CORRUPT, "a key record has a name that no key has");
    kms__id_format(record_key->bytes + 1, key_ids[at]);
    return KMS_OK;
}

kms_status kms_list_keys(kms_store *store, const char *marker, char (*key_ids)[KMS_KEY_ID_SIZE],
                         size_t limit, size_t *count, bool *more)
{
    static const uint8_t tag = KMS__TAG_KEY;
    uint8_t after[KMS__ID_SIZE];
    kms__listing listing = {.prefix = {&tag, 1}, .add = add_id, .page = key_ids, .limit = limit};

    KMS__TRY(kms__store_check(store));
    if (marker != NULL) {
        KMS__TRY(kms__key_id_parse(marker, after));
        listing.after = (kms_slice){after, sizeof after};
    }
    return kms__list(store, &listing, count, more);
}

typedef struct switching {
    uint8_t id[KMS__ID_SIZE];
    kms_operation operation;
} switching;

static kms_status switch_key(kms__txn *txn, void *argument)
{
    const switching *s = argument;

    return kms__key_switch(txn, s->id, s->operation);
}

static kms_status switch_by_id(kms_store *store, const char *key_id, kms_operation operation)
{
    switching s = {.operation = operation};

    KMS__TRY(kms__store_check_writable(store));
    KMS__TRY(kms__key_id_parse(key_id, s.id));
    return kms__store_write(store, switch_key, &s);
}

kms_status kms_enable_key(kms_store *store, const char *key_id)
{
    return switch_by_id(store, key_id, KMS_OP_ENABLE_KEY);
}

kms_status kms_disable_key(kms_store *store, const char *key_id)
{
    return switch_by_id(store, key_id, KMS_OP_DISABLE_KEY);
}
