#include "base/kept_error.h"
#include "base/try.h"
#include "crypto/aead.h"
#include "domain/last_use.h"
#include "domain/verify.h"
#include "vault/open.h"
#include "vault/reseal.h"
#include "vault/txn.h"

#include <kms/kms.h>
#include <sodium.h>
#include <string.h>

#define FLAGS_KNOWN                                                                                \
    (KMS_OPEN_CREATE | KMS_OPEN_EXCLUSIVE | KMS_OPEN_READ_ONLY | KMS_OPEN_FROZEN |                 \
     KMS_OPEN_REQUIRE_LOCKED)
#define CACHE_ENTRIES_MIN 16u
#define CACHE_ENTRIES_MAX 1048576u

const char *kms_version(void)
{
    return KMS_VERSION_STRING;
}

void kms_backend_free(kms_backend *backend)
{
    if (backend != NULL)
        backend->ops->close(backend);
}

static kms_status check_engine(const kms_backend *engine)
{
    const kms_backend_ops *ops;

    if (engine == NULL || engine->ops == NULL)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "the engine is NULL");
    ops = engine->ops;
    if (ops->abi != KMS_BACKEND_ABI)
        return kms_set_error(KMS_ERR_ABI, "the engine was built for contract %u, this is %u",
                             ops->abi, KMS_BACKEND_ABI);
    if (ops->name == NULL || ops->open == NULL || ops->create == NULL || ops->begin == NULL ||
        ops->get == NULL || ops->scan == NULL || ops->put == NULL || ops->del == NULL ||
        ops->commit == NULL || ops->abort == NULL || ops->hint == NULL || ops->close == NULL)
        return kms_set_error(KMS_ERR_ABI, "the engine lacks a function that every engine has");
    return KMS_OK;
}

static kms_status check_root(const kms_root *root)
{
    const kms_root_ops *ops;

    if (root == NULL || root->ops == NULL)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "the root is NULL");
    ops = root->ops;
    if (ops->abi != KMS_ROOT_ABI)
        return kms_set_error(KMS_ERR_ABI, "the root provider was built for contract %u, this is %u",
                             ops->abi, KMS_ROOT_ABI);
    if (ops->name == NULL || ops->make == NULL || ops->unlock == NULL || ops->close == NULL)
        return kms_set_error(KMS_ERR_ABI, "the root provider lacks a function that every one has");
    if (ops->name[0] == '\0' || strlen(ops->name) > KMS_ROOT_NAME_MAX)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT,
                             "the name of a root provider has 1 to %d bytes", KMS_ROOT_NAME_MAX);
    return KMS_OK;
}

static kms_status check_flags(uint32_t flags)
{
    if ((flags & ~FLAGS_KNOWN) != 0)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "0x%x is no flag of kms_open()",
                             flags & ~FLAGS_KNOWN);
    if ((flags & KMS_OPEN_CREATE) != 0 && (flags & (KMS_OPEN_READ_ONLY | KMS_OPEN_FROZEN)) != 0)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT,
                             "KMS_OPEN_CREATE and a store for reading only exclude each other");
    if ((flags & KMS_OPEN_EXCLUSIVE) != 0 && (flags & KMS_OPEN_CREATE) == 0)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT,
                             "KMS_OPEN_EXCLUSIVE goes with KMS_OPEN_CREATE");
    return KMS_OK;
}

static kms_status check_cache(const kms_open_options *options)
{
    if (options->cache_entries < CACHE_ENTRIES_MIN || options->cache_entries > CACHE_ENTRIES_MAX)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "cache_entries is %u, not %u to %u",
                             options->cache_entries, CACHE_ENTRIES_MIN, CACHE_ENTRIES_MAX);
    if (options->cache_bytes != 0 && options->cache_bytes < KMS__CACHE_BYTES_MIN)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT,
                             "cache_bytes is %zu, neither 0 nor %d and more", options->cache_bytes,
                             KMS__CACHE_BYTES_MIN);
    return KMS_OK;
}

static kms_status check_options(const kms_open_options *options)
{
    KMS__TRY(check_cache(options));
    if (options->strength > KMS_STRENGTH_SENSITIVE)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "%u is no strength",
                             (unsigned)options->strength);
    if (options->clock == NULL)
        return KMS_OK;
    if (options->clock->version != KMS_CLOCK_VERSION)
        return kms_set_error(KMS_ERR_ABI, "a kms_clock of version %u", options->clock->version);
    if (options->clock->now_ms == NULL)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "the clock has no now_ms");
    return KMS_OK;
}

/* Until cache_bytes came: KMS_OPEN_OPTIONS_INIT of 0.1. */
#define OPTIONS_SIZE_1 offsetof(kms_open_options, cache_bytes)

static kms_status take_options(const kms_open_options *options, kms_open_options *taken)
{
    static const kms_open_options defaults = KMS_OPEN_OPTIONS_INIT;

    *taken = defaults;
    if (options == NULL)
        return KMS_OK;
    if (options->version < 1 || options->version > KMS_OPEN_OPTIONS_VERSION)
        return kms_set_error(KMS_ERR_ABI,
                             "kms_open_options of version %u: begin with KMS_OPEN_OPTIONS_INIT",
                             options->version);
    memcpy(taken, options, options->version == 1 ? OPTIONS_SIZE_1 : sizeof *taken);
    return KMS_OK;
}

static kms_status check_all(kms_store **store, const kms_backend *engine, const kms_root *root,
                            uint32_t flags, const kms_open_options *options)
{
    KMS__TRY(check_engine(engine));
    KMS__TRY(check_root(root));
    if (store == NULL)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "store is NULL");
    KMS__TRY(check_flags(flags));
    return check_options(options);
}

