#include "domain/version_record.h"
#include "base/try.h"
#include "crypto/kdf.h"
#include "wire/wire.h"

#include <sodium.h>
#include <string.h>

/* Body format 1. */
#define OLD_PLAIN_SIZE (1 + KMS__MATERIAL_SIZE)
#define MATERIAL_AT (KMS__VERSION_PLAIN_SIZE - KMS__MATERIAL_SIZE)

_Static_assert(KMS__VERSION_PLAIN_SIZE <= KMS__SECRET_CELL, "a version fits a secret cell");

kms__record_key kms__version_record_key(const uint8_t id[KMS__ID_SIZE], uint32_t number)
{
    kms__record_key key;
    kms__writer writer = kms__writer_to(key.bytes, sizeof key.bytes);

    kms__write_u8(&writer, KMS__TAG_VERSION);
    kms__write_bytes(&writer, id, KMS__ID_SIZE);
    kms__write_u32(&writer, number);
    key.len = writer.len;
    return key;
}

void kms__version_commitment(const uint8_t id[KMS__ID_SIZE], uint32_t number,
                             const uint8_t material[KMS__MATERIAL_SIZE],
                             uint8_t commitment[KMS_COMMITMENT_SIZE])
{
    kms__derive(KMS__USE_COMMITMENT, material, id, number, commitment);
}

/* Whether a cell's material is what the key says. */
static kms_status check_material(const kms__key *key, uint32_t number, const uint8_t *cell)
{
    const kms__key_version *version = &key->versions[number - 1];
    uint8_t commitment[KMS_COMMITMENT_SIZE];
    bool right;

    if (version->has_material) {
        kms__version_commitment(key->id, number, cell, commitment);
        right = memcmp(commitment, version->commitment, sizeof commitment) == 0;
    } else {
        right = sodium_is_zero(cell, KMS__MATERIAL_SIZE) == 1;
    }
    if (right)
        return KMS_OK;
    return kms_set_error(KMS_ERR_CORRUPT,
                         "version %u of key %s is not the one that the key names: the store was "
                         "tampered with",
                         number, kms__key_text(key).text);
}

/* Moves the material to the cell's start. */
static kms_status decode(const kms__key *key, uint32_t number, uint8_t *cell,
                         kms__version_extra *extra)
{
    kms__reader reader = kms__reader_of(cell, KMS__VERSION_PLAIN_SIZE);
    uint8_t body = kms__read_u8(&reader);
    size_t material_at = body == 1 ? 1 : MATERIAL_AT;

    memset(extra, 0, sizeof *extra);
    extra->source = KMS_MATERIAL_DRAWN;
    if (body == 0 || body > KMS__VERSION_BODY)
        return kms_set_error(KMS_ERR_NEWER_FORMAT,
                             "version %u of key %s was made by a newer libkms", number,
                             kms__key_text(key).text);
    if (body == 2) {
        extra->source = (kms_material_source)kms__read_u8(&reader);
        extra->state_before = (kms_key_version_state)kms__read_u8(&reader);
        extra->expires_ms = kms__read_i64(&reader);
        extra->destroy_ms = kms__read_i64(&reader);
    }
    memmove(cell, cell + material_at, KMS__MATERIAL_SIZE);
    sodium_memzero(cell + KMS__MATERIAL_SIZE, KMS__SECRET_CELL - KMS__MATERIAL_SIZE);
    return check_material(key, number, cell);
}

kms_status kms__version_load(kms__txn *txn, const kms__key *key, uint32_t number, uint8_t *cell,
                             kms__version_extra *extra, uint8_t mark[KMS__MARK_SIZE])
{
    kms__record_key record_key = kms__version_record_key(key->id, number);
    kms__version_extra unwanted;
    kms_status st =
        kms__txn_read_either(txn, &record_key, cell, OLD_PLAIN_SIZE, KMS__VERSION_PLAIN_SIZE, mark);

    if (st == KMS_ERR_NOT_FOUND)
        return kms_set_error(KMS_ERR_CORRUPT, "the record of version %u of key %s is missing",
                             number, kms__key_text(key).text);
    if (st == KMS_OK)
        st = decode(key, number, cell, extra != NULL ? extra : &unwanted);
    if (st != KMS_OK)
        sodium_memzero(cell, KMS__SECRET_CELL);
    return st;
}

kms_status kms__version_extra_load(kms__txn *txn, const kms__key *key, uint32_t number,
                                   kms__version_extra *extra)
{
    void *cell;
    kms_status st;

    KMS__TRY(kms__cache_take_cell(txn->store->cache, &cell));
    st = kms__version_load(txn, key, number, cell, extra, NULL);
    kms__secret_give(txn->store->secrets, cell);
    return st;
}

kms_status kms__version_save(kms__txn *txn, const uint8_t id[KMS__ID_SIZE], uint32_t number,
                             const kms__version_extra *extra,
                             const uint8_t material[KMS__MATERIAL_SIZE])
{
    static const uint8_t none[KMS__MATERIAL_SIZE];
    kms__record_key record_key = kms__version_record_key(id, number);
    kms__writer writer;
    void *cell;
    kms_status st;

    KMS__TRY(kms__cache_take_cell(txn->store->cache, &cell));
    writer = kms__writer_to(cell, KMS__SECRET_CELL);
    kms__write_u8(&writer, KMS__VERSION_BODY);
    kms__write_u8(&writer, (uint8_t)extra->source);
    kms__write_u8(&writer, (uint8_t)extra->state_before);
    kms__write_i64(&writer, extra->expires_ms);
    kms__write_i64(&writer, extra->destroy_ms);
    kms__write_bytes(&writer, material != NULL ? material : none, KMS__MATERIAL_SIZE);
    st = kms__txn_write(txn, &record_key, (kms_slice){cell, writer.len});
    kms__secret_give(txn->store->secrets, cell);
    return st;
}

kms_status kms__version_extra_save(kms__txn *txn, const kms__key *key, uint32_t number,
                                   const kms__version_extra *extra)
{
    void *cell;
    kms_status st;

    KMS__TRY(kms__cache_take_cell(txn->store->cache, &cell));
    st = kms__version_load(txn, key, number, cell, NULL, NULL);
    if (st == KMS_OK)
        st = kms__version_save(txn, key->id, number, extra, cell);
    kms__secret_give(txn->store->secrets, cell);
    return st;
}

kms_status kms__key_add_version(kms__txn *txn, kms__key *key, kms_suite suite,
                                const kms__version_extra *extra,
                                const uint8_t material[KMS__MATERIAL_SIZE])
{
    uint32_t number = key->version_count + 1;
    kms__key_version version = {.state = KMS_KEY_VERSION_ENABLED,
                                .has_material = true,
                                .suite = suite,
                                .created_ms = txn->now_ms};

    kms__version_commitment(key->id, number, material, version.commitment);
    KMS__TRY(kms__key_append_version(key, &version));
    key->expires_ms = extra->expires_ms;
    return kms__version_save(txn, key->id, number, extra, material);
}
