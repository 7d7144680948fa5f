/* Opening, making, sharing and closing stores. */
#include "cases.h"

#include <stdio.h>

static bool absent(trial *t, kms_backend *engine)
{
    kms_backend_how how = kms__trial_how();

    kms__trial_forget_errors();
    return kms__trial_refused(t, "open() of nothing", engine->ops->open(engine, &how),
                              KMS_ERR_NOT_FOUND);
}

static bool create(trial *t, kms_backend *engine, const kms_record *records, size_t count)
{
    kms_backend_how how = kms__trial_how();
    kms_status answer = engine->ops->create(engine, &how, records, count);

    if (answer == KMS_OK)
        return true;
    return kms__trial_fail(t, "create() with %zu records answered %s (%s)", count,
                           kms_status_name(answer), kms_error_message());
}

CASE(open_of_nothing_answers_not_found)
{
    kms_backend *engine;

    TRY(kms__trial_make(t, 0, &engine));
    TRY(absent(t, engine));
}

CASE(open_of_nothing_makes_nothing_and_may_be_followed_by_create)
{
    kms_backend *engine;

    TRY(kms__trial_make(t, 0, &engine));
    TRY(absent(t, engine));
    TRY(absent(t, engine));
    TRY(create(t, engine, NULL, 0));
    TRY(kms__trial_sees(t, engine, "a", NULL));
    TRY(kms__trial_write(t, engine, "a", "1"));
    TRY(kms__trial_sees(t, engine, "a", "1"));
}

CASE(create_makes_exactly_these_records)
{
    kms_record records[] = {
        {{"b", 1}, {"2", 1}}, {{"a", 1}, {"1", 1}}, {{"c", 1}, {NULL, 0}}, {{"\0", 1}, {"z", 1}}};
    kms_backend *engine;
    kms_record found[8];
    kms_txn *txn;
    size_t count;

    TRY(kms__trial_make(t, 0, &engine));
    TRY(create(t, engine, records, 4));
    TRY(kms__trial_begin(t, engine, KMS_TXN_READ, &txn, NULL));
    for (size_t i = 0; i < 4; i++)
        TRY(kms__trial_holds(t, txn, records[i].key, records[i].value));
    TRY(kms__trial_scan(t, txn, text(""), 8, found, &count));
    REQUIRE(count == 4, "a store made with 4 records holds %zu", count);
}

CASE(create_copies_its_records)
{
    char key[] = "key";
    char value[] = "value";
    kms_record record = {{key, 3}, {value, 5}};
    kms_backend *engine;

    TRY(kms__trial_make(t, 0, &engine));
    TRY(create(t, engine, &record, 1));
    memset(key, 'x', 3);
    memset(value, 'x', 5);
    TRY(kms__trial_sees(t, engine, "key", "value"));
    TRY(kms__trial_sees(t, engine, "xxx", NULL));
}

CASE(a_made_store_can_be_written_at_once)
{
    kms_record record = {{"a", 1}, {"1", 1}};
    kms_revision before;
    kms_revision after;
    kms_backend *engine;

    TRY(kms__trial_make(t, 0, &engine));
    TRY(create(t, engine, &record, 1));
    TRY(kms__trial_revision_of(t, engine, &before));
    TRY(kms__trial_write(t, engine, "a", "2"));
    TRY(kms__trial_sees(t, engine, "a", "2"));
    TRY(kms__trial_revision_of(t, engine, &after));
    REQUIRE(is_later(after, before), "the first commit does not lead to a larger revision");
}

CASE(an_engine_may_be_closed_at_any_point_of_its_life)
{
    kms_backend *engine;
    kms_txn *txn;

    TRY(kms__trial_make(t, 0, &engine));
    kms__trial_close(t, engine);
    TRY(kms__trial_make(t, 0, &engine));
    TRY(absent(t, engine));
    kms__trial_close(t, engine);
    TRY(kms__trial_make(t, 1, &engine));
    TRY(create(t, engine, NULL, 0));
    TRY(kms__trial_write(t, engine, "a", "1"));
    TRY(kms__trial_begin(t, engine, KMS_TXN_READ, &txn, NULL));
    kms__trial_abort(t, txn);
    kms__trial_close(t, engine);
}

