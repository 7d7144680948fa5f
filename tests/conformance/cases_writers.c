/* Writers beside readers and beside one another. An engine either makes writers wait (BUSY) or
 * lets them run and answers KMS_ERR_CONFLICT to the later one: both keep the contract. */
#include "cases.h"

#include <stdio.h>

/* --- readers and a writer ------------------------------------------------------------------ */

static void writer_beside_reader(trial *t, stage *s, unsigned number)
{
    kms_txn *txn;

    (void)number;
    TRY(kms__trial_begin(t, s->engine, KMS_TXN_WRITE, &txn, NULL));
    TRY(kms__trial_put_text(t, txn, "a", "2"));
    kms__stage_reach(s, 1);
    TRY(kms__stage_await_promptly(t, s, 2, "begin(read), get() and scan() beside an open writer"));
    TRY(kms__trial_commit(t, txn));
}

static void reader_beside_writer(trial *t, stage *s, unsigned number)
{
    kms_txn *txn;

    (void)number;
    TRY(kms__stage_await(t, s, 1, "begin(write) of the only writer"));
    TRY(kms__trial_begin(t, s->engine, KMS_TXN_READ, &txn, NULL));
    TRY(kms__trial_holds_text(t, txn, "a", "1"));
    TRY(kms__trial_lists(t, txn, "", 10, "a"));
    kms__trial_abort(t, txn);
    kms__stage_reach(s, 2);
}

CASE(a_reader_does_not_wait_for_a_writer)
{
    static role *const roles[] = {writer_beside_reader, reader_beside_writer};
    kms_backend *engine;

    TRY(kms__trial_new_store(t, &engine));
    TRY(kms__trial_write(t, engine, "a", "1"));
    TRY(kms__stage_play(t, engine, roles, 2, 2));
    TRY(kms__trial_sees(t, engine, "a", "2"));
}

static void reader_that_stays(trial *t, stage *s, unsigned number)
{
    kms_txn *txn;

    (void)number;
    TRY(kms__trial_begin(t, s->engine, KMS_TXN_READ, &txn, NULL));
    kms__stage_reach(s, 1);
    TRY(kms__stage_await_promptly(t, s, 2, "a commit beside an open reader"));
    TRY(kms__trial_holds_text(t, txn, "a", "1"));
}

static void writer_beside_one_that_stays(trial *t, stage *s, unsigned number)
{
    (void)number;
    TRY(kms__stage_await(t, s, 1, "begin(read)"));
    TRY(kms__trial_write(t, s->engine, "a", "2"));
    kms__stage_reach(s, 2);
}

CASE(a_writer_does_not_wait_for_a_reader)
{
    static role *const roles[] = {reader_that_stays, writer_beside_one_that_stays};
    kms_backend *engine;

    TRY(kms__trial_new_store(t, &engine));
    TRY(kms__trial_write(t, engine, "a", "1"));
    TRY(kms__stage_play(t, engine, roles, 2, 2));
}

/* --- two writers --------------------------------------------------------------------------- */

/* Steps: 1 the holder writes, 2 the contender was answered, 3 the holder has committed. */
static void holder(trial *t, stage *s, unsigned number)
{
    kms_txn *txn;

    (void)number;
    TRY(kms__trial_begin(t, s->engine, KMS_TXN_WRITE, &txn, NULL));
    TRY(kms__trial_put_text(t, txn, "a", "holder"));
    kms__stage_reach(s, 1);
    TRY(kms__stage_await_promptly(t, s, 2,
                                  "begin(write) of a second writer that may not wait so long"));
    TRY(kms__trial_commit(t, txn));
    kms__stage_reach(s, 3);
}

/* The engine let both writers run: the one that commits later must be told. */
static void lose(trial *t, stage *s, kms_txn *txn)
{
    kms_status answer = txn->backend->ops->put(txn, text("a"), text("contender"));

    kms__stage_reach(s, 2);
    TRY(kms__stage_await(t, s, 3, "the first writer's commit"));
    if (answer == KMS_OK)
        answer = kms__trial_commit_status(t, txn);
    TRY(kms__trial_refused(t, "the later of two writers of one record", answer, KMS_ERR_CONFLICT));
}

/* least_ms, most_ms: how long BUSY may take. */
static void contend(trial *t, stage *s, kms_backend *engine, unsigned mode, unsigned least_ms,
                    unsigned most_ms)
{
    uint64_t began_ns;
    uint64_t took_ms;
    kms_status answer;
    kms_txn *txn;

    TRY(kms__stage_await(t, s, 1, "begin(write) of the first writer"));
    kms__trial_forget_errors();
    began_ns = kms__trial_now_ns();
    answer = kms__trial_begin_status(t, engine, mode, &txn);
    took_ms = (kms__trial_now_ns() - began_ns) / 1000000u;
    if (answer == KMS_OK) {
        lose(t, s, txn);
        return;
    }
    TRY(kms__trial_refused(t, "begin(write) beside another writer", answer, KMS_ERR_BUSY));
    REQUIRE(took_ms >= least_ms && took_ms <= most_ms,
            "BUSY came after %llu ms, where %u to %u are due", (unsigned long long)took_ms,
            least_ms, most_ms);
    kms__stage_reach(s, 2);
    TRY(kms__stage_await(t, s, 3, "the first writer's commit"));
    TRY(kms__trial_begin(t, engine, mode, &txn, NULL));
    TRY(kms__trial_holds_text(t, txn, "a", "holder"));
    TRY(kms__trial_commit(t, txn));
}

