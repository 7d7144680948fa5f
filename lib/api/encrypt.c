#include "base/try.h"
#include "crypto/aead.h"
#include "crypto/blob.h"
#include "crypto/generator.h"
#include "domain/open_version.h"
#include "domain/reference.h"
#include "domain/rotate_on_use.h"

#include <kms/encrypt.h>
#include <string.h>

static bool overlap(const void *a, size_t a_len, const void *b, size_t b_len)
{
    uintptr_t from_a = (uintptr_t)a, from_b = (uintptr_t)b;

    return a_len > 0 && b_len > 0 &&
           (from_a < from_b ? from_b - from_a < a_len : from_a - from_b < b_len);
}

static kms_status check_encrypt(const void *plain, size_t plain_len, const void *blob,
                                size_t blob_size, const size_t *blob_len)
{
    if (blob == NULL || blob_len == NULL || (plain == NULL && plain_len > 0))
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "plain, blob or blob_len is NULL");
    if (plain_len > KMS_PLAINTEXT_MAX || plain_len > SIZE_MAX - KMS_BLOB_OVERHEAD)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "%zu bytes are more than one blob can hold",
                             plain_len);
    if (blob_size < KMS_CIPHERTEXT_SIZE(plain_len))
        return kms_set_error(KMS_ERR_BUFFER_TOO_SMALL,
                             "the buffer has %zu bytes, the blob of %zu bytes needs %zu", blob_size,
                             plain_len, KMS_CIPHERTEXT_SIZE(plain_len));
    if (overlap(plain, plain_len, blob, KMS_CIPHERTEXT_SIZE(plain_len)))
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "plain and blob overlap");
    return KMS_OK;
}

kms_status kms_encrypt(kms_store *store, const char *keyref, const kms_context *context,
                       const void *plain, size_t plain_len, void *blob, size_t blob_size,
                       size_t *blob_len)
{
    uint8_t *out = blob;
    kms__associated associated;
    kms__pin pin;
    kms_status st;

    KMS__TRY(kms__store_check(store));
    KMS__TRY(check_encrypt(plain, plain_len, blob, blob_size, blob_len));
    KMS__TRY(kms__associated_begin(context, &associated));
    KMS__TRY(kms__pin_for_encrypting(store, keyref, 0, &pin));
    memcpy(out, pin.opened->blob_prefix, KMS__BLOB_PREFIX);
    kms__nonce(pin.thread, out + KMS__BLOB_NONCE_AT);
    st = kms__aead_seal(pin.opened->suite, pin.opened->suite_key, out + KMS__BLOB_NONCE_AT,
                        kms__associated_end(&associated, out), (kms_slice){plain, plain_len},
                        out + KMS__BLOB_HEADER);
    kms__pin_note_use(&pin);
    kms__pin_release(&pin);
    if (st != KMS_OK) {
        memset(out, 0, KMS__BLOB_HEADER);
        return st;
    }
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
    if (overlap(blob, blob_len, plain, needed))
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

static kms_status does_not_open(const kms__blob *blob, bool with_context)
{
    char text[KMS_KEY_ID_SIZE];

    kms__id_format(blob->key_id, text);
    return kms_set_error(
        KMS_ERR_INVALID_CIPHERTEXT,
        "the blob of version %u of key %s does not open: it was cut or altered, or "
        "it was made with %s encryption context",
        blob->key_version, text, with_context ? "another" : "an");
}

/* Kinds that Decrypt opens; a stream's header opens only as a stream. */
static bool kind_is_taken(kms_blob_kind kind)
{
    return kind == KMS_BLOB_DATA || kind == KMS_BLOB_DATA_KEY || kind == KMS_BLOB_DETERMINISTIC;
}

static kms_status open_blob(const kms__opened *opened, kms__associated *associated,
                            const kms__blob *blob, uint8_t *plain)
{
    const uint8_t *commitment = opened->blob_prefix + KMS__BLOB_PREFIX - KMS_COMMITMENT_SIZE;

    /* The commitment is public: no need to compare it in constant time. */
    if (!kind_is_taken(blob->kind) || blob->suite != opened->suite ||
        memcmp(blob->commitment, commitment, KMS_COMMITMENT_SIZE) != 0)
        return KMS_ERR_INVALID_CIPHERTEXT; /* the caller makes the sentence */
    return kms__aead_open(opened->suite, opened->suite_key, blob->nonce,
                          kms__associated_end(associated, blob->header), blob->sealed, plain);
}

kms_status kms_decrypt_expecting(kms_store *store, const char *expected_key_id,
                                 const kms_context *context, const void *blob, size_t blob_len,
                                 void *plain, size_t plain_size, size_t *plain_len,
                                 kms_key_used *used)
{
    uint8_t expected[KMS__ID_SIZE] = {0};
    kms__associated associated;
    kms__blob parts;
    kms__pin pin;
    kms_status st;

    KMS__TRY(kms__store_check(store));
    KMS__TRY(check_decrypt(blob, blob_len, plain, plain_size, plain_len));
    if (expected_key_id != NULL)
        KMS__TRY(kms__key_id_parse(expected_key_id, expected));
    KMS__TRY(kms__associated_begin(context, &associated));
    KMS__TRY(kms__blob_read(blob, blob_len, &parts));
    KMS__TRY(check_expected(expected_key_id, expected, &parts));
    KMS__TRY(kms__pin_version(store, parts.key_id, parts.key_version, 0, &pin));
    st = open_blob(pin.opened, &associated, &parts, plain);
    if (st == KMS_OK)
        kms__pin_note_use(&pin);
    kms__pin_release(&pin);
    if (st == KMS_ERR_INVALID_CIPHERTEXT)
        return does_not_open(&parts, !kms__context_is_empty(context));
    KMS__TRY(st);
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
