#include "domain/deletion.h"
#include "base/clock.h"
#include "base/try.h"
#include "domain/alias_record.h"
#include "domain/description.h"
#include "domain/last_use.h"
#include "domain/state.h"
#include "domain/tags.h"

#include <stdio.h>
#include <string.h>

/* Records that one transaction of a purge removes: an alias takes two writes, and one is left for
 * the header. */
#define BATCH 40

_Static_assert(2 * BATCH + 2 < KMS_TXN_WRITES_MAX, "a batch fits a transaction");

kms_status kms__deletion_days_check(uint32_t *days)
{
    if (*days == 0)
        *days = KMS_DELETION_DAYS_DEFAULT;
    if (*days < KMS_DELETION_DAYS_MIN || *days > KMS_DELETION_DAYS_MAX)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "a window of %u days: it has %u to %u",
                             *days, KMS_DELETION_DAYS_MIN, KMS_DELETION_DAYS_MAX);
    return KMS_OK;
}

int64_t kms__deletion_date(int64_t now_ms, uint32_t days)
{
    int64_t window_ms = (int64_t)days * KMS__DAY_MS;

    /* 0 would be no date. */
    if (now_ms < 0)
        now_ms = 0;
    return now_ms > INT64_MAX - window_ms ? INT64_MAX : now_ms + window_ms;
}

static bool differ_by_more_than_a_day(int64_t a, int64_t b)
{
    uint64_t difference = a > b ? (uint64_t)a - (uint64_t)b : (uint64_t)b - (uint64_t)a;

    return difference > (uint64_t)KMS__DAY_MS;
}

/* Any date may come from a clock that is wrong: the difference need not fit an int64_t. */
static unsigned long long hours_until(int64_t date_ms, int64_t now_ms)
{
    return ((uint64_t)date_ms - (uint64_t)now_ms + 3600u * 1000 - 1) / (3600u * 1000);
}

kms_status kms__deletion_is_due(int64_t date_ms, int64_t now_ms, int64_t today_ms, const char *what)
{
    if (differ_by_more_than_a_day(now_ms, today_ms))
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT,
                             "%s: today's date as given and the store's clock are more than a day "
                             "apart: one of them is wrong, and nothing is destroyed",
                             what);
    if (now_ms < date_ms || today_ms < date_ms)
        return kms_set_error(KMS_ERR_INVALID_STATE, "%s: its window is not over: it ends in %llu h",
                             what, hours_until(date_ms, now_ms < today_ms ? now_ms : today_ms));
    return KMS_OK;
}

kms_status kms__deletion_allowed(const kms__key *key)
{
    if (!key->deletion_protected)
        return KMS_OK;
    return kms_set_error(KMS_ERR_DELETION_PROTECTED,
                         "key %s is protected from deletion: kms_set_deletion_protection() lifts "
                         "that",
                         kms__key_text(key).text);
}

static kms_status schedule(kms__txn *txn, kms__key *key, const void *argument, bool *changed)
{
    const int64_t *date_ms = argument;

    (void)txn;
    (void)changed;
    KMS__TRY(kms__deletion_allowed(key));
    key->deletion_ms = *date_ms;
    return KMS_OK;
}

kms_status kms__deletion_schedule(kms__txn *txn, const uint8_t id[KMS__ID_SIZE], uint32_t days,
                                  int64_t *date_ms)
{
    *date_ms = kms__deletion_date(txn->now_ms, days);
    return kms__key_change(txn, id, KMS_OP_SCHEDULE_KEY_DELETION, schedule, date_ms);
}

static kms_status cancel(kms__txn *txn, kms__key *key, const void *argument, bool *changed)
{
    (void)txn;
    (void)argument;
    (void)changed;
    key->deletion_ms = 0;
    return KMS_OK;
}

kms_status kms__deletion_cancel(kms__txn *txn, const uint8_t id[KMS__ID_SIZE])
{
    return kms__key_change(txn, id, KMS_OP_CANCEL_KEY_DELETION, cancel, NULL);
}

static kms_status set_protection(kms__txn *txn, kms__key *key, const void *argument, bool *changed)
{
    const bool *protect = argument;

    (void)txn;
    *changed = key->deletion_protected != *protect;
    key->deletion_protected = *protect;
    return KMS_OK;
}

