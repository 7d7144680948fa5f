/*
 * Those of api_calls[] that are about deleting keys, service-managed keys and resealed copies.
 */
#ifndef KMS_TESTS_API_CALLS_DELETION_H
#define KMS_TESTS_API_CALLS_DELETION_H

#include "api_calls.h"

/* The part of the stage that they are performed on. */
void api_deletion_stage(kms_store *store, api_stage *stage);

kms_status api_schedule_key(kms_store *store, const api_stage *stage);
kms_status api_cancel_key(kms_store *store, const api_stage *stage);
kms_status api_protect_key(kms_store *store, const api_stage *stage);
kms_status api_new_service(kms_store *store, const api_stage *stage);
kms_status api_old_service(kms_store *store, const api_stage *stage);
kms_status api_find_due(kms_store *store, const api_stage *stage);
kms_status api_would_schedule(kms_store *store, const api_stage *stage);
kms_status api_copy_resealed(kms_store *store, const api_stage *stage);

#endif
