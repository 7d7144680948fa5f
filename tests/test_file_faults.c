/* Whatever call of the system fails, and when the disk is full: the old file stays, byte for byte, and
 * no draft; the sentence has the system's own words. A header that was half rewritten opens.
 *
 * The calls that libkms makes for files are this program's own. */
/* Whose inline forms of these calls would stand in the way. */
#undef _FORTIFY_SOURCE

#include "support/file_trial.h"
#include "support/lmdb_trial.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef enum fault_call { AT_READ, AT_WRITE, AT_SYNC, AT_RENAME, AT_MODE, FAULT_CALLS } fault_call;

/* Which call fails next, how, and how often it was made while something was armed. */
static struct {
    bool armed;
    fault_call call;
    unsigned in;
    int error;
    /* Reads and writes are of one byte less than asked for, down to one. */
    bool in_pieces;
    unsigned made[FAULT_CALLS];
} fault;

static bool fails(fault_call call)
{
    if (!fault.armed)
        return false;
    fault.made[call]++;
    if (fault.call != call || fault.in == 0 || --fault.in > 0)
        return false;
    errno = fault.error;
    return true;
}

static size_t piece(size_t len)
{
    return fault.armed && fault.in_pieces && len > 1 ? len - 1 - len / 3 : len;
}

#pragma GCC visibility push(default)

ssize_t pread(int fd, void *buffer, size_t len, off_t at)
{
    return fails(AT_READ) ? -1 : (ssize_t)syscall(SYS_pread64, fd, buffer, piece(len), at);
}

ssize_t pwrite(int fd, const void *buffer, size_t len, off_t at)
{
    return fails(AT_WRITE) ? -1 : (ssize_t)syscall(SYS_pwrite64, fd, buffer, piece(len), at);
}

int fsync(int fd)
{
    return fails(AT_SYNC) ? -1 : (int)syscall(SYS_fsync, fd);
}

int renameat(int from_folder, const char *from, int to_folder, const char *to)
{
    return fails(AT_RENAME) ? -1 : (int)syscall(SYS_renameat2, from_folder, from, to_folder, to, 0);
}

int fchmod(int fd, mode_t mode)
{
    return fails(AT_MODE) ? -1 : (int)syscall(SYS_fchmod, fd, mode);
}

#pragma GCC visibility pop

static void arm(fault_call call, unsigned nth, int error)
{
    memset(&fault, 0, sizeof fault);
    fault.call = call;
    fault.in = nth;
    fault.error = error;
    fault.armed = true;
}

/* Whether it fired. */
static bool disarm(void)
{
    fault.armed = false;
    return fault.in == 0;
}

static void setup(void)
{
    /* Engines on disk make such calls themselves. */
    setenv("KMS_TEST_BACKEND", "memory", 1);
    file_setup();
}

/* --- each call fails ---------------------------------------------------------------------------- */

static const struct {
    int error;
    kms_status status;
} errors[] = {{EIO, KMS_ERR_FILE},   {ENOSPC, KMS_ERR_FULL}, {EDQUOT, KMS_ERR_FULL},
              {EFBIG, KMS_ERR_FULL}, {EPERM, KMS_ERR_FILE},  {ENOMEM, KMS_ERR_NO_MEMORY}};
#define ERRORS (sizeof errors / sizeof *errors)

/* The last sync is the folder's: the new file is there, and perhaps not durable. */
static bool came_too_late(fault_call call, unsigned nth)
{
    return call == AT_SYNC && nth == 2;
}

static unsigned fail_each(file_way way, fault_call call, size_t error)
{
    const char *from = file_source(way), *to = scratch_path("to");
    unsigned nth = 0;
    bool fired = true;

    while (fired) {
        file_before before = file_put(true);
        kms_status st;

        arm(call, ++nth, errors[error].error);
        st = file_convert(file_store, way, from, to, NULL);
        fired = disarm();
        if (!fired) {
            fixture_ok(st);
            break;
        }
        fixture_is(st, errors[error].status);
        fixture_says(strerror(errors[error].error));
        fixture_says(call == AT_READ ? "/source: read" : "/to: ");
        if (!came_too_late(call, nth)) {
            file_is_untouched(&before);
        } else {
            fixture_says("folder");
            ck_assert(file_is_made(file_store, way, to));
            ck_assert_uint_eq(scratch_count(".libkms-"), 0);
        }
    }
    return nth - 1;
}

START_TEST(whichever_call_fails_the_old_file_stays)
{
    static const unsigned least[FAULT_CALLS] = {5, 5, 2, 1, 1};
    file_way way = (file_way)(_i / FAULT_CALLS);
    fault_call call = (fault_call)(_i % FAULT_CALLS);

    setup();
    for (size_t error = 0; error < ERRORS; error++)
        ck_assert_uint_ge(fail_each(way, call, error), least[call]);
    file_finish();
}
END_TEST

