#include "base/file.h"
#include "base/kept_error.h"
#include "base/try.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

/* Leaves the sentence itself room in a message: of a long path, its end is the telling part. */
#define LABEL_MAX 250

/* Six letters follow. */
#define DRAFT ".libkms-"
#define ATTEMPTS 100

#define ACCESS_LIST "system.posix_acl_access"

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

static bool is_link(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0 && S_ISLNK(st.st_mode);
}

/* A trailing slash asks for a folder, and an empty name for nothing that could be had. */
static bool has_name(const char *path)
{
    size_t len = strlen(path);

    return len > 0 && path[len - 1] != '/';
}

static kms_status nothing_there(const char *path)
{
    if (errno != ENOENT || !has_name(path))
        return kms__file_failed(path, "find");
    if (is_link(path))
        return kms_set_error(KMS_ERR_FILE, "%s: a symbolic link that leads nowhere",
                             kms__file_label(path));
    return KMS_OK;
}

static void look_like(const struct stat *st, bool has_list, kms__new_file *file)
{
    file->mode = st->st_mode & (S_IRWXU | S_IRWXG | S_IRWXO);
    if (has_list)
        file->mode &= ~(mode_t)S_IRWXG;
    file->owner = st->st_uid;
    file->group = st->st_gid;
}

/* After what stands at the path, or should be looked like. */
static kms_status find_looks(const char *path, int like, kms__new_file *file)
{
    struct stat there;

    if (stat(path, &there) != 0) {
        KMS__TRY(nothing_there(path));
        if (fstat(like, &there) != 0)
            return kms__file_failed(path, "find");
        look_like(&there, fgetxattr(like, ACCESS_LIST, NULL, 0) > 0, file);
        return KMS_OK;
    }
    look_like(&there, getxattr(path, ACCESS_LIST, NULL, 0) > 0, file);
    if (S_ISREG(there.st_mode))
        return KMS_OK;
    return kms_set_error(KMS_ERR_FILE, "%s: not a regular file", kms__file_label(path));
}

/* Where the file really stands: a link at the path stays one. Any other path is taken as it is, for the
 * folders above the working one may be closed to us. */
static kms_status find_place(const char *path, kms__new_file *file)
{
    char *slash;

    file->path = is_link(path) ? realpath(path, NULL) : strdup(path);
    if (file->path == NULL)
        return kms__file_failed(path, "find");
    slash = strrchr(file->path, '/');
    file->name = slash != NULL ? slash + 1 : file->path;
    return KMS_OK;
}

static void clear(kms__new_file *file)
{
    if (file->fd >= 0)
        (void)close(file->fd);
    if (file->folder >= 0)
        (void)close(file->folder);
    free(file->path);
    *file = KMS__NEW_FILE_NONE;
}

/* Before there is anything to lose: whether the new name can be made durable is known now. */
static kms_status open_folder(kms__new_file *file)
{
    char first = *file->name;

    *file->name = '\0';
    file->folder =
        open(file->path[0] != '\0' ? file->path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *file->name = first;
    return file->folder >= 0 ? KMS_OK : kms__file_failed(file->path, "open its folder");
}

static void draw_name(char draft[16])
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567";
    uint8_t drawn[6];

    randombytes_buf(drawn, sizeof drawn);
    memcpy(draft, DRAFT, sizeof DRAFT);
    for (size_t i = 0; i < sizeof drawn; i++)
        draft[sizeof DRAFT - 1 + i] = letters[drawn[i] % 32];
    draft[sizeof DRAFT - 1 + sizeof drawn] = '\0';
}

/* Not as standard output or error, which a program that has closed them may still write to. */
static int above_standard(int fd)
{
    int moved;

    if (fd < 0 || fd > STDERR_FILENO)
        return fd;
    moved = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    (void)close(fd);
    return moved;
}

static kms_status make_draft(kms__new_file *file)
{
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        draw_name(file->draft);
        file->fd = above_standard(openat(file->folder, file->draft,
                                         O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
                                         S_IRUSR | S_IWUSR));
        if (file->fd >= 0)
            return KMS_OK;
        if (errno != EEXIST)
            break;
    }
    file->draft[0] = '\0';
    return kms__file_failed(file->path, "make a new file beside it");
}

kms_status kms__new_file_begin(const char *path, int like, kms__new_file *file)
{
    kms_status st;

    *file = KMS__NEW_FILE_NONE;
    st = find_looks(path, like, file);
    if (st == KMS_OK)
        st = find_place(path, file);
    if (st == KMS_OK)
        st = open_folder(file);
    if (st == KMS_OK)
        st = make_draft(file);
    if (st != KMS_OK)
        clear(file);
    return st;
}

/* Of a file that cannot be given to its group, nothing is for the group that it has instead, whose members
 * were "others"; and for others, among whom the old group's members are now, no more than for that. */
static mode_t without_group(mode_t mode)
{
    mode_t group = mode & S_IRWXG, others = mode & S_IRWXO;

    return (mode & S_IRWXU) | (others & group >> 3);
}

/* Who may not give files away may still be of the group. A list comes from the folder's default, if it has
 * one, and would be woken by the group's bits. */
static kms_status take_over_permissions(const kms__new_file *file)
{
    mode_t mode = file->mode;

    if (fchown(file->fd, file->owner, file->group) != 0 &&
        fchown(file->fd, (uid_t)-1, file->group) != 0)
        mode = without_group(mode);
    if (fremovexattr(file->fd, ACCESS_LIST) != 0 && errno != ENODATA && errno != EOPNOTSUPP)
        return kms__file_failed(file->path, "take away an access-control list");
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
    if (st == KMS_OK && renameat(file->folder, file->draft, file->folder, file->name) != 0)
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

    if (file->draft[0] != '\0')
        (void)unlinkat(file->folder, file->draft, 0);
    clear(file);
    errno = kept;
}
