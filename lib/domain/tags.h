/* A key's tags, in a record of their own, in the order of their names' bytes.
 *
 * Tags record T | key id: body format (1) = 1 | number of tags (1) |
 *   for each: length of the name (1), name | length of the value (2), value. */
#ifndef KMS__DOMAIN_TAGS_H
#define KMS__DOMAIN_TAGS_H

#include "vault/txn.h"

#include <kms/tag.h>

#define KMS__TAGS_BODY 1

typedef struct kms__tags {
    kms_tag_info tags[KMS_TAGS_MAX];
    size_t count;
} kms__tags;

kms__record_key kms__tags_record_key(const uint8_t id[KMS__ID_SIZE]);

/* KMS_ERR_INVALID_ARGUMENT. */
kms_status kms__tags_check(const kms_tag *tags, size_t count);
kms_status kms__tag_names_check(const char *const *names, size_t count);

/* None if there is no record. */
kms_status kms__tags_load(kms__txn *txn, const uint8_t id[KMS__ID_SIZE], kms__tags *tags);

/* Sets tags of a key that is there; they were checked. KMS_ERR_LIMIT_EXCEEDED. */
kms_status kms__tags_add(kms__txn *txn, const uint8_t id[KMS__ID_SIZE], const kms_tag *tags,
                         size_t count);

/* Takes tags away; names NULL: all. */
kms_status kms__tags_remove(kms__txn *txn, const uint8_t id[KMS__ID_SIZE], const char *const *names,
                            size_t count);

/* The value of a tag, or NULL. */
const char *kms__tags_find(const kms__tags *tags, const char *name);

#endif
