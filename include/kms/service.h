/**
 * @file kms/service.h
 * Service-managed keys: the key that a service (an object store, a database) makes for itself.
 *
 * Users cannot disable, delete or rotate it, nor move its own alias, "alias/acs/SERVICE". An alias
 * of their own may point to it; moving that alias to a key of their own is its manual rotation.
 */
#ifndef KMS_SERVICE_H
#define KMS_SERVICE_H

#include <kms/key.h>

/** Longest name of a service: what is left of an alias behind "alias/acs/". */
#define KMS_SERVICE_NAME_MAX 251

KMS_BEGIN_DECLS

/**
 * Finds the key of a service, or makes it with its alias "alias/acs/SERVICE" in one transaction.
 * When many processes start at once on an empty store, all get the one key that the first made.
 *
 * @param store        open store
 * @param service      1 to KMS_SERVICE_NAME_MAX of A-Z a-z 0-9 _ - /
 * @param[out] key_id  the service's key; NULL if not wanted; untouched on failure
 *
 * @retval KMS_OK                    a store open for reading answers it too if the key is there
 * @retval KMS_ERR_INVALID_ARGUMENT  NULL, malformed name
 * @retval those of every change     see kms/status.h
 *
 * Threads: any number may share store. Since 0.2. Source: Alibaba Cloud KMS, service keys.
 */
KMS_API KMS_MUST_CHECK kms_status kms_service_key(kms_store *store, const char *service,
                                                  char key_id[KMS_KEY_ID_SIZE]);

KMS_END_DECLS

#endif
