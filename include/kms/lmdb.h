/**
 * @file kms/lmdb.h
 * The engine that keeps a store in one LMDB file, shared by any number of processes of a machine.
 *
 * Beside the data file PATH stand PATH-lock (LMDB's lock file) and PATH-guard (ours). What
 * stands there and is another program's, or a link, is refused with KMS_ERR_NOT_A_STORE. Leave
 * all three alone while the store is in use; copy a store with a tool that knows LMDB. Symbolic
 * links to the data file are followed; a second hard link to it must not be used. The file must
 * be on a local file system: network and FUSE file systems are refused, because their mappings
 * are not coherent. Descriptors 0, 1 and 2 must be open, on /dev/null for example: a closed one
 * would become a file of the store's, into which the program then prints. Processes in several
 * containers may share a store as long as they share a pid namespace or have different pids.
 */
#ifndef KMS_LMDB_H
#define KMS_LMDB_H

#include <kms/backend.h>

KMS_BEGIN_DECLS

/** Options of kms_lmdb_backend(). Begin with KMS_LMDB_OPTIONS_INIT. Since 0.1. */
typedef struct kms_lmdb_options {
    /** KMS_LMDB_OPTIONS_VERSION. */
    uint32_t version;
    /** Permissions of a store that is made, before the umask; 0: 0600. */
    uint32_t mode;
    /**
     * Address space to reserve, bytes; 0: 64 GiB (512 MiB on 32-bit machines). It bounds the
     * size of the store, and is halved for as long as the system refuses it, down to the larger
     * of 64 MiB and four times the file.
     */
    uint64_t map_size;
} kms_lmdb_options;

#define KMS_LMDB_OPTIONS_VERSION 1u
#define KMS_LMDB_OPTIONS_INIT                                                                      \
    {                                                                                              \
        KMS_LMDB_OPTIONS_VERSION, 0u, 0u                                                           \
    }

/**
 * Makes an engine for the LMDB file at path. Nothing is opened or made yet: kms_open() does that.
 *
 * @param[out] backend  the engine: pass it to kms_open(), which takes it over, or end it with
 *                      kms_backend_free(). Untouched on failure
 * @param path          of the data file, NUL-terminated, 1 to 4000 bytes; copied
 * @param options       NULL for the defaults; copied
 *
 * @retval KMS_OK
 * @retval KMS_ERR_INVALID_ARGUMENT  NULL backend or path, empty or over-long path, or one that ends
 *                                   in a slash, unknown mode bits
 * @retval KMS_ERR_ABI               options of an unknown version
 * @retval KMS_ERR_NO_MEMORY
 * @retval KMS_ERR_UNSUPPORTED       this build of libkms has no LMDB
 *
 * Threads: any. Since 0.1.
 */
KMS_API KMS_MUST_CHECK kms_status kms_lmdb_backend(kms_backend **backend, const char *path,
                                                   const kms_lmdb_options *options);

KMS_END_DECLS

#endif
