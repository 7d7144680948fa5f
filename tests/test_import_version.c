/* New material as a new version of an imported key: each version with its own expiry and state. */
#include "support/import_fixture.h"

#include <string.h>

static import_stage at;

typedef struct sealed {
    uint8_t blob[KMS_CIPHERTEXT_SIZE(8)];
    size_t len;
} sealed;

/* Encrypts, and checks under which version. */
static sealed seal(uint32_t version)
{
    kms_blob_info info;
    sealed made;

    made.len = fixture_encrypt(at.store, at.key, "payload", made.blob, sizeof made.blob);
    fixture_ok(kms_inspect_blob(made.blob, made.len, &info));
    ck_assert_uint_eq(info.key_version, version);
    fixture_opens_as(at.store, made.blob, made.len, "payload");
    return made;
}

static kms_status try_open(const sealed *s)
{
    char plain[8] = "";
    size_t len;
    kms_status st = kms_decrypt(at.store, NULL, s->blob, s->len, plain, sizeof plain, &len);

    ck_assert(st != KMS_OK || strcmp(plain, "payload") == 0);
    return st;
}

static kms_status try_encrypt(void)
{
    uint8_t blob[KMS_CIPHERTEXT_SIZE(1)];
    size_t len;

    return kms_encrypt(at.store, at.key, NULL, "x", 1, blob, sizeof blob, &len);
}

static kms_key_state state(void)
{
    return fixture_describe(at.store, at.key).state;
}

static kms_key_version_state version_state(uint32_t number)
{
    return import_describe(at.store, at.key, number).state;
}

START_TEST(new_material_is_a_new_version_and_the_primary_one)
{
    static import_parcel parcel;
    kms_key_version_info info;
    uint32_t number = 77;
    sealed one;

    if (!import_setup_for(&at, import_wrappings[_i]))
        return;
    import_raw(at.store, at.key, 1, 0);
    one = seal(1);
    import_now_ms += 5;
    import_pack(at.store, at.key, import_wrappings[_i], 2, &parcel);
    parcel.import.expires_ms = import_now_ms + 1000;
    fixture_ok(kms_import_key_version(at.store, at.key, &parcel.import, &number));
    ck_assert_uint_eq(number, 2);
    info = import_describe(at.store, at.key, 0);
    ck_assert_uint_eq(info.number, 2);
    ck_assert(info.primary);
    ck_assert_int_eq(info.state, KMS_KEY_VERSION_ENABLED);
    ck_assert_int_eq(info.created_ms, import_now_ms);
    ck_assert_int_eq(info.expires_ms, import_now_ms + 1000);
    ck_assert_int_eq(info.source, _i == 0 ? KMS_MATERIAL_SEALED_BOX : KMS_MATERIAL_RSA_OAEP);
    ck_assert(!import_describe(at.store, at.key, 1).primary);
    ck_assert_int_eq(import_describe(at.store, at.key, 1).expires_ms, 0);
    ck_assert_int_eq(fixture_describe(at.store, at.key).material_expires_ms, info.expires_ms);
    seal(2);
    fixture_ok(try_open(&one));
    import_finish(&at);
}
END_TEST

START_TEST(a_key_gets_its_first_material_the_other_way)
{
    uint32_t number = 77;

    import_setup(&at);
    fixture_is(import_try_raw_version(at.store, at.key, 1, 0, &number), KMS_ERR_INVALID_STATE);
    fixture_says("kms_import_key_material()");
    fixture_is(kms_would(at.store, KMS_OP_IMPORT_KEY_VERSION, at.key), KMS_ERR_INVALID_STATE);
    ck_assert_uint_eq(number, 77);
    import_still_waits(&at);
    import_raw(at.store, at.key, 1, 0);
    fixture_ok(kms_would(at.store, KMS_OP_IMPORT_KEY_VERSION, at.key));
    import_finish(&at);
}
END_TEST

