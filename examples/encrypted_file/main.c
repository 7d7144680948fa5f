/*
 * Files that are encrypted before they are uploaded, and how they follow a rotation.
 *
 *   PASSPHRASE='...' encrypted_file STORE encrypt ALIAS FILE RESULT
 *   PASSPHRASE='...' encrypted_file STORE decrypt FILE RESULT
 *   PASSPHRASE='...' encrypted_file STORE seal ALIAS        a pipe, from stdin to stdout
 *   PASSPHRASE='...' encrypted_file STORE range FILE OFFSET LENGTH
 *   PASSPHRASE='...' encrypted_file STORE show FILE         which key and version it is under
 *   PASSPHRASE='...' encrypted_file STORE rewrap ALIAS FILE...
 *   PASSPHRASE='...' encrypted_file STORE rotate ALIAS
 *
 * After a rotation only the headers of the files are rewritten, in place: `rewrap` does so with those
 * that are stale, whatever their size, and can be killed at any moment and called again.
 */
#include <kms/kms.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What a file is for, bound to it: a file that was encrypted for something else does not decrypt. */
static const kms_context_pair pairs[] = {{"purpose", "example upload"}};
static const kms_context context = {pairs, 1};

static bool ok(kms_status status)
{
    if (status != KMS_OK) {
        fprintf(stderr, "%s: %s\n", kms_status_name(status), kms_error_message());
    }
    return status == KMS_OK;
}

static bool complain(const char *path)
{
    fprintf(stderr, "%s: %s\n", path, strerror(errno));
    return false;
}

/* On a terminal only, and once a tenth. */
static bool show_progress(void *data, uint64_t done, uint64_t total)
{
    unsigned *tenths = data;
    unsigned now = total > 0 ? (unsigned)(done * 10 / total) : 10;

    if (now != *tenths && isatty(STDERR_FILENO)) {
        fprintf(stderr, "\r%u%%%s", now * 10, now == 10 ? "\n" : "");
    }
    *tenths = now;
    return true;
}

static bool encrypt(kms_store *store, char **arguments)
{
    unsigned tenths = 0;
    kms_file_options options = KMS_FILE_OPTIONS_INIT;

    options.progress = show_progress;
    options.progress_data = &tenths;
    return ok(
        kms_encrypt_file(store, arguments[0], &context, arguments[1], arguments[2], &options));
}

static bool decrypt(kms_store *store, char **arguments)
{
    unsigned tenths = 0;
    kms_file_options options = KMS_FILE_OPTIONS_INIT;

    options.progress = show_progress;
    options.progress_data = &tenths;
    return ok(kms_decrypt_file(store, &context, arguments[0], arguments[1], &options));
}

/* --- a pipe ------------------------------------------------------------------------------------- */

static bool put(const void *bytes, size_t len)
{
    return fwrite(bytes, 1, len, stdout) == len || complain("stdout");
}

static bool push_stdin(kms_stream *stream)
{
    static unsigned char in[KMS_STREAM_CHUNK_SIZE], out[KMS_STREAM_ROOM(sizeof in)];
    size_t len, used, out_len;
    bool done;

    while ((len = fread(in, 1, sizeof in, stdin)) > 0) {
        /* There is room for everything, so all of it is used. */
        if (!ok(kms_stream_push(stream, in, len, &used, out, sizeof out, &out_len)) ||
            !put(out, out_len)) {
            return false;
        }
    }
    if (ferror(stdin)) {
        return complain("stdin");
    }
    return ok(kms_stream_finish(stream, out, sizeof out, &out_len, &done)) && put(out, out_len) &&
           (fflush(stdout) == 0 || complain("stdout"));
}

static bool seal(kms_store *store, char **arguments)
{
    unsigned char header[KMS_STREAM_HEADER_SIZE];
    kms_stream *stream = NULL;
    bool sealed;

    if (!ok(kms_stream_encrypt(store, arguments[0], &context, header, &stream))) {
        return false;
    }
    sealed = put(header, sizeof header) && push_stdin(stream);
    kms_stream_free(stream);
    return sealed;
}

/* --- a range ------------------------------------------------------------------------------------ */

static bool put_range(kms_stream_reader *reader, uint64_t offset, uint64_t len)
{
    unsigned char piece[4096];
    size_t got = sizeof piece;

    for (; len > 0 && got == sizeof piece; len -= got, offset += got) {
        got = len < sizeof piece ? (size_t)len : sizeof piece;
        if (!ok(kms_stream_reader_read(reader, offset, piece, got, &got)) || !put(piece, got)) {
            return false;
        }
    }
    return true;
}

