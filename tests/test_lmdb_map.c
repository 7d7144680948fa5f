/* The reservation of address space, and what happens when it or the disk is full. */
#include "support/lmdb_trial.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)

/* Stands before the C library's mmap(), for LMDB too as it is exported: refuses mappings of files
 * from this size on. */
static size_t refused_from;
static int refused_with;
static unsigned refusals;

KMS_API void *mmap(void *address, size_t len, int protection, int flags, int fd, off_t offset)
{
    if (fd >= 0 && refused_from != 0 && len >= refused_from) {
        refusals++;
        errno = refused_with;
        return MAP_FAILED;
    }
    return (void *)syscall(SYS_mmap, address, len, protection, flags, fd, offset);
}

/* "7f0000000000-7f1000000000" of the store's mapping, or "". */
static const char *map_of(const char *path)
{
    static char buffers[2][64];
    static unsigned turn;
    char *range = buffers[turn++ % 2];
    char line[TRIAL_PATH_MAX * 2];
    range[0] = '\0';
    FILE *maps = fopen("/proc/self/maps", "re");
    ck_assert_ptr_nonnull(maps);
    while (fgets(line, sizeof line, maps) != NULL) {
        const char *name = strchr(line, '/');
        if (name != NULL && strcspn(name, "\n") == strlen(path) &&
            strncmp(name, path, strlen(path)) == 0)
            snprintf(range, 64, "%.*s", (int)strcspn(line, " "), line);
    }
    fclose(maps);
    return range;
}

static uint64_t map_size_of(const char *path)
{
    uint64_t from = 0, to = 0;
    char *end;
    from = strtoull(map_of(path), &end, 16);
    if (*end == '-')
        to = strtoull(end + 1, NULL, 16);
    return to - from;
}

START_TEST(the_map_is_64_gib_and_costs_no_memory)
{
    const char *path = trial_path("store");
    if (trial_is_watched() || sizeof(void *) < 8) {
        trial_skip(__func__, "so large a reservation is not to be had here");
        return;
    }
    kms_backend *engine = trial_create(path, 1);
    struct stat st;
    ck_assert_uint_eq(map_size_of(path), 64 * GIB);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_lt((int)st.st_size, 65536);
    trial_close(engine);
    ck_assert_str_eq(map_of(path), "");
}
END_TEST

START_TEST(the_map_is_halved_under_rlimit_as)
{
    const char *path = trial_path("store");
    struct rlimit limit = {4 * GIB, 4 * GIB};
    if (trial_is_watched()) {
        trial_skip(__func__, "a sanitizer or valgrind needs the address space");
        return;
    }
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
    kms_backend *engine = trial_create(path, 1);
    ck_assert_uint_eq(map_size_of(path), 2 * GIB);
    trial_write(engine, 2);
    ck_assert_uint_eq(trial_read(engine), 2);
    trial_close(engine);
}
END_TEST

START_TEST(the_map_is_halved_on_any_kind_of_refusal)
{
    /* RLIMIT_AS, valgrind, mlockall(); and one that nobody has seen yet. */
    const int errors[] = {ENOMEM, EINVAL, EAGAIN, EOVERFLOW};
    const char *path = trial_path("store");
    trial_close(trial_create(path, 1));
    refused_from = 200 * MIB;
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        refused_with = errors[i];
        refusals = 0;
        kms_backend *engine = trial_open(path);
        ck_assert_uint_gt(refusals, 1);
        ck_assert_uint_eq(map_size_of(path), 128 * MIB);
        trial_write(engine, i);
        ck_assert_uint_eq(trial_read(engine), i);
        trial_close(engine);
    }
}
END_TEST

START_TEST(below_64_mib_opening_is_refused_with_a_sentence)
{
    const char *path = trial_path("store");
    trial_close(trial_create(path, 1));
    refused_from = 60 * MIB;
    refused_with = ENOMEM;
    kms_backend *engine = trial_engine(path, 0);
    trial_is(trial_try_open(engine, 0, 0), KMS_ERR_STORAGE);
    trial_says(path);
    trial_says("RLIMIT_AS");
    refused_from = 0;
    trial_ok(trial_try_open(engine, 0, 0));
    trial_close(engine);
}
END_TEST

START_TEST(below_four_times_the_file_opening_is_refused)
{
    const char *path = trial_fast_path("store");
    kms_backend *engine = trial_create(path, 1);
    char key[16];
    for (int i = 0; i < 700; i++) {
        snprintf(key, sizeof key, "filler %d", i);
        trial_ok(trial_try_fill(engine, key, 60000));
    }
    trial_close(engine);
    /* 40 MiB and more: four times that is more than 128 MiB. */
    refused_from = 200 * MIB;
    refused_with = ENOMEM;
    engine = trial_engine(path, 0);
    trial_is(trial_try_open(engine, 0, 0), KMS_ERR_STORAGE);
    trial_says("RLIMIT_AS");
    refused_from = 500 * MIB;
    trial_ok(trial_try_open(engine, 0, 0));
    trial_close(engine);
}
END_TEST

