#include "trial.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

/* --- a trial's life and outcome ------------------------------------------------------------ */

void kms__trial_start(trial *t, const kms_conformance_subject *subject)
{
    memset(t, 0, sizeof *t);
    t->subject = subject;
    t->result = KMS_CONFORMANCE_PASS;
}

void kms__trial_end(trial *t)
{
    for (size_t i = 0; i < TRIAL_TXNS; i++) {
        if (t->txns[i] != NULL)
            kms__trial_abort(t, t->txns[i]);
    }
    for (size_t i = 0; i < TRIAL_ENGINES; i++) {
        if (t->engines[i] != NULL)
            kms__trial_close(t, t->engines[i]);
    }
}

bool kms__trial_fail(trial *t, const char *format, ...)
{
    va_list args;

    if (t->result != KMS_CONFORMANCE_PASS)
        return false;
    t->result = KMS_CONFORMANCE_FAIL;
    va_start(args, format);
    vsnprintf(t->why, sizeof t->why, format, args);
    va_end(args);
    return false;
}

void kms__trial_skip(trial *t, const char *why)
{
    t->result = KMS_CONFORMANCE_SKIP;
    snprintf(t->why, sizeof t->why, "%s", why);
}

void kms__trial_forget_errors(void)
{
    kms_set_error(KMS_ERR_ABI, "the engine recorded nothing");
}

bool kms__trial_refused(trial *t, const char *call, kms_status answer, kms_status expected)
{
    if (answer != expected)
        return kms__trial_fail(t, "%s answered %s where %s is due", call, kms_status_name(answer),
                               kms_status_name(expected));
    if (kms_error_status() != expected || kms_error_message()[0] == '\0')
        return kms__trial_fail(t, "%s answered %s and recorded no sentence for it", call,
                               kms_status_name(answer));
    return true;
}

static bool succeeded(trial *t, const char *call, kms_status answer)
{
    if (answer == KMS_OK)
        return true;
    return kms__trial_fail(t, "%s answered %s (%s)", call, kms_status_name(answer),
                           kms_error_message());
}

/* --- engines ------------------------------------------------------------------------------- */

kms_backend_how kms__trial_how(void)
{
    return (kms_backend_how){.version = 1, .flags = 0, .busy_timeout_ms = TRIAL_BUSY_MS};
}

bool kms__trial_make(trial *t, unsigned place, kms_backend **engine)
{
    size_t at = 0;

    while (at < TRIAL_ENGINES && t->engines[at] != NULL)
        at++;
    if (at == TRIAL_ENGINES)
        return kms__trial_fail(t, "the suite itself made too many engines");
    if (!succeeded(t, "the subject's make()", t->subject->make(t->subject->data, place, engine)))
        return false;
    t->engines[at] = *engine;
    return true;
}

bool kms__trial_new_store(trial *t, kms_backend **engine)
{
    kms_backend_how how = kms__trial_how();

    return kms__trial_make(t, 0, engine) &&
           succeeded(t, "create()", (*engine)->ops->create(*engine, &how, NULL, 0));
}

bool kms__trial_open_store(trial *t, unsigned flags, kms_backend **engine)
{
    kms_backend_how how = kms__trial_how();

    how.flags = flags;
    return kms__trial_make(t, 0, engine) &&
           succeeded(t, "open()", (*engine)->ops->open(*engine, &how));
}

void kms__trial_close(trial *t, kms_backend *engine)
{
    for (size_t i = 0; i < TRIAL_ENGINES; i++) {
        if (t->engines[i] == engine)
            t->engines[i] = NULL;
    }
    engine->ops->close(engine);
}

/* --- transactions -------------------------------------------------------------------------- */

static void forget_txn(trial *t, const kms_txn *txn)
{
    for (size_t i = 0; i < TRIAL_TXNS; i++) {
        if (t->txns[i] == txn)
            t->txns[i] = NULL;
    }
}

static kms_status begin_raw(trial *t, kms_backend *engine, unsigned mode, kms_txn **txn,
                            kms_revision *revision)
{
    kms_status answer;
    size_t at = 0;

    while (at < TRIAL_TXNS - 1 && t->txns[at] != NULL)
        at++;
    answer = engine->ops->begin(engine, mode, txn, revision);
    if (answer == KMS_OK)
        t->txns[at] = *txn;
    return answer;
}

kms_status kms__trial_begin_status(trial *t, kms_backend *engine, unsigned mode, kms_txn **txn)
{
    kms_revision revision;

    return begin_raw(t, engine, mode, txn, &revision);
}

bool kms__trial_begin(trial *t, kms_backend *engine, unsigned mode, kms_txn **txn,
                      kms_revision *revision)
{
    kms_revision unused;

    return succeeded(t, (mode & KMS_TXN_WRITE) ? "begin(write)" : "begin(read)",
                     begin_raw(t, engine, mode, txn, revision != NULL ? revision : &unused));
}

kms_status kms__trial_commit_status(trial *t, kms_txn *txn)
{
    forget_txn(t, txn);
    return txn->backend->ops->commit(txn);
}

bool kms__trial_commit(trial *t, kms_txn *txn)
{
    return succeeded(t, "commit()", kms__trial_commit_status(t, txn));
}

void kms__trial_abort(trial *t, kms_txn *txn)
{
    forget_txn(t, txn);
    txn->backend->ops->abort(txn);
}

bool kms__trial_put(trial *t, kms_txn *txn, kms_slice key, kms_slice value)
{
    return succeeded(t, "put()", txn->backend->ops->put(txn, key, value));
}

bool kms__trial_put_text(trial *t, kms_txn *txn, const char *key, const char *value)
{
    return kms__trial_put(t, txn, text(key), text(value));
}

