/* The life of one version: disabled and enabled, primary again, below the lowest that decrypts. */
#include "support/hand_clock.h"

#include <stdio.h>
#include <string.h>

#define NOBODY "00000000-0000-4000-8000-000000000000"
#define VERSIONS 5

static place here;
static hand_clock hand = {HAND_START};
/* Two handles of one store, as two processes have them. */
static kms_store *store, *theirs;
static char id[KMS_KEY_ID_SIZE];
/* blobs[n] is of version n, and says its number. */
static uint8_t blobs[VERSIONS + 1][KMS_CIPHERTEXT_SIZE(2)];

static const char *text_of(uint32_t number)
{
    static char text[2];

    text[0] = (char)('0' + number);
    return text;
}

/* Both handles have every version in their caches. */
static void setup(void)
{
    place_init(&here);
    store = hand_open(&here, &hand, 0, NULL);
    theirs = hand_open(&here, &hand, 0, NULL);
    fixture_ok(kms_ensure_alias(store, "alias/a", NULL, id));
    for (uint32_t n = 1; n <= VERSIONS; n++) {
        if (n > 1)
            fixture_rotate(store, id);
        fixture_encrypt(store, id, text_of(n), blobs[n], sizeof blobs[n]);
    }
    for (uint32_t n = 1; n <= VERSIONS; n++) {
        fixture_opens_as(store, blobs[n], sizeof blobs[n], text_of(n));
        fixture_opens_as(theirs, blobs[n], sizeof blobs[n], text_of(n));
    }
}

static void finish(void)
{
    fixture_ok(kms_verify(store));
    kms_close(theirs);
    kms_close(store);
    place_free(&here);
}

static kms_status opens(kms_store *with, uint32_t number)
{
    char plain[2] = "?";
    size_t len = 77;
    kms_status st = kms_decrypt(with, NULL, blobs[number], sizeof blobs[number], plain, 2, &len);

    if (st == KMS_OK)
        ck_assert_str_eq(plain, text_of(number));
    else
        ck_assert(len == 77 && plain[0] == '?');
    return st;
}

static void is_answered(uint32_t number, kms_status wanted)
{
    fixture_is(opens(theirs, number), wanted);
    fixture_is(opens(store, number), wanted);
}

/* The message of the last failure names the version and the key. */
static void names(uint32_t number)
{
    char version[32];

    snprintf(version, sizeof version, "version %u of key", number);
    fixture_says(version);
    fixture_says(id);
}

static kms_key_version_info describe(uint32_t number)
{
    kms_key_version_info info, page[1];
    size_t count;

    fixture_ok(kms_describe_key_version(theirs, id, number, &info));
    fixture_ok(kms_list_key_versions(store, "alias/a", number - 1, page, 1, &count, NULL));
    ck_assert_uint_eq(count, 1);
    ck_assert_int_eq(memcmp(&page[0], &info, sizeof info), 0);
    return info;
}

static uint32_t encrypts_under(kms_store *with)
{
    uint8_t blob[KMS_CIPHERTEXT_SIZE(2)];
    kms_blob_info info;

    fixture_encrypt(with, "alias/a", "x", blob, sizeof blob);
    fixture_ok(kms_inspect_blob(blob, sizeof blob, &info));
    ck_assert_str_eq(info.key_id, id);
    return info.key_version;
}

/* --- enabled and disabled ---------------------------------------------------------------------- */

START_TEST(a_disabled_version_is_refused_by_every_handle_until_it_is_enabled_again)
{
    uint32_t number = (uint32_t)_i + 1;

    setup();
    for (int turn = 0; turn < 2; turn++) {
        fixture_ok(kms_disable_key_version(store, id, number));
        is_answered(number, KMS_ERR_DISABLED);
        names(number);
        fixture_says("kms_enable_key_version()");
        ck_assert_int_eq(describe(number).state, KMS_KEY_VERSION_DISABLED);
        for (uint32_t n = 1; n <= VERSIONS; n++)
            if (n != number)
                is_answered(n, KMS_OK);
        fixture_ok(kms_verify(theirs));
        fixture_ok(kms_enable_key_version(theirs, id, number));
        is_answered(number, KMS_OK);
        ck_assert_int_eq(describe(number).state, KMS_KEY_VERSION_ENABLED);
    }
    finish();
}
END_TEST

