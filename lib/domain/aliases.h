/* What may be done with aliases, within a transaction. Names are checked by the caller. */
#ifndef KMS__DOMAIN_ALIASES_H
#define KMS__DOMAIN_ALIASES_H

#include "domain/alias_record.h"
#include "domain/keys.h"

kms_status kms__alias_create(kms__txn *txn, const char *name, const uint8_t key_id[KMS__ID_SIZE]);
kms_status kms__alias_move(kms__txn *txn, const char *name, const uint8_t key_id[KMS__ID_SIZE]);
kms_status kms__alias_delete(kms__txn *txn, const char *name);

/* Finds the alias' key, or makes key and alias. */
kms_status kms__alias_ensure(kms__txn *txn, const char *name, const kms__key_seed *seed,
                             uint8_t key_id[KMS__ID_SIZE]);

/* What the public struct tells of an alias. */
void kms__alias_describe(const char *name, const kms__alias *alias, kms_alias_info *info);

#endif
