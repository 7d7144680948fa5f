/* A rotation that cannot be written fails no encrypt, makes nobody wait, and is tried again after a
 * minute of the store's clock. */
#include "support/rotation_trial.h"

#include <pthread.h>
#include <string.h>

#define T0 ROTATION_START_MS
#define DUE_MS (T0 + 30 * DAY_MS)
#define MINUTE_MS INT64_C(60000)

static place here;
static hand_clock hand;
static kms_store *store;
/* It is due. */
static char id[KMS_KEY_ID_SIZE];

static void open_due(void)
{
    hand.now_ms = T0;
    store = rotation_open(&here, &hand, KMS_OPEN_CREATE);
    rotation_create_key(store, 30, id);
    ck_assert_uint_eq(rotation_encrypt(store, id), 1);
    hand.now_ms = DUE_MS;
    engine_reset_counts(&here.control);
    atomic_store(&here.control.patient_begins, 0);
}

static void setup(void)
{
    place_init(&here);
    open_due();
}

static void finish(void)
{
    fixture_ok(kms_verify(store));
    kms_close(store);
    place_free(&here);
}

static void counted(uint64_t made, uint64_t put_off, kms_status last_failure)
{
    kms_store_info info = rotation_store_info(store);

    ck_assert_uint_eq(info.rotations_made, made);
    ck_assert_uint_eq(info.rotations_put_off, put_off);
    ck_assert_int_eq(info.last_rotation_failure, last_failure);
}

/* What the thread's last failure was, and must be still. */
static char sentence[512];

static void fail_otherwise(void)
{
    kms_key_info info = {.version = KMS_KEY_INFO_VERSION};

    fixture_is(kms_describe_key(store, "alias/nobody", &info), KMS_ERR_ALIAS_NOT_FOUND);
    ck_assert_uint_lt(strlen(kms_error_message()), sizeof sentence);
    strcpy(sentence, kms_error_message());
}

static void failure_is_the_same(void)
{
    ck_assert_int_eq(kms_error_status(), KMS_ERR_ALIAS_NOT_FOUND);
    ck_assert_str_eq(kms_error_message(), sentence);
}

/* --- faults of the engine ---------------------------------------------------------------------- */

static const struct {
    engine_call call;
    kms_status status;
} faults[] = {
    {ENGINE_BEGIN_WRITE, KMS_ERR_BUSY},      {ENGINE_BEGIN_WRITE, KMS_ERR_FULL},
    {ENGINE_BEGIN_WRITE, KMS_ERR_STORAGE},   {ENGINE_BEGIN_WRITE, KMS_ERR_READ_ONLY},
    {ENGINE_BEGIN_WRITE, KMS_ERR_NO_MEMORY}, {ENGINE_PUT, KMS_ERR_FULL},
    {ENGINE_PUT, KMS_ERR_STORAGE},           {ENGINE_PUT, KMS_ERR_CONFLICT},
    {ENGINE_COMMIT, KMS_ERR_FULL},           {ENGINE_COMMIT, KMS_ERR_STORAGE},
    {ENGINE_COMMIT, KMS_ERR_CONFLICT},       {ENGINE_COMMIT, KMS_ERR_BUSY},
    {ENGINE_COMMIT, KMS_ERR_COMMIT_UNKNOWN},
};
#define FAULTS ((int)(sizeof faults / sizeof *faults))

START_TEST(a_rotation_that_cannot_be_written_fails_no_encrypt)
{
    kms_status status = faults[_i].status;

    setup();
    fail_otherwise();
    engine_fail(&here.control, faults[_i].call, 1, status, true);
    ck_assert_uint_eq(rotation_encrypt(store, id), 1);
    failure_is_the_same();
    counted(0, 1, status);
    ck_assert_uint_eq(fixture_describe(store, id).version_count, 1);
    /* The one attempt ended at the fault, and did not ask to wait. */
    ck_assert_uint_eq(engine_disarm(&here.control), 1);
    ck_assert_uint_eq(engine_count(&here.control, ENGINE_BEGIN_WRITE), 1);
    ck_assert_uint_eq(atomic_load(&here.control.patient_begins), 0);
    ck_assert_int_eq(atomic_load(&here.control.open_txns), 0);
    finish();
}
END_TEST

