/**
 * @file kms/would.h
 * Asking whether an operation would work now, without doing it: for health checks.
 */
#ifndef KMS_WOULD_H
#define KMS_WOULD_H

#include <kms/base.h>
#include <kms/status.h>

KMS_BEGIN_DECLS

/** The operations that kms_would() knows, and what its reference names. Since 0.1. */
typedef enum kms_operation {
    /** kms_create_key(); reference is NULL. */
    KMS_OP_CREATE_KEY = 1,
    /** kms_describe_key() and the version calls that only look; a key reference. */
    KMS_OP_DESCRIBE_KEY = 2,
    /** kms_enable_key(); a key id. */
    KMS_OP_ENABLE_KEY = 3,
    /** kms_disable_key(); a key id. */
    KMS_OP_DISABLE_KEY = 4,
    /** kms_create_key_version(); a key id. */
    KMS_OP_CREATE_KEY_VERSION = 5,
    /** kms_create_alias(); the id of the key that it would point to. */
    KMS_OP_CREATE_ALIAS = 6,
    /** kms_update_alias(); the id of the key that it would be moved to. */
    KMS_OP_UPDATE_ALIAS = 7,
    /** kms_delete_alias(); the alias. */
    KMS_OP_DELETE_ALIAS = 8,
    /** kms_encrypt(); a key reference. */
    KMS_OP_ENCRYPT = 9,
    /** kms_decrypt() of the primary version's blobs; a key reference. */
    KMS_OP_DECRYPT = 10,
    /* Since 0.2. */
    /** kms_update_rotation_policy(), to turn it on; a key id. */
    KMS_OP_UPDATE_ROTATION_POLICY = 11,
    /** kms_update_key_description(); a key id. */
    KMS_OP_UPDATE_KEY_DESCRIPTION = 12,
    /** kms_tag_resource(); a key id. */
    KMS_OP_TAG_RESOURCE = 13,
    /** kms_untag_resource(); a key id. */
    KMS_OP_UNTAG_RESOURCE = 14,
    /** kms_schedule_key_deletion(); a key id. */
    KMS_OP_SCHEDULE_KEY_DELETION = 15,
    /** kms_cancel_key_deletion(); a key id. */
    KMS_OP_CANCEL_KEY_DELETION = 16,
    /** kms_set_deletion_protection(); a key id. */
    KMS_OP_SET_DELETION_PROTECTION = 17,
    /** kms_purge_key(), with today's date by the store's clock; a key id. */
    KMS_OP_PURGE_KEY = 18,
    /** kms_get_parameters_for_import(); a key id. */
    KMS_OP_GET_PARAMETERS_FOR_IMPORT = 19,
    /** kms_import_key_material(), of the right material; a key id. */
    KMS_OP_IMPORT_KEY_MATERIAL = 20,
    /** kms_import_key_version(), of new material; a key id. */
    KMS_OP_IMPORT_KEY_VERSION = 21,
    /** kms_delete_key_material(); a key id. */
    KMS_OP_DELETE_KEY_MATERIAL = 22,
    /** kms_set_minimum_version(), and enabling, disabling, destroying one version or making it
     *  primary, as far as the key is concerned; a key id. */
    KMS_OP_CHANGE_KEY_VERSION = 23
} kms_operation;

/**
 * Tells whether an operation would work now, and if not, why: as the clouds' DryRun.
 *
 * It looks at everything that the operation would look at (the store, the key, its state, its
 * material), and writes nothing. That another writer or a full disk would be in the way is found
 * only by doing it.
 *
 * @param store      open store
 * @param operation  which one
 * @param reference  what kms_operation says
 *
 * @retval KMS_OK                    it would work
 * @retval KMS_ERR_INVALID_ARGUMENT  NULL store, unknown operation, malformed reference
 * @retval KMS_ERR_READ_ONLY         it would change the store, which is open for reading only
 * @retval any other status          what the operation would answer; kms_error_message() says why
 *
 * Threads: any number may share store. Since 0.1.
 */
KMS_API KMS_MUST_CHECK kms_status kms_would(kms_store *store, kms_operation operation,
                                            const char *reference);

KMS_END_DECLS

#endif
