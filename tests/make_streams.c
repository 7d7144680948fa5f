/*
 * Makes tests/fixtures/streams-0.2.txt and stream-0.2.kmstream, and the like of them for the
 * independent decoder.
 *
 *     make_streams vectors STORE     of chosen keys, nonces and salts, under keys of store-0.2.kms
 *     make_streams kept STORE PATH   what the public calls give under keys of that store
 *     make_streams fresh COUNT DIR   what they give under new keys, each stream in a file of its own
 *
 * The description goes to the standard output (tests/support/fixture_text.h has its grammar).
 */
#include "base/fork.h"
#include "support/fixture_maker.h"
#include "support/fixture_text.h"
#include "support/stream_vector.h"

#include <kms/kms.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HASH_SIZE 32
/* So long a plaintext still has its chunks printed. */
#define PRINTED_MAX 100
#define KEPT_LEN 200000
#define FRESH_MAX 200000
#define PATH_SIZE 512

static void print_hash(const char *field, const void *data, size_t len)
{
    uint8_t hash[HASH_SIZE];

    (void)crypto_generichash_blake2b(hash, sizeof hash, data, len, NULL, 0);
    maker_bytes(field, hash, sizeof hash);
}

/* --- Under the keys of the fixture ------------------------------------------------------------ */

/* Keys of store-0.2.kms whose versions encrypt and decrypt. */
#define KEY_1 "722d3057-3aad-4ae6-b6e2-03be9425da9e"
#define KEY_2 "435503de-5e28-4f01-8250-d4fccea78404"

static const kms_context_pair pairs[] = {{"volume", "archive"}, {"name", "2026/people.csv"}};
static const kms_context some = {pairs, 2};
static const kms_context_pair other_pair = {"volume", "archive-2"};
static const kms_context other = {&other_pair, 1};

static int64_t recorded_now(void *data)
{
    return *(const int64_t *)data;
}

static kms_store *open_recorded(const char *path)
{
    static int64_t now_ms;
    static const kms_clock clock = {KMS_CLOCK_VERSION, &now_ms, recorded_now};
    const fixture_record *record = fixture_find(fixture_read("store-0.2.txt"), "store");
    kms_open_options options = KMS_OPEN_OPTIONS_INIT;
    uint8_t root_key[KMS_ROOT_KEY_SIZE];
    kms_backend *engine;
    kms_store *store;
    kms_root *root;

    fixture_exactly(record, "root-key", root_key, sizeof root_key);
    now_ms = (int64_t)fixture_number(record, "now-ms");
    options.clock = &clock;
    if (kms_lmdb_backend(&engine, path, NULL) == KMS_ERR_UNSUPPORTED ||
        maker_other_suite() != KMS_SUITE_AES_256_GCM)
        exit(EXIT_UNSUPPORTED);
    maker_ok(kms_root_raw(&root, root_key, sizeof root_key));
    maker_ok(kms_open(&store, engine, root, KMS_OPEN_FROZEN, &options));
    return store;
}

/* --- Vectors: everything is chosen ------------------------------------------------------------ */

typedef struct recipe {
    const char *name;
    kms_suite suite;
    size_t plain_len;
    const kms_context *context;
    struct {
        const char *key_id;
        uint32_t version;
    } sealings[STREAM_VECTOR_SEALINGS];
    size_t written;
} recipe;

#define SUITE_1 KMS_SUITE_XCHACHA20_POLY1305, .sealings[0] = {KEY_1, 1}
#define SUITE_2 KMS_SUITE_AES_256_GCM, .sealings[0] = {KEY_2, 5}
#define TO_SUITE_1 .sealings[1] = {KEY_1, 3}
#define TO_SUITE_2 .sealings[1] = {KEY_2, 6}

