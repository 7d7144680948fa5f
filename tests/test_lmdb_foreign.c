/* Another program's file at the path, or where a file of ours belongs: refused, and nothing of it or
 * beside it is touched. */
#include "support/lmdb_trial.h"

#include <kms/kms.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#if KMS_HAVE_LMDB
#include <lmdb.h>

static MDB_env *foreign_open(const char *path)
{
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    MDB_val key = {1, (void *)(uintptr_t) "B"}, value = {5, (void *)(uintptr_t) "theirs"};

    ck_assert_int_eq(mdb_env_create(&env), 0);
    ck_assert_int_eq(mdb_env_open(env, path, MDB_NOSUBDIR, 0600), 0);
    ck_assert_int_eq(mdb_txn_begin(env, NULL, 0, &txn), 0);
    ck_assert_int_eq(mdb_dbi_open(txn, NULL, 0, &dbi), 0);
    ck_assert_int_eq(mdb_put(txn, dbi, &key, &value, 0), 0);
    ck_assert_int_eq(mdb_txn_commit(txn), 0);
    return env;
}

static kms_status try_to_open(const char *path, uint32_t flags)
{
    static const uint8_t key[KMS_ROOT_KEY_SIZE] = {1};
    kms_backend *engine;
    kms_store *store = NULL;
    kms_root *root;
    kms_status st;

    ck_assert_int_eq(kms_lmdb_backend(&engine, path, NULL), KMS_OK);
    ck_assert_int_eq(kms_root_raw(&root, key, sizeof key), KMS_OK);
    st = kms_open(&store, engine, root, flags, NULL);
    kms_close(store);
    return st;
}

START_TEST(another_programs_lmdb_file_in_use_is_refused_and_left_alone)
{
    static const uint32_t flags[] = {0, KMS_OPEN_CREATE, KMS_OPEN_READ_ONLY, KMS_OPEN_FROZEN};
    const char *path = trial_path("theirs");
    char lock_path[4200];
    struct stat before, after;
    MDB_env *env = foreign_open(path);

    snprintf(lock_path, sizeof lock_path, "%s-lock", path);
    ck_assert_int_eq(stat(lock_path, &before), 0);
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        ck_assert_int_eq(try_to_open(path, flags[i]), KMS_ERR_NOT_A_STORE);
        ck_assert_ptr_nonnull(strstr(kms_error_message(), "another program's"));
    }
    ck_assert_int_eq(stat(lock_path, &after), 0);
    ck_assert(before.st_ino == after.st_ino);
    /* The file and its lock file, and nothing of ours. */
    ck_assert_int_eq(trial_count_files(path), 2);
    mdb_env_close(env);
}
END_TEST

START_TEST(a_store_that_was_copied_without_its_guard_file_opens)
{
    const char *path = trial_path("store");
    char guard_path[4200];

    ck_assert_int_eq(try_to_open(path, KMS_OPEN_CREATE), KMS_OK);
    snprintf(guard_path, sizeof guard_path, "%s-guard", path);
    ck_assert_int_eq(remove(guard_path), 0);
    ck_assert_int_eq(try_to_open(path, 0), KMS_OK);
}
END_TEST

/* --- where our own files belong ---------------------------------------------------------------- */

static const char notes[] = "notes of somebody else, longer than anything that libkms keeps in a "
                            "guard file, and of more than one line\n";

static void is_untouched(const char *path, const void *data, size_t len)
{
    char there[sizeof notes];
    FILE *file = fopen(path, "r");

    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fread(there, 1, sizeof there, file), len);
    ck_assert_mem_eq(there, data, len);
    ck_assert_int_eq(fclose(file), 0);
}

/* With a store at the path, and with none. */
static void is_refused(const char *path, const char *suffix)
{
    static const uint32_t flags[] = {0, KMS_OPEN_CREATE, KMS_OPEN_READ_ONLY};
    bool there = trial_exists(path);

    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        if (!there && flags[i] != KMS_OPEN_CREATE)
            continue;
        ck_assert_int_eq(try_to_open(path, flags[i]), KMS_ERR_NOT_A_STORE);
        trial_says(suffix);
        trial_says("move it away");
    }
    ck_assert_int_eq(trial_exists(path), there);
}

