#include "domain/key_record.h"
#include "base/try.h"
#include "wire/wire.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define FIXED_SIZE (7 + 3 * 8 + 2 + 3 * 8 + 4 * 4)
#define VERSION_SIZE (1 + 1 + 1 + 8 + KMS_COMMITMENT_SIZE)

#define FLAG_DELETION_PROTECTED 1u
#define FLAG_PURGING 2u
#define FLAG_ROTATION_ENABLED 4u
#define FLAGS_KNOWN (FLAG_DELETION_PROTECTED | FLAG_PURGING | FLAG_ROTATION_ENABLED)

_Static_assert(FIXED_SIZE + KMS_KEY_VERSIONS_MAX * VERSION_SIZE <= KMS__RECORD_PLAIN_MAX,
               "a key with all its versions fits a record");

kms__record_key kms__key_record_key(const uint8_t id[KMS__ID_SIZE])
{
    return kms__record_key_of(KMS__TAG_KEY, id);
}

kms__id_text kms__key_text(const kms__key *key)
{
    kms__id_text id;

    kms__id_format(key->id, id.text);
    return id;
}

void kms__key_clear(kms__key *key)
{
    free(key->versions);
    memset(key, 0, sizeof *key);
}

static kms_status key_is_damaged(const kms__key *key)
{
    return kms_set_error(KMS_ERR_CORRUPT, "the record of key %s does not make sense",
                         kms__key_text(key).text);
}

static kms_status key_is_newer(const kms__key *key)
{
    return kms_set_error(KMS_ERR_NEWER_FORMAT,
                         "key %s was changed by a newer libkms: use that to read it",
                         kms__key_text(key).text);
}

/* A later release may know more of each; this one must not use such a key for what it is not. */
static bool kind_is_known(const kms__key *key)
{
    return key->spec == KMS_KEY_SPEC_SYMMETRIC_256 &&
           (key->usage == KMS_KEY_USAGE_ENCRYPT_DECRYPT ||
            key->usage == KMS_KEY_USAGE_DETERMINISTIC) &&
           (key->origin == KMS_KEY_ORIGIN_KMS || key->origin == KMS_KEY_ORIGIN_EXTERNAL) &&
           (key->creator == KMS_KEY_CREATOR_USER || key->creator == KMS_KEY_CREATOR_SERVICE) &&
           (key->base == KMS_KEY_ENABLED || key->base == KMS_KEY_DISABLED);
}

static void decode_version(kms__reader *reader, uint8_t body, kms__key_version *version)
{
    version->state = (kms_key_version_state)kms__read_u8(reader);
    version->has_material = body == 1 || kms__read_u8(reader) != 0;
    version->suite = (kms_suite)kms__read_u8(reader);
    version->created_ms = kms__read_i64(reader);
    kms__read_bytes(reader, version->commitment, sizeof version->commitment);
}

static kms_status decode_versions(kms__reader *reader, uint8_t body, kms__key *key)
{
    if (key->version_count > KMS_KEY_VERSIONS_MAX || key->primary > key->version_count ||
        (key->primary == 0) != (key->version_count == 0))
        return key_is_damaged(key);
    key->versions = calloc((size_t)key->version_count + 1, sizeof *key->versions);
    if (key->versions == NULL)
        return kms_set_error(KMS_ERR_NO_MEMORY, "out of memory for a key of %u versions",
                             key->version_count);
    for (uint32_t i = 0; i < key->version_count; i++)
        decode_version(reader, body, &key->versions[i]);
    if (!kms__reader_ok(reader))
        return key_is_damaged(key);
    /* A later release appends what this one does not know. */
    if (!kms__reader_ended(reader))
        return key_is_newer(key);
    return KMS_OK;
}

static void decode_fixed_1(kms__reader *reader, kms__key *key)
{
    key->spec = (kms_key_spec)kms__read_u8(reader);
    key->usage = (kms_key_usage)kms__read_u8(reader);
    key->origin = (kms_key_origin)kms__read_u8(reader);
    key->creator = KMS_KEY_CREATOR_USER;
    key->base = (kms_key_state)kms__read_u8(reader);
    key->created_ms = kms__read_i64(reader);
    key->primary = kms__read_u32(reader);
    key->version_count = kms__read_u32(reader);
}

