#include "bare.h"
#include "crypto/generator.h"
#include "fail.h"

#include <openssl/evp.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/* Up to here libsodium's AES-256-GCM is faster where a key is set for each message: see
 * lib/crypto/suite_2.c. */
#define SODIUM_LONGEST 1152

#define NONCE_AT BARE_PREFIX
#define KEY_SIZE BARE_KEY
/* HChaCha20 takes 16 bytes: XChaCha20 all of them from the nonce, suite 2 the first 12. */
#define XCHACHA_HALF 16
#define AES_HALF 12
#define SHORT_NONCE 12

struct bare {
    crypto_aead_aes256gcm_state state;
    bare_way way;
    kms__thread *thread;
    EVP_CIPHER_CTX *context;
    uint8_t key[KEY_SIZE];
};

const char *bare_name(bare_way way)
{
    static const char *const names[BARE_WAYS] = {
        [BARE_XCHACHA] = "bare: libsodium XChaCha20-Poly1305",
        [BARE_XCHACHA_LIBCRYPTO] = "bare: libcrypto ChaCha20-Poly1305 after HChaCha20",
        [BARE_AES_DERIVED] = "bare: AES-256-GCM, a derived key each",
        [BARE_AES_SODIUM] = "bare: libsodium AES-256-GCM, context kept",
        [BARE_AES_LIBCRYPTO] = "bare: libcrypto AES-256-GCM, context kept",
    };

    return names[way];
}

bare *bare_new(bare_way way)
{
    bare *made = aligned_alloc(64, (sizeof *made + 63) / 64 * 64);
    const EVP_CIPHER *cipher =
        way == BARE_XCHACHA_LIBCRYPTO ? EVP_chacha20_poly1305() : EVP_aes_256_gcm();

    must(made != NULL, "memory for a key");
    memset(made, 0, sizeof *made);
    made->way = way;
    made->thread = kms__thread_self();
    made->context = EVP_CIPHER_CTX_new();
    randombytes_buf(made->key, sizeof made->key);
    if (crypto_aead_aes256gcm_is_available())
        (void)crypto_aead_aes256gcm_beforenm(&made->state, made->key);
    must(made->context != NULL &&
             EVP_CipherInit_ex2(made->context, cipher, made->key, NULL, 1, NULL) == 1,
         "a context of libcrypto");
    return made;
}

void bare_free(bare *of)
{
    EVP_CIPHER_CTX_free(of->context);
    free(of);
}

void bare_use_key(bare *of, const uint8_t key[BARE_KEY])
{
    memcpy(of->key, key, BARE_KEY);
}

/* key NULL: the one that the context has. */
static void libcrypto_seal(const bare *of, const uint8_t *key, const uint8_t *nonce,
                           const uint8_t *header, const uint8_t *plain, size_t len, uint8_t *out)
{
    int written;

    must(EVP_CipherInit_ex2(of->context, NULL, key, nonce, 1, NULL) == 1 &&
             EVP_CipherUpdate(of->context, NULL, &written, header, BARE_HEADER) == 1 &&
             EVP_CipherUpdate(of->context, out, &written, plain, (int)len) == 1 &&
             EVP_CipherFinal_ex(of->context, out + len, &written) == 1 &&
             EVP_CIPHER_CTX_ctrl(of->context, EVP_CTRL_AEAD_GET_TAG, BARE_TAG, out + len) == 1,
         "sealing by libcrypto");
}

static void libcrypto_open(const bare *of, const uint8_t *key, const uint8_t *nonce,
                           const uint8_t *header, const uint8_t *sealed, size_t len, uint8_t *out)
{
    uint8_t tag[BARE_TAG];
    int written;

    memcpy(tag, sealed + len, sizeof tag);
    must(EVP_CipherInit_ex2(of->context, NULL, key, nonce, 0, NULL) == 1 &&
             EVP_CIPHER_CTX_ctrl(of->context, EVP_CTRL_AEAD_SET_TAG, BARE_TAG, tag) == 1 &&
             EVP_CipherUpdate(of->context, NULL, &written, header, BARE_HEADER) == 1 &&
             EVP_CipherUpdate(of->context, out, &written, sealed, (int)len) == 1 &&
             EVP_CipherFinal_ex(of->context, out + len, &written) == 1,
         "opening by libcrypto");
}

static void sodium_seal(const crypto_aead_aes256gcm_state *state, const uint8_t *nonce,
                        const uint8_t *header, const uint8_t *plain, size_t len, uint8_t *out)
{
    (void)crypto_aead_aes256gcm_encrypt_afternm(out, NULL, plain, len, header, BARE_HEADER, NULL,
                                                nonce, state);
}

static void sodium_open(const crypto_aead_aes256gcm_state *state, const uint8_t *nonce,
                        const uint8_t *header, const uint8_t *sealed, size_t len, uint8_t *out)
{
    must(crypto_aead_aes256gcm_decrypt_afternm(out, NULL, NULL, sealed, len + BARE_TAG, header,
                                               BARE_HEADER, nonce, state) == 0,
         "opening by libsodium");
}

