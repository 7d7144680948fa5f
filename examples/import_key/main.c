/*
 * Importing key material that was made elsewhere: the store's side of docs/import.md.
 *
 *   PASSPHRASE='...' import_key STORE-FILE COMMAND [ARGUMENT]...
 *
 *   create                                      a key that waits for its material; prints its id
 *   parameters KEY WRAPPING PUBLIC-KEY TOKEN    writes a one-time public key and its token to files
 *   import KEY WRAPPING TOKEN WRAPPED [DAYS]    the material comes in, for ever or for so many days
 *   new-version KEY WRAPPING TOKEN WRAPPED [DAYS]   other material comes in, as the primary version
 *   forget KEY                                  deletes the material, until it is imported again
 *   show KEY                                    prints the key and its versions
 *   encrypt KEY, decrypt                        from the standard input to the standard output
 *
 * WRAPPING is sealed-box, rsa-2048, rsa-3072 or rsa-4096. The material itself is never seen here: it
 * is wrapped where it was made.
 */
#include <kms/kms.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FILE_MAX 65536
#define VERSIONS_SHOWN 20

struct content {
    size_t len;
    unsigned char bytes[FILE_MAX];
};

static bool ok(kms_status status)
{
    if (status != KMS_OK) {
        fprintf(stderr, "%s: %s\n", kms_status_name(status), kms_error_message());
    }
    return status == KMS_OK;
}

/* --- files --------------------------------------------------------------------------------- */

static bool read_stream(FILE *stream, const char *name, struct content *content)
{
    content->len = fread(content->bytes, 1, sizeof content->bytes, stream);
    if (ferror(stream) || !feof(stream)) {
        fprintf(stderr, "%s cannot be read, or has %d bytes or more\n", name, FILE_MAX);
        return false;
    }
    return true;
}

static bool read_file(const char *path, struct content *content)
{
    FILE *file = fopen(path, "rb");
    bool done;

    if (file == NULL) {
        perror(path);
        return false;
    }
    done = read_stream(file, path, content);
    fclose(file);
    return done;
}

static bool write_file(const char *path, const void *bytes, size_t len)
{
    FILE *file = fopen(path, "wb");
    bool done = file != NULL && fwrite(bytes, 1, len, file) == len;

    if (file != NULL && fclose(file) != 0) {
        done = false;
    }
    if (!done) {
        perror(path);
    }
    return done;
}

static bool write_out(const void *bytes, size_t len)
{
    if (fwrite(bytes, 1, len, stdout) != len || fflush(stdout) != 0) {
        perror("the standard output");
        return false;
    }
    return true;
}

/* --- words for numbers --------------------------------------------------------------------- */

static bool parse_wrapping(const char *word, kms_wrapping *wrapping)
{
    static const struct {
        const char *word;
        kms_wrapping wrapping;
    } words[] = {
        {"sealed-box", KMS_WRAPPING_SEALED_BOX},
        {"rsa-2048", KMS_WRAPPING_RSA_2048_OAEP_SHA_256},
        {"rsa-3072", KMS_WRAPPING_RSA_3072_OAEP_SHA_256},
        {"rsa-4096", KMS_WRAPPING_RSA_4096_OAEP_SHA_256},
    };

    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(word, words[i].word) == 0) {
            *wrapping = words[i].wrapping;
            return true;
        }
    }
    fprintf(stderr, "%s is no wrapping: sealed-box, rsa-2048, rsa-3072 or rsa-4096\n", word);
    return false;
}

/* The date that is so many days ahead; no argument: 0, which is for ever. */
static bool parse_days(const char *word, int64_t *expires_ms)
{
    char *end;
    long days;

    *expires_ms = 0;
    if (word == NULL) {
        return true;
    }
    days = strtol(word, &end, 10);
    if (end == word || *end != '\0' || days < 1 || days > 36500) {
        fprintf(stderr, "%s is no number of days\n", word);
        return false;
    }
    *expires_ms = ((int64_t)time(NULL) + days * (int64_t)86400) * 1000;
    return true;
}

static const char *state_word(kms_key_version_state state)
{
    switch (state) {
    case KMS_KEY_VERSION_ENABLED:
        return "enabled";
    case KMS_KEY_VERSION_DISABLED:
        return "disabled";
    case KMS_KEY_VERSION_PENDING_IMPORT:
        return "waits for its material";
    case KMS_KEY_VERSION_DESTROY_SCHEDULED:
        return "to be destroyed";
    case KMS_KEY_VERSION_DESTROYED:
        return "destroyed";
    }
    return "unknown";
}

/* --- commands ------------------------------------------------------------------------------- */

static bool create(kms_store *store, char **arguments)
{
    kms_create_key_options options = KMS_CREATE_KEY_OPTIONS_INIT;
    char id[KMS_KEY_ID_SIZE];

    (void)arguments;
    options.origin = KMS_KEY_ORIGIN_EXTERNAL;
    if (!ok(kms_create_key(store, &options, id))) {
        return false;
    }
    printf("%s\n", id);
    return true;
}

