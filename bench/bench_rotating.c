/* A reader encrypts by an alias, while another process moves that alias. */
#include "fail.h"
#include "messages.h"
#include "report.h"
#include "sections.h"
#include "stores.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define ALIAS "alias/bench/rotating"
#define OTHER_ALIAS "alias/bench/other"
#define LEN 64
#define NS_IN_S 1000000000L

typedef enum pace_of_moves { REST, HUNDRED_A_SECOND, HUNDRED_OF_ANOTHER, UNPAUSED } pace_of_moves;

/* The other process' orders, and what it has done, in memory that both see. */
typedef struct rotor {
    _Atomic int pace;
    _Atomic unsigned long moves;
    _Atomic bool ready;
    char path[PATH_SIZE];
    char keys[2][KMS_KEY_ID_SIZE];
} rotor;

static void pause_ns(long ns)
{
    struct timespec pause = {.tv_sec = ns / NS_IN_S, .tv_nsec = ns % NS_IN_S};

    nanosleep(&pause, NULL);
}

static void rotate(void *argument)
{
    rotor *orders = argument;
    kms_store *store = stores_open(orders->path, 0);

    atomic_store(&orders->ready, true);
    for (unsigned long i = 0;; i++) {
        int moving = atomic_load(&orders->pace);

        if (moving == REST) {
            pause_ns(NS_IN_S / 1000);
            continue;
        }
        must_ok(kms_update_alias(store, moving == HUNDRED_OF_ANOTHER ? OTHER_ALIAS : ALIAS,
                                 orders->keys[i % 2]));
        atomic_fetch_add(&orders->moves, 1);
        if (moving != UNPAUSED)
            pause_ns(NS_IN_S / 100);
    }
}

/* A store, and a process that moves its aliases. */
typedef struct scene {
    rotor *orders;
    pid_t process;
    kms_store *store;
    messages *messages;
} scene;

/* A row: the reader, at one pace of the other process. */
typedef struct reader {
    scene *in;
    pace_of_moves pace;
    double moves, seconds;
} reader;

/* Tells the other process, which looks once a millisecond while it rests. */
static void order_pace(void *subject)
{
    const reader *of = subject;

    atomic_store(&of->in->orders->pace, (int)of->pace);
    pause_ns(2 * NS_IN_S / 1000);
}

static void run_reader(void *subject, size_t n)
{
    reader *of = subject;
    unsigned long moves = atomic_load(&of->in->orders->moves);
    double from = now_ns();

    run_encrypt(of->in->messages, n);
    of->seconds += (now_ns() - from) / NS_IN_S;
    of->moves += (double)(atomic_load(&of->in->orders->moves) - moves);
}

static void begin(scene *in, place where)
{
    char first[KMS_KEY_ID_SIZE];

    in->orders =
        mmap(NULL, sizeof *in->orders, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    must(in->orders != MAP_FAILED, "memory that two processes see");
    snprintf(in->orders->path, sizeof in->orders->path, "%s", stores_path(where, "rotating.kms"));
    in->store = stores_open(in->orders->path, 0);
    stores_add_key(in->store, KMS_SUITE_XCHACHA20_POLY1305, ALIAS, first);
    must_ok(kms_create_alias(in->store, OTHER_ALIAS, first));
    for (size_t i = 0; i < 2; i++)
        stores_add_key(in->store, KMS_SUITE_XCHACHA20_POLY1305, NULL, in->orders->keys[i]);
    in->messages = messages_of(in->store, ALIAS, LEN);
    in->process = process_start(rotate, in->orders);
    while (!atomic_load(&in->orders->ready))
        pause_ns(NS_IN_S / 1000);
}

static void end(scene *in)
{
    process_end(in->process);
    messages_free(in->messages);
    kms_close(in->store);
    munmap(in->orders, sizeof *in->orders);
}

static void measure(const options *all, place where)
{
    static const char *const names[] = {
        "kms_encrypt(), the other process at rest", "its alias moves 100 times a second",
        "another alias moves 100 times a second", "its alias moves as fast as commits go"};
    enum { COUNT = sizeof names / sizeof names[0] };
    reader readers[COUNT];
    scene in = {0};
    group *rows = group_new("rotating", WALL_TIME,
                            where == FAST ? "suite 1, 64 B, store in memory (tmpfs)"
                                          : "suite 1, 64 B, store on disk");
    about what = {.suite = 1, .bytes = LEN};

    begin(&in, where);
    for (size_t i = 0; i < COUNT; i++) {
        readers[i] = (reader){.in = &in, .pace = (pace_of_moves)i};
        group_add(rows, run_reader, &readers[i], LEN, "%s", names[i])->before = order_pace;
    }
    group_measure(rows, options_pace(all, 50, 41));
    report_group(rows, what);
    for (size_t i = 1; i < COUNT; i++) {
        (void)report_ratio(rows, &rows->rows[i], &rows->rows[0], what);
        report_fact("rotating", readers[i].moves / readers[i].seconds, "moves/s", what, "%s",
                    names[i]);
    }
    group_free(rows);
    end(&in);
}

void bench_rotating(const options *all)
{
    measure(all, DISK);
    measure(all, FAST);
}
