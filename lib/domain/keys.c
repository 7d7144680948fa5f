#include "domain/keys.h"
#include "base/try.h"
#include "crypto/aead.h"
#include "domain/alias_record.h"
#include "domain/description.h"
#include "domain/reference.h"
#include "domain/rotation.h"
#include "domain/state.h"
#include "domain/tags.h"

#include <sodium.h>
#include <string.h>

/* Its size when it had fewer members. */
#define OPTIONS_SIZE_1 offsetof(kms_create_key_options, origin)

static kms_status check_choices(const kms_create_key_options *options)
{
    if (options->spec != KMS_KEY_SPEC_SYMMETRIC_256)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "%u is no key spec",
                             (unsigned)options->spec);
    if (options->usage != KMS_KEY_USAGE_ENCRYPT_DECRYPT &&
        options->usage != KMS_KEY_USAGE_DETERMINISTIC)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "%u is no key usage",
                             (unsigned)options->usage);
    if (options->suite != KMS_SUITE_XCHACHA20_POLY1305 && options->suite != KMS_SUITE_AES_256_GCM)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "%u is no suite", (unsigned)options->suite);
    if (options->origin != KMS_KEY_ORIGIN_KMS && options->origin != KMS_KEY_ORIGIN_EXTERNAL)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "%u is no key origin",
                             (unsigned)options->origin);
    if (!kms__suite_available(options->suite))
        return kms_set_error(KMS_ERR_UNSUPPORTED,
                             "suite %u is not in this build of libkms, which has no libcrypto",
                             (unsigned)options->suite);
    return KMS_OK;
}

static kms_status check_rest(const kms_create_key_options *options)
{
    if (options->rotation_days != 0)
        KMS__TRY(kms__rotation_days_check(options->rotation_days));
    if (options->rotation_days != 0 && options->origin == KMS_KEY_ORIGIN_EXTERNAL)
        return kms_set_error(KMS_ERR_UNSUPPORTED,
                             "an imported key has no automatic rotation: rotate it by moving an "
                             "alias to another key");
    if (options->rotation_days != 0 && options->usage == KMS_KEY_USAGE_DETERMINISTIC)
        return kms_set_error(
            KMS_ERR_UNSUPPORTED,
            "a deterministic key has no automatic rotation, with which equal values "
            "would come to differ: move its alias to another key, and re-encrypt");
    KMS__TRY(kms__description_check(options->description));
    if (options->tag_count == 0)
        return KMS_OK;
    return kms__tags_check(options->tags, options->tag_count);
}

kms_status kms__create_key_options_take(const kms_create_key_options *options,
                                        kms_create_key_options *taken)
{
    static const kms_create_key_options defaults = KMS_CREATE_KEY_OPTIONS_INIT;

    *taken = defaults;
    if (options == NULL)
        return KMS_OK;
    if (options->version == 1)
        memcpy(taken, options, OPTIONS_SIZE_1);
    else if (options->version == KMS_CREATE_KEY_OPTIONS_VERSION)
        *taken = *options;
    else
        return kms_set_error(KMS_ERR_ABI,
                             "kms_create_key_options of version %u: begin with "
                             "KMS_CREATE_KEY_OPTIONS_INIT",
                             options->version);
    KMS__TRY(check_choices(taken));
    return check_rest(taken);
}

kms_status kms__key_seed_draw(kms_store *store, const kms_create_key_options *options,
                              kms__key_seed *seed)
{
    void *cell;

    memset(seed, 0, sizeof *seed);
    KMS__TRY(kms__create_key_options_take(options, &seed->options));
    seed->creator = KMS_KEY_CREATOR_USER;
    KMS__TRY(kms__cache_take_cell(store->cache, &cell));
    seed->material = cell;
    randombytes_buf(seed->material, KMS__MATERIAL_SIZE);
    kms__id_draw(seed->id);
    return KMS_OK;
}

void kms__key_seed_wipe(kms_store *store, kms__key_seed *seed)
{
    kms__secret_give(store->secrets, seed->material);
    seed->material = NULL;
}

static const kms__version_extra drawn = {.source = KMS_MATERIAL_DRAWN};
static const kms__version_extra none_yet = {.source = KMS_MATERIAL_NONE};

/* An external key gets its first material later; until then the suite that its maker chose stands
 * in a version of no material and of no commitment. */
