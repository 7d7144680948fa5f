/* Where a file stands and whose it is: permissions, owners, links, folders, and what is refused. */
#include "support/file_trial.h"
#include "support/lmdb_trial.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SOMEBODY 12345
#define A_GROUP 23456
#define ANOTHER_GROUP 34567

static mode_t mode_of(const char *path)
{
    return scratch_stat(path).st_mode & 07777;
}

static void convert(file_way way, const char *from)
{
    fixture_ok(file_convert(file_store, way, from, scratch_path("to"), NULL));
}

/* --- permissions -------------------------------------------------------------------------------- */

static const mode_t modes[] = {0600, 0640, 0644, 0666, 0400, 0755};
#define MODES (sizeof modes / sizeof *modes)

START_TEST(a_new_file_has_the_permissions_of_its_source)
{
    file_way way = (file_way)_i;
    const char *from;

    file_setup();
    from = file_source(way);
    (void)umask(077);
    for (size_t i = 0; i < MODES; i++) {
        (void)file_put(false);
        ck_assert_int_eq(chmod(from, modes[i]), 0);
        convert(way, from);
        ck_assert_uint_eq(mode_of(scratch_path("to")), modes[i]);
    }
    file_finish();
}
END_TEST

START_TEST(a_replaced_file_keeps_its_permissions)
{
    file_way way = (file_way)_i;
    const char *from;

    file_setup();
    from = file_source(way);
    ck_assert_int_eq(chmod(from, 0644), 0);
    for (size_t i = 0; i < MODES; i++) {
        (void)file_put(true);
        ck_assert_int_eq(chmod(scratch_path("to"), modes[i]), 0);
        convert(way, from);
        ck_assert_uint_eq(mode_of(scratch_path("to")), modes[i]);
    }
    file_finish();
}
END_TEST

START_TEST(set_user_id_and_its_like_are_not_kept)
{
    const char *from, *to;

    file_setup();
    from = file_source(FILE_ENCRYPT);
    to = scratch_path("to");
    ck_assert_int_eq(chmod(from, 07755), 0);
    convert(FILE_ENCRYPT, from);
    ck_assert_uint_eq(mode_of(to), 0755);
    ck_assert_int_eq(chmod(to, 06711), 0);
    convert(FILE_ENCRYPT, from);
    ck_assert_uint_eq(mode_of(to), 0711);
    file_finish();
}
END_TEST

/* The draft, while it is being made. */
static bool is_private(void *looked, uint64_t done, uint64_t total)
{
    DIR *names = opendir(scratch_path(""));
    const struct dirent *name;

    (void)done;
    (void)total;
    while ((name = readdir(names)) != NULL)
        if (strncmp(name->d_name, ".libkms-", 8) == 0) {
            ck_assert_uint_eq(mode_of(scratch_path(name->d_name)), 0600);
            ck_assert_uint_eq(strlen(name->d_name), 14);
            ++*(unsigned *)looked;
        }
    (void)closedir(names);
    ck_assert(!scratch_exists(scratch_path("to")));
    return true;
}

START_TEST(nobody_else_reads_a_file_that_is_not_whole)
{
    kms_file_options options = KMS_FILE_OPTIONS_INIT;
    unsigned looked = 0;
    const char *from;

    file_setup();
    from = file_source((file_way)_i);
    ck_assert_int_eq(chmod(from, 0666), 0);
    options.progress = is_private;
    options.progress_data = &looked;
    fixture_ok(file_convert(file_store, (file_way)_i, from, scratch_path("to"), &options));
    ck_assert_uint_eq(looked, FILE_PLAIN / KMS_STREAM_CHUNK_SIZE + 1);
    file_finish();
}
END_TEST

/* --- owners ------------------------------------------------------------------------------------- */

static bool may_give_away(void)
{
    if (geteuid() == 0)
        return true;
    fixture_skip("owners of files", "only root may give files away");
    return false;
}

static void belongs(const char *path, uid_t owner, gid_t group, mode_t mode)
{
    struct stat st = scratch_stat(path);

    ck_assert_uint_eq(st.st_uid, owner);
    ck_assert_uint_eq(st.st_gid, group);
    ck_assert_uint_eq(st.st_mode & 07777, mode);
}

