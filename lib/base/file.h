/* Files: reading and writing whole pieces, and replacing a file by a new one, all or nothing. Every
 * failure names the file, with the system's own sentence. */
#ifndef KMS__BASE_FILE_H
#define KMS__BASE_FILE_H

#include <kms/status.h>
#include <sys/stat.h>

/* A failure that errno tells: KMS_ERR_NOT_FOUND, KMS_ERR_FULL, KMS_ERR_NO_MEMORY, else KMS_ERR_FILE.
 * `doing` is "open", "read" and the like. */
kms_status kms__file_failed(const char *name, const char *doing);

/* What to call a file in a sentence: its path, or the end of a long one. */
const char *kms__file_label(const char *name);

/* Passes a failure on, in whose sentence the file's name stands first. */
kms_status kms__file_about(const char *name, kms_status st);

/* Opens a regular file with these flags of open(), and tells what it is. */
kms_status kms__file_open(const char *path, int flags, int *fd, struct stat *st);

/* Reads len bytes at an offset; fewer only where the file ends. */
kms_status kms__file_read(int fd, const char *name, uint64_t at, void *buffer, size_t len,
                          size_t *len_read);

/* Writes all of it. */
kms_status kms__file_write(int fd, const char *name, uint64_t at, const void *buffer, size_t len);

kms_status kms__file_sync(int fd, const char *name);

/* A file that is being made beside the one whose place it takes. */
typedef struct kms__new_file {
    int fd;
    /* The folder in which it stands: whatever becomes of its path, and of the working folder, the file is
     * named and removed there. */
    int folder;
    /* What it will be called, the last part of that, and what it is called until then; "": nothing. */
    char *path;
    char *name;
    char draft[16];
    mode_t mode;
    uid_t owner;
    gid_t group;
} kms__new_file;

#define KMS__NEW_FILE_NONE ((kms__new_file){.fd = -1, .folder = -1})

/* Begins a file that nobody else can read. It gets the owner and the permissions of the file that
 * stands at the path; if none does, of the one that is open as like. Of a file with an access-control list,
 * which is not taken over, nothing is for the group: its group bits are the list's mask. */
kms_status kms__new_file_begin(const char *path, int like, kms__new_file *file);

/* Makes it durable, and then puts it at the path in one step. Whatever it answers, the file is closed,
 * and everything freed. */
kms_status kms__new_file_commit(kms__new_file *file);

/* Removes it. */
void kms__new_file_abandon(kms__new_file *file);

#endif
