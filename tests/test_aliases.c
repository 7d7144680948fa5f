/* Aliases: their names, moving them, and lists of them. */
#include "support/api_fixture.h"

#include <stdlib.h>
#include <string.h>

#define NOBODY "00000000-0000-4000-8000-000000000000"

static place here;
static kms_store *store;
static char key_a[KMS_KEY_ID_SIZE], key_b[KMS_KEY_ID_SIZE];

static void setup(void)
{
    place_init(&here);
    store = place_open(&here);
    fixture_create_key(store, key_a);
    fixture_create_key(store, key_b);
}

static void finish(void)
{
    fixture_ok(kms_verify(store));
    kms_close(store);
    place_free(&here);
}

/* --- names ---------------------------------------------------------------------------------- */

#define TEN "1234567890"
#define FIFTY TEN TEN TEN TEN TEN
#define LONGEST FIFTY FIFTY FIFTY FIFTY FIFTY "12345"

static const struct {
    const char *name;
    /* Whether it may be looked at, and whether users may make it. */
    bool name_of_an_alias, own;
} names[] = {
    {"alias/a", true, true},
    {"alias/MyAppKey", true, true},
    {"alias/0_-/Z", true, true},
    {"alias//", true, true},
    {"alias/alias/x", true, true},
    {"alias/ACS/x", true, true},
    {"alias/ac", true, true},
    {"alias/xacs", true, true},
    {"alias/" LONGEST, true, true},
    {"alias/acs", true, false},
    {"alias/acs/rds", true, false},
    {"alias/acsomething", true, false},
    {"alias/" LONGEST "x", false, false},
    {"alias/" LONGEST LONGEST, false, false},
    {NULL, false, false},
    {"", false, false},
    {"a", false, false},
    {"alias", false, false},
    {"alias/", false, false},
    {"ALIAS/a", false, false},
    {"/alias/a", false, false},
    {" alias/a", false, false},
    {"alias/a ", false, false},
    {"alias/a.b", false, false},
    {"alias/a:b", false, false},
    {"alias/a\n", false, false},
    {"alias/\xc3\xa4", false, false},
    {"alias/a@", false, false},
    {"alias/a[", false, false},
    {"alias/a`", false, false},
    {"alias/a{", false, false},
    {NOBODY, false, false},
};
#define NAMES (sizeof names / sizeof *names)

START_TEST(a_name_is_taken_or_refused_by_every_call_alike)
{
    const char *name = names[_i].name;
    kms_status changing = names[_i].own ? KMS_OK : KMS_ERR_INVALID_ARGUMENT;
    kms_status looking = names[_i].own                ? KMS_OK
                         : names[_i].name_of_an_alias ? KMS_ERR_ALIAS_NOT_FOUND
                                                      : KMS_ERR_INVALID_ARGUMENT;
    kms_status listing = names[_i].name_of_an_alias ? KMS_OK : KMS_ERR_INVALID_ARGUMENT;
    char made[KMS_KEY_ID_SIZE];
    kms_alias_info info;
    size_t count;

    setup();
    fixture_is(kms_ensure_alias(store, name, NULL, made), changing);
    fixture_is(kms_update_alias(store, name, key_a), changing);
    fixture_is(kms_describe_alias(store, name, &info), looking);
    if (names[_i].own)
        ck_assert_str_eq(info.name, name);
    if (name != NULL)
        fixture_is(kms_list_aliases(store, name, &info, 1, &count, NULL), listing);
    fixture_is(kms_would(store, KMS_OP_DELETE_ALIAS, name), changing);
    fixture_is(kms_delete_alias(store, name), changing);
    fixture_is(kms_create_alias(store, name, key_b), changing);
    if (!names[_i].own)
        ck_assert_uint_eq(fixture_changes(store), 2);
    finish();
}
END_TEST

START_TEST(a_refused_name_tells_why)
{
    setup();
    fixture_is(kms_create_alias(store, "MyAppKey", key_a), KMS_ERR_INVALID_ARGUMENT);
    fixture_says("alias/NAME");
    fixture_is(kms_create_alias(store, "alias/acs/x", key_a), KMS_ERR_INVALID_ARGUMENT);
    fixture_says("reserved");
    fixture_is(kms_create_alias(store, "alias/", key_a), KMS_ERR_INVALID_ARGUMENT);
    fixture_says("1 to 255");
    fixture_is(kms_create_alias(store, "alias/a b", key_a), KMS_ERR_INVALID_ARGUMENT);
    fixture_says("A-Z a-z 0-9");
    finish();
}
END_TEST

