/* The root that is 32 bytes of the caller's. */
#include "base/fork.h"
#include "base/try.h"
#include "crypto/secret.h"
#include "root/root.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

typedef struct raw {
    kms_root base;
    /* kms__fork_epoch() of the process that made it. */
    uint64_t epoch;
    uint8_t *key;
} raw;

static kms_status give_key(const raw *root, uint8_t root_key[KMS_ROOT_KEY_SIZE])
{
    KMS__TRY(kms__root_check(root->epoch));
    memcpy(root_key, root->key, KMS_ROOT_KEY_SIZE);
    return KMS_OK;
}

static kms_status raw_make(kms_root *root, const kms_root_request *request, uint8_t *parameters,
                           size_t *parameters_len, uint8_t root_key[KMS_ROOT_KEY_SIZE])
{
    (void)request;
    (void)parameters;
    *parameters_len = 0;
    return give_key((const raw *)root, root_key);
}

static kms_status raw_unlock(kms_root *root, const kms_root_request *request,
                             const uint8_t *parameters, size_t parameters_len,
                             uint8_t root_key[KMS_ROOT_KEY_SIZE])
{
    (void)request;
    (void)parameters;
    if (parameters_len != 0)
        return kms_set_error(KMS_ERR_CORRUPT, "the store's raw root slot has parameters");
    return give_key((const raw *)root, root_key);
}

static void raw_close(kms_root *root)
{
    raw *self = (raw *)root;

    kms__secret_block_free(self->key, KMS_ROOT_KEY_SIZE);
    free(self);
}

static const kms_root_ops raw_ops = {
    .abi = KMS_ROOT_ABI,
    .name = "raw",
    .make = raw_make,
    .unlock = raw_unlock,
    .close = raw_close,
};

kms_status kms_root_raw(kms_root **root, const void *key, size_t key_len)
{
    bool locked;
    raw *made;

    if (root == NULL || key == NULL)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "kms_root_raw: %s is NULL",
                             root == NULL ? "root" : "key");
    if (key_len != KMS_ROOT_KEY_SIZE)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "a raw root key has exactly %d bytes",
                             KMS_ROOT_KEY_SIZE);
    if (sodium_is_zero(key, key_len))
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT,
                             "the raw root key is all zero: was it never filled?");
    made = calloc(1, sizeof *made);
    if (made == NULL)
        return kms_set_error(KMS_ERR_NO_MEMORY, "out of memory for a root");
    made->base.ops = &raw_ops;
    made->key = kms__secret_block(KMS_ROOT_KEY_SIZE, &locked);
    if (made->key == NULL) {
        free(made);
        return kms_error_status();
    }
    made->epoch = kms__fork_epoch();
    memcpy(made->key, key, KMS_ROOT_KEY_SIZE);
    *root = &made->base;
    return KMS_OK;
}
