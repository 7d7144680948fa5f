#include "rotation_trial.h"

#include "domain/keys.h"

#include <stdlib.h>
#include <string.h>

#define TEXT "still a secret"

#if KMS_HAVE_LMDB
#define SHARED_ENGINE "lmdb"
#else
#define SHARED_ENGINE "file"
#endif

static int64_t tell(void *data)
{
    hand_clock *hand = data;

    return atomic_load(&hand->now_ms);
}

kms_clock hand_clock_of(hand_clock *hand)
{
    return (kms_clock){KMS_CLOCK_VERSION, hand, tell};
}

kms_store *rotation_open(place *p, hand_clock *hand, uint32_t flags)
{
    kms_open_options options = KMS_OPEN_OPTIONS_INIT;
    kms_clock clock = hand_clock_of(hand);
    kms_store *store = NULL;

    options.clock = &clock;
    fixture_ok(place_try_open(p, &store, flags, &options));
    return store;
}

void rotation_place_init_shared(place *p)
{
    const char *wanted = getenv("KMS_TEST_BACKEND");

    /* An engine in memory has one handle at a time. */
    if (wanted == NULL || wanted[0] == '\0' || strcmp(wanted, "memory") == 0)
        ck_assert_int_eq(setenv("KMS_TEST_BACKEND", SHARED_ENGINE, 1), 0);
    place_init(p);
}

void rotation_create_key(kms_store *store, uint32_t days, char key_id[KMS_KEY_ID_SIZE])
{
    kms_create_key_options options = KMS_CREATE_KEY_OPTIONS_INIT;

    options.rotation_days = days;
    fixture_ok(kms_create_key(store, &options, key_id));
}

static kms_status move_start(kms__txn *txn, void *argument)
{
    const uint8_t *id = argument;
    kms__key key;
    kms_status st = kms__key_load(txn, id, &key, NULL);

    if (st != KMS_OK)
        return st;
    key.rotation_start_ms = 1;
    st = kms__key_save(txn, &key);
    kms__key_clear(&key);
    return st;
}

void rotation_make_due(kms_store *store, const char *key_id)
{
    uint8_t id[KMS__ID_SIZE];

    ck_assert(kms__id_parse(key_id, id));
    fixture_ok(kms__store_write(store, move_start, id));
}

typedef struct addition {
    uint8_t id[KMS__ID_SIZE];
    kms__key_seed seed;
    uint32_t count;
} addition;

/* Versions of the same material: nobody tells them apart by it. */
static kms_status add_versions(kms__txn *txn, void *argument)
{
    addition *a = argument;
    kms__key key;
    kms_status st = kms__key_load(txn, a->id, &key, NULL);

    if (st != KMS_OK)
        return st;
    for (int i = 0; i < 50 && key.version_count < KMS_KEY_VERSIONS_MAX && st == KMS_OK; i++)
        st = kms__key_renew(txn, &key, &a->seed);
    a->count = key.version_count;
    if (st == KMS_OK)
        st = kms__key_save(txn, &key);
    kms__key_clear(&key);
    return st;
}

void rotation_fill_versions(kms_store *store, const char *key_id)
{
    addition a = {.count = 0};

    ck_assert(kms__id_parse(key_id, a.id));
    fixture_ok(kms__key_seed_draw(store, NULL, &a.seed));
    while (a.count < KMS_KEY_VERSIONS_MAX)
        fixture_ok(kms__store_write(store, add_versions, &a));
    kms__key_seed_wipe(store, &a.seed);
}

uint32_t rotation_encrypt(kms_store *store, const char *keyref)
{
    uint8_t blob[KMS_CIPHERTEXT_SIZE(sizeof TEXT)];
    size_t len = fixture_encrypt(store, keyref, TEXT, blob, sizeof blob);
    kms_blob_info info;

    fixture_opens_as(store, blob, len, TEXT);
    fixture_ok(kms_inspect_blob(blob, len, &info));
    return info.key_version;
}

kms_store_info rotation_store_info(kms_store *store)
{
    kms_store_info info = {.version = KMS_STORE_INFO_VERSION};

    fixture_ok(kms_get_store_info(store, &info));
    return info;
}
