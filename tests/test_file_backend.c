/* What the example engine meets on a disk: other files, damage, other processes, no room. */
#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "file_backend/file_backend.h"
#include "support/engine_subject.h"

static const kms_backend_how how = {.version = 1, .busy_timeout_ms = 20000};

static kms_slice text(const char *string)
{
    return (kms_slice){string, strlen(string)};
}

static kms_backend *engine_at(unsigned place)
{
    kms_backend *engine;

    ck_assert_int_eq(example_file_backend(&engine, subject_path(place)), KMS_OK);
    return engine;
}

static kms_backend *new_store(unsigned place)
{
    const kms_record record = {{"counter", 7}, {"0", 1}};
    kms_backend *engine = engine_at(place);

    ck_assert_int_eq(engine->ops->create(engine, &how, &record, 1), KMS_OK);
    return engine;
}

static void make_store(unsigned place)
{
    kms_backend *engine = new_store(place);

    engine->ops->close(engine);
}

static kms_backend *opened(unsigned place)
{
    kms_backend *engine = engine_at(place);

    ck_assert_int_eq(engine->ops->open(engine, &how), KMS_OK);
    return engine;
}

static kms_txn *begin(kms_backend *engine, unsigned mode)
{
    kms_revision revision;
    kms_txn *txn;

    ck_assert_int_eq(engine->ops->begin(engine, mode, &txn, &revision), KMS_OK);
    return txn;
}

static kms_status write_counter(kms_backend *engine, const char *value)
{
    kms_txn *txn = begin(engine, KMS_TXN_WRITE);

    ck_assert_int_eq(engine->ops->put(txn, text("counter"), text(value)), KMS_OK);
    return engine->ops->commit(txn);
}

static int counter_in(kms_txn *txn)
{
    char digits[16];
    kms_slice value;

    ck_assert_int_eq(txn->backend->ops->get(txn, text("counter"), &value), KMS_OK);
    snprintf(digits, sizeof digits, "%.*s", (int)value.len, (const char *)value.data);
    return (int)strtol(digits, NULL, 10);
}

static int counter(kms_backend *engine)
{
    kms_txn *txn = begin(engine, KMS_TXN_READ);
    int found = counter_in(txn);

    engine->ops->abort(txn);
    return found;
}

static void write_file(const char *path, const void *bytes, size_t len)
{
    FILE *file = fopen(path, "wb");

    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, len, file), len);
    ck_assert_int_eq(fclose(file), 0);
}

static size_t read_file(const char *path, unsigned char *bytes, size_t size)
{
    FILE *file = fopen(path, "rb");
    size_t len;

    ck_assert_ptr_nonnull(file);
    len = fread(bytes, 1, size, file);
    fclose(file);
    return len;
}

/* --- files that are no store ---------------------------------------------------------------- */

