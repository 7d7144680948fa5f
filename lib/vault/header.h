/* The header record: rewritten by every change, so that a scan of the whole store finds any record
 * that was replayed, added or removed.
 *
 * body format (1) | changes (8) | set-hash key (32) | set hash (32) | records (8) |
 * hash of the boot record (32) | ids of the last 32 operations (32 * 16). */
#ifndef KMS__VAULT_HEADER_H
#define KMS__VAULT_HEADER_H

#include "vault/boot.h"
#include "vault/record.h"

/* 2 has the same layout as 1, and says that the store may hold records of the letters D, T and U. */
#define KMS__HEADER_BODY 2
#define KMS__OPERATION_ID_SIZE 16
#define KMS__OPERATIONS_KEPT 32
#define KMS__SET_HASH_SIZE 32
#define KMS__HEADER_PLAIN_SIZE                                                                     \
    (1 + 8 + 32 + KMS__SET_HASH_SIZE + 8 + KMS__BOOT_HASH_SIZE +                                   \
     KMS__OPERATIONS_KEPT * KMS__OPERATION_ID_SIZE)
#define KMS__HEADER_VALUE_SIZE (KMS__HEADER_PLAIN_SIZE + KMS__RECORD_OVERHEAD)

/* It holds a secret (the set-hash key): keep it in locked memory and wipe it. */
typedef struct kms__header {
    /* Counts the changes since the store was made. */
    uint64_t changes;
    uint8_t set_key[32];
    /* Exclusive or of a keyed hash of every other sealed record. */
    uint8_t set_hash[KMS__SET_HASH_SIZE];
    /* How many records those are. */
    uint64_t records;
    uint8_t boot_hash[KMS__BOOT_HASH_SIZE];
    uint8_t operations[KMS__OPERATIONS_KEPT][KMS__OPERATION_ID_SIZE];
} kms__header;

/* What header_block of a store holds: the header, and room for its encoded form. */
typedef struct kms__header_block {
    kms__header header;
    uint8_t plain[KMS__HEADER_PLAIN_SIZE];
} kms__header_block;

kms_slice kms__header_key(void);

/* The header of a new store. */
void kms__header_new(kms__header *header, kms_slice boot);

/* Seals block->header into value. Wipes block->plain. */
void kms__header_seal(const kms__seal *seal, kms__header_block *block,
                      uint8_t value[KMS__HEADER_VALUE_SIZE]);

/* Opens value into block->header. Wipes block->plain. KMS_ERR_CORRUPT, KMS_ERR_NEWER_FORMAT. */
kms_status kms__header_open(const kms__seal *seal, kms_slice value, kms__header_block *block);

/* Takes a record into the set hash, or out of it: the same step. */
void kms__set_hash_toggle(kms__header *header, kms_slice record_key,
                          const uint8_t mark[KMS__MARK_SIZE]);

/* Counts a change and remembers the operation that made it. */
void kms__header_count(kms__header *header, const uint8_t operation[KMS__OPERATION_ID_SIZE]);

/* Whether one of the last changes was this operation's. */
bool kms__header_knows(const kms__header *header, const uint8_t operation[KMS__OPERATION_ID_SIZE]);

#endif
