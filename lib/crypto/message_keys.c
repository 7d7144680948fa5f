#include "crypto/message_keys.h"
#include "crypto/aes256gcm.h"
#include "crypto/generator.h"
#include "crypto/secret.h"

#include <sodium.h>
#include <string.h>

/* Sets and ways. Runs are few, since each is one thread's; what is read back is of many. */
#define RUN_SETS 8
#define RUN_WAYS 2
#define READ_SETS 8
#define READ_WAYS 4
#define RUNS (RUN_SETS * RUN_WAYS)
#define KEYS (RUNS + READ_SETS * READ_WAYS)

enum { FREE = 0, TAKEN = 1, TO_BE_WIPED = 2 };

/* All zero where there is none. In a forked child all are, even one that is taken: so the word also
 * tells whoever has taken it that a fork came between. */
struct kms__message_key {
    _Alignas(64) _Atomic uint32_t word;
    uint8_t first_half[KMS__NONCE_HALF];
    /* These two are looked at before the key is taken, and count only after. */
    _Atomic uint64_t owner;
    /* Of a run: its thread's cell. Of any other: the first half's beginning. */
    _Atomic uint64_t mark;
    /* The seed of that thread's generator which the run belongs to. */
    uint64_t seed;
    crypto_aead_aes256gcm_state state;
};

struct kms__message_keys {
    kms__message_key key[KEYS];
};

_Static_assert(sizeof(kms__message_keys) == KMS__MESSAGE_KEYS_SIZE, "some seven pages");

static void wipe(kms__message_key *key)
{
    sodium_memzero(&key->state, sizeof key->state);
    sodium_memzero(key->first_half, sizeof key->first_half);
    key->seed = 0;
    atomic_store_explicit(&key->mark, 0, memory_order_relaxed);
    atomic_store_explicit(&key->owner, 0, memory_order_relaxed);
}

static bool take(kms__message_key *key)
{
    uint32_t seen = FREE;

    return atomic_compare_exchange_strong_explicit(&key->word, &seen, TAKEN, memory_order_acquire,
                                                   memory_order_relaxed);
}

/* false: the key was wiped by a fork while it was taken. */
static bool put(kms__message_key *key)
{
    uint32_t seen = TAKEN;

    if (atomic_compare_exchange_strong_explicit(&key->word, &seen, FREE, memory_order_release,
                                                memory_order_relaxed))
        return true;
    if (seen == FREE)
        return false;
    wipe(key);
    atomic_store_explicit(&key->word, FREE, memory_order_release);
    return true;
}

kms__message_keys *kms__message_keys_open(void)
{
    kms__message_keys *made;
    bool locked;

    if (!kms__aes256gcm_sodium_available())
        return NULL;
    made = kms__secret_block(sizeof *made, &locked);
    if (made == NULL || locked)
        return made;
    kms__secret_block_free(made, sizeof *made);
    return NULL;
}

void kms__message_keys_close(kms__message_keys *keys)
{
    kms__secret_block_free(keys, sizeof *keys);
}

/* Leaves it to whoever has taken the key; false: nobody has. */
static bool leave_to_taker(kms__message_key *key)
{
    uint32_t seen = TAKEN;

    return atomic_compare_exchange_strong(&key->word, &seen, TAKEN | TO_BE_WIPED) || seen != FREE;
}

static void forget(kms__message_key *key, uint64_t owner)
{
    do {
        if (!take(key))
            continue;
        if (atomic_load_explicit(&key->owner, memory_order_relaxed) == owner)
            wipe(key);
        (void)put(key);
        return;
    } while (!leave_to_taker(key));
}

void kms__message_keys_forget(kms__message_keys *keys, uint64_t owner)
{
    for (size_t i = 0; keys != NULL && i < KEYS; i++)
        if (atomic_load_explicit(&keys->key[i].owner, memory_order_relaxed) == owner)
            forget(&keys->key[i], owner);
}

bool kms__message_key_serves(size_t plain_len)
{
    return plain_len <= KMS__AES256GCM_SODIUM_LONGEST;
}

static bool is_for(kms__message_key *key, uint64_t owner, uint64_t mark)
{
    return atomic_load_explicit(&key->mark, memory_order_relaxed) == mark &&
           atomic_load_explicit(&key->owner, memory_order_relaxed) == owner;
}

