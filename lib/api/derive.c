#include "domain/derive.h"
#include "base/try.h"
#include "domain/seal.h"

#include <string.h>

kms_status kms_derive_key(kms_store *store, const char *keyref, uint32_t version,
                          const kms_context *context, void *out, size_t out_len, kms_key_used *used)
{
    KMS__TRY(kms__store_check(store));
    if (out == NULL)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "out is NULL");
    if (out_len < KMS_DERIVED_KEY_SIZE_MIN || out_len > KMS_DERIVED_KEY_SIZE_MAX)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT,
                             "a derived key of %zu bytes: it has %d to %d", out_len,
                             KMS_DERIVED_KEY_SIZE_MIN, KMS_DERIVED_KEY_SIZE_MAX);
    KMS__TRY(kms__check_context_is_there(context));
    return kms__derive_key(store, keyref, version, context, out, out_len, used);
}

static kms_status check_index(const kms__indexed *indexed, const kms_blind_tokens *tokens)
{
    size_t len =
        indexed->label != NULL ? strnlen(indexed->label, KMS_BLIND_INDEX_LABEL_MAX + 1) : 0;

    if (tokens == NULL || (indexed->value.data == NULL && indexed->value.len > 0))
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "value or tokens is NULL");
    if (len < 1 || len > KMS_BLIND_INDEX_LABEL_MAX)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT,
                             "the label names an index, such as \"table.column\", in 1 to %d bytes",
                             KMS_BLIND_INDEX_LABEL_MAX);
    if (indexed->bits < KMS_BLIND_INDEX_BITS_MIN || indexed->bits > KMS_BLIND_INDEX_BITS_MAX)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "a token of %u bits: it has %u to %u",
                             indexed->bits, KMS_BLIND_INDEX_BITS_MIN, KMS_BLIND_INDEX_BITS_MAX);
    return KMS_OK;
}

kms_status kms_blind_index(kms_store *store, const char *keyref, const char *label,
                           const void *value, size_t value_len, unsigned bits,
                           kms_blind_tokens *tokens)
{
    const kms__indexed indexed = {label, {value, value_len}, bits};

    KMS__TRY(kms__store_check(store));
    KMS__TRY(check_index(&indexed, tokens));
    return kms__blind_index(store, keyref, &indexed, tokens);
}
