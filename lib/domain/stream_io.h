/* Where a stream lies, by the functions that a caller gives. */
#ifndef KMS__DOMAIN_STREAM_IO_H
#define KMS__DOMAIN_STREAM_IO_H

#include "domain/stream_header.h"

#include <kms/stream.h>

/* Whether everything is there; for_writing: write_at and sync too. KMS_ERR_INVALID_ARGUMENT,
 * KMS_ERR_ABI. */
kms_status kms__stream_io_check(const kms_stream_io *io, bool for_writing);

/* The functions, whose failures get a sentence if they came without one. */
kms_status kms__stream_io_read(const kms_stream_io *io, uint64_t at, void *buffer, size_t len,
                               size_t *len_read);
kms_status kms__stream_io_size(const kms_stream_io *io, uint64_t *size);

/* Reads the KMS__STREAM_HEADER bytes of the header; once more if neither slot is whole, since somebody
 * may have been rewriting one and then the other. */
kms_status kms__stream_io_header(const kms_stream_io *io, uint8_t *header);

/* Puts a slot's bytes over the slot that does not count, and then over the one that did. */
kms_status kms__stream_io_rewrite(const kms_stream_io *io, const kms__stream_slot *current,
                                  const uint8_t bytes[KMS__STREAM_SLOT]);

#endif
