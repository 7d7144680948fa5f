/* What becomes of imported material: it expires, is deleted, and comes back. */
#include "support/import_fixture.h"

#include "crypto/kdf.h"
#include "vault/store.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static import_stage at;

typedef struct sealed {
    uint8_t blob[KMS_CIPHERTEXT_SIZE(8)];
    size_t len;
} sealed;

static sealed seal(void)
{
    sealed made;

    made.len = fixture_encrypt(at.store, at.key, "payload", made.blob, sizeof made.blob);
    fixture_opens_as(at.store, made.blob, made.len, "payload");
    return made;
}

static kms_status try_open(kms_store *store, const sealed *s)
{
    char plain[8] = "";
    size_t len;
    kms_status st = kms_decrypt(store, NULL, s->blob, s->len, plain, sizeof plain, &len);

    ck_assert(st != KMS_OK || strcmp(plain, "payload") == 0);
    return st;
}

static kms_status try_encrypt(kms_store *store, const char *keyref)
{
    uint8_t blob[KMS_CIPHERTEXT_SIZE(1)];
    size_t len;

    return kms_encrypt(store, keyref, NULL, "x", 1, blob, sizeof blob, &len);
}

static kms_key_state state(void)
{
    return fixture_describe(at.store, at.key).state;
}

/* Nobody can use the key, and each is told that its material has `gone`. */
static void check_gone(kms_store *store, const sealed *s, const char *gone)
{
    fixture_is(try_encrypt(store, at.key), KMS_ERR_PENDING_IMPORT);
    fixture_says(gone);
    fixture_is(try_encrypt(store, "alias/mine"), KMS_ERR_PENDING_IMPORT);
    fixture_says(gone);
    fixture_says("alias/mine");
    fixture_is(try_open(store, s), KMS_ERR_PENDING_IMPORT);
    fixture_says(gone);
    fixture_says("kms_import_key_material()");
    ck_assert_int_eq(fixture_describe(store, at.key).state, KMS_KEY_PENDING_IMPORT);
    ck_assert_int_eq(import_describe(store, at.key, 1).state, KMS_KEY_VERSION_PENDING_IMPORT);
    fixture_ok(kms_verify(store));
}

static void check_good(kms_store *store, const sealed *s)
{
    fixture_ok(try_encrypt(store, at.key));
    fixture_ok(try_encrypt(store, "alias/mine"));
    fixture_ok(try_open(store, s));
    ck_assert_int_eq(fixture_describe(store, at.key).state, KMS_KEY_ENABLED);
    ck_assert_int_eq(import_describe(store, at.key, 1).state, KMS_KEY_VERSION_ENABLED);
    fixture_ok(kms_verify(store));
}

static void setup(void)
{
    import_setup(&at);
    fixture_ok(kms_create_alias(at.store, "alias/mine", at.key));
}

/* --- expiry ----------------------------------------------------------------------------------- */

START_TEST(expired_material_serves_nobody_from_the_very_millisecond_on)
{
    int64_t end = import_now_ms + 5000;
    kms_key_info info;
    sealed s;

    setup();
    import_raw(at.store, at.key, 1, end);
    ck_assert_int_eq(fixture_describe(at.store, at.key).material_expires_ms, end);
    ck_assert_int_eq(import_describe(at.store, at.key, 1).expires_ms, end);
    s = seal();
    /* The cache is warm, or not. */
    check_good(at.store, &s);
    import_now_ms = end - 1;
    check_good(at.store, &s);
    if (_i == 1) {
        kms_close(at.store);
        at.store = import_open(&at.here);
    }
    import_now_ms = end;
    check_gone(at.store, &s, "expired");
    import_now_ms = end + 1000 * IMPORT_HOUR_MS;
    check_gone(at.store, &s, "expired");
    info = fixture_describe(at.store, at.key);
    ck_assert_int_eq(info.material_expires_ms, end);
    ck_assert_uint_eq(info.primary_version, 1);
    ck_assert_int_eq(import_describe(at.store, at.key, 1).source, KMS_MATERIAL_RAW);
    import_finish(&at);
}
END_TEST

