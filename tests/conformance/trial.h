/*
 * What the cases share: a trial is one case's run (or one thread's part in it). It remembers the
 * engines and transactions that are open, so that a case may return wherever a promise is broken.
 *
 * Functions that answer bool have written the reason into the trial when they answer false: pass
 * them to TRY().
 */
#ifndef KMS_CONFORMANCE_TRIAL_H
#define KMS_CONFORMANCE_TRIAL_H

#include <kms/conformance.h>

#include <limits.h>
#include <pthread.h>
#include <string.h>

#define TRIAL_ENGINES 8
#define TRIAL_TXNS 64
#define TRIAL_THREADS 8
/* How long writers wait for one another where waiting is not what a case is about. */
#define TRIAL_BUSY_MS 20000u
/* How long a thread waits for another one's step, and for a step that must not be held up. */
#define TRIAL_PATIENCE_MS 20000u
#define TRIAL_PROMPT_MS 3000u

typedef struct trial {
    const kms_conformance_subject *subject;
    kms_conformance_result result;
    char why[KMS_CONFORMANCE_WHY_SIZE];
    kms_backend *engines[TRIAL_ENGINES];
    kms_txn *txns[TRIAL_TXNS];
} trial;

#define TRY(call)                                                                                  \
    do {                                                                                           \
        if (!(call))                                                                               \
            return;                                                                                \
    } while (0)

/* Else the case fails for the reason that follows, printf-style. */
#define REQUIRE(condition, ...)                                                                    \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            kms__trial_fail(t, __VA_ARGS__);                                                       \
            return;                                                                                \
        }                                                                                          \
    } while (0)

/* The case ends as skipped if handles of the subject cannot share a store. */
#define REQUIRE_SHARED()                                                                           \
    do {                                                                                           \
        if (!t->subject->shared) {                                                                 \
            kms__trial_skip(t, "each handle of this engine has a store of its own");               \
            return;                                                                                \
        }                                                                                          \
    } while (0)

#define CASE(name) void kms__case_##name(trial *t)

static inline kms_slice text(const char *string)
{
    return (kms_slice){string, strlen(string)};
}

static inline bool same(kms_slice a, kms_slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/* --- a trial's life and outcome ------------------------------------------------------------ */

void kms__trial_start(trial *t, const kms_conformance_subject *subject);
/* Aborts and closes what is still open. */
void kms__trial_end(trial *t);
/* The first reason stays. Answers false. */
bool kms__trial_fail(trial *t, const char *format, ...) KMS_PRINTF(2, 3);
void kms__trial_skip(trial *t, const char *why);

/* Before a call that must fail, and after it: the status, and a sentence that belongs to it. */
void kms__trial_forget_errors(void);
bool kms__trial_refused(trial *t, const char *call, kms_status answer, kms_status expected);

/* --- engines ------------------------------------------------------------------------------- */

/* Options of a store with no flags and a long busy timeout. */
kms_backend_how kms__trial_how(void);
/* An engine of that place, not open. */
bool kms__trial_make(trial *t, unsigned place, kms_backend **engine);
/* The same, with a new store of no records; and with a store that is there. */
bool kms__trial_new_store(trial *t, kms_backend **engine);
bool kms__trial_open_store(trial *t, unsigned flags, kms_backend **engine);
void kms__trial_close(trial *t, kms_backend *engine);

/* --- transactions -------------------------------------------------------------------------- */

/* revision may be NULL. */
bool kms__trial_begin(trial *t, kms_backend *engine, unsigned mode, kms_txn **txn,
                      kms_revision *revision);
/* The same for a case that expects failures: passes the status on. */
kms_status kms__trial_begin_status(trial *t, kms_backend *engine, unsigned mode, kms_txn **txn);
bool kms__trial_commit(trial *t, kms_txn *txn);
kms_status kms__trial_commit_status(trial *t, kms_txn *txn);
void kms__trial_abort(trial *t, kms_txn *txn);

bool kms__trial_put(trial *t, kms_txn *txn, kms_slice key, kms_slice value);
bool kms__trial_put_text(trial *t, kms_txn *txn, const char *key, const char *value);
bool kms__trial_del(trial *t, kms_txn *txn, kms_slice key);
/* The record has this value. */
bool kms__trial_holds(trial *t, kms_txn *txn, kms_slice key, kms_slice value);
/* value NULL: there is no such record. */
bool kms__trial_holds_text(trial *t, kms_txn *txn, const char *key, const char *value);
/* A scan finds exactly these keys, separated by spaces. */
bool kms__trial_lists(trial *t, kms_txn *txn, const char *from, size_t limit, const char *keys);
/* The scan itself, with its answer checked for order, limit and start. */
bool kms__trial_scan(trial *t, kms_txn *txn, kms_slice from, size_t limit, kms_record *records,
                     size_t *count);

/* Transactions of their own. */
bool kms__trial_write(trial *t, kms_backend *engine, const char *key, const char *value);
bool kms__trial_sees(trial *t, kms_backend *engine, const char *key, const char *value);
bool kms__trial_revision_of(trial *t, kms_backend *engine, kms_revision *revision);

static inline bool same_revision(kms_revision a, kms_revision b)
{
    return a.incarnation == b.incarnation && a.number == b.number;
}

/* a shows a later content than b. */
static inline bool is_later(kms_revision a, kms_revision b)
{
    return a.incarnation == b.incarnation && a.number > b.number;
}

/* The hint reaches the revision within the age that it states itself: for an exact engine, now.
 * acknowledged_ns is when the commit had been acknowledged. */
bool kms__trial_hint_reaches(trial *t, kms_backend *engine, kms_revision revision,
                             uint64_t acknowledged_ns);

uint64_t kms__trial_now_ns(void);
void kms__trial_sleep_ms(unsigned milliseconds);

/* --- threads ------------------------------------------------------------------------------- */

/* What the threads of a case share. Steps let them take turns. */
typedef struct stage {
    kms_backend *engine;
    pthread_mutex_t mutex;
    pthread_cond_t moved;
    unsigned step;
    bool broken;
} stage;

/* A thread's part: its own trial, the stage, and which thread it is (0, 1, ...). */
typedef void role(trial *t, stage *s, unsigned number);

/* Plays the roles (roles[number % role_count]) in `threads` threads and joins them. The first
 * failure becomes the case's. */
bool kms__stage_play(trial *t, kms_backend *engine, role *const *roles, size_t role_count,
                     unsigned threads);
/* The stage has reached this step. */
void kms__stage_reach(stage *s, unsigned step);
/* One step more. */
void kms__stage_arrive(stage *s);
/* The step that is reached; UINT_MAX once a thread has failed, so that loops end. */
unsigned kms__stage_step(stage *s);
/* Waits for a step with patience, or for one that an engine may not hold up. What names it in the
 * reason. */
bool kms__stage_await(trial *t, stage *s, unsigned step, const char *what);
bool kms__stage_await_promptly(trial *t, stage *s, unsigned step, const char *what);

#endif
