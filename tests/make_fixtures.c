/*
 * Makes what tests/fixtures holds, and the like of it for the independent decoder.
 *
 *     make_fixtures vectors          blobs of chosen material and nonces, with every value on the way
 *     make_fixtures fresh COUNT      blobs of a new store in memory: random keys, contexts, sizes
 *     make_fixtures store PATH       an LMDB store at PATH under a raw root key, and blobs under it
 *     make_fixtures passphrase PATH  the same under a passphrase
 *
 * The description goes to the standard output (tests/support/fixture_text.h has its grammar). The
 * files in tests/fixtures are of release 0.1 and stay as they are: a later release adds its own.
 */
#include "base/fork.h"
#include "crypto/aead.h"
#include "crypto/kdf.h"
#include "domain/version_record.h"

#include <kms/kms.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Tells tests/check_decoder.sh that this build lacks a part for it. */
#define EXIT_UNSUPPORTED 77
#define PAIRS_MAX 24
#define TEXT_MAX 40
#define PLAIN_MAX 5000

static void must(bool condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "make_fixtures: %s: %s\n", what, kms_error_message());
    exit(EXIT_FAILURE);
}

#define ok(call) must((call) == KMS_OK, #call)

/* --- The description ------------------------------------------------------------------------- */

static void print_hex(const void *data, size_t len)
{
    const uint8_t *bytes = data;

    if (len == 0)
        putchar('-');
    for (size_t i = 0; i < len; i++) {
        if (i > 0 && i % 40 == 0)
            printf("\n    ");
        printf("%02x", bytes[i]);
    }
}

static void print_bytes(const char *field, const void *data, size_t len)
{
    printf("%s ", field);
    print_hex(data, len);
    putchar('\n');
}

static void print_context(const kms_context *context)
{
    for (size_t i = 0; context != NULL && i < context->count; i++) {
        printf("context ");
        print_hex(context->pairs[i].key, strlen(context->pairs[i].key));
        putchar(' ');
        print_hex(context->pairs[i].value, strlen(context->pairs[i].value));
        putchar('\n');
    }
}

static void print_blob(const uint8_t *blob, size_t blob_len, const void *plain, size_t plain_len,
                       const kms_context *context)
{
    kms_blob_info info;

    ok(kms_inspect_blob(blob, blob_len, &info));
    printf("suite %d\nkind %d\nkey-id %s\nkey-version %u\n", info.suite, info.kind, info.key_id,
           info.key_version);
    print_context(context);
    print_bytes("plaintext", plain, plain_len);
    print_bytes("blob-bytes", blob, blob_len);
}

/* --- Vectors: everything is chosen ------------------------------------------------------------ */

typedef struct vector {
    const char *name;
    kms_suite suite;
    kms_blob_kind kind;
    uint32_t version;
    size_t plain_len;
    const char *plain;
    kms_context_pair pairs[3];
    size_t pairs_count;
} vector;

/* Pairs stand as a caller may give them, not in their canonical order. Without a text, the
 * plaintext is the bytes 0, 1, 2 ... */
static const vector vectors[] = {
    {"suite-1", KMS_SUITE_XCHACHA20_POLY1305, KMS_BLOB_DATA, 1, 6, "libkms", {{0}}, 0},
    {"suite-1-context",
     KMS_SUITE_XCHACHA20_POLY1305,
     KMS_BLOB_DATA,
     1,
     11,
     "987-65-4320",
     {{"table", "customers"}, {"column", "ssn"}},
     2},
    {"suite-1-empty", KMS_SUITE_XCHACHA20_POLY1305, KMS_BLOB_DATA, 2, 0, "", {{0}}, 0},
    {"suite-2", KMS_SUITE_AES_256_GCM, KMS_BLOB_DATA, 1, 6, "libkms", {{0}}, 0},
    {"suite-2-context",
     KMS_SUITE_AES_256_GCM,
     KMS_BLOB_DATA,
     1,
     11,
     "987-65-4320",
     {{"ab", ""}, {"a", "caf\xc3\xa9"}, {"B", "b"}},
     3},
    {"suite-2-empty", KMS_SUITE_AES_256_GCM, KMS_BLOB_DATA, 258, 0, "", {{"k", "v"}}, 1},
    {"suite-1-long", KMS_SUITE_XCHACHA20_POLY1305, KMS_BLOB_DATA, 1, 1500, NULL, {{0}}, 0},
    {"suite-2-long", KMS_SUITE_AES_256_GCM, KMS_BLOB_DATA, 1, 1500, NULL, {{0}}, 0},
    {"suite-1-data-key", KMS_SUITE_XCHACHA20_POLY1305, KMS_BLOB_DATA_KEY, 3, 32, NULL, {{0}}, 0},
    {"suite-2-deterministic", KMS_SUITE_AES_256_GCM, KMS_BLOB_DETERMINISTIC, 3, 32, NULL, {{0}}, 0},
};

