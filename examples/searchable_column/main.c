/*
 * Encrypted columns that stay UNIQUE and can be searched, and how their keys are rotated.
 *
 *   PASSPHRASE='...' searchable_column NEW-DATABASE NEW-STORE-FILE
 *
 * Identity numbers are encrypted deterministically: SQLite's own UNIQUE refuses a second row of the same
 * number, and a number is looked for by its blob. Names are encrypted as everything else is, so that
 * nobody sees who is called alike, and are looked for by a token of 16 bits, a blind index. All blobs
 * are kept as text.
 */
#include <kms/kms.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER_KEY "alias/people/id_number"
#define NAME_KEY "alias/people/name"
#define INDEX_KEY "alias/people/name_index"
#define INDEX_LABEL "people.name"
#define INDEX_BITS 16

#define FIELD_MAX 64
#define BLOB_MAX KMS_CIPHERTEXT_SIZE(FIELD_MAX)
#define TEXT_MAX KMS_TEXT_SIZE(BLOB_MAX)

static const struct person {
    const char *id_number;
    const char *name;
} people[] = {
    {"11010519491231002X", "Zhang Wei"}, {"440524188001010014", "Wang Fang"},
    {"110105194912310038", "Zhang Wei"}, {"320311770706001", "Li Na"},
    {"130503670401001", "Liu Yang"},
};

#define PEOPLE ((int)(sizeof people / sizeof *people))

/* The context names the place: a blob of one column does not open in the other. */
static const kms_context_pair number_pairs[] = {{"table", "people"}, {"column", "id_number"}};
static const kms_context_pair name_pairs[] = {{"table", "people"}, {"column", "name"}};
static const kms_context number_context = {number_pairs, 2}, name_context = {name_pairs, 2};

static kms_store *store;
static sqlite3 *database;

static bool ok(kms_status status)
{
    if (status != KMS_OK) {
        fprintf(stderr, "%s: %s\n", kms_status_name(status), kms_error_message());
    }
    return status == KMS_OK;
}

static bool done(int result, int wanted)
{
    if (result != wanted) {
        fprintf(stderr, "SQLite: %s\n", sqlite3_errmsg(database));
    }
    return result == wanted;
}

static bool run(const char *sql)
{
    return done(sqlite3_exec(database, sql, NULL, NULL, NULL), SQLITE_OK);
}

static bool prepare(const char *sql, sqlite3_stmt **statement)
{
    return done(sqlite3_prepare_v2(database, sql, -1, statement, NULL), SQLITE_OK);
}

/* --- values and their text ------------------------------------------------------------------- */

typedef kms_status sealer(kms_store *store, const char *keyref, const kms_context *context,
                          const void *plain, size_t plain_len, void *blob, size_t blob_size,
                          size_t *blob_len);

static bool seal(sealer *how, const char *keyref, const kms_context *context, const char *value,
                 char text[TEXT_MAX])
{
    unsigned char blob[BLOB_MAX];
    size_t len;

    return ok(how(store, keyref, context, value, strlen(value), blob, sizeof blob, &len)) &&
           ok(kms_blob_to_text(blob, len, text, TEXT_MAX, NULL));
}

/* Equal numbers give equal texts, names never do. */
static bool seal_number(const char *id_number, char text[TEXT_MAX])
{
    return seal(kms_encrypt_deterministic, NUMBER_KEY, &number_context, id_number, text);
}

static bool seal_name(const char *name, char text[TEXT_MAX])
{
    return seal(kms_encrypt, NAME_KEY, &name_context, name, text);
}

static bool open_text(const kms_context *context, const unsigned char *text,
                      char value[FIELD_MAX + 1])
{
    const char *characters = (const char *)text;
    unsigned char blob[BLOB_MAX];
    size_t blob_len, len;

    if (!ok(kms_blob_from_text(characters, strlen(characters), blob, sizeof blob, &blob_len)) ||
        !ok(kms_decrypt(store, context, blob, blob_len, value, FIELD_MAX, &len))) {
        return false;
    }
    value[len] = '\0';
    return true;
}

static bool tokens_of(const char *name, kms_blind_tokens *tokens)
{
    return ok(
        kms_blind_index(store, INDEX_KEY, INDEX_LABEL, name, strlen(name), INDEX_BITS, tokens));
}

static void bind_text(sqlite3_stmt *statement, int place, const char *text)
{
    sqlite3_bind_text(statement, place, text, -1, SQLITE_TRANSIENT);
}

/* Without a token, NULL, which no row has. */
static void bind_token(sqlite3_stmt *statement, int place, const unsigned char *token, size_t len)
{
    if (token != NULL) {
        sqlite3_bind_blob(statement, place, token, (int)len, SQLITE_TRANSIENT);
    }
}

/* --- the application ------------------------------------------------------------------------- */

