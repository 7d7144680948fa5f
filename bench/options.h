/* What the command line asks for. */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include "rows.h"

typedef struct options {
    /* Under a minute: fewer rounds, sizes and keys. */
    bool quick;
    /* Rounds of every group; 0: as many as each has. */
    unsigned rounds;
    /* Sections to run, joined by commas; NULL: all. */
    const char *only;
    /* File for the JSON; NULL: none. */
    const char *json;
    /* Where stores are made: in memory, and on a disk. */
    const char *fast_directory, *disk_directory;
} options;

/* about: what the program is for, and its sections. */
options options_parse(int argc, char **argv, const char *about);

/* Whether a section is to run. */
bool options_want(const options *all, const char *section);

/* The pace of a group: of one whose slices are this long, and which has so many rounds in a full
 * run. */
pace options_pace(const options *all, double slice_ms, unsigned rounds);

#endif