static const uint8_t vector_key_id[KMS__ID_SIZE] = {0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x46, 0x77,
                                                    0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff};

static void count_up(uint8_t *bytes, size_t len, unsigned first)
{
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(first + i);
}

static void print_keys(const vector *v, const uint8_t *material, const uint8_t *suite_key,
                       const uint8_t *commitment, const uint8_t *nonce)
{
    uint8_t message_key[32], input[16] = {0};

    print_bytes("material", material, 32);
    print_bytes("suite-key", suite_key, 32);
    print_bytes("commitment", commitment, KMS_COMMITMENT_SIZE);
    print_bytes("nonce", nonce, KMS__AEAD_NONCE_SIZE);
    if (v->suite != KMS_SUITE_AES_256_GCM)
        return;
    memcpy(input, nonce, 12);
    (void)crypto_core_hchacha20(message_key, input, suite_key, NULL);
    print_bytes("message-key", message_key, sizeof message_key);
}

static void print_vector(const vector *v, unsigned number)
{
    static uint8_t plain[PLAIN_MAX], blob[KMS_CIPHERTEXT_SIZE(PLAIN_MAX)];
    uint8_t material[32], suite_key[32], commitment[KMS_COMMITMENT_SIZE];
    kms_context context = {v->pairs, v->pairs_count};
    static kms__associated associated;
    kms_slice header_and_context;

    count_up(material, sizeof material, 0);
    count_up(blob + KMS__BLOB_NONCE_AT, KMS__AEAD_NONCE_SIZE, 0x40 + number);
    count_up(plain, v->plain_len, 0);
    if (v->plain != NULL)
        memcpy(plain, v->plain, v->plain_len);
    kms__derive(v->suite == KMS_SUITE_AES_256_GCM ? KMS__USE_SUITE_2 : KMS__USE_SUITE_1, material,
                vector_key_id, v->version, suite_key);
    kms__derive(KMS__USE_COMMITMENT, material, vector_key_id, v->version, commitment);
    kms__blob_write_prefix(blob, v->suite, v->kind, vector_key_id, v->version, commitment);
    ok(kms__associated_begin(&context, &associated));
    header_and_context = kms__associated_end(&associated, blob);
    ok(kms__aead_seal(v->suite, suite_key, blob + KMS__BLOB_NONCE_AT, header_and_context,
                      (kms_slice){plain, v->plain_len}, blob + KMS__BLOB_HEADER));
    printf("\nblob %s\n", v->name);
    print_keys(v, material, suite_key, commitment, blob + KMS__BLOB_NONCE_AT);
    print_bytes("context-bytes", associated.bytes + KMS__BLOB_HEADER, associated.context_len);
    print_blob(blob, KMS_CIPHERTEXT_SIZE(v->plain_len), plain, v->plain_len, &context);
}

static void print_vectors(void)
{
    ok(kms__fork_init());
    if (!kms__suite_available(KMS_SUITE_AES_256_GCM))
        exit(EXIT_UNSUPPORTED);
    printf("# Blobs of format 1, made by libkms %s from chosen material and nonces.\n",
           kms_version());
    for (unsigned i = 0; i < sizeof vectors / sizeof vectors[0]; i++)
        print_vector(&vectors[i], i);
}

/* --- Fresh blobs ----------------------------------------------------------------------------- */

typedef struct random_context {
    char text[2 * PAIRS_MAX][TEXT_MAX];
    kms_context_pair pairs[PAIRS_MAX];
    kms_context context;
} random_context;

