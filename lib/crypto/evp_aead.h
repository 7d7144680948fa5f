/* libcrypto's AEADs, under one key of 32 bytes and a nonce of 96 bits: what the suites use of EVP.
 * Same meaning of all arguments as in crypto/aead.h. */
#ifndef KMS__CRYPTO_EVP_AEAD_H
#define KMS__CRYPTO_EVP_AEAD_H

#include "crypto/aead.h"

#define KMS__EVP_NONCE_SIZE 12

typedef enum kms__evp_aead {
    KMS__EVP_AES_256_GCM,
    KMS__EVP_CHACHA20_POLY1305,
    KMS__EVP_AEADS
} kms__evp_aead;

/* No failure is recorded here, since a suite may have another implementation to turn to.
 * KMS_ERR_UNSUPPORTED: libcrypto's providers do not have it; KMS_ERR_NO_MEMORY: libcrypto failed. */
kms_status kms__evp_seal(kms__evp_aead which, const uint8_t *key, const uint8_t *nonce,
                         kms_slice associated, kms_slice plain, uint8_t *out);
kms_status kms__evp_open(kms__evp_aead which, const uint8_t *key, const uint8_t *nonce,
                         kms_slice associated, kms_slice sealed, uint8_t *out);

#endif
