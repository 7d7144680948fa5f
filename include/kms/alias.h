/**
 * @file kms/alias.h
 * Aliases: movable names of keys. Applications name the alias; administrators move it.
 *
 * A name is "alias/" followed by 1 to 255 of A-Z a-z 0-9 _ - /, always given in full. Names that
 * begin with "alias/acs" are reserved for service-managed keys. An alias points to one key; a key
 * may have many. An alias cannot be renamed: make a new one and delete the old.
 * Source of the rules: Alibaba Cloud KMS, CreateAlias and UpdateAlias.
 */
#ifndef KMS_ALIAS_H
#define KMS_ALIAS_H

#include <kms/key.h>

/** Size of the longest alias name, with its final NUL. */
#define KMS_ALIAS_SIZE 262

KMS_BEGIN_DECLS

/** What is known of an alias. Its size is fixed: a later release uses what is reserved.
 *  Since 0.1. */
typedef struct kms_alias_info {
    char name[KMS_ALIAS_SIZE];
    /** The key that it points to. */
    char key_id[KMS_KEY_ID_SIZE];
    /** The key that it pointed to before it was last moved; "" if it never was. */
    char previous_key_id[KMS_KEY_ID_SIZE];
    /** Milliseconds since 1970-01-01 UTC. */
    int64_t created_ms;
    /** When it was last moved; created_ms if it never was. */
    int64_t moved_ms;
    /** Zero. */
    uint8_t reserved[32];
} kms_alias_info;

/**
 * CreateAlias: makes an alias that points to a key.
 *
 * @param store   open store
 * @param alias   its name in full
 * @param key_id  id of the key
 *
 * @retval KMS_OK
 * @retval KMS_ERR_INVALID_ARGUMENT  NULL, malformed name or id, a reserved name
 * @retval KMS_ERR_ALREADY_EXISTS    the alias is there: kms_update_alias() moves it
 * @retval KMS_ERR_KEY_NOT_FOUND
 * @retval KMS_ERR_INVALID_STATE     the key is pending deletion
 * @retval KMS_ERR_READ_ONLY, KMS_ERR_BUSY, KMS_ERR_CONFLICT, KMS_ERR_COMMIT_UNKNOWN,
 *         KMS_ERR_FULL, KMS_ERR_STORAGE, KMS_ERR_STORE_REPLACED, KMS_ERR_ROLLBACK,
 *         KMS_ERR_CORRUPT, KMS_ERR_NEWER_FORMAT, KMS_ERR_NO_MEMORY, KMS_ERR_FORKED
 *
 * Threads: any number may share store. Since 0.1. Source: Alibaba Cloud KMS, CreateAlias.
 */
KMS_API KMS_MUST_CHECK kms_status kms_create_alias(kms_store *store, const char *alias,
                                                   const char *key_id);

/**
 * UpdateAlias: moves an alias to another key. This is manual rotation: from when it returns, the
 * next encryption of every process that names the alias uses the new key, and old blobs go on
 * opening under the key that made them.
 *
 * The alias remembers the key before. Moving it to the key that it points to changes nothing.
 *
 * @param store   open store
 * @param alias   its name in full
 * @param key_id  id of the new key, whose usage must be that of the old one
 *
 * @retval KMS_OK
 * @retval KMS_ERR_INVALID_ARGUMENT  NULL, malformed name or id, a reserved name, another usage
 * @retval KMS_ERR_ALIAS_NOT_FOUND, KMS_ERR_KEY_NOT_FOUND
 * @retval KMS_ERR_PENDING_DELETION  the new key is scheduled for deletion
 * @retval KMS_ERR_READ_ONLY, KMS_ERR_BUSY, KMS_ERR_CONFLICT, KMS_ERR_COMMIT_UNKNOWN,
 *         KMS_ERR_FULL, KMS_ERR_STORAGE, KMS_ERR_STORE_REPLACED, KMS_ERR_ROLLBACK,
 *         KMS_ERR_CORRUPT, KMS_ERR_NEWER_FORMAT, KMS_ERR_NO_MEMORY, KMS_ERR_FORKED
 *
 * Threads: any number may share store. Since 0.1. Source: Alibaba Cloud KMS, UpdateAlias.
 */
KMS_API KMS_MUST_CHECK kms_status kms_update_alias(kms_store *store, const char *alias,
                                                   const char *key_id);

/**
 * DeleteAlias: removes an alias and leaves its key. Blobs made under it go on opening.
 *
 * @param store  open store
 * @param alias  its name in full
 *
 * @retval KMS_OK
 * @retval KMS_ERR_INVALID_ARGUMENT  NULL, malformed or reserved name
 * @retval KMS_ERR_ALIAS_NOT_FOUND
 * @retval KMS_ERR_READ_ONLY, KMS_ERR_BUSY, KMS_ERR_CONFLICT, KMS_ERR_COMMIT_UNKNOWN,
 *         KMS_ERR_FULL, KMS_ERR_STORAGE, KMS_ERR_STORE_REPLACED, KMS_ERR_ROLLBACK,
 *         KMS_ERR_CORRUPT, KMS_ERR_NEWER_FORMAT, KMS_ERR_NO_MEMORY, KMS_ERR_FORKED
 *
 * Threads: any number may share store. Since 0.1. Source: Alibaba Cloud KMS, DeleteAlias.
 */
