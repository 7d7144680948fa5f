/**
 * @file lmdb_files.c
 * Paths, identities, and what stands at a path.
 */
#include "lmdb_internal.h"

#if KMS_HAVE_LMDB

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

char *kms__lmdb_join(const char *path, const char *suffix)
{
    size_t len = strlen(path);
    size_t more = strlen(suffix);
    char *joined = malloc(len + more + 1);
    if (joined == NULL)
        return NULL;
    memcpy(joined, path, len);
    memcpy(joined + len, suffix, more + 1);
    return joined;
}

char *kms__lmdb_absolute(const char *path)
{
    if (path[0] == '/')
        return kms__lmdb_join(path, "");
    char *here = getcwd(NULL, 0);
    /* A removed working directory has no name; the relative path is then all there is. */
    if (here == NULL)
        return errno == ENOMEM ? NULL : kms__lmdb_join(path, "");
    char *slash = kms__lmdb_join(here, strcmp(here, "/") == 0 ? "" : "/");
    free(here);
    if (slash == NULL)
        return NULL;
    char *joined = kms__lmdb_join(slash, path);
    free(slash);
    return joined;
}

bool kms__lmdb_same(lmdb_identity a, lmdb_identity b)
{
    return a.dev == b.dev && a.ino == b.ino;
}

lmdb_identity kms__lmdb_identity(const struct stat *st)
{
    return (lmdb_identity){st->st_dev, st->st_ino};
}

/* statfs(2) lists these numbers; linux/magic.h has most of them, under many names. */
static const struct {
    uint32_t type;
    const char *name;
} refused[] = {
    {0x6969u, "NFS"},          {0x517Bu, "SMB"},        {0xFF534D42u, "CIFS"},
    {0xFE534D42u, "SMB2"},     {0x01021997u, "9p"},     {0x65735546u, "FUSE"},
    {0x00C36400u, "Ceph"},     {0x5346414Fu, "AFS"},    {0x6B414653u, "AFS"},
    {0x73757245u, "Coda"},     {0x564Cu, "NCP"},        {0x01161970u, "GFS2"},
    {0x7461636Fu, "OCFS2"},    {0x0BD00BD0u, "Lustre"}, {0x47504653u, "GPFS"},
    {0x20030528u, "OrangeFS"}, {0x786F4256u, "vboxsf"}, {0xBACBACBCu, "vmhgfs"},
};

kms_status kms__lmdb_check_fs(int fd, const char *path)
{
    struct statfs fs;
    if (fstatfs(fd, &fs) != 0)
        return kms__lmdb_fail(path, "asking for the file system", errno);
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        if ((uint32_t)fs.f_type == refused[i].type)
            return kms_set_error(KMS_ERR_UNSUPPORTED,
                                 "%s: a store cannot be kept on %s: its mappings and locks are not "
                                 "coherent; use a local file system",
                                 kms__lmdb_label(path), refused[i].name);
    }
    return KMS_OK;
}

kms_status kms__lmdb_nothing_there(const char *path)
{
    struct stat st;
    if (lstat(path, &st) == 0 && S_ISLNK(st.st_mode))
        return kms_set_error(KMS_ERR_NOT_FOUND,
                             "%s is a symbolic link to nothing: remove it, or make the store where "
                             "it points to",
                             kms__lmdb_label(path));
    return kms_set_error(KMS_ERR_NOT_FOUND, "%s: no store is there", kms__lmdb_label(path));
}

/* stat() comes before open(), since opening a device or a fifo already does something to it. */
static kms_status stat_regular(const char *path, struct stat *st)
{
    if (stat(path, st) != 0) {
        if (errno == ENOENT || errno == ENOTDIR)
            return kms__lmdb_nothing_there(path);
        return kms__lmdb_fail(path, "looking for the store", errno);
    }
    if (!S_ISREG(st->st_mode))
        return kms_set_error(KMS_ERR_NOT_A_STORE,
                             "%s: this is not a libkms store (it is no regular file)",
                             kms__lmdb_label(path));
    return KMS_OK;
}

static kms_status inspect_fd(int fd, const char *path, lmdb_found *found)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return kms__lmdb_fail(path, "looking at the store", errno);
    *found = (lmdb_found){
        true, kms__lmdb_identity(&st), (uint64_t)st.st_size, st.st_mode, st.st_uid, st.st_gid};
    kms_status status = kms__lmdb_check_fs(fd, path);
    if (status != KMS_OK)
        return status;
    return kms__lmdb_check_meta(fd, path);
}

kms_status kms__lmdb_inspect(const char *path, lmdb_found *found)
{
    struct stat st;
    kms_status status = stat_regular(path, &st);
    if (status != KMS_OK)
        return status;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return kms__lmdb_fail(path, "opening the store", errno);
    status = inspect_fd(fd, path, found);
    close(fd);
    return status;
}

#endif
