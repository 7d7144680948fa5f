/* What may happen to folders and paths while a file is made, and access-control lists. */
#include "support/file_trial.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

/* --- access-control lists ----------------------------------------------------------------------- */

#define ACCESS "system.posix_acl_access"
#define DEFAULT "system.posix_acl_default"

/* As the kernel has it (linux/posix_acl_xattr.h): user::rw-, user:1234:r--, group::---, mask::r--,
 * other::---. In st_mode that looks like 0640. */
static const uint8_t list[] = {
    2,  0, 0, 0,                                  /* version */
    1,  0, 6, 0, 255,        255,       255, 255, /* the owner */
    2,  0, 4, 0, 1234 & 255, 1234 >> 8, 0,   0,   /* somebody */
    4,  0, 0, 0, 255,        255,       255, 255, /* the group */
    16, 0, 4, 0, 255,        255,       255, 255, /* the mask */
    32, 0, 0, 0, 255,        255,       255, 255, /* others */
};

static bool set_list(const char *path, const char *which)
{
    if (setxattr(path, which, list, sizeof list, 0) == 0)
        return true;
    ck_assert_int_eq(errno, EOPNOTSUPP);
    fixture_skip("access-control lists", "this file system has none");
    return false;
}

static void has_no_list(const char *path)
{
    ck_assert_int_lt(getxattr(path, ACCESS, NULL, 0), 0);
}

START_TEST(what_a_list_keeps_from_the_group_stays_from_it)
{
    file_way way = (file_way)_i;
    const char *from, *to;

    file_setup();
    from = file_source(way);
    to = scratch_path("to");
    (void)file_put(true);
    if (set_list(to, ACCESS)) {
        ck_assert_uint_eq(scratch_stat(to).st_mode & 0777, 0640);
        fixture_ok(file_convert(file_store, way, from, to, NULL));
        ck_assert_uint_eq(scratch_stat(to).st_mode & 0777, 0600);
        has_no_list(to);
        /* And where the list is the source's. */
        ck_assert_int_eq(unlink(to), 0);
        ck_assert(set_list(from, ACCESS));
        fixture_ok(file_convert(file_store, way, from, to, NULL));
        ck_assert_uint_eq(scratch_stat(to).st_mode & 0777, 0600);
        has_no_list(to);
    }
    file_finish();
}
END_TEST

START_TEST(a_list_of_the_folder_is_not_inherited)
{
    file_way way = (file_way)_i;
    const char *from, *to;

    file_setup();
    from = file_source(way);
    to = scratch_path("to");
    (void)file_put(true);
    ck_assert_int_eq(chmod(to, 0640), 0);
    if (set_list(scratch_path("."), DEFAULT)) {
        fixture_ok(file_convert(file_store, way, from, to, NULL));
        ck_assert_uint_eq(scratch_stat(to).st_mode & 0777, 0640);
        has_no_list(to);
    }
    file_finish();
}
END_TEST

/* --- folders that move -------------------------------------------------------------------------- */

static bool go_elsewhere(void *unused, uint64_t done, uint64_t total)
{
    (void)unused;
    (void)done;
    (void)total;
    return chdir("/") == 0;
}

START_TEST(a_relative_name_holds_when_the_working_folder_changes)
{
    file_way way = (file_way)_i;
    kms_file_options options = KMS_FILE_OPTIONS_INIT;
    const char *from;

    file_setup();
    from = file_source(way);
    options.progress = go_elsewhere;
    ck_assert_int_eq(chdir(scratch_path(".")), 0);
    fixture_ok(file_convert(file_store, way, from, "to", &options));
    ck_assert(file_is_made(file_store, way, scratch_path("to")));
    ck_assert_uint_eq(scratch_count(".libkms-"), 0);
    file_finish();
}
END_TEST

static bool move_folder(void *moved, uint64_t done, uint64_t total)
{
    (void)done;
    (void)total;
    if (!*(bool *)moved)
        *(bool *)moved = rename(scratch_path("folder"), scratch_path("moved")) == 0;
    return true;
}

START_TEST(a_folder_that_is_renamed_has_the_whole_file_or_nothing_of_it)
{
    file_way way = (file_way)_i;
    kms_file_options options = KMS_FILE_OPTIONS_INIT;
    char to[SCRATCH_PATH_MAX + 16];
    bool moved = false;
    const char *from;

    file_setup();
    from = file_source(way);
    options.progress = move_folder;
    options.progress_data = &moved;
    ck_assert_int_eq(mkdir(scratch_path("folder"), 0755), 0);
    ck_assert_int_lt(snprintf(to, sizeof to, "%s/to", scratch_path("folder")), (int)sizeof to);
    fixture_ok(file_convert(file_store, way, from, to, &options));
    ck_assert(moved);
    ck_assert(file_is_made(file_store, way, scratch_path("moved/to")));
    ck_assert_int_eq(unlink(scratch_path("moved/to")), 0);
    /* Nothing else is in it. */
    ck_assert_int_eq(rmdir(scratch_path("moved")), 0);
    file_finish();
}
END_TEST

/* --- descriptors -------------------------------------------------------------------------------- */

static bool print_to_stderr(void *unused, uint64_t done, uint64_t total)
{
    (void)unused;
    (void)done;
    (void)total;
    (void)!write(STDERR_FILENO, "50%\n", 4);
    return true;
}

START_TEST(what_a_program_prints_to_a_closed_descriptor_is_not_in_the_file)
{
    file_way way = (file_way)_i;
    kms_file_options options = KMS_FILE_OPTIONS_INIT;
    int kept[3];
    const char *from;
    kms_status st;

    file_setup();
    from = file_source(way);
    options.progress = print_to_stderr;
    for (int fd = 0; fd < 3; fd++) {
        kept[fd] = fcntl(fd, F_DUPFD_CLOEXEC, 10);
        (void)close(fd);
    }
    st = file_convert(file_store, way, from, scratch_path("to"), &options);
    for (int fd = 0; fd < 3; fd++)
        if (kept[fd] >= 0)
            ck_assert_int_eq(dup2(kept[fd], fd), fd);
    fixture_ok(st);
    ck_assert(file_is_made(file_store, way, scratch_path("to")));
    file_finish();
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {what_a_list_keeps_from_the_group_stays_from_it, FILE_WAYS},
        {a_list_of_the_folder_is_not_inherited, FILE_WAYS},
        {a_relative_name_holds_when_the_working_folder_changes, FILE_WAYS},
        {a_folder_that_is_renamed_has_the_whole_file_or_nothing_of_it, FILE_WAYS},
        {what_a_program_prints_to_a_closed_descriptor_is_not_in_the_file, FILE_WAYS},
    };

    return fixture_main("file_folders", tests, sizeof tests / sizeof *tests, 60);
}
