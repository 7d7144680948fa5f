/* When versions were last used: noted in memory, written now and then, and never in anybody's way. */
#include "support/hand_clock.h"

#include "base/id.h"
#include "domain/open_version.h"

#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MANY 100

static place here;
static hand_clock hand;
static kms_store *store, *theirs;
static char id[KMS_KEY_ID_SIZE];
static uint8_t blob[KMS_CIPHERTEXT_SIZE(2)];

static kms_store *open_with(uint32_t flags, uint32_t entries)
{
    kms_open_options options = KMS_OPEN_OPTIONS_INIT;

    options.cache_entries = entries;
    return hand_open(&here, &hand, flags, &options);
}

/* A key of two versions, of which the first has made the blob, and nothing written of it. */
static void setup(void)
{
    place_init(&here);
    hand.now_ms = HAND_START + 20 * 60 * 1000 + 777;
    store = open_with(0, 16384);
    theirs = open_with(0, 16384);
    fixture_ok(kms_ensure_alias(store, "alias/a", NULL, id));
    fixture_encrypt(store, id, "x", blob, sizeof blob);
    fixture_rotate(store, id);
}

static void finish(void)
{
    fixture_ok(kms_verify(store));
    kms_close(theirs);
    kms_close(store);
    place_free(&here);
}

static void encrypt(kms_store *with, const char *keyref)
{
    uint8_t out[KMS_CIPHERTEXT_SIZE(2)];

    fixture_encrypt(with, keyref, "x", out, sizeof out);
}

static void decrypt(kms_store *with)
{
    fixture_opens_as(with, blob, sizeof blob, "x");
}

/* The records tell these hours behind HAND_START of a version; -1: never. */
static void is_told(const char *key_id, uint32_t number, int64_t encrypted, int64_t decrypted)
{
    kms_key_version_info info, page[1];
    size_t count;

    fixture_ok(kms_describe_key_version(theirs, key_id, number, &info));
    ck_assert_int_eq(info.last_encrypt_ms, encrypted < 0 ? 0 : HAND_START + encrypted * HOUR_MS);
    ck_assert_int_eq(info.last_decrypt_ms, decrypted < 0 ? 0 : HAND_START + decrypted * HOUR_MS);
    fixture_ok(kms_list_key_versions(store, key_id, number - 1, page, 1, &count, NULL));
    ck_assert_int_eq(memcmp(&page[0], &info, sizeof info), 0);
}

/* --- noted and written --------------------------------------------------------------------------- */

START_TEST(a_use_is_told_to_the_hour_after_a_flush)
{
    static const int64_t into_the_hour[] = {0, 1, 1800000, HOUR_MS - 1};

    setup();
    decrypt(store);
    is_told(id, 1, -1, -1);
    fixture_ok(kms_flush_last_use(store));
    is_told(id, 1, 0, 0);
    is_told(id, 2, -1, -1);
    hand.now_ms = HAND_START + 5 * HOUR_MS + into_the_hour[_i];
    encrypt(store, "alias/a");
    fixture_ok(kms_flush_last_use(store));
    is_told(id, 1, 0, 0);
    is_told(id, 2, 5, -1);
    hand.now_ms = HAND_START + 7 * HOUR_MS + into_the_hour[_i];
    encrypt(store, id);
    decrypt(store);
    fixture_ok(kms_flush_last_use(store));
    is_told(id, 1, 0, 7);
    is_told(id, 2, 7, -1);
    finish();
}
END_TEST

START_TEST(closing_writes_down_what_was_noted)
{
    setup();
    kms_close(store);
    store = open_with(0, 16384);
    is_told(id, 1, 0, -1);
    decrypt(store);
    kms_close(store);
    store = open_with(0, 16384);
    is_told(id, 1, 0, 0);
    finish();
}
END_TEST

START_TEST(what_failed_was_no_use)
{
    char plain[2];
    size_t len;

    setup();
    fixture_ok(kms_flush_last_use(store));
    hand.now_ms += HOUR_MS;
    blob[sizeof blob - 1] ^= 1;
    fixture_is(kms_decrypt(store, NULL, blob, sizeof blob, plain, 2, &len),
               KMS_ERR_INVALID_CIPHERTEXT);
    fixture_ok(kms_flush_last_use(store));
    is_told(id, 1, 0, -1);
    finish();
}
END_TEST

