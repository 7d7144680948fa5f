#include "vault/open.h"
#include "base/clock.h"
#include "base/thread.h"
#include "base/try.h"
#include "crypto/kdf.h"
#include "vault/foreign.h"
#include "vault/txn.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_GENERATION 1

kms_status kms__store_secret_block(const kms_store *store, size_t size, uint8_t **block)
{
    bool locked;
    uint8_t *made = kms__secret_block(size, &locked);

    if (made == NULL)
        return kms_error_status();
    if (store->demand_locked && !locked) {
        kms__secret_block_free(made, size);
        return kms_set_error(KMS_ERR_NOT_LOCKED,
                             "memory for secrets could not be locked: raise RLIMIT_MEMLOCK");
    }
    *block = made;
    return KMS_OK;
}

static kms_status take_memory(kms_store *store, const kms_open_options *options)
{
    uint8_t *block = NULL;
    void *cell;

    KMS__TRY(kms__secrets_open(&store->secrets, store->demand_locked));
    KMS__TRY(kms__secret_take(store->secrets, &cell));
    store->records_key = cell;
    KMS__TRY(kms__store_secret_block(store, sizeof *store->header_block, &block));
    store->header_block = (kms__header_block *)(void *)block;
    return kms__cache_open(&store->cache, store->secrets, options->cache_entries,
                           options->cache_bytes);
}

kms_status kms__store_new(kms_store **store, kms_backend *engine, uint32_t flags,
                          const kms_open_options *options)
{
    kms_store *made;
    kms_status st;

    KMS__TRY(kms__fork_init());
    made = calloc(1, sizeof *made);
    if (made == NULL)
        return kms_set_error(KMS_ERR_NO_MEMORY, "out of memory for a store");
    st = kms__gate_init(&made->gate);
    if (st != KMS_OK) {
        free(made);
        return st;
    }
    made->epoch = kms__fork_epoch();
    made->read_only = (flags & (KMS_OPEN_READ_ONLY | KMS_OPEN_FROZEN)) != 0;
    made->demand_locked = (flags & KMS_OPEN_REQUIRE_LOCKED) != 0;
    made->busy_timeout_ms = options->busy_timeout_ms;
    atomic_store(&made->rotation.next_attempt_ms, INT64_MIN);
    made->system_clock = options->clock == NULL;
    made->clock = options->clock != NULL ? *options->clock : kms__clock_system();
    st = take_memory(made, options);
    if (st != KMS_OK) {
        kms__store_free(made);
        return st;
    }
    made->engine = engine;
    *store = made;
    return KMS_OK;
}

void kms__store_free(kms_store *store)
{
    kms__cache_close(store->cache);
    if (store->header_block != NULL)
        kms__secret_block_free(store->header_block, sizeof *store->header_block);
    kms__secrets_close(store->secrets);
    if (store->engine != NULL)
        store->engine->ops->close(store->engine);
    kms__gate_destroy(&store->gate);
    free(store);
}

static kms_backend_how how_to_open(const kms_store *store, uint32_t flags)
{
    kms_backend_how how = {
        .version = 1, .busy_timeout_ms = store->busy_timeout_ms, .probe = kms__boot_probe()};

    if (store->read_only)
        how.flags |= KMS_BACKEND_READ_ONLY;
    if ((flags & KMS_OPEN_FROZEN) != 0)
        how.flags |= KMS_BACKEND_FROZEN;
    return how;
}

_Static_assert(KMS__ROOT_ROOM <= KMS__SECRET_CELL, "a root key has room in a secret cell");

/* Room for the two keys that opening and making need for a moment. */
typedef struct keys {
    uint8_t *root_key;
    uint8_t *store_key;
} keys;

static kms_status take_keys(kms_store *store, keys *k)
{
    void *root_key, *store_key;
    kms_status st;

    KMS__TRY(kms__secret_take(store->secrets, &root_key));
    st = kms__secret_take(store->secrets, &store_key);
    if (st != KMS_OK) {
        kms__secret_give(store->secrets, root_key);
        return st;
    }
    k->root_key = root_key;
    k->store_key = store_key;
    return KMS_OK;
}

static void give_keys(kms_store *store, keys *k)
{
    kms__secret_give(store->secrets, k->root_key);
    kms__secret_give(store->secrets, k->store_key);
}

static void use_store_key(kms_store *store, const uint8_t *store_key)
{
    kms__derive(KMS__USE_RECORDS, store_key, store->id, store->generation, store->records_key);
}

typedef struct boot_copy {
    uint8_t bytes[KMS__BOOT_MAX];
    size_t len;
} boot_copy;

static kms_status copy_boot(kms__txn *txn, void *argument)
{
    boot_copy *copy = argument;
    kms_slice value;
    kms_status st = txn->store->engine->ops->get(txn->engine_txn, kms__boot_key(), &value);

    if (st == KMS_ERR_NOT_FOUND)
        return kms_set_error(KMS_ERR_NOT_A_STORE, "what is there has no boot record of libkms");
    KMS__TRY(st);
    if (value.len > sizeof copy->bytes)
        return kms_set_error(KMS_ERR_NOT_A_STORE, "what is there has no boot record of libkms");
    memcpy(copy->bytes, value.data, value.len);
    copy->len = value.len;
    return KMS_OK;
}

