#include "domain/key_versions.h"
#include "base/try.h"
#include "domain/deletion.h"
#include "domain/state.h"

#include <stdio.h>
#include <string.h>

/* What a change of a version is about. */
typedef struct change {
    uint32_t number;
    kms_key_version_state state;
    int64_t date_ms;
    uint32_t minimum;
    uint32_t window;
} change;

static kms_status apply(kms__txn *txn, const uint8_t id[KMS__ID_SIZE], kms__key_alter *alter,
                        const change *c)
{
    return kms__key_change(txn, id, KMS_OP_CHANGE_KEY_VERSION, alter, c);
}

static kms_status refuse(const kms__key *key, uint32_t number, const char *why)
{
    return kms_set_error(KMS_ERR_INVALID_STATE, "version %u of key %s %s", number,
                         kms__key_text(key).text, why);
}

static kms_status check_not_primary(const kms__key *key, uint32_t number)
{
    if (number == key->primary)
        return refuse(key, number,
                      "is the primary one: rotate, or make another one primary, first");
    return KMS_OK;
}

static kms_status check_can_be_primary(const kms__key *key, uint32_t number)
{
    const kms__key_version *version = &key->versions[number - 1];

    if (version->state != KMS_KEY_VERSION_ENABLED)
        return refuse(key, number, "is not enabled, and so cannot be primary");
    if (!version->has_material)
        return refuse(key, number, "has no material, and so cannot be primary");
    if (key->minimum_version > number)
        return refuse(key, number, "is below the key's minimum version, and so cannot be primary");
    return KMS_OK;
}

static kms_status make_primary(kms__txn *txn, kms__key *key, const void *argument, bool *changed)
{
    const change *c = argument;
    kms__version_extra extra;
    kms__key_version *version;

    KMS__TRY(kms__key_version_of(key, c->number, &version));
    *changed = c->number != key->primary;
    if (!*changed)
        return KMS_OK;
    KMS__TRY(check_can_be_primary(key, c->number));
    KMS__TRY(kms__version_extra_load(txn, key, c->number, &extra));
    if (kms__version_state(key, c->number, &extra) != KMS_KEY_VERSION_ENABLED)
        return refuse(key, c->number, "has expired material, and so cannot be primary");
    key->primary = c->number;
    key->expires_ms = extra.expires_ms;
    return KMS_OK;
}

kms_status kms__version_make_primary(kms__txn *txn, const uint8_t id[KMS__ID_SIZE], uint32_t number)
{
    change c = {.number = number};

    return apply(txn, id, make_primary, &c);
}

static kms_status set_state(kms__txn *txn, kms__key *key, const void *argument, bool *changed)
{
    const change *c = argument;
    kms__key_version *version;

    (void)txn;
    KMS__TRY(kms__key_version_of(key, c->number, &version));
    *changed = version->state != c->state;
    if (!*changed)
        return KMS_OK;
    KMS__TRY(check_not_primary(key, c->number));
    if (version->state != KMS_KEY_VERSION_ENABLED && version->state != KMS_KEY_VERSION_DISABLED)
        return refuse(key, c->number, "is scheduled to be destroyed, or destroyed");
    version->state = c->state;
    return KMS_OK;
}

kms_status kms__version_switch(kms__txn *txn, const uint8_t id[KMS__ID_SIZE], uint32_t number,
                               kms_key_version_state state)
{
    change c = {.number = number, .state = state};

    return apply(txn, id, set_state, &c);
}

static kms_status set_minimum(kms__txn *txn, kms__key *key, const void *argument, bool *changed)
{
    const change *c = argument;

    (void)txn;
    if (c->minimum > key->primary)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT,
                             "version %u is above the primary version %u of key %s, which could "
                             "not decrypt then",
                             c->minimum, key->primary, kms__key_text(key).text);
    *changed = key->minimum_version != c->minimum || key->version_window != c->window;
    key->minimum_version = c->minimum;
    key->version_window = c->window;
    return KMS_OK;
}

kms_status kms__version_set_minimum(kms__txn *txn, const uint8_t id[KMS__ID_SIZE], uint32_t minimum,
                                    uint32_t window)
{
    change c = {.minimum = minimum, .window = window};

    return apply(txn, id, set_minimum, &c);
}

