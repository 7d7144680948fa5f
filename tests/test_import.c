/* Importing key material: what comes in, by every wrapping, and what does not. */
#include "support/import_fixture.h"

#if KMS_HAVE_LIBCRYPTO
#include <openssl/err.h>
#endif
#include <stdlib.h>
#include <string.h>

static import_stage at;

/* A blob of the key opens; gives its length. */
static size_t use(uint8_t blob[200])
{
    size_t len = fixture_encrypt(at.store, at.key, "payload", blob, 200);

    fixture_opens_as(at.store, blob, len, "payload");
    return len;
}

/* --- before the first import ------------------------------------------------------------------ */

START_TEST(an_external_key_waits_for_its_material)
{
    kms_key_version_info version;
    kms_key_info info;
    uint8_t blob[200];
    size_t len = 77;

    import_setup(&at);
    fixture_ok(kms_create_alias(at.store, "alias/mine", at.key));
    info = fixture_describe(at.store, "alias/mine");
    ck_assert_int_eq(info.state, KMS_KEY_PENDING_IMPORT);
    ck_assert_int_eq(info.origin, KMS_KEY_ORIGIN_EXTERNAL);
    ck_assert_int_eq(info.suite, KMS_SUITE_XCHACHA20_POLY1305);
    ck_assert_uint_eq(info.primary_version, 1);
    ck_assert_uint_eq(info.version_count, 1);
    ck_assert_int_eq(info.material_expires_ms, 0);
    version = import_describe(at.store, at.key, 0);
    ck_assert_int_eq(version.state, KMS_KEY_VERSION_PENDING_IMPORT);
    ck_assert_int_eq(version.source, KMS_MATERIAL_NONE);
    fixture_is(kms_encrypt(at.store, "alias/mine", NULL, "x", 1, blob, sizeof blob, &len),
               KMS_ERR_PENDING_IMPORT);
    fixture_says("alias/mine");
    fixture_says("waits for its material: kms_import_key_material() brings it");
    fixture_is(kms_would(at.store, KMS_OP_ENCRYPT, at.key), KMS_ERR_PENDING_IMPORT);
    fixture_is(kms_enable_key(at.store, at.key), KMS_ERR_INVALID_STATE);
    fixture_says("waits for its material: kms_import_key_material() brings it");
    fixture_is(kms_disable_key(at.store, at.key), KMS_ERR_INVALID_STATE);
    fixture_ok(kms_delete_key_material(at.store, at.key, 0));
    fixture_ok(kms_delete_key_material(at.store, at.key, 1));
    ck_assert_uint_eq(len, 77);
    import_finish(&at);
}
END_TEST

START_TEST(parameters_are_a_public_key_and_a_token_for_24_hours)
{
    kms_wrapping wrapping = import_wrappings[_i];
    static kms_import_parameters one, two;

    if (!import_setup_for(&at, wrapping))
        return;
    engine_reset_counts(&at.here.control);
    fixture_ok(kms_get_parameters_for_import(at.store, at.key, wrapping, &one));
    fixture_ok(kms_get_parameters_for_import(at.store, at.key, wrapping, &two));
    /* Nothing is written, nor ever will be. */
    ck_assert_uint_eq(engine_count(&at.here.control, ENGINE_BEGIN_WRITE), 0);
    ck_assert_int_eq(one.wrapping, wrapping);
    ck_assert_int_eq(one.expires_ms, import_now_ms + 24 * IMPORT_HOUR_MS);
    ck_assert_uint_le(one.public_key_len, KMS_IMPORT_PUBLIC_KEY_MAX);
    ck_assert_uint_le(one.token_len, KMS_IMPORT_TOKEN_MAX);
    /* Each is a pair of its own. */
    ck_assert_uint_eq(one.public_key_len, two.public_key_len);
    ck_assert_int_ne(memcmp(one.public_key, two.public_key, one.public_key_len), 0);
    ck_assert_int_ne(memcmp(one.token, two.token, 60), 0);
    import_finish(&at);
}
END_TEST

