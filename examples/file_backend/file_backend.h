/*
 * An example engine: a whole store in one plain file, shared by the processes of a machine.
 *
 * It shows how little an engine needs, from the public headers alone. Every commit writes the
 * whole file anew, so it suits some hundreds of records; take LMDB for more.
 */
#ifndef EXAMPLE_FILE_BACKEND_H
#define EXAMPLE_FILE_BACKEND_H

#include <kms/backend.h>

/*
 * Makes an engine for the file at path (copied), which need not exist yet. Beside it stand
 * PATH-lock, which must not be removed while the store is in use, and for moments PATH-new.
 * KMS_OK, KMS_ERR_INVALID_ARGUMENT, KMS_ERR_NO_MEMORY.
 */
kms_status example_file_backend(kms_backend **backend, const char *path);

#endif
