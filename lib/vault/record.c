#include "vault/record.h"
#include "base/id.h"
#include "crypto/aead.h"
#include "wire/wire.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define PREFIX_SIZE (1 + 4 + 24)
#define NONCE_AT 5
#define ASSOCIATED_MAX (KMS_STORE_ID_SIZE + 1 + 4 + KMS_RECORD_KEY_MAX)

static size_t associated_data(const kms__seal *seal, uint32_t generation, kms_slice record_key,
                              uint8_t associated[ASSOCIATED_MAX])
{
    kms__writer writer = kms__writer_to(associated, ASSOCIATED_MAX);

    kms__write_bytes(&writer, seal->store_id, KMS_STORE_ID_SIZE);
    kms__write_u8(&writer, KMS__RECORD_FORMAT);
    kms__write_u32(&writer, generation);
    kms__write_bytes(&writer, record_key.data, record_key.len);
    return writer.len;
}

void kms__record_seal(const kms__seal *seal, kms_slice record_key, kms_slice plain, uint8_t *value)
{
    uint8_t associated[ASSOCIATED_MAX];
    size_t associated_len = associated_data(seal, seal->generation, record_key, associated);
    kms__writer writer = kms__writer_to(value, PREFIX_SIZE);
    uint8_t nonce[24];

    randombytes_buf(nonce, sizeof nonce);
    kms__write_u8(&writer, KMS__RECORD_FORMAT);
    kms__write_u32(&writer, seal->generation);
    kms__write_bytes(&writer, nonce, sizeof nonce);
    (void)crypto_aead_xchacha20poly1305_ietf_encrypt(value + PREFIX_SIZE, NULL, plain.data,
                                                     plain.len, associated, associated_len, NULL,
                                                     nonce, seal->key);
}

kms__record_key kms__record_key_of(uint8_t tag, const uint8_t key_id[KMS__ID_SIZE])
{
    kms__record_key key;
    kms__writer writer = kms__writer_to(key.bytes, sizeof key.bytes);

    kms__write_u8(&writer, tag);
    kms__write_bytes(&writer, key_id, KMS__ID_SIZE);
    key.len = writer.len;
    return key;
}

static kms_status damaged(kms_slice record_key)
{
    char name[KMS__RECORD_NAME_SIZE];

    return kms_set_error(KMS_ERR_CORRUPT,
                         "%s is damaged or was tampered with: restore the store from a backup",
                         kms__record_name(record_key, name));
}

kms_status kms__record_open(const kms__seal *seal, kms_slice record_key, kms_slice value,
                            uint8_t *plain)
{
    kms__reader reader = kms__reader_of(value.data, value.len);
    uint8_t format = kms__read_u8(&reader);
    uint32_t generation = kms__read_u32(&reader);
    uint8_t associated[ASSOCIATED_MAX];
    size_t associated_len = associated_data(seal, generation, record_key, associated);
    kms_slice nonce = kms__read_slice(&reader, 24);
    char name[KMS__RECORD_NAME_SIZE];

    if (format > KMS__RECORD_FORMAT)
        return kms_set_error(KMS_ERR_NEWER_FORMAT,
                             "%s has format %u: a newer libkms wrote it, use that",
                             kms__record_name(record_key, name), format);
    if (!kms__reader_ok(&reader) || format != KMS__RECORD_FORMAT || generation != seal->generation)
        return damaged(record_key);
    if (crypto_aead_xchacha20poly1305_ietf_decrypt(plain, NULL, NULL, reader.at, reader.left,
                                                   associated, associated_len, nonce.data,
                                                   seal->key) != 0)
        return damaged(record_key);
    return KMS_OK;
}

size_t kms__record_plain_size(kms_slice value)
{
    return value.len < KMS__RECORD_OVERHEAD ? 0 : value.len - KMS__RECORD_OVERHEAD;
}

kms_status kms__record_mark(kms_slice record_key, kms_slice value, uint8_t mark[KMS__MARK_SIZE])
{
    const uint8_t *bytes = value.data;

    if (value.len < KMS__RECORD_OVERHEAD)
        return damaged(record_key);
    memcpy(mark, bytes + NONCE_AT, 24);
    memcpy(mark + 24, bytes + value.len - 16, 16);
    return KMS_OK;
}

static const char *name_of_key_record(kms__reader *rest, char tag, char name[KMS__RECORD_NAME_SIZE])
{
    uint8_t id[KMS__ID_SIZE];
    char text[KMS_KEY_ID_SIZE];

    kms__read_bytes(rest, id, sizeof id);
    if (!kms__reader_ok(rest))
        return "a record that no libkms made";
    kms__id_format(id, text);
    if (tag == KMS__TAG_VERSION)
        snprintf(name, KMS__RECORD_NAME_SIZE, "the record of version %u of key %s",
                 kms__read_u32(rest), text);
    else if (tag == KMS__TAG_INDEX)
        snprintf(name, KMS__RECORD_NAME_SIZE, "an index record of key %s", text);
    else if (tag == KMS__TAG_DESCRIPTION)
        snprintf(name, KMS__RECORD_NAME_SIZE, "the description of key %s", text);
    else if (tag == KMS__TAG_TAGS)
        snprintf(name, KMS__RECORD_NAME_SIZE, "the tags of key %s", text);
    else if (tag == KMS__TAG_LAST_USE)
        snprintf(name, KMS__RECORD_NAME_SIZE, "the last use of key %s", text);
    else
        snprintf(name, KMS__RECORD_NAME_SIZE, "the record of key %s", text);
    return name;
}

const char *kms__record_name(kms_slice record_key, char name[KMS__RECORD_NAME_SIZE])
{
    kms__reader reader = kms__reader_of(record_key.data, record_key.len);
    char tag = (char)kms__read_u8(&reader);

    switch (tag) {
    case KMS__TAG_ALIAS:
        snprintf(name, KMS__RECORD_NAME_SIZE, "the record of %.*s", (int)reader.left,
                 (const char *)reader.at);
        return name;
    case KMS__TAG_BOOT:
        return "the store's boot record";
    case KMS__TAG_HEADER:
        return "the store's header record";
    case KMS__TAG_DESCRIPTION:
    case KMS__TAG_INDEX:
    case KMS__TAG_KEY:
    case KMS__TAG_LAST_USE:
    case KMS__TAG_TAGS:
    case KMS__TAG_VERSION:
        return name_of_key_record(&reader, tag, name);
    default:
        return "a record that no libkms made";
    }
}
