/*
 * Several processes change and use one LMDB store at once, and one of them is killed on its way.
 * Afterwards the store is whole, every change that was acknowledged is in it and no other, and every
 * blob that was ever made opens.
 *
 * Each process keeps a journal in memory that outlives it: what it is about to do, and then what
 * was acknowledged. Only the change that a killed process was about to make may be there or not.
 */
#include "support/lmdb_trial.h"

#include <kms/kms.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define WORKERS 4
#define KEYS_MAX 1200
#define ALIASES 6
#define CONTENDED 64
#define BLOBS_MAX 4000
#define PLAIN 16

#define SHARED_ALIAS "alias/shared"
#define SHARED_KEY_ALIAS "alias/shared-key"

typedef struct key_note {
    char id[KMS_KEY_ID_SIZE];
    uint32_t versions;
    bool disabled;
    /* The shared alias was moved to it: others use it, so it stays enabled. */
    bool is_shared;
} key_note;

typedef struct blob_note {
    uint8_t plain[PLAIN];
    uint8_t bytes[KMS_CIPHERTEXT_SIZE(PLAIN)];
} blob_note;

typedef enum intent { NONE, NEW_KEY, NEW_VERSION, SHARED_VERSION, ALIAS, STATE, SHARE, CONTEND } intent;

#define NO_KEY (-1)

typedef struct journal {
    /* What was begun and not yet acknowledged, and of which key or alias. */
    _Atomic intent about_to;
    int about;
    int about_key;

    unsigned long changes;
    key_note keys[KEYS_MAX];
    int key_count;
    /* The key that each alias of the process points to, or NO_KEY. */
    int aliases[ALIASES];
    int last_shared;
    /* The key that it made each contended alias with, or NO_KEY. */
    int contended[CONTENDED];
    unsigned long shared_versions;
    uint8_t had_version[KMS_KEY_VERSIONS_MAX + 1];
    blob_note blobs[BLOBS_MAX];
    int blob_count;
    _Atomic unsigned long operations;
} journal;

typedef struct worker {
    journal *journal;
    kms_store *store;
    const char *path;
    unsigned number;
    unsigned long operations;
    uint64_t random;
    char shared_key[KMS_KEY_ID_SIZE];
} worker;

static kms_store *open_store(const char *path)
{
    static const uint8_t root_key[KMS_ROOT_KEY_SIZE] = {1};
    kms_backend *engine;
    kms_root *root;
    kms_store *store;

    trial_must(kms_lmdb_backend(&engine, path, NULL) == KMS_OK &&
               kms_root_raw(&root, root_key, sizeof root_key) == KMS_OK &&
               kms_open(&store, engine, root, KMS_OPEN_CREATE, NULL) == KMS_OK);
    return store;
}

static unsigned draw(worker *w, unsigned below)
{
    w->random = w->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(w->random >> 33) % below;
}

#define must_be_ok(call) trial_must((call) == KMS_OK)

/* --- What a worker does ----------------------------------------------------------------------- */

static void begin(worker *w, intent what, int about, int about_key)
{
    w->journal->about = about;
    w->journal->about_key = about_key;
    atomic_store(&w->journal->about_to, what);
}

static void acknowledged(worker *w)
{
    w->journal->changes++;
    atomic_store(&w->journal->about_to, NONE);
}

static const char *alias_name(unsigned worker_number, int alias)
{
    static char name[64];

    snprintf(name, sizeof name, "alias/of-%u/%d", worker_number, alias);
    return name;
}

static const char *contended_name(int number)
{
    static char name[64];

    snprintf(name, sizeof name, "alias/contended_%d", number);
    return name;
}

static int create_key(worker *w)
{
    journal *j = w->journal;
    key_note *key = &j->keys[j->key_count];

    begin(w, NEW_KEY, j->key_count, NO_KEY);
    must_be_ok(kms_create_key(w->store, NULL, key->id));
    key->versions = 1;
    j->key_count++;
    acknowledged(w);
    return j->key_count - 1;
}