CASE(two_places_are_two_stores)
{
    kms_backend *first;
    kms_backend *second;

    TRY(kms__trial_make(t, 0, &first));
    TRY(kms__trial_make(t, 1, &second));
    TRY(create(t, first, NULL, 0));
    TRY(absent(t, second));
    TRY(create(t, second, NULL, 0));
    TRY(kms__trial_write(t, first, "a", "first"));
    TRY(kms__trial_sees(t, second, "a", NULL));
    TRY(kms__trial_write(t, second, "a", "second"));
    TRY(kms__trial_sees(t, first, "a", "first"));
}

/* --- stores that handles share ------------------------------------------------------------- */

CASE(a_store_keeps_its_records_when_it_is_closed)
{
    kms_backend *engine;
    kms_txn *txn;

    REQUIRE_SHARED();
    TRY(kms__trial_new_store(t, &engine));
    TRY(kms__trial_write(t, engine, "a", "1"));
    TRY(kms__trial_write(t, engine, "b", "2"));
    TRY(kms__trial_begin(t, engine, KMS_TXN_WRITE, &txn, NULL));
    TRY(kms__trial_del(t, txn, text("a")));
    TRY(kms__trial_commit(t, txn));
    TRY(kms__trial_begin(t, engine, KMS_TXN_WRITE, &txn, NULL));
    TRY(kms__trial_put_text(t, txn, "c", "never committed"));
    kms__trial_abort(t, txn);
    kms__trial_close(t, engine);
    TRY(kms__trial_open_store(t, 0, &engine));
    TRY(kms__trial_begin(t, engine, KMS_TXN_READ, &txn, NULL));
    TRY(kms__trial_holds_text(t, txn, "b", "2"));
    TRY(kms__trial_lists(t, txn, "", 10, "b"));
    kms__trial_abort(t, txn);
    TRY(kms__trial_write(t, engine, "d", "4"));
    TRY(kms__trial_sees(t, engine, "d", "4"));
}

CASE(create_leaves_a_store_that_is_there_as_it_is)
{
    kms_record record = {{"a", 1}, {"other", 5}};
    kms_backend_how how = kms__trial_how();
    kms_backend *engine;
    kms_backend *later;
    kms_txn *txn;

    REQUIRE_SHARED();
    TRY(kms__trial_new_store(t, &engine));
    TRY(kms__trial_write(t, engine, "a", "1"));
    TRY(kms__trial_make(t, 0, &later));
    kms__trial_forget_errors();
    TRY(kms__trial_refused(t, "create() of a store that is there",
                           later->ops->create(later, &how, &record, 1), KMS_ERR_ALREADY_EXISTS));
    TRY(kms__trial_sees(t, engine, "a", "1"));
    REQUIRE(later->ops->open(later, &how) == KMS_OK, "open() after that create() fails");
    TRY(kms__trial_begin(t, later, KMS_TXN_READ, &txn, NULL));
    TRY(kms__trial_holds_text(t, txn, "a", "1"));
    TRY(kms__trial_lists(t, txn, "", 10, "a"));
}

CASE(a_commit_is_seen_by_every_handle)
{
    kms_backend *first;
    kms_backend *second;
    char value[16];

    REQUIRE_SHARED();
    TRY(kms__trial_new_store(t, &first));
    TRY(kms__trial_open_store(t, 0, &second));
    for (int i = 0; i < 20; i++) {
        snprintf(value, sizeof value, "%d", i);
        TRY(kms__trial_write(t, i % 2 ? first : second, "a", value));
        TRY(kms__trial_sees(t, first, "a", value));
        TRY(kms__trial_sees(t, second, "a", value));
    }
}

CASE(the_hint_of_every_handle_keeps_up)
{
    kms_backend *writer;
    kms_backend *watcher;
    kms_revision before;

    REQUIRE_SHARED();
    TRY(kms__trial_new_store(t, &writer));
    TRY(kms__trial_open_store(t, 0, &watcher));
    TRY(kms__trial_revision_of(t, watcher, &before));
    for (int i = 0; i < 30; i++) {
        uint64_t acknowledged;

        TRY(kms__trial_write(t, writer, "a", i % 2 ? "1" : "2"));
        acknowledged = kms__trial_now_ns();
        before.number++; /* the least that the commit leads to */
        TRY(kms__trial_hint_reaches(t, watcher, before, acknowledged));
        if (i % 5 == 0)
            TRY(kms__trial_revision_of(t, watcher, &before));
    }
}

