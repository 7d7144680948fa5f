/* Processes that are killed, and that meet: at any moment the file under its name is the whole old one
 * or the whole new one, a rewrapped one opens, and who reads meanwhile never fails. */
#include "support/file_trial.h"
#include "support/lmdb_trial.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* Two chunks and a part. */
#define LEN 150000

static uint8_t texts[2][LEN];
static unsigned seed = 1;

/* What processes tell each other. */
static struct notes {
    _Atomic unsigned done;
    _Atomic unsigned busy;
    _Atomic bool stop;
} * notes;

static void setup(void)
{
    file_setup();
    for (unsigned i = 0; i < 2; i++)
        scratch_fill(texts[i], LEN, 10 + i);
    notes = mmap(NULL, sizeof *notes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(notes, MAP_FAILED);
}

static void finish(void)
{
    munmap(notes, sizeof *notes);
    file_finish();
}

static void sleep_us(long us)
{
    const struct timespec pause = {us / 1000000, us % 1000000 * 1000};

    (void)nanosleep(&pause, NULL);
}

/* Lets a child begin its work, and go on for a time that is drawn. */
static void kill_at_random(int (*body)(void *), void *argument, long most_us)
{
    pid_t child;

    atomic_store(&notes->done, 0);
    child = trial_fork(body, argument);
    while (atomic_load(&notes->done) == 0)
        sleep_us(200);
    seed = seed * 1103515245u + 12345u;
    sleep_us((long)(seed >> 8) % most_us);
    ck_assert_int_eq(kill(child, SIGKILL), 0);
    ck_assert_int_eq(trial_wait(child), 128 + SIGKILL);
}

static unsigned kills(unsigned many)
{
    return fixture_is_watched() ? many / 4 : many;
}

/* --- encrypting and decrypting ------------------------------------------------------------------ */

/* Puts the one text and then the other in the place of "to", for ever. */
static int encrypt_for_ever(void *unused)
{
    kms_store *own = place_open(&file_place);
    const char *from[2] = {scratch_path("0"), scratch_path("1")}, *to = scratch_path("to");

    (void)unused;
    for (unsigned i = 0;; i++) {
        trial_must(kms_encrypt_file(own, file_key, NULL, from[i % 2], to, NULL) == KMS_OK);
        atomic_fetch_add(&notes->done, 1);
    }
}

static int decrypt_for_ever(void *unused)
{
    kms_store *own = place_open(&file_place);
    const char *from[2] = {scratch_path("0.kms"), scratch_path("1.kms")}, *to = scratch_path("to");

    (void)unused;
    for (unsigned i = 0;; i++) {
        trial_must(kms_decrypt_file(own, NULL, from[i % 2], to, NULL) == KMS_OK);
        atomic_fetch_add(&notes->done, 1);
    }
}

static bool is_one_of_both(const char *path)
{
    return scratch_holds(path, texts[0], LEN) || scratch_holds(path, texts[1], LEN);
}

/* And at any moment besides, while the other one is at work. */
static void look(file_way way)
{
    const char *clear = scratch_path("to");

    if (way == FILE_ENCRYPT) {
        clear = scratch_path("clear");
        fixture_ok(kms_decrypt_file(file_store, NULL, scratch_path("to"), clear, NULL));
    }
    ck_assert(is_one_of_both(clear));
}

static void prepare_texts(void)
{
    static const char *const names[2][2] = {{"0", "0.kms"}, {"1", "1.kms"}};

    for (unsigned i = 0; i < 2; i++) {
        scratch_write(scratch_path(names[i][0]), texts[i], LEN);
        file_encrypted(scratch_path(names[i][1]), texts[i], LEN);
    }
}

START_TEST(a_kill_leaves_the_old_file_or_the_new_one)
{
    static int (*const bodies[])(void *) = {encrypt_for_ever, decrypt_for_ever};

    setup();
    prepare_texts();
    for (unsigned i = 0; i < kills(30); i++) {
        kill_at_random(bodies[_i], NULL, 8000);
        look((file_way)_i);
    }
    finish();
}
END_TEST

START_TEST(whoever_looks_at_any_moment_sees_a_whole_file)
{
    pid_t child;

    setup();
    prepare_texts();
    child = trial_fork(encrypt_for_ever, NULL);
    while (atomic_load(&notes->done) == 0)
        sleep_us(200);
    while (atomic_load(&notes->done) < kills(100))
        look(FILE_ENCRYPT);
    ck_assert_int_eq(kill(child, SIGKILL), 0);
    (void)trial_wait(child);
    finish();
}
END_TEST

/* --- rewrapping --------------------------------------------------------------------------------- */

/* Both keys take turns, so that every header is another. */
static char keys[2][KMS_KEY_ID_SIZE];

static const char *prepare_stream(void)
{
    const char *path = scratch_path("stream");

    for (int i = 0; i < 2; i++)
        fixture_create_key(file_store, keys[i]);
    file_encrypted(path, texts[0], LEN);
    return path;
}

static int rewrap_until_told(void *path)
{
    kms_store *own = place_open(&file_place);

    for (unsigned i = 0; !atomic_load(&notes->stop); i++) {
        kms_status st = kms_rewrap_file(own, NULL, keys[i % 2], NULL, path, NULL);

        trial_must(st == KMS_OK || st == KMS_ERR_BUSY);
        trial_must(st == KMS_OK || strstr(kms_error_message(), "stream: somebody") != NULL);
        atomic_fetch_add(st == KMS_OK ? &notes->done : &notes->busy, 1);
    }
    return 0;
}

START_TEST(a_rewrap_that_is_killed_leaves_a_file_that_opens)
{
    const char *path;

    setup();
    path = prepare_stream();
    for (unsigned i = 0; i < kills(40); i++) {
        kill_at_random(rewrap_until_told, (void *)(uintptr_t)path, 5000);
        file_decrypts_to(path, texts[0], LEN);
        ck_assert_int_eq(scratch_stat(path).st_size, (off_t)KMS_STREAM_SIZE(LEN));
    }
    finish();
}
END_TEST

static double seconds(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* All of the stream, by a reader. */
static void read_all(const char *path)
{
    static uint8_t out[LEN];
    kms_stream_reader *reader = NULL;
    kms_stream_io io;
    size_t len = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    kms_stream_io_of_fd(&io, fd);
    fixture_ok(kms_stream_reader_open(file_store, NULL, &io, &reader));
    ck_assert_uint_eq(kms_stream_reader_size(reader), LEN);
    fixture_ok(kms_stream_reader_read(reader, 0, out, sizeof out, &len));
    ck_assert(len == LEN && memcmp(out, texts[0], LEN) == 0);
    kms_stream_reader_close(reader);
    (void)close(fd);
}

START_TEST(who_reads_while_others_rewrap_never_fails)
{
    pid_t child;
    const char *path;
    double end;
    unsigned reads = 0;

    setup();
    path = prepare_stream();
    child = trial_fork(rewrap_until_told, (void *)(uintptr_t)path);
    for (end = seconds() + 2; seconds() < end; reads++) {
        read_all(path);
        if (reads % 4 == 0)
            file_decrypts_to(path, texts[0], LEN);
    }
    atomic_store(&notes->stop, true);
    ck_assert_int_eq(trial_wait(child), 0);
    ck_assert_uint_gt(reads, 5);
    ck_assert_uint_gt(atomic_load(&notes->done), 5);
    finish();
}
END_TEST

START_TEST(of_those_who_rewrap_at_once_each_succeeds_or_is_told_so)
{
    pid_t children[2];
    const char *path;

    setup();
    path = prepare_stream();
    for (int i = 0; i < 2; i++)
        children[i] = trial_fork(rewrap_until_told, (void *)(uintptr_t)path);
    for (double end = seconds() + 1; seconds() < end;)
        file_decrypts_to(path, texts[0], LEN);
    atomic_store(&notes->stop, true);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(trial_wait(children[i]), 0);
    ck_assert_uint_gt(atomic_load(&notes->done), 5);
    file_decrypts_to(path, texts[0], LEN);
    fixture_ok(kms_rewrap_file(file_store, NULL, keys[0], NULL, path, NULL));
    finish();
}
END_TEST

static void *rewrap_in_a_thread(void *path)
{
    unsigned count = 0;

    while (!atomic_load(&notes->stop)) {
        kms_status st = kms_rewrap_file(file_store, NULL, keys[count++ % 2], NULL, path, NULL);

        if (st != KMS_OK && st != KMS_ERR_BUSY)
            return (void *)1;
        atomic_fetch_add(st == KMS_OK ? &notes->done : &notes->busy, 1);
    }
    return NULL;
}

/* The lock is that of the file's description, and not of the process. */
START_TEST(threads_of_one_process_do_not_rewrap_at_once_either)
{
    pthread_t threads[2];
    const char *path;
    void *failed;

    setup();
    path = prepare_stream();
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(
            pthread_create(&threads[i], NULL, rewrap_in_a_thread, (void *)(uintptr_t)path), 0);
    for (double end = seconds() + 1; seconds() < end;)
        file_decrypts_to(path, texts[0], LEN);
    atomic_store(&notes->stop, true);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(pthread_join(threads[i], &failed), 0);
        ck_assert_ptr_null(failed);
    }
    ck_assert_uint_gt(atomic_load(&notes->done), 5);
    finish();
}
END_TEST

START_TEST(somebody_elses_lock_is_told_and_nothing_is_written)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    const char *path;
    uint8_t *before;
    size_t len;
    int fd;

    setup();
    path = prepare_stream();
    before = scratch_read(path, &len);
    fd = open(path, O_RDWR | O_CLOEXEC);
    ck_assert_int_eq(fcntl(fd, F_OFD_SETLK, &whole), 0);
    fixture_is(kms_rewrap_file(file_store, NULL, keys[0], NULL, path, NULL), KMS_ERR_BUSY);
    fixture_says("/stream");
    ck_assert(scratch_holds(path, before, len));
    (void)close(fd);
    fixture_ok(kms_rewrap_file(file_store, NULL, keys[0], NULL, path, NULL));
    free(before);
    finish();
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {a_kill_leaves_the_old_file_or_the_new_one, FILE_WAYS},
        {whoever_looks_at_any_moment_sees_a_whole_file, 0},
        {a_rewrap_that_is_killed_leaves_a_file_that_opens, 0},
        {who_reads_while_others_rewrap_never_fails, 0},
        {of_those_who_rewrap_at_once_each_succeeds_or_is_told_so, 0},
        {threads_of_one_process_do_not_rewrap_at_once_either, 0},
        {somebody_elses_lock_is_told_and_nothing_is_written, 0},
    };

    return fixture_main("file_kills", tests, sizeof tests / sizeof *tests, 60);
}
