#include <kms/kms.h>
#include <stdio.h>

int main(void)
{
    kms_backend *engine = NULL;
    kms_root *root = NULL;
    kms_store *store = NULL;
    char key_a[KMS_KEY_ID_SIZE], key_b[KMS_KEY_ID_SIZE], address[64], blob[KMS_CIPHERTEXT_SIZE(13)];
    size_t blob_len = 0, len = 0;
    bool ok = kms_lmdb_backend(&engine, "app.kms", NULL) == KMS_OK &&
              kms_root_passphrase(&root, "my passphrase", 13) == KMS_OK &&
              kms_open(&store, engine, root, KMS_OPEN_CREATE, NULL) == KMS_OK &&
              kms_ensure_alias(store, "alias/MyAppKey", NULL, key_a) == KMS_OK &&
              kms_encrypt(store, "alias/MyAppKey", NULL, "1 Main Street", 13, blob, sizeof blob,
                          &blob_len) == KMS_OK &&
              kms_create_key(store, NULL, key_b) == KMS_OK && /* rotation: a new key, */
              kms_update_alias(store, "alias/MyAppKey", key_b) == KMS_OK && /* the alias moved */
              kms_decrypt(store, NULL, blob, blob_len, address, sizeof address, &len) == KMS_OK;
    if (ok)
        printf("%.*s: encrypted under %s, new data under %s\n", (int)len, address, key_a, key_b);
    else
        fprintf(stderr, "%s\n", kms_error_message());
    kms_close(store);
    return !ok;
}
