#include "domain/state.h"
#include "base/try.h"

#include <string.h>

/* Source: Alibaba Cloud KMS, "the impact of key states on API calls". */
static const struct {
    kms_operation operation;
    /* In the order of kms_key_state: Enabled, Disabled, PendingDeletion, PendingImport. */
    kms_status answer[4];
} law[] = {
    {KMS_OP_DESCRIBE_KEY, {KMS_OK, KMS_OK, KMS_OK, KMS_OK}},
    {KMS_OP_ENABLE_KEY, {KMS_OK, KMS_OK, KMS_ERR_INVALID_STATE, KMS_ERR_INVALID_STATE}},
    {KMS_OP_DISABLE_KEY, {KMS_OK, KMS_OK, KMS_ERR_INVALID_STATE, KMS_ERR_INVALID_STATE}},
    {KMS_OP_CREATE_KEY_VERSION,
     {KMS_OK, KMS_ERR_DISABLED, KMS_ERR_PENDING_DELETION, KMS_ERR_PENDING_IMPORT}},
    {KMS_OP_CREATE_ALIAS, {KMS_OK, KMS_OK, KMS_ERR_INVALID_STATE, KMS_OK}},
    {KMS_OP_UPDATE_ALIAS, {KMS_OK, KMS_OK, KMS_ERR_PENDING_DELETION, KMS_OK}},
    {KMS_OP_DELETE_ALIAS, {KMS_OK, KMS_OK, KMS_OK, KMS_OK}},
    {KMS_OP_ENCRYPT, {KMS_OK, KMS_ERR_DISABLED, KMS_ERR_PENDING_DELETION, KMS_ERR_PENDING_IMPORT}},
    {KMS_OP_DECRYPT, {KMS_OK, KMS_ERR_DISABLED, KMS_ERR_PENDING_DELETION, KMS_ERR_PENDING_IMPORT}},
    {KMS_OP_UPDATE_ROTATION_POLICY,
     {KMS_OK, KMS_ERR_DISABLED, KMS_ERR_PENDING_DELETION, KMS_ERR_PENDING_IMPORT}},
    {KMS_OP_UPDATE_KEY_DESCRIPTION, {KMS_OK, KMS_OK, KMS_ERR_PENDING_DELETION, KMS_OK}},
    {KMS_OP_TAG_RESOURCE, {KMS_OK, KMS_OK, KMS_ERR_PENDING_DELETION, KMS_OK}},
    {KMS_OP_UNTAG_RESOURCE, {KMS_OK, KMS_OK, KMS_ERR_PENDING_DELETION, KMS_OK}},
    {KMS_OP_SCHEDULE_KEY_DELETION, {KMS_OK, KMS_OK, KMS_ERR_INVALID_STATE, KMS_OK}},
    {KMS_OP_CANCEL_KEY_DELETION,
     {KMS_ERR_INVALID_STATE, KMS_ERR_INVALID_STATE, KMS_OK, KMS_ERR_INVALID_STATE}},
    {KMS_OP_SET_DELETION_PROTECTION, {KMS_OK, KMS_OK, KMS_ERR_INVALID_STATE, KMS_OK}},
    {KMS_OP_PURGE_KEY,
     {KMS_ERR_INVALID_STATE, KMS_ERR_INVALID_STATE, KMS_OK, KMS_ERR_INVALID_STATE}},
    {KMS_OP_GET_PARAMETERS_FOR_IMPORT, {KMS_OK, KMS_OK, KMS_OK, KMS_OK}},
    {KMS_OP_IMPORT_KEY_MATERIAL, {KMS_OK, KMS_OK, KMS_ERR_INVALID_STATE, KMS_OK}},
    {KMS_OP_IMPORT_KEY_VERSION, {KMS_OK, KMS_OK, KMS_ERR_INVALID_STATE, KMS_OK}},
    {KMS_OP_DELETE_KEY_MATERIAL, {KMS_OK, KMS_OK, KMS_OK, KMS_OK}},
    {KMS_OP_CHANGE_KEY_VERSION, {KMS_OK, KMS_OK, KMS_OK, KMS_OK}},
    /* These two are as Encrypt: an entry of the cache that was opened for one serves all three. */
    {KMS_OP_ENCRYPT_DETERMINISTIC,
     {KMS_OK, KMS_ERR_DISABLED, KMS_ERR_PENDING_DELETION, KMS_ERR_PENDING_IMPORT}},
    {KMS_OP_DERIVE_KEY,
     {KMS_OK, KMS_ERR_DISABLED, KMS_ERR_PENDING_DELETION, KMS_ERR_PENDING_IMPORT}},
};

