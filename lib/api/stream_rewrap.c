#include "base/try.h"
#include "domain/reference.h"
#include "domain/stream_io.h"
#include "vault/store.h"

kms_status kms_stream_rewrap(kms_store *store, const kms_context *source_context,
                             const char *keyref, const kms_context *destination_context,
                             const kms_stream_io *io, kms_key_used *source)
{
    uint8_t header[KMS__STREAM_HEADER], made[KMS__STREAM_SLOT];
    kms__reference reference;
    kms__stream_slot slot;

    KMS__TRY(kms__store_check(store));
    KMS__TRY(kms__stream_io_check(io, true));
    KMS__TRY(kms__reference_parse(keyref, &reference));
    KMS__TRY(kms__stream_io_header(io, header));
    KMS__TRY(kms__stream_reseal(store, source_context, header, keyref, destination_context, &slot,
                                made));
    KMS__TRY(kms__stream_io_rewrite(io, &slot, made));
    if (source != NULL) {
        kms__id_format(slot.parts.key_id, source->key_id);
        source->key_version = slot.parts.key_version;
    }
    return KMS_OK;
}
