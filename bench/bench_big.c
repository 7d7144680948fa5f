#include "fail.h"
#include "messages.h"
#include "report.h"
#include "sections.h"
#include "stores.h"

#include <stdio.h>

/* Ways to have the same done without libkms; the fastest is the one to be held against. */
#define WAYS 2

static const row *fastest(const group *rows, size_t from)
{
    const row *best = &rows->rows[from];

    for (size_t i = from + 1; i < from + WAYS; i++)
        if (rows->rows[i].median_ns < best->median_ns)
            best = &rows->rows[i];
    return best;
}

/* Speed as a part of the fastest's. */
static void add_goal(const group *rows, const char *doing, const row *ours, size_t ways_from,
                     about what)
{
    double slower = report_ratio(rows, ours, fastest(rows, ways_from), what);

    report_goal(AT_LEAST, 0.95, 1 / slower, "%s, suite %u, %zu KiB, speed of the fastest AEAD's",
                doing, what.suite, what.bytes / 1024);
}

static void measure(const options *all, kms_store *store, unsigned suite, size_t len)
{
    static const bare_way ways[][WAYS] = {{BARE_XCHACHA, BARE_XCHACHA_LIBCRYPTO},
                                          {BARE_AES_SODIUM, BARE_AES_LIBCRYPTO}};
    const char *alias = suite == 1 ? "alias/bench/big-1" : "alias/bench/big-2";
    about what = {.suite = suite, .bytes = len};
    messages *ours = messages_of(store, alias, len), *theirs[WAYS];
    char title[NAME_SIZE];
    group *rows;

    snprintf(title, sizeof title, "suite %u, %zu KiB in one message", suite, len / 1024);
    rows = group_new("big", THREAD_TIME, title);
    for (size_t i = 0; i < WAYS; i++) {
        theirs[i] = messages_of_bare(ways[suite - 1][i], len);
        group_add(rows, run_bare_seal, theirs[i], len, "seal, %s", bare_name(ways[suite - 1][i]));
    }
    for (size_t i = 0; i < WAYS; i++)
        group_add(rows, run_bare_open, theirs[i], len, "open, %s", bare_name(ways[suite - 1][i]));
    group_add(rows, run_encrypt, ours, len, "kms_encrypt()");
    group_add(rows, run_decrypt, ours, len, "kms_decrypt()");
    group_measure(rows, options_pace(all, 2, 201));
    report_group(rows, what);
    add_goal(rows, "encrypt", group_row(rows, "kms_encrypt()"), 0, what);
    add_goal(rows, "decrypt", group_row(rows, "kms_decrypt()"), WAYS, what);
    group_free(rows);
    messages_free(ours);
    for (size_t i = 0; i < WAYS; i++)
        messages_free(theirs[i]);
}

void bench_big(const options *all)
{
    static const size_t sizes[] = {64 * 1024, 1024 * 1024};
    kms_store *store = stores_open(stores_path(FAST, "big.kms"), 0);
    char id[KMS_KEY_ID_SIZE];

    stores_add_key(store, KMS_SUITE_XCHACHA20_POLY1305, "alias/bench/big-1", id);
    stores_add_key(store, KMS_SUITE_AES_256_GCM, "alias/bench/big-2", id);
    for (unsigned suite = 1; suite <= 2; suite++)
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
            measure(all, store, suite, sizes[i]);
    kms_close(store);
}
