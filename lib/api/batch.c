#include "base/kept_error.h"
#include "base/try.h"
#include "domain/reference.h"
#include "domain/rotate_on_use.h"
#include "domain/seal.h"

#include <kms/batch.h>
#include <string.h>

/* The first failure is the call's, with its message. */
typedef struct outcome {
    kms_status first;
    kms__kept_error kept;
} outcome;

static void settle(kms_batch_item *item, kms_status st, outcome *o)
{
    item->status = st;
    if (o->first != KMS_OK || st == KMS_OK)
        return;
    o->first = st;
    kms__error_keep(&o->kept);
}

static kms_status end(const outcome *o)
{
    if (o->first != KMS_OK)
        kms__error_restore(&o->kept);
    return o->first;
}

static kms_status settle_all(kms_batch_item *items, size_t count, kms_status st)
{
    for (size_t i = 0; i < count; i++)
        items[i].status = st;
    return st;
}

static kms_status check(const kms_store *store, kms_batch_item *items, size_t count)
{
    kms_status st = kms__store_check(store);

    if (items == NULL || count == 0)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "a batch has one item or more");
    return st == KMS_OK ? KMS_OK : settle_all(items, count, st);
}

static kms_status encrypt_item(const kms__pin *pin, kms_batch_item *item)
{
    kms__associated associated;

    if (item->in == NULL && item->in_len > 0)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "an item's plaintext is NULL");
    KMS__TRY(kms__check_blob_room(item->in_len, item->out, item->out_size, &item->out_len));
    if (kms__overlap(item->in, item->in_len, item->out, KMS_CIPHERTEXT_SIZE(item->in_len)))
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "plain and blob of an item overlap");
    KMS__TRY(kms__associated_begin(item->context, &associated));
    KMS__TRY(kms__blob_seal_under(pin, KMS_BLOB_DATA, &associated,
                                  (kms_slice){item->in, item->in_len}, item->out));
    item->out_len = KMS_CIPHERTEXT_SIZE(item->in_len);
    return KMS_OK;
}

kms_status kms_encrypt_batch(kms_store *store, const char *keyref, kms_batch_item *items,
                             size_t count)
{
    kms__reference reference;
    outcome o = {.first = KMS_OK};
    kms_status st;
    kms__pin pin;

    KMS__TRY(check(store, items, count));
    st = kms__reference_parse(keyref, &reference);
    if (st == KMS_OK)
        st = kms__pin_for_encrypting(store, keyref, 0, &pin);
    if (st != KMS_OK)
        return settle_all(items, count, st);
    for (size_t i = 0; i < count; i++)
        settle(&items[i], encrypt_item(&pin, &items[i]), &o);
    kms__pin_release(&pin);
    return end(&o);
}

/* The version that is pinned, if any: blobs in a row are often of one. */
typedef struct held {
    kms_store *store;
    kms__pin pin;
} held;

static void let_go(held *h)
{
    if (h->pin.opened != NULL)
        kms__pin_release(&h->pin);
}

static kms_status hold(held *h, const kms__blob *blob)
{
    const kms__opened *opened = h->pin.opened;

    if (opened != NULL && opened->version == blob->key_version &&
        memcmp(opened->key_id, blob->key_id, KMS__ID_SIZE) == 0)
        return KMS_OK;
    let_go(h);
    return kms__pin_version_of(h->store, blob, 0, &h->pin);
}

static kms_status decrypt_item(held *h, kms_batch_item *item)
{
    size_t len = KMS_PLAINTEXT_SIZE(item->in_len);
    kms__associated associated;
    kms__blob parts;

    if (item->in == NULL || (item->out == NULL && len > 0))
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "an item's blob or plaintext is NULL");
    if (item->out_size < len)
        return kms_set_error(KMS_ERR_BUFFER_TOO_SMALL,
                             "an item's buffer has %zu bytes, its plaintext needs %zu",
                             item->out_size, len);
    if (kms__overlap(item->in, item->in_len, item->out, len))
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "blob and plain of an item overlap");
    KMS__TRY(kms__associated_begin(item->context, &associated));
    KMS__TRY(kms__blob_read(item->in, item->in_len, &parts));
    KMS__TRY(hold(h, &parts));
    KMS__TRY(kms__blob_open_under(&h->pin, KMS__KINDS_DECRYPTED, &associated, &parts, item->out));
    item->out_len = len;
    kms__id_format(parts.key_id, item->used.key_id);
    item->used.key_version = parts.key_version;
    return KMS_OK;
}

kms_status kms_decrypt_batch(kms_store *store, kms_batch_item *items, size_t count)
{
    held h = {.store = store};
    outcome o = {.first = KMS_OK};

    KMS__TRY(check(store, items, count));
    for (size_t i = 0; i < count; i++)
        settle(&items[i], decrypt_item(&h, &items[i]), &o);
    let_go(&h);
    return end(&o);
}

kms_status kms_re_encrypt_batch(kms_store *store, const char *keyref, kms_batch_item *items,
                                size_t count)
{
    kms__reference reference;
    outcome o = {.first = KMS_OK};

    KMS__TRY(check(store, items, count));
    if (kms__reference_parse(keyref, &reference) != KMS_OK)
        return settle_all(items, count, KMS_ERR_INVALID_ARGUMENT);
    for (size_t i = 0; i < count; i++) {
        kms_batch_item *item = &items[i];

        settle(item,
               kms_re_encrypt(store, item->context, item->in, item->in_len, keyref,
                              item->new_context, item->out, item->out_size, &item->out_len,
                              &item->used),
               &o);
    }
    return end(&o);
}
