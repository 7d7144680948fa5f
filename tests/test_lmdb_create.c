/* Making a store: whole or not at all, and by one of however many try. */
#include "support/lmdb_trial.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Stand before the C library's: write down in which order a store is synced (F), gets its name (L)
 * and has its folder synced (D), and let somebody else come first. */
static char steps[64];
static const char *came_first;

static void note(char step)
{
    size_t len = strlen(steps);
    if (len + 1 < sizeof steps)
        steps[len] = step;
}

KMS_API int fsync(int fd)
{
    struct stat st;
    if (fstat(fd, &st) == 0)
        note(S_ISDIR(st.st_mode) ? 'D' : 'F');
    if (came_first != NULL)
        trial_write_file(came_first, "text", 4);
    came_first = NULL;
    return (int)syscall(SYS_fsync, fd);
}

KMS_API int link(const char *from, const char *to)
{
    note('L');
    return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

#define STARTERS 16
#define KILLS 160

typedef struct starters {
    atomic_int ready;
    atomic_int made;
    atomic_int late;
    atomic_ullong maker;
    char path[TRIAL_PATH_MAX];
} starters;

static starters *shared;

static int start(void *argument)
{
    uint64_t me = (uint64_t)(uintptr_t)argument;
    uint64_t number = 0;
    kms_backend *engine = NULL;
    trial_must(kms_lmdb_backend(&engine, shared->path, NULL) == KMS_OK);
    atomic_fetch_add(&shared->ready, 1);
    while (atomic_load(&shared->ready) < STARTERS)
        usleep(50);
    kms_status status = trial_try_create(engine, me);
    if (status == KMS_OK) {
        atomic_fetch_add(&shared->made, 1);
        atomic_store(&shared->maker, me);
    } else {
        trial_must(status == KMS_ERR_ALREADY_EXISTS);
        atomic_fetch_add(&shared->late, 1);
        trial_must(trial_try_open(engine, 0, 20000) == KMS_OK);
    }
    while (atomic_load(&shared->made) + atomic_load(&shared->late) < STARTERS)
        usleep(50);
    trial_must(trial_try_read(engine, &number) == KMS_OK);
    trial_must(number == atomic_load(&shared->maker));
    trial_close(engine);
    return 0;
}

START_TEST(of_sixteen_starters_exactly_one_creates)
{
    pid_t children[STARTERS];
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert(shared != MAP_FAILED);
    for (int round = 0; round < 8; round++) {
        memset(shared, 0, sizeof *shared);
        char name[16];
        snprintf(name, sizeof name, "store%d", round);
        snprintf(shared->path, sizeof shared->path, "%s", trial_path(name));
        for (size_t i = 0; i < STARTERS; i++)
            children[i] = trial_fork(start, (void *)(uintptr_t)(i + 1));
        for (size_t i = 0; i < STARTERS; i++)
            ck_assert_int_eq(trial_wait(children[i]), 0);
        ck_assert_int_eq(atomic_load(&shared->made), 1);
        ck_assert_int_eq(atomic_load(&shared->late), STARTERS - 1);
    }
}
END_TEST

static int create_and_wait(void *path)
{
    kms_backend *engine = NULL;
    trial_must(kms_lmdb_backend(&engine, path, NULL) == KMS_OK);
    trial_must(trial_try_create(engine, 77) == KMS_OK);
    pause();
    return 0;
}

static void remove_store(const char *path)
{
    unlink(path);
    unlink(trial_beside(path, "-lock"));
    unlink(trial_beside(path, "-guard"));
    unlink(trial_beside(path, "-draft"));
}

/* Answers whether the store was there; it has to be whole then. */
static bool check_absent_or_whole(const char *path)
{
    kms_backend *engine = trial_engine(path, 0);
    kms_status status = trial_try_open(engine, 0, 5000);
    bool whole = status == KMS_OK;
    ck_assert_msg(whole || status == KMS_ERR_NOT_FOUND, "%s: %s", kms_status_name(status),
                  kms_error_message());
    ck_assert(whole == trial_exists(path));
    if (!whole)
        trial_ok(trial_try_create(engine, 78));
    ck_assert_uint_eq(trial_read(engine), whole ? 77 : 78);
    trial_write(engine, 79);
    trial_close(engine);
    ck_assert(!trial_exists(trial_beside(path, "-draft")));
    ck_assert_int_eq(trial_count_files(path), 3);
    return whole;
}

START_TEST(a_creator_killed_at_any_moment_leaves_the_store_absent_or_whole)
{
    char path[TRIAL_PATH_MAX];
    int whole = 0, absent = 0;
    snprintf(path, sizeof path, "%s", trial_path("store"));
    double begun = trial_seconds();
    for (int i = 0; i < 4; i++) {
        trial_close(trial_create(path, 77));
        remove_store(path);
    }
    /* Kills fall evenly over the time that it takes and half as long again. How long it takes in a
     * child of a busy machine is found as it goes: too many absent, and the kills come later. */
    double window_us = (trial_seconds() - begun) / 4 * 1e6 * 1.5 + 500;
    srand(20);
    for (int i = 0; i < KILLS; i++) {
        pid_t child = trial_fork(create_and_wait, path);
        usleep((unsigned)((unsigned long)rand() % (unsigned long)window_us));
        kill(child, SIGKILL);
        trial_wait(child);
        if (check_absent_or_whole(path)) {
            whole++;
            window_us /= 1.05;
        } else {
            absent++;
            window_us *= 1.05;
        }
        remove_store(path);
    }
    ck_assert_msg(whole > 5 && absent > 5, "%d whole, %d absent: the kills missed", whole, absent);
}
END_TEST

START_TEST(a_store_is_on_disk_before_it_has_its_name_and_then_its_folder_is)
{
    kms_backend *engine = trial_create(trial_path("store"), 1);
    const char *end = strstr(steps, "FLD");
    ck_assert_msg(end != NULL && strlen(end) == 3, "%s", steps);
    trial_close(engine);
}
END_TEST

START_TEST(who_comes_first_without_the_guard_is_not_overwritten)
{
    const char *path = trial_path("store");
    char after[8] = "";
    kms_backend *engine = trial_engine(path, 0);
    came_first = path;
    trial_is(trial_try_create(engine, 1), KMS_ERR_ALREADY_EXISTS);
    ck_assert_ptr_null(came_first);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ck_assert(read(fd, after, sizeof after) == 4 && memcmp(after, "text", 4) == 0);
    close(fd);
    ck_assert(!trial_exists(trial_beside(path, "-draft")));
    trial_close(engine);
}
END_TEST

START_TEST(a_new_store_is_three_files)
{
    const char *path = trial_path("store");
    trial_close(trial_create(path, 1));
    ck_assert_int_eq(trial_count_files(path), 3);
    ck_assert(trial_exists(trial_beside(path, "-lock")));
    ck_assert(trial_exists(trial_beside(path, "-guard")));
}
END_TEST

START_TEST(what_is_there_already_is_left_as_it_is)
{
    const char *path = trial_path("store");
    char after[8] = "";
    trial_write_file(path, "text", 4);
    kms_backend *engine = trial_engine(path, 0);
    trial_is(trial_try_create(engine, 1), KMS_ERR_ALREADY_EXISTS);
    trial_says(path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ck_assert(read(fd, after, sizeof after) == 4 && memcmp(after, "text", 4) == 0);
    close(fd);
    ck_assert_int_eq(trial_count_files(path), 1);
    unlink(path);
    trial_ok(trial_try_create(engine, 1));
    kms_backend *second = trial_engine(path, 0);
    trial_is(trial_try_create(second, 2), KMS_ERR_ALREADY_EXISTS);
    trial_ok(trial_try_open(second, 0, 0));
    ck_assert_uint_eq(trial_read(second), 1);
    trial_close(second);
    trial_close(engine);
}
END_TEST

START_TEST(what_a_killed_creator_left_is_cleaned_up_by_the_next)
{
    const char *path = trial_path("store");
    trial_write_file(trial_beside(path, "-draft"), "half a store", 12);
    kms_backend *engine = trial_create(path, 1);
    ck_assert(!trial_exists(trial_beside(path, "-draft")));
    ck_assert_uint_eq(trial_read(engine), 1);
    trial_close(engine);
}
END_TEST

START_TEST(the_second_name_that_a_killed_creator_left_is_taken_away)
{
    const char *path = trial_path("store");
    trial_close(trial_create(path, 1));
    ck_assert_int_eq(link(path, trial_beside(path, "-draft")), 0);
    trial_close(trial_open(path));
    ck_assert(!trial_exists(trial_beside(path, "-draft")));
    /* Another file of that name is not ours to take. */
    trial_write_file(trial_beside(path, "-draft"), "a letter", 8);
    trial_close(trial_open(path));
    ck_assert(trial_exists(trial_beside(path, "-draft")));
}
END_TEST

START_TEST(a_missing_folder_is_not_found_and_not_made)
{
    const char *path = trial_path("folder");
    kms_backend *engine = trial_engine(trial_beside(path, "/store"), 0);
    trial_is(trial_try_create(engine, 1), KMS_ERR_NOT_FOUND);
    trial_says(path);
    ck_assert_int_eq(trial_count_files(path), 0);
    trial_close(engine);
}
END_TEST

START_TEST(a_link_to_nothing_is_told_as_such_and_not_followed)
{
    const char *path = trial_path("store"), *target = trial_path("nothing");
    kms_backend *engine = trial_engine(path, 0);
    ck_assert_int_eq(symlink(target, path), 0);
    trial_is(trial_try_open(engine, 0, 0), KMS_ERR_NOT_FOUND);
    trial_says("store is a symbolic link to nothing");
    trial_is(trial_try_create(engine, 1), KMS_ERR_NOT_FOUND);
    trial_says("store is a symbolic link to nothing");
    ck_assert(!trial_exists(target));
    trial_close(trial_create(target, 1));
    trial_ok(trial_try_open(engine, 0, 0));
    trial_close(engine);
}
END_TEST

START_TEST(a_path_that_ends_in_a_slash_is_no_path_of_a_store)
{
    kms_backend *engine = NULL;
    trial_is(kms_lmdb_backend(&engine, trial_beside(trial_path("store"), "/"), NULL),
             KMS_ERR_INVALID_ARGUMENT);
    trial_says("ends in a slash");
    ck_assert_ptr_null(engine);
}
END_TEST

START_TEST(a_store_cannot_be_made_for_reading_only)
{
    const char *path = trial_path("store");
    kms_backend *engine = trial_engine(path, 0);
    kms_backend_how how = {.version = 1, .flags = KMS_BACKEND_READ_ONLY};
    trial_is(engine->ops->create(engine, &how, NULL, 0), KMS_ERR_READ_ONLY);
    how.flags = KMS_BACKEND_FROZEN;
    trial_is(engine->ops->create(engine, &how, NULL, 0), KMS_ERR_READ_ONLY);
    ck_assert_int_eq(trial_count_files(path), 0);
    trial_close(engine);
}
END_TEST

START_TEST(as_many_and_large_records_as_a_transaction_may_have)
{
    static char value[KMS_RECORD_VALUE_MAX];
    static char keys[100][8];
    kms_record records[100];
    kms_backend_how how = {.version = 1};
    kms_backend *engine = trial_engine(trial_path("store"), 0);
    kms_txn *txn;
    kms_revision revision;
    kms_slice found;
    for (size_t i = 0; i < 100; i++) {
        snprintf(keys[i], sizeof keys[i], "k%zu", i);
        records[i] = (kms_record){trial_key(keys[i]), {value, i < 15 ? sizeof value : i}};
    }
    records[50].value = (kms_slice){NULL, 0};
    trial_ok(engine->ops->create(engine, &how, records, 100));
    trial_ok(engine->ops->begin(engine, KMS_TXN_READ, &txn, &revision));
    for (size_t i = 0; i < 100; i++) {
        trial_ok(engine->ops->get(txn, records[i].key, &found));
        ck_assert_uint_eq(found.len, records[i].value.len);
    }
    engine->ops->abort(txn);
    trial_close(engine);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        of_sixteen_starters_exactly_one_creates,
        a_creator_killed_at_any_moment_leaves_the_store_absent_or_whole,
        a_store_is_on_disk_before_it_has_its_name_and_then_its_folder_is,
        who_comes_first_without_the_guard_is_not_overwritten,
        a_new_store_is_three_files,
        what_is_there_already_is_left_as_it_is,
        what_a_killed_creator_left_is_cleaned_up_by_the_next,
        the_second_name_that_a_killed_creator_left_is_taken_away,
        a_missing_folder_is_not_found_and_not_made,
        a_link_to_nothing_is_told_as_such_and_not_followed,
        a_path_that_ends_in_a_slash_is_no_path_of_a_store,
        a_store_cannot_be_made_for_reading_only,
        as_many_and_large_records_as_a_transaction_may_have,
    };
    return trial_main("lmdb_create", tests, sizeof tests / sizeof tests[0]);
}
