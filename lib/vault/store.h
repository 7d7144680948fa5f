/* The open store: all state of a handle lives here. */
#ifndef KMS__VAULT_STORE_H
#define KMS__VAULT_STORE_H

#include "base/clock.h"
#include "base/fork.h"
#include "base/gate.h"
#include "crypto/secret.h"
#include "vault/cache.h"

#include <kms/store.h>
#include <stdatomic.h>

struct kms_store {
    /* kms__fork_epoch() of the process that opened it. */
    uint64_t epoch;
    kms_backend *engine;
    kms_clock clock;
    /* The options named no other. */
    bool system_clock;
    uint32_t busy_timeout_ms;
    bool read_only;

    uint8_t id[KMS_STORE_ID_SIZE];
    /* Which store key seals new records. */
    uint32_t generation;
    /* KMS__USE_RECORDS of that store key, in a secret cell. */
    uint8_t *records_key;
    kms__secrets *secrets;

    /* Whoever holds the gate owns header_block: the header's plaintext holds a secret. The only
     * one, so that no call but kms_open() needs memory of its own for it. */
    kms__gate gate;
    struct kms__header_block *header_block;
    /* KMS_OPEN_REQUIRE_LOCKED. */
    bool demand_locked;

    /* The largest change counter that this handle has seen. */
    _Atomic uint64_t changes_seen;
    kms__cache *cache;

    /* Automatic rotation by encrypting calls: one attempt at a time, and after a failure the next
     * one only when the time has come. */
    struct {
        atomic_flag busy;
        _Atomic int64_t next_attempt_ms;
        _Atomic uint64_t made;
        _Atomic uint64_t put_off;
        _Atomic int last_failure;
    } rotation;
};

/* INT64_MAX is "never" among dates: no moment is so late. */
static inline int64_t kms__store_now(const kms_store *store)
{
    int64_t now_ms = store->clock.now_ms(store->clock.data);

    return now_ms < INT64_MAX ? now_ms : INT64_MAX - 1;
}

/* Not before now, and less than a second after: of the same hour, and good to see that a date has not
 * come yet. */
static inline int64_t kms__store_now_at_most(const kms_store *store)
{
    return store->system_clock ? kms__clock_end_of_second() : kms__store_now(store);
}

/* KMS_ERR_FORKED in a child of the process that opened the store. */
static inline kms_status kms__store_check(const kms_store *store)
{
    if (store == NULL)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "store is NULL");
    if (store->epoch != kms__fork_epoch())
        return kms_set_error(KMS_ERR_FORKED, "the store was opened before fork(): open it again "
                                             "in this process");
    return KMS_OK;
}

/* Room for a secret in locked memory; free it with kms__secret_block_free(). KMS_ERR_NO_MEMORY, and
 * KMS_ERR_NOT_LOCKED where the store demands it. */
kms_status kms__store_secret_block(const kms_store *store, size_t size, uint8_t **block);

/* As kms__store_check(), and KMS_ERR_READ_ONLY if the store takes no changes. */
kms_status kms__store_check_writable(const kms_store *store);

#endif