/* The key of that owner and mark, else a place that is empty, else any. */
static kms__message_key *find(kms__message_key *set, size_t ways, uint64_t owner, uint64_t mark,
                              size_t any)
{
    kms__message_key *place = &set[any % ways];

    for (size_t way = 0; way < ways; way++) {
        if (is_for(&set[way], owner, mark))
            return &set[way];
        if (atomic_load_explicit(&set[way].owner, memory_order_relaxed) == 0)
            place = &set[way];
    }
    return place;
}

/* In the place of whatever key was there. */
static void fill(kms__message_key *key, uint64_t owner, uint64_t mark, const uint8_t *suite_key,
                 const uint8_t first_half[KMS__NONCE_HALF])
{
    uint8_t message_key[KMS__AEAD_KEY_SIZE];

    wipe(key);
    kms__suite_2_message_key(suite_key, first_half, message_key);
    (void)crypto_aead_aes256gcm_beforenm(&key->state, message_key);
    sodium_memzero(message_key, sizeof message_key);
    memcpy(key->first_half, first_half, KMS__NONCE_HALF);
    atomic_store_explicit(&key->mark, mark, memory_order_relaxed);
    atomic_store_explicit(&key->owner, owner, memory_order_relaxed);
}

/* The half with the processor's random number in it, so that of two copies of a machine each begins
 * runs of its own. */
static void begin_run(kms__message_key *key, uint64_t owner, kms__thread *thread,
                      const uint8_t *suite_key)
{
    uint8_t nonce[KMS__NONCE_SIZE];

    kms__nonce(thread, nonce);
    fill(key, owner, (uintptr_t)thread, suite_key, nonce + KMS__NONCE_HALF);
}

kms__message_key *kms__message_key_of_run(kms__message_keys *keys, uint64_t owner,
                                          kms__thread *thread, const uint8_t *suite_key,
                                          uint8_t nonce[KMS__AEAD_NONCE_SIZE])
{
    const uint64_t mark = (uintptr_t)thread;
    const size_t number = (size_t)(mark / sizeof *thread + owner);
    const uint64_t seed = kms__nonce_half(thread, nonce + KMS__NONCE_HALF);
    kms__message_key *key;

    if (seed == 0)
        return NULL;
    key = find(&keys->key[number % RUN_SETS * RUN_WAYS], RUN_WAYS, owner, mark,
               nonce[KMS__NONCE_HALF]);
    if (!take(key))
        return NULL;
    if (!is_for(key, owner, mark) || key->seed != seed) {
        begin_run(key, owner, thread, suite_key);
        key->seed = seed;
    }
    memcpy(nonce, key->first_half, KMS__NONCE_HALF);
    return key;
}

kms__message_key *kms__message_key_of_nonce(kms__message_keys *keys, uint64_t owner,
                                            const uint8_t *suite_key,
                                            const uint8_t nonce[KMS__AEAD_NONCE_SIZE])
{
    const size_t number = nonce[KMS__NONCE_HALF - 1];
    kms__message_key *key;
    uint64_t mark;

    memcpy(&mark, nonce, sizeof mark);
    key = find(&keys->key[RUNS + number % READ_SETS * READ_WAYS], READ_WAYS, owner, mark,
               number / READ_SETS);
    if (!take(key))
        return NULL;
    if (!is_for(key, owner, mark) || memcmp(key->first_half, nonce, KMS__NONCE_HALF) != 0)
        fill(key, owner, mark, suite_key, nonce);
    return key;
}

static kms_status forked(uint8_t *out, size_t len)
{
    if (len > 0)
        sodium_memzero(out, len);
    return kms_set_error(KMS_ERR_FORKED, "a signal handler forked during the call: open the store "
                                         "again in this process");
}

kms_status kms__message_key_seal(kms__message_key *key, const uint8_t nonce[KMS__AEAD_NONCE_SIZE],
                                 kms_slice associated, kms_slice plain, uint8_t *out)
{
    kms__aes256gcm_sodium_seal_by(&key->state, nonce + KMS__NONCE_HALF, associated, plain, out);
    return put(key) ? KMS_OK : forked(out, plain.len + KMS__AEAD_TAG_SIZE);
}

kms_status kms__message_key_open(kms__message_key *key, const uint8_t nonce[KMS__AEAD_NONCE_SIZE],
                                 kms_slice associated, kms_slice sealed, uint8_t *out)
{
    const kms_status status = kms__aes256gcm_sodium_open_by(&key->state, nonce + KMS__NONCE_HALF,
                                                            associated, sealed, out);

    return put(key) ? status : forked(out, sealed.len - KMS__AEAD_TAG_SIZE);
}
