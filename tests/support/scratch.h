/* A folder of the running test's own, and the files in it. */
#ifndef KMS_TESTS_SCRATCH_H
#define KMS_TESTS_SCRATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#define SCRATCH_PATH_MAX 512

/* Makes it, open to everybody: a test may go on as somebody else. */
void scratch_begin(void);
/* Removes it, whatever is in it. */
void scratch_end(void);

/* A path in it, which stays until scratch_end(). */
const char *scratch_path(const char *name);

/* Bytes that differ from seed to seed and from place to place. */
void scratch_fill(uint8_t *bytes, size_t len, unsigned seed);

/* Each fails the test if it does not succeed. */
void scratch_write(const char *path, const void *bytes, size_t len);
/* The same with a date of the past, so that whoever writes to it afterwards moves the date. */
void scratch_write_old(const char *path, const void *bytes, size_t len);
/* Overwrites from an offset on, and makes the file longer if need be. */
void scratch_overwrite(const char *path, size_t at, const void *bytes, size_t len);
struct stat scratch_stat(const char *path);
/* All of a file, the caller's to free; not NULL. */
uint8_t *scratch_read(const char *path, size_t *len);

/* Whether the file is there and holds exactly this. */
bool scratch_holds(const char *path, const void *bytes, size_t len);
bool scratch_exists(const char *path);
/* How many names the folder has that begin with this; "" counts all. */
unsigned scratch_count(const char *prefix);

#endif
