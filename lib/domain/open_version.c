#include "domain/open_version.h"
#include "base/clock.h"
#include "base/try.h"
#include "crypto/aead.h"
#include "crypto/kdf.h"
#include "domain/alias_record.h"
#include "domain/reference.h"
#include "domain/rotation.h"
#include "domain/state.h"

#include <string.h>

/* What is wanted. */
typedef struct wanted_version {
    kms__lookup lookup;
    kms_operation operation;
    /* Only for a reference, as the caller wrote it. */
    const char *text;
    /* Only for a version. */
    const uint8_t *key_id;
    uint32_t version;
} wanted_version;

/* For a version that the cache does not know, or not with this tag. */
typedef struct request {
    const wanted_version *wanted;
    /* Only for a reference: taken apart. */
    kms__reference reference;
    /* An entry that was found with another tag. */
    kms__opened *stale;
    /* Out: the entry still holds; it has the snapshot's tag now. */
    bool holds;
    /* Out: a fresh entry, not yet in the cache. */
    kms__opened *fresh;
} request;

static kms_status mark_is_unchanged(kms__txn *txn, const kms__record_key *key, const uint8_t *mark,
                                    bool *unchanged)
{
    uint8_t now[KMS__MARK_SIZE];
    kms_status st = kms__txn_mark(txn, key, now);

    if (st == KMS_ERR_NOT_FOUND) {
        *unchanged = false;
        return KMS_OK;
    }
    KMS__TRY(st);
    *unchanged = memcmp(now, mark, sizeof now) == 0;
    return KMS_OK;
}

/* Whether the records that an entry was made from stand unchanged in this snapshot. Equal sealed
 * bytes are equal contents, so nothing has to be unsealed. */
static kms_status entry_holds(kms__txn *txn, const kms__opened *entry, bool *holds)
{
    kms__record_key key_record = kms__key_record_key(entry->key_id);
    kms__record_key version_record = kms__version_record_key(entry->key_id, entry->version);
    char name[KMS_ALIAS_SIZE];

    *holds = entry->incarnation == txn->revision.incarnation && txn->now_ms < entry->expires_ms;
    if (*holds && entry->by_alias) {
        kms__record_key alias_record;

        memcpy(name, entry->reference, entry->lookup_len);
        name[entry->lookup_len] = '\0';
        alias_record = kms__alias_record_key(name);
        KMS__TRY(mark_is_unchanged(txn, &alias_record, entry->marks[KMS__MARK_ALIAS], holds));
    }
    if (*holds)
        KMS__TRY(mark_is_unchanged(txn, &key_record, entry->marks[KMS__MARK_KEY], holds));
    if (*holds)
        KMS__TRY(mark_is_unchanged(txn, &version_record, entry->marks[KMS__MARK_VERSION], holds));
    return KMS_OK;
}

static kms_status derive_keys(const kms__key *key, uint32_t number, const uint8_t *material,
                              kms__opened *entry)
{
    kms_suite suite = key->versions[number - 1].suite;
    kms__use use = suite == KMS_SUITE_AES_256_GCM ? KMS__USE_SUITE_2 : KMS__USE_SUITE_1;
    kms__use second = key->usage == KMS_KEY_USAGE_DETERMINISTIC ? KMS__USE_NONCE : KMS__USE_BASE;
    char text[KMS_KEY_ID_SIZE];

    if (!kms__suite_available(suite)) {
        kms__id_format(key->id, text);
        return kms_set_error(KMS_ERR_UNSUPPORTED,
                             "version %u of key %s uses suite %u, which this build of libkms does "
                             "not have",
                             number, text, (unsigned)suite);
    }
    kms__derive(use, material, key->id, number, entry->suite_key);
    kms__derive(second, material, key->id, number, kms__opened_second_key(entry));
    return KMS_OK;
}

static int64_t date_or_never(int64_t date_ms)
{
    return date_ms != 0 ? date_ms : KMS__NEVER;
}

/* The version's own material may have expired, or, which makes the whole key wait, the primary
 * version's. */
static kms_status set_expiry(const kms__key *key, uint32_t number, const kms__version_extra *extra,
                             kms__opened *entry)
{
    int64_t own = date_or_never(extra->expires_ms), primary = date_or_never(key->expires_ms);

    entry->expires_ms = own < primary ? own : primary;
    if (key->now_ms < own)
        return KMS_OK;
    return kms_set_error(KMS_ERR_PENDING_IMPORT,
                         "version %u of key %s waits for its material, which has expired: "
                         "kms_import_key_material() brings the same material back",
                         number, kms__key_text(key).text);
}

