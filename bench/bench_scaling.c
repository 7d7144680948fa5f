#include "fail.h"
#include "keyring.h"
#include "report.h"
#include "sections.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define FEW 10
/* A key that is used both ways takes two entries: one for encrypting, and one for the version that
 * opens its blobs. In this cache all hot keys have room; in the other hardly any. */
#define LARGE_CACHE 32768
#define SMALL_CACHE 256
#define PAGE 1000

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* --- Warm calls ------------------------------------------------------------------------------- */

typedef struct warm {
    kms_store *stores[SIZES_MAX];
    hot *subjects[2 * SIZES_MAX];
    size_t count;
    hot_bare *few, *many;
} warm;

/* A program that uses these keys finds of them what the processor's caches hold. The row before used other
 * memory, so each key is used some times first. */
static void warm_encrypt(void *subject)
{
    run_hot_encrypt(subject, hot_passes(subject));
}

static void warm_decrypt(void *subject)
{
    run_hot_decrypt(subject, hot_passes(subject));
}

static void warm_bare_seal(void *subject)
{
    run_hot_bare_seal(subject, hot_bare_passes(subject));
}

static void warm_bare_open(void *subject)
{
    run_hot_bare_open(subject, hot_bare_passes(subject));
}

static void add_bare(group *rows, hot_bare *subject, int count)
{
    group_add(rows, run_hot_bare_seal, subject, 0, "bare seal, key found by id among %d", count)
        ->before = warm_bare_seal;
    group_add(rows, run_hot_bare_open, subject, 0, "bare open, key found by id among %d", count)
        ->before = warm_bare_open;
}

static void add_rows_of(group *rows, warm *in, const keyring *keys, size_t index, size_t count)
{
    hot *subject = hot_of(in->stores[index], keys, count);

    in->subjects[in->count++] = subject;
    group_add(rows, run_hot_encrypt, subject, 0, "kms_encrypt(), %zu hot of %zu", count,
              keys->sizes[index])
        ->before = warm_encrypt;
    group_add(rows, run_hot_decrypt, subject, 0, "kms_decrypt(), %zu hot of %zu", count,
              keys->sizes[index])
        ->before = warm_decrypt;
}

/* At each size the few, and from 10,000 on as many hot keys as that. */
static void add_rows(group *rows, warm *in, const keyring *keys)
{
    in->few = hot_bare_of(FEW);
    in->many = hot_bare_of(HOT_MAX);
    add_bare(rows, in->few, FEW);
    add_bare(rows, in->many, HOT_MAX);
    for (size_t i = 0; i < keys->count; i++) {
        in->stores[i] = stores_open(keyring_path(keys, i), LARGE_CACHE);
        add_rows_of(rows, in, keys, i, FEW);
        if (keys->sizes[i] >= HOT_MAX)
            add_rows_of(rows, in, keys, i, HOT_MAX);
    }
}

/* Rows stand in pairs, of encrypting and decrypting: the bare ones of few and many keys, and few hot keys
 * of few; at the end few hot keys of all, and many. */
static void add_warm_goals(const group *rows, const keyring *keys)
{
    static const char *const calls[] = {"kms_encrypt()", "kms_decrypt()"};
    about what = {.suite = 1, .bytes = 64, .keys = keys->sizes[keys->count - 1]};

    for (size_t i = 0; i < 2; i++) {
        const row *bare_few = &rows->rows[i], *bare_many = bare_few + 2, *ten = bare_few + 4;
        const row *ten_of_all = &rows->rows[rows->count - 4 + i], *many_of_all = ten_of_all + 2;
        char name[NAME_SIZE];

        snprintf(name, sizeof name, "%s, %d hot of %d", calls[i], HOT_MAX, HOT_MAX);
        report_goal(AT_MOST, 1.05, report_ratio(rows, ten_of_all, ten, what),
                    "%s, 10 hot keys of %zu, of 10 of 10", calls[i], what.keys);
        report_goal(AT_MOST, 1.05, report_ratio(rows, many_of_all, group_row(rows, name), what),
                    "%s, 10,000 hot keys of %zu, of 10,000 of 10,000", calls[i], what.keys);
        report_goal(AT_MOST, 1.15, report_ratio(rows, many_of_all, bare_many, what),
                    "%s, 10,000 hot keys of %zu, of the floor with 10,000", calls[i], what.keys);
        (void)report_ratio(rows, many_of_all, ten, what);
        (void)report_ratio(rows, bare_many, bare_few, what);
    }
}

