#include "domain/aliases.h"
#include "base/try.h"
#include "domain/state.h"

#include <string.h>

/* Whether an alias may come to point to a key. */
static kms_status target_allows(kms__txn *txn, const uint8_t key_id[KMS__ID_SIZE],
                                kms_operation operation, kms_key_usage *usage)
{
    kms__key key;
    kms_status st;

    KMS__TRY(kms__key_load(txn, key_id, &key, NULL));
    st = kms__key_allows(&key, operation, NULL);
    *usage = key.usage;
    kms__key_clear(&key);
    return st;
}

static kms_status add(kms__txn *txn, const char *name, const uint8_t key_id[KMS__ID_SIZE])
{
    kms__alias alias = {.was_moved = false, .created_ms = txn->now_ms, .moved_ms = txn->now_ms};

    memcpy(alias.target, key_id, KMS__ID_SIZE);
    KMS__TRY(kms__alias_save(txn, name, &alias));
    return kms__alias_index(txn, key_id, name);
}

kms_status kms__alias_create(kms__txn *txn, const char *name, const uint8_t key_id[KMS__ID_SIZE])
{
    kms_key_usage usage;
    kms__alias there;
    kms_status st;

    KMS__TRY(target_allows(txn, key_id, KMS_OP_CREATE_ALIAS, &usage));
    st = kms__alias_load(txn, name, &there, NULL);
    if (st == KMS_OK)
        return kms_set_error(KMS_ERR_ALREADY_EXISTS,
                             "%s is there already: kms_update_alias() moves it", name);
    if (st != KMS_ERR_ALIAS_NOT_FOUND)
        return st;
    return add(txn, name, key_id);
}

/* Its key may have been destroyed meanwhile: then any usage will do. */
static kms_status usages_agree(kms__txn *txn, const char *name, const kms__alias *alias,
                               kms_key_usage usage)
{
    kms__key old;
    bool same;
    kms_status st = kms__key_load(txn, alias->target, &old, NULL);

    if (st == KMS_ERR_KEY_NOT_FOUND)
        return KMS_OK;
    KMS__TRY(st);
    same = old.usage == usage;
    kms__key_clear(&old);
    if (!same)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT,
                             "%s cannot move to a key of another usage than its own", name);
    return KMS_OK;
}

kms_status kms__alias_move(kms__txn *txn, const char *name, const uint8_t key_id[KMS__ID_SIZE])
{
    kms_key_usage usage;
    kms__alias alias;

    KMS__TRY(kms__alias_load(txn, name, &alias, NULL));
    KMS__TRY(target_allows(txn, key_id, KMS_OP_UPDATE_ALIAS, &usage));
    if (memcmp(alias.target, key_id, KMS__ID_SIZE) == 0)
        return KMS_OK;
    KMS__TRY(usages_agree(txn, name, &alias, usage));
    KMS__TRY(kms__alias_unindex(txn, alias.target, name));
    memcpy(alias.previous, alias.target, KMS__ID_SIZE);
    memcpy(alias.target, key_id, KMS__ID_SIZE);
    alias.was_moved = true;
    alias.moved_ms = txn->now_ms;
    KMS__TRY(kms__alias_save(txn, name, &alias));
    return kms__alias_index(txn, key_id, name);
}

kms_status kms__alias_delete(kms__txn *txn, const char *name)
{
    kms__record_key record_key = kms__alias_record_key(name);
    kms__alias alias;

    KMS__TRY(kms__alias_load(txn, name, &alias, NULL));
    KMS__TRY(kms__alias_unindex(txn, alias.target, name));
    return kms__txn_delete(txn, &record_key);
}

kms_status kms__alias_ensure(kms__txn *txn, const char *name, const kms__key_seed *seed,
                             uint8_t key_id[KMS__ID_SIZE])
{
    kms__alias alias;
    kms_status st = kms__alias_load(txn, name, &alias, NULL);

    if (st == KMS_OK) {
        memcpy(key_id, alias.target, KMS__ID_SIZE);
        return KMS_OK;
    }
    if (st != KMS_ERR_ALIAS_NOT_FOUND)
        return st;
    memcpy(key_id, seed->id, KMS__ID_SIZE);
    KMS__TRY(kms__key_create(txn, seed));
    return add(txn, name, seed->id);
}

void kms__alias_describe(const char *name, const kms__alias *alias, kms_alias_info *info)
{
    memset(info, 0, sizeof *info);
    memcpy(info->name, name, strnlen(name, KMS_ALIAS_SIZE - 1));
    kms__id_format(alias->target, info->key_id);
    if (alias->was_moved)
        kms__id_format(alias->previous, info->previous_key_id);
    info->created_ms = alias->created_ms;
    info->moved_ms = alias->moved_ms;
}
