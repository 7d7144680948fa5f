#include "base/try.h"
#include "crypto/blob.h"
#include "wire/wire.h"

#include <string.h>

#define PAIR_OVERHEAD 4
/* A pair takes its overhead and a key of one byte at least. */
#define PAIRS_MAX (KMS_CONTEXT_MAX / (PAIR_OVERHEAD + 1))

/* Pairs in the order of their keys' bytes, by their places in the caller's array. */
typedef struct order {
    uint16_t at[PAIRS_MAX];
    size_t count;
} order;

static kms_status check_pair(const kms_context_pair *pair, size_t number)
{
    if (pair->key == NULL || pair->value == NULL)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT,
                             "pair %zu of the encryption context has a NULL key or value", number);
    if (pair->key[0] == '\0')
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT,
                             "pair %zu of the encryption context has an empty key", number);
    return KMS_OK;
}

/* Binary search for where a pair belongs. *found tells whether its key is there already. */
static size_t place_of(const order *sorted, const kms_context_pair *pairs, const char *key,
                       bool *found)
{
    size_t low = 0, high = sorted->count;

    *found = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int difference = strcmp(key, pairs[sorted->at[middle]].key);

        if (difference == 0) {
            *found = true;
            return middle;
        }
        if (difference < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static kms_status sort_pairs(const kms_context *context, order *sorted)
{
    sorted->count = 0;
    if (context->pairs == NULL)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "the encryption context's pairs are NULL");
    if (context->count > PAIRS_MAX)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT,
                             "the encryption context is larger than %d bytes", KMS_CONTEXT_MAX);
    for (size_t i = 0; i < context->count; i++) {
        bool found;
        size_t place;

        KMS__TRY(check_pair(&context->pairs[i], i));
        place = place_of(sorted, context->pairs, context->pairs[i].key, &found);
        if (found)
            return kms_set_error(KMS_ERR_INVALID_ARGUMENT,
                                 "two pairs of the encryption context have the same key");
        memmove(&sorted->at[place + 1], &sorted->at[place],
                (sorted->count - place) * sizeof sorted->at[0]);
        sorted->at[place] = (uint16_t)i;
        sorted->count++;
    }
    return KMS_OK;
}

static void write_string(kms__writer *writer, const char *text)
{
    size_t len = strnlen(text, KMS_CONTEXT_MAX + 1);

    /* What does not fit its length field does not fit the context either. */
    kms__write_u16(writer, (uint16_t)len);
    kms__write_bytes(writer, text, len);
}

static kms_status write_context(const kms_context *context, kms__writer *writer)
{
    order sorted;

    KMS__TRY(sort_pairs(context, &sorted));
    for (size_t i = 0; i < sorted.count; i++) {
        write_string(writer, context->pairs[sorted.at[i]].key);
        write_string(writer, context->pairs[sorted.at[i]].value);
    }
    if (!kms__writer_ok(writer))
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT,
                             "the encryption context is larger than %d bytes", KMS_CONTEXT_MAX);
    return KMS_OK;
}

kms_status kms__associated_write(const kms_context *context, kms__associated *associated)
{
    kms__writer writer = kms__writer_to(associated->bytes + KMS__BLOB_HEADER, KMS_CONTEXT_MAX);

    KMS__TRY(write_context(context, &writer));
    associated->context_len = writer.len;
    return KMS_OK;
}
