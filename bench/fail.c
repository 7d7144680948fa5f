#include "fail.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void fail(const char *what)
{
    fprintf(stderr, "bench: failed: %s (%s)\n", what, strerror(errno));
    exit(1);
}

void fail_with(kms_status status)
{
    fprintf(stderr, "bench: %s: %s\n", kms_status_name(status), kms_error_message());
    exit(1);
}
