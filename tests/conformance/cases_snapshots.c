/* What a transaction sees of others, and how revisions and hints tell contents apart. */
#include "cases.h"

#include <stdio.h>

CASE(a_transaction_sees_its_own_writes)
{
    kms_backend *engine;
    kms_txn *txn;

    TRY(kms__trial_new_store(t, &engine));
    TRY(kms__trial_write(t, engine, "a", "1"));
    TRY(kms__trial_begin(t, engine, KMS_TXN_WRITE, &txn, NULL));
    TRY(kms__trial_put_text(t, txn, "a", "2"));
    TRY(kms__trial_holds_text(t, txn, "a", "2"));
    TRY(kms__trial_put_text(t, txn, "b", "3"));
    TRY(kms__trial_holds_text(t, txn, "b", "3"));
    TRY(kms__trial_del(t, txn, text("a")));
    TRY(kms__trial_holds_text(t, txn, "a", NULL));
    TRY(kms__trial_put_text(t, txn, "a", "4"));
    TRY(kms__trial_holds_text(t, txn, "a", "4"));
    TRY(kms__trial_commit(t, txn));
    TRY(kms__trial_sees(t, engine, "a", "4"));
    TRY(kms__trial_sees(t, engine, "b", "3"));
}

CASE(a_transaction_sees_no_write_of_an_open_one)
{
    kms_backend *engine;
    kms_txn *before;
    kms_txn *during;
    kms_txn *writer;

    TRY(kms__trial_new_store(t, &engine));
    TRY(kms__trial_write(t, engine, "a", "1"));
    TRY(kms__trial_write(t, engine, "gone", "1"));
    TRY(kms__trial_begin(t, engine, KMS_TXN_READ, &before, NULL));
    TRY(kms__trial_begin(t, engine, KMS_TXN_WRITE, &writer, NULL));
    TRY(kms__trial_put_text(t, writer, "a", "2"));
    TRY(kms__trial_put_text(t, writer, "b", "2"));
    TRY(kms__trial_del(t, writer, text("gone")));
    TRY(kms__trial_begin(t, engine, KMS_TXN_READ, &during, NULL));
    TRY(kms__trial_holds_text(t, before, "a", "1"));
    TRY(kms__trial_holds_text(t, during, "a", "1"));
    TRY(kms__trial_lists(t, before, "", 10, "a gone"));
    TRY(kms__trial_lists(t, during, "", 10, "a gone"));
}

CASE(reads_repeat_while_others_commit)
{
    kms_backend *engine;
    kms_txn *reader;
    kms_txn *writer;

    TRY(kms__trial_new_store(t, &engine));
    TRY(kms__trial_write(t, engine, "a", "1"));
    TRY(kms__trial_write(t, engine, "gone", "1"));
    TRY(kms__trial_begin(t, engine, KMS_TXN_READ, &reader, NULL));
    for (int i = 0; i < 3; i++) {
        TRY(kms__trial_holds_text(t, reader, "a", "1"));
        TRY(kms__trial_holds_text(t, reader, "new", NULL));
        TRY(kms__trial_lists(t, reader, "", 10, "a gone"));
        TRY(kms__trial_begin(t, engine, KMS_TXN_WRITE, &writer, NULL));
        TRY(kms__trial_put_text(t, writer, "a", i == 0 ? "2" : "3"));
        TRY(kms__trial_put_text(t, writer, "new", "1"));
        if (i == 0)
            TRY(kms__trial_del(t, writer, text("gone")));
        TRY(kms__trial_commit(t, writer));
    }
    TRY(kms__trial_holds_text(t, reader, "gone", "1"));
    TRY(kms__trial_sees(t, engine, "a", "3"));
}