kms_status kms__deletion_protect(kms__txn *txn, const uint8_t id[KMS__ID_SIZE], bool protect)
{
    return kms__key_change(txn, id, KMS_OP_SET_DELETION_PROTECTION, set_protection, &protect);
}

static kms_status mark(kms__txn *txn, kms__key *key, const void *argument, bool *changed)
{
    const int64_t *today_ms = argument;
    char what[KMS_KEY_ID_SIZE + 8];

    *changed = !key->purging;
    if (key->purging)
        return KMS_OK;
    snprintf(what, sizeof what, "key %s", kms__key_text(key).text);
    KMS__TRY(kms__deletion_is_due(key->deletion_ms, txn->now_ms, *today_ms, what));
    key->purging = true;
    return KMS_OK;
}

kms_status kms__purge_begin(kms__txn *txn, const uint8_t id[KMS__ID_SIZE], int64_t today_ms)
{
    return kms__key_change(txn, id, KMS_OP_PURGE_KEY, mark, &today_ms);
}

static bool begins_with(const kms__record_key *key, const uint8_t *prefix, size_t len)
{
    return key->len > len && memcmp(key->bytes, prefix, len) == 0;
}

/* An index record that somebody put back may name an alias that points elsewhere by now. */
static kms_status remove_alias(kms__txn *txn, const kms__record_key *index)
{
    char name[KMS_ALIAS_SIZE];
    size_t len = index->len - 1 - KMS__ID_SIZE;
    kms__record_key record;
    kms__alias alias;
    kms_status st;

    if (len >= sizeof name)
        return kms_set_error(KMS_ERR_CORRUPT, "an index record has a name that no alias has");
    memcpy(name, index->bytes + 1 + KMS__ID_SIZE, len);
    name[len] = '\0';
    record = kms__alias_record_key(name);
    st = kms__alias_load(txn, name, &alias, NULL);
    if (st == KMS_OK && memcmp(alias.target, index->bytes + 1, KMS__ID_SIZE) == 0)
        st = kms__txn_delete(txn, &record);
    if (st != KMS_OK && st != KMS_ERR_ALIAS_NOT_FOUND)
        return st;
    return kms__txn_delete(txn, index);
}

/* Removes up to BATCH records whose keys begin with a letter and the key's id. */
static kms_status remove_batch(kms__txn *txn, uint8_t letter, const uint8_t id[KMS__ID_SIZE],
                               size_t *removed)
{
    kms__record_key from = kms__record_key_of(letter, id);
    kms__key_batch batch;

    *removed = 0;
    KMS__TRY(kms__txn_scan_keys(txn, &from, &batch));
    for (size_t i = 0; i < batch.count && *removed < BATCH; i++) {
        if (!begins_with(&batch.keys[i], from.bytes, from.len))
            break;
        if (letter == KMS__TAG_INDEX)
            KMS__TRY(remove_alias(txn, &batch.keys[i]));
        else
            KMS__TRY(kms__txn_delete(txn, &batch.keys[i]));
        ++*removed;
    }
    return KMS_OK;
}

static kms_status remove_one(kms__txn *txn, const kms__record_key *key)
{
    kms_status st = kms__txn_delete(txn, key);

    return st == KMS_ERR_NOT_FOUND ? KMS_OK : st;
}

kms_status kms__purge_step(kms__txn *txn, const uint8_t id[KMS__ID_SIZE], bool *finished)
{
    kms__record_key description = kms__description_record_key(id);
    kms__record_key tags = kms__tags_record_key(id);
    kms__record_key last_use = kms__last_use_record_key(id);
    kms__record_key key = kms__key_record_key(id);
    size_t removed;

    *finished = false;
    KMS__TRY(remove_batch(txn, KMS__TAG_VERSION, id, &removed));
    if (removed > 0)
        return KMS_OK;
    KMS__TRY(remove_batch(txn, KMS__TAG_INDEX, id, &removed));
    if (removed > 0)
        return KMS_OK;
    *finished = true;
    KMS__TRY(remove_one(txn, &description));
    KMS__TRY(remove_one(txn, &tags));
    KMS__TRY(remove_one(txn, &last_use));
    /* Somebody else may have finished it. */
    return remove_one(txn, &key);
}