kms_key_state kms__key_state(const kms__key *key)
{
    if (key->deletion_ms != 0)
        return KMS_KEY_PENDING_DELETION;
    if (key->version_count == 0 || !key->versions[key->primary - 1].has_material ||
        (key->expires_ms != 0 && key->now_ms >= key->expires_ms))
        return KMS_KEY_PENDING_IMPORT;
    return key->base;
}

kms_key_version_state kms__version_state(const kms__key *key, uint32_t number,
                                         const kms__version_extra *extra)
{
    const kms__key_version *version = &key->versions[number - 1];

    if (version->state != KMS_KEY_VERSION_ENABLED && version->state != KMS_KEY_VERSION_DISABLED)
        return version->state;
    if (!version->has_material || (extra->expires_ms != 0 && key->now_ms >= extra->expires_ms))
        return KMS_KEY_VERSION_PENDING_IMPORT;
    return version->state;
}

uint32_t kms__key_lowest_version(const kms__key *key)
{
    uint32_t lowest = key->minimum_version > 0 ? key->minimum_version : 1;

    if (key->version_window > 0 && key->primary > key->version_window &&
        key->primary - key->version_window > lowest)
        lowest = key->primary - key->version_window;
    return lowest;
}

kms_status kms__state_allows(kms_key_state state, kms_operation operation)
{
    if (state < KMS_KEY_ENABLED || state > KMS_KEY_PENDING_IMPORT)
        return KMS_ERR_NEWER_FORMAT; /* the caller makes the sentence */
    for (size_t i = 0; i < sizeof law / sizeof *law; i++)
        if (law[i].operation == operation)
            return law[i].answer[state - KMS_KEY_ENABLED];
    return KMS_ERR_INVALID_ARGUMENT; /* the caller makes the sentence */
}

/* What a refusal by the usage says of the key, and the way out; NULL: it is allowed. */
static const char *against_usage(kms_key_usage usage, kms_operation operation)
{
    bool deterministic = usage == KMS_KEY_USAGE_DETERMINISTIC;

    switch ((int)operation) {
    case KMS_OP_ENCRYPT:
    case KMS_OP_DERIVE_KEY:
        return deterministic
                   ? "is for kms_encrypt_deterministic() and nothing else: make another key "
                     "for this"
                   : NULL;
    case KMS_OP_ENCRYPT_DETERMINISTIC:
        return deterministic ? NULL
                             : "is not for deterministic encryption: make a key with usage "
                               "KMS_KEY_USAGE_DETERMINISTIC";
    case KMS_OP_CREATE_KEY_VERSION:
    case KMS_OP_UPDATE_ROTATION_POLICY:
    case KMS_OP_IMPORT_KEY_VERSION:
        return deterministic
                   ? "is deterministic and gets no new version, with which equal values would "
                     "come to differ: move the alias to another key, and re-encrypt the column"
                   : NULL;
    default:
        return NULL;
    }
}

kms_status kms__usage_judge(kms_key_usage usage, const uint8_t id[KMS__ID_SIZE],
                            kms_operation operation)
{
    const char *why_not = against_usage(usage, operation);
    char text[KMS_KEY_ID_SIZE];

    if (why_not == NULL)
        return KMS_OK;
    kms__id_format(id, text);
    return kms_set_error(KMS_ERR_UNSUPPORTED, "key %s %s", text, why_not);
}

/* What only keys of certain origins and creators can. */
static kms_status origin_allows(const kms__key *key, kms_operation operation)
{
    bool external = key->origin == KMS_KEY_ORIGIN_EXTERNAL;
    bool service = key->creator == KMS_KEY_CREATOR_SERVICE;

    switch ((int)operation) {
    case KMS_OP_CREATE_KEY_VERSION:
    case KMS_OP_UPDATE_ROTATION_POLICY:
        if (external || service)
            return kms_set_error(KMS_ERR_UNSUPPORTED,
                                 "key %s is %s, and gets no new version by policy or on demand: "
                                 "make a new key and move the alias to it",
                                 kms__key_text(key).text,
                                 external ? "imported" : "service-managed");
        break;
    case KMS_OP_DISABLE_KEY:
    case KMS_OP_SCHEDULE_KEY_DELETION:
    case KMS_OP_CHANGE_KEY_VERSION:
        if (service)
            return kms_set_error(KMS_ERR_UNSUPPORTED,
                                 "key %s is service-managed: it cannot be disabled, deleted or "
                                 "changed; point an alias of your own to another key",
                                 kms__key_text(key).text);
        break;
    case KMS_OP_GET_PARAMETERS_FOR_IMPORT:
    case KMS_OP_IMPORT_KEY_MATERIAL:
    case KMS_OP_IMPORT_KEY_VERSION:
    case KMS_OP_DELETE_KEY_MATERIAL:
        if (!external)
            return kms_set_error(KMS_ERR_UNSUPPORTED,
                                 "key %s has material that libkms drew: only a key that was made "
                                 "with origin KMS_KEY_ORIGIN_EXTERNAL takes imported material",
                                 kms__key_text(key).text);
        break;
    default:
        break;
    }
    return KMS_OK;
}

