/* The command line. */
#include "reencrypt_table.h"

#include <argp.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BATCH 500
#define BATCH_MAX 10000
#define UNUSED_HOURS 24
#define UNUSED_HOURS_MAX (10 * 366 * 24)

bool fail(const char *format, ...)
{
    va_list arguments;

    fflush(stdout);
    fputs(isatty(STDERR_FILENO) ? "\r\033[Kreencrypt_table: " : "reencrypt_table: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    return false;
}

bool ok(kms_status status)
{
    return status == KMS_OK || fail("%s (%s)", kms_error_message(), kms_status_name(status));
}

void complain_of(const struct page *page, size_t row, size_t column, const char *what)
{
    fail("%s.%s, row %" PRId64 ": %s", page->table->name, page->table->columns[column].name,
         page->ids[row], what);
}

/* --- Options ---------------------------------------------------------------------------------- */

enum task { REENCRYPT, DRY_RUN, RETIRE, ROTATE_VERSION, ROTATE_KEY };

struct options {
    enum task task;
    uint32_t batch;
    uint32_t unused_hours;
    const char *paths[3]; /* database, store, alias */
};

static const struct argp_option option_table[] = {
    {"dry-run", 'n', NULL, 0, "only count what is there, by column and key", 0},
    {"batch", 'b', "N", 0, "read N rows at a time, and write them in one transaction (500)", 0},
    {"retire", 'r', NULL, 0, "check, and disable the old versions and the key before", 0},
    {"unused-for", 'u', "HOURS", 0, "retire only what was not used for so long (24; 0: whenever)",
     0},
    {"rotate", 'R', "version|key", 0,
     "make a new version of the alias' key, or another key and move the alias to it", 0},
    {0},
};

static uint32_t parse_number(const char *text, uint32_t least, uint32_t most,
                             struct argp_state *state)
{
    char *end;
    unsigned long number = strtoul(text, &end, 10);

    if (end == text || *end != '\0' || text[0] == '-' || number < least || number > most) {
        argp_error(state, "%s is not a number from %u to %u", text, least, most);
    }
    return (uint32_t)number;
}

static void set_task(struct options *options, enum task task, struct argp_state *state)
{
    if (options->task != REENCRYPT) {
        argp_error(state, "one thing at a time");
    }
    options->task = task;
}

static void parse_rotation(const char *what, struct argp_state *state)
{
    if (strcmp(what, "version") == 0) {
        set_task(state->input, ROTATE_VERSION, state);
    } else if (strcmp(what, "key") == 0) {
        set_task(state->input, ROTATE_KEY, state);
    } else {
        argp_error(state, "--rotate takes version or key");
    }
}

static error_t parse_argument(const char *argument, struct argp_state *state)
{
    struct options *options = state->input;

    if (state->arg_num >= 3) {
        argp_usage(state);
    } else {
        options->paths[state->arg_num] = argument;
    }
    return 0;
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct options *options = state->input;

    switch (key) {
    case 'n':
        set_task(options, DRY_RUN, state);
        return 0;
    case 'b':
        options->batch = parse_number(argument, 1, BATCH_MAX, state);
        return 0;
    case 'r':
        set_task(options, RETIRE, state);
        return 0;
    case 'u':
        options->unused_hours = parse_number(argument, 0, UNUSED_HOURS_MAX, state);
        return 0;
    case 'R':
        parse_rotation(argument, state);
        return 0;
    case ARGP_KEY_ARG:
        return parse_argument(argument, state);
    case ARGP_KEY_END:
        if (state->arg_num < 3) {
            argp_usage(state);
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static struct options parse_options(int argc, char **argv)
{
    static const struct argp argp = {
        .options = option_table,
        .parser = parse_option,
        .args_doc = "DATABASE STORE ALIAS",
        .doc = "Re-encrypts what an SQLite database has under old keys of an alias. The store's "
               "passphrase is taken from the environment variable PASSPHRASE.\v"
               "Exit status: 0, nothing is left to do; 2, something is; 1, it failed."};
    struct options options = {.batch = BATCH, .unused_hours = UNUSED_HOURS};

    argp_parse(&argp, argc, argv, 0, NULL, &options);
    return options;
}

/* --- The tasks -------------------------------------------------------------------------------- */

static enum outcome dry_run(const struct work *work)
{
    struct survey survey;
    enum outcome outcome = FAILED;

    if (survey_take(work, (struct survey_options){0}, &survey)) {
        survey_print(&survey);
        outcome = survey_conclude(&survey);
    }
    survey_free(&survey);
    return outcome;
}

static enum outcome rotate_version(const struct work *work)
{
    kms_key_info key = {.version = KMS_KEY_INFO_VERSION};
    uint32_t number;

    if (!ok(kms_describe_key(work->store, work->alias, &key)) ||
        !ok(kms_create_key_version(work->store, key.key_id, &number))) {
        return FAILED;
    }
    printf("%s: version %u of key %s from now on\n", work->alias, number, key.key_id);
    return ALL_DONE;
}

static enum outcome rotate_key(const struct work *work)
{
    kms_create_key_options options = KMS_CREATE_KEY_OPTIONS_INIT;
    kms_key_info before = {.version = KMS_KEY_INFO_VERSION};
    char key_id[KMS_KEY_ID_SIZE];

    if (!ok(kms_describe_key(work->store, work->alias, &before))) {
        return FAILED;
    }
    options.usage = before.usage;
    options.suite = before.suite;
    if (!ok(kms_create_key(work->store, &options, key_id)) ||
        !ok(kms_update_alias(work->store, work->alias, key_id))) {
        return FAILED;
    }
    printf("%s: key %s from now on\n", work->alias, key_id);
    return ALL_DONE;
}

static enum outcome do_task(enum task task, const struct work *work)
{
    switch (task) {
    case DRY_RUN:
        return dry_run(work);
    case RETIRE:
        return retire(work);
    case ROTATE_VERSION:
        return rotate_version(work);
    case ROTATE_KEY:
        return rotate_key(work);
    default:
        return reencrypt(work);
    }
}

/* --- From beginning to end -------------------------------------------------------------------- */

/* kms_open() takes engine and root over, also when it fails. */
static bool open_store(const char *path, const char *passphrase, uint32_t flags, kms_store **store)
{
    kms_backend *engine = NULL;
    kms_root *root = NULL;

    if (!ok(kms_lmdb_backend(&engine, path, NULL))) {
        return false;
    }
    if (!ok(kms_root_passphrase(&root, passphrase, strlen(passphrase)))) {
        kms_backend_free(engine);
        return false;
    }
    return ok(kms_open(store, engine, root, flags, NULL));
}

int main(int argc, char **argv)
{
    struct options options = parse_options(argc, argv);
    const char *passphrase = getenv("PASSPHRASE");
    bool read_only = options.task == DRY_RUN;
    struct database db = {NULL};
    struct work work = {.db = &db,
                        .alias = options.paths[2],
                        .batch = options.batch,
                        .unused_hours = options.unused_hours};
    enum outcome outcome = FAILED;

    if (passphrase == NULL) {
        fail("the environment variable PASSPHRASE is not set");
        return FAILED;
    }
    if (database_open(&db, options.paths[0], read_only) &&
        open_store(options.paths[1], passphrase, read_only ? KMS_OPEN_READ_ONLY : 0, &work.store) &&
        has_columns(&work)) {
        outcome = do_task(options.task, &work);
    }
    kms_close(work.store);
    database_close(&db);
    return (int)outcome;
}