/* SQLITE_DONE; SQLITE_CONSTRAINT: the number is there already; SQLITE_ERROR, which was told. */
static int insert(const struct person *person)
{
    char id_number[TEXT_MAX], name[TEXT_MAX];
    kms_blind_tokens tokens;
    sqlite3_stmt *statement;
    int result;

    if (!seal_number(person->id_number, id_number) || !seal_name(person->name, name) ||
        !tokens_of(person->name, &tokens) ||
        !prepare("INSERT INTO people (id_number, name, name_token) VALUES (?, ?, ?)", &statement)) {
        return SQLITE_ERROR;
    }
    bind_text(statement, 1, id_number);
    bind_text(statement, 2, name);
    bind_token(statement, 3, tokens.token, tokens.len);
    result = sqlite3_step(statement);
    sqlite3_finalize(statement);
    return result;
}

/* The row of a number; 0: there is none. -1: failed, which was told. */
static int find_number(const char *number)
{
    char id_number[TEXT_MAX];
    sqlite3_stmt *statement;
    int id = -1;

    if (!seal_number(number, id_number) ||
        !prepare("SELECT id FROM people WHERE id_number = ?", &statement)) {
        return -1;
    }
    bind_text(statement, 1, id_number);
    id = sqlite3_step(statement) == SQLITE_ROW ? sqlite3_column_int(statement, 0) : 0;
    sqlite3_finalize(statement);
    return id;
}

/* How many rows have the name. A token finds candidates: some may share it by chance. */
static int count_name(const char *wanted)
{
    kms_blind_tokens tokens;
    sqlite3_stmt *statement;
    char name[FIELD_MAX + 1];
    int count = 0;

    if (!tokens_of(wanted, &tokens) ||
        !prepare("SELECT name FROM people WHERE name_token IN (?, ?)", &statement)) {
        return -1;
    }
    bind_token(statement, 1, tokens.token, tokens.len);
    bind_token(statement, 2, tokens.has_previous ? tokens.previous : NULL, tokens.len);
    while (count >= 0 && sqlite3_step(statement) == SQLITE_ROW) {
        if (!open_text(&name_context, sqlite3_column_text(statement, 0), name)) {
            count = -1;
        } else if (strcmp(name, wanted) == 0) {
            count++;
        }
    }
    sqlite3_finalize(statement);
    return count;
}

/* --- what the administrator does ------------------------------------------------------------- */

static bool make_key(const char *alias, kms_key_usage usage)
{
    kms_create_key_options options = KMS_CREATE_KEY_OPTIONS_INIT;

    options.usage = usage;
    return ok(kms_ensure_alias(store, alias, &options, NULL));
}

/* Moves an alias to a new key of the same usage, and tells the key before. */
static bool move(const char *alias, kms_key_usage usage, char before[KMS_KEY_ID_SIZE])
{
    kms_create_key_options options = KMS_CREATE_KEY_OPTIONS_INIT;
    char key_id[KMS_KEY_ID_SIZE];
    kms_alias_info info;

    options.usage = usage;
    if (!ok(kms_create_key(store, &options, key_id)) ||
        !ok(kms_update_alias(store, alias, key_id)) ||
        !ok(kms_describe_alias(store, alias, &info))) {
        return false;
    }
    memcpy(before, info.previous_key_id, KMS_KEY_ID_SIZE);
    return true;
}

/* Does something to every row: a statement that changes one gets its id as the last parameter. */
typedef bool change(const unsigned char *text, sqlite3_stmt *update);

static bool change_all(const char *select, const char *update_one, change *how)
{
    sqlite3_stmt *rows = NULL, *update = NULL;
    bool well = prepare(select, &rows) && prepare(update_one, &update);

    while (well && sqlite3_step(rows) == SQLITE_ROW) {
        well = how(sqlite3_column_text(rows, 1), update);
        sqlite3_bind_int(update, 2, sqlite3_column_int(rows, 0));
        well = well && done(sqlite3_step(update), SQLITE_DONE);
        sqlite3_reset(update);
    }
    sqlite3_finalize(rows);
    sqlite3_finalize(update);
    return well;
}

static bool new_token(const unsigned char *text, sqlite3_stmt *update)
{
    char name[FIELD_MAX + 1];
    kms_blind_tokens tokens;

    if (!open_text(&name_context, text, name) || !tokens_of(name, &tokens)) {
        return false;
    }
    bind_token(update, 1, tokens.token, tokens.len);
    return true;
}

static bool new_number(const unsigned char *text, sqlite3_stmt *update)
{
    const char *characters = (const char *)text;
    unsigned char old_blob[BLOB_MAX], blob[BLOB_MAX];
    char id_number[TEXT_MAX];
    size_t len;

    if (!ok(kms_blob_from_text(characters, strlen(characters), old_blob, sizeof old_blob, &len)) ||
        !ok(kms_re_encrypt(store, &number_context, old_blob, len, NUMBER_KEY, &number_context, blob,
                           sizeof blob, &len, NULL)) ||
        !ok(kms_blob_to_text(blob, len, id_number, sizeof id_number, NULL))) {
        return false;
    }
    bind_text(update, 1, id_number);
    return true;
}

/* --- the story ------------------------------------------------------------------------------- */

