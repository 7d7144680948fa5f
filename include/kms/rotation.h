/**
 * @file kms/rotation.h
 * Automatic rotation: a new primary version of the same key, by a policy.
 *
 * A policy needs no daemon. The first encrypting call that meets a key whose rotation is due makes
 * the new version before it encrypts: kms_encrypt(), the calls that make data keys, batches that
 * encrypt, the beginning of a stream or an encrypted file, and re-encryption and rewrapping for their
 * destination. kms_derive_key() does so too where it is asked
 * for the primary version. Of all threads and processes one does so; the others use the
 * old version or the new one, and wait for nobody. Where it cannot be written (read-only, disk
 * full, a writer in the way) the call goes on under the old version; the handle tries again after a
 * minute, and kms_get_store_info() counts it. kms_rotate_due() rotates all keys that are due.
 *
 * The schedule runs from the policy's start, or the last automatic rotation; a rotation on demand
 * (kms_create_key_version()) does not move it. The policy of a key that is disabled or pending
 * deletion is suspended, and takes effect again when the key is enabled. Imported and
 * service-managed keys have no automatic rotation: they are rotated by moving an alias.
 *
 * A clock that is wrong does little harm: far ahead, it rotates once and not once for every interval
 * missed; set back, it does not rotate twice; dates that it left in the future are brought back to
 * the present without a new version.
 */
#ifndef KMS_ROTATION_H
#define KMS_ROTATION_H

#include <kms/key.h>

KMS_BEGIN_DECLS

/**
 * UpdateRotationPolicy: sets how often a key rotates by itself, or turns that off.
 * kms_describe_key() tells the policy, with its last and its next date.
 *
 * Turning it on starts the schedule now. Another interval leaves the schedule's start as it is, so
 * a shorter one may make the key due at once.
 *
 * @param store    open store
 * @param key_id   id of the key, not an alias
 * @param enabled  false: turn it off; the interval stays known
 * @param days     KMS_ROTATION_DAYS_MIN to KMS_ROTATION_DAYS_MAX; 0: the interval that it has
 *
 * @retval KMS_OK
 * @retval KMS_ERR_INVALID_ARGUMENT  NULL, malformed id, an alias, days out of their limits, or 0
 *                                   where a policy is turned on that has no interval
 * @retval KMS_ERR_KEY_NOT_FOUND
 * @retval KMS_ERR_DISABLED, KMS_ERR_PENDING_DELETION, KMS_ERR_PENDING_IMPORT
 * @retval KMS_ERR_UNSUPPORTED       the key is imported, service-managed or
 *                                   deterministic
 * @retval those of every change     see kms/status.h
 *
 * Threads: any number may share store. Since 0.2. Source: Alibaba Cloud KMS, UpdateRotationPolicy.
 */
KMS_API KMS_MUST_CHECK kms_status kms_update_rotation_policy(kms_store *store, const char *key_id,
                                                             bool enabled, uint32_t days);

/** What kms_rotate_due() did with one key. Its size is fixed. Since 0.2. */
typedef struct kms_rotation_result {
    char key_id[KMS_KEY_ID_SIZE];
    /** KMS_OK, or why the key was not rotated. */
    kms_status status;
    /** The new primary version; 0 if status is not KMS_OK, or if a date that lay in the future was
     *  brought back without a new version. */
    uint32_t key_version;
} kms_rotation_result;

/**
 * Rotates every key whose policy is due, each in a transaction of its own, and reports each: for
 * cron, and for administrators.
 *
 * @param store         open store
 * @param marker        NULL to begin; else the last key_id of the results before
 * @param[out] results  room for limit entries, one for each key that was due; of no meaning after
 *                      a failure
 * @param limit         1 or more
 * @param[out] count    entries written; untouched on failure
 * @param[out] more     keys behind the last result were not looked at yet: call again with that
 *                      marker; NULL if not wanted; untouched on failure
 *
 * @retval KMS_OK                    every due key up to the last result was tried: look at each
 *                                   status; kms_error_message() is about the last that failed
 * @retval KMS_ERR_INVALID_ARGUMENT  NULL, limit 0, malformed marker
 * @retval KMS_ERR_READ_ONLY
 * @retval those of every look       see kms/status.h
 *
 * Threads: any number may share store. Since 0.2.
 */
KMS_API KMS_MUST_CHECK kms_status kms_rotate_due(kms_store *store, const char *marker,
                                                 kms_rotation_result *results, size_t limit,
                                                 size_t *count, bool *more);

KMS_END_DECLS

#endif
