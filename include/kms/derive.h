/**
 * @file kms/derive.h
 * Keys and pseudonyms that follow from a master key and a context, so that one key of the store
 * serves a million tenants: nothing is stored for them, and whoever has one learns nothing of another.
 *
 * A derived key stays the same for the same version of the key, the same context and the same length.
 * Keep the version beside what was made with it: after a rotation the primary version gives another
 * key, and naming the old version gives the old one again. A pseudonym that must never change is
 * derived from one version by its number, such as 1.
 */
#ifndef KMS_DERIVE_H
#define KMS_DERIVE_H

#include <kms/encrypt.h>

/** Shortest and longest derived key, bytes. */
#define KMS_DERIVED_KEY_SIZE_MIN 16
#define KMS_DERIVED_KEY_SIZE_MAX 64

KMS_BEGIN_DECLS

/**
 * Derives a key, or a pseudonym, from a version of a key and a context.
 *
 * With version 0, a key whose rotation is due is rotated first, as by kms_encrypt().
 *
 * @param store      open store
 * @param keyref     key id, or alias in full; an alias that moved gives keys of its new key
 * @param version    number of the version; 0: the primary one
 * @param context    pairs that name whom and what it is for, one at least: tenant and purpose, say;
 *                   borrowed for the call
 * @param[out] out   caller's buffer of out_len bytes; wipe it when it has served
 * @param out_len    KMS_DERIVED_KEY_SIZE_MIN to KMS_DERIVED_KEY_SIZE_MAX; another length gives
 *                   another key, not a part of the same
 * @param[out] used  the key and version that it follows from; NULL if not wanted
 *
 * On failure out and *used are untouched.
 *
 * @retval KMS_OK
 * @retval KMS_ERR_INVALID_ARGUMENT   NULL, malformed keyref or context, an empty context, out_len out
 *                                    of its limits
 * @retval KMS_ERR_KEY_NOT_FOUND, KMS_ERR_ALIAS_NOT_FOUND, KMS_ERR_VERSION_NOT_FOUND
 * @retval KMS_ERR_UNSUPPORTED        the key is for deterministic encryption; its suite is not in this
 *                                    build
 * @retval KMS_ERR_DISABLED, KMS_ERR_PENDING_DELETION, KMS_ERR_PENDING_IMPORT
 * @retval KMS_ERR_DESTROYED          the version was destroyed
 * @retval those of every look        see kms/status.h
 *
 * Threads: any number may share store. Allocates nothing when the key is warm. Since 0.2. Source: the
 * construction is keyed BLAKE2b (RFC 7693), docs/blob-format.md; Vault's transit engine derives keys
 * from a context.
 */
KMS_API KMS_MUST_CHECK kms_status kms_derive_key(kms_store *store, const char *keyref,
                                                 uint32_t version, const kms_context *context,
                                                 void *out, size_t out_len, kms_key_used *used);

KMS_END_DECLS

#endif