CASE(the_hint_of_a_store_opened_anew_is_right)
{
    kms_revision revision;
    kms_revision hint;
    kms_backend *engine;
    uint64_t age;

    REQUIRE_SHARED();
    TRY(kms__trial_new_store(t, &engine));
    TRY(kms__trial_write(t, engine, "a", "1"));
    kms__trial_close(t, engine);
    TRY(kms__trial_open_store(t, 0, &engine));
    REQUIRE(engine->ops->hint(engine, &hint, &age) == KMS_OK, "hint() fails after open()");
    TRY(kms__trial_revision_of(t, engine, &revision));
    REQUIRE(same_revision(hint, revision),
            "hint() after open() differs from the revision of a quiet store");
}

CASE(a_snapshot_outlives_commits_of_another_handle)
{
    kms_backend *reading;
    kms_backend *writing;
    kms_txn *txn;

    REQUIRE_SHARED();
    TRY(kms__trial_new_store(t, &writing));
    TRY(kms__trial_write(t, writing, "a", "old"));
    TRY(kms__trial_open_store(t, 0, &reading));
    TRY(kms__trial_begin(t, reading, KMS_TXN_READ, &txn, NULL));
    for (int i = 0; i < 20; i++)
        TRY(kms__trial_write(t, writing, "a", i % 2 ? "new" : "newer"));
    kms__trial_close(t, writing);
    TRY(kms__trial_holds_text(t, txn, "a", "old"));
    TRY(kms__trial_lists(t, txn, "", 10, "a"));
}

CASE(a_store_opened_for_reading_refuses_writers)
{
    static const unsigned modes[] = {KMS_TXN_WRITE, KMS_TXN_WRITE | KMS_TXN_NOWAIT};
    kms_backend *engine;
    kms_txn *txn;

    REQUIRE_SHARED();
    TRY(kms__trial_new_store(t, &engine));
    TRY(kms__trial_write(t, engine, "a", "1"));
    kms__trial_close(t, engine);
    TRY(kms__trial_open_store(t, KMS_BACKEND_READ_ONLY, &engine));
    TRY(kms__trial_sees(t, engine, "a", "1"));
    for (size_t i = 0; i < 2; i++) {
        kms__trial_forget_errors();
        TRY(kms__trial_refused(t, "begin(write) of a store opened for reading",
                               kms__trial_begin_status(t, engine, modes[i], &txn),
                               KMS_ERR_READ_ONLY));
    }
    TRY(kms__trial_sees(t, engine, "a", "1"));
}

CASE(open_of_nothing_for_reading_answers_not_found)
{
    kms_backend_how how = kms__trial_how();
    kms_backend *engine;

    how.flags = KMS_BACKEND_READ_ONLY;
    TRY(kms__trial_make(t, 0, &engine));
    kms__trial_forget_errors();
    TRY(kms__trial_refused(t, "open() of nothing for reading", engine->ops->open(engine, &how),
                           KMS_ERR_NOT_FOUND));
    TRY(absent(t, engine));
}

CASE(a_store_that_nobody_writes_can_be_read_frozen)
{
    kms_backend_how how = kms__trial_how();
    kms_backend *engine;
    kms_status answer;
    kms_txn *txn;

    REQUIRE_SHARED();
    TRY(kms__trial_new_store(t, &engine));
    TRY(kms__trial_write(t, engine, "a", "1"));
    kms__trial_close(t, engine);
    TRY(kms__trial_make(t, 0, &engine));
    how.flags = KMS_BACKEND_READ_ONLY | KMS_BACKEND_FROZEN;
    kms__trial_forget_errors();
    answer = engine->ops->open(engine, &how);
    if (answer != KMS_OK) { /* an engine may lack it, and then says so */
        TRY(kms__trial_refused(t, "open() of a frozen store", answer, KMS_ERR_UNSUPPORTED));
        return;
    }
    TRY(kms__trial_begin(t, engine, KMS_TXN_READ, &txn, NULL));
    TRY(kms__trial_holds_text(t, txn, "a", "1"));
    TRY(kms__trial_lists(t, txn, "", 10, "a"));
}

