/* Nonces, and nothing else: a fast-key-erasure ChaCha20 generator of each thread. Keys and ids
 * come from the system, by randombytes_buf(). */
#ifndef KMS__CRYPTO_GENERATOR_H
#define KMS__CRYPTO_GENERATOR_H

#include "base/thread.h"

#define KMS__NONCE_SIZE 24

/* Bytes that a generator gives before it is seeded anew from the system: 170 nonces. */
#define KMS__GENERATOR_RESEED 4080

/* Draws a fresh nonce from the thread's generator. thread may be NULL: then from the system. */
void kms__nonce(kms__thread *thread, uint8_t nonce[KMS__NONCE_SIZE]);

#endif