static kms_status add_first_version(kms__txn *txn, kms__key *key, const kms__key_seed *seed)
{
    kms__key_version waiting = {
        .state = KMS_KEY_VERSION_ENABLED, .suite = seed->options.suite, .created_ms = txn->now_ms};

    if (key->origin != KMS_KEY_ORIGIN_EXTERNAL)
        return kms__key_add_version(txn, key, seed->options.suite, &drawn, seed->material);
    KMS__TRY(kms__key_append_version(key, &waiting));
    return kms__version_save(txn, key->id, 1, &none_yet, NULL);
}

kms_status kms__key_create(kms__txn *txn, const kms__key_seed *seed)
{
    const kms_create_key_options *options = &seed->options;
    kms__key key = {
        .spec = options->spec,
        .usage = options->usage,
        .origin = options->origin,
        .creator = seed->creator,
        .base = KMS_KEY_ENABLED,
        .deletion_protected = options->deletion_protected,
        .created_ms = txn->now_ms,
        .rotation_enabled = options->rotation_days != 0,
        .rotation_days = options->rotation_days,
        .rotation_start_ms = options->rotation_days != 0 ? txn->now_ms : 0,
    };
    kms_status st;

    memcpy(key.id, seed->id, KMS__ID_SIZE);
    st = add_first_version(txn, &key, seed);
    if (st == KMS_OK)
        st = kms__key_save(txn, &key);
    kms__key_clear(&key);
    if (st == KMS_OK && options->description != NULL && options->description[0] != '\0')
        st = kms__description_save(txn, seed->id, options->description);
    if (st == KMS_OK && options->tag_count > 0)
        st = kms__tags_add(txn, seed->id, options->tags, options->tag_count);
    return st;
}

kms_status kms__key_has_room(const kms__key *key)
{
    if (key->version_count < KMS_KEY_VERSIONS_MAX)
        return KMS_OK;
    return kms_set_error(KMS_ERR_LIMIT_EXCEEDED,
                         "key %s has %d versions, the most that a key can have: make a new key "
                         "and move the alias to it",
                         kms__key_text(key).text, KMS_KEY_VERSIONS_MAX);
}

kms_status kms__key_can_rotate(const kms__key *key)
{
    kms__key_version *primary;

    KMS__TRY(kms__key_allows(key, KMS_OP_CREATE_KEY_VERSION, NULL));
    KMS__TRY(kms__key_version_of(key, key->primary, &primary));
    if (!kms__suite_available(primary->suite))
        return kms_set_error(KMS_ERR_UNSUPPORTED,
                             "key %s uses suite %u, which this build of libkms does not have",
                             kms__key_text(key).text, (unsigned)primary->suite);
    return kms__key_has_room(key);
}

kms_status kms__key_renew(kms__txn *txn, kms__key *key, const kms__key_seed *seed)
{
    return kms__key_add_version(txn, key, key->versions[key->primary - 1].suite, &drawn,
                                seed->material);
}

static kms_status rotate(kms__txn *txn, kms__key *key, const kms__key_seed *seed)
{
    KMS__TRY(kms__key_can_rotate(key));
    KMS__TRY(kms__key_renew(txn, key, seed));
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

kms_status kms__key_change(kms__txn *txn, const uint8_t id[KMS__ID_SIZE], kms_operation operation,
                           kms__key_alter *alter, const void *argument)
{
    bool changed = true;
    kms__key key;
    kms_status st;

    KMS__TRY(kms__key_load(txn, id, &key, NULL));
    st = kms__key_allows(&key, operation, NULL);
    if (st == KMS_OK)
        st = alter(txn, &key, argument, &changed);
    if (st == KMS_OK && changed)
        st = kms__key_save(txn, &key);
    kms__key_clear(&key);
    return st;
}

static kms_status set_base(kms__txn *txn, kms__key *key, const void *argument, bool *changed)
{
    const kms_key_state *wanted = argument;

    (void)txn;
    *changed = key->base != *wanted;
    key->base = *wanted;
    return KMS_OK;
}

kms_status kms__key_switch(kms__txn *txn, const uint8_t id[KMS__ID_SIZE], kms_operation operation)
{
    kms_key_state wanted = operation == KMS_OP_ENABLE_KEY ? KMS_KEY_ENABLED : KMS_KEY_DISABLED;

    return kms__key_change(txn, id, operation, set_base, &wanted);
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