/* The first five are in docs/stream-format.md. */
static const recipe recipes[] = {
    {"suite-1-empty", SUITE_1, .plain_len = 0},
    {"suite-1-context", SUITE_1, .plain_len = 26, .context = &some},
    {"suite-2-empty", SUITE_2, .plain_len = 0, .context = &some},
    {"suite-2-one-byte", SUITE_2, .plain_len = 1},
    {"suite-1-rewrapped", SUITE_1, .plain_len = 26, .context = &some, TO_SUITE_2, .written = 8192},
    {"suite-1-one-byte", SUITE_1, .plain_len = 1},
    {"suite-1-chunk-less-one", SUITE_1, .plain_len = 65535},
    {"suite-1-chunk", SUITE_1, .plain_len = 65536, .context = &some},
    {"suite-1-chunk-and-one", SUITE_1, .plain_len = 65537},
    {"suite-1-long", SUITE_1, .plain_len = 200000, .context = &some},
    {"suite-2-chunk-less-one", SUITE_2, .plain_len = 65535},
    {"suite-2-chunk", SUITE_2, .plain_len = 65536},
    {"suite-2-chunk-and-one", SUITE_2, .plain_len = 65537, .context = &some},
    {"suite-2-long", SUITE_2, .plain_len = 200000},
    {"suite-2-rewrapped", SUITE_2, .plain_len = 65537, .context = &some, TO_SUITE_1,
     .written = 8192},
    {"rewrap-not-begun", SUITE_1, .plain_len = 26, TO_SUITE_1, .written = 0},
    {"rewrap-first-slot-torn", SUITE_1, .plain_len = 26, TO_SUITE_1, .written = 512},
    {"rewrap-first-slot-whole", SUITE_1, .plain_len = 26, TO_SUITE_1, .written = 4096},
    {"rewrap-second-slot-torn", SUITE_1, .plain_len = 26, TO_SUITE_1, .written = 4096 + 512},
};

static void count_up(uint8_t *bytes, size_t len, unsigned first)
{
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(first + i);
}

static stream_vector follow(kms_store *store, const recipe *r, unsigned number)
{
    stream_vector v = {
        .suite = r->suite, .plain_len = r->plain_len, .context = r->context, .written = r->written};

    count_up(v.key, sizeof v.key, 0x80 + number);
    count_up(v.salts, sizeof v.salts, 0xa0 + number);
    for (size_t i = 0; i < STREAM_VECTOR_SEALINGS && r->sealings[i].key_id != NULL; i++) {
        stream_sealing *s = &v.sealings[i];
        kms_key_version_info info;

        maker_ok(
            kms_describe_key_version(store, r->sealings[i].key_id, r->sealings[i].version, &info));
        maker_must(kms__id_parse(r->sealings[i].key_id, s->key_id), "a key id");
        maker_material(store, r->sealings[i].key_id, info.number, s->material);
        s->key_version = info.number;
        s->suite = info.suite;
        count_up(s->nonce, sizeof s->nonce, 0x10 + 0x20 * (unsigned)i + number);
        v.sealings_count++;
    }
    return v;
}

static void print_field(const char *prefix, const char *field, const void *data, size_t len)
{
    char name[64];

    snprintf(name, sizeof name, "%s%s", prefix, field);
    maker_bytes(name, data, len);
}

/* One sealing, and what of it stands in a slot. */
static void print_sealing(const stream_vector *v, size_t number)
{
    const char *prefix = number == 0 ? "" : "next-";
    const stream_sealing *s = &v->sealings[number];
    uint8_t blob[KMS__STREAM_BLOB], slot[KMS__STREAM_SLOT];
    char id[KMS_KEY_ID_SIZE];

    stream_vector_blob(v, number, blob);
    stream_vector_slot(v, number, slot);
    kms__id_format(s->key_id, id);
    print_field(prefix, "material", s->material, sizeof s->material);
    printf("%skey-id %s\n%skey-version %u\n%skey-suite %d\n", prefix, id, prefix, s->key_version,
           prefix, s->suite);
    print_field(prefix, "nonce", s->nonce, sizeof s->nonce);
    print_field(prefix, "blob-bytes", blob, sizeof blob);
    print_field(prefix, "checksum", slot + sizeof slot - HASH_SIZE, HASH_SIZE);
}

