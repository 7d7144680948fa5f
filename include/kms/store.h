/**
 * @file kms/store.h
 * Opening, closing and looking after a store.
 */
#ifndef KMS_STORE_H
#define KMS_STORE_H

#include <kms/backend.h>
#include <kms/base.h>
#include <kms/clock.h>
#include <kms/root.h>
#include <kms/status.h>

/** kms_open(): make the store if there is none. Without it a mistyped path makes nothing. */
#define KMS_OPEN_CREATE 1u
/** kms_open(): the store must not be there yet (only with KMS_OPEN_CREATE). */
#define KMS_OPEN_EXCLUSIVE 2u
/** kms_open(): calls that change anything answer KMS_ERR_READ_ONLY. */
#define KMS_OPEN_READ_ONLY 4u
/** kms_open(): nobody writes to this copy (read-only media): read without locks.
 *  Implies KMS_OPEN_READ_ONLY. If somebody does write, reads may be wrong. */
#define KMS_OPEN_FROZEN 8u
/** kms_open() and every later call (importing under RSA, too): fail with KMS_ERR_NOT_LOCKED rather than keep a secret in
 *  memory that could not be locked. Where no more can be locked, the cache holds fewer keys than
 *  cache_entries, and a call fails only if threads use all of them at that moment. A root that
 *  was made before cannot know of it. */
#define KMS_OPEN_REQUIRE_LOCKED 16u

/** Length of kms_store_info.engine with its final NUL. */
#define KMS_ENGINE_NAME_SIZE 32
/** busy_timeout_ms: wait for ever. */
#define KMS_BUSY_FOREVER UINT32_MAX

KMS_BEGIN_DECLS

/** Options of kms_open(). Begin with KMS_OPEN_OPTIONS_INIT. Since 0.1. */
typedef struct kms_open_options {
    /** KMS_OPEN_OPTIONS_VERSION. */
    uint32_t version;
    /** How long a change waits for other writers, ms, once for this handle's other threads and
     *  once for everybody else; 0: not at all. */
    uint32_t busy_timeout_ms;
    /** Most keys, aliases and versions kept ready for use, 16 to 1,048,576; each takes some 700
     *  bytes, 64 of them in locked memory; a key that both encrypts and decrypts counts twice. Room is
     *  taken as it is needed. The one that was not used for longest leaves first, approximately
     *  (second-chance replacement). */
    uint32_t cache_entries;
    /** Only for a store that is made with a passphrase. */
    kms_strength strength;
    /** NULL: the system's clock. The struct is copied. */
    const kms_clock *clock;
    /** Most bytes that these keys, aliases and versions take together, ordinary memory, locked memory
     *  and the table that finds them; 32,768 and more, or 0 for what cache_entries need. The smaller of
     *  both bounds holds. Not in it: what a handle needs besides (some 20 KiB), and what each thread
     *  keeps for itself. Since 0.2 (version 2 of the options; those of version 1 have no bound). */
    size_t cache_bytes;
} kms_open_options;

#define KMS_OPEN_OPTIONS_VERSION 2u
#define KMS_OPEN_OPTIONS_INIT                                                                      \
    {                                                                                              \
        KMS_OPEN_OPTIONS_VERSION, 10000u, 16384u, KMS_STRENGTH_DEFAULT, NULL, 0u                   \
    }

/**
 * Opens the store of an engine, and makes it first if KMS_OPEN_CREATE is given and none is there.
 *
 * Many processes may open one store at once; a process may open it several times. When many start
 * on a store that is not there, one makes it and all use that one.
 *
 * @param[out] store  the open store; end it with kms_close(). Untouched on failure
 * @param engine      where the records are; taken over whatever this call returns
 * @param root        what unlocks it; taken over, wiped and freed before this call returns,
 *                    whatever it returns
 * @param flags       KMS_OPEN_ flags or 0
 * @param options     NULL for the defaults; copied
 *
 * @retval KMS_OK
 * @retval KMS_ERR_INVALID_ARGUMENT  NULL store, engine or root, unknown flags, options out of
 *                                   their limits, a provider's root key that is all zero
 * @retval KMS_ERR_ABI               an engine, provider or options struct of another version
 * @retval KMS_ERR_NOT_FOUND         no store is there, and KMS_OPEN_CREATE was not given; with it,
 *                                   the directory is missing, or a symbolic link leads to
 *                                   nothing
 * @retval KMS_ERR_ALREADY_EXISTS    KMS_OPEN_EXCLUSIVE, and a store is there
 * @retval KMS_ERR_NOT_A_STORE       something else is there; it is left untouched
 * @retval KMS_ERR_NEWER_FORMAT      a newer libkms made the store
 * @retval KMS_ERR_WRONG_ROOT_KEY    root does not unlock it
 * @retval KMS_ERR_FORKED            root was made before fork()
 * @retval KMS_ERR_CORRUPT           its boot or header record is damaged
 * @retval KMS_ERR_NOT_LOCKED        only with KMS_OPEN_REQUIRE_LOCKED
 * @retval KMS_ERR_UNSUPPORTED       a file system or build that cannot hold it
 * @retval KMS_ERR_BUSY              others open and close it; kms_lmdb_backend()'s engine waits
 *                                   10 s at least
 * @retval KMS_ERR_NO_MEMORY, KMS_ERR_READ_ONLY, KMS_ERR_FULL, KMS_ERR_STORAGE,
 *         KMS_ERR_COMMIT_UNKNOWN, KMS_ERR_STORE_REPLACED
 *
 * Threads: any; the arguments must be this call's alone. Since 0.1.
 */
