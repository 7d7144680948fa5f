#include "fail.h"
#include "messages.h"
#include "report.h"
#include "sections.h"
#include "stores.h"

#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK ((size_t)KMS_STREAM_CHUNK_SIZE)
#define SEALED (CHUNK + KMS_STREAM_CHUNK_OVERHEAD)

static const char *alias_of(unsigned suite)
{
    return suite == 1 ? "alias/bench/stream-1" : "alias/bench/stream-2";
}

static bare_way fastest_way(unsigned suite)
{
    return suite == 1 ? BARE_XCHACHA_LIBCRYPTO : BARE_AES_LIBCRYPTO;
}

/* --- pushing ------------------------------------------------------------------------------------ */

/* An operation is so many chunks: few enough to stay in the nearer caches. */
#define CHUNKS 16

/* One stream is sealed on and on; the other is begun anew, outside of what is timed, each time that its
 * chunks were opened. */
typedef struct pushing {
    kms_store *store;
    messages *bare;
    uint8_t header[KMS_STREAM_HEADER_SIZE];
    uint8_t plain[KMS_STREAM_CHUNK_SIZE], sealed[CHUNKS + 1][SEALED], made[SEALED], opened[CHUNK];
    kms_stream *sealing, *opening;
} pushing;

static void seal_chunk(pushing *of, uint8_t *sealed)
{
    size_t used, len;

    must_ok(kms_stream_push(of->sealing, of->plain, CHUNK, &used, sealed, SEALED, &len));
    must(used == CHUNK && len == SEALED, "a whole chunk");
}

static void open_chunk(pushing *of, const uint8_t *sealed)
{
    size_t used, len;

    must_ok(kms_stream_push(of->opening, sealed, SEALED, &used, of->opened, CHUNK, &len));
    must(used == SEALED && len == CHUNK, "a whole chunk");
}

/* The first chunk is opened here as well: a stream's memory is new. */
static void begin_opening(void *subject)
{
    pushing *of = subject;

    kms_stream_free(of->opening);
    must_ok(kms_stream_decrypt(of->store, NULL, of->header, sizeof of->header, &of->opening));
    open_chunk(of, of->sealed[CHUNKS]);
}

static pushing *pushing_of(kms_store *store, unsigned suite)
{
    pushing *made = calloc(1, sizeof *made);

    must(made != NULL, "memory for streams");
    made->store = store;
    made->bare = messages_many_of_bare(fastest_way(suite), CHUNK, CHUNKS);
    randombytes_buf(made->plain, sizeof made->plain);
    must_ok(kms_stream_encrypt(store, alias_of(suite), NULL, made->header, &made->sealing));
    seal_chunk(made, made->sealed[CHUNKS]);
    for (size_t i = 0; i < CHUNKS; i++)
        seal_chunk(made, made->sealed[i]);
    return made;
}

static void pushing_free(pushing *of)
{
    kms_stream_free(of->sealing);
    kms_stream_free(of->opening);
    messages_free(of->bare);
    free(of);
}

static void run_bare_seal_chunks(void *subject, size_t n)
{
    run_bare_seal(((pushing *)subject)->bare, n * CHUNKS);
}

static void run_bare_open_chunks(void *subject, size_t n)
{
    run_bare_open(((pushing *)subject)->bare, n * CHUNKS);
}

static void run_seal(void *subject, size_t n)
{
    pushing *of = subject;

    for (size_t i = 0; i < n * CHUNKS; i++)
        seal_chunk(of, of->made);
}

/* n is 1: a stream is opened once. */
static void run_open(void *subject, size_t n)
{
    pushing *of = subject;

    must(n == 1, "one stream a slice");
    for (size_t i = 0; i < CHUNKS; i++)
        open_chunk(of, of->sealed[i]);
}

static void measure_pushing(const options *all, kms_store *store, unsigned suite)
{
    about what = {.suite = suite, .bytes = CHUNK};
    pushing *ours = pushing_of(store, suite);
    char title[NAME_SIZE];
    group *rows;

    snprintf(title, sizeof title, "suite %u, a stream in memory, each time %d chunks of 64 KiB",
             suite, CHUNKS);
    rows = group_new("streams", THREAD_TIME, title);
    group_add(rows, run_bare_seal_chunks, ours, CHUNKS * CHUNK, "seal, %s",
              bare_name(fastest_way(suite)));
    group_add(rows, run_bare_open_chunks, ours, CHUNKS * CHUNK, "open, %s",
              bare_name(fastest_way(suite)));
    group_add(rows, run_seal, ours, CHUNKS * CHUNK, "kms_stream_push(), sealing");
    group_add(rows, run_open, ours, CHUNKS * CHUNK, "kms_stream_push(), opening")->before =
        begin_opening;
    group_measure(rows, options_pace(all, 0.001, 401));
    report_group(rows, what);
    report_goal(AT_LEAST, 0.95, 1 / report_ratio(rows, &rows->rows[2], &rows->rows[0], what),
                "stream, sealing, suite %u, speed of the fastest AEAD's", suite);
    report_goal(AT_LEAST, 0.95, 1 / report_ratio(rows, &rows->rows[3], &rows->rows[1], what),
                "stream, opening, suite %u, speed of the fastest AEAD's", suite);
    group_free(rows);
    pushing_free(ours);
}

