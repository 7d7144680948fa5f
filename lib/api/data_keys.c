#include "base/fork.h"
#include "base/try.h"
#include "crypto/secret.h"
#include "domain/seal.h"

#include <kms/data_key.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(crypto_box_SEALBYTES == 48 &&
                   crypto_box_PUBLICKEYBYTES == KMS_EXPORT_PUBLIC_KEY_SIZE,
               "sizes of kms/data_key.h");

static kms_status check_len(size_t data_key_len)
{
    if (data_key_len < 1 || data_key_len > KMS_DATA_KEY_SIZE_MAX)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "a data key of %zu bytes: it has 1 to %d",
                             data_key_len, KMS_DATA_KEY_SIZE_MAX);
    return KMS_OK;
}

static kms_status check(const kms_store *store, size_t data_key_len, const void *blob,
                        size_t blob_size, const size_t *blob_len)
{
    KMS__TRY(kms__store_check(store));
    KMS__TRY(check_len(data_key_len));
    return kms__check_blob_room(data_key_len, blob, blob_size, blob_len);
}

/* Draws into data_key, which is zero after a failure. */
static kms_status draw_and_seal(kms_store *store, const char *keyref, const kms_context *context,
                                uint8_t *data_key, size_t len, uint8_t *blob)
{
    kms_status st;

    randombytes_buf(data_key, len);
    st =
        kms__blob_seal(store, keyref, KMS_BLOB_DATA_KEY, context, (kms_slice){data_key, len}, blob);
    if (st != KMS_OK)
        sodium_memzero(data_key, len);
    return st;
}

kms_status kms_generate_data_key(kms_store *store, const char *keyref, const kms_context *context,
                                 void *data_key, size_t data_key_len, void *blob, size_t blob_size,
                                 size_t *blob_len)
{
    /* Whatever fails: who goes on all the same must not go on with an older key. */
    if (data_key != NULL && data_key_len <= KMS_DATA_KEY_SIZE_MAX)
        sodium_memzero(data_key, data_key_len);
    KMS__TRY(check(store, data_key_len, blob, blob_size, blob_len));
    if (data_key == NULL)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "data_key is NULL");
    if (kms__overlap(data_key, data_key_len, blob, KMS_CIPHERTEXT_SIZE(data_key_len)))
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "data_key and blob overlap");
    KMS__TRY(draw_and_seal(store, keyref, context, data_key, data_key_len, blob));
    *blob_len = KMS_CIPHERTEXT_SIZE(data_key_len);
    return KMS_OK;
}

kms_status kms_generate_data_key_without_plaintext(kms_store *store, const char *keyref,
                                                   const kms_context *context, size_t data_key_len,
                                                   void *blob, size_t blob_size, size_t *blob_len)
{
    uint8_t data_key[KMS_DATA_KEY_SIZE_MAX];

    KMS__TRY(check(store, data_key_len, blob, blob_size, blob_len));
    KMS__TRY(draw_and_seal(store, keyref, context, data_key, data_key_len, blob));
    sodium_memzero(data_key, sizeof data_key);
    *blob_len = KMS_CIPHERTEXT_SIZE(data_key_len);
    return KMS_OK;
}

/* --- locked memory ---------------------------------------------------------------------------- */

/* A secret, and its room to be written. */
static kms_status make_secret(const kms_store *store, size_t size, kms_secret **secret,
                              uint8_t **room)
{
    kms_secret *made = calloc(1, sizeof *made);
    uint8_t *block = made != NULL ? kms__secret_block(size, &made->locked) : NULL;

    if (block == NULL) {
        free(made);
        return kms_set_error(KMS_ERR_NO_MEMORY, "no memory for a data key of %zu bytes", size);
    }
    made->data = block;
    made->size = size;
    if (store->demand_locked && !made->locked) {
        kms_secret_free(made);
        return kms_set_error(KMS_ERR_NOT_LOCKED, "memory for a data key could not be locked: raise "
                                                 "RLIMIT_MEMLOCK");
    }
    *secret = made;
    *room = block;
    return KMS_OK;
}

void kms_secret_free(kms_secret *secret)
{
    if (secret == NULL)
        return;
    kms__secret_block_free((void *)(uintptr_t)secret->data, secret->size);
    free(secret);
}

kms_status kms_generate_data_key_locked(kms_store *store, const char *keyref,
                                        const kms_context *context, size_t data_key_len,
                                        kms_secret **data_key, void *blob, size_t blob_size,
                                        size_t *blob_len)
{
    kms_secret *made = NULL;
    uint8_t *room = NULL;
    kms_status st;

    KMS__TRY(check(store, data_key_len, blob, blob_size, blob_len));
    if (data_key == NULL)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "data_key is NULL");
    KMS__TRY(make_secret(store, data_key_len, &made, &room));
    st = draw_and_seal(store, keyref, context, room, data_key_len, blob);
    if (st != KMS_OK) {
        kms_secret_free(made);
        return st;
    }
    *data_key = made;
    *blob_len = KMS_CIPHERTEXT_SIZE(data_key_len);
    return KMS_OK;
}

