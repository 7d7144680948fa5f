/* Tags and descriptions: their limits, all keys of a call or none, and no write where nothing changes. */
#include "support/api_fixture.h"

#include <stdlib.h>
#include <string.h>

#define NOBODY "00000000-0000-4000-8000-000000000000"
#define KEYS (KMS_TAG_RESOURCES_MAX + 1)

static place here;
static kms_store *store;
static char ids[KEYS][KMS_KEY_ID_SIZE];
#define ID (ids[0])

static void setup(int keys)
{
    place_init(&here);
    store = place_open(&here);
    for (int i = 0; i < keys; i++)
        fixture_create_key(store, ids[i]);
    fixture_ok(kms_create_alias(store, "alias/a", ID));
}

static void finish(void)
{
    fixture_ok(kms_verify(store));
    kms_close(store);
    place_free(&here);
}

/* A text of that many letters; it lasts as long as the test, which is a process of its own. */
static const char *letters(size_t count, char letter)
{
    static char room[1 << 18];
    static size_t taken;
    char *text = room + taken;

    ck_assert_uint_le(count + 1, sizeof room - taken);
    taken += count + 1;
    memset(text, letter, count);
    text[count] = '\0';
    return text;
}

/* A key has these tags, written "name=value name=value", in this order. */
static void has_tags(const char *keyref, const char *wanted)
{
    kms_tag_info tags[KMS_TAGS_MAX];
    char told[sizeof tags + KMS_TAGS_MAX] = "";
    size_t count = 77;

    fixture_ok(kms_list_resource_tags(store, keyref, tags, KMS_TAGS_MAX, &count));
    for (size_t i = 0; i < count; i++) {
        strcat(told, i > 0 ? " " : "");
        strcat(strcat(strcat(told, tags[i].name), "="), tags[i].value);
    }
    ck_assert_str_eq(told, wanted);
}

static void tag(const char *key_id, const char *name, const char *value)
{
    const kms_tag one = {name, value};

    fixture_ok(kms_tag_resource(store, key_id, &one, 1));
}

/* --- setting and taking away ----------------------------------------------------------------------- */

START_TEST(tags_are_told_in_the_order_of_their_names_and_the_last_value_holds)
{
    static const kms_tag first[] = {{"b", "2"}, {"a", ""}, {"\xc3\xa4", "5"}};
    static const kms_tag second[] = {{"ab", "3"}, {"b", "4"}, {"B", "1"}};

    setup(1);
    has_tags(ID, "");
    fixture_ok(kms_tag_resource(store, ID, first, 3));
    has_tags(ID, "a= b=2 \xc3\xa4=5");
    fixture_ok(kms_tag_resource(store, ID, second, 3));
    has_tags("alias/a", "B=1 a= ab=3 b=4 \xc3\xa4=5");
    tag(ID, "a", "some");
    tag(ID, "ab", "");
    has_tags(ID, "B=1 a=some ab= b=4 \xc3\xa4=5");
    kms_close(store);
    store = place_open(&here);
    has_tags(ID, "B=1 a=some ab= b=4 \xc3\xa4=5");
    finish();
}
END_TEST

START_TEST(tags_are_taken_away_by_name_or_all_at_once)
{
    static const kms_tag tags[] = {{"a", "1"}, {"b", "2"}, {"c", "3"}, {"d", "4"}};
    const char *const some[] = {"d", "none", "b", "b"};
    stolen_set set;

    setup(1);
    fixture_ok(kms_tag_resource(store, ID, tags, 4));
    fixture_ok(kms_untag_resource(store, ID, some, 4));
    has_tags(ID, "a=1 c=3");
    fixture_ok(kms_untag_resource(store, ID, NULL, 0));
    has_tags(ID, "");
    /* Nothing is left of them. */
    set = place_steal(&here);
    for (size_t i = 0; i < set.count; i++)
        ck_assert_int_ne(set.records[i].key[0], 'T');
    stolen_free(&set);
    tag(ID, "a", "again");
    has_tags(ID, "a=again");
    finish();
}
END_TEST

