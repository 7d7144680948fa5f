#include "crypto/message_keys.h"
#include "base/fork.h"
#include "base/kept_error.h"
#include "base/slab.h"
#include "crypto/aes256gcm.h"
#include "crypto/generator.h"

#include <signal.h>
#include <sodium.h>
#include <stddef.h>
#include <string.h>
#include <sys/resource.h>

/* Sets and ways. A thread writes under few versions at a time; what it reads back is of many runs. */
#define RUN_SETS 4
#define RUN_WAYS 2
#define READ_SETS 8
#define READ_WAYS 4
#define RUNS (RUN_SETS * RUN_WAYS)
#define KEYS (RUNS + READ_SETS * READ_WAYS)

/* Threads at a time that have places; one more derives a key for each message. */
#define BLOCKS 1024

/* Up to which length libsodium is the faster one by a state that is kept, while libcrypto has its key set
 * and overwritten for each message. Measured with 82 bytes of associated data on a Zen 5 with libsodium
 * 1.0.18 and OpenSSL 3.0, sealing / opening in ns (libsodium does best with multiples of 128 bytes):
 *             64 B        1,024 B     1,088 B     1,152 B     1,408 B     1,536 B      2,048 B
 * libsodium   188 / 212   591 / 710   706 / 852   662 / 796   797 / 964   860 / 1,042  1,137 / 1,352
 * libcrypto   567 / 558   770 / 769   821 / 820   784 / 783   864 / 865   875 / 873    1,002 / 1,001 */
#define SODIUM_SEALS 1408
#define SODIUM_OPENS 1024

/* In an owner's place: somebody is at work there. */
#define BEING_FILLED UINT64_MAX
#define BEING_WIPED (UINT64_MAX - 1)

/* One thread's places, which it alone fills and uses, so that it takes a key without an atomic
 * read-modify-write: what it finds under an owner that it has pinned stays, because nobody forgets an
 * owner that is pinned, nor uses its number again.
 *
 * Only filling meets another thread, one that forgets the place's former owner. Both begin by a
 * compare-and-swap of that owner, so one of them has the place then, and the other leaves it alone.
 * What the loser leaves undone: a thread derives a key for its one message; who forgets leaves the key
 * to the thread that has begun to overwrite it. Keys and states belong to whoever has the place; owners
 * are atomic; the rest is the thread's own.
 *
 * All zero in a forked child, and so nobody's. A child that a signal handler forked, and which returns
 * into a call, sees there that it is one. */
struct kms__message_keys {
    /* The thread's cell; 0: free. */
    _Alignas(KMS__CACHE_LINE) _Atomic uint64_t thread;
    /* The process that locked the memory: a child inherits no locks. */
    uint64_t locked_in;
    /* A key is taken: a signal handler that calls the library meanwhile finds none to be had. */
    volatile sig_atomic_t busy;
    /* Whether libsodium has AES on this processor. */
    bool has_states;
    /* Of each set for reading, which place of it and of the next one is filled where none is empty: in turn,
     * so that a key which is not needed any more gives way to two that are. */
    uint8_t next[READ_SETS];
    uint8_t padding[KMS__CACHE_LINE - 2 * sizeof(uint64_t) - sizeof(sig_atomic_t) - sizeof(bool) -
                    READ_SETS];
    /* What a search looks at. */
    _Atomic uint64_t owner[KEYS];
    /* Of a run: the seed of the generator that it belongs to. Of any other: see mark_of(). */
    uint64_t mark[KEYS];
    /* Each in 16 bytes, so that keys and states begin on a line. */
    uint8_t first_half[KEYS][16];
    uint8_t key[KEYS][KMS__AEAD_KEY_SIZE];
    crypto_aead_aes256gcm_state state[KEYS];
};

_Static_assert(sizeof(kms__message_keys) == KMS__MESSAGE_KEYS_SIZE, "six pages");
_Static_assert(offsetof(kms__message_keys, key) == KMS__MESSAGE_KEYS_SECRETS_AT, "keys come last");

/* Grows only, in ordinary memory: a forked child still finds them. */
static _Atomic(kms__message_keys *) blocks[BLOCKS];
static _Atomic size_t block_count;

static _Atomic uint64_t last_owner;

/* What is attached to a thread that cannot have any. */
static char none;

/* --- Wiping ------------------------------------------------------------------------------------ */

/* Mark and first half are no secrets: blobs show them. */
static void wipe_key(kms__message_keys *keys, size_t at)
{
    sodium_memzero(keys->key[at], sizeof keys->key[at]);
    sodium_memzero(&keys->state[at], sizeof keys->state[at]);
}

