#include "domain/key_record.h"
#include "base/try.h"
#include "crypto/kdf.h"
#include "wire/wire.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define FIXED_SIZE (1 + 1 + 1 + 1 + 1 + 8 + 4 + 4)
#define VERSION_SIZE (1 + 1 + 8 + KMS_COMMITMENT_SIZE)

_Static_assert(FIXED_SIZE + KMS_KEY_VERSIONS_MAX * VERSION_SIZE <= KMS__RECORD_PLAIN_MAX,
               "a key with all its versions fits a record");
_Static_assert(KMS__VERSION_PLAIN_SIZE <= KMS__SECRET_CELL, "a version fits a secret cell");

kms__record_key kms__key_record_key(const uint8_t id[KMS__ID_SIZE])
{
    kms__record_key key;
    kms__writer writer = kms__writer_to(key.bytes, sizeof key.bytes);

    kms__write_u8(&writer, KMS__TAG_KEY);
    kms__write_bytes(&writer, id, KMS__ID_SIZE);
    key.len = writer.len;
    return key;
}

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

void kms__key_clear(kms__key *key)
{
    free(key->versions);
    memset(key, 0, sizeof *key);
}

static kms_status key_is_damaged(const uint8_t id[KMS__ID_SIZE])
{
    char text[KMS_KEY_ID_SIZE];

    kms__id_format(id, text);
    return kms_set_error(KMS_ERR_CORRUPT, "the record of key %s does not make sense", text);
}

static kms_status key_is_newer(const uint8_t id[KMS__ID_SIZE])
{
    char text[KMS_KEY_ID_SIZE];

    kms__id_format(id, text);
    return kms_set_error(KMS_ERR_NEWER_FORMAT,
                         "key %s was changed by a newer libkms: use that to read it", text);
}

/* A later release may know more of each; this one must not use such a key for what it is not. */
static bool kind_is_known(const kms__key *key)
{
    return key->spec == KMS_KEY_SPEC_SYMMETRIC_256 && key->usage == KMS_KEY_USAGE_ENCRYPT_DECRYPT &&
           key->origin == KMS_KEY_ORIGIN_KMS && key->state >= KMS_KEY_ENABLED &&
           key->state <= KMS_KEY_PENDING_IMPORT;
}

static kms_status decode_versions(kms__reader *reader, kms__key *key)
{
    if (key->version_count > KMS_KEY_VERSIONS_MAX || key->primary > key->version_count)
        return key_is_damaged(key->id);
    key->versions = calloc((size_t)key->version_count + 1, sizeof *key->versions);
    if (key->versions == NULL)
        return kms_set_error(KMS_ERR_NO_MEMORY, "out of memory for a key of %u versions",
                             key->version_count);
    for (uint32_t i = 0; i < key->version_count; i++) {
        kms__key_version *version = &key->versions[i];

        version->state = (kms_key_version_state)kms__read_u8(reader);
        version->suite = (kms_suite)kms__read_u8(reader);
        version->created_ms = kms__read_i64(reader);
        kms__read_bytes(reader, version->commitment, sizeof version->commitment);
    }
    if (!kms__reader_ok(reader))
        return key_is_damaged(key->id);
    /* A later release appends what this one does not know. */
    if (!kms__reader_ended(reader))
        return key_is_newer(key->id);
    return KMS_OK;
}

kms_status kms__key_decode(const uint8_t id[KMS__ID_SIZE], kms_slice plain, kms__key *key)
{
    kms__reader reader = kms__reader_of(plain.data, plain.len);
    uint8_t body = kms__read_u8(&reader);
    kms_status st;

    memset(key, 0, sizeof *key);
    memcpy(key->id, id, KMS__ID_SIZE);
    if (body > KMS__KEY_BODY)
        return key_is_newer(id);
    key->spec = (kms_key_spec)kms__read_u8(&reader);
    key->usage = (kms_key_usage)kms__read_u8(&reader);
    key->origin = (kms_key_origin)kms__read_u8(&reader);
    key->state = (kms_key_state)kms__read_u8(&reader);
    key->created_ms = kms__read_i64(&reader);
    key->primary = kms__read_u32(&reader);
    key->version_count = kms__read_u32(&reader);
    if (body != KMS__KEY_BODY || !kms__reader_ok(&reader))
        return key_is_damaged(id);
    if (!kind_is_known(key))
        return key_is_newer(id);
    st = decode_versions(&reader, key);
    if (st != KMS_OK)
        kms__key_clear(key);
    return st;
}

kms_status kms__key_load(kms__txn *txn, const uint8_t id[KMS__ID_SIZE], kms__key *key,
                         uint8_t mark[KMS__MARK_SIZE])
{
    kms__record_key record_key = kms__key_record_key(id);
    char text[KMS_KEY_ID_SIZE];
    uint8_t *plain;
    size_t len;
    kms_status st = kms__txn_read_alloc(txn, &record_key, &plain, &len, mark);

    if (st == KMS_ERR_NOT_FOUND) {
        kms__id_format(id, text);
        return kms_set_error(KMS_ERR_KEY_NOT_FOUND, "the store has no key %s", text);
    }
    KMS__TRY(st);
    st = kms__key_decode(id, (kms_slice){plain, len}, key);
    free(plain);
    return st;
}

