/*
 * Makes tests/fixtures/derived-0.2.txt, and the like of it for the independent decoder: deterministic
 * blobs, derived keys and tokens.
 *
 *     make_derived vectors        of chosen material, with every value on the way
 *     make_derived fresh COUNT    what the public calls give under new keys of imported material
 *
 * The description goes to the standard output (tests/support/fixture_text.h has its grammar).
 */
#include "base/fork.h"
#include "crypto/aead.h"
#include "crypto/blob.h"
#include "crypto/kdf.h"
#include "crypto/prf.h"

#include <kms/kms.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXIT_UNSUPPORTED 77
#define PLAIN_MAX 300

static void must(bool condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "make_derived: %s: %s\n", what, kms_error_message());
    exit(EXIT_FAILURE);
}

#define ok(call) must((call) == KMS_OK, #call)

static void print_hex(const void *data, size_t len)
{
    const uint8_t *bytes = data;

    if (len == 0)
        putchar('-');
    for (size_t i = 0; i < len; i++)
        printf(i > 0 && i % 40 == 0 ? "\n    %02x" : "%02x", bytes[i]);
}

static void print_bytes(const char *field, const void *data, size_t len)
{
    printf("%s ", field);
    print_hex(data, len);
    putchar('\n');
}

static void print_context(const kms_context *context)
{
    for (size_t i = 0; i < context->count; i++) {
        printf("context ");
        print_hex(context->pairs[i].key, strlen(context->pairs[i].key));
        putchar(' ');
        print_hex(context->pairs[i].value, strlen(context->pairs[i].value));
        putchar('\n');
    }
}

/* What every record begins with. */
static void print_key(const char *kind, const char *name, const uint8_t material[32],
                      const char *key_id, uint32_t version)
{
    printf("\n%s %s\n", kind, name);
    print_bytes("material", material, 32);
    printf("key-id %s\nkey-version %u\n", key_id, version);
}

static void print_deterministic(const uint8_t *blob, const void *plain, size_t plain_len,
                                const kms_context *context)
{
    kms_blob_info info;

    ok(kms_inspect_blob(blob, KMS_CIPHERTEXT_SIZE(plain_len), &info));
    printf("suite %d\nkind %d\n", info.suite, info.kind);
    print_context(context);
    print_bytes("plaintext", plain, plain_len);
    print_bytes("blob-bytes", blob, KMS_CIPHERTEXT_SIZE(plain_len));
}

static void print_derived(size_t len, const kms_context *context, const uint8_t *value)
{
    print_context(context);
    print_bytes("value", value, len);
}

static void print_token(const char *label, const void *plain, size_t plain_len, unsigned bits,
                        const uint8_t *token)
{
    print_bytes("label", label, strlen(label));
    print_bytes("plaintext", plain, plain_len);
    printf("bits %u\n", bits);
    print_bytes("value", token, (bits + 7) / 8);
}

/* --- vectors: everything is chosen ------------------------------------------------------------ */

#define KEY_ID "00112233-4455-4677-8899-aabbccddeeff"

static const kms_context_pair pairs[] = {{"table", "people"}, {"column", "id_number"}};
static const kms_context context = {pairs, 2};

static uint8_t material[32], key_id[KMS__ID_SIZE], keys[2][32];
static kms__associated associated;

static kms_slice canonical(void)
{
    return (kms_slice){associated.bytes + KMS__BLOB_HEADER, associated.context_len};
}

static void seal_vector(kms_suite suite, const char *name, const char *plain)
{
    const kms__use use = suite == KMS_SUITE_AES_256_GCM ? KMS__USE_SUITE_2 : KMS__USE_SUITE_1;
    const kms_slice parts[2] = {canonical(), {plain, strlen(plain)}};
    uint8_t blob[KMS_CIPHERTEXT_SIZE(PLAIN_MAX)], commitment[KMS_COMMITMENT_SIZE];

    kms__derive(use, material, key_id, 1, keys[0]);
    kms__derive(KMS__USE_NONCE, material, key_id, 1, keys[1]);
    kms__derive(KMS__USE_COMMITMENT, material, key_id, 1, commitment);
    kms__blob_write_prefix(blob, suite, KMS_BLOB_DETERMINISTIC, key_id, 1, commitment);
    kms__prf(keys[1], KMS__AEAD_NONCE_SIZE, parts, blob + KMS__BLOB_NONCE_AT, KMS__AEAD_NONCE_SIZE);
    ok(kms__aead_seal(suite, keys[0], blob + KMS__BLOB_NONCE_AT,
                      kms__associated_end(&associated, blob), parts[1], blob + KMS__BLOB_HEADER));
    print_key("blob", name, material, KEY_ID, 1);
    print_bytes("suite-key", keys[0], 32);
    print_bytes("nonce-key", keys[1], 32);
    print_bytes("commitment", commitment, sizeof commitment);
    print_bytes("nonce", blob + KMS__BLOB_NONCE_AT, KMS__AEAD_NONCE_SIZE);
    print_bytes("context-bytes", canonical().data, canonical().len);
    print_deterministic(blob, plain, strlen(plain), &context);
}

static void begin_value(const char *kind, const char *name, kms__use use, uint32_t version)
{
    kms__derive(KMS__USE_BASE, material, key_id, version, keys[0]);
    kms__derive(use, keys[0], key_id, version, keys[1]);
    print_key(kind, name, material, KEY_ID, version);
    print_bytes("base", keys[0], 32);
    print_bytes("use-key", keys[1], 32);
}