START_TEST(it_is_tried_again_after_a_minute_and_not_before)
{
    kms_status status = faults[_i].status;

    setup();
    engine_fail(&here.control, faults[_i].call, 1, status, true);
    for (int64_t ms = 0; ms < MINUTE_MS; ms += MINUTE_MS / 4 - 1) {
        hand.now_ms = DUE_MS + ms;
        ck_assert_uint_eq(rotation_encrypt(store, id), 1);
    }
    hand.now_ms = DUE_MS + MINUTE_MS - 1;
    ck_assert_uint_eq(rotation_encrypt(store, id), 1);
    ck_assert_uint_eq(engine_count(&here.control, ENGINE_BEGIN_WRITE), 1);
    counted(0, 1, status);
    hand.now_ms = DUE_MS + MINUTE_MS;
    ck_assert_uint_eq(rotation_encrypt(store, id), 1);
    ck_assert_uint_eq(engine_count(&here.control, ENGINE_BEGIN_WRITE), 2);
    counted(0, 2, status);
    ck_assert_uint_eq(engine_disarm(&here.control), 2);
    ck_assert_uint_eq(rotation_encrypt(store, id), 1);
    hand.now_ms = DUE_MS + 2 * MINUTE_MS;
    ck_assert_uint_eq(rotation_encrypt(store, id), 2);
    counted(1, 2, status);
    ck_assert_uint_eq(fixture_describe(store, id).version_count, 2);
    finish();
}
END_TEST

START_TEST(a_commit_of_unknown_outcome_makes_one_version)
{
    bool applied = _i == 1;

    setup();
    fail_otherwise();
    engine_commit_unknown(&here.control, applied);
    ck_assert_uint_eq(rotation_encrypt(store, id), applied ? 2 : 1);
    failure_is_the_same();
    counted(0, 1, KMS_ERR_COMMIT_UNKNOWN);
    hand.now_ms += MINUTE_MS;
    ck_assert_uint_eq(rotation_encrypt(store, id), 2);
    hand.now_ms += MINUTE_MS;
    ck_assert_uint_eq(rotation_encrypt(store, id), 2);
    ck_assert_uint_eq(fixture_describe(store, id).version_count, 2);
    counted(applied ? 0 : 1, 1, KMS_ERR_COMMIT_UNKNOWN);
    finish();
}
END_TEST

/* Whichever call of the engine fails: a fault while rotating is put off, one while looking is told,
 * and there is never a second version. */
START_TEST(whichever_engine_call_fails_no_fault_of_rotating_fails_the_encrypt)
{
    uint8_t blob[KMS_CIPHERTEXT_SIZE(1)];
    unsigned put_off = 0, told = 0;
    bool fired = true;

    place_init(&here);
    for (unsigned nth = 1; fired; nth++) {
        kms_store_info info;
        size_t len = 77;
        kms_status st;

        open_due();
        kms_close(store);
        store = rotation_open(&here, &hand, 0);
        engine_fail(&here.control, ENGINE_ANY, nth, KMS_ERR_STORAGE, false);
        st = kms_encrypt(store, id, NULL, "x", 1, blob, sizeof blob, &len);
        fired = engine_disarm(&here.control) > 0;
        info = rotation_store_info(store);
        ck_assert_int_eq(atomic_load(&here.control.open_txns), 0);
        put_off += info.rotations_put_off == 1;
        told += st != KMS_OK;
        if (st != KMS_OK)
            ck_assert_uint_eq(len, 77);
        ck_assert_int_eq((info.rotations_put_off == 1) + (st != KMS_OK), fired ? 1 : 0);
        ck_assert_uint_eq(rotation_encrypt(store, id), info.rotations_put_off == 1 ? 1 : 2);
        ck_assert_uint_le(fixture_describe(store, id).version_count, 2);
        fixture_ok(kms_verify(store));
        kms_close(store);
    }
    /* begin, header, key, two marks, two records and the header, commit; looking: twice. */
    ck_assert_uint_ge(put_off, 9);
    ck_assert_uint_ge(told, 8);
    place_free(&here);
}
END_TEST

/* --- who may not write ------------------------------------------------------------------------- */

