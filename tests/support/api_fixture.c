#include "api_fixture.h"

#include "base/id.h"
#include "domain/version_record.h"

#include <file_backend/file_backend.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- running -------------------------------------------------------------------------------- */

int fixture_main(const char *name, const fixture_test *tests, size_t count, int timeout)
{
    Suite *suite = suite_create(name);
    TCase *tcase = tcase_create(name);
    SRunner *runner;
    int failed;

    setvbuf(stdout, NULL, _IOLBF, 0);
    tcase_set_timeout(tcase, timeout);
    for (size_t i = 0; i < count; i++) {
        if (tests[i].loops > 0)
            tcase_add_loop_test(tcase, tests[i].test, 0, tests[i].loops);
        else
            tcase_add_test(tcase, tests[i].test);
    }
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

void fixture_skip(const char *what, const char *why)
{
    printf("SKIP: %s: %s\n", what, why);
    fflush(stdout);
}

bool fixture_is_watched(void)
{
    return getenv("KMS_TEST_UNDER") != NULL && getenv("KMS_TEST_UNDER")[0] != '\0';
}

/* --- an engine in memory that is lent, and not ended by its handles -------------------------- */

typedef struct loan {
    kms_backend base;
    kms_backend_ops ops;
    kms_backend *inner;
    place *owner;
} loan;

static kms_status loan_open(kms_backend *backend, const kms_backend_how *how)
{
    kms_backend *inner = ((loan *)backend)->inner;

    return inner->ops->open(inner, how);
}

static kms_status loan_create(kms_backend *backend, const kms_backend_how *how,
                              const kms_record *records, size_t count)
{
    kms_backend *inner = ((loan *)backend)->inner;

    return inner->ops->create(inner, how, records, count);
}

static kms_status loan_begin(kms_backend *backend, unsigned mode, kms_txn **txn,
                             kms_revision *revision)
{
    kms_backend *inner = ((loan *)backend)->inner;

    return inner->ops->begin(inner, mode, txn, revision);
}

static kms_status loan_hint(kms_backend *backend, kms_revision *revision, uint64_t *age_ns)
{
    kms_backend *inner = ((loan *)backend)->inner;

    return inner->ops->hint(inner, revision, age_ns);
}

static void loan_close(kms_backend *backend)
{
    loan *l = (loan *)backend;

    l->owner->closed++;
    if (l->inner != l->owner->memory)
        l->inner->ops->close(l->inner);
    free(l);
}

static kms_backend *lend(place *p, kms_backend *inner)
{
    loan *l = calloc(1, sizeof *l);

    ck_assert_ptr_nonnull(l);
    l->ops = *inner->ops;
    l->ops.open = loan_open;
    l->ops.create = loan_create;
    l->ops.begin = loan_begin;
    l->ops.hint = loan_hint;
    l->ops.close = loan_close;
    l->base.ops = &l->ops;
    l->inner = inner;
    l->owner = p;
    p->made++;
    return &l->base;
}

/* --- places --------------------------------------------------------------------------------- */

static const char *engine_name(void)
{
    const char *name = getenv("KMS_TEST_BACKEND");

    return name != NULL && name[0] != '\0' ? name : "memory";
}

void place_init(place *p)
{
    const char *folder = getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp";

    memset(p, 0, sizeof *p);
    engine_control_init(&p->control);
    if (strcmp(engine_name(), "memory") == 0) {
        fixture_ok(kms_memory_backend(&p->memory));
        return;
    }
    ck_assert_int_lt(snprintf(p->path, sizeof p->path, "%s/kms-place-XXXXXX", folder),
                     (int)sizeof p->path - 10);
    ck_assert_ptr_nonnull(mkdtemp(p->path));
    strcat(p->path, "/store");
}

static void remove_files(const place *p)
{
    static const char *const endings[] = {"", "-lock", "-guard", "-new"};
    char name[sizeof p->path + 16];

    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        snprintf(name, sizeof name, "%s%s", p->path, endings[i]);
        (void)unlink(name);
    }
    snprintf(name, sizeof name, "%s", p->path);
    *strrchr(name, '/') = '\0';
    (void)rmdir(name);
}