KMS_API KMS_MUST_CHECK kms_status kms_delete_alias(kms_store *store, const char *alias);

/**
 * Ensures that an alias is there: finds its key, or makes the key and the alias in one
 * transaction. When many processes start at once on an empty store, all get the one key that the
 * first of them made.
 *
 * @param store        open store
 * @param alias        its name in full
 * @param options      for the key, if it is made; NULL for the defaults; borrowed for the call
 * @param[out] key_id  the key that the alias points to; NULL if not wanted; untouched on failure
 *
 * An alias that is there stays as it is, whatever its key's state, usage and suite.
 *
 * Returns and threads: as kms_create_key(), and KMS_ERR_INVALID_ARGUMENT for a malformed or
 * reserved name; a store open for reading answers KMS_OK if the alias is there. Since 0.1.
 */
KMS_API KMS_MUST_CHECK kms_status kms_ensure_alias(kms_store *store, const char *alias,
                                                   const kms_create_key_options *options,
                                                   char key_id[KMS_KEY_ID_SIZE]);

/**
 * Tells what an alias points to, and pointed to before.
 *
 * @param store      open store
 * @param alias      its name in full
 * @param[out] info  written whole; untouched on failure
 *
 * @retval KMS_OK
 * @retval KMS_ERR_INVALID_ARGUMENT  NULL, malformed name
 * @retval KMS_ERR_ALIAS_NOT_FOUND
 * @retval KMS_ERR_STORAGE, KMS_ERR_BUSY, KMS_ERR_STORE_REPLACED, KMS_ERR_CORRUPT,
 *         KMS_ERR_NEWER_FORMAT, KMS_ERR_NO_MEMORY, KMS_ERR_FORKED
 *
 * Threads: any number may share store. Since 0.1.
 */
KMS_API KMS_MUST_CHECK kms_status kms_describe_alias(kms_store *store, const char *alias,
                                                     kms_alias_info *info);

/**
 * ListAliases: the store's aliases in the order of their names' bytes, a page at a time.
 *
 * Each page is one snapshot; what changes between two pages may or may not be seen.
 *
 * @param store         open store
 * @param marker        NULL for the first page; else the last name of the page before
 * @param[out] aliases  room for limit entries; of no meaning after a failure
 * @param limit         1 or more
 * @param[out] count    entries written; untouched on failure
 * @param[out] more     whether aliases follow after this page; NULL if not wanted; untouched on
 * failure
 *
 * @retval KMS_OK
 * @retval KMS_ERR_INVALID_ARGUMENT  NULL, limit 0, malformed marker
 * @retval KMS_ERR_STORAGE, KMS_ERR_BUSY, KMS_ERR_STORE_REPLACED, KMS_ERR_CORRUPT,
 *         KMS_ERR_NEWER_FORMAT, KMS_ERR_NO_MEMORY, KMS_ERR_FORKED
 *
 * Threads: any number may share store. Since 0.1. Source: Alibaba Cloud KMS, ListAliases.
 */
KMS_API KMS_MUST_CHECK kms_status kms_list_aliases(kms_store *store, const char *marker,
                                                   kms_alias_info *aliases, size_t limit,
                                                   size_t *count, bool *more);

/**
 * ListAliases of those whose names begin alike, as kms_list_aliases().
 *
 * @param store         open store
 * @param prefix        how the names begin, in full: "alias/payments/"
 * @param marker        NULL for the first page; else the last name of the page before
 * @param[out] aliases  room for limit entries; of no meaning after a failure
 * @param limit         1 or more
 * @param[out] count    entries written; untouched on failure
 * @param[out] more     whether such aliases follow after this page; NULL if not wanted; untouched
 *                      on failure
 *
 * Returns and threads: as kms_list_aliases(), and KMS_ERR_INVALID_ARGUMENT for a prefix that no
 * alias can begin with. Since 0.2.
 */
KMS_API KMS_MUST_CHECK kms_status kms_find_aliases(kms_store *store, const char *prefix,
                                                   const char *marker, kms_alias_info *aliases,
                                                   size_t limit, size_t *count, bool *more);

/**
 * ListAliasesByKeyId: the aliases that point to one key, as kms_list_aliases().
 *
 * @param store         open store
 * @param key_id        id of the key
 * @param marker        NULL for the first page; else the last name of the page before
 * @param[out] aliases  room for limit entries; of no meaning after a failure
 * @param limit         1 or more
 * @param[out] count    entries written; untouched on failure
 * @param[out] more     whether aliases follow after this page; NULL if not wanted; untouched on
 * failure
 *
 * Returns and threads: as kms_list_aliases(), KMS_ERR_INVALID_ARGUMENT for a malformed id, and
 * KMS_ERR_KEY_NOT_FOUND. Since 0.1. Source: Alibaba Cloud KMS, ListAliasesByKeyId.
 */
KMS_API KMS_MUST_CHECK kms_status kms_list_aliases_by_key_id(kms_store *store, const char *key_id,
                                                             const char *marker,
                                                             kms_alias_info *aliases, size_t limit,
                                                             size_t *count, bool *more);

KMS_END_DECLS

#endif
