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

/** What a key may be used for. Chosen when it is made, and never changed. Since 0.1. */
typedef enum kms_key_usage {
    /** Encrypting, data keys, derived keys, blind indexes. */
    KMS_KEY_USAGE_ENCRYPT_DECRYPT = 1,
    /**
     * kms_encrypt_deterministic() and nothing else. Such a key has one version for ever: with another,
     * what was equal would come to differ. Moving an alias rotates it. Since 0.2.
     */
    KMS_KEY_USAGE_DETERMINISTIC = 2
} kms_key_usage;

/** Where a key's material comes from. Since 0.1. */
typedef enum kms_key_origin {
    /** libkms drew it. */
    KMS_KEY_ORIGIN_KMS = 1,
    /** It is imported ("bring your own key"): see kms/import.h. Since 0.2. */
    KMS_KEY_ORIGIN_EXTERNAL = 2
} kms_key_origin;

/** Who made a key. Since 0.2. */
typedef enum kms_key_creator {
    /** kms_create_key() or kms_ensure_alias(). */
    KMS_KEY_CREATOR_USER = 1,
    /** kms_service_key(): users cannot disable, delete or rotate it. See kms/service.h. */
    KMS_KEY_CREATOR_SERVICE = 2
} kms_key_creator;

/** Whether a key rotates by itself. Since 0.2. */
typedef enum kms_rotation_state {
    /** It has no policy, or one that is turned off. */
    KMS_ROTATION_DISABLED = 0,
    KMS_ROTATION_ENABLED = 1,
    /** It has a policy, which rests while the key is disabled or pending deletion. */
    KMS_ROTATION_SUSPENDED = 2
} kms_rotation_state;

/** A tag: a name of 1 to 128 bytes and a value of 0 to 256. Since 0.2. */
typedef struct kms_tag {
    /** NUL-terminated. */
    const char *name;
    /** NUL-terminated, may be empty. */
    const char *value;
} kms_tag;

/** Longest description of a key, bytes. */
#define KMS_DESCRIPTION_MAX 8192
/** Most tags that a key can have. */
#define KMS_TAGS_MAX 20
/** Shortest and longest interval of automatic rotation, days. */
#define KMS_ROTATION_DAYS_MIN 7u
#define KMS_ROTATION_DAYS_MAX 730u

/** How a version encrypts. Since 0.1. */
typedef enum kms_suite {
    /** The default: constant-time on every processor. */
    KMS_SUITE_XCHACHA20_POLY1305 = 1,
    /**
     * AES-256-GCM under a key derived from half of a 192-bit nonce, for one message or a run.
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
    /* Members above exist since version 1, those below since version 2. */
    /** KMS_KEY_ORIGIN_EXTERNAL: the key waits, PendingImport, for its material. */
    kms_key_origin origin;
    /** Automatic rotation, KMS_ROTATION_DAYS_MIN to KMS_ROTATION_DAYS_MAX; 0: none. */
    uint32_t rotation_days;
    /** Protected from deletion at once. */
    bool deletion_protected;
    /** NUL-terminated, to KMS_DESCRIPTION_MAX bytes; NULL: none. */
    const char *description;
    /** tag_count of them, to KMS_TAGS_MAX, no name twice; NULL: none. */
    const kms_tag *tags;
    size_t tag_count;
} kms_create_key_options;

#define KMS_CREATE_KEY_OPTIONS_VERSION 2u
#define KMS_CREATE_KEY_OPTIONS_INIT                                                                \
    {                                                                                              \
        KMS_CREATE_KEY_OPTIONS_VERSION, KMS_KEY_SPEC_SYMMETRIC_256, KMS_KEY_USAGE_ENCRYPT_DECRYPT, \
            KMS_SUITE_XCHACHA20_POLY1305, KMS_KEY_ORIGIN_KMS, 0, false, NULL, NULL, 0              \
    }

/**
 * CreateKey: makes a key with a fresh random first version, enabled; or, of external origin, one
 * that waits for its material.
 *
 * @param store        open store
 * @param options      NULL for the defaults; borrowed for the call
 * @param[out] key_id  the new key's id, NUL-terminated; untouched on failure
 *
 * @retval KMS_OK                    the key is durably there, for every process
 * @retval KMS_ERR_INVALID_ARGUMENT  NULL, unknown spec, usage, suite or origin, rotation_days,
 *                                   description or tags out of their limits
 * @retval KMS_ERR_ABI               options of an unknown version
 * @retval KMS_ERR_UNSUPPORTED       the suite is not in this build; automatic rotation of imported
 *                                   material, or of a deterministic key
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
    /** Suite of the primary version, which is the one that new data gets. */
    kms_suite suite;
    /** Number of the version that encrypts; of an external key at first 1, which waits for its
     *  material. */
    uint32_t primary_version;
    /** Versions that the key has, 1 .. version_count. */
    uint32_t version_count;
    /** Milliseconds since 1970-01-01 UTC. */
    int64_t created_ms;
    char key_id[KMS_KEY_ID_SIZE];
    /* Members above exist since version 1, those below since version 2. Dates are milliseconds
     * since 1970-01-01 UTC, and 0 is none. */
    kms_key_creator creator;
    /** kms_schedule_key_deletion() is refused. */
    bool deletion_protected;
    kms_rotation_state rotation;
    /** The policy's interval, also while it is turned off; 0: the key never had one. */
    uint32_t rotation_days;
    /** When a policy last made a version. */
    int64_t last_rotation_ms;
    /** When the policy is due next; also while it is suspended. */
    int64_t next_rotation_ms;
    /** Since when the key, which is pending deletion, may be purged. */
    int64_t deletion_ms;
    /** Until when the primary version's imported material may be used. */
    int64_t material_expires_ms;
    /** As kms_set_minimum_version() set them; 0: not at all. */
    uint32_t minimum_version;
    uint32_t version_window;
    /** The lowest version that decrypts, after both. */
    uint32_t lowest_version;
} kms_key_info;

