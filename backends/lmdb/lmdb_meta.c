/**
 * @file lmdb_meta.c
 * Tells an LMDB file from anything else before LMDB sees it, and a damaged one from a whole one.
 *
 * LMDB itself makes a store of an empty file, and answers the same error for a text file and for
 * a store with one damaged meta page; so the two pages are read here first. The layout is that of
 * LMDB 0.9 (mdb.c, MDB_page and MDB_meta), in the machine's own word size and byte order.
 */
#include "lmdb_internal.h"

#if KMS_HAVE_LMDB

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define META_MAGIC 0xBEEFC0DEu
#define META_VERSION 1u
#define META_PAGE_FLAG 0x08u
#define PAGE_SIZE_MIN 256u
#define PAGE_SIZE_MAX 65536u

typedef struct meta_tree {
    uint32_t page_size;
    uint16_t flags;
    uint16_t depth;
    size_t branches;
    size_t leaves;
    size_t overflows;
    size_t entries;
    size_t root;
} meta_tree;

typedef struct meta_page {
    size_t number;
    uint16_t pad;
    uint16_t flags;
    uint32_t bounds;
    uint32_t magic;
    uint32_t version;
    void *address;
    size_t map_size;
    meta_tree trees[2];
    size_t last_page;
    size_t txn_id;
} meta_page;

static bool read_meta(int fd, uint64_t offset, meta_page *meta)
{
    ssize_t got;
    do
        got = pread(fd, meta, sizeof *meta, (off_t)offset);
    while (got < 0 && errno == EINTR);
    return got == (ssize_t)sizeof *meta;
}

static bool is_meta(const meta_page *meta)
{
    return meta->magic == META_MAGIC && (meta->flags & META_PAGE_FLAG) != 0;
}

static bool is_page_size(uint32_t size)
{
    return size >= PAGE_SIZE_MIN && size <= PAGE_SIZE_MAX && (size & (size - 1)) == 0;
}

/* The second page of a store whose first one is destroyed stands at one of these offsets. */
static bool has_second_meta(int fd)
{
    meta_page meta;
    for (uint32_t at = PAGE_SIZE_MIN; at <= PAGE_SIZE_MAX; at *= 2) {
        if (read_meta(fd, at, &meta) && is_meta(&meta) && meta.trees[0].page_size == at)
            return true;
    }
    return false;
}

/* A file that was cut loses the end of its trees: reading there would be a SIGBUS. */
static bool roots_are_inside(const meta_page *meta, uint64_t size)
{
    uint64_t pages = size / meta->trees[0].page_size;
    for (size_t i = 0; i < 2; i++) {
        if (meta->trees[i].root != SIZE_MAX && meta->trees[i].root >= pages)
            return false;
    }
    return true;
}

static kms_status damaged(const char *path, const char *what)
{
    return kms_set_error(KMS_ERR_CORRUPT,
                         "%s: %s: the store is damaged; keep the file, and restore a backup",
                         kms__lmdb_label(path), what);
}

/* Asked only now: a writer may have made the file longer between a look at its size and the reading
 * of its meta pages, and pages are there before a meta page names them. */
static uint64_t size_of(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static kms_status check_second(int fd, const meta_page *first, const char *path)
{
    meta_page second;
    uint32_t page_size = first->trees[0].page_size;
    if (!is_page_size(page_size))
        return damaged(path, "its first meta page names an impossible page size");
    if (!read_meta(fd, page_size, &second))
        return damaged(path, "the file is cut short");
    if (!is_meta(&second) || second.version != first->version)
        return damaged(path, "its second meta page is unreadable");
    if (second.trees[0].page_size != page_size)
        return damaged(path, "its two meta pages contradict each other");
    if (!roots_are_inside(first->txn_id > second.txn_id ? first : &second, size_of(fd)))
        return damaged(path, "the file is cut short");
    return KMS_OK;
}

kms_status kms__lmdb_check_meta(int fd, const char *path)
{
    meta_page first;
    if (!read_meta(fd, 0, &first) || !is_meta(&first)) {
        if (has_second_meta(fd))
            return damaged(path, "its first meta page is unreadable");
        return kms_set_error(KMS_ERR_NOT_A_STORE,
                             "%s: the file is not a libkms store (it is no LMDB file)",
                             kms__lmdb_label(path));
    }
    if (first.version != META_VERSION)
        return kms_set_error(KMS_ERR_UNSUPPORTED,
                             "%s: LMDB data format %u; this build reads format %u only",
                             kms__lmdb_label(path), first.version, META_VERSION);
    return check_second(fd, &first, path);
}

#endif
