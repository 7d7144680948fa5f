#include "crypto/evp_aead.h"

#if KMS_HAVE_LIBCRYPTO

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <sodium.h>
#include <string.h>

/* EVP counts in int. Far below INT_MAX, so that a test need not be as long to take several steps.
 */
#define LONGEST_STEP ((size_t)1 << 22)

/* A thread keeps its contexts, since making one allocates. */
typedef struct keeper {
    EVP_CIPHER_CTX *contexts[KMS__EVP_AEADS];
    bool freed_at_exit;
} keeper;
static _Thread_local keeper kept;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t exit_key;
static bool has_exit_key;
static EVP_CIPHER *ciphers[KMS__EVP_AEADS];

static void free_kept(void *value)
{
    keeper *of_thread = value;

    for (size_t i = 0; i < KMS__EVP_AEADS; i++)
        EVP_CIPHER_CTX_free(of_thread->contexts[i]);
    *of_thread = (keeper){0};
}

/* The ciphers are fetched once a process, and stay until libcrypto itself ends. One that is not
 * there is no error of the program's, so none stays in libcrypto's own list. */
static void start(void)
{
    static const char *const names[KMS__EVP_AEADS] = {"AES-256-GCM", "ChaCha20-Poly1305"};

    has_exit_key = pthread_key_create(&exit_key, free_kept) == 0;
    (void)ERR_set_mark();
    for (size_t i = 0; i < KMS__EVP_AEADS; i++)
        ciphers[i] = EVP_CIPHER_fetch(NULL, names[i], NULL);
    (void)ERR_pop_to_mark();
}

static kms_status make_context(kms__evp_aead which, EVP_CIPHER_CTX **context)
{
    EVP_CIPHER_CTX *made;

    if (pthread_once(&once, start) != 0 || ciphers[which] == NULL)
        return KMS_ERR_UNSUPPORTED;
    made = EVP_CIPHER_CTX_new();
    if (made == NULL || EVP_CipherInit_ex2(made, ciphers[which], NULL, NULL, 1, NULL) != 1) {
        EVP_CIPHER_CTX_free(made);
        return KMS_ERR_NO_MEMORY;
    }
    *context = made;
    return KMS_OK;
}

/* Taken out while it is used: a signal handler that calls the library meanwhile gets another. */
static kms_status take_context(kms__evp_aead which, EVP_CIPHER_CTX **context)
{
    *context = kept.contexts[which];
    kept.contexts[which] = NULL;
    return *context != NULL ? KMS_OK : make_context(which, context);
}

static bool stays_freeable(void)
{
    if (!kept.freed_at_exit)
        kept.freed_at_exit = has_exit_key && pthread_setspecific(exit_key, &kept) == 0;
    return kept.freed_at_exit;
}

/* out NULL: data is associated data. */
static bool update(EVP_CIPHER_CTX *context, uint8_t *out, const uint8_t *data, size_t len)
{
    while (len > 0) {
        const size_t step = len < LONGEST_STEP ? len : LONGEST_STEP;
        int written;

        if (EVP_CipherUpdate(context, out, &written, data, (int)step) != 1)
            return false;
        data += step;
        len -= step;
        if (out != NULL)
            out += step;
    }
    return true;
}

static bool begin(EVP_CIPHER_CTX *context, const uint8_t *key, const uint8_t *nonce,
                  kms_slice associated, int sealing)
{
    return EVP_CipherInit_ex2(context, NULL, key, nonce, sealing, NULL) == 1 &&
           update(context, NULL, associated.data, associated.len);
}

/* Setting another key overwrites the message key, and with AES-GCM all that was made of it, in
 * place, where EVP_CIPHER_CTX_reset() would free it, and the next call allocate again. ChaCha20
 * keeps its last block of key stream until it makes another: the tag's key, or what hides the end
 * of the text. */