START_TEST(a_store_that_is_open_for_reading_gives_parameters_and_imports_nothing)
{
    static import_parcel parcel;

    import_setup(&at);
    kms_close(at.store);
    fixture_ok(place_try_open(&at.here, &at.store, KMS_OPEN_READ_ONLY, NULL));
    import_pack(at.store, at.key, KMS_WRAPPING_SEALED_BOX, 1, &parcel);
    import_refused(&at, &parcel.import, KMS_ERR_READ_ONLY);
    fixture_is(kms_delete_key_material(at.store, at.key, 0), KMS_ERR_READ_ONLY);
    import_finish(&at);
}
END_TEST

/* --- every wrapping --------------------------------------------------------------------------- */

START_TEST(every_wrapping_brings_material_in)
{
    kms_wrapping wrapping = import_wrappings[_i];
    static import_parcel parcel;
    kms_key_version_info version;
    uint8_t blob[200];

    if (!import_setup_for(&at, wrapping))
        return;
    import_pack(at.store, at.key, wrapping, 1, &parcel);
    ck_assert_uint_eq(parcel.wrapped_len, _i == 0 ? 80 : 128 * (size_t)wrapping);
    fixture_ok(kms_import_key_material(at.store, at.key, &parcel.import));
    ck_assert_int_eq(fixture_describe(at.store, at.key).state, KMS_KEY_ENABLED);
    version = import_describe(at.store, at.key, 0);
    ck_assert_uint_eq(version.number, 1);
    ck_assert_int_eq(version.state, KMS_KEY_VERSION_ENABLED);
    ck_assert_int_eq(version.source, _i == 0 ? KMS_MATERIAL_SEALED_BOX : KMS_MATERIAL_RSA_OAEP);
    ck_assert_int_eq(version.expires_ms, 0);
    use(blob);
    import_finish(&at);
}
END_TEST

START_TEST(the_same_bytes_are_the_same_material_by_whatever_way)
{
    static import_parcel parcel;
    import_material wrong = import_material_of(1);
    uint8_t blob[200];
    size_t len;

    import_setup(&at);
    import_raw(at.store, at.key, 1, 0);
    len = use(blob);
    for (size_t i = 0; i < IMPORT_WRAPPINGS; i++) {
        if (!import_has(import_wrappings[i]))
            continue;
        fixture_ok(kms_delete_key_material(at.store, at.key, 1));
        import_pack(at.store, at.key, import_wrappings[i], 1, &parcel);
        fixture_ok(kms_import_key_material(at.store, at.key, &parcel.import));
        fixture_opens_as(at.store, blob, len, "payload");
    }
    for (size_t byte = 0; byte < sizeof wrong.bytes; byte++) {
        wrong.bytes[byte] ^= 0x80;
        import_pack_bytes(at.store, at.key, KMS_WRAPPING_SEALED_BOX, wrong.bytes,
                          sizeof wrong.bytes, &parcel);
        fixture_is(kms_import_key_material(at.store, at.key, &parcel.import),
                   KMS_ERR_INCORRECT_MATERIAL);
        wrong.bytes[byte] ^= 0x80;
    }
    import_finish(&at);
}
END_TEST

START_TEST(the_same_bytes_in_two_keys_have_nothing_in_common)
{
    char other[KMS_KEY_ID_SIZE];
    kms_key_version_info one, two;

    import_setup(&at);
    import_create(at.store, other);
    import_raw(at.store, at.key, 1, 0);
    import_raw(at.store, other, 1, 0);
    one = import_describe(at.store, at.key, 1);
    two = import_describe(at.store, other, 1);
    ck_assert_int_ne(memcmp(one.commitment, two.commitment, sizeof one.commitment), 0);
    import_finish(&at);
}
END_TEST