START_TEST(a_handle_for_reading_goes_on_under_the_old_version)
{
    setup();
    kms_close(store);
    store = rotation_open(&here, &hand, KMS_OPEN_READ_ONLY);
    fail_otherwise();
    engine_reset_counts(&here.control);
    for (int i = 0; i < 3; i++)
        ck_assert_uint_eq(rotation_encrypt(store, id), 1);
    failure_is_the_same();
    counted(0, 1, KMS_ERR_READ_ONLY);
    hand.now_ms += MINUTE_MS;
    ck_assert_uint_eq(rotation_encrypt(store, id), 1);
    counted(0, 2, KMS_ERR_READ_ONLY);
    ck_assert_uint_eq(engine_count(&here.control, ENGINE_BEGIN_WRITE), 0);
    ck_assert_uint_eq(fixture_describe(store, id).version_count, 1);
    finish();
}
END_TEST

/* If it waited for the writer, it would wait for ever. */
START_TEST(a_writer_in_the_way_is_not_waited_for)
{
    const kms_backend_how how = {.version = 1, .busy_timeout_ms = 5000};
    kms_open_options options = KMS_OPEN_OPTIONS_INIT;
    kms_clock clock = hand_clock_of(&hand);
    kms_backend *other;
    kms_revision revision;
    kms_txn *txn;

    rotation_place_init_shared(&here);
    open_due();
    kms_close(store);
    options.clock = &clock;
    options.busy_timeout_ms = KMS_BUSY_FOREVER;
    fixture_ok(place_try_open(&here, &store, 0, &options));
    other = place_bare_engine(&here);
    fixture_ok(other->ops->open(other, &how));
    fixture_ok(other->ops->begin(other, KMS_TXN_WRITE, &txn, &revision));
    fail_otherwise();
    ck_assert_uint_eq(rotation_encrypt(store, id), 1);
    failure_is_the_same();
    counted(0, 1, KMS_ERR_BUSY);
    hand.now_ms += MINUTE_MS;
    ck_assert_uint_eq(rotation_encrypt(store, id), 1);
    counted(0, 2, KMS_ERR_BUSY);
    other->ops->abort(txn);
    other->ops->close(other);
    hand.now_ms += MINUTE_MS - 1;
    ck_assert_uint_eq(rotation_encrypt(store, id), 1);
    hand.now_ms++;
    ck_assert_uint_eq(rotation_encrypt(store, id), 2);
    counted(1, 2, KMS_ERR_BUSY);
    finish();
}
END_TEST

static uint32_t version_meanwhile;

static void *encrypt_meanwhile(void *unused)
{
    (void)unused;
    version_meanwhile = rotation_encrypt(store, id);
    return NULL;
}

