/* The main() of a test program that needs nothing but Check. */
#ifndef KMS_TESTS_PLAIN_MAIN_H
#define KMS_TESTS_PLAIN_MAIN_H

#include <check.h>

/* Runs the tests, each in a process of its own; gives main()'s answer. */
int plain_main(const char *name, const TTest *const *tests, size_t count);

#endif
