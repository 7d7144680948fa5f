#include "domain/verify.h"
#include "base/try.h"
#include "domain/alias_record.h"
#include "domain/description.h"
#include "domain/last_use.h"
#include "domain/tags.h"
#include "domain/version_record.h"
#include "wire/wire.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/* The records are visited in the order of their tags: A, B, D, H, I, K, T, U, V. Each kind is checked
 * against those that it names, and all together against the header. */
typedef struct visit {
    kms__txn *txn;
    /* The transaction's copy. Every record that is visited is taken out of its set hash: if all is
     * well, nothing is left of it. */
    kms__header *header;
    uint64_t records;
    /* The key whose versions are being visited. */
    kms__key owner;
    /* A secret cell for material. */
    uint8_t *cell;
} visit;

static kms_status damaged(const kms__record_key *key, const char *what)
{
    char name[KMS__RECORD_NAME_SIZE];

    return kms_set_error(KMS_ERR_CORRUPT, "%s %s", kms__record_name(kms__record_slice(key), name),
                         what);
}

/* The alias' name in a record key, behind `skip` bytes. */
static kms_status name_in(const kms__record_key *key, size_t skip, char name[KMS_ALIAS_SIZE])
{
    if (key->len <= skip || key->len - skip >= KMS_ALIAS_SIZE)
        return damaged(key, "has no alias' name");
    memcpy(name, key->bytes + skip, key->len - skip);
    name[key->len - skip] = '\0';
    return KMS_OK;
}

static kms_status is_there(visit *v, const kms__record_key *of, const kms__record_key *needed)
{
    uint8_t mark[KMS__MARK_SIZE];
    kms_status st = kms__txn_mark(v->txn, needed, mark);

    if (st == KMS_ERR_NOT_FOUND)
        return damaged(of, "names a record that is missing");
    return st;
}

static kms_status check_alias(visit *v, const kms__record_key *key)
{
    char name[KMS_ALIAS_SIZE];
    kms__record_key index, target;
    kms__alias alias;

    KMS__TRY(name_in(key, 1, name));
    KMS__TRY(kms__alias_load(v->txn, name, &alias, NULL));
    index = kms__index_record_key(alias.target, name);
    target = kms__key_record_key(alias.target);
    KMS__TRY(is_there(v, key, &index));
    return is_there(v, key, &target);
}

static kms_status check_index(visit *v, const kms__record_key *key)
{
    uint8_t plain[KMS__INDEX_PLAIN_SIZE];
    char name[KMS_ALIAS_SIZE];
    kms__alias alias;
    kms_status st;

    KMS__TRY(name_in(key, 1 + KMS__ID_SIZE, name));
    KMS__TRY(kms__txn_read(v->txn, key, plain, sizeof plain, NULL));
    st = kms__alias_load(v->txn, name, &alias, NULL);
    if (st == KMS_ERR_ALIAS_NOT_FOUND ||
        (st == KMS_OK && memcmp(alias.target, key->bytes + 1, KMS__ID_SIZE) != 0))
        return damaged(key, "names an alias that does not point to the key");
    return st;
}

/* The primary version's expiry stands in both records. */
static kms_status check_version_of(visit *v, const kms__key *key, uint32_t number)
{
    kms__version_extra extra;

    KMS__TRY(kms__version_load(v->txn, key, number, v->cell, &extra, NULL));
    sodium_memzero(v->cell, KMS__SECRET_CELL);
    if (number == key->primary && extra.expires_ms != key->expires_ms)
        return kms_set_error(KMS_ERR_CORRUPT,
                             "key %s and its version %u tell different dates of expiry",
                             kms__key_text(key).text, number);
    return KMS_OK;
}

/* A key, with the material of each of its versions. */
static kms_status check_key(visit *v, const kms__record_key *record_key)
{
    kms__key key;
    kms_status st = KMS_OK;

    if (record_key->len != 1 + KMS__ID_SIZE)
        return damaged(record_key, "has no key's name");
    KMS__TRY(kms__key_load(v->txn, record_key->bytes + 1, &key, NULL));
    /* A purge that was cut short has taken some of them already. */
    for (uint32_t n = 1; n <= key.version_count && st == KMS_OK && !key.purging; n++)
        st = check_version_of(v, &key, n);
    kms__key_clear(&key);
    return st;
}

/* The versions of a key stand one behind the other. */
static kms_status load_owner(visit *v, const kms__record_key *record_key)
{
    const uint8_t *id = record_key->bytes + 1;
    kms_status st;

    if (v->owner.versions != NULL && memcmp(v->owner.id, id, KMS__ID_SIZE) == 0)
        return KMS_OK;
    kms__key_clear(&v->owner);
    st = kms__key_load(v->txn, id, &v->owner, NULL);
    if (st == KMS_ERR_KEY_NOT_FOUND)
        return damaged(record_key, "names a record that is missing");
    return st;
}

/* Its material was checked with its key; here, that a key knows it. */
static kms_status check_version(visit *v, const kms__record_key *record_key)
{
    kms__reader reader = kms__reader_of(record_key->bytes, record_key->len);
    uint32_t number;

    (void)kms__read_slice(&reader, 1 + KMS__ID_SIZE);
    number = kms__read_u32(&reader);
    if (!kms__reader_ended(&reader))
        return damaged(record_key, "has no version's name");
    KMS__TRY(load_owner(v, record_key));
    if (number < 1 || number > v->owner.version_count)
        return damaged(record_key, "is no version of its key");
    return KMS_OK;
}

