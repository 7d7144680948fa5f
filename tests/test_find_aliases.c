/* Finding aliases by how their names begin: exactly those, each once, page by page. */
#include "support/api_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MANY 130
#define NAMES (MANY + 14)

static place here;
static kms_store *store;
static char id[KMS_KEY_ID_SIZE];
/* In the order of their bytes. */
static char names[NAMES][KMS_ALIAS_SIZE];

static int by_bytes(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void name_all(void)
{
    static const char *const some[] = {
        "alias/pay",     "alias/pay/a", "alias/pay/b", "alias/pay-x", "alias/pa",
        "alias/payment", "alias/log",   "alias/PAY",   "alias/_",     "alias/pay/a/b",
        "alias/pay//",   "alias/0",     "alias/zz/zz",
    };

    _Static_assert(sizeof some / sizeof *some + 1 + MANY == NAMES, "all names are set");
    for (size_t i = 0; i < NAMES; i++)
        if (i < sizeof some / sizeof *some)
            strcpy(names[i], some[i]);
        else
            snprintf(names[i], sizeof names[i], "alias/many/%zu", i);
    /* The longest of all names. */
    memset(names[NAMES - 1], 'l', KMS_ALIAS_SIZE - 1);
    memcpy(names[NAMES - 1], "alias/", 6);
    names[NAMES - 1][KMS_ALIAS_SIZE - 1] = '\0';
    qsort(names, NAMES, sizeof *names, by_bytes);
}

static void setup(void)
{
    place_init(&here);
    store = place_open(&here);
    fixture_create_key(store, id);
    name_all();
    for (size_t i = 0; i < NAMES; i++)
        fixture_ok(kms_create_alias(store, names[(i * 5) % NAMES], id));
}

static void finish(void)
{
    fixture_ok(kms_verify(store));
    kms_close(store);
    place_free(&here);
}

static bool begins_so(const char *name, const char *prefix)
{
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

/* Gives how many there are. */
static size_t finds_all(const char *prefix, size_t limit)
{
    static kms_alias_info page[NAMES + 1];
    char last[KMS_ALIAS_SIZE] = "";
    size_t count, at = 0, found = 0;
    bool more = true;

    while (more) {
        fixture_ok(kms_find_aliases(store, prefix, last[0] != '\0' ? last : NULL, page, limit,
                                    &count, &more));
        ck_assert(count == limit || !more);
        for (size_t i = 0; i < count; i++, at++, found++) {
            while (at < NAMES && !begins_so(names[at], prefix))
                at++;
            ck_assert_uint_lt(at, NAMES);
            ck_assert_str_eq(page[i].name, names[at]);
            ck_assert_str_eq(page[i].key_id, id);
        }
        if (count > 0)
            strcpy(last, page[count - 1].name);
    }
    while (at < NAMES)
        ck_assert(!begins_so(names[at++], prefix));
    return found;
}

static const struct {
    const char *prefix;
    size_t found;
} prefixes[] = {
    {"", NAMES},          {"a", NAMES},       {"alias", NAMES},  {"alias/", NAMES},
    {"alias/p", 8},       {"alias/pay", 7},   {"alias/pay/", 4}, {"alias/pay/a", 2},
    {"alias/pay/a/b", 1}, {"alias/pay//", 1}, {"alias/PA", 1},   {"alias/many/1", 50},
    {"alias/zz", 1},      {"alias/zzz", 0},   {"alias/-", 0},    {"alias/many/99999", 0},
};
#define PREFIXES ((int)(sizeof prefixes / sizeof *prefixes))

START_TEST(a_prefix_finds_every_alias_that_begins_so_once)
{
    static const size_t limits[] = {1, 2, 3, 4, 5, 7, 8, 63, 64, 65, NAMES - 1, NAMES, SIZE_MAX};

    setup();
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        ck_assert_uint_eq(finds_all(prefixes[_i].prefix, limits[i]), prefixes[_i].found);
    finish();
}
END_TEST

START_TEST(every_alias_is_a_prefix_of_itself)
{
    setup();
    for (size_t i = 0; i < NAMES; i++)
        ck_assert_uint_ge(finds_all(names[i], 3), 1);
    finish();
}
END_TEST

START_TEST(a_page_begins_behind_any_name_that_begins_so)
{
    static const struct {
        const char *prefix, *marker, *first;
        size_t count;
    } starts[] = {
        {"alias/pay", "alias/pay", "alias/pay-x", 6},
        {"alias/pay/", "alias/pay/a", "alias/pay/a/b", 2},
        {"alias/pay", "alias/payment", "", 0},
        /* No alias, but a name. */
        {"alias/pay", "alias/pay-", "alias/pay-x", 6},
        {"alias/pay", "alias/pay0", "alias/payment", 1},
        {"alias/", "alias/zz", "alias/zz/zz", 1},
        {"", "alias/zz/zz", "", 0},
        {"ali", "alias/zz", "alias/zz/zz", 1},
    };
    kms_alias_info page[10];
    size_t count;

    setup();
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
        fixture_ok(
            kms_find_aliases(store, starts[i].prefix, starts[i].marker, page, 10, &count, NULL));
        ck_assert_uint_eq(count, starts[i].count);
        if (count > 0)
            ck_assert_str_eq(page[0].name, starts[i].first);
    }
    finish();
}
END_TEST

START_TEST(a_marker_that_no_page_can_end_with_is_refused)
{
    static const char *const markers[][2] = {
        {"alias/pay", "alias/log"}, {"alias/pay", "alias/pa"},      {"alias/", "alias/"}, {"", "x"},
        {"alias/pay", ""},          {"alias/p", "alias/p\xc3\xa4"},
    };
    kms_alias_info page[1];
    size_t count = 77;

    setup();
    for (size_t i = 0; i < sizeof markers / sizeof *markers; i++)
        fixture_is(kms_find_aliases(store, markers[i][0], markers[i][1], page, 1, &count, NULL),
                   KMS_ERR_INVALID_ARGUMENT);
    ck_assert_uint_eq(count, 77);
    finish();
}
END_TEST

START_TEST(a_prefix_that_no_alias_can_begin_with_is_refused)
{
    static char too_long[KMS_ALIAS_SIZE + 1];
    const char *const bad[] = {NULL,      "b",      "alia/",     "aliasx",
                               "Alias/",  "/",      "alias/a b", "alias/\xc3\xa4",
                               "alias/%", "alias.", too_long};
    kms_alias_info page[1];
    size_t count = 77;
    bool more = true;

    setup();
    memset(too_long, 'l', sizeof too_long - 1);
    memcpy(too_long, "alias/", 6);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        fixture_is(kms_find_aliases(store, bad[i], NULL, page, 1, &count, &more),
                   KMS_ERR_INVALID_ARGUMENT);
    ck_assert(count == 77 && more);
    finish();
}
END_TEST

START_TEST(arguments_are_checked)
{
    kms_alias_info page[1];
    size_t count = 77;

    setup();
    fixture_is(kms_find_aliases(NULL, "", NULL, page, 1, &count, NULL), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_find_aliases(store, "", NULL, NULL, 1, &count, NULL), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_find_aliases(store, "", NULL, page, 0, &count, NULL), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_find_aliases(store, "", NULL, page, 1, NULL, NULL), KMS_ERR_INVALID_ARGUMENT);
    ck_assert_uint_eq(count, 77);
    finish();
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {a_prefix_finds_every_alias_that_begins_so_once, PREFIXES},
        {every_alias_is_a_prefix_of_itself, 0},
        {a_page_begins_behind_any_name_that_begins_so, 0},
        {a_marker_that_no_page_can_end_with_is_refused, 0},
        {a_prefix_that_no_alias_can_begin_with_is_refused, 0},
        {arguments_are_checked, 0},
    };

    return fixture_main("find_aliases", tests, sizeof tests / sizeof *tests, 60);
}