CASE(a_snapshot_outlives_many_commits)
{
    kms_backend *engine;
    kms_txn *reader;
    char value[16];

    TRY(kms__trial_new_store(t, &engine));
    for (char key[2] = "a"; key[0] <= 'e'; key[0]++)
        TRY(kms__trial_write(t, engine, key, "old"));
    TRY(kms__trial_begin(t, engine, KMS_TXN_READ, &reader, NULL));
    for (int i = 0; i < 30; i++) {
        char key[2] = {(char)('a' + i % 5), '\0'};

        snprintf(value, sizeof value, "new %d", i);
        TRY(kms__trial_write(t, engine, key, value));
        TRY(kms__trial_sees(t, engine, key, value));
    }
    for (char key[2] = "a"; key[0] <= 'e'; key[0]++)
        TRY(kms__trial_holds_text(t, reader, key, "old"));
}

CASE(a_commit_is_seen_by_the_next_begin)
{
    kms_backend *engine;
    kms_txn *txn;
    char value[16];

    TRY(kms__trial_new_store(t, &engine));
    for (int i = 0; i < 20; i++) {
        snprintf(value, sizeof value, "%d", i);
        TRY(kms__trial_write(t, engine, "a", value));
        TRY(kms__trial_sees(t, engine, "a", value));
        TRY(kms__trial_begin(t, engine, KMS_TXN_WRITE, &txn, NULL));
        TRY(kms__trial_holds_text(t, txn, "a", value));
        kms__trial_abort(t, txn);
    }
}

CASE(an_abort_leaves_no_trace)
{
    kms_revision before;
    kms_revision after;
    kms_backend *engine;
    kms_txn *txn;

    TRY(kms__trial_new_store(t, &engine));
    TRY(kms__trial_write(t, engine, "a", "1"));
    TRY(kms__trial_write(t, engine, "b", "1"));
    TRY(kms__trial_revision_of(t, engine, &before));
    TRY(kms__trial_begin(t, engine, KMS_TXN_WRITE, &txn, NULL));
    TRY(kms__trial_put_text(t, txn, "a", "2"));
    TRY(kms__trial_put_text(t, txn, "c", "2"));
    TRY(kms__trial_del(t, txn, text("b")));
    kms__trial_abort(t, txn);
    TRY(kms__trial_begin(t, engine, KMS_TXN_READ, &txn, &after));
    TRY(kms__trial_holds_text(t, txn, "a", "1"));
    TRY(kms__trial_lists(t, txn, "", 10, "a b"));
    REQUIRE(same_revision(before, after), "the revision of an unchanged store moved by an abort");
}

CASE(a_read_transaction_may_be_committed)
{
    kms_revision before;
    kms_revision after;
    kms_backend *engine;
    kms_txn *txn;

    TRY(kms__trial_new_store(t, &engine));
    TRY(kms__trial_write(t, engine, "a", "1"));
    TRY(kms__trial_begin(t, engine, KMS_TXN_READ, &txn, &before));
    TRY(kms__trial_holds_text(t, txn, "a", "1"));
    TRY(kms__trial_commit(t, txn));
    TRY(kms__trial_revision_of(t, engine, &after));
    REQUIRE(same_revision(before, after), "the revision moved by the commit of a read transaction");
}

CASE(a_commit_leads_to_a_larger_revision)
{
    kms_revision before;
    kms_revision after;
    kms_backend *engine;
    kms_txn *txn;
    char value[16];

    TRY(kms__trial_new_store(t, &engine));
    TRY(kms__trial_revision_of(t, engine, &before));
    for (int i = 0; i < 10; i++) {
        TRY(kms__trial_begin(t, engine, KMS_TXN_WRITE, &txn, NULL));
        snprintf(value, sizeof value, "%d", i);
        if (i % 3 == 2)
            TRY(kms__trial_del(t, txn, text("a")));
        else
            TRY(kms__trial_put_text(t, txn, "a", value));
        TRY(kms__trial_commit(t, txn));
        TRY(kms__trial_revision_of(t, engine, &after));
        REQUIRE(is_later(after, before), "a commit does not lead to a larger revision");
        before = after;
    }
}

