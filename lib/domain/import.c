#include "domain/import.h"
#include "base/try.h"
#include "domain/state.h"

#include <sodium.h>
#include <string.h>

/* Versions whose material one transaction takes away. */
#define BATCH 60

_Static_assert(BATCH + 2 < KMS_TXN_WRITES_MAX, "a batch fits a transaction");

static bool has_first(const kms__key *key)
{
    return key->version_count > 0 && !kms__key_version_is_unbound(&key->versions[0]);
}

/* The version that has or had this material; 0 if none. */
static uint32_t find_material(const kms__key *key, const uint8_t *material)
{
    uint8_t commitment[KMS_COMMITMENT_SIZE];

    for (uint32_t n = 1; n <= key->version_count; n++) {
        kms__version_commitment(key->id, n, material, commitment);
        if (sodium_memcmp(commitment, key->versions[n - 1].commitment, sizeof commitment) == 0)
            return n;
    }
    return 0;
}

static kms_status put_material(kms__txn *txn, kms__key *key, uint32_t number,
                               const kms__incoming *incoming)
{
    kms__key_version *version = &key->versions[number - 1];
    kms__version_extra extra;

    /* What was scheduled stays scheduled. */
    KMS__TRY(kms__version_extra_load(txn, key, number, &extra));
    /* What was in the clear once is not made better by a wrapping. */
    if (extra.source != KMS_MATERIAL_RAW)
        extra.source = incoming->extra.source;
    extra.expires_ms = incoming->extra.expires_ms;
    if (kms__key_version_is_unbound(version))
        kms__version_commitment(key->id, number, incoming->material, version->commitment);
    version->has_material = true;
    if (number == key->primary)
        key->expires_ms = extra.expires_ms;
    return kms__version_save(txn, key->id, number, &extra, incoming->material);
}

static kms_status import_material(kms__txn *txn, kms__key *key, const void *argument, bool *changed)
{
    const kms__incoming *incoming = argument;
    uint32_t number = 1; /* the one that waits for its first material */

    (void)changed;
    if (has_first(key))
        number = find_material(key, incoming->material);
    if (number == 0)
        return kms_set_error(KMS_ERR_INCORRECT_MATERIAL,
                             "this is other material than key %s had: only the same may come "
                             "back; new material is kms_import_key_version()'s",
                             kms__key_text(key).text);
    if (key->versions[number - 1].state == KMS_KEY_VERSION_DESTROYED)
        return kms_set_error(KMS_ERR_DESTROYED,
                             "version %u of key %s, which had this material, was destroyed", number,
                             kms__key_text(key).text);
    return put_material(txn, key, number, incoming);
}

kms_status kms__import_material(kms__txn *txn, const kms__incoming *incoming)
{
    return kms__key_change(txn, incoming->id, KMS_OP_IMPORT_KEY_MATERIAL, import_material,
                           incoming);
}

kms_status kms__import_has_first(const kms__key *key)
{
    if (has_first(key))
        return KMS_OK;
    return kms_set_error(KMS_ERR_INVALID_STATE,
                         "key %s never had material: its first comes by "
                         "kms_import_key_material()",
                         kms__key_text(key).text);
}

static kms_status import_version(kms__txn *txn, kms__key *key, const void *argument, bool *changed)
{
    const kms__incoming *incoming = argument;
    uint32_t there;

    (void)changed;
    KMS__TRY(kms__import_has_first(key));
    KMS__TRY(kms__key_has_room(key));
    there = find_material(key, incoming->material);
    if (there != 0)
        return kms_set_error(KMS_ERR_ALREADY_EXISTS,
                             "version %u of key %s has or had this very material", there,
                             kms__key_text(key).text);
    return kms__key_add_version(txn, key, key->versions[key->primary - 1].suite, &incoming->extra,
                                incoming->material);
}

static kms_status newest_version(kms__txn *txn, const uint8_t id[KMS__ID_SIZE], uint32_t *number)
{
    kms__key key;

    KMS__TRY(kms__key_load(txn, id, &key, NULL));
    *number = key.version_count;
    kms__key_clear(&key);
    return KMS_OK;
}

kms_status kms__import_version(kms__txn *txn, kms__incoming *incoming)
{
    KMS__TRY(
        kms__key_change(txn, incoming->id, KMS_OP_IMPORT_KEY_VERSION, import_version, incoming));
    return newest_version(txn, incoming->id, &incoming->number);
}

static kms_status delete_material(kms__txn *txn, kms__key *key, uint32_t number)
{
    kms__key_version *version = &key->versions[number - 1];
    kms__version_extra extra;

    if (!version->has_material)
        return KMS_OK;
    KMS__TRY(kms__version_extra_load(txn, key, number, &extra));
    extra.expires_ms = 0;
    if (number == key->primary)
        key->expires_ms = 0;
    version->has_material = false;
    return kms__version_save(txn, key->id, number, &extra, NULL);
}

typedef struct deletion {
    uint32_t number;
    bool *more;
} deletion;

static kms_status delete_some(kms__txn *txn, kms__key *key, bool *changed, bool *more)
{
    unsigned done = 0;

    *more = false;
    if (key->primary != 0 && key->versions[key->primary - 1].has_material) {
        KMS__TRY(delete_material(txn, key, key->primary));
        done++;
    }
    for (uint32_t n = 1; n <= key->version_count; n++) {
        if (!key->versions[n - 1].has_material)
            continue;
        if (done++ == BATCH) {
            *more = true;
            break;
        }
        KMS__TRY(delete_material(txn, key, n));
    }
    *changed = done > 0;
    return KMS_OK;
}

static kms_status delete_wanted(kms__txn *txn, kms__key *key, const void *argument, bool *changed)
{
    const deletion *d = argument;
    kms__key_version *version;

    if (d->number == 0)
        return delete_some(txn, key, changed, d->more);
    KMS__TRY(kms__key_version_of(key, d->number, &version));
    *changed = version->has_material;
    return delete_material(txn, key, d->number);
}

kms_status kms__import_delete(kms__txn *txn, const uint8_t id[KMS__ID_SIZE], uint32_t number,
                              bool *more)
{
    deletion d = {number, more};

    *more = false;
    return kms__key_change(txn, id, KMS_OP_DELETE_KEY_MATERIAL, delete_wanted, &d);
}
