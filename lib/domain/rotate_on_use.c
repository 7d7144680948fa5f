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

static void count_attempt(kms_store *store, const attempt *a, kms_status st, int64_t now_ms)
{
    if (st == KMS_OK) {
        if (a->outcome.made)
            atomic_fetch_add(&store->rotation.made, 1);
        return;
    }
    atomic_store(&store->rotation.last_failure, (int)st);
    atomic_fetch_add(&store->rotation.put_off, 1);
    atomic_store(&store->rotation.next_attempt_ms, now_ms + RETRY_MS);
}

/* A clock that was set back may have left a date far ahead: that holds nobody up. */
static bool must_wait(const kms_store *store, int64_t now_ms)
{
    int64_t next = atomic_load(&store->rotation.next_attempt_ms);

    return now_ms < next && next - now_ms <= RETRY_MS;
}

/* The caller has taken the flag. */
static void rotate_before_use(kms_store *store, attempt *a, int64_t now_ms)
{
    kms__kept_error kept;
    kms_status st;

    kms__error_keep(&kept);
    st = try_rotation(store, a);
    count_attempt(store, a, st, now_ms);
    if (st != KMS_OK)
        kms__error_restore(&kept);
    atomic_flag_clear(&store->rotation.busy);
}

kms_status kms__pin_for_encrypting(kms_store *store, const char *keyref, unsigned hazard,
                                   kms__pin *pin)
{
    attempt a = {.outcome.made = false};

    KMS__TRY(kms__pin_primary(store, keyref, hazard, pin));
    if (pin->now_ms < pin->opened->rotate_at_ms)
        return KMS_OK;
    /* One attempt of one thread at a time; whoever comes meanwhile uses the old version. */
    if (must_wait(store, pin->now_ms) || atomic_flag_test_and_set(&store->rotation.busy))
        return KMS_OK;
    memcpy(a.id, pin->opened->key_id, KMS__ID_SIZE);
    kms__pin_release(pin);
    rotate_before_use(store, &a, pin->now_ms);
    return kms__pin_primary(store, keyref, hazard, pin);
}
