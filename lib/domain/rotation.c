#include "domain/rotation.h"
#include "base/clock.h"
#include "base/try.h"
#include "domain/state.h"

#include <string.h>

kms_status kms__rotation_days_check(uint32_t days)
{
    if (days < KMS_ROTATION_DAYS_MIN || days > KMS_ROTATION_DAYS_MAX)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT,
                             "an interval of %u days: automatic rotation takes %u to %u", days,
                             KMS_ROTATION_DAYS_MIN, KMS_ROTATION_DAYS_MAX);
    return KMS_OK;
}

kms_rotation_state kms__rotation_state(const kms__key *key)
{
    if (!key->rotation_enabled)
        return KMS_ROTATION_DISABLED;
    return kms__key_state(key) == KMS_KEY_ENABLED ? KMS_ROTATION_ENABLED : KMS_ROTATION_SUSPENDED;
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t schedule_start(const kms__key *key)
{
    return later(key->rotation_start_ms, key->last_rotation_ms);
}

/* Clocks of one machine may differ by so much without anything being wrong. */
static bool lies_in_the_future(const kms__key *key, int64_t date_ms)
{
    return date_ms > key->now_ms &&
           (uint64_t)date_ms - (uint64_t)key->now_ms > (uint64_t)KMS__DAY_MS;
}

/* From where an interval leads to the next version. */
static int64_t interval_start(const kms__key *key)
{
    int64_t start = schedule_start(key);

    return lies_in_the_future(key, key->rotation_stamp_ms) ? start
                                                           : later(start, key->rotation_stamp_ms);
}

int64_t kms__rotation_next(const kms__key *key)
{
    int64_t interval = (int64_t)key->rotation_days * KMS__DAY_MS;
    int64_t start = interval_start(key);

    if (!key->rotation_enabled)
        return 0;
    return start > KMS__NEVER - interval ? KMS__NEVER : start + interval;
}

kms__rest kms__rotation_rest(const kms__key *key)
{
    int64_t start = interval_start(key);

    if (kms__rotation_state(key) != KMS_ROTATION_ENABLED)
        return (kms__rest){INT64_MIN, KMS__NEVER};
    if (lies_in_the_future(key, schedule_start(key)))
        return (kms__rest){KMS__NEVER, KMS__NEVER};
    return (kms__rest){start < INT64_MIN + KMS__DAY_MS ? INT64_MIN : start - KMS__DAY_MS,
                       kms__rotation_next(key)};
}

bool kms__rotation_is_due(const kms__key *key)
{
    kms__rest rest = kms__rotation_rest(key);

    return key->now_ms < rest.from_ms || key->now_ms >= rest.until_ms;
}

static kms_status set_policy(kms__txn *txn, kms__key *key, const void *argument, bool *changed)
{
    const kms__policy *policy = argument;
    uint32_t days = policy->days != 0 ? policy->days : key->rotation_days;

    if (policy->enabled && days == 0)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT,
                             "key %s has no interval of automatic rotation yet: give one",
                             kms__key_text(key).text);
    *changed = policy->enabled != key->rotation_enabled || days != key->rotation_days;
    if (policy->enabled && !key->rotation_enabled)
        key->rotation_start_ms = txn->now_ms;
    key->rotation_enabled = policy->enabled;
    key->rotation_days = days;
    return KMS_OK;
}

kms_status kms__rotation_set_policy(kms__txn *txn, const uint8_t id[KMS__ID_SIZE],
                                    const kms__policy *policy)
{
    return kms__key_change(txn, id, KMS_OP_UPDATE_ROTATION_POLICY, set_policy, policy);
}

static void bring_back(kms__key *key)
{
    if (key->rotation_start_ms > key->now_ms)
        key->rotation_start_ms = key->now_ms;
    if (key->last_rotation_ms > key->now_ms)
        key->last_rotation_ms = key->now_ms;
}

static kms_status renew(kms__txn *txn, kms__key *key, const kms__key_seed *seed)
{
    KMS__TRY(kms__key_can_rotate(key));
    key->last_rotation_ms = key->now_ms;
    key->rotation_stamp_ms = key->now_ms;
    return kms__key_renew(txn, key, seed);
}

static kms_status follow_policy(kms__txn *txn, kms__key *key, const kms__key_seed *seed,
                                kms__rotation_outcome *outcome)
{
    if (!kms__rotation_is_due(key)) {
        outcome->number = key->primary;
        return KMS_OK;
    }
    if (lies_in_the_future(key, schedule_start(key))) {
        bring_back(key);
        return kms__key_save(txn, key);
    }
    KMS__TRY(renew(txn, key, seed));
    outcome->made = true;
    outcome->number = key->primary;
    return kms__key_save(txn, key);
}

kms_status kms__rotate_if_due(kms__txn *txn, const uint8_t id[KMS__ID_SIZE],
                              const kms__key_seed *seed, kms__rotation_outcome *outcome)
{
    kms__key key;
    kms_status st;

    *outcome = (kms__rotation_outcome){.made = false};
    KMS__TRY(kms__key_load(txn, id, &key, NULL));
    st = follow_policy(txn, &key, seed, outcome);
    outcome->rest = kms__rotation_rest(&key);
    kms__key_clear(&key);
    return st;
}