static kms_status check_boot(kms__txn *txn, void *argument)
{
    const boot_copy *copy = argument;
    uint8_t hash[KMS__BOOT_HASH_SIZE];

    kms__boot_hash((kms_slice){copy->bytes, copy->len}, hash);
    if (memcmp(hash, txn->header->header.boot_hash, sizeof hash) != 0)
        return kms_set_error(KMS_ERR_CORRUPT,
                             "the store's boot record is not the one that its header names: it "
                             "was tampered with");
    return KMS_OK;
}

/* The engine is open. */
static kms_status unlock(kms_store *store, kms_root *root)
{
    boot_copy *copy = malloc(sizeof *copy);
    keys k;
    kms_status st;

    if (copy == NULL)
        return kms_set_error(KMS_ERR_NO_MEMORY, "out of memory for the boot record");
    st = kms__store_read(store, copy_boot, copy);
    if (st == KMS_OK)
        st = take_keys(store, &k);
    if (st == KMS_OK) {
        st = kms__boot_unlock((kms_slice){copy->bytes, copy->len}, root, k.root_key, store->id,
                              &store->generation, k.store_key);
        if (st == KMS_OK)
            use_store_key(store, k.store_key);
        give_keys(store, &k);
    }
    if (st == KMS_OK)
        st = kms__store_read_header(store, check_boot, copy);
    free(copy);
    return st;
}

static kms_status create_with(kms_store *store, kms_root *root, uint32_t flags,
                              kms_strength strength, uint64_t changes, keys *k, boot_copy *boot)
{
    kms__header_block *block = store->header_block;
    kms_backend_how how = how_to_open(store, flags);
    kms__seal seal = {store->id, store->generation, store->records_key};
    uint8_t header[KMS__HEADER_VALUE_SIZE];
    kms_record records[2];

    KMS__TRY(kms__boot_make(root, strength, store->id, store->generation, k->store_key, k->root_key,
                            boot->bytes, &boot->len));
    use_store_key(store, k->store_key);
    kms__header_new(&block->header, (kms_slice){boot->bytes, boot->len});
    block->header.changes = changes;
    kms__header_seal(&seal, block, header);
    sodium_memzero(block, sizeof *block);
    records[0] = (kms_record){kms__boot_key(), {boot->bytes, boot->len}};
    records[1] = (kms_record){kms__header_key(), {header, sizeof header}};
    kms__foreign_begin();
    return kms__foreign_end("engine", store->engine->ops->name,
                            store->engine->ops->create(store->engine, &how, records, 2));
}

/* Makes the store at the engine; its id, its generation and the changes that it begins with are
 * set. */
static kms_status create(kms_store *store, kms_root *root, uint32_t flags, kms_strength strength,
                         uint64_t changes)
{
    boot_copy *boot = malloc(sizeof *boot);
    keys k;
    kms_status st;

    if (boot == NULL)
        return kms_set_error(KMS_ERR_NO_MEMORY, "out of memory for the boot record");
    st = take_keys(store, &k);
    if (st == KMS_OK) {
        randombytes_buf(k.store_key, KMS__STORE_KEY_SIZE);
        st = create_with(store, root, flags, strength, changes, &k, boot);
        give_keys(store, &k);
    }
    free(boot);
    return st;
}

static kms_status open_engine(kms_store *store, const kms_backend_how *how)
{
    kms__foreign_begin();
    return kms__foreign_end("engine", store->engine->ops->name,
                            store->engine->ops->open(store->engine, how));
}

/* Whoever comes second opens what the first one made. */
static kms_status open_or_create(kms_store *store, kms_root *root, uint32_t flags,
                                 kms_strength strength, bool *created)
{
    kms_backend_how how = how_to_open(store, flags);
    kms_status st = open_engine(store, &how);

    *created = false;
    if (st != KMS_ERR_NOT_FOUND || (flags & KMS_OPEN_CREATE) == 0)
        return st;
    randombytes_buf(store->id, sizeof store->id);
    store->generation = FIRST_GENERATION;
    st = create(store, root, flags, strength, 0);
    *created = st == KMS_OK;
    if (st != KMS_ERR_ALREADY_EXISTS || (flags & KMS_OPEN_EXCLUSIVE) != 0)
        return st;
    return open_engine(store, &how);
}

kms_status kms__store_unlock(kms_store *store, kms_root *root, uint32_t flags,
                             const kms_open_options *options)
{
    bool created;

    KMS__TRY(open_or_create(store, root, flags, options->strength, &created));
    if (created)
        return KMS_OK;
    if ((flags & KMS_OPEN_EXCLUSIVE) != 0)
        return kms_set_error(KMS_ERR_ALREADY_EXISTS,
                             "a store is there already, and KMS_OPEN_EXCLUSIVE was asked for");
    return unlock(store, root);
}

kms_status kms__store_create_successor(kms_store *store, kms_root *root, const kms_store *of,
                                       uint64_t changes)
{
    memcpy(store->id, of->id, sizeof store->id);
    store->generation = of->generation + 1;
    return create(store, root, 0, KMS_STRENGTH_DEFAULT, changes);
}