START_TEST(an_expired_key_is_refused_as_often_as_it_is_asked)
{
    char other[KMS_KEY_ID_SIZE];
    sealed s;

    setup();
    fixture_create_key(at.store, other);
    import_raw(at.store, at.key, 1, import_now_ms + 10);
    s = seal();
    fixture_ok(try_encrypt(at.store, other));
    import_now_ms += 10;
    for (int i = 0; i < 3; i++) {
        check_gone(at.store, &s, "expired");
        fixture_ok(try_encrypt(at.store, other));
    }
    import_finish(&at);
}
END_TEST

START_TEST(only_the_same_material_comes_back)
{
    bool expired = _i == 1;
    sealed s;

    setup();
    import_raw(at.store, at.key, 1, expired ? import_now_ms + 10 : 0);
    s = seal();
    import_now_ms += 10;
    if (!expired)
        fixture_ok(kms_delete_key_material(at.store, at.key, 0));
    fixture_is(import_try_raw(at.store, at.key, 2, 0), KMS_ERR_INCORRECT_MATERIAL);
    fixture_says("kms_import_key_version()");
    check_gone(at.store, &s, expired ? "expired" : "deleted");
    import_raw(at.store, at.key, 1, 0);
    ck_assert_int_eq(fixture_describe(at.store, at.key).material_expires_ms, 0);
    check_good(at.store, &s);
    /* While it is there, too. */
    fixture_is(import_try_raw(at.store, at.key, 2, 0), KMS_ERR_INCORRECT_MATERIAL);
    check_good(at.store, &s);
    import_now_ms += 100000 * IMPORT_HOUR_MS;
    check_good(at.store, &s);
    import_finish(&at);
}
END_TEST

START_TEST(an_expiry_is_changed_by_importing_again)
{
    static const struct {
        int64_t first, second;
    } table[] = {{1000, 2000}, {2000, 1000}, {1000, 0}, {0, 1000}, {1000, 1000}};
    int64_t start = import_now_ms, first = table[_i].first, second = table[_i].second;
    sealed s;

    setup();
    import_raw(at.store, at.key, 1, first != 0 ? start + first : 0);
    s = seal();
    import_raw(at.store, at.key, 1, second != 0 ? start + second : 0);
    ck_assert_int_eq(import_describe(at.store, at.key, 1).expires_ms,
                     second != 0 ? start + second : 0);
    ck_assert_uint_eq(fixture_describe(at.store, at.key).version_count, 1);
    check_good(at.store, &s);
    import_now_ms = start + (second != 0 ? second : 1000000) - 1;
    check_good(at.store, &s);
    import_now_ms++;
    if (second != 0)
        check_gone(at.store, &s, "expired");
    else
        check_good(at.store, &s);
    import_finish(&at);
}
END_TEST

/* --- deletion --------------------------------------------------------------------------------- */

START_TEST(deleted_material_serves_nobody_on_any_handle_from_the_next_call_on)
{
    kms_store *other;
    uint64_t changes;
    sealed s;

    setup();
    import_raw(at.store, at.key, 1, import_now_ms + IMPORT_HOUR_MS);
    s = seal();
    other = import_open(&at.here);
    check_good(other, &s);
    fixture_ok(kms_delete_key_material(at.store, at.key, (uint32_t)_i));
    check_gone(other, &s, "deleted");
    check_gone(at.store, &s, "deleted");
    ck_assert_int_eq(fixture_describe(other, at.key).material_expires_ms, 0);
    ck_assert_int_eq(import_describe(other, at.key, 1).expires_ms, 0);
    /* What is gone already is not deleted again. */
    changes = fixture_changes(at.store);
    fixture_ok(kms_delete_key_material(at.store, at.key, 0));
    fixture_ok(kms_delete_key_material(at.store, at.key, 1));
    ck_assert_uint_eq(fixture_changes(at.store), changes);
    fixture_is(kms_delete_key_material(at.store, at.key, 2), KMS_ERR_VERSION_NOT_FOUND);
    import_raw(other, at.key, 1, 0);
    check_good(at.store, &s);
    check_good(other, &s);
    kms_close(other);
    import_finish(&at);
}
END_TEST

