/*
 * An object store: encryption by another service, with a data key for each object.
 *
 *   PASSPHRASE='...' object_store STORE FOLDER put NAME FILE
 *   PASSPHRASE='...' object_store STORE FOLDER get NAME FILE
 *   PASSPHRASE='...' object_store STORE FOLDER rotate      a new version of the key
 *   PASSPHRASE='...' object_store STORE FOLDER list        which key and version each object is under
 *
 * The service asks for a data key with every object. So a rotation of the key, by policy or on
 * demand, takes effect with the next object; old ones stay readable, because each object carries
 * the blob of its own data key.
 *
 * An object is a file: length of the blob (2 bytes) | blob | nonce | ciphertext. What a real service
 * would add: objects that are larger than memory, and a temporary name until one is whole.
 */
#include <kms/kms.h>

#include <dirent.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALIAS "alias/ObjectStore"
#define KEY_SIZE crypto_aead_xchacha20poly1305_ietf_KEYBYTES
#define NONCE_SIZE crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG_SIZE crypto_aead_xchacha20poly1305_ietf_ABYTES
#define BLOB_SIZE KMS_CIPHERTEXT_SIZE(KEY_SIZE)
#define HEAD_SIZE (2 + BLOB_SIZE + NONCE_SIZE)

struct bytes {
    unsigned char *data;
    size_t len;
};

static bool ok(kms_status status)
{
    if (status != KMS_OK) {
        fprintf(stderr, "%s: %s\n", kms_status_name(status), kms_error_message());
    }
    return status == KMS_OK;
}

static bool complain(const char *path)
{
    perror(path);
    return false;
}

static bool read_file(const char *path, struct bytes *content)
{
    FILE *file = fopen(path, "rb");
    long size = -1;

    if (file == NULL || fseek(file, 0, SEEK_END) != 0 || (size = ftell(file)) < 0) {
        if (file != NULL) {
            fclose(file);
        }
        return complain(path);
    }
    rewind(file);
    content->len = (size_t)size;
    content->data = malloc(content->len + 1);
    if (content->data == NULL || fread(content->data, 1, content->len, file) != content->len) {
        fclose(file);
        return complain(path);
    }
    fclose(file);
    return true;
}

static bool write_file(const char *path, const struct bytes *content)
{
    FILE *file = fopen(path, "wb");
    bool written = file != NULL && fwrite(content->data, 1, content->len, file) == content->len;

    if (file != NULL && fclose(file) != 0) {
        written = false;
    }
    return written || complain(path);
}

/* The object's name is bound to its data key: an object that is renamed does not open. */
static kms_context context_of(const char *name, kms_context_pair *pair)
{
    *pair = (kms_context_pair){"object", name};
    return (kms_context){pair, 1};
}

static bool seal(kms_store *store, const char *name, const struct bytes *plain,
                 struct bytes *object)
{
    kms_context_pair pair;
    kms_context context = context_of(name, &pair);
    kms_secret *key = NULL;
    size_t blob_len = 0;
    unsigned char *nonce;

    object->len = HEAD_SIZE + plain->len + TAG_SIZE;
    object->data = malloc(object->len);
    if (object->data == NULL) {
        return complain(name);
    }
    if (!ok(kms_generate_data_key_locked(store, ALIAS, &context, KEY_SIZE, &key, object->data + 2,
                                         BLOB_SIZE, &blob_len))) {
        return false;
    }
    object->data[0] = (unsigned char)(blob_len >> 8);
    object->data[1] = (unsigned char)blob_len;
    nonce = object->data + 2 + BLOB_SIZE;
    randombytes_buf(nonce, NONCE_SIZE);
    crypto_aead_xchacha20poly1305_ietf_encrypt(object->data + HEAD_SIZE, NULL, plain->data,
                                               plain->len, NULL, 0, NULL, nonce, key->data);
    kms_secret_free(key);
    return true;
}

static bool is_object(const struct bytes *object)
{
    return object->len >= HEAD_SIZE + TAG_SIZE &&
           (size_t)(object->data[0] << 8 | object->data[1]) == BLOB_SIZE;
}

static bool unseal(kms_store *store, const char *name, const struct bytes *object,
                   struct bytes *plain)
{
    kms_context_pair pair;
    kms_context context = context_of(name, &pair);
    kms_secret *key = NULL;
    int rc = -1;

