/* Keys as records: what a key is, and the commitments of its versions.
 *
 * Key record K | key id:
 *   body format (1) = 2 | spec (1) | usage (1) | origin (1) | creator (1) | state (1) | flags (1) |
 *   created (8, ms) | deletion (8) | expiry of the primary version's material (8) |
 *   rotation days (2) | rotation's start (8) | last rotation (8) | its stamp (8) |
 *   minimum version (4) | version window (4) | primary version (4) | number of versions (4) |
 *   for each version: state (1) | material (1) | suite (1) | created (8) | commitment (32).
 * Body format 1 has spec, usage, origin, state, created, primary, number of versions, and for each
 * version all but its material; it is read, and written as 2.
 *
 * The state there is enabled or disabled. Pending deletion and pending import follow from the
 * deletion's date and the primary version's material: kms__key_state(). */
#ifndef KMS__DOMAIN_KEY_RECORD_H
#define KMS__DOMAIN_KEY_RECORD_H

#include "vault/txn.h"

#include <kms/key_version.h>

#define KMS__KEY_BODY 2

typedef struct kms__key_version {
    /* Never KMS_KEY_VERSION_PENDING_IMPORT, which follows from the material. */
    kms_key_version_state state;
    bool has_material;
    kms_suite suite;
    int64_t created_ms;
    uint8_t commitment[KMS_COMMITMENT_SIZE];
} kms__key_version;

/* Dates are milliseconds, 0 is none. */
typedef struct kms__key {
    uint8_t id[KMS__ID_SIZE];
    kms_key_spec spec;
    kms_key_usage usage;
    kms_key_origin origin;
    kms_key_creator creator;
    /* KMS_KEY_ENABLED or KMS_KEY_DISABLED: what it is when nothing else stands against it. */
    kms_key_state base;
    bool deletion_protected;
    /* A purge has begun: some of its records are gone. */
    bool purging;
    bool rotation_enabled;
    int64_t created_ms;
    int64_t deletion_ms;
    /* Of the primary version's material; the same stands in that version's record. */
    int64_t expires_ms;
    uint32_t rotation_days;
    int64_t rotation_start_ms;
    int64_t last_rotation_ms;
    /* last_rotation_ms as the clock that made it had it, even if that clock was wrong. */
    int64_t rotation_stamp_ms;
    uint32_t minimum_version;
    uint32_t version_window;
    uint32_t primary;
    uint32_t version_count;
    /* version_count of them; number n stands at n - 1. Malloc'd. */
    kms__key_version *versions;
    /* The clock when it was read. */
    int64_t now_ms;
} kms__key;

kms__record_key kms__key_record_key(const uint8_t id[KMS__ID_SIZE]);

/* Reads a key; end it with kms__key_clear(). mark may be NULL. KMS_ERR_KEY_NOT_FOUND. */
kms_status kms__key_load(kms__txn *txn, const uint8_t id[KMS__ID_SIZE], kms__key *key,
                         uint8_t mark[KMS__MARK_SIZE]);
kms_status kms__key_save(kms__txn *txn, const kms__key *key);
void kms__key_clear(kms__key *key);

/* Decodes the plaintext of a key record. */
kms_status kms__key_decode(const uint8_t id[KMS__ID_SIZE], kms_slice plain, kms__key *key);

/* A version of a key by number; KMS_ERR_VERSION_NOT_FOUND. */
kms_status kms__key_version_of(const kms__key *key, uint32_t number, kms__key_version **version);

/* Whether a version never had material, and so has no commitment yet. */
bool kms__key_version_is_unbound(const kms__key_version *version);

/* Appends a version and makes it the primary one. The key itself is yet to be saved; it has less
 * than KMS_KEY_VERSIONS_MAX. */
kms_status kms__key_append_version(kms__key *key, const kms__key_version *version);

/* The key's id as text, for a message. */
typedef struct kms__id_text {
    char text[KMS_KEY_ID_SIZE];
} kms__id_text;

kms__id_text kms__key_text(const kms__key *key);

#endif
