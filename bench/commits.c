#include "commits.h"
#include "fail.h"

#include <lmdb.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_SIZE 300
#define VALUE_MAX_SIZE (128 * 1024)
/* What a key record grows by with each version (docs/store-format.md). */
#define VERSION_ENTRY 43

struct commits {
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    const char *alias;
    size_t count, next;
    uint8_t (*ids)[ID_SIZE];
    /* Versions that each key has. */
    uint32_t *versions;
    /* Sizes of the values, as the library made them. */
    size_t header, key, version, pointer, index;
    uint8_t value[VALUE_MAX_SIZE];
};

/* A record's key: a letter, and what it is about. */
typedef struct name {
    uint8_t bytes[NAME_MAX_SIZE];
    size_t len;
} name;

static name name_of(char letter, const void *first, size_t first_len, const void *second,
                    size_t second_len)
{
    name made = {.len = 1 + first_len + second_len};

    must(made.len <= sizeof made.bytes, "a record's key");
    made.bytes[0] = (uint8_t)letter;
    if (first_len > 0)
        memcpy(made.bytes + 1, first, first_len);
    if (second_len > 0)
        memcpy(made.bytes + 1 + first_len, second, second_len);
    return made;
}

static name version_name(const uint8_t *id, uint32_t number)
{
    uint8_t big_endian[4] = {(uint8_t)(number >> 24), (uint8_t)(number >> 16),
                             (uint8_t)(number >> 8), (uint8_t)number};

    return name_of('V', id, ID_SIZE, big_endian, sizeof big_endian);
}

static void begin(commits *of)
{
    must(mdb_txn_begin(of->env, NULL, 0, &of->txn) == MDB_SUCCESS, "a bare transaction");
}

static void end(const commits *of)
{
    must(mdb_txn_commit(of->txn) == MDB_SUCCESS, "a bare commit");
}

static void put(commits *of, name record, size_t size)
{
    MDB_val key = {record.len, record.bytes}, value = {size, of->value};

    must(size <= sizeof of->value, "a record's size");
    must(mdb_put(of->txn, of->dbi, &key, &value, 0) == MDB_SUCCESS, "a bare record");
}

static void drop(const commits *of, name record)
{
    MDB_val key = {record.len, record.bytes};

    must(mdb_del(of->txn, of->dbi, &key, NULL) == MDB_SUCCESS, "a record to remove");
}

static size_t size_of(const commits *of, name record)
{
    MDB_val key = {record.len, record.bytes}, value;

    must(mdb_get(of->txn, of->dbi, &key, &value) == MDB_SUCCESS, "a record of the copied store");
    return value.mv_size;
}

static void put_header(commits *of)
{
    put(of, name_of('H', NULL, 0, NULL, 0), of->header);
}

static name index_name(const commits *of, size_t key)
{
    return name_of('I', of->ids[key], ID_SIZE, of->alias, strlen(of->alias));
}

static name alias_name(const commits *of)
{
    return name_of('A', of->alias, strlen(of->alias), NULL, 0);
}

/* A key id's 16 bytes: what docs/blob-format.md says of its text. */
static void parse_id(const char *text, uint8_t id[ID_SIZE])
{
    size_t len;

    must(sodium_hex2bin(id, ID_SIZE, text, strlen(text), "-", &len, NULL) == 0 && len == ID_SIZE,
         "a key id");
}

commits *commits_of(const char *path, const char (*ids)[KMS_KEY_ID_SIZE], size_t count,
                    const char *alias)
{
    commits *made = calloc(1, sizeof *made);

    must(made != NULL, "memory for bare commits");
    made->ids = calloc(count, sizeof *made->ids);
    made->versions = calloc(count, sizeof *made->versions);
    must(made->ids != NULL && made->versions != NULL, "memory for bare commits");
    made->alias = alias;
    made->count = count;
    for (size_t i = 0; i < count; i++) {
        parse_id(ids[i], made->ids[i]);
        made->versions[i] = 1;
    }
    randombytes_buf(made->value, sizeof made->value);
    must(mdb_env_create(&made->env) == MDB_SUCCESS &&
             mdb_env_set_mapsize(made->env, (size_t)4 << 30) == MDB_SUCCESS &&
             mdb_env_open(made->env, path, MDB_NOSUBDIR, 0600) == MDB_SUCCESS,
         path);
    begin(made);
    must(mdb_dbi_open(made->txn, NULL, 0, &made->dbi) == MDB_SUCCESS, "the records");
    made->header = size_of(made, name_of('H', NULL, 0, NULL, 0));
    made->key = size_of(made, name_of('K', made->ids[0], ID_SIZE, NULL, 0));
    made->version = size_of(made, version_name(made->ids[0], 1));
    made->pointer = size_of(made, alias_name(made));
    made->index = size_of(made, index_name(made, 0));
    end(made);
    return made;
}

void commits_close(commits *of)
{
    mdb_env_close(of->env);
    free(of->ids);
    free(of->versions);
    free(of);
}

/* The alias goes from one of the first two keys to the other. */
void run_commit_move(void *subject, size_t n)
{
    commits *of = subject;

    for (size_t i = 0; i < n; i++) {
        size_t from = of->next % 2;

        begin(of);
        drop(of, index_name(of, from));
        put(of, alias_name(of), of->pointer);
        put(of, index_name(of, 1 - from), of->index);
        put_header(of);
        end(of);
        of->next++;
    }
}

void run_commit_rotate(void *subject, size_t n)
{
    commits *of = subject;

    for (size_t i = 0; i < n; i++) {
        size_t at = of->next++ % of->count;
        uint32_t number = ++of->versions[at];

        begin(of);
        put(of, version_name(of->ids[at], number), of->version);
        put(of, name_of('K', of->ids[at], ID_SIZE, NULL, 0),
            of->key + (size_t)(number - 1) * VERSION_ENTRY);
        put_header(of);
        end(of);
    }
}

void run_commit_create(void *subject, size_t n)
{
    commits *of = subject;
    uint8_t id[ID_SIZE];

    for (size_t i = 0; i < n; i++) {
        randombytes_buf(id, sizeof id);
        begin(of);
        put(of, version_name(id, 1), of->version);
        put(of, name_of('K', id, ID_SIZE, NULL, 0), of->key);
        put_header(of);
        end(of);
    }
}