/* --- several starters ---------------------------------------------------------------------- */

/* Whoever is told KMS_OK must find the own record, whoever is not must not. */
static void starter(trial *t, stage *s, unsigned number)
{
    kms_record record = {{"starter", 7}, {&number, sizeof number}};
    kms_backend_how how = kms__trial_how();
    kms_backend *engine;
    kms_status answer;
    kms_slice found;
    kms_txn *txn;
    bool own;

    TRY(kms__trial_make(t, 0, &engine));
    kms__stage_arrive(s);
    TRY(kms__stage_await(t, s, 4, "the start of four threads"));
    answer = engine->ops->create(engine, &how, &record, 1);
    REQUIRE(answer == KMS_OK || answer == KMS_ERR_ALREADY_EXISTS,
            "create() beside others answered %s (%s)", kms_status_name(answer),
            kms_error_message());
    if (answer != KMS_OK)
        REQUIRE(engine->ops->open(engine, &how) == KMS_OK, "open() after ALREADY_EXISTS fails: %s",
                kms_error_message());
    TRY(kms__trial_begin(t, engine, KMS_TXN_READ, &txn, NULL));
    REQUIRE(engine->ops->get(txn, text("starter"), &found) == KMS_OK,
            "the store that one of four starters made is not whole");
    own = same(found, record.value);
    REQUIRE(own == (answer == KMS_OK), "create() answered %s, and the store is %s",
            kms_status_name(answer), own ? "the caller's" : "another starter's");
}

CASE(of_many_starters_one_makes_the_store)
{
    static role *const roles[] = {starter};

    REQUIRE_SHARED();
    TRY(kms__stage_play(t, NULL, roles, 1, 4));
}

enum { WHOLE = 90 };

static void maker(trial *t, stage *s, unsigned number)
{
    kms_record records[WHOLE];
    char keys[WHOLE][16];
    char value[512];
    kms_backend *engine;

    (void)number;
    memset(value, 'v', sizeof value);
    for (size_t i = 0; i < WHOLE; i++) {
        snprintf(keys[i], sizeof keys[i], "%02zu", i);
        records[i] = (kms_record){text(keys[i]), {value, sizeof value}};
    }
    TRY(kms__trial_make(t, 0, &engine));
    TRY(kms__stage_await(t, s, 1, "the first look"));
    TRY(create(t, engine, records, WHOLE));
    kms__stage_reach(s, 2);
    TRY(kms__stage_await(t, s, 3, "open() of a store that was made"));
}

static void looker(trial *t, stage *s, unsigned number)
{
    kms_backend_how how = kms__trial_how();
    kms_record records[WHOLE + 1];
    kms_backend *engine;
    kms_status answer;
    kms_txn *txn;
    size_t count;
    bool made;

    (void)number;
    TRY(kms__trial_make(t, 0, &engine));
    do {
        made = kms__stage_step(s) >= 2;
        answer = engine->ops->open(engine, &how);
        REQUIRE(answer == KMS_OK || (answer == KMS_ERR_NOT_FOUND && !made),
                "open() %s create() answered %s (%s)", made ? "after" : "beside",
                kms_status_name(answer), kms_error_message());
        kms__stage_reach(s, 1);
    } while (answer != KMS_OK);
    TRY(kms__trial_begin(t, engine, KMS_TXN_READ, &txn, NULL));
    TRY(kms__trial_scan(t, txn, text(""), WHOLE + 1, records, &count));
    REQUIRE(count == WHOLE, "whoever looks sees %zu of %d records of a new store", count, WHOLE);
    kms__stage_reach(s, 3);
}

CASE(a_new_store_is_seen_whole_or_not_at_all)
{
    static role *const roles[] = {maker, looker};

    REQUIRE_SHARED();
    TRY(kms__stage_play(t, NULL, roles, 2, 2));
}
