/* What a run was measured on. */
#ifndef BENCH_MACHINE_H
#define BENCH_MACHINE_H

#include <jansson.h>

json_t *machine_describe(void);
void machine_print(const json_t *machine);

/* Adds the load at the end. */
void machine_note_end(json_t *machine);

#endif