static bool parameters(kms_store *store, char **arguments)
{
    static kms_import_parameters made;
    kms_wrapping wrapping;

    return parse_wrapping(arguments[1], &wrapping) &&
           ok(kms_get_parameters_for_import(store, arguments[0], wrapping, &made)) &&
           write_file(arguments[2], made.public_key, made.public_key_len) &&
           write_file(arguments[3], made.token, made.token_len);
}

static bool prepare(char **arguments, kms_import *import)
{
    static struct content token, wrapped;

    if (!parse_wrapping(arguments[1], &import->wrapping) || !read_file(arguments[2], &token) ||
        !read_file(arguments[3], &wrapped) || !parse_days(arguments[4], &import->expires_ms)) {
        return false;
    }
    import->token = token.bytes;
    import->token_len = token.len;
    import->material = wrapped.bytes;
    import->material_len = wrapped.len;
    return true;
}

static bool import_material(kms_store *store, char **arguments)
{
    kms_import import = KMS_IMPORT_INIT;

    return prepare(arguments, &import) && ok(kms_import_key_material(store, arguments[0], &import));
}

static bool new_version(kms_store *store, char **arguments)
{
    kms_import import = KMS_IMPORT_INIT;
    uint32_t number;

    if (!prepare(arguments, &import) ||
        !ok(kms_import_key_version(store, arguments[0], &import, &number))) {
        return false;
    }
    printf("version %u\n", number);
    return true;
}

static bool forget(kms_store *store, char **arguments)
{
    return ok(kms_delete_key_material(store, arguments[0], 0));
}

static bool show(kms_store *store, char **arguments)
{
    kms_key_version_info versions[VERSIONS_SHOWN];
    size_t count;

    if (!ok(kms_list_key_versions(store, arguments[0], 0, versions, VERSIONS_SHOWN, &count,
                                  NULL))) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        printf("version %u%s: %s\n", versions[i].number, versions[i].primary ? ", primary" : "",
               state_word(versions[i].state));
    }
    return true;
}

static bool encrypt(kms_store *store, char **arguments)
{
    static struct content plain;
    static unsigned char blob[KMS_CIPHERTEXT_SIZE(FILE_MAX)];
    size_t len;

    return read_stream(stdin, "the standard input", &plain) &&
           ok(kms_encrypt(store, arguments[0], NULL, plain.bytes, plain.len, blob, sizeof blob,
                          &len)) &&
           write_out(blob, len);
}

static bool decrypt(kms_store *store, char **arguments)
{
    static struct content blob;
    static unsigned char plain[FILE_MAX];
    size_t len;

    (void)arguments;
    return read_stream(stdin, "the standard input", &blob) &&
           ok(kms_decrypt(store, NULL, blob.bytes, blob.len, plain, sizeof plain, &len)) &&
           write_out(plain, len);
}

static const struct command {
    const char *name;
    int least, most;
    bool (*run)(kms_store *store, char **arguments);
} commands[] = {
    {"create", 0, 0, create},          {"parameters", 4, 4, parameters},
    {"import", 4, 5, import_material}, {"new-version", 4, 5, new_version},
    {"forget", 1, 1, forget},          {"show", 1, 1, show},
    {"encrypt", 1, 1, encrypt},        {"decrypt", 0, 0, decrypt},
};

static const struct command *find_command(const char *name, int count)
{
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        if (strcmp(name, commands[i].name) == 0 && count >= commands[i].least &&
            count <= commands[i].most) {
            return &commands[i];
        }
    }
    return NULL;
}

/* kms_open() takes engine and root over, also when it fails. */
static bool open_store(const char *path, const char *passphrase, kms_store **store)
{
    kms_open_options options = KMS_OPEN_OPTIONS_INIT;
    kms_backend *engine = NULL;
    kms_root *root = NULL;

    /* Only for a store that is made here: every command opens it anew. */
    options.strength = KMS_STRENGTH_INTERACTIVE;
    if (!ok(kms_root_passphrase(&root, passphrase, strlen(passphrase)))) {
        return false;
    }
    if (!ok(kms_lmdb_backend(&engine, path, NULL))) {
        kms_root_free(root);
        return false;
    }
    return ok(kms_open(store, engine, root, KMS_OPEN_CREATE, &options));
}

/* argv ends with NULL: an argument that was left out is that. */
int main(int argc, char **argv)
{
    const char *passphrase = getenv("PASSPHRASE");
    const struct command *command = argc >= 3 ? find_command(argv[2], argc - 3) : NULL;
    kms_store *store = NULL;
    bool done;

    if (command == NULL || passphrase == NULL) {
        fprintf(stderr,
                "usage: PASSPHRASE='...' %s STORE-FILE COMMAND [ARGUMENT]...\n"
                "create | parameters KEY WRAPPING PUBLIC-KEY TOKEN |\n"
                "import KEY WRAPPING TOKEN WRAPPED [DAYS] |\n"
                "new-version KEY WRAPPING TOKEN WRAPPED [DAYS] | forget KEY | show KEY |\n"
                "encrypt KEY <PLAIN >BLOB | decrypt <BLOB >PLAIN\n",
                argv[0]);
        return 2;
    }
    done = open_store(argv[1], passphrase, &store) && command->run(store, argv + 3);
    kms_close(store);
    return done ? EXIT_SUCCESS : EXIT_FAILURE;
}
