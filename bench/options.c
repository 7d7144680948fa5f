#include "options.h"

#include <argp.h>
#include <stdlib.h>
#include <string.h>

/* What argp gets instead of a letter. */
enum { ONLY = 256, JSON, FAST, DISK, QUICK, ROUNDS };

static const struct argp_option table[] = {
    {"quick", QUICK, NULL, 0, "under a minute: fewer rounds, sizes and keys", 0},
    {"rounds", ROUNDS, "N", 0, "rounds of every group", 0},
    {"only", ONLY, "SECTIONS", 0, "only these, joined by commas", 0},
    {"json", JSON, "FILE", 0, "write the results there", 0},
    {"fast", FAST, "DIRECTORY", 0, "on a file system in memory (/dev/shm)", 0},
    {"disk", DISK, "DIRECTORY", 0, "on a disk, for durable commits (.)", 0},
    {0},
};

static unsigned parse_rounds(const char *text, struct argp_state *state)
{
    char *end;
    unsigned long rounds = strtoul(text, &end, 10);

    if (end == text || *end != '\0' || rounds < 1 || rounds > 1000000)
        argp_error(state, "%s is not a number from 1 to 1000000", text);
    return (unsigned)rounds;
}

static error_t parse(int key, char *argument, struct argp_state *state)
{
    options *all = state->input;

    switch (key) {
    case QUICK:
        all->quick = true;
        return 0;
    case ROUNDS:
        all->rounds = parse_rounds(argument, state);
        return 0;
    case ONLY:
        all->only = argument;
        return 0;
    case JSON:
        all->json = argument;
        return 0;
    case FAST:
        all->fast_directory = argument;
        return 0;
    case DISK:
        all->disk_directory = argument;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

options options_parse(int argc, char **argv, const char *about)
{
    const struct argp argp = {.options = table, .parser = parse, .doc = about};
    options all = {.fast_directory = "/dev/shm", .disk_directory = "."};

    argp_parse(&argp, argc, argv, 0, NULL, &all);
    return all;
}

bool options_want(const options *all, const char *section)
{
    size_t len = strlen(section);
    const char *from = all->only;

    while (from != NULL) {
        if (strncmp(from, section, len) == 0 && (from[len] == ',' || from[len] == '\0'))
            return true;
        from = strchr(from, ',');
        from = from != NULL ? from + 1 : NULL;
    }
    return all->only == NULL;
}

pace options_pace(const options *all, double slice_ms, unsigned rounds)
{
    pace at = {slice_ms, rounds};

    if (all->quick)
        at = (pace){slice_ms / 2, rounds / 5 > 9 ? rounds / 5 : 9};
    if (all->rounds > 0)
        at.rounds = all->rounds;
    return at;
}
