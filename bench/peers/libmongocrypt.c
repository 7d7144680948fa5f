/*
 * libmongocrypt, what MongoDB's drivers encrypt fields with: explicit encryption of a string under a
 * data key that a local master key wraps. The driver's part, the answers to what its state machine
 * asks, is played here; it asks for the key document once a minute.
 */
#include "fail.h"
#include "peer.h"

#ifdef PEERS_HAVE_MONGOCRYPT

#include "report.h"

#include <bson/bson.h>
#include <mongocrypt/mongocrypt.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define ALGORITHM "AEAD_AES_256_CBC_HMAC_SHA_512-Random"
#define MASTER_KEY_SIZE 96
#define DOCUMENTS 64
#define BYTES_AT_MOST ((size_t)128 * 1024)

/* A document of our own, and how libmongocrypt sees it. */
typedef struct document {
    uint8_t *bytes;
    mongocrypt_binary_t *view;
} document;

typedef struct subject {
    /* {"v": text} */
    mongocrypt_binary_t *plain;
    bson_t *plain_bson;
    /* {"v": what it was encrypted to} */
    document sealed[DOCUMENTS];
    size_t count, next;
} subject;

static mongocrypt_t *library;
static mongocrypt_binary_t *key_id, *out, *asked;
static document key_document;
static subject *current;

static void must_ctx(bool holds, mongocrypt_ctx_t *context)
{
    mongocrypt_status_t *status;

    if (holds)
        return;
    status = mongocrypt_status_new();
    (void)mongocrypt_ctx_status(context, status);
    fail(mongocrypt_status_message(status, NULL));
}

/* Of bytes that are borrowed. */
static mongocrypt_binary_t *view(const uint8_t *data, size_t len)
{
    mongocrypt_binary_t *made =
        mongocrypt_binary_new_from_data((uint8_t *)(uintptr_t)data, (uint32_t)len);

    must(made != NULL, "memory of libmongocrypt");
    return made;
}

static document copy_of(const mongocrypt_binary_t *from)
{
    size_t len = mongocrypt_binary_len(from);
    document copy = {.bytes = malloc(len)};

    must(copy.bytes != NULL, "memory for a document");
    memcpy(copy.bytes, mongocrypt_binary_data(from), len);
    copy.view = view(copy.bytes, len);
    return copy;
}

static void copy_free(document *copy)
{
    mongocrypt_binary_destroy(copy->view);
    free(copy->bytes);
}

/* Until there is a result: it is in `out`, for as long as the context. */
static void finish(mongocrypt_ctx_t *context)
{
    if (mongocrypt_ctx_state(context) == MONGOCRYPT_CTX_NEED_MONGO_KEYS)
        must_ctx(mongocrypt_ctx_mongo_op(context, asked) &&
                     mongocrypt_ctx_mongo_feed(context, key_document.view) &&
                     mongocrypt_ctx_mongo_done(context),
                 context);
    must_ctx(mongocrypt_ctx_state(context) == MONGOCRYPT_CTX_READY &&
                 mongocrypt_ctx_finalize(context, out),
             context);
}

static mongocrypt_ctx_t *context_new(void)
{
    mongocrypt_ctx_t *made = mongocrypt_ctx_new(library);

    must(made != NULL, "a context of libmongocrypt");
    return made;
}

static mongocrypt_ctx_t *seal(const subject *of)
{
    mongocrypt_ctx_t *context = context_new();

    must_ctx(mongocrypt_ctx_setopt_key_id(context, key_id) &&
                 mongocrypt_ctx_setopt_algorithm(context, ALGORITHM, -1) &&
                 mongocrypt_ctx_explicit_encrypt_init(context, of->plain),
             context);
    finish(context);
    return context;
}

static mongocrypt_ctx_t *unseal(const document *sealed)
{
    mongocrypt_ctx_t *context = context_new();

    must_ctx(mongocrypt_ctx_explicit_decrypt_init(context, sealed->view), context);
    finish(context);
    return context;
}

static void run_seal(void *of, size_t n)
{
    for (size_t i = 0; i < n; i++)
        mongocrypt_ctx_destroy(seal(of));
}

