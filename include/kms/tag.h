/**
 * @file kms/tag.h
 * Tags: names and values by which keys are found again. kms_find_keys() finds keys by tag.
 *
 * A key has at most KMS_TAGS_MAX tags. A name is 1 to KMS_TAG_NAME_MAX bytes, a value 0 to
 * KMS_TAG_VALUE_MAX, both NUL-terminated and taken as they are. Tags are sealed like all of a key,
 * but are not meant for secrets.
 */
#ifndef KMS_TAG_H
#define KMS_TAG_H

#include <kms/key.h>

#define KMS_TAG_NAME_MAX 128
#define KMS_TAG_VALUE_MAX 256
/** Most keys of one call of kms_tag_resources() and kms_untag_resources(). */
#define KMS_TAG_RESOURCES_MAX 50

KMS_BEGIN_DECLS

/** A tag that a call tells. Its size is fixed. Since 0.2. */
typedef struct kms_tag_info {
    char name[KMS_TAG_NAME_MAX + 1];
    char value[KMS_TAG_VALUE_MAX + 1];
} kms_tag_info;

/**
 * TagResource: gives a key tags. One of a name that it has gets the new value.
 *
 * @param store   open store
 * @param key_id  id of the key, not an alias
 * @param tags    count of them, no name twice; borrowed for the call
 * @param count   1 to KMS_TAGS_MAX
 *
 * All of them are set, or none.
 *
 * @retval KMS_OK
 * @retval KMS_ERR_INVALID_ARGUMENT  NULL, malformed id, an alias, a name or value out of its limits
 * @retval KMS_ERR_KEY_NOT_FOUND
 * @retval KMS_ERR_PENDING_DELETION  the key is scheduled for deletion
 * @retval KMS_ERR_LIMIT_EXCEEDED    it would have more than KMS_TAGS_MAX
 * @retval those of every change     see kms/status.h
 *
 * Threads: any number may share store. Since 0.2. Source: Alibaba Cloud KMS, TagResource.
 */
KMS_API KMS_MUST_CHECK kms_status kms_tag_resource(kms_store *store, const char *key_id,
                                                   const kms_tag *tags, size_t count);

/**
 * UntagResource: takes tags from a key by name. Names that it does not have are passed over.
 *
 * @param store   open store
 * @param key_id  id of the key, not an alias
 * @param names   count of them; borrowed for the call
 * @param count   1 or more; 0 with names NULL: every tag
 *
 * Returns and threads: as kms_tag_resource(), but never KMS_ERR_LIMIT_EXCEEDED. Since 0.2. Source:
 * Alibaba Cloud KMS, UntagResource.
 */
KMS_API KMS_MUST_CHECK kms_status kms_untag_resource(kms_store *store, const char *key_id,
                                                     const char *const *names, size_t count);

/**
 * TagResources: gives many keys the same tags, as kms_tag_resource(), in one transaction: all keys
 * get them, or none.
 *
 * @param store      open store
 * @param key_ids    key_count ids, no key twice
 * @param key_count  1 to KMS_TAG_RESOURCES_MAX
 * @param tags       count of them, no name twice
 * @param count      1 to KMS_TAGS_MAX
 *
 * Returns and threads: as kms_tag_resource(). Since 0.2. Source: Alibaba Cloud KMS, TagResources.
 */
KMS_API KMS_MUST_CHECK kms_status kms_tag_resources(kms_store *store,
                                                    const char (*key_ids)[KMS_KEY_ID_SIZE],
                                                    size_t key_count, const kms_tag *tags,
                                                    size_t count);

/**
 * UntagResources: takes tags from many keys, as kms_untag_resource(), in one transaction.
 *
 * @param store      open store
 * @param key_ids    key_count ids, no key twice
 * @param key_count  1 to KMS_TAG_RESOURCES_MAX
 * @param names      count of them
 * @param count      1 or more; 0 with names NULL: every tag
 *
 * Returns and threads: as kms_untag_resource(). Since 0.2. Source: Alibaba Cloud KMS,
 * UntagResources.
 */
KMS_API KMS_MUST_CHECK kms_status kms_untag_resources(kms_store *store,
                                                      const char (*key_ids)[KMS_KEY_ID_SIZE],
                                                      size_t key_count, const char *const *names,
                                                      size_t count);

/**
 * ListResourceTags: a key's tags, in the order of their names' bytes.
 *
 * @param store       open store
 * @param keyref      key id, or alias in full
 * @param[out] tags   room for limit entries; KMS_TAGS_MAX always suffice; untouched on failure
 * @param limit       entries that there is room for
 * @param[out] count  entries written; untouched on failure
 *
 * @retval KMS_OK
 * @retval KMS_ERR_INVALID_ARGUMENT  NULL, malformed keyref
 * @retval KMS_ERR_BUFFER_TOO_SMALL  it has more than limit tags
 * @retval KMS_ERR_KEY_NOT_FOUND, KMS_ERR_ALIAS_NOT_FOUND
 * @retval those of every look       see kms/status.h
 *
 * Threads: any number may share store. Since 0.2. Source: Alibaba Cloud KMS, ListResourceTags.
 */
KMS_API KMS_MUST_CHECK kms_status kms_list_resource_tags(kms_store *store, const char *keyref,
                                                         kms_tag_info *tags, size_t limit,
                                                         size_t *count);

KMS_END_DECLS

#endif
