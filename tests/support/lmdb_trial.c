#include "lmdb_trial.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TEST_SECONDS 200

static char disk_root[TRIAL_PATH_MAX];
static char fast_root[TRIAL_PATH_MAX];

/* --- running -------------------------------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void make_root(char *root, const char *parent)
{
    snprintf(root, TRIAL_PATH_MAX, "%s/kms-lmdb-XXXXXX", parent);
    if (mkdtemp(root) == NULL) {
        perror(root);
        exit(1);
    }
}

static void make_roots(void)
{
    const char *tmp = getenv("TMPDIR");
    make_root(disk_root, tmp != NULL ? tmp : "/tmp");
    make_root(fast_root, access("/dev/shm", W_OK) == 0 ? "/dev/shm" : tmp != NULL ? tmp : "/tmp");
}

static void remove_roots(void)
{
    nftw(disk_root, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
    nftw(fast_root, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

#if !KMS_HAVE_LMDB
START_TEST(a_build_without_lmdb_says_so)
{
    kms_backend *engine = NULL;
    trial_is(kms_lmdb_backend(&engine, "/nowhere", NULL), KMS_ERR_UNSUPPORTED);
    trial_says("liblmdb-dev");
    ck_assert_ptr_null(engine);
}
END_TEST
#endif

static void add_tests(TCase *tcase, const TTest *const *tests, size_t count)
{
#if KMS_HAVE_LMDB
    for (size_t i = 0; i < count; i++)
        tcase_add_test(tcase, tests[i]);
#else
    (void)tests;
    (void)count;
    trial_skip("the LMDB engine", "this build has none");
    tcase_add_test(tcase, a_build_without_lmdb_says_so);
#endif
}

int trial_main(const char *name, const TTest *const *tests, size_t count)
{
    Suite *suite = suite_create(name);
    TCase *tcase = tcase_create(name);
    SRunner *runner = srunner_create(suite);
    setvbuf(stdout, NULL, _IOLBF, 0);
    make_roots();
    tcase_set_timeout(tcase, TEST_SECONDS);
    suite_add_tcase(suite, tcase);
    add_tests(tcase, tests, count);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    remove_roots();
    return failed == 0 ? 0 : 1;
}

bool trial_is_watched(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
    return true;
#endif
#endif
    const char *preload = getenv("LD_PRELOAD");
    return preload != NULL && strstr(preload, "vgpreload") != NULL;
}

void trial_skip(const char *what, const char *why)
{
    /* The framework names a test's function so. */
    size_t len = strlen(what);
    if (len > 3 && strcmp(what + len - 3, "_fn") == 0)
        len -= 3;
    printf("SKIP: %.*s: %s\n", (int)len, what, why);
    fflush(stdout);
}

/* --- files ---------------------------------------------------------------------------------- */

/* Paths stay valid: a test names few. */
static const char *path_in(const char *root, const char *name)
{
    static char paths[16][TRIAL_PATH_MAX + 64];
    static pid_t test;
    char folder[TRIAL_PATH_MAX + 32];
    char path[TRIAL_PATH_MAX + 64];
    size_t i = 0;
    /* Check runs every test in a process of its own, and children stay in their test's folder. */
    if (test == 0)
        test = getpid();
    snprintf(folder, sizeof folder, "%.4000s/%ld", root, (long)test);
    mkdir(folder, 0700);
    snprintf(path, sizeof path, "%.4040s/%.64s", folder, name);
    while (i < 15 && paths[i][0] != '\0' && strcmp(paths[i], path) != 0)
        i++;
    memcpy(paths[i], path, sizeof path);
    return paths[i];
}

const char *trial_path(const char *name)
{
    return path_in(disk_root, name);
}

const char *trial_fast_path(const char *name)
{
    return path_in(fast_root, name);
}

const char *trial_beside(const char *path, const char *suffix)
{
    static char buffers[4][TRIAL_PATH_MAX + 64];
    static unsigned turn;
    char *buffer = buffers[turn++ % 4];
    snprintf(buffer, sizeof buffers[0], "%s%s", path, suffix);
    return buffer;
}

bool trial_exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

int trial_count_files(const char *path)
{
    char folder[TRIAL_PATH_MAX];
    snprintf(folder, sizeof folder, "%s", path);
    *strrchr(folder, '/') = '\0';
    DIR *dir = opendir(folder);
    int count = 0;
    while (dir != NULL && readdir(dir) != NULL)
        count++;
    if (dir != NULL)
        closedir(dir);
    return count - 2;
}

void trial_write_file(const char *path, const void *data, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert(write(fd, data, len) == (ssize_t)len);
    close(fd);
}

void trial_copy_file(const char *from, const char *to)
{
    char buffer[65536];
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    ssize_t got;
    ck_assert(in >= 0 && out >= 0);
    while ((got = read(in, buffer, sizeof buffer)) > 0)
        ck_assert(write(out, buffer, (size_t)got) == got);
    close(in);
    close(out);
}