static void forget_place(kms__message_keys *keys, size_t at, uint64_t owner)
{
    if (!atomic_compare_exchange_strong_explicit(&keys->owner[at], &owner, BEING_WIPED,
                                                 memory_order_acquire, memory_order_relaxed))
        return;
    wipe_key(keys, at);
    atomic_store_explicit(&keys->owner[at], 0, memory_order_release);
}

static void forget_in(kms__message_keys *keys, uint64_t owner)
{
    for (size_t at = 0; at < KEYS; at++)
        if (atomic_load_explicit(&keys->owner[at], memory_order_relaxed) == owner)
            forget_place(keys, at, owner);
}

/* A thread that had the owner pinned made itself known here before, and filled its places. */
void kms__message_keys_forget(uint64_t owner)
{
    const size_t count = owner == 0 ? 0 : atomic_load(&block_count);

    for (size_t i = 0; i < count; i++) {
        kms__message_keys *keys = atomic_load_explicit(&blocks[i], memory_order_acquire);

        if (keys != NULL && atomic_load_explicit(&keys->thread, memory_order_relaxed) != 0)
            forget_in(keys, owner);
    }
}

uint64_t kms__message_keys_owner(void)
{
    return atomic_fetch_add_explicit(&last_owner, 1, memory_order_relaxed) + 1;
}

/* --- A thread's places ------------------------------------------------------------------------- */

/* As the thread ends. A key that another thread is wiping stays that one's. */
static void give_back(void *attached)
{
    kms__message_keys *keys = attached;

    if (attached == &none)
        return;
    for (size_t at = 0; at < KEYS; at++) {
        const uint64_t owner = atomic_load_explicit(&keys->owner[at], memory_order_relaxed);

        if (owner != 0 && owner != BEING_WIPED)
            forget_place(keys, at, owner);
    }
    keys->busy = 0;
    atomic_store_explicit(&keys->thread, 0, memory_order_release);
}

static bool take_block(kms__message_keys *keys, kms__thread *thread)
{
    uint64_t nobody = 0;

    return atomic_load_explicit(&keys->thread, memory_order_relaxed) == 0 &&
           atomic_compare_exchange_strong_explicit(&keys->thread, &nobody, (uintptr_t)thread,
                                                   memory_order_acquire, memory_order_relaxed);
}

/* Of a thread that ended, or of this process' parent. */
static kms__message_keys *take_free_block(kms__thread *thread)
{
    const size_t count = atomic_load(&block_count);

    for (size_t i = 0; i < count; i++) {
        kms__message_keys *keys = atomic_load_explicit(&blocks[i], memory_order_acquire);

        if (keys != NULL && take_block(keys, thread))
            return keys;
    }
    return NULL;
}

/* At most half of what may be locked: the rest is for what cannot be done without. */
static bool may_lock_one_more(void)
{
    const rlim_t all = ((rlim_t)atomic_load(&block_count) + 1) * KMS__MESSAGE_KEYS_LOCKED;
    struct rlimit limit;

    return getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && all <= limit.rlim_cur / 2;
}

static bool enlist(kms__message_keys *keys)
{
    size_t count = atomic_load(&block_count);

    while (count < BLOCKS)
        if (atomic_compare_exchange_weak(&block_count, &count, count + 1)) {
            atomic_store_explicit(&blocks[count], keys, memory_order_release);
            return true;
        }
    return false;
}

static kms__message_keys *make_block(kms__thread *thread)
{
    kms__message_keys *keys;
    kms__slab slab;

    if (!may_lock_one_more() || kms__slab_make(sizeof *keys, &slab) != KMS_OK)
        return NULL;
    keys = (kms__message_keys *)(void *)slab.start;
    keys->locked_in = slab.locked ? kms__fork_epoch() : 0;
    atomic_store_explicit(&keys->thread, (uintptr_t)thread, memory_order_relaxed);
    if (slab.locked && enlist(keys))
        return keys;
    kms__slab_free(slab.start, slab.size);
    return NULL;
}

static bool is_locked(kms__message_keys *keys)
{
    const uint64_t epoch = kms__fork_epoch();

    if (keys->locked_in != epoch && kms__slab_lock(keys, sizeof *keys))
        keys->locked_in = epoch;
    return keys->locked_in == epoch;
}

/* Tried once a thread. A signal handler that comes between finds none. */
static __attribute__((noinline)) void attach(kms__thread *thread)
{
    kms__message_keys *keys;
    kms__kept_error kept;

    thread->give_back = give_back;
    thread->attached = &none;
    atomic_signal_fence(memory_order_seq_cst);
    kms__error_keep(&kept);
    keys = take_free_block(thread);
    if (keys == NULL)
        keys = make_block(thread);
    kms__error_restore(&kept);
    if (keys == NULL)
        return;
    if (!is_locked(keys)) {
        give_back(keys);
        return;
    }
    keys->has_states = kms__aes256gcm_sodium_available();
    atomic_signal_fence(memory_order_seq_cst);
    thread->attached = keys;
}

