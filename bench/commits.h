/* Bare durable commits: what LMDB takes for a change, without libkms. They rewrite the records of a
 * copy of a store, so that number, sizes and places of the records are the same. */
#ifndef BENCH_COMMITS_H
#define BENCH_COMMITS_H

#include "stores.h"

#include <stdint.h>

#define ID_SIZE 16

typedef struct commits commits;

/* ids: keys of the store, of which one version each is there. */
commits *commits_of(const char *path, const char (*ids)[KMS_KEY_ID_SIZE], size_t count,
                    const char *alias);
void commits_close(commits *of);

/* Rows: an operation is a commit of the records that the library's change writes. */
void run_commit_move(void *subject, size_t n);
void run_commit_rotate(void *subject, size_t n);
void run_commit_create(void *subject, size_t n);

#endif
