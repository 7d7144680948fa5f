/* Engines whose writers meet in the wrong way, and whose stores come and go wrongly. */
#include "engine_mutants.h"

#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void rest_ms(long milliseconds)
{
    struct timespec rest = {.tv_sec = 0, .tv_nsec = milliseconds * 1000000L};

    nanosleep(&rest, NULL);
}

static bool equal(kms_slice a, const char *b)
{
    return a.len == strlen(b) && memcmp(a.data, b, a.len) == 0;
}

/* --- writers ------------------------------------------------------------------------------- */

static atomic_int readers;
static atomic_int writers;
static _Thread_local bool writes;

static kms_status begin_counted(kms_backend *backend, unsigned mode, kms_txn **txn,
                                kms_revision *revision)
{
    kms_status status = engine_real.begin(backend, mode, txn, revision);

    writes = (mode & KMS_TXN_WRITE) != 0;
    if (status == KMS_OK)
        atomic_fetch_add(writes ? &writers : &readers, 1);
    return status;
}

static kms_status commit_counted(kms_txn *txn)
{
    atomic_fetch_sub(writes ? &writers : &readers, 1);
    return engine_real.commit(txn);
}

static void abort_counted(kms_txn *txn)
{
    atomic_fetch_sub(writes ? &writers : &readers, 1);
    engine_real.abort(txn);
}

static kms_status begin_one_or_the_other(kms_backend *backend, unsigned mode, kms_txn **txn,
                                         kms_revision *revision)
{
    while (atomic_load((mode & KMS_TXN_WRITE) ? &readers : &writers) > 0)
        rest_ms(1);
    return begin_counted(backend, mode, txn, revision);
}

static kms_status begin_few_readers(kms_backend *backend, unsigned mode, kms_txn **txn,
                                    kms_revision *revision)
{
    if (atomic_load(&readers) >= 126)
        return kms_set_error(KMS_ERR_STORAGE, "too many readers");
    return begin_counted(backend, mode, txn, revision);
}

static kms_status begin_always_waiting(kms_backend *backend, unsigned mode, kms_txn **txn,
                                       kms_revision *revision)
{
    return engine_real.begin(backend, mode & KMS_TXN_WRITE, txn, revision);
}

static kms_status begin_never_waiting(kms_backend *backend, unsigned mode, kms_txn **txn,
                                      kms_revision *revision)
{
    return engine_real.begin(backend, (mode & KMS_TXN_WRITE) ? mode | KMS_TXN_NOWAIT : mode, txn,
                             revision);
}

static kms_status begin_without_a_sentence(kms_backend *backend, unsigned mode, kms_txn **txn,
                                           kms_revision *revision)
{
    kms_status status = engine_real.begin(backend, mode, txn, revision);

    if (status == KMS_ERR_BUSY)
        kms_set_error(KMS_ERR_STORAGE, "the sentence of another failure");
    return status;
}

/* After an abort the writer's place stays taken. */
static atomic_bool aborted;

static void abort_and_stay(kms_txn *txn)
{
    atomic_store(&aborted, true);
    engine_real.abort(txn);
}

static kms_status begin_unless_aborted(kms_backend *backend, unsigned mode, kms_txn **txn,
                                       kms_revision *revision)
{
    if ((mode & KMS_TXN_WRITE) && atomic_load(&aborted))
        return kms_set_error(KMS_ERR_BUSY, "an aborted writer is still there");
    return engine_real.begin(backend, mode, txn, revision);
}

/* A writer that reads what was committed before it became the writer. */
static _Thread_local uint32_t stale;

static kms_status begin_with_stale_reads(kms_backend *backend, unsigned mode, kms_txn **txn,
                                         kms_revision *revision)
{
    kms_slice found;

    if ((mode & KMS_TXN_WRITE) &&
        engine_real.begin(backend, KMS_TXN_READ, txn, revision) == KMS_OK) {
        if (engine_real.get(*txn, (kms_slice){"counter", 7}, &found) == KMS_OK)
            memcpy(&stale, found.data, sizeof stale);
        engine_real.abort(*txn);
        rest_ms(1);
    }
    return begin_counted(backend, mode, txn, revision);
}

static kms_status get_stale(kms_txn *txn, kms_slice key, kms_slice *value)
{
    kms_status status = engine_real.get(txn, key, value);

    if (writes && status == KMS_OK && equal(key, "counter"))
        value->data = &stale;
    return status;
}

/* --- the life of a store ------------------------------------------------------------------- */

static kms_status open_or_create(kms_backend *backend, const kms_backend_how *how)
{
    kms_backend_how writing = *how;
    kms_status status = engine_real.open(backend, how);

    writing.flags = 0;
    return status == KMS_ERR_NOT_FOUND ? engine_real.create(backend, &writing, NULL, 0) : status;
}

static kms_status open_wrong_sentence(kms_backend *backend, const kms_backend_how *how)
{
    kms_status status = engine_real.open(backend, how);

    kms_set_error(KMS_ERR_STORAGE, "the sentence of another failure");
    return status;
}

