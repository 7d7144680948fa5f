/**
 * @file lmdb_registry.c
 * What a process has one of: the list of its open environments, and what fork() does to them.
 *
 * POSIX locks, which LMDB uses, belong to the process: a second environment of the same file
 * would drop the first one's locks when it is closed. So there is one, and this list finds it.
 * A forked child inherits neither those locks nor the threads: it leaks every environment that it
 * got and starts with an empty list. Closing an inherited one there would drop the locks that the
 * child has taken for its own.
 */
#include "lmdb_internal.h"

#if KMS_HAVE_LMDB

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* Held while something is opened or closed, which may take long. */
static pthread_mutex_t open_mutex = PTHREAD_MUTEX_INITIALIZER;
static lmdb_env *envs;
/* Those of ancestors: never closed, and kept so that a search for leaks finds them. */
static lmdb_env *inherited;

/* Held for moments only, fork() among them: so no descriptor is ever missing in the list. */
static pthread_mutex_t fd_mutex = PTHREAD_MUTEX_INITIALIZER;
static lmdb_fd *fds;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static atomic_uint generation;

static void before_fork(void)
{
    pthread_mutex_lock(&fd_mutex);
}

static void after_fork_in_parent(void)
{
    pthread_mutex_unlock(&fd_mutex);
}

static void after_fork_in_child(void)
{
    for (lmdb_fd *holder = fds; holder != NULL; holder = holder->next) {
        close(holder->fd);
        holder->fd = -1;
    }
    fds = NULL;
    lmdb_env **end = &envs;
    while (*end != NULL)
        end = &(*end)->next;
    *end = inherited;
    inherited = envs;
    envs = NULL;
    atomic_fetch_add(&generation, 1);
    /* Threads that held these are not here any more. */
    pthread_mutex_init(&fd_mutex, NULL);
    pthread_mutex_init(&open_mutex, NULL);
}

static void watch_forks(void)
{
    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

unsigned kms__lmdb_generation(void)
{
    return atomic_load_explicit(&generation, memory_order_relaxed);
}

void kms__lmdb_registry_lock(void)
{
    pthread_once(&once, watch_forks);
    pthread_mutex_lock(&open_mutex);
}

void kms__lmdb_registry_unlock(void)
{
    pthread_mutex_unlock(&open_mutex);
}

static bool lock_file_stands(const lmdb_env *env)
{
    struct stat st;
    return stat(env->lock_path, &st) == 0 && kms__lmdb_same(kms__lmdb_identity(&st), env->lock);
}

lmdb_env *kms__lmdb_registry_find(lmdb_identity data)
{
    for (lmdb_env *env = envs; env != NULL; env = env->next) {
        /* One whose lock file was removed is of no use to a newcomer, unless it must block it. */
        if (!env->frozen && kms__lmdb_same(env->data, data) &&
            (atomic_load(&env->fatal) || lock_file_stands(env)))
            return env;
    }
    return NULL;
}

bool kms__lmdb_registry_uses_lock_file(lmdb_identity lock)
{
    for (lmdb_env *env = envs; env != NULL; env = env->next)
        if (!env->frozen && kms__lmdb_same(env->lock, lock))
            return true;
    return false;
}

void kms__lmdb_registry_add(lmdb_env *env)
{
    env->next = envs;
    envs = env;
}

void kms__lmdb_registry_remove(lmdb_env *env)
{
    for (lmdb_env **at = &envs; *at != NULL; at = &(*at)->next) {
        if (*at == env) {
            *at = env->next;
            return;
        }
    }
}

int kms__lmdb_fd_open(lmdb_fd *holder, const char *path, int flags, mode_t mode)
{
    pthread_mutex_lock(&fd_mutex);
    holder->fd = open(path, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, mode);
    int error = errno;
    if (holder->fd >= 0) {
        holder->next = fds;
        fds = holder;
    }
    pthread_mutex_unlock(&fd_mutex);
    errno = error;
    return holder->fd;
}

void kms__lmdb_fd_close(lmdb_fd *holder)
{
    if (holder->fd < 0)
        return;
    pthread_mutex_lock(&fd_mutex);
    for (lmdb_fd **at = &fds; *at != NULL; at = &(*at)->next) {
        if (*at == holder) {
            *at = holder->next;
            break;
        }
    }
    close(holder->fd);
    holder->fd = -1;
    pthread_mutex_unlock(&fd_mutex);
}

#endif