START_TEST(a_call_that_was_interrupted_is_made_again)
{
    static const fault_call calls[] = {AT_READ, AT_WRITE, AT_SYNC};
    file_way way = (file_way)_i;
    const char *from;

    setup();
    from = file_source(way);
    for (size_t i = 0; i < 3; i++)
        for (unsigned nth = 1; nth <= 2; nth++) {
            (void)file_put(true);
            arm(calls[i], nth, EINTR);
            fixture_ok(file_convert(file_store, way, from, scratch_path("to"), NULL));
            ck_assert(disarm());
            ck_assert(file_is_made(file_store, way, scratch_path("to")));
        }
    file_finish();
}
END_TEST

START_TEST(reads_and_writes_in_pieces_are_put_together)
{
    file_way way = (file_way)_i;
    const char *from;

    setup();
    from = file_source(way);
    arm(AT_MODE, 0, 0);
    fault.in_pieces = true;
    fixture_ok(file_convert(file_store, way, from, scratch_path("to"), NULL));
    (void)disarm();
    ck_assert_uint_gt(fault.made[AT_READ], 20);
    ck_assert_uint_gt(fault.made[AT_WRITE], 20);
    ck_assert(file_is_made(file_store, way, scratch_path("to")));
    arm(AT_MODE, 0, 0);
    fault.in_pieces = true;
    if (way == FILE_DECRYPT)
        fixture_ok(kms_rewrap_file(file_store, NULL, file_key, NULL, from, NULL));
    (void)disarm();
    file_finish();
}
END_TEST

START_TEST(a_folder_that_cannot_be_synced_at_all_is_no_failure)
{
    const char *from;

    setup();
    from = file_source(FILE_ENCRYPT);
    arm(AT_SYNC, 2, EINVAL);
    fixture_ok(file_convert(file_store, FILE_ENCRYPT, from, scratch_path("to"), NULL));
    ck_assert(disarm());
    file_finish();
}
END_TEST

/* --- rewrapping --------------------------------------------------------------------------------- */

START_TEST(a_rewrap_that_fails_leaves_a_file_that_opens)
{
    static const unsigned calls[FAULT_CALLS] = {1, 2, 3, 0, 0};
    const char *path;
    off_t size;

    setup();
    path = file_source(FILE_DECRYPT);
    size = scratch_stat(path).st_size;
    for (int call = 0; call < FAULT_CALLS; call++)
        for (unsigned i = 0; i < calls[call] * (unsigned)ERRORS; i++) {
            size_t error = i % ERRORS;

            fixture_rotate(file_store, file_key);
            arm((fault_call)call, 1 + i / (unsigned)ERRORS, errors[error].error);
            fixture_is(kms_rewrap_file(file_store, NULL, file_key, NULL, path, NULL),
                       errors[error].status);
            ck_assert(disarm());
            fixture_says("/source: ");
            fixture_says(strerror(errors[error].error));
            ck_assert_int_eq(scratch_stat(path).st_size, size);
            file_decrypts_to(path, file_plain, sizeof file_plain);
            fixture_ok(kms_rewrap_file(file_store, NULL, file_key, NULL, path, NULL));
        }
    file_decrypts_to(path, file_plain, sizeof file_plain);
    file_finish();
}
END_TEST

/* --- a full disk -------------------------------------------------------------------------------- */

/* A process whose files may not be longer than this. */
static void limit_files(rlim_t bytes)
{
    const struct rlimit limit = {bytes, bytes};

    trial_must(signal(SIGXFSZ, SIG_IGN) != SIG_ERR && setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

typedef struct limited {
    file_way way;
    const char *from;
    rlim_t bytes;
} limited;

static int convert_limited(void *argument)
{
    const limited *l = argument;
    kms_store *own = place_open(&file_place);

    limit_files(l->bytes);
    trial_must(file_convert(own, l->way, l->from, scratch_path("to"), NULL) == KMS_ERR_FULL);
    trial_must(strstr(kms_error_message(), "/to: write: ") != NULL);
    trial_must(strstr(kms_error_message(), strerror(EFBIG)) != NULL);
    return 0;
}

START_TEST(a_limit_of_file_sizes_leaves_the_old_file)
{
    static const rlim_t limits[] = {0, 1, 5000, 70000, 200000, FILE_PLAIN - 1};
    limited l = {.way = (file_way)_i};

    setup();
    l.from = file_source(l.way);
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        file_before before = file_put(i % 2 == 0);

        l.bytes = limits[i];
        ck_assert_int_eq(trial_wait(trial_fork(convert_limited, &l)), 0);
        file_is_untouched(&before);
    }
    file_finish();
}
END_TEST

static int rewrap_limited(void *argument)
{
    const limited *l = argument;
    kms_store *own = place_open(&file_place);

    limit_files(l->bytes);
    trial_must(kms_rewrap_file(own, NULL, file_key, NULL, l->from, NULL) == KMS_ERR_FULL);
    trial_must(strstr(kms_error_message(), strerror(EFBIG)) != NULL);
    return 0;
}

/* The first slot that is written is the second one, which the limit cuts. */
START_TEST(a_rewrap_under_a_limit_of_file_sizes_leaves_a_file_that_opens)
{
    static const rlim_t limits[] = {0, 1, 4096, 4097, 5000, 8191};
    limited l = {.way = FILE_DECRYPT};
    off_t size;

    setup();
    l.from = file_source(FILE_DECRYPT);
    size = scratch_stat(l.from).st_size;
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        l.bytes = limits[i];
        ck_assert_int_eq(trial_wait(trial_fork(rewrap_limited, &l)), 0);
        ck_assert_int_eq(scratch_stat(l.from).st_size, size);
        file_decrypts_to(l.from, file_plain, sizeof file_plain);
    }
    file_finish();
}
END_TEST

