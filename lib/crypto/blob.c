#include "crypto/blob.h"
#include "wire/wire.h"

#include <string.h>

#define MAGIC "KMS"
#define MAGIC_SIZE 3
#define FORMAT_AT MAGIC_SIZE
#define SUITE_AT 4
#define KEY_ID_AT KMS__BLOB_VERSION_NAME_AT
#define VERSION_AT (KEY_ID_AT + KMS__ID_SIZE)
#define COMMITMENT_AT (VERSION_AT + 4)

_Static_assert(KMS__BLOB_KIND_AT == SUITE_AT + 1 &&
                   KEY_ID_AT + KMS__BLOB_VERSION_NAME == COMMITMENT_AT &&
                   COMMITMENT_AT + KMS_COMMITMENT_SIZE == KMS__BLOB_PREFIX &&
                   KMS__BLOB_PREFIX == KMS__BLOB_NONCE_AT,
               "the fields of a blob follow each other");

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

static uint32_t read_u32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* Every decryption comes here, so the fields are read in their places, which are fixed, after the length
 * was looked at once. */
kms_status kms__blob_read(const void *data, size_t len, kms__blob *blob)
{
    const uint8_t *at = data;

    if (len <= MAGIC_SIZE || memcmp(at, MAGIC, MAGIC_SIZE) != 0)
        return is_stream(at, len) ? a_stream() : kms__not_a_blob(len);
    if (at[FORMAT_AT] > KMS__BLOB_FORMAT)
        return kms_set_error(KMS_ERR_NEWER_FORMAT,
                             "the blob has format %u: a newer libkms made it, use that",
                             at[FORMAT_AT]);
    if (len < KMS_BLOB_OVERHEAD || at[FORMAT_AT] != KMS__BLOB_FORMAT)
        return kms__not_a_blob(len);
    /* Nonce and text are needed only when the key was found, which would be one wait more. */
    __builtin_prefetch(at + KMS__BLOB_NONCE_AT);
    __builtin_prefetch(at + len - 1);
    blob->header = at;
    blob->suite = (kms_suite)at[SUITE_AT];
    blob->kind = (kms_blob_kind)at[KMS__BLOB_KIND_AT];
    memcpy(blob->key_id, at + KEY_ID_AT, KMS__ID_SIZE);
    blob->key_version = read_u32(at + VERSION_AT);
    blob->version_name = at + KMS__BLOB_VERSION_NAME_AT;
    blob->commitment = at + COMMITMENT_AT;
    blob->nonce = at + KMS__BLOB_NONCE_AT;
    blob->sealed = (kms_slice){at + KMS__BLOB_HEADER, len - KMS__BLOB_HEADER};
    return KMS_OK;
}

kms_status kms__blob_check_fields(const kms__blob *blob)
{
    if ((blob->suite == KMS_SUITE_XCHACHA20_POLY1305 || blob->suite == KMS_SUITE_AES_256_GCM) &&
        blob->kind >= KMS_BLOB_DATA && blob->kind <= KMS_BLOB_DETERMINISTIC &&
        blob->key_version >= 1)
        return KMS_OK;
    return kms__not_a_blob(blob->sealed.len + KMS__BLOB_HEADER);
}
