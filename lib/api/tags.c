#include "domain/tags.h"
#include "base/try.h"
#include "domain/keys.h"
#include "domain/reference.h"
#include "domain/state.h"

#include <string.h>

/* What a change of tags is about. */
typedef struct change {
    uint8_t ids[KMS_TAG_RESOURCES_MAX][KMS__ID_SIZE];
    size_t id_count;
    kms_operation operation;
    const kms_tag *tags;
    const char *const *names;
    size_t count;
} change;

static kms_status check_key(kms__txn *txn, const uint8_t id[KMS__ID_SIZE], kms_operation operation)
{
    kms__key key;
    kms_status st;

    KMS__TRY(kms__key_load(txn, id, &key, NULL));
    st = kms__key_allows(&key, operation, NULL);
    kms__key_clear(&key);
    return st;
}

static kms_status apply(kms__txn *txn, void *argument)
{
    const change *c = argument;

    for (size_t i = 0; i < c->id_count; i++) {
        KMS__TRY(check_key(txn, c->ids[i], c->operation));
        if (c->operation == KMS_OP_TAG_RESOURCE)
            KMS__TRY(kms__tags_add(txn, c->ids[i], c->tags, c->count));
        else
            KMS__TRY(kms__tags_remove(txn, c->ids[i], c->names, c->count));
    }
    return KMS_OK;
}

static kms_status take_ids(const char (*key_ids)[KMS_KEY_ID_SIZE], size_t count, change *c)
{
    if (key_ids == NULL)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "key_ids is NULL");
    if (count < 1 || count > KMS_TAG_RESOURCES_MAX)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "%zu keys: one call takes 1 to %d", count,
                             KMS_TAG_RESOURCES_MAX);
    for (size_t i = 0; i < count; i++) {
        if (strnlen(key_ids[i], KMS_KEY_ID_SIZE) == KMS_KEY_ID_SIZE)
            return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "key id %zu is longer than any", i);
        KMS__TRY(kms__key_id_parse(key_ids[i], c->ids[i]));
        for (size_t j = 0; j < i; j++)
            if (memcmp(c->ids[i], c->ids[j], KMS__ID_SIZE) == 0)
                return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "key %s is there twice", key_ids[i]);
    }
    c->id_count = count;
    return KMS_OK;
}

kms_status kms_tag_resources(kms_store *store, const char (*key_ids)[KMS_KEY_ID_SIZE],
                             size_t key_count, const kms_tag *tags, size_t count)
{
    change c = {.operation = KMS_OP_TAG_RESOURCE, .tags = tags, .count = count};

    KMS__TRY(kms__store_check_writable(store));
    KMS__TRY(take_ids(key_ids, key_count, &c));
    KMS__TRY(kms__tags_check(tags, count));
    return kms__store_write(store, apply, &c);
}

kms_status kms_untag_resources(kms_store *store, const char (*key_ids)[KMS_KEY_ID_SIZE],
                               size_t key_count, const char *const *names, size_t count)
{
    change c = {.operation = KMS_OP_UNTAG_RESOURCE, .names = names, .count = count};

    KMS__TRY(kms__store_check_writable(store));
    KMS__TRY(take_ids(key_ids, key_count, &c));
    KMS__TRY(kms__tag_names_check(names, count));
    return kms__store_write(store, apply, &c);
}

/* An id of any length, as an id of the size that the calls for many take. */
static kms_status one_id(const char *key_id, char id[1][KMS_KEY_ID_SIZE])
{
    uint8_t bytes[KMS__ID_SIZE];

    KMS__TRY(kms__key_id_parse(key_id, bytes));
    kms__id_format(bytes, id[0]);
    return KMS_OK;
}

kms_status kms_tag_resource(kms_store *store, const char *key_id, const kms_tag *tags, size_t count)
{
    char id[1][KMS_KEY_ID_SIZE];

    KMS__TRY(kms__store_check_writable(store));
    KMS__TRY(one_id(key_id, id));
    return kms_tag_resources(store, (const char(*)[KMS_KEY_ID_SIZE])id, 1, tags, count);
}

kms_status kms_untag_resource(kms_store *store, const char *key_id, const char *const *names,
                              size_t count)
{
    char id[1][KMS_KEY_ID_SIZE];

    KMS__TRY(kms__store_check_writable(store));
    KMS__TRY(one_id(key_id, id));
    return kms_untag_resources(store, (const char(*)[KMS_KEY_ID_SIZE])id, 1, names, count);
}

typedef struct finding {
    const char *keyref;
    kms__tags tags;
} finding;

static kms_status find(kms__txn *txn, void *argument)
{
    finding *f = argument;
    kms__key key;
    kms_status st;

    KMS__TRY(kms__key_find(txn, f->keyref, &key));
    st = kms__tags_load(txn, key.id, &f->tags);
    kms__key_clear(&key);
    return st;
}

kms_status kms_list_resource_tags(kms_store *store, const char *keyref, kms_tag_info *tags,
                                  size_t limit, size_t *count)
{
    finding f = {.keyref = keyref};

    KMS__TRY(kms__store_check(store));
    if ((tags == NULL && limit > 0) || count == NULL)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "tags or count is NULL");
    KMS__TRY(kms__store_read(store, find, &f));
    if (f.tags.count > limit)
        return kms_set_error(KMS_ERR_BUFFER_TOO_SMALL,
                             "the key has %zu tags, and there is room for "
                             "%zu",
                             f.tags.count, limit);
    if (f.tags.count > 0)
        memcpy(tags, f.tags.tags, f.tags.count * sizeof *tags);
    *count = f.tags.count;
    return KMS_OK;
}