void place_free(place *p)
{
    ck_assert_uint_eq(p->made, p->closed);
    ck_assert_int_eq(atomic_load(&p->control.open_txns), 0);
    kms_backend_free(p->memory);
    if (p->memory == NULL)
        remove_files(p);
}

static kms_backend *inner_engine(place *p)
{
    kms_backend *inner = p->memory;

    if (strcmp(engine_name(), "lmdb") == 0)
        fixture_ok(kms_lmdb_backend(&inner, p->path, NULL));
    else if (strcmp(engine_name(), "file") == 0)
        fixture_ok(example_file_backend(&inner, p->path));
    ck_assert_msg(inner != NULL, "KMS_TEST_BACKEND=%s is no engine", engine_name());
    return inner;
}

kms_backend *place_bare_engine(place *p)
{
    return lend(p, inner_engine(p));
}

kms_backend *place_engine(place *p)
{
    kms_backend *engine;

    fixture_ok(engine_wrap(&engine, place_bare_engine(p), &p->control));
    return engine;
}

kms_root *fixture_root(uint8_t fill)
{
    uint8_t key[KMS_ROOT_KEY_SIZE];
    kms_root *root;

    memset(key, fill, sizeof key);
    fixture_ok(kms_root_raw(&root, key, sizeof key));
    return root;
}

kms_status place_try_open(place *p, kms_store **store, uint32_t flags,
                          const kms_open_options *options)
{
    return kms_open(store, place_engine(p), fixture_root(FIXTURE_ROOT_FILL), flags, options);
}

kms_store *place_open(place *p)
{
    kms_store *store = NULL;

    fixture_ok(place_try_open(p, &store, KMS_OPEN_CREATE, NULL));
    return store;
}

/* --- records behind the store's back -------------------------------------------------------- */

static kms_txn *begin_raw(place *p, unsigned mode, kms_backend **engine)
{
    const kms_backend_how how = {
        .version = 1, .busy_timeout_ms = 5000, .probe = {{NULL, 0}, {NULL, 0}}};
    kms_revision revision;
    kms_txn *txn;

    *engine = inner_engine(p);
    if (*engine != p->memory)
        fixture_ok((*engine)->ops->open(*engine, &how));
    fixture_ok((*engine)->ops->begin(*engine, mode, &txn, &revision));
    return txn;
}

static void end_raw(place *p, kms_backend *engine, kms_txn *txn)
{
    fixture_ok(engine->ops->commit(txn));
    if (engine != p->memory)
        engine->ops->close(engine);
}

static void keep(stolen *kept, const kms_record *record)
{
    kept->key_len = record->key.len;
    memcpy(kept->key, record->key.data, record->key.len);
    kept->value_len = record->value.len;
    kept->value = malloc(record->value.len + 1);
    ck_assert_ptr_nonnull(kept->value);
    if (record->value.len > 0)
        memcpy(kept->value, record->value.data, record->value.len);
}

stolen_set place_steal(place *p)
{
    stolen_set set = {NULL, 0};
    uint8_t from[KMS_RECORD_KEY_MAX];
    kms_record record;
    size_t from_len = 0, count;
    kms_backend *engine;
    kms_txn *txn = begin_raw(p, KMS_TXN_READ, &engine);

    for (;;) {
        fixture_ok(engine->ops->scan(txn, (kms_slice){from, from_len}, 1, &record, &count));
        if (count == 0)
            break;
        set.records = realloc(set.records, (set.count + 1) * sizeof *set.records);
        ck_assert_ptr_nonnull(set.records);
        keep(&set.records[set.count], &record);
        from_len = set.records[set.count].key_len;
        memcpy(from, set.records[set.count].key, from_len);
        /* The least key behind it that an engine takes; no test's longest key ends in 0xff. */
        if (from_len < KMS_RECORD_KEY_MAX)
            from[from_len++] = 0;
        else
            from[from_len - 1]++;
        set.count++;
    }
    end_raw(p, engine, txn);
    return set;
}

