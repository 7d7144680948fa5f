#include "crypto/chunk.h"
#include "base/fork.h"
#include "crypto/generator.h"
#include "crypto/kdf.h"

#include <sodium.h>
#include <string.h>

_Static_assert(KMS__STREAM_KEY_SIZE == KMS__KDF_KEY_SIZE &&
                   KMS_COMMITMENT_SIZE == KMS__KDF_OUT_SIZE,
               "a stream's key is a key to derive from");
_Static_assert(KMS__AEAD_NONCE_SIZE == 8 + KMS__CHUNK_SALT, "a nonce is place and salt");

static const uint8_t no_salt[KMS__KDF_SALT_SIZE];

bool kms__chunk_cipher_init(kms__chunk_cipher *cipher, kms_suite suite,
                            const uint8_t stream_key[KMS__STREAM_KEY_SIZE])
{
    if (suite != KMS_SUITE_XCHACHA20_POLY1305 && suite != KMS_SUITE_AES_256_GCM)
        return false;
    cipher->suite = suite;
    kms__derive(suite == KMS_SUITE_XCHACHA20_POLY1305 ? KMS__USE_STREAM_1 : KMS__USE_STREAM_2,
                stream_key, no_salt, KMS__CHUNK_SIZE, cipher->key);
    return true;
}

void kms__stream_commitment(const uint8_t stream_key[KMS__STREAM_KEY_SIZE],
                            uint8_t commitment[KMS_COMMITMENT_SIZE])
{
    kms__derive(KMS__USE_STREAM_COMMITMENT, stream_key, no_salt, KMS__CHUNK_SIZE, commitment);
}

/* 2 * index, and 1 for the last chunk: in front, so that each chunk of suite 2 has an AES key of its
 * own. The salt behind it keeps two copies of a machine that was cloned amid a stream from sealing
 * different chunks under one nonce. */
static void make_nonce(uint64_t index, bool last, const uint8_t salt[KMS__CHUNK_SALT],
                       uint8_t nonce[KMS__AEAD_NONCE_SIZE])
{
    uint64_t place = 2 * index + (last ? 1 : 0);

    for (size_t i = 8; i-- > 0; place >>= 8)
        nonce[i] = (uint8_t)place;
    memcpy(nonce + 8, salt, KMS__CHUNK_SALT);
}

/* The block that it lies in is zeroed in a child which a signal handler forked amid the call. */
static bool is_gone(const kms__chunk_cipher *cipher)
{
    return *(const volatile kms_suite *)&cipher->suite == (kms_suite)0;
}

kms_status kms__chunk_seal(const kms__chunk_cipher *cipher, uint64_t index, kms_slice plain,
                           uint8_t *out)
{
    kms__thread *thread = kms__thread_self();
    uint8_t nonce[KMS__AEAD_NONCE_SIZE];
    kms_status st;

    if (thread == NULL)
        return KMS_ERR_NO_MEMORY; /* recorded */
    /* Its last bytes hold what the processor drew: that is what parts clones. */
    kms__nonce(thread, nonce);
    memcpy(out, nonce + sizeof nonce - KMS__CHUNK_SALT, KMS__CHUNK_SALT);
    make_nonce(index, plain.len < KMS__CHUNK_SIZE, out, nonce);
    st = kms__aead_seal(cipher->suite, cipher->key, nonce, (kms_slice){NULL, 0}, plain,
                        out + KMS__CHUNK_SALT);
    if (is_gone(cipher))
        return kms__fork_amid_call(out, KMS__CHUNK_SALT + plain.len + KMS__AEAD_TAG_SIZE);
    if (st != KMS_OK)
        memset(out, 0, KMS__CHUNK_SALT);
    return st;
}

static kms_status damaged(uint64_t index)
{
    return kms_set_error(KMS_ERR_INVALID_CIPHERTEXT,
                         "the stream is damaged at chunk %llu: changed, cut, added to, or another "
                         "stream's",
                         (unsigned long long)index);
}

kms_status kms__chunk_open(const kms__chunk_cipher *cipher, uint64_t index, kms_slice sealed,
                           uint8_t *out)
{
    const uint8_t *salt = sealed.data;
    uint8_t nonce[KMS__AEAD_NONCE_SIZE];
    kms_slice rest;
    kms_status st;

    if (sealed.len < KMS__CHUNK_OVERHEAD || sealed.len > KMS__CHUNK_SEALED)
        return damaged(index);
    make_nonce(index, sealed.len < KMS__CHUNK_SEALED, salt, nonce);
    rest = (kms_slice){salt + KMS__CHUNK_SALT, sealed.len - KMS__CHUNK_SALT};
    st = kms__aead_open(cipher->suite, cipher->key, nonce, (kms_slice){NULL, 0}, rest, out);
    if (is_gone(cipher))
        return kms__fork_amid_call(out, rest.len - KMS__AEAD_TAG_SIZE);
    return st == KMS_ERR_INVALID_CIPHERTEXT ? damaged(index) : st;
}