START_TEST(raw_material_marks_its_version_for_ever)
{
    static import_parcel parcel;

    import_setup(&at);
    import_raw(at.store, at.key, 1, 0);
    ck_assert_int_eq(import_describe(at.store, at.key, 1).source, KMS_MATERIAL_RAW);
    fixture_ok(kms_delete_key_material(at.store, at.key, 1));
    ck_assert_int_eq(import_describe(at.store, at.key, 1).source, KMS_MATERIAL_RAW);
    import_pack(at.store, at.key, KMS_WRAPPING_SEALED_BOX, 1, &parcel);
    fixture_ok(kms_import_key_material(at.store, at.key, &parcel.import));
    ck_assert_int_eq(import_describe(at.store, at.key, 1).source, KMS_MATERIAL_RAW);
    /* Another version has a mark of its own, until it comes in the clear as well. */
    import_pack(at.store, at.key, KMS_WRAPPING_SEALED_BOX, 2, &parcel);
    fixture_ok(kms_import_key_version(at.store, at.key, &parcel.import, NULL));
    ck_assert_int_eq(import_describe(at.store, at.key, 2).source, KMS_MATERIAL_SEALED_BOX);
    import_raw(at.store, at.key, 2, 0);
    ck_assert_int_eq(import_describe(at.store, at.key, 2).source, KMS_MATERIAL_RAW);
    import_finish(&at);
}
END_TEST

START_TEST(a_key_returns_to_what_it_was)
{
    bool disabled = _i % 2 == 1, expires = _i / 2 == 1;
    static import_parcel parcel;

    import_setup(&at);
    import_pack(at.store, at.key, KMS_WRAPPING_SEALED_BOX, 1, &parcel);
    parcel.import.expires_ms = expires ? import_now_ms + 1000 : 0;
    fixture_ok(kms_import_key_material(at.store, at.key, &parcel.import));
    if (disabled)
        fixture_ok(kms_disable_key(at.store, at.key));
    if (expires)
        import_now_ms += 1000;
    else
        fixture_ok(kms_delete_key_material(at.store, at.key, 1));
    import_still_waits(&at);
    parcel.import.expires_ms = 0;
    fixture_ok(kms_import_key_material(at.store, at.key, &parcel.import));
    ck_assert_int_eq(fixture_describe(at.store, at.key).state,
                     disabled ? KMS_KEY_DISABLED : KMS_KEY_ENABLED);
    import_finish(&at);
}
END_TEST

/* --- the material ----------------------------------------------------------------------------- */

START_TEST(wrapped_material_that_was_altered_is_refused)
{
    static import_parcel parcel;

    if (!import_setup_for(&at, import_wrappings[_i]))
        return;
    import_pack(at.store, at.key, import_wrappings[_i], 1, &parcel);
    for (size_t byte = 0; byte < parcel.wrapped_len; byte += import_stride((size_t)_i)) {
        parcel.wrapped[byte] ^= (uint8_t)(1u << byte % 8);
        import_refused(&at, &parcel.import, KMS_ERR_INVALID_IMPORT);
        parcel.wrapped[byte] ^= (uint8_t)(1u << byte % 8);
    }
    import_still_waits(&at);
    fixture_ok(kms_import_key_material(at.store, at.key, &parcel.import));
    import_finish(&at);
}
END_TEST

START_TEST(wrapped_material_that_was_cut_or_lengthened_is_refused)
{
    static import_parcel parcel;
    size_t len, step = import_stride((size_t)_i);

    if (!import_setup_for(&at, import_wrappings[_i]))
        return;
    import_pack(at.store, at.key, import_wrappings[_i], 1, &parcel);
    len = parcel.wrapped_len;
    for (size_t cut = 0; cut < len + 3; cut += cut + step < len ? step : 1) {
        kms_import import = parcel.import;
        uint8_t *room = import_cut(parcel.wrapped, len, cut);

        import.material = room;
        import.material_len = cut;
        if (cut != len)
            import_refused(&at, &import, KMS_ERR_INVALID_IMPORT);
        free(room);
    }
    import_still_waits(&at);
    import_finish(&at);
}
END_TEST

