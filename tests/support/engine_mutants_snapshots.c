/* Engines whose transactions, revisions and hints tell the wrong content. */
#include "engine_mutants.h"

#include <stdatomic.h>
#include <string.h>
#include <time.h>

static void rest_ms(long milliseconds)
{
    struct timespec rest = {.tv_sec = 0, .tv_nsec = milliseconds * 1000000L};

    nanosleep(&rest, NULL);
}

static kms_status put_slowly(kms_txn *txn, kms_slice key, kms_slice value)
{
    rest_ms(1);
    return engine_real.put(txn, key, value);
}

/* --- what others see ----------------------------------------------------------------------- */

/* Neither a snapshot nor the own writes, but what is committed now. */
static kms_status get_newest(kms_txn *txn, kms_slice key, kms_slice *value)
{
    static _Thread_local unsigned char copy[KMS_RECORD_VALUE_MAX];
    kms_revision revision;
    kms_txn *fresh;
    kms_status status = engine_real.begin(txn->backend, KMS_TXN_READ, &fresh, &revision);

    if (status != KMS_OK)
        return status;
    status = engine_real.get(fresh, key, value);
    if (status == KMS_OK) {
        memcpy(copy, value->data, value->len);
        value->data = copy;
    }
    engine_real.abort(fresh);
    return status;
}

static kms_status scan_newest(kms_txn *txn, kms_slice from, size_t limit, kms_record *records,
                              size_t *count)
{
    static kms_txn *fresh; /* the last one is left to the process' end: the slices point into it */
    kms_revision revision;

    if (fresh != NULL)
        engine_real.abort(fresh);
    if (engine_real.begin(txn->backend, KMS_TXN_READ, &fresh, &revision) != KMS_OK)
        return KMS_ERR_STORAGE;
    return engine_real.scan(fresh, from, limit, records, count);
}

/* Overwrites what it showed as soon as anything is put. */
static unsigned char shown[64];

static kms_status get_into_one_buffer(kms_txn *txn, kms_slice key, kms_slice *value)
{
    kms_status status = engine_real.get(txn, key, value);

    if (status == KMS_OK && value->len < sizeof shown) {
        memcpy(shown, value->data, value->len);
        value->data = shown;
    }
    return status;
}

static kms_status put_into_that_buffer(kms_txn *txn, kms_slice key, kms_slice value)
{
    memset(shown, 'x', sizeof shown);
    return engine_real.put(txn, key, value);
}

static kms_txn *writer;

static kms_status begin_known_writer(kms_backend *backend, unsigned mode, kms_txn **txn,
                                     kms_revision *revision)
{
    kms_status status = engine_real.begin(backend, mode, txn, revision);

    if (status == KMS_OK && (mode & KMS_TXN_WRITE))
        writer = *txn;
    return status;
}

static kms_status commit_known_writer(kms_txn *txn)
{
    writer = NULL;
    return engine_real.commit(txn);
}

static kms_status get_dirty(kms_txn *txn, kms_slice key, kms_slice *value)
{
    return engine_real.get(writer != NULL ? writer : txn, key, value);
}

static kms_status commit_nothing(kms_txn *txn)
{
    engine_real.abort(txn);
    return KMS_OK;
}

static void abort_nothing(kms_txn *txn)
{
    (void)engine_real.commit(txn);
}

static kms_status commit_most(kms_txn *txn)
{
    static atomic_uint commits;

    return atomic_fetch_add(&commits, 1) % 5 == 4 ? commit_nothing(txn) : engine_real.commit(txn);
}

static kms_status commit_only_known_writer(kms_txn *txn)
{
    if (txn == writer)
        return commit_known_writer(txn);
    engine_real.abort(txn);
    return kms_set_error(KMS_ERR_STORAGE, "nothing to commit");
}

/* --- revisions and hints ------------------------------------------------------------------- */

static kms_status begin_stuck_revision(kms_backend *backend, unsigned mode, kms_txn **txn,
                                       kms_revision *revision)
{
    kms_status status = engine_real.begin(backend, mode, txn, revision);

    revision->number = 1;
    return status;
}

static kms_status begin_restless_revision(kms_backend *backend, unsigned mode, kms_txn **txn,
                                          kms_revision *revision)
{
    static uint64_t begun;
    kms_status status = engine_real.begin(backend, mode, txn, revision);

    revision->number += ++begun;
    return status;
}

