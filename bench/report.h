/* What was measured: a table on standard output, and the same as JSON. */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include "options.h"

/* How a measured value is held against its goal. */
typedef enum bound { AT_MOST, AT_LEAST } bound;

/* What a group is about, for plots; 0 where it does not matter. */
typedef struct about {
    unsigned suite;
    size_t bytes, keys;
} about;

void report_begin(const options *all);

/* Another fact about the machine, in words. */
void report_note(const char *key, const char *text, ...) __attribute__((format(printf, 2, 3)));

/* Prints a measured group. */
void report_group(const group *of, about what);

/* What a row costs as a multiple of another of its group; gives the median. */
double report_ratio(const group *of, const row *of_row, const row *to, about what);

/* A number that is no row: bytes, seconds, a rate. */
void report_fact(const char *section, double value, const char *unit, about what, const char *name,
                 ...) __attribute__((format(printf, 5, 6)));

/* A goal and what was measured: printed at the end, with a mark where it was missed. */
void report_goal(bound kind, double limit, double measured, const char *name, ...)
    __attribute__((format(printf, 4, 5)));

/* Prints the goals, and writes the JSON where the options want it. */
void report_end(const options *all);

#endif
