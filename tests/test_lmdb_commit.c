/* A disk that fails in a commit. */
#include "support/lmdb_trial.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* Stand before the C library's, for LMDB too as they are exported. Writes of less than half a page
 * to the first two pages are those of a meta page; LMDB writes everything else in whole pages. */
typedef enum target { NOTHING, META, DATA } target;

static target failing;
static int failing_with;
static unsigned failures;

static bool fails(bool meta)
{
    if (failing == NOTHING || (failing == META) != meta)
        return false;
    failures++;
    errno = failing_with;
    return true;
}

KMS_API ssize_t pwrite(int fd, const void *data, size_t len, off_t offset)
{
    if (fails(len < 2048 && offset < 2 * sysconf(_SC_PAGESIZE)))
        return -1;
    return syscall(SYS_pwrite64, fd, data, len, offset);
}

KMS_API ssize_t writev(int fd, const struct iovec *parts, int count)
{
    if (fails(false))
        return -1;
    return syscall(SYS_writev, fd, parts, count);
}

static void fail_next(target what, int error)
{
    failing = what;
    failing_with = error;
    failures = 0;
}

static void fail_no_more(void)
{
    ck_assert_uint_gt(failures, 0);
    failing = NOTHING;
}

static void check_dead_until_closed(const char *path, kms_backend *engine, kms_backend *second)
{
    uint64_t number;
    trial_is(trial_try_write(engine, 9), KMS_ERR_STORAGE);
    trial_says("open it again");
    trial_is(trial_try_read(engine, &number), KMS_ERR_STORAGE);
    trial_is(trial_try_write(second, 9), KMS_ERR_STORAGE);
    /* A fresh environment beside the broken one would share the process' locks with it. */
    kms_backend *third = trial_engine(path, 0);
    trial_is(trial_try_open(third, 0, 0), KMS_ERR_STORAGE);
    trial_says("close every handle");
    trial_close(engine);
    trial_is(trial_try_open(third, 0, 0), KMS_ERR_STORAGE);
    trial_close(second);
    trial_ok(trial_try_open(third, 0, 0));
    number = trial_read(third);
    ck_assert_msg(number == 1 || number == 2, "%llu", (unsigned long long)number);
    trial_write(third, 3);
    ck_assert_uint_eq(trial_read(third), 3);
    trial_close(third);
}

START_TEST(an_error_at_the_meta_page_is_commit_unknown)
{
    const int errors[] = {EIO, ENOSPC};
    for (size_t i = 0; i < 2; i++) {
        const char *path = trial_fast_path(i == 0 ? "io" : "space");
        trial_peer peer = trial_peer_start();
        kms_backend *engine = trial_create(path, 1);
        kms_backend *second = trial_open(path);
        uint64_t number = 0;
        fail_next(META, errors[i]);
        trial_is(trial_try_write(engine, 2), KMS_ERR_COMMIT_UNKNOWN);
        fail_no_more();
        trial_says("may or may not have been made");
        /* Other processes are not concerned. */
        trial_ok(trial_peer_do(&peer, PEER_OPEN, path, 0, NULL, NULL));
        trial_ok(trial_peer_do(&peer, PEER_READ, NULL, 0, &number, NULL));
        ck_assert(number == 1 || number == 2);
        trial_ok(trial_peer_do(&peer, PEER_WRITE, NULL, 2, NULL, NULL));
        check_dead_until_closed(path, engine, second);
        trial_peer_end(&peer);
    }
}
END_TEST

START_TEST(an_io_error_before_the_meta_page_is_commit_unknown_and_the_handle_lives)
{
    kms_backend *engine = trial_create(trial_fast_path("store"), 1);
    fail_next(DATA, EIO);
    trial_is(trial_try_write(engine, 2), KMS_ERR_COMMIT_UNKNOWN);
    fail_no_more();
    ck_assert_uint_eq(trial_read(engine), 1);
    trial_write(engine, 3);
    ck_assert_uint_eq(trial_read(engine), 3);
    trial_close(engine);
}
END_TEST

START_TEST(no_space_before_the_meta_page_is_full_and_surely_not_applied)
{
    const int errors[] = {ENOSPC, EDQUOT, EFBIG};
    kms_backend *engine = trial_create(trial_fast_path("store"), 1);
    for (size_t i = 0; i < 3; i++) {
        fail_next(DATA, errors[i]);
        trial_is(trial_try_write(engine, 2), KMS_ERR_FULL);
        fail_no_more();
        trial_says("make room");
        ck_assert_uint_eq(trial_read(engine), 1);
    }
    trial_write(engine, 3);
    ck_assert_uint_eq(trial_read(engine), 3);
    trial_close(engine);
}
END_TEST

START_TEST(a_creation_that_fails_leaves_no_store)
{
    const char *path = trial_fast_path("store");
    const int errors[] = {EIO, ENOSPC};
    const target targets[] = {META, DATA};
    kms_backend *engine = trial_engine(path, 0);
    for (size_t i = 0; i < 4; i++) {
        fail_next(targets[i / 2], errors[i % 2]);
        ck_assert_int_ne(trial_try_create(engine, 1), KMS_OK);
        fail_no_more();
        ck_assert(!trial_exists(path));
        ck_assert(!trial_exists(trial_beside(path, "-draft")));
    }
    trial_ok(trial_try_create(engine, 1));
    trial_close(engine);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        an_error_at_the_meta_page_is_commit_unknown,
        an_io_error_before_the_meta_page_is_commit_unknown_and_the_handle_lives,
        no_space_before_the_meta_page_is_full_and_surely_not_applied,
        a_creation_that_fails_leaves_no_store,
    };
    return trial_main("lmdb_commit", tests, sizeof tests / sizeof tests[0]);
}
