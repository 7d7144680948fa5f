/*
 * The conformance suite finds broken engines, each by the case that is made for it, and every case
 * finds one at least: none is unable to fail.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "support/engine_mutants.h"

static kms_backend_ops mutated;
static const engine_mutant *running;

#define REPLACE(member)                                                                            \
    if (running->broken.member)                                                                    \
    mutated.member = running->broken.member

/* Before any thread runs: all engines of a subject have the same functions. */
static void mutate(const engine_mutant *mutant)
{
    kms_backend *sample;

    running = mutant;
    ck_assert_int_eq(mutant->base->make(mutant->base->data, 0, &sample), KMS_OK);
    engine_real = *sample->ops;
    kms_backend_free(sample);
    mutated = engine_real;
    REPLACE(abi);
    REPLACE(open);
    REPLACE(create);
    REPLACE(begin);
    REPLACE(get);
    REPLACE(scan);
    REPLACE(put);
    REPLACE(del);
    REPLACE(commit);
    REPLACE(abort);
    REPLACE(hint);
    REPLACE(close);
}

static kms_status make_mutant(void *data, unsigned place, kms_backend **backend)
{
    kms_status status = running->base->make(data, place, backend);

    if (status == KMS_OK)
        (*backend)->ops = &mutated;
    return status;
}

static size_t case_named(const char *name)
{
    for (size_t i = 0; i < kms_conformance_count(); i++) {
        if (strcmp(kms_conformance_name(i), name) == 0)
            return i;
    }
    ck_abort_msg("there is no case %s", name);
}

static void is_found(const engine_mutant *mutant)
{
    char why[KMS_CONFORMANCE_WHY_SIZE] = "";
    kms_conformance_subject subject = *mutant->base;

    mutate(mutant);
    subject.make = make_mutant;
    ck_assert_msg(kms_conformance_run(case_named(mutant->found_by), &subject, why) ==
                      KMS_CONFORMANCE_FAIL,
                  "%s does not find the engine that %s", mutant->found_by, mutant->what);
    ck_assert_str_ne(why, "");
}

START_TEST(a_mutant_of_records_is_found)
{
    is_found(&record_mutants[_i]);
}
END_TEST

START_TEST(a_mutant_of_snapshots_is_found)
{
    is_found(&snapshot_mutants[_i]);
}
END_TEST

START_TEST(a_mutant_of_a_stores_life_is_found)
{
    is_found(&life_mutants[_i]);
}
END_TEST

static bool has(const engine_mutant *mutants, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(mutants[i].found_by, name) == 0)
            return true;
    }
    return false;
}

START_TEST(every_case_finds_a_mutant)
{
    for (size_t i = 0; i < kms_conformance_count(); i++) {
        const char *name = kms_conformance_name(i);

        ck_assert_msg(has(record_mutants, record_mutants_count, name) ||
                          has(snapshot_mutants, snapshot_mutants_count, name) ||
                          has(life_mutants, life_mutants_count, name),
                      "no broken engine shows that %s can fail", name);
    }
}
END_TEST

static void add(Suite *suite, const char *name, const TTest *test, size_t count)
{
    TCase *tcase = tcase_create(name);

    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, test, 0, (int)count);
    suite_add_tcase(suite, tcase);
}

int main(void)
{
    Suite *suite = suite_create("conformance_mutants");
    SRunner *runner = srunner_create(suite);
    int failed;

    if (!subject_folder_make())
        return EXIT_FAILURE;
    add(suite, "completeness", every_case_finds_a_mutant, 1);
    add(suite, "records", a_mutant_of_records_is_found, record_mutants_count);
    add(suite, "snapshots", a_mutant_of_snapshots_is_found, snapshot_mutants_count);
    add(suite, "life", a_mutant_of_a_stores_life_is_found, life_mutants_count);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    subject_folder_remove();
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