static void impatient(trial *t, stage *s, unsigned number)
{
    (void)number;
    contend(t, s, s->engine, KMS_TXN_WRITE | KMS_TXN_NOWAIT, 0, 1000);
}

CASE(a_second_writer_that_may_not_wait_is_told_at_once)
{
    static role *const roles[] = {holder, impatient};
    kms_backend *engine;

    TRY(kms__trial_new_store(t, &engine));
    TRY(kms__stage_play(t, engine, roles, 2, 2));
    TRY(kms__trial_sees(t, engine, "a", "holder"));
}

static void impatient_elsewhere(trial *t, stage *s, unsigned number)
{
    kms_backend *engine;

    (void)number;
    TRY(kms__trial_open_store(t, 0, &engine));
    contend(t, s, engine, KMS_TXN_WRITE | KMS_TXN_NOWAIT, 0, 1000);
}

CASE(a_writer_of_another_handle_is_told_at_once_too)
{
    static role *const roles[] = {holder, impatient_elsewhere};
    kms_backend *engine;

    REQUIRE_SHARED();
    TRY(kms__trial_new_store(t, &engine));
    TRY(kms__stage_play(t, engine, roles, 2, 2));
    TRY(kms__trial_sees(t, engine, "a", "holder"));
}

enum { SHORT_BUSY_MS = 150 };

static void patient(trial *t, stage *s, unsigned number)
{
    (void)number;
    contend(t, s, s->engine, KMS_TXN_WRITE, SHORT_BUSY_MS - 20, SHORT_BUSY_MS + 2000);
}

CASE(the_busy_timeout_is_kept)
{
    static role *const roles[] = {holder, patient};
    kms_backend_how how = kms__trial_how();
    kms_backend *engine;
    kms_status answer;

    how.busy_timeout_ms = SHORT_BUSY_MS;
    TRY(kms__trial_make(t, 0, &engine));
    answer = engine->ops->create(engine, &how, NULL, 0);
    REQUIRE(answer == KMS_OK, "create() answered %s", kms_status_name(answer));
    TRY(kms__stage_play(t, engine, roles, 2, 2));
    TRY(kms__trial_sees(t, engine, "a", "holder"));
}

static void slow_writer(trial *t, stage *s, unsigned number)
{
    kms_txn *txn;

    (void)number;
    TRY(kms__trial_begin(t, s->engine, KMS_TXN_WRITE, &txn, NULL));
    TRY(kms__trial_put_text(t, txn, "a", "1"));
    kms__stage_reach(s, 1);
    kms__trial_sleep_ms(30);
    TRY(kms__trial_commit(t, txn));
    kms__stage_reach(s, 2);
}

static void waiting_writer(trial *t, stage *s, unsigned number)
{
    kms_status answer;
    kms_slice found;
    kms_txn *txn;
    bool waited;

    (void)number;
    TRY(kms__stage_await(t, s, 1, "begin(write) of the first writer"));
    TRY(kms__trial_begin(t, s->engine, KMS_TXN_WRITE, &txn, NULL));
    waited = s->engine->ops->get(txn, text("a"), &found) == KMS_OK;
    answer = s->engine->ops->put(txn, text("a"), text("2"));
    TRY(kms__stage_await(t, s, 2, "the first writer's commit"));
    if (answer == KMS_OK)
        answer = kms__trial_commit_status(t, txn);
    REQUIRE(answer == (waited ? KMS_OK : KMS_ERR_CONFLICT),
            "a writer that %s the one before it was answered %s", waited ? "saw" : "did not see",
            kms_status_name(answer));
}

CASE(a_writer_waits_for_the_one_before_it)
{
    static role *const roles[] = {slow_writer, waiting_writer};
    kms_backend *engine;

    TRY(kms__trial_new_store(t, &engine));
    TRY(kms__stage_play(t, engine, roles, 2, 2));
}

static void another_threads_writer(trial *t, stage *s, unsigned number)
{
    kms_txn *txn;

    (void)number;
    TRY(kms__trial_begin(t, s->engine, KMS_TXN_WRITE | KMS_TXN_NOWAIT, &txn, NULL));
    TRY(kms__trial_put_text(t, txn, "a", "other thread"));
    TRY(kms__trial_commit(t, txn));
}

