/* Custom data encryption with manual rotation, step by step as a cloud KMS's manual tells it: an
 * application encrypts fields before they go to its database, and its modules never change. With
 * keys of every origin, before the rotation and after it. */
#include "support/import_fixture.h"

#include <string.h>

#define ALIAS "alias/MyAppKey"

static place here;
static kms_store *administrator;

typedef struct row {
    const char *field;
    const char *plain;
    uint8_t blob[KMS_CIPHERTEXT_SIZE(128)];
    size_t blob_len;
} row;

static row before[] = {{.field = "id_card", .plain = "110101199003074899"},
                       {.field = "credit_card", .plain = "4111111111111111"},
                       {.field = "home_address", .plain = "221B Baker Street, London"}};
static row after[] = {{.field = "id_card", .plain = "330106198805121237"},
                      {.field = "credit_card", .plain = "5500005555555559"},
                      {.field = "home_address", .plain = "12 Grimmauld Place, London"}};
#define ROWS (sizeof before / sizeof *before)

/* The application's two modules. They know the alias, and no key. */
static void encrypting_module(kms_store *store, row *r)
{
    const kms_context_pair pair = {"column", r->field};
    const kms_context context = {&pair, 1};

    fixture_ok(kms_encrypt(store, ALIAS, &context, r->plain, strlen(r->plain), r->blob,
                           sizeof r->blob, &r->blob_len));
}

static void decrypting_module(kms_store *store, const row *r)
{
    const kms_context_pair pair = {"column", r->field};
    const kms_context context = {&pair, 1};
    char plain[128];
    size_t len;

    fixture_ok(kms_decrypt(store, &context, r->blob, r->blob_len, plain, sizeof plain, &len));
    ck_assert_uint_eq(len, strlen(r->plain));
    ck_assert_int_eq(memcmp(plain, r->plain, len), 0);
}

static void check_made_by(const row *r, const char *key_id)
{
    kms_blob_info info;

    fixture_ok(kms_inspect_blob(r->blob, r->blob_len, &info));
    ck_assert_str_eq(info.key_id, key_id);
    ck_assert_ptr_null(memmem(r->blob, r->blob_len, r->plain, strlen(r->plain)));
}

/* --- the keys, of every origin ------------------------------------------------------------------ */

typedef enum origin { DRAWN, IMPORTED, OF_A_SERVICE } origin;

/* Which CMK-A is replaced by which CMK-B; those behind the first four begin with a service's key. */
static const struct {
    origin a, b;
} pairs[] = {{DRAWN, DRAWN},       {DRAWN, IMPORTED},     {IMPORTED, DRAWN},
             {IMPORTED, IMPORTED}, {OF_A_SERVICE, DRAWN}, {OF_A_SERVICE, IMPORTED}};
#define PAIRS 6
#define PAIRS_OF_USERS 4

static void make_key(origin of, char id[KMS_KEY_ID_SIZE])
{
    static import_parcel parcel;

    if (of == DRAWN)
        fixture_create_key(administrator, id);
    if (of == OF_A_SERVICE)
        fixture_ok(kms_service_key(administrator, "MyDatabase", id));
    if (of != IMPORTED)
        return;
    import_create(administrator, id);
    import_pack(administrator, id, KMS_WRAPPING_SEALED_BOX, 1, &parcel);
    fixture_ok(kms_import_key_material(administrator, id, &parcel.import));
}

/* No key but a drawn one can be rotated another way; and each says that this one is open. */
static void check_other_ways(origin of, const char *id)
{
    if (of == DRAWN)
        return;
    fixture_is(kms_create_key_version(administrator, id, NULL), KMS_ERR_UNSUPPORTED);
    fixture_says("make a new key and move the alias to it");
    fixture_is(kms_update_rotation_policy(administrator, id, true, 30), KMS_ERR_UNSUPPORTED);
    fixture_says("make a new key and move the alias to it");
}

/* --- the scenario ------------------------------------------------------------------------------- */

static void set_up(origin of, char cmk_a[KMS_KEY_ID_SIZE])
{
    /* 1. The administrator makes a key: CMK-A. */
    make_key(of, cmk_a);
    check_other_ways(of, cmk_a);
    /* 2. The administrator binds the alias to CMK-A. */
    fixture_ok(kms_create_alias(administrator, ALIAS, cmk_a));
    for (size_t i = 0; i < ROWS; i++) {
        /* 3. The encrypting module names the alias; CMK-A encrypts. */
        encrypting_module(administrator, &before[i]);
        check_made_by(&before[i], cmk_a);
        /* 4. The decrypting module names no key. */
        decrypting_module(administrator, &before[i]);
    }
}