/* Both are consumed whatever comes of the call; what is too broken to be closed is left. */
static void close_engine(kms_backend *engine)
{
    if (engine != NULL && engine->ops != NULL && engine->ops->close != NULL)
        engine->ops->close(engine);
}

static void close_root(kms_root *root)
{
    if (root != NULL && root->ops != NULL && root->ops->close != NULL)
        root->ops->close(root);
}

kms_status kms_open(kms_store **store, kms_backend *engine, kms_root *root, uint32_t flags,
                    const kms_open_options *options)
{
    kms_open_options taken;
    kms__kept_error kept;
    kms_store *made = NULL;
    kms_status st;

    kms__error_keep(&kept);
    st = take_options(options, &taken);
    if (st == KMS_OK)
        st = check_all(store, engine, root, flags, &taken);
    if (st == KMS_OK)
        st = kms__store_new(&made, engine, flags, &taken);
    if (st == KMS_OK)
        engine = NULL;
    if (st == KMS_OK)
        st = kms__store_unlock(made, root, flags, &taken);
    close_root(root);
    close_engine(engine);
    if (st != KMS_OK) {
        if (made != NULL)
            kms__store_free(made);
        return st;
    }
    /* That no store was there yet, for one. */
    kms__error_restore(&kept);
    *store = made;
    return KMS_OK;
}

static kms_status copy_and_check(kms_store *store, kms_store *target, kms_root *root)
{
    KMS__TRY(kms__store_reseal(store, target, root, kms__verify));
    return kms__store_read_header(target, kms__verify, NULL);
}

kms_status kms_copy_resealed(kms_store *store, kms_backend *target, kms_root *root)
{
    static const kms_open_options defaults = KMS_OPEN_OPTIONS_INIT;
    kms_store *made = NULL;
    kms_status st = kms__store_check(store);

    if (st == KMS_OK)
        st = check_engine(target);
    if (st == KMS_OK)
        st = check_root(root);
    if (st == KMS_OK)
        st = kms__store_new(&made, target, store->demand_locked ? KMS_OPEN_REQUIRE_LOCKED : 0,
                            &defaults);
    if (st == KMS_OK) {
        target = NULL;
        st = copy_and_check(store, made, root);
    }
    close_root(root);
    close_engine(target);
    if (made != NULL)
        kms__store_free(made);
    return st;
}

static kms_status random_root(kms_root **root)
{
    uint8_t key[KMS_ROOT_KEY_SIZE];
    kms_status st;

    randombytes_buf(key, sizeof key);
    st = kms_root_raw(root, key, sizeof key);
    sodium_memzero(key, sizeof key);
    return st;
}

kms_status kms_open_memory(kms_store **store)
{
    kms_backend *engine;
    kms_root *root;
    kms_status st;

    if (store == NULL)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "store is NULL");
    KMS__TRY(kms__fork_init());
    KMS__TRY(kms_memory_backend(&engine));
    st = random_root(&root);
    if (st != KMS_OK) {
        kms_backend_free(engine);
        return st;
    }
    return kms_open(store, engine, root, KMS_OPEN_CREATE, NULL);
}

/* As far as nobody is in the way; what is lost is only a date. */
static void flush_last_use(kms_store *store)
{
    kms__kept_error kept;

    if (store->read_only)
        return;
    kms__error_keep(&kept);
    if (kms__last_use_flush(store) != KMS_OK)
        kms__error_restore(&kept);
}

void kms_close(kms_store *store)
{
    /* In a forked child everything is leaked: the engine's locks, the gate and the locked memory
     * are the parent's. */
    if (store == NULL || store->epoch != kms__fork_epoch())
        return;
    flush_last_use(store);
    kms__store_free(store);
}

static kms_status read_changes(kms__txn *txn, void *argument)
{
    uint64_t *changes = argument;

    *changes = txn->header->header.changes;
    return KMS_OK;
}

/* Its size when it had fewer members. */
#define STORE_INFO_SIZE_1 offsetof(kms_store_info, rotations_made)

static kms_store_info describe(kms_store *store, uint64_t changes)
{
    kms_store_info info = {
        .read_only = store->read_only,
        .memory_locked = kms__secrets_locked(store->secrets) && kms__threads_locked(),
        .has_aes_256_gcm = kms__suite_available(KMS_SUITE_AES_256_GCM),
        .changes = changes,
        .rotations_made = atomic_load(&store->rotation.made),
        .rotations_put_off = atomic_load(&store->rotation.put_off),
        .last_rotation_failure = (kms_status)atomic_load(&store->rotation.last_failure),
        .store_key_generation = store->generation,
    };

    memcpy(info.store_id, store->id, sizeof info.store_id);
    strncpy(info.engine, store->engine->ops->name, sizeof info.engine - 1);
    return info;
}

kms_status kms_get_store_info(kms_store *store, kms_store_info *info)
{
    uint64_t changes = 0;
    kms_store_info made;

    KMS__TRY(kms__store_check(store));
    if (info == NULL)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "info is NULL");
    if (info->version < 1 || info->version > KMS_STORE_INFO_VERSION)
        return kms_set_error(KMS_ERR_ABI, "kms_store_info of version %u: set it to %u",
                             info->version, KMS_STORE_INFO_VERSION);
    KMS__TRY(kms__store_read_header(store, read_changes, &changes));
    made = describe(store, changes);
    made.version = info->version;
    memcpy(info, &made, info->version == 1 ? STORE_INFO_SIZE_1 : sizeof *info);
    return KMS_OK;
}

kms_status kms_verify(kms_store *store)
{
    KMS__TRY(kms__store_check(store));
    return kms__store_read_header(store, kms__verify, NULL);
}
