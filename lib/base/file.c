#include "base/file.h"
#include "base/kept_error.h"
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

const char *kms__file_label(const char *name)
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
    return kms_set_error(status, "%s: %s: %s", kms__file_label(name), doing,
                         strerror_r(error, room, sizeof room));
}

kms_status kms__file_about(const char *name, kms_status st)
{
    const char *label = kms__file_label(name);
    kms__kept_error why;

    if (st == KMS_OK || strncmp(kms_error_message(), label, strlen(label)) == 0)
        return st;
    kms__error_keep(&why);
    return kms_set_error(st, "%s: %s", label, why.message);
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
    return kms_set_error(KMS_ERR_FILE, "%s: not a regular file", kms__file_label(path));
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
        return kms_set_error(KMS_ERR_FULL, "%s: write: too far behind its beginning",
                             kms__file_label(name));
    while (done < len) {
        ssize_t put = pwrite(fd, (const uint8_t *)buffer + done, len - done, (off_t)(at + done));

        if (put > 0)
            done += (size_t)put;
        else if (put == 0 || errno != EINTR)
            return kms__file_failed(name, "write");
    }
    return KMS_OK;
}

static int sync_now(int fd)
{
    int failed;

    do
        failed = fsync(fd);
    while (failed != 0 && errno == EINTR);
    return failed;
}

kms_status kms__file_sync(int fd, const char *name)
{
    return sync_now(fd) == 0 ? KMS_OK : kms__file_failed(name, "sync");
}

/* --- a new file in the place of another --------------------------------------------------------- */

static char *draft_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *folder = slash == NULL ? "." : path;
    size_t len = slash == NULL ? 1 : (size_t)(slash - path);
    char *draft = malloc(len + sizeof DRAFT);

    if (draft != NULL) {
        memcpy(draft, folder, len);
        memcpy(draft + len, DRAFT, sizeof DRAFT);
    }
    return draft;
}

static bool is_link(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0 && S_ISLNK(st.st_mode);
}

/* What stands there, or should look like this. */
static kms_status look_at(const char *path, const struct stat *like, struct stat *there)
{
    if (stat(path, there) == 0)
        return S_ISREG(there->st_mode)
                   ? KMS_OK
                   : kms_set_error(KMS_ERR_FILE, "%s: not a regular file", kms__file_label(path));
    /* Of an empty name it would be found out at the end that nothing can have it. */
    if (errno != ENOENT || path[0] == '\0')
        return kms__file_failed(path, "find");
    if (is_link(path))
        return kms_set_error(KMS_ERR_FILE, "%s: a symbolic link that leads nowhere",
                             kms__file_label(path));
    *there = *like;
    return KMS_OK;
}

/* Where the file really stands: a link at the path stays one. Any other path is taken as it is, for the
 * folders above the working one may be closed to us. */
static kms_status find_place(const char *path, const struct stat *like, kms__new_file *file)
{
    struct stat there;

    KMS__TRY(look_at(path, like, &there));
    file->mode = there.st_mode & (S_IRWXU | S_IRWXG | S_IRWXO);
    file->owner = there.st_uid;
    file->group = there.st_gid;
    file->path = is_link(path) ? realpath(path, NULL) : strdup(path);
    return file->path != NULL ? KMS_OK : kms__file_failed(path, "find");
}

static void clear(kms__new_file *file)
{
    if (file->fd >= 0)
        (void)close(file->fd);
    if (file->folder >= 0)
        (void)close(file->folder);
    free(file->path);
    free(file->draft);
    *file = KMS__NEW_FILE_NONE;
}

/* Before there is anything to lose: whether the new name can be made durable is known now. */
static kms_status open_folder(kms__new_file *file)
{
    char *name = strrchr(file->draft, '/') + 1, first = *name;

    *name = '\0';
    file->folder = open(file->draft, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *name = first;
    return file->folder >= 0 ? KMS_OK : kms__file_failed(file->path, "open its folder");
}

static kms_status make_draft(kms__new_file *file)
{
    file->draft = draft_of(file->path);
    if (file->draft == NULL)
        return kms_set_error(KMS_ERR_NO_MEMORY, "no memory for the name of a file");
    KMS__TRY(open_folder(file));
    file->fd = mkostemp(file->draft, O_CLOEXEC);
    return file->fd >= 0 ? KMS_OK : kms__file_failed(file->path, "make a new file beside it");
}

kms_status kms__new_file_begin(const char *path, const struct stat *like, kms__new_file *file)
{
    kms_status st;

    *file = KMS__NEW_FILE_NONE;
    st = find_place(path, like, file);
    if (st == KMS_OK)
        st = make_draft(file);
    if (st != KMS_OK)
        clear(file);
    return st;
}

/* Who may not give files away may still be of the group. Who is not keeps what is made to himself,
 * rather than for another group. */
static kms_status take_over_permissions(const kms__new_file *file)
{
    mode_t mode = file->mode;

    if (fchown(file->fd, file->owner, file->group) != 0 &&
        fchown(file->fd, (uid_t)-1, file->group) != 0)
        mode &= ~(mode_t)S_IRWXG;
    return fchmod(file->fd, mode) == 0 ? KMS_OK : kms__file_failed(file->path, "set permissions");
}

/* The new name itself is durable only when its folder is. EINVAL: a file system that does not sync
 * folders. */
static kms_status sync_folder(const kms__new_file *file)
{
    if (sync_now(file->folder) == 0 || errno == EINVAL)
        return KMS_OK;
    return kms__file_failed(file->path, "is there; sync its folder");
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
    st = sync_folder(file);
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
