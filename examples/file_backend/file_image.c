#include "file_image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEADER_SIZE = 40, RECORD_HEADER_SIZE = 8 };

static const unsigned char magic[8] = "kmsfile1";

/* --- tables -------------------------------------------------------------------------------- */

/* The order that the contract asks for: memcmp() compares unsigned bytes, and of two keys where
 * one begins the other the shorter comes first. */
static int compare(kms_slice a, kms_slice b)
{
    size_t common = a.len < b.len ? a.len : b.len;
    int order = common > 0 ? memcmp(a.data, b.data, common) : 0;

    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

size_t table_find(const struct table *table, kms_slice key, bool *found)
{
    size_t low = 0;
    size_t high = table->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (compare(table->records[middle].key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *found = low < table->count && compare(table->records[low].key, key) == 0;
    return low;
}

/* --- images -------------------------------------------------------------------------------- */

struct image *image_hold(struct image *image)
{
    atomic_fetch_add(&image->holders, 1);
    return image;
}

void image_drop(struct image *image)
{
    if (image == NULL || atomic_fetch_sub(&image->holders, 1) != 1)
        return;
    free(image->table.records);
    free(image->bytes);
    free(image);
}

/* --- drafts -------------------------------------------------------------------------------- */

struct piece {
    struct piece *next;
    unsigned char bytes[];
};

static kms_status no_memory(void)
{
    return kms_set_error(KMS_ERR_NO_MEMORY, "file store: no memory is left for the records");
}

/* The array is the draft's own, the bytes stay the image's until a record is put anew. */
kms_status draft_start(struct draft *draft, const struct table *from)
{
    draft->room = from->count + 16;
    draft->table.records = malloc(draft->room * sizeof *draft->table.records);
    if (draft->table.records == NULL)
        return no_memory();
    if (from->count > 0)
        memcpy(draft->table.records, from->records, from->count * sizeof *from->records);
    draft->table.count = from->count;
    return KMS_OK;
}

void draft_end(struct draft *draft)
{
    while (draft->pieces != NULL) {
        struct piece *piece = draft->pieces;

        draft->pieces = piece->next;
        free(piece);
    }
    free(draft->table.records);
}

/* put() promises to copy: the caller may change its buffers right afterwards. */
static bool copy_record(struct draft *draft, kms_slice key, kms_slice value, kms_record *copy)
{
    struct piece *piece = malloc(sizeof *piece + key.len + value.len);

    if (piece == NULL)
        return false;
    if (key.len > 0)
        memcpy(piece->bytes, key.data, key.len);
    if (value.len > 0)
        memcpy(piece->bytes + key.len, value.data, value.len);
    piece->next = draft->pieces;
    draft->pieces = piece;
    *copy = (kms_record){{piece->bytes, key.len}, {piece->bytes + key.len, value.len}};
    return true;
}

static bool make_room(struct draft *draft)
{
    kms_record *larger;

    if (draft->table.count < draft->room)
        return true;
    larger = realloc(draft->table.records, 2 * draft->room * sizeof *larger);
    if (larger == NULL)
        return false;
    draft->table.records = larger;
    draft->room *= 2;
    return true;
}

kms_status draft_put(struct draft *draft, kms_slice key, kms_slice value)
{
    kms_record record;
    kms_record *at;
    bool found;

    if (!make_room(draft) || !copy_record(draft, key, value, &record))
        return no_memory();
    at = draft->table.records + table_find(&draft->table, key, &found);
    if (!found) {
        size_t behind = draft->table.count - (size_t)(at - draft->table.records);

        memmove(at + 1, at, behind * sizeof *at);
        draft->table.count++;
    }
    *at = record;
    return KMS_OK;
}

kms_status draft_del(struct draft *draft, kms_slice key)
{
    bool found;
    size_t at = table_find(&draft->table, key, &found);

    if (!found)
        return KMS_ERR_NOT_FOUND;
    draft->table.count--;
    memmove(draft->table.records + at, draft->table.records + at + 1,
            (draft->table.count - at) * sizeof *draft->table.records);
    return KMS_OK;
}

/* --- reading the file ---------------------------------------------------------------------- */

static uint64_t big_endian(const unsigned char *bytes, size_t len)
{
    uint64_t value = 0;

    for (size_t i = 0; i < len; i++)
        value = value << 8 | bytes[i];
    return value;
}

/* Fills the buffer unless the file is shorter. */
static ssize_t read_all(int fd, void *buffer, size_t len)
{
    size_t done = 0;

    while (done < len) {
        ssize_t got = pread(fd, (char *)buffer + done, len - done, (off_t)done);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

kms_status header_read(int fd, const char *path, struct header *header)
{
    unsigned char bytes[HEADER_SIZE];
    ssize_t len = read_all(fd, bytes, sizeof bytes);

    if (len < 0 && errno != EISDIR && errno != ESPIPE)
        return kms_set_error(KMS_ERR_STORAGE, "%s: cannot be read: %s", path, strerror(errno));
    if (len < (ssize_t)sizeof bytes || memcmp(bytes, magic, sizeof magic) != 0)
        return kms_set_error(KMS_ERR_NOT_A_STORE, "%s: is not a file store", path);
    header->revision.incarnation = big_endian(bytes + 8, 8);
    header->revision.number = big_endian(bytes + 16, 8);
    header->mark = big_endian(bytes + 24, 8);
    header->count = big_endian(bytes + 32, 8);
    return KMS_OK;
}

/* One record at *at, which moves behind it; false if the file ends before the record does. */
static bool parse_record(const unsigned char **at, const unsigned char *end, kms_record *record)
{
    const unsigned char *bytes = *at;
    size_t left = (size_t)(end - bytes);

    if (left < RECORD_HEADER_SIZE)
        return false;
    record->key.len = (size_t)big_endian(bytes, 4);
    record->value.len = (size_t)big_endian(bytes + 4, 4);
    left -= RECORD_HEADER_SIZE;
    if (record->key.len > left || record->value.len > left - record->key.len)
        return false;
    record->key.data = bytes + RECORD_HEADER_SIZE;
    record->value.data = bytes + RECORD_HEADER_SIZE + record->key.len;
    *at = bytes + RECORD_HEADER_SIZE + record->key.len + record->value.len;
    return true;
}

/* A file that somebody cut or edited must lead to a refusal, not to a crash. */
static bool parse_records(struct image *image, size_t size)
{
    const unsigned char *at = image->bytes + HEADER_SIZE;
    const unsigned char *end = image->bytes + size;
    struct table *table = &image->table;

    while (table->count < image->header.count) {
        kms_record *record = table->records + table->count;

        if (!parse_record(&at, end, record))
            return false;
        if (table->count > 0 && compare(record[-1].key, record->key) >= 0)
            return false;
        table->count++;
    }
    return at == end;
}

static kms_status parse(int fd, const char *path, struct image *image, size_t size)
{
    if (image->header.count > size / RECORD_HEADER_SIZE)
        return kms_set_error(KMS_ERR_STORAGE, "%s: is damaged", path);
    image->bytes = malloc(size);
    image->table.records = malloc((image->header.count + 1) * sizeof *image->table.records);
    if (image->bytes == NULL || image->table.records == NULL)
        return no_memory();
    if (read_all(fd, image->bytes, size) != (ssize_t)size)
        return kms_set_error(KMS_ERR_STORAGE, "%s: cannot be read whole", path);
    if (!parse_records(image, size))
        return kms_set_error(KMS_ERR_STORAGE, "%s: is damaged", path);
    return KMS_OK;
}

kms_status image_load(int fd, const char *path, struct image **image)
{
    struct image *loaded = calloc(1, sizeof *loaded);
    kms_status status;
    struct stat about;

    if (loaded == NULL)
        return no_memory();
    atomic_init(&loaded->holders, 1);
    status = header_read(fd, path, &loaded->header);
    if (status == KMS_OK && fstat(fd, &about) != 0)
        status = kms_set_error(KMS_ERR_STORAGE, "%s: %s", path, strerror(errno));
    if (status == KMS_OK)
        status = parse(fd, path, loaded, (size_t)about.st_size);
    if (status == KMS_OK)
        *image = loaded;
    else
        image_drop(loaded);
    return status;
}

/* --- writing it ---------------------------------------------------------------------------- */

static void put_number(FILE *file, uint64_t value, unsigned len)
{
    while (len-- > 0)
        fputc((int)(value >> (8 * len) & 0xff), file);
}

static void put_slice(FILE *file, kms_slice slice)
{
    if (slice.len > 0)
        fwrite(slice.data, 1, slice.len, file);
}

/* stdio remembers a failed write, so one look at the end suffices. */
static bool write_all(FILE *file, const struct header *header, const struct table *table)
{
    fwrite(magic, 1, sizeof magic, file);
    put_number(file, header->revision.incarnation, 8);
    put_number(file, header->revision.number, 8);
    put_number(file, header->mark, 8);
    put_number(file, table->count, 8);
    for (size_t i = 0; i < table->count; i++) {
        put_number(file, table->records[i].key.len, 4);
        put_number(file, table->records[i].value.len, 4);
        put_slice(file, table->records[i].key);
        put_slice(file, table->records[i].value);
    }
    return fflush(file) == 0 && !ferror(file) && fsync(fileno(file)) == 0;
}

static kms_status cannot_write(const char *path)
{
    bool full = errno == ENOSPC || errno == EDQUOT || errno == EFBIG;

    return kms_set_error(full ? KMS_ERR_FULL : KMS_ERR_STORAGE, "%s: cannot be written: %s", path,
                         strerror(errno));
}

kms_status image_save(const char *path, const struct header *header, const struct table *table)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    FILE *file = fd >= 0 ? fdopen(fd, "wb") : NULL;
    kms_status status;

    if (file == NULL) {
        status = cannot_write(path);
        if (fd >= 0)
            close(fd);
        return status;
    }
    status = write_all(file, header, table) ? KMS_OK : cannot_write(path);
    fclose(file);
    if (status != KMS_OK)
        unlink(path);
    return status;
}
