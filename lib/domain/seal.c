#include "domain/seal.h"
#include "base/try.h"
#include "crypto/aead.h"
#include "crypto/generator.h"
#include "crypto/prf.h"
#include "domain/rotate_on_use.h"

#include <sodium.h>
#include <string.h>

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

kms_status kms__check_encrypt(const void *plain, size_t plain_len, const void *blob,
                              size_t blob_size, const size_t *blob_len)
{
    if (plain == NULL && plain_len > 0)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "plain is NULL");
    KMS__TRY(kms__check_blob_room(plain_len, blob, blob_size, blob_len));
    if (kms__overlap(plain, plain_len, blob, KMS_CIPHERTEXT_SIZE(plain_len)))
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "plain and blob overlap");
    return KMS_OK;
}

kms_status kms__check_context_is_there(const kms_context *context)
{
    if (!kms__context_is_empty(context))
        return KMS_OK;
    return kms_set_error(KMS_ERR_INVALID_ARGUMENT,
                         "the context is empty: name the place, such as table and column, or whom "
                         "the key is for");
}

/* The AEAD reads the header again at once, in pieces of 16 bytes: the processor has them at hand where
 * they were written as such. */
#define PIECE 16

static void begin_header(const kms__pin *pin, kms_blob_kind kind, uint8_t *blob)
{
    const uint8_t *prefix = pin->opened->blob_prefix;
    size_t at = 0;

    for (; at + PIECE <= KMS__BLOB_PREFIX; at += PIECE)
        memcpy(blob + at, prefix + at, PIECE);
    memcpy(blob + at, prefix + at, KMS__BLOB_PREFIX % PIECE);
    if (kind != KMS_BLOB_DATA)
        blob[KMS__BLOB_KIND_AT] = (uint8_t)kind;
}

static kms_status sealed(const kms__pin *pin, kms_slice plain, uint8_t *blob, kms_status st)
{
    if (!kms__pin_holds(pin))
        return kms__fork_amid_call(blob, KMS_CIPHERTEXT_SIZE(plain.len));
    kms__pin_note_use(pin);
    if (st != KMS_OK)
        memset(blob, 0, KMS__BLOB_HEADER);
    return st;
}

/* The header stands there, with its nonce. */
static kms_status seal_behind_header(const kms__pin *pin, kms__associated *associated,
                                     kms_slice plain, uint8_t *blob)
{
    return sealed(pin, plain, blob,
                  kms__aead_seal(pin->opened->suite, pin->opened->suite_key,
                                 blob + KMS__BLOB_NONCE_AT, kms__associated_end(associated, blob),
                                 plain, blob + KMS__BLOB_HEADER));
}

/* The message key of the thread's run, with a nonce of it; false: the message is for one of its own. */
static bool take_run(const kms__pin *pin, size_t plain_len, uint8_t *nonce, kms__message_key *key)
{
    const kms__opened *opened = pin->opened;

    return opened->number_as_owner != 0 && kms__message_key_serves(plain_len) &&
           kms__message_key_of_run(pin->thread, opened->number_as_owner, opened->suite_key, nonce,
                                   key);
}

static kms_status seal_in_run(const kms__pin *pin, const kms__message_key *key,
                              kms__associated *associated, kms_slice plain, uint8_t *blob)
{
    return sealed(pin, plain, blob,
                  kms__message_key_seal(key, blob + KMS__BLOB_NONCE_AT,
                                        kms__associated_end(associated, blob), plain,
                                        blob + KMS__BLOB_HEADER));
}

