/**
 * @file kms/context.h
 * The encryption context: string pairs that are bound to a blob and not stored in it.
 *
 * It is additional authenticated data: not secret, and needed again, pair for pair, to decrypt.
 * The order of the pairs has no meaning. Name the place that the data belongs to (table, column,
 * tenant), so that a blob moved elsewhere does not open.
 */
#ifndef KMS_CONTEXT_H
#define KMS_CONTEXT_H

#include <kms/base.h>

/** Most bytes that a context may take: the sum over its pairs of 4 + key length + value length. */
#define KMS_CONTEXT_MAX 8192

KMS_BEGIN_DECLS

/** One pair of a context. Since 0.1. */
typedef struct kms_context_pair {
    /** NUL-terminated, at least one byte, unlike every other key of the context. */
    const char *key;
    /** NUL-terminated, may be empty. */
    const char *value;
} kms_context_pair;

/** A context. NULL, or count 0, is none: the two are the same. Since 0.1. */
typedef struct kms_context {
    const kms_context_pair *pairs;
    size_t count;
} kms_context;

KMS_END_DECLS

#endif