START_TEST(every_character_is_allowed_or_not)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-/";
    char name[] = "alias/x?y";
    kms_alias_info info;

    setup();
    for (int c = 1; c < 256; c++) {
        bool ok = strchr(allowed, c) != NULL;

        name[7] = (char)c;
        fixture_is(kms_describe_alias(store, name, &info),
                   ok ? KMS_ERR_ALIAS_NOT_FOUND : KMS_ERR_INVALID_ARGUMENT);
    }
    finish();
}
END_TEST

/* --- making, moving, deleting ---------------------------------------------------------------- */

START_TEST(an_alias_is_made_once)
{
    kms_alias_info info;

    setup();
    fixture_ok(kms_create_alias(store, "alias/a", key_a));
    fixture_is(kms_create_alias(store, "alias/a", key_a), KMS_ERR_ALREADY_EXISTS);
    fixture_is(kms_create_alias(store, "alias/a", key_b), KMS_ERR_ALREADY_EXISTS);
    fixture_says("kms_update_alias");
    info = fixture_describe_alias(store, "alias/a");
    ck_assert_str_eq(info.name, "alias/a");
    ck_assert_str_eq(info.key_id, key_a);
    ck_assert_str_eq(info.previous_key_id, "");
    ck_assert_int_eq(info.created_ms, info.moved_ms);
    for (size_t i = 0; i < sizeof info.reserved; i++)
        ck_assert_uint_eq(info.reserved[i], 0);
    fixture_is(kms_create_alias(store, "alias/b", NOBODY), KMS_ERR_KEY_NOT_FOUND);
    fixture_is(kms_describe_alias(store, "alias/b", &info), KMS_ERR_ALIAS_NOT_FOUND);
    finish();
}
END_TEST

START_TEST(a_moved_alias_remembers_the_key_before)
{
    kms_alias_info info;

    setup();
    fixture_ok(kms_create_alias(store, "alias/a", key_a));
    fixture_ok(kms_update_alias(store, "alias/a", key_b));
    info = fixture_describe_alias(store, "alias/a");
    ck_assert_str_eq(info.key_id, key_b);
    ck_assert_str_eq(info.previous_key_id, key_a);
    fixture_ok(kms_update_alias(store, "alias/a", key_a));
    info = fixture_describe_alias(store, "alias/a");
    ck_assert_str_eq(info.key_id, key_a);
    ck_assert_str_eq(info.previous_key_id, key_b);
    finish();
}
END_TEST

START_TEST(moving_an_alias_to_its_own_key_changes_nothing)
{
    kms_alias_info before, after;
    uint64_t changes;

    setup();
    fixture_ok(kms_create_alias(store, "alias/a", key_a));
    fixture_ok(kms_update_alias(store, "alias/a", key_b));
    before = fixture_describe_alias(store, "alias/a");
    changes = fixture_changes(store);
    fixture_ok(kms_update_alias(store, "alias/a", key_b));
    after = fixture_describe_alias(store, "alias/a");
    ck_assert_int_eq(memcmp(&before, &after, sizeof after), 0);
    ck_assert_uint_eq(fixture_changes(store), changes);
    finish();
}
END_TEST

START_TEST(an_alias_moves_only_to_a_key_that_is_there)
{
    setup();
    fixture_is(kms_update_alias(store, "alias/a", key_a), KMS_ERR_ALIAS_NOT_FOUND);
    fixture_is(kms_update_alias(store, "alias/a", NOBODY), KMS_ERR_ALIAS_NOT_FOUND);
    fixture_ok(kms_create_alias(store, "alias/a", key_a));
    fixture_is(kms_update_alias(store, "alias/a", NOBODY), KMS_ERR_KEY_NOT_FOUND);
    ck_assert_str_eq(fixture_describe_alias(store, "alias/a").key_id, key_a);
    finish();
}
END_TEST

START_TEST(the_next_encryption_uses_the_new_key_and_old_blobs_go_on_opening)
{
    uint8_t old[200], new[200];
    size_t old_len, new_len;
    kms_blob_info info;

    setup();
    fixture_ok(kms_create_alias(store, "alias/a", key_a));
    old_len = fixture_encrypt(store, "alias/a", "old", old, sizeof old);
    fixture_ok(kms_update_alias(store, "alias/a", key_b));
    new_len = fixture_encrypt(store, "alias/a", "new", new, sizeof new);
    fixture_ok(kms_inspect_blob(old, old_len, &info));
    ck_assert_str_eq(info.key_id, key_a);
    fixture_ok(kms_inspect_blob(new, new_len, &info));
    ck_assert_str_eq(info.key_id, key_b);
    fixture_opens_as(store, old, old_len, "old");
    fixture_opens_as(store, new, new_len, "new");
    finish();
}
END_TEST

