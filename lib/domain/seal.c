#include "domain/seal.h"
#include "base/try.h"
#include "crypto/aead.h"
#include "crypto/generator.h"
#include "domain/rotate_on_use.h"

#include <string.h>

bool kms__overlap(const void *a, size_t a_len, const void *b, size_t b_len)
{
    uintptr_t from_a = (uintptr_t)a, from_b = (uintptr_t)b;

    return a_len > 0 && b_len > 0 &&
           (from_a < from_b ? from_b - from_a < a_len : from_a - from_b < b_len);
}

kms_status kms__check_blob_room(size_t plain_len, const void *blob, size_t blob_size,
                                const size_t *blob_len)
{
    if (blob == NULL || blob_len == NULL)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "blob or blob_len is NULL");
    if (plain_len > KMS_PLAINTEXT_MAX || plain_len > SIZE_MAX - KMS_BLOB_OVERHEAD)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "%zu bytes are more than one blob can hold",
                             plain_len);
    if (blob_size < KMS_CIPHERTEXT_SIZE(plain_len))
        return kms_set_error(KMS_ERR_BUFFER_TOO_SMALL,
                             "the buffer has %zu bytes, the blob of %zu bytes needs %zu", blob_size,
                             plain_len, KMS_CIPHERTEXT_SIZE(plain_len));
    return KMS_OK;
}

kms_status kms__blob_seal_under(const kms__pin *pin, kms_blob_kind kind,
                                kms__associated *associated, kms_slice plain, uint8_t *blob)
{
    kms_status st;

    memcpy(blob, pin->opened->blob_prefix, KMS__BLOB_PREFIX);
    blob[KMS__BLOB_KIND_AT] = (uint8_t)kind;
    kms__nonce(pin->thread, blob + KMS__BLOB_NONCE_AT);
    st = kms__aead_seal(pin->opened->suite, pin->opened->suite_key, blob + KMS__BLOB_NONCE_AT,
                        kms__associated_end(associated, blob), plain, blob + KMS__BLOB_HEADER);
    kms__pin_note_use(pin);
    if (st != KMS_OK)
        memset(blob, 0, KMS__BLOB_HEADER);
    return st;
}

kms_status kms__blob_seal(kms_store *store, const char *keyref, kms_blob_kind kind,
                          const kms_context *context, kms_slice plain, uint8_t *blob)
{
    kms__associated associated;
    kms__pin pin;
    kms_status st;

    KMS__TRY(kms__associated_begin(context, &associated));
    KMS__TRY(kms__pin_for_encrypting(store, keyref, 0, &pin));
    st = kms__blob_seal_under(&pin, kind, &associated, plain, blob);
    kms__pin_release(&pin);
    return st;
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

static kms_status open_under(const kms__opened *opened, unsigned kinds, kms__associated *associated,
                             const kms__blob *blob, uint8_t *plain)
{
    const uint8_t *commitment = opened->blob_prefix + KMS__BLOB_PREFIX - KMS_COMMITMENT_SIZE;
    bool taken = (unsigned)blob->kind < 32 && (kinds & KMS__KIND(blob->kind)) != 0;

    /* The commitment is public: no need to compare it in constant time. */
    if (!taken || blob->suite != opened->suite ||
        memcmp(blob->commitment, commitment, KMS_COMMITMENT_SIZE) != 0)
        return KMS_ERR_INVALID_CIPHERTEXT; /* the caller makes the sentence */
    return kms__aead_open(opened->suite, opened->suite_key, blob->nonce,
                          kms__associated_end(associated, blob->header), blob->sealed, plain);
}

kms_status kms__blob_open_under(const kms__pin *pin, unsigned kinds, kms__associated *associated,
                                const kms__blob *blob, uint8_t *plain)
{
    kms_status st = open_under(pin->opened, kinds, associated, blob, plain);

    if (st == KMS_OK)
        kms__pin_note_use(pin);
    return st == KMS_ERR_INVALID_CIPHERTEXT ? does_not_open(blob, associated->context_len > 0) : st;
}

kms_status kms__blob_open(kms_store *store, unsigned kinds, kms__associated *associated,
                          const kms__blob *blob, uint8_t *plain)
{
    kms__pin pin;
    kms_status st;

    KMS__TRY(kms__pin_version(store, blob->key_id, blob->key_version, 0, &pin));
    st = kms__blob_open_under(&pin, kinds, associated, blob, plain);
    kms__pin_release(&pin);
    return st;
}
