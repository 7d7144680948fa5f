/* Import tokens: good for their own key, wrapping and store, for 24 hours, and whole. */
#include "support/import_fixture.h"

#include <stdlib.h>
#include <string.h>

static import_stage at;

/* --- time -------------------------------------------------------------------------------- */

START_TEST(a_token_may_be_used_again_for_24_hours)
{
    static import_parcel parcel;
    int64_t start = import_now_ms;

    import_setup(&at);
    import_pack(at.store, at.key, KMS_WRAPPING_SEALED_BOX, 1, &parcel);
    for (int hour = 0; hour < 24; hour += 23) {
        import_now_ms = start + hour * IMPORT_HOUR_MS;
        fixture_ok(kms_import_key_material(at.store, at.key, &parcel.import));
        fixture_ok(kms_delete_key_material(at.store, at.key, 1));
    }
    /* Other material under the same public key. */
    import_now_ms = start + 24 * IMPORT_HOUR_MS - 1;
    fixture_ok(kms_import_key_material(at.store, at.key, &parcel.import));
    import_wrap_as(&parcel.parameters, IMPORT_OAEP_SHA_256, import_material_of(2).bytes, 32,
                   parcel.wrapped, &parcel.wrapped_len);
    fixture_ok(kms_import_key_version(at.store, at.key, &parcel.import, NULL));
    import_now_ms++;
    import_refused(&at, &parcel.import, KMS_ERR_EXPIRED);
    fixture_says("24 hours are over");
    import_now_ms += 1000 * IMPORT_HOUR_MS;
    import_refused(&at, &parcel.import, KMS_ERR_EXPIRED);
    import_finish(&at);
}
END_TEST

START_TEST(a_token_outlives_the_handle_that_made_it)
{
    static import_parcel parcel;

    import_setup(&at);
    import_pack(at.store, at.key, KMS_WRAPPING_SEALED_BOX, 1, &parcel);
    kms_close(at.store);
    at.store = import_open(&at.here);
    fixture_ok(kms_import_key_material(at.store, at.key, &parcel.import));
    import_finish(&at);
}
END_TEST

START_TEST(several_tokens_are_good_at_once)
{
    enum { TOKENS = 5 };
    static import_parcel parcels[2][TOKENS];
    char other[KMS_KEY_ID_SIZE];

    import_setup(&at);
    import_create(at.store, other);
    for (uint32_t i = 0; i < TOKENS; i++) {
        import_pack(at.store, at.key, KMS_WRAPPING_SEALED_BOX, i, &parcels[0][i]);
        import_pack(at.store, other, KMS_WRAPPING_SEALED_BOX, i, &parcels[1][i]);
    }
    /* The last is used first. */
    fixture_ok(kms_import_key_material(at.store, other, &parcels[1][TOKENS - 1].import));
    fixture_ok(kms_import_key_material(at.store, at.key, &parcels[0][TOKENS - 1].import));
    for (uint32_t i = TOKENS - 1; i-- > 0;) {
        fixture_ok(kms_import_key_version(at.store, at.key, &parcels[0][i].import, NULL));
        fixture_ok(kms_import_key_version(at.store, other, &parcels[1][i].import, NULL));
    }
    ck_assert_uint_eq(fixture_describe(at.store, at.key).version_count, TOKENS);
    import_finish(&at);
}
END_TEST

START_TEST(a_token_that_was_altered_is_refused)
{
    static import_parcel parcel;
    uint8_t *token = parcel.parameters.token;

    if (!import_setup_for(&at, import_wrappings[_i]))
        return;
    import_pack(at.store, at.key, import_wrappings[_i], 1, &parcel);
    for (size_t byte = 1; byte < parcel.parameters.token_len; byte += import_stride((size_t)_i)) {
        token[byte] ^= (uint8_t)(1u << byte % 8);
        import_refused(&at, &parcel.import, KMS_ERR_INVALID_IMPORT);
        token[byte] ^= (uint8_t)(1u << byte % 8);
    }
    /* The first byte is its format: 1. */
    for (unsigned format = 0; format < 256; format++) {
        token[0] = (uint8_t)format;
        if (format != 1)
            import_refused(&at, &parcel.import,
                           format == 0 ? KMS_ERR_INVALID_IMPORT : KMS_ERR_NEWER_FORMAT);
    }
    import_still_waits(&at);
    token[0] = 1;
    fixture_ok(kms_import_key_material(at.store, at.key, &parcel.import));
    import_finish(&at);
}
END_TEST

