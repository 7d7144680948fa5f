/**
 * @file lmdb_trial.h
 * What the tests of the LMDB engine share: scratch folders, short forms of the engine's calls, and
 * peers, which are other processes that do to a store what a test tells them.
 */
#ifndef KMS_TESTS_LMDB_TRIAL_H
#define KMS_TESTS_LMDB_TRIAL_H

#include <check.h>
#include <kms/lmdb.h>
#include <sys/types.h>

#define TRIAL_PATH_MAX 4096

/** The program's main(): runs the tests, each in a process and with a scratch folder of its own. */
int trial_main(const char *name, const TTest *const *tests, size_t count);

/** Whether the program runs under valgrind, or was built with a sanitizer. */
bool trial_is_watched(void);
/** Prints the line that says loudly what could not be tested here. */
void trial_skip(const char *what, const char *why);

/** PATH of a file of the running test, on disk; a constant name gives one path. */
const char *trial_path(const char *name);
/** The same in memory, for tests of many commits that are not about durability. */
const char *trial_fast_path(const char *name);
/** PATH with a suffix, in one of four buffers that take turns. */
const char *trial_beside(const char *path, const char *suffix);
bool trial_exists(const char *path);
/** Number of names in the folder of path. */
int trial_count_files(const char *path);
void trial_write_file(const char *path, const void *data, size_t len);
/** Copies a file, through a new inode. */
void trial_copy_file(const char *from, const char *to);
double trial_seconds(void);

/** Engine calls; each fails the test unless it succeeds, if its name does not begin with try. */
kms_backend *trial_engine(const char *path, uint64_t map_size);
kms_status trial_try_open(kms_backend *engine, uint32_t flags, uint32_t busy_timeout_ms);
kms_status trial_try_create(kms_backend *engine, uint64_t number);
/** Makes a store with the record "number", and opens it. */
kms_backend *trial_create(const char *path, uint64_t number);
kms_backend *trial_open(const char *path);
void trial_close(kms_backend *engine);
kms_slice trial_key(const char *text);
/** Writes the record "number" in a transaction of its own. */
kms_status trial_try_write(kms_backend *engine, uint64_t number);
void trial_write(kms_backend *engine, uint64_t number);
/** Writes a record of that many bytes in a transaction of its own. */
kms_status trial_try_fill(kms_backend *engine, const char *key, size_t len);
kms_status trial_try_read(kms_backend *engine, uint64_t *number);
uint64_t trial_read(kms_backend *engine);
/** The number in the snapshot of an open transaction. */
uint64_t trial_number_in(kms_txn *txn);

/** Another process, forked before anything was opened. It dies with the test. */
typedef struct trial_peer {
    pid_t pid;
    int fd;
} trial_peer;

/** What a peer can be told to do. */
enum {
    PEER_CREATE = 'C', /**< argument: the number */
    PEER_OPEN = 'O',   /**< argument: flags of kms_backend_how, busy timeout 5 s */
    PEER_CLOSE = 'X',
    PEER_BEGIN = 'B', /**< argument: mode; the answer's number is the revision's */
    PEER_PUT = 'P',   /**< argument: the number */
    PEER_COMMIT = 'T',
    PEER_ABORT = 'A',
    PEER_WRITE = 'W', /**< a whole transaction; argument: the number */
    PEER_READ = 'R',  /**< answers the number */
    PEER_SEE = 'S',   /**< answers the number in the open transaction */
    PEER_FILL = 'F',  /**< a whole transaction; path: the record's key, argument: its size */
};

trial_peer trial_peer_start(void);
/** Which process and thread of a new pid namespace serves. */
typedef enum trial_seat {
    SEAT_INIT,   /**< pid 1, thread id 1 */
    SEAT_THREAD, /**< pid 1, thread id 2 */
    SEAT_CHILD,  /**< pid 2, thread id 2 */
} trial_seat;
/** A peer in a new pid namespace; pid 0 where that is not permitted. */
trial_peer trial_peer_start_namespaced(trial_seat seat);
/** Does it and waits for the answer; number may be NULL, message (512 bytes) too. */
kms_status trial_peer_do(trial_peer *peer, int what, const char *path, uint64_t argument,
                         uint64_t *number, char *message);
/** Does it and leaves the answer for trial_peer_answer(). */
void trial_peer_tell(trial_peer *peer, int what, const char *path, uint64_t argument);
/** Waits at most timeout_ms for the answer; false: there is none yet. */
bool trial_peer_answer(trial_peer *peer, int timeout_ms, kms_status *status, uint64_t *number,
                       char *message);
void trial_peer_kill(trial_peer *peer);
void trial_peer_end(trial_peer *peer);

/** Forks; the child runs body and exits with what it answers. */
pid_t trial_fork(int (*body)(void *), void *argument);
/** Waits for a child: its exit status, or 128 and its signal. */
int trial_wait(pid_t pid);

/** For children, where a failed check of the framework would not arrive. */
#define trial_must(condition)                                                                      \
    do {                                                                                           \
        if (!(condition))                                                                          \
            trial_child_failed(__FILE__, __LINE__, #condition);                                    \
    } while (0)
void trial_child_failed(const char *file, int line, const char *condition)
    __attribute__((noreturn));

#define trial_ok(call)                                                                             \
    do {                                                                                           \
        kms_status trial_status = (call);                                                          \
        ck_assert_msg(trial_status == KMS_OK, "%s: %s: %s", #call, kms_status_name(trial_status),  \
                      kms_error_message());                                                        \
    } while (0)
#define trial_is(call, wanted)                                                                     \
    do {                                                                                           \
        kms_status trial_status = (call);                                                          \
        ck_assert_msg(trial_status == (wanted), "%s: %s: %s", #call,                               \
                      kms_status_name(trial_status), kms_error_message());                         \
    } while (0)
/** The sentence of the last failure has these words in it. */
#define trial_says(words)                                                                          \
    ck_assert_msg(strstr(kms_error_message(), words) != NULL, "no \"%s\" in \"%s\"", words,        \
                  kms_error_message())

#endif
