/* The application's database: one SQLite table, prepared statements, a write-ahead log. */
#include "quickstart.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

struct database {
    sqlite3 *sqlite;
    sqlite3_stmt *begin;
    sqlite3_stmt *commit;
    sqlite3_stmt *insert;
    sqlite3_stmt *next;
    sqlite3_stmt *update;
};

static bool failed(struct database *db)
{
    return fail("SQLite: %s", sqlite3_errmsg(db->sqlite));
}

static bool execute(struct database *db, const char *sql)
{
    return sqlite3_exec(db->sqlite, sql, NULL, NULL, NULL) == SQLITE_OK || failed(db);
}

static bool prepare(struct database *db, const char *sql, sqlite3_stmt **statement)
{
    return sqlite3_prepare_v2(db->sqlite, sql, -1, statement, NULL) == SQLITE_OK || failed(db);
}

static bool make_table(struct database *db)
{
    return execute(db, "PRAGMA journal_mode = WAL") &&
           execute(db, "CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL, "
                       "id_number BLOB NOT NULL, card_number BLOB NOT NULL, "
                       "home_address BLOB NOT NULL)");
}

static bool prepare_statements(struct database *db)
{
    return prepare(db, "BEGIN IMMEDIATE", &db->begin) && prepare(db, "COMMIT", &db->commit) &&
           prepare(db, "INSERT INTO customers VALUES (?1, ?2, ?3, ?4, ?5)", &db->insert) &&
           prepare(db,
                   "SELECT id, name, id_number, card_number, home_address FROM customers "
                   "WHERE id > ?1 ORDER BY id LIMIT 1",
                   &db->next) &&
           prepare(db,
                   "UPDATE customers SET id_number = ?3, card_number = ?4, home_address = ?5 "
                   "WHERE id = ?1",
                   &db->update);
}

struct database *database_create(const char *path)
{
    struct database *db = calloc(1, sizeof *db);

    if (db == NULL) {
        fail("no memory for the database");
        return NULL;
    }
    if (sqlite3_open(path, &db->sqlite) != SQLITE_OK) {
        failed(db);
    } else if (make_table(db) && prepare_statements(db)) {
        return db;
    }
    database_close(db);
    return NULL;
}

/* Runs a statement that gives no rows. */
static bool run(struct database *db, sqlite3_stmt *statement)
{
    bool done = sqlite3_step(statement) == SQLITE_DONE || failed(db);

    sqlite3_reset(statement);
    return done;
}

bool database_begin(struct database *db)
{
    return run(db, db->begin);
}

bool database_commit(struct database *db)
{
    return run(db, db->commit);
}

static bool bind_row(sqlite3_stmt *statement, const struct row *row)
{
    bool bound = sqlite3_bind_int64(statement, 1, row->id) == SQLITE_OK;

    for (int i = 0; bound && i < FIELDS; i++) {
        const struct blob *blob = &row->fields[i];
        bound = sqlite3_bind_blob(statement, 3 + i, blob->bytes, (int)blob->len, SQLITE_STATIC) ==
                SQLITE_OK;
    }
    return bound;
}

bool database_insert(struct database *db, const struct row *row)
{
    if (!bind_row(db->insert, row) ||
        sqlite3_bind_text(db->insert, 2, row->name, -1, SQLITE_STATIC) != SQLITE_OK) {
        return failed(db);
    }
    return run(db, db->insert);
}

bool database_update(struct database *db, const struct row *row)
{
    if (!bind_row(db->update, row)) {
        return failed(db);
    }
    return run(db, db->update);
}

/* Copies a column into a buffer, zeros after it; false if it does not fit. */
static bool copy_column(sqlite3_stmt *statement, int column, void *buffer, size_t size, size_t *len)
{
    const void *data = sqlite3_column_blob(statement, column);
    size_t bytes = (size_t)sqlite3_column_bytes(statement, column);

    if (data == NULL || bytes >= size) {
        return fail("a column of the database is empty or too long");
    }
    memset(buffer, 0, size);
    memcpy(buffer, data, bytes);
    *len = bytes;
    return true;
}

static bool copy_row(sqlite3_stmt *statement, struct row *row)
{
    size_t name_len;
    bool copied = copy_column(statement, 1, row->name, sizeof row->name, &name_len);

    row->id = sqlite3_column_int64(statement, 0);
    for (int i = 0; copied && i < FIELDS; i++) {
        struct blob *blob = &row->fields[i];
        copied = copy_column(statement, 2 + i, blob->bytes, sizeof blob->bytes, &blob->len);
    }
    return copied;
}

enum next database_next(struct database *db, int64_t after, struct row *row)
{
    enum next result = NEXT_FAILED;
    int step = SQLITE_ERROR;

    if (sqlite3_bind_int64(db->next, 1, after) == SQLITE_OK) {
        step = sqlite3_step(db->next);
    }
    if (step == SQLITE_DONE) {
        result = NEXT_END;
    } else if (step != SQLITE_ROW) {
        failed(db);
    } else if (copy_row(db->next, row)) {
        result = NEXT_ROW;
    }
    sqlite3_reset(db->next);
    return result;
}

bool database_close(struct database *db)
{
    int keep_log = 1;
    bool closed;

    if (db == NULL) {
        return true;
    }
    sqlite3_finalize(db->begin);
    sqlite3_finalize(db->commit);
    sqlite3_finalize(db->insert);
    sqlite3_finalize(db->next);
    sqlite3_finalize(db->update);
    sqlite3_file_control(db->sqlite, NULL, SQLITE_FCNTL_PERSIST_WAL, &keep_log);
    closed = sqlite3_close(db->sqlite) == SQLITE_OK || failed(db);
    free(db);
    return closed;
}
