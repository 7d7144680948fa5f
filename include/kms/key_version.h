/**
 * @file kms/key_version.h
 * Key versions: rotating a key now, and looking at its generations.
 */
#ifndef KMS_KEY_VERSION_H
#define KMS_KEY_VERSION_H

#include <kms/key.h>

/** Bytes of a version's public commitment. */
#define KMS_COMMITMENT_SIZE 32

KMS_BEGIN_DECLS

/** A key version's state. Since 0.1. */
typedef enum kms_key_version_state {
    KMS_KEY_VERSION_ENABLED = 1,
    KMS_KEY_VERSION_DISABLED = 2,
    KMS_KEY_VERSION_DESTROY_SCHEDULED = 3,
    KMS_KEY_VERSION_DESTROYED = 4
} kms_key_version_state;

/** What is known of a key version. Its size is fixed: a later release uses what is reserved.
 *  Since 0.1. */
typedef struct kms_key_version_info {
    /** 1 .. version_count of the key. */
    uint32_t number;
    kms_key_version_state state;
    kms_suite suite;
    /** Whether new data is encrypted under it. */
    bool primary;
    /** Milliseconds since 1970-01-01 UTC. */
    int64_t created_ms;
    /** What stands in every blob of this version: names the material without revealing it. */
    uint8_t commitment[KMS_COMMITMENT_SIZE];
    /** Zero. */
    uint8_t reserved[64];
} kms_key_version_info;

/**
 * CreateKeyVersion (elsewhere "rotate key on demand"): gives a key fresh random material under the
 * next number, and makes that version the primary one.
 *
 * From when this returns, the next encryption of every process uses it; older versions go on
 * decrypting. The new version keeps the key's suite.
 *
 * @param store               open store
 * @param key_id              id of the key, not an alias
 * @param[out] version_number the new version's number; NULL if not wanted; untouched on failure
 *
 * @retval KMS_OK
 * @retval KMS_ERR_INVALID_ARGUMENT  NULL, malformed id, an alias
 * @retval KMS_ERR_KEY_NOT_FOUND
 * @retval KMS_ERR_DISABLED, KMS_ERR_PENDING_DELETION, KMS_ERR_PENDING_IMPORT
 * @retval KMS_ERR_LIMIT_EXCEEDED    it has KMS_KEY_VERSIONS_MAX: make a new key and move the alias
 * @retval KMS_ERR_UNSUPPORTED       the key's suite is not in this build
 * @retval KMS_ERR_READ_ONLY, KMS_ERR_BUSY, KMS_ERR_CONFLICT, KMS_ERR_COMMIT_UNKNOWN,
 *         KMS_ERR_FULL, KMS_ERR_STORAGE, KMS_ERR_STORE_REPLACED, KMS_ERR_ROLLBACK,
 *         KMS_ERR_CORRUPT, KMS_ERR_NEWER_FORMAT, KMS_ERR_NO_MEMORY, KMS_ERR_NOT_LOCKED,
 *         KMS_ERR_FORKED
 *
 * Threads: any number may share store. Since 0.1. Source: AWS KMS, RotateKeyOnDemand; Vault,
 * rotate.
 */
KMS_API KMS_MUST_CHECK kms_status kms_create_key_version(kms_store *store, const char *key_id,
                                                         uint32_t *version_number);

/**
 * DescribeKeyVersion: tells what one version of a key is.
 *
 * @param store      open store
 * @param keyref     key id, or alias in full
 * @param number     of the version; 0 for the primary one
 * @param[out] info  written whole; untouched on failure
 *
 * @retval KMS_OK
 * @retval KMS_ERR_INVALID_ARGUMENT  NULL, malformed keyref
 * @retval KMS_ERR_KEY_NOT_FOUND, KMS_ERR_ALIAS_NOT_FOUND, KMS_ERR_VERSION_NOT_FOUND
 * @retval KMS_ERR_STORAGE, KMS_ERR_BUSY, KMS_ERR_STORE_REPLACED, KMS_ERR_CORRUPT,
 *         KMS_ERR_NEWER_FORMAT, KMS_ERR_NO_MEMORY, KMS_ERR_NOT_LOCKED, KMS_ERR_FORKED
 *
 * Threads: any number may share store. Since 0.1. Source: Alibaba Cloud KMS, DescribeKeyVersion.
 */
KMS_API KMS_MUST_CHECK kms_status kms_describe_key_version(kms_store *store, const char *keyref,
                                                           uint32_t number,
                                                           kms_key_version_info *info);

/**
 * ListKeyVersions: a key's versions in the order of their numbers, a page at a time.
 *
 * @param store          open store
 * @param keyref         key id, or alias in full
 * @param after          0 for the first page; else the last number of the page before
 * @param[out] versions  room for limit entries; of no meaning after a failure
 * @param limit          1 or more
 * @param[out] count     entries written; untouched on failure
 * @param[out] more      whether versions follow after this page; NULL if not wanted; untouched on
 * failure
 *
 * @retval KMS_OK
 * @retval KMS_ERR_INVALID_ARGUMENT  NULL, limit 0, malformed keyref
 * @retval KMS_ERR_KEY_NOT_FOUND, KMS_ERR_ALIAS_NOT_FOUND
 * @retval KMS_ERR_STORAGE, KMS_ERR_BUSY, KMS_ERR_STORE_REPLACED, KMS_ERR_CORRUPT,
 *         KMS_ERR_NEWER_FORMAT, KMS_ERR_NO_MEMORY, KMS_ERR_NOT_LOCKED, KMS_ERR_FORKED
 *
 * Threads: any number may share store. Since 0.1. Source: Alibaba Cloud KMS, ListKeyVersions.
 */
KMS_API KMS_MUST_CHECK kms_status kms_list_key_versions(kms_store *store, const char *keyref,
                                                        uint32_t after,
                                                        kms_key_version_info *versions,
                                                        size_t limit, size_t *count, bool *more);

KMS_END_DECLS

#endif
