#include "base/try.h"
#include "domain/seal.h"

#include <kms/deterministic.h>

kms_status kms_encrypt_deterministic(kms_store *store, const char *keyref,
                                     const kms_context *context, const void *plain,
                                     size_t plain_len, void *blob, size_t blob_size,
                                     size_t *blob_len)
{
    KMS__TRY(kms__store_check(store));
    KMS__TRY(kms__check_encrypt(plain, plain_len, blob, blob_size, blob_len));
    KMS__TRY(
        kms__blob_seal_deterministic(store, keyref, context, (kms_slice){plain, plain_len}, blob));
    *blob_len = KMS_CIPHERTEXT_SIZE(plain_len);
    return KMS_OK;
}