START_TEST(what_is_so_already_is_no_change)
{
    uint64_t before;

    setup();
    fixture_ok(kms_disable_key_version(store, id, 2));
    fixture_ok(kms_set_minimum_version(store, id, 2, 3));
    before = fixture_changes(store);
    fixture_ok(kms_disable_key_version(store, id, 2));
    fixture_ok(kms_enable_key_version(store, id, 1));
    fixture_ok(kms_enable_key_version(store, id, VERSIONS));
    fixture_ok(kms_update_primary_version(store, id, VERSIONS));
    fixture_ok(kms_set_minimum_version(store, id, 2, 3));
    ck_assert_uint_eq(fixture_changes(store), before);
    fixture_ok(kms_set_minimum_version(store, id, 2, 4));
    ck_assert_uint_eq(fixture_changes(store), before + 1);
    finish();
}
END_TEST

START_TEST(the_primary_version_cannot_be_disabled_nor_destroyed)
{
    uint64_t before;

    setup();
    fixture_ok(kms_update_primary_version(store, id, 2 + (uint32_t)_i));
    before = fixture_changes(store);
    fixture_is(kms_disable_key_version(store, id, 2 + (uint32_t)_i), KMS_ERR_INVALID_STATE);
    names(2 + (uint32_t)_i);
    fixture_says("primary");
    fixture_is(kms_schedule_key_version_destruction(store, id, 2 + (uint32_t)_i, 0, NULL),
               KMS_ERR_INVALID_STATE);
    names(2 + (uint32_t)_i);
    fixture_says("make another one primary");
    ck_assert_uint_eq(fixture_changes(store), before);
    ck_assert_uint_eq(encrypts_under(theirs), 2 + (uint32_t)_i);
    finish();
}
END_TEST

START_TEST(versions_of_a_key_in_any_state_can_be_changed)
{
    setup();
    fixture_set_key_state(store, id, (kms_key_state)(_i + 1));
    fixture_ok(kms_disable_key_version(store, id, 1));
    fixture_ok(kms_update_primary_version(store, id, 2));
    fixture_ok(kms_set_minimum_version(store, id, 2, 0));
    fixture_ok(kms_schedule_key_version_destruction(store, id, 1, 0, NULL));
    ck_assert_int_eq(describe(1).state, KMS_KEY_VERSION_DESTROY_SCHEDULED);
    fixture_ok(kms_cancel_key_version_destruction(store, id, 1));
    ck_assert_int_eq(describe(1).state, KMS_KEY_VERSION_DISABLED);
    finish();
}
END_TEST

/* --- arguments --------------------------------------------------------------------------------- */

static kms_status set_minimum_to(kms_store *with, const char *key_id, uint32_t number)
{
    return kms_set_minimum_version(with, key_id, number % VERSIONS, 0);
}

static kms_status schedule(kms_store *with, const char *key_id, uint32_t number)
{
    return kms_schedule_key_version_destruction(with, key_id, number, 7, NULL);
}

static kms_status purge(kms_store *with, const char *key_id, uint32_t number)
{
    return kms_purge_key_version(with, key_id, number, HAND_START);
}

static const struct {
    kms_status (*call)(kms_store *with, const char *key_id, uint32_t number);
    bool takes_a_version;
} changes[] = {
    {kms_update_primary_version, true},
    {kms_disable_key_version, true},
    {kms_enable_key_version, true},
    {schedule, true},
    {kms_cancel_key_version_destruction, true},
    {purge, true},
    {set_minimum_to, false},
};
#define CHANGES ((int)(sizeof changes / sizeof *changes))

