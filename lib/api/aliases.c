#include "domain/aliases.h"
#include "base/kept_error.h"
#include "base/try.h"
#include "domain/listing.h"
#include "domain/reference.h"

#include <kms/service.h>
#include <string.h>

/* What a change of an alias is about. */
typedef struct change {
    const char *name;
    uint8_t key_id[KMS__ID_SIZE];
} change;

static kms_status create(kms__txn *txn, void *argument)
{
    const change *c = argument;

    return kms__alias_create(txn, c->name, c->key_id);
}

static kms_status move(kms__txn *txn, void *argument)
{
    const change *c = argument;

    return kms__alias_move(txn, c->name, c->key_id);
}

static kms_status delete (kms__txn *txn, void *argument)
{
    const change *c = argument;

    return kms__alias_delete(txn, c->name);
}

static kms_status point(kms_store *store, const char *alias, const char *key_id,
                        kms__txn_body *body)
{
    change c = {.name = alias};

    KMS__TRY(kms__store_check_writable(store));
    KMS__TRY(kms__alias_name_check_own(alias));
    KMS__TRY(kms__key_id_parse(key_id, c.key_id));
    return kms__store_write(store, body, &c);
}

kms_status kms_create_alias(kms_store *store, const char *alias, const char *key_id)
{
    return point(store, alias, key_id, create);
}

kms_status kms_update_alias(kms_store *store, const char *alias, const char *key_id)
{
    return point(store, alias, key_id, move);
}

kms_status kms_delete_alias(kms_store *store, const char *alias)
{
    change c = {.name = alias};

    KMS__TRY(kms__store_check_writable(store));
    KMS__TRY(kms__alias_name_check_own(alias));
    return kms__store_write(store, delete, &c);
}

typedef struct finding {
    const char *name;
    kms__alias alias;
} finding;

static kms_status find(kms__txn *txn, void *argument)
{
    finding *f = argument;

    return kms__alias_load(txn, f->name, &f->alias, NULL);
}

kms_status kms_describe_alias(kms_store *store, const char *alias, kms_alias_info *info)
{
    finding f = {.name = alias};

    KMS__TRY(kms__store_check(store));
    KMS__TRY(kms__alias_name_check(alias));
    if (info == NULL)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "info is NULL");
    KMS__TRY(kms__store_read(store, find, &f));
    kms__alias_describe(alias, &f.alias, info);
    return KMS_OK;
}

typedef struct ensuring {
    const char *name;
    kms__key_seed seed;
    uint8_t key_id[KMS__ID_SIZE];
} ensuring;

static kms_status ensure(kms__txn *txn, void *argument)
{
    ensuring *e = argument;

    return kms__alias_ensure(txn, e->name, &e->seed, e->key_id);
}

static kms_status make_sure(kms_store *store, const char *alias,
                            const kms_create_key_options *options, kms_key_creator creator,
                            uint8_t key_id[KMS__ID_SIZE])
{
    ensuring e = {.name = alias};
    kms_status st;

    KMS__TRY(kms__store_check_writable(store));
    KMS__TRY(kms__key_seed_draw(store, options, &e.seed));
    e.seed.creator = creator;
    st = kms__store_write(store, ensure, &e);
    kms__key_seed_wipe(store, &e.seed);
    memcpy(key_id, e.key_id, KMS__ID_SIZE);
    return st;
}

static kms_status find_or_make(kms_store *store, const char *alias,
                               const kms_create_key_options *options, kms_key_creator creator,
                               char key_id[KMS_KEY_ID_SIZE])
{
    finding f = {.name = alias};
    uint8_t id[KMS__ID_SIZE];
    kms__kept_error kept;
    kms_status st;

    kms__error_keep(&kept);
    /* Mostly it is there, and nobody has to wait for a writer. */
    st = kms__store_read(store, find, &f);
    if (st == KMS_OK)
        memcpy(id, f.alias.target, sizeof id);
    else if (st == KMS_ERR_ALIAS_NOT_FOUND)
        st = make_sure(store, alias, options, creator, id);
    KMS__TRY(st);
    kms__error_restore(&kept);
    if (key_id != NULL)
        kms__id_format(id, key_id);
    return KMS_OK;
}

kms_status kms_ensure_alias(kms_store *store, const char *alias,
                            const kms_create_key_options *options, char key_id[KMS_KEY_ID_SIZE])
{
    kms_create_key_options taken;

    KMS__TRY(kms__store_check(store));
    KMS__TRY(kms__alias_name_check_own(alias));
    KMS__TRY(kms__create_key_options_take(options, &taken));
    return find_or_make(store, alias, options, KMS_KEY_CREATOR_USER, key_id);
}

