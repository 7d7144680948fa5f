/*
 * Looks for texts in the bytes of files. Each text is cut into pieces of 8 bytes, which go into a
 * hash table as numbers; then the 8 bytes at every offset of a file are looked up there.
 */
#include "quickstart.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE sizeof(uint64_t)

/* A slot with piece 0 is empty: no text has eight NULs in it. */
struct slot {
    uint64_t piece;
    bool found;
};

/* At most half of the slots are taken. */
struct search {
    struct slot *slots;
    unsigned bits;
    uint64_t sought;
    uint64_t found;
};

static bool make_slots(struct search *search, unsigned bits)
{
    search->slots = calloc((size_t)1 << bits, sizeof *search->slots);
    search->bits = bits;
    return search->slots != NULL || fail("no memory for the search");
}

struct search *search_new(void)
{
    struct search *search = calloc(1, sizeof *search);

    if (search == NULL || !make_slots(search, 10)) {
        free(search);
        return NULL;
    }
    return search;
}

void search_free(struct search *search)
{
    if (search != NULL) {
        free(search->slots);
        free(search);
    }
}

/* The slot that holds a piece, or the empty one where it would stand. */
static struct slot *slot_of(const struct search *search, uint64_t piece)
{
    size_t mask = ((size_t)1 << search->bits) - 1;
    size_t at = (size_t)((piece * 0x9e3779b97f4a7c15u) >> (64 - search->bits));

    while (search->slots[at].piece != 0 && search->slots[at].piece != piece) {
        at = (at + 1) & mask;
    }
    return &search->slots[at];
}

static bool grow(struct search *search)
{
    struct search old = *search;

    if (!make_slots(search, old.bits + 1)) {
        *search = old;
        return false;
    }
    for (size_t i = 0; i < (size_t)1 << old.bits; i++) {
        if (old.slots[i].piece != 0) {
            *slot_of(search, old.slots[i].piece) = old.slots[i];
        }
    }
    free(old.slots);
    return true;
}

static bool add_piece(struct search *search, const char *bytes)
{
    uint64_t piece;
    struct slot *slot;

    memcpy(&piece, bytes, PIECE);
    slot = slot_of(search, piece);
    if (slot->piece == piece) {
        return true;
    }
    slot->piece = piece;
    search->sought++;
    return search->sought < (uint64_t)1 << (search->bits - 1) || grow(search);
}

/* The last piece overlaps the one before, so that the end of a text is looked for as well. */
bool search_add(struct search *search, const char *text)
{
    size_t len = strlen(text);
    bool added = true;

    for (size_t at = 0; added && at + PIECE <= len; at += PIECE) {
        added = add_piece(search, text + at);
    }
    return added && (len < PIECE || add_piece(search, text + len - PIECE));
}

static void search_bytes(struct search *search, const char *bytes, size_t len)
{
    for (size_t at = 0; at + PIECE <= len; at++) {
        uint64_t piece;
        struct slot *slot;

        memcpy(&piece, bytes + at, PIECE);
        slot = slot_of(search, piece);
        if (slot->piece != 0 && !slot->found) {
            slot->found = true;
            search->found++;
        }
    }
}

static bool search_open_file(struct search *search, int fd, uint64_t *size)
{
    struct stat status;
    size_t len;
    void *bytes;

    if (fstat(fd, &status) != 0) {
        return false;
    }
    *size = (uint64_t)status.st_size;
    if (!S_ISREG(status.st_mode) || status.st_size == 0) {
        return true;
    }
    len = (size_t)status.st_size;
    bytes = mmap(NULL, len, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED) {
        return false;
    }
    search_bytes(search, bytes, len);
    munmap(bytes, len);
    return true;
}

static bool search_file(struct search *search, int directory, const char *name,
                        struct search_result *result)
{
    uint64_t size = 0;
    int fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    bool searched = fd >= 0 && search_open_file(search, fd, &size);

    if (!searched) {
        fail("%s: %s", name, strerror(errno));
    }
    if (fd >= 0) {
        close(fd);
    }
    result->files++;
    result->bytes += size;
    return searched;
}

bool search_directory(struct search *search, const char *path, struct search_result *result)
{
    DIR *directory = opendir(path);
    const struct dirent *entry;
    bool searched = true;

    memset(result, 0, sizeof *result);
    if (directory == NULL) {
        return fail("%s: %s", path, strerror(errno));
    }
    while (searched && (entry = readdir(directory)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            searched = search_file(search, dirfd(directory), entry->d_name, result);
        }
    }
    closedir(directory);
    result->sought = search->sought;
    result->found = search->found;
    return searched;
}
