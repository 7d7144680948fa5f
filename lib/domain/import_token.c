#include "base/clock.h"
#include "base/try.h"
#include "crypto/kdf.h"
#include "crypto/wrapping.h"
#include "domain/import.h"
#include "wire/wire.h"

#include <sodium.h>
#include <string.h>

#define TOKEN_FORMAT 1
#define TOKEN_PREFIX (1 + 24)
#define TOKEN_HEAD (KMS__ID_SIZE + 1 + 8)
#define TOKEN_PLAIN_MAX (TOKEN_HEAD + KMS__WRAPPING_SECRET_MAX)
#define ASSOCIATED_SIZE (KMS_STORE_ID_SIZE + 1 + 4)

_Static_assert(TOKEN_PREFIX + TOKEN_PLAIN_MAX + 16 <= KMS_IMPORT_TOKEN_MAX, "a token has room");

static void associated_data(const kms_store *store, uint8_t associated[ASSOCIATED_SIZE])
{
    kms__writer writer = kms__writer_to(associated, ASSOCIATED_SIZE);

    kms__write_bytes(&writer, store->id, KMS_STORE_ID_SIZE);
    kms__write_u8(&writer, TOKEN_FORMAT);
    kms__write_u32(&writer, store->generation);
}

/* The key that seals tokens, in a secret cell. */
static kms_status token_key(kms_store *store, uint8_t **key)
{
    void *cell;

    KMS__TRY(kms__cache_take_cell(store->cache, &cell));
    kms__derive(KMS__USE_IMPORT_TOKEN, store->records_key, store->id, store->generation, cell);
    *key = cell;
    return KMS_OK;
}

static kms_status seal(kms_store *store, const uint8_t *plain, size_t plain_len, uint8_t *token)
{
    uint8_t associated[ASSOCIATED_SIZE];
    uint8_t *key;

    KMS__TRY(token_key(store, &key));
    associated_data(store, associated);
    token[0] = TOKEN_FORMAT;
    randombytes_buf(token + 1, TOKEN_PREFIX - 1);
    (void)crypto_aead_xchacha20poly1305_ietf_encrypt(token + TOKEN_PREFIX, NULL, plain, plain_len,
                                                     associated, sizeof associated, NULL, token + 1,
                                                     key);
    kms__secret_give(store->secrets, key);
    return KMS_OK;
}

/* plain has TOKEN_PLAIN_MAX bytes of locked memory. */
static kms_status make(kms_store *store, const uint8_t id[KMS__ID_SIZE], uint8_t *plain,
                       kms_import_parameters *made)
{
    kms__writer writer = kms__writer_to(plain, TOKEN_HEAD);
    size_t secret_len = 0;

    kms__write_bytes(&writer, id, KMS__ID_SIZE);
    kms__write_u8(&writer, (uint8_t)made->wrapping);
    kms__write_i64(&writer, made->expires_ms);
    KMS__TRY(kms__wrapping_pair(made->wrapping, plain + TOKEN_HEAD, &secret_len, made->public_key,
                                &made->public_key_len));
    made->token_len = TOKEN_PREFIX + TOKEN_HEAD + secret_len + 16;
    return seal(store, plain, TOKEN_HEAD + secret_len, made->token);
}

/* libcrypto has RSA keys in its own heap, which nobody locks. */
static kms_status check_locked(const kms_store *store, kms_wrapping wrapping)
{
    if (store->demand_locked && wrapping != KMS_WRAPPING_SEALED_BOX)
        return kms_set_error(KMS_ERR_NOT_LOCKED,
                             "an RSA key would be in memory that is not locked, and "
                             "KMS_OPEN_REQUIRE_LOCKED was asked for: use KMS_WRAPPING_SEALED_BOX");
    return KMS_OK;
}

static int64_t token_end(int64_t now_ms)
{
    const int64_t life_ms = KMS_IMPORT_TOKEN_HOURS * KMS__HOUR_MS;

    return now_ms > INT64_MAX - life_ms ? INT64_MAX : now_ms + life_ms;
}

kms_status kms__import_token_make(kms_store *store, const uint8_t id[KMS__ID_SIZE],
                                  kms_wrapping wrapping, kms_import_parameters *parameters)
{
    kms_import_parameters made = {.wrapping = wrapping};
    uint8_t *plain = NULL;
    kms_status st;

    KMS__TRY(check_locked(store, wrapping));
    made.expires_ms = token_end(kms__store_now(store));
    KMS__TRY(kms__store_secret_block(store, TOKEN_PLAIN_MAX, &plain));
    st = make(store, id, plain, &made);
    kms__secret_block_free(plain, TOKEN_PLAIN_MAX);
    if (st == KMS_OK)
        *parameters = made;
    return st;
}

static kms_status token_invalid(void)
{
    return kms_set_error(KMS_ERR_INVALID_IMPORT,
                         "the import token is not whole, or is of another key, wrapping or store: "
                         "kms_get_parameters_for_import() gives a new one");
}

