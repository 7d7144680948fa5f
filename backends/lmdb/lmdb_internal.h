/**
 * @file lmdb_internal.h
 * What the files of the LMDB engine share.
 *
 * An lmdb_handle is one kms_backend: a path, and how it was opened. An lmdb_env is one open LMDB
 * environment. Handles of one file in one process share one env, because LMDB's own locks belong
 * to the process and not to the environment: closing a second one would drop those of the first.
 */
#ifndef KMS_LMDB_INTERNAL_H
#define KMS_LMDB_INTERNAL_H

#include <kms/lmdb.h>

#if KMS_HAVE_LMDB

#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/types.h>

#define LMDB_READERS_MAX 4096
/** Idle read transactions kept for reuse; more than this run at once, but end in a free(). */
#define LMDB_POOL_SIZE 32
/** Dead readers are looked for at open, when the table is full, and once in so many writes. */
#define LMDB_WRITES_PER_CHECK 64
/** Longest that opening and closing waits for another process that opens or closes, at least. */
#define LMDB_GUARD_WAIT_MS 10000u
/** LMDB sizes its reader table by the lock file; a reader's slot is a cache line. */
#define LMDB_LOCK_FILE_SIZE ((off_t)(LMDB_READERS_MAX + 8) * 64)
#define LMDB_MAP_FLOOR ((uint64_t)64 << 20)

/** A file's identity: paths change their meaning, this does not while the file is open. */
typedef struct lmdb_identity {
    dev_t dev;
    ino_t ino;
} lmdb_identity;

/**
 * A descriptor that a forked child closes at once. Locks of an open file description live until
 * its last descriptor is closed, and a child that kept a copy would hold its dead parent's locks.
 */
typedef struct lmdb_fd {
    int fd;
    struct lmdb_fd *next;
} lmdb_fd;

typedef struct lmdb_env lmdb_env;
typedef struct lmdb_handle lmdb_handle;

typedef struct lmdb_txn {
    kms_txn base;
    lmdb_env *env;
    MDB_txn *mdb;
    /** NULL until the first scan(); in a pooled read transaction it is renewed and kept. */
    MDB_cursor *cursor;
    bool cursor_current;
    bool write;
    /** The first put() or del() that failed; nothing but abort() is possible afterwards. */
    kms_status failed;
} lmdb_txn;

/** Lets one thread of the process write, and makes the others wait no longer than they want. */
typedef struct lmdb_gate {
    pthread_mutex_t mutex;
    pthread_cond_t freed;
    bool busy;
    pthread_t owner;
} lmdb_gate;

struct lmdb_env {
    MDB_env *mdb;
    MDB_dbi dbi;
    /** The data file's path without symbolic links, and the two that stand beside it. */
    char *real_path;
    char *lock_path;
    char *guard_path;
    lmdb_identity data;
    lmdb_identity lock;
    uint64_t incarnation;
    uint64_t map_size;
    unsigned refs;
    bool read_only;
    bool frozen;
    /** LMDB refuses everything after an I/O error at its meta page: only a new env helps. */
    atomic_bool fatal;
    /** Carries the lock of write transactions; an open file description of its own. */
    lmdb_fd write_lock;
    /** Keeps LMDB's lock file marked as in use even if the process' POSIX locks get lost. */
    lmdb_fd lock_file;
    lmdb_gate gate;
    /** The one write transaction, and how many there were; both belong to whom the gate let in. */
    lmdb_txn writer;
    unsigned long writes;
    _Atomic(lmdb_txn *) pool[LMDB_POOL_SIZE];
    lmdb_env *next;
};

struct lmdb_handle {
    kms_backend base;
    /** As given, made absolute. */
    char *path;
    uint32_t mode;
    uint64_t map_size;
    /** NULL while nothing is open. */
    lmdb_env *env;
    uint32_t busy_timeout_ms;
    bool read_only;
    /** kms__lmdb_generation() at open; another one now means that the process was forked. */
    unsigned generation;
    /** The last look at the paths: at which revision, and in which second. */
    _Atomic uint64_t looked_number;
    _Atomic int64_t looked_in;
    /** Sticky: the store stands no longer where it was opened. */
    atomic_int lost;
};

