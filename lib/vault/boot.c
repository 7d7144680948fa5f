#include "vault/boot.h"
#include "base/try.h"
#include "crypto/kdf.h"
#include "vault/foreign.h"
#include "wire/wire.h"

#include <sodium.h>
#include <string.h>

#define MAGIC "KMSS"
#define MAGIC_SIZE 4
#define CHECK_SIZE 32
#define NONCE_SIZE 24
#define WRAPPED_SIZE (KMS__STORE_KEY_SIZE + 16)
#define ASSOCIATED_MAX (KMS_STORE_ID_SIZE + 1 + 4 + KMS__BOOT_SLOT_MAX)

typedef struct head {
    uint8_t store_id[KMS_STORE_ID_SIZE];
    uint32_t generation;
    uint8_t slots;
} head;

typedef struct slot {
    uint8_t number;
    kms_slice name;
    kms_slice parameters;
    kms_slice check;
    kms_slice nonce;
    kms_slice wrapped;
} slot;

kms_slice kms__boot_key(void)
{
    static const char key[] = "B";
    kms_slice slice = {key, 1};

    return slice;
}

kms_record kms__boot_probe(void)
{
    kms_record probe = {kms__boot_key(), {MAGIC, MAGIC_SIZE}};

    return probe;
}

void kms__boot_hash(kms_slice boot, uint8_t hash[KMS__BOOT_HASH_SIZE])
{
    (void)crypto_generichash(hash, KMS__BOOT_HASH_SIZE, boot.data, boot.len, NULL, 0);
}

static void write_slot_start(kms__writer *writer, const slot *s)
{
    kms__write_u8(writer, s->number);
    kms__write_u8(writer, (uint8_t)s->name.len);
    kms__write_bytes(writer, s->name.data, s->name.len);
    kms__write_u16(writer, (uint16_t)s->parameters.len);
    kms__write_bytes(writer, s->parameters.data, s->parameters.len);
}

static size_t associated_data(const head *h, const slot *s, uint8_t associated[ASSOCIATED_MAX])
{
    kms__writer writer = kms__writer_to(associated, ASSOCIATED_MAX);

    kms__write_bytes(&writer, h->store_id, KMS_STORE_ID_SIZE);
    kms__write_u8(&writer, KMS__BOOT_FORMAT);
    kms__write_u32(&writer, h->generation);
    write_slot_start(&writer, s);
    return writer.len;
}

static void write_slot_keys(kms__writer *writer, const head *h, const slot *s, uint8_t *root_key,
                            const uint8_t *store_key)
{
    uint8_t associated[ASSOCIATED_MAX];
    size_t associated_len = associated_data(h, s, associated);
    uint8_t check[CHECK_SIZE], nonce[NONCE_SIZE];
    uint8_t wrapped[WRAPPED_SIZE];
    uint8_t *wrap_key = root_key + KMS_ROOT_KEY_SIZE;

    kms__derive(KMS__USE_ROOT_CHECK, root_key, h->store_id, s->number, check);
    kms__derive(KMS__USE_ROOT_WRAP, root_key, h->store_id, s->number, wrap_key);
    randombytes_buf(nonce, sizeof nonce);
    (void)crypto_aead_xchacha20poly1305_ietf_encrypt(wrapped, NULL, store_key, KMS__STORE_KEY_SIZE,
                                                     associated, associated_len, NULL, nonce,
                                                     wrap_key);
    sodium_memzero(wrap_key, KMS__KDF_OUT_SIZE);
    kms__write_bytes(writer, check, sizeof check);
    kms__write_bytes(writer, nonce, sizeof nonce);
    kms__write_bytes(writer, wrapped, sizeof wrapped);
}

static kms_root_request request_for(const uint8_t *store_id, kms_strength strength)
{
    kms_root_request request = {.version = 1, .strength = strength};

    memcpy(request.store_id, store_id, KMS_STORE_ID_SIZE);
    return request;
}

/* What a provider answered. A root key of zeros is one that it lost: everybody knows that. */
static kms_status check_answer(const kms_root *root, kms_status st, const uint8_t *root_key)
{
    KMS__TRY(kms__foreign_end("root provider", root->ops->name, st));
    if (!sodium_is_zero(root_key, KMS_ROOT_KEY_SIZE))
        return KMS_OK;
    return kms_set_error(KMS_ERR_INVALID_ARGUMENT,
                         "root provider \"%s\" gave a root key that is all zero: was it never "
                         "filled?",
                         root->ops->name);
}

kms_status kms__boot_make(kms_root *root, kms_strength strength,
                          const uint8_t store_id[KMS_STORE_ID_SIZE], uint32_t generation,
                          const uint8_t store_key[KMS__STORE_KEY_SIZE],
                          uint8_t root_key[KMS__ROOT_ROOM], uint8_t *boot, size_t *boot_len)
{
    kms_root_request request = request_for(store_id, strength);
    kms__writer writer = kms__writer_to(boot, KMS__BOOT_MAX);
    uint8_t parameters[KMS_ROOT_PARAMETERS_MAX];
    size_t parameters_len = 0;
    head h = {.generation = generation, .slots = 1};
    slot s = {.number = 0, .name = {root->ops->name, strlen(root->ops->name)}};
    kms_status st;

    kms__foreign_begin();
    st = root->ops->make(root, &request, parameters, &parameters_len, root_key);
    KMS__TRY(check_answer(root, st, root_key));
    if (parameters_len > sizeof parameters)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT,
                             "root provider \"%s\" gave %zu bytes of "
                             "parameters, more than %d",
                             root->ops->name, parameters_len, KMS_ROOT_PARAMETERS_MAX);
    memcpy(h.store_id, store_id, KMS_STORE_ID_SIZE);
    s.parameters = (kms_slice){parameters, parameters_len};
    kms__write_bytes(&writer, MAGIC, MAGIC_SIZE);
    kms__write_u8(&writer, KMS__BOOT_FORMAT);
    kms__write_bytes(&writer, store_id, KMS_STORE_ID_SIZE);
    kms__write_u32(&writer, generation);
    kms__write_u8(&writer, h.slots);
    write_slot_start(&writer, &s);
    write_slot_keys(&writer, &h, &s, root_key, store_key);
    *boot_len = writer.len;
    return KMS_OK;
}