double trial_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* --- the engine ----------------------------------------------------------------------------- */

kms_slice trial_key(const char *text)
{
    return (kms_slice){text, strlen(text)};
}

static const kms_backend_how usual_how = {.version = 1, .busy_timeout_ms = 5000};

kms_backend *trial_engine(const char *path, uint64_t map_size)
{
    kms_lmdb_options options = KMS_LMDB_OPTIONS_INIT;
    kms_backend *engine = NULL;
    options.map_size = map_size;
    trial_ok(kms_lmdb_backend(&engine, path, &options));
    return engine;
}

kms_status trial_try_open(kms_backend *engine, uint32_t flags, uint32_t busy_timeout_ms)
{
    kms_backend_how how = {.version = 1, .flags = flags, .busy_timeout_ms = busy_timeout_ms};
    return engine->ops->open(engine, &how);
}

kms_status trial_try_create(kms_backend *engine, uint64_t number)
{
    kms_record record = {{"number", 6}, {&number, sizeof number}};
    return engine->ops->create(engine, &usual_how, &record, 1);
}

kms_backend *trial_create(const char *path, uint64_t number)
{
    kms_backend *engine = trial_engine(path, 0);
    trial_ok(trial_try_create(engine, number));
    return engine;
}

kms_backend *trial_open(const char *path)
{
    kms_backend *engine = trial_engine(path, 0);
    trial_ok(trial_try_open(engine, 0, 5000));
    return engine;
}

void trial_close(kms_backend *engine)
{
    engine->ops->close(engine);
}

static kms_status write_record(kms_backend *engine, kms_slice key, kms_slice value)
{
    kms_txn *txn;
    kms_revision revision;
    kms_status status = engine->ops->begin(engine, KMS_TXN_WRITE, &txn, &revision);
    if (status != KMS_OK)
        return status;
    status = engine->ops->put(txn, key, value);
    if (status == KMS_OK)
        return engine->ops->commit(txn);
    engine->ops->abort(txn);
    return status;
}

kms_status trial_try_write(kms_backend *engine, uint64_t number)
{
    return write_record(engine, trial_key("number"), (kms_slice){&number, sizeof number});
}

void trial_write(kms_backend *engine, uint64_t number)
{
    trial_ok(trial_try_write(engine, number));
}

kms_status trial_try_fill(kms_backend *engine, const char *key, size_t len)
{
    static char filler[KMS_RECORD_VALUE_MAX];
    memset(filler, 'x', sizeof filler);
    return write_record(engine, trial_key(key), (kms_slice){filler, len});
}

uint64_t trial_number_in(kms_txn *txn)
{
    kms_slice value = {NULL, 0};
    uint64_t number = UINT64_MAX;
    if (txn->backend->ops->get(txn, trial_key("number"), &value) == KMS_OK &&
        value.len == sizeof number)
        memcpy(&number, value.data, sizeof number);
    return number;
}

kms_status trial_try_read(kms_backend *engine, uint64_t *number)
{
    kms_txn *txn;
    kms_revision revision;
    kms_status status = engine->ops->begin(engine, KMS_TXN_READ, &txn, &revision);
    if (status != KMS_OK)
        return status;
    *number = trial_number_in(txn);
    engine->ops->abort(txn);
    return KMS_OK;
}

uint64_t trial_read(kms_backend *engine)
{
    uint64_t number = 0;
    trial_ok(trial_try_read(engine, &number));
    return number;
}

/* --- peers ---------------------------------------------------------------------------------- */

typedef struct request {
    int what;
    uint64_t argument;
    char path[TRIAL_PATH_MAX];
} request;

typedef struct reply {
    kms_status status;
    uint64_t number;
    char message[512];
} reply;

typedef struct peer_state {
    kms_backend *engine;
    kms_txn *txn;
} peer_state;

static kms_status peer_start_engine(peer_state *state, const request *asked)
{
    kms_status status = KMS_OK;
    if (state->engine == NULL)
        status = kms_lmdb_backend(&state->engine, asked->path, NULL);
    if (status != KMS_OK)
        return status;
    return asked->what == PEER_CREATE
               ? trial_try_create(state->engine, asked->argument)
               : trial_try_open(state->engine, (uint32_t)asked->argument, 5000);
}

static kms_status peer_end_engine(peer_state *state)
{
    trial_close(state->engine);
    state->engine = NULL;
    return KMS_OK;
}

static kms_status peer_begin(peer_state *state, unsigned mode, uint64_t *number)
{
    kms_revision revision = {0, 0};
    kms_status status = state->engine->ops->begin(state->engine, mode, &state->txn, &revision);
    *number = revision.number;
    return status;
}