static void create_version(worker *w)
{
    int at = (int)draw(w, (unsigned)w->journal->key_count);
    key_note *key = &w->journal->keys[at];
    uint32_t number;

    if (key->disabled)
        return;
    begin(w, NEW_VERSION, at, NO_KEY);
    must_be_ok(kms_create_key_version(w->store, key->id, &number));
    trial_must(number == key->versions + 1);
    key->versions = number;
    acknowledged(w);
}

/* All processes rotate this one, and each gets numbers of its own. */
static void create_shared_version(worker *w)
{
    uint32_t number;
    kms_status st;

    begin(w, SHARED_VERSION, 0, NO_KEY);
    st = kms_create_key_version(w->store, w->shared_key, &number);
    if (st == KMS_ERR_LIMIT_EXCEEDED) {
        atomic_store(&w->journal->about_to, NONE);
        return;
    }
    must_be_ok(st);
    w->journal->had_version[number]++;
    w->journal->shared_versions++;
    acknowledged(w);
}

static void change_alias(worker *w)
{
    journal *j = w->journal;
    int alias = (int)draw(w, ALIASES), key = (int)draw(w, (unsigned)j->key_count);
    const char *name = alias_name(w->number, alias);
    int target = j->aliases[alias];

    if (target == key)
        return;
    if (target != NO_KEY && draw(w, 4) == 0)
        key = NO_KEY;
    begin(w, ALIAS, alias, key);
    if (target == NO_KEY)
        must_be_ok(kms_create_alias(w->store, name, j->keys[key].id));
    else if (key == NO_KEY)
        must_be_ok(kms_delete_alias(w->store, name));
    else
        must_be_ok(kms_update_alias(w->store, name, j->keys[key].id));
    j->aliases[alias] = key;
    acknowledged(w);
}

static void change_state(worker *w)
{
    int at = (int)draw(w, (unsigned)w->journal->key_count);
    key_note *key = &w->journal->keys[at];

    if (key->is_shared)
        return;
    begin(w, STATE, at, NO_KEY);
    must_be_ok(key->disabled ? kms_enable_key(w->store, key->id)
                             : kms_disable_key(w->store, key->id));
    key->disabled = !key->disabled;
    acknowledged(w);
}

/* To a new key each time, so that every move is a change. */
static void share_a_key(worker *w)
{
    int at;

    if (w->journal->key_count == KEYS_MAX)
        return;
    at = create_key(w);
    w->journal->keys[at].is_shared = true;
    begin(w, SHARE, at, NO_KEY);
    must_be_ok(kms_update_alias(w->store, SHARED_ALIAS, w->journal->keys[at].id));
    w->journal->last_shared = at;
    acknowledged(w);
}

/* The first who comes makes it. */
static void contend(worker *w)
{
    int number = (int)draw(w, CONTENDED), key = (int)draw(w, (unsigned)w->journal->key_count);
    kms_status st;

    begin(w, CONTEND, number, key);
    st = kms_create_alias(w->store, contended_name(number), w->journal->keys[key].id);
    if (st == KMS_ERR_ALREADY_EXISTS) {
        atomic_store(&w->journal->about_to, NONE);
        return;
    }
    must_be_ok(st);
    w->journal->contended[number] = key;
    acknowledged(w);
}

static void keep_blob(worker *w, const char *keyref, const char *expected_key)
{
    journal *j = w->journal;
    blob_note *blob = &j->blobs[j->blob_count];
    kms_blob_info info;
    size_t len;

    if (j->blob_count == BLOBS_MAX)
        return;
    for (size_t i = 0; i < PLAIN; i++)
        blob->plain[i] = (uint8_t)draw(w, 256);
    must_be_ok(kms_encrypt(w->store, keyref, NULL, blob->plain, PLAIN, blob->bytes,
                           sizeof blob->bytes, &len));
    must_be_ok(kms_inspect_blob(blob->bytes, sizeof blob->bytes, &info));
    trial_must(expected_key == NULL || strcmp(info.key_id, expected_key) == 0);
    j->blob_count++;
}