START_TEST(a_key_is_made_with_its_tags_and_description)
{
    static const kms_tag tags[] = {{"b", "2"}, {"a", "1"}};
    kms_create_key_options options = KMS_CREATE_KEY_OPTIONS_INIT;
    char text[16];

    setup(1);
    options.tags = tags;
    options.tag_count = 2;
    options.description = "of bills";
    fixture_ok(kms_ensure_alias(store, "alias/b", &options, NULL));
    has_tags("alias/b", "a=1 b=2");
    fixture_ok(kms_get_key_description(store, "alias/b", text, sizeof text));
    ck_assert_str_eq(text, "of bills");
    options.tag_count = KMS_TAGS_MAX + 1;
    fixture_is(kms_create_key(store, &options, ID), KMS_ERR_INVALID_ARGUMENT);
    options.tag_count = 0;
    options.description = letters(KMS_DESCRIPTION_MAX + 1, 'd');
    fixture_is(kms_create_key(store, &options, ID), KMS_ERR_INVALID_ARGUMENT);
    finish();
}
END_TEST

START_TEST(what_changes_nothing_writes_nothing)
{
    static const kms_tag tags[] = {{"a", "1"}, {"b", "2"}};
    const char *const none[] = {"c", "A"};

    setup(2);
    fixture_ok(kms_tag_resource(store, ID, tags, 2));
    fixture_ok(kms_update_key_description(store, ID, "text"));
    engine_reset_counts(&here.control);
    fixture_ok(kms_tag_resource(store, ID, tags, 2));
    fixture_ok(kms_tag_resource(store, ID, tags + 1, 1));
    fixture_ok(kms_untag_resource(store, ID, none, 2));
    fixture_ok(kms_untag_resource(store, ids[1], NULL, 0));
    fixture_ok(kms_update_key_description(store, ID, "text"));
    fixture_ok(kms_update_key_description(store, ids[1], NULL));
    fixture_ok(kms_update_key_description(store, ids[1], ""));
    ck_assert_uint_eq(engine_count(&here.control, ENGINE_PUT), 0);
    ck_assert_uint_eq(engine_count(&here.control, ENGINE_COMMIT), 0);
    finish();
}
END_TEST

/* --- limits ------------------------------------------------------------------------------------------ */

START_TEST(names_have_1_to_128_bytes_and_values_0_to_256)
{
    static const struct {
        int name, value;
        bool taken;
    } sizes[] = {{1, 0, true},     {128, 256, true}, {0, 1, false},
                 {129, 1, false},  {1000, 1, false}, {1, 257, false},
                 {1, 5000, false}, {-1, 1, false},   {1, -1, false}};
    const kms_tag one = {sizes[_i].name < 0 ? NULL : letters((size_t)sizes[_i].name, 'n'),
                         sizes[_i].value < 0 ? NULL : letters((size_t)sizes[_i].value, 'v')};
    kms_tag_info told[2];
    size_t count;

    setup(1);
    fixture_is(kms_tag_resource(store, ID, &one, 1),
               sizes[_i].taken ? KMS_OK : KMS_ERR_INVALID_ARGUMENT);
    fixture_ok(kms_list_resource_tags(store, ID, told, 2, &count));
    ck_assert_uint_eq(count, sizes[_i].taken ? 1 : 0);
    if (sizes[_i].taken) {
        ck_assert_str_eq(told[0].name, one.name);
        ck_assert_str_eq(told[0].value, one.value);
    }
    if (sizes[_i].value == 1)
        fixture_is(kms_untag_resource(store, ID, &one.name, 1), KMS_ERR_INVALID_ARGUMENT);
    finish();
}
END_TEST

