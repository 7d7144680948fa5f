#include "store_worker.h"
#include "lmdb_trial.h"

#include <stdio.h>
#include <string.h>

kms_store *worker_open_store(const char *path)
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

const char *worker_alias_name(unsigned worker_number, int alias)
{
    static char name[64];

    snprintf(name, sizeof name, "alias/of-%u/%d", worker_number, alias);
    return name;
}

const char *worker_contended_name(int number)
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
    const char *name = worker_alias_name(w->number, alias);
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
    st = kms_create_alias(w->store, worker_contended_name(number), w->journal->keys[key].id);
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
            keep_blob(w, worker_alias_name(w->number, alias), j->keys[target].id);
    }
}

static const key_note *own_key(const journal *j, const char *id)
{
    for (int i = 0; i < j->key_count; i++)
        if (strcmp(j->keys[i].id, id) == 0)
            return &j->keys[i];
    return NULL;
}

kms_status worker_decrypt(kms_store *store, const blob_note *blob)
{
    uint8_t plain[PLAIN];
    size_t len;
    kms_status st =
        kms_decrypt(store, NULL, blob->bytes, sizeof blob->bytes, plain, sizeof plain, &len);

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

    if (j->blob_count == 0)
        return;
    blob = &j->blobs[draw(w, (unsigned)j->blob_count)];
    must_be_ok(kms_inspect_blob(blob->bytes, sizeof blob->bytes, &info));
    key = own_key(j, info.key_id);
    trial_must(worker_decrypt(w->store, blob) ==
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

int worker_run(void *argument)
{
    worker *w = argument;

    w->store = worker_open_store(w->path);
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

void worker_begin_journal(journal *j)
{
    for (int i = 0; i < ALIASES; i++)
        j->aliases[i] = NO_KEY;
    for (int i = 0; i < CONTENDED; i++)
        j->contended[i] = NO_KEY;
    j->last_shared = NO_KEY;
}