/** What the file at a handle's path turned out to be, or what a new one shall be. */
typedef struct lmdb_found {
    /** False: not made yet, and mode is what the umask has still to be applied to. */
    bool exists;
    lmdb_identity id;
    uint64_t size;
    mode_t mode;
    uid_t uid;
    gid_t gid;
} lmdb_found;

/* lmdb_error.c: sentences. */

/** The end of a path that is too long for a sentence, or all of it. */
const char *kms__lmdb_label(const char *path);
/** The status for LMDB's or errno's rc, with a sentence: "PATH: doing: reason". */
kms_status kms__lmdb_fail(const char *path, const char *doing, int rc);
/** Whether rc says that a file may not be written here. */
bool kms__lmdb_is_denied(int rc);
/** Whether rc says that there is no room for more. */
bool kms__lmdb_is_full(int rc);

/* lmdb_files.c: paths and files. */

char *kms__lmdb_join(const char *path, const char *suffix);
char *kms__lmdb_absolute(const char *path);
bool kms__lmdb_same(lmdb_identity a, lmdb_identity b);
lmdb_identity kms__lmdb_identity(const struct stat *st);
/** Refuses file systems whose mappings are not coherent with what other machines write. */
kms_status kms__lmdb_check_fs(int fd, const char *path);
/** KMS_ERR_NOT_FOUND, with what stands at path instead: nothing, or a link to nothing. */
kms_status kms__lmdb_nothing_there(const char *path);
/** Finds out, changing nothing, whether an LMDB file stands at path. */
kms_status kms__lmdb_inspect(const char *path, lmdb_found *found);

/* lmdb_meta.c: LMDB's meta pages. */

/** Checks magic, version and both meta pages of fd against its size. */
kms_status kms__lmdb_check_meta(int fd, const char *path);

/* lmdb_peek.c: whether an LMDB file is a store at all. */

/** KMS_ERR_NOT_A_STORE for somebody else's LMDB file, which is read without any lock. */
kms_status kms__lmdb_peek(const lmdb_handle *handle, const lmdb_found *found,
                          const kms_backend_how *how);

/* lmdb_look.c: whether the store stands where it was opened. */

/** KMS_OK, or KMS_ERR_STORE_REPLACED for ever after. Looks when number is new, or time is up. */
kms_status kms__lmdb_look(lmdb_handle *handle, uint64_t number);
/** Looks now. */
kms_status kms__lmdb_look_now(lmdb_handle *handle, uint64_t number);

/* lmdb_registry.c: what is one for the whole process. */

/** Grows in every forked child. */
unsigned kms__lmdb_generation(void);
/** Serialises everything that opens and closes. Initialises on first use. */
void kms__lmdb_registry_lock(void);
void kms__lmdb_registry_unlock(void);
/** Under the registry lock: the env of this file that this process has open, or NULL. */
lmdb_env *kms__lmdb_registry_find(lmdb_identity data);
/** Under the registry lock: whether an env of this process has this lock file open. */
bool kms__lmdb_registry_uses_lock_file(lmdb_identity lock);
void kms__lmdb_registry_add(lmdb_env *env);
void kms__lmdb_registry_remove(lmdb_env *env);
/** open() with O_CLOEXEC, such that a forked child closes the descriptor. -1 and errno. */
int kms__lmdb_fd_open(lmdb_fd *holder, const char *path, int flags, mode_t mode);
void kms__lmdb_fd_close(lmdb_fd *holder);

/* lmdb_lock.c: who may write. */

