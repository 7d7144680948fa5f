/* Pages for secrets: locked, between guard pages, left out of core dumps, zero in a forked child.
 */
#ifndef KMS__BASE_SLAB_H
#define KMS__BASE_SLAB_H

#include <kms/status.h>

typedef struct kms__slab {
    /* Page-aligned and zeroed. */
    unsigned char *start;
    /* Whole pages: at least what was asked for. */
    size_t size;
    /* Whether the kernel really locked them; sodium_malloc() alone would not tell. */
    bool locked;
    /* Whether the kernel zeroes them in a forked child. */
    bool wiped_on_fork;
} kms__slab;

/* KMS_ERR_NO_MEMORY when there is none. Memory that could not be locked is no error here. */
kms_status kms__slab_make(size_t size, kms__slab *slab);

/* Locks a slab again, in a forked child, which inherits no locks; false: not all of it. */
bool kms__slab_lock(void *start, size_t size);

/* Wipes and frees what kms__slab_make() gave. */
void kms__slab_free(void *start, size_t size);

#endif
