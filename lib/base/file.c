#include "base/file.h"
#include "base/try.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Leaves the sentence itself room in a message: of a long path, its end is the telling part. */
#define LABEL_MAX 250

#define DRAFT "/.libkms-XXXXXX"

static const char *label(const char *name)
{
    size_t len = strlen(name);

    return len <= LABEL_MAX ? name : name + (len - LABEL_MAX);
}

kms_status kms__file_failed(const char *name, const char *doing)
{
    int error = errno;
    kms_status status = KMS_ERR_FILE;
    char room[128];

    if (error == ENOENT)
        status = KMS_ERR_NOT_FOUND;
    else if (error == ENOSPC || error == EDQUOT || error == EFBIG)
        status = KMS_ERR_FULL;
    else if (error == ENOMEM)
        status = KMS_ERR_NO_MEMORY;
    return kms_set_error(status, "%s: %s: %s", label(name), doing,
                         strerror_r(error, room, sizeof room));
}

/* O_NONBLOCK, so that a pipe without a writer is refused and not waited for. */
kms_status kms__file_open(const char *path, int flags, int *fd, struct stat *st)
{
    int opened = open(path, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

    if (opened < 0)
        return kms__file_failed(path, "open");
    if (fstat(opened, st) == 0 && S_ISREG(st->st_mode)) {
        *fd = opened;
        return KMS_OK;
    }
    (void)close(opened);
    return kms_set_error(KMS_ERR_FILE, "%s: not a regular file", label(path));
}

static bool offset_fits(uint64_t at, size_t len)
{
    return at <= INT64_MAX && len <= INT64_MAX - at;
}

kms_status kms__file_read(int fd, const char *name, uint64_t at, void *buffer, size_t len,
                          size_t *len_read)
{
    size_t done = 0;

    while (done < len && offset_fits(at, len)) {
        ssize_t got = pread(fd, (uint8_t *)buffer + done, len - done, (off_t)(at + done));

        if (got == 0)
            break;
        if (got > 0)
            done += (size_t)got;
        else if (errno != EINTR)
            return kms__file_failed(name, "read");
    }
    *len_read = done;
    return KMS_OK;
}

kms_status kms__file_write(int fd, const char *name, uint64_t at, const void *buffer, size_t len)
{
    size_t done = 0;

    if (!offset_fits(at, len))
        return kms_set_error(KMS_ERR_FULL, "%s: write: too far behind its beginning", label(name));
    while (done < len) {
        ssize_t put = pwrite(fd, (const uint8_t *)buffer + done, len - done, (off_t)(at + done));

        if (put > 0)
            done += (size_t)put;
        else if (put == 0 || errno != EINTR)
            return kms__file_failed(name, "write");
    }
    return KMS_OK;
}

kms_status kms__file_sync(int fd, const char *name)
{
    return fsync(fd) == 0 ? KMS_OK : kms__file_failed(name, "sync");
}

/* --- a new file in the place of another --------------------------------------------------------- */

/* The folder of a path is its first so many bytes; 0: the working directory. */
static size_t folder_len(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash == NULL ? 0 : (size_t)(slash - path);
}

static char *draft_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *folder = slash == NULL ? "." : path;
    size_t len = slash == NULL ? 1 : folder_len(path);
    char *draft = malloc(len + sizeof DRAFT);

    if (draft != NULL) {
        memcpy(draft, folder, len);
        memcpy(draft + len, DRAFT, sizeof DRAFT);
    }
    return draft;
}

/* Where the file really stands: a link at the path stays one. */
static kms_status find_place(const char *path, const struct stat *like, kms__new_file *file)
{
    struct stat there = *like;

    if (stat(path, &there) == 0) {
        if (!S_ISREG(there.st_mode))
            return kms_set_error(KMS_ERR_FILE, "%s: not a regular file", label(path));
        file->path = realpath(path, NULL);
    } else if (errno == ENOENT) {
        file->path = strdup(path);
    }
    file->mode = there.st_mode & (S_IRWXU | S_IRWXG | S_IRWXO);
    file->owner = there.st_uid;
    file->group = there.st_gid;
    return file->path != NULL ? KMS_OK : kms__file_failed(path, "find");
}

static void clear(kms__new_file *file)
{
    if (file->fd >= 0)
        (void)close(file->fd);
    free(file->path);
    free(file->draft);
    *file = (kms__new_file){.fd = -1};
}

kms_status kms__new_file_begin(const char *path, const struct stat *like, kms__new_file *file)
{
    kms_status st;

    *file = (kms__new_file){.fd = -1};
    st = find_place(path, like, file);
    if (st != KMS_OK)
        goto failed;
    file->draft = draft_of(file->path);
    if (file->draft == NULL) {
        st = kms_set_error(KMS_ERR_NO_MEMORY, "no memory for the name of a file");
        goto failed;
    }
    file->fd = mkostemp(file->draft, O_CLOEXEC);
    if (file->fd >= 0)
        return KMS_OK;
    st = kms__file_failed(path, "make a new file beside it");
failed:
    clear(file);
    return st;
}

/* Who may not give files away keeps what is made: with the group's bits only if it is the group's. */
static kms_status take_over_permissions(const kms__new_file *file)
{
    struct stat now;
    mode_t mode = file->mode;

    if (fchown(file->fd, file->owner, file->group) != 0 &&
        (fstat(file->fd, &now) != 0 || now.st_gid != file->group))
        mode &= ~(mode_t)S_IRWXG;
    return fchmod(file->fd, mode) == 0 ? KMS_OK : kms__file_failed(file->path, "set permissions");
}

/* The new name itself is durable only when its folder is. */
static kms_status sync_folder(char *path)
{
    size_t len = folder_len(path);
    kms_status st = KMS_OK;
    int fd;

    if (strchr(path, '/') != NULL)
        path[len > 0 ? len : 1] = '\0';
    else
        (void)memcpy(path, ".", 2);
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return kms__file_failed(path, "open");
    /* EINVAL: a file system that does not sync folders. */
    if (fsync(fd) != 0 && errno != EINVAL)
        st = kms__file_failed(path, "sync");
    (void)close(fd);
    return st;
}

kms_status kms__new_file_commit(kms__new_file *file)
{
    kms_status st = take_over_permissions(file);

    if (st == KMS_OK)
        st = kms__file_sync(file->fd, file->path);
    if (st == KMS_OK && rename(file->draft, file->path) != 0)
        st = kms__file_failed(file->path, "rename");
    if (st != KMS_OK) {
        kms__new_file_abandon(file);
        return st;
    }
    st = sync_folder(file->path);
    clear(file);
    return st;
}

void kms__new_file_abandon(kms__new_file *file)
{
    int kept = errno;

    if (file->draft != NULL)
        (void)unlink(file->draft);
    clear(file);
    errno = kept;
}