#define NO_MOUNT 77

static bool write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

    if (fd >= 0)
        (void)close(fd);
    return written;
}

/* In a namespace of his own anybody is root, and owns what was his. */
static bool become_root(void)
{
    char users[40], groups[40];

    snprintf(users, sizeof users, "0 %u 1", (unsigned)geteuid());
    snprintf(groups, sizeof groups, "0 %u 1", (unsigned)getegid());
    return geteuid() == 0 ||
           (unshare(CLONE_NEWUSER) == 0 && write_text("/proc/self/setgroups", "deny") &&
            write_text("/proc/self/uid_map", users) && write_text("/proc/self/gid_map", groups));
}

/* A disk of 1 MiB over the scratch folder, for this process only. */
static bool mount_small_disk(void)
{
    return become_root() && unshare(CLONE_NEWNS) == 0 &&
           mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("tmpfs", scratch_path(""), "tmpfs", 0, "size=1m") == 0;
}

/* A file of zeros, until it has that many bytes or there is no room. */
static void put_junk(size_t len)
{
    static const uint8_t junk[4096];
    int fd = open(scratch_path("junk"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    ssize_t put = 1;

    for (size_t done = 0; done < len && put > 0; done += (size_t)put)
        put = write(fd, junk, sizeof junk);
    trial_must(put > 0 || errno == ENOSPC);
    (void)close(fd);
}

/* Source and old file fit on it, and of the new one only a part. */
static int fill_the_disk(void *way)
{
    file_before before;
    const char *from;

    if (!mount_small_disk())
        return NO_MOUNT;
    file_store = place_open(&file_place);
    from = file_source(*(file_way *)way);
    put_junk(FILE_PLAIN * 2);
    before = file_put(true);
    trial_must(file_convert(file_store, *(file_way *)way, from, scratch_path("to"), NULL) ==
               KMS_ERR_FULL);
    trial_must(strstr(kms_error_message(), strerror(ENOSPC)) != NULL);
    file_is_untouched(&before);
    return 0;
}

/* Where not a byte is left, a header is still rewritten. */
static int rewrap_on_a_full_disk(void *unused)
{
    const char *path;

    (void)unused;
    if (!mount_small_disk())
        return NO_MOUNT;
    file_store = place_open(&file_place);
    path = file_source(FILE_DECRYPT);
    put_junk(SIZE_MAX);
    fixture_rotate(file_store, file_key);
    trial_must(kms_rewrap_file(file_store, NULL, file_key, NULL, path, NULL) == KMS_OK);
    trial_must(unlink(scratch_path("junk")) == 0);
    return 0;
}

static void in_mount(int (*body)(void *), void *argument)
{
    int ended;

    setup();
    ended = trial_wait(trial_fork(body, argument));
    if (ended == NO_MOUNT)
        fixture_skip("a full disk", "this process may not mount one");
    else
        ck_assert_int_eq(ended, 0);
    file_finish();
}

START_TEST(a_full_disk_leaves_the_old_file)
{
    file_way way = (file_way)_i;

    in_mount(fill_the_disk, &way);
}
END_TEST

START_TEST(a_full_disk_hinders_no_rewrap)
{
    in_mount(rewrap_on_a_full_disk, NULL);
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {whichever_call_fails_the_old_file_stays, FILE_WAYS * FAULT_CALLS},
        {a_call_that_was_interrupted_is_made_again, FILE_WAYS},
        {reads_and_writes_in_pieces_are_put_together, FILE_WAYS},
        {a_folder_that_cannot_be_synced_at_all_is_no_failure, 0},
        {a_rewrap_that_fails_leaves_a_file_that_opens, 0},
        {a_limit_of_file_sizes_leaves_the_old_file, FILE_WAYS},
        {a_rewrap_under_a_limit_of_file_sizes_leaves_a_file_that_opens, 0},
        {a_full_disk_leaves_the_old_file, FILE_WAYS},
        {a_full_disk_hinders_no_rewrap, 0},
    };

    return fixture_main("file_faults", tests, sizeof tests / sizeof *tests, 60);
}
