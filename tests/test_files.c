/* Files: whole or not at all, and never anything that was not verified, or that was not the source. */
#include "support/file_trial.h"
#include "support/lmdb_trial.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const kms_context_pair tenant_pair = {"tenant", "7"}, other_pair = {"tenant", "8"};
static const kms_context of_tenant = {&tenant_pair, 1}, of_other = {&other_pair, 1};

/* --- there and back ----------------------------------------------------------------------------- */

static const size_t sizes[] = {0, 1, 65535, 65536, 65537, 1024 * 1024 + 3};
#define SIZES (sizeof sizes / sizeof *sizes)

static void goes_there_and_back(const char *keyref, const kms_context *context, size_t len)
{
    const char *clear = scratch_path("clear"), *sealed = scratch_path("sealed"),
               *again = scratch_path("again");
    uint8_t *bytes = malloc(len + 1);

    scratch_fill(bytes, len, (unsigned)len);
    scratch_write(clear, bytes, len);
    fixture_ok(kms_encrypt_file(file_store, keyref, context, clear, sealed, NULL));
    ck_assert_uint_eq((uint64_t)scratch_stat(sealed).st_size, KMS_STREAM_SIZE(len));
    fixture_ok(kms_decrypt_file(file_store, context, sealed, again, NULL));
    ck_assert(scratch_holds(again, bytes, len));
    ck_assert(scratch_holds(clear, bytes, len));
    ck_assert_uint_eq(scratch_count(""), 3);
    free(bytes);
}

START_TEST(a_file_of_any_size_comes_back)
{
    kms_suite suite = _i / (int)SIZES == 0 ? KMS_SUITE_XCHACHA20_POLY1305 : KMS_SUITE_AES_256_GCM;
    char key[KMS_KEY_ID_SIZE];

    file_setup();
    if (suite == KMS_SUITE_AES_256_GCM && !fixture_has_suite_2(file_store)) {
        fixture_skip("files of suite 2", "it is not in this build");
    } else {
        fixture_create_key_of(file_store, suite, key);
        fixture_ok(kms_create_alias(file_store, "alias/files", key));
        goes_there_and_back(key, NULL, sizes[(size_t)_i % SIZES]);
        goes_there_and_back("alias/files", &of_tenant, sizes[(size_t)_i % SIZES]);
    }
    file_finish();
}
END_TEST

START_TEST(source_and_result_may_be_one_file)
{
    const char *path;

    file_setup();
    path = file_source(FILE_ENCRYPT);
    fixture_ok(file_convert(file_store, FILE_ENCRYPT, path, path, NULL));
    ck_assert_uint_eq((uint64_t)scratch_stat(path).st_size, KMS_STREAM_SIZE(FILE_PLAIN));
    fixture_ok(file_convert(file_store, FILE_DECRYPT, path, path, NULL));
    ck_assert(scratch_holds(path, file_plain, FILE_PLAIN));
    ck_assert_uint_eq(scratch_count(""), 1);
    file_finish();
}
END_TEST

START_TEST(what_is_there_is_replaced_by_a_new_file)
{
    file_before before;
    const char *from;

    file_setup();
    from = file_source((file_way)_i);
    before = file_put(true);
    fixture_ok(file_convert(file_store, (file_way)_i, from, scratch_path("to"), NULL));
    ck_assert_uint_ne(scratch_stat(scratch_path("to")).st_ino, before.st.st_ino);
    ck_assert(file_is_made(file_store, (file_way)_i, scratch_path("to")));
    ck_assert_uint_eq(scratch_count(".libkms-"), 0);
    file_finish();
}
END_TEST

START_TEST(names_in_the_working_folder_will_do)
{
    file_setup();
    (void)file_source(FILE_ENCRYPT);
    ck_assert_int_eq(chdir(scratch_path("")), 0);
    fixture_ok(kms_encrypt_file(file_store, file_key, NULL, "source", "s", NULL));
    fixture_ok(kms_rewrap_file(file_store, NULL, file_key, NULL, "s", NULL));
    fixture_ok(kms_decrypt_file(file_store, NULL, "./s", "s", NULL));
    ck_assert(scratch_holds("s", file_plain, FILE_PLAIN));
    ck_assert_int_eq(chdir("/"), 0);
    file_finish();
}
END_TEST