void stolen_free(stolen_set *set)
{
    for (size_t i = 0; i < set->count; i++)
        free(set->records[i].value);
    free(set->records);
    *set = (stolen_set){NULL, 0};
}

const stolen *stolen_find(const stolen_set *set, char tag)
{
    for (size_t i = 0; i < set->count; i++)
        if (set->records[i].key_len > 0 && set->records[i].key[0] == (uint8_t)tag)
            return &set->records[i];
    ck_abort_msg("no record of tag %c", tag);
    return NULL;
}

static void plant_in(kms_backend *engine, kms_txn *txn, const void *key, size_t key_len,
                     const void *value, size_t value_len)
{
    if (value == NULL)
        fixture_ok(engine->ops->del(txn, (kms_slice){key, key_len}));
    else
        fixture_ok(engine->ops->put(txn, (kms_slice){key, key_len}, (kms_slice){value, value_len}));
}

void place_plant(place *p, const void *key, size_t key_len, const void *value, size_t value_len)
{
    kms_backend *engine;
    kms_txn *txn = begin_raw(p, KMS_TXN_WRITE, &engine);

    plant_in(engine, txn, key, key_len, value, value_len);
    end_raw(p, engine, txn);
}

void place_plant_record(place *p, const stolen *record)
{
    place_plant(p, record->key, record->key_len, record->value, record->value_len);
}

void place_restore(place *p, const stolen_set *set)
{
    stolen_set now = place_steal(p);
    kms_backend *engine;
    kms_txn *txn = begin_raw(p, KMS_TXN_WRITE, &engine);

    for (size_t i = 0; i < now.count; i++)
        plant_in(engine, txn, now.records[i].key, now.records[i].key_len, NULL, 0);
    for (size_t i = 0; i < set->count; i++)
        plant_in(engine, txn, set->records[i].key, set->records[i].key_len, set->records[i].value,
                 set->records[i].value_len);
    end_raw(p, engine, txn);
    stolen_free(&now);
}

void place_create_raw(place *p, const kms_record *records, size_t count)
{
    const kms_backend_how how = {
        .version = 1, .busy_timeout_ms = 5000, .probe = {{NULL, 0}, {NULL, 0}}};
    kms_backend *engine = inner_engine(p);

    fixture_ok(engine->ops->create(engine, &how, records, count));
    if (engine != p->memory)
        engine->ops->close(engine);
}

/* --- short forms ---------------------------------------------------------------------------- */

kms_store *fixture_memory_store(void)
{
    kms_store *store = NULL;

    fixture_ok(kms_open_memory(&store));
    return store;
}

void fixture_create_key(kms_store *store, char key_id[KMS_KEY_ID_SIZE])
{
    fixture_ok(kms_create_key(store, NULL, key_id));
}

void fixture_create_key_of(kms_store *store, kms_suite suite, char key_id[KMS_KEY_ID_SIZE])
{
    kms_create_key_options options = KMS_CREATE_KEY_OPTIONS_INIT;

    options.suite = suite;
    fixture_ok(kms_create_key(store, &options, key_id));
}

uint32_t fixture_rotate(kms_store *store, const char *key_id)
{
    uint32_t number = 0;

    fixture_ok(kms_create_key_version(store, key_id, &number));
    return number;
}

uint64_t fixture_changes(kms_store *store)
{
    kms_store_info info = {.version = KMS_STORE_INFO_VERSION};

    fixture_ok(kms_get_store_info(store, &info));
    return info.changes;
}

