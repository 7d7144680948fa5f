/* Stores to measure, in scratch folders that go when the program ends, and processes that use them
 * as well. */
#ifndef BENCH_STORES_H
#define BENCH_STORES_H

#include <kms/kms.h>
#include <sys/types.h>

#define PATH_SIZE 4096

typedef enum place { FAST, DISK } place;

/* Makes a scratch folder in each of the two directories. */
void stores_begin(const char *fast_directory, const char *disk_directory);

/* PATH of a file of that name; in one of four buffers that take turns. */
const char *stores_path(place where, const char *name);

/* Opens a store, and makes it if it is not there. cache_entries 0: as many as by default. */
kms_store *stores_open(const char *path, uint32_t cache_entries);

/* Copies a store that nobody has open. */
void stores_copy(const char *from, const char *to);

void stores_remove(const char *path);

/* Makes a key, and an alias for it unless that is NULL. */
void stores_add_key(kms_store *store, kms_suite suite, const char *alias,
                    char key_id[KMS_KEY_ID_SIZE]);

/* A process that works on its own, and is killed by process_end() or when this one ends. */
pid_t process_start(void (*body)(void *), void *argument);
void process_end(pid_t pid);
/* The same, and waits until it is done; it must not fail. */
void process_run(void (*body)(void *), void *argument);

/* In another process, before it becomes another program: the scratch folders wait for its end too. */
void stores_outlived(void);

/* A process that has the store open and does nothing; it has it when this returns. */
pid_t stores_hold(const char *path);

#endif
