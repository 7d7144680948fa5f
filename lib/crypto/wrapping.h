/* Wrapping key material on its way into a store: a key pair, and opening what was wrapped for it. */
#ifndef KMS__CRYPTO_WRAPPING_H
#define KMS__CRYPTO_WRAPPING_H

#include <kms/import.h>

/* Most bytes of a private key: PKCS#8 in DER of 4,096 bits. */
#define KMS__WRAPPING_SECRET_MAX 2600

/* Whether this build has it; the sentence that says why not is recorded. KMS_ERR_INVALID_ARGUMENT,
 * KMS_ERR_UNSUPPORTED. */
kms_status kms__wrapping_check(kms_wrapping wrapping);

/* A fresh pair. secret has KMS__WRAPPING_SECRET_MAX bytes of locked memory, public_key
 * KMS_IMPORT_PUBLIC_KEY_MAX. */
kms_status kms__wrapping_pair(kms_wrapping wrapping, uint8_t *secret, size_t *secret_len,
                              uint8_t *public_key, size_t *public_key_len);

/* Opens wrapped material into locked memory. KMS_ERR_INVALID_IMPORT. */
kms_status kms__wrapping_open(kms_wrapping wrapping, kms_slice secret, kms_slice wrapped,
                              uint8_t material[KMS_IMPORT_MATERIAL_SIZE]);

/* The two above for RSA-OAEP, by libcrypto. */
kms_status kms__rsa_pair(unsigned bits, uint8_t *secret, size_t *secret_len, uint8_t *public_key,
                         size_t *public_key_len);
kms_status kms__rsa_open(kms_slice secret, kms_slice wrapped,
                         uint8_t material[KMS_IMPORT_MATERIAL_SIZE]);

/* One status and one sentence, whatever is wrong with wrapped material. */
kms_status kms__wrapping_invalid(void);

#endif