KMS_API KMS_MUST_CHECK kms_status kms_open(kms_store **store, kms_backend *engine, kms_root *root,
                                           uint32_t flags, const kms_open_options *options);

/**
 * Opens a new, empty store in memory under a random root key: all that a unit test needs.
 *
 * @param[out] store  end it with kms_close(), and its content is gone. Untouched on failure
 *
 * @retval KMS_OK
 * @retval KMS_ERR_INVALID_ARGUMENT  store is NULL
 * @retval KMS_ERR_NO_MEMORY
 *
 * Threads: any. Since 0.1.
 */
KMS_API KMS_MUST_CHECK kms_status kms_open_memory(kms_store **store);

/**
 * Closes a store: wipes every secret of it and frees it. NULL is ignored.
 *
 * In a child process, closing a store that the parent opened before fork() is safe: it frees
 * nothing, and the parent goes on undisturbed.
 *
 * Threads: no other may use store during or after the call. Since 0.1.
 */
KMS_API void kms_close(kms_store *store);

/** What kms_get_store_info() tells. Set version before the call. Since 0.1. */
typedef struct kms_store_info {
    /** Set by the caller: KMS_STORE_INFO_VERSION. */
    uint32_t version;
    /** The store takes no changes through this handle. */
    bool read_only;
    /** Every key of the store that this handle holds lies in memory that is locked against swapping;
     *  false: raise RLIMIT_MEMLOCK. What was handed out is not counted: kms_secret.locked tells of data
     *  keys, and with KMS_OPEN_REQUIRE_LOCKED streams and readers are locked too, or are not given. */
    bool memory_locked;
    /** The build can use KMS_SUITE_AES_256_GCM. */
    bool has_aes_256_gcm;
    /** Changes made to the store since it was made. */
    uint64_t changes;
    uint8_t store_id[KMS_STORE_ID_SIZE];
    /** Name of the engine, NUL-terminated. */
    char engine[KMS_ENGINE_NAME_SIZE];
    /* Members above exist since version 1, those below since version 2. */
    /** Automatic rotations that encrypting calls of this handle made. */
    uint64_t rotations_made;
    /** Automatic rotations that could not be written; each is tried again after a minute. */
    uint64_t rotations_put_off;
    /** Why the last of them could not; KMS_OK if there was none. */
    kms_status last_rotation_failure;
    /** Which store key seals the records: grows by one with kms_copy_resealed(). */
    uint32_t store_key_generation;
} kms_store_info;

#define KMS_STORE_INFO_VERSION 2u

/**
 * Tells what a store is and how it is held.
 *
 * @param store         open store
 * @param[in,out] info  version set by the caller, the rest written; untouched on failure
 *
 * @retval KMS_OK
 * @retval KMS_ERR_INVALID_ARGUMENT  NULL
 * @retval KMS_ERR_ABI               info->version is unknown
 * @retval KMS_ERR_FORKED, KMS_ERR_STORE_REPLACED, KMS_ERR_CORRUPT, KMS_ERR_NEWER_FORMAT,
 *         KMS_ERR_STORAGE, KMS_ERR_BUSY, KMS_ERR_ROLLBACK
 *
 * Threads: any number may share store; they take turns, and with changes, each waiting up to
 * busy_timeout_ms. Since 0.1.
 */
KMS_API KMS_MUST_CHECK kms_status kms_get_store_info(kms_store *store, kms_store_info *info);

/**
 * Reads every record of a store in one snapshot and checks that each is authentic, that together
 * they are what the last change left (none replayed, added or removed), and that keys, versions,
 * aliases and their index agree.
 *
 * It takes some microseconds a record. It cannot tell a whole store that was put back to an older
 * copy while nobody had it open: keep kms_store_info.changes elsewhere to notice that. Changes
 * through the same handle wait meanwhile, up to busy_timeout_ms; others do not.
 *
 * @param store  open store
 *
 * @retval KMS_OK           all is well
 * @retval KMS_ERR_CORRUPT  it is not; kms_error_message() names the first record found
 * @retval KMS_ERR_ROLLBACK the store is older than this handle has seen
 * @retval KMS_ERR_INVALID_ARGUMENT, KMS_ERR_FORKED, KMS_ERR_STORE_REPLACED,
 *         KMS_ERR_NEWER_FORMAT, KMS_ERR_STORAGE, KMS_ERR_BUSY, KMS_ERR_NO_MEMORY,
 *         KMS_ERR_NOT_LOCKED
 *
 * Threads: any number may share store. Since 0.1.
 */
KMS_API KMS_MUST_CHECK kms_status kms_verify(kms_store *store);

KMS_END_DECLS

#endif
