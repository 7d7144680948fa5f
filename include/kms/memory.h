/**
 * @file kms/memory.h
 * The engine that keeps a store in memory: for unit tests and for keys that need not outlive a
 * process.
 */
#ifndef KMS_MEMORY_H
#define KMS_MEMORY_H

#include <kms/backend.h>

KMS_BEGIN_DECLS

/**
 * Makes an engine whose store lives in this process' memory and ends with it.
 *
 * kms_open_memory() is the short way to a whole store.
 *
 * @param[out] backend  the engine: pass it to kms_open(), which takes it over, or end it with
 *                      kms_backend_free(). Untouched on failure
 *
 * @retval KMS_OK
 * @retval KMS_ERR_INVALID_ARGUMENT  backend is NULL
 * @retval KMS_ERR_NO_MEMORY
 *
 * Threads: any. Since 0.1.
 */
KMS_API KMS_MUST_CHECK kms_status kms_memory_backend(kms_backend **backend);

KMS_END_DECLS

#endif