/* The thread's places, to be used by nobody else until done() is called; NULL: not now, or never. */
static inline kms__message_keys *begin(kms__thread *thread)
{
    kms__message_keys *keys;

    if (thread->attached == NULL)
        attach(thread);
    if (thread->attached == &none)
        return NULL;
    keys = thread->attached;
    if (keys->busy ||
        atomic_load_explicit(&keys->thread, memory_order_relaxed) != (uintptr_t)thread)
        return NULL;
    keys->busy = 1;
    atomic_signal_fence(memory_order_seq_cst);
    return keys;
}

static void done(kms__message_keys *keys)
{
    atomic_signal_fence(memory_order_seq_cst);
    keys->busy = 0;
}

/* --- Finding a key, or making it --------------------------------------------------------------- */

static bool is_for(const kms__message_keys *keys, size_t at, uint64_t owner, uint64_t mark)
{
    return atomic_load_explicit(&keys->owner[at], memory_order_relaxed) == owner &&
           keys->mark[at] == mark;
}

/* The way of the lowest bit that is set. */
static size_t lowest(unsigned ways)
{
    return (size_t)__builtin_ctz(ways);
}

static size_t run_place(const kms__message_keys *keys, uint64_t owner, size_t any)
{
    const size_t first = owner % RUN_SETS * RUN_WAYS;
    unsigned empty = 0;

    for (size_t way = 0; way < RUN_WAYS; way++) {
        const uint64_t other =
            atomic_load_explicit(&keys->owner[first + way], memory_order_relaxed);

        if (other == owner)
            return first + way;
        empty |= (unsigned)(other == 0) << way;
    }
    return first + (empty != 0 ? lowest(empty) : any % RUN_WAYS);
}

/* Of one first half under one owner. Another pair that has it as well only takes the place of this one. */
static uint64_t mark_of(uint64_t owner, const uint8_t first_half[KMS__NONCE_HALF])
{
    uint64_t beginning;

    memcpy(&beginning, first_half, sizeof beginning);
    return beginning ^ owner;
}

static unsigned empty_ways(const kms__message_keys *keys, size_t first)
{
    unsigned empty = 0;

    for (size_t way = 0; way < READ_WAYS; way++)
        empty |=
            (unsigned)(atomic_load_explicit(&keys->owner[first + way], memory_order_relaxed) == 0)
            << way;
    return empty;
}

_Static_assert(READ_WAYS == 4, "each way's mark is compared below");

/* All are looked at without a branch, since which of them it is cannot be foretold. */
static inline unsigned same_ways(const kms__message_keys *keys, size_t first, uint64_t mark)
{
    const uint64_t *marks = &keys->mark[first];

    return (unsigned)(marks[0] == mark) | (unsigned)(marks[1] == mark) << 1 |
           (unsigned)(marks[2] == mark) << 2 | (unsigned)(marks[3] == mark) << 3;
}

static size_t first_of(size_t set)
{
    return RUNS + set * READ_WAYS;
}

/* Not in its own set: then in the next one, where a set that is full finds room, or where there is any. */
static size_t other_reading_place(kms__message_keys *keys, uint64_t mark, size_t set)
{
    const size_t first = first_of(set), second = first_of(set ^ 1);
    unsigned ways = same_ways(keys, second, mark);

    if (ways != 0)
        return second + lowest(ways);
    ways = empty_ways(keys, first);
    if (ways != 0)
        return first + lowest(ways);
    ways = empty_ways(keys, second);
    if (ways != 0)
        return second + lowest(ways);
    ways = keys->next[set]++;
    return first_of(set ^ (ways & 1)) + (ways >> 1) % READ_WAYS;
}

static inline size_t reading_place(kms__message_keys *keys, uint64_t mark, size_t number)
{
    const size_t set = number % READ_SETS;
    const unsigned ways = same_ways(keys, first_of(set), mark);

    return ways != 0 ? first_of(set) + lowest(ways) : other_reading_place(keys, mark, set);
}

/* In the place of whatever key was there. false: that is being wiped just now. */
static bool fill(kms__message_keys *keys, size_t at, uint64_t owner, uint64_t mark,
                 const uint8_t *suite_key, const uint8_t first_half[KMS__NONCE_HALF])
{
    uint64_t former = atomic_load_explicit(&keys->owner[at], memory_order_relaxed);

    if (former == BEING_WIPED ||
        !atomic_compare_exchange_strong_explicit(&keys->owner[at], &former, BEING_FILLED,
                                                 memory_order_acquire, memory_order_relaxed))
        return false;
    wipe_key(keys, at);
    keys->mark[at] = mark;
    memcpy(keys->first_half[at], first_half, KMS__NONCE_HALF);
    kms__suite_2_message_key(suite_key, first_half, keys->key[at]);
    if (keys->has_states)
        (void)crypto_aead_aes256gcm_beforenm(&keys->state[at], keys->key[at]);
    atomic_store_explicit(&keys->owner[at], owner, memory_order_release);
    return true;
}

