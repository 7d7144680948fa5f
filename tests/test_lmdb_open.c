/* Opening what is there: a store, nothing, something else, something damaged, somewhere else. */
#include "support/lmdb_trial.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Stands before the C library's: tells of another file system than the one that is there. */
static long pretended_type;
/* And lets something happen in the middle of opening. */
static void (*meanwhile)(void);

int fstatfs(int fd, struct statfs *fs)
{
    if (meanwhile != NULL)
        meanwhile();
    int rc = (int)syscall(SYS_fstatfs, fd, fs);
    if (rc == 0 && pretended_type != 0)
        fs->f_type = pretended_type;
    return rc;
}

static void check_refused(const char *path, uint32_t flags, kms_status wanted)
{
    kms_backend *engine = trial_engine(path, 0);
    trial_is(trial_try_open(engine, flags, 0), wanted);
    trial_close(engine);
}

START_TEST(a_missing_store_is_not_found_and_nothing_is_made)
{
    const char *path = trial_path("store");
    check_refused(path, 0, KMS_ERR_NOT_FOUND);
    trial_says(path);
    check_refused(path, KMS_BACKEND_READ_ONLY, KMS_ERR_NOT_FOUND);
    check_refused(path, KMS_BACKEND_FROZEN, KMS_ERR_NOT_FOUND);
    check_refused(trial_path("no/such/folder/store"), 0, KMS_ERR_NOT_FOUND);
    ck_assert_int_eq(trial_count_files(path), 0);
}
END_TEST

START_TEST(an_engine_that_found_nothing_can_create)
{
    kms_backend *engine = trial_engine(trial_path("store"), 0);
    trial_is(trial_try_open(engine, 0, 0), KMS_ERR_NOT_FOUND);
    trial_ok(trial_try_create(engine, 7));
    ck_assert_uint_eq(trial_read(engine), 7);
    trial_close(engine);
}
END_TEST

static void check_untouched(const void *data, size_t len)
{
    static char after[65536];
    const char *path = trial_path("other");
    trial_write_file(path, data, len);
    check_refused(path, 0, KMS_ERR_NOT_A_STORE);
    trial_says("not a libkms store");
    check_refused(path, KMS_BACKEND_READ_ONLY, KMS_ERR_NOT_A_STORE);
    check_refused(path, KMS_BACKEND_FROZEN, KMS_ERR_NOT_A_STORE);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ck_assert(read(fd, after, sizeof after) == (ssize_t)len);
    close(fd);
    ck_assert(memcmp(after, data, len) == 0);
    ck_assert_int_eq(trial_count_files(path), 1);
}

START_TEST(other_files_are_refused_and_left_untouched)
{
    static char zeros[20000];
    check_untouched("", 0);
    check_untouched("x", 1);
    check_untouched("SQLite format 3", 16);
    check_untouched(zeros, sizeof zeros);
}
END_TEST

START_TEST(what_is_no_regular_file_is_refused)
{
    const char *path = trial_path("other");
    char folder[TRIAL_PATH_MAX];
    snprintf(folder, sizeof folder, "%s", path);
    *strrchr(folder, '/') = '\0';
    check_refused(folder, 0, KMS_ERR_NOT_A_STORE);
    check_refused("/dev/zero", 0, KMS_ERR_NOT_A_STORE);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    check_refused(path, 0, KMS_ERR_NOT_A_STORE);
    ck_assert_int_eq(trial_count_files(path), 1);
}
END_TEST

static void damage(const char *path, off_t offset, const void *data, size_t len)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ck_assert(pwrite(fd, data, len, offset) == (ssize_t)len);
    close(fd);
}

/* A closed store, and no side files, so that what open() makes shows. */
static const char *closed_store(const char *name)
{
    const char *path = trial_path(name);
    trial_close(trial_create(path, 1));
    unlink(trial_beside(path, "-lock"));
    unlink(trial_beside(path, "-guard"));
    return path;
}

START_TEST(either_meta_page_damaged_is_a_clear_error)
{
    long page = sysconf(_SC_PAGESIZE);
    const char *path = closed_store("first");
    damage(path, 16, "\0\0\0\0", 4);
    check_refused(path, 0, KMS_ERR_CORRUPT);
    trial_says("first meta page is unreadable");
    ck_assert_int_eq(trial_count_files(path), 1);
    unlink(path);
    path = closed_store("second");
    damage(path, page + 16, "\0\0\0\0", 4);
    check_refused(path, 0, KMS_ERR_CORRUPT);
    trial_says("second meta page is unreadable");
    unlink(path);
    path = closed_store("size");
    damage(path, 16 + 24, "\3\0\0\0", 4);
    check_refused(path, 0, KMS_ERR_CORRUPT);
    trial_says("impossible page size");
    unlink(path);
    path = closed_store("sizes");
    damage(path, page + 16 + 24, "\0\2\0\0", 4);
    check_refused(path, 0, KMS_ERR_CORRUPT);
    trial_says("contradict");
}
END_TEST

