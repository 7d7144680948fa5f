/* Statuses: their names, numbers and sentences, and each thread's own message. */
#include "support/api_calls.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define KNOWN(name, number, sentence) {#name, number},
static const struct {
    const char *name;
    int number;
} table[] = {KMS_STATUS_TABLE(KNOWN)};

/* The numbers are fixed for ever: this list is not made from the table. */
static const struct {
    const char *name;
    int number;
} fixed[] = {
    {"KMS_OK", 0},
    {"KMS_ERR_INVALID_ARGUMENT", 1},
    {"KMS_ERR_BUFFER_TOO_SMALL", 2},
    {"KMS_ERR_NO_MEMORY", 3},
    {"KMS_ERR_NOT_LOCKED", 4},
    {"KMS_ERR_NOT_FOUND", 5},
    {"KMS_ERR_KEY_NOT_FOUND", 6},
    {"KMS_ERR_ALIAS_NOT_FOUND", 7},
    {"KMS_ERR_VERSION_NOT_FOUND", 8},
    {"KMS_ERR_ALREADY_EXISTS", 9},
    {"KMS_ERR_DISABLED", 10},
    {"KMS_ERR_PENDING_DELETION", 11},
    {"KMS_ERR_PENDING_IMPORT", 12},
    {"KMS_ERR_INVALID_STATE", 13},
    {"KMS_ERR_LIMIT_EXCEEDED", 14},
    {"KMS_ERR_UNSUPPORTED", 15},
    {"KMS_ERR_INVALID_CIPHERTEXT", 16},
    {"KMS_ERR_INCORRECT_KEY", 17},
    {"KMS_ERR_NEWER_FORMAT", 18},
    {"KMS_ERR_WRONG_ROOT_KEY", 19},
    {"KMS_ERR_NOT_A_STORE", 20},
    {"KMS_ERR_CORRUPT", 21},
    {"KMS_ERR_STORE_REPLACED", 22},
    {"KMS_ERR_ROLLBACK", 23},
    {"KMS_ERR_READ_ONLY", 24},
    {"KMS_ERR_BUSY", 25},
    {"KMS_ERR_CONFLICT", 26},
    {"KMS_ERR_COMMIT_UNKNOWN", 27},
    {"KMS_ERR_FULL", 28},
    {"KMS_ERR_STORAGE", 29},
    {"KMS_ERR_FORKED", 30},
    {"KMS_ERR_ABI", 31},
};
#define FIXED (sizeof fixed / sizeof *fixed)

START_TEST(every_status_keeps_its_number_and_tells_its_name)
{
    ck_assert_uint_ge(sizeof table / sizeof *table, FIXED);
    for (size_t i = 0; i < FIXED; i++) {
        ck_assert_str_eq(table[i].name, fixed[i].name);
        ck_assert_int_eq(table[i].number, fixed[i].number);
        ck_assert_str_eq(kms_status_name((kms_status)fixed[i].number), fixed[i].name);
    }
}
END_TEST

START_TEST(every_status_has_a_sentence_of_its_own)
{
    for (size_t i = 0; i < FIXED; i++) {
        const char *sentence = kms_status_sentence((kms_status)i);

        ck_assert_uint_gt(strlen(sentence), 10);
        ck_assert_str_ne(sentence, kms_status_sentence((kms_status)9999));
        for (size_t j = 0; j < i; j++)
            ck_assert_str_ne(sentence, kms_status_sentence((kms_status)j));
    }
}
END_TEST

START_TEST(a_number_that_is_no_status_has_a_name_and_a_sentence_too)
{
    static const int numbers[] = {-1, 40, 9999};

    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        ck_assert_str_eq(kms_status_name((kms_status)numbers[i]), "KMS_ERR_?");
        ck_assert_uint_gt(strlen(kms_status_sentence((kms_status)numbers[i])), 10);
    }
}
END_TEST

START_TEST(before_any_failure_there_is_no_message)
{
    ck_assert_str_eq(kms_error_message(), "");
    ck_assert_int_eq(kms_error_status(), KMS_OK);
}
END_TEST