START_TEST(a_key_that_is_pending_deletion_stays_so)
{
    int64_t date;
    sealed s;

    setup();
    import_raw(at.store, at.key, 1, 0);
    s = seal();
    fixture_ok(kms_schedule_key_deletion(at.store, at.key, 7, &date));
    fixture_ok(kms_delete_key_material(at.store, at.key, (uint32_t)_i));
    ck_assert_int_eq(state(), KMS_KEY_PENDING_DELETION);
    ck_assert_int_eq(fixture_describe(at.store, at.key).deletion_ms, date);
    fixture_is(try_open(at.store, &s), KMS_ERR_PENDING_DELETION);
    fixture_is(import_try_raw(at.store, at.key, 1, 0), KMS_ERR_INVALID_STATE);
    fixture_ok(kms_cancel_key_deletion(at.store, at.key));
    check_gone(at.store, &s, "deleted");
    import_raw(at.store, at.key, 1, 0);
    check_good(at.store, &s);
    import_finish(&at);
}
END_TEST

START_TEST(a_disabled_key_may_lose_its_material_and_is_disabled_when_it_is_back)
{
    sealed s;

    setup();
    import_raw(at.store, at.key, 1, 0);
    s = seal();
    fixture_ok(kms_disable_key(at.store, at.key));
    fixture_ok(kms_delete_key_material(at.store, at.key, 1));
    check_gone(at.store, &s, "deleted");
    fixture_is(kms_enable_key(at.store, at.key), KMS_ERR_INVALID_STATE);
    import_raw(at.store, at.key, 1, 0);
    fixture_is(try_open(at.store, &s), KMS_ERR_DISABLED);
    fixture_ok(kms_enable_key(at.store, at.key));
    check_good(at.store, &s);
    import_finish(&at);
}
END_TEST

/* More than one transaction takes, and as many as a batch holds and one less. */
START_TEST(all_versions_of_a_key_lose_their_material)
{
    static const uint32_t counts[] = {1, 2, 59, 60, 61, 62, 150};
    uint32_t count = counts[_i];
    kms_store *other;
    sealed s;

    setup();
    import_raw(at.store, at.key, 1, 0);
    s = seal();
    for (uint32_t n = 2; n <= count; n++)
        ck_assert_uint_eq(import_raw_version(at.store, at.key, n, 0), n);
    /* The primary version is one in the middle. */
    fixture_ok(kms_update_primary_version(at.store, at.key, (count + 1) / 2));
    other = import_open(&at.here);
    check_good(other, &s);
    fixture_ok(kms_delete_key_material(at.store, at.key, 0));
    check_gone(other, &s, "deleted");
    for (uint32_t n = 1; n <= count; n++)
        ck_assert_int_eq(import_describe(other, at.key, n).state, KMS_KEY_VERSION_PENDING_IMPORT);
    fixture_ok(kms_verify(other));
    for (uint32_t n = count; n > 0; n--) {
        import_raw(other, at.key, n, 0);
        ck_assert_int_eq(import_describe(at.store, at.key, n).state, KMS_KEY_VERSION_ENABLED);
    }
    check_good(at.store, &s);
    kms_close(other);
    import_finish(&at);
}
END_TEST

/* Whichever transaction of many is the last one, the primary version is gone with the first, and
 * the call can be made again. */
