/* Aliases as records.
 *
 * Alias record A | name in full:
 *   body format (1) | target key id (16) | was moved (1) | key id before (16) | created (8, ms) |
 *   moved (8).
 * Index record I | key id | name in full: body format (1). It lists a key's aliases. */
#ifndef KMS__DOMAIN_ALIAS_RECORD_H
#define KMS__DOMAIN_ALIAS_RECORD_H

#include "vault/txn.h"

#include <kms/alias.h>

#define KMS__ALIAS_BODY 1
#define KMS__ALIAS_PLAIN_SIZE (1 + KMS__ID_SIZE + 1 + KMS__ID_SIZE + 8 + 8)
#define KMS__INDEX_PLAIN_SIZE 1

typedef struct kms__alias {
    uint8_t target[KMS__ID_SIZE];
    bool was_moved;
    uint8_t previous[KMS__ID_SIZE];
    int64_t created_ms;
    int64_t moved_ms;
} kms__alias;

kms__record_key kms__alias_record_key(const char *name);
kms__record_key kms__index_record_key(const uint8_t key_id[KMS__ID_SIZE], const char *name);

/* mark may be NULL. KMS_ERR_ALIAS_NOT_FOUND. */
kms_status kms__alias_load(kms__txn *txn, const char *name, kms__alias *alias,
                           uint8_t mark[KMS__MARK_SIZE]);
kms_status kms__alias_save(kms__txn *txn, const char *name, const kms__alias *alias);

/* Takes an alias into the index of a key's aliases, and out of it. */
kms_status kms__alias_index(kms__txn *txn, const uint8_t key_id[KMS__ID_SIZE], const char *name);
kms_status kms__alias_unindex(kms__txn *txn, const uint8_t key_id[KMS__ID_SIZE], const char *name);

/* Whether it stands there, as it must; KMS_ERR_CORRUPT if not. */
kms_status kms__alias_is_indexed(kms__txn *txn, const uint8_t key_id[KMS__ID_SIZE],
                                 const char *name);

#endif
