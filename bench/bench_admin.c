#include "commits.h"
#include "fail.h"
#include "report.h"
#include "sections.h"

#include <stdio.h>

#define ALIAS "alias/bench/admin"
#define KEYS 1000

/* One store for each kind of change, so that none grows by another's; and a copy of each for the
 * bare commits. */
enum { MOVE, ROTATE, CREATE, SWITCH, CHANGES };

typedef struct admin {
    kms_store *store;
    const char (*ids)[KMS_KEY_ID_SIZE];
    size_t next;
} admin;

static void run_move(void *subject, size_t n)
{
    admin *of = subject;

    for (size_t i = 0; i < n; i++)
        must_ok(kms_update_alias(of->store, ALIAS, of->ids[++of->next % 2]));
}

static void run_rotate(void *subject, size_t n)
{
    admin *of = subject;
    uint32_t number;

    for (size_t i = 0; i < n; i++)
        must_ok(kms_create_key_version(of->store, of->ids[of->next++ % KEYS], &number));
}

static void run_create(void *subject, size_t n)
{
    admin *of = subject;
    char id[KMS_KEY_ID_SIZE];

    for (size_t i = 0; i < n; i++)
        must_ok(kms_create_key(of->store, NULL, id));
}

/* Disables a key, and enables it again: two changes. */
static void run_switch(void *subject, size_t n)
{
    admin *of = subject;

    for (size_t i = 0; i < n; i++)
        must_ok(of->next++ % 2 == 0 ? kms_disable_key(of->store, of->ids[0])
                                    : kms_enable_key(of->store, of->ids[0]));
}

static row_run *const runs[CHANGES] = {run_move, run_rotate, run_create, run_switch};
static row_run *const bare_runs[CHANGES] = {run_commit_move, run_commit_rotate, run_commit_create,
                                            NULL};
static const char *const names[CHANGES] = {"kms_update_alias()", "kms_create_key_version()",
                                           "kms_create_key()",
                                           "kms_disable_key(), kms_enable_key()"};
static const char *const bare_names[CHANGES] = {"bare commit as of kms_update_alias()",
                                                "bare commit as of kms_create_key_version()",
                                                "bare commit as of kms_create_key()", NULL};

static const char *file(place where, size_t change, bool bare)
{
    char name[64];

    snprintf(name, sizeof name, "admin-%zu%s.kms", change, bare ? "-bare" : "");
    return stores_path(where, name);
}

/* Made in memory, for speed. */
static void make_store(char (*ids)[KMS_KEY_ID_SIZE])
{
    kms_store *store = stores_open(stores_path(FAST, "admin.kms"), 0);

    for (size_t i = 0; i < KEYS; i++)
        stores_add_key(store, KMS_SUITE_XCHACHA20_POLY1305, i == 0 ? ALIAS : NULL, ids[i]);
    kms_close(store);
}

static void open_stores(place where, const char (*ids)[KMS_KEY_ID_SIZE], admin stores[CHANGES],
                        commits *bare[CHANGES])
{
    for (size_t i = 0; i < CHANGES; i++) {
        stores_copy(stores_path(FAST, "admin.kms"), file(where, i, false));
        stores[i] = (admin){.store = stores_open(file(where, i, false), 0), .ids = ids};
        if (bare_runs[i] == NULL)
            continue;
        stores_copy(stores_path(FAST, "admin.kms"), file(where, i, true));
        bare[i] = commits_of(file(where, i, true), ids, KEYS, ALIAS);
    }
}

static void close_stores(place where, admin stores[CHANGES], commits *bare[CHANGES])
{
    for (size_t i = 0; i < CHANGES; i++) {
        kms_close(stores[i].store);
        stores_remove(file(where, i, false));
        if (bare[i] != NULL)
            commits_close(bare[i]);
        stores_remove(file(where, i, true));
    }
}

static void add_goals(const group *rows, place where)
{
    for (size_t i = 0; i < CHANGES; i++) {
        double measured;

        if (bare_names[i] == NULL)
            continue;
        measured = report_ratio(rows, group_row(rows, names[i]), group_row(rows, bare_names[i]),
                                (about){0});
        if (where == DISK && i != CREATE)
            report_goal(AT_MOST, 1.3, measured, "%s on disk, of bare durable commits", names[i]);
    }
}

static void measure(const options *all, place where, const char (*ids)[KMS_KEY_ID_SIZE])
{
    admin stores[CHANGES];
    commits *bare[CHANGES] = {NULL};
    group *rows = group_new("admin", WALL_TIME,
                            where == FAST ? "a store of 1,000 keys in memory (tmpfs)"
                                          : "a store of 1,000 keys on disk, durable");

    open_stores(where, ids, stores, bare);
    for (size_t i = 0; i < CHANGES; i++) {
        if (bare_runs[i] != NULL)
            group_add(rows, bare_runs[i], bare[i], 0, "%s", bare_names[i]);
        group_add(rows, runs[i], &stores[i], 0, "%s", names[i]);
    }
    group_measure(rows, options_pace(all, where == FAST ? 1 : 4, 201));
    report_group(rows, (about){.keys = KEYS});
    add_goals(rows, where);
    group_free(rows);
    close_stores(where, stores, bare);
}

void bench_admin(const options *all)
{
    static char ids[KEYS][KMS_KEY_ID_SIZE];

    make_store(ids);
    measure(all, DISK, (const char(*)[KMS_KEY_ID_SIZE])ids);
    measure(all, FAST, (const char(*)[KMS_KEY_ID_SIZE])ids);
    stores_remove(stores_path(FAST, "admin.kms"));
}
