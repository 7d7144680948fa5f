/*
 * Files that are encrypted before they are uploaded, and how they follow a rotation.
 *
 *   PASSPHRASE='...' encrypted_file STORE encrypt ALIAS FILE RESULT
 *   PASSPHRASE='...' encrypted_file STORE decrypt FILE RESULT
 *   PASSPHRASE='...' encrypted_file STORE seal ALIAS        a pipe, from stdin to stdout
 *   PASSPHRASE='...' encrypted_file STORE unseal            and back
 *   PASSPHRASE='...' encrypted_file STORE range FILE OFFSET LENGTH
 *   PASSPHRASE='...' encrypted_file STORE show FILE         which key and version it is under
 *   PASSPHRASE='...' encrypted_file STORE rewrap ALIAS FILE...
 *   PASSPHRASE='...' encrypted_file STORE rotate ALIAS
 *
 * `encrypt` and `seal` make the store and the alias, with a key, where they are not there.
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

/* What comes out is authentic and in its place; that it is all is known only when the stream has been
 * finished. So whoever reads this pipe waits for its status. */
static bool unseal(kms_store *store, char **arguments)
{
    unsigned char header[KMS_STREAM_HEADER_SIZE];
    kms_stream *stream = NULL;
    size_t len = fread(header, 1, sizeof header, stdin);
    bool unsealed;

    (void)arguments;
    if (ferror(stdin)) {
        return complain("stdin");
    }
    if (!ok(kms_stream_decrypt(store, &context, header, len, &stream))) {
        return false;
    }
    unsealed = push_stdin(stream);
    kms_stream_free(stream);
    return unsealed;
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

static bool parse(const char *text, uint64_t *number)
{
    char *end;

    errno = 0;
    *number = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || *text == '-') {
        fprintf(stderr, "'%s' is no number of bytes\n", text);
        return false;
    }
    return true;
}

static bool range(kms_store *store, char **arguments)
{
    kms_stream_reader *reader = NULL;
    uint64_t offset, len;
    kms_stream_io io;
    bool read_it;
    int fd;

    if (!parse(arguments[1], &offset) || !parse(arguments[2], &len)) {
        return false;
    }
    fd = open(arguments[0], O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return complain(arguments[0]);
    }
    kms_stream_io_of_fd(&io, fd);
    read_it =
        ok(kms_stream_reader_open(store, &context, &io, &reader)) && put_range(reader, offset, len);
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
    const char *name, *usage;
    /* How many there are, and whether there may be more. */
    int arguments;
    bool or_more;
    /* Makes the store, and the alias that is its first argument, if they are not there. */
    bool makes;
    bool (*run)(kms_store *store, char **arguments);
} commands[] = {
    {"encrypt", "ALIAS FILE RESULT", 3, false, true, encrypt},
    {"decrypt", "FILE RESULT", 2, false, false, decrypt},
    {"seal", "ALIAS <FILE >RESULT", 1, false, true, seal},
    {"unseal", "<FILE >RESULT", 0, false, false, unseal},
    {"range", "FILE OFFSET LENGTH", 3, false, false, range},
    {"show", "FILE", 1, false, false, show},
    {"rewrap", "ALIAS FILE...", 2, true, false, rewrap},
    {"rotate", "ALIAS", 1, false, false, rotate},
};

#define COMMANDS (sizeof commands / sizeof commands[0])

static kms_store *open_store(const char *path, uint32_t flags)
{
    const char *passphrase = getenv("PASSPHRASE");
    kms_backend *engine = NULL;
    kms_store *store = NULL;
    kms_root *root = NULL;

    if (passphrase == NULL) {
        fprintf(stderr, "PASSPHRASE is not set\n");
        return NULL;
    }
    if (!ok(kms_lmdb_backend(&engine, path, NULL))) {
        return NULL;
    }
    if (!ok(kms_root_passphrase(&root, passphrase, strlen(passphrase)))) {
        kms_backend_free(engine);
        return NULL;
    }
    return ok(kms_open(&store, engine, root, flags, NULL)) ? store : NULL;
}

static bool run(const struct command *command, const char *path, char **arguments)
{
    char key_id[KMS_KEY_ID_SIZE];
    kms_store *store = open_store(path, command->makes ? KMS_OPEN_CREATE : 0);
    bool done;

    if (store == NULL) {
        return false;
    }
    done = (!command->makes || ok(kms_ensure_alias(store, arguments[0], NULL, key_id))) &&
           command->run(store, arguments);
    kms_close(store);
    return done;
}

static bool is_meant(const struct command *command, int argc, char **argv)
{
    return strcmp(argv[2], command->name) == 0 &&
           (argc - 3 == command->arguments || (command->or_more && argc - 3 > command->arguments));
}

int main(int argc, char **argv)
{
    for (size_t i = 0; argc >= 3 && i < COMMANDS; i++) {
        if (is_meant(&commands[i], argc, argv)) {
            return run(&commands[i], argv[1], argv + 3) ? 0 : 1;
        }
    }
    for (size_t i = 0; i < COMMANDS; i++) {
        fprintf(stderr, "encrypted_file STORE %s %s\n", commands[i].name, commands[i].usage);
    }
    return 2;
}
