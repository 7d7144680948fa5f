#include "base/try.h"
#include "crypto/secret.h"
#include "domain/reference.h"
#include "domain/seal.h"

#include <sodium.h>
#include <string.h>

/* A plaintext of up to so many bytes is on the stack for the moment between the two. */
#define SMALL 1024

typedef struct move {
    kms_store *store;
    const kms__blob *blob;
    kms__associated *associated;
    const char *keyref;
    const kms_context *context;
    uint8_t *out;
} move;

/* Each kind stays what it is, and the destination must be a key for it. */
static kms_status seal_anew(const move *m, kms_slice plain)
{
    if (m->blob->kind == KMS_BLOB_DETERMINISTIC)
        return kms__blob_seal_deterministic(m->store, m->keyref, m->context, plain, m->out);
    return kms__blob_seal(m->store, m->keyref, m->blob->kind, m->context, plain, m->out);
}

/* plain has room for the plaintext, and is wiped. */
static kms_status open_and_seal(const move *m, uint8_t *plain, size_t len)
{
    kms_status st = kms__blob_open(m->store, KMS__KINDS_DECRYPTED, m->associated, m->blob, plain);

    if (st == KMS_OK)
        st = seal_anew(m, (kms_slice){plain, len});
    sodium_memzero(plain, len);
    return st;
}

static kms_status move_small(const move *m, size_t len)
{
    uint8_t plain[SMALL];

    return open_and_seal(m, plain, len);
}

static kms_status move_large(const move *m, size_t len)
{
    uint8_t *plain = NULL;
    kms_status st;

    KMS__TRY(kms__store_secret_block(m->store, len, &plain));
    st = open_and_seal(m, plain, len);
    kms__secret_block_free(plain, len);
    return st;
}

static kms_status check(const void *blob, size_t blob_len, const void *out, size_t out_size,
                        const size_t *out_len)
{
    if (blob == NULL || out == NULL || out_len == NULL)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "blob, out or out_len is NULL");
    if (out_size < blob_len)
        return kms_set_error(KMS_ERR_BUFFER_TOO_SMALL,
                             "the buffer has %zu bytes, the new blob needs %zu", out_size,
                             blob_len);
    if (kms__overlap(blob, blob_len, out, blob_len))
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "blob and out overlap");
    return KMS_OK;
}

kms_status kms_re_encrypt(kms_store *store, const kms_context *source_context, const void *blob,
                          size_t blob_len, const char *keyref,
                          const kms_context *destination_context, void *out, size_t out_size,
                          size_t *out_len, kms_key_used *source)
{
    size_t len = KMS_PLAINTEXT_SIZE(blob_len);
    kms__reference reference;
    kms__associated associated;
    kms__blob parts;
    move m = {store, &parts, &associated, keyref, destination_context, out};

    KMS__TRY(kms__store_check(store));
    KMS__TRY(check(blob, blob_len, out, out_size, out_len));
    KMS__TRY(kms__reference_parse(keyref, &reference));
    KMS__TRY(kms__associated_begin(destination_context, &associated));
    KMS__TRY(kms__associated_begin(source_context, &associated));
    KMS__TRY(kms__blob_read(blob, blob_len, &parts));
    if (parts.kind == KMS_BLOB_DETERMINISTIC)
        KMS__TRY(kms__check_context_is_there(destination_context));
    KMS__TRY(len <= SMALL ? move_small(&m, len) : move_large(&m, len));
    *out_len = blob_len;
    if (source != NULL) {
        kms__id_format(parts.key_id, source->key_id);
        source->key_version = parts.key_version;
    }
    return KMS_OK;
}
