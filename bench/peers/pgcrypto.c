/*
 * pgcrypto in a PostgreSQL of its own. In the server: one statement over many rows, and the time is that
 * for which the server's process had a processor. From outside: a statement for each row, by the wall.
 */
#include "fail.h"
#include "peer.h"

#ifdef PEERS_HAVE_LIBPQ

#include "report.h"
#include "server.h"

#include <arpa/inet.h>
#include <libpq-fe.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Both have the strength of 256 bits. */
#define PASSWORD "'c3a1f0b6e58d4f7792ab10cd5e6f38a4917d2be4660f8c53d1a9e07b42fd9518'"
#define RAW_KEY "'\\xc3a1f0b6e58d4f7792ab10cd5e6f38a4917d2be4660f8c53d1a9e07b42fd9518'::bytea"
#define STRONG "'cipher-algo=aes256, s2k-mode=1'"
/* By default a message's count is one of 32 from 65,536 to 253,952, drawn at random, on which the time to
 * decrypt it depends: this one is the nearest to their mean. */
#define MEAN "'s2k-count=147456'"

/* Each expression takes d; one that has FRESH in it gets random bytes of the row's own. */
#define FRESH "fresh_iv"
static const struct {
    const char *name, *encrypt, *decrypt;
    /* How what is decrypted was encrypted, where that matters; NULL: as above. */
    const char *sample;
} ways[] = {
    {"pgcrypto, pgp_sym, as by default", "pgp_sym_encrypt_bytea(d, " PASSWORD ")",
     "pgp_sym_decrypt_bytea(d, " PASSWORD ")", "pgp_sym_encrypt_bytea(d, " PASSWORD ", " MEAN ")"},
    {"pgcrypto, pgp_sym, aes256, s2k-mode=1", "pgp_sym_encrypt_bytea(d, " PASSWORD ", " STRONG ")",
     "pgp_sym_decrypt_bytea(d, " PASSWORD ")", NULL},
    {"pgcrypto, encrypt_iv, AES-256-CBC (no tag)",
     FRESH " || encrypt_iv(d, " RAW_KEY ", " FRESH ", 'aes-cbc')",
     "decrypt_iv(substr(d, 17), " RAW_KEY ", substr(d, 1, 16), 'aes-cbc')", NULL},
    {"PostgreSQL, no encryption", "'\\x00'::bytea || d", "substr(d, 2)", NULL},
};
#define WAYS (sizeof ways / sizeof ways[0])
#define ROWS_OF_A_WAY 5

typedef struct subject {
    char statement[16];
    const char *data;
    int len;
    /* Of the caller, freed with it; NULL: data belong to another subject. */
    char *owned;
} subject;

static PGconn *connection;
static clockid_t server_clock;
static subject subjects[WAYS * ROWS_OF_A_WAY];
static size_t count;

static PGresult *must_pg(PGresult *result, ExecStatusType wanted)
{
    if (PQresultStatus(result) != wanted)
        fail(PQerrorMessage(connection));
    return result;
}

static void execute(const char *sql, ExecStatusType wanted)
{
    PQclear(must_pg(PQexec(connection, sql), wanted));
}