static void encrypt(worker *w)
{
    journal *j = w->journal;
    int alias = (int)draw(w, ALIASES);
    int target = j->aliases[alias];

    switch (draw(w, 3)) {
    case 0:
        keep_blob(w, SHARED_ALIAS, NULL);
        break;
    case 1:
        keep_blob(w, SHARED_KEY_ALIAS, w->shared_key);
        break;
    default:
        if (target != NO_KEY && !j->keys[target].disabled)
            keep_blob(w, alias_name(w->number, alias), j->keys[target].id);
    }
}

static const key_note *own_key(const journal *j, const char *id)
{
    for (int i = 0; i < j->key_count; i++)
        if (strcmp(j->keys[i].id, id) == 0)
            return &j->keys[i];
    return NULL;
}

static kms_status decrypt_blob(kms_store *store, const blob_note *blob, kms_key_used *used)
{
    uint8_t plain[PLAIN];
    size_t len;
    kms_status st = kms_decrypt_expecting(store, NULL, NULL, blob->bytes, sizeof blob->bytes, plain,
                                          sizeof plain, &len, used);

    if (st == KMS_OK && (len != PLAIN || memcmp(plain, blob->plain, PLAIN) != 0))
        return kms_set_error(KMS_ERR_CORRUPT, "another plaintext");
    return st;
}

static void decrypt(worker *w)
{
    journal *j = w->journal;
    const blob_note *blob;
    const key_note *key;
    kms_blob_info info;
    kms_key_used used;

    if (j->blob_count == 0)
        return;
    blob = &j->blobs[draw(w, (unsigned)j->blob_count)];
    must_be_ok(kms_inspect_blob(blob->bytes, sizeof blob->bytes, &info));
    key = own_key(j, info.key_id);
    trial_must(decrypt_blob(w->store, blob, &used) ==
               (key != NULL && key->disabled ? KMS_ERR_DISABLED : KMS_OK));
}

static void operate(worker *w)
{
    static void (*const often[])(worker *) = {create_version, create_shared_version, change_alias,
                                              change_state,   share_a_key,           contend};
    unsigned which = draw(w, 16);

    if (which < sizeof often / sizeof often[0])
        often[which](w);
    else if (which < 12)
        encrypt(w);
    else
        decrypt(w);
}

static int work(void *argument)
{
    worker *w = argument;

    w->store = open_store(w->path);
    must_be_ok(kms_ensure_alias(w->store, SHARED_KEY_ALIAS, NULL, w->shared_key));
    for (int i = 0; i < 4; i++)
        create_key(w);
    for (unsigned long i = 0; i < w->operations; i++) {
        operate(w);
        atomic_fetch_add(&w->journal->operations, 1);
    }
    kms_close(w->store);
    return 0;
}

/* --- What is there afterwards ----------------------------------------------------------------- */

static bool was_about_to(const journal *j, intent what, int about)
{
    return atomic_load(&j->about_to) == what && j->about == about;
}

static void key_is_there(kms_store *store, const journal *j, int at)
{
    const key_note *key = &j->keys[at];
    kms_key_info info = {.version = KMS_KEY_INFO_VERSION};
    uint32_t more = was_about_to(j, NEW_VERSION, at) ? 1 : 0;

    trial_ok(kms_describe_key(store, key->id, &info));
    ck_assert_uint_ge(info.version_count, key->versions);
    ck_assert_uint_le(info.version_count, key->versions + more);
    ck_assert_uint_eq(info.primary_version, info.version_count);
    if (!was_about_to(j, STATE, at))
        ck_assert_int_eq(info.state == KMS_KEY_DISABLED, key->disabled);
}

/* Whether the store's alias points to this key of the journal; NO_KEY: is not there. */
static bool points_to(kms_store *store, const journal *j, const char *name, int key)
{
    kms_alias_info info;
    kms_status st = kms_describe_alias(store, name, &info);

    if (st == KMS_ERR_ALIAS_NOT_FOUND)
        return key == NO_KEY;
    trial_ok(st);
    return key != NO_KEY && strcmp(info.key_id, j->keys[key].id) == 0;
}

static size_t count_keys(kms_store *store)
{
    static char ids[100][KMS_KEY_ID_SIZE];
    size_t count, all = 0;
    bool more = true;

    while (more) {
        trial_ok(kms_list_keys(store, all > 0 ? ids[99] : NULL, ids, 100, &count, &more));
        ck_assert(count == 100 || !more);
        all += count;
    }
    return all;
}