START_TEST(a_token_that_was_cut_or_lengthened_is_refused)
{
    static import_parcel parcel;
    size_t len, step = import_stride((size_t)_i);

    if (!import_setup_for(&at, import_wrappings[_i]))
        return;
    import_pack(at.store, at.key, import_wrappings[_i], 1, &parcel);
    len = parcel.parameters.token_len;
    for (size_t cut = 0; cut < len + 3; cut += cut + step < len ? step : 1) {
        kms_import import = parcel.import;
        uint8_t *room = import_cut(parcel.parameters.token, len, cut);

        import.token = room;
        import.token_len = cut;
        if (cut != len)
            import_refused(&at, &import, KMS_ERR_INVALID_IMPORT);
        free(room);
    }
    parcel.import.token = NULL;
    import_refused(&at, &parcel.import, KMS_ERR_INVALID_IMPORT);
    parcel.import.token_len = 0;
    import_refused(&at, &parcel.import, KMS_ERR_INVALID_IMPORT);
    import_still_waits(&at);
    import_finish(&at);
}
END_TEST

START_TEST(a_token_is_for_its_own_key_only)
{
    static import_parcel parcel;
    char other[KMS_KEY_ID_SIZE];

    import_setup(&at);
    import_create(at.store, other);
    import_pack(at.store, other, KMS_WRAPPING_SEALED_BOX, 1, &parcel);
    import_refused(&at, &parcel.import, KMS_ERR_INVALID_IMPORT);
    fixture_says("another key");
    import_still_waits(&at);
    fixture_ok(kms_import_key_material(at.store, other, &parcel.import));
    import_finish(&at);
}
END_TEST

START_TEST(a_token_is_for_its_own_store_only)
{
    static import_parcel parcel;
    kms_store *copy, *other = fixture_memory_store();
    char same[KMS_KEY_ID_SIZE];
    place theirs;

    import_setup(&at);
    /* Of the same root at.key, and of another. */
    place_init(&theirs);
    for (int i = 0; i < 2; i++) {
        kms_store *from = i == 0 ? import_open(&theirs) : other;

        import_create(from, same);
        import_pack(from, same, KMS_WRAPPING_SEALED_BOX, 1, &parcel);
        import_refused(&at, &parcel.import, KMS_ERR_INVALID_IMPORT);
        fixture_says("store");
        kms_close(from);
    }
    place_free(&theirs);
    /* A copy under another store key has the same key, and the same store id. */
    place_init(&theirs);
    import_pack(at.store, at.key, KMS_WRAPPING_SEALED_BOX, 1, &parcel);
    fixture_ok(kms_copy_resealed(at.store, place_engine(&theirs), fixture_root(FIXTURE_ROOT_FILL)));
    copy = import_open(&theirs);
    fixture_is(kms_import_key_material(copy, at.key, &parcel.import), KMS_ERR_INVALID_IMPORT);
    kms_close(copy);
    place_free(&theirs);
    import_still_waits(&at);
    fixture_ok(kms_import_key_material(at.store, at.key, &parcel.import));
    import_finish(&at);
}
END_TEST

START_TEST(a_token_is_for_its_own_wrapping_only)
{
    static import_parcel parcels[IMPORT_WRAPPINGS];

    if (!import_setup_for(&at, import_wrappings[1]))
        return;
    for (size_t i = 0; i < IMPORT_WRAPPINGS; i++)
        import_pack(at.store, at.key, import_wrappings[i], 1, &parcels[i]);
    for (size_t i = 0; i < IMPORT_WRAPPINGS; i++)
        for (size_t j = 0; j < IMPORT_WRAPPINGS; j++) {
            kms_import import = parcels[i].import;

            import.wrapping = import_wrappings[j];
            if (i != j)
                import_refused(&at, &import, KMS_ERR_INVALID_IMPORT);
            /* Nor does it open what was wrapped under another token's key. */
            import.wrapping = import_wrappings[i];
            import.material = parcels[j].wrapped;
            import.material_len = parcels[j].wrapped_len;
            if (i != j)
                import_refused(&at, &import, KMS_ERR_INVALID_IMPORT);
        }
    import_still_waits(&at);
    import_finish(&at);
}
END_TEST

START_TEST(material_wrapped_for_another_token_of_the_key_is_refused)
{
    static import_parcel one, two;

    if (!import_setup_for(&at, import_wrappings[_i]))
        return;
    import_pack(at.store, at.key, import_wrappings[_i], 1, &one);
    import_pack(at.store, at.key, import_wrappings[_i], 1, &two);
    one.import.material = two.wrapped;
    import_refused(&at, &one.import, KMS_ERR_INVALID_IMPORT);
    fixture_says("another public key");
    import_still_waits(&at);
    import_finish(&at);
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {a_token_may_be_used_again_for_24_hours, 0},
        {a_token_outlives_the_handle_that_made_it, 0},
        {several_tokens_are_good_at_once, 0},
        {a_token_that_was_altered_is_refused, IMPORT_WRAPPINGS},
        {a_token_that_was_cut_or_lengthened_is_refused, IMPORT_WRAPPINGS},
        {a_token_is_for_its_own_key_only, 0},
        {a_token_is_for_its_own_store_only, 0},
        {a_token_is_for_its_own_wrapping_only, 0},
        {material_wrapped_for_another_token_of_the_key_is_refused, IMPORT_WRAPPINGS},
    };

    return fixture_main("import_token", tests, sizeof tests / sizeof *tests, 120);
}