/* Takes a data key's blob apart. One that is too long to be a data key's is none. */
static kms_status read_blob(const void *blob, size_t blob_len, kms__blob *parts)
{
    if (blob == NULL)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "blob is NULL");
    KMS__TRY(kms__blob_read(blob, blob_len, parts));
    if (blob_len > KMS_CIPHERTEXT_SIZE(KMS_DATA_KEY_SIZE_MAX))
        return kms_set_error(KMS_ERR_INVALID_CIPHERTEXT,
                             "a blob of %zu bytes is longer than that of any data key", blob_len);
    return KMS_OK;
}

kms_status kms_decrypt_data_key(kms_store *store, const kms_context *context, const void *blob,
                                size_t blob_len, kms_secret **data_key)
{
    kms__associated associated;
    kms_secret *made = NULL;
    uint8_t *room = NULL;
    kms__blob parts;
    kms_status st;

    KMS__TRY(kms__store_check(store));
    if (data_key == NULL)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "data_key is NULL");
    KMS__TRY(kms__associated_begin(context, &associated));
    KMS__TRY(read_blob(blob, blob_len, &parts));
    KMS__TRY(make_secret(store, KMS_PLAINTEXT_SIZE(blob_len), &made, &room));
    st = kms__blob_open(store, KMS__KIND(KMS_BLOB_DATA_KEY), &associated, &parts, room);
    if (st != KMS_OK) {
        kms_secret_free(made);
        return st;
    }
    *data_key = made;
    return KMS_OK;
}

/* --- export ----------------------------------------------------------------------------------- */

static kms_status check_export(size_t data_key_len, const uint8_t *public_key, const void *exported,
                               size_t exported_size, const size_t *exported_len)
{
    if (public_key == NULL || exported == NULL || exported_len == NULL)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "public_key, exported or exported_len is "
                                                       "NULL");
    if (exported_size < KMS_EXPORTED_DATA_KEY_SIZE(data_key_len))
        return kms_set_error(KMS_ERR_BUFFER_TOO_SMALL,
                             "the buffer has %zu bytes, an exported data key of %zu bytes needs "
                             "%zu",
                             exported_size, data_key_len, KMS_EXPORTED_DATA_KEY_SIZE(data_key_len));
    return KMS_OK;
}

static kms_status export_to(const uint8_t *public_key, const uint8_t *data_key, size_t len,
                            uint8_t *exported)
{
    if (crypto_box_seal(exported, data_key, len, public_key) == 0)
        return KMS_OK;
    memset(exported, 0, KMS_EXPORTED_DATA_KEY_SIZE(len));
    return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "the public key is no point of X25519 that a "
                                                   "data key can be sealed to");
}

kms_status kms_generate_and_export_data_key(kms_store *store, const char *keyref,
                                            const kms_context *context, size_t data_key_len,
                                            const uint8_t public_key[KMS_EXPORT_PUBLIC_KEY_SIZE],
                                            void *blob, size_t blob_size, size_t *blob_len,
                                            void *exported, size_t exported_size,
                                            size_t *exported_len)
{
    uint8_t data_key[KMS_DATA_KEY_SIZE_MAX];
    kms_status st;

    KMS__TRY(check(store, data_key_len, blob, blob_size, blob_len));
    KMS__TRY(check_export(data_key_len, public_key, exported, exported_size, exported_len));
    if (kms__overlap(blob, KMS_CIPHERTEXT_SIZE(data_key_len), exported,
                     KMS_EXPORTED_DATA_KEY_SIZE(data_key_len)))
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "blob and exported overlap");
    KMS__TRY(draw_and_seal(store, keyref, context, data_key, data_key_len, blob));
    st = export_to(public_key, data_key, data_key_len, exported);
    sodium_memzero(data_key, sizeof data_key);
    if (st != KMS_OK) {
        memset(blob, 0, KMS_CIPHERTEXT_SIZE(data_key_len));
        return st;
    }
    *blob_len = KMS_CIPHERTEXT_SIZE(data_key_len);
    *exported_len = KMS_EXPORTED_DATA_KEY_SIZE(data_key_len);
    return KMS_OK;
}

kms_status kms_export_data_key(kms_store *store, const kms_context *context, const void *blob,
                               size_t blob_len,
                               const uint8_t public_key[KMS_EXPORT_PUBLIC_KEY_SIZE], void *exported,
                               size_t exported_size, size_t *exported_len)
{
    uint8_t data_key[KMS_DATA_KEY_SIZE_MAX];
    size_t len = KMS_PLAINTEXT_SIZE(blob_len);
    kms__associated associated;
    kms__blob parts;
    kms_status st;

    KMS__TRY(kms__store_check(store));
    KMS__TRY(check_export(len, public_key, exported, exported_size, exported_len));
    KMS__TRY(kms__associated_begin(context, &associated));
    KMS__TRY(read_blob(blob, blob_len, &parts));
    KMS__TRY(kms__blob_open(store, KMS__KIND(KMS_BLOB_DATA_KEY), &associated, &parts, data_key));
    st = export_to(public_key, data_key, len, exported);
    sodium_memzero(data_key, sizeof data_key);
    KMS__TRY(st);
    *exported_len = KMS_EXPORTED_DATA_KEY_SIZE(len);
    return KMS_OK;
}

kms_status kms_generate_random(void *bytes, size_t len)
{
    KMS__TRY(kms__fork_init());
    if (bytes == NULL || len < 1 || len > KMS_RANDOM_MAX)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "%zu random bytes: one call gives 1 to %d",
                             len, KMS_RANDOM_MAX);
    randombytes_buf(bytes, len);
    return KMS_OK;
}
