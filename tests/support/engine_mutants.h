/*
 * Broken engines. Each is a sound one (memory, or the example engine where handles share a store)
 * some functions of which are replaced, with the case of the conformance suite that must find it.
 * Their state is static: each runs in a process of its own.
 */
#ifndef KMS_TESTS_ENGINE_MUTANTS_H
#define KMS_TESTS_ENGINE_MUTANTS_H

#include "engine_subject.h"

typedef struct engine_mutant {
    const char *what;
    const char *found_by;
    const kms_conformance_subject *base;
    /* The members that are set replace those of the base. */
    kms_backend_ops broken;
} engine_mutant;

extern const engine_mutant record_mutants[];
extern const size_t record_mutants_count;
extern const engine_mutant snapshot_mutants[];
extern const size_t snapshot_mutants_count;
extern const engine_mutant life_mutants[];
extern const size_t life_mutants_count;

/* The functions of the base, for the mutants to call. Set before one runs. */
extern kms_backend_ops engine_real;

#endif
