/*
 * Rows and how they are timed. A row is a function that does n operations; a group is the rows that
 * are compared with each other. In every round each row of a group has one slice of time, in an
 * order that is drawn anew; a ratio is taken within each round, and the median of these is told. So
 * another program that takes the processor for a while spoils a few rounds and not a comparison.
 * Where a row only computes, in one thread, the time is that for which the thread had a processor.
 */
#ifndef BENCH_ROWS_H
#define BENCH_ROWS_H

#include <stdbool.h>
#include <stddef.h>

#define ROWS_MAX 24
#define NAME_SIZE 96

/* Does n operations; ends the program if one fails. */
typedef void row_run(void *subject, size_t n);

typedef struct row {
    char name[NAME_SIZE];
    row_run *run;
    void *subject;
    /* What must be done before a slice, and is not part of it; NULL: nothing. */
    void (*before)(void *subject);
    /* Bytes of plaintext that an operation handles; 0: that does not matter. */
    size_t bytes;
    /* What time it is, where another process does the work; NULL: as the group has it. */
    double (*clock_ns)(void *subject);
    /* Operations in a slice. */
    size_t operations;
    /* Of an operation, round by round. */
    double *ns;
    double median_ns, least_ns;
} row;

typedef enum watch {
    /* The time that the thread had a processor. */
    THREAD_TIME,
    /* The time on the wall: of rows that wait, or work in several threads. */
    WALL_TIME
} watch;

typedef struct group {
    const char *section;
    watch by;
    char title[NAME_SIZE];
    row rows[ROWS_MAX];
    size_t count;
    unsigned rounds;
} group;

/* How long a slice is to be, and how often each row has one. */
typedef struct pace {
    double slice_ms;
    unsigned rounds;
} pace;

/* A group without rows, the caller's until it is handed to report_group(). */
group *group_new(const char *section, watch by, const char *title);

/* Adds a row; name is a format of printf(). */
row *group_add(group *to, row_run *run, void *subject, size_t bytes, const char *name, ...)
    __attribute__((format(printf, 5, 6)));

/* Warms each row up, finds out how many operations make a slice, and times the rounds. */
void group_measure(group *of, pace at);

void group_free(group *of);

/* The row of that name, which must be there. */
const row *group_row(const group *of, const char *name);

/* Of two rows of one group: what the first costs as a multiple of the second. */
typedef struct ratio {
    double median, quarter, three_quarters;
} ratio;
ratio ratio_of(const group *of, const row *of_row, const row *to);

double median_of(double *values, size_t count);
/* Nanoseconds on the wall, and those for which this thread had a processor. */
double now_ns(void);
double thread_ns(void);

#endif
