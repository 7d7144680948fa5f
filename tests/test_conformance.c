/* Every engine of this repository keeps every promise of kms/backend.h. */
#include <check.h>
#include <kms/conformance.h>
#include <kms/lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/engine_subject.h"

/* A case may be skipped only where handles cannot share a store. */
static void keeps(const kms_conformance_subject *subject, int index)
{
    char why[KMS_CONFORMANCE_WHY_SIZE] = "not written";
    kms_conformance_result result = kms_conformance_run((size_t)index, subject, why);
    const char *name = kms_conformance_name((size_t)index);

    ck_assert_msg(result != KMS_CONFORMANCE_FAIL, "%s: %s", name, why);
    if (result == KMS_CONFORMANCE_PASS)
        ck_assert_str_eq(why, "");
    else
        ck_assert_msg(!subject->shared && why[0] != '\0', "%s: skipped: %s", name, why);
}

START_TEST(memory_keeps_the_promise)
{
    keeps(&memory_subject, _i);
}
END_TEST

START_TEST(lmdb_keeps_the_promise)
{
    keeps(&lmdb_subject, _i);
}
END_TEST

START_TEST(the_example_engine_keeps_the_promise)
{
    keeps(&file_subject, _i);
}
END_TEST

START_TEST(the_wrapping_engine_keeps_the_promise)
{
    keeps(&wrapper_subject, _i);
}
END_TEST

/* --- the suite's own interface ------------------------------------------------------------- */

START_TEST(every_case_has_a_name_of_its_own)
{
    ck_assert_uint_gt(kms_conformance_count(), 50);
    for (size_t i = 0; i < kms_conformance_count(); i++) {
        ck_assert_ptr_nonnull(kms_conformance_name(i));
        for (size_t j = 0; j < i; j++)
            ck_assert_str_ne(kms_conformance_name(i), kms_conformance_name(j));
    }
    ck_assert_ptr_null(kms_conformance_name(kms_conformance_count()));
    ck_assert_ptr_null(kms_conformance_name(SIZE_MAX));
}
END_TEST

static void unusable(size_t index, const kms_conformance_subject *subject)
{
    char why[KMS_CONFORMANCE_WHY_SIZE] = "";

    ck_assert_int_eq(kms_conformance_run(index, subject, why), KMS_CONFORMANCE_FAIL);
    ck_assert_str_ne(why, "");
}

START_TEST(arguments_that_cannot_be_used_fail)
{
    kms_conformance_subject subject = memory_subject;

    unusable(kms_conformance_count(), &subject);
    unusable(0, NULL);
    subject.version++;
    unusable(0, &subject);
    subject = memory_subject;
    subject.make = NULL;
    unusable(0, &subject);
    subject = memory_subject;
    subject.reset = NULL;
    unusable(0, &subject);
}
END_TEST

static kms_status make_nothing(void *data, unsigned place, kms_backend **backend)
{
    (void)data;
    (void)place;
    (void)backend;
    return kms_set_error(KMS_ERR_STORAGE, "no engine today");
}

START_TEST(an_engine_that_cannot_be_made_fails_with_its_reason)
{
    char why[KMS_CONFORMANCE_WHY_SIZE] = "";
    kms_conformance_subject subject = memory_subject;

    subject.make = make_nothing;
    ck_assert_int_eq(kms_conformance_run(1, &subject, why), KMS_CONFORMANCE_FAIL);
    ck_assert_ptr_nonnull(strstr(why, "KMS_ERR_STORAGE"));
    ck_assert_ptr_nonnull(strstr(why, "no engine today"));
}
END_TEST

/* --- which engines there are --------------------------------------------------------------- */

/* What opening nothing answers: LMDB may not be built in, or not like the file system. */
static bool lmdb_is_there(void)
{
    kms_backend_how how = {.version = 1};
    kms_backend *backend;
    kms_status status = kms_lmdb_backend(&backend, subject_path(0), NULL);

    if (status == KMS_OK) {
        status = backend->ops->open(backend, &how);
        kms_backend_free(backend);
    }
    if (status != KMS_ERR_UNSUPPORTED)
        return true;
    printf("SKIP: conformance of the LMDB engine: %s\n", kms_error_message());
    return false;
}

static void add(Suite *suite, const char *name, const TTest *test, int count)
{
    TCase *tcase = tcase_create(name);

    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, test, 0, count);
    suite_add_tcase(suite, tcase);
}

int main(void)
{
    int cases = (int)kms_conformance_count();
    Suite *suite = suite_create("conformance");
    SRunner *runner = srunner_create(suite);
    int failed;

    if (!subject_folder_make())
        return EXIT_FAILURE;
    add(suite, "interface", every_case_has_a_name_of_its_own, 1);
    add(suite, "interface", arguments_that_cannot_be_used_fail, 1);
    add(suite, "interface", an_engine_that_cannot_be_made_fails_with_its_reason, 1);
    add(suite, "memory", memory_keeps_the_promise, cases);
    add(suite, "wrapper", the_wrapping_engine_keeps_the_promise, cases);
    add(suite, "file", the_example_engine_keeps_the_promise, cases);
    if (lmdb_is_there())
        add(suite, "lmdb", lmdb_keeps_the_promise, cases);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    subject_folder_remove();
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