static const char *why(const kms__key *key, kms_key_state state, kms_status status)
{
    switch (state) {
    case KMS_KEY_DISABLED:
        return "is disabled: kms_enable_key() makes it usable again";
    case KMS_KEY_PENDING_DELETION:
        return key->purging ? "is being purged: kms_purge_key() finishes it"
                            : "is scheduled for deletion: kms_cancel_key_deletion() takes it back";
    case KMS_KEY_PENDING_IMPORT:
        if (key->version_count == 0 ||
            kms__key_version_is_unbound(&key->versions[key->primary - 1]))
            return "waits for its material: kms_import_key_material() brings it";
        return key->versions[key->primary - 1].has_material
                   ? "waits for its material, which has expired: kms_import_key_material() brings "
                     "the same material back"
                   : "waits for its material, which was deleted: kms_import_key_material() brings "
                     "the same material back";
    case KMS_KEY_ENABLED:
        if (status == KMS_ERR_INVALID_STATE)
            return "is not scheduled for deletion";
        break;
    }
    return kms_status_sentence(status);
}

/* A key whose purge has begun can be looked at and purged, and its aliases may leave it. */
static bool waits_for_purge(const kms__key *key, kms_operation operation)
{
    return key->purging && operation != KMS_OP_PURGE_KEY && operation != KMS_OP_DESCRIBE_KEY &&
           operation != KMS_OP_DELETE_ALIAS;
}

kms_status kms__key_allows(const kms__key *key, kms_operation operation, const char *keyref)
{
    kms_key_state state = kms__key_state(key);
    kms_status st;
    const char *because;

    KMS__TRY(kms__usage_allows(key->usage, key->id, operation));
    KMS__TRY(origin_allows(key, operation));
    st = kms__state_allows(state, operation);
    if (st == KMS_OK && waits_for_purge(key, operation))
        st = KMS_ERR_INVALID_STATE;
    if (st == KMS_OK)
        return KMS_OK;
    because = why(key, state, st);
    if (!key->purging && (operation == KMS_OP_CANCEL_KEY_DELETION || operation == KMS_OP_PURGE_KEY))
        because = "is not scheduled for deletion";
    if (keyref != NULL && strncmp(keyref, "alias/", 6) == 0)
        return kms_set_error(st, "key %s, which %s points to, %s", kms__key_text(key).text, keyref,
                             because);
    return kms_set_error(st, "key %s %s", kms__key_text(key).text, because);
}

static kms_status material_is_gone(const kms__key *key, uint32_t number)
{
    return kms_set_error(KMS_ERR_PENDING_IMPORT,
                         "version %u of key %s waits for its material, which was deleted: "
                         "kms_import_key_material() brings the same material back",
                         number, kms__key_text(key).text);
}

kms_status kms__version_allows(const kms__key *key, uint32_t number)
{
    const kms__key_version *version = &key->versions[number - 1];
    kms__id_text id = kms__key_text(key);

    switch (version->state) {
    case KMS_KEY_VERSION_ENABLED:
        break;
    case KMS_KEY_VERSION_DISABLED:
        return kms_set_error(KMS_ERR_DISABLED,
                             "version %u of key %s is disabled: kms_enable_key_version() makes it "
                             "usable again",
                             number, id.text);
    case KMS_KEY_VERSION_DESTROY_SCHEDULED:
        return kms_set_error(KMS_ERR_PENDING_DELETION,
                             "version %u of key %s is scheduled to be destroyed: "
                             "kms_cancel_key_version_destruction() takes it back",
                             number, id.text);
    case KMS_KEY_VERSION_DESTROYED:
        return kms_set_error(KMS_ERR_DESTROYED, "version %u of key %s was destroyed", number,
                             id.text);
    default:
        return kms_set_error(KMS_ERR_NEWER_FORMAT,
                             "version %u of key %s is in a state that this libkms does not know",
                             number, id.text);
    }
    if (!version->has_material)
        return material_is_gone(key, number);
    if (number < kms__key_lowest_version(key))
        return kms_set_error(KMS_ERR_DISABLED,
                             "version %u of key %s is below version %u, the lowest that decrypts: "
                             "kms_set_minimum_version() changes that",
                             number, id.text, kms__key_lowest_version(key));
    return KMS_OK;
}
