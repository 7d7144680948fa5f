#include "domain/stream_header.h"
#include "base/try.h"
#include "domain/rotate_on_use.h"
#include "domain/seal.h"
#include "wire/wire.h"

#include <sodium.h>
#include <string.h>

/* Not the beginning of any blob. */
#define MAGIC "kmstream"
#define MAGIC_SIZE 8
/* Magic, format and checksum have these places in every format to come. */
#define FORMAT_AT MAGIC_SIZE
#define CHECKSUM_SIZE 32
#define CHECKSUM_AT (KMS__STREAM_SLOT - CHECKSUM_SIZE)
#define FIELDS (MAGIC_SIZE + 1 + 8 + KMS_COMMITMENT_SIZE + KMS__STREAM_BLOB)

_Static_assert(FIELDS < CHECKSUM_AT, "a slot has room for its fields");

/* It tells a whole slot from one that was being written; it proves nothing. */
static void make_checksum(const uint8_t *slot, uint8_t checksum[CHECKSUM_SIZE])
{
    (void)crypto_generichash_blake2b(checksum, CHECKSUM_SIZE, slot, CHECKSUM_AT, NULL, 0);
}

static bool is_whole(const uint8_t *slot)
{
    uint8_t checksum[CHECKSUM_SIZE];

    if (memcmp(slot, MAGIC, MAGIC_SIZE) != 0)
        return false;
    make_checksum(slot, checksum);
    return memcmp(slot + CHECKSUM_AT, checksum, CHECKSUM_SIZE) == 0;
}

/* A whole slot of this format; false also for what no writer makes. */
static bool read_slot(const uint8_t *from, kms__stream_slot *slot)
{
    kms__reader reader = kms__reader_of(from, CHECKSUM_AT);

    (void)kms__read_slice(&reader, MAGIC_SIZE + 1);
    slot->sequence = kms__read_u64(&reader);
    slot->commitment = kms__read_slice(&reader, KMS_COMMITMENT_SIZE).data;
    slot->blob = kms__read_slice(&reader, KMS__STREAM_BLOB).data;
    return kms__reader_ok(&reader) && sodium_is_zero(reader.at, reader.left);
}

static kms_status no_header(bool newer)
{
    if (newer)
        return kms_set_error(KMS_ERR_NEWER_FORMAT,
                             "the stream has a newer format: a newer libkms made it, use that");
    return kms_set_error(KMS_ERR_INVALID_CIPHERTEXT,
                         "this is no stream of libkms, or its header is damaged");
}

kms_status kms__stream_header_check(size_t len)
{
    if (len >= KMS__STREAM_HEADER)
        return KMS_OK;
    return kms_set_error(KMS_ERR_INVALID_CIPHERTEXT, "%zu bytes are no stream: its header has %d",
                         len, KMS__STREAM_HEADER);
}

kms_status kms__stream_slot_read(const uint8_t *header, kms__stream_slot *slot)
{
    bool found = false, newer = false;

    for (unsigned i = 0; i < KMS__STREAM_SLOTS; i++) {
        const uint8_t *from = header + (size_t)i * KMS__STREAM_SLOT;
        kms__stream_slot read = {.number = i};

        if (!is_whole(from))
            continue;
        newer = newer || from[FORMAT_AT] > KMS__STREAM_FORMAT;
        if (from[FORMAT_AT] != KMS__STREAM_FORMAT || !read_slot(from, &read) ||
            (found && read.sequence <= slot->sequence))
            continue;
        *slot = read;
        found = true;
    }
    if (!found)
        return no_header(newer);
    return kms__blob_read(slot->blob, KMS__STREAM_BLOB, &slot->parts);
}

bool kms__stream_slots_agree(const uint8_t *header)
{
    return memcmp(header, header + KMS__STREAM_SLOT, KMS__STREAM_SLOT) == 0;
}

void kms__stream_slot_write(uint64_t sequence, const uint8_t commitment[KMS_COMMITMENT_SIZE],
                            const uint8_t *blob, uint8_t out[KMS__STREAM_SLOT])
{
    kms__writer writer = kms__writer_to(out, CHECKSUM_AT);

    memset(out, 0, KMS__STREAM_SLOT);
    kms__write_bytes(&writer, MAGIC, MAGIC_SIZE);
    kms__write_u8(&writer, KMS__STREAM_FORMAT);
    kms__write_u64(&writer, sequence);
    kms__write_bytes(&writer, commitment, KMS_COMMITMENT_SIZE);
    kms__write_bytes(&writer, blob, KMS__STREAM_BLOB);
    make_checksum(out, out + CHECKSUM_AT);
}

/* --- the key ------------------------------------------------------------------------------------ */

/* What the blob of a stream's header holds. On the stack for a moment, like the message key of
 * suite 2. */
typedef struct secret {
    uint8_t bytes[KMS__STREAM_SECRET];
} secret;

static const uint8_t *stream_key(const secret *held)
{
    return held->bytes + 1;
}

static kms_status not_of_this_header(void)
{
    return kms_set_error(KMS_ERR_INVALID_CIPHERTEXT,
                         "the stream's header is not whole: its commitment is another key's");
}

