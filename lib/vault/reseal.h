/* Copying every record of a store into another one, sealed anew. */
#ifndef KMS__VAULT_RESEAL_H
#define KMS__VAULT_RESEAL_H

#include "vault/txn.h"

/* Makes the target, a new handle, the successor of a store with all its records, from one snapshot.
 * The target's engine has no store yet. `check` runs before, in the same snapshot: what it fails with
 * ends the copy before there is one. */
kms_status kms__store_reseal(kms_store *store, kms_store *target, kms_root *root,
                             kms__txn_body *check);

#endif
