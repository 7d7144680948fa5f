#include "fail.h"
#include "messages.h"
#include "report.h"
#include "sections.h"
#include "stores.h"

#include <stdio.h>

#define ALIAS_1 "alias/bench/suite-1"
#define ALIAS_2 "alias/bench/suite-2"

/* A store on LMDB that a second process has open too, and one in memory, with a key of each
 * suite. */
typedef struct scene {
    kms_store *store, *memory;
    char ids[2][KMS_KEY_ID_SIZE];
    pid_t holder;
} scene;

static void begin(scene *in)
{
    const char *path = stores_path(FAST, "hot.kms");
    char id[KMS_KEY_ID_SIZE];

    in->store = stores_open(path, 0);
    must_ok(kms_open_memory(&in->memory));
    stores_add_key(in->store, KMS_SUITE_XCHACHA20_POLY1305, ALIAS_1, in->ids[0]);
    stores_add_key(in->store, KMS_SUITE_AES_256_GCM, ALIAS_2, in->ids[1]);
    stores_add_key(in->memory, KMS_SUITE_XCHACHA20_POLY1305, ALIAS_1, id);
    stores_add_key(in->memory, KMS_SUITE_AES_256_GCM, ALIAS_2, id);
    in->holder = stores_hold(path);
}

static void end(scene *in)
{
    process_end(in->holder);
    kms_close(in->memory);
    kms_close(in->store);
}

/* The rows of one suite and size. */
enum { BARE, BY_ALIAS, BY_ID, MEMORY, KEPT, SUBJECTS };

static void add_rows(group *rows, messages *const *subjects, bare_way floor, size_t len)
{
    group_add(rows, run_bare_seal, subjects[BARE], len, "seal, %s", bare_name(floor));
    group_add(rows, run_encrypt, subjects[BY_ALIAS], len, "kms_encrypt() by alias");
    group_add(rows, run_encrypt, subjects[BY_ID], len, "kms_encrypt() by key id");
    group_add(rows, run_encrypt, subjects[MEMORY], len, "kms_encrypt() by alias, memory engine");
    group_add(rows, run_bare_open, subjects[BARE], len, "open, %s", bare_name(floor));
    group_add(rows, run_decrypt, subjects[BY_ALIAS], len, "kms_decrypt()");
    group_add(rows, run_decrypt, subjects[MEMORY], len, "kms_decrypt(), memory engine");
    if (subjects[KEPT] == NULL)
        return;
    group_add(rows, run_bare_seal, subjects[KEPT], len, "seal, %s", bare_name(BARE_AES_SODIUM));
    group_add(rows, run_bare_open, subjects[KEPT], len, "open, %s", bare_name(BARE_AES_SODIUM));
}

static void add_goals(const group *rows, about what)
{
    const row *seal = &rows->rows[0], *open = &rows->rows[4];
    double encrypt = report_ratio(rows, group_row(rows, "kms_encrypt() by alias"), seal, what);
    double decrypt = report_ratio(rows, group_row(rows, "kms_decrypt()"), open, what);
    double limit = what.bytes >= 16384 ? 1.05 : 1.15;

    (void)report_ratio(rows, group_row(rows, "kms_encrypt() by key id"), seal, what);
    if (what.bytes < 64)
        return;
    report_goal(AT_MOST, limit, encrypt, "encrypt by alias, suite %u, %zu B, of the floor",
                what.suite, what.bytes);
    report_goal(AT_MOST, limit, decrypt, "decrypt, suite %u, %zu B, of the floor", what.suite,
                what.bytes);
}

static void add_goals_kept(const group *rows, about what)
{
    double encrypt =
        report_ratio(rows, group_row(rows, "kms_encrypt() by alias"), &rows->rows[7], what);
    double decrypt = report_ratio(rows, group_row(rows, "kms_decrypt()"), &rows->rows[8], what);

    if (what.bytes != 64)
        return;
    report_goal(AT_MOST, 1.25, encrypt, "encrypt, suite 2, 64 B, of AES-256-GCM, context kept");
    report_goal(AT_MOST, 1.25, decrypt, "decrypt, suite 2, 64 B, of AES-256-GCM, context kept");
}

static void measure(const options *all, const scene *in, unsigned suite, size_t len)
{
    const char *alias = suite == 1 ? ALIAS_1 : ALIAS_2;
    bare_way floor = suite == 1 ? BARE_XCHACHA : BARE_AES_DERIVED;
    about what = {.suite = suite, .bytes = len};
    messages *subjects[SUBJECTS] = {[BARE] = messages_of_bare(floor, len),
                                    [BY_ALIAS] = messages_of(in->store, alias, len),
                                    [BY_ID] = messages_of(in->store, in->ids[suite - 1], len),
                                    [MEMORY] = messages_of(in->memory, alias, len),
                                    [KEPT] =
                                        suite == 2 ? messages_of_bare(BARE_AES_SODIUM, len) : NULL};
    char title[NAME_SIZE];
    group *rows;

    snprintf(title, sizeof title, "suite %u, %zu B, on LMDB", suite, len);
    rows = group_new("hot", THREAD_TIME, title);
    add_rows(rows, subjects, floor, len);
    group_measure(rows, options_pace(all, 0.5, 401));
    report_group(rows, what);
    add_goals(rows, what);
    if (suite == 2)
        add_goals_kept(rows, what);
    group_free(rows);
    for (size_t i = 0; i < SUBJECTS; i++)
        if (subjects[i] != NULL)
            messages_free(subjects[i]);
}

void bench_hot(const options *all)
{
    static const size_t sizes[] = {16, 64, 256, 1024, 4096, 16384};
    scene in;

    begin(&in);
    for (unsigned suite = 1; suite <= 2; suite++)
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
            if (!all->quick || i % 2 == 1)
                measure(all, &in, suite, sizes[i]);
    end(&in);
}