START_TEST(a_deletion_that_was_cut_short_has_taken_the_primary_version)
{
    enum { VERSIONS = 150 };
    sealed s;

    setup();
    import_raw(at.store, at.key, 1, 0);
    s = seal();
    for (uint32_t n = 2; n <= VERSIONS; n++)
        import_raw_version(at.store, at.key, n, 0);
    engine_fail(&at.here.control, ENGINE_COMMIT, 2, KMS_ERR_FULL, true);
    fixture_is(kms_delete_key_material(at.store, at.key, 0), KMS_ERR_FULL);
    ck_assert_uint_eq(engine_disarm(&at.here.control), 1);
    ck_assert_int_eq(state(), KMS_KEY_PENDING_IMPORT);
    ck_assert_int_eq(import_describe(at.store, at.key, VERSIONS).state,
                     KMS_KEY_VERSION_PENDING_IMPORT);
    ck_assert_int_eq(import_describe(at.store, at.key, VERSIONS - 1).state,
                     KMS_KEY_VERSION_ENABLED);
    fixture_ok(kms_verify(at.store));
    fixture_ok(kms_delete_key_material(at.store, at.key, 0));
    check_gone(at.store, &s, "deleted");
    for (uint32_t n = 1; n <= VERSIONS; n++)
        ck_assert_int_eq(import_describe(at.store, at.key, n).state,
                         KMS_KEY_VERSION_PENDING_IMPORT);
    import_finish(&at);
}
END_TEST

/* --- refused, as the cloud does ---------------------------------------------------------------- */

START_TEST(an_imported_key_gets_no_version_by_policy_or_on_demand)
{
    kms_create_key_options options = KMS_CREATE_KEY_OPTIONS_INIT;
    char id[KMS_KEY_ID_SIZE] = "keep";
    uint32_t number = 77;

    setup();
    options.origin = KMS_KEY_ORIGIN_EXTERNAL;
    options.rotation_days = 30;
    fixture_is(kms_create_key(at.store, &options, id), KMS_ERR_UNSUPPORTED);
    fixture_says("moving an alias");
    ck_assert_str_eq(id, "keep");
    for (int with_material = 0; with_material < 2; with_material++) {
        if (with_material == 1)
            import_raw(at.store, at.key, 1, 0);
        fixture_is(kms_create_key_version(at.store, at.key, &number), KMS_ERR_UNSUPPORTED);
        fixture_says("make a new key and move the alias to it");
        fixture_is(kms_would(at.store, KMS_OP_CREATE_KEY_VERSION, at.key), KMS_ERR_UNSUPPORTED);
        fixture_is(kms_update_rotation_policy(at.store, at.key, true, 30), KMS_ERR_UNSUPPORTED);
        fixture_says("make a new key and move the alias to it");
    }
    ck_assert_uint_eq(number, 77);
    ck_assert_uint_eq(fixture_describe(at.store, at.key).version_count, 1);
    import_finish(&at);
}
END_TEST

/* --- nothing secret is readable ----------------------------------------------------------------- */

/* The private key in a token of a sealed box: docs and lib/domain/import.h tell the layout. */
static void private_key_of(const kms_store *store, const kms_import_parameters *parameters,
                           uint8_t private_key[32])
{
    uint8_t key[KMS__KDF_KEY_SIZE], associated[KMS_STORE_ID_SIZE + 5], plain[57];
    unsigned long long len;

    memcpy(associated, store->id, KMS_STORE_ID_SIZE);
    associated[KMS_STORE_ID_SIZE] = 1;
    for (unsigned i = 0; i < 4; i++)
        associated[KMS_STORE_ID_SIZE + 1 + i] = (uint8_t)(store->generation >> (24 - 8 * i));
    kms__derive(KMS__USE_IMPORT_TOKEN, store->records_key, store->id, store->generation, key);
    ck_assert_int_eq(crypto_aead_xchacha20poly1305_ietf_decrypt(
                         plain, &len, NULL, parameters->token + 25, parameters->token_len - 25,
                         associated, sizeof associated, parameters->token + 1, key),
                     0);
    ck_assert_uint_eq(len, sizeof plain);
    memcpy(private_key, plain + 25, 32);
}

