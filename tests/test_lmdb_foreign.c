/* Another program's LMDB file at the path: refused, and nothing of it or beside it is touched. */
#include "support/lmdb_trial.h"

#include <kms/kms.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

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

int main(void)
{
    const TTest *tests[] = {
        another_programs_lmdb_file_in_use_is_refused_and_left_alone,
        a_store_that_was_copied_without_its_guard_file_opens,
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