START_TEST(deleting_an_alias_leaves_its_key)
{
    uint8_t blob[200];
    size_t len;

    setup();
    fixture_ok(kms_create_alias(store, "alias/a", key_a));
    len = fixture_encrypt(store, "alias/a", "kept", blob, sizeof blob);
    fixture_ok(kms_delete_alias(store, "alias/a"));
    fixture_is(kms_delete_alias(store, "alias/a"), KMS_ERR_ALIAS_NOT_FOUND);
    fixture_is(kms_encrypt(store, "alias/a", NULL, "x", 1, blob + 100, 100, &(size_t){0}),
               KMS_ERR_ALIAS_NOT_FOUND);
    ck_assert_int_eq(fixture_describe(store, key_a).state, KMS_KEY_ENABLED);
    fixture_opens_as(store, blob, len, "kept");
    fixture_ok(kms_create_alias(store, "alias/a", key_b));
    ck_assert_str_eq(fixture_describe_alias(store, "alias/a").previous_key_id, "");
    finish();
}
END_TEST

START_TEST(ensuring_finds_what_is_there_in_whatever_state)
{
    kms_create_key_options options = KMS_CREATE_KEY_OPTIONS_INIT;
    char id[KMS_KEY_ID_SIZE];

    setup();
    fixture_ok(kms_create_alias(store, "alias/a", key_a));
    fixture_ok(kms_disable_key(store, key_a));
    options.suite = fixture_has_suite_2(store) ? KMS_SUITE_AES_256_GCM : options.suite;
    fixture_ok(kms_ensure_alias(store, "alias/a", &options, id));
    ck_assert_str_eq(id, key_a);
    ck_assert_int_eq(fixture_describe(store, id).suite, KMS_SUITE_XCHACHA20_POLY1305);
    ck_assert_int_eq(fixture_describe(store, id).state, KMS_KEY_DISABLED);
    ck_assert_uint_eq(fixture_changes(store), 4);
    fixture_ok(kms_ensure_alias(store, "alias/new", &options, id));
    ck_assert_int_eq(fixture_describe(store, "alias/new").suite, options.suite);
    ck_assert_str_eq(fixture_describe_alias(store, "alias/new").key_id, id);
    fixture_ok(kms_ensure_alias(store, "alias/new", NULL, NULL));
    ck_assert_uint_eq(fixture_changes(store), 5);
    finish();
}
END_TEST

/* --- lists ---------------------------------------------------------------------------------- */

/* In the order of their bytes: upper case, underscore, lower case; a prefix first. */
static const char *const sorted[] = {"alias/-", "alias//",  "alias/0",   "alias/A",
                                     "alias/B", "alias/B-", "alias/B/1", "alias/_",
                                     "alias/a", "alias/aa", "alias/ab",  "alias/b"};
#define ALIASES (sizeof sorted / sizeof *sorted)

static void make_aliases(void)
{
    /* Every third is key_b's; made in another order than they are listed. */
    for (size_t i = 0; i < ALIASES; i++) {
        size_t at = (i * 7 + 3) % ALIASES;

        fixture_ok(kms_create_alias(store, sorted[at], at % 3 == 0 ? key_b : key_a));
    }
}

/* Walks the list of all aliases, or of one key's. */
static void walk(size_t limit, const char *key_id, const char *const *wanted, size_t total)
{
    kms_alias_info page[ALIASES + 1];
    const char *marker = NULL;
    size_t seen = 0, count;
    bool more = true;

    while (more) {
        if (key_id == NULL)
            fixture_ok(kms_list_aliases(store, marker, page, limit, &count, &more));
        else
            fixture_ok(
                kms_list_aliases_by_key_id(store, key_id, marker, page, limit, &count, &more));
        ck_assert_uint_eq(count, total - seen < limit ? total - seen : limit);
        for (size_t i = 0; i < count; i++) {
            kms_alias_info described = fixture_describe_alias(store, wanted[seen + i]);

            ck_assert_int_eq(memcmp(&page[i], &described, sizeof described), 0);
        }
        seen += count;
        ck_assert(more == (seen < total));
        marker = seen > 0 ? wanted[seen - 1] : NULL;
    }
    ck_assert_uint_eq(seen, total);
}

START_TEST(lists_give_every_alias_once_with_every_limit)
{
    size_t limit = (size_t)_i + 1, of_a = 0, of_b = 0;
    const char *a[ALIASES], *b[ALIASES];

    setup();
    make_aliases();
    for (size_t i = 0; i < ALIASES; i++) {
        if (i % 3 == 0)
            b[of_b++] = sorted[i];
        else
            a[of_a++] = sorted[i];
    }
    walk(limit, NULL, sorted, ALIASES);
    walk(limit, key_a, a, of_a);
    walk(limit, key_b, b, of_b);
    finish();
}
END_TEST