/* --- files -------------------------------------------------------------------------------------- */

typedef struct filing {
    kms_store *store;
    unsigned suite;
    bare *bare;
    char plain[PATH_SIZE], sealed[PATH_SIZE], made[PATH_SIZE];
} filing;

static void make_file(const char *path, size_t size)
{
    uint8_t piece[CHUNK];
    FILE *file = fopen(path, "wb");

    must(file != NULL, path);
    for (size_t done = 0; done < size; done += CHUNK) {
        randombytes_buf(piece, sizeof piece);
        must(fwrite(piece, 1, CHUNK, file) == CHUNK, path);
    }
    must(fclose(file) == 0, path);
}

static int open_for(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);

    must(fd >= 0, path);
    return fd;
}

/* What who has no libkms would write: the same reads, writes and sync, and the bare AEAD between. */
static void file_by_hand(filing *of, const char *from, const char *to, bool sealing)
{
    size_t in_len = sealing ? CHUNK : CHUNK + BARE_HEADER + BARE_TAG;
    size_t out_len = sealing ? CHUNK + BARE_HEADER + BARE_TAG : CHUNK;
    static uint8_t in[CHUNK + BARE_HEADER + BARE_TAG], out[CHUNK + BARE_HEADER + BARE_TAG];
    int read_from = open_for(from, O_RDONLY), write_to = open_for(to, O_WRONLY | O_CREAT | O_EXCL);

    while (read(read_from, in, in_len) == (ssize_t)in_len) {
        if (sealing)
            bare_seal(of->bare, in, CHUNK, out);
        else
            bare_open(of->bare, in, CHUNK, out);
        must(write(write_to, out, out_len) == (ssize_t)out_len, to);
    }
    must(fsync(write_to) == 0 && close(write_to) == 0 && close(read_from) == 0, to);
}

static void run_encrypt_by_hand(void *subject, size_t n)
{
    filing *of = subject;

    for (size_t i = 0; i < n; i++)
        file_by_hand(of, of->plain, of->made, true);
}

static void run_encrypt_file(void *subject, size_t n)
{
    filing *of = subject;

    for (size_t i = 0; i < n; i++)
        must_ok(kms_encrypt_file(of->store, alias_of(of->suite), NULL, of->plain, of->made, NULL));
}

static void run_decrypt_by_hand(void *subject, size_t n)
{
    filing *of = subject;

    for (size_t i = 0; i < n; i++)
        file_by_hand(of, of->sealed, of->made, false);
}

static void run_decrypt_file(void *subject, size_t n)
{
    filing *of = subject;

    for (size_t i = 0; i < n; i++)
        must_ok(kms_decrypt_file(of->store, NULL, of->sealed, of->made, NULL));
}

static void remove_made(void *subject)
{
    (void)unlink(((filing *)subject)->made);
}

static void remove_files(filing *of)
{
    (void)unlink(of->plain);
    (void)unlink(of->sealed);
    (void)unlink(of->made);
    bare_free(of->bare);
}

static filing filing_of(kms_store *store, unsigned suite, const char *ending)
{
    filing made = {.store = store, .suite = suite, .bare = bare_new(fastest_way(suite))};

    snprintf(made.plain, PATH_SIZE, "%s", stores_path(FAST, "plain"));
    snprintf(made.sealed, PATH_SIZE, "%s", stores_path(FAST, ending));
    snprintf(made.made, PATH_SIZE, "%s", stores_path(FAST, "made"));
    return made;
}

/* The first row of both is by hand. */
static void report_files(group *rows, const char *doing, unsigned suite, size_t size)
{
    about what = {.suite = suite, .bytes = size};

    report_group(rows, what);
    report_goal(AT_LEAST, 0.95, 1 / report_ratio(rows, &rows->rows[1], &rows->rows[0], what),
                "%s a file of %zu MiB, suite %u, speed of the bare AEAD's with the same reads and "
                "writes",
                doing, size >> 20, suite);
    group_free(rows);
}

static group *file_rows(const char *doing, unsigned suite, size_t size)
{
    char title[NAME_SIZE];

    snprintf(title, sizeof title, "suite %u, %s a file of %zu MiB in memory", suite, doing,
             size >> 20);
    return group_new("streams", THREAD_TIME, title);
}

static void add_file_row(group *rows, row_run *run, filing *of, size_t size, const char *name)
{
    group_add(rows, run, of, size, "%s", name)->before = remove_made;
}

/* Of a file's rows a slice is one file, and one after the other is removed. */
static pace file_pace(const options *all)
{
    return options_pace(all, 0.001, 11);
}