int64_t kms__lmdb_now_ms(void);
kms_status kms__lmdb_gate_init(lmdb_gate *gate, const char *path);
void kms__lmdb_gate_destroy(lmdb_gate *gate);
/** Waits for the process' other threads and then for other processes, timeout_ms together. */
kms_status kms__lmdb_write_lock(lmdb_env *env, uint32_t timeout_ms);
void kms__lmdb_write_unlock(lmdb_env *env);
/** Marks the open lock file as in use, on a description of our own. */
kms_status kms__lmdb_hold_lock_file(lmdb_env *env);
/** Takes the process' own lock in LMDB's reader table again, should it have been lost. */
void kms__lmdb_renew_pid_lock(lmdb_env *env);
/** One sleep of a waiting loop: grows from 20 us to 2 ms. */
void kms__lmdb_pause(unsigned *round);

/* lmdb_guard.c: one process at a time opens, makes or closes a store. */

/**
 * Locks the guard file, and makes it first if it is missing and `make` says so. KMS_ERR_NOT_A_STORE
 * for what is no guard file of ours.
 */
kms_status kms__lmdb_guard_lock(lmdb_fd *guard, const char *guard_path, const lmdb_found *like,
                                uint32_t timeout_ms, bool make);
void kms__lmdb_guard_unlock(lmdb_fd *guard);
/** Under the registry lock: KMS_ERR_NOT_A_STORE for what is at lock_path and not LMDB's. */
kms_status kms__lmdb_check_lock_file(const char *lock_path);
/** Removes LMDB's lock file unless the guard says that it belongs to this data file. */
kms_status kms__lmdb_guard_adopt(lmdb_fd *guard, const char *guard_path, const char *lock_path,
                                 lmdb_identity data);
/** Gives a file that we made the owner and permissions of the data file. */
void kms__lmdb_dress(int fd, const lmdb_found *like);

/* lmdb_env.c: open environments. */

kms_status kms__lmdb_env_open(lmdb_handle *handle, const kms_backend_how *how);
/** The counterpart: the last handle of an env closes it. */
void kms__lmdb_env_release(lmdb_env *env);

/* lmdb_map.c: reserving address space. */

/** mdb_env_create() and mdb_env_open() with the largest map up to env->map_size to be had. */
kms_status kms__lmdb_map(lmdb_env *env, const char *path, unsigned flags, uint64_t file_size);

/* lmdb_create.c */

kms_status kms__lmdb_create(lmdb_handle *handle, const kms_backend_how *how,
                            const kms_record *records, size_t count);
/** Where a store is made before it gets its name. To be freed; NULL without memory. */
char *kms__lmdb_draft_path(const char *path);

/* lmdb_pool.c: read transactions ready for use. */

kms_status kms__lmdb_reader_begin(lmdb_handle *handle, lmdb_txn **txn);
void kms__lmdb_reader_end(lmdb_txn *txn);
void kms__lmdb_pool_drain(lmdb_env *env);

/* lmdb_txn.c, lmdb_records.c: the operations of transactions. */

/** The revision that LMDB's newer meta page shows: it may run ahead of what snapshots show. */
uint64_t kms__lmdb_newest(const lmdb_env *env);
/** LMDB takes what it only reads as a plain pointer, and an empty value must point somewhere. */
MDB_val kms__lmdb_val(kms_slice slice);

kms_status kms__lmdb_begin(kms_backend *backend, unsigned mode, kms_txn **txn,
                           kms_revision *revision);
kms_status kms__lmdb_hint(kms_backend *backend, kms_revision *revision, uint64_t *age_ns);
kms_status kms__lmdb_commit(kms_txn *txn);
void kms__lmdb_abort(kms_txn *txn);
kms_status kms__lmdb_get(kms_txn *txn, kms_slice key, kms_slice *value);
kms_status kms__lmdb_scan(kms_txn *txn, kms_slice from, size_t limit, kms_record *records,
                          size_t *count);
kms_status kms__lmdb_put(kms_txn *txn, kms_slice key, kms_slice value);
kms_status kms__lmdb_del(kms_txn *txn, kms_slice key);

#endif

#endif
