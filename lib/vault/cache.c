#include "vault/cache.h"
#include "base/kept_error.h"
#include "vault/lookup_hash.h"

#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define WAYS 8
/* Slots for each entry that may be there, so that few sets of WAYS overflow. */
#define SLOTS_AN_ENTRY 2
/* Uses remembered of entries that left, and the part of a bound in bytes that they may take. */
#define NOTES_MAX 4096
#define NOTES_PART 8

/* The hash of a lookup as far as a slot keeps it: so much that hardly any other entry is looked at. */
#define TAG_BITS 22

typedef struct slot {
    /* A first look, without a pin; the pinned entry itself decides. The tag of its hash, and behind it
     * where its secret cell is, in lines: so both can be asked for at once. */
    _Atomic uint64_t look;
    _Atomic(kms__opened *) entry;
} slot;

#define SLOTS_A_LINE (KMS__CACHE_LINE / sizeof(slot))

/* Entries are allocated so many at a time: each alone, their alignment would cost a fifth more. */
#define CHUNK 16

typedef struct chunk {
    struct chunk *next;
    kms__opened entries[CHUNK];
} chunk;

/* What an entry takes, at most: with its part of what a chunk costs, its cell in a slab that is half used
 * and its place in the list of free ones, its part of a table that is a power of two, and its note where
 * notes are taken back. */
#define ENTRY_BYTES                                                                                \
    (sizeof(kms__opened) + 16 + 2 * ((size_t)KMS__SECRET_CELL + sizeof(void *)) +                  \
     2 * SLOTS_AN_ENTRY * sizeof(slot) + sizeof(kms__use_note))
/* What there is besides: entries that were allocated with others, among them one that is being opened; and
 * the page that stands before a slab. */
#define FIXED_BYTES (sizeof(chunk) + 4096)

_Static_assert(KMS__CACHE_BYTES_MIN - KMS__CACHE_BYTES_MIN / NOTES_PART - FIXED_BYTES >=
                   16 * ENTRY_BYTES,
               "the least bound has room for the fewest entries");

struct kms__cache {
    /* As it was allocated, and from the first line on. */
    slot *table;
    slot *slots;
    uint64_t set_mask;
    uint64_t multipliers[KMS__HASH_MULTIPLIERS];
    kms__secrets *secrets;
    /* What follows is changed under the mutex alone. */
    pthread_mutex_t mutex;
    uint32_t entries;
    uint32_t entries_max;
    /* Where the search for an entry to evict goes on. */
    uint64_t hand;
    kms__opened *retired;
    kms__opened *spare;
    chunk *chunks;
    /* Made when it is first needed. */
    kms__use_note *notes;
    size_t note_count;
    /* Of entries that left; what is more is forgotten. */
    size_t notes_max;
};

static uint64_t power_of_two_from(uint64_t least)
{
    uint64_t power = 1;

    while (power < least)
        power *= 2;
    return power;
}

/* A set then is whole lines, and the first of them mostly has all its entries. calloc() does not align so far, but leaves zeros of a large table
 * untouched, which aligned_alloc() and memset() would not. */
static slot *first_of_a_line(slot *table)
{
    const size_t beyond = (uintptr_t)table % KMS__CACHE_LINE;

    return beyond == 0 ? table : table + (KMS__CACHE_LINE - beyond) / sizeof *table;
}

