/*
 * Those of api_calls[] that are about the life of a version, tags, descriptions and filters; and
 * what all of them check their outputs with.
 */
#ifndef KMS_TESTS_API_CALLS_LIFE_H
#define KMS_TESTS_API_CALLS_LIFE_H

#include "api_calls.h"

#include <string.h>

/* What outputs hold before a call, and must hold after a failure. */
#define FILL 0x6b

static inline void fill(void *output, size_t size)
{
    memset(output, FILL, size);
}

static inline kms_status untouched_unless_ok(kms_status st, const void *output, size_t size)
{
    const uint8_t *bytes = output;

    for (size_t i = 0; st != KMS_OK && i < size; i++)
        if (bytes[i] != FILL)
            ck_abort_msg("a call failed with %s and wrote its output", kms_status_name(st));
    return st;
}

/* The part of the stage that they are performed on. */
void api_life_stage(kms_store *store, const api_stage *stage);

kms_status api_update_primary(kms_store *store, const api_stage *stage);
kms_status api_disable_version(kms_store *store, const api_stage *stage);
kms_status api_enable_version(kms_store *store, const api_stage *stage);
kms_status api_set_minimum(kms_store *store, const api_stage *stage);
kms_status api_schedule_version(kms_store *store, const api_stage *stage);
kms_status api_cancel_version(kms_store *store, const api_stage *stage);
kms_status api_tag(kms_store *store, const api_stage *stage);
kms_status api_untag(kms_store *store, const api_stage *stage);
kms_status api_tag_many(kms_store *store, const api_stage *stage);
kms_status api_untag_many(kms_store *store, const api_stage *stage);
kms_status api_list_tags(kms_store *store, const api_stage *stage);
kms_status api_update_description(kms_store *store, const api_stage *stage);
kms_status api_get_description(kms_store *store, const api_stage *stage);
kms_status api_find_keys(kms_store *store, const api_stage *stage);
kms_status api_find_aliases(kms_store *store, const api_stage *stage);
kms_status api_is_stale(kms_store *store, const api_stage *stage);

#endif