START_TEST(material_of_another_length_is_refused)
{
    static const size_t lengths[] = {0, 1, 16, 24, 31, 33, 48, 64};
    static import_parcel parcel;
    static const uint8_t bytes[64] = {1, 2, 3};

    if (!import_setup_for(&at, import_wrappings[_i]))
        return;
    import_pack(at.store, at.key, import_wrappings[_i], 1, &parcel);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        import_wrap_as(&parcel.parameters, IMPORT_OAEP_SHA_256, bytes, lengths[i], parcel.wrapped,
                       &parcel.import.material_len);
        import_refused(&at, &parcel.import, KMS_ERR_INVALID_IMPORT);
    }
    import_still_waits(&at);
    import_finish(&at);
}
END_TEST

START_TEST(another_padding_than_oaep_with_sha_256_is_refused)
{
    import_material material = import_material_of(1);
    static import_parcel parcel;

    if (!import_setup_for(&at, import_wrappings[1]))
        return;
    import_pack(at.store, at.key, import_wrappings[1], 1, &parcel);
    for (int padding = IMPORT_OAEP_SHA_1; padding <= IMPORT_PKCS_1; padding++) {
        import_wrap_as(&parcel.parameters, (import_padding)padding, material.bytes,
                       sizeof material.bytes, parcel.wrapped, &parcel.import.material_len);
        import_refused(&at, &parcel.import, KMS_ERR_INVALID_IMPORT);
    }
    import_still_waits(&at);
    import_finish(&at);
}
END_TEST

START_TEST(zero_bytes_are_nobodys_key)
{
    static const uint8_t zero[KMS_IMPORT_MATERIAL_SIZE];
    static import_parcel parcel;
    kms_import raw = KMS_IMPORT_INIT;

    if (!import_setup_for(&at, import_wrappings[_i]))
        return;
    import_pack_bytes(at.store, at.key, import_wrappings[_i], zero, sizeof zero, &parcel);
    import_refused(&at, &parcel.import, KMS_ERR_INVALID_ARGUMENT);
    fixture_says("zero bytes");
    raw.wrapping = KMS_WRAPPING_NONE_INSECURE;
    raw.material = zero;
    raw.material_len = sizeof zero;
    import_refused(&at, &raw, KMS_ERR_INVALID_ARGUMENT);
    fixture_says("zero bytes");
    import_still_waits(&at);
    import_finish(&at);
}
END_TEST

START_TEST(raw_material_has_32_bytes_and_no_token)
{
    import_material material = import_material_of(1);
    kms_import raw = KMS_IMPORT_INIT;

    import_setup(&at);
    raw.wrapping = KMS_WRAPPING_NONE_INSECURE;
    raw.material = material.bytes;
    for (size_t len = 0; len < 32; len++) {
        raw.material_len = len;
        import_refused(&at, &raw, KMS_ERR_INVALID_ARGUMENT);
        fixture_says("32 bytes");
    }
    raw.material_len = 33;
    import_refused(&at, &raw, KMS_ERR_INVALID_ARGUMENT);
    raw.material_len = 32;
    raw.token_len = 1;
    import_refused(&at, &raw, KMS_ERR_INVALID_ARGUMENT);
    fixture_says("no token");
    raw.token = "x";
    import_refused(&at, &raw, KMS_ERR_INVALID_ARGUMENT);
    import_still_waits(&at);
    import_finish(&at);
}
END_TEST

/* An application's own TLS connection takes what it finds there for a failure of its own. */
START_TEST(a_failure_leaves_nothing_in_libcryptos_queue_of_errors)
{
#if KMS_HAVE_LIBCRYPTO
    static import_parcel parcel;

    import_setup(&at);
    import_pack(at.store, at.key, import_wrappings[1], 1, &parcel);
    ERR_raise(ERR_LIB_USER, 77);
    parcel.wrapped[100] ^= 1;
    import_refused(&at, &parcel.import, KMS_ERR_INVALID_IMPORT);
    ck_assert_int_eq(ERR_GET_REASON(ERR_get_error()), 77);
    ck_assert_uint_eq(ERR_get_error(), 0);
    import_finish(&at);
#endif
}
END_TEST

