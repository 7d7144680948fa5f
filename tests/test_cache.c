/* The cache of opened versions: what is pinned is never wiped, what is evicted always is, and it
 * stays within its bounds. */
#include "base/fork.h"
#include "support/lmdb_trial.h"
#include "support/plain_main.h"
#include "vault/cache.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define KEY_SIZE 32
#define LOOKUP_SIZE 20
#define MANY 10000

static kms__secrets *secrets;
static kms__cache *cache;

static void open_cache(uint32_t entries)
{
    ck_assert_int_eq(kms__fork_init(), KMS_OK);
    ck_assert_int_eq(kms__secrets_open(&secrets, false), KMS_OK);
    ck_assert_int_eq(kms__cache_open(&cache, secrets, entries, 0), KMS_OK);
}

static void close_cache(void)
{
    kms__cache_close(cache);
    kms__secrets_close(secrets);
}

/* --- Entries: number n is found by a text of n, and its key is a pattern of n ------------------ */

typedef struct name {
    char text[LOOKUP_SIZE];
    kms__lookup lookup;
} name;

static const kms__lookup *name_of(uint32_t number, name *room)
{
    memset(room, 0, sizeof *room);
    memset(room->text, 'a', sizeof room->text);
    memcpy(room->text + sizeof room->text - sizeof number, &number, sizeof number);
    room->lookup = (kms__lookup){KMS__LOOKUP_VERSION, {room->text, sizeof room->text}};
    return &room->lookup;
}

static uint8_t pattern(uint32_t number, size_t at)
{
    return (uint8_t)(1 + (number * 37 + at * 11) % 255);
}

static bool is_whole(const kms__opened *entry, uint32_t number)
{
    name room;

    name_of(number, &room);
    if (entry->version != number || entry->lookup_len != LOOKUP_SIZE ||
        memcmp(kms__opened_lookup(entry), room.text, LOOKUP_SIZE) != 0)
        return false;
    for (size_t i = 0; i < KEY_SIZE; i++)
        if (entry->suite_key[i] != pattern(number, i))
            return false;
    return true;
}

static kms__opened *make_entry(const kms__lookup *lookup, uint32_t number)
{
    kms__opened *entry = NULL;

    if (kms__cache_new(cache, &entry) != KMS_OK)
        abort();
    entry->kind = (uint8_t)lookup->kind;
    entry->lookup_len = (uint16_t)lookup->bytes.len;
    memcpy(entry->blob_prefix + KMS__BLOB_VERSION_NAME_AT, lookup->bytes.data, lookup->bytes.len);
    entry->version = number;
    for (size_t i = 0; i < KEY_SIZE; i++)
        entry->suite_key[i] = pattern(number, i);
    return entry;
}

/* Adds entry `number`, and leaves it pinned. */
static kms__opened *add(uint32_t number, unsigned hazard)
{
    name room;
    kms__opened *entry = make_entry(name_of(number, &room), number);

    kms__cache_add(cache, entry, kms__thread_self(), hazard);
    return entry;
}

static void add_unpinned(uint32_t number)
{
    add(number, 1);
    kms__cache_unpin(kms__thread_self(), 1);
}

static kms__opened *pin_as(const kms__lookup *lookup, unsigned hazard)
{
    return kms__cache_pin(cache, lookup, kms__cache_hash(cache, lookup), kms__thread_self(),
                          hazard);
}

static kms__opened *pin(uint32_t number, unsigned hazard)
{
    name room;

    return pin_as(name_of(number, &room), hazard);
}

static void unpin(unsigned hazard)
{
    kms__cache_unpin(kms__thread_self(), hazard);
}

static bool is_cached(uint32_t number)
{
    bool found = pin(number, 0) != NULL;

    unpin(0);
    return found;
}

static bool is_wiped(const uint8_t *cell)
{
    return sodium_is_zero(cell, KMS__SECRET_CELL) == 1;
}

/* Has the cache look at what it has retired. */
static void collect(void)
{
    kms__opened *entry = NULL;

    ck_assert_int_eq(kms__cache_new(cache, &entry), KMS_OK);
    kms__cache_discard(cache, entry);
}

/* --- One thread ------------------------------------------------------------------------------- */

START_TEST(test_finds_what_was_added_and_nothing_else)
{
    name room;
    kms__lookup lookup;

    open_cache(16);
    add_unpinned(1);
    ck_assert_ptr_nonnull(pin(1, 0));
    ck_assert(is_whole(pin(1, 0), 1));
    ck_assert_ptr_null(pin(2, 0));
    lookup = *name_of(1, &room);
    lookup.bytes.len--;
    ck_assert_ptr_null(pin_as(&lookup, 0));
    lookup.bytes.len++;
    lookup.kind = KMS__LOOKUP_REFERENCE;
    ck_assert_ptr_null(pin_as(&lookup, 0));
    close_cache();
}
END_TEST