kms_status kms_service_key(kms_store *store, const char *service, char key_id[KMS_KEY_ID_SIZE])
{
    char alias[KMS_ALIAS_SIZE];

    KMS__TRY(kms__store_check(store));
    KMS__TRY(kms__service_alias(service, alias));
    return find_or_make(store, alias, NULL, KMS_KEY_CREATOR_SERVICE, key_id);
}

/* The name stands in the record key behind `skip` bytes. */
static kms_status add_alias(kms__txn *txn, const kms__record_key *record_key, size_t skip,
                            kms_alias_info *info)
{
    char name[KMS_ALIAS_SIZE];
    kms__alias alias;
    size_t len;

    if (record_key->len <= skip || record_key->len - skip >= sizeof name)
        return kms_set_error(KMS_ERR_CORRUPT, "an alias record has a name that no alias has");
    len = record_key->len - skip;
    memcpy(name, record_key->bytes + skip, len);
    name[len] = '\0';
    KMS__TRY(kms__alias_load(txn, name, &alias, NULL));
    kms__alias_describe(name, &alias, info);
    return KMS_OK;
}

static kms_status add_from_alias(kms__txn *txn, const kms__record_key *record_key, void *page,
                                 size_t at)
{
    return add_alias(txn, record_key, 1, (kms_alias_info *)page + at);
}

static kms_status add_from_index(kms__txn *txn, const kms__record_key *record_key, void *page,
                                 size_t at)
{
    kms_status st = add_alias(txn, record_key, 1 + KMS__ID_SIZE, (kms_alias_info *)page + at);

    if (st == KMS_ERR_ALIAS_NOT_FOUND)
        return kms_set_error(KMS_ERR_CORRUPT, "the index names an alias that is not there");
    return st;
}

static kms_status start_behind(const char *marker, kms__listing *listing)
{
    if (marker == NULL)
        return KMS_OK;
    listing->after = (kms_slice){marker, strnlen(marker, KMS_ALIAS_SIZE)};
    return kms__alias_name_check(marker);
}

kms_status kms_list_aliases(kms_store *store, const char *marker, kms_alias_info *aliases,
                            size_t limit, size_t *count, bool *more)
{
    static const uint8_t tag = KMS__TAG_ALIAS;
    kms__listing listing = {
        .prefix = {&tag, 1}, .add = add_from_alias, .page = aliases, .limit = limit};

    KMS__TRY(kms__store_check(store));
    KMS__TRY(start_behind(marker, &listing));
    return kms__list(store, &listing, count, more);
}

kms_status kms_find_aliases(kms_store *store, const char *prefix, const char *marker,
                            kms_alias_info *aliases, size_t limit, size_t *count, bool *more)
{
    kms__record_key start;
    kms__listing listing = {.add = add_from_alias, .page = aliases, .limit = limit};

    KMS__TRY(kms__store_check(store));
    KMS__TRY(kms__alias_prefix_check(prefix));
    KMS__TRY(start_behind(marker, &listing));
    start = kms__alias_record_key(prefix);
    listing.prefix = kms__record_slice(&start);
    if (marker == NULL)
        return kms__list(store, &listing, count, more);
    if (strncmp(marker, prefix, strlen(prefix)) != 0)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "%s does not begin with \"%s\"", marker,
                             prefix);
    listing.after = (kms_slice){marker + strlen(prefix), strlen(marker) - strlen(prefix)};
    return kms__list(store, &listing, count, more);
}

static kms_status key_is_there(kms__txn *txn, void *argument)
{
    kms__key key;

    KMS__TRY(kms__key_load(txn, argument, &key, NULL));
    kms__key_clear(&key);
    return KMS_OK;
}

kms_status kms_list_aliases_by_key_id(kms_store *store, const char *key_id, const char *marker,
                                      kms_alias_info *aliases, size_t limit, size_t *count,
                                      bool *more)
{
    uint8_t id[KMS__ID_SIZE];
    kms__record_key prefix;
    kms__listing listing = {.add = add_from_index, .page = aliases, .limit = limit};

    KMS__TRY(kms__store_check(store));
    KMS__TRY(kms__key_id_parse(key_id, id));
    KMS__TRY(start_behind(marker, &listing));
    prefix = kms__index_record_key(id, "");
    listing.prefix = kms__record_slice(&prefix);
    KMS__TRY(kms__store_read(store, key_is_there, id));
    return kms__list(store, &listing, count, more);
}
