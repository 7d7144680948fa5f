#include "file_trial.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

place file_place;
kms_store *file_store;
char file_key[KMS_KEY_ID_SIZE];
uint8_t file_plain[FILE_PLAIN];

static const char old[] = "what stood here before";

void file_setup(void)
{
    place_init(&file_place);
    file_store = place_open(&file_place);
    fixture_create_key(file_store, file_key);
    scratch_begin();
    scratch_fill(file_plain, sizeof file_plain, 1);
}

void file_finish(void)
{
    scratch_end();
    kms_close(file_store);
    place_free(&file_place);
}

void file_encrypted(const char *path, const void *bytes, size_t len)
{
    const char *clear = scratch_path("in-the-clear");

    scratch_write(clear, bytes, len);
    fixture_ok(kms_encrypt_file(file_store, file_key, NULL, clear, path, NULL));
    ck_assert_int_eq(unlink(clear), 0);
}

void file_decrypts_to(const char *path, const void *bytes, size_t len)
{
    const char *clear = scratch_path("in-the-clear");

    fixture_ok(kms_decrypt_file(file_store, NULL, path, clear, NULL));
    ck_assert(scratch_holds(clear, bytes, len));
    ck_assert_int_eq(unlink(clear), 0);
}

kms_status file_convert(kms_store *store, file_way way, const char *from, const char *to,
                        const kms_file_options *options)
{
    if (way == FILE_ENCRYPT)
        return kms_encrypt_file(store, file_key, NULL, from, to, options);
    return kms_decrypt_file(store, NULL, from, to, options);
}

const char *file_source(file_way way)
{
    const char *source = scratch_path("source");
    uint8_t *bytes;
    size_t len;

    scratch_write_old(source, file_plain, sizeof file_plain);
    if (way == FILE_ENCRYPT)
        return source;
    fixture_ok(kms_encrypt_file(file_store, file_key, NULL, source, source, NULL));
    bytes = scratch_read(source, &len);
    scratch_write_old(source, bytes, len);
    free(bytes);
    return source;
}

bool file_is_made(kms_store *store, file_way way, const char *path)
{
    const char *clear = path;

    if (way == FILE_ENCRYPT) {
        clear = scratch_path("in-the-clear");
        if (kms_decrypt_file(store, NULL, path, clear, NULL) != KMS_OK)
            return false;
    }
    return scratch_holds(clear, file_plain, sizeof file_plain);
}

file_before file_put(bool there)
{
    const char *to = scratch_path("to");
    file_before before = {.there = there};

    (void)unlink(to);
    if (there) {
        scratch_write_old(to, old, sizeof old);
        before.st = scratch_stat(to);
    }
    before.names = scratch_count("");
    return before;
}

bool file_is_old(void)
{
    return scratch_holds(scratch_path("to"), old, sizeof old);
}

void file_is_untouched(const file_before *before)
{
    const char *to = scratch_path("to");
    struct stat now;

    ck_assert_uint_eq(scratch_count(""), before->names);
    ck_assert_uint_eq(scratch_count(".libkms-"), 0);
    ck_assert_int_eq(scratch_exists(to), before->there);
    if (!before->there)
        return;
    ck_assert(file_is_old());
    now = scratch_stat(to);
    ck_assert_uint_eq(now.st_ino, before->st.st_ino);
    ck_assert_uint_eq(now.st_mode, before->st.st_mode);
    ck_assert_int_eq(now.st_mtim.tv_sec, before->st.st_mtim.tv_sec);
}
