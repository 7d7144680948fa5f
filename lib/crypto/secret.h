/* Locked memory for secrets: slabs of small cells, one pool a store. */
#ifndef KMS__CRYPTO_SECRET_H
#define KMS__CRYPTO_SECRET_H

#include <kms/status.h>

#define KMS__SECRET_CELL 64

typedef struct kms__secrets kms__secrets;

/* demand_locked: fail with KMS_ERR_NOT_LOCKED rather than use memory that is not locked. Takes the
 * first 4 KiB at once, so that a system which locks nothing shows here. */
kms_status kms__secrets_open(kms__secrets **pool, bool demand_locked);

/* Wipes and frees every cell. In a forked child do not call it: leak the pool. NULL is ignored. */
void kms__secrets_close(kms__secrets *pool);

/* Gives a zeroed cell of KMS__SECRET_CELL bytes. Thread-safe. */
kms_status kms__secret_take(kms__secrets *pool, void **cell);

/* Wipes a cell and takes it back; never allocates. NULL is ignored. Thread-safe. */
void kms__secret_give(kms__secrets *pool, void *cell);

/* Whether all the pool's memory is locked. */
bool kms__secrets_locked(kms__secrets *pool);

/* One larger piece of locked memory (the header's plaintext, a passphrase); sets *locked. NULL:
 * out of memory, recorded. Free it, wiped, with kms__secret_block_free(). */
void *kms__secret_block(size_t size, bool *locked);
void kms__secret_block_free(void *block, size_t size);

#endif
