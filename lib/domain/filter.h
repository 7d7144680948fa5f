/* Which keys a list wants. */
#ifndef KMS__DOMAIN_FILTER_H
#define KMS__DOMAIN_FILTER_H

#include "domain/key_record.h"

/* KMS_ERR_INVALID_ARGUMENT, KMS_ERR_ABI. */
kms_status kms__filter_check(const kms_key_filter *filter);

/* Whether a key, given by its record key, is wanted: a kms__listing_wants. */
kms_status kms__filter_wants(kms__txn *txn, const kms__record_key *record_key, const void *filter,
                             bool *wanted);

/* Whether its rotation is due: the same, without a filter. */
kms_status kms__filter_wants_rotation(kms__txn *txn, const kms__record_key *record_key,
                                      const void *filter, bool *wanted);

#endif
