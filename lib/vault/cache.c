#include "vault/cache.h"
#include "base/kept_error.h"

#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define WAYS 8
/* Slots for each entry that may be there, so that few sets of WAYS overflow. */
#define SLOTS_AN_ENTRY 2
/* Uses remembered of entries that left; what is more is forgotten. */
#define NOTES_MAX 4096

typedef struct slot {
    /* A first look, without a pin; the pinned entry itself decides. */
    _Atomic uint64_t hash;
    _Atomic(kms__opened *) entry;
} slot;

struct kms__cache {
    slot *slots;
    uint64_t set_mask;
    uint8_t hash_key[crypto_shorthash_KEYBYTES];
    uint64_t multipliers[2];
    kms__secrets *secrets;
    /* What follows is changed under the mutex alone. */
    pthread_mutex_t mutex;
    uint32_t entries;
    uint32_t entries_max;
    /* Where the search for an entry to evict goes on. */
    uint64_t hand;
    kms__opened *retired;
    kms__opened *spare;
    /* Made when it is first needed. */
    kms__use_note *notes;
    size_t note_count;
};

static uint64_t power_of_two_from(uint64_t least)
{
    uint64_t power = 1;

    while (power < least)
        power *= 2;
    return power;
}

kms_status kms__cache_open(kms__cache **cache, kms__secrets *secrets, uint32_t entries_max)
{
    uint64_t sets = power_of_two_from((uint64_t)entries_max * SLOTS_AN_ENTRY / WAYS);
    kms__cache *made = calloc(1, sizeof *made);

    if (made != NULL)
        made->slots = calloc(sets * WAYS, sizeof *made->slots);
    if (made == NULL || made->slots == NULL || pthread_mutex_init(&made->mutex, NULL) != 0) {
        if (made != NULL)
            free(made->slots);
        free(made);
        return kms_set_error(KMS_ERR_NO_MEMORY, "out of memory for a cache of %u entries",
                             entries_max);
    }
    made->set_mask = sets - 1;
    made->secrets = secrets;
    made->entries_max = entries_max;
    randombytes_buf(made->hash_key, sizeof made->hash_key);
    randombytes_buf(made->multipliers, sizeof made->multipliers);
    made->multipliers[0] |= 1;
    made->multipliers[1] |= 1;
    *cache = made;
    return KMS_OK;
}

static void free_entry(kms__opened *entry)
{
    if (entry != NULL)
        kms__message_keys_forget(entry->number_as_owner);
    free(entry);
}

static void free_list(kms__opened *entry)
{
    while (entry != NULL) {
        kms__opened *next = entry->next;

        free_entry(entry);
        entry = next;
    }
}

void kms__cache_close(kms__cache *cache)
{
    if (cache == NULL)
        return;
    for (uint64_t i = 0; i < (cache->set_mask + 1) * WAYS; i++)
        free_entry(atomic_load(&cache->slots[i].entry));
    free_list(cache->retired);
    free_list(cache->spare);
    free(cache->notes);
    free(cache->slots);
    pthread_mutex_destroy(&cache->mutex);
    free(cache);
}

/* Key ids are drawn at random, by the library, so whoever chooses what is asked for does not choose what
 * is in the table: a multiplication by an odd secret spreads them, in a fifth of SipHash's time. */
static uint64_t hash_of_version(const kms__cache *cache, const uint8_t *bytes)
{
    uint64_t halves[2];
    uint32_t version;

    memcpy(halves, bytes, sizeof halves);
    memcpy(&version, bytes + KMS__ID_SIZE, sizeof version);
    halves[0] = (halves[0] + version) * cache->multipliers[0];
    halves[1] = (halves[1] ^ halves[0] >> 32) * cache->multipliers[1];
    return halves[1] ^ halves[1] >> 32;
}

static uint64_t hash_of(const kms__cache *cache, uint8_t kind, const void *bytes, size_t len)
{
    uint64_t hash;

    if (kind == KMS__LOOKUP_VERSION)
        return hash_of_version(cache, bytes);
    (void)crypto_shorthash((unsigned char *)&hash, bytes, len, cache->hash_key);
    return hash ^ kind;
}

static slot *set_of(const kms__cache *cache, uint64_t hash)
{
    return &cache->slots[(hash & cache->set_mask) * WAYS];
}

/* What a warm call will read, asked for before it is needed: with many keys in use it is not in the
 * nearer caches. */
static void fetch_ahead(const kms__opened *entry)
{
    __builtin_prefetch(&entry->suite);
    __builtin_prefetch(&entry->lookup[32]);
}

