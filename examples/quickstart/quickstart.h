/*
 * The quickstart: encrypts fields of 20,000 customers into an SQLite database, rotates by hand,
 * re-encrypts, and looks whether any plaintext can be found in the files.
 *
 *   main.c       the story, from beginning to end
 *   options.c    the command line
 *   customers.c  the application's encrypting and decrypting modules
 *   generate.c   customers with valid numbers, always the same ones
 *   database.c   the SQLite table that they are kept in
 *   tally.c      which key and version a row was encrypted under
 *   show.c       what the tables and the example on the screen say
 *   place.c      the directory that the files are in
 *   plaintext.c  looking for plaintext, to find none
 *   search.c     how texts are found in the bytes of files
 *   progress.c   what the terminal shows, and error messages
 */
#ifndef QUICKSTART_H
#define QUICKSTART_H

#include <kms/kms.h>

#define ALIAS "alias/MyAppKey"

/* A real program asks its user for it, or has it from where its other secrets are kept. */
#define PASSPHRASE "two ferns, a kettle and 40 pencils"

/* A customer. The name is not encrypted; the fields are, each by itself. */

enum { ID_NUMBER, CARD_NUMBER, HOME_ADDRESS, FIELDS };

#define NAME_SIZE 32
#define FIELD_SIZE 96

extern const char *const field_names[FIELDS];

struct customer {
    int64_t id;
    char name[NAME_SIZE];
    char fields[FIELDS][FIELD_SIZE];
};

/* The row of the table that holds a customer. */

struct blob {
    size_t len;
    uint8_t bytes[KMS_CIPHERTEXT_SIZE(FIELD_SIZE)];
};

struct row {
    int64_t id;
    char name[NAME_SIZE];
    struct blob fields[FIELDS];
};

/* options.c */

struct options {
    uint64_t records;
    uint64_t print;
    const char *directory;
    bool keep;
};
/* Ends the program where the command line is wrong, or asks for help. */
struct options parse_options(int argc, char **argv);

/* generate.c */

/* The customer with this id, the same at every call. */
void generate_customer(int64_t id, struct customer *customer);
/* Whether the check digits of its ID number and its card number hold. */
bool customer_is_valid(const struct customer *customer);

/* customers.c */

/* Encrypts every field under the alias; the id says which row each belongs to. */
bool encrypt_customer(kms_store *store, const struct customer *customer, struct row *row);
/* Decrypts every field, naming no key. */
bool decrypt_customer(kms_store *store, const struct row *row, struct customer *customer);

/* database.c */

struct database;

/* What database_next() found. */
enum next { NEXT_ROW, NEXT_END, NEXT_FAILED };

/* Makes a database with an empty table. NULL on failure. */
struct database *database_create(const char *path);
bool database_begin(struct database *db);
bool database_commit(struct database *db);
bool database_insert(struct database *db, const struct row *row);
/* The row with the smallest id above `after`. */
enum next database_next(struct database *db, int64_t after, struct row *row);
/* Writes a row's fields anew. */
bool database_update(struct database *db, const struct row *row);
/* Closes it, and leaves its log file where it is, so that it can be searched. */
bool database_close(struct database *db);

/* tally.c */

#define TALLY_MAX 8

struct tally {
    size_t count;
    struct tally_line {
        char key_id[KMS_KEY_ID_SIZE];
        uint32_t key_version;
        uint64_t rows;
    } lines[TALLY_MAX];
};

/* Which key and version all of a row's fields are encrypted under: needs no store, no key. */
bool row_key(const struct row *row, kms_blob_info *info);
/* Counts the rows of a database by key and version. */
bool tally_rows(struct database *db, struct tally *tally);

/* place.c */

#define PLACE_PATH_SIZE 4096

struct place {
    char path[PLACE_PATH_SIZE];
    int marker;
};

/* Takes a directory into use: a new temporary one if path is NULL. What an earlier run left in it
 * is removed; a directory with anything else in it is refused. */
bool place_open(struct place *place, const char *path);
/* The path of one of our files. */
void place_file(const struct place *place, const char *name, char path[PLACE_PATH_SIZE]);
/* Removes the files that we made, and the directory if it is empty then. */
void place_remove(struct place *place);
void place_close(struct place *place);

#define STORE_FILE "keys.kms"
#define DATABASE_FILE "customers.db"

/* main.c */

struct quickstart {
    uint64_t records;
    struct place place;
    kms_store *store;
    struct database *db;
    char cmk_a[KMS_KEY_ID_SIZE];
    char cmk_b[KMS_KEY_ID_SIZE];
};

/* show.c */

/* One customer's fields, and the blobs that they are kept as. */
bool show_customer(const struct quickstart *app, int64_t id);
/* The table of rows by key and version; tells how many are under a key. */
bool show_tally(const struct quickstart *app, const char *key_id, uint64_t *rows);
/* A line for each of the first customers: id, name and fields, with tabs between them. */
void print_customers(uint64_t count);

/* plaintext.c */

/* Whether no encrypted field can be found in the files, and what is not encrypted can. */
bool look_for_plaintext(const struct quickstart *app);

/* search.c */

struct search;

struct search_result {
    uint64_t sought;
    uint64_t found;
    uint64_t files;
    uint64_t bytes;
};

/* NULL on failure. */
struct search *search_new(void);
/* A text to be looked for. It is cut into pieces of 8 bytes and each is looked for, so that a part
 * of the text is found too. */
bool search_add(struct search *search, const char *text);
/* Looks at every byte of every file in a directory. */
bool search_directory(struct search *search, const char *path, struct search_result *result);
void search_free(struct search *search);

/* progress.c */

/* Passes KMS_OK on as true; else prints what went wrong, and is false. */
bool ok(kms_status status);
/* Prints an error, and is false. */
bool fail(const char *format, ...) KMS_PRINTF(1, 2);

/* A number with its thousands set apart, for printf: grouped(20000).text. */
struct grouped {
    char text[28];
};
struct grouped grouped(uint64_t number);

double now(void);

/* Between the two, progress_step() shows how far it is; false if the user pressed Ctrl-C. */
void progress_begin(const char *what, uint64_t rows);
bool progress_step(void);
void progress_end(void);
/* Lets Ctrl-C end the program in good order. */
void catch_interrupts(void);

#endif