kms_status kms__blob_seal_under(const kms__pin *pin, kms_blob_kind kind,
                                kms__associated *associated, kms_slice plain, uint8_t *blob)
{
    kms__message_key key;

    begin_header(pin, kind, blob);
    if (take_run(pin, plain.len, blob + KMS__BLOB_NONCE_AT, &key))
        return seal_in_run(pin, &key, associated, plain, blob);
    kms__nonce(pin->thread, blob + KMS__BLOB_NONCE_AT);
    return seal_behind_header(pin, associated, plain, blob);
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

/* A synthetic nonce: it repeats if, and as far as anybody can tell only if, context and plaintext
 * do. Source: Rogaway and Shrimpton, "Deterministic Authenticated-Encryption", 2006. */
static void deterministic_nonce(const kms__opened *opened, const kms__associated *associated,
                                kms_slice plain, uint8_t nonce[KMS__AEAD_NONCE_SIZE])
{
    const kms_slice parts[KMS__PRF_PARTS] = {
        {associated->bytes + KMS__BLOB_HEADER, associated->context_len}, plain};

    kms__prf(kms__opened_second_key(opened), KMS__AEAD_NONCE_SIZE, parts, nonce,
             KMS__AEAD_NONCE_SIZE);
}

kms_status kms__blob_seal_deterministic(kms_store *store, const char *keyref,
                                        const kms_context *context, kms_slice plain, uint8_t *blob)
{
    kms__associated associated;
    kms__pin pin;
    kms_status st;

    KMS__TRY(kms__check_context_is_there(context));
    KMS__TRY(kms__associated_begin(context, &associated));
    KMS__TRY(kms__pin_primary_for(store, keyref, KMS_OP_ENCRYPT_DETERMINISTIC, 0, &pin));
    begin_header(&pin, KMS_BLOB_DETERMINISTIC, blob);
    deterministic_nonce(pin.opened, &associated, plain, blob + KMS__BLOB_NONCE_AT);
    st = seal_behind_header(&pin, &associated, plain, blob);
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

/* Only the one blob that encrypting gives is taken. plain is wiped where it is another. */
static kms_status check_nonce(const kms__opened *opened, const kms__associated *associated,
                              const kms__blob *blob, uint8_t *plain)
{
    size_t len = blob->sealed.len - KMS__AEAD_TAG_SIZE;
    uint8_t nonce[KMS__AEAD_NONCE_SIZE];

    deterministic_nonce(opened, associated, (kms_slice){plain, len}, nonce);
    if (sodium_memcmp(nonce, blob->nonce, sizeof nonce) == 0)
        return KMS_OK;
    sodium_memzero(plain, len);
    return KMS_ERR_INVALID_CIPHERTEXT; /* the caller makes the sentence */
}

/* Under the message key that is kept from another blob of its run, where there is one. */
static inline kms_status open_sealed(const kms__pin *pin, kms_slice associated,
                                     const kms__blob *blob, uint8_t *plain)
{
    const kms__opened *opened = pin->opened;
    kms__message_key key;

    if (opened->number_as_owner != 0 &&
        kms__message_key_serves(blob->sealed.len - KMS__AEAD_TAG_SIZE) &&
        kms__message_key_of_nonce(pin->thread, opened->number_as_owner, opened->suite_key,
                                  blob->nonce, &key))
        return kms__message_key_open(&key, blob->nonce, associated, blob->sealed, plain);
    return kms__aead_open(opened->suite, opened->suite_key, blob->nonce, associated, blob->sealed,
                          plain);
}

static inline kms_status open_under(const kms__pin *pin, unsigned kinds,
                                    kms__associated *associated, const kms__blob *blob,
                                    uint8_t *plain)
{
    const kms__opened *opened = pin->opened;
    const uint8_t *commitment = opened->blob_prefix + KMS__BLOB_PREFIX - KMS_COMMITMENT_SIZE;
    bool taken = (unsigned)blob->kind < 32 && (kinds & KMS__KIND(blob->kind)) != 0;
    bool deterministic = blob->kind == KMS_BLOB_DETERMINISTIC;
    kms_status st;

    if (!taken || blob->suite != opened->suite ||
        deterministic != (opened->usage == KMS_KEY_USAGE_DETERMINISTIC) ||
        !kms__same_commitment(blob->commitment, commitment))
        return KMS_ERR_INVALID_CIPHERTEXT; /* the caller makes the sentence */
    st = open_sealed(pin, kms__associated_end(associated, blob->header), blob, plain);
    if (!kms__pin_holds(pin))
        return kms__fork_amid_call(plain, blob->sealed.len - KMS__AEAD_TAG_SIZE);
    KMS__TRY(st);
    return deterministic ? check_nonce(opened, associated, blob, plain) : KMS_OK;
}

static inline kms_status open_pinned(const kms__pin *pin, unsigned kinds,
                                     kms__associated *associated, const kms__blob *blob,
                                     uint8_t *plain)
{
    kms_status st = open_under(pin, kinds, associated, blob, plain);

    if (st == KMS_OK)
        kms__pin_note_use(pin);
    return st == KMS_ERR_INVALID_CIPHERTEXT ? does_not_open(blob, associated->context_len > 0) : st;
}

kms_status kms__blob_open_under(const kms__pin *pin, unsigned kinds, kms__associated *associated,
                                const kms__blob *blob, uint8_t *plain)
{
    return open_pinned(pin, kinds, associated, blob, plain);
}

kms_status kms__blob_open(kms_store *store, unsigned kinds, kms__associated *associated,
                          const kms__blob *blob, uint8_t *plain)
{
    kms__pin pin;
    kms_status st;

    KMS__TRY(kms__pin_version_of(store, blob, 0, &pin));
    st = open_pinned(&pin, kinds, associated, blob, plain);
    kms__pin_release(&pin);
    return st;
}