static kms_status peer_act(peer_state *state, const request *asked, uint64_t *number)
{
    switch (asked->what) {
    case PEER_CREATE:
    case PEER_OPEN:
        return peer_start_engine(state, asked);
    case PEER_CLOSE:
        return peer_end_engine(state);
    case PEER_BEGIN:
        return peer_begin(state, (unsigned)asked->argument, number);
    case PEER_PUT:
        return state->engine->ops->put(state->txn, trial_key("number"),
                                       (kms_slice){&asked->argument, sizeof asked->argument});
    case PEER_COMMIT:
        return state->engine->ops->commit(state->txn);
    case PEER_ABORT:
        state->engine->ops->abort(state->txn);
        return KMS_OK;
    case PEER_WRITE:
        return trial_try_write(state->engine, asked->argument);
    case PEER_READ:
        return trial_try_read(state->engine, number);
    case PEER_FILL:
        return trial_try_fill(state->engine, asked->path, asked->argument);
    case PEER_SEE:
        *number = trial_number_in(state->txn);
        return KMS_OK;
    default:
        return KMS_ERR_INVALID_ARGUMENT;
    }
}

static void peer_serve(int fd)
{
    static request asked;
    peer_state state = {NULL, NULL};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (recv(fd, &asked, sizeof asked, 0) == (ssize_t)sizeof asked && asked.what != 0) {
        reply answer;
        memset(&answer, 0, sizeof answer);
        answer.status = peer_act(&state, &asked, &answer.number);
        if (answer.status != KMS_OK)
            snprintf(answer.message, sizeof answer.message, "%s", kms_error_message());
        if (send(fd, &answer, sizeof answer, MSG_NOSIGNAL) != (ssize_t)sizeof answer)
            break;
    }
    _exit(0);
}

static void *peer_thread(void *fd)
{
    peer_serve(*(int *)fd);
    return NULL;
}

static void peer_sit_down(int fd, trial_seat seat)
{
    pthread_t thread;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (seat == SEAT_THREAD) {
        if (pthread_create(&thread, NULL, peer_thread, &fd) == 0)
            pthread_join(thread, NULL);
    } else if (seat == SEAT_CHILD) {
        pid_t child = fork();
        if (child > 0)
            _exit(trial_wait(child));
    }
    peer_serve(fd);
}

static trial_peer peer_start(trial_seat seat)
{
    int ends[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        close(ends[0]);
        peer_sit_down(ends[1], seat);
    }
    close(ends[1]);
    return (trial_peer){pid, ends[0]};
}

trial_peer trial_peer_start(void)
{
    return peer_start(SEAT_INIT);
}

trial_peer trial_peer_start_namespaced(trial_seat seat)
{
    int own = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
    if (own < 0 || unshare(CLONE_NEWPID) != 0) {
        if (own >= 0)
            close(own);
        return (trial_peer){0, -1};
    }
    /* Only children are in the new namespace; the first one has the pid 1 there. */
    trial_peer peer = peer_start(seat);
    ck_assert_int_eq(setns(own, CLONE_NEWPID), 0);
    close(own);
    return peer;
}

void trial_peer_tell(trial_peer *peer, int what, const char *path, uint64_t argument)
{
    static request asked;
    memset(&asked, 0, sizeof asked);
    asked.what = what;
    asked.argument = argument;
    if (path != NULL)
        snprintf(asked.path, sizeof asked.path, "%s", path);
    ck_assert(send(peer->fd, &asked, sizeof asked, MSG_NOSIGNAL) == (ssize_t)sizeof asked);
}

bool trial_peer_answer(trial_peer *peer, int timeout_ms, kms_status *status, uint64_t *number,
                       char *message)
{
    reply answer;
    struct pollfd ready = {peer->fd, POLLIN, 0};
    if (poll(&ready, 1, timeout_ms) != 1)
        return false;
    ck_assert(recv(peer->fd, &answer, sizeof answer, 0) == (ssize_t)sizeof answer);
    *status = answer.status;
    if (number != NULL)
        *number = answer.number;
    if (message != NULL)
        memcpy(message, answer.message, sizeof answer.message);
    return true;
}

kms_status trial_peer_do(trial_peer *peer, int what, const char *path, uint64_t argument,
                         uint64_t *number, char *message)
{
    kms_status status = KMS_OK;
    trial_peer_tell(peer, what, path, argument);
    ck_assert(trial_peer_answer(peer, 60000, &status, number, message));
    return status;
}

void trial_peer_kill(trial_peer *peer)
{
    kill(peer->pid, SIGKILL);
    trial_wait(peer->pid);
    close(peer->fd);
    *peer = (trial_peer){0, -1};
}

void trial_peer_end(trial_peer *peer)
{
    /* Closing would not do: later peers have copies of this end. */
    trial_peer_tell(peer, 0, NULL, 0);
    close(peer->fd);
    trial_wait(peer->pid);
    *peer = (trial_peer){0, -1};
}

/* --- children ------------------------------------------------------------------------------- */

pid_t trial_fork(int (*body)(void *), void *argument)
{
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        _exit(body(argument));
    }
    return pid;
}

int trial_wait(pid_t pid)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void trial_child_failed(const char *file, int line, const char *condition)
{
    fprintf(stderr, "%s:%d: in a child: %s (%s)\n", file, line, condition, kms_error_message());
    _exit(99);
}
