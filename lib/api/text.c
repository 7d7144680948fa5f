#include "base/try.h"
#include "domain/seal.h"

#include <kms/text.h>
#include <sodium.h>
#include <string.h>

#define VARIANT sodium_base64_VARIANT_URLSAFE_NO_PADDING
/* Where the number of the form stands. */
#define FORM_AT 3
/* So that no size of this file overflows; no blob is as long where size_t has 64 bits. */
#define LONGEST (SIZE_MAX / 2)

_Static_assert(sizeof KMS_TEXT_PREFIX - 1 == KMS_TEXT_PREFIX_LEN, "sizes of kms/text.h");

static kms_status check(const void *from, size_t from_len, const void *to, size_t to_size,
                        size_t needed)
{
    if (from == NULL || to == NULL)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "blob or text is NULL");
    if (from_len > LONGEST)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "%zu bytes are more than one blob can hold",
                             from_len);
    if (to_size < needed)
        return kms_set_error(KMS_ERR_BUFFER_TOO_SMALL,
                             "the buffer has %zu bytes, the other form of these %zu needs %zu",
                             to_size, from_len, needed);
    if (kms__overlap(from, from_len, to, needed))
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "blob and text overlap");
    return KMS_OK;
}

kms_status kms_blob_to_text(const void *blob, size_t blob_len, char *text, size_t text_size,
                            size_t *text_len)
{
    kms_blob_info info;

    KMS__TRY(check(blob, blob_len, text, text_size, KMS_TEXT_SIZE(blob_len)));
    KMS__TRY(kms_inspect_blob(blob, blob_len, &info));
    memcpy(text, KMS_TEXT_PREFIX, KMS_TEXT_PREFIX_LEN);
    sodium_bin2base64(text + KMS_TEXT_PREFIX_LEN, text_size - KMS_TEXT_PREFIX_LEN, blob, blob_len,
                      VARIANT);
    if (text_len != NULL)
        *text_len = KMS_TEXT_SIZE(blob_len) - 1;
    return KMS_OK;
}

static kms_status not_a_text(size_t text_len)
{
    return kms_set_error(KMS_ERR_INVALID_CIPHERTEXT,
                         "these %zu characters are no blob of libkms as text: cut, altered, or "
                         "something else",
                         text_len);
}

static kms_status check_prefix(const char *text, size_t text_len)
{
    if (text_len < KMS_TEXT_PREFIX_LEN || memcmp(text, KMS_TEXT_PREFIX, FORM_AT) != 0 ||
        text[KMS_TEXT_PREFIX_LEN - 1] != KMS_TEXT_PREFIX[KMS_TEXT_PREFIX_LEN - 1])
        return not_a_text(text_len);
    if (text[FORM_AT] > KMS_TEXT_PREFIX[FORM_AT] && text[FORM_AT] <= '9')
        return kms_set_error(KMS_ERR_NEWER_FORMAT,
                             "the text has form %c: a newer libkms made it, use that",
                             text[FORM_AT]);
    return text[FORM_AT] == KMS_TEXT_PREFIX[FORM_AT] ? KMS_OK : not_a_text(text_len);
}

static bool in_alphabet(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

/* Without a list of characters to skip and a place to stop, libsodium takes the canonical form of the
 * whole text; but 1.0.18 also takes bytes above 127 for letters, where char is signed. */
static bool decode(const char *text, size_t text_len, void *blob, size_t blob_size, size_t *len)
{
    for (size_t i = KMS_TEXT_PREFIX_LEN; i < text_len; i++)
        if (!in_alphabet(text[i]))
            return false;
    return sodium_base642bin(blob, blob_size, text + KMS_TEXT_PREFIX_LEN,
                             text_len - KMS_TEXT_PREFIX_LEN, NULL, len, NULL, VARIANT) == 0;
}

kms_status kms_blob_from_text(const char *text, size_t text_len, void *blob, size_t blob_size,
                              size_t *blob_len)
{
    size_t room = KMS_TEXT_BLOB_SIZE(text_len), len = 0;
    kms_blob_info info;
    kms_status st;

    if (blob_len == NULL)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "blob_len is NULL");
    KMS__TRY(check(text, text_len, blob, blob_size, room));
    KMS__TRY(check_prefix(text, text_len));
    st = decode(text, text_len, blob, room, &len) ? kms_inspect_blob(blob, len, &info)
                                                  : not_a_text(text_len);
    if (st != KMS_OK) {
        memset(blob, 0, room);
        return st;
    }
    *blob_len = len;
    return KMS_OK;
}