/* Any bytes but NUL. */
static char *draw_text(char text[TEXT_MAX], size_t least)
{
    size_t len = least + randombytes_uniform((uint32_t)(TEXT_MAX - least));

    for (size_t i = 0; i < len; i++)
        text[i] = (char)(1 + randombytes_uniform(255));
    text[len] = '\0';
    return text;
}

static bool has_key(const random_context *c, const char *key)
{
    for (size_t i = 0; i < c->context.count; i++)
        if (strcmp(c->pairs[i].key, key) == 0)
            return true;
    return false;
}

static const kms_context *draw_context(random_context *c)
{
    size_t wanted = randombytes_uniform(PAIRS_MAX + 1);

    c->context = (kms_context){c->pairs, 0};
    for (size_t i = 0; i < wanted; i++) {
        const char *key = draw_text(c->text[2 * i], 1);

        if (!has_key(c, key))
            c->pairs[c->context.count++] =
                (kms_context_pair){key, draw_text(c->text[2 * i + 1], 0)};
    }
    return &c->context;
}

typedef struct wanted_material {
    uint8_t id[KMS__ID_SIZE];
    uint32_t version;
    uint8_t *cell;
} wanted_material;

static kms_status load_material(kms__txn *txn, void *argument)
{
    wanted_material *wanted = argument;
    kms__key key;
    kms_status st = kms__key_load(txn, wanted->id, &key, NULL);

    if (st != KMS_OK)
        return st;
    st = kms__version_load(txn, &key, wanted->version, wanted->cell, NULL, NULL);
    kms__key_clear(&key);
    return st;
}

static void print_material(kms_store *store, const char *key_id, uint32_t version)
{
    uint8_t cell[KMS__SECRET_CELL];
    wanted_material wanted = {.version = version, .cell = cell};

    must(kms__id_parse(key_id, wanted.id), "a key id");
    ok(kms__store_read(store, load_material, &wanted));
    print_bytes("material", cell, KMS__MATERIAL_SIZE);
}

static kms_suite other_suite(void)
{
    return kms__suite_available(KMS_SUITE_AES_256_GCM) ? KMS_SUITE_AES_256_GCM
                                                       : KMS_SUITE_XCHACHA20_POLY1305;
}

static void create_key(kms_store *store, kms_suite suite, char id[KMS_KEY_ID_SIZE])
{
    kms_create_key_options options = KMS_CREATE_KEY_OPTIONS_INIT;

    options.suite = suite;
    ok(kms_create_key(store, &options, id));
}

static void print_fresh(unsigned number, kms_store *store, const char *key_id)
{
    static uint8_t plain[PLAIN_MAX], blob[KMS_CIPHERTEXT_SIZE(PLAIN_MAX)];
    static random_context room;
    const kms_context *context = draw_context(&room);
    size_t plain_len =
        randombytes_uniform(2) == 0 ? randombytes_uniform(100) : randombytes_uniform(PLAIN_MAX + 1);
    size_t blob_len;
    kms_blob_info info;

    randombytes_buf(plain, plain_len);
    ok(kms_encrypt(store, key_id, context, plain, plain_len, blob, sizeof blob, &blob_len));
    ok(kms_inspect_blob(blob, blob_len, &info));
    printf("\nblob fresh-%u\n", number);
    print_material(store, key_id, info.key_version);
    print_blob(blob, blob_len, plain, plain_len, context);
}

static void print_many_fresh(unsigned count)
{
    char keys[2][KMS_KEY_ID_SIZE];
    kms_store *store;

    ok(kms_open_memory(&store));
    create_key(store, KMS_SUITE_XCHACHA20_POLY1305, keys[0]);
    create_key(store, other_suite(), keys[1]);
    for (unsigned i = 0; i < count; i++) {
        print_fresh(i, store, keys[i % 2]);
        if (i % 16 == 15)
            ok(kms_create_key_version(store, keys[randombytes_uniform(2)], NULL));
    }
    kms_close(store);
}

/* --- Whole stores ---------------------------------------------------------------------------- */

/* A second a look, from 2026-01-01 on. */
static int64_t next_second(void *data)
{
    int64_t *now = data;

    *now += 1000;
    return *now;
}

