#include "domain/deletion.h"
#include "base/try.h"
#include "domain/reference.h"

#include <stdbool.h>

/* What a change of a key's deletion is about. */
typedef struct change {
    uint8_t id[KMS__ID_SIZE];
    uint32_t days;
    bool protect;
    int64_t date_ms;
    bool finished;
} change;

static kms_status begin(kms_store *store, const char *key_id, change *c)
{
    KMS__TRY(kms__store_check_writable(store));
    return kms__key_id_parse(key_id, c->id);
}

static kms_status schedule(kms__txn *txn, void *argument)
{
    change *c = argument;

    return kms__deletion_schedule(txn, c->id, c->days, &c->date_ms);
}

kms_status kms_schedule_key_deletion(kms_store *store, const char *key_id, uint32_t days,
                                     int64_t *deletion_ms)
{
    change c = {.days = days};

    KMS__TRY(begin(store, key_id, &c));
    KMS__TRY(kms__deletion_days_check(&c.days));
    KMS__TRY(kms__store_write(store, schedule, &c));
    if (deletion_ms != NULL)
        *deletion_ms = c.date_ms;
    return KMS_OK;
}

static kms_status cancel(kms__txn *txn, void *argument)
{
    const change *c = argument;

    return kms__deletion_cancel(txn, c->id);
}

kms_status kms_cancel_key_deletion(kms_store *store, const char *key_id)
{
    change c = {.days = 0};

    KMS__TRY(begin(store, key_id, &c));
    return kms__store_write(store, cancel, &c);
}

static kms_status set_protection(kms__txn *txn, void *argument)
{
    const change *c = argument;

    return kms__deletion_protect(txn, c->id, c->protect);
}

kms_status kms_set_deletion_protection(kms_store *store, const char *key_id, bool protect)
{
    change c = {.protect = protect};

    KMS__TRY(begin(store, key_id, &c));
    return kms__store_write(store, set_protection, &c);
}

static kms_status begin_purge(kms__txn *txn, void *argument)
{
    const change *c = argument;

    return kms__purge_begin(txn, c->id, c->date_ms);
}

static kms_status purge_step(kms__txn *txn, void *argument)
{
    change *c = argument;

    return kms__purge_step(txn, c->id, &c->finished);
}

kms_status kms_purge_key(kms_store *store, const char *key_id, int64_t today_ms)
{
    change c = {.date_ms = today_ms};

    KMS__TRY(begin(store, key_id, &c));
    KMS__TRY(kms__store_write(store, begin_purge, &c));
    while (!c.finished)
        KMS__TRY(kms__store_write(store, purge_step, &c));
    return KMS_OK;
}