START_TEST(a_key_has_at_most_20_tags)
{
    kms_tag tags[KMS_TAGS_MAX + 1];
    kms_tag_info told[KMS_TAGS_MAX];
    const char *names[KMS_TAGS_MAX + 1];
    size_t count = 77;

    setup(1);
    for (size_t i = 0; i <= KMS_TAGS_MAX; i++) {
        names[i] = letters(KMS_TAG_NAME_MAX, (char)('a' + i));
        tags[i] = (kms_tag){names[i], letters(KMS_TAG_VALUE_MAX, (char)('A' + i))};
    }
    fixture_is(kms_tag_resource(store, ID, tags, KMS_TAGS_MAX + 1), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_tag_resource(store, ID, tags, 0), KMS_ERR_INVALID_ARGUMENT);
    has_tags(ID, "");
    fixture_ok(kms_tag_resource(store, ID, tags, KMS_TAGS_MAX));
    fixture_is(kms_tag_resource(store, ID, tags + KMS_TAGS_MAX - 1, 2), KMS_ERR_LIMIT_EXCEEDED);
    fixture_says("20");
    fixture_is(kms_list_resource_tags(store, ID, told, KMS_TAGS_MAX - 1, &count),
               KMS_ERR_BUFFER_TOO_SMALL);
    fixture_is(kms_list_resource_tags(store, ID, NULL, 0, &count), KMS_ERR_BUFFER_TOO_SMALL);
    ck_assert_uint_eq(count, 77);
    fixture_ok(kms_list_resource_tags(store, ID, told, KMS_TAGS_MAX, &count));
    ck_assert_uint_eq(count, KMS_TAGS_MAX);
    for (size_t i = 0; i < KMS_TAGS_MAX; i++) {
        ck_assert_str_eq(told[i].name, tags[i].name);
        ck_assert_str_eq(told[i].value, tags[i].value);
    }
    /* Another value for one that is there is no 21st tag. */
    tag(ID, names[7], "short");
    fixture_ok(kms_untag_resource(store, ID, names, 1));
    fixture_ok(kms_tag_resource(store, ID, tags + KMS_TAGS_MAX, 1));
    finish();
}
END_TEST

START_TEST(arguments_are_checked)
{
    static const kms_tag twice[] = {{"a", "1"}, {"b", "2"}, {"a", "3"}};
    const char *const names[] = {"a", NULL};
    kms_tag_info told[1];
    size_t count = 77;

    setup(2);
    fixture_is(kms_tag_resource(store, ID, twice, 3), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_tag_resource(store, ID, NULL, 1), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_tag_resource(store, "alias/a", twice, 1), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_tag_resource(store, NULL, twice, 1), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_tag_resource(NULL, ID, twice, 1), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_tag_resource(store, NOBODY, twice, 1), KMS_ERR_KEY_NOT_FOUND);
    fixture_is(kms_untag_resource(store, ID, names, 2), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_untag_resource(store, ID, names, 0), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_untag_resource(store, ID, NULL, 1), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_untag_resource(store, "alias/a", NULL, 0), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_untag_resource(store, NOBODY, NULL, 0), KMS_ERR_KEY_NOT_FOUND);
    fixture_is(kms_untag_resource(NULL, ID, NULL, 0), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_list_resource_tags(store, ID, NULL, 1, &count), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_list_resource_tags(store, ID, told, 1, NULL), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_list_resource_tags(store, "what", told, 1, &count), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_list_resource_tags(store, NOBODY, told, 1, &count), KMS_ERR_KEY_NOT_FOUND);
    fixture_is(kms_list_resource_tags(store, "alias/b", told, 1, &count), KMS_ERR_ALIAS_NOT_FOUND);
    fixture_is(kms_list_resource_tags(NULL, ID, told, 1, &count), KMS_ERR_INVALID_ARGUMENT);
    ck_assert_uint_eq(count, 77);
    fixture_ok(kms_list_resource_tags(store, ID, NULL, 0, &count));
    ck_assert_uint_eq(count, 0);
    kms_close(store);
    fixture_ok(place_try_open(&here, &store, KMS_OPEN_READ_ONLY, NULL));
    fixture_is(kms_tag_resource(store, ID, twice, 1), KMS_ERR_READ_ONLY);
    fixture_is(kms_untag_resource(store, ID, NULL, 0), KMS_ERR_READ_ONLY);
    fixture_is(kms_update_key_description(store, ID, "x"), KMS_ERR_READ_ONLY);
    finish();
}
END_TEST

/* --- many keys ----------------------------------------------------------------------------------------- */

#define ALL ((const char(*)[KMS_KEY_ID_SIZE])ids)

START_TEST(fifty_keys_are_tagged_and_untagged_in_one_change)
{
    static const kms_tag tags[] = {{"team", "red"}, {"cost", "7"}};
    const char *const names[] = {"cost"};
    uint64_t before;

    setup(KEYS);
    before = fixture_changes(store);
    fixture_ok(kms_tag_resources(store, ALL, KMS_TAG_RESOURCES_MAX, tags, 2));
    ck_assert_uint_eq(fixture_changes(store), before + 1);
    for (int i = 0; i < KEYS; i++)
        has_tags(ids[i], i < KMS_TAG_RESOURCES_MAX ? "cost=7 team=red" : "");
    fixture_ok(kms_untag_resources(store, ALL, KMS_TAG_RESOURCES_MAX, names, 1));
    ck_assert_uint_eq(fixture_changes(store), before + 2);
    has_tags(ids[49], "team=red");
    fixture_ok(kms_untag_resources(store, ALL, KMS_TAG_RESOURCES_MAX, NULL, 0));
    ck_assert_uint_eq(fixture_changes(store), before + 3);
    for (int i = 0; i < KEYS; i++)
        has_tags(ids[i], "");
    finish();
}
END_TEST

