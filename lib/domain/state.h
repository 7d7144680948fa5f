/* The law of states: what each call answers in each state of its key. */
#ifndef KMS__DOMAIN_STATE_H
#define KMS__DOMAIN_STATE_H

#include "domain/key_record.h"

#include <kms/would.h>

/* The bare status, without a sentence. */
kms_status kms__state_allows(kms_key_state state, kms_operation operation);

/* KMS_OK, or the law's status with a sentence that names the key (and the alias that led to it,
 * if any) and the way out. */
kms_status kms__key_allows(const kms__key *key, kms_operation operation, const char *keyref);

/* Whether a version may encrypt and decrypt. */
kms_status kms__version_allows(const kms__key *key, uint32_t number);

#endif
