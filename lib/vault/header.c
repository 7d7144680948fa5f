#include "vault/header.h"
#include "base/try.h"
#include "wire/wire.h"

#include <sodium.h>
#include <string.h>

kms_slice kms__header_key(void)
{
    static const char key[] = "H";
    kms_slice slice = {key, 1};

    return slice;
}

void kms__header_new(kms__header *header, kms_slice boot)
{
    memset(header, 0, sizeof *header);
    randombytes_buf(header->set_key, sizeof header->set_key);
    kms__boot_hash(boot, header->boot_hash);
}

void kms__header_seal(const kms__seal *seal, kms__header_block *block,
                      uint8_t value[KMS__HEADER_VALUE_SIZE])
{
    const kms__header *header = &block->header;
    kms__writer writer = kms__writer_to(block->plain, sizeof block->plain);
    kms_slice plain = {block->plain, sizeof block->plain};

    kms__write_u8(&writer, KMS__HEADER_BODY);
    kms__write_u64(&writer, header->changes);
    kms__write_bytes(&writer, header->set_key, sizeof header->set_key);
    kms__write_bytes(&writer, header->set_hash, sizeof header->set_hash);
    kms__write_u64(&writer, header->records);
    kms__write_bytes(&writer, header->boot_hash, sizeof header->boot_hash);
    kms__write_bytes(&writer, header->operations, sizeof header->operations);
    kms__record_seal(seal, kms__header_key(), plain, value);
    sodium_memzero(block->plain, sizeof block->plain);
}

static void decode(kms__reader *reader, kms__header *header)
{
    header->changes = kms__read_u64(reader);
    kms__read_bytes(reader, header->set_key, sizeof header->set_key);
    kms__read_bytes(reader, header->set_hash, sizeof header->set_hash);
    header->records = kms__read_u64(reader);
    kms__read_bytes(reader, header->boot_hash, sizeof header->boot_hash);
    kms__read_bytes(reader, header->operations, sizeof header->operations);
}

kms_status kms__header_open(const kms__seal *seal, kms_slice value, kms__header_block *block)
{
    kms__reader reader = kms__reader_of(block->plain, sizeof block->plain);
    uint8_t body;

    /* A later release's header may be longer. */
    if (kms__record_plain_size(value) > sizeof block->plain)
        return kms_set_error(
            KMS_ERR_NEWER_FORMAT,
            "the store's header is longer than this libkms knows: use a newer one");
    if (kms__record_plain_size(value) < sizeof block->plain)
        return kms_set_error(KMS_ERR_CORRUPT, "the store's header record is damaged");
    KMS__TRY(kms__record_open(seal, kms__header_key(), value, block->plain));
    body = kms__read_u8(&reader);
    if (body >= 1 && body <= KMS__HEADER_BODY)
        decode(&reader, &block->header);
    sodium_memzero(block->plain, sizeof block->plain);
    if (body == 0)
        return kms_set_error(KMS_ERR_CORRUPT, "the store's header record does not make sense");
    if (body > KMS__HEADER_BODY)
        return kms_set_error(KMS_ERR_NEWER_FORMAT,
                             "the store's header has body format %u: use a newer libkms", body);
    return KMS_OK;
}

void kms__set_hash_toggle(kms__header *header, kms_slice record_key,
                          const uint8_t mark[KMS__MARK_SIZE])
{
    const uint8_t key_len[2] = {(uint8_t)(record_key.len >> 8), (uint8_t)record_key.len};
    crypto_generichash_state state;
    uint8_t hash[KMS__SET_HASH_SIZE];

    (void)crypto_generichash_init(&state, header->set_key, sizeof header->set_key, sizeof hash);
    (void)crypto_generichash_update(&state, key_len, sizeof key_len);
    (void)crypto_generichash_update(&state, record_key.data, record_key.len);
    (void)crypto_generichash_update(&state, mark, KMS__MARK_SIZE);
    (void)crypto_generichash_final(&state, hash, sizeof hash);
    for (size_t i = 0; i < sizeof hash; i++)
        header->set_hash[i] ^= hash[i];
    sodium_memzero(&state, sizeof state);
    sodium_memzero(hash, sizeof hash);
}

void kms__header_count(kms__header *header, const uint8_t operation[KMS__OPERATION_ID_SIZE])
{
    header->changes++;
    memcpy(header->operations[header->changes % KMS__OPERATIONS_KEPT], operation,
           KMS__OPERATION_ID_SIZE);
}

bool kms__header_knows(const kms__header *header, const uint8_t operation[KMS__OPERATION_ID_SIZE])
{
    for (size_t i = 0; i < KMS__OPERATIONS_KEPT; i++)
        if (memcmp(header->operations[i], operation, KMS__OPERATION_ID_SIZE) == 0)
            return true;
    return false;
}
