/* Finding keys: exactly those for which every member of a filter holds, each once, page by page. */
#include "support/hand_clock.h"

#include <stdlib.h>
#include <string.h>

static place here;
static hand_clock hand = {HAND_START};
static kms_store *store;

#define STATE(state) KMS_FILTER_BIT(KMS_KEY_##state)

/* What is known of a key, as the bits and texts that a filter may ask for. */
typedef struct fact {
    uint32_t state, origin, creator;
    const char *team, *cost;
    const char *aliases[2];
    bool due;
    char id[KMS_KEY_ID_SIZE];
} fact;

#define DRAWN KMS_FILTER_BIT(KMS_KEY_ORIGIN_KMS)
#define EXTERNAL KMS_FILTER_BIT(KMS_KEY_ORIGIN_EXTERNAL)
#define USER KMS_FILTER_BIT(KMS_KEY_CREATOR_USER)
#define SERVICE KMS_FILTER_BIT(KMS_KEY_CREATOR_SERVICE)

static fact facts[] = {
    {STATE(ENABLED), DRAWN, USER, "red", NULL, {"alias/pay/a", NULL}, false, ""},
    {STATE(DISABLED), DRAWN, USER, "blue", NULL, {"alias/pay/b", NULL}, false, ""},
    {STATE(PENDING_DELETION), DRAWN, USER, "red", "", {"alias/log/a", NULL}, false, ""},
    {STATE(PENDING_DELETION), DRAWN, USER, "red", "9", {"alias/pay/c", NULL}, true, ""},
    {STATE(PENDING_IMPORT), EXTERNAL, USER, NULL, NULL, {NULL, NULL}, false, ""},
    {STATE(PENDING_IMPORT), EXTERNAL, USER, "red", "9", {"alias/pay/d", NULL}, false, ""},
    {STATE(ENABLED), DRAWN, USER, "", "9", {"alias/pay", NULL}, false, ""},
    {STATE(ENABLED), DRAWN, SERVICE, NULL, NULL, {"alias/acs/pay", NULL}, false, ""},
    {STATE(ENABLED), DRAWN, SERVICE, "red", "9", {"alias/acs/log", "alias/log/c"}, false, ""},
    {STATE(ENABLED), DRAWN, USER, NULL, "9", {"alias/pay/a2", "alias/log/b"}, false, ""},
    {STATE(ENABLED), DRAWN, USER, "red", NULL, {NULL, NULL}, true, ""},
    {STATE(DISABLED), DRAWN, USER, NULL, "9", {"alias/log/d", "alias/zz"}, true, ""},
};
#define KEYS (sizeof facts / sizeof *facts)

static void create(fact *f)
{
    kms_create_key_options options = KMS_CREATE_KEY_OPTIONS_INIT;

    options.origin = f->origin == EXTERNAL ? KMS_KEY_ORIGIN_EXTERNAL : KMS_KEY_ORIGIN_KMS;
    if (f->creator == SERVICE)
        fixture_ok(kms_service_key(store, f->aliases[0] + strlen("alias/acs/"), f->id));
    else
        fixture_ok(kms_create_key(store, &options, f->id));
    for (size_t i = f->creator == SERVICE ? 1 : 0; i < 2; i++)
        if (f->aliases[i] != NULL)
            fixture_ok(kms_create_alias(store, f->aliases[i], f->id));
}

static void tag(const fact *f)
{
    const kms_tag team = {"team", f->team}, cost = {"cost", f->cost};

    if (f->team != NULL)
        fixture_ok(kms_tag_resource(store, f->id, &team, 1));
    if (f->cost != NULL)
        fixture_ok(kms_tag_resource(store, f->id, &cost, 1));
}

static void bring_to_state(const fact *f)
{
    bool pending = f->state == STATE(PENDING_DELETION);

    if (f->state == STATE(DISABLED))
        fixture_ok(kms_disable_key(store, f->id));
    if (pending)
        fixture_ok(kms_schedule_key_deletion(store, f->id, f->due ? 7 : 8, NULL));
    if (pending || f->creator == SERVICE || f->origin == EXTERNAL)
        return;
    /* Of its versions, one is destroyed, or will be. */
    fixture_ok(kms_enable_key(store, f->id));
    fixture_rotate(store, f->id);
    fixture_ok(kms_schedule_key_version_destruction(store, f->id, 1, f->due ? 7 : 8, NULL));
    if (f->state == STATE(DISABLED))
        fixture_ok(kms_disable_key(store, f->id));
}

static int by_id(const void *a, const void *b)
{
    return strcmp(((const fact *)a)->id, ((const fact *)b)->id);
}

