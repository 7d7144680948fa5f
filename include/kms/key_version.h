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
    /** Its blobs do not open until it is enabled again. */
    KMS_KEY_VERSION_DISABLED = 2,
    /** Its blobs answer KMS_ERR_PENDING_DELETION, and kms_purge_key_version() may destroy it once
     *  its window is over. */
    KMS_KEY_VERSION_DESTROY_SCHEDULED = 3,
    /** Its material is gone for good. */
    KMS_KEY_VERSION_DESTROYED = 4,
    /** Its imported material has expired or was deleted; the same material may come back. */
    KMS_KEY_VERSION_PENDING_IMPORT = 5
} kms_key_version_state;

/** How a version came by its material. Since 0.2. */
typedef enum kms_material_source {
    /** It waits for its first import. */
    KMS_MATERIAL_NONE = 0,
    /** libkms drew it. */
    KMS_MATERIAL_DRAWN = 1,
    /** Imported in a sealed box. */
    KMS_MATERIAL_SEALED_BOX = 2,
    /** Imported under RSA-OAEP. */
    KMS_MATERIAL_RSA_OAEP = 3,
    /** Imported as raw bytes, which were in the clear somewhere. */
    KMS_MATERIAL_RAW = 4
} kms_material_source;

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
    /** Since 0.2: until when imported material may be used; 0: for ever. */
    int64_t expires_ms;
    /** Since 0.2: from when on kms_purge_key_version() may destroy it; 0: it is not scheduled. */
    int64_t destroy_ms;
    /** Since 0.2: when it last encrypted and decrypted, to the hour, as far as it was recorded (see
     *  kms_flush_last_use()); 0: never. */
    int64_t last_encrypt_ms;
    int64_t last_decrypt_ms;
    /** Since 0.2. */
    kms_material_source source;
    /** Since 0.2: below the key's lowest version, and so not decrypting. */
    bool retired;
    /** Zero. */
    uint8_t reserved[24];
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
 * @retval KMS_ERR_UNSUPPORTED       the key is imported, service-managed or
 *                                   deterministic: make a new key and move
 *                                   the alias; or its suite is not in this build
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

/**
 * Makes another enabled version of a key the primary one: a bad rotation is undone, or done again.
 *
 * From when it returns, the next encryption of every process uses it. Nothing else changes: what
 * the former primary version encrypted goes on opening.
 *
 * @param store   open store
 * @param key_id  id of the key, not an alias
 * @param number  of the version
 *
 * @retval KMS_OK                    also if it is the primary version already
 * @retval KMS_ERR_INVALID_ARGUMENT  NULL, malformed id, an alias
 * @retval KMS_ERR_KEY_NOT_FOUND, KMS_ERR_VERSION_NOT_FOUND
 * @retval KMS_ERR_INVALID_STATE     the version is not enabled, has no material, or is below the
 *                                   key's minimum version; a window follows, and refuses none
 * @retval KMS_ERR_UNSUPPORTED       the key is service-managed
 * @retval those of every change     see kms/status.h
 *
 * Threads: any number may share store. Since 0.2. Source: Google Cloud KMS, updatePrimaryVersion.
 */
KMS_API KMS_MUST_CHECK kms_status kms_update_primary_version(kms_store *store, const char *key_id,
                                                             uint32_t number);

/**
 * Disables one version: its blobs answer KMS_ERR_DISABLED from the next call of every process on,
 * until it is enabled again. The first step of retiring it, and reversible.
 *
 * @param store   open store
 * @param key_id  id of the key, not an alias
 * @param number  of the version, which is not the primary one
 *
 * @retval KMS_OK                    also if it is disabled already
 * @retval KMS_ERR_INVALID_ARGUMENT  NULL, malformed id, an alias
 * @retval KMS_ERR_KEY_NOT_FOUND, KMS_ERR_VERSION_NOT_FOUND
 * @retval KMS_ERR_INVALID_STATE     it is the primary version, or scheduled to be destroyed, or
 *                                   destroyed
 * @retval KMS_ERR_UNSUPPORTED       the key is service-managed
 * @retval those of every change     see kms/status.h
 *
 * Threads: any number may share store. Since 0.2. Source: Google Cloud KMS, key version states.
 */