/* What was missing once is missing for ever. */
static bool missed;

static kms_status open_sulking(kms_backend *backend, const kms_backend_how *how)
{
    kms_status status = engine_real.open(backend, how);

    missed |= status == KMS_ERR_NOT_FOUND;
    return status;
}

static kms_status create_sulking(kms_backend *backend, const kms_backend_how *how,
                                 const kms_record *records, size_t count)
{
    if (missed)
        return kms_set_error(KMS_ERR_STORAGE, "it was not there before");
    return engine_real.create(backend, how, records, count);
}

static kms_status open_always_writable(kms_backend *backend, const kms_backend_how *how)
{
    kms_backend_how writing = *how;

    writing.flags = 0;
    return engine_real.open(backend, &writing);
}

static kms_status open_not_frozen(kms_backend *backend, const kms_backend_how *how)
{
    if (how->flags & KMS_BACKEND_FROZEN)
        return kms_set_error(KMS_ERR_STORAGE, "it is cold");
    return engine_real.open(backend, how);
}

/* The newest handle shows for ever what it showed first. */
static kms_backend *newest_handle;

static kms_status open_noting(kms_backend *backend, const kms_backend_how *how)
{
    newest_handle = backend;
    return engine_real.open(backend, how);
}

static kms_status get_first_seen(kms_txn *txn, kms_slice key, kms_slice *value)
{
    static unsigned char first[64];
    static size_t first_len;
    kms_status status = engine_real.get(txn, key, value);

    if (status != KMS_OK || txn->backend != newest_handle || value->len >= sizeof first)
        return status;
    if (first_len == 0) {
        memcpy(first, value->data, value->len);
        first_len = value->len;
    }
    *value = (kms_slice){first, first_len};
    return KMS_OK;
}

static kms_status add(kms_backend *backend, const kms_record *records, size_t count)
{
    kms_revision revision;
    kms_txn *txn;
    kms_status status = engine_real.begin(backend, KMS_TXN_WRITE, &txn, &revision);

    if (status != KMS_OK)
        return status;
    for (size_t i = 0; i < count; i++)
        (void)engine_real.put(txn, records[i].key, records[i].value);
    return engine_real.commit(txn);
}

static kms_status create_with_a_mark(kms_backend *backend, const kms_backend_how *how,
                                     const kms_record *records, size_t count)
{
    const kms_record mark = {{"mark", 4}, {"", 0}};
    kms_status status = engine_real.create(backend, how, records, count);

    return status != KMS_OK ? status : add(backend, &mark, 1);
}

static kms_status create_all_but_one(kms_backend *backend, const kms_backend_how *how,
                                     const kms_record *records, size_t count)
{
    return engine_real.create(backend, how, records, count > 0 ? count - 1 : 0);
}

static kms_status create_in_two_steps(kms_backend *backend, const kms_backend_how *how,
                                      const kms_record *records, size_t count)
{
    kms_status status = engine_real.create(backend, how, records, count / 2);

    rest_ms(100);
    return status != KMS_OK ? status : add(backend, records + count / 2, count - count / 2);
}

static const kms_record *later_records;
static size_t later_count;
static kms_backend_how later_how;

static kms_status create_later(kms_backend *backend, const kms_backend_how *how,
                               const kms_record *records, size_t count)
{
    (void)backend;
    later_how = *how;
    later_records = records;
    later_count = count;
    return KMS_OK;
}

static kms_status begin_after_create(kms_backend *backend, unsigned mode, kms_txn **txn,
                                     kms_revision *revision)
{
    if (later_count > 0)
        (void)engine_real.create(backend, &later_how, later_records, later_count);
    later_count = 0;
    return engine_real.begin(backend, mode, txn, revision);
}

static kms_status create_read_only(kms_backend *backend, const kms_backend_how *how,
                                   const kms_record *records, size_t count)
{
    kms_backend_how reading = *how;
    kms_status status = engine_real.create(backend, how, records, count);

    reading.flags = KMS_BACKEND_READ_ONLY;
    return status != KMS_OK ? status : engine_real.open(backend, &reading);
}

static kms_status create_or_open(kms_backend *backend, const kms_backend_how *how,
                                 const kms_record *records, size_t count)
{
    kms_status status = engine_real.create(backend, how, records, count);

    return status == KMS_ERR_ALREADY_EXISTS ? engine_real.open(backend, how) : status;
}

static kms_status create_anew(kms_backend *backend, const kms_backend_how *how,
                              const kms_record *records, size_t count)
{
    unlink(subject_path(0));
    return engine_real.create(backend, how, records, count);
}

static void close_and_remove(kms_backend *backend)
{
    engine_real.close(backend);
    unlink(subject_path(0));
}

static bool closed;

static void close_for_ever(kms_backend *backend)
{
    closed = true;
    engine_real.close(backend);
}

static kms_status create_unless_closed(kms_backend *backend, const kms_backend_how *how,
                                       const kms_record *records, size_t count)
{
    if (closed)
        return kms_set_error(KMS_ERR_STORAGE, "the engine is closed");
    return engine_real.create(backend, how, records, count);
}

