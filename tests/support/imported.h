/*
 * Keys of known material, and the derivations of docs/blob-format.md written once more, straight on
 * libsodium: what the calls that derive are held against.
 */
#ifndef KMS_TESTS_IMPORTED_H
#define KMS_TESTS_IMPORTED_H

#include "api_fixture.h"

/* A key of external origin whose first material is 32 bytes of fill. */
void imported_create(kms_store *store, kms_key_usage usage, uint8_t fill,
                     char key_id[KMS_KEY_ID_SIZE]);
/* Its next version, of other material. */
void imported_rotate(kms_store *store, const char *key_id, uint8_t fill);

/* The page's derive(person, key, salt, number). */
void page_derive(const char *person, const uint8_t key[32], const char *key_id, uint32_t number,
                 uint8_t out[32]);
/* The page's prf(key, number, a, b, out_len). */
void page_prf(const uint8_t key[32], uint32_t number, kms_slice a, kms_slice b, uint8_t *out,
              size_t out_len);

#endif
