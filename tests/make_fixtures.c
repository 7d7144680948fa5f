/*
 * Makes what tests/fixtures holds, and the like of it for the independent decoder.
 *
 *     make_fixtures vectors          blobs of chosen material and nonces, with every value on the way
 *     make_fixtures fresh COUNT      blobs of a new store in memory: random keys, contexts, sizes
 *     make_fixtures store PATH       an LMDB store at PATH under a raw root key, and blobs under it
 *     make_fixtures passphrase PATH  the same under a passphrase
 *     make_fixtures life PATH        the same, with keys, versions and aliases in all their states
 *
 * The description goes to the standard output (tests/support/fixture_text.h has its grammar). The
 * files in tests/fixtures stay as the release made them that their names tell: a later one adds its
 * own.
 */
#include "base/fork.h"
#include "crypto/aead.h"
#include "crypto/blob.h"
#include "crypto/kdf.h"
#include "support/fixture_maker.h"

#include <kms/kms.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAIRS_MAX 24
#define TEXT_MAX 40
#define PLAIN_MAX 5000

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

    maker_bytes("material", material, 32);
    maker_bytes("suite-key", suite_key, 32);
    maker_bytes("commitment", commitment, KMS_COMMITMENT_SIZE);
    maker_bytes("nonce", nonce, KMS__AEAD_NONCE_SIZE);
    if (v->suite != KMS_SUITE_AES_256_GCM)
        return;
    memcpy(input, nonce, 12);
    (void)crypto_core_hchacha20(message_key, input, suite_key, NULL);
    maker_bytes("message-key", message_key, sizeof message_key);
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
    maker_ok(kms__associated_begin(&context, &associated));
    header_and_context = kms__associated_end(&associated, blob);
    maker_ok(kms__aead_seal(v->suite, suite_key, blob + KMS__BLOB_NONCE_AT, header_and_context,
                            (kms_slice){plain, v->plain_len}, blob + KMS__BLOB_HEADER));
    printf("\nblob %s\n", v->name);
    print_keys(v, material, suite_key, commitment, blob + KMS__BLOB_NONCE_AT);
    maker_bytes("context-bytes", associated.bytes + KMS__BLOB_HEADER, associated.context_len);
    maker_blob(blob, KMS_CIPHERTEXT_SIZE(v->plain_len), plain, v->plain_len, &context);
}

