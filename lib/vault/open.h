/* Making a store's handle, and unlocking or making what it opens. */
#ifndef KMS__VAULT_OPEN_H
#define KMS__VAULT_OPEN_H

#include "vault/store.h"

/* A handle over an engine that is not open yet. Takes the engine over only on KMS_OK.
 * options is complete. */
kms_status kms__store_new(kms_store **store, kms_backend *engine, uint32_t flags,
                          const kms_open_options *options);

/* Opens the engine, and unlocks the store that it holds; makes it first if flags say so. */
kms_status kms__store_unlock(kms_store *store, kms_root *root, uint32_t flags,
                             const kms_open_options *options);

/* Wipes and frees everything, the engine too. */
void kms__store_free(kms_store *store);

/* Instead of kms__store_unlock(): makes an empty store that has the id of another one and the next
 * generation of its store key. `changes` is where its counter begins. KMS_ERR_ALREADY_EXISTS. */
kms_status kms__store_create_successor(kms_store *store, kms_root *root, const kms_store *of,
                                       uint64_t changes);

#endif