/* The half with the processor's random number in it, so that of two copies of a machine each begins
 * runs of its own. */
static bool begin_run(kms__message_keys *keys, size_t at, uint64_t owner, uint64_t seed,
                      kms__thread *thread, const uint8_t *suite_key)
{
    uint8_t nonce[KMS__NONCE_SIZE];

    kms__nonce(thread, nonce);
    return fill(keys, at, owner, seed, suite_key, nonce + KMS__NONCE_HALF);
}

bool kms__message_key_of_run(kms__thread *thread, uint64_t owner, const uint8_t *suite_key,
                             uint8_t nonce[KMS__AEAD_NONCE_SIZE], kms__message_key *key)
{
    kms__message_keys *keys = begin(thread);
    uint64_t seed;
    size_t at;

    if (keys == NULL)
        return false;
    seed = kms__nonce_half(thread, nonce + KMS__NONCE_HALF);
    at = run_place(keys, owner, nonce[KMS__NONCE_HALF]);
    if (seed == 0 ||
        (!is_for(keys, at, owner, seed) && !begin_run(keys, at, owner, seed, thread, suite_key))) {
        done(keys);
        return false;
    }
    memcpy(nonce, keys->first_half[at], KMS__NONCE_HALF);
    *key = (kms__message_key){keys, at, owner};
    return true;
}

bool kms__message_key_of_nonce(kms__thread *thread, uint64_t owner, const uint8_t *suite_key,
                               const uint8_t nonce[KMS__AEAD_NONCE_SIZE], kms__message_key *key)
{
    kms__message_keys *keys = begin(thread);
    const uint64_t mark = mark_of(owner, nonce);
    size_t at;

    if (keys == NULL)
        return false;
    at = reading_place(keys, mark, nonce[KMS__NONCE_HALF - 1]);
    if ((!is_for(keys, at, owner, mark) ||
         memcmp(keys->first_half[at], nonce, KMS__NONCE_HALF) != 0) &&
        !fill(keys, at, owner, mark, suite_key, nonce)) {
        done(keys);
        return false;
    }
    *key = (kms__message_key){keys, at, owner};
    return true;
}

/* --- Using it ---------------------------------------------------------------------------------- */

/* false: a fork wiped the places meanwhile. What this call put there since goes again. */
static inline bool put(const kms__message_key *key)
{
    kms__message_keys *keys = key->keys;

    atomic_signal_fence(memory_order_seq_cst);
    if (keys->busy &&
        atomic_load_explicit(&keys->owner[key->at], memory_order_relaxed) == key->owner) {
        keys->busy = 0;
        return true;
    }
    forget_place(keys, key->at, key->owner);
    return false;
}

static kms_status seal_under(const kms__message_key *key, const uint8_t *nonce,
                             kms_slice associated, kms_slice plain, uint8_t *out)
{
    if (plain.len > SODIUM_SEALS || !key->keys->has_states)
        return kms__aes256gcm_libcrypto_seal(key->keys->key[key->at], nonce, associated, plain,
                                             out);
    kms__aes256gcm_sodium_seal_by(&key->keys->state[key->at], nonce, associated, plain, out);
    return KMS_OK;
}

static kms_status open_under(const kms__message_key *key, const uint8_t *nonce,
                             kms_slice associated, kms_slice sealed, uint8_t *out)
{
    if (sealed.len > SODIUM_OPENS + KMS__AEAD_TAG_SIZE || !key->keys->has_states)
        return kms__aes256gcm_libcrypto_open(key->keys->key[key->at], nonce, associated, sealed,
                                             out);
    return kms__aes256gcm_sodium_open_by(&key->keys->state[key->at], nonce, associated, sealed,
                                         out);
}

kms_status kms__message_key_seal(const kms__message_key *key,
                                 const uint8_t nonce[KMS__AEAD_NONCE_SIZE], kms_slice associated,
                                 kms_slice plain, uint8_t *out)
{
    const kms_status status = seal_under(key, nonce + KMS__NONCE_HALF, associated, plain, out);

    return put(key) ? status : kms__fork_amid_call(out, plain.len + KMS__AEAD_TAG_SIZE);
}

kms_status kms__message_key_open(const kms__message_key *key,
                                 const uint8_t nonce[KMS__AEAD_NONCE_SIZE], kms_slice associated,
                                 kms_slice sealed, uint8_t *out)
{
    const kms_status status = open_under(key, nonce + KMS__NONCE_HALF, associated, sealed, out);

    return put(key) ? status : kms__fork_amid_call(out, sealed.len - KMS__AEAD_TAG_SIZE);
}
