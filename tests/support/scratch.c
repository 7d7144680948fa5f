#include "scratch.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATHS 64

static char folder[SCRATCH_PATH_MAX / 2];
static char *paths[PATHS];

void scratch_begin(void)
{
    const char *parent = getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp";

    ck_assert_int_lt(snprintf(folder, sizeof folder, "%s/kms-scratch-XXXXXX", parent),
                     (int)sizeof folder);
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(chmod(folder, 0777), 0);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void scratch_end(void)
{
    ck_assert_int_eq(nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
    for (size_t i = 0; i < PATHS; i++) {
        free(paths[i]);
        paths[i] = NULL;
    }
}

const char *scratch_path(const char *name)
{
    char path[SCRATCH_PATH_MAX];
    size_t at = 0;

    ck_assert_int_lt(snprintf(path, sizeof path, "%s/%s", folder, name), (int)sizeof path);
    while (at < PATHS && paths[at] != NULL && strcmp(paths[at], path) != 0)
        at++;
    ck_assert_uint_lt(at, PATHS);
    if (paths[at] == NULL)
        paths[at] = strdup(path);
    return paths[at];
}

void scratch_fill(uint8_t *bytes, size_t len, unsigned seed)
{
    uint32_t state = seed * 2654435761u + 1;

    for (size_t i = 0; i < len; i++) {
        state = state * 1664525u + 1013904223u;
        bytes[i] = (uint8_t)(state >> 24);
    }
}

static void write_at(const char *path, int flags, size_t at, const void *bytes, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0644);
    size_t done = 0;

    ck_assert_msg(fd >= 0, "%s: %s", path, strerror(errno));
    while (done < len) {
        ssize_t put = pwrite(fd, (const uint8_t *)bytes + done, len - done, (off_t)(at + done));

        ck_assert_msg(put > 0, "%s: %s", path, strerror(errno));
        done += (size_t)put;
    }
    ck_assert_int_eq(close(fd), 0);
}

void scratch_write(const char *path, const void *bytes, size_t len)
{
    write_at(path, O_TRUNC, 0, bytes, len);
}

void scratch_write_old(const char *path, const void *bytes, size_t len)
{
    const struct timespec times[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};

    scratch_write(path, bytes, len);
    ck_assert_int_eq(utimensat(AT_FDCWD, path, times, 0), 0);
}

void scratch_overwrite(const char *path, size_t at, const void *bytes, size_t len)
{
    write_at(path, 0, at, bytes, len);
}

struct stat scratch_stat(const char *path)
{
    struct stat st;

    ck_assert_msg(stat(path, &st) == 0, "%s: %s", path, strerror(errno));
    return st;
}

static uint8_t *read_all(int fd, size_t size, size_t *len)
{
    uint8_t *bytes = malloc(size + 1);
    ssize_t got = 1;

    if (bytes == NULL)
        abort();
    for (*len = 0; got > 0; *len += (size_t)got) {
        got = pread(fd, bytes + *len, size + 1 - *len, (off_t)*len);
        if (got < 0)
            abort();
    }
    return bytes;
}

uint8_t *scratch_read(const char *path, size_t *len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    uint8_t *bytes;
    struct stat st;

    ck_assert_msg(fd >= 0 && fstat(fd, &st) == 0, "%s: %s", path, strerror(errno));
    bytes = read_all(fd, (size_t)st.st_size, len);
    (void)close(fd);
    return bytes;
}

bool scratch_holds(const char *path, const void *bytes, size_t len)
{
    uint8_t *there;
    size_t there_len;
    bool same;

    if (!scratch_exists(path))
        return false;
    there = scratch_read(path, &there_len);
    same = there_len == len && (len == 0 || memcmp(there, bytes, len) == 0);
    free(there);
    return same;
}

bool scratch_exists(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0;
}

unsigned scratch_count(const char *prefix)
{
    DIR *names = opendir(folder);
    const struct dirent *name;
    unsigned count = 0;

    ck_assert_ptr_nonnull(names);
    while ((name = readdir(names)) != NULL)
        if (strcmp(name->d_name, ".") != 0 && strcmp(name->d_name, "..") != 0 &&
            strncmp(name->d_name, prefix, strlen(prefix)) == 0)
            count++;
    (void)closedir(names);
    return count;
}
