#include "domain/keys.h"
#include "base/try.h"
#include "crypto/aead.h"
#include "domain/alias_record.h"
#include "domain/reference.h"
#include "domain/state.h"

#include <sodium.h>
#include <string.h>

kms_status kms__create_key_options_check(const kms_create_key_options *options)
{
    if (options->version != KMS_CREATE_KEY_OPTIONS_VERSION)
        return kms_set_error(KMS_ERR_ABI,
                             "kms_create_key_options of version %u: begin with "
                             "KMS_CREATE_KEY_OPTIONS_INIT",
                             options->version);
    if (options->spec != KMS_KEY_SPEC_SYMMETRIC_256)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "%u is no key spec",
                             (unsigned)options->spec);
    if (options->usage != KMS_KEY_USAGE_ENCRYPT_DECRYPT)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "%u is no key usage",
                             (unsigned)options->usage);
    if (options->suite != KMS_SUITE_XCHACHA20_POLY1305 && options->suite != KMS_SUITE_AES_256_GCM)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "%u is no suite", (unsigned)options->suite);
    if (!kms__suite_available(options->suite))
        return kms_set_error(KMS_ERR_UNSUPPORTED,
                             "suite %u is not in this build of libkms, which has no libcrypto",
                             (unsigned)options->suite);
    return KMS_OK;
}

kms_status kms__key_seed_draw(kms_store *store, const kms_create_key_options *options,
                              kms__key_seed *seed)
{
    static const kms_create_key_options defaults = KMS_CREATE_KEY_OPTIONS_INIT;
    void *cell;

    memset(seed, 0, sizeof *seed);
    seed->options = options != NULL ? *options : defaults;
    KMS__TRY(kms__create_key_options_check(&seed->options));
    KMS__TRY(kms__cache_take_cell(store->cache, &cell));
    seed->material = cell;
    randombytes_buf(seed->material, KMS__MATERIAL_SIZE);
    kms__id_draw(seed->id);
    seed->now_ms = store->clock.now_ms(store->clock.data);
    return KMS_OK;
}

void kms__key_seed_wipe(kms_store *store, kms__key_seed *seed)
{
    kms__secret_give(store->secrets, seed->material);
    seed->material = NULL;
}

kms_status kms__key_create(kms__txn *txn, const kms__key_seed *seed)
{
    kms__key key = {
        .spec = seed->options.spec,
        .usage = seed->options.usage,
        .origin = KMS_KEY_ORIGIN_KMS,
        .state = KMS_KEY_ENABLED,
        .created_ms = seed->now_ms,
    };
    kms_status st;

    memcpy(key.id, seed->id, KMS__ID_SIZE);
    st = kms__key_add_version(txn, &key, seed->options.suite, seed->now_ms, seed->material);
    if (st == KMS_OK)
        st = kms__key_save(txn, &key);
    kms__key_clear(&key);
    return st;
}

kms_status kms__key_can_rotate(const kms__key *key)
{
    const kms__key_version *primary;
    char text[KMS_KEY_ID_SIZE];

    KMS__TRY(kms__key_allows(key, KMS_OP_CREATE_KEY_VERSION, NULL));
    KMS__TRY(kms__key_version_of(key, key->primary, &primary));
    kms__id_format(key->id, text);
    if (!kms__suite_available(primary->suite))
        return kms_set_error(KMS_ERR_UNSUPPORTED,
                             "key %s uses suite %u, which this build of libkms does not have", text,
                             (unsigned)primary->suite);
    if (key->version_count >= KMS_KEY_VERSIONS_MAX)
        return kms_set_error(KMS_ERR_LIMIT_EXCEEDED,
                             "key %s has %d versions, the most that a key can have: make a new key "
                             "and move the alias to it",
                             text, KMS_KEY_VERSIONS_MAX);
    return KMS_OK;
}

static kms_status rotate(kms__txn *txn, kms__key *key, const kms__key_seed *seed)
{
    KMS__TRY(kms__key_can_rotate(key));
    KMS__TRY(kms__key_add_version(txn, key, key->versions[key->primary - 1].suite, seed->now_ms,
                                  seed->material));
    return kms__key_save(txn, key);
}

kms_status kms__key_rotate(kms__txn *txn, const uint8_t id[KMS__ID_SIZE], const kms__key_seed *seed,
                           uint32_t *number)
{
    kms__key key;
    kms_status st;

    KMS__TRY(kms__key_load(txn, id, &key, NULL));
    st = rotate(txn, &key, seed);
    *number = key.primary;
    kms__key_clear(&key);
    return st;
}

kms_status kms__key_switch(kms__txn *txn, const uint8_t id[KMS__ID_SIZE], kms_operation operation)
{
    kms_key_state wanted = operation == KMS_OP_ENABLE_KEY ? KMS_KEY_ENABLED : KMS_KEY_DISABLED;
    kms__key key;
    kms_status st;

    KMS__TRY(kms__key_load(txn, id, &key, NULL));
    st = kms__key_allows(&key, operation, NULL);
    if (st == KMS_OK && key.state != wanted) {
        key.state = wanted;
        st = kms__key_save(txn, &key);
    }
    kms__key_clear(&key);
    return st;
}

kms_status kms__key_find(kms__txn *txn, const char *keyref, kms__key *key)
{
    kms__reference reference;
    kms__alias alias;
    kms_status st;

    KMS__TRY(kms__reference_parse(keyref, &reference));
    if (!reference.is_alias)
        return kms__key_load(txn, reference.key_id, key, NULL);
    KMS__TRY(kms__alias_load(txn, keyref, &alias, NULL));
    st = kms__key_load(txn, alias.target, key, NULL);
    if (st == KMS_ERR_KEY_NOT_FOUND)
        return kms_set_error(KMS_ERR_CORRUPT, "%s points to a key that is not there", keyref);
    return st;
}
