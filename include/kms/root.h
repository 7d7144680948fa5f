/**
 * @file kms/root.h
 * The root key: what comes from outside and unlocks a store.
 *
 * A provider hands kms_open() the 32 bytes that unwrap the store key. Two are here: raw bytes, and
 * a passphrase. The provider interface at the end is for others (a file, an HSM, a TPM).
 *
 * Neither of the two crosses fork(): the child's copy of their secret is zero, and kms_open()
 * answers KMS_ERR_FORKED there. Make the root in the process that opens the store.
 */
#ifndef KMS_ROOT_H
#define KMS_ROOT_H

#include <kms/base.h>
#include <kms/status.h>

/** Bytes of a root key. */
#define KMS_ROOT_KEY_SIZE 32
/** Longest passphrase, bytes; the shortest is 1. */
#define KMS_PASSPHRASE_MAX 1024
/** Bytes of a store's id. */
#define KMS_STORE_ID_SIZE 16

KMS_BEGIN_DECLS

/** A provider of a root key: opaque to applications. Since 0.1. */
typedef struct kms_root kms_root;

/**
 * How much work a passphrase costs whoever guesses it; it is fixed when a store is made, stored
 * with it, and costs the same at every open. The figures are libsodium's named Argon2id limits.
 * Since 0.1.
 */
typedef enum kms_strength {
    /** The default, KMS_STRENGTH_MODERATE. */
    KMS_STRENGTH_DEFAULT = 0,
    /** 64 MiB of memory, 2 passes: for programs that open a store often. */
    KMS_STRENGTH_INTERACTIVE = 1,
    /** 256 MiB, 3 passes. */
    KMS_STRENGTH_MODERATE = 2,
    /** 1 GiB, 4 passes: for stores that are opened seldom. */
    KMS_STRENGTH_SENSITIVE = 3
} kms_strength;

/**
 * Makes a root from 32 bytes that the caller keeps safe: from a file, an environment's secret
 * store, another KMS.
 *
 * @param[out] root  for kms_open(), which takes it over; else end it with kms_root_free().
 *                   Untouched on failure
 * @param key        copied to locked memory; wipe your own copy. Not all zero
 * @param key_len    KMS_ROOT_KEY_SIZE
 *
 * @retval KMS_OK
 * @retval KMS_ERR_INVALID_ARGUMENT  NULL, another length, all zero
 * @retval KMS_ERR_NO_MEMORY
 *
 * Threads: any. Since 0.1.
 */
KMS_API KMS_MUST_CHECK kms_status kms_root_raw(kms_root **root, const void *key, size_t key_len);

/**
 * Makes a root from a passphrase, through Argon2id with parameters that are stored with the
 * store (see kms_open_options.strength).
 *
 * @param[out] root       for kms_open(), which takes it over; else end it with kms_root_free().
 *                        Untouched on failure
 * @param passphrase      bytes as they are, no normalisation; copied to locked memory
 * @param passphrase_len  1 to KMS_PASSPHRASE_MAX
 *
 * @retval KMS_OK
 * @retval KMS_ERR_INVALID_ARGUMENT  NULL, empty or too long
 * @retval KMS_ERR_NO_MEMORY
 *
 * Threads: any. Since 0.1. Source: RFC 9106 (Argon2), libsodium's crypto_pwhash.
 */
KMS_API KMS_MUST_CHECK kms_status kms_root_passphrase(kms_root **root, const void *passphrase,
                                                      size_t passphrase_len);

/**
 * Wipes and frees a root that was not handed to kms_open(). NULL is ignored.
 *
 * Threads: no other may use root. Since 0.1.
 */
KMS_API void kms_root_free(kms_root *root);

/* For authors of providers. */

/** The provider contract that this header describes. */
#define KMS_ROOT_ABI 1
/** Most bytes of parameters that a provider may store, in the clear but authenticated. */
#define KMS_ROOT_PARAMETERS_MAX 2048
/** Longest provider name, bytes. */
#define KMS_ROOT_NAME_MAX 32

/** What a provider is asked. Version is 1. Since 0.1. */
typedef struct kms_root_request {
    uint32_t version;
    /** Only when a store is made: the strength that its maker asked for. */
    kms_strength strength;
    uint8_t store_id[KMS_STORE_ID_SIZE];
} kms_root_request;

/**
 * A provider's functions; all are required. They are called from kms_open() and from
 * kms_copy_resealed(), on the caller's thread, and never within a writing transaction
 * (close() from kms_root_free() too); a failure is recorded with kms_set_error(): one that is not
 * is told as "failed without saying why". Since 0.1.
 */
typedef struct kms_root_ops {
    /** KMS_ROOT_ABI that the provider was compiled against. */
    uint32_t abi;
    /** 1 to KMS_ROOT_NAME_MAX bytes, stored with the store: "raw", "passphrase". */
    const char *name;

    /**
     * For a new store: chooses parameters (salt, limits, a wrapped key, an object's label; what
     * unlock() will need beside its secret) and gives the root key that belongs to them.
     * parameters has KMS_ROOT_PARAMETERS_MAX bytes; root_key is locked memory. A root key that is
     * all zero is refused: it is one that was lost or never filled.
     */
    kms_status (*make)(kms_root *root, const kms_root_request *request, uint8_t *parameters,
                       size_t *parameters_len, uint8_t root_key[KMS_ROOT_KEY_SIZE]);
    /**
     * For an existing store: the root key that belongs to stored parameters. They come from an
     * unauthenticated file, so check every bound. A wrong passphrase is not noticed here; the
     * core compares a commitment and answers KMS_ERR_WRONG_ROOT_KEY.
     */
    kms_status (*unlock)(kms_root *root, const kms_root_request *request, const uint8_t *parameters,
                         size_t parameters_len, uint8_t root_key[KMS_ROOT_KEY_SIZE]);
    /** Wipes and frees the provider. */
    void (*close)(kms_root *root);
    /* Members above exist since ABI 1. Append only. */
} kms_root_ops;

/** Every provider's struct begins with this; the core looks no further. */
struct kms_root {
    const kms_root_ops *ops;
};

KMS_END_DECLS

#endif
