/*
 * Manual rotation, step by step: what an application does, and what its administrator does.
 *
 *   PASSPHRASE='...' manual_rotation NEW-STORE-FILE
 *
 * The application encrypts under an alias, and decrypts naming no key. The administrator makes
 * another key and moves the alias to it. Nothing of the application changes. It is done three times:
 * with a key that libkms drew, an imported one, and one of a service.
 */
#include <kms/kms.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PLAIN_MAX 256

/* What applications encrypt: fields before they go into a database, an object before it is
 * uploaded, a service's profile with the private key of its certificate. */
static const struct secret {
    const char *kind;
    const char *plain;
} secrets[] = {
    {"id_card", "11010519491231002X"},
    {"credit_card", "4111111111111111"},
    {"home_address", "Room 1204, Building 17, 268 Renmin Road, Wuhan"},
    {"object", "quarter,revenue\nQ1,1204\nQ2,1377\n"},
    {"tls_profile", "listen = 443\nkey = -----BEGIN PRIVATE KEY-----\n(the key)\n"
                    "-----END PRIVATE KEY-----\n"},
};

#define SECRETS (sizeof secrets / sizeof *secrets)

struct blob {
    size_t len;
    unsigned char bytes[KMS_CIPHERTEXT_SIZE(PLAIN_MAX)];
};

static bool ok(kms_status status)
{
    if (status != KMS_OK) {
        fprintf(stderr, "%s: %s\n", kms_status_name(status), kms_error_message());
    }
    return status == KMS_OK;
}

/* The encrypting module. It knows the alias, and no key. */
static bool encrypt(kms_store *store, const char *alias, const struct secret *secret,
                    struct blob *blob)
{
    kms_context_pair kind = {"kind", secret->kind};
    kms_context context = {&kind, 1};

    return ok(kms_encrypt(store, alias, &context, secret->plain, strlen(secret->plain), blob->bytes,
                          sizeof blob->bytes, &blob->len));
}

/* The decrypting module. It names no key: the blob tells which one made it. */
static bool decrypt(kms_store *store, const char *secret_kind, const struct blob *blob,
                    char plain[PLAIN_MAX + 1], kms_key_used *used)
{
    kms_context_pair kind = {"kind", secret_kind};
    kms_context context = {&kind, 1};
    size_t len;

    if (!ok(kms_decrypt_expecting(store, NULL, &context, blob->bytes, blob->len, plain, PLAIN_MAX,
                                  &len, used))) {
        return false;
    }
    plain[len] = '\0';
    return true;
}

static bool encrypt_all(kms_store *store, const char *alias, struct blob blobs[SECRETS])
{
    for (size_t i = 0; i < SECRETS; i++) {
        if (!encrypt(store, alias, &secrets[i], &blobs[i])) {
            return false;
        }
    }
    return true;
}

static bool decrypt_all(kms_store *store, const struct blob blobs[SECRETS])
{
    char plain[PLAIN_MAX + 1];
    kms_key_used used;

    for (size_t i = 0; i < SECRETS; i++) {
        if (!decrypt(store, secrets[i].kind, &blobs[i], plain, &used)) {
            return false;
        }
        if (strcmp(plain, secrets[i].plain) != 0) {
            fprintf(stderr, "%s came back as something else\n", secrets[i].kind);
            return false;
        }
        printf("   %-14s opened with key %s, version %u\n", secrets[i].kind, used.key_id,
               used.key_version);
    }
    return true;
}

/* What a blob says of itself. */
static bool show_key(const struct blob *blob)
{
    kms_blob_info info;

    if (!ok(kms_inspect_blob(blob->bytes, blob->len, &info))) {
        return false;
    }
    printf("   encrypted with key %s, version %u\n", info.key_id, info.key_version);
    return true;
}

/* --- the administrator's keys ----------------------------------------------------------------- */

static bool make_drawn(kms_store *store, char id[KMS_KEY_ID_SIZE])
{
    return ok(kms_create_key(store, NULL, id));
}

/* What happens wherever the material is: docs/import.md. */
static void wrap_elsewhere(const kms_import_parameters *parameters, unsigned char wrapped[80])
{
    unsigned char material[KMS_IMPORT_MATERIAL_SIZE];

    randombytes_buf(material, sizeof material);
    (void)crypto_box_seal(wrapped, material, sizeof material, parameters->public_key);
    sodium_memzero(material, sizeof material);
}