static void run_open(void *of, size_t n)
{
    subject *one = of;

    for (size_t i = 0; i < n; i++) {
        mongocrypt_ctx_destroy(unseal(&one->sealed[one->next]));
        one->next = one->next + 1 < one->count ? one->next + 1 : 0;
    }
}

/* A document with a text of so many letters. */
static bson_t *text_document(size_t len)
{
    bson_t *made = bson_new();
    char *text = malloc(len + 1);

    must(made != NULL && text != NULL, "memory for a document");
    for (size_t i = 0; i < len; i++)
        text[i] = (char)('a' + randombytes_uniform(26));
    must(bson_append_utf8(made, "v", 1, text, (int)len), "a document");
    free(text);
    return made;
}

static void check_opens(const subject *of)
{
    mongocrypt_ctx_t *context = unseal(&of->sealed[0]);

    must(mongocrypt_binary_len(out) == of->plain_bson->len &&
             memcmp(mongocrypt_binary_data(out), bson_get_data(of->plain_bson),
                    of->plain_bson->len) == 0,
         "the document that was encrypted");
    mongocrypt_ctx_destroy(context);
}

static void add(group *encrypt, group *decrypt, size_t len)
{
    static const char name[] = "libmongocrypt, AES-256-CBC and HMAC-SHA-512";
    subject *made = calloc(1, sizeof *made);

    must(made != NULL, "memory for messages");
    made->plain_bson = text_document(len);
    made->plain = view(bson_get_data(made->plain_bson), made->plain_bson->len);
    made->count = len > BYTES_AT_MOST / DOCUMENTS ? BYTES_AT_MOST / len : DOCUMENTS;
    for (size_t i = 0; i < made->count; i++) {
        mongocrypt_ctx_t *context = seal(made);

        made->sealed[i] = copy_of(out);
        mongocrypt_ctx_destroy(context);
    }
    check_opens(made);
    current = made;
    (void)group_add(encrypt, run_seal, made, len, "%s", name);
    (void)group_add(decrypt, run_open, made, len, "%s", name);
}

static void drop(void)
{
    if (current == NULL)
        return;
    for (size_t i = 0; i < current->count; i++)
        copy_free(&current->sealed[i]);
    mongocrypt_binary_destroy(current->plain);
    bson_destroy(current->plain_bson);
    free(current);
    current = NULL;
}

static void start_library(void)
{
    uint8_t master_key[MASTER_KEY_SIZE];
    mongocrypt_binary_t *local = view(master_key, sizeof master_key);

    randombytes_buf(master_key, sizeof master_key);
    library = mongocrypt_new();
    must(library != NULL && mongocrypt_setopt_kms_provider_local(library, local) &&
             mongocrypt_init(library),
         "libmongocrypt with a local master key");
    mongocrypt_binary_destroy(local);
}

/* A data key, which libmongocrypt makes and wraps, as the document that a driver would store. */
static void make_key(void)
{
    mongocrypt_ctx_t *context = context_new();
    const uint8_t *id;
    uint32_t id_len;
    bson_subtype_t kind;
    bson_iter_t at;
    bson_t stored;

    must_ctx(mongocrypt_ctx_setopt_masterkey_local(context) && mongocrypt_ctx_datakey_init(context),
             context);
    finish(context);
    key_document = copy_of(out);
    mongocrypt_ctx_destroy(context);
    must(bson_init_static(&stored, key_document.bytes, mongocrypt_binary_len(key_document.view)) &&
             bson_iter_init_find(&at, &stored, "_id") && BSON_ITER_HOLDS_BINARY(&at),
         "the id of a data key");
    bson_iter_binary(&at, &kind, &id_len, &id);
    key_id = view(id, id_len);
}

static const char *begin(void)
{
    out = mongocrypt_binary_new();
    asked = mongocrypt_binary_new();
    must(out != NULL && asked != NULL, "memory of libmongocrypt");
    start_library();
    make_key();
    report_note("libmongocrypt", "%s", mongocrypt_version(NULL));
    return NULL;
}

const peer peer_libmongocrypt = {.name = "libmongocrypt", .begin = begin, .add = add, .drop = drop};

#else

static const char *begin(void)
{
    return "built without its headers (Debian: apt-get install libmongocrypt-dev)";
}

const peer peer_libmongocrypt = {.name = "libmongocrypt", .begin = begin};

#endif
