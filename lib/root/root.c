#include <kms/root.h>

void kms_root_free(kms_root *root)
{
    if (root != NULL)
        root->ops->close(root);
}
