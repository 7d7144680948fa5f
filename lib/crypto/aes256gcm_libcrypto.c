#include "crypto/aes256gcm.h"

#if KMS_HAVE_LIBCRYPTO

#include <openssl/evp.h>
#include <pthread.h>
#include <sodium.h>
#include <string.h>

/* EVP counts in int. Far below INT_MAX, so that a test need not be as long to take several steps.
 */
#define LONGEST_STEP ((size_t)1 << 22)

/* A thread keeps its context, since making one allocates. */
typedef struct keeper {
    EVP_CIPHER_CTX *context;
    bool freed_at_exit;
} keeper;
static _Thread_local keeper kept;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t exit_key;
static bool has_exit_key;
static EVP_CIPHER *cipher;

static void free_kept(void *value)
{
    keeper *of_thread = value;

    EVP_CIPHER_CTX_free(of_thread->context);
    *of_thread = (keeper){0};
}

/* The cipher is fetched once a process, and stays until libcrypto itself ends. */
static void start(void)
{
    has_exit_key = pthread_key_create(&exit_key, free_kept) == 0;
    cipher = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
}

static EVP_CIPHER_CTX *make_context(void)
{
    EVP_CIPHER_CTX *context;

    if (pthread_once(&once, start) != 0 || cipher == NULL) {
        (void)kms_set_error(KMS_ERR_UNSUPPORTED, "libcrypto gives no AES-256-GCM: see the "
                                                 "providers in its openssl.cnf");
        return NULL;
    }
    context = EVP_CIPHER_CTX_new();
    if (context == NULL || EVP_CipherInit_ex2(context, cipher, NULL, NULL, 1, NULL) != 1) {
        EVP_CIPHER_CTX_free(context);
        (void)kms_set_error(KMS_ERR_NO_MEMORY, "no memory for a context of libcrypto");
        return NULL;
    }
    return context;
}

/* Taken out while it is used: a signal handler that calls the library meanwhile gets another. */
static EVP_CIPHER_CTX *take_context(void)
{
    EVP_CIPHER_CTX *context = kept.context;

    kept.context = NULL;
    return context != NULL ? context : make_context();
}

static bool stays_freeable(void)
{
    if (!kept.freed_at_exit)
        kept.freed_at_exit = has_exit_key && pthread_setspecific(exit_key, &kept) == 0;
    return kept.freed_at_exit;
}

/* Setting another key overwrites the message key, its schedule and its hash key in place, where
 * EVP_CIPHER_CTX_reset() would free them, and the next call allocate again. */
static void put_context(EVP_CIPHER_CTX *context)
{
    static const uint8_t zero[KMS__AEAD_KEY_SIZE];

    if (kept.context != NULL || EVP_CipherInit_ex2(context, NULL, zero, NULL, 1, NULL) != 1 ||
        !stays_freeable())
        EVP_CIPHER_CTX_free(context);
    else
        kept.context = context;
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

static bool seal(EVP_CIPHER_CTX *context, kms_slice plain, uint8_t *out)
{
    uint8_t *tag = out + plain.len;
    int written;

    return update(context, out, plain.data, plain.len) &&
           EVP_CipherFinal_ex(context, tag, &written) == 1 &&
           EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, KMS__AEAD_TAG_SIZE, tag) == 1;
}

static kms_status open_into(EVP_CIPHER_CTX *context, kms_slice text, const uint8_t *sent_tag,
                            uint8_t *out)
{
    uint8_t tag[KMS__AEAD_TAG_SIZE];
    uint8_t nothing[1];
    int written;

    memcpy(tag, sent_tag, sizeof tag); /* The call below takes no const. */
    if (EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, KMS__AEAD_TAG_SIZE, tag) != 1 ||
        !update(context, out, text.data, text.len))
        return KMS_ERR_NO_MEMORY;
    return EVP_CipherFinal_ex(context, nothing, &written) == 1 ? KMS_OK
                                                               : KMS_ERR_INVALID_CIPHERTEXT;
}

static kms_status failed(void)
{
    return kms_set_error(KMS_ERR_NO_MEMORY, "libcrypto's AES-256-GCM failed");
}

kms_status kms__aes256gcm_libcrypto_seal(const uint8_t *key, const uint8_t *nonce,
                                         kms_slice associated, kms_slice plain, uint8_t *out)
{
    EVP_CIPHER_CTX *context = take_context();
    bool sealed;

    if (context == NULL)
        return kms_error_status();
    sealed = begin(context, key, nonce, associated, 1) && seal(context, plain, out);
    put_context(context);
    if (sealed)
        return KMS_OK;
    sodium_memzero(out, plain.len + KMS__AEAD_TAG_SIZE);
    return failed();
}

/* libcrypto writes plaintext before it knows the tag: on a failure that goes again. */
kms_status kms__aes256gcm_libcrypto_open(const uint8_t *key, const uint8_t *nonce,
                                         kms_slice associated, kms_slice sealed, uint8_t *out)
{
    const kms_slice text = {sealed.data, sealed.len - KMS__AEAD_TAG_SIZE};
    EVP_CIPHER_CTX *context = take_context();
    kms_status status = KMS_ERR_NO_MEMORY;

    if (context == NULL)
        return kms_error_status();
    if (begin(context, key, nonce, associated, 0))
        status = open_into(context, text, (const uint8_t *)sealed.data + text.len, out);
    put_context(context);
    if (status != KMS_OK && text.len > 0)
        sodium_memzero(out, text.len);
    return status == KMS_ERR_NO_MEMORY ? failed() : status;
}

#else

typedef int kms__no_libcrypto;

#endif