static void encode(kms__writer *writer, const kms__key *key)
{
    kms__write_u8(writer, KMS__KEY_BODY);
    kms__write_u8(writer, (uint8_t)key->spec);
    kms__write_u8(writer, (uint8_t)key->usage);
    kms__write_u8(writer, (uint8_t)key->origin);
    kms__write_u8(writer, (uint8_t)key->state);
    kms__write_i64(writer, key->created_ms);
    kms__write_u32(writer, key->primary);
    kms__write_u32(writer, key->version_count);
    for (uint32_t i = 0; i < key->version_count; i++) {
        const kms__key_version *version = &key->versions[i];

        kms__write_u8(writer, (uint8_t)version->state);
        kms__write_u8(writer, (uint8_t)version->suite);
        kms__write_i64(writer, version->created_ms);
        kms__write_bytes(writer, version->commitment, sizeof version->commitment);
    }
}

kms_status kms__key_save(kms__txn *txn, const kms__key *key)
{
    size_t size = FIXED_SIZE + (size_t)key->version_count * VERSION_SIZE;
    kms__record_key record_key = kms__key_record_key(key->id);
    uint8_t *plain = malloc(size);
    kms__writer writer = kms__writer_to(plain, size);
    kms_status st;

    if (plain == NULL)
        return kms_set_error(KMS_ERR_NO_MEMORY, "out of memory for a key of %u versions",
                             key->version_count);
    encode(&writer, key);
    st = kms__txn_write(txn, &record_key, (kms_slice){plain, writer.len});
    free(plain);
    return st;
}

kms_status kms__key_version_of(const kms__key *key, uint32_t number,
                               const kms__key_version **version)
{
    char text[KMS_KEY_ID_SIZE];

    if (number < 1 || number > key->version_count) {
        kms__id_format(key->id, text);
        return kms_set_error(KMS_ERR_VERSION_NOT_FOUND,
                             "key %s has no version %u: its newest is version %u", text, number,
                             key->version_count);
    }
    *version = &key->versions[number - 1];
    return KMS_OK;
}

static kms_status save_material(kms__txn *txn, const kms__key *key, uint32_t number,
                                const uint8_t material[KMS__MATERIAL_SIZE])
{
    kms__record_key record_key = kms__version_record_key(key->id, number);
    kms_status st;
    void *cell;
    kms__writer writer;

    KMS__TRY(kms__cache_take_cell(txn->store->cache, &cell));
    writer = kms__writer_to(cell, KMS__SECRET_CELL);
    kms__write_u8(&writer, KMS__VERSION_BODY);
    kms__write_bytes(&writer, material, KMS__MATERIAL_SIZE);
    st = kms__txn_write(txn, &record_key, (kms_slice){cell, writer.len});
    kms__secret_give(txn->store->secrets, cell);
    return st;
}

kms_status kms__key_add_version(kms__txn *txn, kms__key *key, kms_suite suite, int64_t now_ms,
                                const uint8_t material[KMS__MATERIAL_SIZE])
{
    uint32_t number = key->version_count + 1;
    kms__key_version *versions, *version;

    versions = realloc(key->versions, number * sizeof *versions);
    if (versions == NULL)
        return kms_set_error(KMS_ERR_NO_MEMORY, "out of memory for a key of %u versions", number);
    key->versions = versions;
    version = &versions[number - 1];
    version->state = KMS_KEY_VERSION_ENABLED;
    version->suite = suite;
    version->created_ms = now_ms;
    kms__derive(KMS__USE_COMMITMENT, material, key->id, number, version->commitment);
    key->version_count = number;
    key->primary = number;
    return save_material(txn, key, number, material);
}

static kms_status check_material(const kms__key *key, uint32_t number, uint8_t *cell)
{
    uint8_t commitment[KMS_COMMITMENT_SIZE];
    char text[KMS_KEY_ID_SIZE];

    kms__derive(KMS__USE_COMMITMENT, cell, key->id, number, commitment);
    if (memcmp(commitment, key->versions[number - 1].commitment, sizeof commitment) == 0)
        return KMS_OK;
    sodium_memzero(cell, KMS__SECRET_CELL);
    kms__id_format(key->id, text);
    return kms_set_error(KMS_ERR_CORRUPT,
                         "version %u of key %s is not the one that the key names: the store was "
                         "tampered with",
                         number, text);
}

kms_status kms__material_load(kms__txn *txn, const kms__key *key, uint32_t number, uint8_t *cell,
                              uint8_t mark[KMS__MARK_SIZE])
{
    kms__record_key record_key = kms__version_record_key(key->id, number);
    char text[KMS_KEY_ID_SIZE];
    kms_status st = kms__txn_read(txn, &record_key, cell, KMS__VERSION_PLAIN_SIZE, mark);

    kms__id_format(key->id, text);
    if (st == KMS_ERR_NOT_FOUND)
        return kms_set_error(KMS_ERR_CORRUPT, "the record of version %u of key %s is missing",
                             number, text);
    KMS__TRY(st);
    if (cell[0] != KMS__VERSION_BODY) {
        sodium_memzero(cell, KMS__SECRET_CELL);
        return kms_set_error(KMS_ERR_NEWER_FORMAT,
                             "version %u of key %s was made by a newer libkms", number, text);
    }
    memmove(cell, cell + 1, KMS__MATERIAL_SIZE);
    return check_material(key, number, cell);
}
