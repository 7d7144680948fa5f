/* A benchmark that went wrong measures nothing: every failure ends the program with a sentence. */
#ifndef BENCH_FAIL_H
#define BENCH_FAIL_H

#include <kms/status.h>
#include <stdbool.h>

/* Prints what was wanted, and the errno, and exits with 1. */
void fail(const char *what) __attribute__((noreturn, cold));

/* Prints the library's sentence, and exits with 1. */
void fail_with(kms_status status) __attribute__((noreturn, cold));

static inline void must(bool holds, const char *what)
{
    if (!holds)
        fail(what);
}

static inline void must_ok(kms_status status)
{
    if (status != KMS_OK)
        fail_with(status);
}

#endif
