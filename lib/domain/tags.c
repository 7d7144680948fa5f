#include "domain/tags.h"
#include "base/try.h"
#include "wire/wire.h"

#include <stdlib.h>
#include <string.h>

#define PLAIN_MAX (2 + KMS_TAGS_MAX * (1 + KMS_TAG_NAME_MAX + 2 + KMS_TAG_VALUE_MAX))

kms__record_key kms__tags_record_key(const uint8_t id[KMS__ID_SIZE])
{
    return kms__record_key_of(KMS__TAG_TAGS, id);
}

static kms_status check_name(const char *name)
{
    size_t len = name != NULL ? strnlen(name, KMS_TAG_NAME_MAX + 1) : 0;

    if (len == 0 || len > KMS_TAG_NAME_MAX)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "the name of a tag has 1 to %d bytes",
                             KMS_TAG_NAME_MAX);
    return KMS_OK;
}

kms_status kms__tag_names_check(const char *const *names, size_t count)
{
    if ((names == NULL) != (count == 0))
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT,
                             "give the names of tags, or NULL and 0 for every tag");
    for (size_t i = 0; i < count; i++)
        KMS__TRY(check_name(names[i]));
    return KMS_OK;
}

kms_status kms__tags_check(const kms_tag *tags, size_t count)
{
    if (tags == NULL)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "tags is NULL");
    if (count < 1 || count > KMS_TAGS_MAX)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "%zu tags: a key has 1 to %d", count,
                             KMS_TAGS_MAX);
    for (size_t i = 0; i < count; i++) {
        KMS__TRY(check_name(tags[i].name));
        if (tags[i].value == NULL ||
            strnlen(tags[i].value, KMS_TAG_VALUE_MAX + 1) > KMS_TAG_VALUE_MAX)
            return kms_set_error(KMS_ERR_INVALID_ARGUMENT,
                                 "the value of tag \"%s\" has 0 to %d bytes", tags[i].name,
                                 KMS_TAG_VALUE_MAX);
        for (size_t j = 0; j < i; j++)
            if (strcmp(tags[i].name, tags[j].name) == 0)
                return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "tag \"%s\" is there twice",
                                     tags[i].name);
    }
    return KMS_OK;
}

static void read_text(kms__reader *reader, size_t len, char *out, size_t size)
{
    kms_slice text = kms__read_slice(reader, len);

    if (text.len >= size || (text.len > 0 && memchr(text.data, 0, text.len) != NULL)) {
        reader->failed = true;
        return;
    }
    if (text.len > 0)
        memcpy(out, text.data, text.len);
    out[text.len] = '\0';
}

static kms_status decode(const kms__record_key *record_key, kms_slice plain, kms__tags *tags)
{
    kms__reader reader = kms__reader_of(plain.data, plain.len);
    char name[KMS__RECORD_NAME_SIZE];
    uint8_t body = kms__read_u8(&reader);
    size_t count = kms__read_u8(&reader);

    for (size_t i = 0; i < count && i < KMS_TAGS_MAX; i++) {
        read_text(&reader, kms__read_u8(&reader), tags->tags[i].name, sizeof tags->tags[i].name);
        read_text(&reader, kms__read_u16(&reader), tags->tags[i].value, sizeof tags->tags[i].value);
    }
    if (body != KMS__TAGS_BODY || count > KMS_TAGS_MAX || !kms__reader_ended(&reader))
        return kms_set_error(KMS_ERR_NEWER_FORMAT, "%s were written by a newer libkms",
                             kms__record_name(kms__record_slice(record_key), name));
    tags->count = count;
    return KMS_OK;
}

kms_status kms__tags_load(kms__txn *txn, const uint8_t id[KMS__ID_SIZE], kms__tags *tags)
{
    kms__record_key record_key = kms__tags_record_key(id);
    uint8_t *plain = NULL;
    size_t len = 0;
    kms_status st = kms__txn_read_alloc(txn, &record_key, &plain, &len, NULL);

    memset(tags, 0, sizeof *tags);
    if (st == KMS_ERR_NOT_FOUND)
        return KMS_OK;
    KMS__TRY(st);
    st = decode(&record_key, (kms_slice){plain, len}, tags);
    free(plain);
    return st;
}