CASE(a_writer_that_ended_leaves_the_way_free)
{
    static role *const roles[] = {another_threads_writer};
    kms_backend *engine;
    kms_txn *txn;

    TRY(kms__trial_new_store(t, &engine));
    for (int i = 0; i < 4; i++) {
        TRY(kms__trial_begin(t, engine, KMS_TXN_WRITE | KMS_TXN_NOWAIT, &txn, NULL));
        if (i < 2)
            TRY(kms__trial_put_text(t, txn, "a", "1"));
        if (i % 2)
            TRY(kms__trial_commit(t, txn));
        else
            kms__trial_abort(t, txn);
    }
    TRY(kms__stage_play(t, engine, roles, 1, 1));
    TRY(kms__trial_sees(t, engine, "a", "other thread"));
}

/* --- many writers -------------------------------------------------------------------------- */

enum { COUNTERS = 2, INCREMENTS = 40, RERUNS_MAX = 100000 };

/* One run of the operation. CONFLICT and BUSY ask for another. */
static kms_status increment_once(trial *t, kms_backend *engine)
{
    uint32_t counter;
    kms_status answer;
    kms_slice found;
    kms_txn *txn;

    answer = kms__trial_begin_status(t, engine, KMS_TXN_WRITE, &txn);
    if (answer != KMS_OK)
        return answer;
    answer = engine->ops->get(txn, text("counter"), &found);
    if (answer == KMS_OK && found.len == sizeof counter) {
        memcpy(&counter, found.data, sizeof counter);
        counter++;
        answer = engine->ops->put(txn, text("counter"), (kms_slice){&counter, sizeof counter});
    }
    if (answer == KMS_OK)
        return kms__trial_commit_status(t, txn);
    kms__trial_abort(t, txn);
    return answer;
}

static void count_up(trial *t, kms_backend *engine)
{
    unsigned reruns = 0;

    for (unsigned i = 0; i < INCREMENTS;) {
        kms_status answer = increment_once(t, engine);

        if (answer == KMS_OK) {
            i++;
            continue;
        }
        REQUIRE(answer == KMS_ERR_CONFLICT || answer == KMS_ERR_BUSY,
                "an increment was answered %s (%s)", kms_status_name(answer), kms_error_message());
        REQUIRE(++reruns < RERUNS_MAX, "writers keep one another from getting anywhere");
    }
}

static void counting(trial *t, stage *s, unsigned number)
{
    (void)number;
    count_up(t, s->engine);
}

/* Every second thread counts through a handle of its own. */
static void counting_elsewhere(trial *t, stage *s, unsigned number)
{
    kms_backend *engine = s->engine;

    if (number % 2 == 1)
        TRY(kms__trial_open_store(t, 0, &engine));
    count_up(t, engine);
}

static void all_increments_count(trial *t, role *const *roles)
{
    uint32_t counter = 0;
    kms_backend *engine;
    kms_txn *txn;

    TRY(kms__trial_new_store(t, &engine));
    TRY(kms__trial_begin(t, engine, KMS_TXN_WRITE, &txn, NULL));
    TRY(kms__trial_put(t, txn, text("counter"), (kms_slice){&counter, sizeof counter}));
    TRY(kms__trial_commit(t, txn));
    TRY(kms__stage_play(t, engine, roles, 1, COUNTERS));
    counter = COUNTERS * INCREMENTS;
    TRY(kms__trial_begin(t, engine, KMS_TXN_READ, &txn, NULL));
    TRY(kms__trial_holds(t, txn, text("counter"), (kms_slice){&counter, sizeof counter}));
}

CASE(two_threads_lose_no_increment)
{
    static role *const roles[] = {counting};

    all_increments_count(t, roles);
}

CASE(two_handles_lose_no_increment)
{
    static role *const roles[] = {counting_elsewhere};

    REQUIRE_SHARED();
    all_increments_count(t, roles);
}

enum { AUTHORS = 4, WORKS = 10 };

static void author(trial *t, stage *s, unsigned number)
{
    for (unsigned i = 0; i < WORKS; i++) {
        kms_status answer;
        kms_txn *txn;
        char key[16];

        snprintf(key, sizeof key, "%u-%u", number, i);
        do {
            TRY(kms__trial_begin(t, s->engine, KMS_TXN_WRITE, &txn, NULL));
            TRY(kms__trial_put_text(t, txn, key, key));
            answer = kms__trial_commit_status(t, txn);
        } while (answer == KMS_ERR_CONFLICT);
        REQUIRE(answer == KMS_OK, "commit() answered %s", kms_status_name(answer));
        TRY(kms__trial_sees(t, s->engine, key, key));
    }
}

CASE(writes_of_many_threads_are_all_kept)
{
    static role *const roles[] = {author};
    kms_record records[KMS_SCAN_MAX];
    kms_backend *engine;
    kms_txn *txn;
    size_t count;

    TRY(kms__trial_new_store(t, &engine));
    TRY(kms__stage_play(t, engine, roles, 1, AUTHORS));
    TRY(kms__trial_begin(t, engine, KMS_TXN_READ, &txn, NULL));
    TRY(kms__trial_scan(t, txn, text(""), KMS_SCAN_MAX, records, &count));
    REQUIRE(count == AUTHORS * WORKS, "%zu of %d records are there", count, AUTHORS * WORKS);
}
