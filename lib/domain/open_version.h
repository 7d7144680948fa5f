/* Opening a version for use: key reference -> key -> version -> derived keys, through the cache. */
#ifndef KMS__DOMAIN_OPEN_VERSION_H
#define KMS__DOMAIN_OPEN_VERSION_H

#include "base/clock.h"
#include "vault/txn.h"

#include <kms/would.h>

/* An opened version, pinned by the calling thread until kms__pin_release(). */
typedef struct kms__pin {
    kms__thread *thread;
    unsigned hazard;
    kms__opened *opened;
    /* The clock at the beginning of the call, or up to a second later. */
    int64_t now_ms;
    /* Of the process that opened the store. */
    uint64_t epoch;
} kms__pin;

/* Whether this is that process: not in a child which a signal handler forked amid the call, and in which all
 * keys are zero. To be asked before anything leaves that was made of them. */
static inline bool kms__pin_holds(const kms__pin *pin)
{
    return pin->epoch == kms__fork_epoch();
}

/* Pins the primary version of the key that a reference names, for encrypting. hazard: which of
 * the thread's hazard pointers to use. Nothing is pinned after a failure. */
kms_status kms__pin_primary(kms_store *store, const char *keyref, unsigned hazard, kms__pin *pin);

/* The same for another operation than encrypting. KMS_ERR_UNSUPPORTED: the key is not for it. */
kms_status kms__pin_primary_for(kms_store *store, const char *keyref, kms_operation operation,
                                unsigned hazard, kms__pin *pin);

/* Pins the version that a blob names, for decrypting. KMS_ERR_INVALID_CIPHERTEXT: the key has no such
 * version. */
kms_status kms__pin_version_of(kms_store *store, const kms__blob *blob, unsigned hazard,
                               kms__pin *pin);

/* Pins one version of a key, for deriving. KMS_ERR_VERSION_NOT_FOUND; KMS_ERR_UNSUPPORTED: the key is
 * not for it. */
kms_status kms__pin_version_for_deriving(kms_store *store, const uint8_t key_id[KMS__ID_SIZE],
                                         uint32_t version, unsigned hazard, kms__pin *pin);

/* Notes that the pinned version was used now. */
static inline void kms__pin_note_use(const kms__pin *pin)
{
    int64_t hour_ms = pin->now_ms - pin->now_ms % KMS__HOUR_MS;

    if (atomic_load_explicit(&pin->opened->last_use_ms, memory_order_relaxed) != hour_ms)
        atomic_store_explicit(&pin->opened->last_use_ms, hour_ms, memory_order_relaxed);
}

static inline void kms__pin_release(kms__pin *pin)
{
    kms__cache_unpin(pin->thread, pin->hazard);
    pin->opened = NULL;
}

#endif