START_TEST(a_version_is_written_at_most_once_an_hour)
{
    setup();
    for (int hour = 0; hour < 5; hour++) {
        for (int turn = 0; turn < 4; turn++) {
            engine_reset_counts(&here.control);
            encrypt(store, id);
            encrypt(store, "alias/a");
            decrypt(store);
            fixture_ok(kms_flush_last_use(store));
            /* The record and the header; one record for all that is of the key. */
            ck_assert_uint_eq(engine_count(&here.control, ENGINE_PUT), turn == 0 ? 2 : 0);
            ck_assert_uint_eq(engine_count(&here.control, ENGINE_BEGIN_WRITE), turn == 0 ? 1 : 0);
        }
        engine_reset_counts(&here.control);
        fixture_ok(kms_flush_last_use(store));
        ck_assert_uint_eq(engine_count(&here.control, ENGINE_ANY), 0);
        is_told(id, 2, hour, -1);
        hand.now_ms += HOUR_MS;
    }
    finish();
}
END_TEST

START_TEST(a_warm_call_asks_the_engine_for_its_hint_alone)
{
    setup();
    encrypt(store, "alias/a");
    decrypt(store);
    fixture_ok(kms_flush_last_use(store));
    encrypt(store, "alias/a");
    decrypt(store);
    engine_reset_counts(&here.control);
    for (int i = 0; i < 50; i++) {
        encrypt(store, "alias/a");
        decrypt(store);
        hand.now_ms += HOUR_MS / 5;
    }
    ck_assert_uint_eq(engine_count(&here.control, ENGINE_HINT), 100);
    ck_assert_uint_eq(engine_count(&here.control, ENGINE_ANY), 100);
    fixture_ok(kms_flush_last_use(store));
    is_told(id, 2, 10, -1);
    finish();
}
END_TEST

START_TEST(writing_it_is_no_change_of_the_store)
{
    uint64_t before;

    setup();
    before = fixture_changes(store);
    for (int i = 0; i < 3; i++) {
        hand.now_ms += HOUR_MS;
        decrypt(store);
        fixture_ok(kms_flush_last_use(store));
        fixture_ok(kms_verify(theirs));
    }
    ck_assert_uint_eq(fixture_changes(store), before);
    fixture_rotate(theirs, id);
    ck_assert_uint_eq(fixture_changes(store), before + 1);
    is_told(id, 1, 3 - 3, 3);
    finish();
}
END_TEST

/* --- dates that meet ------------------------------------------------------------------------------ */

START_TEST(of_several_handles_the_later_date_wins)
{
    bool mine_first = _i == 0;

    setup();
    fixture_ok(kms_flush_last_use(store));
    hand.now_ms += HOUR_MS;
    decrypt(store);
    encrypt(store, id);
    hand.now_ms += 2 * HOUR_MS;
    decrypt(theirs);
    fixture_ok(kms_flush_last_use(mine_first ? store : theirs));
    fixture_ok(kms_flush_last_use(mine_first ? theirs : store));
    is_told(id, 1, 0, 3);
    is_told(id, 2, 1, -1);
    finish();
}
END_TEST

START_TEST(a_clock_that_was_set_back_takes_no_date_back)
{
    setup();
    hand.now_ms += 9 * HOUR_MS;
    decrypt(store);
    fixture_ok(kms_flush_last_use(store));
    hand.now_ms -= 4 * HOUR_MS;
    decrypt(store);
    engine_reset_counts(&here.control);
    fixture_ok(kms_flush_last_use(store));
    ck_assert_uint_eq(engine_count(&here.control, ENGINE_PUT), 0);
    is_told(id, 1, 0, 9);
    finish();
}
END_TEST

/* --- what leaves the cache ------------------------------------------------------------------------- */

static char many[MANY][KMS_KEY_ID_SIZE];

static void use_many(void)
{
    for (int i = 0; i < MANY; i++)
        encrypt(store, many[i]);
}

static void setup_many(uint32_t entries)
{
    setup();
    kms_close(store);
    store = open_with(0, entries);
    for (int i = 0; i < MANY; i++)
        fixture_create_key(store, many[i]);
    use_many();
}

static void many_are_told(int64_t hour)
{
    for (int i = 0; i < MANY; i++)
        is_told(many[i], 1, hour, -1);
}