/* --- who may ---------------------------------------------------------------------------------- */

START_TEST(only_an_external_key_takes_material)
{
    kms_import_parameters parameters = {.token_len = 77};
    char drawn[2][KMS_KEY_ID_SIZE];
    uint32_t number = 77;

    import_setup(&at);
    fixture_create_key(at.store, drawn[0]);
    fixture_ok(kms_service_key(at.store, "database", drawn[1]));
    for (size_t i = 0; i < 2; i++) {
        fixture_is(
            kms_get_parameters_for_import(at.store, drawn[i], KMS_WRAPPING_SEALED_BOX, &parameters),
            KMS_ERR_UNSUPPORTED);
        fixture_says("KMS_KEY_ORIGIN_EXTERNAL");
        fixture_is(import_try_raw(at.store, drawn[i], 1, 0), KMS_ERR_UNSUPPORTED);
        fixture_is(import_try_raw_version(at.store, drawn[i], 1, 0, &number), KMS_ERR_UNSUPPORTED);
        fixture_is(kms_delete_key_material(at.store, drawn[i], 1), KMS_ERR_UNSUPPORTED);
        ck_assert_int_eq(fixture_describe(at.store, drawn[i]).state, KMS_KEY_ENABLED);
    }
    ck_assert_uint_eq(parameters.token_len, 77);
    ck_assert_uint_eq(number, 77);
    import_finish(&at);
}
END_TEST

START_TEST(a_key_that_is_pending_deletion_takes_no_material)
{
    static import_parcel parcel;

    import_setup(&at);
    fixture_ok(kms_schedule_key_deletion(at.store, at.key, 7, NULL));
    import_pack(at.store, at.key, KMS_WRAPPING_SEALED_BOX, 1, &parcel);
    import_refused(&at, &parcel.import, KMS_ERR_INVALID_STATE);
    fixture_says("kms_cancel_key_deletion()");
    fixture_ok(kms_cancel_key_deletion(at.store, at.key));
    fixture_ok(kms_import_key_material(at.store, at.key, &parcel.import));
    import_finish(&at);
}
END_TEST

START_TEST(parameters_are_given_to_whom_asks_rightly)
{
    static const struct {
        const char *id;
        kms_status wanted;
    } bad[] = {{NULL, KMS_ERR_INVALID_ARGUMENT},
               {"", KMS_ERR_INVALID_ARGUMENT},
               {"alias/mine", KMS_ERR_INVALID_ARGUMENT},
               {"00000000-0000-4000-8000-000000000000", KMS_ERR_KEY_NOT_FOUND}};
    static const kms_wrapping none[] = {(kms_wrapping)0, (kms_wrapping)5,
                                        KMS_WRAPPING_NONE_INSECURE, (kms_wrapping)257};
    kms_import_parameters parameters = {.token_len = 77};

    import_setup(&at);
    fixture_ok(kms_create_alias(at.store, "alias/mine", at.key));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        fixture_is(kms_get_parameters_for_import(at.store, bad[i].id, KMS_WRAPPING_SEALED_BOX,
                                                 &parameters),
                   bad[i].wanted);
        fixture_is(import_try_raw(at.store, bad[i].id, 1, 0), bad[i].wanted);
        fixture_is(import_try_raw_version(at.store, bad[i].id, 1, 0, NULL), bad[i].wanted);
        fixture_is(kms_delete_key_material(at.store, bad[i].id, 1), bad[i].wanted);
    }
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        fixture_is(kms_get_parameters_for_import(at.store, at.key, none[i], &parameters),
                   KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_get_parameters_for_import(at.store, at.key, KMS_WRAPPING_SEALED_BOX, NULL),
               KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_get_parameters_for_import(NULL, at.key, KMS_WRAPPING_SEALED_BOX, &parameters),
               KMS_ERR_INVALID_ARGUMENT);
    ck_assert_uint_eq(parameters.token_len, 77);
    import_finish(&at);
}
END_TEST

