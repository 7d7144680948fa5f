#include "domain/alias_record.h"
#include "base/try.h"
#include "wire/wire.h"

#include <string.h>

kms__record_key kms__alias_record_key(const char *name)
{
    kms__record_key key;
    kms__writer writer = kms__writer_to(key.bytes, sizeof key.bytes);

    kms__write_u8(&writer, KMS__TAG_ALIAS);
    kms__write_bytes(&writer, name, strlen(name));
    key.len = writer.len;
    return key;
}

kms__record_key kms__index_record_key(const uint8_t key_id[KMS__ID_SIZE], const char *name)
{
    kms__record_key key;
    kms__writer writer = kms__writer_to(key.bytes, sizeof key.bytes);

    kms__write_u8(&writer, KMS__TAG_INDEX);
    kms__write_bytes(&writer, key_id, KMS__ID_SIZE);
    kms__write_bytes(&writer, name, strlen(name));
    key.len = writer.len;
    return key;
}

kms_status kms__alias_load(kms__txn *txn, const char *name, kms__alias *alias,
                           uint8_t mark[KMS__MARK_SIZE])
{
    kms__record_key record_key = kms__alias_record_key(name);
    uint8_t plain[KMS__ALIAS_PLAIN_SIZE];
    kms__reader reader = kms__reader_of(plain, sizeof plain);
    kms_status st = kms__txn_read(txn, &record_key, plain, sizeof plain, mark);

    if (st == KMS_ERR_NOT_FOUND)
        return kms_set_error(KMS_ERR_ALIAS_NOT_FOUND, "the store has no alias %s", name);
    KMS__TRY(st);
    if (kms__read_u8(&reader) != KMS__ALIAS_BODY)
        return kms_set_error(KMS_ERR_NEWER_FORMAT, "%s was made by a newer libkms", name);
    kms__read_bytes(&reader, alias->target, sizeof alias->target);
    alias->was_moved = kms__read_u8(&reader) != 0;
    kms__read_bytes(&reader, alias->previous, sizeof alias->previous);
    alias->created_ms = kms__read_i64(&reader);
    alias->moved_ms = kms__read_i64(&reader);
    return KMS_OK;
}

kms_status kms__alias_save(kms__txn *txn, const char *name, const kms__alias *alias)
{
    kms__record_key record_key = kms__alias_record_key(name);
    uint8_t plain[KMS__ALIAS_PLAIN_SIZE];
    kms__writer writer = kms__writer_to(plain, sizeof plain);

    kms__write_u8(&writer, KMS__ALIAS_BODY);
    kms__write_bytes(&writer, alias->target, sizeof alias->target);
    kms__write_u8(&writer, alias->was_moved ? 1 : 0);
    kms__write_bytes(&writer, alias->previous, sizeof alias->previous);
    kms__write_i64(&writer, alias->created_ms);
    kms__write_i64(&writer, alias->moved_ms);
    return kms__txn_write(txn, &record_key, (kms_slice){plain, writer.len});
}

kms_status kms__alias_index(kms__txn *txn, const uint8_t key_id[KMS__ID_SIZE], const char *name)
{
    static const uint8_t plain[KMS__INDEX_PLAIN_SIZE] = {KMS__ALIAS_BODY};
    kms__record_key record_key = kms__index_record_key(key_id, name);

    return kms__txn_write(txn, &record_key, (kms_slice){plain, sizeof plain});
}

static kms_status missing_is_damage(kms_status st, const char *name)
{
    if (st == KMS_ERR_NOT_FOUND)
        return kms_set_error(KMS_ERR_CORRUPT, "the index record of %s is missing", name);
    return st;
}

kms_status kms__alias_unindex(kms__txn *txn, const uint8_t key_id[KMS__ID_SIZE], const char *name)
{
    kms__record_key record_key = kms__index_record_key(key_id, name);

    return missing_is_damage(kms__txn_delete(txn, &record_key), name);
}

kms_status kms__alias_is_indexed(kms__txn *txn, const uint8_t key_id[KMS__ID_SIZE],
                                 const char *name)
{
    kms__record_key record_key = kms__index_record_key(key_id, name);
    uint8_t mark[KMS__MARK_SIZE];

    return missing_is_damage(kms__txn_mark(txn, &record_key, mark), name);
}
