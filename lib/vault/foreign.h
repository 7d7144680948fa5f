/* Callbacks of engines and root providers, which may be anybody's: whatever they forget to say, a
 * call that fails has a status of ours and a sentence of its own. */
#ifndef KMS__VAULT_FOREIGN_H
#define KMS__VAULT_FOREIGN_H

#include <kms/status.h>

/* Before the callback: forgets the thread's last failure, so that a new one shows. */
void kms__foreign_begin(void);

/* After it: gives its status, with a sentence that names it ("engine", "lmdb") if it recorded none.
 * KMS_ERR_STORAGE for a number that is no status. */
kms_status kms__foreign_end(const char *kind, const char *name, kms_status st);

#endif