static bool is_for(const kms__opened *entry, uint8_t kind, const void *bytes, size_t len)
{
    return entry->kind == kind && entry->lookup_len == len &&
           memcmp(entry->lookup, bytes, len) == 0;
}

kms__opened *kms__cache_pin(kms__cache *cache, const kms__lookup *lookup, kms__thread *thread,
                            unsigned hazard)
{
    uint64_t hash = hash_of(cache, (uint8_t)lookup->kind, lookup->bytes.data, lookup->bytes.len);
    slot *set = set_of(cache, hash);

    for (size_t way = 0; way < WAYS; way++) {
        kms__opened *entry;

        if (atomic_load_explicit(&set[way].hash, memory_order_relaxed) != hash)
            continue;
        entry = atomic_load_explicit(&set[way].entry, memory_order_acquire);
        if (entry == NULL)
            continue;
        fetch_ahead(entry);
        /* Sequentially consistent, so that whoever empties the slot either sees the hazard or is
         * seen here to have emptied it. A weaker store was seen to use wiped keys. */
        atomic_store(&thread->hazards[hazard], entry);
        if (atomic_load(&set[way].entry) == entry &&
            is_for(entry, (uint8_t)lookup->kind, lookup->bytes.data, lookup->bytes.len)) {
            __builtin_prefetch(entry->suite_key);
            if (!atomic_load_explicit(&entry->used, memory_order_relaxed))
                atomic_store_explicit(&entry->used, true, memory_order_relaxed);
            return entry;
        }
        kms__cache_unpin(thread, hazard);
    }
    return NULL;
}

void kms__cache_unpin(kms__thread *thread, unsigned hazard)
{
    atomic_store_explicit(&thread->hazards[hazard], NULL, memory_order_release);
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
        cache->notes = malloc(NOTES_MAX * sizeof *cache->notes);
    if (cache->notes != NULL && cache->note_count < NOTES_MAX &&
        take_note(entry, &cache->notes[cache->note_count]))
        cache->note_count++;
}

static void make_spare(kms__cache *cache, kms__opened *entry)
{
    if (atomic_load(&entry->last_use_ms) != 0)
        keep_note(cache, entry);
    kms__message_keys_forget(entry->number_as_owner);
    kms__secret_give(cache->secrets, entry->suite_key);
    memset(entry, 0, sizeof *entry);
    entry->next = cache->spare;
    cache->spare = entry;
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
static slot *place_for(kms__cache *cache, const kms__opened *entry, uint64_t hash)
{
    slot *set = set_of(cache, hash);
    slot *place = NULL;

    for (size_t way = 0; way < WAYS; way++) {
        kms__opened *other = atomic_load(&set[way].entry);

        if (other != NULL && is_for(other, entry->kind, entry->lookup, entry->lookup_len))
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

kms_status kms__cache_new(kms__cache *cache, kms__opened **entry)
{
    kms__opened *made;
    void *cell;
    kms_status st;

    pthread_mutex_lock(&cache->mutex);
    (void)collect_retired(cache);
    made = cache->spare;
    if (made != NULL)
        cache->spare = made->next;
    pthread_mutex_unlock(&cache->mutex);
    if (made == NULL)
        made = calloc(1, sizeof *made);
    if (made == NULL)
        return kms_set_error(KMS_ERR_NO_MEMORY, "out of memory for a cached key");
    st = kms__cache_take_cell(cache, &cell);
    if (st != KMS_OK) {
        free(made);
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
    uint64_t hash = hash_of(cache, entry->kind, entry->lookup, entry->lookup_len);
    slot *place;

    /* Before anybody can find it, so that nobody can evict it unseen. */
    atomic_store(&thread->hazards[hazard], entry);
    pthread_mutex_lock(&cache->mutex);
    place = place_for(cache, entry, hash);
    evict(cache, place);
    if (cache->entries >= cache->entries_max)
        (void)evict_any(cache);
    atomic_store_explicit(&place->hash, hash, memory_order_relaxed);
    atomic_store(&place->entry, entry);
    cache->entries++;
    (void)collect_retired(cache);
    pthread_mutex_unlock(&cache->mutex);
}

void kms__cache_drop(kms__cache *cache, const kms__opened *entry, kms__thread *thread,
                     unsigned hazard)
{
    slot *set = set_of(cache, hash_of(cache, entry->kind, entry->lookup, entry->lookup_len));

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
    size_t most = NOTES_MAX + (size_t)cache->entries_max;
    size_t wanted = cache->note_count + count < most ? cache->note_count + count : most;
    size_t room = wanted > NOTES_MAX ? wanted : NOTES_MAX;
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