/* Hashes of two lookups may be equal, and a slot's hash may be that of the entry before: so the entry
 * itself decides. Here it becomes another lookup's under a slot's hash that stays. */
START_TEST(test_a_hash_alone_finds_nothing)
{
    static const char *const alterations[] = {"none", "bytes", "length", "kind"};

    for (int i = 0; i < 4; i++) {
        kms__opened *entry;

        open_cache(16);
        entry = add(1, 0);
        unpin(0);
        entry->blob_prefix[KMS__BLOB_VERSION_NAME_AT + LOOKUP_SIZE - 1] ^= i == 1;
        entry->lookup_len = i == 2 ? LOOKUP_SIZE - 1 : LOOKUP_SIZE;
        if (i == 3)
            entry->kind = KMS__LOOKUP_REFERENCE;
        ck_assert_msg(pin(1, 0) == (i == 0 ? entry : NULL), "altered: %s", alterations[i]);
        ck_assert_ptr_eq(atomic_load(&kms__thread_self()->hazards[0]), i == 0 ? entry : NULL);
        unpin(0);
        close_cache();
    }
}
END_TEST

static void write_reference(char *text, size_t len, char last)
{
    memset(text, 'a', len);
    text[len - 1] = last;
}

/* Of every length; each is found, and none that ends otherwise or is longer or shorter. */
START_TEST(test_references_of_every_length_are_told_apart)
{
    char text[KMS__LOOKUP_MAX + 1];
    kms__lookup lookup = {KMS__LOOKUP_REFERENCE, {text, 0}};

    open_cache(2048);
    for (size_t len = 1; len <= KMS__LOOKUP_MAX; len++) {
        kms__opened *entry = NULL;

        lookup.bytes.len = len;
        write_reference(text, len, 'b');
        ck_assert_int_eq(kms__cache_new(cache, &entry), KMS_OK);
        entry->kind = KMS__LOOKUP_REFERENCE;
        entry->lookup_len = (uint16_t)len;
        memcpy(entry->reference, text, len);
        kms__cache_add(cache, entry, kms__thread_self(), 0);
        ck_assert_ptr_eq(pin_as(&lookup, 0), entry);
        write_reference(text, len, 'c');
        ck_assert_ptr_null(pin_as(&lookup, 0));
    }
    for (size_t len = 1; len <= KMS__LOOKUP_MAX; len++) {
        lookup.bytes.len = len;
        write_reference(text, len, 'b');
        ck_assert_ptr_nonnull(pin_as(&lookup, 0));
        ck_assert_uint_eq(pin_as(&lookup, 0)->lookup_len, len);
    }
    unpin(0);
    close_cache();
}
END_TEST

START_TEST(test_stays_within_its_bound)
{
    const uint32_t bounds[] = {1, 4, 16, 100};

    for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; i++) {
        uint32_t found = 0;

        open_cache(bounds[i]);
        for (uint32_t n = 0; n < MANY; n++)
            add_unpinned(n);
        for (uint32_t n = 0; n < MANY; n++)
            found += is_cached(n);
        ck_assert_uint_ge(found, 1);
        ck_assert_uint_le(found, bounds[i]);
        ck_assert(is_cached(MANY - 1));
        close_cache();
    }
}
END_TEST

static size_t remember(const void **seen, size_t count, const void *one)
{
    for (size_t i = 0; i < count; i++)
        if (seen[i] == one)
            return count;
    seen[count] = one;
    return count + 1;
}

/* Neither the cells of locked memory nor the entries pile up. */
START_TEST(test_cells_and_entries_are_used_again)
{
    static const void *cells[MANY], *entries[MANY];
    size_t cell_count = 0, entry_count = 0;

    open_cache(16);
    for (uint32_t n = 0; n < MANY; n++) {
        kms__opened *entry = add(n, 0);

        cell_count = remember(cells, cell_count, entry->suite_key);
        entry_count = remember(entries, entry_count, entry);
        unpin(0);
    }
    ck_assert_uint_ge(cell_count, 16);
    ck_assert_uint_le(cell_count, 16 + 3);
    ck_assert_uint_le(entry_count, 16 + 3);
    close_cache();
}
END_TEST

START_TEST(test_dropped_entry_is_wiped_at_once)
{
    kms__opened *entry;
    const uint8_t *cell;

    open_cache(16);
    add_unpinned(7);
    entry = pin(7, 0);
    cell = entry->suite_key;
    kms__cache_drop(cache, entry, kms__thread_self(), 0);
    ck_assert(is_wiped(cell));
    ck_assert(!is_cached(7));
    close_cache();
}
END_TEST