START_TEST(a_change_of_a_version_checks_its_arguments)
{
    static const uint32_t none[] = {0, VERSIONS + 1, 1500, UINT32_MAX};
    uint64_t before;

    setup();
    before = fixture_changes(store);
    for (size_t i = 0; changes[_i].takes_a_version && i < sizeof none / sizeof *none; i++)
        fixture_is(changes[_i].call(store, id, none[i]), KMS_ERR_VERSION_NOT_FOUND);
    fixture_is(changes[_i].call(store, "alias/a", 1), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(changes[_i].call(store, NULL, 1), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(changes[_i].call(store, "what", 1), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(changes[_i].call(NULL, id, 1), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(changes[_i].call(store, NOBODY, 1), KMS_ERR_KEY_NOT_FOUND);
    ck_assert_uint_eq(fixture_changes(store), before);
    kms_close(theirs);
    theirs = hand_open(&here, &hand, KMS_OPEN_READ_ONLY, NULL);
    fixture_is(changes[_i].call(theirs, id, 1), KMS_ERR_READ_ONLY);
    finish();
}
END_TEST

START_TEST(the_versions_of_a_service_key_are_its_services)
{
    char service_key[KMS_KEY_ID_SIZE];

    setup();
    fixture_ok(kms_service_key(store, "billing", service_key));
    fixture_is(changes[_i].call(store, service_key, 1), KMS_ERR_UNSUPPORTED);
    fixture_says(service_key);
    finish();
}
END_TEST

/* --- primary ------------------------------------------------------------------------------------ */

START_TEST(a_bad_rotation_is_undone_and_done_again)
{
    setup();
    ck_assert_uint_eq(encrypts_under(theirs), VERSIONS);
    fixture_ok(kms_update_primary_version(store, id, VERSIONS - 1));
    ck_assert_uint_eq(encrypts_under(theirs), VERSIONS - 1);
    ck_assert_uint_eq(encrypts_under(store), VERSIONS - 1);
    ck_assert_uint_eq(fixture_describe(theirs, id).primary_version, VERSIONS - 1);
    ck_assert_uint_eq(fixture_describe(theirs, id).version_count, VERSIONS);
    ck_assert(describe(VERSIONS - 1).primary && !describe(VERSIONS).primary);
    is_answered(VERSIONS, KMS_OK);
    fixture_ok(kms_verify(store));
    fixture_ok(kms_update_primary_version(theirs, id, VERSIONS));
    ck_assert_uint_eq(encrypts_under(store), VERSIONS);
    ck_assert_uint_eq(encrypts_under(theirs), VERSIONS);
    finish();
}
END_TEST

START_TEST(a_key_whose_primary_version_is_an_old_one_rotates_to_the_next_number)
{
    setup();
    fixture_ok(kms_update_primary_version(store, id, 1));
    ck_assert_uint_eq(fixture_rotate(store, id), VERSIONS + 1);
    ck_assert_uint_eq(encrypts_under(theirs), VERSIONS + 1);
    for (uint32_t n = 1; n <= VERSIONS; n++)
        is_answered(n, KMS_OK);
    finish();
}
END_TEST

static void disable_2(void)
{
    fixture_ok(kms_disable_key_version(store, id, 2));
}

static void schedule_2(void)
{
    fixture_ok(kms_schedule_key_version_destruction(store, id, 2, 7, NULL));
}

static void destroy_2(void)
{
    int64_t due = 0;

    fixture_ok(kms_schedule_key_version_destruction(store, id, 2, 7, &due));
    hand.now_ms = due;
    fixture_ok(kms_purge_key_version(store, id, 2, due));
}

static void put_below_minimum_2(void)
{
    fixture_ok(kms_set_minimum_version(store, id, 3, 0));
}

static void import_version(const char *key_id, uint8_t fill, int64_t expires_ms)
{
    kms_import import = KMS_IMPORT_INIT;
    uint8_t material[32];

    memset(material, fill, sizeof material);
    import.wrapping = KMS_WRAPPING_NONE_INSECURE;
    import.material = material;
    import.material_len = sizeof material;
    import.expires_ms = expires_ms;
    if (fill == 1)
        fixture_ok(kms_import_key_material(store, key_id, &import));
    else
        fixture_ok(kms_import_key_version(store, key_id, &import, NULL));
}

/* From here on, id is an imported key, whose version 2 expires in an hour. */
static void use_imported_key(void)
{
    kms_create_key_options options = KMS_CREATE_KEY_OPTIONS_INIT;

    options.origin = KMS_KEY_ORIGIN_EXTERNAL;
    fixture_ok(kms_create_key(store, &options, id));
    import_version(id, 1, 0);
    import_version(id, 2, HAND_START + HOUR_MS);
    import_version(id, 3, 0);
}

static void take_material_of_2(void)
{
    use_imported_key();
    fixture_ok(kms_delete_key_material(store, id, 2));
}

static void let_2_expire(void)
{
    use_imported_key();
    hand.now_ms = HAND_START + HOUR_MS;
}

static const struct {
    void (*prepare)(void);
    const char *says;
} not_primary[] = {
    {disable_2, "not enabled"},          {schedule_2, "not enabled"},
    {destroy_2, "not enabled"},          {put_below_minimum_2, "below the key's minimum"},
    {take_material_of_2, "no material"}, {let_2_expire, "expired"},
};
#define NOT_PRIMARY ((int)(sizeof not_primary / sizeof *not_primary))

START_TEST(a_version_that_could_not_be_used_is_not_made_primary)
{
    uint32_t primary;

    setup();
    not_primary[_i].prepare();
    primary = fixture_describe(store, id).primary_version;
    fixture_is(kms_update_primary_version(store, id, 2), KMS_ERR_INVALID_STATE);
    names(2);
    fixture_says(not_primary[_i].says);
    ck_assert_uint_eq(fixture_describe(theirs, id).primary_version, primary);
    fixture_ok(kms_update_primary_version(store, id, 3));
    finish();
}
END_TEST

START_TEST(an_imported_version_that_is_primary_again_brings_its_expiry_with_it)
{
    setup();
    use_imported_key();
    fixture_ok(kms_update_primary_version(store, id, 2));
    ck_assert_int_eq(fixture_describe(store, id).material_expires_ms, HAND_START + HOUR_MS);
    fixture_ok(kms_verify(store));
    fixture_ok(kms_update_primary_version(store, id, 3));
    ck_assert_int_eq(fixture_describe(store, id).material_expires_ms, 0);
    hand.now_ms = HAND_START + HOUR_MS;
    ck_assert_int_eq(fixture_describe(theirs, id).state, KMS_KEY_ENABLED);
    finish();
}
END_TEST

/* --- the lowest version that decrypts ------------------------------------------------------------ */

static const struct {
    uint32_t minimum, window, primary;
    uint32_t lowest;
} bounds[] = {
    {0, 0, 5, 1},    {1, 0, 5, 1}, {3, 0, 5, 3}, {5, 0, 5, 5}, {0, 1, 5, 4}, {0, 4, 5, 1},
    {0, 1499, 5, 1}, {2, 2, 5, 3}, {4, 2, 5, 4}, {3, 2, 5, 3}, {0, 1, 3, 2}, {0, 2, 2, 1},
    {0, 1, 2, 1},    {2, 0, 3, 2}, {0, 1, 1, 1}, {1, 4, 4, 1},
};
#define BOUNDS ((int)(sizeof bounds / sizeof *bounds))

static void only_from(uint32_t lowest)
{
    for (uint32_t n = 1; n <= VERSIONS; n++) {
        ck_assert(describe(n).retired == (n < lowest));
        ck_assert_int_eq(describe(n).state, KMS_KEY_VERSION_ENABLED);
        is_answered(n, n < lowest ? KMS_ERR_DISABLED : KMS_OK);
        if (n >= lowest)
            continue;
        names(n);
        fixture_says("kms_set_minimum_version()");
    }
}

START_TEST(versions_below_the_higher_bound_decrypt_no_more_until_it_is_lowered)
{
    kms_key_info info;

    setup();
    fixture_ok(kms_update_primary_version(store, id, bounds[_i].primary));
    fixture_ok(kms_set_minimum_version(store, id, bounds[_i].minimum, bounds[_i].window));
    info = fixture_describe(theirs, "alias/a");
    ck_assert_uint_eq(info.minimum_version, bounds[_i].minimum);
    ck_assert_uint_eq(info.version_window, bounds[_i].window);
    ck_assert_uint_eq(info.lowest_version, bounds[_i].lowest);
    only_from(bounds[_i].lowest);
    ck_assert_uint_eq(encrypts_under(theirs), bounds[_i].primary);
    fixture_ok(kms_verify(store));
    fixture_ok(kms_set_minimum_version(store, id, 0, 0));
    only_from(1);
    finish();
}
END_TEST

START_TEST(a_window_follows_the_primary_version)
{
    setup();
    fixture_ok(kms_set_minimum_version(store, id, 0, 2));
    only_from(3);
    ck_assert_uint_eq(fixture_rotate(theirs, id), 6);
    only_from(4);
    fixture_ok(kms_update_primary_version(theirs, id, 3));
    only_from(1);
    fixture_ok(kms_update_primary_version(theirs, id, 5));
    only_from(3);
    /* A window does not keep an older version from being primary again: it follows. */
    fixture_ok(kms_update_primary_version(theirs, id, 2));
    ck_assert_uint_eq(encrypts_under(store), 2);
    only_from(1);
    finish();
}
END_TEST

START_TEST(a_bound_that_the_primary_version_could_not_meet_is_refused)
{
    setup();
    fixture_ok(kms_update_primary_version(store, id, 4));
    fixture_ok(kms_set_minimum_version(store, id, 2, 3));
    fixture_is(kms_set_minimum_version(store, id, 5, 0), KMS_ERR_INVALID_ARGUMENT);
    fixture_says(id);
    fixture_says("primary version 4");
    fixture_is(kms_set_minimum_version(store, id, UINT32_MAX, 0), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_set_minimum_version(store, id, 0, KMS_KEY_VERSIONS_MAX),
               KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_set_minimum_version(store, id, 0, UINT32_MAX), KMS_ERR_INVALID_ARGUMENT);
    ck_assert_uint_eq(fixture_describe(store, id).minimum_version, 2);
    ck_assert_uint_eq(fixture_describe(store, id).version_window, 3);
    finish();
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {a_disabled_version_is_refused_by_every_handle_until_it_is_enabled_again, VERSIONS - 1},
        {what_is_so_already_is_no_change, 0},
        {the_primary_version_cannot_be_disabled_nor_destroyed, VERSIONS - 1},
        {versions_of_a_key_in_any_state_can_be_changed, 4},
        {a_change_of_a_version_checks_its_arguments, CHANGES},
        {the_versions_of_a_service_key_are_its_services, CHANGES},
        {a_bad_rotation_is_undone_and_done_again, 0},
        {a_key_whose_primary_version_is_an_old_one_rotates_to_the_next_number, 0},
        {a_version_that_could_not_be_used_is_not_made_primary, NOT_PRIMARY},
        {an_imported_version_that_is_primary_again_brings_its_expiry_with_it, 0},
        {versions_below_the_higher_bound_decrypt_no_more_until_it_is_lowered, BOUNDS},
        {a_window_follows_the_primary_version, 0},
        {a_bound_that_the_primary_version_could_not_meet_is_refused, 0},
    };

    return fixture_main("version_life", tests, sizeof tests / sizeof *tests, 60);
}