START_TEST(a_recorded_failure_stays_until_the_next_one)
{
    char id[KMS_KEY_ID_SIZE];
    kms_store *store = fixture_memory_store();

    ck_assert_int_eq(kms_set_error(KMS_ERR_FULL, "disk %d of %s", 7, "ours"), KMS_ERR_FULL);
    ck_assert_str_eq(kms_error_message(), "disk 7 of ours");
    ck_assert_int_eq(kms_set_error(KMS_OK, "nothing"), KMS_OK);
    ck_assert_str_eq(kms_error_message(), "disk 7 of ours");
    ck_assert_int_eq(kms_error_status(), KMS_ERR_FULL);
    fixture_create_key(store, id);
    ck_assert_str_eq(kms_error_message(), "disk 7 of ours");
    fixture_is(kms_create_key(NULL, NULL, id), KMS_ERR_INVALID_ARGUMENT);
    fixture_says("store is NULL");
    kms_close(store);
}
END_TEST

/* --- calls that succeed ------------------------------------------------------------------------ */

static place here;
static kms_store *store;
static api_stage stage;

static void setup(void)
{
    place_init(&here);
    store = place_open(&here);
    api_calls_stage(store, &stage);
}

static void finish(void)
{
    kms_close(store);
    place_free(&here);
}

static void leaves_the_message(const char *name, kms_status st)
{
    ck_assert_msg(st == KMS_OK, "%s: %s", name, kms_error_message());
    ck_assert_msg(strcmp(kms_error_message(), "as it was") == 0 &&
                      kms_error_status() == KMS_ERR_FULL,
                  "%s left \"%s\"", name, kms_error_message());
}

START_TEST(a_call_that_succeeds_leaves_the_message_as_it_is)
{
    setup();
    (void)kms_set_error(KMS_ERR_FULL, "as it was");
    leaves_the_message(api_calls[_i].name, api_calls[_i].perform(store, &stage));
    finish();
}
END_TEST

START_TEST(a_call_that_gets_over_a_conflict_leaves_the_message_as_it_is)
{
    setup();
    engine_fail(&here.control, api_calls[_i].changes ? ENGINE_BEGIN_WRITE : ENGINE_BEGIN_READ, 1,
                KMS_ERR_CONFLICT, false);
    (void)kms_set_error(KMS_ERR_FULL, "as it was");
    leaves_the_message(api_calls[_i].name, api_calls[_i].perform(store, &stage));
    ck_assert_uint_eq(engine_disarm(&here.control), 1);
    finish();
}
END_TEST

START_TEST(a_commit_that_is_found_after_all_leaves_the_message_as_it_is)
{
    if (!api_calls[_i].changes)
        return;
    setup();
    engine_commit_unknown(&here.control, true);
    (void)kms_set_error(KMS_ERR_FULL, "as it was");
    leaves_the_message(api_calls[_i].name, api_calls[_i].perform(store, &stage));
    finish();
}
END_TEST

START_TEST(making_and_opening_a_store_leave_the_message_as_it_is)
{
    static const uint8_t key[KMS_ROOT_KEY_SIZE] = {1};
    kms_root *root;
    kms_blob_info info;

    place_init(&here);
    (void)kms_set_error(KMS_ERR_FULL, "as it was");
    leaves_the_message("create", place_try_open(&here, &store, KMS_OPEN_CREATE, NULL));
    kms_close(store);
    leaves_the_message("open", place_try_open(&here, &store, KMS_OPEN_CREATE, NULL));
    kms_close(store);
    leaves_the_message("kms_open_memory", kms_open_memory(&store));
    api_calls_stage(store, &stage);
    (void)kms_set_error(KMS_ERR_FULL, "as it was");
    leaves_the_message("kms_inspect_blob", kms_inspect_blob(stage.blob, stage.blob_len, &info));
    leaves_the_message("kms_root_raw", kms_root_raw(&root, key, sizeof key));
    kms_root_free(root);
    leaves_the_message("kms_root_passphrase", kms_root_passphrase(&root, key, sizeof key));
    kms_root_free(root);
    finish();
}
END_TEST