START_TEST(a_call_that_succeeds_leaves_the_message_as_it_is)
{
    const char *from;

    file_setup();
    from = file_source((file_way)_i);
    (void)kms_set_error(KMS_ERR_BUSY, "an older failure");
    fixture_ok(file_convert(file_store, (file_way)_i, from, scratch_path("to"), NULL));
    ck_assert_str_eq(kms_error_message(), "an older failure");
    file_finish();
}
END_TEST

/* --- progress ----------------------------------------------------------------------------------- */

/* What the callback was told, and what it does. */
typedef struct watch {
    unsigned calls;
    /* The call that it cancels, counted from 1; 0: none. */
    unsigned cancel_at;
    /* Done once, at this call; 0: at each. */
    unsigned meddle_at;
    void (*meddle)(void);
    uint64_t done, total;
} watch;

static bool watching(void *data, uint64_t done, uint64_t total)
{
    watch *w = data;

    w->calls++;
    ck_assert_uint_ge(done, w->done);
    ck_assert_uint_le(done, total);
    ck_assert(w->calls == 1 || total == w->total);
    w->done = done;
    w->total = total;
    ck_assert_uint_lt(w->calls, 1000);
    if (w->meddle != NULL && (w->meddle_at == 0 || w->calls == w->meddle_at))
        w->meddle();
    return w->calls != w->cancel_at;
}

static kms_status convert_watched(file_way way, const char *from, watch *w)
{
    kms_file_options options = KMS_FILE_OPTIONS_INIT;

    options.progress = watching;
    options.progress_data = w;
    return file_convert(file_store, way, from, scratch_path("to"), &options);
}

START_TEST(progress_grows_up_to_the_total)
{
    watch w = {.calls = 0};
    const char *from;

    file_setup();
    from = file_source((file_way)_i);
    fixture_ok(convert_watched((file_way)_i, from, &w));
    ck_assert_uint_eq(w.calls, FILE_PLAIN / KMS_STREAM_CHUNK_SIZE + 1);
    ck_assert_uint_eq(w.total, (uint64_t)scratch_stat(from).st_size);
    ck_assert_uint_eq(w.done, w.total);
    file_finish();
}
END_TEST

START_TEST(a_cancelled_call_leaves_everything_as_it_was)
{
    const unsigned last = FILE_PLAIN / KMS_STREAM_CHUNK_SIZE + 1;
    const unsigned moments[] = {1, 2, 3, last};
    file_way way = (file_way)(_i % 2);

    file_setup();
    for (size_t i = 0; i < 4; i++) {
        const char *from = file_source(way);
        file_before before = file_put(_i / 2 == 0);
        watch w = {.cancel_at = moments[i]};

        fixture_is(convert_watched(way, from, &w), KMS_ERR_CANCELLED);
        fixture_says("cancelled");
        fixture_says("/source");
        ck_assert_uint_eq(w.calls, moments[i]);
        file_is_untouched(&before);
    }
    file_finish();
}
END_TEST

static void use_the_store(void)
{
    uint8_t blob[200];

    (void)fixture_encrypt(file_store, file_key, "x", blob, sizeof blob);
    fixture_rotate(file_store, file_key);
    fixture_ok(kms_disable_key(file_store, file_key));
    fixture_ok(kms_enable_key(file_store, file_key));
}

START_TEST(progress_may_use_the_store)
{
    watch w = {.meddle = use_the_store};
    const char *from;

    file_setup();
    from = file_source((file_way)_i);
    fixture_ok(convert_watched((file_way)_i, from, &w));
    ck_assert(file_is_made(file_store, (file_way)_i, scratch_path("to")));
    file_finish();
}
END_TEST

/* --- a source that changes ---------------------------------------------------------------------- */

static void cut_short(void)
{
    ck_assert_int_eq(truncate(scratch_path("source"), 150000), 0);
}

static void cut_to_whole_chunks(void)
{
    ck_assert_int_eq(truncate(scratch_path("source"), 2L * KMS_STREAM_CHUNK_SIZE), 0);
}

static void grow(void)
{
    size_t size = (size_t)scratch_stat(scratch_path("source")).st_size;

    scratch_overwrite(scratch_path("source"), size, file_plain, 100000);
}

