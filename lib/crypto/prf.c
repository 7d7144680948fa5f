#include "crypto/prf.h"
#include "crypto/stack.h"

#include <sodium.h>

_Static_assert(crypto_generichash_blake2b_BYTES_MIN == KMS__PRF_OUT_MIN &&
                   crypto_generichash_blake2b_BYTES_MAX == KMS__PRF_OUT_MAX,
               "what BLAKE2b gives here");

static void add_number(crypto_generichash_blake2b_state *state, uint64_t number, unsigned bytes)
{
    uint8_t text[8];

    for (unsigned i = 0; i < bytes; i++)
        text[i] = (uint8_t)(number >> (8 * (bytes - 1 - i)));
    (void)crypto_generichash_blake2b_update(state, text, bytes);
}

/* Sizes are within their limits, so nothing of it can fail. */
void kms__prf(const uint8_t key[KMS__PRF_KEY_SIZE], uint32_t number,
              const kms_slice parts[KMS__PRF_PARTS], uint8_t *out, size_t out_len)
{
    crypto_generichash_blake2b_state state;

    (void)crypto_generichash_blake2b_init(&state, key, KMS__PRF_KEY_SIZE, out_len);
    add_number(&state, number, 4);
    for (size_t i = 0; i < KMS__PRF_PARTS; i++) {
        add_number(&state, parts[i].len, 8);
        (void)crypto_generichash_blake2b_update(&state, parts[i].data, parts[i].len);
    }
    (void)crypto_generichash_blake2b_final(&state, out, out_len);
    sodium_memzero(&state, sizeof state);
    sodium_stackzero(KMS__STACK_USED); /* Its first block holds the key. */
}
