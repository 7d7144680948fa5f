/**
 * @file absent.c
 * What stands in the LMDB engine's place in a build without LMDB.
 */
#include <kms/lmdb.h>

#if !KMS_HAVE_LMDB

kms_status kms_lmdb_backend(kms_backend **backend, const char *path,
                            const kms_lmdb_options *options)
{
    (void)backend;
    (void)path;
    (void)options;
    return kms_set_error(KMS_ERR_UNSUPPORTED,
                         "this build of libkms has no LMDB engine: install liblmdb-dev (Debian's "
                         "name), configure and build libkms again, or use kms_memory_backend()");
}

#endif