/* All of it, with other bytes, in the same length. */
static void rewrite(void)
{
    size_t size = (size_t)scratch_stat(scratch_path("source")).st_size;
    uint8_t *bytes = malloc(size);

    scratch_fill(bytes, size, 77);
    scratch_overwrite(scratch_path("source"), 0, bytes, size);
    free(bytes);
}

START_TEST(a_source_that_changes_meanwhile_is_an_error)
{
    static const struct {
        void (*meddle)(void);
        /* At the last call it is too late to be noticed, since all was read and verified. */
        unsigned at;
    } changes[] = {{cut_short, 1}, {cut_to_whole_chunks, 2}, {grow, 1}, {grow, 0}, {rewrite, 1},
                   {rewrite, 3}};
    file_way way = (file_way)(_i % 2);

    file_setup();
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        const char *from = file_source(way);
        file_before before = file_put(true);
        watch w = {.meddle = changes[i].meddle, .meddle_at = changes[i].at};
        kms_status st = convert_watched(way, from, &w);

        ck_assert_msg(st == KMS_ERR_CHANGED || (way == FILE_DECRYPT && st != KMS_OK),
                      "change %zu: %s", i, kms_status_name(st));
        fixture_says("/source");
        file_is_untouched(&before);
    }
    file_finish();
}
END_TEST

START_TEST(a_source_that_changes_at_the_last_moment_is_noticed)
{
    static void (*const changes[])(void) = {cut_short, grow, rewrite};

    file_setup();
    for (size_t i = 0; i < 3; i++) {
        const char *from = file_source(FILE_ENCRYPT);
        file_before before = file_put(true);
        watch w = {.meddle = changes[i], .meddle_at = FILE_PLAIN / KMS_STREAM_CHUNK_SIZE + 1};

        fixture_is(convert_watched(FILE_ENCRYPT, from, &w), KMS_ERR_CHANGED);
        fixture_says("/source was changed");
        file_is_untouched(&before);
    }
    file_finish();
}
END_TEST

/* Such as a log that is written faster than it can be encrypted. */
START_TEST(a_source_that_grows_without_end_ends_the_call)
{
    file_before before;
    const char *from;
    watch w = {.meddle = grow};

    file_setup();
    from = file_source(FILE_ENCRYPT);
    before = file_put(true);
    fixture_is(convert_watched(FILE_ENCRYPT, from, &w), KMS_ERR_CHANGED);
    ck_assert_uint_le(w.calls, FILE_PLAIN / KMS_STREAM_CHUNK_SIZE + 1);
    file_is_untouched(&before);
    file_finish();
}
END_TEST

static void rewrap_source(void)
{
    fixture_rotate(file_store, file_key);
    fixture_ok(kms_rewrap_file(file_store, NULL, file_key, NULL, scratch_path("source"), NULL));
}

START_TEST(a_file_that_is_rewrapped_while_it_is_decrypted_is_no_other)
{
    const char *from;
    watch w = {.meddle = rewrap_source};

    file_setup();
    from = file_source(FILE_DECRYPT);
    fixture_ok(convert_watched(FILE_DECRYPT, from, &w));
    ck_assert(file_is_made(file_store, FILE_DECRYPT, scratch_path("to")));
    file_finish();
}
END_TEST

/* --- damage ------------------------------------------------------------------------------------- */

static void is_refused(const uint8_t *bytes, size_t len, const char *what, size_t at)
{
    const char *from = scratch_path("source");
    file_before before;
    kms_status st;

    scratch_write(from, bytes, len);
    before = file_put(true);
    st = kms_decrypt_file(file_store, NULL, from, scratch_path("to"), NULL);
    ck_assert_msg(st == KMS_ERR_INVALID_CIPHERTEXT, "%s at %zu: %s", what, at, kms_status_name(st));
    fixture_says("/source");
    file_is_untouched(&before);
}