START_TEST(a_store_cut_short_is_a_clear_error)
{
    long page = sysconf(_SC_PAGESIZE);
    const char *path = closed_store("store");
    ck_assert_int_eq(truncate(path, 2 * page), 0);
    check_refused(path, 0, KMS_ERR_CORRUPT);
    trial_says("cut short");
    ck_assert_int_eq(truncate(path, page + 100), 0);
    check_refused(path, 0, KMS_ERR_CORRUPT);
    trial_says("cut short");
    ck_assert_int_eq(trial_count_files(path), 1);
}
END_TEST

START_TEST(another_data_format_of_lmdb_is_unsupported)
{
    const char *path = closed_store("store");
    damage(path, 16 + 4, "\2\0\0\0", 4);
    check_refused(path, 0, KMS_ERR_UNSUPPORTED);
    trial_says("LMDB data format 2");
}
END_TEST

START_TEST(network_and_fuse_file_systems_are_refused)
{
    /* From statfs(2): NFS, SMB, CIFS, SMB2, 9p, FUSE, Ceph, AFS, Lustre. */
    const long types[] = {0x6969,     0x517B,     0xFF534D42, 0xFE534D42, 0x01021997,
                          0x65735546, 0x00C36400, 0x5346414F, 0x0BD00BD0};
    const char *path = closed_store("store");
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        kms_backend *engine = trial_engine(trial_path("new"), 0);
        pretended_type = types[i];
        check_refused(path, 0, KMS_ERR_UNSUPPORTED);
        check_refused(path, KMS_BACKEND_FROZEN, KMS_ERR_UNSUPPORTED);
        trial_is(trial_try_create(engine, 1), KMS_ERR_UNSUPPORTED);
        trial_says("use a local file system");
        pretended_type = 0;
        trial_close(engine);
    }
    ck_assert_int_eq(trial_count_files(path), 1);
    trial_close(trial_open(path));
}
END_TEST

START_TEST(every_descriptor_of_the_store_is_closed_on_exec)
{
    const char *path = trial_path("store");
    kms_backend *engine = trial_create(path, 1);
    char name[64], target[TRIAL_PATH_MAX];
    int found = 0;
    trial_write(engine, 2);
    DIR *dir = opendir("/proc/self/fd");
    ck_assert_ptr_nonnull(dir);
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        snprintf(name, sizeof name, "/proc/self/fd/%.20s", entry->d_name);
        ssize_t len = readlink(name, target, sizeof target - 1);
        if (len < 0 || strncmp(target, path, strlen(path)) != 0)
            continue;
        found++;
        ck_assert_msg(fcntl(atoi(entry->d_name), F_GETFD) & FD_CLOEXEC, "%.*s", (int)len, target);
    }
    closedir(dir);
    ck_assert_int_ge(found, 4);
    trial_close(engine);
}
END_TEST

/* A read-only view of the folder of path, in a mount namespace of this test. */
static bool mount_read_only(const char *path, const char *view)
{
    char folder[TRIAL_PATH_MAX];
    snprintf(folder, sizeof folder, "%s", path);
    *strrchr(folder, '/') = '\0';
    return unshare(CLONE_NEWNS) == 0 &&
           mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == 0 && mkdir(view, 0700) == 0 &&
           mount(folder, view, "none", MS_BIND, NULL) == 0 &&
           mount("none", view, "none", MS_BIND | MS_REMOUNT | MS_RDONLY, NULL) == 0;
}

START_TEST(a_read_only_mount_is_refused_unless_frozen)
{
    const char *path = trial_path("store");
    const char *view = trial_fast_path("view");
    trial_peer writer = trial_peer_start();
    trial_ok(trial_peer_do(&writer, PEER_CREATE, path, 5, NULL, NULL));
    if (!mount_read_only(path, view)) {
        trial_skip(__func__, "mounting is not permitted here");
        return;
    }
    path = trial_beside(view, "/store");
    check_refused(path, 0, KMS_ERR_READ_ONLY);
    check_refused(path, KMS_BACKEND_READ_ONLY, KMS_ERR_READ_ONLY);
    trial_says("where surely nobody writes, open it as frozen");
    trial_ok(trial_peer_do(&writer, PEER_CLOSE, NULL, 0, NULL, NULL));
    trial_peer_end(&writer);
    kms_backend *engine = trial_engine(path, 0);
    kms_txn *txn;
    kms_revision revision;
    trial_ok(trial_try_open(engine, KMS_BACKEND_FROZEN, 0));
    ck_assert_uint_eq(trial_read(engine), 5);
    ck_assert_uint_eq(trial_read(engine), 5);
    trial_is(engine->ops->begin(engine, KMS_TXN_WRITE, &txn, &revision), KMS_ERR_READ_ONLY);
    trial_close(engine);
    engine = trial_engine(trial_beside(view, "/new"), 0);
    trial_is(trial_try_create(engine, 1), KMS_ERR_READ_ONLY);
    trial_says("a store cannot be made in this directory");
    trial_close(engine);
}
END_TEST

static void drop_capabilities(void)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct none[2];
    memset(none, 0, sizeof none);
    ck_assert_int_eq((int)syscall(SYS_capset, &header, none), 0);
}