START_TEST(test_pinned_entry_is_wiped_when_it_is_free)
{
    kms__opened *entry;
    const uint8_t *cell;

    open_cache(4);
    entry = add(7, 0);
    cell = entry->suite_key;
    for (uint32_t n = 100; n < 200; n++)
        add_unpinned(n);
    ck_assert(is_whole(entry, 7));
    kms__cache_drop(cache, entry, kms__thread_self(), 1);
    ck_assert_ptr_null(pin(7, 1));
    ck_assert(is_whole(entry, 7));
    unpin(0);
    collect();
    ck_assert(is_wiped(cell));
    close_cache();
}
END_TEST

START_TEST(test_discarded_entry_is_wiped)
{
    kms__opened *entry;
    const uint8_t *cell;
    name room;

    open_cache(4);
    entry = make_entry(name_of(3, &room), 3);
    cell = entry->suite_key;
    ck_assert(!is_wiped(cell));
    kms__cache_discard(cache, entry);
    ck_assert(is_wiped(cell));
    ck_assert(!is_cached(3));
    close_cache();
}
END_TEST

START_TEST(test_newer_entry_takes_the_place_of_an_older_one)
{
    kms__opened *older, *newer;
    uint32_t found = 0;

    open_cache(16);
    older = add(5, 0);
    newer = add(5, 1);
    ck_assert_ptr_ne(older, newer);
    ck_assert_ptr_eq(pin(5, 1), newer);
    ck_assert(is_whole(older, 5));
    unpin(0);
    unpin(1);
    for (unsigned i = 0; i < 1000; i++)
        add_unpinned(5);
    for (uint32_t n = 0; n < 15; n++)
        add_unpinned(100 + n);
    for (uint32_t n = 0; n < 15; n++)
        found += is_cached(100 + n);
    /* The older ones take no room. A set may overflow before the cache does, but not so often. */
    ck_assert_uint_ge(found, 8);
    close_cache();
}
END_TEST

/* A working set that fits stays, whatever else goes by once. */
START_TEST(test_entries_in_use_stay)
{
    open_cache(64);
    add_unpinned(1);
    add_unpinned(2);
    for (uint32_t n = 100; n < MANY; n++) {
        ck_assert(is_cached(1));
        ck_assert(is_cached(2));
        add_unpinned(n);
    }
    close_cache();
}
END_TEST

/* --- Many threads ----------------------------------------------------------------------------- */

#define NUMBERS 48
#define ROUNDS 60000
#define USERS 4

typedef struct user {
    pthread_t thread;
    uint32_t seed;
    unsigned long hits;
    unsigned long torn;
} user;

/* Looks at it for a while, as sealing a message does. */
static bool stays_whole(const kms__opened *entry, uint32_t number, bool yields)
{
    for (unsigned look = 0; look < 4; look++) {
        if (!is_whole(entry, number))
            return false;
        if (yields)
            sched_yield();
    }
    return true;
}

static uint32_t draw(user *u)
{
    u->seed = u->seed * 1664525u + 1013904223u;
    return u->seed >> 16;
}

static void use_one(user *u)
{
    uint32_t first = draw(u) % NUMBERS, second = draw(u) % NUMBERS;
    bool yields = draw(u) % 8 == 0;
    kms__opened *held = pin(first, 0);
    kms__opened *other = pin(second, 1);

    u->hits += held != NULL || other != NULL;
    if (held == NULL)
        held = add(first, 0);
    u->torn += !stays_whole(held, first, yields);
    u->torn += other != NULL && !stays_whole(other, second, yields);
    unpin(1);
    if (draw(u) % 16 == 0)
        kms__cache_drop(cache, held, kms__thread_self(), 0);
    else
        unpin(0);
}

static void *use_many(void *argument)
{
    user *u = argument;

    for (unsigned i = 0; i < ROUNDS; i++)
        use_one(u);
    return NULL;
}

/* Three times as many numbers as entries: whatever one thread uses, another one evicts. */
START_TEST(test_threads_never_use_what_others_evict)
{
    user users[USERS];
    unsigned long hits = 0, torn = 0;

    open_cache(16);
    for (uint32_t i = 0; i < USERS; i++) {
        users[i] = (user){.seed = i + 1};
        ck_assert_int_eq(pthread_create(&users[i].thread, NULL, use_many, &users[i]), 0);
    }
    for (uint32_t i = 0; i < USERS; i++) {
        pthread_join(users[i].thread, NULL);
        hits += users[i].hits;
        torn += users[i].torn;
    }
    ck_assert_uint_gt(hits, ROUNDS / 10);
    ck_assert_uint_eq(torn, 0);
    close_cache();
}
END_TEST

/* The closest race: what one thread finds, another one is replacing by a new entry of the same
 * lookup, for which it uses the same memory again. */
