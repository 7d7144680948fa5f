#include "domain/rotation.h"
#include "base/try.h"
#include "domain/filter.h"
#include "domain/listing.h"
#include "domain/reference.h"

#include <string.h>

typedef struct update {
    uint8_t id[KMS__ID_SIZE];
    kms__policy policy;
} update;

static kms_status set_policy(kms__txn *txn, void *argument)
{
    const update *u = argument;

    return kms__rotation_set_policy(txn, u->id, &u->policy);
}

kms_status kms_update_rotation_policy(kms_store *store, const char *key_id, bool enabled,
                                      uint32_t days)
{
    update u = {.policy = {enabled, days}};

    KMS__TRY(kms__store_check_writable(store));
    KMS__TRY(kms__key_id_parse(key_id, u.id));
    if (days != 0)
        KMS__TRY(kms__rotation_days_check(days));
    return kms__store_write(store, set_policy, &u);
}

typedef struct rotation {
    uint8_t id[KMS__ID_SIZE];
    kms__key_seed seed;
    kms__rotation_outcome outcome;
} rotation;

static kms_status rotate(kms__txn *txn, void *argument)
{
    rotation *r = argument;

    return kms__rotate_if_due(txn, r->id, &r->seed, &r->outcome);
}

static void rotate_one(kms_store *store, kms_rotation_result *result)
{
    rotation r = {.outcome.made = false};

    result->status = kms__key_id_parse(result->key_id, r.id);
    if (result->status == KMS_OK)
        result->status = kms__key_seed_draw(store, NULL, &r.seed);
    if (result->status == KMS_OK)
        result->status = kms__store_write(store, rotate, &r);
    kms__key_seed_wipe(store, &r.seed);
    result->key_version = result->status == KMS_OK ? r.outcome.number : 0;
}

static kms_status add_due(kms__txn *txn, const kms__record_key *record_key, void *page, size_t at)
{
    kms_rotation_result *result = (kms_rotation_result *)page + at;

    (void)txn;
    memset(result, 0, sizeof *result);
    kms__id_format(record_key->bytes + 1, result->key_id);
    return KMS_OK;
}

kms_status kms_rotate_due(kms_store *store, const char *marker, kms_rotation_result *results,
                          size_t limit, size_t *count, bool *more)
{
    static const uint8_t tag = KMS__TAG_KEY;
    uint8_t after[KMS__ID_SIZE];
    kms__listing listing = {.prefix = {&tag, 1},
                            .wants = kms__filter_wants_rotation,
                            .add = add_due,
                            .page = results,
                            .limit = limit};

    KMS__TRY(kms__store_check_writable(store));
    if (marker != NULL) {
        KMS__TRY(kms__key_id_parse(marker, after));
        listing.after = (kms_slice){after, sizeof after};
    }
    KMS__TRY(kms__list(store, &listing, count, more));
    for (size_t i = 0; i < *count; i++)
        rotate_one(store, &results[i]);
    return KMS_OK;
}
