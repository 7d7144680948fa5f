/**
 * @file kms/key.h
 * Keys: making, describing, listing, enabling and disabling them.
 *
 * Calls that use or show a key take a key reference: a key id ("xxxxxxxx-xxxx-4xxx-yxxx-
 * xxxxxxxxxxxx", 36 characters) or an alias in full ("alias/MyAppKey"). Calls that change a key
 * take its id, because an alias may move under the caller.
 */
#ifndef KMS_KEY_H
#define KMS_KEY_H

#include <kms/base.h>
#include <kms/status.h>

/** Size of a key id as text, with its final NUL. */
#define KMS_KEY_ID_SIZE 37
/** Most versions that a key can have. */
#define KMS_KEY_VERSIONS_MAX 1500

KMS_BEGIN_DECLS

/** A key's state. Since 0.1. */
typedef enum kms_key_state {
    KMS_KEY_ENABLED = 1,
    KMS_KEY_DISABLED = 2,
    KMS_KEY_PENDING_DELETION = 3,
    KMS_KEY_PENDING_IMPORT = 4
} kms_key_state;

/** What kind of key it is. Since 0.1. */
typedef enum kms_key_spec {
    /** 256 bits of symmetric key material. */
    KMS_KEY_SPEC_SYMMETRIC_256 = 1
} kms_key_spec;

/** What a key may be used for. Since 0.1. */
typedef enum kms_key_usage { KMS_KEY_USAGE_ENCRYPT_DECRYPT = 1 } kms_key_usage;

/** Where a key's material comes from. Since 0.1. */
typedef enum kms_key_origin {
    /** libkms drew it. */
    KMS_KEY_ORIGIN_KMS = 1
} kms_key_origin;

/** How a version encrypts. Since 0.1. */
typedef enum kms_suite {
    /** The default: constant-time on every processor. */
    KMS_SUITE_XCHACHA20_POLY1305 = 1,
    /**
     * AES-256-GCM under a key derived for each message, with a 192-bit nonce like the other.
     * Faster where the processor has AES; builds without libcrypto have none of it.
     */
    KMS_SUITE_AES_256_GCM = 2
} kms_suite;

/** Options of kms_create_key(). Begin with KMS_CREATE_KEY_OPTIONS_INIT. Since 0.1. */
typedef struct kms_create_key_options {
    /** KMS_CREATE_KEY_OPTIONS_VERSION. */
    uint32_t version;
    kms_key_spec spec;
    kms_key_usage usage;
    kms_suite suite;
} kms_create_key_options;

#define KMS_CREATE_KEY_OPTIONS_VERSION 1u
#define KMS_CREATE_KEY_OPTIONS_INIT                                                                \
    {                                                                                              \
        KMS_CREATE_KEY_OPTIONS_VERSION, KMS_KEY_SPEC_SYMMETRIC_256, KMS_KEY_USAGE_ENCRYPT_DECRYPT, \
            KMS_SUITE_XCHACHA20_POLY1305                                                           \
    }

/**
 * CreateKey: makes a key with a fresh random first version, enabled.
 *
 * @param store        open store
 * @param options      NULL for the defaults; borrowed for the call
 * @param[out] key_id  the new key's id, NUL-terminated; untouched on failure
 *
 * @retval KMS_OK                    the key is durably there, for every process
 * @retval KMS_ERR_INVALID_ARGUMENT  NULL, unknown spec, usage or suite
 * @retval KMS_ERR_ABI               options of an unknown version
 * @retval KMS_ERR_UNSUPPORTED       the suite is not in this build
 * @retval KMS_ERR_READ_ONLY, KMS_ERR_BUSY, KMS_ERR_CONFLICT, KMS_ERR_COMMIT_UNKNOWN,
 *         KMS_ERR_FULL, KMS_ERR_STORAGE, KMS_ERR_STORE_REPLACED, KMS_ERR_ROLLBACK,
 *         KMS_ERR_CORRUPT, KMS_ERR_NEWER_FORMAT, KMS_ERR_NO_MEMORY, KMS_ERR_NOT_LOCKED,
 *         KMS_ERR_FORKED            nothing was made (COMMIT_UNKNOWN: perhaps)
 *
 * Threads: any number may share store. Since 0.1. Source: Alibaba Cloud KMS, CreateKey.
 */
KMS_API KMS_MUST_CHECK kms_status kms_create_key(kms_store *store,
                                                 const kms_create_key_options *options,
                                                 char key_id[KMS_KEY_ID_SIZE]);

