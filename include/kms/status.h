/**
 * @file kms/status.h
 * What a call answers: a status that a program can act on, and a sentence that a person can act on.
 */
#ifndef KMS_STATUS_H
#define KMS_STATUS_H

#include <kms/base.h>

/**
 * Every status: its name, its number (fixed for ever) and what it means.
 *
 * Statuses of a blob follow one order of precedence, whatever else is wrong with it:
 * arguments and sizes; NEWER_FORMAT; INVALID_CIPHERTEXT, if it is no whole blob; INCORRECT_KEY;
 * KEY_NOT_FOUND; the key's state (DISABLED, PENDING_DELETION, PENDING_IMPORT); the version:
 * INVALID_CIPHERTEXT if the key has none of that number, then its own state (DISABLED,
 * PENDING_DELETION, DESTROYED, PENDING_IMPORT), then UNSUPPORTED; and INVALID_CIPHERTEXT for the
 * rest.
 */
#define KMS_STATUS_TABLE(X)                                                                        \
    X(KMS_OK, 0, "the call did what it says")                                                      \
    X(KMS_ERR_INVALID_ARGUMENT, 1, "an argument is missing, malformed or out of its limits")       \
    X(KMS_ERR_BUFFER_TOO_SMALL, 2, "the caller's buffer is smaller than the call needs")           \
    X(KMS_ERR_NO_MEMORY, 3, "memory could not be had")                                             \
    X(KMS_ERR_NOT_LOCKED, 4, "secret memory could not be locked, and the options demand it")       \
    X(KMS_ERR_NOT_FOUND, 5, "no store, file or record is there")                                   \
    X(KMS_ERR_KEY_NOT_FOUND, 6, "the store has no key with this id")                               \
    X(KMS_ERR_ALIAS_NOT_FOUND, 7, "the store has no alias with this name")                         \
    X(KMS_ERR_VERSION_NOT_FOUND, 8, "the key has no version with this number")                     \
    X(KMS_ERR_ALREADY_EXISTS, 9, "what should be made or brought in is already there")             \
    X(KMS_ERR_DISABLED, 10, "the key is disabled")                                                 \
    X(KMS_ERR_PENDING_DELETION, 11, "the key is scheduled for deletion")                           \
    X(KMS_ERR_PENDING_IMPORT, 12, "the key waits for its material to be imported")                 \
    X(KMS_ERR_INVALID_STATE, 13, "the key's state does not allow this change")                     \
    X(KMS_ERR_LIMIT_EXCEEDED, 14, "a limit of the store, the key or the call is reached")          \
    X(KMS_ERR_UNSUPPORTED, 15, "this build, key or file system cannot do it")                      \
    X(KMS_ERR_INVALID_CIPHERTEXT, 16, "the blob is not whole, not authentic, or of other context") \
    X(KMS_ERR_INCORRECT_KEY, 17, "the blob was made by another key than the one expected")         \
    X(KMS_ERR_NEWER_FORMAT, 18, "a newer libkms wrote this; this one cannot read it")              \
    X(KMS_ERR_WRONG_ROOT_KEY, 19, "this root key or passphrase does not unlock the store")         \
    X(KMS_ERR_NOT_A_STORE, 20, "the file or database is not a libkms store")                       \
    X(KMS_ERR_CORRUPT, 21, "the store is damaged or was tampered with")                            \
    X(KMS_ERR_STORE_REPLACED, 22, "another store stands where this one was opened: open it again") \
    X(KMS_ERR_ROLLBACK, 23, "the store went back to an older content than this handle has seen")   \
    X(KMS_ERR_READ_ONLY, 24, "the store is open for reading only")                                 \
    X(KMS_ERR_BUSY, 25, "another writer held the store, or the file, for too long")                \
    X(KMS_ERR_CONFLICT, 26, "other writers kept winning: try again")                               \
    X(KMS_ERR_COMMIT_UNKNOWN, 27,                                                                  \
      "the change may or may not have been made: look before retrying")                            \
    X(KMS_ERR_FULL, 28, "the disk or the store's map is full")                                     \
    X(KMS_ERR_STORAGE, 29, "the storage engine failed")                                            \
    X(KMS_ERR_FORKED, 30, "the store was opened, or the root made, before fork(): do it anew")     \
    X(KMS_ERR_ABI, 31, "an engine, provider or options struct was built for another version")      \
    X(KMS_ERR_DESTROYED, 32, "the key version was destroyed: nothing opens what it encrypted")     \
    X(KMS_ERR_INVALID_IMPORT, 33, "token or wrapped material is not whole, or is another key's")   \
    X(KMS_ERR_EXPIRED, 34, "the import token's 24 hours are over")                                 \
    X(KMS_ERR_INCORRECT_MATERIAL, 35, "the material is another one than the key had")              \
    X(KMS_ERR_DELETION_PROTECTED, 36, "the key is protected from deletion")                        \
    X(KMS_ERR_FILE, 37, "a file could not be read or written")                                     \
    X(KMS_ERR_CHANGED, 38, "the source changed while it was read")                                 \
    X(KMS_ERR_CANCELLED, 39, "the caller's progress function ended the call")

