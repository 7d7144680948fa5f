/* The life of one version of a key: enabled, disabled, destroyed, primary. */
#ifndef KMS__DOMAIN_KEY_VERSIONS_H
#define KMS__DOMAIN_KEY_VERSIONS_H

#include "domain/keys.h"
#include "domain/last_use.h"

kms_status kms__version_make_primary(kms__txn *txn, const uint8_t id[KMS__ID_SIZE],
                                     uint32_t number);

/* state: KMS_KEY_VERSION_ENABLED or KMS_KEY_VERSION_DISABLED. */
kms_status kms__version_switch(kms__txn *txn, const uint8_t id[KMS__ID_SIZE], uint32_t number,
                               kms_key_version_state state);

kms_status kms__version_set_minimum(kms__txn *txn, const uint8_t id[KMS__ID_SIZE], uint32_t minimum,
                                    uint32_t window);

kms_status kms__version_schedule_destruction(kms__txn *txn, const uint8_t id[KMS__ID_SIZE],
                                             uint32_t number, uint32_t days, int64_t *date_ms);
kms_status kms__version_cancel_destruction(kms__txn *txn, const uint8_t id[KMS__ID_SIZE],
                                           uint32_t number);
kms_status kms__version_purge(kms__txn *txn, const uint8_t id[KMS__ID_SIZE], uint32_t number,
                              int64_t today_ms);

/* What the public struct tells of a version. */
kms_status kms__version_describe(kms__txn *txn, const kms__key *key, uint32_t number,
                                 const kms__last_uses *uses, kms_key_version_info *info);

#endif