#define FINDERS 2
#define REPLACEMENTS 400000
/* Signals make it slower, and what they are for is rarer. */
#define REPLACEMENTS_HELD_UP 1500000
#define REPLACEMENTS_A_SIGNAL 8

typedef struct race {
    atomic_bool over;
    atomic_ulong hits;
    atomic_ulong torn;
} race;

static void hold_up(int signal_number)
{
    (void)signal_number;
    for (volatile unsigned i = 0; i < 700; i++)
        continue;
}

static void *find_again_and_again(void *argument)
{
    race *r = argument;
    unsigned long hits = 0, torn = 0;

    while (!atomic_load_explicit(&r->over, memory_order_relaxed)) {
        const kms__opened *entry = pin(1, 0);

        if (entry == NULL)
            continue;
        hits++;
        torn += !stays_whole(entry, 1, false);
        unpin(0);
    }
    atomic_fetch_add(&r->hits, hits);
    atomic_fetch_add(&r->torn, torn);
    return NULL;
}

static void replace_while_it_is_used(unsigned replacements, bool holding_up)
{
    struct sigaction action = {.sa_handler = hold_up};
    pthread_t threads[FINDERS];
    race r = {false, 0, 0};

    open_cache(1);
    ck_assert_int_eq(sigaction(SIGUSR1, &action, NULL), 0);
    for (size_t i = 0; i < FINDERS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, find_again_and_again, &r), 0);
    for (unsigned n = 0; n < replacements; n++) {
        add_unpinned(1);
        if (holding_up && n % REPLACEMENTS_A_SIGNAL == 0)
            pthread_kill(threads[n / REPLACEMENTS_A_SIGNAL % FINDERS], SIGUSR1);
    }
    atomic_store(&r.over, true);
    for (size_t i = 0; i < FINDERS; i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_gt(atomic_load(&r.hits), 100);
    ck_assert_uint_eq(atomic_load(&r.torn), 0);
    close_cache();
}

START_TEST(test_replaced_while_it_is_used)
{
    replace_while_it_is_used(REPLACEMENTS, false);
}
END_TEST

/* Signals hold the finding threads up at any instruction, so that much happens between one and the
 * next. */
START_TEST(test_replaced_while_its_user_is_held_up)
{
    replace_while_it_is_used(trial_is_watched() ? REPLACEMENTS : REPLACEMENTS_HELD_UP, true);
}
END_TEST

/* More pins than the cache has entries: nobody waits, and nothing that is held is wiped. */
#define HOLDERS 12

typedef struct holder {
    pthread_t thread;
    pthread_barrier_t *barrier;
    uint32_t number;
    bool whole;
} holder;

static void *hold(void *argument)
{
    holder *h = argument;
    kms__opened *first = add(h->number, 0), *second = add(h->number + HOLDERS, 1);

    pthread_barrier_wait(h->barrier);
    /* The main thread evicts everything meanwhile. */
    pthread_barrier_wait(h->barrier);
    h->whole = is_whole(first, h->number) && is_whole(second, h->number + HOLDERS);
    unpin(0);
    unpin(1);
    return NULL;
}

START_TEST(test_more_pins_than_entries)
{
    pthread_barrier_t barrier;
    holder holders[HOLDERS];

    open_cache(4);
    pthread_barrier_init(&barrier, NULL, HOLDERS + 1);
    for (uint32_t i = 0; i < HOLDERS; i++) {
        holders[i] = (holder){.number = i, .barrier = &barrier};
        ck_assert_int_eq(pthread_create(&holders[i].thread, NULL, hold, &holders[i]), 0);
    }
    pthread_barrier_wait(&barrier);
    for (uint32_t n = 1000; n < 2000; n++)
        add_unpinned(n);
    pthread_barrier_wait(&barrier);
    for (uint32_t i = 0; i < HOLDERS; i++) {
        pthread_join(holders[i].thread, NULL);
        ck_assert(holders[i].whole);
    }
    close_cache();
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        test_finds_what_was_added_and_nothing_else,
        test_a_hash_alone_finds_nothing,
        test_references_of_every_length_are_told_apart,
        test_stays_within_its_bound,
        test_cells_and_entries_are_used_again,
        test_dropped_entry_is_wiped_at_once,
        test_pinned_entry_is_wiped_when_it_is_free,
        test_discarded_entry_is_wiped,
        test_newer_entry_takes_the_place_of_an_older_one,
        test_entries_in_use_stay,
        test_threads_never_use_what_others_evict,
        test_replaced_while_it_is_used,
        test_replaced_while_its_user_is_held_up,
        test_more_pins_than_entries,
    };

    return plain_main("cache", tests, sizeof tests / sizeof tests[0]);
}