START_TEST(as_many_bytes_as_fifty_keys_can_be_given_are_taken)
{
    kms_tag tags[KMS_TAGS_MAX];

    setup(KMS_TAG_RESOURCES_MAX);
    for (size_t i = 0; i < KMS_TAGS_MAX; i++)
        tags[i] = (kms_tag){letters(KMS_TAG_NAME_MAX, (char)('a' + i)),
                            letters(KMS_TAG_VALUE_MAX, (char)('A' + i))};
    fixture_ok(kms_tag_resources(store, ALL, KMS_TAG_RESOURCES_MAX, tags, KMS_TAGS_MAX));
    fixture_ok(kms_untag_resources(store, ALL, KMS_TAG_RESOURCES_MAX, NULL, 0));
    finish();
}
END_TEST

static void make_unknown(char key_id[KMS_KEY_ID_SIZE])
{
    strcpy(key_id, NOBODY);
}

static void make_pending_deletion(char key_id[KMS_KEY_ID_SIZE])
{
    fixture_ok(kms_schedule_key_deletion(store, key_id, 0, NULL));
}

static void fill_up(char key_id[KMS_KEY_ID_SIZE])
{
    for (int letter = 'a'; letter < 'a' + KMS_TAGS_MAX; letter++)
        tag(key_id, letters(1, (char)letter), "");
}

static void make_malformed(char key_id[KMS_KEY_ID_SIZE])
{
    strcpy(key_id, "alias/a");
}

static void make_twice(char key_id[KMS_KEY_ID_SIZE])
{
    memcpy(key_id, ids[1], KMS_KEY_ID_SIZE);
}

static const struct {
    void (*spoil)(char key_id[KMS_KEY_ID_SIZE]);
    kms_status answer, untag_answer;
} spoilt[] = {
    {make_unknown, KMS_ERR_KEY_NOT_FOUND, KMS_ERR_KEY_NOT_FOUND},
    {make_pending_deletion, KMS_ERR_PENDING_DELETION, KMS_ERR_PENDING_DELETION},
    {fill_up, KMS_ERR_LIMIT_EXCEEDED, KMS_OK},
    {make_malformed, KMS_ERR_INVALID_ARGUMENT, KMS_ERR_INVALID_ARGUMENT},
    {make_twice, KMS_ERR_INVALID_ARGUMENT, KMS_ERR_INVALID_ARGUMENT},
};
#define SPOILT ((int)(sizeof spoilt / sizeof *spoilt))

START_TEST(one_key_that_cannot_be_tagged_keeps_all_from_it)
{
    static const kms_tag two[] = {{"one", "1"}, {"two", "2"}};
    uint64_t before;

    setup(5);
    tag(ids[0], "was", "there");
    /* The last of them. */
    spoilt[_i].spoil(ids[4]);
    before = fixture_changes(store);
    fixture_is(kms_tag_resources(store, ALL, 5, two, 2), spoilt[_i].answer);
    for (int i = 0; i < 4; i++)
        has_tags(ids[i], i == 0 ? "was=there" : "");
    ck_assert_uint_eq(fixture_changes(store), before);
    fixture_is(kms_untag_resources(store, ALL, 5, NULL, 0), spoilt[_i].untag_answer);
    has_tags(ids[0], spoilt[_i].untag_answer == KMS_OK ? "" : "was=there");
    finish();
}
END_TEST