START_TEST(the_owner_is_kept_by_who_may_give_files_away)
{
    const char *from, *to;

    if (!may_give_away())
        return;
    file_setup();
    from = file_source(FILE_ENCRYPT);
    to = scratch_path("to");
    ck_assert_int_eq(chown(from, SOMEBODY, A_GROUP), 0);
    ck_assert_int_eq(chmod(from, 0640), 0);
    convert(FILE_ENCRYPT, from);
    belongs(to, SOMEBODY, A_GROUP, 0640);
    ck_assert_int_eq(chown(to, SOMEBODY + 1, ANOTHER_GROUP), 0);
    convert(FILE_ENCRYPT, from);
    belongs(to, SOMEBODY + 1, ANOTHER_GROUP, 0640);
    file_finish();
}
END_TEST

/* What a child does as somebody else, who is in a group beside his own. He works in the scratch folder,
 * for those above it may be closed to him. */
typedef struct other_user {
    gid_t group;
    int (*body)(kms_store *store);
} other_user;

static int as_somebody(void *argument)
{
    const other_user *other = argument;
    kms_store *own = place_open(&file_place);

    trial_must(chdir(scratch_path("")) == 0);
    trial_must(setgroups(1, &other->group) == 0 && setgid(SOMEBODY) == 0 && setuid(SOMEBODY) == 0);
    return other->body(own);
}

static void run_as_somebody(other_user other)
{
    ck_assert_int_eq(trial_wait(trial_fork(as_somebody, &other)), 0);
}

static int encrypts(kms_store *store)
{
    trial_must(file_convert(store, FILE_ENCRYPT, "source", "to", NULL) == KMS_OK);
    return 0;
}

START_TEST(who_may_not_give_files_away_keeps_the_group_or_its_rights_to_himself)
{
    const char *from, *to;

    if (!may_give_away())
        return;
    file_setup();
    from = file_source(FILE_ENCRYPT);
    to = scratch_path("to");
    ck_assert_int_eq(chmod(from, 0664), 0);
    ck_assert_int_eq(chown(from, SOMEBODY, A_GROUP), 0);
    /* A file of his, of a group that he is in. */
    run_as_somebody((other_user){A_GROUP, encrypts});
    belongs(to, SOMEBODY, A_GROUP, 0664);
    /* Of one that he is not in: his own group gets nothing that was meant for that one. */
    ck_assert_int_eq(unlink(to), 0);
    run_as_somebody((other_user){ANOTHER_GROUP, encrypts});
    belongs(to, SOMEBODY, SOMEBODY, 0604);
    /* Somebody else's file, of a group that both are in. */
    ck_assert_int_eq(chown(to, 0, A_GROUP), 0);
    ck_assert_int_eq(chmod(to, 0660), 0);
    run_as_somebody((other_user){A_GROUP, encrypts});
    belongs(to, SOMEBODY, A_GROUP, 0660);
    file_finish();
}
END_TEST

static int cannot_read(kms_store *store)
{
    for (int way = 0; way < FILE_WAYS; way++) {
        trial_must(file_convert(store, (file_way)way, "source", "to", NULL) == KMS_ERR_FILE);
        trial_must(strstr(kms_error_message(), "source") != NULL);
        trial_must(strstr(kms_error_message(), strerror(EACCES)) != NULL);
    }
    trial_must(kms_rewrap_file(store, NULL, file_key, NULL, "source", NULL) == KMS_ERR_FILE);
    trial_must(strstr(kms_error_message(), strerror(EACCES)) != NULL);
    trial_must(!scratch_exists("to"));
    return 0;
}

START_TEST(a_source_that_may_not_be_read_is_told)
{
    const char *from;

    if (!may_give_away())
        return;
    file_setup();
    from = file_source(FILE_DECRYPT);
    ck_assert_int_eq(chmod(from, 0600), 0);
    run_as_somebody((other_user){SOMEBODY, cannot_read});
    file_finish();
}
END_TEST

static int cannot_make(kms_store *store)
{
    for (int way = 0; way < FILE_WAYS; way++) {
        trial_must(file_convert(store, (file_way)way, "source", "folder/to", NULL) == KMS_ERR_FILE);
        trial_must(strstr(kms_error_message(), "folder/to") != NULL);
        trial_must(strstr(kms_error_message(), strerror(EACCES)) != NULL);
    }
    return 0;
}