static int64_t now_ms = INT64_C(1767225600000);

static kms_store *create_store(const char *path, kms_root *root)
{
    kms_open_options options = KMS_OPEN_OPTIONS_INIT;
    kms_clock clock = {KMS_CLOCK_VERSION, &now_ms, next_second};
    kms_backend *engine;
    kms_store *store;

    options.clock = &clock;
    options.strength = KMS_STRENGTH_INTERACTIVE;
    if (kms_lmdb_backend(&engine, path, NULL) == KMS_ERR_UNSUPPORTED)
        exit(EXIT_UNSUPPORTED);
    ok(kms_open(&store, engine, root, KMS_OPEN_CREATE | KMS_OPEN_EXCLUSIVE, &options));
    return store;
}

static unsigned blobs_made;

/* The name says what the reader shall find: that it opens, or that the key is disabled. */
static void make_blob(kms_store *store, const char *keyref, const char *expected,
                      const kms_context *context)
{
    char plain[64];
    uint8_t blob[KMS_CIPHERTEXT_SIZE(sizeof plain)];
    size_t blob_len, plain_len;

    snprintf(plain, sizeof plain, "secret %u under %.20s", ++blobs_made, keyref);
    plain_len = blobs_made % 5 == 0 ? 0 : strlen(plain);
    ok(kms_encrypt(store, keyref, context, plain, plain_len, blob, sizeof blob, &blob_len));
    printf("\nblob %s\n", expected);
    print_blob(blob, blob_len, plain, plain_len, context);
}

static void print_versions(kms_store *store, const char *key_id)
{
    kms_key_version_info versions[8];
    size_t count;

    ok(kms_list_key_versions(store, key_id, 0, versions, 8, &count, NULL));
    for (size_t i = 0; i < count; i++) {
        printf("\nversion %u\nkey-id %s\nstate %d\nsuite %d\nprimary %d\ncreated-ms %lld\n",
               versions[i].number, key_id, versions[i].state, versions[i].suite,
               versions[i].primary, (long long)versions[i].created_ms);
        print_bytes("commitment", versions[i].commitment, KMS_COMMITMENT_SIZE);
    }
}

static void print_all_keys(kms_store *store)
{
    char ids[16][KMS_KEY_ID_SIZE];
    size_t count;

    ok(kms_list_keys(store, NULL, ids, 16, &count, NULL));
    for (size_t i = 0; i < count; i++) {
        kms_key_info info = {.version = KMS_KEY_INFO_VERSION};

        ok(kms_describe_key(store, ids[i], &info));
        printf("\nkey %s\nstate %d\nspec %d\nusage %d\norigin %d\nsuite %d\nprimary-version %u\n"
               "version-count %u\ncreated-ms %lld\n",
               info.key_id, info.state, info.spec, info.usage, info.origin, info.suite,
               info.primary_version, info.version_count, (long long)info.created_ms);
        print_versions(store, ids[i]);
    }
}

static void print_all_aliases(kms_store *store)
{
    kms_alias_info aliases[16];
    size_t count;

    ok(kms_list_aliases(store, NULL, aliases, 16, &count, NULL));
    for (size_t i = 0; i < count; i++)
        printf("\nalias %s\nkey-id %s\nprevious-key-id %s\ncreated-ms %lld\nmoved-ms %lld\n",
               aliases[i].name, aliases[i].key_id,
               aliases[i].previous_key_id[0] != '\0' ? aliases[i].previous_key_id : "-",
               (long long)aliases[i].created_ms, (long long)aliases[i].moved_ms);
}

static void print_store(kms_store *store)
{
    kms_store_info info = {.version = KMS_STORE_INFO_VERSION};

    ok(kms_get_store_info(store, &info));
    printf("changes %llu\n", (unsigned long long)info.changes);
    print_bytes("store-id", info.store_id, sizeof info.store_id);
    print_all_keys(store);
    print_all_aliases(store);
}

/* Four keys, one of them disabled, with up to three versions; aliases that were moved once, twice
 * and back, never, and deleted; the longest name; and blobs of every moment between. */
