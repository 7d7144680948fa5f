/* The root that comes from a passphrase, through Argon2id.
 *
 * Parameters: format (1) | passes (4) | memory (4, KiB) | salt (16). */
#include "base/fork.h"
#include "base/try.h"
#include "crypto/secret.h"
#include "root/root.h"
#include "wire/wire.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define PARAMETERS_FORMAT 1
#define SALT_SIZE crypto_pwhash_argon2id_SALTBYTES
/* The parameters stand in the clear, so whoever writes the file sets them: more than these would
 * only keep us busy. Twice the memory and four times the passes of the strongest strength. */
#define MEMORY_KIB_MAX (2u * 1024 * 1024)
#define PASSES_MAX 16u

typedef struct passphrase_root {
    kms_root base;
    /* kms__fork_epoch() of the process that made it. */
    uint64_t epoch;
    char *passphrase;
    size_t len;
} passphrase_root;

typedef struct parameters {
    uint32_t passes;
    uint32_t memory_kib;
    uint8_t salt[SALT_SIZE];
} parameters;

static kms_status derive(const passphrase_root *root, const parameters *p,
                         uint8_t root_key[KMS_ROOT_KEY_SIZE])
{
    KMS__TRY(kms__root_check(root->epoch));
    if (crypto_pwhash_argon2id(root_key, KMS_ROOT_KEY_SIZE, root->passphrase, root->len, p->salt,
                               p->passes, (size_t)p->memory_kib * 1024,
                               crypto_pwhash_argon2id_ALG_ARGON2ID13) != 0)
        return kms_set_error(KMS_ERR_NO_MEMORY,
                             "a passphrase of this store's strength needs %u MiB of memory, which "
                             "could not be had",
                             p->memory_kib / 1024);
    return KMS_OK;
}

static kms_status choose(kms_strength strength, parameters *p)
{
    size_t memory;

    switch (strength) {
    case KMS_STRENGTH_INTERACTIVE:
        p->passes = crypto_pwhash_argon2id_OPSLIMIT_INTERACTIVE;
        memory = crypto_pwhash_argon2id_MEMLIMIT_INTERACTIVE;
        break;
    case KMS_STRENGTH_DEFAULT:
    case KMS_STRENGTH_MODERATE:
        p->passes = crypto_pwhash_argon2id_OPSLIMIT_MODERATE;
        memory = crypto_pwhash_argon2id_MEMLIMIT_MODERATE;
        break;
    case KMS_STRENGTH_SENSITIVE:
        p->passes = crypto_pwhash_argon2id_OPSLIMIT_SENSITIVE;
        memory = crypto_pwhash_argon2id_MEMLIMIT_SENSITIVE;
        break;
    default:
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "%u is no strength", (unsigned)strength);
    }
    p->memory_kib = (uint32_t)(memory / 1024);
    randombytes_buf(p->salt, sizeof p->salt);
    return KMS_OK;
}

static kms_status passphrase_make(kms_root *root, const kms_root_request *request, uint8_t *out,
                                  size_t *out_len, uint8_t root_key[KMS_ROOT_KEY_SIZE])
{
    kms__writer writer = kms__writer_to(out, KMS_ROOT_PARAMETERS_MAX);
    parameters p;

    KMS__TRY(choose(request->strength, &p));
    kms__write_u8(&writer, PARAMETERS_FORMAT);
    kms__write_u32(&writer, p.passes);
    kms__write_u32(&writer, p.memory_kib);
    kms__write_bytes(&writer, p.salt, sizeof p.salt);
    *out_len = writer.len;
    return derive((const passphrase_root *)root, &p, root_key);
}

static kms_status passphrase_unlock(kms_root *root, const kms_root_request *request,
                                    const uint8_t *in, size_t in_len,
                                    uint8_t root_key[KMS_ROOT_KEY_SIZE])
{
    kms__reader reader = kms__reader_of(in, in_len);
    uint8_t format = kms__read_u8(&reader);
    parameters p;

    (void)request;
    if (format > PARAMETERS_FORMAT)
        return kms_set_error(KMS_ERR_NEWER_FORMAT,
                             "the store's passphrase slot has format %u: use a newer libkms",
                             format);
    p.passes = kms__read_u32(&reader);
    p.memory_kib = kms__read_u32(&reader);
    kms__read_bytes(&reader, p.salt, sizeof p.salt);
    if (!kms__reader_ended(&reader) || format != PARAMETERS_FORMAT || p.passes < 1 ||
        p.passes > PASSES_MAX || p.memory_kib < 8 || p.memory_kib > MEMORY_KIB_MAX)
        return kms_set_error(KMS_ERR_CORRUPT,
                             "the parameters of the store's passphrase slot are out of bounds");
    return derive((const passphrase_root *)root, &p, root_key);
}

static void passphrase_close(kms_root *root)
{
    passphrase_root *self = (passphrase_root *)root;

    kms__secret_block_free(self->passphrase, self->len);
    free(self);
}

static const kms_root_ops passphrase_ops = {
    .abi = KMS_ROOT_ABI,
    .name = "passphrase",
    .make = passphrase_make,
    .unlock = passphrase_unlock,
    .close = passphrase_close,
};

kms_status kms_root_passphrase(kms_root **root, const void *passphrase, size_t passphrase_len)
{
    passphrase_root *made;
    bool locked;

    if (root == NULL || passphrase == NULL)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "kms_root_passphrase: %s is NULL",
                             root == NULL ? "root" : "passphrase");
    if (passphrase_len < 1 || passphrase_len > KMS_PASSPHRASE_MAX)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "a passphrase has 1 to %d bytes",
                             KMS_PASSPHRASE_MAX);
    made = calloc(1, sizeof *made);
    if (made == NULL)
        return kms_set_error(KMS_ERR_NO_MEMORY, "out of memory for a root");
    made->base.ops = &passphrase_ops;
    made->len = passphrase_len;
    made->passphrase = kms__secret_block(passphrase_len, &locked);
    if (made->passphrase == NULL) {
        free(made);
        return kms_error_status();
    }
    made->epoch = kms__fork_epoch();
    memcpy(made->passphrase, passphrase, passphrase_len);
    *root = &made->base;
    return KMS_OK;
}
