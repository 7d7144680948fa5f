/*
 * Calls of the hot path, warm, for scripts/count-instructions: each function below makes CALLS of
 * one of them. Linked to the shared library, so that valgrind tells the library's instructions from
 * those of libsodium, libcrypto, LMDB and libc, which differ with the processor.
 */
#include <kms/kms.h>
#include <stdio.h>
#include <stdlib.h>

#define LEN 64
/* A multiple of the nonces that the generator makes at a time, and of those that a seed gives. */
#define CALLS 1700

typedef struct scene {
    kms_store *store;
    char id[KMS_KEY_ID_SIZE];
    uint8_t plain[LEN], out[KMS_CIPHERTEXT_SIZE(LEN)];
    uint8_t blob_1[KMS_CIPHERTEXT_SIZE(LEN)], blob_2[KMS_CIPHERTEXT_SIZE(LEN)];
} scene;

static const char alias_1[] = "alias/bench/suite-1", alias_2[] = "alias/bench/suite-2";
static const kms_context_pair pairs[] = {{"table", "customers"}, {"column", "id_number"}};
static const kms_context context = {pairs, 2};

static void must_ok(kms_status status)
{
    if (status == KMS_OK)
        return;
    fprintf(stderr, "hot_calls: %s: %s\n", kms_status_name(status), kms_error_message());
    exit(1);
}

static void encrypt(scene *in, const char *keyref, const kms_context *bound)
{
    size_t len;

    for (int i = 0; i < CALLS; i++)
        must_ok(
            kms_encrypt(in->store, keyref, bound, in->plain, LEN, in->out, sizeof in->out, &len));
}

static void decrypt(scene *in, const uint8_t blob[KMS_CIPHERTEXT_SIZE(LEN)])
{
    size_t len;

    for (int i = 0; i < CALLS; i++)
        must_ok(kms_decrypt(in->store, NULL, blob, KMS_CIPHERTEXT_SIZE(LEN), in->plain, LEN, &len));
}

/* Found by these names; visible, so that no compiler makes another function of one. */
void hot_encrypt_by_alias(scene *in);
void hot_encrypt_by_id(scene *in);
void hot_encrypt_with_context(scene *in);
void hot_decrypt(scene *in);
void hot_encrypt_suite_2(scene *in);
void hot_decrypt_suite_2(scene *in);

void hot_encrypt_by_alias(scene *in)
{
    encrypt(in, alias_1, NULL);
}

void hot_encrypt_by_id(scene *in)
{
    encrypt(in, in->id, NULL);
}

void hot_encrypt_with_context(scene *in)
{
    encrypt(in, alias_1, &context);
}

void hot_decrypt(scene *in)
{
    decrypt(in, in->blob_1);
}

void hot_encrypt_suite_2(scene *in)
{
    encrypt(in, alias_2, NULL);
}

void hot_decrypt_suite_2(scene *in)
{
    decrypt(in, in->blob_2);
}

static void begin(scene *in, const char *path)
{
    static const uint8_t root_key[KMS_ROOT_KEY_SIZE] = {1};
    kms_create_key_options aes = KMS_CREATE_KEY_OPTIONS_INIT;
    kms_backend *engine;
    kms_root *root;
    size_t len;

    aes.suite = KMS_SUITE_AES_256_GCM;
    must_ok(kms_lmdb_backend(&engine, path, NULL));
    must_ok(kms_root_raw(&root, root_key, sizeof root_key));
    must_ok(kms_open(&in->store, engine, root, KMS_OPEN_CREATE, NULL));
    must_ok(kms_ensure_alias(in->store, alias_1, NULL, in->id));
    must_ok(kms_ensure_alias(in->store, alias_2, &aes, NULL));
    must_ok(
        kms_encrypt(in->store, alias_1, NULL, in->plain, LEN, in->blob_1, sizeof in->blob_1, &len));
    must_ok(
        kms_encrypt(in->store, alias_2, NULL, in->plain, LEN, in->blob_2, sizeof in->blob_2, &len));
}

/* hot_calls PATH: of a store to be made. */
int main(int argc, char **argv)
{
    static void (*const calls[])(scene *) = {hot_encrypt_by_alias,     hot_encrypt_by_id,
                                             hot_encrypt_with_context, hot_decrypt,
                                             hot_encrypt_suite_2,      hot_decrypt_suite_2};
    static scene in;

    if (argc != 2)
        return 2;
    begin(&in, argv[1]);
    /* Twice: what is counted last counts, and is warm. */
    for (size_t i = 0; i < 2 * sizeof calls / sizeof calls[0]; i++)
        calls[i % (sizeof calls / sizeof calls[0])](&in);
    printf("%d\n", CALLS);
    kms_close(in.store);
    return 0;
}