static void derive_vector(const char *name, uint32_t version, uint32_t len)
{
    const kms_slice parts[2] = {canonical(), {NULL, 0}};
    uint8_t value[KMS_DERIVED_KEY_SIZE_MAX];

    begin_value("derived", name, KMS__USE_DERIVED_KEY, version);
    kms__prf(keys[1], len, parts, value, len);
    print_derived(len, &context, value);
}

static void token_vector(const char *name, const char *label, const char *plain, unsigned bits)
{
    const kms_slice parts[2] = {{label, strlen(label)}, {plain, strlen(plain)}};
    uint8_t token[KMS_BLIND_INDEX_TOKEN_MAX];

    begin_value("index", name, KMS__USE_BLIND_INDEX, 1);
    kms__prf(keys[1], bits, parts, token, sizeof token);
    if (bits % 8 != 0)
        token[bits / 8] &= (uint8_t) ~(0xffu >> bits % 8);
    print_token(label, plain, strlen(plain), bits, token);
}

static void print_vectors(void)
{
    ok(kms__fork_init());
    if (!kms__suite_available(KMS_SUITE_AES_256_GCM))
        exit(EXIT_UNSUPPORTED);
    for (size_t i = 0; i < sizeof material; i++)
        material[i] = (uint8_t)i;
    must(kms__id_parse(KEY_ID, key_id), "a key id");
    ok(kms__associated_begin(&context, &associated));
    printf(
        "# Deterministic blobs, derived keys and tokens of chosen material, made by libkms %s.\n",
        kms_version());
    seal_vector(KMS_SUITE_XCHACHA20_POLY1305, "suite-1-deterministic", "11010519491231002X");
    seal_vector(KMS_SUITE_AES_256_GCM, "suite-2-deterministic", "11010519491231002X");
    seal_vector(KMS_SUITE_XCHACHA20_POLY1305, "suite-1-deterministic-empty", "");
    derive_vector("derived-32", 1, 32);
    derive_vector("derived-64", 258, 64);
    token_vector("token-16", "people.name", "Zhang Wei", 16);
    token_vector("token-21", "people.name", "Zhang Wei", 21);
    token_vector("token-256", "people.name", "", 256);
}

/* --- fresh: what the public calls give -------------------------------------------------------- */

static void create(kms_store *store, kms_key_usage usage, kms_suite suite, char id[KMS_KEY_ID_SIZE])
{
    kms_create_key_options options = KMS_CREATE_KEY_OPTIONS_INIT;
    kms_import import = KMS_IMPORT_INIT;

    randombytes_buf(material, sizeof material);
    options.usage = usage;
    options.suite = suite;
    options.origin = KMS_KEY_ORIGIN_EXTERNAL;
    import.wrapping = KMS_WRAPPING_NONE_INSECURE;
    import.material = material;
    import.material_len = sizeof material;
    ok(kms_create_key(store, &options, id));
    ok(kms_import_key_material(store, id, &import));
}

static void print_fresh_blob(kms_store *store, kms_suite suite, const kms_context *with,
                             const uint8_t *plain, size_t len)
{
    uint8_t blob[KMS_CIPHERTEXT_SIZE(PLAIN_MAX)];
    char id[KMS_KEY_ID_SIZE];

    create(store, KMS_KEY_USAGE_DETERMINISTIC, suite, id);
    ok(kms_encrypt_deterministic(store, id, with, plain, len, blob, sizeof blob, &(size_t){0}));
    print_key("blob", "fresh", material, id, 1);
    print_deterministic(blob, plain, len, with);
}

static void print_fresh_values(kms_store *store, const kms_context *with, const uint8_t *plain,
                               size_t len)
{
    size_t out_len = 16 + randombytes_uniform(49);
    unsigned bits = 8 + randombytes_uniform(249);
    uint8_t value[KMS_DERIVED_KEY_SIZE_MAX];
    kms_blind_tokens tokens;
    char id[KMS_KEY_ID_SIZE];

    create(store, KMS_KEY_USAGE_ENCRYPT_DECRYPT, KMS_SUITE_XCHACHA20_POLY1305, id);
    ok(kms_derive_key(store, id, 0, with, value, out_len, NULL));
    print_key("derived", "fresh", material, id, 1);
    print_derived(out_len, with, value);
    ok(kms_blind_index(store, id, with->pairs[0].value, plain, len, bits, &tokens));
    print_key("index", "fresh", material, id, 1);
    print_token(with->pairs[0].value, plain, len, bits, tokens.token);
}

static void print_fresh(unsigned count)
{
    kms_store *store;

    ok(kms_open_memory(&store));
    for (unsigned i = 0; i < count; i++) {
        char text[32];
        const kms_context_pair pair = {"place", text};
        const kms_context with = {&pair, 1};
        uint8_t plain[PLAIN_MAX];
        size_t len = randombytes_uniform(PLAIN_MAX + 1);
        bool other = i % 2 == 1 && kms__suite_available(KMS_SUITE_AES_256_GCM);

        snprintf(text, sizeof text, "table.column_%u", randombytes_uniform(1000));
        randombytes_buf(plain, sizeof plain);
        print_fresh_blob(store, other ? KMS_SUITE_AES_256_GCM : KMS_SUITE_XCHACHA20_POLY1305, &with,
                         plain, len);
        print_fresh_values(store, &with, plain, len);
    }
    kms_close(store);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "vectors") == 0)
        print_vectors();
    else if (argc == 3 && strcmp(argv[1], "fresh") == 0)
        print_fresh((unsigned)strtoul(argv[2], NULL, 10));
    else
        must(false, "usage: make_derived vectors | fresh COUNT");
    must(fflush(stdout) == 0 && !ferror(stdout), "writing");
    return EXIT_SUCCESS;
}