CASE(the_revision_of_a_quiet_store_stays)
{
    kms_revision first;
    kms_revision again;
    kms_backend *engine;
    kms_txn *txn;

    TRY(kms__trial_new_store(t, &engine));
    TRY(kms__trial_write(t, engine, "a", "1"));
    TRY(kms__trial_revision_of(t, engine, &first));
    for (int i = 0; i < 5; i++) {
        TRY(kms__trial_begin(t, engine, i % 2 ? KMS_TXN_WRITE : KMS_TXN_READ, &txn, &again));
        REQUIRE(same_revision(first, again), "begin(%s) tells another revision, and nobody wrote",
                i % 2 ? "write" : "read");
        kms__trial_abort(t, txn);
    }
}

/* Readers that were begun before, during and after: each tells the revision of what it shows. */
CASE(equal_revisions_show_equal_content)
{
    kms_revision old;
    kms_revision still_old;
    kms_revision writers;
    kms_revision new;
    kms_backend *engine;
    kms_txn *reader;
    kms_txn *writer;

    TRY(kms__trial_new_store(t, &engine));
    TRY(kms__trial_write(t, engine, "a", "1"));
    TRY(kms__trial_revision_of(t, engine, &old));
    TRY(kms__trial_begin(t, engine, KMS_TXN_WRITE, &writer, &writers));
    TRY(kms__trial_put_text(t, writer, "a", "2"));
    TRY(kms__trial_begin(t, engine, KMS_TXN_READ, &reader, &still_old));
    TRY(kms__trial_commit(t, writer));
    REQUIRE(same_revision(old, writers), "begin(write) tells another revision than its snapshot's");
    REQUIRE(same_revision(old, still_old),
            "begin(read) tells another revision while a writer's changes are not committed");
    TRY(kms__trial_holds_text(t, reader, "a", "1"));
    kms__trial_abort(t, reader);
    TRY(kms__trial_begin(t, engine, KMS_TXN_READ, &reader, &new));
    TRY(kms__trial_holds_text(t, reader, "a", "2"));
    REQUIRE(!same_revision(old, new), "two contents have the same revision");
}

CASE(the_hint_equals_the_revision_of_a_quiet_store)
{
    uint64_t acknowledged;
    kms_revision revision;
    kms_revision hint;
    kms_backend *engine;
    uint64_t age;
    kms_status answer;

    TRY(kms__trial_new_store(t, &engine));
    for (int i = 0; i < 5; i++) {
        acknowledged = kms__trial_now_ns();
        TRY(kms__trial_revision_of(t, engine, &revision));
        TRY(kms__trial_hint_reaches(t, engine, revision, acknowledged));
        answer = engine->ops->hint(engine, &hint, &age);
        REQUIRE(answer == KMS_OK, "hint() answered %s", kms_status_name(answer));
        REQUIRE(same_revision(hint, revision), "hint() differs from the revision of a quiet store");
        TRY(kms__trial_write(t, engine, "a", "x"));
    }
}

CASE(the_hint_is_never_behind_an_acknowledged_commit)
{
    kms_backend *engine;

    TRY(kms__trial_new_store(t, &engine));
    for (int i = 0; i < 50; i++) {
        uint64_t acknowledged;
        kms_revision revision;
        kms_txn *txn;

        TRY(kms__trial_begin(t, engine, KMS_TXN_WRITE, &txn, &revision));
        TRY(kms__trial_put_text(t, txn, "a", i % 2 ? "1" : "2"));
        TRY(kms__trial_commit(t, txn));
        acknowledged = kms__trial_now_ns();
        revision.number++; /* the least that the commit leads to */
        TRY(kms__trial_hint_reaches(t, engine, revision, acknowledged));
    }
}

/* --- with threads -------------------------------------------------------------------------- */

enum { TORN_COMMITS = 60 };

/* Both records always get the same value. */
static void tearing_writer(trial *t, stage *s, unsigned number)
{
    kms_txn *txn;
    char value[16];

    (void)number;
    for (unsigned i = 1; i <= TORN_COMMITS; i++) {
        snprintf(value, sizeof value, "%u", i);
        TRY(kms__trial_begin(t, s->engine, KMS_TXN_WRITE, &txn, NULL));
        TRY(kms__trial_put_text(t, txn, "a", value));
        TRY(kms__trial_put_text(t, txn, "b", value));
        TRY(kms__trial_commit(t, txn));
        kms__stage_reach(s, i);
    }
}

