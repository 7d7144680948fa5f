/*
 * The floor: what a blob costs without libkms. The nonce comes from the library's own generator, and
 * the associated data are the same 82 bytes, so that the difference is the library and nothing else.
 * This is the one place outside of lib/ and tests/ that includes an internal header, for that
 * generator.
 */
#ifndef BENCH_BARE_H
#define BENCH_BARE_H

#include <stddef.h>
#include <stdint.h>

#define BARE_PREFIX 58
#define BARE_HEADER 82
#define BARE_TAG 16
#define BARE_KEY 32

typedef enum bare_way {
    /* Suite 1: libsodium's XChaCha20-Poly1305. */
    BARE_XCHACHA,
    /* Its other way: HChaCha20, then libcrypto's ChaCha20-Poly1305 with its context kept. */
    BARE_XCHACHA_LIBCRYPTO,
    /* Suite 2: AES-256-GCM under a key that HChaCha20 derives of each nonce, of libsodium for short
     * messages and of libcrypto, with its context kept, for long ones. */
    BARE_AES_DERIVED,
    /* AES-256-GCM under one key for all messages: libsodium's, its context kept. */
    BARE_AES_SODIUM,
    /* The same of libcrypto. */
    BARE_AES_LIBCRYPTO,
    BARE_WAYS
} bare_way;

/* Its name in a table. */
const char *bare_name(bare_way way);

/* A key and contexts, for one thread. */
typedef struct bare bare;
bare *bare_new(bare_way way);
void bare_free(bare *of);

/* Takes another key, of BARE_XCHACHA. */
void bare_use_key(bare *of, const uint8_t key[BARE_KEY]);

/* Seals behind the header that stands at blob, into which it draws a nonce. */
void bare_seal(bare *of, const uint8_t *plain, size_t len, uint8_t *blob);

/* Opens such a blob; len is the plaintext's. */
void bare_open(bare *of, const uint8_t *blob, size_t len, uint8_t *plain);

#endif