static void setup(void)
{
    place_init(&here);
    store = hand_open(&here, &hand, 0, NULL);
    for (size_t i = 0; i < KEYS; i++) {
        create(&facts[i]);
        tag(&facts[i]);
        bring_to_state(&facts[i]);
    }
    hand.now_ms += 7 * DAY_MS;
    qsort(facts, KEYS, sizeof *facts, by_id);
}

static void finish(void)
{
    fixture_ok(kms_verify(store));
    kms_close(store);
    place_free(&here);
}

/* --- every filter ------------------------------------------------------------------------------------ */

static bool tag_fits(const fact *f, const kms_key_filter *filter)
{
    const char *value = NULL;

    if (filter->tag_name == NULL)
        return true;
    if (strcmp(filter->tag_name, "team") == 0)
        value = f->team;
    else if (strcmp(filter->tag_name, "cost") == 0)
        value = f->cost;
    return value != NULL && (filter->tag_value == NULL || strcmp(filter->tag_value, value) == 0);
}

static bool alias_fits(const fact *f, const kms_key_filter *filter)
{
    bool fits = filter->alias_prefix == NULL;

    for (size_t i = 0; i < 2; i++)
        if (!fits && f->aliases[i] != NULL)
            fits = strncmp(f->aliases[i], filter->alias_prefix, strlen(filter->alias_prefix)) == 0;
    return fits;
}

static bool fits(const fact *f, const kms_key_filter *filter)
{
    return (filter->states == 0 || (filter->states & f->state) != 0) &&
           (filter->origins == 0 || (filter->origins & f->origin) != 0) &&
           (filter->creators == 0 || (filter->creators & f->creator) != 0) && tag_fits(f, filter) &&
           alias_fits(f, filter) && (!filter->purge_due || f->due);
}

/* Pages give exactly the keys that fit, each once and in order; gives how many those are. */
static size_t finds_what_fits(const kms_key_filter *filter, size_t limit)
{
    char page[KEYS + 1][KMS_KEY_ID_SIZE], last[KMS_KEY_ID_SIZE];
    size_t found = 0, count, at = 0;
    bool more = true;

    while (more) {
        fixture_ok(
            kms_find_keys(store, filter, found > 0 ? last : NULL, page, limit, &count, &more));
        ck_assert(count == limit || !more);
        for (size_t i = 0; i < count; i++, at++, found++) {
            while (at < KEYS && !fits(&facts[at], filter))
                at++;
            ck_assert_uint_lt(at, KEYS);
            ck_assert_str_eq(page[i], facts[at].id);
        }
        if (count > 0)
            strcpy(last, page[count - 1]);
    }
    while (at < KEYS)
        ck_assert(!fits(&facts[at++], filter));
    return found;
}

static const uint32_t states[] = {
    0, STATE(ENABLED), STATE(DISABLED) | STATE(PENDING_IMPORT), STATE(PENDING_DELETION),
    STATE(ENABLED) | STATE(DISABLED) | STATE(PENDING_DELETION) | STATE(PENDING_IMPORT)};
static const uint32_t origins[] = {0, DRAWN, EXTERNAL, DRAWN | EXTERNAL};
static const uint32_t creators[] = {0, USER, SERVICE, USER | SERVICE};
static const char *const tags[][2] = {
    {NULL, NULL}, {"team", NULL}, {"team", "red"}, {"team", ""},   {"cost", "9"},
    {"cost", ""}, {"none", NULL}, {"tea", NULL},   {"team", "re"}, {"teams", "red"}};
static const char *const prefixes[] = {
    NULL, "", "alias/pay", "alias/pay/", "alias/log/b", "alias/pay/a2", "alias/acs", "alias/none"};

#define OF(array) (sizeof array / sizeof *array)
#define COMBINATIONS (OF(states) * OF(origins) * OF(creators) * OF(tags) * OF(prefixes) * 2)

static kms_key_filter combination(size_t number)
{
    kms_key_filter filter = KMS_KEY_FILTER_INIT;

    filter.states = states[number % OF(states)];
    number /= OF(states);
    filter.origins = origins[number % OF(origins)];
    number /= OF(origins);
    filter.creators = creators[number % OF(creators)];
    number /= OF(creators);
    filter.tag_name = tags[number % OF(tags)][0];
    filter.tag_value = tags[number % OF(tags)][1];
    number /= OF(tags);
    filter.alias_prefix = prefixes[number % OF(prefixes)];
    filter.purge_due = number / OF(prefixes) == 1;
    return filter;
}

