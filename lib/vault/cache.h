/* Opened versions, ready for use: what a warm call needs without asking the engine.
 *
 * The rule of freshness: an entry is tagged with the revision of the snapshot that it was read in,
 * never with the engine's hint, which may run ahead of what snapshots show. A hint equal to the
 * tag is a hit; else the caller looks at a snapshot, and compares the sealed records' marks.
 *
 * The rule of use: a thread publishes an entry as its hazard pointer, and uses it only if the slot
 * holds that pointer still. Whoever evicts empties the slot first and looks at all hazards then;
 * an entry that is pinned waits, retired, until a later call finds it free. Nobody waits for
 * anybody. Entries' memory is reused, and freed only with the store. */
#ifndef KMS__VAULT_CACHE_H
#define KMS__VAULT_CACHE_H

#include "base/id.h"
#include "base/thread.h"
#include "crypto/blob.h"
#include "crypto/message_keys.h"
#include "crypto/secret.h"
#include "vault/record.h"

#include <kms/alias.h>
#include <stdatomic.h>
#include <stddef.h>

/* What an entry is found by: a key reference as the caller wrote it, or key id and version as they
 * stand in a blob's header. */
#define KMS__LOOKUP_MAX KMS_ALIAS_SIZE
#define KMS__VERSION_LOOKUP KMS__BLOB_VERSION_NAME

typedef enum kms__lookup_kind {
    KMS__LOOKUP_REFERENCE = 1,
    KMS__LOOKUP_VERSION = 2
} kms__lookup_kind;

typedef struct kms__lookup {
    kms__lookup_kind kind;
    kms_slice bytes;
} kms__lookup;

/* Records that an entry was made from. */
enum { KMS__MARK_ALIAS, KMS__MARK_KEY, KMS__MARK_VERSION, KMS__MARKS };

/* A version opened for encrypting and decrypting. Nothing of it but the tag, the use bit, the last
 * use and the rest of the rotation changes while it can be found.
 *
 * What a warm call looks at fills two lines of memory, and a third where the entry is found by a
 * reference: with many keys in use, each line more is a wait of its own. */
typedef struct kms__opened {
    _Alignas(KMS__CACHE_LINE) uint64_t incarnation;
    _Atomic uint64_t number;
    /* When it was last used, to the hour, since this was last collected; 0: not. */
    _Atomic int64_t last_use_ms;
    /* What changes by time alone: from when on it may not be used, and within which dates automatic
     * rotation has nothing to do. */
    int64_t expires_ms;
    _Atomic int64_t rest_from_ms;
    _Atomic int64_t rest_until_ms;
    /* The suite's key, in a secret cell; behind it stands the second key. */
    uint8_t *suite_key;
    /* As the owner of message keys that may be kept; 0: of none. */
    _Alignas(8) uint64_t number_as_owner;
    _Atomic bool used;
    /* A kms__lookup_kind, a kms_key_usage and a kms_suite. */
    uint8_t kind;
    uint8_t usage;
    uint8_t suite;
    uint16_t lookup_len;
    /* What an entry of a version is found by stands in here. */
    uint8_t blob_prefix[KMS__BLOB_PREFIX];
    /* Of an entry that is found by a reference. */
    uint8_t reference[KMS__LOOKUP_MAX];
    /* What a call looks at that finds another tag, or that is no plain encryption. */
    bool by_alias;
    /* The key that the alias pointed to before, if it was moved. */
    bool has_previous;
    uint8_t previous[KMS__ID_SIZE];
    uint8_t key_id[KMS__ID_SIZE];
    uint32_t version;
    uint8_t marks[KMS__MARKS][KMS__MARK_SIZE];
    struct kms__opened *next;
} kms__opened;

_Static_assert(offsetof(kms__opened, used) == KMS__CACHE_LINE &&
                   offsetof(kms__opened, reference) == 2 * KMS__CACHE_LINE,
               "two lines, and the reference in the next ones");

