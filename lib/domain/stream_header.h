/* The header of a stream: two slots of a page each, of which the newer whole one counts, so that a
 * header can be rewritten in place and a write that breaks off harms nothing (docs/stream-format.md).
 *
 *   magic (8) | format (1) | sequence (8) | commitment (32) | blob of kind 3 | zeros | checksum (32) */
#ifndef KMS__DOMAIN_STREAM_HEADER_H
#define KMS__DOMAIN_STREAM_HEADER_H

#include "crypto/blob.h"
#include "crypto/chunk.h"

#define KMS__STREAM_FORMAT 1
#define KMS__STREAM_SLOT 4096
#define KMS__STREAM_SLOTS 2
#define KMS__STREAM_HEADER (KMS__STREAM_SLOTS * KMS__STREAM_SLOT)
/* What the blob holds: the suite of the chunks, and the stream's key. */
#define KMS__STREAM_SECRET (1 + KMS__STREAM_KEY_SIZE)
#define KMS__STREAM_BLOB (KMS__STREAM_SECRET + KMS_BLOB_OVERHEAD)

/* The slot that counts, in place. */
typedef struct kms__stream_slot {
    unsigned number;
    uint64_t sequence;
    const uint8_t *commitment;
    const uint8_t *blob;
    /* The same, taken apart. */
    kms__blob parts;
} kms__stream_slot;

/* KMS_ERR_INVALID_CIPHERTEXT: so few bytes hold no header. */
kms_status kms__stream_header_check(size_t len);

/* Finds it in KMS__STREAM_HEADER bytes. KMS_ERR_INVALID_CIPHERTEXT: neither is whole;
 * KMS_ERR_NEWER_FORMAT. */
kms_status kms__stream_slot_read(const uint8_t *header, kms__stream_slot *slot);

/* Whether both slots are the same, as every writer leaves them. Else a rewrap broke off, or one of them
 * is damaged. */
bool kms__stream_slots_agree(const uint8_t *header);

/* Writes one slot around a blob of KMS__STREAM_BLOB bytes. */
void kms__stream_slot_write(uint64_t sequence, const uint8_t commitment[KMS_COMMITMENT_SIZE],
                            const uint8_t *blob, uint8_t out[KMS__STREAM_SLOT]);

/* Draws a stream's key, seals it under a key into both slots, and readies its cipher, which lies in
 * locked memory. Failures are those of kms_encrypt(); header and cipher are unchanged or zero then. */
kms_status kms__stream_begin(kms_store *store, const char *keyref, const kms_context *context,
                             uint8_t *header, kms__chunk_cipher *cipher);

/* Opens a header of KMS__STREAM_HEADER bytes. Failures are those of kms_decrypt(). */
kms_status kms__stream_open(kms_store *store, const kms_context *context, const uint8_t *header,
                            kms__chunk_cipher *cipher);

/* Seals the key of the stream whose header this is anew, into the slot that is to follow the one that
 * counts, *current. */
kms_status kms__stream_reseal(kms_store *store, const kms_context *source_context,
                              const uint8_t *header, const char *keyref,
                              const kms_context *destination_context, kms__stream_slot *current,
                              uint8_t out[KMS__STREAM_SLOT]);

#endif
