#include "keyring.h"
#include "bare.h"
#include "fail.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEN 64

const char *keyring_path(const keyring *of, size_t index)
{
    char name[64];

    snprintf(name, sizeof name, "keys-%zu.kms", of->sizes[index]);
    return stores_path(FAST, name);
}

static void grow(kms_store *store, keyring *of, size_t from, size_t to)
{
    char id[KMS_KEY_ID_SIZE];

    for (size_t i = from; i < to; i++) {
        must_ok(kms_create_key(store, NULL, id));
        if (i < of->hot_count)
            memcpy(of->hot[i], id, sizeof id);
    }
}

void keyring_make(keyring *made, const options *all)
{
    static const size_t sizes[SIZES_MAX] = {10, 100, 1000, 10000, 100000, 1000000};
    char growing[PATH_SIZE];
    size_t from = 0;

    snprintf(growing, sizeof growing, "%s", stores_path(FAST, "keys.kms"));
    *made = (keyring){.count = all->quick ? SIZES_MAX - 2 : SIZES_MAX, .hot_count = HOT_MAX};
    memcpy(made->sizes, sizes, sizeof sizes);
    made->hot = calloc(made->hot_count, sizeof *made->hot);
    must(made->hot != NULL, "memory for key ids");
    for (size_t i = 0; i < made->count; i++) {
        kms_store *store = stores_open(growing, 0);
        double started = now_ns();

        grow(store, made, from, sizes[i]);
        made->ns_a_key[i] = (now_ns() - started) / (double)(sizes[i] - from);
        kms_close(store);
        stores_copy(growing, keyring_path(made, i));
        from = sizes[i];
    }
    stores_remove(growing);
}

void keyring_remove(keyring *made)
{
    for (size_t i = 0; i < made->count; i++)
        stores_remove(keyring_path(made, i));
    free(made->hot);
}

struct hot {
    kms_store *store;
    const keyring *from;
    size_t keys;
    uint64_t random;
    uint8_t (*blobs)[KMS_CIPHERTEXT_SIZE(LEN)];
    uint8_t plain[LEN];
};

hot *hot_of(kms_store *store, const keyring *from, size_t keys)
{
    hot *made = calloc(1, sizeof *made);
    size_t len;

    must(made != NULL && keys <= from->hot_count, "memory for hot keys");
    *made = (hot){.store = store, .from = from, .keys = keys, .random = 1};
    made->blobs = calloc(keys, sizeof *made->blobs);
    must(made->blobs != NULL, "memory for blobs");
    /* Both use every key once, so that what has room in the cache is there. */
    for (size_t i = 0; i < keys; i++) {
        must_ok(kms_encrypt(store, from->hot[i], NULL, made->plain, LEN, made->blobs[i],
                            sizeof made->blobs[i], &len));
        must_ok(kms_decrypt(store, NULL, made->blobs[i], sizeof made->blobs[i], made->plain, LEN,
                            &len));
    }
    return made;
}

void hot_free(hot *of)
{
    free(of->blobs);
    free(of);
}

/* After three draws for each key 95% of them were drawn. */
#define PASSES 3

size_t hot_passes(const hot *of)
{
    return PASSES * of->keys;
}

/* Knuth's multiplicative generator: cheap beside an encryption. */
static size_t draw(uint64_t *random, size_t below)
{
    *random = *random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (size_t)((*random >> 33) % below);
}

void run_hot_encrypt(void *subject, size_t n)
{
    hot *of = subject;
    uint8_t blob[KMS_CIPHERTEXT_SIZE(LEN)];
    size_t len;

    for (size_t i = 0; i < n; i++)
        must_ok(kms_encrypt(of->store, of->from->hot[draw(&of->random, of->keys)], NULL, of->plain,
                            LEN, blob, sizeof blob, &len));
}

void run_hot_decrypt(void *subject, size_t n)
{
    hot *of = subject;
    size_t len;

    for (size_t i = 0; i < n; i++)
        must_ok(kms_decrypt(of->store, NULL, of->blobs[draw(&of->random, of->keys)],
                            sizeof of->blobs[0], of->plain, LEN, &len));
}

/* A key as a program may keep it that finds its keys by their ids, in a table of its own. */
typedef struct kept_key {
    uint8_t key[BARE_KEY], prefix[BARE_PREFIX];
    char id[KMS_KEY_ID_SIZE];
} kept_key;

/* Key ids begin in a blob's header here, and have so many bytes. */
#define ID_AT 6
#define ID_SIZE 16