KMS_API KMS_MUST_CHECK kms_status kms_disable_key_version(kms_store *store, const char *key_id,
                                                          uint32_t number);

/**
 * Enables a disabled version again.
 *
 * Parameters, returns and threads: as kms_disable_key_version(). Since 0.2.
 */
KMS_API KMS_MUST_CHECK kms_status kms_enable_key_version(kms_store *store, const char *key_id,
                                                         uint32_t number);

/**
 * Sets the lowest version of a key that decrypts. Lower ones answer KMS_ERR_DISABLED, from the next
 * call of every process on; lowering it again brings them back.
 *
 * @param store    open store
 * @param key_id   id of the key, not an alias
 * @param minimum  1 to the primary version's number; 0: none
 * @param window   the primary version and so many before it decrypt, whichever the primary version
 *                 is; 0: no window. Where both are given, the higher bound holds
 *
 * @retval KMS_OK
 * @retval KMS_ERR_INVALID_ARGUMENT  NULL, malformed id, an alias, a minimum above the primary
 *                                   version, a window of KMS_KEY_VERSIONS_MAX or more
 * @retval KMS_ERR_KEY_NOT_FOUND
 * @retval KMS_ERR_INVALID_STATE     a purge of the key has begun
 * @retval KMS_ERR_UNSUPPORTED       the key is service-managed
 * @retval those of every change     see kms/status.h
 *
 * Threads: any number may share store. Since 0.2. Source: Vault, min_decryption_version.
 */
KMS_API KMS_MUST_CHECK kms_status kms_set_minimum_version(kms_store *store, const char *key_id,
                                                          uint32_t minimum, uint32_t window);

/**
 * Schedules one version to be destroyed. It decrypts no more from now on, and nothing is destroyed
 * until kms_purge_key_version() is called after the window; kms_cancel_key_version_destruction()
 * undoes it.
 *
 * Look at its last use first (kms_describe_key_version()), and re-encrypt what it encrypted: last
 * use is recorded at most once an hour and may miss some.
 *
 * @param store             open store
 * @param key_id            id of the key, not an alias
 * @param number            of the version, which is not the primary one
 * @param days              the window, KMS_DELETION_DAYS_MIN to KMS_DELETION_DAYS_MAX; 0:
 *                          KMS_DELETION_DAYS_DEFAULT (kms/deletion.h)
 * @param[out] destroy_ms   when the window ends; NULL if not wanted; untouched on failure
 *
 * @retval KMS_OK
 * @retval KMS_ERR_INVALID_ARGUMENT     NULL, malformed id, an alias, days
 * @retval KMS_ERR_KEY_NOT_FOUND, KMS_ERR_VERSION_NOT_FOUND
 * @retval KMS_ERR_INVALID_STATE        it is the primary version, scheduled already, or destroyed
 * @retval KMS_ERR_DELETION_PROTECTED
 * @retval KMS_ERR_UNSUPPORTED          the key is service-managed
 * @retval those of every change        see kms/status.h
 *
 * Threads: any number may share store. Since 0.2. Source: Google Cloud KMS, destroy.
 */
KMS_API KMS_MUST_CHECK kms_status kms_schedule_key_version_destruction(
    kms_store *store, const char *key_id, uint32_t number, uint32_t days, int64_t *destroy_ms);

/**
 * Takes a scheduled destruction back: the version is enabled or disabled, as it was before.
 *
 * @param store   open store
 * @param key_id  id of the key, not an alias
 * @param number  of the version
 *
 * @retval KMS_OK
 * @retval KMS_ERR_INVALID_ARGUMENT  NULL, malformed id, an alias
 * @retval KMS_ERR_KEY_NOT_FOUND, KMS_ERR_VERSION_NOT_FOUND
 * @retval KMS_ERR_INVALID_STATE     it is not scheduled to be destroyed
 * @retval KMS_ERR_UNSUPPORTED       the key is service-managed
 * @retval those of every change     see kms/status.h
 *
 * Threads: any number may share store. Since 0.2. Source: Google Cloud KMS, restore.
 */