static kms_status make_at_one_place(void *data, unsigned place, kms_backend **backend)
{
    (void)place;
    return file_subject.make(data, 0, backend);
}

static void reset_one_place(void *data)
{
    file_subject.reset(data);
}

static const kms_conformance_subject one_place_subject = {.version = KMS_CONFORMANCE_VERSION,
                                                          .make = make_at_one_place,
                                                          .reset = reset_one_place,
                                                          .shared = true};

const engine_mutant life_mutants[] = {
    {"makes readers wait",
     "a_reader_does_not_wait_for_a_writer",
     &memory_subject,
     {.begin = begin_one_or_the_other, .commit = commit_counted, .abort = abort_counted}},
    {"makes writers wait for readers",
     "a_writer_does_not_wait_for_a_reader",
     &memory_subject,
     {.begin = begin_one_or_the_other, .commit = commit_counted, .abort = abort_counted}},
    {"has few readers",
     "two_hundred_snapshots_may_be_open_at_once",
     &memory_subject,
     {.begin = begin_few_readers, .commit = commit_counted, .abort = abort_counted}},
    {"always waits",
     "a_second_writer_that_may_not_wait_is_told_at_once",
     &memory_subject,
     {.begin = begin_always_waiting}},
    {"always waits",
     "a_writer_of_another_handle_is_told_at_once_too",
     &file_subject,
     {.begin = begin_always_waiting}},
    {"never waits", "the_busy_timeout_is_kept", &memory_subject, {.begin = begin_never_waiting}},
    {"never waits",
     "a_writer_waits_for_the_one_before_it",
     &memory_subject,
     {.begin = begin_never_waiting}},
    {"is busy without a sentence",
     "a_second_writer_that_may_not_wait_is_told_at_once",
     &memory_subject,
     {.begin = begin_without_a_sentence}},
    {"stays the writer after an abort",
     "a_writer_that_ended_leaves_the_way_free",
     &memory_subject,
     {.begin = begin_unless_aborted, .abort = abort_and_stay}},
    {"reads before it writes",
     "two_threads_lose_no_increment",
     &memory_subject,
     {.begin = begin_with_stale_reads,
      .get = get_stale,
      .commit = commit_counted,
      .abort = abort_counted}},
    {"reads before it writes",
     "two_handles_lose_no_increment",
     &file_subject,
     {.begin = begin_with_stale_reads,
      .get = get_stale,
      .commit = commit_counted,
      .abort = abort_counted}},
    {"opens nothing",
     "open_of_nothing_answers_not_found",
     &memory_subject,
     {.open = open_or_create}},
    {"opens nothing for reading",
     "open_of_nothing_for_reading_answers_not_found",
     &memory_subject,
     {.open = open_or_create}},
    {"is absent without a sentence",
     "open_of_nothing_answers_not_found",
     &memory_subject,
     {.open = open_wrong_sentence}},
    {"never makes what was missing",
     "open_of_nothing_makes_nothing_and_may_be_followed_by_create",
     &memory_subject,
     {.open = open_sulking, .create = create_sulking}},
    {"makes a record too many",
     "an_empty_store_holds_nothing",
     &memory_subject,
     {.create = create_with_a_mark}},
    {"makes a record too few",
     "create_makes_exactly_these_records",
     &memory_subject,
     {.create = create_all_but_one}},
    {"keeps pointers",
     "create_copies_its_records",
     &memory_subject,
     {.create = create_later, .begin = begin_after_create}},
    {"cannot be written at first",
     "a_made_store_can_be_written_at_once",
     &memory_subject,
     {.create = create_read_only}},
    {"closes for ever",
     "an_engine_may_be_closed_at_any_point_of_its_life",
     &memory_subject,
     {.close = close_for_ever, .create = create_unless_closed}},
    {"has one place", "two_places_are_two_stores", &one_place_subject, {.abi = KMS_BACKEND_ABI}},
    {"forgets",
     "a_store_keeps_its_records_when_it_is_closed",
     &file_subject,
     {.close = close_and_remove}},
    {"makes a store over another",
     "create_leaves_a_store_that_is_there_as_it_is",
     &file_subject,
     {.create = create_anew}},
    {"remembers what it saw first",
     "a_commit_is_seen_by_every_handle",
     &file_subject,
     {.open = open_noting, .get = get_first_seen}},
    {"writes what it may only read",
     "a_store_opened_for_reading_refuses_writers",
     &file_subject,
     {.open = open_always_writable}},
    {"does not read what is frozen",
     "a_store_that_nobody_writes_can_be_read_frozen",
     &file_subject,
     {.open = open_not_frozen}},
    {"lets every starter win",
     "of_many_starters_one_makes_the_store",
     &file_subject,
     {.create = create_or_open}},
    {"makes a store in two steps",
     "a_new_store_is_seen_whole_or_not_at_all",
     &file_subject,
     {.create = create_in_two_steps}},
};

const size_t life_mutants_count = sizeof life_mutants / sizeof life_mutants[0];