START_TEST(material_that_a_version_has_or_had_makes_no_other)
{
    static const char *const cases[] = {"there", "expired", "deleted", "destroyed"};
    uint32_t number = 77;

    import_setup(&at);
    import_raw(at.store, at.key, 1, _i == 1 ? import_now_ms + 10 : 0);
    import_raw_version(at.store, at.key, 2, 0);
    import_raw_version(at.store, at.key, 3, 0);
    import_now_ms += 10;
    if (_i == 2)
        fixture_ok(kms_delete_key_material(at.store, at.key, 1));
    if (_i == 3) {
        fixture_ok(kms_schedule_key_version_destruction(at.store, at.key, 1, 7, NULL));
        import_now_ms += 8 * 24 * IMPORT_HOUR_MS;
        fixture_ok(kms_purge_key_version(at.store, at.key, 1, import_now_ms));
        fixture_is(import_try_raw(at.store, at.key, 1, 0), KMS_ERR_DESTROYED);
        ck_assert_int_eq(version_state(1), KMS_KEY_VERSION_DESTROYED);
    }
    for (uint32_t n = 1; n <= 3; n++) {
        ck_assert_msg(import_try_raw_version(at.store, at.key, n, 0, &number) ==
                          KMS_ERR_ALREADY_EXISTS,
                      "%s", cases[_i]);
        fixture_says("this very material");
    }
    ck_assert_uint_eq(number, 77);
    ck_assert_uint_eq(fixture_describe(at.store, at.key).version_count, 3);
    /* As version of another key it is as good as any. */
    import_create(at.store, at.key);
    import_raw(at.store, at.key, 1, 0);
    import_finish(&at);
}
END_TEST

/* kms_import_key_material() finds the version that had it. */
START_TEST(material_comes_back_to_the_version_that_had_it)
{
    sealed s[4];

    import_setup(&at);
    import_raw(at.store, at.key, 1, 0);
    s[1] = seal(1);
    for (uint32_t n = 2; n <= 3; n++) {
        import_raw_version(at.store, at.key, n, 0);
        s[n] = seal(n);
    }
    fixture_ok(kms_delete_key_material(at.store, at.key, 0));
    for (uint32_t n = 1; n <= 3; n++) {
        import_raw(at.store, at.key, n, 0);
        ck_assert_int_eq(version_state(n), KMS_KEY_VERSION_ENABLED);
        /* Without the primary version the key serves nobody. */
        ck_assert_int_eq(state(), n < 3 ? KMS_KEY_PENDING_IMPORT : KMS_KEY_ENABLED);
        fixture_is(try_open(&s[n]), n < 3 ? KMS_ERR_PENDING_IMPORT : KMS_OK);
        fixture_ok(kms_verify(at.store));
    }
    for (uint32_t n = 1; n <= 3; n++)
        fixture_ok(try_open(&s[n]));
    seal(3);
    import_finish(&at);
}
END_TEST

/* A version in the past, with a warm cache. */
START_TEST(an_older_version_goes_while_the_primary_one_goes_on)
{
    int64_t end = import_now_ms + 1000;
    bool expires = _i == 1;
    sealed one, two;

    import_setup(&at);
    import_raw(at.store, at.key, 1, expires ? end : 0);
    one = seal(1);
    import_raw_version(at.store, at.key, 2, 0);
    two = seal(2);
    import_now_ms = end - 1;
    fixture_ok(try_open(&one));
    import_now_ms = end;
    if (!expires)
        fixture_ok(kms_delete_key_material(at.store, at.key, 1));
    fixture_is(try_open(&one), KMS_ERR_PENDING_IMPORT);
    fixture_says("version 1 of key");
    fixture_says(expires ? "expired" : "deleted");
    ck_assert_int_eq(version_state(1), KMS_KEY_VERSION_PENDING_IMPORT);
    ck_assert_int_eq(version_state(2), KMS_KEY_VERSION_ENABLED);
    ck_assert_int_eq(state(), KMS_KEY_ENABLED);
    fixture_ok(try_open(&two));
    seal(2);
    fixture_is(kms_update_primary_version(at.store, at.key, 1), KMS_ERR_INVALID_STATE);
    fixture_says(expires ? "expired" : "no material");
    fixture_ok(kms_verify(at.store));
    import_raw(at.store, at.key, 1, 0);
    fixture_ok(try_open(&one));
    ck_assert_uint_eq(fixture_describe(at.store, at.key).primary_version, 2);
    import_finish(&at);
}
END_TEST