START_TEST(a_lock_file_that_cannot_be_written_is_refused)
{
    const char *path = trial_path("store");
    trial_close(trial_create(path, 1));
    ck_assert_int_eq(chmod(trial_beside(path, "-lock"), 0400), 0);
    drop_capabilities();
    check_refused(path, KMS_BACKEND_READ_ONLY, KMS_ERR_READ_ONLY);
    trial_says("-lock: cannot be opened for writing");
    check_refused(path, 0, KMS_ERR_READ_ONLY);
    kms_backend *engine = trial_engine(path, 0);
    trial_ok(trial_try_open(engine, KMS_BACKEND_FROZEN, 0));
    ck_assert_uint_eq(trial_read(engine), 1);
    trial_close(engine);
}
END_TEST

START_TEST(a_folder_that_cannot_be_written_takes_no_new_store)
{
    const char *folder = trial_path("folder");
    ck_assert_int_eq(mkdir(folder, 0500), 0);
    drop_capabilities();
    kms_backend *engine = trial_engine(trial_beside(folder, "/store"), 0);
    trial_is(trial_try_create(engine, 1), KMS_ERR_READ_ONLY);
    trial_says("folder: a store cannot be made in this directory");
    trial_close(engine);
}
END_TEST

START_TEST(a_data_file_that_cannot_be_written_opens_for_reading_only)
{
    const char *path = trial_path("store");
    trial_close(trial_create(path, 1));
    ck_assert_int_eq(chmod(path, 0400), 0);
    drop_capabilities();
    check_refused(path, 0, KMS_ERR_READ_ONLY);
    trial_says("open it for reading only");
    kms_backend *engine = trial_engine(path, 0);
    trial_ok(trial_try_open(engine, KMS_BACKEND_READ_ONLY, 0));
    ck_assert_uint_eq(trial_read(engine), 1);
    trial_close(engine);
}
END_TEST

START_TEST(side_files_made_by_root_belong_to_the_owner_of_the_store)
{
    const char *path = closed_store("store");
    struct stat st;
    if (geteuid() != 0 || chown(path, 65534, 65534) != 0) {
        trial_skip(__func__, "only root can give files away");
        return;
    }
    ck_assert_int_eq(chmod(path, 0660), 0);
    trial_close(trial_open(path));
    const char *suffixes[] = {"-lock", "-guard"};
    for (size_t i = 0; i < 2; i++) {
        ck_assert_int_eq(stat(trial_beside(path, suffixes[i]), &st), 0);
        ck_assert(st.st_uid == 65534 && st.st_gid == 65534 && (st.st_mode & 0777) == 0660);
    }
}
END_TEST

START_TEST(a_symbolic_link_leads_to_the_same_lock_file)
{
    const char *path = trial_path("store");
    const char *link_path = trial_path("link");
    trial_peer peer = trial_peer_start();
    kms_backend *engine = trial_create(path, 1);
    ck_assert_int_eq(symlink(path, link_path), 0);
    trial_ok(trial_peer_do(&peer, PEER_OPEN, link_path, 0, NULL, NULL));
    trial_ok(trial_peer_do(&peer, PEER_WRITE, NULL, 2, NULL, NULL));
    ck_assert_uint_eq(trial_read(engine), 2);
    ck_assert(!trial_exists(trial_beside(link_path, "-lock")));
    trial_peer_end(&peer);
    trial_close(engine);
}
END_TEST

static trial_peer writer;

static void grow_once(void)
{
    char name[16];
    meanwhile = NULL;
    for (int i = 0; i < 8; i++) {
        snprintf(name, sizeof name, "large %d", i);
        trial_ok(trial_peer_do(&writer, PEER_FILL, name, 60000, NULL, NULL));
    }
}

START_TEST(a_store_that_grows_while_it_is_looked_at_is_not_cut_short)
{
    const char *path = closed_store("store");
    writer = trial_peer_start();
    trial_ok(trial_peer_do(&writer, PEER_OPEN, path, 0, NULL, NULL));
    meanwhile = grow_once;
    trial_close(trial_open(path));
    ck_assert(meanwhile == NULL);
    trial_peer_end(&writer);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_missing_store_is_not_found_and_nothing_is_made,
        a_store_that_grows_while_it_is_looked_at_is_not_cut_short,
        an_engine_that_found_nothing_can_create,
        other_files_are_refused_and_left_untouched,
        what_is_no_regular_file_is_refused,
        either_meta_page_damaged_is_a_clear_error,
        a_store_cut_short_is_a_clear_error,
        another_data_format_of_lmdb_is_unsupported,
        network_and_fuse_file_systems_are_refused,
        every_descriptor_of_the_store_is_closed_on_exec,
        a_read_only_mount_is_refused_unless_frozen,
        a_lock_file_that_cannot_be_written_is_refused,
        a_folder_that_cannot_be_written_takes_no_new_store,
        a_data_file_that_cannot_be_written_opens_for_reading_only,
        side_files_made_by_root_belong_to_the_owner_of_the_store,
        a_symbolic_link_leads_to_the_same_lock_file,
    };
    return trial_main("lmdb_open", tests, sizeof tests / sizeof tests[0]);
}
