#include "report.h"
#include "fail.h"
#include "machine.h"

#include <jansson.h>
#include <kms/base.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static json_t *groups, *ratios, *facts, *goals, *machine;
static double began_ns;

void report_begin(const options *all)
{
    began_ns = now_ns();
    groups = json_array();
    ratios = json_array();
    facts = json_array();
    goals = json_array();
    machine = machine_describe();
    printf("libkms %s, %s run\n", KMS_VERSION_STRING, all->quick ? "quick" : "full");
    machine_print(machine);
}

void report_note(const char *key, const char *text, ...)
{
    char line[256];
    va_list arguments;

    va_start(arguments, text);
    vsnprintf(line, sizeof line, text, arguments);
    va_end(arguments);
    printf("  %-10s %s\n", key, line);
    must(json_object_set_new(machine, key, json_string(line)) == 0, "JSON of the machine");
}

static void append(json_t *to, json_t *object)
{
    must(object != NULL && json_array_append_new(to, object) == 0, "JSON of a result");
}

static json_t *row_json(const row *r)
{
    return json_pack("{s:s, s:I, s:I, s:f, s:f}", "name", r->name, "bytes", (json_int_t)r->bytes,
                     "operations", (json_int_t)r->operations, "median_ns", r->median_ns, "least_ns",
                     r->least_ns);
}

/* Ten thousand and more are easier read as microseconds. */
static void print_time(double ns)
{
    if (ns < 1e5)
        printf(" %11.1f ns", ns);
    else if (ns < 1e8)
        printf(" %11.1f us", ns / 1e3);
    else
        printf(" %11.1f ms", ns / 1e6);
}

static void print_row(const row *r)
{
    printf("  %-54s", r->name);
    print_time(r->median_ns);
    print_time(r->least_ns);
    if (r->bytes > 0)
        printf(" %9.0f MB/s", (double)r->bytes * 1e3 / r->median_ns);
    putchar('\n');
}

void report_group(const group *of, about what)
{
    json_t *rows = json_array();

    printf("\n%s: %s\n  %-54s %14s %14s\n", of->section, of->title, "", "median", "least");
    for (size_t i = 0; i < of->count; i++) {
        print_row(&of->rows[i]);
        append(rows, row_json(&of->rows[i]));
    }
    append(groups, json_pack("{s:s, s:s, s:s, s:i, s:i, s:I, s:I, s:o}", "section", of->section,
                             "clock", of->by == THREAD_TIME ? "thread" : "wall", "title", of->title,
                             "rounds", (int)of->rounds, "suite", (int)what.suite, "bytes",
                             (json_int_t)what.bytes, "keys", (json_int_t)what.keys, "rows", rows));
    (void)fflush(stdout);
}

double report_ratio(const group *of, const row *of_row, const row *to, about what)
{
    ratio found = ratio_of(of, of_row, to);

    printf("  %-54s %11.3f x   [%.3f, %.3f] of %s\n", of_row->name, found.median, found.quarter,
           found.three_quarters, to->name);
    append(ratios, json_pack("{s:s, s:s, s:s, s:s, s:i, s:I, s:I, s:f, s:f, s:f}", "section",
                             of->section, "title", of->title, "row", of_row->name, "to", to->name,
                             "suite", (int)what.suite, "bytes", (json_int_t)what.bytes, "keys",
                             (json_int_t)what.keys, "median", found.median, "quarter",
                             found.quarter, "three_quarters", found.three_quarters));
    return found.median;
}

void report_fact(const char *section, double value, const char *unit, about what, const char *name,
                 ...)
{
    char text[NAME_SIZE];
    va_list arguments;

    va_start(arguments, name);
    vsnprintf(text, sizeof text, name, arguments);
    va_end(arguments);
    printf("  %-54s %11.4g %s\n", text, value, unit);
    append(facts, json_pack("{s:s, s:s, s:f, s:s, s:I}", "section", section, "name", text, "value",
                            value, "unit", unit, "keys", (json_int_t)what.keys));
    (void)fflush(stdout);
}

void report_goal(bound kind, double limit, double measured, const char *name, ...)
{
    bool met = kind == AT_MOST ? measured <= limit : measured >= limit;
    char text[NAME_SIZE];
    va_list arguments;

    va_start(arguments, name);
    vsnprintf(text, sizeof text, name, arguments);
    va_end(arguments);
    append(goals, json_pack("{s:s, s:s, s:f, s:f, s:b}", "goal", text, "bound",
                            kind == AT_MOST ? "at most" : "at least", "limit", limit, "measured",
                            measured, "met", met));
}

static void print_goals(void)
{
    size_t missed = 0, index;
    json_t *goal;

    printf("\nGoals\n");
    json_array_foreach(goals, index, goal)
    {
        bool met = json_is_true(json_object_get(goal, "met"));

        missed += !met;
        printf("  %-70s %8s %7.2f: %9.3f%s\n", json_string_value(json_object_get(goal, "goal")),
               json_string_value(json_object_get(goal, "bound")),
               json_real_value(json_object_get(goal, "limit")),
               json_real_value(json_object_get(goal, "measured")), met ? "" : "  FALLS SHORT");
    }
    printf("  %zu goals, %zu fall short\n", json_array_size(goals), missed);
}

void report_end(const options *all)
{
    double seconds = (now_ns() - began_ns) / 1e9;
    json_t *document;

    if (json_array_size(goals) > 0)
        print_goals();
    machine_note_end(machine);
    printf("\n%.0f s\n", seconds);
    document = json_pack("{s:s, s:b, s:f, s:o, s:o, s:o, s:o, s:o}", "version", KMS_VERSION_STRING,
                         "quick", all->quick, "seconds", seconds, "machine", machine, "groups",
                         groups, "ratios", ratios, "facts", facts, "goals", goals);
    must(document != NULL, "JSON of the results");
    if (all->json != NULL)
        must(json_dump_file(document, all->json, JSON_INDENT(1) | JSON_REAL_PRECISION(6)) == 0,
             all->json);
    json_decref(document);
}