struct hot_bare {
    bare *bare;
    size_t keys;
    uint64_t random;
    kept_key *table;
    /* Places in the table, from 1 on, by id and by its text: the first place behind a hash that is free. */
    uint32_t *by_id, *by_text;
    size_t index_mask;
    /* One of each key. */
    uint8_t (*blobs)[KMS_CIPHERTEXT_SIZE(LEN)];
    /* What is asked for: not the table's own. */
    char (*ids)[KMS_KEY_ID_SIZE];
    uint8_t plain[LEN], blob[KMS_CIPHERTEXT_SIZE(LEN)];
};

/* Ids are random: their beginning will do. */
static size_t hash_of(const hot_bare *of, const void *id)
{
    uint64_t beginning;

    memcpy(&beginning, id, sizeof beginning);
    return (size_t)(beginning * UINT64_C(0x9e3779b97f4a7c15) >> 32) & of->index_mask;
}

static void enlist(const hot_bare *of, uint32_t *index, const void *id, size_t at)
{
    size_t slot = hash_of(of, id);

    while (index[slot] != 0)
        slot = (slot + 1) & of->index_mask;
    index[slot] = (uint32_t)at + 1;
}

static const kept_key *find_by_text(const hot_bare *of, const char *id)
{
    size_t slot = hash_of(of, id);

    while (memcmp(of->table[of->by_text[slot] - 1].id, id, KMS_KEY_ID_SIZE) != 0)
        slot = (slot + 1) & of->index_mask;
    return &of->table[of->by_text[slot] - 1];
}

static const kept_key *find_by_blob(const hot_bare *of, const uint8_t *blob)
{
    size_t slot = hash_of(of, blob + ID_AT);

    while (memcmp(of->table[of->by_id[slot] - 1].prefix + ID_AT, blob + ID_AT, ID_SIZE) != 0)
        slot = (slot + 1) & of->index_mask;
    return &of->table[of->by_id[slot] - 1];
}

static void seal_bare(hot_bare *of, const kept_key *by, uint8_t *blob)
{
    memcpy(blob, by->prefix, BARE_PREFIX);
    bare_use_key(of->bare, by->key);
    bare_seal(of->bare, of->plain, LEN, blob);
}

static void keep_key(hot_bare *of, size_t at)
{
    kept_key *kept = &of->table[at];

    randombytes_buf(kept, sizeof *kept);
    sodium_bin2hex(kept->id, sizeof kept->id, kept->prefix + ID_AT, ID_SIZE);
    memcpy(of->ids[at], kept->id, sizeof kept->id);
    enlist(of, of->by_id, kept->prefix + ID_AT, at);
    enlist(of, of->by_text, kept->id, at);
    seal_bare(of, kept, of->blobs[at]);
}

hot_bare *hot_bare_of(size_t keys)
{
    hot_bare *made = calloc(1, sizeof *made);

    must(made != NULL, "memory for hot keys");
    made->bare = bare_new(BARE_XCHACHA);
    made->keys = keys;
    made->index_mask = 15;
    while (made->index_mask < 2 * keys)
        made->index_mask = 2 * made->index_mask + 1;
    made->table = calloc(keys, sizeof *made->table);
    made->by_id = calloc(made->index_mask + 1, sizeof *made->by_id);
    made->by_text = calloc(made->index_mask + 1, sizeof *made->by_text);
    made->blobs = calloc(keys, sizeof *made->blobs);
    made->ids = calloc(keys, sizeof *made->ids);
    must(made->table != NULL && made->by_id != NULL && made->by_text != NULL &&
             made->blobs != NULL && made->ids != NULL,
         "memory for hot keys");
    for (size_t i = 0; i < keys; i++)
        keep_key(made, i);
    return made;
}

void hot_bare_free(hot_bare *of)
{
    bare_free(of->bare);
    free(of->ids);
    free(of->blobs);
    free(of->by_text);
    free(of->by_id);
    free(of->table);
    free(of);
}

size_t hot_bare_passes(const hot_bare *of)
{
    return PASSES * of->keys;
}

void run_hot_bare_seal(void *subject, size_t n)
{
    hot_bare *of = subject;

    for (size_t i = 0; i < n; i++)
        seal_bare(of, find_by_text(of, of->ids[draw(&of->random, of->keys)]), of->blob);
}

void run_hot_bare_open(void *subject, size_t n)
{
    hot_bare *of = subject;

    for (size_t i = 0; i < n; i++) {
        const uint8_t *blob = of->blobs[draw(&of->random, of->keys)];

        bare_use_key(of->bare, find_by_blob(of, blob)->key);
        bare_open(of->bare, blob, LEN, of->plain);
    }
}
