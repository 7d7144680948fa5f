/* What whoever handles a stream works with: the cipher of its chunks, and room for one chunk in both
 * forms. Cipher and plaintext lie in locked memory. */
#ifndef KMS__DOMAIN_CHUNK_ROOM_H
#define KMS__DOMAIN_CHUNK_ROOM_H

#include "crypto/chunk.h"
#include "vault/store.h"

typedef struct kms__chunk_room {
    struct kms__chunk_secrets {
        kms__chunk_cipher cipher;
        uint8_t plain[KMS__CHUNK_SIZE];
    } * secret;
    uint8_t sealed[KMS__CHUNK_SEALED];
} kms__chunk_room;

/* KMS_ERR_NO_MEMORY, and KMS_ERR_NOT_LOCKED where the store demands it. */
kms_status kms__chunk_room_make(const kms_store *store, kms__chunk_room **room);

/* Wipes and frees it. NULL is ignored. */
void kms__chunk_room_free(kms__chunk_room *room);

/* Seals chunk number `index`, whose first len bytes of plaintext are in the room, into the room; opens it,
 * of which len sealed bytes are there. */
kms_status kms__chunk_room_seal(kms__chunk_room *room, uint64_t index, size_t len);
kms_status kms__chunk_room_open(kms__chunk_room *room, uint64_t index, size_t len);

#endif
