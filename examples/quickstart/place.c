/*
 * The directory that the quickstart works in. A marker file says that it is ours: files are only
 * ever removed by name, and only from a directory with that marker.
 */
#include "quickstart.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define MARKER_FILE "made-by-libkms-quickstart"

/* All that a run makes; the marker is the last to go. */
static const char *const our_files[] = {
    DATABASE_FILE, DATABASE_FILE "-wal", DATABASE_FILE "-shm", DATABASE_FILE "-journal",
    STORE_FILE,    STORE_FILE "-lock",   STORE_FILE "-guard",  MARKER_FILE,
};

#define OUR_FILES (sizeof our_files / sizeof *our_files)

void place_file(const struct place *place, const char *name, char path[PLACE_PATH_SIZE])
{
    snprintf(path, PLACE_PATH_SIZE, "%.4000s/%s", place->path, name);
}

static void remove_our_files(const struct place *place, size_t count)
{
    char path[PLACE_PATH_SIZE];

    for (size_t i = 0; i < count; i++) {
        place_file(place, our_files[i], path);
        unlink(path);
    }
}

static bool make_temporary(struct place *place)
{
    const char *parent = getenv("TMPDIR");

    snprintf(place->path, sizeof place->path, "%.3900s/kms-quickstart.XXXXXX",
             parent != NULL && parent[0] != '\0' ? parent : "/tmp");
    return mkdtemp(place->path) != NULL || fail("%s: %s", place->path, strerror(errno));
}

static bool is_empty(const char *path)
{
    DIR *directory = opendir(path);
    const struct dirent *entry;
    bool empty = directory != NULL;

    while (empty && (entry = readdir(directory)) != NULL) {
        empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
    }
    if (directory != NULL) {
        closedir(directory);
    }
    return empty;
}

static bool use_directory(struct place *place, const char *path)
{
    char marker[PLACE_PATH_SIZE];

    if (strlen(path) > 3900) {
        return fail("the name of the directory is too long");
    }
    snprintf(place->path, sizeof place->path, "%s", path);
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        return fail("%s: %s", path, strerror(errno));
    }
    place_file(place, MARKER_FILE, marker);
    if (access(marker, F_OK) != 0 && !is_empty(path)) {
        return fail("%s is not an empty directory, and not one of an earlier quickstart: name "
                    "another",
                    path);
    }
    return true;
}

/* The marker also keeps two runs out of one directory at a time. */
static bool take_marker(struct place *place)
{
    char path[PLACE_PATH_SIZE];

    place_file(place, MARKER_FILE, path);
    place->marker = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (place->marker < 0) {
        return fail("%s: %s", path, strerror(errno));
    }
    if (flock(place->marker, LOCK_EX | LOCK_NB) != 0) {
        place_close(place);
        return fail("another quickstart is at work in %s", place->path);
    }
    return true;
}

bool place_open(struct place *place, const char *path)
{
    place->marker = -1;
    if (!(path == NULL ? make_temporary(place) : use_directory(place, path)) ||
        !take_marker(place)) {
        return false;
    }
    remove_our_files(place, OUR_FILES - 1);
    return true;
}

void place_remove(struct place *place)
{
    remove_our_files(place, OUR_FILES);
    rmdir(place->path);
}

void place_close(struct place *place)
{
    if (place->marker >= 0) {
        close(place->marker);
        place->marker = -1;
    }
}