START_TEST(without_its_primary_version_the_whole_key_waits_until_another_is_primary)
{
    int64_t end = import_now_ms + 1000;
    bool expires = _i == 1;
    sealed one, two;

    import_setup(&at);
    import_raw(at.store, at.key, 1, end + 1000);
    one = seal(1);
    import_raw_version(at.store, at.key, 2, expires ? end : 0);
    two = seal(2);
    fixture_ok(try_open(&one));
    import_now_ms = end - 1;
    fixture_ok(try_open(&one));
    import_now_ms = end;
    if (!expires)
        fixture_ok(kms_delete_key_material(at.store, at.key, 2));
    ck_assert_int_eq(state(), KMS_KEY_PENDING_IMPORT);
    fixture_is(try_encrypt(), KMS_ERR_PENDING_IMPORT);
    fixture_says(expires ? "expired" : "deleted");
    fixture_is(try_open(&one), KMS_ERR_PENDING_IMPORT);
    fixture_is(try_open(&two), KMS_ERR_PENDING_IMPORT);
    fixture_ok(kms_verify(at.store));
    /* A live one brings the key back, with its own expiry. */
    fixture_ok(kms_update_primary_version(at.store, at.key, 1));
    ck_assert_int_eq(state(), KMS_KEY_ENABLED);
    ck_assert_int_eq(fixture_describe(at.store, at.key).material_expires_ms, end + 1000);
    fixture_ok(try_open(&one));
    seal(1);
    fixture_is(try_open(&two), KMS_ERR_PENDING_IMPORT);
    fixture_says("version 2 of key");
    fixture_ok(kms_verify(at.store));
    import_now_ms = end + 1000;
    fixture_is(try_open(&one), KMS_ERR_PENDING_IMPORT);
    ck_assert_int_eq(state(), KMS_KEY_PENDING_IMPORT);
    /* So does new material. */
    ck_assert_uint_eq(import_raw_version(at.store, at.key, 3, 0), 3);
    ck_assert_int_eq(state(), KMS_KEY_ENABLED);
    seal(3);
    fixture_is(try_open(&one), KMS_ERR_PENDING_IMPORT);
    import_finish(&at);
}
END_TEST

/* Whichever version's expiry is changed, only the primary version's is the key's. */
START_TEST(each_version_has_an_expiry_of_its_own)
{
    int64_t now = import_now_ms;

    import_setup(&at);
    import_raw(at.store, at.key, 1, now + 100);
    import_raw_version(at.store, at.key, 2, now + 200);
    import_raw_version(at.store, at.key, 3, now + 300);
    fixture_ok(kms_update_primary_version(at.store, at.key, 2));
    import_raw(at.store, at.key, 1, now + 1000);
    import_raw(at.store, at.key, 3, 0);
    ck_assert_int_eq(fixture_describe(at.store, at.key).material_expires_ms, now + 200);
    fixture_ok(kms_verify(at.store));
    import_raw(at.store, at.key, 2, now + 2000);
    ck_assert_int_eq(fixture_describe(at.store, at.key).material_expires_ms, now + 2000);
    ck_assert_int_eq(import_describe(at.store, at.key, 1).expires_ms, now + 1000);
    ck_assert_int_eq(import_describe(at.store, at.key, 2).expires_ms, now + 2000);
    ck_assert_int_eq(import_describe(at.store, at.key, 3).expires_ms, 0);
    fixture_ok(kms_update_primary_version(at.store, at.key, 3));
    ck_assert_int_eq(fixture_describe(at.store, at.key).material_expires_ms, 0);
    fixture_ok(kms_delete_key_material(at.store, at.key, 2));
    ck_assert_int_eq(import_describe(at.store, at.key, 2).expires_ms, 0);
    ck_assert_int_eq(state(), KMS_KEY_ENABLED);
    import_finish(&at);
}
END_TEST

/* What was decided about a version stands when its material comes back. */
START_TEST(a_version_comes_back_in_the_state_that_it_was_in)
{
    int64_t date = 0;
    sealed one;

    import_setup(&at);
    import_raw(at.store, at.key, 1, 0);
    one = seal(1);
    import_raw_version(at.store, at.key, 2, 0);
    if (_i == 0)
        fixture_ok(kms_disable_key_version(at.store, at.key, 1));
    else
        fixture_ok(kms_schedule_key_version_destruction(at.store, at.key, 1, 7, &date));
    fixture_ok(kms_delete_key_material(at.store, at.key, 1));
    import_raw(at.store, at.key, 1, 0);
    ck_assert_int_eq(version_state(1),
                     _i == 0 ? KMS_KEY_VERSION_DISABLED : KMS_KEY_VERSION_DESTROY_SCHEDULED);
    ck_assert_int_eq(import_describe(at.store, at.key, 1).destroy_ms, date);
    fixture_is(try_open(&one), _i == 0 ? KMS_ERR_DISABLED : KMS_ERR_PENDING_DELETION);
    if (_i == 0)
        fixture_ok(kms_enable_key_version(at.store, at.key, 1));
    else
        fixture_ok(kms_cancel_key_version_destruction(at.store, at.key, 1));
    fixture_ok(try_open(&one));
    import_finish(&at);
}
END_TEST