static kms_status open_token(kms_store *store, kms_slice token, uint8_t *plain, size_t *plain_len)
{
    const uint8_t *bytes = token.data;
    uint8_t associated[ASSOCIATED_SIZE];
    uint8_t *key;
    int rc;

    if (token.data == NULL || token.len < TOKEN_PREFIX + TOKEN_HEAD + 16 ||
        token.len > TOKEN_PREFIX + TOKEN_PLAIN_MAX + 16)
        return token_invalid();
    if (bytes[0] > TOKEN_FORMAT)
        return kms_set_error(KMS_ERR_NEWER_FORMAT, "a newer libkms made the import token");
    if (bytes[0] != TOKEN_FORMAT)
        return token_invalid();
    KMS__TRY(token_key(store, &key));
    associated_data(store, associated);
    rc = crypto_aead_xchacha20poly1305_ietf_decrypt(plain, NULL, NULL, bytes + TOKEN_PREFIX,
                                                    token.len - TOKEN_PREFIX, associated,
                                                    sizeof associated, bytes + 1, key);
    kms__secret_give(store->secrets, key);
    *plain_len = token.len - TOKEN_PREFIX - 16;
    return rc == 0 ? KMS_OK : token_invalid();
}

static kms_status unwrap(kms_store *store, const kms_import *import, kms__incoming *incoming,
                         uint8_t *plain)
{
    size_t plain_len = 0;
    kms__reader reader;
    kms_slice id;
    uint8_t wrapping;
    int64_t expires_ms;

    KMS__TRY(open_token(store, (kms_slice){import->token, import->token_len}, plain, &plain_len));
    reader = kms__reader_of(plain, plain_len);
    id = kms__read_slice(&reader, KMS__ID_SIZE);
    wrapping = kms__read_u8(&reader);
    expires_ms = kms__read_i64(&reader);
    if (!kms__reader_ok(&reader) || memcmp(id.data, incoming->id, KMS__ID_SIZE) != 0 ||
        wrapping != (uint8_t)import->wrapping)
        return token_invalid();
    if (kms__store_now(store) >= expires_ms)
        return kms_set_error(KMS_ERR_EXPIRED,
                             "the import token's %d hours are over: "
                             "kms_get_parameters_for_import() gives a new one",
                             KMS_IMPORT_TOKEN_HOURS);
    return kms__wrapping_open(import->wrapping, (kms_slice){reader.at, reader.left},
                              (kms_slice){import->material, import->material_len},
                              incoming->material);
}

static kms_status unwrap_in_room(kms_store *store, const kms_import *import,
                                 kms__incoming *incoming)
{
    uint8_t *plain = NULL;
    kms_status st;

    KMS__TRY(kms__wrapping_check(import->wrapping));
    KMS__TRY(check_locked(store, import->wrapping));
    KMS__TRY(kms__store_secret_block(store, TOKEN_PLAIN_MAX, &plain));
    st = unwrap(store, import, incoming, plain);
    kms__secret_block_free(plain, TOKEN_PLAIN_MAX);
    return st;
}

static kms_status take_raw(const kms_import *import, kms__incoming *incoming)
{
    if (import->token != NULL || import->token_len != 0)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "raw material has no token");
    if (import->material_len != KMS_IMPORT_MATERIAL_SIZE)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "raw material has %d bytes, not %zu",
                             KMS_IMPORT_MATERIAL_SIZE, import->material_len);
    memcpy(incoming->material, import->material, KMS_IMPORT_MATERIAL_SIZE);
    return KMS_OK;
}

static kms_status check(kms_store *store, const kms_import *import)
{
    if (import == NULL)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "import is NULL");
    if (import->version != KMS_IMPORT_VERSION)
        return kms_set_error(KMS_ERR_ABI, "kms_import of version %u: begin with KMS_IMPORT_INIT",
                             import->version);
    if (import->material == NULL)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "the material is NULL");
    if (import->expires_ms != 0 && import->expires_ms <= kms__store_now(store))
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT,
                             "the material would expire at once: its date is over");
    return KMS_OK;
}

static kms_material_source source_of(kms_wrapping wrapping)
{
    if (wrapping == KMS_WRAPPING_SEALED_BOX)
        return KMS_MATERIAL_SEALED_BOX;
    return wrapping == KMS_WRAPPING_NONE_INSECURE ? KMS_MATERIAL_RAW : KMS_MATERIAL_RSA_OAEP;
}

kms_status kms__incoming_take(kms_store *store, const uint8_t id[KMS__ID_SIZE],
                              const kms_import *import, kms__incoming *incoming)
{
    void *cell;

    memset(incoming, 0, sizeof *incoming);
    KMS__TRY(check(store, import));
    memcpy(incoming->id, id, KMS__ID_SIZE);
    incoming->extra.source = source_of(import->wrapping);
    incoming->extra.expires_ms = import->expires_ms;
    KMS__TRY(kms__cache_take_cell(store->cache, &cell));
    incoming->material = cell;
    if (import->wrapping == KMS_WRAPPING_NONE_INSECURE)
        KMS__TRY(take_raw(import, incoming));
    else
        KMS__TRY(unwrap_in_room(store, import, incoming));
    if (sodium_is_zero(incoming->material, KMS_IMPORT_MATERIAL_SIZE) == 1)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT,
                             "the material is %d zero bytes: nobody's key",
                             KMS_IMPORT_MATERIAL_SIZE);
    return KMS_OK;
}

void kms__incoming_wipe(kms_store *store, kms__incoming *incoming)
{
    kms__secret_give(store->secrets, incoming->material);
    incoming->material = NULL;
}
