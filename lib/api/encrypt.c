#include "base/try.h"
#include "domain/reference.h"
#include "domain/seal.h"

#include <string.h>

kms_status kms_encrypt(kms_store *store, const char *keyref, const kms_context *context,
                       const void *plain, size_t plain_len, void *blob, size_t blob_size,
                       size_t *blob_len)
{
    KMS__TRY(kms__store_check(store));
    KMS__TRY(kms__check_encrypt(plain, plain_len, blob, blob_size, blob_len));
    KMS__TRY(
        kms__blob_seal(store, keyref, KMS_BLOB_DATA, context, (kms_slice){plain, plain_len}, blob));
    *blob_len = KMS_CIPHERTEXT_SIZE(plain_len);
    return KMS_OK;
}

static kms_status check_decrypt(const void *blob, size_t blob_len, const void *plain,
                                size_t plain_size, const size_t *plain_len)
{
    size_t needed = KMS_PLAINTEXT_SIZE(blob_len);

    if (blob == NULL || plain_len == NULL || (plain == NULL && needed > 0))
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "blob, plain or plain_len is NULL");
    KMS__TRY(kms__blob_check_size(blob_len));
    if (plain_size < needed)
        return kms_set_error(KMS_ERR_BUFFER_TOO_SMALL,
                             "the buffer has %zu bytes, the plaintext of this blob needs %zu",
                             plain_size, needed);
    if (kms__overlap(blob, blob_len, plain, needed))
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "blob and plain overlap");
    return KMS_OK;
}

static kms_status check_expected(const char *expected_key_id, const uint8_t expected[KMS__ID_SIZE],
                                 const kms__blob *blob)
{
    char text[KMS_KEY_ID_SIZE];

    if (expected_key_id == NULL || memcmp(expected, blob->key_id, KMS__ID_SIZE) == 0)
        return KMS_OK;
    kms__id_format(blob->key_id, text);
    return kms_set_error(KMS_ERR_INCORRECT_KEY, "the blob was made by key %s, not by key %s", text,
                         expected_key_id);
}

kms_status kms_decrypt_expecting(kms_store *store, const char *expected_key_id,
                                 const kms_context *context, const void *blob, size_t blob_len,
                                 void *plain, size_t plain_size, size_t *plain_len,
                                 kms_key_used *used)
{
    uint8_t expected[KMS__ID_SIZE] = {0};
    kms__associated associated;
    kms__blob parts;

    KMS__TRY(kms__store_check(store));
    KMS__TRY(check_decrypt(blob, blob_len, plain, plain_size, plain_len));
    if (expected_key_id != NULL)
        KMS__TRY(kms__key_id_parse(expected_key_id, expected));
    KMS__TRY(kms__associated_begin(context, &associated));
    KMS__TRY(kms__blob_read(blob, blob_len, &parts));
    KMS__TRY(check_expected(expected_key_id, expected, &parts));
    KMS__TRY(kms__blob_open(store, KMS__KINDS_DECRYPTED, &associated, &parts, plain));
    *plain_len = KMS_PLAINTEXT_SIZE(blob_len);
    if (used != NULL) {
        kms__id_format(parts.key_id, used->key_id);
        used->key_version = parts.key_version;
    }
    return KMS_OK;
}

kms_status kms_decrypt(kms_store *store, const kms_context *context, const void *blob,
                       size_t blob_len, void *plain, size_t plain_size, size_t *plain_len)
{
    return kms_decrypt_expecting(store, NULL, context, blob, blob_len, plain, plain_size, plain_len,
                                 NULL);
}
