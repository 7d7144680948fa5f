/* Stores of 10 to a million keys, each the beginning of the next, and the ids of their first keys. */
#ifndef BENCH_KEYRING_H
#define BENCH_KEYRING_H

#include "options.h"
#include "stores.h"

#define SIZES_MAX 6
/* Keys whose ids are kept, to be used. */
#define HOT_MAX 10000

typedef struct keyring {
    size_t sizes[SIZES_MAX];
    size_t count;
    size_t hot_count;
    char (*hot)[KMS_KEY_ID_SIZE];
    /* Of making one key, from the size before to this one. */
    double ns_a_key[SIZES_MAX];
} keyring;

/* Makes the stores, in memory. */
void keyring_make(keyring *made, const options *all);
void keyring_remove(keyring *made);

/* The file of the store of sizes[index] keys. */
const char *keyring_path(const keyring *of, size_t index);

/* So many of the first keys, in use at random: the subject of rows. */
typedef struct hot hot;
hot *hot_of(kms_store *store, const keyring *from, size_t keys);
void hot_free(hot *of);
/* So many operations use nearly every key. */
size_t hot_passes(const hot *of);
void run_hot_encrypt(void *subject, size_t n);
void run_hot_decrypt(void *subject, size_t n);

/* The floor of these: the bare primitive with as many keys and headers in a table, drawn likewise, and
 * found by their ids. */
typedef struct hot_bare hot_bare;
hot_bare *hot_bare_of(size_t keys);
void hot_bare_free(hot_bare *of);
size_t hot_bare_passes(const hot_bare *of);
void run_hot_bare_seal(void *subject, size_t n);
void run_hot_bare_open(void *subject, size_t n);

#endif