static bool make_imported(kms_store *store, char id[KMS_KEY_ID_SIZE])
{
    kms_create_key_options options = KMS_CREATE_KEY_OPTIONS_INIT;
    kms_import import = KMS_IMPORT_INIT;
    kms_import_parameters parameters;
    unsigned char wrapped[80];

    options.origin = KMS_KEY_ORIGIN_EXTERNAL;
    if (!ok(kms_create_key(store, &options, id)) ||
        !ok(kms_get_parameters_for_import(store, id, KMS_WRAPPING_SEALED_BOX, &parameters))) {
        return false;
    }
    wrap_elsewhere(&parameters, wrapped);
    import.token = parameters.token;
    import.token_len = parameters.token_len;
    import.material = wrapped;
    import.material_len = sizeof wrapped;
    return ok(kms_import_key_material(store, id, &import));
}

static bool find_of_service(kms_store *store, char id[KMS_KEY_ID_SIZE])
{
    return ok(kms_service_key(store, "MyDatabase", id));
}

static const struct round {
    const char *title;
    const char *alias;
    const char *what_a;
    bool (*make_a)(kms_store *store, char id[KMS_KEY_ID_SIZE]);
    const char *what_b;
    bool (*make_b)(kms_store *store, char id[KMS_KEY_ID_SIZE]);
} rounds[] = {
    {"A key that libkms drew", "alias/MyAppKey", "makes a key", make_drawn, "makes another key",
     make_drawn},
    {"An imported key", "alias/MyImportedKey", "imports a key", make_imported,
     "imports another key", make_imported},
    {"A service's key", "alias/MyDatabaseKey", "finds the service's key", find_of_service,
     "makes a key of their own", make_drawn},
};

/* --- the two parts of a rotation --------------------------------------------------------------- */

static bool set_up(kms_store *store, const struct round *round, struct blob old_data[SECRETS])
{
    char cmk_a[KMS_KEY_ID_SIZE];

    printf("%s\nInitial set-up\n", round->title);
    if (!round->make_a(store, cmk_a)) {
        return false;
    }
    printf("1. The administrator %s, CMK-A: %s\n", round->what_a, cmk_a);
    if (!ok(kms_create_alias(store, round->alias, cmk_a))) {
        return false;
    }
    printf("2. The administrator binds %s to CMK-A\n", round->alias);
    if (!encrypt_all(store, round->alias, old_data)) {
        return false;
    }
    printf("3. The application encrypts under %s\n", round->alias);
    if (!show_key(&old_data[0])) {
        return false;
    }
    printf("4. The application decrypts, naming no key\n");
    return decrypt_all(store, old_data);
}

static bool rotate(kms_store *store, const struct round *round, const struct blob old_data[SECRETS])
{
    struct blob new_data[SECRETS];
    char cmk_b[KMS_KEY_ID_SIZE];

    printf("Manual rotation\n");
    if (!round->make_b(store, cmk_b)) {
        return false;
    }
    printf("1. The administrator %s, CMK-B: %s\n", round->what_b, cmk_b);
    if (!ok(kms_update_alias(store, round->alias, cmk_b))) {
        return false;
    }
    printf("2. The administrator moves %s to CMK-B\n", round->alias);
    if (!encrypt_all(store, round->alias, new_data)) {
        return false;
    }
    printf("3. The application, unchanged, encrypts under %s\n", round->alias);
    if (!show_key(&new_data[0])) {
        return false;
    }
    printf("4. The application, unchanged, decrypts: old data with CMK-A\n");
    if (!decrypt_all(store, old_data)) {
        return false;
    }
    printf("   and new data with CMK-B\n");
    return decrypt_all(store, new_data);
}

static bool do_all_rounds(kms_store *store)
{
    struct blob old_data[SECRETS];

    for (size_t i = 0; i < sizeof rounds / sizeof *rounds; i++) {
        if (!set_up(store, &rounds[i], old_data) || !rotate(store, &rounds[i], old_data)) {
            return false;
        }
    }
    return true;
}

/* kms_open() takes engine and root over, also when it fails. */
static bool open_store(const char *path, const char *passphrase, kms_store **store)
{
    kms_backend *engine = NULL;
    kms_root *root = NULL;

    if (!ok(kms_root_passphrase(&root, passphrase, strlen(passphrase)))) {
        return false;
    }
    if (!ok(kms_lmdb_backend(&engine, path, NULL))) {
        kms_root_free(root);
        return false;
    }
    return ok(kms_open(store, engine, root, KMS_OPEN_CREATE | KMS_OPEN_EXCLUSIVE, NULL));
}

int main(int argc, char **argv)
{
    const char *passphrase = getenv("PASSPHRASE");
    kms_store *store = NULL;
    bool done;

    if (argc != 2 || passphrase == NULL) {
        fprintf(stderr, "usage: PASSPHRASE='...' %s NEW-STORE-FILE\n", argv[0]);
        return 2;
    }
    done = open_store(argv[1], passphrase, &store) && do_all_rounds(store);
    kms_close(store);
    return done ? EXIT_SUCCESS : EXIT_FAILURE;
}