/* What stands where a guard or lock file belongs: a text, an almost empty file, a link to a text. */
enum { TEXT, SHORT_TEXT, LINK, FOLDER, PIPE, OBSTACLES };

static const char *put_in_the_way(const char *path, int obstacle)
{
    const char *target = trial_path("target");

    (void)unlink(path);
    switch (obstacle) {
    case TEXT:
        trial_write_file(path, notes, sizeof notes - 1);
        return path;
    case SHORT_TEXT:
        trial_write_file(path, notes, 3);
        return path;
    case LINK:
        trial_write_file(target, notes, sizeof notes - 1);
        ck_assert_int_eq(symlink(target, path), 0);
        return target;
    case FOLDER:
        ck_assert_int_eq(mkdir(path, 0700), 0);
        return NULL;
    default:
        ck_assert_int_eq(mkfifo(path, 0600), 0);
        return NULL;
    }
}

static void obstructs(const char *path, const char *suffix, int obstacle)
{
    const char *in_the_way = trial_beside(path, suffix);
    const char *text = put_in_the_way(in_the_way, obstacle);
    struct stat before, after;

    ck_assert_int_eq(lstat(in_the_way, &before), 0);
    is_refused(path, suffix);
    ck_assert_int_eq(lstat(in_the_way, &after), 0);
    ck_assert(before.st_ino == after.st_ino && before.st_size == after.st_size);
    if (text != NULL)
        is_untouched(text, notes, obstacle == SHORT_TEXT ? 3 : sizeof notes - 1);
    ck_assert_int_eq(remove(in_the_way), 0);
}

static void obstruct_all(const char *suffix)
{
    const char *path = trial_path("store");

    for (int i = 0; i < OBSTACLES; i++) {
        obstructs(path, suffix, i);
        ck_assert_int_eq(try_to_open(path, KMS_OPEN_CREATE), KMS_OK);
        obstructs(path, suffix, i);
        ck_assert_int_eq(try_to_open(path, 0), KMS_OK);
        ck_assert_int_eq(unlink(path), 0);
        ck_assert_int_eq(unlink(trial_beside(path, "-guard")), 0);
        (void)unlink(trial_beside(path, "-lock"));
    }
}

START_TEST(a_guard_file_that_is_not_ours_is_refused_and_left_alone)
{
    obstruct_all("-guard");
}
END_TEST

START_TEST(a_lock_file_that_is_not_lmdbs_is_refused_and_left_alone)
{
    obstruct_all("-lock");
}
END_TEST

/* What a power cut may leave of files that nobody synced. */
START_TEST(guard_and_lock_file_of_zeros_are_taken_for_ours)
{
    const char *path = trial_path("store");
    const char *guard = trial_beside(path, "-guard"), *lock = trial_beside(path, "-lock");
    struct stat st;

    ck_assert_int_eq(try_to_open(path, KMS_OPEN_CREATE), KMS_OK);
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(stat(lock, &st), 0);
        ck_assert_int_eq(truncate(guard, 0), 0);
        ck_assert_int_eq(truncate(guard, i % 2 == 0 ? 0 : 80), 0);
        ck_assert_int_eq(truncate(lock, 0), 0);
        ck_assert_int_eq(truncate(lock, i < 2 ? 0 : st.st_size), 0);
        ck_assert_int_eq(try_to_open(path, 0), KMS_OK);
    }
}
END_TEST

int main(void)
{
    const TTest *tests[] = {
        another_programs_lmdb_file_in_use_is_refused_and_left_alone,
        a_store_that_was_copied_without_its_guard_file_opens,
        a_guard_file_that_is_not_ours_is_refused_and_left_alone,
        a_lock_file_that_is_not_lmdbs_is_refused_and_left_alone,
        guard_and_lock_file_of_zeros_are_taken_for_ours,
    };
    return trial_main("lmdb_foreign", tests, sizeof tests / sizeof tests[0]);
}
#else
int main(void)
{
    puts("SKIP: built without LMDB");
    puts("100%: Checks: 0, Failures: 0, Errors: 0");
    return 0;
}
#endif
