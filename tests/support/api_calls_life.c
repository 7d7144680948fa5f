#include "api_calls_life.h"

static const kms_tag team = {"team", "red"}, cost = {"cost", "7"};

void api_life_stage(kms_store *store, const api_stage *stage)
{
    fixture_rotate(store, stage->b);
    fixture_rotate(store, stage->b);
    fixture_ok(kms_disable_key_version(store, stage->b, 1));
    fixture_ok(kms_schedule_key_version_destruction(store, stage->b, 2, 0, NULL));
    fixture_ok(kms_tag_resource(store, stage->a, &team, 1));
    fixture_ok(kms_update_key_description(store, stage->b, "of b"));
}

kms_status api_update_primary(kms_store *store, const api_stage *stage)
{
    return kms_update_primary_version(store, stage->a, 1);
}

kms_status api_disable_version(kms_store *store, const api_stage *stage)
{
    return kms_disable_key_version(store, stage->a, 1);
}

kms_status api_enable_version(kms_store *store, const api_stage *stage)
{
    return kms_enable_key_version(store, stage->b, 1);
}

kms_status api_set_minimum(kms_store *store, const api_stage *stage)
{
    return kms_set_minimum_version(store, stage->a, 2, 3);
}

kms_status api_schedule_version(kms_store *store, const api_stage *stage)
{
    int64_t date;

    fill(&date, sizeof date);
    return untouched_unless_ok(kms_schedule_key_version_destruction(store, stage->a, 1, 7, &date),
                               &date, sizeof date);
}

kms_status api_cancel_version(kms_store *store, const api_stage *stage)
{
    return kms_cancel_key_version_destruction(store, stage->b, 2);
}

kms_status api_tag(kms_store *store, const api_stage *stage)
{
    return kms_tag_resource(store, stage->a, &cost, 1);
}

kms_status api_untag(kms_store *store, const api_stage *stage)
{
    return kms_untag_resource(store, stage->a, NULL, 0);
}

static void both(const api_stage *stage, char ids[2][KMS_KEY_ID_SIZE])
{
    memcpy(ids[0], stage->a, KMS_KEY_ID_SIZE);
    memcpy(ids[1], stage->b, KMS_KEY_ID_SIZE);
}

kms_status api_tag_many(kms_store *store, const api_stage *stage)
{
    char ids[2][KMS_KEY_ID_SIZE];

    both(stage, ids);
    return kms_tag_resources(store, (const char(*)[KMS_KEY_ID_SIZE])ids, 2, &cost, 1);
}

kms_status api_untag_many(kms_store *store, const api_stage *stage)
{
    char ids[2][KMS_KEY_ID_SIZE];

    both(stage, ids);
    return kms_untag_resources(store, (const char(*)[KMS_KEY_ID_SIZE])ids, 2, &team.name, 1);
}

kms_status api_list_tags(kms_store *store, const api_stage *stage)
{
    struct {
        kms_tag_info tags[2];
        size_t count;
    } out;
    kms_status st;

    (void)stage;
    fill(&out, sizeof out);
    st = untouched_unless_ok(kms_list_resource_tags(store, "alias/a", out.tags, 2, &out.count),
                             &out, sizeof out);
    if (st == KMS_OK && (out.count < 1 || strcmp(out.tags[out.count - 1].value, "red") != 0))
        ck_abort_msg("other tags than were set");
    return st;
}

kms_status api_update_description(kms_store *store, const api_stage *stage)
{
    return kms_update_key_description(store, stage->b, "another");
}

kms_status api_get_description(kms_store *store, const api_stage *stage)
{
    char text[20];

    (void)stage;
    fill(text, sizeof text);
    return untouched_unless_ok(kms_get_key_description(store, "alias/b", text, sizeof text), text,
                               sizeof text);
}

kms_status api_find_keys(kms_store *store, const api_stage *stage)
{
    kms_key_filter filter = KMS_KEY_FILTER_INIT;
    char page[4][KMS_KEY_ID_SIZE];
    size_t count;

    (void)stage;
    filter.states = KMS_FILTER_BIT(KMS_KEY_ENABLED) | KMS_FILTER_BIT(KMS_KEY_DISABLED);
    filter.tag_name = "team";
    filter.alias_prefix = "alias/";
    fill(&count, sizeof count);
    return untouched_unless_ok(kms_find_keys(store, &filter, NULL, page, 4, &count, NULL), &count,
                               sizeof count);
}

kms_status api_find_aliases(kms_store *store, const api_stage *stage)
{
    kms_alias_info page[4];
    size_t count;

    (void)stage;
    fill(&count, sizeof count);
    return untouched_unless_ok(kms_find_aliases(store, "alias/", NULL, page, 4, &count, NULL),
                               &count, sizeof count);
}

kms_status api_is_stale(kms_store *store, const api_stage *stage)
{
    uint8_t stale[sizeof(bool)];

    fill(stale, sizeof stale);
    return untouched_unless_ok(
        kms_blob_is_stale(store, "alias/a", stage->blob, stage->blob_len, (bool *)(void *)stale),
        stale, sizeof stale);
}
