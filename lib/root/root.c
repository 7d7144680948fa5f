#include "root/root.h"
#include "base/fork.h"

kms_status kms__root_check(uint64_t epoch)
{
    if (epoch == kms__fork_epoch())
        return KMS_OK;
    return kms_set_error(KMS_ERR_FORKED,
                         "the root was made before fork(): make it in this process");
}

void kms_root_free(kms_root *root)
{
    if (root != NULL)
        root->ops->close(root);
}
