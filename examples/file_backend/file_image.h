/*
 * The file's content: as bytes on the disk, as an immutable image in memory, and as a draft that a
 * write transaction works on. Nothing here knows of transactions.
 *
 * The file, integers big-endian:
 *      8  "kmsfile1"
 *      8  incarnation: drawn when the store is made
 *      8  number: 1, and one more with every commit
 *      8  mark: drawn for every commit, to tell two commits with one number apart (a restored
 *         backup that was written again)
 *      8  how many records follow, in the order of their keys:
 *         4 length of the key, 4 length of the value, the key, the value
 */
#ifndef EXAMPLE_FILE_IMAGE_H
#define EXAMPLE_FILE_IMAGE_H

#include <kms/backend.h>

#include <stdatomic.h>

struct header {
    kms_revision revision;
    uint64_t mark;
    uint64_t count;
};

/* Records in the order of their keys. */
struct table {
    kms_record *records;
    size_t count;
};

/* Where key is, or would be; *found tells which. */
size_t table_find(const struct table *table, kms_slice key, bool *found);

/* What one commit led to. Many transactions may hold it; the last one frees it. */
struct image {
    atomic_uint holders;
    struct header header;
    struct table table;
    unsigned char *bytes; /* the file, which the records point into */
};

struct image *image_hold(struct image *image);
void image_drop(struct image *image); /* NULL is ignored */

/* Changes on top of an image, which must be held for as long. Starts zeroed. */
struct draft {
    struct table table;
    size_t room;
    struct piece *pieces; /* copies of what was put */
};

kms_status draft_start(struct draft *draft, const struct table *from);
kms_status draft_put(struct draft *draft, kms_slice key, kms_slice value);
kms_status draft_del(struct draft *draft, kms_slice key);
void draft_end(struct draft *draft);

/* The first few bytes of an open file: KMS_ERR_NOT_A_STORE if they are not ours. */
kms_status header_read(int fd, const char *path, struct header *header);
kms_status image_load(int fd, const char *path, struct image **image);
/* Writes path anew and waits until the disk has it. On a failure no such file is left. */
kms_status image_save(const char *path, const struct header *header, const struct table *table);

#endif