static double server_ns(void *of)
{
    struct timespec now;

    (void)of;
    must(clock_gettime(server_clock, &now) == 0, "the clock of the server's process");
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* One statement for all rows. */
static void run_rows(void *of, size_t n)
{
    const subject *one = of;
    uint32_t rows = htonl((uint32_t)n);
    const char *const values[] = {one->data, (const char *)&rows};
    const int lengths[] = {one->len, sizeof rows}, binary[] = {1, 1};

    PQclear(must_pg(PQexecPrepared(connection, one->statement, 2, values, lengths, binary, 1),
                    PGRES_TUPLES_OK));
}

static PGresult *one_row(const subject *one)
{
    const char *const values[] = {one->data};
    const int lengths[] = {one->len}, binary[] = {1};
    PGresult *result = must_pg(
        PQexecPrepared(connection, one->statement, 1, values, lengths, binary, 1), PGRES_TUPLES_OK);

    must(PQntuples(result) == 1 && !PQgetisnull(result, 0, 0), "a row of the server");
    return result;
}

/* A statement for each row. */
static void run_statements(void *of, size_t n)
{
    for (size_t i = 0; i < n; i++)
        PQclear(one_row(of));
}

static subject *subject_new(const char *sql, const char *expression, const char *data, int len)
{
    const char *fresh = strstr(expression, FRESH) != NULL ? "gen_random_bytes(16)" : "NULL::bytea";
    subject *made = &subjects[count];
    char text[1024];

    *made = (subject){.data = data, .len = len};
    snprintf(made->statement, sizeof made->statement, "bench_%zu", count++);
    must(snprintf(text, sizeof text, sql, expression, fresh) < (int)sizeof text, "a statement");
    PQclear(must_pg(PQprepare(connection, made->statement, text, 0, NULL), PGRES_COMMAND_OK));
    return made;
}

/* The values come from a row that is not a constant, so that each row is computed. */
static subject *rows_of(const char *expression, const char *data, int len)
{
    return subject_new(
        "WITH one AS MATERIALIZED (SELECT $1::bytea AS d) SELECT sum(length(%s)) FROM "
        "one, (SELECT %s AS " FRESH " FROM generate_series(1, $2::int)) AS "
        "many",
        expression, data, len);
}

static subject *statement_of(const char *expression, const char *data, int len)
{
    return subject_new("SELECT %s FROM (SELECT $1::bytea AS d, %s AS " FRESH ") AS one", expression,
                       data, len);
}

/* What a statement gives for its data, which is to be freed. */
static char *result_of(const subject *of, int *len)
{
    PGresult *result = one_row(of);
    char *copy;

    *len = PQgetlength(result, 0, 0);
    copy = malloc((size_t)*len);
    must(copy != NULL, "memory for a row");
    memcpy(copy, PQgetvalue(result, 0, 0), (size_t)*len);
    PQclear(result);
    return copy;
}

/* Statements of one way, the first with what it encrypts and the second with what that gave. */
static void make_pair(size_t way, size_t len, subject *pair[2])
{
    const char *as = ways[way].sample != NULL ? ways[way].sample : ways[way].encrypt;
    char *plain = malloc(len), *sealed, *opened;
    int sealed_len, opened_len;

    must(plain != NULL, "memory for a message");
    randombytes_buf(plain, len);
    pair[0] = statement_of(ways[way].encrypt, plain, (int)len);
    pair[0]->owned = plain;
    sealed = result_of(statement_of(as, plain, (int)len), &sealed_len);
    pair[1] = statement_of(ways[way].decrypt, sealed, sealed_len);
    pair[1]->owned = sealed;
    opened = result_of(pair[1], &opened_len);
    must((size_t)opened_len == len && memcmp(opened, plain, len) == 0,
         "the row that was encrypted");
    free(opened);
}

static void add(group *encrypt, group *decrypt, size_t len)
{
    for (size_t i = 0; i < WAYS; i++) {
        subject *pair[2], *seal, *open;

        make_pair(i, len, pair);
        seal = rows_of(ways[i].encrypt, pair[0]->data, pair[0]->len);
        open = rows_of(ways[i].decrypt, pair[1]->data, pair[1]->len);
        group_add(encrypt, run_rows, seal, len, "%s", ways[i].name)->clock_ns = server_ns;
        group_add(decrypt, run_rows, open, len, "%s", ways[i].name)->clock_ns = server_ns;
    }
}

static void add_waiting(group *encrypt, group *decrypt, size_t len)
{
    for (size_t i = 0; i < WAYS; i++) {
        subject *pair[2];

        make_pair(i, len, pair);
        (void)group_add(encrypt, run_statements, pair[0], len, "%s", ways[i].name);
        (void)group_add(decrypt, run_statements, pair[1], len, "%s", ways[i].name);
    }
}

static void drop(void)
{
    execute("DEALLOCATE ALL", PGRES_COMMAND_OK);
    while (count > 0)
        free(subjects[--count].owned);
}

/* The server takes a moment until it answers. */
static bool connect_to_server(void)
{
    const struct timespec pause = {.tv_nsec = 50000000};

    for (int i = 0; i < 400; i++) {
        connection = PQconnectdb(server_connection());
        if (PQstatus(connection) == CONNECTION_OK)
            return true;
        PQfinish(connection);
        (void)nanosleep(&pause, NULL);
    }
    return false;
}

static const char *begin(void)
{
    const char *why = server_start();

    if (why != NULL)
        return why;
    if (!connect_to_server()) {
        server_print_log();
        return "the server does not answer: see what it said";
    }
    must(clock_getcpuclockid(PQbackendPID(connection), &server_clock) == 0,
         "the clock of the server's process");
    /* So that no row is computed once for all. */
    execute("SET plan_cache_mode = force_generic_plan", PGRES_COMMAND_OK);
    execute("CREATE EXTENSION pgcrypto", PGRES_COMMAND_OK);
    report_note("PostgreSQL", "%s", PQparameterStatus(connection, "server_version"));
    return NULL;
}

const peer peer_pgcrypto = {
    .name = "pgcrypto", .begin = begin, .add = add, .add_waiting = add_waiting, .drop = drop};

#else

static const char *begin(void)
{
    return "built without libpq's headers (Debian: apt-get install libpq-dev postgresql)";
}

const peer peer_pgcrypto = {.name = "pgcrypto", .begin = begin};

#endif
