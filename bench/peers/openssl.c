/* OpenSSL's EVP interface: the key in the program's memory, and what is around it the program's own. */
#include "fail.h"
#include "peer.h"
#include "samples.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <sodium.h>
#include <stdlib.h>

#define KEY_SIZE 32
#define SUBJECTS_MAX 4

typedef struct subject {
    samples with;
    const EVP_CIPHER *cipher;
    /* NULL where each message has a context made for it. */
    EVP_CIPHER_CTX *sealing, *opening;
    uint8_t key[KEY_SIZE];
    /* The nonce is a counter, where no other process has the key: RAND_bytes() takes its time. */
    bool counted;
} subject;

static subject *subjects[SUBJECTS_MAX];
static size_t count;

static EVP_CIPHER_CTX *context_of(const subject *of, int sealing)
{
    EVP_CIPHER_CTX *made = EVP_CIPHER_CTX_new();

    must(made != NULL && EVP_CipherInit_ex2(made, of->cipher, of->key, NULL, sealing, NULL) == 1,
         "a context of libcrypto");
    return made;
}

static void make_nonce(const subject *of, uint8_t nonce[SAMPLES_NONCE])
{
    if (of->counted)
        sodium_increment(nonce, SAMPLES_NONCE);
    else
        must(RAND_bytes(nonce, SAMPLES_NONCE) == 1, "a nonce of libcrypto");
}

static void seal_with(EVP_CIPHER_CTX *context, samples *with)
{
    uint8_t *out = with->blob + SAMPLES_NONCE;
    int written;

    must(EVP_EncryptInit_ex2(context, NULL, NULL, with->blob, NULL) == 1 &&
             EVP_EncryptUpdate(context, out, &written, with->plain, (int)with->len) == 1 &&
             EVP_EncryptFinal_ex(context, out + with->len, &written) == 1 &&
             EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, SAMPLES_TAG, out + with->len) == 1,
         "sealing by libcrypto");
}

static void open_with(EVP_CIPHER_CTX *context, samples *with, const uint8_t *blob)
{
    const uint8_t *sealed = blob + SAMPLES_NONCE;
    int written;

    must(EVP_DecryptInit_ex2(context, NULL, NULL, blob, NULL) == 1 &&
             EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, SAMPLES_TAG,
                                 (void *)(uintptr_t)(sealed + with->len)) == 1 &&
             EVP_DecryptUpdate(context, with->out, &written, sealed, (int)with->len) == 1 &&
             EVP_DecryptFinal_ex(context, with->out + with->len, &written) == 1,
         "opening by libcrypto");
}

static void seal(void *of)
{
    subject *one = of;
    EVP_CIPHER_CTX *context = one->sealing != NULL ? one->sealing : context_of(one, 1);

    make_nonce(one, one->with.blob);
    seal_with(context, &one->with);
    if (one->sealing == NULL)
        EVP_CIPHER_CTX_free(context);
}

static void unseal(void *of, const uint8_t *blob)
{
    subject *one = of;
    EVP_CIPHER_CTX *context = one->opening != NULL ? one->opening : context_of(one, 0);

    open_with(context, &one->with, blob);
    if (one->opening == NULL)
        EVP_CIPHER_CTX_free(context);
}

static void run_seal(void *of, size_t n)
{
    for (size_t i = 0; i < n; i++)
        seal(of);
}

static void run_open(void *of, size_t n)
{
    subject *one = of;

    for (size_t i = 0; i < n; i++)
        unseal(one, samples_next(&one->with));
}

static subject *subject_new(const EVP_CIPHER *cipher, bool keep, size_t len)
{
    subject *made = calloc(1, sizeof *made);

    must(made != NULL && RAND_bytes(made->key, sizeof made->key) == 1, "a key");
    made->cipher = cipher;
    if (keep) {
        made->sealing = context_of(made, 1);
        made->opening = context_of(made, 0);
    }
    samples_make(&made->with, len, seal, unseal, made);
    subjects[count++] = made;
    return made;
}

static void add_both(group *encrypt, group *decrypt, subject *of, const char *name)
{
    (void)group_add(encrypt, run_seal, of, of->with.len, "%s", name);
    (void)group_add(decrypt, run_open, of, of->with.len, "%s", name);
}

/* Decrypting does not depend on how the nonce was made. */
static void add_counted(group *encrypt, size_t len)
{
    subject *of = subject_new(EVP_aes_256_gcm(), true, len);

    of->counted = true;
    (void)group_add(encrypt, run_seal, of, len,
                    "OpenSSL EVP, AES-256-GCM, context kept, nonce counted");
}

static void add(group *encrypt, group *decrypt, size_t len)
{
    add_both(encrypt, decrypt, subject_new(EVP_aes_256_gcm(), true, len),
             "OpenSSL EVP, AES-256-GCM, context kept");
    add_counted(encrypt, len);
    add_both(encrypt, decrypt, subject_new(EVP_aes_256_gcm(), false, len),
             "OpenSSL EVP, AES-256-GCM, a context each");
    add_both(encrypt, decrypt, subject_new(EVP_chacha20_poly1305(), true, len),
             "OpenSSL EVP, ChaCha20-Poly1305, context kept");
}

static void drop(void)
{
    while (count > 0) {
        subject *of = subjects[--count];

        EVP_CIPHER_CTX_free(of->sealing);
        EVP_CIPHER_CTX_free(of->opening);
        samples_free(&of->with);
        free(of);
    }
}

/* Its version is among what the machine is. */
static const char *begin(void)
{
    return NULL;
}

const peer peer_openssl = {.name = "openssl", .begin = begin, .add = add, .drop = drop};