START_TEST(every_member_of_a_filter_must_hold)
{
    size_t step = fixture_is_watched() ? 37 : 1, some = 0, all = 0;

    setup();
    for (size_t i = 0; i < COMBINATIONS; i += step) {
        kms_key_filter filter = combination(i);
        size_t found = finds_what_fits(&filter, 1 + i % (KEYS + 1));

        some += found > 0 ? 1 : 0;
        all += found == KEYS ? 1 : 0;
    }
    /* Not vacuous: so many found something, and the empty filter everything. */
    ck_assert_uint_ge(some, COMBINATIONS / step / 10);
    ck_assert_uint_ge(all, 1);
    finish();
}
END_TEST

START_TEST(each_member_alone_tells_some_keys_from_others)
{
    static const size_t wanted[][2] = {
        /* Combination, and how many keys it finds. */
        {0, KEYS},
        {1, 6},
        {3, 2},
        {2 * 5, 2},
        {2 * 5 * 4, 2},
        {1 * 5 * 4 * 4, 8},
        {2 * 5 * 4 * 4, 6},
        {3 * 5 * 4 * 4, 1},
        {1 * 5 * 4 * 4 * 10, 10},
        {2 * 5 * 4 * 4 * 10, 6},
        {8 * 5 * 4 * 4 * 10, 3},
    };

    setup();
    for (size_t i = 0; i < OF(wanted); i++) {
        kms_key_filter filter = combination(wanted[i][0]);

        for (size_t limit = 1; limit <= KEYS + 1; limit++)
            ck_assert_uint_eq(finds_what_fits(&filter, limit), wanted[i][1]);
    }
    finish();
}
END_TEST

START_TEST(what_is_due_is_no_longer_due_when_it_was_purged)
{
    kms_key_filter filter = KMS_KEY_FILTER_INIT;
    char page[KEYS][KMS_KEY_ID_SIZE];
    size_t count;

    setup();
    filter.purge_due = true;
    fixture_ok(kms_find_keys(store, &filter, NULL, page, KEYS, &count, NULL));
    ck_assert_uint_eq(count, 3);
    for (size_t i = 0; i < count; i++)
        if (fixture_describe(store, page[i]).state == KMS_KEY_PENDING_DELETION)
            fixture_ok(kms_purge_key(store, page[i], hand.now_ms));
        else
            fixture_ok(kms_purge_key_version(store, page[i], 1, hand.now_ms));
    fixture_ok(kms_find_keys(store, &filter, NULL, page, KEYS, &count, NULL));
    ck_assert_uint_eq(count, 0);
    hand.now_ms += DAY_MS - 1;
    fixture_ok(kms_find_keys(store, &filter, NULL, page, KEYS, &count, NULL));
    ck_assert_uint_eq(count, 0);
    hand.now_ms += 1;
    fixture_ok(kms_find_keys(store, &filter, NULL, page, KEYS, &count, NULL));
    /* The other key that waits for its deletion, and the others' first versions. */
    ck_assert_uint_eq(count, 5);
    finish();
}
END_TEST

/* --- pages --------------------------------------------------------------------------------------------- */

#define MANY 150

START_TEST(pages_of_any_size_give_each_of_many_keys_once)
{
    static const size_t limits[] = {1, 2, 7, 49, 50, 51, 64, SIZE_MAX};
    static char all[MANY][KMS_KEY_ID_SIZE], page[MANY][KMS_KEY_ID_SIZE];
    const kms_tag third = {"third", ""};
    kms_key_filter filter = KMS_KEY_FILTER_INIT;
    size_t count = 0, at = 0;
    char last[KMS_KEY_ID_SIZE] = "";
    bool more = true;

    place_init(&here);
    store = hand_open(&here, &hand, 0, NULL);
    for (int i = 0; i < MANY; i++)
        fixture_create_key(store, all[i]);
    fixture_ok(kms_find_keys(store, NULL, NULL, all, MANY, &count, &more));
    ck_assert(count == MANY && !more);
    for (int i = 0; i < MANY; i += 3)
        fixture_ok(kms_tag_resource(store, all[i], &third, 1));
    filter.tag_name = "third";
    more = true;
    while (more) {
        fixture_ok(kms_find_keys(store, &filter, last[0] != '\0' ? last : NULL, page, limits[_i],
                                 &count, &more));
        ck_assert_uint_gt(count, 0);
        for (size_t i = 0; i < count; i++, at += 3)
            ck_assert_str_eq(page[i], all[at]);
        strcpy(last, page[count - 1]);
        /* Not a moment too late: what follows is looked at as well. */
        ck_assert(more == (at < MANY));
    }
    ck_assert_uint_eq(at, MANY);
    finish();
}
END_TEST

