/* The law of states: what each call answers in each state of its key. */
#ifndef KMS__DOMAIN_STATE_H
#define KMS__DOMAIN_STATE_H

#include "domain/version_record.h"

#include <kms/would.h>

/* The state that a key is in, by the clock when it was read. */
kms_key_state kms__key_state(const kms__key *key);

/* The state that a version is in; extra is that of its record. */
kms_key_version_state kms__version_state(const kms__key *key, uint32_t number,
                                         const kms__version_extra *extra);

/* The lowest version that decrypts. */
uint32_t kms__key_lowest_version(const kms__key *key);

/* Whether a key of this usage is for the operation at all; KMS_ERR_UNSUPPORTED. */
kms_status kms__usage_judge(kms_key_usage usage, const uint8_t id[KMS__ID_SIZE],
                            kms_operation operation);
static inline kms_status kms__usage_allows(kms_key_usage usage, const uint8_t id[KMS__ID_SIZE],
                                           kms_operation operation)
{
    if (usage == KMS_KEY_USAGE_ENCRYPT_DECRYPT && operation != KMS_OP_ENCRYPT_DETERMINISTIC)
        return KMS_OK;
    return kms__usage_judge(usage, id, operation);
}

/* The bare status, without a sentence. */
kms_status kms__state_allows(kms_key_state state, kms_operation operation);

/* KMS_OK, or the law's status with a sentence that names the key (and the alias that led to it,
 * if any) and the way out. What the key's usage, origin and creator refuse comes before its state. */
kms_status kms__key_allows(const kms__key *key, kms_operation operation, const char *keyref);

/* Whether a version may decrypt, or, the primary one, encrypt. */
kms_status kms__version_allows(const kms__key *key, uint32_t number);

#endif
