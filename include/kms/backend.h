/**
 * @file kms/backend.h
 * The contract of a storage engine: an ordered map of bytes with transactions.
 *
 * For authors of engines; applications need only a constructor such as kms_lmdb_backend(). An
 * engine knows bytes and transactions and nothing of keys: values arrive sealed, except for one
 * small boot record. Prove an engine with the conformance suite (kms/conformance.h). This header
 * may change between minor releases; KMS_BACKEND_ABI tells.
 */
#ifndef KMS_BACKEND_H
#define KMS_BACKEND_H

#include <kms/base.h>
#include <kms/status.h>

/** The contract that this header describes. kms_open() refuses an engine with another number. */
#define KMS_BACKEND_ABI 1

/** Longest record key that the core uses, bytes; the shortest is 1. */
#define KMS_RECORD_KEY_MAX 320
/** Longest record value, bytes; the shortest is 0. */
#define KMS_RECORD_VALUE_MAX 65536
/** Most put() and del() calls that the core makes in one transaction. */
#define KMS_TXN_WRITES_MAX 100
/** Most bytes of keys and values together that the core puts in one transaction. */
#define KMS_TXN_BYTES_MAX 1048576
/** Most records that the core asks of one scan(). */
#define KMS_SCAN_MAX 256

KMS_BEGIN_DECLS

typedef struct kms_backend kms_backend;
typedef struct kms_txn kms_txn;

/** A record as scan() and create() hand it over. Since 0.1. */
typedef struct kms_record {
    kms_slice key;
    kms_slice value;
} kms_record;

/**
 * Which content a snapshot shows. Two snapshots of one engine handle with equal revisions show
 * equal content; a commit always leads to a larger number. Since 0.1.
 */
typedef struct kms_revision {
    /** Which copy of the store: another one after a restore or a replacement. */
    uint64_t incarnation;
    /** Grows with every commit within an incarnation. */
    uint64_t number;
} kms_revision;

/** How a store is opened or made. The core fills it; version is 1. Since 0.1. */
typedef struct kms_backend_how {
    uint32_t version;
    /** KMS_BACKEND_READ_ONLY, KMS_BACKEND_FROZEN, or 0. */
    uint32_t flags;
    /** How long begin(write) may wait for another writer, ms; UINT32_MAX is for ever. */
    uint32_t busy_timeout_ms;
    /** A record that every store of the core has: its key, and how its value begins. open() may
     *  look for it to tell a store from somebody else's file before it touches anything. An empty
     *  key: nothing to look for. */
    kms_record probe;
} kms_backend_how;

/** No write transaction will be asked for. */
#define KMS_BACKEND_READ_ONLY 1u
/** The caller vouches that nobody writes: read without any lock (read-only media). */
#define KMS_BACKEND_FROZEN 2u

/** Modes of begin(): one of the first two; NOWAIT may be added to WRITE. */
#define KMS_TXN_READ 0u
#define KMS_TXN_WRITE 1u
#define KMS_TXN_NOWAIT 2u

/**
 * The functions of an engine. All are required. Every one that returns a status and fails has
 * recorded a sentence with kms_set_error(); "fails" below means with KMS_ERR_STORAGE unless
 * another status is named. One engine handle is used by many threads at once; one transaction
 * stays on the thread that began it. Since 0.1.
 */
