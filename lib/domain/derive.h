/* What follows from a version of a key and a message: derived keys and the tokens of blind indexes. */
#ifndef KMS__DOMAIN_DERIVE_H
#define KMS__DOMAIN_DERIVE_H

#include "domain/open_version.h"

#include <kms/blind_index.h>
#include <kms/derive.h>

/* Derives out_len bytes, within their limits, from a context with a pair at least. version 0: the
 * primary one. */
kms_status kms__derive_key(kms_store *store, const char *keyref, uint32_t version,
                           const kms_context *context, uint8_t *out, size_t out_len,
                           kms_key_used *used);

/* What a token is of. Everything is within its limits. */
typedef struct kms__indexed {
    const char *label;
    kms_slice value;
    unsigned bits;
} kms__indexed;

kms_status kms__blind_index(kms_store *store, const char *keyref, const kms__indexed *indexed,
                            kms_blind_tokens *tokens);

#endif
