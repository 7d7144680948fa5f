#include "domain/filter.h"
#include "base/try.h"
#include "domain/alias_record.h"
#include "domain/reference.h"
#include "domain/rotation.h"
#include "domain/state.h"
#include "domain/tags.h"

#include <string.h>

#define BITS_UP_TO(last) ((1u << ((unsigned)(last) + 1)) - 2)

kms_status kms__filter_check(const kms_key_filter *filter)
{
    if (filter->version != KMS_KEY_FILTER_VERSION)
        return kms_set_error(KMS_ERR_ABI,
                             "kms_key_filter of version %u: begin with KMS_KEY_FILTER_INIT",
                             filter->version);
    if ((filter->states & ~BITS_UP_TO(KMS_KEY_PENDING_IMPORT)) != 0 ||
        (filter->origins & ~BITS_UP_TO(KMS_KEY_ORIGIN_EXTERNAL)) != 0 ||
        (filter->creators & ~BITS_UP_TO(KMS_KEY_CREATOR_SERVICE)) != 0)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT,
                             "a filter has a bit for a state, origin or creator that is none: join "
                             "KMS_FILTER_BIT() of each");
    if (filter->tag_value != NULL && filter->tag_name == NULL)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "a filter has a tag's value and no name");
    if (filter->tag_name != NULL)
        KMS__TRY(kms__tag_names_check(&filter->tag_name, 1));
    return filter->alias_prefix != NULL ? kms__alias_prefix_check(filter->alias_prefix) : KMS_OK;
}

static bool has_bit(uint32_t bits, unsigned value)
{
    return bits == 0 || (bits & KMS_FILTER_BIT(value)) != 0;
}

static kms_status has_tag(kms__txn *txn, const kms__key *key, const kms_key_filter *filter,
                          bool *wanted)
{
    kms__tags tags;
    const char *value;

    KMS__TRY(kms__tags_load(txn, key->id, &tags));
    value = kms__tags_find(&tags, filter->tag_name);
    *wanted = value != NULL && (filter->tag_value == NULL || strcmp(value, filter->tag_value) == 0);
    return KMS_OK;
}

static kms_status has_alias(kms__txn *txn, const kms__key *key, const char *prefix, bool *wanted)
{
    kms__record_key from = kms__index_record_key(key->id, prefix);
    kms__key_batch batch;

    KMS__TRY(kms__txn_scan_keys(txn, &from, &batch));
    *wanted = batch.count > 0 && batch.keys[0].len >= from.len &&
              memcmp(batch.keys[0].bytes, from.bytes, from.len) == 0;
    return KMS_OK;
}

static kms_status is_purge_due(kms__txn *txn, const kms__key *key, bool *wanted)
{
    *wanted = key->purging || (key->deletion_ms != 0 && key->now_ms >= key->deletion_ms);
    for (uint32_t n = 1; n <= key->version_count && !*wanted; n++) {
        kms__version_extra extra;

        if (key->versions[n - 1].state != KMS_KEY_VERSION_DESTROY_SCHEDULED)
            continue;
        KMS__TRY(kms__version_extra_load(txn, key, n, &extra));
        *wanted = key->now_ms >= extra.destroy_ms;
    }
    return KMS_OK;
}

static kms_status wants_key(kms__txn *txn, const kms__key *key, const kms_key_filter *filter,
                            bool *wanted)
{
    *wanted = has_bit(filter->states, (unsigned)kms__key_state(key)) &&
              has_bit(filter->origins, (unsigned)key->origin) &&
              has_bit(filter->creators, (unsigned)key->creator);
    if (*wanted && filter->alias_prefix != NULL)
        KMS__TRY(has_alias(txn, key, filter->alias_prefix, wanted));
    if (*wanted && filter->tag_name != NULL)
        KMS__TRY(has_tag(txn, key, filter, wanted));
    if (*wanted && filter->purge_due)
        KMS__TRY(is_purge_due(txn, key, wanted));
    return KMS_OK;
}

static kms_status load(kms__txn *txn, const kms__record_key *record_key, kms__key *key)
{
    if (record_key->len != 1 + KMS__ID_SIZE)
        return kms_set_error(KMS_ERR_CORRUPT, "a key record has a name that no key has");
    return kms__key_load(txn, record_key->bytes + 1, key, NULL);
}

kms_status kms__filter_wants(kms__txn *txn, const kms__record_key *record_key, const void *filter,
                             bool *wanted)
{
    kms__key key;
    kms_status st;

    KMS__TRY(load(txn, record_key, &key));
    st = wants_key(txn, &key, filter, wanted);
    kms__key_clear(&key);
    return st;
}

kms_status kms__filter_wants_rotation(kms__txn *txn, const kms__record_key *record_key,
                                      const void *filter, bool *wanted)
{
    kms__key key;

    (void)filter;
    KMS__TRY(load(txn, record_key, &key));
    *wanted = kms__rotation_is_due(&key);
    kms__key_clear(&key);
    return KMS_OK;
}