START_TEST(damage_anywhere_leaves_the_old_file)
{
    const size_t sealed = KMS_STREAM_CHUNK_SIZE + KMS_STREAM_CHUNK_OVERHEAD;
    uint8_t *bytes;
    size_t len;

    file_setup();
    bytes = scratch_read(file_source(FILE_DECRYPT), &len);
    for (size_t chunk = 0; chunk < 5; chunk++) {
        size_t from = KMS_STREAM_HEADER_SIZE + chunk * sealed;
        size_t end = chunk < 4 ? from + sealed : len;
        const size_t places[] = {from, from + 15, from + 16, (from + end) / 2, end - 16, end - 1};

        for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
            bytes[places[i]] ^= 0x20;
            is_refused(bytes, len, "a changed bit", places[i]);
            bytes[places[i]] ^= 0x20;
        }
        is_refused(bytes, from, "cut", from);
        is_refused(bytes, from + 1, "cut", from + 1);
        is_refused(bytes, end - 1, "cut", end - 1);
        is_refused(bytes, from + KMS_STREAM_CHUNK_OVERHEAD, "cut", from);
    }
    free(bytes);
    file_finish();
}
END_TEST

START_TEST(what_has_no_whole_header_is_refused)
{
    uint8_t *bytes;
    size_t len;

    file_setup();
    bytes = scratch_read(file_source(FILE_DECRYPT), &len);
    is_refused(bytes, 0, "cut", 0);
    is_refused(bytes, 1, "cut", 1);
    is_refused(bytes, 4096, "cut", 4096);
    is_refused(bytes, KMS_STREAM_HEADER_SIZE - 1, "cut", KMS_STREAM_HEADER_SIZE - 1);
    is_refused(file_plain, sizeof file_plain, "no stream", 0);
    bytes[20] ^= 1;
    bytes[4096 + 20] ^= 1;
    is_refused(bytes, len, "damaged header", 20);
    bytes[20] ^= 1;
    scratch_write(scratch_path("source"), bytes, len);
    file_decrypts_to(scratch_path("source"), file_plain, sizeof file_plain);
    free(bytes);
    file_finish();
}
END_TEST

START_TEST(bytes_that_were_added_are_refused)
{
    uint8_t *bytes, *longer;
    size_t len;

    file_setup();
    bytes = scratch_read(file_source(FILE_DECRYPT), &len);
    longer = calloc(1, len + 2 * 65568);
    memcpy(longer, bytes, len);
    is_refused(longer, len + 1, "added", 1);
    is_refused(longer, len + 65568, "added", 65568);
    is_refused(longer, len + 2 * 65568, "added", 2 * 65568);
    free(longer);
    free(bytes);
    file_finish();
}
END_TEST

/* --- keys and contexts -------------------------------------------------------------------------- */

START_TEST(a_key_that_may_not_be_used_is_told_and_nothing_is_made)
{
    static const char unknown[] = "00112233-4455-4677-8899-aabbccddeeff";
    const char *from, *to = NULL;
    file_before before;

    file_setup();
    from = file_source(FILE_ENCRYPT);
    before = file_put(_i == 0);
    to = scratch_path("to");
#define REFUSED(keyref, status)                                                                    \
    fixture_is(kms_encrypt_file(file_store, keyref, NULL, from, to, NULL), status);                \
    file_is_untouched(&before)
    REFUSED(unknown, KMS_ERR_KEY_NOT_FOUND);
    REFUSED("alias/none", KMS_ERR_ALIAS_NOT_FOUND);
    REFUSED("no key", KMS_ERR_INVALID_ARGUMENT);
    REFUSED(NULL, KMS_ERR_INVALID_ARGUMENT);
    fixture_ok(kms_disable_key(file_store, file_key));
    REFUSED(file_key, KMS_ERR_DISABLED);
    file_finish();
}
END_TEST

START_TEST(a_file_opens_with_its_context_and_an_enabled_key_only)
{
    const char *clear, *from, *to;
    file_before before;

    file_setup();
    clear = file_source(FILE_ENCRYPT);
    from = scratch_path("sealed");
    to = scratch_path("to");
    fixture_ok(kms_encrypt_file(file_store, file_key, &of_tenant, clear, from, NULL));
    before = file_put(true);
    fixture_is(kms_decrypt_file(file_store, &of_other, from, to, NULL), KMS_ERR_INVALID_CIPHERTEXT);
    fixture_is(kms_decrypt_file(file_store, NULL, from, to, NULL), KMS_ERR_INVALID_CIPHERTEXT);
    fixture_ok(kms_disable_key(file_store, file_key));
    fixture_is(kms_decrypt_file(file_store, &of_tenant, from, to, NULL), KMS_ERR_DISABLED);
    file_is_untouched(&before);
    fixture_ok(kms_enable_key(file_store, file_key));
    fixture_ok(kms_decrypt_file(file_store, &of_tenant, from, to, NULL));
    file_finish();
}
END_TEST