bool kms__trial_del(trial *t, kms_txn *txn, kms_slice key)
{
    return succeeded(t, "del()", txn->backend->ops->del(txn, key));
}

bool kms__trial_holds(trial *t, kms_txn *txn, kms_slice key, kms_slice value)
{
    kms_slice found = {NULL, 0};
    kms_status answer = txn->backend->ops->get(txn, key, &found);

    if (answer == KMS_ERR_NOT_FOUND)
        return kms__trial_fail(t,
                               "get() does not find a record with a key of %zu bytes that is "
                               "there",
                               key.len);
    if (!succeeded(t, "get()", answer))
        return false;
    if (!same(found, value))
        return kms__trial_fail(t,
                               "get() shows another value (%zu bytes) than the one (%zu bytes) "
                               "that is there",
                               found.len, value.len);
    return true;
}

bool kms__trial_holds_text(trial *t, kms_txn *txn, const char *key, const char *value)
{
    kms_slice found = {NULL, 0};
    kms_status answer = txn->backend->ops->get(txn, text(key), &found);

    if (answer == KMS_ERR_NOT_FOUND && value == NULL)
        return true;
    if (answer == KMS_ERR_NOT_FOUND)
        return kms__trial_fail(t, "get(\"%s\") finds nothing where \"%s\" is due", key, value);
    if (!succeeded(t, "get()", answer))
        return false;
    if (value == NULL || !same(found, text(value)))
        return kms__trial_fail(t, "get(\"%s\") shows \"%.*s\" where %s%s%s is due", key,
                               (int)(found.len < 40 ? found.len : 40), (const char *)found.data,
                               value != NULL ? "\"" : "", value != NULL ? value : "nothing",
                               value != NULL ? "\"" : "");
    return true;
}

static int compare(kms_slice a, kms_slice b)
{
    size_t common = a.len < b.len ? a.len : b.len;
    int order = common > 0 ? memcmp(a.data, b.data, common) : 0;

    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

bool kms__trial_scan(trial *t, kms_txn *txn, kms_slice from, size_t limit, kms_record *records,
                     size_t *count)
{
    *count = 0;
    if (!succeeded(t, "scan()", txn->backend->ops->scan(txn, from, limit, records, count)))
        return false;
    if (*count > limit)
        return kms__trial_fail(t, "scan() answered %zu records for a limit of %zu", *count, limit);
    if (*count > 0 && compare(records[0].key, from) < 0)
        return kms__trial_fail(t, "scan() began before the key that it was to start from");
    for (size_t i = 1; i < *count; i++) {
        if (compare(records[i - 1].key, records[i].key) >= 0)
            return kms__trial_fail(t, "scan() is not in unsigned byte order at record %zu", i);
    }
    return true;
}

bool kms__trial_lists(trial *t, kms_txn *txn, const char *from, size_t limit, const char *keys)
{
    kms_record records[KMS_SCAN_MAX];
    char found[256] = "";
    size_t used = 0;
    size_t count;

    if (!kms__trial_scan(t, txn, text(from), limit, records, &count))
        return false;
    for (size_t i = 0; i < count && used < sizeof found; i++)
        used += (size_t)snprintf(found + used, sizeof found - used, "%s%.*s", i > 0 ? " " : "",
                                 (int)records[i].key.len, (const char *)records[i].key.data);
    if (strcmp(found, keys) != 0)
        return kms__trial_fail(t, "scan(from \"%s\", limit %zu) shows \"%s\" where \"%s\" is due",
                               from, limit, found, keys);
    return true;
}

bool kms__trial_write(trial *t, kms_backend *engine, const char *key, const char *value)
{
    kms_txn *txn;

    return kms__trial_begin(t, engine, KMS_TXN_WRITE, &txn, NULL) &&
           kms__trial_put_text(t, txn, key, value) && kms__trial_commit(t, txn);
}

bool kms__trial_sees(trial *t, kms_backend *engine, const char *key, const char *value)
{
    kms_txn *txn;
    bool right;

    if (!kms__trial_begin(t, engine, KMS_TXN_READ, &txn, NULL))
        return false;
    right = kms__trial_holds_text(t, txn, key, value);
    kms__trial_abort(t, txn);
    return right;
}

bool kms__trial_revision_of(trial *t, kms_backend *engine, kms_revision *revision)
{
    kms_txn *txn;

    if (!kms__trial_begin(t, engine, KMS_TXN_READ, &txn, revision))
        return false;
    kms__trial_abort(t, txn);
    return true;
}

bool kms__trial_hint_reaches(trial *t, kms_backend *engine, kms_revision revision,
                             uint64_t acknowledged_ns)
{
    for (;;) {
        uint64_t asked_ns = kms__trial_now_ns();
        uint64_t age_ns = 0;
        kms_revision hint;

        if (!succeeded(t, "hint()", engine->ops->hint(engine, &hint, &age_ns)))
            return false;
        if (hint.incarnation != revision.incarnation)
            return kms__trial_fail(t, "hint() names another incarnation than begin() does");
        if (hint.number >= revision.number)
            return true;
        if (asked_ns - acknowledged_ns >= age_ns)
            return kms__trial_fail(t,
                                   "hint() is behind a commit that was acknowledged before it was "
                                   "asked, and states an age of %llu ns",
                                   (unsigned long long)age_ns);
        kms__trial_sleep_ms(1);
    }
}

uint64_t kms__trial_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void kms__trial_sleep_ms(unsigned milliseconds)
{
    struct timespec rest = {.tv_sec = (time_t)(milliseconds / 1000),
                            .tv_nsec = (long)(milliseconds % 1000) * 1000000L};

    nanosleep(&rest, NULL);
}