static uint8_t *read_file(const char *path, size_t *len)
{
    FILE *file = fopen(path, "rb");
    uint8_t *bytes;

    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fseek(file, 0, SEEK_END), 0);
    *len = (size_t)ftell(file);
    rewind(file);
    bytes = malloc(*len);
    ck_assert_ptr_nonnull(bytes);
    ck_assert_uint_eq(fread(bytes, 1, *len, file), *len);
    fclose(file);
    return bytes;
}

/* Not even 8 bytes of it stand anywhere. */
static void check_absent(const uint8_t *file, size_t file_len, const void *secret, size_t len)
{
    for (size_t i = 0; i + 8 <= len; i += 8)
        ck_assert_ptr_null(memmem(file, file_len, (const uint8_t *)secret + i, 8));
}

START_TEST(neither_material_nor_private_key_can_be_read_in_the_file)
{
    static import_parcel parcel;
    import_material material[2] = {import_material_of(1), import_material_of(2)};
    uint8_t private_key[32], public_key[32], *file;
    uint8_t id[16];
    size_t len;

#if !KMS_HAVE_LMDB
    fixture_skip("what can be read in a store's file", "this build has no LMDB");
    return;
#endif
    ck_assert_int_eq(setenv("KMS_TEST_BACKEND", "lmdb", 1), 0);
    setup();
    import_pack(at.store, at.key, KMS_WRAPPING_SEALED_BOX, 1, &parcel);
    private_key_of(at.store, &parcel.parameters, private_key);
    /* It is the private key indeed. */
    ck_assert_int_eq(crypto_scalarmult_base(public_key, private_key), 0);
    ck_assert_int_eq(memcmp(public_key, parcel.parameters.public_key, 32), 0);
    fixture_ok(kms_import_key_material(at.store, at.key, &parcel.import));
    import_raw_version(at.store, at.key, 2, import_now_ms + 1000);
    seal();
    ck_assert_int_eq(sodium_hex2bin(id, sizeof id, at.key, 36, "-", NULL, NULL), 0);
    kms_close(at.store);
    file = read_file(at.here.path, &len);
    /* What is not secret is found so. */
    ck_assert_ptr_nonnull(memmem(file, len, id, sizeof id));
    check_absent(file, len, material[0].bytes, 32);
    check_absent(file, len, material[1].bytes, 32);
    check_absent(file, len, private_key, 32);
    /* Nothing was kept of the token and the pair at all. */
    check_absent(file, len, public_key, 32);
    check_absent(file, len, parcel.parameters.token, parcel.parameters.token_len);
    check_absent(file, len, parcel.wrapped, parcel.wrapped_len);
    free(file);
    at.store = import_open(&at.here);
    import_finish(&at);
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {expired_material_serves_nobody_from_the_very_millisecond_on, 2},
        {an_expired_key_is_refused_as_often_as_it_is_asked, 0},
        {only_the_same_material_comes_back, 2},
        {an_expiry_is_changed_by_importing_again, 5},
        {deleted_material_serves_nobody_on_any_handle_from_the_next_call_on, 2},
        {a_key_that_is_pending_deletion_stays_so, 2},
        {a_disabled_key_may_lose_its_material_and_is_disabled_when_it_is_back, 0},
        {all_versions_of_a_key_lose_their_material, 7},
        {a_deletion_that_was_cut_short_has_taken_the_primary_version, 0},
        {an_imported_key_gets_no_version_by_policy_or_on_demand, 0},
        {neither_material_nor_private_key_can_be_read_in_the_file, 0},
    };

    return fixture_main("import_life", tests, sizeof tests / sizeof *tests, 120);
}
