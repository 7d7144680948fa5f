/**
 * @file lmdb_map.c
 * Reserving address space for a store: once, as much as there is, and never resized.
 *
 * Growing the map while threads use it ends in a crash, so it is made large from the beginning;
 * that costs address space and no memory. Not every process may reserve 64 GiB: RLIMIT_AS answers
 * ENOMEM, valgrind EINVAL, mlockall(MCL_FUTURE) EAGAIN. So any error that is not clearly about
 * something else halves the wish.
 */
#include "lmdb_internal.h"

#if KMS_HAVE_LMDB

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>

#define MAP_ROUND ((uint64_t)65536)

static bool may_be_refusal(int rc)
{
    switch (rc) {
    case EACCES:
    case EPERM:
    case EROFS:
    case ENOENT:
    case ENOTDIR:
    case EMFILE:
    case ENFILE:
    case ENOSPC:
    case EDQUOT:
    case EIO:
        return false;
    default:
        /* LMDB's own codes are negative: damage, another version. */
        return rc > 0;
    }
}

static int try_open(lmdb_env *env, const char *path, unsigned flags)
{
    int rc = mdb_env_create(&env->mdb);
    if (rc != 0)
        return rc;
    rc = mdb_env_set_mapsize(env->mdb, (size_t)env->map_size);
    if (rc == 0)
        rc = mdb_env_set_maxreaders(env->mdb, LMDB_READERS_MAX);
    if (rc == 0)
        rc = mdb_env_open(env->mdb, path, flags, 0600);
    if (rc == 0)
        return 0;
    /* After a failure an env can only be closed. */
    mdb_env_close(env->mdb);
    env->mdb = NULL;
    return rc;
}

static kms_status no_room(const char *path, uint64_t floor, int rc)
{
    struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
    getrlimit(RLIMIT_AS, &limit);
    char text[32] = "unlimited";
    if (limit.rlim_cur != RLIM_INFINITY)
        snprintf(text, sizeof text, "%" PRIuMAX " bytes", (uintmax_t)limit.rlim_cur);
    return kms_set_error(KMS_ERR_STORAGE,
                         "%s: not even %" PRIu64 " MiB of address space can be reserved (%s); "
                         "RLIMIT_AS is %s, and mlockall() counts too: raise the limit",
                         kms__lmdb_label(path), floor >> 20, mdb_strerror(rc), text);
}

kms_status kms__lmdb_map(lmdb_env *env, const char *path, unsigned flags, uint64_t file_size)
{
    uint64_t floor = 4 * file_size > LMDB_MAP_FLOOR ? 4 * file_size : LMDB_MAP_FLOOR;
    int rc;
    while ((rc = try_open(env, path, flags)) != 0) {
        if (!may_be_refusal(rc))
            return kms__lmdb_fail(path, "opening the store", rc);
        if (env->map_size / 2 < floor)
            return no_room(path, floor, rc);
        env->map_size = env->map_size / 2 / MAP_ROUND * MAP_ROUND;
    }
    return KMS_OK;
}

#endif
