/*
 * The quickstart of libkms: see quickstart.h for what is where.
 *
 * An application keeps customers in SQLite, with three of their fields encrypted one by one. Then
 * the key is rotated by hand, as a cloud KMS's manual has it: another key is made, and the alias is
 * moved to it. The application does not notice; what is old goes on opening, and is re-encrypted.
 */
#include "quickstart.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Rows that are written in one transaction. */
#define BATCH 500

/* --- The store -------------------------------------------------------------------------------- */

/* kms_open() takes engine and root over, also when it fails. */
static bool open_store(const struct quickstart *app, uint32_t flags, kms_store **store)
{
    kms_open_options options = KMS_OPEN_OPTIONS_INIT;
    char path[PLACE_PATH_SIZE];
    kms_backend *engine = NULL;
    kms_root *root = NULL;

    options.strength = KMS_STRENGTH_INTERACTIVE;
    place_file(&app->place, STORE_FILE, path);
    if (!ok(kms_lmdb_backend(&engine, path, NULL))) {
        return false;
    }
    if (!ok(kms_root_passphrase(&root, PASSPHRASE, strlen(PASSPHRASE)))) {
        kms_backend_free(engine);
        return false;
    }
    return ok(kms_open(store, engine, root, flags, &options));
}

static bool set_up(struct quickstart *app)
{
    char path[PLACE_PATH_SIZE];
    double began = now();

    printf("\nSet-up\n");
    if (!open_store(app, KMS_OPEN_CREATE | KMS_OPEN_EXCLUSIVE, &app->store)) {
        return false;
    }
    printf("   store %s made, its root key from a passphrase in %.2f s\n", STORE_FILE,
           now() - began);
    if (!ok(kms_create_key(app->store, NULL, app->cmk_a)) ||
        !ok(kms_create_alias(app->store, ALIAS, app->cmk_a))) {
        return false;
    }
    printf("   CMK-A is %s, and %s points to it\n", app->cmk_a, ALIAS);

    place_file(&app->place, DATABASE_FILE, path);
    app->db = database_create(path);
    return app->db != NULL;
}

/* Manual rotation. The administrator is somebody else, with a handle of his own. */
static bool rotate(struct quickstart *app)
{
    kms_store *administrator = NULL;
    bool rotated;

    printf("\nManual rotation\n");
    if (!open_store(app, 0, &administrator)) {
        return false;
    }
    rotated = ok(kms_create_key(administrator, NULL, app->cmk_b)) &&
              ok(kms_update_alias(administrator, ALIAS, app->cmk_b));
    kms_close(administrator);
    if (rotated) {
        printf("   CMK-B is %s, and %s points to it now\n", app->cmk_b, ALIAS);
    }
    return rotated;
}

/* --- The application -------------------------------------------------------------------------- */

/* After every BATCH rows a transaction ends and another begins. */
static bool next_batch(struct database *db, int64_t id)
{
    return id % BATCH != 0 || (database_commit(db) && database_begin(db));
}

static bool add_customer(struct quickstart *app, int64_t id)
{
    struct customer customer;
    struct row row;

    generate_customer(id, &customer);
    return encrypt_customer(app->store, &customer, &row) && database_insert(app->db, &row) &&
           next_batch(app->db, id) && progress_step();
}

static bool add_customers(struct quickstart *app, uint64_t first, uint64_t last)
{
    progress_begin("encrypted and written", last - first + 1);
    if (!database_begin(app->db)) {
        return false;
    }
    for (uint64_t id = first; id <= last; id++) {
        if (!add_customer(app, (int64_t)id)) {
            return false;
        }
    }
    if (!database_commit(app->db)) {
        return false;
    }
    progress_end();
    return true;
}

static bool check_customer(kms_store *store, const struct row *row)
{
    struct customer expected;
    struct customer customer;

    generate_customer(row->id, &expected);
    if (!decrypt_customer(store, row, &customer)) {
        return false;
    }
    if (memcmp(&customer, &expected, sizeof customer) != 0 || !customer_is_valid(&customer)) {
        return fail("customer %lld is not what was written", (long long)row->id);
    }
    return progress_step();
}

static bool check_customers(struct quickstart *app, kms_store *store)
{
    struct row row = {.id = 0};
    uint64_t count = 0;
    enum next next;

    progress_begin("read, decrypted and compared", app->records * 2);
    for (; (next = database_next(app->db, row.id, &row)) == NEXT_ROW; count++) {
        if (!check_customer(store, &row)) {
            return false;
        }
    }
    if (next == NEXT_FAILED) {
        return false;
    }
    progress_end();
    return count == app->records * 2 || fail("customers are missing");
}