static void while_it_commits(void *unused)
{
    pthread_t thread;

    (void)unused;
    engine_before(&here.control, ENGINE_COMMIT, NULL, NULL);
    ck_assert_int_eq(pthread_create(&thread, NULL, encrypt_meanwhile, NULL), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
}

/* The other thread's change is in the middle of its commit, and ends only after the encrypt. */
START_TEST(another_thread_of_the_handle_that_writes_is_not_waited_for)
{
    char other[KMS_KEY_ID_SIZE];

    setup();
    engine_before(&here.control, ENGINE_COMMIT, while_it_commits, NULL);
    fixture_create_key(store, other);
    ck_assert_uint_eq(version_meanwhile, 1);
    counted(0, 1, KMS_ERR_BUSY);
    hand.now_ms += MINUTE_MS;
    ck_assert_uint_eq(rotation_encrypt(store, id), 2);
    finish();
}
END_TEST

/* --- one attempt ------------------------------------------------------------------------------- */

START_TEST(a_store_that_cannot_be_written_is_tried_once_a_minute_for_all_keys)
{
    char others[3][KMS_KEY_ID_SIZE];

    setup();
    hand.now_ms = T0;
    for (int i = 0; i < 3; i++)
        rotation_create_key(store, 30, others[i]);
    hand.now_ms = DUE_MS;
    engine_reset_counts(&here.control);
    engine_fail(&here.control, ENGINE_COMMIT, 1, KMS_ERR_FULL, true);
    ck_assert_uint_eq(rotation_encrypt(store, id), 1);
    for (int i = 0; i < 3; i++)
        ck_assert_uint_eq(rotation_encrypt(store, others[i]), 1);
    ck_assert_uint_eq(engine_count(&here.control, ENGINE_BEGIN_WRITE), 1);
    counted(0, 1, KMS_ERR_FULL);
    (void)engine_disarm(&here.control);
    hand.now_ms += MINUTE_MS;
    ck_assert_uint_eq(rotation_encrypt(store, id), 2);
    for (int i = 0; i < 3; i++)
        ck_assert_uint_eq(rotation_encrypt(store, others[i]), 2);
    counted(4, 1, KMS_ERR_FULL);
    finish();
}
END_TEST

START_TEST(a_key_that_has_all_its_versions_holds_up_no_other)
{
    char full[KMS_KEY_ID_SIZE];

    setup();
    hand.now_ms = T0;
    rotation_create_key(store, 30, full);
    rotation_fill_versions(store, full);
    hand.now_ms = DUE_MS;
    engine_reset_counts(&here.control);
    for (int i = 0; i < 10; i++)
        ck_assert_uint_eq(rotation_encrypt(store, full), KMS_KEY_VERSIONS_MAX);
    counted(0, 1, KMS_ERR_LIMIT_EXCEEDED);
    ck_assert_uint_eq(engine_count(&here.control, ENGINE_BEGIN_WRITE), 1);
    ck_assert_uint_eq(rotation_encrypt(store, id), 2);
    counted(1, 1, KMS_ERR_LIMIT_EXCEEDED);
    hand.now_ms += MINUTE_MS;
    ck_assert_uint_eq(rotation_encrypt(store, full), KMS_KEY_VERSIONS_MAX);
    counted(1, 2, KMS_ERR_LIMIT_EXCEEDED);
    finish();
}
END_TEST

START_TEST(a_clock_set_back_does_not_prolong_the_wait)
{
    setup();
    hand.now_ms = DUE_MS + 10 * DAY_MS;
    engine_fail(&here.control, ENGINE_BEGIN_WRITE, 1, KMS_ERR_BUSY, false);
    ck_assert_uint_eq(rotation_encrypt(store, id), 1);
    hand.now_ms = DUE_MS + DAY_MS;
    ck_assert_uint_eq(rotation_encrypt(store, id), 2);
    counted(1, 1, KMS_ERR_BUSY);
    finish();
}
END_TEST

START_TEST(a_rotation_that_succeeds_leaves_the_threads_last_failure_alone)
{
    setup();
    fail_otherwise();
    ck_assert_uint_eq(rotation_encrypt(store, id), 2);
    failure_is_the_same();
    ck_assert_uint_eq(atomic_load(&here.control.patient_begins), 0);
    finish();
}
END_TEST

START_TEST(only_versions_that_encrypting_calls_made_are_counted)
{
    kms_rotation_result result;
    size_t count;

    setup();
    counted(0, 0, KMS_OK);
    for (uint32_t i = 1; i <= 3; i++) {
        hand.now_ms = T0 + i * 30 * DAY_MS;
        ck_assert_uint_eq(rotation_encrypt(store, id), i + 1);
        counted(i, 0, KMS_OK);
    }
    fixture_rotate(store, id);
    hand.now_ms = T0 + 120 * DAY_MS;
    fixture_ok(kms_rotate_due(store, NULL, &result, 1, &count, NULL));
    ck_assert_uint_eq(count, 1);
    counted(3, 0, KMS_OK);
    /* A date is brought back: no version. */
    hand.now_ms = T0;
    ck_assert_uint_eq(rotation_encrypt(store, id), 6);
    counted(3, 0, KMS_OK);
    /* Each handle counts its own. */
    kms_close(store);
    store = rotation_open(&here, &hand, 0);
    counted(0, 0, KMS_OK);
    finish();
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {a_rotation_that_cannot_be_written_fails_no_encrypt, FAULTS},
        {it_is_tried_again_after_a_minute_and_not_before, FAULTS},
        {a_commit_of_unknown_outcome_makes_one_version, 2},
        {whichever_engine_call_fails_no_fault_of_rotating_fails_the_encrypt, 0},
        {a_handle_for_reading_goes_on_under_the_old_version, 0},
        {a_writer_in_the_way_is_not_waited_for, 0},
        {another_thread_of_the_handle_that_writes_is_not_waited_for, 0},
        {a_store_that_cannot_be_written_is_tried_once_a_minute_for_all_keys, 0},
        {a_key_that_has_all_its_versions_holds_up_no_other, 0},
        {a_clock_set_back_does_not_prolong_the_wait, 0},
        {a_rotation_that_succeeds_leaves_the_threads_last_failure_alone, 0},
        {only_versions_that_encrypting_calls_made_are_counted, 0},
    };

    return fixture_main("rotation_put_off", tests, sizeof tests / sizeof *tests, 120);
}
