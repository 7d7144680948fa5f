/*
 * Automatic rotation: ten years of an application whose key rotates by itself once a year.
 *
 *   PASSPHRASE='...' automatic_rotation NEW-STORE-FILE
 *
 * Nobody calls anything to rotate, and there is no daemon: the first kms_encrypt() that meets a key
 * whose time has come makes the new version. The ten years pass in a moment, because the store is
 * opened with a clock of this program's own. A real program leaves that out.
 */
#include <kms/kms.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ALIAS "alias/MyAppKey"
#define ROTATION_DAYS 365
#define YEARS 10
#define MONTHS 12
#define RECORDS ((size_t)YEARS * MONTHS)
#define PLAIN_MAX 64

#define DAY_MS (24 * INT64_C(3600000))
/* 2026-01-01. */
#define START_MS INT64_C(1767225600000)

struct record {
    char plain[PLAIN_MAX];
    size_t blob_len;
    unsigned char blob[KMS_CIPHERTEXT_SIZE(PLAIN_MAX)];
};

static bool ok(kms_status status)
{
    if (status != KMS_OK) {
        fprintf(stderr, "%s: %s\n", kms_status_name(status), kms_error_message());
    }
    return status == KMS_OK;
}

/* The clock that stands where the program puts it. */
static int64_t tell_time(void *data)
{
    return *(const int64_t *)data;
}

static const char *date(int64_t ms, char text[11])
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm utc;

    if (gmtime_r(&seconds, &utc) == NULL || strftime(text, 11, "%Y-%m-%d", &utc) == 0) {
        snprintf(text, 11, "?");
    }
    return text;
}

/* The application: it knows the alias, and nothing of keys, versions and rotation. */
static bool encrypt(kms_store *store, struct record *record)
{
    return ok(kms_encrypt(store, ALIAS, NULL, record->plain, strlen(record->plain), record->blob,
                          sizeof record->blob, &record->blob_len));
}

static bool decrypt(kms_store *store, const struct record *record, char plain[PLAIN_MAX])
{
    size_t len;

    if (!ok(kms_decrypt(store, NULL, record->blob, record->blob_len, plain, PLAIN_MAX - 1, &len))) {
        return false;
    }
    plain[len] = '\0';
    return true;
}

/* The administrator: once, when the key is made. kms_update_rotation_policy() is for keys that are
 * there already. */
static bool set_up(kms_store *store)
{
    kms_create_key_options options = KMS_CREATE_KEY_OPTIONS_INIT;
    char key_id[KMS_KEY_ID_SIZE];

    options.rotation_days = ROTATION_DAYS;
    if (!ok(kms_ensure_alias(store, ALIAS, &options, key_id))) {
        return false;
    }
    printf("%s is key %s, which rotates every %d days\n", ALIAS, key_id, ROTATION_DAYS);
    return true;
}

/* A record a month. */
static bool live_a_year(kms_store *store, int64_t *now_ms, struct record *records, int year)
{
    for (int month = 0; month < MONTHS; month++) {
        struct record *record = &records[year * MONTHS + month];
        char day[11];

        *now_ms = START_MS + (year * INT64_C(365) + month * 30) * DAY_MS;
        snprintf(record->plain, sizeof record->plain, "the medical record of %s",
                 date(*now_ms, day));
        if (!encrypt(store, record)) {
            return false;
        }
    }
    return true;
}

/* How many versions the records so far were opened with; 0: one did not come back. */
static unsigned open_all(kms_store *store, const struct record *records, size_t count)
{
    unsigned newest = 0, versions = 0;

    for (size_t i = 0; i < count; i++) {
        char plain[PLAIN_MAX];
        kms_blob_info blob;

        if (!decrypt(store, &records[i], plain) ||
            !ok(kms_inspect_blob(records[i].blob, records[i].blob_len, &blob))) {
            return 0;
        }
        if (strcmp(plain, records[i].plain) != 0) {
            fprintf(stderr, "record %zu came back as something else\n", i);
            return 0;
        }
        versions += blob.key_version > newest;
        newest = blob.key_version > newest ? blob.key_version : newest;
    }
    return versions;
}

static bool report(kms_store *store, const struct record *records, int year)
{
    kms_key_info key = {.version = KMS_KEY_INFO_VERSION};
    size_t count = (size_t)(year + 1) * MONTHS;
    unsigned versions = open_all(store, records, count);
    char from[11], next[11];

    if (versions == 0 || !ok(kms_describe_key(store, ALIAS, &key))) {
        return false;
    }
    printf("%s: version %u encrypts, until %s; %zu records open, of %u versions\n",
           date(START_MS + year * INT64_C(365) * DAY_MS, from), key.primary_version,
           date(key.next_rotation_ms, next), count, versions);
    return true;
}

static bool live(kms_store *store, int64_t *now_ms)
{
    static struct record records[RECORDS];

    for (int year = 0; year < YEARS; year++) {
        if (!live_a_year(store, now_ms, records, year) || !report(store, records, year)) {
            return false;
        }
    }
    return true;
}

/* The application was not used for five years: one new version, not five. */
static bool come_back(kms_store *store, int64_t *now_ms)
{
    kms_key_info key = {.version = KMS_KEY_INFO_VERSION};
    struct record record = {.plain = "a late one"};
    char day[11];

    *now_ms += 5 * INT64_C(365) * DAY_MS;
    if (!encrypt(store, &record) || !ok(kms_describe_key(store, ALIAS, &key))) {
        return false;
    }
    printf("%s: after five years without use, version %u encrypts\n", date(*now_ms, day),
           key.primary_version);
    return true;
}

/* kms_open() takes engine and root over, also when it fails. */
static bool open_store(const char *path, const char *passphrase, const kms_clock *clock,
                       kms_store **store)
{
    kms_open_options options = KMS_OPEN_OPTIONS_INIT;
    kms_backend *engine = NULL;
    kms_root *root = NULL;

    options.clock = clock;
    if (!ok(kms_root_passphrase(&root, passphrase, strlen(passphrase)))) {
        return false;
    }
    if (!ok(kms_lmdb_backend(&engine, path, NULL))) {
        kms_root_free(root);
        return false;
    }
    return ok(kms_open(store, engine, root, KMS_OPEN_CREATE | KMS_OPEN_EXCLUSIVE, &options));
}

int main(int argc, char **argv)
{
    const char *passphrase = getenv("PASSPHRASE");
    int64_t now_ms = START_MS;
    kms_clock clock = {KMS_CLOCK_VERSION, &now_ms, tell_time};
    kms_store *store = NULL;
    bool done;

    if (argc != 2 || passphrase == NULL) {
        fprintf(stderr, "usage: PASSPHRASE='...' %s NEW-STORE-FILE\n", argv[0]);
        return 2;
    }
    done = open_store(argv[1], passphrase, &clock, &store) && set_up(store) &&
           live(store, &now_ms) && come_back(store, &now_ms);
    kms_close(store);
    return done ? EXIT_SUCCESS : EXIT_FAILURE;
}