static void rotate_by_hand(origin of, const char *cmk_a, char cmk_b[KMS_KEY_ID_SIZE])
{
    /* 1. The administrator makes another key: CMK-B. */
    make_key(of, cmk_b);
    ck_assert_str_ne(cmk_a, cmk_b);
    /* Until the alias moves, nothing changes for the application. */
    encrypting_module(administrator, &after[0]);
    check_made_by(&after[0], cmk_a);
    /* 2. The administrator moves the alias to CMK-B. */
    fixture_ok(kms_update_alias(administrator, ALIAS, cmk_b));
    for (size_t i = 0; i < ROWS; i++) {
        /* 3. The encrypting module, unchanged, now encrypts with CMK-B. */
        encrypting_module(administrator, &after[i]);
        check_made_by(&after[i], cmk_b);
    }
    for (size_t i = 0; i < ROWS; i++) {
        /* 4. The decrypting module, unchanged, opens old data with CMK-A and new with CMK-B. */
        decrypting_module(administrator, &before[i]);
        decrypting_module(administrator, &after[i]);
    }
}

START_TEST(manual_rotation_goes_step_by_step_as_the_manual_says)
{
    char cmk_a[KMS_KEY_ID_SIZE], cmk_b[KMS_KEY_ID_SIZE];
    kms_alias_info info;

    place_init(&here);
    administrator = place_open(&here);
    set_up(pairs[_i].a, cmk_a);
    rotate_by_hand(pairs[_i].b, cmk_a, cmk_b);
    info = fixture_describe_alias(administrator, ALIAS);
    ck_assert_str_eq(info.key_id, cmk_b);
    ck_assert_str_eq(info.previous_key_id, cmk_a);
    /* A service's own alias stays where it is. */
    if (pairs[_i].a == OF_A_SERVICE)
        ck_assert_str_eq(fixture_describe_alias(administrator, "alias/acs/MyDatabase").key_id,
                         cmk_a);
    fixture_ok(kms_verify(administrator));
    /* A new start of the application finds it so. */
    kms_close(administrator);
    administrator = place_open(&here);
    for (size_t i = 0; i < ROWS; i++) {
        decrypting_module(administrator, &before[i]);
        decrypting_module(administrator, &after[i]);
        encrypting_module(administrator, &after[i]);
        check_made_by(&after[i], cmk_b);
    }
    kms_close(administrator);
    place_free(&here);
}
END_TEST

START_TEST(old_data_needs_its_key_until_it_is_encrypted_anew)
{
    char cmk_a[KMS_KEY_ID_SIZE], cmk_b[KMS_KEY_ID_SIZE];
    char plain[128];
    size_t len;

    place_init(&here);
    administrator = place_open(&here);
    set_up(pairs[_i].a, cmk_a);
    rotate_by_hand(pairs[_i].b, cmk_a, cmk_b);
    fixture_ok(kms_disable_key(administrator, cmk_a));
    fixture_is(kms_decrypt(administrator, NULL, before[0].blob, before[0].blob_len, plain,
                           sizeof plain, &len),
               KMS_ERR_DISABLED);
    decrypting_module(administrator, &after[0]);
    fixture_ok(kms_enable_key(administrator, cmk_a));
    for (size_t i = 0; i < ROWS; i++) {
        decrypting_module(administrator, &before[i]);
        encrypting_module(administrator, &before[i]);
    }
    fixture_ok(kms_disable_key(administrator, cmk_a));
    for (size_t i = 0; i < ROWS; i++) {
        check_made_by(&before[i], cmk_b);
        decrypting_module(administrator, &before[i]);
    }
    kms_close(administrator);
    place_free(&here);
}
END_TEST

START_TEST(a_rotation_that_was_a_mistake_is_undone_by_moving_the_alias_back)
{
    char cmk_a[KMS_KEY_ID_SIZE], cmk_b[KMS_KEY_ID_SIZE];

    place_init(&here);
    administrator = place_open(&here);
    set_up(pairs[_i].a, cmk_a);
    rotate_by_hand(pairs[_i].b, cmk_a, cmk_b);
    fixture_ok(kms_update_alias(administrator, ALIAS,
                                fixture_describe_alias(administrator, ALIAS).previous_key_id));
    encrypting_module(administrator, &before[0]);
    check_made_by(&before[0], cmk_a);
    for (size_t i = 0; i < ROWS; i++)
        decrypting_module(administrator, &after[i]);
    kms_close(administrator);
    place_free(&here);
}
END_TEST

START_TEST(a_field_that_was_pasted_into_another_column_does_not_open)
{
    const kms_context_pair pair = {"column", "credit_card"};
    const kms_context context = {&pair, 1};
    char cmk_a[KMS_KEY_ID_SIZE], plain[128];
    size_t len;

    place_init(&here);
    administrator = place_open(&here);
    set_up(DRAWN, cmk_a);
    fixture_is(kms_decrypt(administrator, &context, before[0].blob, before[0].blob_len, plain,
                           sizeof plain, &len),
               KMS_ERR_INVALID_CIPHERTEXT);
    fixture_says("another encryption context");
    kms_close(administrator);
    place_free(&here);
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {manual_rotation_goes_step_by_step_as_the_manual_says, PAIRS},
        {old_data_needs_its_key_until_it_is_encrypted_anew, PAIRS_OF_USERS},
        {a_rotation_that_was_a_mistake_is_undone_by_moving_the_alias_back, PAIRS},
        {a_field_that_was_pasted_into_another_column_does_not_open, 0},
    };

    return fixture_main("scenario_manual_rotation", tests, sizeof tests / sizeof *tests, 60);
}