/* None but those that are in a journal, and the two that all share. */
static void no_other_key_is_there(kms_store *store, const journal *journals)
{
    size_t made = 2, perhaps = 0;

    for (unsigned i = 0; i < WORKERS; i++) {
        made += (size_t)journals[i].key_count;
        perhaps += atomic_load(&journals[i].about_to) == NEW_KEY;
    }
    ck_assert_uint_ge(count_keys(store), made);
    ck_assert_uint_le(count_keys(store), made + perhaps);
}

static void aliases_are_there(kms_store *store, const journal *j, unsigned number)
{
    for (int i = 0; i < ALIASES; i++) {
        const char *name = alias_name(number, i);

        ck_assert_msg(points_to(store, j, name, j->aliases[i]) ||
                          (was_about_to(j, ALIAS, i) && points_to(store, j, name, j->about_key)),
                      "%s", name);
    }
}

static void shared_alias_is_someones_last(kms_store *store, journal *journals)
{
    bool found = false;

    for (unsigned i = 0; i < WORKERS; i++) {
        const journal *j = &journals[i];

        found |= j->last_shared != NO_KEY && points_to(store, j, SHARED_ALIAS, j->last_shared);
        found |= atomic_load(&j->about_to) == SHARE && points_to(store, j, SHARED_ALIAS, j->about);
    }
    ck_assert(found);
}

/* Exactly one made it, and it stayed as that one made it. */
static void contended_aliases_have_one_maker(kms_store *store, journal *journals)
{
    for (int number = 0; number < CONTENDED; number++) {
        const char *name = contended_name(number);
        int makers = 0, perhaps = 0;

        for (unsigned i = 0; i < WORKERS; i++) {
            const journal *j = &journals[i];

            if (j->contended[number] != NO_KEY) {
                makers++;
                ck_assert(points_to(store, j, name, j->contended[number]));
            } else if (was_about_to(j, CONTEND, number)) {
                perhaps += points_to(store, j, name, j->about_key);
            }
        }
        ck_assert_int_le(makers, 1);
        ck_assert(makers + perhaps > 0 || points_to(store, &journals[0], name, NO_KEY));
    }
}

static void shared_versions_are_distinct(kms_store *store, journal *journals)
{
    kms_key_info info = {.version = KMS_KEY_INFO_VERSION};
    unsigned long made = 0, perhaps = 0;

    for (unsigned i = 0; i < WORKERS; i++) {
        made += journals[i].shared_versions;
        perhaps += was_about_to(&journals[i], SHARED_VERSION, 0);
    }
    trial_ok(kms_describe_key(store, SHARED_KEY_ALIAS, &info));
    ck_assert_uint_ge(info.version_count, 1 + made);
    ck_assert_uint_le(info.version_count, 1 + made + perhaps);
    for (uint32_t n = 2; n <= info.version_count; n++) {
        unsigned times = 0;

        for (unsigned i = 0; i < WORKERS; i++)
            times += journals[i].had_version[n];
        ck_assert_uint_le(times, 1);
    }
}

/* The header counts every change, and each one once. */
static void changes_are_counted(kms_store *store, journal *journals, unsigned long before)
{
    kms_store_info info = {.version = KMS_STORE_INFO_VERSION};
    unsigned long made = before, perhaps = 0;

    for (unsigned i = 0; i < WORKERS; i++) {
        made += journals[i].changes;
        perhaps += atomic_load(&journals[i].about_to) != NONE;
    }
    trial_ok(kms_get_store_info(store, &info));
    ck_assert_uint_ge(info.changes, made);
    ck_assert_uint_le(info.changes, made + perhaps);
}

static void enable_all(kms_store *store, const journal *j)
{
    for (int i = 0; i < j->key_count; i++)
        trial_ok(kms_enable_key(store, j->keys[i].id));
}

