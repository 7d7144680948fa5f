/**
 * @file kms/deletion.h
 * Deleting keys: scheduled, cancellable, and carried out by a purge that names its key.
 *
 * Deleting a key makes everything that it encrypted unreadable for ever. So it is never done at
 * once, and never by time alone: kms_schedule_key_deletion() makes the key unusable and starts a
 * window; kms_cancel_key_deletion() takes it back; and only kms_purge_key(), which names the key and
 * finds its window over, destroys material. kms_find_keys() lists what is due.
 *
 * A key whose purge has begun answers KMS_ERR_INVALID_STATE to whatever would change it and is not
 * refused for its state already. What is left is to look at it, to take its aliases away, and to
 * finish the purge.
 *
 * Deletion is not erasure. An engine that writes elsewhere than it reads (LMDB) leaves the sealed
 * record in pages that it has not used again yet, and every backup has it; who has the root key can
 * open both. kms_copy_resealed() makes it complete: a copy of the store that never held the
 * destroyed record, under a new store key. Then delete the old files and the backups.
 */
#ifndef KMS_DELETION_H
#define KMS_DELETION_H

#include <kms/backend.h>
#include <kms/key.h>
#include <kms/root.h>

/** The window between scheduling a deletion and purging, days. Source: Alibaba Cloud KMS. */
#define KMS_DELETION_DAYS_MIN 7u
#define KMS_DELETION_DAYS_MAX 366u
#define KMS_DELETION_DAYS_DEFAULT 30u

KMS_BEGIN_DECLS

/**
 * ScheduleKeyDeletion: takes a key out of use, and lets kms_purge_key() destroy it after a window.
 *
 * @param store             open store
 * @param key_id            id of the key, not an alias
 * @param days              KMS_DELETION_DAYS_MIN to KMS_DELETION_DAYS_MAX; 0:
 *                          KMS_DELETION_DAYS_DEFAULT
 * @param[out] deletion_ms  when the window ends, milliseconds since 1970-01-01 UTC; NULL if not
 *                          wanted; untouched on failure
 *
 * @retval KMS_OK
 * @retval KMS_ERR_INVALID_ARGUMENT    NULL, malformed id, an alias, days out of their limits
 * @retval KMS_ERR_KEY_NOT_FOUND
 * @retval KMS_ERR_INVALID_STATE       it is scheduled already
 * @retval KMS_ERR_DELETION_PROTECTED  kms_set_deletion_protection() lifts it
 * @retval KMS_ERR_UNSUPPORTED         the key is service-managed
 * @retval those of every change       see kms/status.h
 *
 * Threads: any number may share store. Since 0.2. Source: Alibaba Cloud KMS, ScheduleKeyDeletion.
 */
KMS_API KMS_MUST_CHECK kms_status kms_schedule_key_deletion(kms_store *store, const char *key_id,
                                                            uint32_t days, int64_t *deletion_ms);

/**
 * CancelKeyDeletion: takes a scheduled deletion back, at any time before the purge. The key is
 * enabled or disabled, as it was before; or pending import, if its material has gone meanwhile.
 *
 * @param store   open store
 * @param key_id  id of the key, not an alias
 *
 * @retval KMS_OK
 * @retval KMS_ERR_INVALID_ARGUMENT  NULL, malformed id, an alias
 * @retval KMS_ERR_KEY_NOT_FOUND
 * @retval KMS_ERR_INVALID_STATE     no deletion is scheduled, or a purge has begun
 * @retval those of every change     see kms/status.h
 *
 * Threads: any number may share store. Since 0.2. Source: Alibaba Cloud KMS, CancelKeyDeletion.
 */
KMS_API KMS_MUST_CHECK kms_status kms_cancel_key_deletion(kms_store *store, const char *key_id);

/**
 * SetDeletionProtection: refuses kms_schedule_key_deletion(), and the destruction of versions, or
 * allows them again.
 *
 * @param store      open store
 * @param key_id     id of the key, not an alias
 * @param protect    true: protect it
 *
 * @retval KMS_OK
 * @retval KMS_ERR_INVALID_ARGUMENT  NULL, malformed id, an alias
 * @retval KMS_ERR_KEY_NOT_FOUND
 * @retval KMS_ERR_INVALID_STATE     the key is pending deletion
 * @retval those of every change     see kms/status.h
 *
 * Threads: any number may share store. Since 0.2. Source: Alibaba Cloud KMS, SetDeletionProtection.
 */
KMS_API KMS_MUST_CHECK kms_status kms_set_deletion_protection(kms_store *store, const char *key_id,
                                                              bool protect);

/**
 * Destroys a key whose window is over: its versions with their material, its aliases, tags and
 * description. There is no way back.
 *
 * A clock that has leapt must not destroy anything. So the caller says today's date, from elsewhere
 * than this machine's clock, and the window must be over by both.
 *
 * A key with many aliases or versions is destroyed in several transactions; if the process is killed
 * meanwhile, the key is of no use any more, and calling again finishes the work.
 *
 * @param store     open store
 * @param key_id    id of the key, not an alias
 * @param today_ms  today's date, milliseconds since 1970-01-01 UTC; within a day of the store's
 *                  clock
 *
 * @retval KMS_OK                    the key is gone: see "Deletion is not erasure" above
 * @retval KMS_ERR_INVALID_ARGUMENT  NULL, malformed id, an alias, a date more than a day from the
 *                                   store's clock
 * @retval KMS_ERR_KEY_NOT_FOUND
 * @retval KMS_ERR_INVALID_STATE     no deletion is scheduled, or its window is not over by both
 *                                   dates
 * @retval those of every change     see kms/status.h
 *
 * Threads: any number may share store. Since 0.2.
 */
KMS_API KMS_MUST_CHECK kms_status kms_purge_key(kms_store *store, const char *key_id,
                                                int64_t today_ms);

/**
 * Makes a compact copy of a store under a new store key: what was destroyed is not in it, and
 * neither the old store key nor old copies of its records open in it.
 *
 * The copy has the same store id and content, and the next store-key generation. It is read from
 * one snapshot, which is verified first, as by kms_verify(): what was tampered with is not copied.
 * For an LMDB store: close every handle of the old store, rename() the copy into its place and delete
 * the old file and its backups (shred(1), or the whole disk, if the medium allows).
 * If this call fails or is killed, delete what stands at the target. Changes by this handle wait until
 * the copy is made; other handles and processes go on.
 *
 * @param store   open store, which stays as it is
 * @param target  an engine where no store is yet; taken over whatever this call returns
 * @param root    what will unlock the copy: the same root key, or another; taken over, wiped and
 *                freed before this call returns, whatever it returns
 *
 * @retval KMS_OK                    the copy is durably there, and closed
 * @retval KMS_ERR_INVALID_ARGUMENT  NULL
 * @retval KMS_ERR_ALREADY_EXISTS    a store is at the target; it is left as it is
 * @retval KMS_ERR_CORRUPT           the store was damaged or tampered with; nothing was made
 * @retval KMS_ERR_ABI               an engine or provider of another version
 * @retval those of every look and every change, and of kms_open() for the target
 *
 * Threads: any number may share store; target and root must be this call's alone. Since 0.2.
 */
KMS_API KMS_MUST_CHECK kms_status kms_copy_resealed(kms_store *store, kms_backend *target,
                                                    kms_root *root);

KMS_END_DECLS

#endif