/* The key of one message, from its nonce's first bytes. */
static void derive(const bare *of, const uint8_t *nonce, size_t half, uint8_t key[KEY_SIZE])
{
    uint8_t input[crypto_core_hchacha20_INPUTBYTES] = {0};

    memcpy(input, nonce, half);
    (void)crypto_core_hchacha20(key, input, of->key, NULL);
}

/* What is left of the nonce, for ChaCha20-Poly1305. */
static void short_nonce(const uint8_t *nonce, uint8_t out[SHORT_NONCE])
{
    memset(out, 0, 4);
    memcpy(out + 4, nonce + XCHACHA_HALF, 8);
}

static bool short_for_sodium(size_t len)
{
    return len <= SODIUM_LONGEST && crypto_aead_aes256gcm_is_available();
}

static void aes_derived_seal(const bare *of, const uint8_t *plain, size_t len, uint8_t *blob)
{
    const uint8_t *nonce = blob + NONCE_AT;
    uint8_t key[KEY_SIZE];

    derive(of, nonce, AES_HALF, key);
    if (short_for_sodium(len)) {
        crypto_aead_aes256gcm_state state;

        (void)crypto_aead_aes256gcm_beforenm(&state, key);
        sodium_seal(&state, nonce + AES_HALF, blob, plain, len, blob + BARE_HEADER);
    } else
        libcrypto_seal(of, key, nonce + AES_HALF, blob, plain, len, blob + BARE_HEADER);
}

static void aes_derived_open(const bare *of, const uint8_t *blob, size_t len, uint8_t *plain)
{
    const uint8_t *nonce = blob + NONCE_AT;
    uint8_t key[KEY_SIZE];

    derive(of, nonce, AES_HALF, key);
    if (short_for_sodium(len)) {
        crypto_aead_aes256gcm_state state;

        (void)crypto_aead_aes256gcm_beforenm(&state, key);
        sodium_open(&state, nonce + AES_HALF, blob, blob + BARE_HEADER, len, plain);
    } else
        libcrypto_open(of, key, nonce + AES_HALF, blob, blob + BARE_HEADER, len, plain);
}

void bare_seal(bare *of, const uint8_t *plain, size_t len, uint8_t *blob)
{
    uint8_t *nonce = blob + NONCE_AT, key[KEY_SIZE], rest[SHORT_NONCE];

    kms__nonce(of->thread, nonce);
    switch (of->way) {
    case BARE_XCHACHA:
        (void)crypto_aead_xchacha20poly1305_ietf_encrypt(blob + BARE_HEADER, NULL, plain, len, blob,
                                                         BARE_HEADER, NULL, nonce, of->key);
        return;
    case BARE_XCHACHA_LIBCRYPTO:
        derive(of, nonce, XCHACHA_HALF, key);
        short_nonce(nonce, rest);
        libcrypto_seal(of, key, rest, blob, plain, len, blob + BARE_HEADER);
        return;
    case BARE_AES_DERIVED:
        aes_derived_seal(of, plain, len, blob);
        return;
    case BARE_AES_SODIUM:
        sodium_seal(&of->state, nonce + AES_HALF, blob, plain, len, blob + BARE_HEADER);
        return;
    case BARE_AES_LIBCRYPTO:
        libcrypto_seal(of, NULL, nonce + AES_HALF, blob, plain, len, blob + BARE_HEADER);
        return;
    case BARE_WAYS:
        break;
    }
    fail("a way to seal");
}

void bare_open(bare *of, const uint8_t *blob, size_t len, uint8_t *plain)
{
    const uint8_t *nonce = blob + NONCE_AT, *sealed = blob + BARE_HEADER;
    uint8_t key[KEY_SIZE], rest[SHORT_NONCE];

    switch (of->way) {
    case BARE_XCHACHA:
        must(crypto_aead_xchacha20poly1305_ietf_decrypt(plain, NULL, NULL, sealed, len + BARE_TAG,
                                                        blob, BARE_HEADER, nonce, of->key) == 0,
             "opening by libsodium");
        return;
    case BARE_XCHACHA_LIBCRYPTO:
        derive(of, nonce, XCHACHA_HALF, key);
        short_nonce(nonce, rest);
        libcrypto_open(of, key, rest, blob, sealed, len, plain);
        return;
    case BARE_AES_DERIVED:
        aes_derived_open(of, blob, len, plain);
        return;
    case BARE_AES_SODIUM:
        sodium_open(&of->state, nonce + AES_HALF, blob, sealed, len, plain);
        return;
    case BARE_AES_LIBCRYPTO:
        libcrypto_open(of, NULL, nonce + AES_HALF, blob, sealed, len, plain);
        return;
    case BARE_WAYS:
        break;
    }
    fail("a way to open");
}