/* Reads what a key has in a record of its own. Nothing is kept by having no record. */
static kms_status load_attribute(kms__txn *txn, uint8_t letter, const uint8_t *id, bool *something)
{
    kms__last_uses uses;
    kms__tags tags;
    char *text = NULL;

    switch (letter) {
    case KMS__TAG_DESCRIPTION:
        KMS__TRY(kms__description_load(txn, id, &text));
        *something = text[0] != '\0';
        free(text);
        return KMS_OK;
    case KMS__TAG_TAGS:
        KMS__TRY(kms__tags_load(txn, id, &tags));
        *something = tags.count > 0;
        return KMS_OK;
    default:
        KMS__TRY(kms__last_uses_load(txn, id, &uses));
        *something = uses.count > 0;
        kms__last_uses_clear(&uses);
        return KMS_OK;
    }
}

/* What a key has in a record of its own: can it be read, and is the key there? */
static kms_status check_attribute(visit *v, const kms__record_key *record_key)
{
    const uint8_t *id = record_key->bytes + 1;
    kms__record_key owner;
    bool something = false;

    if (record_key->len != 1 + KMS__ID_SIZE)
        return damaged(record_key, "has no key's name");
    owner = kms__key_record_key(id);
    KMS__TRY(is_there(v, record_key, &owner));
    KMS__TRY(load_attribute(v->txn, record_key->bytes[0], id, &something));
    return something ? KMS_OK : damaged(record_key, "has nothing in it");
}

static kms_status check_boot(kms__txn *txn)
{
    uint8_t hash[KMS__BOOT_HASH_SIZE];
    kms_slice value;
    kms_status st = txn->store->engine->ops->get(txn->engine_txn, kms__boot_key(), &value);

    if (st == KMS_ERR_NOT_FOUND)
        return kms_set_error(KMS_ERR_CORRUPT, "the store's boot record is missing");
    KMS__TRY(st);
    kms__boot_hash(value, hash);
    if (memcmp(hash, txn->header->header.boot_hash, sizeof hash) != 0)
        return kms_set_error(KMS_ERR_CORRUPT,
                             "the store's boot record is not the one that the header names");
    return KMS_OK;
}

/* The two records that the header does not count. */
static bool is_boot_or_header(const kms__record_key *key)
{
    return key->len == 1 && (key->bytes[0] == KMS__TAG_BOOT || key->bytes[0] == KMS__TAG_HEADER);
}

static kms_status check_record(visit *v, const kms__record_key *key)
{
    if (is_boot_or_header(key))
        return KMS_OK;
    switch (key->bytes[0]) {
    case KMS__TAG_ALIAS:
        return check_alias(v, key);
    case KMS__TAG_INDEX:
        return check_index(v, key);
    case KMS__TAG_KEY:
        return check_key(v, key);
    case KMS__TAG_VERSION:
        return check_version(v, key);
    case KMS__TAG_DESCRIPTION:
    case KMS__TAG_TAGS:
    case KMS__TAG_LAST_USE:
        return check_attribute(v, key);
    default:
        return damaged(key, "is in the store");
    }
}

static kms_status take_out(visit *v, const kms__record_key *key)
{
    uint8_t mark[KMS__MARK_SIZE];

    if (is_boot_or_header(key))
        return KMS_OK;
    KMS__TRY(kms__txn_mark(v->txn, key, mark));
    kms__set_hash_toggle(v->header, kms__record_slice(key), mark);
    v->records++;
    return KMS_OK;
}

/* What the store lists is there, with all that it names. */
static kms_status missing_is_damage(const kms__record_key *key, kms_status st)
{
    switch (st) {
    case KMS_ERR_NOT_FOUND:
    case KMS_ERR_KEY_NOT_FOUND:
    case KMS_ERR_ALIAS_NOT_FOUND:
    case KMS_ERR_VERSION_NOT_FOUND:
        return damaged(key, "is listed and cannot be found, or a record that it names cannot");
    default:
        return st;
    }
}

static kms_status visit_one(visit *v, const kms__record_key *key)
{
    kms_status st = check_record(v, key);

    return missing_is_damage(key, st == KMS_OK ? take_out(v, key) : st);
}

static kms_status visit_all(visit *v)
{
    kms__record_key from = {.len = 0};
    kms__key_batch batch;

    do {
        KMS__TRY(kms__txn_scan_keys(v->txn, &from, &batch));
        for (size_t i = 0; i < batch.count; i++)
            KMS__TRY(visit_one(v, &batch.keys[i]));
    } while (kms__key_batch_next(&batch, &from));
    return KMS_OK;
}

static kms_status compare_with_header(const visit *v)
{
    const kms__header *header = v->header;

    if (v->records != header->records)
        return kms_set_error(KMS_ERR_CORRUPT,
                             "the store has %llu records where its header counts %llu: some were "
                             "%s",
                             (unsigned long long)v->records, (unsigned long long)header->records,
                             v->records < header->records ? "removed" : "added");
    if (!sodium_is_zero(header->set_hash, sizeof header->set_hash))
        return kms_set_error(KMS_ERR_CORRUPT,
                             "a record of the store is an older one than the header knows: it was "
                             "replayed");
    return KMS_OK;
}

kms_status kms__verify(kms__txn *txn, void *argument)
{
    visit v = {.txn = txn, .header = &txn->header->header};
    void *cell;
    kms_status st;

    (void)argument;
    KMS__TRY(check_boot(txn));
    KMS__TRY(kms__cache_take_cell(txn->store->cache, &cell));
    v.cell = cell;
    st = visit_all(&v);
    kms__secret_give(txn->store->secrets, cell);
    kms__key_clear(&v.owner);
    return st == KMS_OK ? compare_with_header(&v) : st;
}
