#include "rows.h"
#include "fail.h"

#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NS_IN_MS 1e6

static double read_clock(clockid_t id)
{
    struct timespec now;

    clock_gettime(id, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

double now_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

double thread_ns(void)
{
    return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

group *group_new(const char *section, watch by, const char *title)
{
    group *made = calloc(1, sizeof *made);

    must(made != NULL, "memory for a group");
    made->section = section;
    made->by = by;
    snprintf(made->title, sizeof made->title, "%s", title);
    return made;
}

row *group_add(group *to, row_run *run, void *subject, size_t bytes, const char *name, ...)
{
    row *added = &to->rows[to->count++];
    va_list arguments;

    must(to->count <= ROWS_MAX, "room for a row");
    va_start(arguments, name);
    vsnprintf(added->name, sizeof added->name, name, arguments);
    va_end(arguments);
    added->run = run;
    added->subject = subject;
    added->bytes = bytes;
    return added;
}

void group_free(group *of)
{
    for (size_t i = 0; i < of->count; i++)
        free(of->rows[i].ns);
    free(of);
}

const row *group_row(const group *of, const char *name)
{
    for (size_t i = 0; i < of->count; i++)
        if (strcmp(of->rows[i].name, name) == 0)
            return &of->rows[i];
    fail(name);
}

static double time_of(const group *of, const row *r)
{
    if (r->clock_ns != NULL)
        return r->clock_ns(r->subject);
    return of->by == THREAD_TIME ? thread_ns() : now_ns();
}

/* Nanoseconds that n operations take. */
static double run(const group *of, const row *r, size_t n)
{
    double started;

    if (r->before != NULL)
        r->before(r->subject);
    started = time_of(of, r);
    r->run(r->subject, n);
    return time_of(of, r) - started;
}

/* The least of a few, so that whoever takes the processor meanwhile does not count. */
static double least_run(const group *of, const row *r, size_t n)
{
    double least = run(of, r, n);

    for (int i = 0; i < 3; i++) {
        double took = run(of, r, n);

        least = took < least ? took : least;
    }
    return least;
}

/* Doubles the operations until they fill a slice; that also warms the row up. So long, because it may
 * take a while until threads are awake. */
static void calibrate(const group *of, row *r, double slice_ns)
{
    size_t n = 1;
    double took = least_run(of, r, n), fits;

    while (took < slice_ns && n < (size_t)1 << 30) {
        n *= 2;
        took = least_run(of, r, n);
    }
    fits = (double)n * slice_ns / took;
    r->operations = fits > 1 ? (size_t)fits : 1;
}

static void shuffle(size_t *order, size_t count)
{
    for (size_t i = count; i > 1; i--) {
        size_t j = randombytes_uniform((uint32_t)i), kept = order[i - 1];

        order[i - 1] = order[j];
        order[j] = kept;
    }
}

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;

    return (left > right) - (left < right);
}

/* One of the values that as many are below as `part` says. */
static double quantile(double *values, size_t count, double part)
{
    qsort(values, count, sizeof *values, compare);
    return values[(size_t)((double)(count - 1) * part + 0.5)];
}

double median_of(double *values, size_t count)
{
    return quantile(values, count, 0.5);
}

static double *copy_of(const double *values, size_t count)
{
    double *copy = malloc(count * sizeof *copy);

    must(copy != NULL, "memory for measurements");
    memcpy(copy, values, count * sizeof *copy);
    return copy;
}

static void summarise(row *r, unsigned rounds)
{
    double *sorted = copy_of(r->ns, rounds);

    r->median_ns = median_of(sorted, rounds);
    r->least_ns = sorted[0];
    free(sorted);
}

void group_measure(group *of, pace at)
{
    size_t order[ROWS_MAX];

    of->rounds = at.rounds;
    for (size_t i = 0; i < of->count; i++) {
        order[i] = i;
        calibrate(of, &of->rows[i], at.slice_ms * NS_IN_MS);
        of->rows[i].ns = calloc(at.rounds, sizeof(double));
        must(of->rows[i].ns != NULL, "memory for measurements");
    }
    for (unsigned round = 0; round < at.rounds; round++) {
        shuffle(order, of->count);
        for (size_t i = 0; i < of->count; i++) {
            row *r = &of->rows[order[i]];

            r->ns[round] = run(of, r, r->operations) / (double)r->operations;
        }
    }
    for (size_t i = 0; i < of->count; i++)
        summarise(&of->rows[i], at.rounds);
}

ratio ratio_of(const group *of, const row *of_row, const row *to)
{
    double *ratios = copy_of(of_row->ns, of->rounds);
    ratio result;

    for (unsigned round = 0; round < of->rounds; round++)
        ratios[round] /= to->ns[round];
    result.median = median_of(ratios, of->rounds);
    result.quarter = quantile(ratios, of->rounds, 0.25);
    result.three_quarters = quantile(ratios, of->rounds, 0.75);
    free(ratios);
    return result;
}
