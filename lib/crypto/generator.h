/* Nonces, and nothing else: a fast-key-erasure ChaCha20 generator of each thread. Keys and ids
 * come from the system, by randombytes_buf(). */
#ifndef KMS__CRYPTO_GENERATOR_H
#define KMS__CRYPTO_GENERATOR_H

#include "base/thread.h"

#define KMS__NONCE_SIZE 24

/* What suite 2 makes the message's key from, or the nonce that it gives to AES-256-GCM. */
#define KMS__NONCE_HALF 12

/* Bytes that a generator gives before it is seeded anew from the system: 170 nonces, or 340 halves. */
#define KMS__GENERATOR_RESEED 4080

/* Draws a fresh nonce from the thread's generator. thread may be NULL: then from the system. */
void kms__nonce(kms__thread *thread, uint8_t nonce[KMS__NONCE_SIZE]);

/* Draws the second half of a nonce, and tells which seed it comes from: a number that no other
 * generator and no other seed of this process has. 0: the generator cannot be used now, and half is
 * undefined. */
uint64_t kms__nonce_half(kms__thread *thread, uint8_t half[KMS__NONCE_HALF]);

#endif