static void blobs_open(kms_store *store, const journal *j)
{
    kms_key_used used;

    ck_assert_int_gt(j->blob_count, 0);
    for (int i = 0; i < j->blob_count; i++)
        trial_ok(decrypt_blob(store, &j->blobs[i], &used));
}

static void everything_is_there(const char *path, journal *journals, unsigned long before)
{
    kms_store *store = open_store(path);

    trial_ok(kms_verify(store));
    for (unsigned i = 0; i < WORKERS; i++) {
        for (int key = 0; key < journals[i].key_count; key++)
            key_is_there(store, &journals[i], key);
        aliases_are_there(store, &journals[i], i);
    }
    no_other_key_is_there(store, journals);
    shared_alias_is_someones_last(store, journals);
    contended_aliases_have_one_maker(store, journals);
    shared_versions_are_distinct(store, journals);
    changes_are_counted(store, journals, before);
    for (unsigned i = 0; i < WORKERS; i++) {
        enable_all(store, &journals[i]);
        blobs_open(store, &journals[i]);
    }
    trial_ok(kms_verify(store));
    kms_close(store);
}

/* --- The tests -------------------------------------------------------------------------------- */

static journal *make_journals(void)
{
    journal *journals = mmap(NULL, WORKERS * sizeof *journals, PROT_READ | PROT_WRITE,
                             MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    ck_assert_ptr_ne(journals, MAP_FAILED);
    for (unsigned i = 0; i < WORKERS; i++) {
        for (int a = 0; a < ALIASES; a++)
            journals[i].aliases[a] = NO_KEY;
        for (int c = 0; c < CONTENDED; c++)
            journals[i].contended[c] = NO_KEY;
        journals[i].last_shared = NO_KEY;
    }
    return journals;
}

/* The shared alias, with a key of its own; the other one the workers make, whoever comes first. */
static unsigned long furnish(const char *path)
{
    kms_store_info info = {.version = KMS_STORE_INFO_VERSION};
    kms_store *store = open_store(path);

    trial_ok(kms_ensure_alias(store, SHARED_ALIAS, NULL, NULL));
    trial_ok(kms_get_store_info(store, &info));
    kms_close(store);
    /* The first worker's kms_ensure_alias() is one more change. */
    return (unsigned long)info.changes + 1;
}

/* Wherever it is by then. */
static void kill_in_the_middle(pid_t pid, const journal *j)
{
    while (atomic_load(&j->operations) < 50)
        usleep(1000);
    kill(pid, SIGKILL);
}

static void at_once(const char *path, unsigned long operations, bool with_a_kill)
{
    journal *journals = make_journals();
    unsigned long before = furnish(path);
    worker workers[WORKERS];
    pid_t pids[WORKERS];

    for (unsigned i = 0; i < WORKERS; i++) {
        workers[i] = (worker){.journal = &journals[i],
                              .path = path,
                              .number = i,
                              .operations = with_a_kill && i == 0 ? ULONG_MAX : operations,
                              .random = (uint64_t)getpid() * WORKERS + i};
        pids[i] = trial_fork(work, &workers[i]);
    }
    if (with_a_kill)
        kill_in_the_middle(pids[0], &journals[0]);
    for (unsigned i = 0; i < WORKERS; i++)
        ck_assert_int_eq(trial_wait(pids[i]), with_a_kill && i == 0 ? 128 + SIGKILL : 0);
    everything_is_there(path, journals, before);
}

START_TEST(test_processes_at_once)
{
    at_once(trial_fast_path("store"), trial_is_watched() ? 150 : 3000, false);
}
END_TEST

START_TEST(test_processes_at_once_on_disk)
{
    at_once(trial_path("store"), trial_is_watched() ? 100 : 1500, false);
}
END_TEST

START_TEST(test_one_of_them_is_killed)
{
    char name[16];

    for (unsigned i = 0; i < (trial_is_watched() ? 2 : 12); i++) {
        snprintf(name, sizeof name, "store-%u", i);
        at_once(trial_fast_path(name), 200, true);
    }
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        test_processes_at_once,
        test_processes_at_once_on_disk,
        test_one_of_them_is_killed,
    };

    return trial_main("processes", tests, sizeof tests / sizeof tests[0]);
}