START_TEST(a_page_begins_behind_any_id)
{
    kms_key_filter filter = KMS_KEY_FILTER_INIT;
    char page[KEYS][KMS_KEY_ID_SIZE];
    size_t count;
    bool more;

    setup();
    filter.states = STATE(DISABLED);
    fixture_ok(kms_find_keys(store, &filter, "00000000-0000-4000-8000-000000000000", page, KEYS,
                             &count, &more));
    ck_assert_uint_eq(count, 2);
    fixture_ok(kms_find_keys(store, &filter, "ffffffff-ffff-4fff-bfff-ffffffffffff", page, KEYS,
                             &count, &more));
    ck_assert(count == 0 && !more);
    finish();
}
END_TEST

/* --- what is refused ------------------------------------------------------------------------------------ */

static const struct {
    kms_key_filter filter;
    kms_status answer;
} bad[] = {
    {{1, 1, 0, 0, NULL, NULL, NULL, false}, KMS_ERR_INVALID_ARGUMENT},
    {{1, 1u << 5, 0, 0, NULL, NULL, NULL, false}, KMS_ERR_INVALID_ARGUMENT},
    {{1, UINT32_MAX, 0, 0, NULL, NULL, NULL, false}, KMS_ERR_INVALID_ARGUMENT},
    {{1, 0, 1, 0, NULL, NULL, NULL, false}, KMS_ERR_INVALID_ARGUMENT},
    {{1, 0, 1u << 3, 0, NULL, NULL, NULL, false}, KMS_ERR_INVALID_ARGUMENT},
    {{1, 0, 0, 1, NULL, NULL, NULL, false}, KMS_ERR_INVALID_ARGUMENT},
    {{1, 0, 0, 1u << 3, NULL, NULL, NULL, false}, KMS_ERR_INVALID_ARGUMENT},
    {{1, 0, 0, 0, NULL, "red", NULL, false}, KMS_ERR_INVALID_ARGUMENT},
    {{1, 0, 0, 0, "", NULL, NULL, false}, KMS_ERR_INVALID_ARGUMENT},
    {{1, 0, 0, 0, NULL, NULL, "b", false}, KMS_ERR_INVALID_ARGUMENT},
    {{1, 0, 0, 0, NULL, NULL, "alias/a b", false}, KMS_ERR_INVALID_ARGUMENT},
    {{0, 0, 0, 0, NULL, NULL, NULL, false}, KMS_ERR_ABI},
    {{2, 0, 0, 0, NULL, NULL, NULL, false}, KMS_ERR_ABI},
};

START_TEST(a_filter_that_means_nothing_is_refused)
{
    kms_key_filter filter = bad[_i].filter;
    char page[1][KMS_KEY_ID_SIZE];
    size_t count = 77;
    bool more = true;

    setup();
    fixture_is(kms_find_keys(store, &filter, NULL, page, 1, &count, &more), bad[_i].answer);
    ck_assert(count == 77 && more);
    finish();
}
END_TEST

START_TEST(arguments_are_checked)
{
    kms_key_filter filter = KMS_KEY_FILTER_INIT;
    char page[1][KMS_KEY_ID_SIZE], long_name[130];
    size_t count = 77;

    setup();
    fixture_is(kms_find_keys(NULL, &filter, NULL, page, 1, &count, NULL), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_find_keys(store, &filter, "what", page, 1, &count, NULL),
               KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_find_keys(store, &filter, "alias/pay", page, 1, &count, NULL),
               KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_find_keys(store, &filter, NULL, NULL, 1, &count, NULL),
               KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_find_keys(store, &filter, NULL, page, 0, &count, NULL),
               KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_find_keys(store, &filter, NULL, page, 1, NULL, NULL), KMS_ERR_INVALID_ARGUMENT);
    memset(long_name, 'n', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    filter.tag_name = long_name;
    fixture_is(kms_find_keys(store, &filter, NULL, page, 1, &count, NULL),
               KMS_ERR_INVALID_ARGUMENT);
    ck_assert_uint_eq(count, 77);
    finish();
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {every_member_of_a_filter_must_hold, 0},
        {each_member_alone_tells_some_keys_from_others, 0},
        {what_is_due_is_no_longer_due_when_it_was_purged, 0},
        {pages_of_any_size_give_each_of_many_keys_once, 8},
        {a_page_begins_behind_any_id, 0},
        {a_filter_that_means_nothing_is_refused, (int)OF(bad)},
        {arguments_are_checked, 0},
    };

    return fixture_main("find_keys", tests, OF(tests), 120);
}