START_TEST(a_keys_list_follows_what_moves_and_goes)
{
    kms_alias_info page[4];
    size_t count;

    setup();
    fixture_ok(kms_create_alias(store, "alias/one", key_a));
    fixture_ok(kms_create_alias(store, "alias/two", key_a));
    fixture_ok(kms_update_alias(store, "alias/one", key_b));
    fixture_ok(kms_list_aliases_by_key_id(store, key_a, NULL, page, 4, &count, NULL));
    ck_assert_uint_eq(count, 1);
    ck_assert_str_eq(page[0].name, "alias/two");
    fixture_ok(kms_list_aliases_by_key_id(store, key_b, NULL, page, 4, &count, NULL));
    ck_assert_uint_eq(count, 1);
    ck_assert_str_eq(page[0].name, "alias/one");
    ck_assert_str_eq(page[0].previous_key_id, key_a);
    fixture_ok(kms_delete_alias(store, "alias/one"));
    fixture_ok(kms_list_aliases_by_key_id(store, key_b, NULL, page, 4, &count, NULL));
    ck_assert_uint_eq(count, 0);
    fixture_ok(kms_list_aliases(store, NULL, page, 4, &count, NULL));
    ck_assert_uint_eq(count, 1);
    finish();
}
END_TEST

START_TEST(a_marker_need_not_be_there)
{
    kms_alias_info page[2];
    size_t count;
    bool more;

    setup();
    make_aliases();
    fixture_ok(kms_list_aliases(store, "alias/AA", page, 1, &count, &more));
    ck_assert_str_eq(page[0].name, "alias/B");
    ck_assert(more);
    fixture_ok(kms_list_aliases(store, "alias/zzz", page, 1, &count, &more));
    ck_assert_uint_eq(count, 0);
    ck_assert(!more);
    fixture_ok(kms_list_aliases(store, "alias/acs/x", page, 1, &count, &more));
    ck_assert_str_eq(page[0].name, "alias/b");
    fixture_ok(kms_list_aliases(store, "alias/" LONGEST, page, 1, &count, &more));
    ck_assert_str_eq(page[0].name, "alias/A");
    finish();
}
END_TEST

START_TEST(lists_and_descriptions_check_their_arguments)
{
    kms_alias_info page[1];
    size_t count = 77;
    bool more = true;

    setup();
    fixture_is(kms_list_aliases(store, NULL, page, 0, &count, &more), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_list_aliases(store, NULL, NULL, 1, &count, &more), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_list_aliases(store, NULL, page, 1, NULL, &more), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_list_aliases(NULL, NULL, page, 1, &count, &more), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_list_aliases(store, key_a, page, 1, &count, &more), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_list_aliases_by_key_id(store, NULL, NULL, page, 1, &count, &more),
               KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_list_aliases_by_key_id(store, "alias/a", NULL, page, 1, &count, &more),
               KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_list_aliases_by_key_id(store, key_a, "a", page, 1, &count, &more),
               KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_list_aliases_by_key_id(store, key_a, NULL, page, 0, &count, &more),
               KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_list_aliases_by_key_id(store, NOBODY, NULL, page, 1, &count, &more),
               KMS_ERR_KEY_NOT_FOUND);
    ck_assert_uint_eq(count, 77);
    ck_assert(more);
    fixture_is(kms_describe_alias(store, "alias/a", NULL), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_describe_alias(NULL, "alias/a", page), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_create_alias(NULL, "alias/a", key_a), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_update_alias(NULL, "alias/a", key_a), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_delete_alias(NULL, "alias/a"), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_ensure_alias(NULL, "alias/a", NULL, NULL), KMS_ERR_INVALID_ARGUMENT);
    finish();
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {a_name_is_taken_or_refused_by_every_call_alike, NAMES},
        {a_refused_name_tells_why, 0},
        {every_character_is_allowed_or_not, 0},
        {an_alias_is_made_once, 0},
        {a_moved_alias_remembers_the_key_before, 0},
        {moving_an_alias_to_its_own_key_changes_nothing, 0},
        {an_alias_moves_only_to_a_key_that_is_there, 0},
        {the_next_encryption_uses_the_new_key_and_old_blobs_go_on_opening, 0},
        {deleting_an_alias_leaves_its_key, 0},
        {ensuring_finds_what_is_there_in_whatever_state, 0},
        {lists_give_every_alias_once_with_every_limit, ALIASES + 1},
        {a_keys_list_follows_what_moves_and_goes, 0},
        {a_marker_need_not_be_there, 0},
        {lists_and_descriptions_check_their_arguments, 0},
    };

    return fixture_main("aliases", tests, sizeof tests / sizeof *tests, 60);
}
