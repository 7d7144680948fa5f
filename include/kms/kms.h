/**
 * @file kms/kms.h
 * libkms: a key management service in a library. This header includes all the others.
 *
 * Before you use it:
 *
 * - Threads. A store may be shared by any number of threads, but kms_close() must be the last
 *   call on it. Error messages belong to the thread whose call failed.
 * - Processes. Many processes of one machine may open one store, and a change that one of them
 *   makes is seen by the very next call of all.
 * - fork(). A store does not cross it: the child opens its own. Calls on the parent's handle
 *   answer KMS_ERR_FORKED there, and closing it is safe. A root does not cross it either.
 * - File systems. An LMDB store lies on a local file system; NFS, SMB, 9p and FUSE are refused.
 * - Locked memory. Keys lie in memory that is locked against swapping, as far as RLIMIT_MEMLOCK
 *   allows. kms_get_store_info() tells whether all of it is; KMS_OPEN_REQUIRE_LOCKED insists.
 * - Copies. A plaintext is in your own buffers: wiping them is yours to do. A store's file may be
 *   copied, but who puts an old copy back also undoes what was changed since.
 * - dlclose(). The library stays loaded once it is loaded, because threads that it does not know
 *   of may still end after that.
 *
 * Ownership: what a call gives through a pointer to a pointer is yours to close or free; strings
 * that a call returns are borrowed. Arguments are borrowed for the call, unless it says that it
 * takes them over.
 */
#ifndef KMS_KMS_H
#define KMS_KMS_H

#include <kms/alias.h>
#include <kms/backend.h>
#include <kms/base.h>
#include <kms/batch.h>
#include <kms/blind_index.h>
#include <kms/blob.h>
#include <kms/clock.h>
#include <kms/context.h>
#include <kms/data_key.h>
#include <kms/deletion.h>
#include <kms/derive.h>
#include <kms/deterministic.h>
#include <kms/encrypt.h>
#include <kms/file.h>
#include <kms/import.h>
#include <kms/key.h>
#include <kms/key_version.h>
#include <kms/lmdb.h>
#include <kms/memory.h>
#include <kms/root.h>
#include <kms/rotation.h>
#include <kms/service.h>
#include <kms/status.h>
#include <kms/store.h>
#include <kms/stream.h>
#include <kms/tag.h>
#include <kms/text.h>
#include <kms/would.h>

#endif
