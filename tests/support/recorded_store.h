/*
 * Holds stores under tests/fixtures, opened by this release, against their descriptions.
 */
#ifndef KMS_TESTS_RECORDED_STORE_H
#define KMS_TESTS_RECORDED_STORE_H

#include "fixture_text.h"

#include <kms/kms.h>

/* Says so loudly if it does not. */
bool recorded_machine_reads_the_file(void);

/* A copy of a file, so that the fixture stays as it is. */
const char *recorded_copy(const char *name);

/* What the clock of the stores opened below shows, if their description has a time; they begin with
 * that. */
extern int64_t recorded_now_ms;

kms_status recorded_open_with(kms_store **store, const char *path, kms_root *root,
                              const fixture_record *all, uint32_t flags);
kms_status recorded_open(kms_store **store, const char *path, const fixture_record *all,
                         uint32_t flags);

/* Each fails the test if something is not as recorded. */
void recorded_store_agrees(kms_store *store, const fixture_record *all);
void recorded_all_agrees(kms_store *store, const fixture_record *all);
void recorded_blob_agrees(kms_store *store, const fixture_record *record);

/* Looks at each record of a kind; answers how many there are. */
size_t recorded_for_each(kms_store *store, const fixture_record *all, const char *kind,
                         void (*look)(kms_store *, const fixture_record *));

int64_t recorded_date(const fixture_record *record, const char *field);
kms_suite recorded_suite(const fixture_record *record);

#endif
