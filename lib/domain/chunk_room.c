#include "domain/chunk_room.h"

#include <stdlib.h>

kms_status kms__chunk_room_make(const kms_store *store, kms__chunk_room **room)
{
    kms__chunk_room *made = malloc(sizeof *made);
    uint8_t *block = NULL;
    kms_status st;

    if (made == NULL)
        return kms_set_error(KMS_ERR_NO_MEMORY, "no memory for a chunk of a stream");
    st = kms__store_secret_block(store, sizeof *made->secret, &block);
    if (st != KMS_OK) {
        free(made);
        return st;
    }
    made->secret = (struct kms__chunk_secrets *)(void *)block;
    *room = made;
    return KMS_OK;
}

void kms__chunk_room_free(kms__chunk_room *room)
{
    if (room == NULL)
        return;
    kms__secret_block_free(room->secret, sizeof *room->secret);
    free(room);
}

kms_status kms__chunk_room_seal(kms__chunk_room *room, uint64_t index, size_t len)
{
    return kms__chunk_seal(&room->secret->cipher, index, (kms_slice){room->secret->plain, len},
                           room->sealed);
}

kms_status kms__chunk_room_open(kms__chunk_room *room, uint64_t index, size_t len)
{
    return kms__chunk_open(&room->secret->cipher, index, (kms_slice){room->sealed, len},
                           room->secret->plain);
}