START_TEST(the_constructor_refuses_what_is_no_path)
{
    char path[4100];
    kms_backend *engine;

    memset(path, 'p', sizeof path);
    path[sizeof path - 1] = '\0';
    ck_assert_int_eq(example_file_backend(NULL, "x"), KMS_ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(example_file_backend(&engine, NULL), KMS_ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(example_file_backend(&engine, ""), KMS_ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(example_file_backend(&engine, path), KMS_ERR_INVALID_ARGUMENT);
}
END_TEST

START_TEST(another_file_is_refused_and_left_as_it_is)
{
    static const char *const contents[] = {"", "kmsfile", "a letter that is longer than a header"};
    unsigned char bytes[64];

    for (size_t i = 0; i < 3; i++) {
        kms_backend *engine = engine_at(0);

        write_file(subject_path(0), contents[i], strlen(contents[i]));
        ck_assert_int_eq(engine->ops->open(engine, &how), KMS_ERR_NOT_A_STORE);
        ck_assert_int_eq(engine->ops->create(engine, &how, NULL, 0), KMS_ERR_NOT_A_STORE);
        ck_assert_uint_eq(read_file(subject_path(0), bytes, sizeof bytes), strlen(contents[i]));
        ck_assert_mem_eq(bytes, contents[i], strlen(contents[i]));
        engine->ops->close(engine);
    }
}
END_TEST

START_TEST(a_folder_and_a_pipe_are_refused)
{
    kms_backend *engine = engine_at(0);

    ck_assert_int_eq(mkdir(subject_path(0), 0700), 0);
    ck_assert_int_eq(engine->ops->open(engine, &how), KMS_ERR_NOT_A_STORE);
    ck_assert_int_eq(rmdir(subject_path(0)), 0);
    ck_assert_int_eq(mkfifo(subject_path(0), 0600), 0);
    ck_assert_int_eq(engine->ops->open(engine, &how), KMS_ERR_NOT_A_STORE);
    engine->ops->close(engine);
}
END_TEST

START_TEST(a_damaged_file_is_refused_and_never_harms)
{
    unsigned char bytes[256];
    unsigned refused = 0;
    size_t len;

    make_store(0);
    len = read_file(subject_path(0), bytes, sizeof bytes);
    ck_assert_uint_eq(len, 40 + 8 + 8);
    for (size_t i = 0; i < len; i++) {
        kms_backend *engine = engine_at(0);
        kms_status status;

        write_file(subject_path(0), bytes, i);
        status = engine->ops->open(engine, &how);
        ck_assert(status == KMS_ERR_NOT_A_STORE || status == KMS_ERR_STORAGE);
        bytes[i] ^= 0x80;
        write_file(subject_path(0), bytes, len);
        refused += engine->ops->open(engine, &how) != KMS_OK;
        bytes[i] ^= 0x80;
        engine->ops->close(engine);
    }
    ck_assert_uint_ge(refused, 8 + 8 + 8); /* magic, count and lengths */
}
END_TEST

/* --- another store in the place of this one ------------------------------------------------- */

static void begin_and_hint_tell(kms_backend *engine)
{
    kms_revision revision;
    uint64_t age;
    kms_txn *txn;
    kms_status status = KMS_OK;

    ck_assert_int_eq(engine->ops->begin(engine, KMS_TXN_READ, &txn, &revision),
                     KMS_ERR_STORE_REPLACED);
    ck_assert_int_eq(engine->ops->begin(engine, KMS_TXN_WRITE, &txn, &revision),
                     KMS_ERR_STORE_REPLACED);
    for (int i = 0; i < 150 && status == KMS_OK; i++) { /* it looks once a second */
        const struct timespec rest = {.tv_nsec = 10000000};

        nanosleep(&rest, NULL);
        status = engine->ops->hint(engine, &revision, &age);
    }
    ck_assert_int_eq(status, KMS_ERR_STORE_REPLACED);
}

START_TEST(a_replaced_store_is_noticed)
{
    kms_backend *engine = new_store(0);
    kms_backend *other = new_store(1);
    char path[4096];

    snprintf(path, sizeof path, "%s", subject_path(1));
    ck_assert_int_eq(rename(path, subject_path(0)), 0);
    begin_and_hint_tell(engine);
    engine->ops->close(engine);
    other->ops->close(other);
}
END_TEST

START_TEST(a_backup_put_back_is_noticed)
{
    kms_backend *engine = new_store(0);
    unsigned char backup[256];
    size_t len = read_file(subject_path(0), backup, sizeof backup);
    kms_backend *other;

    ck_assert_int_eq(write_counter(engine, "1"), KMS_OK);
    write_file(subject_path(0), backup, len);
    begin_and_hint_tell(engine);
    other = opened(0); /* the same number again, and another content */
    ck_assert_int_eq(write_counter(other, "2"), KMS_OK);
    begin_and_hint_tell(engine);
    ck_assert_int_eq(counter(other), 2);
    engine->ops->close(engine);
    other->ops->close(other);
}
END_TEST

START_TEST(a_store_that_is_gone_is_an_error)
{
    kms_backend *engine = new_store(0);
    kms_revision revision;
    kms_txn *txn;

    ck_assert_int_eq(unlink(subject_path(0)), 0);
    ck_assert_int_eq(engine->ops->begin(engine, KMS_TXN_READ, &txn, &revision), KMS_ERR_STORAGE);
    engine->ops->close(engine);
}
END_TEST

/* --- processes ------------------------------------------------------------------------------ */

static void increment(kms_backend *engine)
{
    kms_txn *txn = begin(engine, KMS_TXN_WRITE);
    char value[16];

    snprintf(value, sizeof value, "%d", counter_in(txn) + 1);
    ck_assert_int_eq(engine->ops->put(txn, text("counter"), text(value)), KMS_OK);
    ck_assert_int_eq(engine->ops->commit(txn), KMS_OK);
}

static void wait_for(pid_t child)
{
    int status = 0;

    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

START_TEST(processes_lose_no_increment)
{
    kms_backend *engine;
    pid_t children[3];

    make_store(0);
    for (int i = 0; i < 3; i++) {
        children[i] = fork();
        ck_assert_int_ge(children[i], 0);
        if (children[i] == 0) {
            engine = opened(0);
            for (int j = 0; j < 30; j++)
                increment(engine);
            _exit(0);
        }
    }
    for (int i = 0; i < 3; i++)
        wait_for(children[i]);
    engine = opened(0);
    ck_assert_int_eq(counter(engine), 90);
    engine->ops->close(engine);
}
END_TEST

/* The child answers with the hint that it sees as soon as it is told of a commit. */
static void answer_hints(int from, int to)
{
    kms_backend *engine = opened(0);
    kms_revision revision;
    uint64_t age;
    char told;

    while (read(from, &told, 1) == 1) {
        if (engine->ops->hint(engine, &revision, &age) != KMS_OK ||
            write(to, &revision.number, sizeof revision.number) < 0)
            _exit(1);
    }
    _exit(0);
}

START_TEST(the_hint_of_another_process_is_exact)
{
    kms_backend *engine = new_store(0);
    uint64_t seen = 0;
    int there[2];
    int back[2];
    pid_t child;

    ck_assert_int_eq(pipe(there), 0);
    ck_assert_int_eq(pipe(back), 0);
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        close(there[1]);
        answer_hints(there[0], back[1]);
    }
    for (uint64_t i = 0; i < 100; i++) {
        ck_assert_int_eq(write_counter(engine, "1"), KMS_OK);
        ck_assert_int_eq(write(there[1], "!", 1), 1);
        ck_assert_int_eq(read(back[0], &seen, sizeof seen), (ssize_t)sizeof seen);
        ck_assert_uint_eq(seen, i + 2);
    }
    close(there[1]);
    wait_for(child);
    engine->ops->close(engine);
}
END_TEST

START_TEST(a_writer_that_was_killed_stops_nobody)
{
    kms_backend *engine = new_store(0);
    char new_path[4096];
    int told[2];
    pid_t child;
    char byte;

    ck_assert_int_eq(pipe(told), 0);
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        kms_txn *txn = begin(opened(0), KMS_TXN_WRITE);

        (void)txn->backend->ops->put(txn, text("counter"), text("9"));
        if (write(told[1], "!", 1) == 1)
            pause();
        _exit(1);
    }
    ck_assert_int_eq(read(told[0], &byte, 1), 1);
    ck_assert_int_eq(kill(child, SIGKILL), 0);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    snprintf(new_path, sizeof new_path, "%s-new", subject_path(0));
    write_file(new_path, "half a commit", 13);
    ck_assert_int_eq(counter(engine), 0);
    increment(engine);
    ck_assert_int_eq(counter(engine), 1);
    engine->ops->close(engine);
}
END_TEST

/* --- no room -------------------------------------------------------------------------------- */

START_TEST(a_commit_without_room_leaves_no_trace)
{
    struct rlimit limit = {.rlim_cur = 200, .rlim_max = RLIM_INFINITY};
    kms_backend *engine = new_store(0);
    char large[1000];
    kms_txn *txn;

    memset(large, 'x', sizeof large);
    ck_assert(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    txn = begin(engine, KMS_TXN_WRITE);
    ck_assert_int_eq(engine->ops->put(txn, text("large"), (kms_slice){large, 1000}), KMS_OK);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    ck_assert_int_eq(engine->ops->commit(txn), KMS_ERR_FULL);
    limit.rlim_cur = RLIM_INFINITY;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    ck_assert_int_eq(kms_error_status(), KMS_ERR_FULL);
    ck_assert_int_eq(counter(engine), 0);
    increment(engine);
    engine->ops->close(engine);
    engine = opened(0);
    ck_assert_int_eq(counter(engine), 1);
    engine->ops->close(engine);
}
END_TEST

/* Before each test, for one that failed may have left its files. */
static void start_empty(void)
{
    file_subject.reset(NULL);
}

int main(void)
{
    const TTest *const tests[] = {
        the_constructor_refuses_what_is_no_path,
        another_file_is_refused_and_left_as_it_is,
        a_folder_and_a_pipe_are_refused,
        a_damaged_file_is_refused_and_never_harms,
        a_replaced_store_is_noticed,
        a_backup_put_back_is_noticed,
        a_store_that_is_gone_is_an_error,
        processes_lose_no_increment,
        the_hint_of_another_process_is_exact,
        a_writer_that_was_killed_stops_nobody,
        a_commit_without_room_leaves_no_trace,
    };
    Suite *suite = suite_create("file_backend");
    SRunner *runner = srunner_create(suite);
    TCase *tcase = tcase_create("file");
    int failed;

    if (!subject_folder_make())
        return EXIT_FAILURE;
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, start_empty, NULL);
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++)
        tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    subject_folder_remove();
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
