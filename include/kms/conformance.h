/**
 * @file kms/conformance.h
 * The suite that every storage engine must pass, for the tests of an engine.
 *
 * It lives in a library of its own, libkms-conformance (pkg-config: libkms-conformance), needs no
 * test framework, prints nothing, and checks each promise of kms/backend.h under its own name.
 * Run every case, each in whatever test runner the engine's author uses:
 *
 *     for (size_t i = 0; i < kms_conformance_count(); i++) {
 *         char why[KMS_CONFORMANCE_WHY_SIZE];
 *         kms_conformance_result result = kms_conformance_run(i, &subject, why);
 *         report(kms_conformance_name(i), result, why);
 *     }
 */
#ifndef KMS_CONFORMANCE_H
#define KMS_CONFORMANCE_H

#include <kms/backend.h>

/** Size of the buffer that takes a case's reason, bytes with the final NUL. */
#define KMS_CONFORMANCE_WHY_SIZE 512

KMS_BEGIN_DECLS

/** How a case ended. Since 0.1. */
typedef enum kms_conformance_result {
    KMS_CONFORMANCE_PASS = 0,
    KMS_CONFORMANCE_FAIL = 1,
    /** The subject says that it cannot take part (see kms_conformance_subject). */
    KMS_CONFORMANCE_SKIP = 2
} kms_conformance_result;

/** The engine to be tested. Since 0.1. */
typedef struct kms_conformance_subject {
    /** KMS_CONFORMANCE_VERSION. */
    uint32_t version;
    /** Handed to the functions below. */
    void *data;
    /**
     * Makes an engine for a store that is not there yet. place (0, 1, ...) names it: engines made
     * for one place after one reset() share one store if the engine's stores can be shared.
     */
    kms_status (*make)(void *data, unsigned place, kms_backend **backend);
    /** Removes all stores that make() led to; every engine handle was closed before. */
    void (*reset)(void *data);
    /**
     * Two handles of one place see one store (as with a file). False: each handle has a store of
     * its own (as in memory), and the cases about sharing and reopening are skipped.
     */
    bool shared;
} kms_conformance_subject;

#define KMS_CONFORMANCE_VERSION 1u

/** How many cases there are. Threads: any. Since 0.1. */
KMS_API size_t kms_conformance_count(void);

/**
 * A case's name, which is the promise that it checks ("a_snapshot_does_not_see_later_commits").
 *
 * @param index  below kms_conformance_count()
 * @return a constant string; NULL for an index out of range. Threads: any. Since 0.1.
 */
KMS_API const char *kms_conformance_name(size_t index);

/**
 * Runs one case on fresh stores of the subject, and resets it afterwards.
 *
 * @param index    below kms_conformance_count()
 * @param subject  borrowed for the call
 * @param[out] why reason of a failure or a skip; "" for a pass. Not NULL
 * @return how it ended; KMS_CONFORMANCE_FAIL too for arguments that cannot be used
 *
 * Threads: one case at a time on one subject; some cases start threads of their own and join
 * them. Since 0.1.
 */
KMS_API kms_conformance_result kms_conformance_run(size_t index,
                                                   const kms_conformance_subject *subject,
                                                   char why[KMS_CONFORMANCE_WHY_SIZE]);

KMS_END_DECLS

#endif