START_TEST(the_map_is_never_resized)
{
    const char *path = trial_fast_path("store");
    trial_peer peer = trial_peer_start();
    kms_backend *engine = trial_create(path, 1);
    const char *before = map_of(path);
    char key[16];
    kms_backend *second = trial_engine(path, 128 * MIB);
    trial_ok(trial_try_open(second, 0, 0));
    trial_ok(trial_peer_do(&peer, PEER_OPEN, path, 0, NULL, NULL));
    for (int i = 0; i < 200; i++) {
        snprintf(key, sizeof key, "filler %d", i);
        trial_ok(trial_try_fill(i % 2 == 0 ? engine : second, key, 60000));
        snprintf(key, sizeof key, "other %d", i);
        trial_ok(trial_peer_do(&peer, PEER_FILL, key, 60000, NULL, NULL));
    }
    trial_close(second);
    ck_assert_uint_eq(trial_read(engine), 1);
    ck_assert_str_eq(map_of(path), before);
    trial_peer_end(&peer);
    trial_close(engine);
}
END_TEST

START_TEST(a_map_that_others_outgrew_says_reopen)
{
    const char *path = trial_fast_path("store");
    trial_peer peer = trial_peer_start();
    trial_close(trial_create(path, 1));
    kms_backend *engine = trial_engine(path, 256 * 1024);
    uint64_t number;
    trial_ok(trial_try_open(engine, 0, 0));
    trial_ok(trial_peer_do(&peer, PEER_OPEN, path, 0, NULL, NULL));
    for (int i = 0; i < 10; i++)
        trial_ok(trial_peer_do(&peer, PEER_FILL, &"abcdefghij"[i], 60000, NULL, NULL));
    trial_is(trial_try_read(engine, &number), KMS_ERR_STORAGE);
    trial_says("reopen");
    trial_is(trial_try_write(engine, 2), KMS_ERR_STORAGE);
    trial_says("reopen");
    trial_close(engine);
    engine = trial_open(path);
    trial_write(engine, 2);
    trial_peer_end(&peer);
    trial_close(engine);
}
END_TEST

/* Fills until there is no room, sees that nothing is half written; answers how many were. */
static int fill_up(kms_backend *engine, int most)
{
    char key[16];
    kms_status status = KMS_OK;
    int count = 0;
    while (count < most) {
        snprintf(key, sizeof key, "filler %04d", count);
        status = trial_try_fill(engine, key, 16000);
        if (status != KMS_OK)
            break;
        count++;
    }
    ck_assert_msg(status == KMS_ERR_FULL, "%s: %s", kms_status_name(status), kms_error_message());
    return count;
}

static void check_fillers(kms_backend *engine, int wanted)
{
    kms_record records[KMS_SCAN_MAX];
    kms_txn *txn;
    kms_revision revision;
    size_t count;
    trial_ok(engine->ops->begin(engine, KMS_TXN_READ, &txn, &revision));
    trial_ok(engine->ops->scan(txn, trial_key("filler"), KMS_SCAN_MAX, records, &count));
    ck_assert_int_eq((int)count - 1, wanted);
    for (size_t i = 0; i < (size_t)wanted; i++)
        ck_assert_uint_eq(records[i].value.len, 16000);
    ck_assert_uint_eq(trial_number_in(txn), 1);
    engine->ops->abort(txn);
}

START_TEST(a_full_map_is_a_clear_error_and_works_again_with_room)
{
    const char *path = trial_fast_path("store");
    trial_close(trial_create(path, 1));
    kms_backend *engine = trial_engine(path, MIB);
    kms_txn *txn;
    kms_revision revision;
    trial_ok(trial_try_open(engine, 0, 0));
    int count = fill_up(engine, 200);
    ck_assert_int_gt(count, 20);
    trial_says("larger map_size");
    check_fillers(engine, count);
    trial_ok(engine->ops->begin(engine, KMS_TXN_WRITE, &txn, &revision));
    trial_ok(engine->ops->del(txn, trial_key("filler 0000")));
    trial_ok(engine->ops->del(txn, trial_key("filler 0001")));
    trial_ok(engine->ops->commit(txn));
    trial_write(engine, 1);
    trial_ok(trial_try_fill(engine, "filler 0000", 16000));
    trial_close(engine);
    engine = trial_engine(path, 2 * MIB);
    trial_ok(trial_try_open(engine, 0, 0));
    trial_ok(trial_try_fill(engine, "filler 0001", 16000));
    check_fillers(engine, count);
    ck_assert_int_gt(fill_up(engine, 400), count);
    trial_close(engine);
}
END_TEST

