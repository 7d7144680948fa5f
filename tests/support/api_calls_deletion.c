#include "api_calls_deletion.h"

#include <string.h>

void api_deletion_stage(kms_store *store, api_stage *stage)
{
    fixture_create_key(store, stage->scheduled);
    fixture_ok(kms_schedule_key_deletion(store, stage->scheduled, 7, NULL));
    fixture_ok(kms_service_key(store, "rds", stage->service));
}

kms_status api_schedule_key(kms_store *store, const api_stage *stage)
{
    int64_t date_ms = -7;
    kms_status st = kms_schedule_key_deletion(store, stage->a, 7, &date_ms);

    if ((st == KMS_OK) != (date_ms != -7))
        ck_abort_msg("status and date disagree");
    return st;
}

kms_status api_cancel_key(kms_store *store, const api_stage *stage)
{
    return kms_cancel_key_deletion(store, stage->scheduled);
}

kms_status api_protect_key(kms_store *store, const api_stage *stage)
{
    return kms_set_deletion_protection(store, stage->a, true);
}

static kms_status service(kms_store *store, const char *name, char id[KMS_KEY_ID_SIZE])
{
    kms_status st;

    memset(id, 0, KMS_KEY_ID_SIZE);
    st = kms_service_key(store, name, id);
    if ((st == KMS_OK) != (id[0] != '\0'))
        ck_abort_msg("status and key id disagree");
    return st;
}

kms_status api_new_service(kms_store *store, const api_stage *stage)
{
    char id[KMS_KEY_ID_SIZE];

    (void)stage;
    return service(store, "oss", id);
}

kms_status api_old_service(kms_store *store, const api_stage *stage)
{
    char id[KMS_KEY_ID_SIZE];
    kms_status st = service(store, "rds", id);

    if (st == KMS_OK && strcmp(id, stage->service) != 0)
        ck_abort_msg("another key than the service's");
    return st;
}

kms_status api_find_due(kms_store *store, const api_stage *stage)
{
    kms_key_filter filter = KMS_KEY_FILTER_INIT;
    char ids[4][KMS_KEY_ID_SIZE];
    size_t count = 99;
    kms_status st;

    (void)stage;
    filter.purge_due = true;
    st = kms_find_keys(store, &filter, NULL, ids, 4, &count, NULL);
    if (count != (st == KMS_OK ? 0 : 99))
        ck_abort_msg("status and count disagree");
    return st;
}

kms_status api_would_schedule(kms_store *store, const api_stage *stage)
{
    return kms_would(store, KMS_OP_SCHEDULE_KEY_DELETION, stage->a);
}

/* Into memory, where it is gone again at the end. */
kms_status api_copy_resealed(kms_store *store, const api_stage *stage)
{
    static const uint8_t root_key[KMS_ROOT_KEY_SIZE] = {1};
    kms_backend *target;
    kms_root *root;
    kms_status st = kms_memory_backend(&target);

    (void)stage;
    if (st != KMS_OK)
        return st;
    st = kms_root_raw(&root, root_key, sizeof root_key);
    if (st != KMS_OK) {
        kms_backend_free(target);
        return st;
    }
    return kms_copy_resealed(store, target, root);
}
