/*
 * Reading a page of a table, and writing it back.
 *
 * Pages are found by the primary key, so that each costs the same. A row is written only if it still
 * is what was read, and the updates of a page are one transaction.
 */
#include "reencrypt_table.h"

#include <stdlib.h>

#define BUSY_MS 30000

static bool sqlite_failed(struct database *db)
{
    return fail("SQLite: %s", sqlite3_errmsg(db->sqlite));
}

bool database_open(struct database *db, const char *path, bool read_only)
{
    int flags = read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;

    if (sqlite3_open_v2(path, &db->sqlite, flags, NULL) != SQLITE_OK ||
        sqlite3_busy_timeout(db->sqlite, BUSY_MS) != SQLITE_OK) {
        return fail("%s: %s", path, sqlite3_errmsg(db->sqlite));
    }
    return true;
}

void database_close(struct database *db)
{
    sqlite3_close(db->sqlite);
    db->sqlite = NULL;
}

static bool prepare(struct database *db, const char *sql, sqlite3_stmt **statement)
{
    return sqlite3_prepare_v2(db->sqlite, sql, -1, statement, NULL) == SQLITE_OK ||
           sqlite_failed(db);
}

static bool run(struct database *db, const char *sql)
{
    return sqlite3_exec(db->sqlite, sql, NULL, NULL, NULL) == SQLITE_OK || sqlite_failed(db);
}

/* Pages are found by it: of any other column a value may be NULL, or no number, and its row be passed
 * over. */
static bool check_key(struct database *db, const struct table *table)
{
    sqlite3_stmt *statement = NULL;
    bool right = false;

    if (!prepare(db,
                 "SELECT count(*) = 1 AND max(name) = ?2 AND max(upper(type)) = 'INTEGER'"
                 " FROM pragma_table_info(?1) WHERE pk > 0",
                 &statement)) {
        return false;
    }
    sqlite3_bind_text(statement, 1, table->name, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 2, table->id, -1, SQLITE_STATIC);
    right = sqlite3_step(statement) == SQLITE_ROW && sqlite3_column_int(statement, 0) == 1;
    sqlite3_finalize(statement);
    return right || fail("%s.%s is no INTEGER PRIMARY KEY, by which pages are found", table->name,
                         table->id);
}

bool database_has(struct database *db, const struct table *table, bool *has)
{
    sqlite3_stmt *statement = NULL;
    int step = SQLITE_ERROR;

    if (prepare(db, "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1", &statement)) {
        sqlite3_bind_text(statement, 1, table->name, -1, SQLITE_STATIC);
        step = sqlite3_step(statement);
    }
    *has = step == SQLITE_ROW;
    sqlite3_finalize(statement);
    return step == SQLITE_DONE || (step == SQLITE_ROW && check_key(db, table)) ||
           (step != SQLITE_ROW && sqlite_failed(db));
}

/* --- Statements: parameter 1 is the id; an update has the new values next, and then the old ones */

/* Ends a statement's text and prepares it. */
static bool prepare_text(struct database *db, sqlite3_str *sql, sqlite3_stmt **statement)
{
    char *text = sqlite3_str_finish(sql);
    bool prepared = text != NULL ? prepare(db, text, statement) : fail("no memory for SQL");

    sqlite3_free(text);
    return prepared;
}

static bool prepare_select(struct database *db, const struct table *table, sqlite3_stmt **statement)
{
    sqlite3_str *sql = sqlite3_str_new(db->sqlite);

    sqlite3_str_appendf(sql, "SELECT \"%w\"", table->id);
    for (size_t i = 0; i < table->count; i++) {
        sqlite3_str_appendf(sql, ", \"%w\"", table->columns[i].name);
    }
    sqlite3_str_appendf(sql, " FROM \"%w\" WHERE \"%w\" >= ?1 ORDER BY \"%w\" LIMIT ?2",
                        table->name, table->id, table->id);
    return prepare_text(db, sql, statement);
}

static bool prepare_update(struct database *db, const struct table *table, sqlite3_stmt **statement)
{
    sqlite3_str *sql = sqlite3_str_new(db->sqlite);
    int count = (int)table->count;

    sqlite3_str_appendf(sql, "UPDATE \"%w\" SET", table->name);
    for (int i = 0; i < count; i++) {
        sqlite3_str_appendf(sql, "%s \"%w\" = ?%d", i == 0 ? "" : ",", table->columns[i].name,
                            2 + i);
    }
    sqlite3_str_appendf(sql, " WHERE \"%w\" = ?1", table->id);
    for (int i = 0; i < count; i++) {
        sqlite3_str_appendf(sql, " AND \"%w\" IS ?%d COLLATE BINARY", table->columns[i].name,
                            2 + count + i);
    }
    return prepare_text(db, sql, statement);
}

bool statements_prepare(struct database *db, const struct table *table,
                        struct statements *statements)
{
    statements->select = statements->update = NULL;
    return prepare_select(db, table, &statements->select) &&
           prepare_update(db, table, &statements->update);
}

void statements_finalize(struct statements *statements)
{
    sqlite3_finalize(statements->select);
    sqlite3_finalize(statements->update);
}

/* --- Pages ------------------------------------------------------------------------------------ */

