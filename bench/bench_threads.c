#include "fail.h"
#include "messages.h"
#include "report.h"
#include "sections.h"
#include "stores.h"

#include <pthread.h>
#include <stdio.h>

#define THREADS 2

/* Threads that wait for work; each has messages of its own, made by itself, since the bare
 * primitive's nonces come from its thread's generator. */
typedef struct team {
    pthread_t threads[THREADS];
    pthread_barrier_t begin, end;
    /* Makes a thread's messages, or does n operations with them. */
    void (*work)(void *subject, size_t index, size_t n);
    void *subject;
    size_t n;
    bool over;
} team;

typedef struct member {
    team *of;
    size_t index;
} member;

static void *take_part(void *argument)
{
    const member *me = argument;
    team *of = me->of;

    for (;;) {
        pthread_barrier_wait(&of->begin);
        if (of->over)
            return NULL;
        of->work(of->subject, me->index, of->n);
        pthread_barrier_wait(&of->end);
    }
}

static void team_begin(team *of, member members[THREADS])
{
    must(pthread_barrier_init(&of->begin, NULL, THREADS + 1) == 0 &&
             pthread_barrier_init(&of->end, NULL, THREADS + 1) == 0,
         "a barrier");
    for (size_t i = 0; i < THREADS; i++) {
        members[i] = (member){of, i};
        must(pthread_create(&of->threads[i], NULL, take_part, &members[i]) == 0, "a thread");
    }
}

static void team_do(team *of, void (*work)(void *, size_t, size_t), void *subject, size_t n)
{
    of->work = work;
    of->subject = subject;
    of->n = n;
    pthread_barrier_wait(&of->begin);
    pthread_barrier_wait(&of->end);
}

static void team_end(team *of)
{
    of->over = true;
    pthread_barrier_wait(&of->begin);
    for (size_t i = 0; i < THREADS; i++)
        (void)pthread_join(of->threads[i], NULL);
    pthread_barrier_destroy(&of->begin);
    pthread_barrier_destroy(&of->end);
}

/* A row that the team does: so many of its threads. */
typedef struct part {
    team *by;
    size_t threads;
    row_run *run;
    /* store NULL: the bare primitive. */
    kms_store *store;
    const char *keyref;
    bare_way way;
    size_t len;
    messages *messages[THREADS];
} part;

static void prepare(void *subject, size_t index, size_t n)
{
    part *of = subject;

    (void)n;
    of->messages[index] = of->store != NULL ? messages_of(of->store, of->keyref, of->len)
                                            : messages_of_bare(of->way, of->len);
}

static void work(void *subject, size_t index, size_t n)
{
    part *of = subject;

    if (index < of->threads)
        of->run(of->messages[index], n / of->threads);
}

static void run_part(void *subject, size_t n)
{
    part *of = subject;

    team_do(of->by, work, of, n < of->threads ? of->threads : n);
}

enum { ENCRYPT_BARE, ENCRYPT, DECRYPT_BARE, DECRYPT, KINDS };
static const char *const names[KINDS] = {"seal, bare", "kms_encrypt()", "open, bare",
                                         "kms_decrypt()"};
static row_run *const runs[KINDS] = {run_bare_seal, run_encrypt, run_bare_open, run_decrypt};

static void add_goals(const group *rows, about what)
{
    for (size_t kind = ENCRYPT; kind < KINDS; kind += 2) {
        const row *one = &rows->rows[kind], *two = &rows->rows[KINDS + kind];
        const row *bare_one = &rows->rows[kind - 1], *bare_two = &rows->rows[KINDS + kind - 1];
        double slower = report_ratio(rows, two, bare_two, what);
        double gain = 1 / report_ratio(rows, two, one, what);
        double bare_gain = 1 / report_ratio(rows, bare_two, bare_one, what);

        report_goal(AT_LEAST, 0.95, 1 / slower,
                    "two threads, %s, suite %u, %zu B, speed of the bare one's", names[kind],
                    what.suite, what.bytes);
        report_goal(AT_LEAST, 0.95, gain / bare_gain,
                    "two threads, %s, suite %u, %zu B, gain of the bare one's", names[kind],
                    what.suite, what.bytes);
    }
}

static void measure(const options *all, team *by, kms_store *store, unsigned suite, size_t len)
{
    static part parts[2 * KINDS];
    about what = {.suite = suite, .bytes = len};
    char title[NAME_SIZE];
    group *rows;

    snprintf(title, sizeof title, "suite %u, %zu B, one store, all threads together", suite, len);
    rows = group_new("threads", WALL_TIME, title);
    for (size_t i = 0; i < 2 * KINDS; i++) {
        size_t kind = i % KINDS, threads = 1 + i / KINDS;

        parts[i] = (part){.by = by,
                          .threads = threads,
                          .run = runs[kind],
                          .store = kind == ENCRYPT || kind == DECRYPT ? store : NULL,
                          .keyref = suite == 1 ? "alias/bench/threads-1" : "alias/bench/threads-2",
                          .len = len,
                          .way = suite == 1 ? BARE_XCHACHA : BARE_AES_DERIVED};
        team_do(by, prepare, &parts[i], 0);
        group_add(rows, run_part, &parts[i], len, "%s, %zu thread%s", names[kind], threads,
                  threads > 1 ? "s" : "");
    }
    group_measure(rows, options_pace(all, 5, 201));
    report_group(rows, what);
    add_goals(rows, what);
    group_free(rows);
    for (size_t i = 0; i < 2 * KINDS; i++)
        for (size_t thread = 0; thread < THREADS; thread++)
            messages_free(parts[i].messages[thread]);
}

void bench_threads(const options *all)
{
    static const size_t sizes[] = {64, 16384};
    kms_store *store = stores_open(stores_path(FAST, "threads.kms"), 0);
    char id[KMS_KEY_ID_SIZE];
    team by = {0};
    member members[THREADS];

    stores_add_key(store, KMS_SUITE_XCHACHA20_POLY1305, "alias/bench/threads-1", id);
    stores_add_key(store, KMS_SUITE_AES_256_GCM, "alias/bench/threads-2", id);
    team_begin(&by, members);
    for (unsigned suite = 1; suite <= 2; suite++)
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
            measure(all, &by, store, suite, sizes[i]);
    team_end(&by);
    kms_close(store);
}
