#include "crypto/blob.h"
#include "wire/wire.h"

#include <string.h>

void kms__blob_write_prefix(uint8_t prefix[KMS__BLOB_PREFIX], kms_suite suite, kms_blob_kind kind,
                            const uint8_t key_id[KMS__ID_SIZE], uint32_t key_version,
                            const uint8_t commitment[KMS_COMMITMENT_SIZE])
{
    kms__writer writer = kms__writer_to(prefix, KMS__BLOB_PREFIX);

    kms__write_bytes(&writer, KMS__BLOB_MAGIC, KMS__BLOB_FORMAT_AT);
    kms__write_u8(&writer, KMS__BLOB_FORMAT);
    kms__write_u8(&writer, (uint8_t)suite);
    kms__write_u8(&writer, (uint8_t)kind);
    kms__write_bytes(&writer, key_id, KMS__ID_SIZE);
    kms__write_u32(&writer, key_version);
    kms__write_bytes(&writer, commitment, KMS_COMMITMENT_SIZE);
}

void kms__blob_write_version_name(uint8_t name[KMS__BLOB_VERSION_NAME],
                                  const uint8_t key_id[KMS__ID_SIZE], uint32_t key_version)
{
    memcpy(name, key_id, KMS__ID_SIZE);
    for (size_t i = 0; i < sizeof key_version; i++)
        name[KMS__ID_SIZE + i] = (uint8_t)(key_version >> (24 - 8 * i));
}

/* What a stream begins with (docs/stream-format.md): whoever has mistaken one for a blob is told. */
#define STREAM "kmstream"

kms_status kms__not_a_blob(size_t len)
{
    return kms_set_error(KMS_ERR_INVALID_CIPHERTEXT,
                         "these %zu bytes are no whole blob of libkms: cut, altered, or something "
                         "else",
                         len);
}

static bool is_stream(const uint8_t *data, size_t len)
{
    return len >= strlen(STREAM) && memcmp(data, STREAM, strlen(STREAM)) == 0;
}

static kms_status a_stream(void)
{
    return kms_set_error(
        KMS_ERR_INVALID_CIPHERTEXT,
        "this is no blob but a stream: kms_stream_decrypt() and kms_decrypt_file() "
        "open it");
}

kms_status kms__blob_refuse(const void *data, size_t len)
{
    const uint8_t *at = data;

    if (len <= KMS__BLOB_FORMAT_AT || memcmp(at, KMS__BLOB_MAGIC, KMS__BLOB_FORMAT_AT) != 0)
        return is_stream(at, len) ? a_stream() : kms__not_a_blob(len);
    if (at[KMS__BLOB_FORMAT_AT] > KMS__BLOB_FORMAT)
        return kms_set_error(KMS_ERR_NEWER_FORMAT,
                             "the blob has format %u: a newer libkms made it, use that",
                             at[KMS__BLOB_FORMAT_AT]);
    return kms__not_a_blob(len);
}

kms_status kms__blob_check_fields(const kms__blob *blob)
{
    if ((blob->suite == KMS_SUITE_XCHACHA20_POLY1305 || blob->suite == KMS_SUITE_AES_256_GCM) &&
        blob->kind >= KMS_BLOB_DATA && blob->kind <= KMS_BLOB_DETERMINISTIC &&
        blob->key_version >= 1)
        return KMS_OK;
    return kms__not_a_blob(blob->sealed.len + KMS__BLOB_HEADER);
}