bool fixture_has_suite_2(kms_store *store)
{
    kms_store_info info = {.version = KMS_STORE_INFO_VERSION};

    fixture_ok(kms_get_store_info(store, &info));
    return info.has_aes_256_gcm;
}

kms_key_info fixture_describe(kms_store *store, const char *keyref)
{
    kms_key_info info = {.version = KMS_KEY_INFO_VERSION};

    fixture_ok(kms_describe_key(store, keyref, &info));
    return info;
}

kms_alias_info fixture_describe_alias(kms_store *store, const char *alias)
{
    kms_alias_info info;

    fixture_ok(kms_describe_alias(store, alias, &info));
    return info;
}

size_t fixture_encrypt(kms_store *store, const char *keyref, const char *text, uint8_t *blob,
                       size_t blob_size)
{
    size_t len = 0;

    fixture_ok(kms_encrypt(store, keyref, NULL, text, strlen(text) + 1, blob, blob_size, &len));
    ck_assert_uint_eq(len, KMS_CIPHERTEXT_SIZE(strlen(text) + 1));
    return len;
}

void fixture_opens_as(kms_store *store, const uint8_t *blob, size_t blob_len, const char *text)
{
    char plain[256];
    size_t len = 0;

    fixture_ok(kms_decrypt(store, NULL, blob, blob_len, plain, sizeof plain, &len));
    ck_assert_uint_eq(len, strlen(text) + 1);
    ck_assert_str_eq(plain, text);
}

/* --- states that no public call leads to ---------------------------------------------------- */

typedef struct new_state {
    uint8_t id[KMS__ID_SIZE];
    /* 0: that of the key. */
    uint32_t version;
    unsigned state;
} new_state;

/* The date of expiry stands in two records. */
static kms_status set_expiry(kms__txn *txn, kms__key *key, int64_t expires_ms)
{
    kms__version_extra extra;
    kms_status st;

    if (key->expires_ms == expires_ms)
        return KMS_OK;
    key->expires_ms = expires_ms;
    st = kms__version_extra_load(txn, key, key->primary, &extra);
    extra.expires_ms = expires_ms;
    return st == KMS_OK ? kms__version_extra_save(txn, key, key->primary, &extra) : st;
}

static kms_status set_key_state(kms__txn *txn, kms__key *key, unsigned state)
{
    key->deletion_ms = state == KMS_KEY_PENDING_DELETION ? INT64_C(1) << 50 : 0;
    if (state != KMS_KEY_PENDING_DELETION && state != KMS_KEY_PENDING_IMPORT)
        key->base = (kms_key_state)state;
    return set_expiry(txn, key, state == KMS_KEY_PENDING_IMPORT ? 1 : 0);
}

static kms_status set_state(kms__txn *txn, void *argument)
{
    const new_state *wanted = argument;
    kms__key key;
    kms_status st = kms__key_load(txn, wanted->id, &key, NULL);

    if (st != KMS_OK)
        return st;
    if (wanted->version == 0)
        st = set_key_state(txn, &key, wanted->state);
    else
        key.versions[wanted->version - 1].state = (kms_key_version_state)wanted->state;
    if (st == KMS_OK)
        st = kms__key_save(txn, &key);
    kms__key_clear(&key);
    return st;
}

static void change_state(kms_store *store, const char *key_id, uint32_t version, unsigned state)
{
    new_state wanted = {.version = version, .state = state};

    ck_assert(kms__id_parse(key_id, wanted.id));
    fixture_ok(kms__store_write(store, set_state, &wanted));
}

void fixture_set_key_state(kms_store *store, const char *key_id, kms_key_state state)
{
    change_state(store, key_id, 0, (unsigned)state);
}

void fixture_set_version_state(kms_store *store, const char *key_id, uint32_t number,
                               kms_key_version_state state)
{
    change_state(store, key_id, number, (unsigned)state);
}