/*
 * Statuses of every change. A call that changes the store may answer, beside what its own comment
 * lists: KMS_ERR_READ_ONLY, KMS_ERR_BUSY, KMS_ERR_CONFLICT, KMS_ERR_FULL, KMS_ERR_STORAGE,
 * KMS_ERR_STORE_REPLACED, KMS_ERR_ROLLBACK, KMS_ERR_CORRUPT, KMS_ERR_NEWER_FORMAT,
 * KMS_ERR_NO_MEMORY, KMS_ERR_NOT_LOCKED and KMS_ERR_FORKED, and has changed nothing then; and
 * KMS_ERR_COMMIT_UNKNOWN, when perhaps it has.
 *
 * Statuses of every look. A call that only reads the store may answer: KMS_ERR_STORAGE,
 * KMS_ERR_BUSY, KMS_ERR_STORE_REPLACED, KMS_ERR_CORRUPT, KMS_ERR_NEWER_FORMAT, KMS_ERR_NO_MEMORY,
 * KMS_ERR_NOT_LOCKED and KMS_ERR_FORKED.
 *
 * Beside the statuses that a call lists, an engine of a fleet may make any call that reads the
 * store answer KMS_ERR_CONFLICT, and one that runs out of room for readers KMS_ERR_LIMIT_EXCEEDED.
 */

KMS_BEGIN_DECLS

/** A call's answer: KMS_OK (0) or one KMS_ERR_ of KMS_STATUS_TABLE. Since 0.1. */
typedef enum kms_status {
#define KMS_STATUS_ENUMERATOR(name, number, sentence) name = number,
    KMS_STATUS_TABLE(KMS_STATUS_ENUMERATOR)
#undef KMS_STATUS_ENUMERATOR
} kms_status;

/**
 * The status' own name, "KMS_ERR_DISABLED".
 *
 * @param status  any value
 * @return a constant string; "KMS_ERR_?" for a number that is none of ours. Threads: any. Since
 * 0.1.
 */
KMS_API const char *kms_status_name(kms_status status);

/**
 * What the status means in general, without the object that it met.
 *
 * @param status  any value
 * @return a constant string, never NULL. Threads: any. Since 0.1.
 */
KMS_API const char *kms_status_sentence(kms_status status);

/**
 * The calling thread's last failure as a sentence that names the object and the way out.
 *
 * A call that succeeds leaves it as it is, so ask only after a failure. It never holds secret
 * data. Recording it allocates nothing.
 *
 * @return the thread's own buffer, valid until its next failing call; "" before any failure.
 *         Threads: each has its own. Since 0.1.
 */
KMS_API const char *kms_error_message(void);

/**
 * The status that belongs to kms_error_message().
 *
 * @return the calling thread's last failing status, KMS_OK before any. Threads: each its own.
 *         Since 0.1.
 */
KMS_API kms_status kms_error_status(void);

/**
 * Records a failure for kms_error_message(): for authors of engines, root providers and stream ios.
 *
 * The more specific message wins: pass a status that you were handed on as it is, without
 * recording it again. Messages longer than 511 bytes are cut.
 *
 * @param status  what to return; KMS_OK records nothing
 * @param format  as for printf(), never NULL and never with secret data in it
 * @return status, so that `return kms_set_error(...)` reads well. Threads: each its own. Since 0.1.
 */
KMS_API kms_status kms_set_error(kms_status status, const char *format, ...) KMS_PRINTF(2, 3);

KMS_END_DECLS

#endif