START_TEST(calls_for_many_keys_check_their_arguments)
{
    static const kms_tag one = {"a", "1"};

    setup(KEYS);
    fixture_is(kms_tag_resources(store, ALL, KEYS, &one, 1), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_tag_resources(store, ALL, 0, &one, 1), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_tag_resources(store, NULL, 1, &one, 1), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_tag_resources(store, ALL, 1, NULL, 1), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_tag_resources(NULL, ALL, 1, &one, 1), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_untag_resources(store, ALL, KEYS, NULL, 0), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_untag_resources(store, ALL, 0, NULL, 0), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_untag_resources(store, NULL, 1, NULL, 0), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_untag_resources(NULL, ALL, 1, NULL, 0), KMS_ERR_INVALID_ARGUMENT);
    for (int i = 0; i < KEYS; i++)
        has_tags(ids[i], "");
    finish();
}
END_TEST

/* --- descriptions -------------------------------------------------------------------------------------- */

static void is_described(const char *keyref, const char *wanted)
{
    static char text[KMS_DESCRIPTION_MAX + 1];

    memset(text, 'z', sizeof text);
    fixture_ok(kms_get_key_description(store, keyref, text, strlen(wanted) + 1));
    ck_assert_str_eq(text, wanted);
    if (wanted[0] == '\0')
        return;
    memset(text, 'z', sizeof text);
    fixture_is(kms_get_key_description(store, keyref, text, strlen(wanted)),
               KMS_ERR_BUFFER_TOO_SMALL);
    ck_assert_int_eq(text[0], 'z');
}

START_TEST(a_description_has_up_to_8192_bytes_and_can_be_removed)
{
    const size_t sizes[] = {1, 2, 4095, 4096, 8191, 8192};
    char small[1];

    setup(1);
    is_described(ID, "");
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        fixture_ok(kms_update_key_description(store, ID, letters(sizes[i], (char)('a' + i))));
        is_described("alias/a", letters(sizes[i], (char)('a' + i)));
        fixture_ok(kms_verify(store));
    }
    fixture_is(kms_update_key_description(store, ID, letters(8193, 'x')), KMS_ERR_INVALID_ARGUMENT);
    is_described(ID, letters(8192, 'f'));
    fixture_ok(kms_update_key_description(store, ID, _i == 0 ? NULL : ""));
    is_described(ID, "");
    fixture_is(kms_get_key_description(store, ID, small, 0), KMS_ERR_BUFFER_TOO_SMALL);
    fixture_ok(kms_update_key_description(store, ID, "caf\xc3\xa9\n"));
    is_described(ID, "caf\xc3\xa9\n");
    finish();
}
END_TEST

START_TEST(descriptions_check_their_arguments)
{
    char text[8] = "before";

    setup(1);
    fixture_is(kms_update_key_description(store, "alias/a", "x"), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_update_key_description(store, NULL, "x"), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_update_key_description(NULL, ID, "x"), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_update_key_description(store, NOBODY, "x"), KMS_ERR_KEY_NOT_FOUND);
    fixture_is(kms_get_key_description(store, ID, NULL, 8), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_get_key_description(store, "what", text, 8), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_get_key_description(NULL, ID, text, 8), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_get_key_description(store, NOBODY, text, 8), KMS_ERR_KEY_NOT_FOUND);
    fixture_is(kms_get_key_description(store, "alias/b", text, 8), KMS_ERR_ALIAS_NOT_FOUND);
    ck_assert_str_eq(text, "before");
    make_pending_deletion(ID);
    fixture_is(kms_update_key_description(store, ID, "x"), KMS_ERR_PENDING_DELETION);
    fixture_says(ID);
    is_described(ID, "");
    finish();
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {tags_are_told_in_the_order_of_their_names_and_the_last_value_holds, 0},
        {tags_are_taken_away_by_name_or_all_at_once, 0},
        {a_key_is_made_with_its_tags_and_description, 0},
        {what_changes_nothing_writes_nothing, 0},
        {names_have_1_to_128_bytes_and_values_0_to_256, 9},
        {a_key_has_at_most_20_tags, 0},
        {arguments_are_checked, 0},
        {fifty_keys_are_tagged_and_untagged_in_one_change, 0},
        {as_many_bytes_as_fifty_keys_can_be_given_are_taken, 0},
        {one_key_that_cannot_be_tagged_keeps_all_from_it, SPOILT},
        {calls_for_many_keys_check_their_arguments, 0},
        {a_description_has_up_to_8192_bytes_and_can_be_removed, 2},
        {descriptions_check_their_arguments, 0},
    };

    return fixture_main("tags", tests, sizeof tests / sizeof *tests, 60);
}
