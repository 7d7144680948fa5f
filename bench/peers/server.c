#include "server.h"
#include "fail.h"
#include "stores.h"

#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROGRAMS "/usr/lib/postgresql/*/bin/"

static char programs[PATH_SIZE], home[PATH_SIZE], data[PATH_SIZE + 8], log_path[PATH_SIZE + 8];
static pid_t server;

/* The folder of the newest release that is installed. */
static bool find_programs(void)
{
    glob_t found;
    bool any = glob(PROGRAMS "initdb", 0, NULL, &found) == 0;

    if (any) {
        const char *path = found.gl_pathv[found.gl_pathc - 1];

        snprintf(programs, sizeof programs, "%.*s", (int)(strrchr(path, '/') - path), path);
        globfree(&found);
    }
    return any;
}

/* PostgreSQL refuses to run as root. */
static const struct passwd *who(void)
{
    return geteuid() == 0 ? getpwnam("postgres") : getpwuid(geteuid());
}

static void make_home(const struct passwd *user)
{
    snprintf(home, sizeof home, "%s", stores_path(FAST, "postgresql"));
    snprintf(data, sizeof data, "%s/data", home);
    snprintf(log_path, sizeof log_path, "%s/log", home);
    must(mkdir(home, 0700) == 0, home);
    /* The scratch folder is root's: others may pass, and see nothing else of it. */
    if (geteuid() == 0)
        must(chown(home, user->pw_uid, user->pw_gid) == 0 &&
                 chmod(stores_path(FAST, ""), 0711) == 0,
             home);
}

static void become(const struct passwd *user)
{
    if (geteuid() == 0)
        must(setgroups(0, NULL) == 0 && setgid(user->pw_gid) == 0 && setuid(user->pw_uid) == 0,
             "becoming another user");
}

/* In the child: what the program prints goes to a log. */
static void become_program(const struct passwd *user, const char *const *arguments)
{
    char path[PATH_SIZE + 16];
    int out;

    become(user);
    snprintf(path, sizeof path, "%s/%s", programs, arguments[0]);
    out = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    must(out >= 0 && dup2(out, STDOUT_FILENO) >= 0 && dup2(out, STDERR_FILENO) >= 0 &&
             chdir(home) == 0,
         log_path);
    /* Ends it as Ctrl-C would when this program ends without having stopped it. */
    (void)prctl(PR_SET_PDEATHSIG, SIGINT);
    (void)execv(path, (char *const *)(uintptr_t)arguments);
    _exit(127);
}

typedef struct program {
    const struct passwd *user;
    const char *const *arguments;
} program;

static void run_program(void *of)
{
    const program *one = of;

    stores_outlived();
    become_program(one->user, one->arguments);
}

static bool make_cluster(const struct passwd *user)
{
    const char *const arguments[] = {
        "initdb",          "-D",         data,        "--auth=trust",    "--username=bench",
        "--encoding=UTF8", "--locale=C", "--no-sync", "--wal-segsize=1", NULL};
    program initdb = {user, arguments};
    pid_t pid = process_start(run_program, &initdb);
    int status;

    return waitpid(pid, &status, 0) == pid && status == 0;
}

static void stop(void)
{
    if (server > 0) {
        (void)kill(server, SIGINT);
        (void)waitpid(server, NULL, 0);
    }
    server = 0;
}

static void start(const struct passwd *user)
{
    const char *const arguments[] = {"postgres",
                                     "-D",
                                     data,
                                     "-k",
                                     home,
                                     "-c",
                                     "listen_addresses=",
                                     "-c",
                                     "shared_buffers=16MB",
                                     "-c",
                                     "fsync=off",
                                     "-c",
                                     "autovacuum=off",
                                     "-c",
                                     "jit=off",
                                     NULL};
    program postgres = {user, arguments};

    must(atexit(stop) == 0, "a hook for the program's end");
    server = process_start(run_program, &postgres);
}

void server_print_log(void)
{
    FILE *file = fopen(log_path, "re");
    char line[512];

    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        (void)fputs(line, stderr);
    if (file != NULL)
        (void)fclose(file);
}

const char *server_connection(void)
{
    static char text[PATH_SIZE + 64];

    snprintf(text, sizeof text, "host=%s user=bench dbname=postgres", home);
    return text;
}

const char *server_start(void)
{
    const struct passwd *user = who();

    if (!find_programs())
        return "there is no " PROGRAMS "initdb (Debian: apt-get install postgresql)";
    if (user == NULL)
        return "there is no user postgres for it, and PostgreSQL does not run as root";
    make_home(user);
    if (!make_cluster(user)) {
        server_print_log();
        return "initdb failed: see what it said";
    }
    start(user);
    return NULL;
}
