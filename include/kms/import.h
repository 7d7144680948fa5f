/**
 * @file kms/import.h
 * Importing key material ("bring your own key"): 256 bits that were made elsewhere.
 *
 * 1. kms_create_key() with origin KMS_KEY_ORIGIN_EXTERNAL: the key waits, PendingImport.
 * 2. kms_get_parameters_for_import(): a public key, and a token. Both live 24 hours, and may be used
 *    again within them, for this key only.
 * 3. Wherever the material is: wrap it under the public key. docs/import.md has recipes.
 * 4. kms_import_key_material(): the key is enabled.
 *
 * The first material binds the key: after expiry or deletion only the same material comes back.
 * Imported keys have no automatic rotation and no kms_create_key_version(); they are rotated by
 * moving an alias to another key, or, which no cloud offers with these rules, by
 * kms_import_key_version().
 *
 * Keep your own copy of the material: libkms never gives it out again.
 */
#ifndef KMS_IMPORT_H
#define KMS_IMPORT_H

#include <kms/key_version.h>

/** Bytes of imported material. */
#define KMS_IMPORT_MATERIAL_SIZE 32
/** Room for the public key of any wrapping, bytes. */
#define KMS_IMPORT_PUBLIC_KEY_MAX 600
/** Room for an import token of any wrapping, bytes. */
#define KMS_IMPORT_TOKEN_MAX 4096
/** How long public key and token live, hours. Source: Alibaba Cloud KMS, GetParametersForImport. */
#define KMS_IMPORT_TOKEN_HOURS 24

KMS_BEGIN_DECLS

/** How material is wrapped on its way. Since 0.2. */
typedef enum kms_wrapping {
    /** A sealed box for an X25519 public key of 32 bytes: libsodium's crypto_box_seal(). 80 bytes
     *  of wrapped material. */
    KMS_WRAPPING_SEALED_BOX = 1,
    /** Not under KMS_OPEN_REQUIRE_LOCKED: libcrypto has the private key in memory that is not locked.
     *  RSAES-OAEP with SHA-256 (also for MGF1) and an empty label, as HSMs and the clouds' consoles
     *  make it. The public key is a SubjectPublicKeyInfo in DER. Only in builds with libcrypto. */
    KMS_WRAPPING_RSA_2048_OAEP_SHA_256 = 2,
    KMS_WRAPPING_RSA_3072_OAEP_SHA_256 = 3,
    KMS_WRAPPING_RSA_4096_OAEP_SHA_256 = 4,
    /** No wrapping: raw bytes, for tests and migrations. No token. The version is marked
     *  KMS_MATERIAL_RAW for ever, because the material was in the clear somewhere. */
    KMS_WRAPPING_NONE_INSECURE = 100
} kms_wrapping;

/** What kms_get_parameters_for_import() gives. Its size is fixed. Since 0.2. */
typedef struct kms_import_parameters {
    kms_wrapping wrapping;
    /** Until when token and public key may be used, milliseconds since 1970-01-01 UTC. */
    int64_t expires_ms;
    size_t public_key_len;
    uint8_t public_key[KMS_IMPORT_PUBLIC_KEY_MAX];
    /** Opaque: it holds the private key, sealed for this store. Hand it back as it is. */
    size_t token_len;
    uint8_t token[KMS_IMPORT_TOKEN_MAX];
} kms_import_parameters;

/**
 * GetParametersForImport: makes a one-time public key and the token that belongs to it.
 *
 * Nothing is written to the store. Every call makes another pair, and earlier ones stay good for
 * their 24 hours.
 *
 * @param store            open store
 * @param key_id           id of an external key, not an alias
 * @param wrapping         how the material will be wrapped, not KMS_WRAPPING_NONE_INSECURE
 * @param[out] parameters  written whole; untouched on failure
 *
 * @retval KMS_OK
 * @retval KMS_ERR_INVALID_ARGUMENT  NULL, malformed id, an alias, an unknown wrapping
 * @retval KMS_ERR_KEY_NOT_FOUND
 * @retval KMS_ERR_UNSUPPORTED       the key's material is not imported, or RSA in a build without
 *                                   libcrypto
 * @retval KMS_ERR_INVALID_STATE     a purge of the key has begun
 * @retval KMS_ERR_NOT_LOCKED        RSA under KMS_OPEN_REQUIRE_LOCKED
 * @retval those of every look       see kms/status.h
 *
 * Threads: any number may share store. Since 0.2. Source: Alibaba Cloud KMS,
 * GetParametersForImport.
 */
KMS_API KMS_MUST_CHECK kms_status kms_get_parameters_for_import(kms_store *store,
                                                                const char *key_id,
                                                                kms_wrapping wrapping,
                                                                kms_import_parameters *parameters);

/** Material on its way in. Begin with KMS_IMPORT_INIT. Since 0.2. */
typedef struct kms_import {
    /** KMS_IMPORT_VERSION. */
    uint32_t version;
    /** That of the token. */
    kms_wrapping wrapping;
    /** From kms_get_parameters_for_import(); NULL and 0 for KMS_WRAPPING_NONE_INSECURE. */
    const void *token;
    size_t token_len;
    /** The wrapped material, or the raw 32 bytes. */
    const void *material;
    size_t material_len;
    /** Until when it may be used, milliseconds since 1970-01-01 UTC, in the future; 0: for ever. */
    int64_t expires_ms;
} kms_import;