/* Into one that cannot be read a file could be put, and not made durable. */
START_TEST(a_folder_that_may_not_be_written_or_read_is_told)
{
    static const mode_t closed[] = {0755, 0700, 0733};
    const char *folder;

    if (!may_give_away())
        return;
    file_setup();
    (void)file_source(FILE_ENCRYPT);
    folder = scratch_path("folder");
    ck_assert_int_eq(mkdir(folder, 0700), 0);
    for (size_t i = 0; i < 3; i++) {
        ck_assert_int_eq(chmod(folder, closed[i]), 0);
        run_as_somebody((other_user){SOMEBODY, cannot_make});
    }
    /* Empty. */
    ck_assert_int_eq(rmdir(folder), 0);
    file_finish();
}
END_TEST

/* --- links -------------------------------------------------------------------------------------- */

START_TEST(a_symbolic_link_stays_and_what_it_leads_to_is_replaced)
{
    const char *from, *real, *link;
    char target[16] = "";

    file_setup();
    from = file_source((file_way)_i);
    real = scratch_path("folder/real");
    link = scratch_path("to");
    ck_assert_int_eq(mkdir(scratch_path("folder"), 0755), 0);
    scratch_write(real, "old", 3);
    ck_assert_int_eq(chmod(real, 0604), 0);
    ck_assert_int_eq(symlink("folder/real", link), 0);
    convert((file_way)_i, from);
    ck_assert_int_eq(readlink(link, target, sizeof target), 11);
    ck_assert_int_eq(memcmp(target, "folder/real", 11), 0);
    ck_assert_uint_eq(mode_of(real), 0604);
    ck_assert(file_is_made(file_store, (file_way)_i, real));
    ck_assert_uint_eq(scratch_count(".libkms-"), 0);
    file_finish();
}
END_TEST

START_TEST(a_link_that_leads_nowhere_stays_too)
{
    const char *from, *link;
    char target[16];

    file_setup();
    from = file_source((file_way)_i);
    link = scratch_path("to");
    ck_assert_int_eq(symlink("nowhere", link), 0);
    fixture_is(file_convert(file_store, (file_way)_i, from, link, NULL), KMS_ERR_FILE);
    fixture_says("/to");
    fixture_says("symbolic link");
    ck_assert_int_eq(readlink(link, target, sizeof target), 7);
    ck_assert_uint_eq(scratch_count(""), 2);
    file_finish();
}
END_TEST

/* --- what is refused ---------------------------------------------------------------------------- */

static void refused(const char *from, const char *to, kms_status status, const char *name,
                    const char *words)
{
    unsigned before = scratch_count("");

    for (int way = 0; way < FILE_WAYS; way++) {
        fixture_is(file_convert(file_store, (file_way)way, from, to, NULL), status);
        fixture_says(name);
        fixture_says(words);
    }
    ck_assert_uint_eq(scratch_count(""), before);
}

/* A pipe that nobody writes to is not waited for. */
START_TEST(what_is_no_file_or_not_there_is_told_by_name)
{
    const char *from, *to, *folder, *pipe;

    file_setup();
    from = file_source(FILE_DECRYPT);
    to = scratch_path("to");
    folder = scratch_path("folder");
    pipe = scratch_path("pipe");
    ck_assert_int_eq(mkdir(folder, 0755), 0);
    ck_assert_int_eq(mkfifo(pipe, 0666), 0);
    refused(scratch_path("none"), to, KMS_ERR_NOT_FOUND, "/none", strerror(ENOENT));
    refused("", to, KMS_ERR_NOT_FOUND, "open", strerror(ENOENT));
    refused(folder, to, KMS_ERR_FILE, "/folder", "not a regular file");
    refused(pipe, to, KMS_ERR_FILE, "/pipe", "not a regular file");
    refused("/dev/null", to, KMS_ERR_FILE, "/dev/null", "not a regular file");
    refused(from, folder, KMS_ERR_FILE, "/folder", "not a regular file");
    refused(from, pipe, KMS_ERR_FILE, "/pipe", "not a regular file");
    refused(from, scratch_path("none/to"), KMS_ERR_NOT_FOUND, "none/to", strerror(ENOENT));
    refused(from, scratch_path("source/to"), KMS_ERR_FILE, "source/to", strerror(ENOTDIR));
    refused(from, "", KMS_ERR_NOT_FOUND, "find", strerror(ENOENT));
    file_finish();
}
END_TEST