static void print_vector(const recipe *r, const stream_vector *v)
{
    uint8_t commitment[KMS_COMMITMENT_SIZE], *stream, *chunks;
    kms__chunk_cipher cipher;
    size_t len, chunks_len;

    kms__stream_commitment(v->key, commitment);
    maker_must(kms__chunk_cipher_init(&cipher, v->suite, v->key), "a suite");
    printf("\nstream %s\nsuite %d\n", r->name, v->suite);
    maker_bytes("stream-key", v->key, sizeof v->key);
    maker_bytes("commitment", commitment, sizeof commitment);
    maker_bytes("chunk-key", cipher.key, sizeof cipher.key);
    maker_context(v->context);
    for (size_t i = 0; i < v->sealings_count; i++)
        print_sealing(v, i);
    if (v->sealings_count > 1)
        printf("written %zu\n", v->written);
    printf("plaintext-size %zu\n", v->plain_len);
    maker_bytes("salts", v->salts, stream_vector_chunks(v) * KMS__CHUNK_SALT);
    chunks = stream_vector_seal(v, &chunks_len);
    stream = stream_vector_make(v, &len);
    if (v->plain_len <= PRINTED_MAX)
        maker_bytes("chunks", chunks, chunks_len);
    printf("stream-size %zu\n", len);
    print_hash("stream-hash", stream, len);
    free(stream);
    free(chunks);
}

static void print_vectors(const char *path)
{
    kms_store *store = open_recorded(path);

    printf(
        "# Streams of format 1, made by libkms %s of chosen keys, nonces and salts, under keys of\n"
        "# store-0.2.kms. Byte i of the plaintext is i mod 251. Hashes are BLAKE2b-256, without a "
        "key.\n",
        kms_version());
    for (unsigned i = 0; i < sizeof recipes / sizeof recipes[0]; i++) {
        stream_vector v = follow(store, &recipes[i], i);

        print_vector(&recipes[i], &v);
    }
    kms_close(store);
}

/* --- What the public calls give --------------------------------------------------------------- */

static void write_file(const char *path, const void *data, size_t len)
{
    FILE *file = fopen(path, "wbe");

    maker_must(file != NULL && fwrite(data, 1, len, file) == len && fclose(file) == 0, path);
}

static void describe_made(kms_store *store, const char *name, const char *path,
                          const kms_context *context, const uint8_t *plain, size_t len)
{
    uint8_t header[KMS_STREAM_HEADER_SIZE], material[32];
    FILE *file = fopen(path, "rbe");
    kms_blob_info info;

    maker_must(file != NULL && fread(header, 1, sizeof header, file) == sizeof header, path);
    (void)fclose(file);
    maker_ok(kms_inspect_stream(header, sizeof header, &info));
    maker_material(store, info.key_id, info.key_version, material);
    printf("\nstream %s\n", name);
    maker_bytes("material", material, sizeof material);
    printf("key-id %s\nkey-version %u\nkey-suite %d\n", info.key_id, info.key_version, info.suite);
    maker_context(context);
    printf("plaintext-size %zu\n", len);
    print_hash("plaintext-hash", plain, len);
}

/* By kms_encrypt_file(), from a file beside it. */
static void encrypt_file(kms_store *store, const char *key_id, const kms_context *context,
                         const char *path, const uint8_t *plain, size_t len)
{
    char from[PATH_SIZE];

    maker_must(snprintf(from, sizeof from, "%s-plain", path) < (int)sizeof from, "a path");
    write_file(from, plain, len);
    maker_ok(kms_encrypt_file(store, key_id, context, from, path, NULL));
    maker_must(remove(from) == 0, from);
}

static void print_kept(const char *store_path, const char *path)
{
    kms_store *store = open_recorded(store_path);
    uint8_t *plain = malloc(KEPT_LEN);

    maker_must(plain != NULL, "memory");
    stream_vector_plain(plain, KEPT_LEN);
    printf("# A stream that the public calls of libkms %s made under keys of store-0.2.kms.\n",
           kms_version());
    encrypt_file(store, "alias/rotating", &some, path, plain, KEPT_LEN);
    maker_ok(kms_rewrap_file(store, &some, KEY_2, &other, path, NULL));
    describe_made(store, "stream-0.2", path, &other, plain, KEPT_LEN);
    free(plain);
    kms_close(store);
}

