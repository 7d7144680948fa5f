#include "crypto/blob.h"
#include "wire/wire.h"

#include <string.h>

#define MAGIC "KMS"
#define MAGIC_SIZE 3

void kms__blob_write_prefix(uint8_t prefix[KMS__BLOB_PREFIX], kms_suite suite, kms_blob_kind kind,
                            const uint8_t key_id[KMS__ID_SIZE], uint32_t key_version,
                            const uint8_t commitment[KMS_COMMITMENT_SIZE])
{
    kms__writer writer = kms__writer_to(prefix, KMS__BLOB_PREFIX);

    kms__write_bytes(&writer, MAGIC, MAGIC_SIZE);
    kms__write_u8(&writer, KMS__BLOB_FORMAT);
    kms__write_u8(&writer, (uint8_t)suite);
    kms__write_u8(&writer, (uint8_t)kind);
    kms__write_bytes(&writer, key_id, KMS__ID_SIZE);
    kms__write_u32(&writer, key_version);
    kms__write_bytes(&writer, commitment, KMS_COMMITMENT_SIZE);
}

static bool has_magic(kms__reader *reader)
{
    kms_slice magic = kms__read_slice(reader, MAGIC_SIZE);

    return magic.len == MAGIC_SIZE && memcmp(magic.data, MAGIC, MAGIC_SIZE) == 0;
}

static kms_status not_a_blob(size_t len)
{
    return kms_set_error(KMS_ERR_INVALID_CIPHERTEXT,
                         "these %zu bytes are no whole blob of libkms: cut, altered, or something "
                         "else",
                         len);
}

kms_status kms__blob_check_size(size_t len)
{
    return (uint64_t)len > (uint64_t)KMS_PLAINTEXT_MAX + KMS_BLOB_OVERHEAD ? not_a_blob(len)
                                                                           : KMS_OK;
}

kms_status kms__blob_read(const void *data, size_t len, kms__blob *blob)
{
    kms__reader reader = kms__reader_of(data, len);
    uint8_t format, suite, kind;

    if (!has_magic(&reader))
        return not_a_blob(len);
    format = kms__read_u8(&reader);
    if (kms__reader_ok(&reader) && format > KMS__BLOB_FORMAT)
        return kms_set_error(KMS_ERR_NEWER_FORMAT,
                             "the blob has format %u: a newer libkms made it, use that", format);
    suite = kms__read_u8(&reader);
    kind = kms__read_u8(&reader);
    kms__read_bytes(&reader, blob->key_id, KMS__ID_SIZE);
    blob->key_version = kms__read_u32(&reader);
    blob->commitment = kms__read_slice(&reader, KMS_COMMITMENT_SIZE).data;
    blob->nonce = kms__read_slice(&reader, KMS__BLOB_HEADER - KMS__BLOB_NONCE_AT).data;
    blob->sealed = kms__read_slice(&reader, reader.left);
    if (!kms__reader_ok(&reader) || len < KMS_BLOB_OVERHEAD || format != KMS__BLOB_FORMAT)
        return not_a_blob(len);
    blob->header = data;
    blob->suite = (kms_suite)suite;
    blob->kind = (kms_blob_kind)kind;
    return KMS_OK;
}

kms_status kms__blob_check_fields(const kms__blob *blob)
{
    if ((blob->suite == KMS_SUITE_XCHACHA20_POLY1305 || blob->suite == KMS_SUITE_AES_256_GCM) &&
        blob->kind >= KMS_BLOB_DATA && blob->kind <= KMS_BLOB_DETERMINISTIC &&
        blob->key_version >= 1)
        return KMS_OK;
    return not_a_blob(blob->sealed.len + KMS__BLOB_HEADER);
}