static kms_status save(kms__txn *txn, const uint8_t id[KMS__ID_SIZE], const kms__tags *tags)
{
    kms__record_key record_key = kms__tags_record_key(id);
    uint8_t plain[PLAIN_MAX];
    kms__writer writer = kms__writer_to(plain, sizeof plain);
    kms_status st;

    if (tags->count == 0) {
        st = kms__txn_delete(txn, &record_key);
        return st == KMS_ERR_NOT_FOUND ? KMS_OK : st;
    }
    kms__write_u8(&writer, KMS__TAGS_BODY);
    kms__write_u8(&writer, (uint8_t)tags->count);
    for (size_t i = 0; i < tags->count; i++) {
        size_t name_len = strlen(tags->tags[i].name), value_len = strlen(tags->tags[i].value);

        kms__write_u8(&writer, (uint8_t)name_len);
        kms__write_bytes(&writer, tags->tags[i].name, name_len);
        kms__write_u16(&writer, (uint16_t)value_len);
        kms__write_bytes(&writer, tags->tags[i].value, value_len);
    }
    return kms__txn_write(txn, &record_key, (kms_slice){plain, writer.len});
}

/* Where a name stands, or would stand. */
static size_t place_of(const kms__tags *tags, const char *name, bool *there)
{
    size_t i = 0;

    while (i < tags->count && strcmp(tags->tags[i].name, name) < 0)
        i++;
    *there = i < tags->count && strcmp(tags->tags[i].name, name) == 0;
    return i;
}

const char *kms__tags_find(const kms__tags *tags, const char *name)
{
    bool there;
    size_t at = place_of(tags, name, &there);

    return there ? tags->tags[at].value : NULL;
}

static kms_status set(const uint8_t id[KMS__ID_SIZE], kms__tags *tags, const kms_tag *tag)
{
    char text[KMS_KEY_ID_SIZE];
    bool there;
    size_t at = place_of(tags, tag->name, &there);
    kms_tag_info *place = &tags->tags[at];

    if (!there) {
        if (tags->count == KMS_TAGS_MAX) {
            kms__id_format(id, text);
            return kms_set_error(KMS_ERR_LIMIT_EXCEEDED,
                                 "key %s would have more than %d tags: kms_untag_resource() makes "
                                 "room",
                                 text, KMS_TAGS_MAX);
        }
        memmove(place + 1, place, (tags->count - at) * sizeof *place);
        tags->count++;
    }
    memset(place, 0, sizeof *place);
    memcpy(place->name, tag->name, strlen(tag->name));
    memcpy(place->value, tag->value, strlen(tag->value));
    return KMS_OK;
}

/* A tag whose value stays is no change. */
static bool has_all(const kms__tags *tags, const kms_tag *wanted, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *value = kms__tags_find(tags, wanted[i].name);

        if (value == NULL || strcmp(value, wanted[i].value) != 0)
            return false;
    }
    return true;
}

kms_status kms__tags_add(kms__txn *txn, const uint8_t id[KMS__ID_SIZE], const kms_tag *tags,
                         size_t count)
{
    kms__tags now;

    KMS__TRY(kms__tags_load(txn, id, &now));
    if (has_all(&now, tags, count))
        return KMS_OK;
    for (size_t i = 0; i < count; i++)
        KMS__TRY(set(id, &now, &tags[i]));
    return save(txn, id, &now);
}

static void take(kms__tags *tags, const char *name)
{
    bool there;
    size_t at = place_of(tags, name, &there);

    if (!there)
        return;
    tags->count--;
    memmove(&tags->tags[at], &tags->tags[at + 1], (tags->count - at) * sizeof tags->tags[at]);
}

kms_status kms__tags_remove(kms__txn *txn, const uint8_t id[KMS__ID_SIZE], const char *const *names,
                            size_t count)
{
    kms__tags now;
    size_t before;

    KMS__TRY(kms__tags_load(txn, id, &now));
    before = now.count;
    if (names == NULL)
        now.count = 0;
    for (size_t i = 0; names != NULL && i < count; i++)
        take(&now, names[i]);
    return now.count == before ? KMS_OK : save(txn, id, &now);
}