START_TEST(a_failed_put_leaves_nothing_even_if_committed)
{
    static char filler[60000];
    const char *path = trial_fast_path("store");
    trial_close(trial_create(path, 1));
    kms_backend *engine = trial_engine(path, 128 * 1024);
    kms_txn *txn;
    kms_revision revision;
    kms_status status = KMS_OK;
    char key[] = "a";
    uint64_t two = 2;
    trial_ok(trial_try_open(engine, 0, 0));
    trial_ok(engine->ops->begin(engine, KMS_TXN_WRITE, &txn, &revision));
    trial_ok(engine->ops->put(txn, trial_key("number"), (kms_slice){&two, sizeof two}));
    for (int i = 0; i < 9 && status == KMS_OK; i++, key[0]++)
        status = engine->ops->put(txn, trial_key(key), (kms_slice){filler, sizeof filler});
    trial_is(status, KMS_ERR_FULL);
    trial_is(engine->ops->commit(txn), KMS_ERR_FULL);
    ck_assert_uint_eq(trial_read(engine), 1);
    trial_write(engine, 3);
    trial_close(engine);
}
END_TEST

START_TEST(a_full_disk_is_a_clear_error_and_works_again_with_room)
{
    const char *mount_point = trial_fast_path("disk");
    ck_assert_int_eq(mkdir(mount_point, 0700), 0);
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", mount_point, "tmpfs", 0, "size=4m") != 0) {
        trial_skip(__func__, "mounting is not permitted here");
        return;
    }
    const char *path = trial_beside(mount_point, "/store");
    const char *ballast = trial_beside(mount_point, "/ballast");
    static char zeros[2 * 1024 * 1024];
    trial_write_file(ballast, zeros, sizeof zeros);
    kms_backend *engine = trial_create(path, 1);
    int count = fill_up(engine, 400);
    ck_assert_int_gt(count, 20);
    trial_says("make room");
    check_fillers(engine, count);
    ck_assert_int_eq(unlink(ballast), 0);
    trial_ok(trial_try_fill(engine, "filler 9999", 16000));
    check_fillers(engine, count + 1);
    trial_close(engine);
}
END_TEST

START_TEST(a_disk_too_full_for_a_new_store_gets_none)
{
    const char *mount_point = trial_fast_path("disk");
    ck_assert_int_eq(mkdir(mount_point, 0700), 0);
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", mount_point, "tmpfs", 0, "size=128k") != 0) {
        trial_skip(__func__, "mounting is not permitted here");
        return;
    }
    static char zeros[128 * 1024];
    const char *path = trial_beside(mount_point, "/store");
    const char *ballast = trial_beside(mount_point, "/ballast");
    kms_backend *engine = trial_engine(path, 0);
    /* Room for the store, but none for its lock file, which must not end in a SIGBUS. */
    trial_is(trial_try_create(engine, 1), KMS_ERR_FULL);
    trial_says("-lock");
    trial_close(engine);
    unlink(path);
    trial_write_file(ballast, zeros, sizeof zeros - 8192);
    engine = trial_engine(path, 0);
    kms_status status = trial_try_create(engine, 1);
    ck_assert_msg(status == KMS_ERR_FULL || status == KMS_ERR_COMMIT_UNKNOWN ||
                      status == KMS_ERR_STORAGE,
                  "%s", kms_status_name(status));
    ck_assert(!trial_exists(path));
    ck_assert(!trial_exists(trial_beside(path, "-draft")));
    unlink(ballast);
    trial_close(engine);
}
END_TEST

START_TEST(a_file_size_limit_is_a_clear_error_and_works_again_with_room)
{
    const char *path = trial_fast_path("store");
    struct rlimit limit;
    kms_backend *engine = trial_create(path, 1);
    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    rlim_t usual = limit.rlim_cur;
    limit.rlim_cur = MIB + 1000;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    int count = fill_up(engine, 200);
    ck_assert_int_gt(count, 20);
    trial_says("make room");
    check_fillers(engine, count);
    limit.rlim_cur = usual;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    trial_ok(trial_try_fill(engine, "filler 9999", 16000));
    check_fillers(engine, count + 1);
    trial_close(engine);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        the_map_is_64_gib_and_costs_no_memory,
        the_map_is_halved_under_rlimit_as,
        the_map_is_halved_on_any_kind_of_refusal,
        below_64_mib_opening_is_refused_with_a_sentence,
        below_four_times_the_file_opening_is_refused,
        the_map_is_never_resized,
        a_map_that_others_outgrew_says_reopen,
        a_full_map_is_a_clear_error_and_works_again_with_room,
        a_failed_put_leaves_nothing_even_if_committed,
        a_full_disk_is_a_clear_error_and_works_again_with_room,
        a_disk_too_full_for_a_new_store_gets_none,
        a_file_size_limit_is_a_clear_error_and_works_again_with_room,
    };
    return trial_main("lmdb_map", tests, sizeof tests / sizeof tests[0]);
}
