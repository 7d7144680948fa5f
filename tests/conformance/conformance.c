/* The suite's public functions: the table of cases, and how one is run. */
#include "cases.h"

#include <stdio.h>

static const struct {
    const char *name;
    void (*run)(trial *t);
} cases[] = {
#define CASE_ENTRY(name) {#name, kms__case_##name},
    CASES(CASE_ENTRY)
#undef CASE_ENTRY
};

size_t kms_conformance_count(void)
{
    return sizeof cases / sizeof cases[0];
}

const char *kms_conformance_name(size_t index)
{
    return index < kms_conformance_count() ? cases[index].name : NULL;
}

static const char *unusable(size_t index, const kms_conformance_subject *subject)
{
    if (index >= kms_conformance_count())
        return "there is no case with this index";
    if (subject == NULL)
        return "the subject is NULL";
    if (subject->version != KMS_CONFORMANCE_VERSION)
        return "the subject's version is not KMS_CONFORMANCE_VERSION";
    if (subject->make == NULL || subject->reset == NULL)
        return "the subject lacks make() or reset()";
    return NULL;
}

kms_conformance_result kms_conformance_run(size_t index, const kms_conformance_subject *subject,
                                           char why[KMS_CONFORMANCE_WHY_SIZE])
{
    const char *objection = unusable(index, subject);
    trial t;

    if (objection != NULL) {
        snprintf(why, KMS_CONFORMANCE_WHY_SIZE, "%s", objection);
        return KMS_CONFORMANCE_FAIL;
    }
    kms__trial_start(&t, subject);
    cases[index].run(&t);
    kms__trial_end(&t);
    subject->reset(subject->data);
    memcpy(why, t.why, sizeof t.why);
    return t.result;
}
