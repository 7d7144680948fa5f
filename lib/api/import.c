#include "domain/import.h"
#include "base/try.h"
#include "crypto/wrapping.h"
#include "domain/reference.h"
#include "domain/state.h"

static kms_status may_get_parameters(kms__txn *txn, void *argument)
{
    kms__key key;
    kms_status st;

    KMS__TRY(kms__key_load(txn, argument, &key, NULL));
    st = kms__key_allows(&key, KMS_OP_GET_PARAMETERS_FOR_IMPORT, NULL);
    kms__key_clear(&key);
    return st;
}

kms_status kms_get_parameters_for_import(kms_store *store, const char *key_id,
                                         kms_wrapping wrapping, kms_import_parameters *parameters)
{
    uint8_t id[KMS__ID_SIZE];

    KMS__TRY(kms__store_check(store));
    KMS__TRY(kms__key_id_parse(key_id, id));
    if (parameters == NULL)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "parameters is NULL");
    KMS__TRY(kms__wrapping_check(wrapping));
    KMS__TRY(kms__store_read(store, may_get_parameters, id));
    return kms__import_token_make(store, id, wrapping, parameters);
}

static kms_status import_material(kms__txn *txn, void *argument)
{
    return kms__import_material(txn, argument);
}

static kms_status import_version(kms__txn *txn, void *argument)
{
    return kms__import_version(txn, argument);
}

/* *number: the version that kms__import_version() made. */
static kms_status import_by(kms_store *store, const char *key_id, const kms_import *import,
                            kms__txn_body *body, uint32_t *number)
{
    kms__incoming incoming;
    uint8_t id[KMS__ID_SIZE];
    kms_status st;

    KMS__TRY(kms__store_check_writable(store));
    KMS__TRY(kms__key_id_parse(key_id, id));
    st = kms__incoming_take(store, id, import, &incoming);
    if (st == KMS_OK)
        st = kms__store_write(store, body, &incoming);
    kms__incoming_wipe(store, &incoming);
    *number = incoming.number;
    return st;
}

kms_status kms_import_key_material(kms_store *store, const char *key_id, const kms_import *import)
{
    uint32_t number;

    return import_by(store, key_id, import, import_material, &number);
}

kms_status kms_import_key_version(kms_store *store, const char *key_id, const kms_import *import,
                                  uint32_t *version_number)
{
    uint32_t number;

    KMS__TRY(import_by(store, key_id, import, import_version, &number));
    if (version_number != NULL)
        *version_number = number;
    return KMS_OK;
}

typedef struct deletion {
    uint8_t id[KMS__ID_SIZE];
    uint32_t number;
    bool more;
} deletion;

static kms_status delete_material(kms__txn *txn, void *argument)
{
    deletion *d = argument;

    return kms__import_delete(txn, d->id, d->number, &d->more);
}

kms_status kms_delete_key_material(kms_store *store, const char *key_id, uint32_t number)
{
    deletion d = {.number = number};

    KMS__TRY(kms__store_check_writable(store));
    KMS__TRY(kms__key_id_parse(key_id, d.id));
    do {
        KMS__TRY(kms__store_write(store, delete_material, &d));
    } while (d.more);
    return KMS_OK;
}