static void measure_warm(const options *all, const keyring *keys)
{
    warm in = {.count = 0};
    group *rows = group_new("scaling", THREAD_TIME,
                            "suite 1, 64 B, by key id, hot keys drawn at random, cache of 32,768");

    add_rows(rows, &in, keys);
    group_measure(rows, options_pace(all, 10, 101));
    report_group(rows, (about){.suite = 1, .bytes = 64});
    add_warm_goals(rows, keys);
    group_free(rows);
    for (size_t i = 0; i < in.count; i++)
        hot_free(in.subjects[i]);
    for (size_t i = 0; i < keys->count; i++)
        kms_close(in.stores[i]);
    hot_bare_free(in.few);
    hot_bare_free(in.many);
}

/* --- A cache that is too small ---------------------------------------------------------------- */

static void measure_cold(const options *all, const keyring *keys)
{
    kms_store *stores[SIZES_MAX];
    hot *subjects[SIZES_MAX] = {NULL};
    char title[NAME_SIZE];
    group *rows;
    const row *first;

    snprintf(title, sizeof title, "the same, up to 10,000 hot keys in a cache of %d", SMALL_CACHE);
    rows = group_new("scaling", THREAD_TIME, title);
    for (size_t i = 0; i < keys->count; i++) {
        stores[i] = stores_open(keyring_path(keys, i), SMALL_CACHE);
        if (keys->sizes[i] < 1000)
            continue;
        subjects[i] = hot_of(stores[i], keys, least(keys->sizes[i], HOT_MAX));
        group_add(rows, run_hot_encrypt, subjects[i], 0, "kms_encrypt(), %zu hot of %zu",
                  least(keys->sizes[i], HOT_MAX), keys->sizes[i]);
    }
    group_measure(rows, options_pace(all, 10, 51));
    report_group(rows, (about){.suite = 1, .bytes = 64});
    first = &rows->rows[1];
    for (size_t i = 2; i < rows->count; i++)
        (void)report_ratio(rows, &rows->rows[i], first, (about){.suite = 1, .bytes = 64});
    group_free(rows);
    for (size_t i = 0; i < keys->count; i++) {
        if (subjects[i] != NULL)
            hot_free(subjects[i]);
        kms_close(stores[i]);
    }
}

/* --- Opening ---------------------------------------------------------------------------------- */

typedef struct opening {
    char path[PATH_SIZE];
    const char *keyref;
} opening;

static void run_open(void *subject, size_t n)
{
    const opening *of = subject;

    for (size_t i = 0; i < n; i++)
        kms_close(stores_open(of->path, 0));
}

static void run_open_encrypt(void *subject, size_t n)
{
    const opening *of = subject;
    uint8_t blob[KMS_CIPHERTEXT_SIZE(1)];
    size_t len;

    for (size_t i = 0; i < n; i++) {
        kms_store *store = stores_open(of->path, 0);

        must_ok(kms_encrypt(store, of->keyref, NULL, "x", 1, blob, sizeof blob, &len));
        kms_close(store);
    }
}

static void measure_opening(const options *all, const keyring *keys)
{
    static opening subjects[SIZES_MAX];
    group *rows =
        group_new("scaling", WALL_TIME, "opening a store and closing it, root key of 32 bytes");
    size_t largest = keys->sizes[keys->count - 1];

    for (size_t i = 0; i < keys->count; i++) {
        snprintf(subjects[i].path, PATH_SIZE, "%s", keyring_path(keys, i));
        subjects[i].keyref = keys->hot[0];
        group_add(rows, run_open, &subjects[i], 0, "open, close: %zu keys", keys->sizes[i]);
        group_add(rows, run_open_encrypt, &subjects[i], 0, "open, encrypt once, close: %zu keys",
                  keys->sizes[i]);
    }
    group_measure(rows, options_pace(all, 2, 101));
    report_group(rows, (about){0});
    report_goal(
        AT_MOST, 1.5,
        report_ratio(rows, &rows->rows[rows->count - 2], &rows->rows[0], (about){.keys = largest}),
        "opening a store of %zu keys, of opening one of 10", largest);
    group_free(rows);
}

/* --- Lists ------------------------------------------------------------------------------------ */

/* A number of /proc/self/status, in KiB. */
static double status_kib(const char *begin)
{
    char line[256];
    double found = -1;
    FILE *file = fopen("/proc/self/status", "re");

    must(file != NULL, "/proc/self/status");
    while (fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, begin, strlen(begin)) == 0)
            found = strtod(line + strlen(begin), NULL);
    (void)fclose(file);
    must(found >= 0, begin);
    return found;
}

/* What a process of its own finds, in memory that both see. */
typedef struct listing {
    char path[PATH_SIZE];
    size_t keys;
    double ns, grown_kib;
} listing;