#define KMS_KEY_INFO_VERSION 2u

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
 * kms_find_keys() does the same for some of them.
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

/** Which keys kms_find_keys() wants: those for which every member that is not 0 or NULL holds.
 *  Begin with KMS_KEY_FILTER_INIT. Since 0.2. */
typedef struct kms_key_filter {
    /** KMS_KEY_FILTER_VERSION. */
    uint32_t version;
    /** Any of these states: KMS_FILTER_BIT() of each, joined by |. */
    uint32_t states;
    /** Any of these origins: the same. */
    uint32_t origins;
    /** Any of these creators: the same. */
    uint32_t creators;
    /** Has a tag of this name ... */
    const char *tag_name;
    /** ... and of this value; only with tag_name. */
    const char *tag_value;
    /** Has an alias whose name in full begins so: "alias/payments/". */
    const char *alias_prefix;
    /** Its own deletion is due now, or that of one of its versions: what kms_purge_key() and
     *  kms_purge_key_version() would destroy. */
    bool purge_due;
} kms_key_filter;

#define KMS_KEY_FILTER_VERSION 1u
#define KMS_KEY_FILTER_INIT                                                                        \
    {                                                                                              \
        KMS_KEY_FILTER_VERSION, 0, 0, 0, NULL, NULL, NULL, false                                   \
    }
#define KMS_FILTER_BIT(value) (1u << (unsigned)(value))

/**
 * ListKeys with filters: the ids of the keys that a filter wants, a page at a time, in the order of
 * their ids. It looks at every key behind the marker until the page is full.
 *
 * @param store         open store
 * @param filter        borrowed for the call; NULL: every key
 * @param marker        NULL for the first page; else the last id of the page before
 * @param[out] key_ids  room for limit ids; of no meaning after a failure
 * @param limit         1 or more
 * @param[out] count    ids written; untouched on failure
 * @param[out] more     whether wanted keys follow after this page; NULL if not wanted; untouched
 *                      on failure
 *
 * @retval KMS_OK
 * @retval KMS_ERR_INVALID_ARGUMENT  NULL, limit 0, malformed marker, tag_value without tag_name, an
 *                                   alias_prefix that no alias can begin with, a bit of no meaning
 * @retval KMS_ERR_ABI               filter->version is unknown
 * @retval those of every look       see kms/status.h
 *
 * Threads: any number may share store. Since 0.2. Source: Alibaba Cloud KMS, ListKeys with Filters.
 */
KMS_API KMS_MUST_CHECK kms_status kms_find_keys(kms_store *store, const kms_key_filter *filter,
                                                const char *marker,
                                                char (*key_ids)[KMS_KEY_ID_SIZE], size_t limit,
                                                size_t *count, bool *more);

/**
 * UpdateKeyDescription: gives a key another description.
 *
 * @param store        open store
 * @param key_id       id of the key, not an alias
 * @param description  NUL-terminated, to KMS_DESCRIPTION_MAX bytes; NULL or "": none
 *
 * @retval KMS_OK
 * @retval KMS_ERR_INVALID_ARGUMENT  malformed id, an alias, a description that is too long
 * @retval KMS_ERR_KEY_NOT_FOUND
 * @retval KMS_ERR_PENDING_DELETION  the key is scheduled for deletion
 * @retval those of every change     see kms/status.h
 *
 * Threads: any number may share store. Since 0.2. Source: Alibaba Cloud KMS, UpdateKeyDescription.
 */
KMS_API KMS_MUST_CHECK kms_status kms_update_key_description(kms_store *store, const char *key_id,
                                                             const char *description);

/**
 * Tells a key's description, which kms_describe_key() has no room for.
 *
 * @param store             open store
 * @param keyref            key id, or alias in full
 * @param[out] description  NUL-terminated, "" if there is none; untouched on failure
 * @param size              of the buffer; KMS_DESCRIPTION_MAX + 1 always suffices
 *
 * @retval KMS_OK
 * @retval KMS_ERR_INVALID_ARGUMENT   NULL, malformed keyref
 * @retval KMS_ERR_BUFFER_TOO_SMALL
 * @retval KMS_ERR_KEY_NOT_FOUND, KMS_ERR_ALIAS_NOT_FOUND
 * @retval those of every look        see kms/status.h
 *
 * Threads: any number may share store. Since 0.2.
 */
KMS_API KMS_MUST_CHECK kms_status kms_get_key_description(kms_store *store, const char *keyref,
                                                          char *description, size_t size);

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
 * @retval KMS_ERR_UNSUPPORTED       the key is service-managed (disabling only)
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