static bool is(const char *what, int found, int wanted)
{
    printf("   %-52s %d\n", what, found);
    if (found != wanted) {
        fprintf(stderr, "%s: %d, and not %d\n", what, found, wanted);
    }
    return found == wanted;
}

static bool refuses(const struct person *person)
{
    bool refused = insert(person) == SQLITE_CONSTRAINT;

    printf("   a second row of the same number: %s\n",
           refused ? sqlite3_errmsg(database) : "was taken");
    return refused;
}

static bool fill(void)
{
    printf("1. Encrypted columns\n");
    if (!make_key(NUMBER_KEY, KMS_KEY_USAGE_DETERMINISTIC) ||
        !make_key(NAME_KEY, KMS_KEY_USAGE_ENCRYPT_DECRYPT) ||
        !make_key(INDEX_KEY, KMS_KEY_USAGE_ENCRYPT_DECRYPT) ||
        !run("CREATE TABLE people (id INTEGER PRIMARY KEY, id_number TEXT NOT NULL UNIQUE,"
             " name TEXT NOT NULL, name_token BLOB NOT NULL);"
             "CREATE INDEX people_name_token ON people (name_token)")) {
        return false;
    }
    /* The last one comes later. */
    for (int i = 0; i < PEOPLE - 1; i++) {
        if (!done(insert(&people[i]), SQLITE_DONE)) {
            return false;
        }
    }
    return refuses(&people[0]) &&
           is("row of the number 110105194912310038", find_number("110105194912310038"), 3) &&
           is("row of a number that nobody has", find_number("110105194912310070"), 0) &&
           is("rows named Zhang Wei", count_name("Zhang Wei"), 2) &&
           is("rows named Nobody", count_name("Nobody"), 0);
}

static bool rotate_index(void)
{
    static const struct person newcomer = {"11010519900307271X", "Zhang Wei"};
    char before[KMS_KEY_ID_SIZE];

    printf("2. The index gets another key: queries look for both tokens\n");
    if (!move(INDEX_KEY, KMS_KEY_USAGE_ENCRYPT_DECRYPT, before) ||
        !done(insert(&newcomer), SQLITE_DONE) ||
        !is("rows named Zhang Wei, old tokens and new", count_name("Zhang Wei"), 3) ||
        !run("BEGIN IMMEDIATE") ||
        !change_all("SELECT id, name FROM people", "UPDATE people SET name_token = ? WHERE id = ?",
                    new_token) ||
        !run("COMMIT")) {
        return false;
    }
    printf("   every token is rewritten, and the old key is disabled\n");
    return ok(kms_disable_key(store, before)) &&
           is("rows named Zhang Wei, new tokens", count_name("Zhang Wei"), 3);
}

/* Rows of the old key and of the new one would pass UNIQUE side by side. So the database lets nobody in
 * from before the alias moves until every row is under the new key. A kill in between leaves the alias
 * moved and the rows as they were: the loop is then run again before anybody inserts, and rows that
 * kms_blob_is_stale() tells of show that it must be. It does no harm to rows that are done. */
static bool rotate_numbers(void)
{
    char before[KMS_KEY_ID_SIZE];

    printf("3. The unique column gets another key, in one transaction\n");
    if (!run("BEGIN EXCLUSIVE") || !move(NUMBER_KEY, KMS_KEY_USAGE_DETERMINISTIC, before) ||
        !change_all("SELECT id, id_number FROM people",
                    "UPDATE people SET id_number = ? WHERE id = ?", new_number) ||
        !run("COMMIT")) {
        return false;
    }
    return ok(kms_disable_key(store, before)) && refuses(&people[0]) &&
           done(insert(&people[PEOPLE - 1]), SQLITE_DONE) &&
           is("row of the number 110105194912310038", find_number("110105194912310038"), 3);
}

/* kms_open() takes engine and root over, also when it fails. */
static bool open_store(const char *path, const char *passphrase)
{
    kms_open_options options = KMS_OPEN_OPTIONS_INIT;
    kms_backend *engine = NULL;
    kms_root *root = NULL;

    options.strength = KMS_STRENGTH_INTERACTIVE;
    if (!ok(kms_root_passphrase(&root, passphrase, strlen(passphrase)))) {
        return false;
    }
    if (!ok(kms_lmdb_backend(&engine, path, NULL))) {
        kms_root_free(root);
        return false;
    }
    return ok(kms_open(&store, engine, root, KMS_OPEN_CREATE | KMS_OPEN_EXCLUSIVE, &options));
}

int main(int argc, char **argv)
{
    const char *passphrase = getenv("PASSPHRASE");
    bool well;

    if (argc != 3 || passphrase == NULL) {
        fprintf(stderr, "usage: PASSPHRASE='...' %s NEW-DATABASE NEW-STORE-FILE\n", argv[0]);
        return 2;
    }
    well = open_store(argv[2], passphrase) && done(sqlite3_open(argv[1], &database), SQLITE_OK) &&
           fill() && rotate_index() && rotate_numbers();
    sqlite3_close(database);
    kms_close(store);
    return well ? EXIT_SUCCESS : EXIT_FAILURE;
}
