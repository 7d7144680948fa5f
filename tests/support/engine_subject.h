/*
 * The engines of this repository as subjects of the conformance suite. Their stores stand in a
 * scratch folder, which the program makes before its tests and removes after them.
 */
#ifndef KMS_TESTS_ENGINE_SUBJECT_H
#define KMS_TESTS_ENGINE_SUBJECT_H

#include <kms/conformance.h>

/* Makes the scratch folder; answers false, and says why, if that cannot be done. */
bool subject_folder_make(void);
void subject_folder_remove(void);
/* Path of a store in it, in a buffer of the calling thread that the next call writes again. */
const char *subject_path(unsigned place);

extern const kms_conformance_subject memory_subject;
extern const kms_conformance_subject lmdb_subject;
extern const kms_conformance_subject file_subject;
/* engine_wrapper.h round memory. */
extern const kms_conformance_subject wrapper_subject;

#endif
