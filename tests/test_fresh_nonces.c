/* Every sealing of a record draws its own nonce: in every record, every change, and every run of a
 * body that a conflict has run again. An engine that answered CONFLICT may have kept what it was
 * given, and two messages under one nonce would give both away. */
#include "support/api_calls.h"

#include <string.h>

#define NONCE_AT 5
#define NONCE_SIZE 24
#define RERUNS 3
#define MOST 1000

/* What the engine was given: all of it, committed or not. */
typedef struct sealed {
    char tag;
    uint8_t nonce[NONCE_SIZE];
} sealed;

static sealed given[MOST];
static size_t given_count;

static place here;
static kms_store *store;
static api_stage stage;

static void keep(const void *key, const void *value, size_t value_len)
{
    sealed *one = &given[given_count++];

    ck_assert_uint_le(given_count, MOST);
    ck_assert_uint_ge(value_len, NONCE_AT + NONCE_SIZE);
    memcpy(&one->tag, key, 1);
    memcpy(one->nonce, (const uint8_t *)value + NONCE_AT, NONCE_SIZE);
}

static void keep_put(void *data, kms_slice key, kms_slice value)
{
    (void)data;
    keep(key.data, value.data, value.len);
}

/* The records of a new store reach the engine by create(). */
static void keep_what_was_created(void)
{
    stolen_set made = place_steal(&here);

    for (size_t i = 0; i < made.count; i++)
        if (made.records[i].key[0] != 'B') /* the boot record stands in the clear */
            keep(made.records[i].key, made.records[i].value, made.records[i].value_len);
    stolen_free(&made);
}

static size_t count_of(char tag, size_t from)
{
    size_t count = 0;

    for (size_t i = from; i < given_count; i++)
        count += given[i].tag == tag;
    return count;
}

static void setup(void)
{
    given_count = 0;
    place_init(&here);
    store = place_open(&here);
    keep_what_was_created();
    ck_assert_uint_eq(count_of('H', 0), 1);
    engine_watch_puts(&here.control, keep_put, NULL);
    api_calls_stage(store, &stage);
}

static void finish(void)
{
    kms_close(store);
    place_free(&here);
}

static void check_all_differ(const char *after)
{
    for (size_t i = 0; i < given_count; i++)
        for (size_t j = 0; j < i; j++)
            ck_assert_msg(memcmp(given[i].nonce, given[j].nonce, NONCE_SIZE) != 0,
                          "%s: one nonce sealed a record %c and a record %c (%zu, %zu)", after,
                          given[j].tag, given[i].tag, j, i);
}

/* Performs it so that the engine is given everything 1 + RERUNS times. */
static void perform_with_conflicts(const api_call *call)
{
    size_t before = given_count, headers;

    engine_reset_counts(&here.control);
    engine_conflict(&here.control, RERUNS);
    fixture_ok(call->perform(store, &stage));
    ck_assert_uint_eq(engine_count(&here.control, ENGINE_COMMIT), 1 + RERUNS);
    headers = count_of('H', before);
    ck_assert_msg(headers == 1 + RERUNS, "%s put the header %zu times", call->name, headers);
    ck_assert_uint_eq((given_count - before) % (1 + RERUNS), 0);
}

START_TEST(every_record_of_every_run_has_a_nonce_of_its_own)
{
    size_t calls = 0;

    for (size_t i = 0; i < api_call_count; i++) {
        if (!api_calls[i].changes)
            continue;
        setup();
        perform_with_conflicts(&api_calls[i]);
        check_all_differ(api_calls[i].name);
        calls++;
        finish();
    }
    ck_assert_uint_ge(calls, 8);
}
END_TEST

START_TEST(many_changes_of_one_record_never_repeat_a_nonce)
{
    setup();
    for (unsigned i = 0; i < 100; i++)
        fixture_ok(i % 2 == 0 ? kms_enable_key(store, stage.b) : kms_disable_key(store, stage.b));
    ck_assert_uint_ge(count_of('H', 0), 107);
    ck_assert_uint_ge(count_of('K', 0), 104);
    check_all_differ("100 changes");
    finish();
}
END_TEST

START_TEST(nonces_are_not_counted_from_a_beginning)
{
    sealed first[MOST];
    size_t count;

    setup();
    finish();
    count = given_count;
    memcpy(first, given, sizeof first);
    setup();
    finish();
    ck_assert_uint_eq(given_count, count);
    for (size_t i = 0; i < count; i++)
        ck_assert(memcmp(first[i].nonce, given[i].nonce, NONCE_SIZE) != 0);
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {every_record_of_every_run_has_a_nonce_of_its_own, 0},
        {many_changes_of_one_record_never_repeat_a_nonce, 0},
        {nonces_are_not_counted_from_a_beginning, 0},
    };

    return fixture_main("fresh_nonces", tests, sizeof tests / sizeof *tests, 60);
}