static size_t lesser(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void set_bounds(kms__cache *cache, uint32_t entries_max, size_t bytes_max)
{
    size_t notes = NOTES_MAX, entries = entries_max;

    if (bytes_max != 0) {
        notes = lesser(notes, bytes_max / NOTES_PART / sizeof(kms__use_note));
        entries = lesser(entries,
                         (bytes_max - FIXED_BYTES - notes * sizeof(kms__use_note)) / ENTRY_BYTES);
    }
    cache->notes_max = notes;
    cache->entries_max = (uint32_t)entries;
}

kms_status kms__cache_open(kms__cache **cache, kms__secrets *secrets, uint32_t entries_max,
                           size_t bytes_max)
{
    kms__cache *made = calloc(1, sizeof *made);
    uint64_t sets = 0;

    if (made != NULL) {
        set_bounds(made, entries_max, bytes_max);
        sets = power_of_two_from((uint64_t)made->entries_max * SLOTS_AN_ENTRY / WAYS);
        made->table = calloc(sets * WAYS + SLOTS_A_LINE, sizeof *made->slots);
    }
    if (made == NULL || made->table == NULL || pthread_mutex_init(&made->mutex, NULL) != 0) {
        if (made != NULL)
            free(made->table);
        free(made);
        return kms_set_error(KMS_ERR_NO_MEMORY, "out of memory for a cache of %u entries",
                             entries_max);
    }
    made->slots = first_of_a_line(made->table);
    made->set_mask = sets - 1;
    made->secrets = secrets;
    randombytes_buf(made->multipliers, sizeof made->multipliers);
    *cache = made;
    return KMS_OK;
}

static void free_chunk(chunk *old)
{
    for (size_t i = 0; i < CHUNK; i++)
        kms__message_keys_forget(old->entries[i].number_as_owner);
    free(old);
}

void kms__cache_close(kms__cache *cache)
{
    if (cache == NULL)
        return;
    for (chunk *next, *each = cache->chunks; each != NULL; each = next) {
        next = each->next;
        free_chunk(each);
    }
    free(cache->notes);
    free(cache->table);
    pthread_mutex_destroy(&cache->mutex);
    free(cache);
}

static slot *set_of(const kms__cache *cache, uint64_t hash)
{
    return &cache->slots[(hash >> 32 & cache->set_mask) * WAYS];
}

uint64_t kms__cache_hash(const kms__cache *cache, const kms__lookup *lookup)
{
    const uint64_t hash =
        lookup->kind == KMS__LOOKUP_VERSION
            ? kms__hash_version_name(cache->multipliers, lookup->bytes.data)
            : kms__hash_reference(cache->multipliers, lookup->bytes.data, lookup->bytes.len);

    __builtin_prefetch(set_of(cache, hash));
    return hash;
}

static uint64_t look_of(uint64_t hash, const uint8_t *cell)
{
    return hash >> (32 - TAG_BITS) << (64 - TAG_BITS) |
           (uint64_t)((uintptr_t)cell / KMS__SECRET_CELL) << TAG_BITS >> TAG_BITS;
}

static bool has_tag(uint64_t look, uint64_t hash)
{
    return (look ^ look_of(hash, NULL)) >> (64 - TAG_BITS) == 0;
}

/* What a warm call will read, asked for all at once: with many keys in use it is in no near cache. */
static void fetch_ahead(const kms__opened *entry, uint64_t look, kms__lookup_kind kind)
{
    __builtin_prefetch(entry);
    __builtin_prefetch(&entry->used);
    __builtin_prefetch(
        (const void *)(uintptr_t)((look << TAG_BITS >> TAG_BITS) * KMS__SECRET_CELL));
    if (kind == KMS__LOOKUP_REFERENCE)
        __builtin_prefetch(entry->reference);
}

static inline bool is_for(const kms__opened *entry, uint8_t kind, kms_slice lookup)
{
    if (entry->kind != kind || entry->lookup_len != lookup.len)
        return false;
    if (kind == KMS__LOOKUP_VERSION)
        return kms__same_version_name(entry->blob_prefix + KMS__BLOB_VERSION_NAME_AT, lookup.data);
    return memcmp(entry->reference, lookup.data, lookup.len) == 0;
}

static kms__lookup lookup_of(const kms__opened *entry)
{
    return (kms__lookup){(kms__lookup_kind)entry->kind,
                         {kms__opened_lookup(entry), entry->lookup_len}};
}

kms__opened *kms__cache_pin(kms__cache *cache, const kms__lookup *lookup, uint64_t hash,
                            kms__thread *thread, unsigned hazard)
{
    slot *set = set_of(cache, hash);

    for (size_t way = 0; way < WAYS; way++) {
        const uint64_t look = atomic_load_explicit(&set[way].look, memory_order_relaxed);
        kms__opened *entry;

        if (!has_tag(look, hash))
            continue;
        entry = atomic_load_explicit(&set[way].entry, memory_order_acquire);
        if (entry == NULL)
            continue;
        fetch_ahead(entry, look, lookup->kind);
        /* Sequentially consistent, so that whoever empties the slot either sees the hazard or is
         * seen here to have emptied it. A weaker store was seen to use wiped keys. */
        atomic_store(&thread->hazards[hazard], entry);
        if (atomic_load(&set[way].entry) == entry &&
            is_for(entry, (uint8_t)lookup->kind, lookup->bytes)) {
            if (!atomic_load_explicit(&entry->used, memory_order_relaxed))
                atomic_store_explicit(&entry->used, true, memory_order_relaxed);
            return entry;
        }
        kms__cache_unpin(thread, hazard);
    }
    return NULL;
}

/* The functions below run under the mutex. */

/* Takes an entry's note; false if it was not used since. */
static bool take_note(kms__opened *entry, kms__use_note *note)
{
    note->at_ms = atomic_exchange(&entry->last_use_ms, 0);
    memcpy(note->key_id, entry->key_id, KMS__ID_SIZE);
    note->version = entry->version;
    note->encrypted = entry->kind == KMS__LOOKUP_REFERENCE;
    return note->at_ms != 0;
}

static void keep_note(kms__cache *cache, kms__opened *entry)
{
    if (cache->notes == NULL)
        cache->notes = malloc(cache->notes_max * sizeof *cache->notes);
    if (cache->notes != NULL && cache->note_count < cache->notes_max &&
        take_note(entry, &cache->notes[cache->note_count]))
        cache->note_count++;
}

static void give_spare(kms__cache *cache, kms__opened *entry)
{
    entry->next = cache->spare;
    cache->spare = entry;
}

static void make_spare(kms__cache *cache, kms__opened *entry)
{
    if (atomic_load(&entry->last_use_ms) != 0)
        keep_note(cache, entry);
    kms__message_keys_forget(entry->number_as_owner);
    kms__secret_give(cache->secrets, entry->suite_key);
    memset(entry, 0, sizeof *entry);
    give_spare(cache, entry);
}

/* Whether a cell came free. */
static bool collect_retired(kms__cache *cache)
{
    kms__opened **link = &cache->retired;
    bool any = false;

    while (*link != NULL) {
        kms__opened *entry = *link;

        if (kms__thread_pinned(entry)) {
            link = &entry->next;
            continue;
        }
        *link = entry->next;
        make_spare(cache, entry);
        any = true;
    }
    return any;
}

static void evict(kms__cache *cache, slot *from)
{
    kms__opened *entry = atomic_load(&from->entry);

    if (entry == NULL)
        return;
    atomic_store(&from->entry, NULL);
    cache->entries--;
    entry->next = cache->retired;
    cache->retired = entry;
}

/* Takes the use bit away; whether it was there. */
static bool was_used(slot *at)
{
    kms__opened *entry = atomic_load(&at->entry);

    return entry != NULL && atomic_exchange_explicit(&entry->used, false, memory_order_relaxed);
}

/* Evicts an entry that was not used since the hand came by last; whether there was one. */
static bool evict_any(kms__cache *cache)
{
    uint64_t slots = (cache->set_mask + 1) * WAYS;

    for (uint64_t steps = 0; steps < 2 * slots; steps++) {
        slot *at = &cache->slots[cache->hand];

        cache->hand = (cache->hand + 1) % slots;
        if (atomic_load(&at->entry) != NULL && !was_used(at)) {
            evict(cache, at);
            return true;
        }
    }
    return false;
}

/* The way for an entry: that of the same lookup, else a free one, else one that was not used. */
static slot *place_for(kms__cache *cache, const kms__lookup *lookup, uint64_t hash)
{
    slot *set = set_of(cache, hash);
    slot *place = NULL;

    for (size_t way = 0; way < WAYS; way++) {
        kms__opened *other = atomic_load(&set[way].entry);

        if (other != NULL && is_for(other, (uint8_t)lookup->kind, lookup->bytes))
            return &set[way];
        if (other == NULL && place == NULL)
            place = &set[way];
    }
    for (size_t way = 0; place == NULL && way < WAYS; way++)
        if (!was_used(&set[way]))
            place = &set[way];
    return place != NULL ? place : &set[hash >> 61];
}

_Static_assert(WAYS == 8, "the top three bits of a hash choose among eight ways");

/* The functions above run under the mutex. */

/* Evicts until a cell comes free; false: threads use all that there are. */
static bool free_a_cell(kms__cache *cache)
{
    bool freed;

    pthread_mutex_lock(&cache->mutex);
    freed = collect_retired(cache);
    while (!freed && evict_any(cache))
        freed = collect_retired(cache);
    pthread_mutex_unlock(&cache->mutex);
    return freed;
}

kms_status kms__cache_take_cell(kms__cache *cache, void **cell)
{
    kms__kept_error kept;
    kms_status st;

    kms__error_keep(&kept);
    st = kms__secret_take(cache->secrets, cell);
    if (st != KMS_ERR_NOT_LOCKED)
        return st;
    while (st == KMS_ERR_NOT_LOCKED && free_a_cell(cache))
        st = kms__secret_take(cache->secrets, cell);
    if (st == KMS_OK)
        kms__error_restore(&kept);
    if (st != KMS_ERR_NOT_LOCKED)
        return st;
    return kms_set_error(
        KMS_ERR_NOT_LOCKED,
        "no more memory for secrets could be locked, and every key in the cache is "
        "in use: raise RLIMIT_MEMLOCK (ulimit -l), or open this process' stores "
        "with fewer cache_entries");
}

/* Under the mutex. */
static bool add_spares(kms__cache *cache)
{
    chunk *added = aligned_alloc(KMS__CACHE_LINE, sizeof *added);

    if (added == NULL)
        return false;
    memset(added, 0, sizeof *added);
    added->next = cache->chunks;
    cache->chunks = added;
    for (size_t i = 0; i < CHUNK; i++)
        give_spare(cache, &added->entries[i]);
    return true;
}

static kms__opened *take_spare(kms__cache *cache)
{
    kms__opened *taken = NULL;

    pthread_mutex_lock(&cache->mutex);
    (void)collect_retired(cache);
    if (cache->spare != NULL || add_spares(cache)) {
        taken = cache->spare;
        cache->spare = taken->next;
    }
    pthread_mutex_unlock(&cache->mutex);
    return taken;
}

kms_status kms__cache_new(kms__cache *cache, kms__opened **entry)
{
    kms__opened *made = take_spare(cache);
    void *cell;
    kms_status st;

    if (made == NULL)
        return kms_set_error(KMS_ERR_NO_MEMORY, "out of memory for a cached key");
    st = kms__cache_take_cell(cache, &cell);
    if (st != KMS_OK) {
        kms__cache_discard(cache, made);
        return st;
    }
    made->next = NULL;
    made->suite_key = cell;
    *entry = made;
    return KMS_OK;
}

void kms__opened_keep_message_keys(kms__opened *entry)
{
    if (entry->suite == KMS_SUITE_AES_256_GCM && entry->usage != KMS_KEY_USAGE_DETERMINISTIC)
        entry->number_as_owner = kms__message_keys_owner();
}

void kms__cache_discard(kms__cache *cache, kms__opened *entry)
{
    if (entry == NULL)
        return;
    pthread_mutex_lock(&cache->mutex);
    make_spare(cache, entry);
    pthread_mutex_unlock(&cache->mutex);
}

void kms__cache_add(kms__cache *cache, kms__opened *entry, kms__thread *thread, unsigned hazard)
{
    const kms__lookup lookup = lookup_of(entry);
    const uint64_t hash = kms__cache_hash(cache, &lookup);
    slot *place;

    /* Before anybody can find it, so that nobody can evict it unseen. */
    atomic_store(&thread->hazards[hazard], entry);
    pthread_mutex_lock(&cache->mutex);
    place = place_for(cache, &lookup, hash);
    evict(cache, place);
    if (cache->entries >= cache->entries_max)
        (void)evict_any(cache);
    atomic_store_explicit(&place->look, look_of(hash, entry->suite_key), memory_order_relaxed);
    atomic_store(&place->entry, entry);
    cache->entries++;
    (void)collect_retired(cache);
    pthread_mutex_unlock(&cache->mutex);
}

void kms__cache_drop(kms__cache *cache, const kms__opened *entry, kms__thread *thread,
                     unsigned hazard)
{
    const kms__lookup lookup = lookup_of(entry);
    slot *set = set_of(cache, kms__cache_hash(cache, &lookup));

    pthread_mutex_lock(&cache->mutex);
    kms__cache_unpin(thread, hazard);
    for (size_t way = 0; way < WAYS; way++)
        if (atomic_load(&set[way].entry) == entry)
            evict(cache, &set[way]);
    (void)collect_retired(cache);
    pthread_mutex_unlock(&cache->mutex);
}

/* Entries that were used since. */
static size_t count_used(const kms__cache *cache)
{
    size_t used = 0;

    for (uint64_t i = 0; i < (cache->set_mask + 1) * WAYS; i++) {
        const kms__opened *entry = atomic_load(&cache->slots[i].entry);

        if (entry != NULL && atomic_load(&entry->last_use_ms) != 0)
            used++;
    }
    return used;
}

static void take_notes(kms__cache *cache, kms__use_note *all, size_t room, size_t *count)
{
    if (cache->note_count > 0)
        memcpy(all, cache->notes, cache->note_count * sizeof *all);
    *count = cache->note_count;
    cache->note_count = 0;
    for (uint64_t i = 0; i < (cache->set_mask + 1) * WAYS && *count < room; i++) {
        kms__opened *entry = atomic_load(&cache->slots[i].entry);

        if (entry != NULL && take_note(entry, &all[*count]))
            ++*count;
    }
}

kms_status kms__cache_collect_uses(kms__cache *cache, kms__use_note **notes, size_t *count)
{
    kms__use_note *all = NULL;
    size_t room;

    *count = 0;
    pthread_mutex_lock(&cache->mutex);
    collect_retired(cache);
    room = cache->note_count + count_used(cache);
    if (room > 0)
        all = malloc(room * sizeof *all);
    if (all != NULL)
        take_notes(cache, all, room, count);
    pthread_mutex_unlock(&cache->mutex);
    if (room > 0 && all == NULL)
        return kms_set_error(KMS_ERR_NO_MEMORY, "out of memory for the uses of %zu versions", room);
    *notes = all;
    return KMS_OK;
}

/* The notes at hand and `count` more, as far as there is room for them. */
static size_t make_room_for_notes(kms__cache *cache, size_t count)
{
    size_t most = cache->notes_max + cache->entries_max;
    size_t wanted = lesser(cache->note_count + count, most);
    size_t room = wanted > cache->notes_max ? wanted : cache->notes_max;
    kms__use_note *notes = realloc(cache->notes, room * sizeof *notes);

    if (notes == NULL)
        return 0;
    cache->notes = notes;
    return wanted - cache->note_count;
}

void kms__cache_keep_uses(kms__cache *cache, const kms__use_note *notes, size_t count)
{
    size_t taken;

    pthread_mutex_lock(&cache->mutex);
    taken = make_room_for_notes(cache, count);
    if (taken > 0)
        memcpy(cache->notes + cache->note_count, notes, taken * sizeof *notes);
    cache->note_count += taken;
    pthread_mutex_unlock(&cache->mutex);
}
