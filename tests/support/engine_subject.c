#include "engine_subject.h"

#include <dirent.h>
#include <errno.h>
#include <kms/lmdb.h>
#include <kms/memory.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine_wrapper.h"
#include "file_backend/file_backend.h"

static char folder[4000];

bool subject_folder_make(void)
{
    const char *root = getenv("TMPDIR");

    snprintf(folder, sizeof folder, "%s/kms-engines-XXXXXX", root != NULL ? root : "/tmp");
    if (mkdtemp(folder) != NULL)
        return true;
    fprintf(stderr, "%s: %s\n", folder, strerror(errno));
    return false;
}

/* Engines make files, and no folders. */
static void empty_folder(void *data)
{
    DIR *opened = opendir(folder);
    const struct dirent *entry;

    (void)data;
    if (opened == NULL)
        return;
    while ((entry = readdir(opened)) != NULL)
        unlinkat(dirfd(opened), entry->d_name, 0);
    closedir(opened);
}

void subject_folder_remove(void)
{
    empty_folder(NULL);
    rmdir(folder);
}

const char *subject_path(unsigned place)
{
    static _Thread_local char path[sizeof folder + 32];

    snprintf(path, sizeof path, "%s/store-%u", folder, place);
    return path;
}

static void nothing_to_reset(void *data)
{
    (void)data;
}

static kms_status make_memory(void *data, unsigned place, kms_backend **backend)
{
    (void)data;
    (void)place;
    return kms_memory_backend(backend);
}

static kms_status make_lmdb(void *data, unsigned place, kms_backend **backend)
{
    (void)data;
    return kms_lmdb_backend(backend, subject_path(place), NULL);
}

static kms_status make_file(void *data, unsigned place, kms_backend **backend)
{
    (void)data;
    return example_file_backend(backend, subject_path(place));
}

static engine_control control;

static kms_status make_wrapper(void *data, unsigned place, kms_backend **backend)
{
    kms_backend *inner;
    kms_status status = make_memory(data, place, &inner);

    if (status != KMS_OK)
        return status;
    engine_control_init(&control);
    return engine_wrap(backend, inner, &control);
}

const kms_conformance_subject memory_subject = {
    .version = KMS_CONFORMANCE_VERSION, .make = make_memory, .reset = nothing_to_reset};
const kms_conformance_subject lmdb_subject = {
    .version = KMS_CONFORMANCE_VERSION, .make = make_lmdb, .reset = empty_folder, .shared = true};
const kms_conformance_subject file_subject = {
    .version = KMS_CONFORMANCE_VERSION, .make = make_file, .reset = empty_folder, .shared = true};
const kms_conformance_subject wrapper_subject = {
    .version = KMS_CONFORMANCE_VERSION, .make = make_wrapper, .reset = nothing_to_reset};