/** What kms_describe_key() tells. Set version before the call. Since 0.1. */
typedef struct kms_key_info {
    /** Set by the caller: KMS_KEY_INFO_VERSION. */
    uint32_t version;
    kms_key_state state;
    kms_key_spec spec;
    kms_key_usage usage;
    kms_key_origin origin;
    /** Suite of the primary version. */
    kms_suite suite;
    /** Number of the version that encrypts. */
    uint32_t primary_version;
    /** Versions that the key has, 1 .. version_count. */
    uint32_t version_count;
    /** Milliseconds since 1970-01-01 UTC. */
    int64_t created_ms;
    char key_id[KMS_KEY_ID_SIZE];
} kms_key_info;

#define KMS_KEY_INFO_VERSION 1u

/**
 * DescribeKey: tells what a key is, in whatever state.
 *
 * @param store         open store
 * @param keyref        key id, or alias in full
 * @param[in,out] info  version set by the caller, the rest written; untouched on failure
 *
 * @retval KMS_OK
 * @retval KMS_ERR_INVALID_ARGUMENT     NULL, malformed keyref
 * @retval KMS_ERR_ABI                  info->version is unknown
 * @retval KMS_ERR_KEY_NOT_FOUND, KMS_ERR_ALIAS_NOT_FOUND
 * @retval KMS_ERR_STORAGE, KMS_ERR_BUSY, KMS_ERR_STORE_REPLACED, KMS_ERR_CORRUPT,
 *         KMS_ERR_NEWER_FORMAT, KMS_ERR_NO_MEMORY, KMS_ERR_FORKED
 *
 * Threads: any number may share store. Since 0.1. Source: Alibaba Cloud KMS, DescribeKey.
 */
KMS_API KMS_MUST_CHECK kms_status kms_describe_key(kms_store *store, const char *keyref,
                                                   kms_key_info *info);

/**
 * ListKeys: the ids of the store's keys, a page at a time, in the order of their ids.
 *
 * Each page is one snapshot; a key made between two pages may or may not be in the later one.
 *
 * @param store         open store
 * @param marker        NULL for the first page; else the last id of the page before
 * @param[out] key_ids  room for limit ids; of no meaning after a failure
 * @param limit         1 or more
 * @param[out] count    ids written; untouched on failure
 * @param[out] more     whether keys follow after this page; NULL if not wanted; untouched on
 * failure
 *
 * @retval KMS_OK
 * @retval KMS_ERR_INVALID_ARGUMENT  NULL, limit 0, malformed marker
 * @retval KMS_ERR_STORAGE, KMS_ERR_BUSY, KMS_ERR_STORE_REPLACED, KMS_ERR_NO_MEMORY,
 *         KMS_ERR_FORKED
 *
 * Threads: any number may share store. Since 0.1. Source: Alibaba Cloud KMS, ListKeys.
 */
KMS_API KMS_MUST_CHECK kms_status kms_list_keys(kms_store *store, const char *marker,
                                                char (*key_ids)[KMS_KEY_ID_SIZE], size_t limit,
                                                size_t *count, bool *more);

/**
 * EnableKey: lets a disabled key be used again. Enabling an enabled key changes nothing.
 *
 * @param store   open store
 * @param key_id  id of the key, not an alias
 *
 * @retval KMS_OK
 * @retval KMS_ERR_INVALID_ARGUMENT  NULL, malformed id, an alias
 * @retval KMS_ERR_KEY_NOT_FOUND
 * @retval KMS_ERR_INVALID_STATE     the key is pending deletion or import
 * @retval KMS_ERR_READ_ONLY, KMS_ERR_BUSY, KMS_ERR_CONFLICT, KMS_ERR_COMMIT_UNKNOWN,
 *         KMS_ERR_FULL, KMS_ERR_STORAGE, KMS_ERR_STORE_REPLACED, KMS_ERR_ROLLBACK,
 *         KMS_ERR_CORRUPT, KMS_ERR_NEWER_FORMAT, KMS_ERR_NO_MEMORY, KMS_ERR_NOT_LOCKED,
 *         KMS_ERR_FORKED
 *
 * Threads: any number may share store. Since 0.1. Source: Alibaba Cloud KMS, EnableKey.
 */
KMS_API KMS_MUST_CHECK kms_status kms_enable_key(kms_store *store, const char *key_id);

/**
 * DisableKey: refuses every use of a key, from the next call of every process on, until it is
 * enabled again. Its blobs stay as they are. Disabling a disabled key changes nothing.
 *
 * @param store   open store
 * @param key_id  id of the key, not an alias
 *
 * Returns and threads: as kms_enable_key(). Since 0.1. Source: Alibaba Cloud KMS, DisableKey.
 */
KMS_API KMS_MUST_CHECK kms_status kms_disable_key(kms_store *store, const char *key_id);

KMS_END_DECLS

#endif
