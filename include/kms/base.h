/**
 * @file kms/base.h
 * What every header of libkms needs: the version, how symbols are exported, and two plain types.
 */
#ifndef KMS_BASE_H
#define KMS_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Version of these headers. kms_version() tells that of the library that runs. */
#define KMS_VERSION_MAJOR 0
#define KMS_VERSION_MINOR 2
#define KMS_VERSION_PATCH 0
#define KMS_VERSION_STRING "0.2.0"

#ifdef __cplusplus
#define KMS_BEGIN_DECLS extern "C" {
#define KMS_END_DECLS }
#else
#define KMS_BEGIN_DECLS
#define KMS_END_DECLS
#endif

#if defined(__GNUC__) || defined(__clang__)
#define KMS_API __attribute__((visibility("default")))
#define KMS_MUST_CHECK __attribute__((warn_unused_result))
#define KMS_PRINTF(format_at, args_at) __attribute__((format(printf, format_at, args_at)))
#else
#define KMS_API
#define KMS_MUST_CHECK
#define KMS_PRINTF(format_at, args_at)
#endif

KMS_BEGIN_DECLS

/** A run of bytes that somebody else owns. data may be NULL only where len is 0. Since 0.1. */
typedef struct kms_slice {
    const void *data;
    size_t len;
} kms_slice;

/** An open store: opaque, made by kms_open(), ended by kms_close(). Since 0.1. */
typedef struct kms_store kms_store;

/**
 * The version of the running library, "MAJOR.MINOR.PATCH".
 *
 * @return a constant string, never NULL. Threads: any. Since 0.1.
 */
KMS_API const char *kms_version(void);

KMS_END_DECLS

#endif
