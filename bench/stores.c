#include "stores.h"
#include "fail.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static char folders[2][PATH_SIZE - 64];

/* A process that waits until this one has ended, however that was, and then removes the folders. It
 * has the reading end of a pipe; the writing end closes with its last holder. */
static pid_t janitor;
static int janitor_waits_for;

static int remove_entry(const char *path, const struct stat *about, int kind, struct FTW *at)
{
    (void)about, (void)kind, (void)at;
    (void)remove(path);
    return 0;
}

static void remove_folder(const char *folder)
{
    (void)nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static void clean_up_after(int ending)
{
    char byte;

    /* What ends this process' group, such as Ctrl-C, does not end this one. */
    (void)setsid();
    while (read(ending, &byte, 1) < 0 && errno == EINTR)
        continue;
    remove_folder(folders[FAST]);
    remove_folder(folders[DISK]);
}

static void wait_for_janitor(void)
{
    (void)close(janitor_waits_for);
    (void)waitpid(janitor, NULL, 0);
}

static void start_janitor(void)
{
    int ends[2];

    must(pipe2(ends, O_CLOEXEC) == 0, "a pipe");
    janitor = fork();
    must(janitor >= 0, "another process");
    if (janitor == 0) {
        (void)close(ends[1]);
        clean_up_after(ends[0]);
        _exit(0);
    }
    (void)close(ends[0]);
    janitor_waits_for = ends[1];
    must(atexit(wait_for_janitor) == 0, "a hook for the program's end");
}

void stores_outlived(void)
{
    (void)fcntl(janitor_waits_for, F_SETFD, 0);
}

static void make_folder(place where, const char *directory)
{
    int len = snprintf(folders[where], sizeof folders[where], "%s/kms-bench.XXXXXX", directory);

    must(len > 0 && (size_t)len < sizeof folders[where] && mkdtemp(folders[where]) != NULL,
         directory);
}

void stores_begin(const char *fast_directory, const char *disk_directory)
{
    make_folder(FAST, fast_directory);
    make_folder(DISK, disk_directory);
    start_janitor();
}

const char *stores_path(place where, const char *name)
{
    static char paths[4][PATH_SIZE];
    static unsigned next;
    char *path = paths[next++ % 4];

    snprintf(path, PATH_SIZE, "%s/%s", folders[where], name);
    return path;
}

kms_store *stores_open(const char *path, uint32_t cache_entries)
{
    static const uint8_t root_key[KMS_ROOT_KEY_SIZE] = {1};
    kms_open_options options = KMS_OPEN_OPTIONS_INIT;
    kms_backend *engine;
    kms_root *root;
    kms_store *store;

    if (cache_entries != 0)
        options.cache_entries = cache_entries;
    must_ok(kms_lmdb_backend(&engine, path, NULL));
    must_ok(kms_root_raw(&root, root_key, sizeof root_key));
    must_ok(kms_open(&store, engine, root, KMS_OPEN_CREATE, &options));
    return store;
}

void stores_copy(const char *from, const char *to)
{
    static char buffer[1 << 20];
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ssize_t len;

    must(in >= 0 && out >= 0, "a store to copy");
    while ((len = read(in, buffer, sizeof buffer)) > 0)
        must(write(out, buffer, (size_t)len) == len, "writing a copy of a store");
    must(len == 0 && close(in) == 0 && close(out) == 0, "copying a store");
}

void stores_remove(const char *path)
{
    char beside[PATH_SIZE + 16];

    (void)unlink(path);
    snprintf(beside, sizeof beside, "%s-lock", path);
    (void)unlink(beside);
    snprintf(beside, sizeof beside, "%s-guard", path);
    (void)unlink(beside);
}

void stores_add_key(kms_store *store, kms_suite suite, const char *alias,
                    char key_id[KMS_KEY_ID_SIZE])
{
    kms_create_key_options options = KMS_CREATE_KEY_OPTIONS_INIT;

    options.suite = suite;
    must_ok(kms_create_key(store, &options, key_id));
    if (alias != NULL)
        must_ok(kms_create_alias(store, alias, key_id));
}

pid_t process_start(void (*body)(void *), void *argument)
{
    pid_t pid;

    (void)fflush(NULL);
    pid = fork();
    must(pid >= 0, "another process");
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        body(argument);
        _exit(0);
    }
    return pid;
}

void process_end(pid_t pid)
{
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
}

void process_run(void (*body)(void *), void *argument)
{
    pid_t pid = process_start(body, argument);
    int status;

    must(waitpid(pid, &status, 0) == pid && status == 0, "a process that does its part");
}

typedef struct holding {
    const char *path;
    int told;
} holding;

static void hold(void *argument)
{
    const holding *what = argument;

    (void)stores_open(what->path, 0);
    must(write(what->told, "", 1) == 1, "telling that a store is open");
    for (;;)
        pause();
}

pid_t stores_hold(const char *path)
{
    holding what = {.path = path};
    int ends[2];
    char byte;
    pid_t pid;

    must(pipe2(ends, O_CLOEXEC) == 0, "a pipe");
    what.told = ends[1];
    pid = process_start(hold, &what);
    must(close(ends[1]) == 0 && read(ends[0], &byte, 1) == 1 && close(ends[0]) == 0,
         "a second process that has the store open");
    return pid;
}