static kms_status schedule(kms__txn *txn, kms__key *key, const void *argument, bool *changed)
{
    const change *c = argument;
    kms__version_extra extra;
    kms__key_version *version;

    (void)changed;
    KMS__TRY(kms__key_version_of(key, c->number, &version));
    KMS__TRY(check_not_primary(key, c->number));
    KMS__TRY(kms__deletion_allowed(key));
    if (version->state != KMS_KEY_VERSION_ENABLED && version->state != KMS_KEY_VERSION_DISABLED)
        return refuse(key, c->number,
                      "is destroyed, or scheduled to be: "
                      "kms_cancel_key_version_destruction() takes that back");
    KMS__TRY(kms__version_extra_load(txn, key, c->number, &extra));
    extra.state_before = version->state;
    extra.destroy_ms = c->date_ms;
    KMS__TRY(kms__version_extra_save(txn, key, c->number, &extra));
    version->state = KMS_KEY_VERSION_DESTROY_SCHEDULED;
    return KMS_OK;
}

kms_status kms__version_schedule_destruction(kms__txn *txn, const uint8_t id[KMS__ID_SIZE],
                                             uint32_t number, uint32_t days, int64_t *date_ms)
{
    change c = {.number = number, .date_ms = kms__deletion_date(txn->now_ms, days)};

    *date_ms = c.date_ms;
    return apply(txn, id, schedule, &c);
}

/* The version, which must be scheduled to be destroyed. */
static kms_status load_scheduled(kms__txn *txn, kms__key *key, uint32_t number,
                                 kms__key_version **version, kms__version_extra *extra)
{
    KMS__TRY(kms__key_version_of(key, number, version));
    if ((*version)->state != KMS_KEY_VERSION_DESTROY_SCHEDULED)
        return refuse(key, number, "is not scheduled to be destroyed");
    return kms__version_extra_load(txn, key, number, extra);
}

static kms_status cancel(kms__txn *txn, kms__key *key, const void *argument, bool *changed)
{
    const change *c = argument;
    kms__version_extra extra;
    kms__key_version *version;

    (void)changed;
    KMS__TRY(load_scheduled(txn, key, c->number, &version, &extra));
    version->state = extra.state_before;
    extra.state_before = (kms_key_version_state)0;
    extra.destroy_ms = 0;
    return kms__version_extra_save(txn, key, c->number, &extra);
}

kms_status kms__version_cancel_destruction(kms__txn *txn, const uint8_t id[KMS__ID_SIZE],
                                           uint32_t number)
{
    change c = {.number = number};

    return apply(txn, id, cancel, &c);
}

static kms_status purge(kms__txn *txn, kms__key *key, const void *argument, bool *changed)
{
    const change *c = argument;
    char what[KMS_KEY_ID_SIZE + 32];
    kms__version_extra extra;
    kms__key_version *version;

    (void)changed;
    KMS__TRY(load_scheduled(txn, key, c->number, &version, &extra));
    KMS__TRY(kms__deletion_allowed(key));
    snprintf(what, sizeof what, "version %u of key %s", c->number, kms__key_text(key).text);
    KMS__TRY(kms__deletion_is_due(extra.destroy_ms, txn->now_ms, c->date_ms, what));
    version->state = KMS_KEY_VERSION_DESTROYED;
    version->has_material = false;
    extra.state_before = (kms_key_version_state)0;
    extra.destroy_ms = 0;
    return kms__version_save(txn, key->id, c->number, &extra, NULL);
}

kms_status kms__version_purge(kms__txn *txn, const uint8_t id[KMS__ID_SIZE], uint32_t number,
                              int64_t today_ms)
{
    change c = {.number = number, .date_ms = today_ms};

    return apply(txn, id, purge, &c);
}

kms_status kms__version_describe(kms__txn *txn, const kms__key *key, uint32_t number,
                                 const kms__last_uses *uses, kms_key_version_info *info)
{
    const kms__key_version *version = &key->versions[number - 1];
    kms__last_use use = kms__last_use_of(uses, number);
    kms__version_extra extra = {.source = KMS_MATERIAL_DRAWN};

    /* A purge that was cut short has taken the version's record already. */
    if (!key->purging)
        KMS__TRY(kms__version_extra_load(txn, key, number, &extra));
    memset(info, 0, sizeof *info);
    info->number = number;
    info->state = kms__version_state(key, number, &extra);
    info->suite = version->suite;
    info->primary = number == key->primary;
    info->created_ms = version->created_ms;
    memcpy(info->commitment, version->commitment, sizeof info->commitment);
    info->expires_ms = extra.expires_ms;
    info->destroy_ms = extra.destroy_ms;
    info->last_encrypt_ms = use.encrypt_ms;
    info->last_decrypt_ms = use.decrypt_ms;
    info->source = extra.source;
    info->retired = number < kms__key_lowest_version(key);
    return KMS_OK;
}