static kms_status hint_behind(kms_backend *backend, kms_revision *revision, uint64_t *age_ns)
{
    kms_status status = engine_real.hint(backend, revision, age_ns);

    revision->number--;
    return status;
}

static kms_status hint_ahead(kms_backend *backend, kms_revision *revision, uint64_t *age_ns)
{
    kms_status status = engine_real.hint(backend, revision, age_ns);

    revision->number++;
    return status;
}

/* Knows only what begin() of the same handle has shown. */
static _Thread_local kms_revision last_begun;

static kms_status begin_noting(kms_backend *backend, unsigned mode, kms_txn **txn,
                               kms_revision *revision)
{
    kms_status status = engine_real.begin(backend, mode, txn, revision);

    last_begun = *revision;
    return status;
}

static kms_status hint_noted(kms_backend *backend, kms_revision *revision, uint64_t *age_ns)
{
    kms_status status = engine_real.hint(backend, revision, age_ns);

    revision->number = last_begun.number;
    return status;
}

const engine_mutant snapshot_mutants[] = {
    {"scans past own writes",
     "scan_shows_own_writes_and_removals",
     &memory_subject,
     {.scan = scan_newest}},
    {"gets past own writes",
     "a_transaction_sees_its_own_writes",
     &memory_subject,
     {.get = get_newest}},
    {"has no snapshots", "reads_repeat_while_others_commit", &memory_subject, {.get = get_newest}},
    {"has no snapshots to scan",
     "reads_repeat_while_others_commit",
     &memory_subject,
     {.scan = scan_newest}},
    {"has no snapshots", "a_snapshot_outlives_many_commits", &memory_subject, {.get = get_newest}},
    {"has no snapshots",
     "a_snapshot_outlives_commits_of_another_handle",
     &file_subject,
     {.get = get_newest}},
    {"has no snapshots",
     "a_snapshot_is_never_half_of_a_commit",
     &memory_subject,
     {.get = get_newest, .put = put_slowly}},
    {"shows all in one buffer",
     "slices_last_until_the_next_call",
     &memory_subject,
     {.get = get_into_one_buffer, .put = put_into_that_buffer}},
    {"reads what is not committed",
     "a_transaction_sees_no_write_of_an_open_one",
     &memory_subject,
     {.begin = begin_known_writer, .commit = commit_known_writer, .get = get_dirty}},
    {"commits nothing",
     "a_commit_is_seen_by_the_next_begin",
     &memory_subject,
     {.commit = commit_nothing}},
    {"commits most of the time",
     "writes_of_many_threads_are_all_kept",
     &memory_subject,
     {.commit = commit_most}},
    {"commits on abort", "an_abort_leaves_no_trace", &memory_subject, {.abort = abort_nothing}},
    {"commits writers only",
     "a_read_transaction_may_be_committed",
     &memory_subject,
     {.begin = begin_known_writer, .commit = commit_only_known_writer}},
    {"has one revision",
     "a_commit_leads_to_a_larger_revision",
     &memory_subject,
     {.begin = begin_stuck_revision}},
    {"has one revision",
     "equal_revisions_show_equal_content",
     &memory_subject,
     {.begin = begin_stuck_revision}},
    {"has a revision per look",
     "the_revision_of_a_quiet_store_stays",
     &memory_subject,
     {.begin = begin_restless_revision}},
    {"hints behind",
     "the_hint_is_never_behind_an_acknowledged_commit",
     &memory_subject,
     {.hint = hint_behind}},
    {"hints behind",
     "the_hint_keeps_up_with_another_thread",
     &memory_subject,
     {.begin = begin_noting, .hint = hint_noted}},
    {"hints behind", "the_hint_of_every_handle_keeps_up", &file_subject, {.hint = hint_behind}},
    {"hints ahead for nothing",
     "the_hint_equals_the_revision_of_a_quiet_store",
     &memory_subject,
     {.hint = hint_ahead}},
    {"hints after a look only",
     "the_hint_of_a_store_opened_anew_is_right",
     &file_subject,
     {.begin = begin_noting, .hint = hint_noted}},
};

const size_t snapshot_mutants_count = sizeof snapshot_mutants / sizeof snapshot_mutants[0];