    if (!is_object(object)) {
        fprintf(stderr, "%s: this is no object\n", name);
        return false;
    }
    plain->len = object->len - HEAD_SIZE - TAG_SIZE;
    plain->data = malloc(plain->len + 1);
    if (plain->data == NULL) {
        return complain(name);
    }
    /* No key is named: the object says itself which key and version it needs. */
    if (!ok(kms_decrypt_data_key(store, &context, object->data + 2, BLOB_SIZE, &key))) {
        return false;
    }
    if (key->size == KEY_SIZE) {
        rc = crypto_aead_xchacha20poly1305_ietf_decrypt(
            plain->data, NULL, NULL, object->data + HEAD_SIZE, object->len - HEAD_SIZE, NULL, 0,
            object->data + 2 + BLOB_SIZE, key->data);
    }
    kms_secret_free(key);
    if (rc != 0) {
        fprintf(stderr, "%s: the object was altered\n", name);
    }
    return rc == 0;
}

static bool put(kms_store *store, const char *path, const char *name, const char *from)
{
    struct bytes plain = {NULL, 0}, object = {NULL, 0};
    bool done =
        read_file(from, &plain) && seal(store, name, &plain, &object) && write_file(path, &object);

    free(plain.data);
    free(object.data);
    return done;
}

static bool get(kms_store *store, const char *path, const char *name, const char *to)
{
    struct bytes plain = {NULL, 0}, object = {NULL, 0};
    bool done =
        read_file(path, &object) && unseal(store, name, &object, &plain) && write_file(to, &plain);

    free(plain.data);
    free(object.data);
    return done;
}

static bool rotate(kms_store *store)
{
    kms_key_info info = {.version = KMS_KEY_INFO_VERSION};
    uint32_t number = 0;
    bool done = ok(kms_describe_key(store, ALIAS, &info)) &&
                ok(kms_create_key_version(store, info.key_id, &number));

    if (done) {
        printf("%s: version %u of key %s from the next object on\n", ALIAS, number, info.key_id);
    }
    return done;
}

static bool show(const char *path, const char *name)
{
    struct bytes object = {NULL, 0};
    kms_blob_info info;
    bool done = read_file(path, &object) && is_object(&object) &&
                ok(kms_inspect_blob(object.data + 2, BLOB_SIZE, &info));

    if (done) {
        printf("%s: version %u of key %s\n", name, info.key_version, info.key_id);
    }
    free(object.data);
    return done;
}

static bool list(const char *folder)
{
    struct dirent **entries = NULL;
    int count = scandir(folder, &entries, NULL, alphasort);
    bool done = count >= 0 || complain(folder);

    for (int i = 0; i < count; i++) {
        char path[4096];

        if (done && entries[i]->d_name[0] != '.') {
            snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
            done = show(path, entries[i]->d_name);
        }
        free(entries[i]);
    }
    free(entries);
    return done;
}

static bool open_store(const char *path, const char *passphrase, kms_store **store)
{
    kms_open_options options = KMS_OPEN_OPTIONS_INIT;
    kms_backend *engine = NULL;
    kms_root *root = NULL;

    /* Only for a store that is made here: every command opens it anew. */
    options.strength = KMS_STRENGTH_INTERACTIVE;
    if (!ok(kms_lmdb_backend(&engine, path, NULL))) {
        return false;
    }
    if (!ok(kms_root_passphrase(&root, passphrase, strlen(passphrase)))) {
        kms_backend_free(engine);
        return false;
    }
    return ok(kms_open(store, engine, root, KMS_OPEN_CREATE, &options)) &&
           ok(kms_ensure_alias(*store, ALIAS, NULL, NULL));
}

static bool run(kms_store *store, int argc, char **argv)
{
    const char *folder = argv[2], *command = argv[3];
    char path[4096];

    if (argc == 6 && argv[4][0] != '.' && strchr(argv[4], '/') == NULL) {
        snprintf(path, sizeof path, "%s/%s", folder, argv[4]);
        if (strcmp(command, "put") == 0) {
            return put(store, path, argv[4], argv[5]);
        }
        if (strcmp(command, "get") == 0) {
            return get(store, path, argv[4], argv[5]);
        }
    }
    if (argc == 4 && strcmp(command, "rotate") == 0) {
        return rotate(store);
    }
    if (argc == 4 && strcmp(command, "list") == 0) {
        return list(folder);
    }
    fprintf(stderr, "put NAME FILE, get NAME FILE, rotate, or list\n");
    return false;
}

int main(int argc, char **argv)
{
    const char *passphrase = getenv("PASSPHRASE");
    kms_store *store = NULL;
    bool done;

    if (argc < 4 || passphrase == NULL || sodium_init() < 0) {
        fprintf(stderr, "usage: PASSPHRASE='...' %s STORE FOLDER put|get|rotate|list ...\n",
                argv[0]);
        return 2;
    }
    done = open_store(argv[1], passphrase, &store) && run(store, argc, argv);
    kms_close(store);
    return !done;
}