/* Where the bytes stand that it is found by: lookup_len of them. */
static inline const uint8_t *kms__opened_lookup(const kms__opened *entry)
{
    return entry->kind == KMS__LOOKUP_VERSION ? entry->blob_prefix + KMS__BLOB_VERSION_NAME_AT
                                              : entry->reference;
}

#define KMS__OPENED_KEY_SIZE 32

_Static_assert(2 * KMS__OPENED_KEY_SIZE == KMS__SECRET_CELL, "a cell has room for two keys");

/* The nonce key of a deterministic key's version; of any other the base of what is derived of it. */
static inline uint8_t *kms__opened_second_key(const kms__opened *entry)
{
    return entry->suite_key + KMS__OPENED_KEY_SIZE;
}

typedef struct kms__cache kms__cache;

#define KMS__CACHE_BYTES_MIN 32768

/* Bounded by both; bytes_max is 0 for no bound, or KMS__CACHE_BYTES_MIN and more. */
kms_status kms__cache_open(kms__cache **cache, kms__secrets *secrets, uint32_t entries_max,
                           size_t bytes_max);

/* Frees everything; the secrets are their pool's to wipe. No thread may be in the cache. */
void kms__cache_close(kms__cache *cache);

/* The hash of a lookup. Asks the processor for where its entry would be found: a caller that has other
 * things to do before it pins the entry need not wait then. */
uint64_t kms__cache_hash(const kms__cache *cache, const kms__lookup *lookup);

/* Finds an entry and pins it with the thread's hazard pointer; NULL if there is none. */
kms__opened *kms__cache_pin(kms__cache *cache, const kms__lookup *lookup, uint64_t hash,
                            kms__thread *thread, unsigned hazard);

static inline void kms__cache_unpin(kms__thread *thread, unsigned hazard)
{
    atomic_store_explicit(&thread->hazards[hazard], NULL, memory_order_release);
}

/* Takes a secret cell for whatever purpose, as kms__secret_take() does; where no more memory can be
 * locked and the pool demands that, entries are evicted for their cells. KMS_ERR_NOT_LOCKED: there
 * was none that nobody uses. Give it back with kms__secret_give(). */
kms_status kms__cache_take_cell(kms__cache *cache, void **cell);

/* An entry to be filled, with a secret cell; nobody else sees it yet. */
kms_status kms__cache_new(kms__cache *cache, kms__opened **entry);

/* Lets message keys of a filled entry be kept, where its suite has them. */
void kms__opened_keep_message_keys(kms__opened *entry);

/* Gives back, wiped, an entry from kms__cache_new() that was not added. */
void kms__cache_discard(kms__cache *cache, kms__opened *entry);

/* Adds a filled entry in place of one of the same lookup, and leaves it pinned. */
void kms__cache_add(kms__cache *cache, kms__opened *entry, kms__thread *thread, unsigned hazard);

/* Removes an entry that no longer holds, if it is there still; it is wiped as soon as nobody has it
 * pinned. The caller's own pin on it is taken away. */
void kms__cache_drop(kms__cache *cache, const kms__opened *entry, kms__thread *thread,
                     unsigned hazard);

/* A use of a version that an entry has seen. */
typedef struct kms__use_note {
    uint8_t key_id[KMS__ID_SIZE];
    uint32_t version;
    bool encrypted;
    int64_t at_ms;
} kms__use_note;

/* Takes the notes of all entries, those that have left meanwhile too; malloc'd, the caller's to
 * free. */
kms_status kms__cache_collect_uses(kms__cache *cache, kms__use_note **notes, size_t *count);

/* Takes notes back that could not be written down. Some are forgotten where they are more than the
 * cache could have made, or where memory is short. */
void kms__cache_keep_uses(kms__cache *cache, const kms__use_note *notes, size_t count);

/* Whether the entry shows this revision. */
static inline bool kms__opened_is_of(const kms__opened *entry, const kms_revision *revision)
{
    return entry->incarnation == revision->incarnation &&
           atomic_load_explicit(&entry->number, memory_order_acquire) == revision->number;
}

#endif
