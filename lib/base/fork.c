#include "base/fork.h"

#include <errno.h>
#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

_Atomic uint64_t *kms__fork_page;

/* Lives in ordinary memory, so that a child goes on counting where its parent stood, and never
 * takes a number that one of its inherited handles carries. */
static _Atomic uint64_t last_epoch;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static kms_status init_status;
static int init_errno;

#if defined(MADV_WIPEONFORK) && !defined(KMS_NO_WIPEONFORK)
bool kms__fork_wipes(void *pages, size_t size)
{
    /* Emulators accept any advice and ignore it: one that accepts -1 is no proof. */
    return madvise(pages, size, -1) != 0 && madvise(pages, size, MADV_WIPEONFORK) == 0;
}
#else
bool kms__fork_wipes(void *pages, size_t size)
{
    (void)pages;
    (void)size;
    return false;
}
#endif

static void forget_epoch(void)
{
    atomic_store(kms__fork_page, 0);
}

uint64_t kms__fork_begin_epoch(void)
{
    uint64_t seen = 0;
    const uint64_t fresh = atomic_fetch_add(&last_epoch, 1) + 1;

    return atomic_compare_exchange_strong(kms__fork_page, &seen, fresh) ? fresh : seen;
}

static void *map_page(void)
{
    const size_t size = (size_t)sysconf(_SC_PAGESIZE);
    void *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (page == MAP_FAILED) {
        init_errno = errno;
        return NULL;
    }
    kms__fork_page = page;
    if (!kms__fork_wipes(page, size) &&
        (init_errno = pthread_atfork(NULL, NULL, forget_epoch)) != 0) {
        munmap(page, size);
        return NULL;
    }
    return page;
}

static void init(void)
{
    if (sodium_init() < 0)
        init_status = KMS_ERR_UNSUPPORTED;
    else if (map_page() == NULL)
        init_status = KMS_ERR_NO_MEMORY;
    else
        (void)kms__fork_begin_epoch();
}

kms_status kms__fork_init(void)
{
    if (pthread_once(&once, init) != 0)
        return kms_set_error(KMS_ERR_NO_MEMORY, "the library's start could not be made once only");
    if (init_status == KMS_ERR_UNSUPPORTED)
        return kms_set_error(init_status, "libsodium cannot start: sodium_init() failed");
    if (init_status != KMS_OK)
        return kms_set_error(init_status, "no page for telling forked processes apart: %s",
                             strerror(init_errno));
    return KMS_OK;
}

kms_status kms__fork_amid_call(void *made, size_t len)
{
    if (len > 0)
        sodium_memzero(made, len);
    return kms_set_error(KMS_ERR_FORKED, "a signal handler forked during the call: open the store "
                                         "again in this process");
}
