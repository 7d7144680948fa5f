/* Telling a forked child from the process that made a handle. */
#ifndef KMS__BASE_FORK_H
#define KMS__BASE_FORK_H

#include <kms/status.h>
#include <stdatomic.h>

/* Readies libsodium and the page that fork() wipes; every kms_open() calls it first. Thread-safe,
 * and cheap when repeated. */
kms_status kms__fork_init(void);

/* In a page that fork() zeroes: 0 means that this process has no epoch yet. */
extern _Atomic uint64_t *kms__fork_page;
uint64_t kms__fork_begin_epoch(void);

/* A number that is never 0, stays the same for the life of a process, and differs from the
 * parent's in a child, however it was forked (where the kernel cannot wipe pages: only by fork()
 * itself). Costs a load; no system call. Only after kms__fork_init(). */
static inline uint64_t kms__fork_epoch(void)
{
    const uint64_t now = atomic_load_explicit(kms__fork_page, memory_order_relaxed);

    return now != 0 ? now : kms__fork_begin_epoch();
}

/* For a call that finds itself in a forked child, because a signal handler forked while it ran: its keys are
 * zero there. Zeroes what it made of them, len bytes. KMS_ERR_FORKED. */
kms_status kms__fork_amid_call(void *made, size_t len);

/* Asks the kernel to zero these whole pages in every forked child. false: this kernel cannot, and
 * the caller has to see to it. */
bool kms__fork_wipes(void *pages, size_t size);

#endif
