/**
 * @file kms/clock.h
 * The one clock of a store, which a test may replace.
 */
#ifndef KMS_CLOCK_H
#define KMS_CLOCK_H

#include <kms/base.h>

KMS_BEGIN_DECLS

/**
 * Where a store takes its time from: the dates of keys, versions and aliases; when a rotation is
 * due and when it is tried again; the expiry of imported material and of import tokens; the windows
 * of deletion and destruction; the dates of last use. Since 0.1.
 *
 * Waiting times and the once-a-second look at an engine's files do not come from it.
 */
typedef struct kms_clock {
    /** KMS_CLOCK_VERSION. */
    uint32_t version;
    /** Handed to now_ms; the store borrows what it points to until kms_close(). */
    void *data;
    /** Milliseconds since 1970-01-01 UTC. Called from any thread, never within a transaction. */
    int64_t (*now_ms)(void *data);
} kms_clock;

#define KMS_CLOCK_VERSION 1u

KMS_END_DECLS

#endif
