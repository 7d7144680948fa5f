#include "plain_main.h"

#include <stdio.h>
#include <stdlib.h>

#define TEST_SECONDS 120

int plain_main(const char *name, const TTest *const *tests, size_t count)
{
    Suite *suite = suite_create(name);
    TCase *tcase = tcase_create(name);
    SRunner *runner = srunner_create(suite);
    int failed;

    /* Whole lines, though several processes write. */
    setvbuf(stdout, NULL, _IOLBF, 0);
    tcase_set_timeout(tcase, TEST_SECONDS);
    suite_add_tcase(suite, tcase);
    for (size_t i = 0; i < count; i++)
        tcase_add_test(tcase, tests[i]);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
