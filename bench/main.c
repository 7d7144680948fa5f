/* make bench: what libkms costs, beside what the bare primitives and bare commits cost. */
#include "fail.h"
#include "report.h"
#include "sections.h"
#include "stores.h"

#include <sodium.h>

static const struct {
    const char *name;
    void (*run)(const options *all);
} sections[] = {
    {"hot", bench_hot},           {"writers", bench_writers}, {"calls", bench_calls},
    {"big", bench_big},           {"streams", bench_streams}, {"threads", bench_threads},
    {"rotating", bench_rotating}, {"admin", bench_admin},     {"scaling", bench_scaling},
};

int main(int argc, char **argv)
{
    options all = options_parse(
        argc, argv,
        "Measures libkms against the bare primitives and bare commits, in one run. Sections: hot, "
        "writers, calls, big, streams, threads, rotating, admin, scaling.");

    must(sodium_init() >= 0, "libsodium");
    stores_begin(all.fast_directory, all.disk_directory);
    report_begin(&all);
    for (size_t i = 0; i < sizeof sections / sizeof sections[0]; i++)
        if (options_want(&all, sections[i].name))
            sections[i].run(&all);
    report_end(&all);
    return 0;
}