/* The whole list; gives the nanoseconds of the calls themselves. */
static double list_all(kms_store *store, listing *of, double anonymous_kib)
{
    static char ids[PAGE][KMS_KEY_ID_SIZE];
    char marker[KMS_KEY_ID_SIZE];
    double took = 0;
    size_t found = 0, count;
    bool more = true;

    while (more) {
        double started = thread_ns(), grown;

        must_ok(kms_list_keys(store, found > 0 ? marker : NULL, ids, PAGE, &count, &more));
        took += thread_ns() - started;
        found += count;
        memcpy(marker, ids[count - 1], sizeof marker);
        grown = status_kib("RssAnon:") - anonymous_kib;
        of->grown_kib = grown > of->grown_kib ? grown : of->grown_kib;
    }
    must(found == of->keys, "as many keys in the list as were made");
    return took;
}

/* The second time: then the file's pages are mapped. Memory counts from the first page on. */
static void list(void *argument)
{
    listing *of = argument;
    kms_store *store = stores_open(of->path, 0);
    char id[1][KMS_KEY_ID_SIZE];
    double anonymous_kib;
    size_t count;

    must_ok(kms_list_keys(store, NULL, id, 1, &count, NULL));
    anonymous_kib = status_kib("RssAnon:");
    (void)list_all(store, of, anonymous_kib);
    of->ns = list_all(store, of, anonymous_kib) / (double)of->keys;
    kms_close(store);
}

/* Each in a process of its own, so that its memory is its own; the least of some runs. */
static void measure_lists(const options *all, const keyring *keys)
{
    listing *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    double ns[SIZES_MAX] = {0}, grown = 0;
    size_t last = keys->count - 1;

    must(shared != MAP_FAILED, "memory that two processes see");
    printf("\nscaling: kms_list_keys(), pages of %d\n", PAGE);
    for (size_t i = 0; i < keys->count; i++) {
        about what = {.keys = keys->sizes[i]};

        for (int run = 0; run < (all->quick ? 3 : 9); run++) {
            *shared = (listing){.keys = keys->sizes[i]};
            snprintf(shared->path, PATH_SIZE, "%s", keyring_path(keys, i));
            process_run(list, shared);
            ns[i] = run == 0 || shared->ns < ns[i] ? shared->ns : ns[i];
            grown = shared->grown_kib > grown ? shared->grown_kib : grown;
        }
        report_fact("scaling", ns[i], "ns a key", what, "list of %zu keys", keys->sizes[i]);
    }
    report_fact("scaling", grown, "KiB", (about){.keys = keys->sizes[last]},
                "private memory, most that grew over the pages");
    report_goal(AT_MOST, 1.5, ns[last] / ns[last - 1], "listing %zu keys, for each, of listing %zu",
                keys->sizes[last], keys->sizes[last - 1]);
    report_goal(AT_MOST, 256, grown, "listing %zu keys, private memory that grew, KiB",
                keys->sizes[last]);
    munmap(shared, sizeof *shared);
}

/* --- Size, and what making and verifying cost --------------------------------------------------- */

static void tell_sizes(const keyring *keys)
{
    printf("\nscaling: making keys, each in a commit of its own (tmpfs), and the file\n");
    for (size_t i = 0; i < keys->count; i++) {
        about what = {.keys = keys->sizes[i]};
        struct stat file;

        must(stat(keyring_path(keys, i), &file) == 0, "a store's size");
        report_fact("scaling", keys->ns_a_key[i] / 1e3, "us a key", what, "making, up to %zu keys",
                    keys->sizes[i]);
        report_fact("scaling", (double)file.st_size / (double)keys->sizes[i], "bytes a key", what,
                    "file of %zu keys", keys->sizes[i]);
    }
}

static void verify_all(const keyring *keys)
{
    printf("\nscaling: kms_verify()\n");
    for (size_t i = 0; i < keys->count; i++) {
        kms_store *store = stores_open(keyring_path(keys, i), 0);
        double started = thread_ns();

        must_ok(kms_verify(store));
        report_fact("scaling", (thread_ns() - started) / 1e3 / (double)keys->sizes[i], "us a key",
                    (about){.keys = keys->sizes[i]}, "verifying %zu keys", keys->sizes[i]);
        kms_close(store);
    }
}

void bench_scaling(const options *all)
{
    keyring keys;

    keyring_make(&keys, all);
    tell_sizes(&keys);
    measure_warm(all, &keys);
    measure_cold(all, &keys);
    measure_opening(all, &keys);
    measure_lists(all, &keys);
    verify_all(&keys);
    keyring_remove(&keys);
}
