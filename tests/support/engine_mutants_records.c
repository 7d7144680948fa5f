/* Engines that lose, cut or misplace records. */
#include "engine_mutants.h"

#include <stdlib.h>
#include <string.h>

kms_backend_ops engine_real;

/* --- records ------------------------------------------------------------------------------- */

static kms_status put_nothing(kms_txn *txn, kms_slice key, kms_slice value)
{
    (void)txn;
    (void)key;
    (void)value;
    return KMS_OK;
}

static kms_status put_unless_there(kms_txn *txn, kms_slice key, kms_slice value)
{
    kms_slice found;

    return engine_real.get(txn, key, &found) == KMS_OK ? KMS_OK : engine_real.put(txn, key, value);
}

static kms_status put_short_value(kms_txn *txn, kms_slice key, kms_slice value)
{
    value.len = value.len > 65535 ? 65535 : value.len;
    return engine_real.put(txn, key, value);
}

static kms_status put_short_key(kms_txn *txn, kms_slice key, kms_slice value)
{
    key.len = key.len > 319 ? 319 : key.len;
    return engine_real.put(txn, key, value);
}

/* Takes a key for a C string. */
static kms_status put_string(kms_txn *txn, kms_slice key, kms_slice value)
{
    key.len = strnlen(key.data, key.len);
    return engine_real.put(txn, key, value);
}

static kms_status put_empty_as_removed(kms_txn *txn, kms_slice key, kms_slice value)
{
    if (value.len > 0)
        return engine_real.put(txn, key, value);
    (void)engine_real.del(txn, key);
    return KMS_OK;
}

static kms_status put_few(kms_txn *txn, kms_slice key, kms_slice value)
{
    static int puts;

    if (++puts == KMS_TXN_WRITES_MAX)
        return kms_set_error(KMS_ERR_FULL, "too many records");
    return engine_real.put(txn, key, value);
}

/* Keeps the caller's pointers until the next call. */
static kms_record pending;

static kms_status put_later(kms_txn *txn, kms_slice key, kms_slice value)
{
    (void)txn;
    pending = (kms_record){key, value};
    return KMS_OK;
}

static kms_status get_after_pending(kms_txn *txn, kms_slice key, kms_slice *value)
{
    if (pending.key.len > 0)
        (void)engine_real.put(txn, pending.key, pending.value);
    pending.key.len = 0;
    return engine_real.get(txn, key, value);
}

static kms_status del_nothing(kms_txn *txn, kms_slice key)
{
    kms_slice found;

    return engine_real.get(txn, key, &found);
}

static kms_status del_anything(kms_txn *txn, kms_slice key)
{
    (void)engine_real.del(txn, key);
    return KMS_OK;
}

/* Finds a key that only begins with the one asked for. */
static kms_status get_prefix(kms_txn *txn, kms_slice key, kms_slice *value)
{
    kms_record record;
    size_t count;

    if (engine_real.scan(txn, key, 1, &record, &count) != KMS_OK || count == 0 ||
        record.key.len < key.len || memcmp(record.key.data, key.data, key.len) != 0)
        return KMS_ERR_NOT_FOUND;
    *value = record.value;
    return KMS_OK;
}

/* --- scans --------------------------------------------------------------------------------- */

static int order_signed(const void *one, const void *other)
{
    signed char a = *(const signed char *)((const kms_record *)one)->key.data;
    signed char b = *(const signed char *)((const kms_record *)other)->key.data;

    return (a > b) - (a < b);
}

static kms_status scan_signed(kms_txn *txn, kms_slice from, size_t limit, kms_record *records,
                              size_t *count)
{
    kms_status status = engine_real.scan(txn, from, limit, records, count);

    qsort(records, *count, sizeof *records, order_signed);
    return status;
}

static kms_status scan_prefix_last(kms_txn *txn, kms_slice from, size_t limit, kms_record *records,
                                   size_t *count)
{
    kms_status status = engine_real.scan(txn, from, limit, records, count);

    for (size_t i = 1; i < *count; i++) {
        kms_record before = records[i - 1];

        if (before.key.len < records[i].key.len &&
            memcmp(before.key.data, records[i].key.data, before.key.len) == 0) {
            records[i - 1] = records[i];
            records[i] = before;
        }
    }
    return status;
}

static kms_status scan_behind_from(kms_txn *txn, kms_slice from, size_t limit, kms_record *records,
                                   size_t *count)
{
    kms_status status = engine_real.scan(txn, from, limit, records, count);

    if (*count > 0 && records[0].key.len == from.len &&
        memcmp(records[0].key.data, from.data, from.len) == 0)
        memmove(records, records + 1, --*count * sizeof *records);
    return status;
}

static kms_status scan_too_few(kms_txn *txn, kms_slice from, size_t limit, kms_record *records,
                               size_t *count)
{
    return engine_real.scan(txn, from, limit > 1 ? limit - 1 : 1, records, count);
}

static kms_status scan_short_pages(kms_txn *txn, kms_slice from, size_t limit, kms_record *records,
                                   size_t *count)
{
    return engine_real.scan(txn, from, limit > 128 ? 128 : limit, records, count);
}

const engine_mutant record_mutants[] = {
    {"of another ABI",
     "the_engine_states_its_abi_and_all_its_functions",
     &memory_subject,
     {.abi = KMS_BACKEND_ABI + 1}},
    {"puts nothing", "put_replaces_an_older_record", &memory_subject, {.put = put_nothing}},
    {"takes keys for strings",
     "a_record_comes_back_as_it_was_put",
     &memory_subject,
     {.put = put_string}},
    {"takes keys for strings",
     "random_changes_match_a_model",
     &memory_subject,
     {.put = put_string}},
    {"does not replace",
     "put_replaces_an_older_record",
     &memory_subject,
     {.put = put_unless_there}},
    {"keeps pointers",
     "put_copies_key_and_value",
     &memory_subject,
     {.put = put_later, .get = get_after_pending}},
    {"cuts values",
     "values_may_have_every_size_up_to_the_largest",
     &memory_subject,
     {.put = put_short_value}},
    {"cuts keys",
     "keys_may_have_every_length_up_to_the_longest",
     &memory_subject,
     {.put = put_short_key}},
    {"loses empty values",
     "an_empty_value_is_a_record",
     &memory_subject,
     {.put = put_empty_as_removed}},
    {"is full too early", "the_largest_transaction_fits", &memory_subject, {.put = put_few}},
    {"removes nothing", "a_removed_record_is_gone", &memory_subject, {.del = del_nothing}},
    {"removes what is not there",
     "del_of_an_absent_record_answers_not_found",
     &memory_subject,
     {.del = del_anything}},
    {"finds prefixes",
     "get_of_an_absent_record_answers_not_found",
     &memory_subject,
     {.get = get_prefix}},
    {"orders signed bytes", "keys_order_as_unsigned_bytes", &memory_subject, {.scan = scan_signed}},
    {"orders prefixes last",
     "a_prefix_stands_before_what_it_begins",
     &memory_subject,
     {.scan = scan_prefix_last}},
    {"scans from behind the start",
     "scan_starts_at_from_or_after_it",
     &memory_subject,
     {.scan = scan_behind_from}},
    {"scans too few", "scan_stops_at_its_limit", &memory_subject, {.scan = scan_too_few}},
    {"has short pages",
     "scan_pages_through_many_records",
     &memory_subject,
     {.scan = scan_short_pages}},
};

const size_t record_mutants_count = sizeof record_mutants / sizeof record_mutants[0];