static bool range(kms_store *store, char **arguments)
{
    kms_stream_reader *reader = NULL;
    kms_stream_io io;
    int fd = open(arguments[0], O_RDONLY | O_CLOEXEC);
    bool read_it;

    if (fd < 0) {
        return complain(arguments[0]);
    }
    kms_stream_io_of_fd(&io, fd);
    read_it = ok(kms_stream_reader_open(store, &context, &io, &reader)) &&
              put_range(reader, strtoull(arguments[1], NULL, 10), strtoull(arguments[2], NULL, 10));
    kms_stream_reader_close(reader);
    close(fd);
    return read_it;
}

/* --- rotation ----------------------------------------------------------------------------------- */

static bool read_header(const char *path, unsigned char header[KMS_STREAM_HEADER_SIZE], size_t *len)
{
    FILE *file = fopen(path, "rb");

    if (file == NULL) {
        return complain(path);
    }
    *len = fread(header, 1, KMS_STREAM_HEADER_SIZE, file);
    fclose(file);
    return true;
}

static bool show(kms_store *store, char **arguments)
{
    unsigned char header[KMS_STREAM_HEADER_SIZE];
    kms_blob_info info;
    size_t len;

    (void)store;
    if (!read_header(arguments[0], header, &len) || !ok(kms_inspect_stream(header, len, &info))) {
        return false;
    }
    printf("%s: under version %u of key %s\n", arguments[0], info.key_version, info.key_id);
    return true;
}

static bool rewrap_one(kms_store *store, const char *alias, const char *path)
{
    unsigned char header[KMS_STREAM_HEADER_SIZE];
    bool stale = false;
    size_t len;

    if (!read_header(path, header, &len) ||
        !ok(kms_stream_is_stale(store, alias, header, len, &stale))) {
        return false;
    }
    if (stale && !ok(kms_rewrap_file(store, &context, alias, &context, path, NULL))) {
        return false;
    }
    printf("%s: %s\n", path, stale ? "rewrapped" : "up to date");
    return true;
}

/* The others are done even if one cannot be. */
static bool rewrap(kms_store *store, char **arguments)
{
    bool all = true;

    for (char **path = arguments + 1; *path != NULL; path++) {
        all = rewrap_one(store, arguments[0], *path) && all;
    }
    return all;
}

static bool rotate(kms_store *store, char **arguments)
{
    kms_alias_info alias;
    uint32_t version;

    if (!ok(kms_describe_alias(store, arguments[0], &alias)) ||
        !ok(kms_create_key_version(store, alias.key_id, &version))) {
        return false;
    }
    printf("version %u of key %s is the primary one\n", version, alias.key_id);
    return true;
}

/* --- commands ----------------------------------------------------------------------------------- */

static const struct command {
    const char *name;
    /* Arguments that it needs, and whether the first is an alias, which is made if it is not there. */
    int arguments;
    bool of_alias;
    bool (*run)(kms_store *store, char **arguments);
} commands[] = {
    {"encrypt", 3, true, encrypt}, {"decrypt", 2, false, decrypt}, {"seal", 1, true, seal},
    {"range", 3, false, range},    {"show", 1, false, show},       {"rewrap", 2, true, rewrap},
    {"rotate", 1, true, rotate},
};

static kms_store *open_store(const char *path)
{
    const char *passphrase = getenv("PASSPHRASE");
    kms_backend *engine = NULL;
    kms_store *store = NULL;
    kms_root *root = NULL;

    if (passphrase == NULL) {
        fprintf(stderr, "PASSPHRASE is not set\n");
        return NULL;
    }
    if (!ok(kms_lmdb_backend(&engine, path, NULL)) ||
        !ok(kms_root_passphrase(&root, passphrase, strlen(passphrase)))) {
        return NULL;
    }
    return ok(kms_open(&store, engine, root, KMS_OPEN_CREATE, NULL)) ? store : NULL;
}

static bool run(const struct command *command, const char *path, char **arguments)
{
    char key_id[KMS_KEY_ID_SIZE];
    kms_store *store = open_store(path);
    bool done;

    if (store == NULL) {
        return false;
    }
    done = (!command->of_alias || ok(kms_ensure_alias(store, arguments[0], NULL, key_id))) &&
           command->run(store, arguments);
    kms_close(store);
    return done;
}

int main(int argc, char **argv)
{
    for (size_t i = 0; argc > 3 && i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(argv[2], commands[i].name) == 0 && argc - 3 >= commands[i].arguments) {
            return run(&commands[i], argv[1], argv + 3) ? 0 : 1;
        }
    }
    fprintf(stderr, "usage: encrypted_file STORE encrypt|decrypt|seal|range|show|rewrap|rotate "
                    "ARGUMENT...\n");
    return 2;
}