/* --- arguments ---------------------------------------------------------------------------------- */

START_TEST(options_of_another_version_are_refused)
{
    kms_file_options options = KMS_FILE_OPTIONS_INIT;
    file_before before;
    const char *from;

    file_setup();
    from = file_source((file_way)_i);
    before = file_put(true);
    for (options.version = 0; options.version < 4; options.version += 2)
        fixture_is(file_convert(file_store, (file_way)_i, from, scratch_path("to"), &options),
                   KMS_ERR_ABI);
    file_is_untouched(&before);
    file_finish();
}
END_TEST

START_TEST(a_null_is_refused)
{
    const char *from;

    file_setup();
    from = file_source(FILE_ENCRYPT);
    for (int way = 0; way < FILE_WAYS; way++) {
        fixture_is(file_convert(NULL, (file_way)way, from, "x", NULL), KMS_ERR_INVALID_ARGUMENT);
        fixture_is(file_convert(file_store, (file_way)way, NULL, scratch_path("to"), NULL),
                   KMS_ERR_INVALID_ARGUMENT);
        fixture_is(file_convert(file_store, (file_way)way, from, NULL, NULL),
                   KMS_ERR_INVALID_ARGUMENT);
    }
    fixture_is(kms_rewrap_file(NULL, NULL, file_key, NULL, from, NULL), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_rewrap_file(file_store, NULL, file_key, NULL, NULL, NULL),
               KMS_ERR_INVALID_ARGUMENT);
    ck_assert_uint_eq(scratch_count(""), 1);
    file_finish();
}
END_TEST

static int use_after_fork(void *from)
{
    const char *to = scratch_path("to");

    trial_must(file_convert(file_store, FILE_ENCRYPT, from, to, NULL) == KMS_ERR_FORKED);
    trial_must(file_convert(file_store, FILE_DECRYPT, from, to, NULL) == KMS_ERR_FORKED);
    trial_must(kms_rewrap_file(file_store, NULL, file_key, NULL, from, NULL) == KMS_ERR_FORKED);
    return 0;
}

START_TEST(an_inherited_store_makes_no_file)
{
    file_setup();
    ck_assert_int_eq(
        trial_wait(trial_fork(use_after_fork, (void *)(uintptr_t)file_source(FILE_ENCRYPT))), 0);
    ck_assert_uint_eq(scratch_count(""), 1);
    file_finish();
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {a_file_of_any_size_comes_back, 2 * (int)SIZES},
        {source_and_result_may_be_one_file, 0},
        {what_is_there_is_replaced_by_a_new_file, FILE_WAYS},
        {names_in_the_working_folder_will_do, 0},
        {a_call_that_succeeds_leaves_the_message_as_it_is, FILE_WAYS},
        {progress_grows_up_to_the_total, FILE_WAYS},
        {a_cancelled_call_leaves_everything_as_it_was, 2 * FILE_WAYS},
        {progress_may_use_the_store, FILE_WAYS},
        {a_source_that_changes_meanwhile_is_an_error, FILE_WAYS},
        {a_source_that_changes_at_the_last_moment_is_noticed, 0},
        {a_source_that_grows_without_end_ends_the_call, 0},
        {a_file_that_is_rewrapped_while_it_is_decrypted_is_no_other, 0},
        {damage_anywhere_leaves_the_old_file, 0},
        {what_has_no_whole_header_is_refused, 0},
        {bytes_that_were_added_are_refused, 0},
        {a_key_that_may_not_be_used_is_told_and_nothing_is_made, 2},
        {a_file_opens_with_its_context_and_an_enabled_key_only, 0},
        {options_of_another_version_are_refused, FILE_WAYS},
        {a_null_is_refused, 0},
        {an_inherited_store_makes_no_file, 0},
    };

    return fixture_main("files", tests, sizeof tests / sizeof *tests, 60);
}