/* Fills an entry with one version of a key. */
static kms_status open_version(kms__txn *txn, const kms__key *key, uint32_t number,
                               kms__opened *entry)
{
    const kms__key_version *version = &key->versions[number - 1];
    kms__version_extra extra;
    void *material;
    kms_status st;

    KMS__TRY(kms__version_allows(key, number));
    KMS__TRY(kms__cache_take_cell(txn->store->cache, &material));
    st = kms__version_load(txn, key, number, material, &extra, entry->marks[KMS__MARK_VERSION]);
    if (st == KMS_OK)
        st = set_expiry(key, number, &extra, entry);
    if (st == KMS_OK)
        st = derive_keys(key, number, material, entry);
    kms__secret_give(txn->store->secrets, material);
    KMS__TRY(st);
    memcpy(entry->key_id, key->id, KMS__ID_SIZE);
    entry->version = number;
    entry->suite = (uint8_t)version->suite;
    entry->usage = (uint8_t)key->usage;
    kms__blob_write_prefix(entry->blob_prefix, version->suite, KMS_BLOB_DATA, key->id, number,
                           version->commitment);
    kms__opened_keep_message_keys(entry);
    return KMS_OK;
}

/* The key that a request is about, with its alias' and its own mark in the entry. */
static kms_status load_key(kms__txn *txn, const request *asked, kms__opened *entry, kms__key *key)
{
    const uint8_t *id = asked->wanted->key_id;
    kms__alias alias;
    kms_status st;

    if (asked->wanted->lookup.kind == KMS__LOOKUP_REFERENCE) {
        entry->by_alias = asked->reference.is_alias;
        id = asked->reference.key_id;
    }
    if (entry->by_alias) {
        KMS__TRY(
            kms__alias_load(txn, asked->reference.text, &alias, entry->marks[KMS__MARK_ALIAS]));
        id = alias.target;
        entry->has_previous = alias.was_moved;
        memcpy(entry->previous, alias.previous, KMS__ID_SIZE);
    }
    st = kms__key_load(txn, id, key, entry->marks[KMS__MARK_KEY]);
    if (st == KMS_ERR_KEY_NOT_FOUND && entry->by_alias)
        return kms_set_error(KMS_ERR_CORRUPT, "%s points to a key that is not there",
                             asked->reference.text);
    return st;
}

/* The number comes from a blob, or from a caller. */
static kms_status check_number(const kms__key *key, uint32_t number, kms_operation operation)
{
    kms__key_version *version;

    if (operation != KMS_OP_DECRYPT)
        return kms__key_version_of(key, number, &version);
    if (number >= 1 && number <= key->version_count)
        return KMS_OK;
    return kms_set_error(KMS_ERR_INVALID_CIPHERTEXT,
                         "the blob names version %u of key %s, whose newest is version %u: it was "
                         "altered, or this store is older than the blob",
                         number, kms__key_text(key).text, key->version_count);
}

/* Only who encrypts rotates. */
static void set_rest(const kms__key *key, bool encrypting, kms__opened *entry)
{
    kms__rest rest = {INT64_MIN, KMS__NEVER};

    if (encrypting)
        rest = kms__rotation_rest(key);
    atomic_store(&entry->rest_from_ms, rest.from_ms);
    atomic_store(&entry->rest_until_ms, rest.until_ms);
}

static kms_status fill_entry(kms__txn *txn, const request *asked, kms__opened *entry)
{
    const wanted_version *wanted = asked->wanted;
    bool encrypting = wanted->lookup.kind == KMS__LOOKUP_REFERENCE;
    uint32_t number = wanted->version;
    kms__key key;
    kms_status st;

    KMS__TRY(load_key(txn, asked, entry, &key));
    if (encrypting)
        number = key.primary;
    st = kms__key_allows(&key, wanted->operation, encrypting ? wanted->text : NULL);
    if (st == KMS_OK)
        st = check_number(&key, number, wanted->operation);
    if (st == KMS_OK)
        st = open_version(txn, &key, number, entry);
    if (st == KMS_OK)
        set_rest(&key, encrypting, entry);
    kms__key_clear(&key);
    KMS__TRY(st);
    entry->kind = (uint8_t)wanted->lookup.kind;
    entry->lookup_len = (uint16_t)wanted->lookup.bytes.len;
    if (encrypting)
        memcpy(entry->reference, wanted->lookup.bytes.data, wanted->lookup.bytes.len);
    entry->incarnation = txn->revision.incarnation;
    atomic_store(&entry->number, txn->revision.number);
    return KMS_OK;
}

/* The slow look, in one snapshot. */
static kms_status look_in_snapshot(kms__txn *txn, void *argument)
{
    request *asked = argument;
    kms__opened *stale = asked->stale, *entry;
    kms_status st;

    if (stale != NULL) {
        if (kms__opened_is_of(stale, &txn->revision))
            asked->holds = txn->now_ms < stale->expires_ms;
        else
            KMS__TRY(entry_holds(txn, stale, &asked->holds));
        if (asked->holds) {
            atomic_store_explicit(&stale->number, txn->revision.number, memory_order_release);
            return KMS_OK;
        }
    }
    KMS__TRY(kms__cache_new(txn->store->cache, &entry));
    st = fill_entry(txn, asked, entry);
    if (st != KMS_OK) {
        kms__cache_discard(txn->store->cache, entry);
        return st;
    }
    asked->fresh = entry;
    return KMS_OK;
}