/* Gives the flags. */
static uint8_t decode_fixed_2(kms__reader *reader, kms__key *key)
{
    uint8_t flags;

    key->spec = (kms_key_spec)kms__read_u8(reader);
    key->usage = (kms_key_usage)kms__read_u8(reader);
    key->origin = (kms_key_origin)kms__read_u8(reader);
    key->creator = (kms_key_creator)kms__read_u8(reader);
    key->base = (kms_key_state)kms__read_u8(reader);
    flags = kms__read_u8(reader);
    key->created_ms = kms__read_i64(reader);
    key->deletion_ms = kms__read_i64(reader);
    key->expires_ms = kms__read_i64(reader);
    key->rotation_days = kms__read_u16(reader);
    key->rotation_start_ms = kms__read_i64(reader);
    key->last_rotation_ms = kms__read_i64(reader);
    key->rotation_stamp_ms = kms__read_i64(reader);
    key->minimum_version = kms__read_u32(reader);
    key->version_window = kms__read_u32(reader);
    key->primary = kms__read_u32(reader);
    key->version_count = kms__read_u32(reader);
    key->deletion_protected = (flags & FLAG_DELETION_PROTECTED) != 0;
    key->purging = (flags & FLAG_PURGING) != 0;
    key->rotation_enabled = (flags & FLAG_ROTATION_ENABLED) != 0;
    return flags;
}

kms_status kms__key_decode(const uint8_t id[KMS__ID_SIZE], kms_slice plain, kms__key *key)
{
    kms__reader reader = kms__reader_of(plain.data, plain.len);
    uint8_t body = kms__read_u8(&reader);
    uint8_t flags = 0;
    kms_status st;

    memset(key, 0, sizeof *key);
    memcpy(key->id, id, KMS__ID_SIZE);
    if (body > KMS__KEY_BODY)
        return key_is_newer(key);
    if (body == 1)
        decode_fixed_1(&reader, key);
    else
        flags = decode_fixed_2(&reader, key);
    if (body == 0 || !kms__reader_ok(&reader))
        return key_is_damaged(key);
    if (!kind_is_known(key) || (flags & ~FLAGS_KNOWN) != 0)
        return key_is_newer(key);
    st = decode_versions(&reader, body, key);
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
    key->now_ms = txn->now_ms;
    free(plain);
    return st;
}

static uint8_t flags_of(const kms__key *key)
{
    return (uint8_t)((key->deletion_protected ? FLAG_DELETION_PROTECTED : 0) |
                     (key->purging ? FLAG_PURGING : 0) |
                     (key->rotation_enabled ? FLAG_ROTATION_ENABLED : 0));
}

static void encode_version(kms__writer *writer, const kms__key_version *version)
{
    kms__write_u8(writer, (uint8_t)version->state);
    kms__write_u8(writer, version->has_material ? 1 : 0);
    kms__write_u8(writer, (uint8_t)version->suite);
    kms__write_i64(writer, version->created_ms);
    kms__write_bytes(writer, version->commitment, sizeof version->commitment);
}

static void encode(kms__writer *writer, const kms__key *key)
{
    kms__write_u8(writer, KMS__KEY_BODY);
    kms__write_u8(writer, (uint8_t)key->spec);
    kms__write_u8(writer, (uint8_t)key->usage);
    kms__write_u8(writer, (uint8_t)key->origin);
    kms__write_u8(writer, (uint8_t)key->creator);
    kms__write_u8(writer, (uint8_t)key->base);
    kms__write_u8(writer, flags_of(key));
    kms__write_i64(writer, key->created_ms);
    kms__write_i64(writer, key->deletion_ms);
    kms__write_i64(writer, key->expires_ms);
    kms__write_u16(writer, (uint16_t)key->rotation_days);
    kms__write_i64(writer, key->rotation_start_ms);
    kms__write_i64(writer, key->last_rotation_ms);
    kms__write_i64(writer, key->rotation_stamp_ms);
    kms__write_u32(writer, key->minimum_version);
    kms__write_u32(writer, key->version_window);
    kms__write_u32(writer, key->primary);
    kms__write_u32(writer, key->version_count);
    for (uint32_t i = 0; i < key->version_count; i++)
        encode_version(writer, &key->versions[i]);
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

kms_status kms__key_version_of(const kms__key *key, uint32_t number, kms__key_version **version)
{
    if (number < 1 || number > key->version_count)
        return kms_set_error(KMS_ERR_VERSION_NOT_FOUND,
                             "key %s has no version %u: its newest is version %u",
                             kms__key_text(key).text, number, key->version_count);
    *version = &key->versions[number - 1];
    return KMS_OK;
}

bool kms__key_version_is_unbound(const kms__key_version *version)
{
    return sodium_is_zero(version->commitment, sizeof version->commitment) == 1;
}

kms_status kms__key_append_version(kms__key *key, const kms__key_version *version)
{
    uint32_t number = key->version_count + 1;
    kms__key_version *versions = realloc(key->versions, number * sizeof *versions);

    if (versions == NULL)
        return kms_set_error(KMS_ERR_NO_MEMORY, "out of memory for a key of %u versions", number);
    key->versions = versions;
    versions[number - 1] = *version;
    key->version_count = number;
    key->primary = number;
    return KMS_OK;
}
