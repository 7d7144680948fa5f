/*
 * What the makers of fixtures are made of: descriptions on the standard output (fixture_text.h has
 * their grammar), and the store of the whole life of keys. Whatever fails ends the program.
 */
#ifndef KMS_TESTS_FIXTURE_MAKER_H
#define KMS_TESTS_FIXTURE_MAKER_H

#include <kms/kms.h>

/* Tells tests/check_decoder.sh that this build lacks a part for it. */
#define EXIT_UNSUPPORTED 77

void maker_must(bool condition, const char *what);
#define maker_ok(call) maker_must((call) == KMS_OK, #call)

void maker_hex(const void *data, size_t len);
void maker_bytes(const char *field, const void *data, size_t len);
/* A line for each pair. */
void maker_context(const kms_context *context);
void maker_blob(const uint8_t *blob, size_t blob_len, const void *plain, size_t plain_len,
                const kms_context *context);

/* Encrypts and describes. The name says what the reader shall find: that it opens, or why not. */
void maker_make_blob(kms_store *store, const char *keyref, const char *expected,
                     const kms_context *context);

/* The material of a version, as its record holds it. */
void maker_material(kms_store *store, const char *key_id, uint32_t version, uint8_t material[32]);

/* Describes all that is in a store; what follows from the clock holds at now_ms. */
void maker_store(kms_store *store, int64_t now_ms);

/* The suite that is not the default, where the build has it. */
kms_suite maker_other_suite(void);

/* Makes a store at PATH in LMDB: keys of each origin and maker in each state, with policies, tags,
 * descriptions, last uses, versions in each state, and purges done and cut short; it is the second
 * generation, resealed. Describes it. */
void maker_make_life(const char *path, const uint8_t root_key[KMS_ROOT_KEY_SIZE]);

#endif