#define KMS_IMPORT_VERSION 1u
#define KMS_IMPORT_INIT                                                                            \
    {                                                                                              \
        KMS_IMPORT_VERSION, KMS_WRAPPING_SEALED_BOX, NULL, 0, NULL, 0, 0                           \
    }

/**
 * ImportKeyMaterial: gives an external key its material, or gives it back after it expired or was
 * deleted; with material that is there, only its expiry changes.
 *
 * A key that never had any takes any material but 32 zero bytes. From then on the key is bound: only
 * material that one of its versions had is taken (found by its commitment, compared in constant
 * time). So a mistyped file can't make old blobs unreadable while new ones look well. New material
 * is what kms_import_key_version() takes.
 *
 * A key that waited for its primary version's material is enabled or disabled again, as it was.
 *
 * @param store   open store
 * @param key_id  id of the key, not an alias
 * @param import  borrowed for the call; wipe raw material yourself
 *
 * @retval KMS_OK
 * @retval KMS_ERR_INVALID_ARGUMENT    NULL, malformed id, an alias, an unknown wrapping, an expiry
 *                                     that is over, a raw length other than 32, 32 zero bytes
 * @retval KMS_ERR_ABI                 import->version is unknown
 * @retval KMS_ERR_KEY_NOT_FOUND
 * @retval KMS_ERR_INVALID_STATE       the key is pending deletion
 * @retval KMS_ERR_INVALID_IMPORT      token or material is not whole, or is of another key, wrapping
 *                                     or store
 * @retval KMS_ERR_EXPIRED             the token's 24 hours are over
 * @retval KMS_ERR_INCORRECT_MATERIAL  no version of the key had this material
 * @retval KMS_ERR_DESTROYED           the version that had it was destroyed
 * @retval KMS_ERR_UNSUPPORTED         the key is not external, or RSA in a build without libcrypto
 * @retval those of every change       see kms/status.h
 *
 * Threads: any number may share store. Since 0.2. Source: Alibaba Cloud KMS, ImportKeyMaterial.
 */
KMS_API KMS_MUST_CHECK kms_status kms_import_key_material(kms_store *store, const char *key_id,
                                                          const kms_import *import);

/**
 * Imports new material as a new version of an external key, and makes that version the primary one:
 * rotation of an imported key under the same id.
 *
 * A call of its own, because kms_import_key_material() must refuse new material: who brings back
 * lost material and has the wrong file would otherwise get a new version, and old blobs that do not
 * open. Each version has its own expiry and state.
 *
 * @param store                open store
 * @param key_id               id of the key, not an alias; it has had its first material
 * @param import               as kms_import_key_material()
 * @param[out] version_number  the new version's number; NULL if not wanted; untouched on failure
 *
 * @retval KMS_OK
 * @retval KMS_ERR_ALREADY_EXISTS    a version of the key has or had this very material
 * @retval KMS_ERR_INVALID_STATE     the key never had material, or is pending deletion
 * @retval KMS_ERR_LIMIT_EXCEEDED    it has KMS_KEY_VERSIONS_MAX
 * @retval KMS_ERR_UNSUPPORTED       as kms_import_key_material(); and the key is deterministic
 * @retval the others of kms_import_key_material(), but KMS_ERR_INCORRECT_MATERIAL
 *
 * Threads: any number may share store. Since 0.2. Source: Vault, import_version; AWS KMS,
 * ImportKeyMaterial with ImportType NEW_KEY_MATERIAL.
 */
KMS_API KMS_MUST_CHECK kms_status kms_import_key_version(kms_store *store, const char *key_id,
                                                         const kms_import *import,
                                                         uint32_t *version_number);

/**
 * DeleteKeyMaterial: forgets imported material at once (of very many versions, in several
 * transactions, the primary version's first). Its blobs answer KMS_ERR_PENDING_IMPORT
 * until the same material is imported again. About erasure: kms/deletion.h.
 *
 * @param store   open store
 * @param key_id  id of the key, not an alias
 * @param number  of the version; 0: of all versions. Without the primary version's material the key
 *                is pending import; a key that is pending deletion stays so
 *
 * @retval KMS_OK                    also if it is gone already
 * @retval KMS_ERR_INVALID_ARGUMENT  NULL, malformed id, an alias
 * @retval KMS_ERR_KEY_NOT_FOUND, KMS_ERR_VERSION_NOT_FOUND
 * @retval KMS_ERR_UNSUPPORTED       the key is not external
 * @retval KMS_ERR_INVALID_STATE     a purge of the key has begun
 * @retval those of every change     see kms/status.h
 *
 * Threads: any number may share store. Since 0.2. Source: Alibaba Cloud KMS, DeleteKeyMaterial.
 */
KMS_API KMS_MUST_CHECK kms_status kms_delete_key_material(kms_store *store, const char *key_id,
                                                          uint32_t number);

KMS_END_DECLS

#endif
