/* Automatic rotation: when a key is due, and making it so.
 *
 * The schedule runs from the later of the policy's start and the last automatic rotation. Both may
 * have been written by a clock that was wrong:
 *   - A date more than a day in the future is brought back to the present, without a new version.
 *   - The rotation's stamp is the last rotation as its own clock had it, and is never brought back.
 *     A clock that finds it in its present or past waits an interval from there too. So of two
 *     clocks a year apart, the one ahead does not rotate again whenever the other has brought the
 *     date back. */
#ifndef KMS__DOMAIN_ROTATION_H
#define KMS__DOMAIN_ROTATION_H

#include "domain/keys.h"

#include <kms/rotation.h>

/* The time of a look that is never wanted. */
#define KMS__NEVER INT64_MAX

/* KMS_ERR_INVALID_ARGUMENT. */
kms_status kms__rotation_days_check(uint32_t days);

/* Whether the policy is in force, rests, or is off. */
kms_rotation_state kms__rotation_state(const kms__key *key);

/* When the schedule wants the next version; 0 without a policy that is turned on. */
int64_t kms__rotation_next(const kms__key *key);

/* Dates of the clock within which a policy has nothing to do. A clock that is set back leaves them
 * too, because dates of the schedule may then lie in the future. */
typedef struct kms__rest {
    int64_t from_ms;
    /* Not included. */
    int64_t until_ms;
} kms__rest;

/* For ever if the policy is not in force; empty if a date lies in the future. */
kms__rest kms__rotation_rest(const kms__key *key);

/* Whether the policy has something to do now. */
bool kms__rotation_is_due(const kms__key *key);

typedef struct kms__policy {
    bool enabled;
    /* 0: as it is. */
    uint32_t days;
} kms__policy;

kms_status kms__rotation_set_policy(kms__txn *txn, const uint8_t id[KMS__ID_SIZE],
                                    const kms__policy *policy);

typedef struct kms__rotation_outcome {
    /* It made a version. */
    bool made;
    /* The primary version then; 0 if only a date was brought back. */
    uint32_t number;
    /* Of the key as it is then. */
    kms__rest rest;
} kms__rotation_outcome;

/* Does what the policy of a key wants now, if anything: somebody else may have done it. */
kms_status kms__rotate_if_due(kms__txn *txn, const uint8_t id[KMS__ID_SIZE],
                              const kms__key_seed *seed, kms__rotation_outcome *outcome);

#endif