static kms_status read_head(kms__reader *reader, head *h)
{
    kms_slice magic = kms__read_slice(reader, MAGIC_SIZE);
    uint8_t format = kms__read_u8(reader);

    if (!kms__reader_ok(reader) || memcmp(magic.data, MAGIC, MAGIC_SIZE) != 0)
        return kms_set_error(KMS_ERR_NOT_A_STORE, "what is there has no boot record of libkms");
    if (format > KMS__BOOT_FORMAT)
        return kms_set_error(KMS_ERR_NEWER_FORMAT,
                             "the store has format %u: a newer libkms made it, use that", format);
    kms__read_bytes(reader, h->store_id, sizeof h->store_id);
    h->generation = kms__read_u32(reader);
    h->slots = kms__read_u8(reader);
    if (!kms__reader_ok(reader) || format != KMS__BOOT_FORMAT || h->slots == 0 ||
        h->slots > KMS__BOOT_SLOTS_MAX)
        return kms_set_error(KMS_ERR_CORRUPT, "the store's boot record is damaged");
    return KMS_OK;
}

static kms_status read_slot(kms__reader *reader, slot *s)
{
    s->number = kms__read_u8(reader);
    s->name = kms__read_slice(reader, kms__read_u8(reader));
    s->parameters = kms__read_slice(reader, kms__read_u16(reader));
    s->check = kms__read_slice(reader, CHECK_SIZE);
    s->nonce = kms__read_slice(reader, NONCE_SIZE);
    s->wrapped = kms__read_slice(reader, WRAPPED_SIZE);
    if (!kms__reader_ok(reader) || s->name.len > KMS_ROOT_NAME_MAX ||
        s->parameters.len > KMS_ROOT_PARAMETERS_MAX)
        return kms_set_error(KMS_ERR_CORRUPT, "a root slot of the store's boot record is damaged");
    return KMS_OK;
}

static bool slot_is_of(const slot *s, const kms_root *root)
{
    return s->name.len == strlen(root->ops->name) &&
           memcmp(s->name.data, root->ops->name, s->name.len) == 0;
}

/* *fits tells whether the root key is this slot's. */
static kms_status try_slot(const head *h, const slot *s, kms_root *root, uint8_t *root_key,
                           uint8_t *store_key, bool *fits)
{
    kms_root_request request = request_for(h->store_id, KMS_STRENGTH_DEFAULT);
    uint8_t associated[ASSOCIATED_MAX];
    size_t associated_len = associated_data(h, s, associated);
    uint8_t *wrap_key = root_key + KMS_ROOT_KEY_SIZE;
    uint8_t check[CHECK_SIZE];
    kms_status st;
    int rc;

    kms__foreign_begin();
    st = root->ops->unlock(root, &request, s->parameters.data, s->parameters.len, root_key);
    KMS__TRY(check_answer(root, st, root_key));
    kms__derive(KMS__USE_ROOT_CHECK, root_key, h->store_id, s->number, check);
    *fits = sodium_memcmp(check, s->check.data, CHECK_SIZE) == 0;
    if (!*fits)
        return KMS_OK;
    kms__derive(KMS__USE_ROOT_WRAP, root_key, h->store_id, s->number, wrap_key);
    rc = crypto_aead_xchacha20poly1305_ietf_decrypt(store_key, NULL, NULL, s->wrapped.data,
                                                    s->wrapped.len, associated, associated_len,
                                                    s->nonce.data, wrap_key);
    sodium_memzero(wrap_key, KMS__KDF_OUT_SIZE);
    if (rc != 0)
        return kms_set_error(KMS_ERR_CORRUPT, "root slot %u of the store's boot record is damaged",
                             s->number);
    return KMS_OK;
}

static kms_status no_slot_fits(const kms_root *root, bool any_of_its_kind)
{
    if (any_of_its_kind)
        return kms_set_error(KMS_ERR_WRONG_ROOT_KEY,
                             "this %s root does not unlock the store: is it another store's?",
                             root->ops->name);
    return kms_set_error(
        KMS_ERR_WRONG_ROOT_KEY,
        "the store has no slot for a root of kind \"%s\": it was made with another kind",
        root->ops->name);
}

kms_status kms__boot_unlock(kms_slice boot, kms_root *root, uint8_t root_key[KMS__ROOT_ROOM],
                            uint8_t store_id[KMS_STORE_ID_SIZE], uint32_t *generation,
                            uint8_t store_key[KMS__STORE_KEY_SIZE])
{
    kms__reader reader = kms__reader_of(boot.data, boot.len);
    bool any_of_its_kind = false;
    bool fits = false;
    head h;

    KMS__TRY(read_head(&reader, &h));
    for (unsigned i = 0; i < h.slots && !fits; i++) {
        slot s;

        KMS__TRY(read_slot(&reader, &s));
        if (!slot_is_of(&s, root))
            continue;
        any_of_its_kind = true;
        KMS__TRY(try_slot(&h, &s, root, root_key, store_key, &fits));
    }
    if (!fits)
        return no_slot_fits(root, any_of_its_kind);
    memcpy(store_id, h.store_id, KMS_STORE_ID_SIZE);
    *generation = h.generation;
    return KMS_OK;
}
