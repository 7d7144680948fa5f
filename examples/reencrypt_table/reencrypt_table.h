/*
 * Re-encrypts the columns of an SQLite database after a rotation, and retires the old key.
 *
 *   PASSPHRASE='...' reencrypt_table DATABASE STORE ALIAS --rotate=version   or --rotate=key
 *   PASSPHRASE='...' reencrypt_table DATABASE STORE ALIAS --dry-run
 *   PASSPHRASE='...' reencrypt_table DATABASE STORE ALIAS
 *   PASSPHRASE='...' reencrypt_table DATABASE STORE ALIAS --retire
 *
 * It works on every column that the application encrypts under ALIAS. The application goes on
 * meanwhile: the database is locked for a page's updates only, and a row that somebody changed since
 * it was read is left to the next pass. It can be killed at any moment and run again: a page is
 * written whole or not at all, and what is done is not stale any more.
 *
 * Retiring looks first: every value must open and be under the current key, no other column and no
 * alias may need the old one, and it must have rested for a while. Only then the old version, or the
 * old key after an alias was moved, is disabled; and then every value is read again. If one does not
 * open, what was disabled is enabled again.
 *
 * Exit status: 0, nothing is left to do; 2, something is, and was told; 1, it failed.
 *
 *   columns.c    which columns are encrypted, and how: this is to be adapted to another database
 *   database.c   reading a page of a table, and writing it back
 *   page.c       the blobs of a page: under which key they are, opening them, re-encrypting them
 *   walk.c       every page of every table
 *   survey.c     counts by column and key
 *   reencrypt.c  the re-encryption
 *   retire.c     the end of old versions and keys
 *   main.c       the command line
 */
#ifndef REENCRYPT_TABLE_H
#define REENCRYPT_TABLE_H

#include <kms/kms.h>
#include <sqlite3.h>

enum outcome { ALL_DONE = 0, FAILED = 1, SOMETHING_LEFT = 2 };

/* columns.c */

enum form {
    FORM_BLOB, /* a blob */
    FORM_TEXT, /* a blob in its text form */
    FORM_TOKEN /* a blind index of another column of the row */
};

struct column {
    const char *name;
    const char *alias; /* what the application encrypts it under, or makes the token with */
    enum form form;
    /* Of a token: which column of the table has its value, and what kms_blind_index() is told. */
    size_t value;
    const char *label;
    unsigned bits;
};

#define COLUMNS_MAX 8

struct table {
    const char *name;
    const char *id;      /* its INTEGER PRIMARY KEY */
    bool row_in_context; /* whether the context names the row, beside table and column */
    size_t count;
    struct column columns[COLUMNS_MAX];
};

extern const struct table tables[];
extern const size_t table_count;

/* A value's place, and the encryption context that the application makes of it. */
struct place {
    char row[24];
    kms_context_pair pairs[3];
    kms_context context;
};
const kms_context *locate(struct place *place, const struct table *table, size_t column,
                          int64_t id);

/* database.c */

struct database {
    sqlite3 *sqlite;
};

/* A value of the database, of one column of one row. */
struct cell {
    sqlite3_value *stored; /* as it was read */
    const void *blob;      /* the blob that it holds, or the token; NULL if it holds none */
    size_t len;
    unsigned char *decoded; /* where that is, if it was text */
    enum state {
        NOT_LOOKED_AT, /* NULL, or under another alias */
        CURRENT,
        STALE,
        UNREADABLE
    } state;
    char key_id[KMS_KEY_ID_SIZE]; /* "" if it names none */
    uint32_t key_version;
    void *fresh; /* what is to be stored in its place, in the column's form; NULL: nothing */
    size_t fresh_len;
};

/* Some rows of a table, in the order of their ids. */
struct page {
    const struct table *table;
    size_t size;
    size_t count;
    int64_t *ids;
    struct cell *cells;
};

static inline struct cell *cell_of(const struct page *page, size_t row, size_t column)
{
    return &page->cells[row * page->table->count + column];
}

/* What a page's rows came to when they were written. */
struct written {
    uint64_t rows;
    uint64_t values;
    uint64_t changed; /* by somebody else, since they were read: left as they are */
    uint64_t refused; /* by a constraint of the database */
};

bool database_open(struct database *db, const char *path, bool read_only);
void database_close(struct database *db);
bool database_has(struct database *db, const struct table *table, bool *has);

struct statements {
    sqlite3_stmt *select;
    sqlite3_stmt *update;
};
bool statements_prepare(struct database *db, const struct table *table,
                        struct statements *statements);
void statements_finalize(struct statements *statements);

bool page_new(struct page *page, const struct table *table, size_t size);
void page_free(struct page *page);
/* Reads the rows whose ids are `from` and above, as many as fit. */
bool page_read(struct database *db, const struct statements *statements, int64_t from,
               struct page *page);
/* Writes what is fresh, in one transaction. */
bool page_write(struct database *db, const struct statements *statements, const struct page *page,
                struct written *written);

/* walk.c */

struct work {
    kms_store *store;
    struct database *db;
    const char *alias;
    size_t batch;
    uint32_t unused_hours;
};

/* One walk through the tables. What a visit leaves in the page is cleared after it. */
struct walk {
    const struct work *work;
    bool all_columns; /* those of other aliases too */
    bool quiet;       /* what cannot be read is not told, since it was before */
    bool (*visit)(struct walk *walk, const struct statements *statements, struct page *page);
};
bool walk(struct walk *walk);
bool is_selected(const struct walk *walk, const struct column *column);
/* Whether the database has a column that is encrypted under the alias; if not, that is told. */
bool has_columns(const struct work *work);

/* page.c */

/* Tells of each value which key it is under, and whether that is the current one. */
bool page_examine(const struct walk *walk, struct page *page);
/* Decrypts every value: those that do not open are UNREADABLE then. */
bool page_open(const struct walk *walk, struct page *page);
/* Makes what is stale fresh; what does not open is UNREADABLE then. */
bool page_reencrypt(const struct walk *walk, struct page *page);

/* survey.c */

struct line {
    const struct table *table;
    size_t column;
    enum state state;
    char key_id[KMS_KEY_ID_SIZE];
    uint32_t key_version;
    uint64_t values;
};

struct survey {
    struct line *lines;
    size_t count;
    uint64_t values[UNREADABLE + 1]; /* by their state, of the columns of our alias */
    uint64_t unreadable_elsewhere;   /* in the columns of other aliases */
};

struct survey_options {
    bool all_columns;
    bool open; /* decrypt every value too */
    bool quiet;
};
/* survey_free() is due in any case. */
bool survey_take(const struct work *work, struct survey_options options, struct survey *survey);
void survey_print(struct survey *survey);
/* Says whether anything is left to be re-encrypted, or unreadable. */
enum outcome survey_conclude(const struct survey *survey);
void survey_free(struct survey *survey);

/* reencrypt.c, retire.c */

enum outcome reencrypt(const struct work *work);
enum outcome retire(const struct work *work);

/* main.c */

/* Prints an error, and is false. */
bool fail(const char *format, ...) KMS_PRINTF(1, 2);
/* Passes KMS_OK on as true; else prints what went wrong, and is false. */
bool ok(kms_status status);
/* Tells what is wrong with one value. */
void complain_of(const struct page *page, size_t row, size_t column, const char *what);

#endif