static bool overwrite_key(kms__evp_aead which, EVP_CIPHER_CTX *context)
{
    static const uint8_t zero[KMS__AEAD_KEY_SIZE];

    if (which == KMS__EVP_AES_256_GCM)
        return EVP_CipherInit_ex2(context, NULL, zero, NULL, 1, NULL) == 1;
    return begin(context, zero, zero, (kms_slice){zero, 1}, 1);
}

static void put_context(kms__evp_aead which, EVP_CIPHER_CTX *context)
{
    if (!overwrite_key(which, context) || kept.contexts[which] != NULL || !stays_freeable())
        EVP_CIPHER_CTX_free(context);
    else
        kept.contexts[which] = context;
}

/* By a parameter, which takes some 15 ns less than EVP_CIPHER_CTX_ctrl(). */
static bool get_tag(EVP_CIPHER_CTX *context, uint8_t tag[KMS__AEAD_TAG_SIZE])
{
    OSSL_PARAM wanted[] = {
        OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, tag, KMS__AEAD_TAG_SIZE),
        OSSL_PARAM_construct_end()};

    return EVP_CIPHER_CTX_get_params(context, wanted) == 1;
}

static bool set_tag(EVP_CIPHER_CTX *context, uint8_t tag[KMS__AEAD_TAG_SIZE])
{
    const OSSL_PARAM given[] = {
        OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, tag, KMS__AEAD_TAG_SIZE),
        OSSL_PARAM_construct_end()};

    return EVP_CIPHER_CTX_set_params(context, given) == 1;
}

static bool seal(EVP_CIPHER_CTX *context, kms_slice plain, uint8_t *out)
{
    uint8_t *tag = out + plain.len;
    int written;

    return update(context, out, plain.data, plain.len) &&
           EVP_CipherFinal_ex(context, tag, &written) == 1 && get_tag(context, tag);
}

static kms_status open_into(EVP_CIPHER_CTX *context, kms_slice text, const uint8_t *sent_tag,
                            uint8_t *out)
{
    uint8_t tag[KMS__AEAD_TAG_SIZE];
    uint8_t nothing[1];
    int written;

    memcpy(tag, sent_tag, sizeof tag); /* The call below takes no const. */
    if (!set_tag(context, tag) || !update(context, out, text.data, text.len))
        return KMS_ERR_NO_MEMORY;
    return EVP_CipherFinal_ex(context, nothing, &written) == 1 ? KMS_OK
                                                               : KMS_ERR_INVALID_CIPHERTEXT;
}

kms_status kms__evp_seal(kms__evp_aead which, const uint8_t *key, const uint8_t *nonce,
                         kms_slice associated, kms_slice plain, uint8_t *out)
{
    EVP_CIPHER_CTX *context;
    kms_status status = take_context(which, &context);
    bool sealed;

    if (status != KMS_OK)
        return status;
    sealed = begin(context, key, nonce, associated, 1) && seal(context, plain, out);
    put_context(which, context);
    if (sealed)
        return KMS_OK;
    sodium_memzero(out, plain.len + KMS__AEAD_TAG_SIZE);
    return KMS_ERR_NO_MEMORY;
}

/* libcrypto writes plaintext before it knows the tag: on a failure that goes again. */
kms_status kms__evp_open(kms__evp_aead which, const uint8_t *key, const uint8_t *nonce,
                         kms_slice associated, kms_slice sealed, uint8_t *out)
{
    const kms_slice text = {sealed.data, sealed.len - KMS__AEAD_TAG_SIZE};
    EVP_CIPHER_CTX *context;
    kms_status status = take_context(which, &context);

    if (status != KMS_OK)
        return status;
    status = KMS_ERR_NO_MEMORY;
    if (begin(context, key, nonce, associated, 0))
        status = open_into(context, text, (const uint8_t *)sealed.data + text.len, out);
    put_context(which, context);
    if (status != KMS_OK && text.len > 0)
        sodium_memzero(out, text.len);
    return status;
}

#else

typedef int kms__no_libcrypto;

#endif
