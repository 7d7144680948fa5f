/* The command line. */
#include "quickstart.h"

#include <argp.h>
#include <stdlib.h>

#define RECORDS 10000
#define RECORDS_MAX 1000000

static const struct argp_option option_table[] = {
    {"records", 'n', "N", 0, "customers before the rotation, and after it (10000)", 0},
    {"directory", 'd', "DIR", 0, "work in DIR, and leave the files there", 0},
    {"keep", 'k', NULL, 0, "leave the files in the temporary directory", 0},
    {"print", 'p', "N", 0, "only print the first N customers, as they are generated", 0},
    {0},
};

static uint64_t parse_count(const char *text, struct argp_state *state)
{
    char *end;
    unsigned long long count = strtoull(text, &end, 10);

    if (end == text || *end != '\0' || count < 1 || count > RECORDS_MAX) {
        argp_error(state, "%s is not a number from 1 to %d", text, RECORDS_MAX);
    }
    return count;
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct options *options = state->input;

    switch (key) {
    case 'n':
        options->records = parse_count(argument, state);
        return 0;
    case 'd':
        options->directory = argument;
        options->keep = true;
        return 0;
    case 'k':
        options->keep = true;
        return 0;
    case 'p':
        options->print = parse_count(argument, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

struct options parse_options(int argc, char **argv)
{
    static const struct argp argp = {
        .options = option_table,
        .parser = parse_option,
        .doc = "Encrypts customers into an SQLite database, rotates the key by hand, and shows "
               "what comes of it."};
    struct options options = {.records = RECORDS};

    argp_parse(&argp, argc, argv, 0, NULL, &options);
    return options;
}
