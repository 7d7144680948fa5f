#include "crypto/secret.h"
#include "base/slab.h"

#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>

#define FIRST_SLAB 4096
#define LARGEST_SLAB 65536

typedef struct slab {
    struct slab *next;
    unsigned char *start;
    size_t size;
} slab;

/* Everything but the cells themselves is ordinary memory: which cells are free is no secret. */
struct kms__secrets {
    pthread_mutex_t mutex;
    slab *slabs;
    /* The free cells, the next to give at the end. Has room for every cell there is. */
    void **free;
    size_t free_count;
    size_t cell_count;
    size_t next_size;
    bool demand_locked;
    bool locked;
};

static kms_status not_locked(size_t size)
{
    return kms_set_error(KMS_ERR_NOT_LOCKED,
                         "%zu bytes for secrets could not be locked in memory: raise "
                         "RLIMIT_MEMLOCK (ulimit -l), or do not demand locked memory",
                         size);
}

static kms_status make_slab(const kms__secrets *pool, kms__slab *made)
{
    const kms_status status = kms__slab_make(pool->next_size, made);

    if (status != KMS_OK || made->locked || !pool->demand_locked)
        return status;
    kms__slab_free(made->start, made->size);
    return not_locked(made->size);
}

static void adopt(kms__secrets *pool, slab *added, const kms__slab *made)
{
    const size_t cells = made->size / KMS__SECRET_CELL;

    added->start = made->start;
    added->size = made->size;
    added->next = pool->slabs;
    pool->slabs = added;
    pool->locked = pool->locked && made->locked;
    pool->cell_count += cells;
    for (size_t i = cells; i > 0; i--)
        pool->free[pool->free_count++] = made->start + (i - 1) * KMS__SECRET_CELL;
    pool->next_size = made->size < LARGEST_SLAB ? made->size * 2 : made->size;
}

static kms_status grow(kms__secrets *pool)
{
    slab *added = malloc(sizeof *added);
    kms__slab made = {0};
    kms_status status = KMS_ERR_NO_MEMORY;
    void **room;

    if (added == NULL) {
        (void)kms_set_error(status, "no memory to describe more secrets");
        return status;
    }
    status = make_slab(pool, &made);
    if (status != KMS_OK)
        goto failed;
    room = realloc(pool->free, (pool->cell_count + made.size / KMS__SECRET_CELL) * sizeof *room);
    if (room == NULL) {
        kms__slab_free(made.start, made.size);
        status = kms_set_error(KMS_ERR_NO_MEMORY, "no memory to list the free secrets");
        goto failed;
    }
    pool->free = room;
    adopt(pool, added, &made);
    return KMS_OK;

failed:
    free(added);
    return status;
}

/* The first slab is made at once, so that memory which cannot be locked shows at the open. */
kms_status kms__secrets_open(kms__secrets **pool, bool demand_locked)
{
    kms__secrets *fresh = calloc(1, sizeof *fresh);
    kms_status status;

    if (fresh == NULL || pthread_mutex_init(&fresh->mutex, NULL) != 0) {
        free(fresh);
        return kms_set_error(KMS_ERR_NO_MEMORY, "no memory for a pool of secrets");
    }
    fresh->demand_locked = demand_locked;
    fresh->locked = true;
    fresh->next_size = FIRST_SLAB;
    status = grow(fresh);
    if (status == KMS_OK)
        *pool = fresh;
    else
        kms__secrets_close(fresh);
    return status;
}

void kms__secrets_close(kms__secrets *pool)
{
    if (pool == NULL)
        return;
    for (slab *next, *each = pool->slabs; each != NULL; each = next) {
        next = each->next;
        kms__slab_free(each->start, each->size);
        free(each);
    }
    free(pool->free);
    pthread_mutex_destroy(&pool->mutex);
    free(pool);
}

kms_status kms__secret_take(kms__secrets *pool, void **cell)
{
    kms_status status = KMS_OK;

    pthread_mutex_lock(&pool->mutex);
    if (pool->free_count == 0)
        status = grow(pool);
    if (status == KMS_OK)
        *cell = pool->free[--pool->free_count];
    pthread_mutex_unlock(&pool->mutex);
    return status;
}

/* A free cell is always a zeroed one: wiped here, when its secret is done with. */
void kms__secret_give(kms__secrets *pool, void *cell)
{
    if (cell == NULL)
        return;
    sodium_memzero(cell, KMS__SECRET_CELL);
    pthread_mutex_lock(&pool->mutex);
    pool->free[pool->free_count++] = cell;
    pthread_mutex_unlock(&pool->mutex);
}

bool kms__secrets_locked(kms__secrets *pool)
{
    bool locked;

    pthread_mutex_lock(&pool->mutex);
    locked = pool->locked;
    pthread_mutex_unlock(&pool->mutex);
    return locked;
}

void *kms__secret_block(size_t size, bool *locked)
{
    kms__slab made;

    if (kms__slab_make(size, &made) != KMS_OK)
        return NULL;
    *locked = made.locked;
    return made.start;
}

void kms__secret_block_free(void *block, size_t size)
{
    if (block != NULL)
        kms__slab_free(block, size);
}