static void fill_store(kms_store *store)
{
    static const kms_context_pair pairs[] = {{"table", "customers"}, {"column", "ssn"}};
    static const kms_context context = {pairs, 2};
    char a[KMS_KEY_ID_SIZE], b[KMS_KEY_ID_SIZE], c[KMS_KEY_ID_SIZE], d[KMS_KEY_ID_SIZE];
    char longest[KMS_ALIAS_SIZE];

    memset(longest, 'x', sizeof longest);
    memcpy(longest, "alias/", 6);
    longest[KMS_ALIAS_SIZE - 1] = '\0';
    create_key(store, KMS_SUITE_XCHACHA20_POLY1305, a);
    create_key(store, other_suite(), b);
    create_key(store, KMS_SUITE_XCHACHA20_POLY1305, c);
    create_key(store, other_suite(), d);
    ok(kms_create_alias(store, "alias/MyAppKey", a));
    ok(kms_create_alias(store, "alias/there-and/back", a));
    ok(kms_create_alias(store, "alias/gone", b));
    ok(kms_create_alias(store, "alias/Retired", c));
    ok(kms_create_alias(store, longest, a));
    make_blob(store, "alias/MyAppKey", "opens", NULL);
    make_blob(store, "alias/MyAppKey", "opens", &context);
    ok(kms_create_key_version(store, a, NULL));
    make_blob(store, longest, "opens", &context);
    make_blob(store, "alias/Retired", "disabled", NULL);
    make_blob(store, "alias/Retired", "disabled", &context);
    ok(kms_disable_key(store, c));
    ok(kms_update_alias(store, "alias/MyAppKey", b));
    make_blob(store, "alias/MyAppKey", "opens", NULL);
    ok(kms_create_key_version(store, b, NULL));
    make_blob(store, "alias/MyAppKey", "opens", &context);
    ok(kms_update_alias(store, "alias/there-and/back", b));
    ok(kms_update_alias(store, "alias/there-and/back", a));
    ok(kms_create_key_version(store, a, NULL));
    make_blob(store, "alias/there-and/back", "opens", &context);
    make_blob(store, d, "opens", NULL);
    make_blob(store, d, "opens", &context);
    ok(kms_delete_alias(store, "alias/gone"));
}

static void make_raw_store(const char *path)
{
    uint8_t root_key[KMS_ROOT_KEY_SIZE];
    kms_store *store;
    kms_root *root;

    count_up(root_key, sizeof root_key, 0xa0);
    ok(kms_root_raw(&root, root_key, sizeof root_key));
    store = create_store(path, root);
    printf("# A store of libkms %s, and blobs made under it.\n", kms_version());
    fill_store(store);
    printf("\nstore raw\n");
    print_bytes("root-key", root_key, sizeof root_key);
    print_store(store);
    ok(kms_verify(store));
    kms_close(store);
}

static void make_passphrase_store(const char *path)
{
    static const char passphrase[] = "correct horse battery staple";
    char key_id[KMS_KEY_ID_SIZE];
    kms_store *store;
    kms_root *root;

    ok(kms_root_passphrase(&root, passphrase, strlen(passphrase)));
    store = create_store(path, root);
    printf("# A store of libkms %s under a passphrase, and a blob made under it.\n", kms_version());
    ok(kms_ensure_alias(store, "alias/MyAppKey", NULL, key_id));
    make_blob(store, "alias/MyAppKey", "opens", NULL);
    printf("\nstore passphrase\n");
    print_bytes("passphrase", passphrase, strlen(passphrase));
    print_store(store);
    kms_close(store);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";

    if (argc == 2 && strcmp(what, "vectors") == 0)
        print_vectors();
    else if (argc == 3 && strcmp(what, "fresh") == 0)
        print_many_fresh((unsigned)strtoul(argv[2], NULL, 10));
    else if (argc == 3 && strcmp(what, "store") == 0)
        make_raw_store(argv[2]);
    else if (argc == 3 && strcmp(what, "passphrase") == 0)
        make_passphrase_store(argv[2]);
    else
        must(false, "usage: make_fixtures vectors | fresh COUNT | store PATH | passphrase PATH");
    must(fflush(stdout) == 0 && !ferror(stdout), "writing");
    return EXIT_SUCCESS;
}