static void untorn_reader(trial *t, stage *s, unsigned number)
{
    char value[16];
    kms_slice found;
    kms_txn *txn;

    (void)number;
    while (kms__stage_step(s) < TORN_COMMITS) {
        TRY(kms__trial_begin(t, s->engine, KMS_TXN_READ, &txn, NULL));
        REQUIRE(s->engine->ops->get(txn, text("a"), &found) == KMS_OK, "get(\"a\") fails");
        snprintf(value, sizeof value, "%.*s", (int)found.len, (const char *)found.data);
        TRY(kms__trial_holds_text(t, txn, "b", value));
        TRY(kms__trial_holds_text(t, txn, "a", value));
        kms__trial_abort(t, txn);
    }
}

CASE(a_snapshot_is_never_half_of_a_commit)
{
    static role *const roles[] = {tearing_writer, untorn_reader, untorn_reader};
    kms_backend *engine;
    kms_txn *txn;

    TRY(kms__trial_new_store(t, &engine));
    TRY(kms__trial_begin(t, engine, KMS_TXN_WRITE, &txn, NULL));
    TRY(kms__trial_put_text(t, txn, "a", "0"));
    TRY(kms__trial_put_text(t, txn, "b", "0"));
    TRY(kms__trial_commit(t, txn));
    TRY(kms__stage_play(t, engine, roles, 3, 3));
}

enum { HINTED_COMMITS = 60 };

static void hinted_writer(trial *t, stage *s, unsigned number)
{
    (void)number;
    TRY(kms__stage_await(t, s, 1, "the other thread's first snapshot"));
    for (unsigned i = 1; i <= HINTED_COMMITS; i++) {
        TRY(kms__trial_write(t, s->engine, "a", i % 2 ? "1" : "2"));
        kms__stage_reach(s, 1 + i);
    }
}

/* After n acknowledged commits the revision is larger by n at least, and so must the hint be. */
static void hinting_reader(trial *t, stage *s, unsigned number)
{
    kms_revision first;
    unsigned step;

    (void)number;
    TRY(kms__trial_revision_of(t, s->engine, &first));
    kms__stage_reach(s, 1);
    do {
        uint64_t acknowledged;
        kms_revision due = first;

        step = kms__stage_step(s);
        acknowledged = kms__trial_now_ns();
        if (step == UINT_MAX)
            return;
        due.number += step - 1;
        TRY(kms__trial_hint_reaches(t, s->engine, due, acknowledged));
    } while (step < 1 + HINTED_COMMITS);
}

CASE(the_hint_keeps_up_with_another_thread)
{
    static role *const roles[] = {hinted_writer, hinting_reader};
    kms_backend *engine;

    TRY(kms__trial_new_store(t, &engine));
    TRY(kms__stage_play(t, engine, roles, 2, 2));
}

enum { READERS = 4, SNAPSHOTS = 50 };

static void many_snapshots(trial *t, stage *s, unsigned number)
{
    kms_txn *txns[SNAPSHOTS];

    (void)number;
    for (size_t i = 0; i < SNAPSHOTS; i++)
        TRY(kms__trial_begin(t, s->engine, KMS_TXN_READ, &txns[i], NULL));
    kms__stage_arrive(s);
    TRY(kms__stage_await(t, s, READERS, "all snapshots of all threads"));
    for (size_t i = 0; i < SNAPSHOTS; i++)
        TRY(kms__trial_holds_text(t, txns[i], "a", "1"));
    for (size_t i = 0; i < SNAPSHOTS; i++)
        kms__trial_abort(t, txns[i]);
}

CASE(two_hundred_snapshots_may_be_open_at_once)
{
    static role *const roles[] = {many_snapshots};
    kms_backend *engine;

    TRY(kms__trial_new_store(t, &engine));
    TRY(kms__trial_write(t, engine, "a", "1"));
    TRY(kms__stage_play(t, engine, roles, 1, READERS));
    TRY(kms__trial_write(t, engine, "a", "2"));
    TRY(kms__trial_sees(t, engine, "a", "2"));
}
