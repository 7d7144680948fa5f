#include "domain/rotate_on_use.h"
#include "base/kept_error.h"
#include "base/try.h"
#include "domain/rotation.h"

#include <string.h>

/* After a rotation that could not be written. */
#define RETRY_MS (INT64_C(60) * 1000)

typedef struct attempt {
    uint8_t id[KMS__ID_SIZE];
    kms__key_seed seed;
    kms__rotation_outcome outcome;
} attempt;

static kms_status rotate_body(kms__txn *txn, void *argument)
{
    attempt *a = argument;

    return kms__rotate_if_due(txn, a->id, &a->seed, &a->outcome);
}

static kms_status try_rotation(kms_store *store, attempt *a)
{
    kms_status st;

    KMS__TRY(kms__store_check_writable(store));
    st = kms__key_seed_draw(store, NULL, &a->seed);
    if (st == KMS_OK)
        st = kms__store_try_write(store, rotate_body, a);
    kms__key_seed_wipe(store, &a->seed);
    return st;
}

static void let_rest(const kms__pin *pin, kms__rest rest)
{
    atomic_store(&pin->opened->rest_from_ms, rest.from_ms);
    atomic_store(&pin->opened->rest_until_ms, rest.until_ms);
}

static bool rests(const kms__pin *pin)
{
    return pin->now_ms >= atomic_load_explicit(&pin->opened->rest_from_ms, memory_order_relaxed) &&
           pin->now_ms < atomic_load_explicit(&pin->opened->rest_until_ms, memory_order_relaxed);
}

static void count_success(kms_store *store, const attempt *a, const kms__pin *pin)
{
    if (a->outcome.made)
        atomic_fetch_add(&store->rotation.made, 1);
    else if (a->outcome.number != 0)
        /* The clock had leapt since the key was opened. Nothing was written, so nothing else would
         * make anybody look at the key again. */
        let_rest(pin, a->outcome.rest);
}

/* What is wrong with one key holds up no other. */
static void count_failure(kms_store *store, kms_status st, const kms__pin *pin)
{
    int64_t now_ms = pin->now_ms;
    int64_t next_ms = now_ms < KMS__NEVER - RETRY_MS ? now_ms + RETRY_MS : KMS__NEVER;

    atomic_store(&store->rotation.last_failure, (int)st);
    atomic_fetch_add(&store->rotation.put_off, 1);
    if (st == KMS_ERR_LIMIT_EXCEEDED || st == KMS_ERR_UNSUPPORTED)
        let_rest(pin, (kms__rest){now_ms, next_ms});
    else
        atomic_store(&store->rotation.next_attempt_ms, next_ms);
}

/* A clock that was set back may have left a date far ahead: that holds nobody up. */
static bool must_wait(const kms_store *store, int64_t now_ms)
{
    int64_t next_ms = atomic_load(&store->rotation.next_attempt_ms);

    return now_ms < next_ms && (uint64_t)next_ms - (uint64_t)now_ms <= (uint64_t)RETRY_MS;
}

/* The caller has taken the flag. */
static void rotate_before_use(kms_store *store, const kms__pin *pin)
{
    attempt a = {.outcome.made = false};
    kms__kept_error kept;
    kms_status st;

    kms__error_keep(&kept);
    memcpy(a.id, pin->opened->key_id, KMS__ID_SIZE);
    st = try_rotation(store, &a);
    if (st == KMS_OK)
        count_success(store, &a, pin);
    else
        count_failure(store, st, pin);
    kms__error_restore(&kept);
    atomic_flag_clear(&store->rotation.busy);
}

kms_status kms__pin_for_encrypting(kms_store *store, const char *keyref, unsigned hazard,
                                   kms__pin *pin)
{
    KMS__TRY(kms__pin_primary(store, keyref, hazard, pin));
    if (rests(pin))
        return KMS_OK;
    /* The pin's clock may be up to a second ahead. */
    pin->now_ms = kms__store_now(store);
    if (rests(pin))
        return KMS_OK;
    /* One attempt of one thread at a time; whoever comes meanwhile uses the old version. */
    if (must_wait(store, pin->now_ms) || atomic_flag_test_and_set(&store->rotation.busy))
        return KMS_OK;
    rotate_before_use(store, pin);
    kms__pin_release(pin);
    return kms__pin_primary(store, keyref, hazard, pin);
}