START_TEST(a_new_version_keeps_the_keys_suite)
{
    kms_create_key_options options = KMS_CREATE_KEY_OPTIONS_INIT;

    import_setup(&at);
    options.origin = KMS_KEY_ORIGIN_EXTERNAL;
    options.suite = KMS_SUITE_AES_256_GCM;
    if (!fixture_has_suite_2(at.store)) {
        fixture_skip("the second suite", "this build has no libcrypto");
        import_finish(&at);
        return;
    }
    fixture_ok(kms_create_key(at.store, &options, at.key));
    ck_assert_int_eq(fixture_describe(at.store, at.key).suite, KMS_SUITE_AES_256_GCM);
    import_raw(at.store, at.key, 1, 0);
    seal(1);
    import_raw_version(at.store, at.key, 2, 0);
    ck_assert_int_eq(import_describe(at.store, at.key, 2).suite, KMS_SUITE_AES_256_GCM);
    seal(2);
    import_finish(&at);
}
END_TEST

START_TEST(a_disabled_key_stays_disabled_with_its_new_version)
{
    import_setup(&at);
    import_raw(at.store, at.key, 1, 0);
    fixture_ok(kms_disable_key(at.store, at.key));
    import_raw_version(at.store, at.key, 2, 0);
    ck_assert_int_eq(state(), KMS_KEY_DISABLED);
    fixture_ok(kms_enable_key(at.store, at.key));
    seal(2);
    import_finish(&at);
}
END_TEST

START_TEST(an_imported_key_has_at_most_1500_versions)
{
    uint32_t number = 77;
    sealed one;

    import_setup(&at);
    import_raw(at.store, at.key, 1, 0);
    one = seal(1);
    for (uint32_t n = 2; n <= KMS_KEY_VERSIONS_MAX; n++)
        import_raw_version(at.store, at.key, n, 0);
    fixture_is(import_try_raw_version(at.store, at.key, 5000, 0, &number), KMS_ERR_LIMIT_EXCEEDED);
    fixture_says("move the alias");
    fixture_is(kms_would(at.store, KMS_OP_IMPORT_KEY_VERSION, at.key), KMS_ERR_LIMIT_EXCEEDED);
    ck_assert_uint_eq(number, 77);
    seal(KMS_KEY_VERSIONS_MAX);
    fixture_ok(try_open(&one));
    fixture_ok(kms_delete_key_material(at.store, at.key, 0));
    ck_assert_int_eq(version_state(KMS_KEY_VERSIONS_MAX / 2), KMS_KEY_VERSION_PENDING_IMPORT);
    import_raw(at.store, at.key, KMS_KEY_VERSIONS_MAX, 0);
    seal(KMS_KEY_VERSIONS_MAX);
    import_finish(&at);
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {new_material_is_a_new_version_and_the_primary_one, IMPORT_WRAPPINGS},
        {a_key_gets_its_first_material_the_other_way, 0},
        {material_that_a_version_has_or_had_makes_no_other, 4},
        {material_comes_back_to_the_version_that_had_it, 0},
        {an_older_version_goes_while_the_primary_one_goes_on, 2},
        {without_its_primary_version_the_whole_key_waits_until_another_is_primary, 2},
        {each_version_has_an_expiry_of_its_own, 0},
        {a_version_comes_back_in_the_state_that_it_was_in, 2},
        {a_new_version_keeps_the_keys_suite, 0},
        {a_disabled_key_stays_disabled_with_its_new_version, 0},
        {an_imported_key_has_at_most_1500_versions, 0},
    };

    return fixture_main("import_version", tests, sizeof tests / sizeof *tests, 180);
}