/* In pieces of any size. */
static void push(kms_store *store, const char *key_id, const kms_context *context, const char *path,
                 const uint8_t *plain, size_t len)
{
    size_t room = KMS_STREAM_HEADER_SIZE + KMS_STREAM_ROOM(len), in = 0, out, used, got;
    uint8_t *made = malloc(room);
    kms_stream *stream;
    bool done = false;

    maker_must(made != NULL, "memory");
    maker_ok(kms_stream_encrypt(store, key_id, context, made, &stream));
    for (out = KMS_STREAM_HEADER_SIZE; in < len; in += used, out += got) {
        size_t piece = 1 + randombytes_uniform((uint32_t)(len - in));

        maker_ok(kms_stream_push(stream, plain + in, piece, &used, made + out, room - out, &got));
    }
    for (; !done; out += got)
        maker_ok(kms_stream_finish(stream, made + out, room - out, &got, &done));
    kms_stream_free(stream);
    maker_must(out == KMS_STREAM_SIZE(len), "the stream's size");
    write_file(path, made, out);
    free(made);
}

static void create_key(kms_store *store, kms_suite suite, char id[KMS_KEY_ID_SIZE])
{
    kms_create_key_options options = KMS_CREATE_KEY_OPTIONS_INIT;

    options.suite = suite;
    maker_ok(kms_create_key(store, &options, id));
}

/* At the boundary of chunks, short, or of any length. */
static size_t draw_len(void)
{
    size_t chunks = randombytes_uniform(4) * KMS_STREAM_CHUNK_SIZE;

    switch (randombytes_uniform(3)) {
    case 0:
        return chunks == 0 ? 0 : chunks - 1 + randombytes_uniform(3);
    case 1:
        return randombytes_uniform(40);
    default:
        return randombytes_uniform(FRESH_MAX + 1);
    }
}

static void print_fresh(kms_store *store, char keys[2][KMS_KEY_ID_SIZE], unsigned number,
                        const char *folder)
{
    static uint8_t plain[FRESH_MAX];
    const kms_context *context = number % 3 == 0 ? NULL : &some;
    char path[PATH_SIZE], name[32];
    size_t len = draw_len();

    snprintf(name, sizeof name, "fresh-%u", number);
    maker_must(snprintf(path, sizeof path, "%s/%s.kmstream", folder, name) < (int)sizeof path,
               "a path");
    randombytes_buf(plain, len);
    if (number % 2 == 0)
        push(store, keys[number / 2 % 2], context, path, plain, len);
    else
        encrypt_file(store, keys[number / 2 % 2], context, path, plain, len);
    if (number % 5 > 2) {
        maker_ok(kms_rewrap_file(store, context, keys[number % 2], &other, path, NULL));
        context = &other;
    }
    describe_made(store, name, path, context, plain, len);
}

static void print_many_fresh(unsigned count, const char *folder)
{
    char keys[2][KMS_KEY_ID_SIZE];
    kms_store *store;

    maker_ok(kms_open_memory(&store));
    create_key(store, KMS_SUITE_XCHACHA20_POLY1305, keys[0]);
    create_key(store, maker_other_suite(), keys[1]);
    for (unsigned i = 0; i < count; i++)
        print_fresh(store, keys, i, folder);
    kms_close(store);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";

    maker_ok(kms__fork_init());
    if (argc == 3 && strcmp(what, "vectors") == 0)
        print_vectors(argv[2]);
    else if (argc == 4 && strcmp(what, "kept") == 0)
        print_kept(argv[2], argv[3]);
    else if (argc == 4 && strcmp(what, "fresh") == 0)
        print_many_fresh((unsigned)strtoul(argv[2], NULL, 10), argv[3]);
    else
        maker_must(false, "usage: make_streams vectors STORE | kept STORE PATH | fresh COUNT DIR");
    maker_must(fflush(stdout) == 0 && !ferror(stdout), "writing");
    return EXIT_SUCCESS;
}