START_TEST(a_key_that_left_the_cache_is_not_forgotten)
{
    setup_many(16);
    many_are_told(-1);
    fixture_ok(kms_flush_last_use(store));
    many_are_told(0);
    hand.now_ms += HOUR_MS;
    use_many();
    kms_close(store);
    store = open_with(0, 16);
    many_are_told(1);
    finish();
}
END_TEST

START_TEST(a_key_that_left_the_cache_while_it_was_in_use_is_not_forgotten)
{
    kms__blob parts;
    kms__pin pin;

    setup();
    kms_close(store);
    store = open_with(0, 16);
    fixture_ok(kms__blob_read(blob, sizeof blob, &parts));
    for (int i = 0; i < MANY; i++)
        fixture_create_key(store, many[i]);
    fixture_ok(kms__pin_version_of(store, &parts, 1, &pin));
    use_many();
    kms__pin_note_use(&pin);
    kms__pin_release(&pin);
    fixture_ok(kms_flush_last_use(store));
    is_told(id, 1, 0, 0);
    finish();
}
END_TEST

START_TEST(a_purged_key_leaves_nothing_behind)
{
    stolen_set set;
    unsigned long before = 0;
    int64_t due;

    setup();
    encrypt(theirs, id);
    fixture_ok(kms_flush_last_use(theirs));
    hand.now_ms += HOUR_MS;
    decrypt(theirs);
    fixture_ok(kms_schedule_key_deletion(store, id, 7, &due));
    hand.now_ms = due;
    set = place_steal(&here);
    for (size_t i = 0; i < set.count; i++)
        before += set.records[i].key[0] == 'U';
    stolen_free(&set);
    fixture_ok(kms_purge_key(store, id, due));
    fixture_ok(kms_flush_last_use(theirs));
    fixture_ok(kms_flush_last_use(store));
    set = place_steal(&here);
    for (size_t i = 0; i < set.count; i++)
        ck_assert_int_ne(set.records[i].key[0], 'U');
    stolen_free(&set);
    ck_assert_uint_eq(before, 1);
    finish();
}
END_TEST

/* --- what cannot be written ------------------------------------------------------------------------ */

START_TEST(a_flush_that_fails_loses_no_note_whichever_engine_call_fails)
{
    unsigned nth = 0;
    bool fired = true;

    setup();
    decrypt(store);
    while (fired) {
        kms_status st;

        engine_fail(&here.control, ENGINE_ANY, ++nth, KMS_ERR_STORAGE, false);
        st = kms_flush_last_use(store);
        fired = engine_disarm(&here.control) > 0;
        fixture_is(st, fired ? KMS_ERR_STORAGE : KMS_OK);
        is_told(id, 1, fired ? -1 : 0, fired ? -1 : 0);
        fixture_ok(kms_verify(store));
    }
    /* A look: begin, key, record; then begin, header, key, record, its mark, two puts, commit. */
    ck_assert_uint_ge(nth - 1, 10);
    finish();
}
END_TEST

START_TEST(a_flush_of_many_keys_that_fails_midway_is_taken_up_again)
{
    setup_many(_i == 0 ? 16 : 16384);
    engine_fail(&here.control, ENGINE_COMMIT, 2, KMS_ERR_FULL, true);
    fixture_is(kms_flush_last_use(store), KMS_ERR_FULL);
    ck_assert_uint_eq(engine_disarm(&here.control), 1);
    fixture_ok(kms_verify(store));
    fixture_ok(kms_flush_last_use(store));
    many_are_told(0);
    finish();
}
END_TEST

START_TEST(encrypting_and_decrypting_go_on_where_nothing_can_be_written)
{
    setup();
    encrypt(store, id);
    decrypt(store);
    engine_fail(&here.control, ENGINE_BEGIN_WRITE, 1, KMS_ERR_FULL, true);
    for (int i = 0; i < 5; i++) {
        encrypt(store, id);
        decrypt(store);
        hand.now_ms += HOUR_MS;
        fixture_is(kms_flush_last_use(store), KMS_ERR_FULL);
    }
    ck_assert_uint_eq(engine_disarm(&here.control), 5);
    fixture_ok(kms_flush_last_use(store));
    is_told(id, 2, 4, -1);
    finish();
}
END_TEST

