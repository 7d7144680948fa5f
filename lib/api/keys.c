#include "domain/keys.h"
#include "base/try.h"
#include "domain/description.h"
#include "domain/filter.h"
#include "domain/listing.h"
#include "domain/reference.h"
#include "domain/rotation.h"
#include "domain/state.h"

#include <kms/key.h>
#include <stdlib.h>
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

typedef struct finding {
    const char *keyref;
    kms_key_info info;
} finding;

/* Its size when it had fewer members. */
#define KEY_INFO_SIZE_1 offsetof(kms_key_info, creator)

static void describe(const kms__key *key, kms_key_info *info)
{
    *info = (kms_key_info){
        .version = KMS_KEY_INFO_VERSION,
        .state = kms__key_state(key),
        .spec = key->spec,
        .usage = key->usage,
        .origin = key->origin,
        .suite = key->primary != 0 ? key->versions[key->primary - 1].suite : (kms_suite)0,
        .primary_version = key->primary,
        .version_count = key->version_count,
        .created_ms = key->created_ms,
        .creator = key->creator,
        .deletion_protected = key->deletion_protected,
        .rotation = kms__rotation_state(key),
        .rotation_days = key->rotation_days,
        .last_rotation_ms = key->last_rotation_ms,
        .next_rotation_ms = kms__rotation_next(key),
        .deletion_ms = key->deletion_ms,
        .material_expires_ms = key->expires_ms,
        .minimum_version = key->minimum_version,
        .version_window = key->version_window,
        .lowest_version = kms__key_lowest_version(key),
    };
    kms__id_format(key->id, info->key_id);
}

static kms_status find(kms__txn *txn, void *argument)
{
    finding *f = argument;
    kms__key key;

    KMS__TRY(kms__key_find(txn, f->keyref, &key));
    describe(&key, &f->info);
    kms__key_clear(&key);
    return KMS_OK;
}

kms_status kms_describe_key(kms_store *store, const char *keyref, kms_key_info *info)
{
    finding f = {.keyref = keyref};

    KMS__TRY(kms__store_check(store));
    if (info == NULL)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "info is NULL");
    if (info->version < 1 || info->version > KMS_KEY_INFO_VERSION)
        return kms_set_error(KMS_ERR_ABI, "kms_key_info of version %u: set it to %u", info->version,
                             KMS_KEY_INFO_VERSION);
    KMS__TRY(kms__store_read(store, find, &f));
    f.info.version = info->version;
    memcpy(info, &f.info, info->version == 1 ? KEY_INFO_SIZE_1 : sizeof *info);
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

static kms_status list_keys(kms_store *store, const kms_key_filter *filter, const char *marker,
                            char (*key_ids)[KMS_KEY_ID_SIZE], size_t limit, size_t *count,
                            bool *more)
{
    static const uint8_t tag = KMS__TAG_KEY;
    uint8_t after[KMS__ID_SIZE];
    kms__listing listing = {.prefix = {&tag, 1}, .add = add_id, .page = key_ids, .limit = limit};

    KMS__TRY(kms__store_check(store));
    if (filter != NULL) {
        KMS__TRY(kms__filter_check(filter));
        listing.wants = kms__filter_wants;
        listing.filter = filter;
    }
    if (marker != NULL) {
        KMS__TRY(kms__key_id_parse(marker, after));
        listing.after = (kms_slice){after, sizeof after};
    }
    return kms__list(store, &listing, count, more);
}

kms_status kms_list_keys(kms_store *store, const char *marker, char (*key_ids)[KMS_KEY_ID_SIZE],
                         size_t limit, size_t *count, bool *more)
{
    return list_keys(store, NULL, marker, key_ids, limit, count, more);
}

kms_status kms_find_keys(kms_store *store, const kms_key_filter *filter, const char *marker,
                         char (*key_ids)[KMS_KEY_ID_SIZE], size_t limit, size_t *count, bool *more)
{
    return list_keys(store, filter, marker, key_ids, limit, count, more);
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

typedef struct describing {
    uint8_t id[KMS__ID_SIZE];
    const char *keyref;
    const char *text;
    char *found;
} describing;

static kms_status set_description(kms__txn *txn, kms__key *key, const void *argument, bool *changed)
{
    /* It stands in a record of its own. */
    *changed = false;
    return kms__description_save(txn, key->id, argument);
}

static kms_status update_description(kms__txn *txn, void *argument)
{
    const describing *d = argument;

    return kms__key_change(txn, d->id, KMS_OP_UPDATE_KEY_DESCRIPTION, set_description, d->text);
}

kms_status kms_update_key_description(kms_store *store, const char *key_id, const char *description)
{
    describing d = {.text = description};

    KMS__TRY(kms__store_check_writable(store));
    KMS__TRY(kms__key_id_parse(key_id, d.id));
    KMS__TRY(kms__description_check(description));
    return kms__store_write(store, update_description, &d);
}

static kms_status find_description(kms__txn *txn, void *argument)
{
    describing *d = argument;
    kms__key key;
    kms_status st;

    KMS__TRY(kms__key_find(txn, d->keyref, &key));
    st = kms__description_load(txn, key.id, &d->found);
    kms__key_clear(&key);
    return st;
}

kms_status kms_get_key_description(kms_store *store, const char *keyref, char *description,
                                   size_t size)
{
    describing d = {.keyref = keyref};
    size_t needed;

    KMS__TRY(kms__store_check(store));
    if (description == NULL)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "description is NULL");
    KMS__TRY(kms__store_read(store, find_description, &d));
    needed = strlen(d.found) + 1;
    if (needed <= size)
        memcpy(description, d.found, needed);
    free(d.found);
    if (needed > size)
        return kms_set_error(KMS_ERR_BUFFER_TOO_SMALL,
                             "the description needs %zu bytes, and the buffer has %zu", needed,
                             size);
    return KMS_OK;
}
