#include "domain/state.h"

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
};

kms_status kms__state_allows(kms_key_state state, kms_operation operation)
{
    if (state < KMS_KEY_ENABLED || state > KMS_KEY_PENDING_IMPORT)
        return KMS_ERR_NEWER_FORMAT; /* the caller makes the sentence */
    for (size_t i = 0; i < sizeof law / sizeof *law; i++)
        if (law[i].operation == operation)
            return law[i].answer[state - KMS_KEY_ENABLED];
    return KMS_ERR_INVALID_ARGUMENT; /* the caller makes the sentence */
}

static const char *why(kms_status status, kms_key_state state)
{
    switch (state) {
    case KMS_KEY_DISABLED:
        return "is disabled: kms_enable_key() makes it usable again";
    case KMS_KEY_PENDING_DELETION:
        return "is scheduled for deletion";
    case KMS_KEY_PENDING_IMPORT:
        return "waits for its material to be imported";
    case KMS_KEY_ENABLED:
        break;
    }
    return kms_status_sentence(status);
}

kms_status kms__key_allows(const kms__key *key, kms_operation operation, const char *keyref)
{
    kms_status st = kms__state_allows(key->state, operation);
    char text[KMS_KEY_ID_SIZE];

    if (st == KMS_OK)
        return KMS_OK;
    kms__id_format(key->id, text);
    if (st == KMS_ERR_NEWER_FORMAT)
        return kms_set_error(st, "key %s is in a state that this libkms does not know", text);
    if (keyref != NULL && strncmp(keyref, "alias/", 6) == 0)
        return kms_set_error(st, "key %s, which %s points to, %s", text, keyref,
                             why(st, key->state));
    return kms_set_error(st, "key %s %s", text, why(st, key->state));
}

kms_status kms__version_allows(const kms__key *key, uint32_t number)
{
    kms_key_version_state state = key->versions[number - 1].state;
    char text[KMS_KEY_ID_SIZE];

    if (state == KMS_KEY_VERSION_ENABLED)
        return KMS_OK;
    kms__id_format(key->id, text);
    return kms_set_error(KMS_ERR_DISABLED, "version %u of key %s is not enabled", number, text);
}
