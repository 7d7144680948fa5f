#include "base/slab.h"
#include "base/fork.h"

#include <sodium.h>
#include <string.h>
#include <unistd.h>

bool kms__slab_lock(void *start, size_t size)
{
    return sodium_mlock(start, size) == 0;
}

kms_status kms__slab_make(size_t size, kms__slab *slab)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t pages = size / page + (size % page != 0 || size == 0);

    if (kms__fork_init() != KMS_OK)
        return kms_error_status();
    /* Of a whole number of pages sodium_malloc() gives the start page-aligned, and keeps its canary
     * in a page before it. So wiping exactly these pages on fork leaves the canary as it is. */
    if (pages > SIZE_MAX / page || (slab->start = sodium_malloc(pages * page)) == NULL)
        return kms_set_error(KMS_ERR_NO_MEMORY, "no memory for %zu bytes of secrets", size);
    slab->size = pages * page;
    slab->locked = kms__slab_lock(slab->start, slab->size);
    slab->wiped_on_fork = kms__fork_wipes(slab->start, slab->size);
    memset(slab->start, 0, slab->size);
    return KMS_OK;
}

void kms__slab_free(void *start, size_t size)
{
    sodium_memzero(start, size);
    sodium_free(start);
}