KMS_API KMS_MUST_CHECK kms_status kms_cancel_key_version_destruction(kms_store *store,
                                                                     const char *key_id,
                                                                     uint32_t number);

/**
 * Destroys the material of one version whose window is over, for good. What it encrypted answers
 * KMS_ERR_DESTROYED from then on. Read about erasure in kms/deletion.h.
 *
 * @param store     open store
 * @param key_id    id of the key, not an alias
 * @param number    of the version
 * @param today_ms  today's date, as kms_purge_key() wants it
 *
 * @retval KMS_OK
 * @retval KMS_ERR_INVALID_ARGUMENT  NULL, malformed id, an alias, a date more than a day from the
 *                                   store's clock
 * @retval KMS_ERR_KEY_NOT_FOUND, KMS_ERR_VERSION_NOT_FOUND
 * @retval KMS_ERR_INVALID_STATE     it is not scheduled, or its window is not over by both dates
 * @retval KMS_ERR_DELETION_PROTECTED  the key was protected meanwhile
 * @retval KMS_ERR_UNSUPPORTED       the key is service-managed
 * @retval those of every change     see kms/status.h
 *
 * Threads: any number may share store. Since 0.2.
 */
KMS_API KMS_MUST_CHECK kms_status kms_purge_key_version(kms_store *store, const char *key_id,
                                                        uint32_t number, int64_t today_ms);

/**
 * Writes down which versions this handle has used, and when to the hour, for
 * kms_describe_key_version() and kms_list_key_versions().
 *
 * Encrypting and decrypting only note it in memory. Call this now and then (once an hour is enough,
 * more often writes nothing); kms_close() does it too, if the store is not busy. A process that is
 * killed loses what it noted, and so do keys that leave the cache by the thousand in between: the
 * date of a last use may be too old. With a right clock it is never too new. A clock that is ahead
 * leaves a date in the future, which errs on the safe side: the version looks used.
 *
 * @param store  open store
 *
 * @retval KMS_OK                 also if there was nothing to write
 * @retval those of every change  see kms/status.h; KMS_ERR_BUSY at once if somebody else is writing
 *
 * Threads: any number may share store. Since 0.2. Source: AWS KMS, GetKeyLastUsage.
 */
KMS_API KMS_MUST_CHECK kms_status kms_flush_last_use(kms_store *store);

/**
 * Tells whether a blob was made under another key or version than the one that encrypts now under a
 * key reference: whether it is time to re-encrypt it.
 *
 * A rotation that is due and that nobody has made yet does not count: kms_rotate_due() makes it.
 *
 * It looks at what the blob says of itself, which is not proven, and opens nothing: the key may be
 * in any state. examples/reencrypt_table goes through a database with it.
 *
 * @param store       open store
 * @param keyref      key id, or alias in full
 * @param blob        the blob
 * @param blob_len    bytes
 * @param[out] stale  untouched on failure
 *
 * @retval KMS_OK
 * @retval KMS_ERR_INVALID_ARGUMENT    NULL, malformed keyref
 * @retval KMS_ERR_NEWER_FORMAT        a newer libkms made the blob
 * @retval KMS_ERR_INVALID_CIPHERTEXT  it is no blob
 * @retval KMS_ERR_KEY_NOT_FOUND, KMS_ERR_ALIAS_NOT_FOUND
 * @retval those of every look         see kms/status.h
 *
 * Threads: any number may share store. Since 0.2.
 */
KMS_API KMS_MUST_CHECK kms_status kms_blob_is_stale(kms_store *store, const char *keyref,
                                                    const void *blob, size_t blob_len, bool *stale);

KMS_END_DECLS

#endif