static void *fail_elsewhere(void *unused)
{
    (void)unused;
    if (kms_error_message()[0] != '\0' || kms_error_status() != KMS_OK)
        return (void *)"a new thread has a message";
    (void)kms_set_error(KMS_ERR_BUSY, "elsewhere");
    if (strcmp(kms_error_message(), "elsewhere") != 0 || kms_error_status() != KMS_ERR_BUSY)
        return (void *)"a thread lost its own message";
    return NULL;
}

START_TEST(every_thread_has_its_own_message)
{
    const char *own;
    pthread_t thread;
    void *wrong;

    (void)kms_set_error(KMS_ERR_CORRUPT, "here");
    own = kms_error_message();
    ck_assert_int_eq(pthread_create(&thread, NULL, fail_elsewhere, NULL), 0);
    ck_assert_int_eq(pthread_join(thread, &wrong), 0);
    ck_assert_msg(wrong == NULL, "%s", (const char *)wrong);
    ck_assert_str_eq(own, "here");
    ck_assert_int_eq(kms_error_status(), KMS_ERR_CORRUPT);
}
END_TEST

START_TEST(a_message_longer_than_511_bytes_is_cut)
{
    char text[2000];

    for (size_t len = 505; len < 520; len++) {
        memset(text, 'x', sizeof text);
        text[len] = '\0';
        ck_assert_int_eq(kms_set_error(KMS_ERR_STORAGE, "%s", text), KMS_ERR_STORAGE);
        ck_assert_uint_eq(strlen(kms_error_message()), len < 511 ? len : 511);
        ck_assert_int_eq(strncmp(kms_error_message(), text, strlen(kms_error_message())), 0);
    }
}
END_TEST

START_TEST(an_over_long_argument_makes_no_over_long_message)
{
    kms_key_info info = {.version = KMS_KEY_INFO_VERSION};
    static char text[100000];

    store = fixture_memory_store();
    memset(text, 'y', sizeof text - 1);
    fixture_is(kms_describe_key(store, text, &info), KMS_ERR_INVALID_ARGUMENT);
    ck_assert_uint_lt(strlen(kms_error_message()), 300);
    memcpy(text, "alias/", 6);
    fixture_is(kms_describe_key(store, text, &info), KMS_ERR_INVALID_ARGUMENT);
    ck_assert_uint_lt(strlen(kms_error_message()), 300);
    text[6] = '\n';
    fixture_is(kms_describe_key(store, text, &info), KMS_ERR_INVALID_ARGUMENT);
    ck_assert_ptr_null(strchr(kms_error_message(), '\n'));
    kms_close(store);
}
END_TEST

START_TEST(the_library_tells_the_version_of_its_headers)
{
    char version[32];

    ck_assert_str_eq(kms_version(), KMS_VERSION_STRING);
    snprintf(version, sizeof version, "%d.%d.%d", KMS_VERSION_MAJOR, KMS_VERSION_MINOR,
             KMS_VERSION_PATCH);
    ck_assert_str_eq(kms_version(), version);
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {every_status_keeps_its_number_and_tells_its_name, 0},
        {every_status_has_a_sentence_of_its_own, 0},
        {a_number_that_is_no_status_has_a_name_and_a_sentence_too, 0},
        {before_any_failure_there_is_no_message, 0},
        {a_recorded_failure_stays_until_the_next_one, 0},
        {a_call_that_succeeds_leaves_the_message_as_it_is, API_CALLS},
        {a_call_that_gets_over_a_conflict_leaves_the_message_as_it_is, API_CALLS},
        {a_commit_that_is_found_after_all_leaves_the_message_as_it_is, API_CALLS},
        {making_and_opening_a_store_leave_the_message_as_it_is, 0},
        {every_thread_has_its_own_message, 0},
        {a_message_longer_than_511_bytes_is_cut, 0},
        {an_over_long_argument_makes_no_over_long_message, 0},
        {the_library_tells_the_version_of_its_headers, 0},
    };

    return fixture_main("status", tests, sizeof tests / sizeof *tests, 30);
}
