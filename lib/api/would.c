#include "base/try.h"
#include "domain/aliases.h"
#include "domain/keys.h"
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
           operation != KMS_OP_DECRYPT;
}

static kms_status look_at_key(kms__txn *txn, void *argument)
{
    const question *q = argument;
    kms__key key;
    kms_status st;

    KMS__TRY(kms__key_find(txn, q->reference, &key));
    st = kms__key_allows(&key, q->operation, q->reference);
    if (st == KMS_OK && q->operation == KMS_OP_CREATE_KEY_VERSION)
        st = kms__key_can_rotate(&key);
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

static kms_status would_use(kms_store *store, const char *keyref)
{
    kms__pin pin;

    KMS__TRY(kms__pin_primary(store, keyref, 0, &pin));
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

    KMS__TRY(kms__store_check(store));
    if (operation < KMS_OP_CREATE_KEY || operation > KMS_OP_DECRYPT)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "%u is no operation", (unsigned)operation);
    if (changes_the_store(operation)) {
        KMS__TRY(kms__store_check_writable(store));
        return would_change(store, &q);
    }
    if (operation == KMS_OP_DESCRIBE_KEY)
        return kms__store_read(store, look_at_key, &q);
    return would_use(store, reference);
}