bool page_new(struct page *page, const struct table *table, size_t size)
{
    *page = (struct page){.table = table, .size = size};
    page->ids = calloc(size, sizeof *page->ids);
    page->cells = calloc(size * table->count, sizeof *page->cells);
    return (page->ids != NULL && page->cells != NULL) || fail("no memory for a page");
}

static void page_clear(struct page *page)
{
    for (size_t i = 0; i < page->count * page->table->count; i++) {
        sqlite3_value_free(page->cells[i].stored);
        free(page->cells[i].decoded);
        free(page->cells[i].fresh);
        page->cells[i] = (struct cell){0};
    }
    page->count = 0;
}

void page_free(struct page *page)
{
    page_clear(page);
    free(page->ids);
    free(page->cells);
}

static bool take_row(const struct statements *statements, struct page *page)
{
    size_t row = page->count++;

    page->ids[row] = sqlite3_column_int64(statements->select, 0);
    for (size_t i = 0; i < page->table->count; i++) {
        struct cell *cell = cell_of(page, row, i);

        cell->stored = sqlite3_value_dup(sqlite3_column_value(statements->select, 1 + (int)i));
        if (cell->stored == NULL) {
            return fail("no memory for a row");
        }
    }
    return true;
}

bool page_read(struct database *db, const struct statements *statements, int64_t from,
               struct page *page)
{
    sqlite3_stmt *select = statements->select;
    int step = SQLITE_ERROR;

    page_clear(page);
    sqlite3_bind_int64(select, 1, from);
    sqlite3_bind_int64(select, 2, (sqlite3_int64)page->size);
    while ((step = sqlite3_step(select)) == SQLITE_ROW && page->count < page->size) {
        if (!take_row(statements, page)) {
            break;
        }
    }
    if (step != SQLITE_DONE && step != SQLITE_ROW) {
        sqlite_failed(db);
    }
    sqlite3_reset(select);
    return step == SQLITE_DONE;
}

/* --- Writing ---------------------------------------------------------------------------------- */

static int bind_fresh(sqlite3_stmt *update, int parameter, enum form form, const struct cell *cell)
{
    return form == FORM_TEXT ? sqlite3_bind_text64(update, parameter, cell->fresh, cell->fresh_len,
                                                   SQLITE_STATIC, SQLITE_UTF8)
                             : sqlite3_bind_blob64(update, parameter, cell->fresh, cell->fresh_len,
                                                   SQLITE_STATIC);
}

static bool bind_row(struct database *db, sqlite3_stmt *update, const struct page *page, size_t row)
{
    size_t count = page->table->count;
    int result = sqlite3_bind_int64(update, 1, page->ids[row]);

    for (size_t i = 0; result == SQLITE_OK && i < count; i++) {
        const struct cell *cell = cell_of(page, row, i);
        int parameter = 2 + (int)i;

        result = cell->fresh != NULL
                     ? bind_fresh(update, parameter, page->table->columns[i].form, cell)
                     : sqlite3_bind_value(update, parameter, cell->stored);
        if (result == SQLITE_OK) {
            result = sqlite3_bind_value(update, parameter + (int)count, cell->stored);
        }
    }
    return result == SQLITE_OK || sqlite_failed(db);
}

/* How many values of a row are fresh, and the first of them. */
static size_t count_fresh(const struct page *page, size_t row, size_t *first)
{
    size_t count = 0;

    for (size_t i = page->table->count; i-- > 0;) {
        if (cell_of(page, row, i)->fresh != NULL) {
            *first = i;
            count++;
        }
    }
    return count;
}

/* A constraint that refuses one row lets the others go on. */
static bool write_row(struct database *db, sqlite3_stmt *update, const struct page *page,
                      size_t row, struct written *written)
{
    size_t first = 0;
    size_t values = count_fresh(page, row, &first);
    int step;

    if (values == 0) {
        return true;
    }
    if (!bind_row(db, update, page, row)) {
        return false;
    }
    step = sqlite3_step(update);
    if (step == SQLITE_DONE && sqlite3_changes(db->sqlite) == 1) {
        written->rows++;
        written->values += values;
    } else if (step == SQLITE_DONE) {
        written->changed++;
    } else if (step == SQLITE_CONSTRAINT) {
        complain_of(page, row, first, sqlite3_errmsg(db->sqlite));
        written->refused++;
    } else {
        sqlite_failed(db);
    }
    sqlite3_reset(update);
    return step == SQLITE_DONE || step == SQLITE_CONSTRAINT;
}

static bool is_anything_fresh(const struct page *page)
{
    size_t first;

    for (size_t row = 0; row < page->count; row++) {
        if (count_fresh(page, row, &first) > 0) {
            return true;
        }
    }
    return false;
}

bool page_write(struct database *db, const struct statements *statements, const struct page *page,
                struct written *written)
{
    *written = (struct written){0};
    if (!is_anything_fresh(page)) {
        return true;
    }
    if (!run(db, "BEGIN IMMEDIATE")) {
        return false;
    }
    for (size_t row = 0; row < page->count; row++) {
        if (!write_row(db, statements->update, page, row, written)) {
            run(db, "ROLLBACK");
            return false;
        }
    }
    if (run(db, "COMMIT")) {
        return true;
    }
    if (!sqlite3_get_autocommit(db->sqlite)) {
        run(db, "ROLLBACK");
    }
    return false;
}
