#include "base/try.h"
#include "domain/aliases.h"
#include "domain/deletion.h"
#include "domain/import.h"
#include "domain/open_version.h"
#include "domain/reference.h"
#include "domain/state.h"

#include <kms/would.h>

typedef struct question {
    kms_operation operation;
    const char *reference;
} question;

static bool changes_the_store(kms_operation operation)
{
    return operation != KMS_OP_DESCRIBE_KEY && operation != KMS_OP_ENCRYPT &&
           operation != KMS_OP_DECRYPT && operation != KMS_OP_ENCRYPT_DETERMINISTIC &&
           operation != KMS_OP_DERIVE_KEY && operation != KMS_OP_GET_PARAMETERS_FOR_IMPORT;
}

/* What an operation asks of its key beside state and origin. */
static kms_status more_than_state(const kms__key *key, kms_operation operation)
{
    switch ((int)operation) {
    case KMS_OP_CREATE_KEY_VERSION:
        return kms__key_can_rotate(key);
    case KMS_OP_SCHEDULE_KEY_DELETION:
        return kms__deletion_allowed(key);
    case KMS_OP_PURGE_KEY:
        return key->purging ? KMS_OK
                            : kms__deletion_is_due(key->deletion_ms, key->now_ms, key->now_ms,
                                                   kms__key_text(key).text);
    case KMS_OP_IMPORT_KEY_VERSION:
        KMS__TRY(kms__import_has_first(key));
        return kms__key_has_room(key);
    default:
        return KMS_OK;
    }
}

static kms_status look_at_key(kms__txn *txn, void *argument)
{
    const question *q = argument;
    kms__key key;
    kms_status st;

    KMS__TRY(kms__key_find(txn, q->reference, &key));
    st = kms__key_allows(&key, q->operation, q->reference);
    if (st == KMS_OK)
        st = more_than_state(&key, q->operation);
    kms__key_clear(&key);
    return st;
}

static kms_status look_at_alias(kms__txn *txn, void *argument)
{
    const question *q = argument;
    kms__alias alias;

    KMS__TRY(kms__alias_load(txn, q->reference, &alias, NULL));
    return kms__alias_is_indexed(txn, alias.target, q->reference);
}

/* A change of the store: is it there, and in order? */
static kms_status look_at_nothing(kms__txn *txn, void *argument)
{
    (void)txn;
    (void)argument;
    return KMS_OK;
}

static kms_status would_use(kms_store *store, kms_operation operation, const char *keyref)
{
    kms__pin pin;

    KMS__TRY(kms__pin_primary_for(store, keyref, operation, 0, &pin));
    kms__pin_release(&pin);
    return KMS_OK;
}

static kms_status would_change(kms_store *store, question *q)
{
    uint8_t key_id[KMS__ID_SIZE];

    if (q->operation == KMS_OP_CREATE_KEY)
        return kms__store_read_header(store, look_at_nothing, q);
    if (q->operation == KMS_OP_DELETE_ALIAS) {
        KMS__TRY(kms__alias_name_check_own(q->reference));
        return kms__store_read_header(store, look_at_alias, q);
    }
    KMS__TRY(kms__key_id_parse(q->reference, key_id));
    return kms__store_read_header(store, look_at_key, q);
}

kms_status kms_would(kms_store *store, kms_operation operation, const char *reference)
{
    question q = {operation, reference};
    uint8_t key_id[KMS__ID_SIZE];

    KMS__TRY(kms__store_check(store));
    if (operation < KMS_OP_CREATE_KEY || operation > KMS_OP_DERIVE_KEY)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "%u is no operation", (unsigned)operation);
    if (changes_the_store(operation)) {
        KMS__TRY(kms__store_check_writable(store));
        return would_change(store, &q);
    }
    if (operation == KMS_OP_GET_PARAMETERS_FOR_IMPORT)
        KMS__TRY(kms__key_id_parse(reference, key_id));
    if (operation == KMS_OP_DESCRIBE_KEY || operation == KMS_OP_GET_PARAMETERS_FOR_IMPORT)
        return kms__store_read(store, look_at_key, &q);
    return would_use(store, operation, reference);
}
