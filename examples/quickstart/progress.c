/* What the user sees: error messages, numbers, and how far the work is. */
#include "quickstart.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

bool ok(kms_status status)
{
    return status == KMS_OK || fail("%s (%s)", kms_error_message(), kms_status_name(status));
}

bool fail(const char *format, ...)
{
    va_list arguments;

    fflush(stdout);
    fputs("quickstart: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    return false;
}

struct grouped grouped(uint64_t number)
{
    struct grouped result;
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%llu", (unsigned long long)number);
    char *to = result.text;

    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0) {
            *to++ = ',';
        }
        *to++ = digits[i];
    }
    *to = '\0';
    return result;
}

double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static struct {
    const char *what;
    uint64_t rows;
    uint64_t done;
    double began;
    double shown;
} work;

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
    interrupted = number;
}

void catch_interrupts(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};

    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

void progress_begin(const char *what, uint64_t rows)
{
    work.what = what;
    work.rows = rows;
    work.done = 0;
    work.began = work.shown = now();
}

/* On a terminal one line is written over and over, twenty times a second. */
static void show(void)
{
    double time = now();

    if (isatty(STDOUT_FILENO) && time - work.shown > 0.05) {
        work.shown = time;
        printf("\r   %-34s %9s of %s", work.what, grouped(work.done).text, grouped(work.rows).text);
        fflush(stdout);
    }
}

bool progress_step(void)
{
    work.done++;
    show();
    return !interrupted || fail("interrupted");
}

void progress_end(void)
{
    double seconds = now() - work.began;

    printf("%s   %-34s %9s   %6.2f s   %9s rows/s\n", isatty(STDOUT_FILENO) ? "\r\033[K" : "",
           work.what, grouped(work.done).text, seconds,
           grouped((uint64_t)((double)work.done / (seconds > 0 ? seconds : 1e-9))).text);
    fflush(stdout);
}