typedef struct kms_backend_ops {
    /** KMS_BACKEND_ABI that the engine was compiled against. */
    uint32_t abi;
    /** Short name for messages: "lmdb". */
    const char *name;

    /**
     * Opens the store that the constructor named. Called once, before anything else but
     * create() and close().
     * KMS_OK; KMS_ERR_NOT_FOUND: no store is there, and nothing was made; KMS_ERR_NOT_A_STORE:
     * something else is there, and was left untouched; KMS_ERR_CORRUPT: a store is there, but
     * damaged; KMS_ERR_BUSY: others were opening and closing it for too long; KMS_ERR_READ_ONLY,
     * KMS_ERR_UNSUPPORTED, KMS_ERR_NO_MEMORY, KMS_ERR_STORAGE. After a failure open() or create()
     * may be called again.
     */
    kms_status (*open)(kms_backend *backend, const kms_backend_how *how);

    /**
     * Makes a store that holds exactly these records, durably and all or nothing (whoever looks
     * sees no store, or the whole one, a kill at any moment included), and opens it.
     * KMS_ERR_ALREADY_EXISTS: a store is there (perhaps another starter's, a moment ago) and was
     * left as it is: the core calls open(). Else as open().
     */
    kms_status (*create)(kms_backend *backend, const kms_backend_how *how,
                         const kms_record *records, size_t count);

    /**
     * Begins a transaction, and tells the revision of the snapshot that it shows: it sees its own
     * writes and no other's, and reads repeat.
     * mode: KMS_TXN_READ, which never waits for a writer; KMS_TXN_WRITE, which waits for another
     * writer (of any process) at most busy_timeout_ms and then answers KMS_ERR_BUSY;
     * KMS_TXN_WRITE | KMS_TXN_NOWAIT, which answers KMS_ERR_BUSY at once. An optimistic engine
     * need not wait: it may let writers run and answer KMS_ERR_CONFLICT to the later one.
     * KMS_OK: *txn is the caller's until commit() or abort(); *revision is set.
     * KMS_ERR_STORE_REPLACED: another store stands where this one was opened.
     * KMS_ERR_READ_ONLY: a write was asked of a store opened for reading.
     * KMS_ERR_LIMIT_EXCEEDED: more readers at once than the engine has room for.
     * KMS_ERR_FORKED: the store was opened before fork().
     */
    kms_status (*begin)(kms_backend *backend, unsigned mode, kms_txn **txn, kms_revision *revision);

    /**
     * Reads one record. KMS_OK: *value points into the engine, valid until the next call on txn;
     * KMS_ERR_NOT_FOUND (which needs no sentence): no such record.
     */
    kms_status (*get)(kms_txn *txn, kms_slice key, kms_slice *value);

    /**
     * Reads up to limit (1 to KMS_SCAN_MAX) records whose keys are equal to or after `from`, in
     * unsigned byte order (a prefix stands before what it begins). from may be empty: the start.
     * KMS_OK: *count records are written, fewer than limit only at the end of the store; their
     * slices point into the engine, valid until the next call on txn.
     */
    kms_status (*scan)(kms_txn *txn, kms_slice from, size_t limit, kms_record *records,
                       size_t *count);

    /** Writes one record, over an older one with the same key. Copies both arguments.
     *  KMS_ERR_FULL: no room; the transaction can then only be aborted. */
    kms_status (*put)(kms_txn *txn, kms_slice key, kms_slice value);

    /** Removes one record. KMS_ERR_NOT_FOUND (needs no sentence): there is none. */
    kms_status (*del)(kms_txn *txn, kms_slice key);

    /**
     * Ends a transaction. Consumes txn, whatever it returns.
     * KMS_OK: all its writes are durable, and from now on every begin() of any process sees them;
     * KMS_ERR_CONFLICT: surely not applied, because of another writer: the core runs the whole
     * operation again (get, scan, put and del may answer it too; the core then aborts);
     * KMS_ERR_COMMIT_UNKNOWN: perhaps applied (an I/O error, a lost connection);
     * KMS_ERR_FULL, KMS_ERR_STORAGE: surely not applied.
     */
    kms_status (*commit)(kms_txn *txn);

    /** Ends a transaction without a trace. Consumes txn; cannot fail. */
    void (*abort)(kms_txn *txn);

    /**
     * The cheap look that stands before every warm call: which revision is current. It may run
     * ahead of what a snapshot shows, but is never behind a commit that was acknowledged more
     * than *age_ns nanoseconds ago (0: exact, as memory and LMDB are). No allocation, and no
     * system call but at most once a second and after a change.
     * KMS_ERR_STORE_REPLACED: as in begin().
     */
    kms_status (*hint)(kms_backend *backend, kms_revision *revision, uint64_t *age_ns);

    /**
     * Closes the store, if it is open, and frees the engine. No transaction is open. It is not
     * called in a child process for a store opened before fork(): the child leaks it.
     */
    void (*close)(kms_backend *backend);
    /* Members above exist since ABI 1. Append only. */
} kms_backend_ops;

/** Every engine's struct begins with this; the core looks no further. */
struct kms_backend {
    const kms_backend_ops *ops;
};

/** Every engine's transaction begins with this. */
struct kms_txn {
    kms_backend *backend;
};

/**
 * Ends an engine that was never handed to kms_open(). NULL is ignored.
 *
 * kms_open() takes an engine over whatever it returns, so this is for programs that change their
 * mind before, and for tests of engines.
 *
 * Threads: no other may use backend. Since 0.1.
 */
KMS_API void kms_backend_free(kms_backend *backend);

KMS_END_DECLS

#endif