START_TEST(an_import_checks_its_arguments)
{
    static import_parcel parcel;
    kms_import import;

    import_setup(&at);
    import_pack(at.store, at.key, KMS_WRAPPING_SEALED_BOX, 1, &parcel);
    import_refused(&at, NULL, KMS_ERR_INVALID_ARGUMENT);
    for (uint32_t version = 0; version <= 2; version += 2) {
        import = parcel.import;
        import.version = version;
        import_refused(&at, &import, KMS_ERR_ABI);
    }
    import = parcel.import;
    import.material = NULL;
    import_refused(&at, &import, KMS_ERR_INVALID_ARGUMENT);
    for (unsigned wrapping = 0; wrapping < 300; wrapping++) {
        import = parcel.import;
        import.wrapping = (kms_wrapping)wrapping;
        if ((wrapping < 1 || wrapping > 4) && wrapping != KMS_WRAPPING_NONE_INSECURE)
            import_refused(&at, &import, KMS_ERR_INVALID_ARGUMENT);
    }
    import = parcel.import;
    for (int64_t early = 0; early < 2; early++) {
        import.expires_ms = early == 0 ? import_now_ms : -1;
        import_refused(&at, &import, KMS_ERR_INVALID_ARGUMENT);
        fixture_says("its date is over");
    }
    import_still_waits(&at);
    import.expires_ms = import_now_ms + 1;
    fixture_ok(kms_import_key_material(at.store, at.key, &import));
    import_finish(&at);
}
END_TEST

START_TEST(a_build_without_libcrypto_says_so)
{
    kms_import_parameters parameters = {.token_len = 77};

    if (import_has(KMS_WRAPPING_RSA_2048_OAEP_SHA_256))
        return;
    import_setup(&at);
    for (size_t i = 1; i < IMPORT_WRAPPINGS; i++) {
        kms_import import = KMS_IMPORT_INIT;

        fixture_is(
            kms_get_parameters_for_import(at.store, at.key, import_wrappings[i], &parameters),
            KMS_ERR_UNSUPPORTED);
        fixture_says("KMS_WRAPPING_SEALED_BOX");
        import.wrapping = import_wrappings[i];
        import.material = import.token = "x";
        import.material_len = import.token_len = 1;
        import_refused(&at, &import, KMS_ERR_UNSUPPORTED);
    }
    ck_assert_uint_eq(parameters.token_len, 77);
    import_finish(&at);
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {an_external_key_waits_for_its_material, 0},
        {parameters_are_a_public_key_and_a_token_for_24_hours, IMPORT_WRAPPINGS},
        {a_store_that_is_open_for_reading_gives_parameters_and_imports_nothing, 0},
        {every_wrapping_brings_material_in, IMPORT_WRAPPINGS},
        {the_same_bytes_are_the_same_material_by_whatever_way, 0},
        {the_same_bytes_in_two_keys_have_nothing_in_common, 0},
        {raw_material_marks_its_version_for_ever, 0},
        {a_key_returns_to_what_it_was, 4},
        {wrapped_material_that_was_altered_is_refused, IMPORT_WRAPPINGS},
        {wrapped_material_that_was_cut_or_lengthened_is_refused, IMPORT_WRAPPINGS},
        {material_of_another_length_is_refused, IMPORT_WRAPPINGS},
        {another_padding_than_oaep_with_sha_256_is_refused, 0},
        {zero_bytes_are_nobodys_key, IMPORT_WRAPPINGS},
        {raw_material_has_32_bytes_and_no_token, 0},
        {a_failure_leaves_nothing_in_libcryptos_queue_of_errors, 0},
        {only_an_external_key_takes_material, 0},
        {a_key_that_is_pending_deletion_takes_no_material, 0},
        {parameters_are_given_to_whom_asks_rightly, 0},
        {an_import_checks_its_arguments, 0},
        {a_build_without_libcrypto_says_so, 0},
    };

    return fixture_main("import", tests, sizeof tests / sizeof *tests, 120);
}
