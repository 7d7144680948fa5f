#include "machine.h"
#include "fail.h"

#include <lmdb.h>
#include <openssl/crypto.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

/* The rest of the first line of a file that begins so; "" if there is none. */
static const char *line_of(const char *path, const char *begin, char *line, int size)
{
    size_t len = strlen(begin);
    FILE *file = fopen(path, "re");
    const char *found = "";

    while (file != NULL && *found == '\0' && fgets(line, size, file) != NULL)
        if (strncmp(line, begin, len) == 0) {
            char *value = line + len + strspn(line + len, " \t:=\"");

            value[strcspn(value, "\n\"")] = '\0';
            found = value;
        }
    if (file != NULL)
        (void)fclose(file);
    return found;
}

/* The load of the last minute: of this program, and of whatever else there is. */
static double load(void)
{
    double average = -1;

    (void)getloadavg(&average, 1);
    return average;
}

json_t *machine_describe(void)
{
    char cpu[256], system[256], day[32];
    struct utsname kernel;
    time_t now = time(NULL);
    struct tm utc;
    json_t *made;

    must(uname(&kernel) == 0 && gmtime_r(&now, &utc) != NULL, "the kernel's name and the date");
    (void)strftime(day, sizeof day, "%Y-%m-%d", &utc);
    made = json_pack("{s:s, s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:f}", "cpu",
                     line_of("/proc/cpuinfo", "model name", cpu, sizeof cpu), "cores",
                     (int)sysconf(_SC_NPROCESSORS_ONLN), "kernel", kernel.release, "system",
                     line_of("/etc/os-release", "PRETTY_NAME", system, sizeof system), "compiler",
                     __VERSION__, "libsodium", sodium_version_string(), "libcrypto",
                     OpenSSL_version(OPENSSL_VERSION), "lmdb", mdb_version(NULL, NULL, NULL),
                     "date", day, "load_before", load());
    must(made != NULL, "JSON of the machine");
    return made;
}

void machine_print(const json_t *machine)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)machine, key, value) if (json_is_string(value))
        printf("  %-10s %s\n", key, json_string_value(value));
    printf("  %-10s %lld, load %.2f\n", "cores",
           (long long)json_integer_value(json_object_get(machine, "cores")),
           json_real_value(json_object_get(machine, "load_before")));
}

void machine_note_end(json_t *machine)
{
    must(json_object_set_new(machine, "load_after", json_real(load())) == 0, "JSON of the load");
}