START_TEST(what_cannot_be_rewrapped_is_told_by_name)
{
    file_setup();
    ck_assert_int_eq(mkdir(scratch_path("folder"), 0755), 0);
    ck_assert_int_eq(mkfifo(scratch_path("pipe"), 0666), 0);
    scratch_write(scratch_path("other"), file_plain, sizeof file_plain);
    scratch_write(scratch_path("empty"), "", 0);
#define NOT_REWRAPPED(name, status, words)                                                         \
    fixture_is(kms_rewrap_file(file_store, NULL, file_key, NULL, scratch_path(name), NULL),        \
               status);                                                                            \
    fixture_says("/" name);                                                                        \
    fixture_says(words)
    NOT_REWRAPPED("none", KMS_ERR_NOT_FOUND, strerror(ENOENT));
    NOT_REWRAPPED("folder", KMS_ERR_FILE, strerror(EISDIR));
    NOT_REWRAPPED("pipe", KMS_ERR_FILE, "not a regular file");
    NOT_REWRAPPED("other", KMS_ERR_INVALID_CIPHERTEXT, "no stream");
    NOT_REWRAPPED("empty", KMS_ERR_INVALID_CIPHERTEXT, "0 bytes");
    ck_assert(scratch_holds(scratch_path("other"), file_plain, sizeof file_plain));
    file_finish();
}
END_TEST

/* Longer than a sentence may be: its end stands there, and what is the matter. */
START_TEST(the_sentence_about_a_long_path_is_whole)
{
    char path[3000] = "";
    const char *to;

    file_setup();
    ck_assert_int_eq(chdir(scratch_path("")), 0);
    for (int i = 0; i < 10; i++) {
        char name[201];

        memset(name, 'a' + i, 200);
        name[200] = '\0';
        strcat(strcat(path, name), "/");
        ck_assert_int_eq(mkdir(path, 0755), 0);
    }
    strcat(path, "the-end");
    scratch_write(path, file_plain, sizeof file_plain);
    to = scratch_path("to");
    refused("/proc/self/nonsense", to, KMS_ERR_NOT_FOUND, "nonsense", strerror(ENOENT));
    fixture_is(kms_decrypt_file(file_store, NULL, path, to, NULL), KMS_ERR_INVALID_CIPHERTEXT);
    fixture_says("the-end: this is no stream");
    fixture_is(kms_rewrap_file(file_store, NULL, file_key, NULL, path, NULL),
               KMS_ERR_INVALID_CIPHERTEXT);
    fixture_says("the-end: this is no stream");
    scratch_write(path, file_plain, 10);
    fixture_is(kms_decrypt_file(file_store, NULL, path, to, NULL), KMS_ERR_INVALID_CIPHERTEXT);
    fixture_says("the-end: 10 bytes are no stream");
    ck_assert_int_eq(chdir("/"), 0);
    file_finish();
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {a_new_file_has_the_permissions_of_its_source, FILE_WAYS},
        {a_replaced_file_keeps_its_permissions, FILE_WAYS},
        {set_user_id_and_its_like_are_not_kept, 0},
        {nobody_else_reads_a_file_that_is_not_whole, FILE_WAYS},
        {the_owner_is_kept_by_who_may_give_files_away, 0},
        {who_may_not_give_files_away_keeps_the_group_or_its_rights_to_himself, 0},
        {a_source_that_may_not_be_read_is_told, 0},
        {a_folder_that_may_not_be_written_or_read_is_told, 0},
        {a_symbolic_link_stays_and_what_it_leads_to_is_replaced, FILE_WAYS},
        {a_link_that_leads_nowhere_stays_too, FILE_WAYS},
        {what_is_no_file_or_not_there_is_told_by_name, 0},
        {what_cannot_be_rewrapped_is_told_by_name, 0},
        {the_sentence_about_a_long_path_is_whole, 0},
    };

    return fixture_main("file_places", tests, sizeof tests / sizeof *tests, 60);
}