START_TEST(closing_survives_every_fault_and_leaves_the_message_alone)
{
    kms_key_info info = {.version = KMS_KEY_INFO_VERSION};
    char before[512];
    unsigned nth = 0;
    bool fired = true;

    setup();
    while (fired) {
        decrypt(store);
        fixture_is(kms_describe_key(store, "alias/none", &info), KMS_ERR_ALIAS_NOT_FOUND);
        strcpy(before, kms_error_message());
        engine_fail(&here.control, ENGINE_ANY, ++nth, KMS_ERR_STORAGE, _i == 1);
        kms_close(store);
        fired = engine_disarm(&here.control) > 0;
        ck_assert_str_eq(kms_error_message(), before);
        ck_assert_int_eq(kms_error_status(), KMS_ERR_ALIAS_NOT_FOUND);
        ck_assert_int_eq(atomic_load(&here.control.open_txns), 0);
        store = open_with(0, 16384);
    }
    ck_assert_uint_ge(nth - 1, 10);
    finish();
}
END_TEST

static double seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

START_TEST(a_busy_store_is_told_at_once_and_keeps_nobody_from_closing)
{
    kms_revision revision;
    double before;
    kms_txn *txn;

    setup();
    if (here.memory == NULL) {
        fixture_skip("a flush while the same thread writes", "this engine's own tests have it");
        finish();
        return;
    }
    fixture_ok(here.memory->ops->begin(here.memory, KMS_TXN_WRITE, &txn, &revision));
    before = seconds();
    fixture_is(kms_flush_last_use(store), KMS_ERR_BUSY);
    decrypt(theirs);
    kms_close(theirs);
    /* The handles wait 10 s for a writer elsewhere. */
    ck_assert(seconds() - before < 5);
    here.memory->ops->abort(txn);
    theirs = open_with(0, 16384);
    fixture_ok(kms_flush_last_use(store));
    is_told(id, 1, 0, -1);
    finish();
}
END_TEST

START_TEST(a_handle_for_reading_writes_nothing)
{
    setup();
    fixture_ok(kms_flush_last_use(store));
    kms_close(theirs);
    theirs = open_with(KMS_OPEN_READ_ONLY, 16384);
    decrypt(theirs);
    fixture_is(kms_flush_last_use(theirs), KMS_ERR_READ_ONLY);
    engine_reset_counts(&here.control);
    kms_close(theirs);
    ck_assert_uint_eq(engine_count(&here.control, ENGINE_ANY), 0);
    theirs = open_with(0, 16384);
    is_told(id, 1, 0, -1);
    fixture_is(kms_flush_last_use(NULL), KMS_ERR_INVALID_ARGUMENT);
    finish();
}
END_TEST

START_TEST(a_forked_child_writes_nothing)
{
    int status = -1;
    pid_t child;

    setup();
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        kms_status st = kms_flush_last_use(store);

        kms_close(store);
        _exit(st == KMS_ERR_FORKED ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    is_told(id, 1, -1, -1);
    fixture_ok(kms_flush_last_use(store));
    is_told(id, 1, 0, -1);
    finish();
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {a_use_is_told_to_the_hour_after_a_flush, 4},
        {closing_writes_down_what_was_noted, 0},
        {what_failed_was_no_use, 0},
        {a_version_is_written_at_most_once_an_hour, 0},
        {a_warm_call_asks_the_engine_for_its_hint_alone, 0},
        {writing_it_is_no_change_of_the_store, 0},
        {of_several_handles_the_later_date_wins, 2},
        {a_clock_that_was_set_back_takes_no_date_back, 0},
        {a_key_that_left_the_cache_is_not_forgotten, 0},
        {a_key_that_left_the_cache_while_it_was_in_use_is_not_forgotten, 0},
        {a_purged_key_leaves_nothing_behind, 0},
        {a_flush_that_fails_loses_no_note_whichever_engine_call_fails, 0},
        {a_flush_of_many_keys_that_fails_midway_is_taken_up_again, 2},
        {encrypting_and_decrypting_go_on_where_nothing_can_be_written, 0},
        {closing_survives_every_fault_and_leaves_the_message_alone, 2},
        {a_busy_store_is_told_at_once_and_keeps_nobody_from_closing, 0},
        {a_handle_for_reading_writes_nothing, 0},
        {a_forked_child_writes_nothing, 0},
    };

    return fixture_main("last_use", tests, sizeof tests / sizeof *tests, 60);
}