static void print_vectors(void)
{
    maker_ok(kms__fork_init());
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

static void create_key(kms_store *store, kms_suite suite, char id[KMS_KEY_ID_SIZE])
{
    kms_create_key_options options = KMS_CREATE_KEY_OPTIONS_INIT;

    options.suite = suite;
    maker_ok(kms_create_key(store, &options, id));
}

static void print_fresh(unsigned number, kms_store *store, const char *key_id)
{
    static uint8_t plain[PLAIN_MAX], blob[KMS_CIPHERTEXT_SIZE(PLAIN_MAX)];
    static random_context room;
    const kms_context *context = draw_context(&room);
    size_t plain_len =
        randombytes_uniform(2) == 0 ? randombytes_uniform(100) : randombytes_uniform(PLAIN_MAX + 1);
    uint8_t material[32];
    size_t blob_len;
    kms_blob_info info;

    randombytes_buf(plain, plain_len);
    maker_ok(kms_encrypt(store, key_id, context, plain, plain_len, blob, sizeof blob, &blob_len));
    maker_ok(kms_inspect_blob(blob, blob_len, &info));
    printf("\nblob fresh-%u\n", number);
    maker_material(store, key_id, info.key_version, material);
    maker_bytes("material", material, sizeof material);
    maker_blob(blob, blob_len, plain, plain_len, context);
}

static void print_many_fresh(unsigned count)
{
    char keys[2][KMS_KEY_ID_SIZE];
    kms_store *store;

    maker_ok(kms_open_memory(&store));
    create_key(store, KMS_SUITE_XCHACHA20_POLY1305, keys[0]);
    create_key(store, maker_other_suite(), keys[1]);
    for (unsigned i = 0; i < count; i++) {
        print_fresh(i, store, keys[i % 2]);
        if (i % 16 == 15)
            maker_ok(kms_create_key_version(store, keys[randombytes_uniform(2)], NULL));
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
    maker_ok(kms_open(&store, engine, root, KMS_OPEN_CREATE | KMS_OPEN_EXCLUSIVE, &options));
    return store;
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
    create_key(store, maker_other_suite(), b);
    create_key(store, KMS_SUITE_XCHACHA20_POLY1305, c);
    create_key(store, maker_other_suite(), d);
    maker_ok(kms_create_alias(store, "alias/MyAppKey", a));
    maker_ok(kms_create_alias(store, "alias/there-and/back", a));
    maker_ok(kms_create_alias(store, "alias/gone", b));
    maker_ok(kms_create_alias(store, "alias/Retired", c));
    maker_ok(kms_create_alias(store, longest, a));
    maker_make_blob(store, "alias/MyAppKey", "opens", NULL);
    maker_make_blob(store, "alias/MyAppKey", "opens", &context);
    maker_ok(kms_create_key_version(store, a, NULL));
    maker_make_blob(store, longest, "opens", &context);
    maker_make_blob(store, "alias/Retired", "disabled", NULL);
    maker_make_blob(store, "alias/Retired", "disabled", &context);
    maker_ok(kms_disable_key(store, c));
    maker_ok(kms_update_alias(store, "alias/MyAppKey", b));
    maker_make_blob(store, "alias/MyAppKey", "opens", NULL);
    maker_ok(kms_create_key_version(store, b, NULL));
    maker_make_blob(store, "alias/MyAppKey", "opens", &context);
    maker_ok(kms_update_alias(store, "alias/there-and/back", b));
    maker_ok(kms_update_alias(store, "alias/there-and/back", a));
    maker_ok(kms_create_key_version(store, a, NULL));
    maker_make_blob(store, "alias/there-and/back", "opens", &context);
    maker_make_blob(store, d, "opens", NULL);
    maker_make_blob(store, d, "opens", &context);
    maker_ok(kms_delete_alias(store, "alias/gone"));
}

static void make_raw_store(const char *path)
{
    uint8_t root_key[KMS_ROOT_KEY_SIZE];
    kms_store *store;
    kms_root *root;

    count_up(root_key, sizeof root_key, 0xa0);
    maker_ok(kms_root_raw(&root, root_key, sizeof root_key));
    store = create_store(path, root);
    printf("# A store of libkms %s, and blobs made under it.\n", kms_version());
    fill_store(store);
    maker_ok(kms_flush_last_use(store));
    printf("\nstore raw\n");
    maker_bytes("root-key", root_key, sizeof root_key);
    maker_store(store, now_ms);
    maker_ok(kms_verify(store));
    kms_close(store);
}

static void make_life_store(const char *path)
{
    uint8_t root_key[KMS_ROOT_KEY_SIZE];

    count_up(root_key, sizeof root_key, 0x60);
    maker_make_life(path, root_key);
}

static void make_passphrase_store(const char *path)
{
    static const char passphrase[] = "correct horse battery staple";
    char key_id[KMS_KEY_ID_SIZE];
    kms_store *store;
    kms_root *root;

    maker_ok(kms_root_passphrase(&root, passphrase, strlen(passphrase)));
    store = create_store(path, root);
    printf("# A store of libkms %s under a passphrase, and a blob made under it.\n", kms_version());
    maker_ok(kms_ensure_alias(store, "alias/MyAppKey", NULL, key_id));
    maker_make_blob(store, "alias/MyAppKey", "opens", NULL);
    maker_ok(kms_flush_last_use(store));
    printf("\nstore passphrase\n");
    maker_bytes("passphrase", passphrase, strlen(passphrase));
    maker_store(store, now_ms);
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
    else if (argc == 3 && strcmp(what, "life") == 0)
        make_life_store(argv[2]);
    else
        maker_must(false,
                   "usage: make_fixtures vectors | fresh COUNT | store PATH | passphrase PATH | "
                   "life PATH");
    maker_must(fflush(stdout) == 0 && !ferror(stdout), "writing");
    return EXIT_SUCCESS;
}