static void measure_encrypting(const options *all, kms_store *store, unsigned suite, size_t size)
{
    filing of = filing_of(store, suite, "sealed");
    group *rows = file_rows("encrypting", suite, size);

    make_file(of.plain, size);
    add_file_row(rows, run_encrypt_by_hand, &of, size, "bare AEAD, 64 KiB at a time");
    add_file_row(rows, run_encrypt_file, &of, size, "kms_encrypt_file()");
    group_measure(rows, file_pace(all));
    report_files(rows, "encrypting", suite, size);
    remove_files(&of);
}

static void measure_decrypting(const options *all, kms_store *store, unsigned suite, size_t size)
{
    filing ours = filing_of(store, suite, "sealed"), theirs = filing_of(store, suite, "by-hand");
    group *rows = file_rows("decrypting", suite, size);

    make_file(ours.plain, size);
    must_ok(kms_encrypt_file(store, alias_of(suite), NULL, ours.plain, ours.sealed, NULL));
    file_by_hand(&theirs, ours.plain, theirs.sealed, true);
    (void)unlink(ours.plain);
    add_file_row(rows, run_decrypt_by_hand, &theirs, size, "bare AEAD, 64 KiB at a time");
    add_file_row(rows, run_decrypt_file, &ours, size, "kms_decrypt_file()");
    group_measure(rows, file_pace(all));
    report_files(rows, "decrypting", suite, size);
    remove_files(&ours);
    remove_files(&theirs);
}

/* --- memory, and rotation ----------------------------------------------------------------------- */

static long peak_kib(void)
{
    struct rusage used;

    must(getrusage(RUSAGE_SELF, &used) == 0, "getrusage");
    return used.ru_maxrss;
}

typedef struct growth {
    kms_store *store;
    size_t size;
    int told[2];
} growth;

/* In a process of its own, which has no peak behind it: a file of one chunk, and then a large one. */
static void measure_growth(void *argument)
{
    growth *of = argument;
    filing small, large;
    long before, grown;
    kms_store *store = stores_open(stores_path(FAST, "growth.kms"), 0);
    char id[KMS_KEY_ID_SIZE];

    stores_add_key(store, KMS_SUITE_XCHACHA20_POLY1305, alias_of(1), id);
    small = filing_of(store, 1, "sealed");
    make_file(small.plain, 2 * CHUNK);
    run_encrypt_file(&small, 1);
    before = peak_kib();
    remove_files(&small);
    large = filing_of(store, 1, "sealed");
    make_file(large.plain, of->size);
    run_encrypt_file(&large, 1);
    grown = peak_kib() - before;
    must(write(of->told[1], &grown, sizeof grown) == (ssize_t)sizeof grown, "pipe");
    remove_files(&large);
    kms_close(store);
}

static void report_memory(size_t size)
{
    growth of = {.size = size};
    long grown = 0;

    must(pipe(of.told) == 0, "pipe");
    process_run(measure_growth, &of);
    must(read(of.told[0], &grown, sizeof grown) == (ssize_t)sizeof grown, "pipe");
    close(of.told[0]);
    close(of.told[1]);
    stores_remove(stores_path(FAST, "growth.kms"));
    report_goal(AT_MOST, 1024, (double)grown,
                "encrypting a file of %zu MiB, growth of the peak of memory, KiB", size >> 20);
}

static void run_rewrap(void *subject, size_t n)
{
    filing *of = subject;

    for (size_t i = 0; i < n; i++)
        must_ok(kms_rewrap_file(of->store, NULL, alias_of(of->suite), NULL, of->sealed, NULL));
}

/* The same for every size. */
static void measure_rewrapping(const options *all, kms_store *store, size_t size)
{
    filing small = filing_of(store, 1, "sealed"), large = filing_of(store, 1, "large");
    group *rows = group_new("streams", WALL_TIME, "rewrapping a file in memory");

    make_file(small.plain, CHUNK);
    must_ok(kms_encrypt_file(store, alias_of(1), NULL, small.plain, small.sealed, NULL));
    make_file(large.plain, size);
    must_ok(kms_encrypt_file(store, alias_of(1), NULL, large.plain, large.sealed, NULL));
    group_add(rows, run_rewrap, &small, 0, "kms_rewrap_file(), 64 KiB");
    group_add(rows, run_rewrap, &large, 0, "kms_rewrap_file(), %zu MiB", size >> 20);
    group_measure(rows, options_pace(all, 2, 51));
    report_group(rows, (about){.suite = 1});
    group_free(rows);
    remove_files(&small);
    remove_files(&large);
}

void bench_streams(const options *all)
{
    const size_t size = (size_t)(all->quick ? 8 : 1024) << 20;
    kms_store *store = stores_open(stores_path(FAST, "streams.kms"), 0);
    char id[KMS_KEY_ID_SIZE];

    stores_add_key(store, KMS_SUITE_XCHACHA20_POLY1305, alias_of(1), id);
    stores_add_key(store, KMS_SUITE_AES_256_GCM, alias_of(2), id);
    for (unsigned suite = 1; suite <= 2; suite++) {
        measure_pushing(all, store, suite);
        measure_encrypting(all, store, suite, size);
        measure_decrypting(all, store, suite, size);
    }
    report_memory(size);
    measure_rewrapping(all, store, size);
    kms_close(store);
}