/* Whoever only decrypts may open the store for reading only. */
static bool read_back(struct quickstart *app)
{
    kms_store *reader = NULL;
    bool read = open_store(app, KMS_OPEN_READ_ONLY, &reader) && check_customers(app, reader);

    kms_close(reader);
    return read;
}

/* Does nothing to a row that is under the alias' key and its primary version already: so this can
 * be stopped and run again, and other programs may write meanwhile. */
static bool reencrypt_row(struct quickstart *app, const kms_key_info *current, struct row *row)
{
    struct customer customer;
    kms_blob_info info;

    if (!row_key(row, &info)) {
        return false;
    }
    if (strcmp(info.key_id, current->key_id) == 0 && info.key_version == current->primary_version) {
        return true;
    }
    return decrypt_customer(app->store, row, &customer) &&
           encrypt_customer(app->store, &customer, row) && database_update(app->db, row) &&
           progress_step();
}

static bool reencrypt(struct quickstart *app)
{
    kms_key_info current = {.version = KMS_KEY_INFO_VERSION};
    struct row row = {.id = 0};
    enum next next;

    printf("\nRe-encryption of what is old, %d rows a transaction\n", BATCH);
    progress_begin("re-encrypted", app->records);
    if (!ok(kms_describe_key(app->store, ALIAS, &current)) || !database_begin(app->db)) {
        return false;
    }
    while ((next = database_next(app->db, row.id, &row)) == NEXT_ROW) {
        if (!reencrypt_row(app, &current, &row) || !next_batch(app->db, row.id)) {
            return false;
        }
    }
    if (next == NEXT_FAILED || !database_commit(app->db)) {
        return false;
    }
    progress_end();
    return true;
}

/* --- What is where ---------------------------------------------------------------------------- */

static bool expect_under_b(struct quickstart *app, uint64_t expected)
{
    uint64_t rows;

    return show_tally(app, app->cmk_b, &rows) &&
           (rows == expected || fail("not as many rows are under CMK-B as should be"));
}

static bool verify_store(struct quickstart *app)
{
    kms_store_info info = {.version = KMS_STORE_INFO_VERSION};

    if (!ok(kms_verify(app->store)) || !ok(kms_get_store_info(app->store, &info))) {
        return false;
    }
    printf("   every record of the store is authentic and in its place, after %s changes\n",
           grouped(info.changes).text);
    printf("   keys in memory %s\n", info.memory_locked
                                         ? "are locked against swapping"
                                         : "could be swapped out: RLIMIT_MEMLOCK is too low");
    return true;
}

static bool check_again(struct quickstart *app)
{
    printf("\nVerification\n");
    return read_back(app) && verify_store(app);
}

static bool tell_story(struct quickstart *app)
{
    uint64_t records = app->records;

    return set_up(app) && add_customers(app, 1, records) && show_customer(app, 1) && rotate(app) &&
           add_customers(app, records + 1, records * 2) && read_back(app) &&
           expect_under_b(app, records) && reencrypt(app) && expect_under_b(app, records * 2) &&
           check_again(app);
}

/* --- From beginning to end -------------------------------------------------------------------- */

static bool run(struct quickstart *app)
{
    double began = now();
    bool done;

    printf("libkms %s: %s customers in an SQLite database, three fields of each encrypted\n"
           "in %s\n",
           kms_version(), grouped(app->records * 2).text, app->place.path);
    done = tell_story(app);
    kms_close(app->store);
    done = database_close(app->db) && done && look_for_plaintext(app);
    if (done) {
        printf("\nAll is well, in %.1f s.\n", now() - began);
    }
    return done;
}

int main(int argc, char **argv)
{
    struct options options = parse_options(argc, argv);
    struct quickstart app = {.records = options.records};
    bool done;

    if (options.print > 0) {
        print_customers(options.print);
        return EXIT_SUCCESS;
    }
    catch_interrupts();
    if (!place_open(&app.place, options.directory)) {
        return EXIT_FAILURE;
    }
    done = run(&app);
    if (options.keep) {
        printf("The files are in %s\n", app.place.path);
    } else {
        place_remove(&app.place);
        printf("The files are removed; make quickstart QUICKSTART_ARGS=--keep leaves them.\n");
    }
    place_close(&app.place);
    return done ? EXIT_SUCCESS : EXIT_FAILURE;
}
