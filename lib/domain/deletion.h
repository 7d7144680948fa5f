/* Deleting keys: scheduling, cancelling, protecting, and the purge in batches. */
#ifndef KMS__DOMAIN_DELETION_H
#define KMS__DOMAIN_DELETION_H

#include "domain/keys.h"

#include <kms/deletion.h>

/* 0 becomes the default. KMS_ERR_INVALID_ARGUMENT. */
kms_status kms__deletion_days_check(uint32_t *days);

/* When a window of so many days that begins now ends. */
int64_t kms__deletion_date(int64_t now_ms, uint32_t days);

/* Whether the window that ends at date_ms is over, by the store's clock and by the caller's own date.
 * `what` names what would be destroyed. KMS_ERR_INVALID_ARGUMENT, KMS_ERR_INVALID_STATE. */
kms_status kms__deletion_is_due(int64_t date_ms, int64_t now_ms, int64_t today_ms,
                                const char *what);

kms_status kms__deletion_schedule(kms__txn *txn, const uint8_t id[KMS__ID_SIZE], uint32_t days,
                                  int64_t *date_ms);
kms_status kms__deletion_cancel(kms__txn *txn, const uint8_t id[KMS__ID_SIZE]);
kms_status kms__deletion_protect(kms__txn *txn, const uint8_t id[KMS__ID_SIZE], bool protect);

/* KMS_ERR_DELETION_PROTECTED. */
kms_status kms__deletion_allowed(const kms__key *key);

/* Marks a key whose window is over: from then on it can only be purged. */
kms_status kms__purge_begin(kms__txn *txn, const uint8_t id[KMS__ID_SIZE], int64_t today_ms);

/* Removes a batch of a marked key's records, the material first and the key's own record last. */
kms_status kms__purge_step(kms__txn *txn, const uint8_t id[KMS__ID_SIZE], bool *finished);

#endif
