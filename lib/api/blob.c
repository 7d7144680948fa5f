#include "crypto/blob.h"
#include "base/try.h"

#include <string.h>

kms_status kms_inspect_blob(const void *blob, size_t blob_len, kms_blob_info *info)
{
    kms__blob parts;

    if (blob == NULL || info == NULL)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "blob or info is NULL");
    KMS__TRY(kms__blob_check_size(blob_len));
    KMS__TRY(kms__blob_read(blob, blob_len, &parts));
    KMS__TRY(kms__blob_check_fields(&parts));
    memset(info, 0, sizeof *info);
    info->kind = parts.kind;
    info->suite = parts.suite;
    kms__id_format(parts.key_id, info->key_id);
    info->key_version = parts.key_version;
    memcpy(info->commitment, parts.commitment, sizeof info->commitment);
    info->plaintext_size = KMS_PLAINTEXT_SIZE(blob_len);
    return KMS_OK;
}