/* Gives the secret only if it is that of the slot's commitment. Wiped on failure. */
static kms_status open_secret(kms_store *store, kms__associated *associated,
                              const kms__stream_slot *slot, secret *held)
{
    uint8_t commitment[KMS_COMMITMENT_SIZE];

    KMS__TRY(kms__blob_open(store, KMS__KIND(KMS_BLOB_STREAM_HEADER), associated, &slot->parts,
                            held->bytes));
    kms__stream_commitment(stream_key(held), commitment);
    if (memcmp(commitment, slot->commitment, sizeof commitment) == 0)
        return KMS_OK;
    sodium_memzero(held, sizeof *held);
    return not_of_this_header();
}

static kms_status ready_cipher(const secret *held, kms__chunk_cipher *cipher)
{
    kms_suite suite = (kms_suite)held->bytes[0];

    if (!kms__chunk_cipher_init(cipher, suite, stream_key(held)))
        return kms_set_error(KMS_ERR_INVALID_CIPHERTEXT,
                             "the stream's header is damaged: its chunks are of suite %d, which is "
                             "none",
                             (int)suite);
    if (kms__suite_available(suite))
        return KMS_OK;
    return kms_set_error(KMS_ERR_UNSUPPORTED,
                         "the stream is of suite %d, which is not in this build", (int)suite);
}

kms_status kms__stream_open(kms_store *store, const kms_context *context, const uint8_t *header,
                            kms__chunk_cipher *cipher)
{
    kms__associated associated;
    kms__stream_slot slot;
    secret held;
    kms_status st;

    KMS__TRY(kms__associated_begin(context, &associated));
    KMS__TRY(kms__stream_slot_read(header, &slot));
    KMS__TRY(open_secret(store, &associated, &slot, &held));
    st = ready_cipher(&held, cipher);
    sodium_memzero(&held, sizeof held);
    return st;
}

/* The chunks are of the suite of the version that the header is sealed under. */
static kms_status seal_secret(kms_store *store, const char *keyref, const kms_context *context,
                              secret *held, uint8_t *blob)
{
    kms__associated associated;
    kms__pin pin;
    kms_status st;

    KMS__TRY(kms__associated_begin(context, &associated));
    KMS__TRY(kms__pin_for_encrypting(store, keyref, 0, &pin));
    held->bytes[0] = (uint8_t)pin.opened->suite;
    st = kms__blob_seal_under(&pin, KMS_BLOB_STREAM_HEADER, &associated,
                              (kms_slice){held->bytes, sizeof held->bytes}, blob);
    kms__pin_release(&pin);
    return st;
}

static void write_both_slots(const secret *held, const uint8_t *blob, uint8_t *header)
{
    uint8_t commitment[KMS_COMMITMENT_SIZE];

    kms__stream_commitment(stream_key(held), commitment);
    kms__stream_slot_write(1, commitment, blob, header);
    memcpy(header + KMS__STREAM_SLOT, header, KMS__STREAM_SLOT);
}

kms_status kms__stream_begin(kms_store *store, const char *keyref, const kms_context *context,
                             uint8_t *header, kms__chunk_cipher *cipher)
{
    uint8_t blob[KMS__STREAM_BLOB];
    secret held;
    kms_status st;

    randombytes_buf(held.bytes, sizeof held.bytes);
    st = seal_secret(store, keyref, context, &held, blob);
    if (st == KMS_OK)
        st = ready_cipher(&held, cipher);
    if (st == KMS_OK)
        write_both_slots(&held, blob, header);
    sodium_memzero(&held, sizeof held);
    return st;
}

/* The slot that is to follow this one. */
static kms_status reseal(kms_store *store, kms__associated *associated,
                         const kms__stream_slot *slot, const char *keyref,
                         const kms_context *destination_context, uint8_t out[KMS__STREAM_SLOT])
{
    uint8_t blob[KMS__STREAM_BLOB];
    secret held;
    kms_status st;

    if (slot->sequence == UINT64_MAX)
        return kms_set_error(KMS_ERR_INVALID_CIPHERTEXT,
                             "the stream's header is damaged: no writer comes to its sequence");
    KMS__TRY(open_secret(store, associated, slot, &held));
    st = kms__blob_seal(store, keyref, KMS_BLOB_STREAM_HEADER, destination_context,
                        (kms_slice){held.bytes, sizeof held.bytes}, blob);
    sodium_memzero(&held, sizeof held);
    if (st == KMS_OK)
        kms__stream_slot_write(slot->sequence + 1, slot->commitment, blob, out);
    return st;
}

kms_status kms__stream_reseal(kms_store *store, const kms_context *source_context,
                              const uint8_t *header, const char *keyref,
                              const kms_context *destination_context, kms__stream_slot *current,
                              uint8_t out[KMS__STREAM_SLOT])
{
    kms__associated associated;

    KMS__TRY(kms__associated_begin(destination_context, &associated));
    KMS__TRY(kms__associated_begin(source_context, &associated));
    KMS__TRY(kms__stream_slot_read(header, current));
    return reseal(store, &associated, current, keyref, destination_context, out);
}