/* For what is not in the cache, or has another tag than the hint there: stale then. */
static kms_status look(kms_store *store, const wanted_version *wanted, kms__opened *stale,
                       kms__pin *pin)
{
    request asked = {.wanted = wanted, .stale = stale};
    kms_status st = KMS_OK;

    if (wanted->lookup.kind == KMS__LOOKUP_REFERENCE)
        st = kms__reference_parse(wanted->text, &asked.reference);
    if (st == KMS_OK)
        st = kms__store_read(store, look_in_snapshot, &asked);
    if (st == KMS_OK && asked.holds) {
        pin->opened = stale;
        return KMS_OK;
    }
    if (stale != NULL)
        kms__cache_drop(store->cache, stale, pin->thread, pin->hazard);
    KMS__TRY(st);
    kms__cache_add(store->cache, asked.fresh, pin->thread, pin->hazard);
    pin->opened = asked.fresh;
    return KMS_OK;
}

static inline kms_status find_any(kms_store *store, const wanted_version *wanted, kms__pin *pin)
{
    const uint64_t hash = kms__cache_hash(store->cache, &wanted->lookup);
    kms__opened *entry;
    kms_revision hint;
    uint64_t age_ns;

    pin->thread = kms__thread_self();
    if (pin->thread == NULL)
        return kms_error_status();
    if (store->demand_locked && !kms__threads_locked())
        return kms_set_error(KMS_ERR_NOT_LOCKED,
                             "the state of a thread's nonce generator could not be locked in "
                             "memory: raise RLIMIT_MEMLOCK");
    pin->epoch = store->epoch;
    pin->now_ms = kms__store_now_at_most(store);
    /* The hint comes before the entry: an entry that is tagged later can only be newer. */
    KMS__TRY(store->engine->ops->hint(store->engine, &hint, &age_ns));
    entry = kms__cache_pin(store->cache, &wanted->lookup, hash, pin->thread, pin->hazard);
    if (entry == NULL || !kms__opened_is_of(entry, &hint) || pin->now_ms >= entry->expires_ms)
        return look(store, wanted, entry, pin);
    pin->opened = entry;
    return KMS_OK;
}

/* An entry does not say what it was opened for: each operation asks its key's usage for itself. */
static inline kms_status find(kms_store *store, const wanted_version *wanted, unsigned hazard,
                              kms__pin *pin)
{
    kms_status st;

    pin->hazard = hazard;
    KMS__TRY(find_any(store, wanted, pin));
    st = kms__usage_allows((kms_key_usage)pin->opened->usage, pin->opened->key_id,
                           wanted->operation);
    if (st != KMS_OK)
        kms__pin_release(pin);
    return st;
}

kms_status kms__pin_primary(kms_store *store, const char *keyref, unsigned hazard, kms__pin *pin)
{
    return kms__pin_primary_for(store, keyref, KMS_OP_ENCRYPT, hazard, pin);
}

kms_status kms__pin_primary_for(kms_store *store, const char *keyref, kms_operation operation,
                                unsigned hazard, kms__pin *pin)
{
    wanted_version wanted = {.lookup.kind = KMS__LOOKUP_REFERENCE, .operation = operation};

    if (keyref == NULL)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "the key reference is NULL");
    wanted.text = keyref;
    wanted.lookup.bytes = (kms_slice){keyref, strnlen(keyref, KMS__LOOKUP_MAX)};
    return find(store, &wanted, hazard, pin);
}

static kms__lookup lookup_of(const uint8_t version_name[KMS__BLOB_VERSION_NAME])
{
    return (kms__lookup){KMS__LOOKUP_VERSION, {version_name, KMS__BLOB_VERSION_NAME}};
}

/* The name is taken where it stands. Written anew here, its hash would wait for it. */
kms_status kms__pin_version_of(kms_store *store, const kms__blob *blob, unsigned hazard,
                               kms__pin *pin)
{
    const wanted_version wanted = {.lookup = lookup_of(blob->version_name),
                                   .operation = KMS_OP_DECRYPT,
                                   .key_id = blob->key_id,
                                   .version = blob->key_version};

    return find(store, &wanted, hazard, pin);
}

kms_status kms__pin_version_for_deriving(kms_store *store, const uint8_t key_id[KMS__ID_SIZE],
                                         uint32_t version, unsigned hazard, kms__pin *pin)
{
    uint8_t name[KMS__BLOB_VERSION_NAME];
    const wanted_version wanted = {.lookup = lookup_of(name),
                                   .operation = KMS_OP_DERIVE_KEY,
                                   .key_id = key_id,
                                   .version = version};

    kms__blob_write_version_name(name, key_id, version);
    return find(store, &wanted, hazard, pin);
}
