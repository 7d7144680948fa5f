/*
 * A volume: encryption by another service that asked for a data key once, when the volume was made.
 *
 *   PASSPHRASE='...' volume STORE make VOLUME ALIAS BLOCKS   a volume of zero blocks
 *   PASSPHRASE='...' volume STORE write VOLUME BLOCK TEXT
 *   PASSPHRASE='...' volume STORE read VOLUME BLOCK
 *   PASSPHRASE='...' volume STORE show VOLUME                which key and version it is under
 *   PASSPHRASE='...' volume STORE copy VOLUME ALIAS          to a data key of another key
 *
 * A rotation of the key has no effect on a volume: its data key stays what it is. What has the same
 * effect is to change the configuration to a new key and to copy the data. `copy` makes a new volume
 * beside the old one, copies block after block, and takes the old one's place when it is whole. It can
 * be killed at any moment, and goes on where it was when it is called again.
 *
 * A volume is a file: a page with the header, then blocks of nonce | ciphertext | tag. The number of a
 * block is authenticated with it, so that blocks cannot change places.
 */
#include <kms/kms.h>

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK 4096
#define HEADER 4096
#define KEY_SIZE crypto_aead_xchacha20poly1305_ietf_KEYBYTES
#define NONCE_SIZE crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG_SIZE crypto_aead_xchacha20poly1305_ietf_ABYTES
#define SEALED (NONCE_SIZE + BLOCK + TAG_SIZE)
/* Blocks between two marks of how far a copy has come. */
#define BETWEEN_MARKS 64
#define BLOCKS_MAX 1000000

struct header {
    char magic[8];
    uint64_t blocks;
    /* How many of them are there: all but in a copy that is under way. */
    uint64_t done;
    unsigned char blob[KMS_CIPHERTEXT_SIZE(KEY_SIZE)];
};

struct volume {
    const char *path;
    int fd;
    struct header header;
    kms_secret *key;
};

static const char magic[8] = "volume1";

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

static void close_volume(struct volume *v)
{
    if (v->fd >= 0) {
        close(v->fd);
    }
    kms_secret_free(v->key);
    v->fd = -1;
    v->key = NULL;
}

static bool write_header(const struct volume *v)
{
    unsigned char page[HEADER] = {0};

    memcpy(page, &v->header, sizeof v->header);
    return (pwrite(v->fd, page, sizeof page, 0) == HEADER && fsync(v->fd) == 0) ||
           complain(v->path);
}

static off_t place_of(uint64_t block)
{
    return (off_t)(HEADER + block * SEALED);
}

static bool write_block(const struct volume *v, uint64_t block, const unsigned char *plain)
{
    unsigned char sealed[SEALED];

    randombytes_buf(sealed, NONCE_SIZE);
    crypto_aead_xchacha20poly1305_ietf_encrypt(sealed + NONCE_SIZE, NULL, plain, BLOCK,
                                               (const unsigned char *)&block, sizeof block, NULL,
                                               sealed, v->key->data);
    return pwrite(v->fd, sealed, SEALED, place_of(block)) == SEALED || complain(v->path);
}

static bool read_block(const struct volume *v, uint64_t block, unsigned char *plain)
{
    unsigned char sealed[SEALED];

    if (pread(v->fd, sealed, SEALED, place_of(block)) != SEALED) {
        fprintf(stderr, "%s: block %llu is not there\n", v->path, (unsigned long long)block);
        return false;
    }
    if (crypto_aead_xchacha20poly1305_ietf_decrypt(
            plain, NULL, NULL, sealed + NONCE_SIZE, SEALED - NONCE_SIZE,
            (const unsigned char *)&block, sizeof block, sealed, v->key->data) != 0) {
        fprintf(stderr, "%s: block %llu was altered\n", v->path, (unsigned long long)block);
        return false;
    }
    return true;
}

/* An empty file with a header: the one moment in which the service asks for a data key. */
static bool create_volume(kms_store *store, const char *path, const char *alias, uint64_t blocks,
                          struct volume *v)
{
    size_t blob_len = 0;

    *v = (struct volume){.path = path, .fd = -1, .header.blocks = blocks};
    memcpy(v->header.magic, magic, sizeof magic);
    if (!ok(kms_generate_data_key_locked(store, alias, NULL, KEY_SIZE, &v->key, v->header.blob,
                                         sizeof v->header.blob, &blob_len))) {
        return false;
    }
    v->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    return v->fd >= 0 ? write_header(v) : complain(path);
}

static bool open_volume(kms_store *store, const char *path, struct volume *v)
{
    *v = (struct volume){.path = path, .fd = open(path, O_RDWR | O_CLOEXEC)};
    if (v->fd < 0) {
        return complain(path);
    }
    if (pread(v->fd, &v->header, sizeof v->header, 0) != (ssize_t)sizeof v->header ||
        memcmp(v->header.magic, magic, sizeof magic) != 0 || v->header.blocks > BLOCKS_MAX) {
        fprintf(stderr, "%s: this is no volume\n", path);
        return false;
    }
    /* No key is named: the blob says which it is. */
    return ok(kms_decrypt_data_key(store, NULL, v->header.blob, sizeof v->header.blob, &v->key)) &&
           v->key->size == KEY_SIZE;
}

static bool make(kms_store *store, const char *path, const char *alias, uint64_t blocks)
{
    static const unsigned char zero[BLOCK];
    struct volume v;
    bool done = create_volume(store, path, alias, blocks, &v);

    for (uint64_t i = 0; done && i < blocks; i++) {
        done = write_block(&v, i, zero);
    }
    v.header.done = blocks;
    done = done && write_header(&v);
    close_volume(&v);
    return done;
}

static bool write_text(kms_store *store, const char *path, uint64_t block, const char *text)
{
    unsigned char plain[BLOCK] = {0};
    struct volume v;
    bool done = open_volume(store, path, &v);

    snprintf((char *)plain, sizeof plain, "%s", text);
    done = done && block < v.header.blocks && write_block(&v, block, plain);
    close_volume(&v);
    return done;
}

static bool read_text(kms_store *store, const char *path, uint64_t block)
{
    unsigned char plain[BLOCK];
    struct volume v;
    bool done =
        open_volume(store, path, &v) && block < v.header.blocks && read_block(&v, block, plain);

    if (done) {
        printf("%.*s\n", BLOCK, (const char *)plain);
    }
    close_volume(&v);
    return done;
}

static bool show(kms_store *store, const char *path)
{
    struct volume v;
    kms_blob_info info;
    bool done = open_volume(store, path, &v) &&
                ok(kms_inspect_blob(v.header.blob, sizeof v.header.blob, &info));

    if (done) {
        printf("%s: %llu blocks, under version %u of key %s\n", path,
               (unsigned long long)v.header.blocks, info.key_version, info.key_id);
    }
    close_volume(&v);
    return done;
}

/* What was copied is on disk before the mark says so. */
static bool mark(struct volume *to, uint64_t done)
{
    if (fsync(to->fd) != 0) {
        return complain(to->path);
    }
    to->header.done = done;
    fprintf(stderr, "%llu of %llu blocks copied\n", (unsigned long long)done,
            (unsigned long long)to->header.blocks);
    return write_header(to);
}

static bool copy_blocks(const struct volume *from, struct volume *to)
{
    unsigned char plain[BLOCK];
    bool done = true;

    for (uint64_t i = to->header.done; done && i < from->header.blocks; i++) {
        done = read_block(from, i, plain) && write_block(to, i, plain);
        if (done && (i + 1) % BETWEEN_MARKS == 0) {
            done = mark(to, i + 1);
        }
    }
    sodium_memzero(plain, sizeof plain);
    return done && mark(to, from->header.blocks);
}

/* The copy of an earlier call goes on, if there is one. */
static bool open_copy(kms_store *store, const char *path, const char *alias,
                      const struct volume *from, struct volume *to)
{
    if (access(path, F_OK) != 0) {
        return create_volume(store, path, alias, from->header.blocks, to);
    }
    if (!open_volume(store, path, to)) {
        return false;
    }
    if (to->header.blocks == from->header.blocks) {
        return true;
    }
    fprintf(stderr, "%s: a copy of another volume is in the way\n", path);
    return false;
}

/* Nobody writes to the old volume meanwhile: the service has stopped it. */
static bool copy(kms_store *store, const char *path, const char *alias)
{
    struct volume from, to = {.fd = -1};
    char copy_path[4096];
    bool done = open_volume(store, path, &from);

    snprintf(copy_path, sizeof copy_path, "%s-copy", path);
    done = done && open_copy(store, copy_path, alias, &from, &to) && copy_blocks(&from, &to);
    if (done && rename(copy_path, path) != 0) {
        done = complain(path);
    }
    close_volume(&from);
    close_volume(&to);
    return done;
}

static bool open_store(const char *path, const char *passphrase, kms_store **store)
{
    kms_open_options options = KMS_OPEN_OPTIONS_INIT;
    kms_backend *engine = NULL;
    kms_root *root = NULL;

    options.strength = KMS_STRENGTH_INTERACTIVE;
    if (!ok(kms_lmdb_backend(&engine, path, NULL))) {
        return false;
    }
    if (!ok(kms_root_passphrase(&root, passphrase, strlen(passphrase)))) {
        kms_backend_free(engine);
        return false;
    }
    return ok(kms_open(store, engine, root, KMS_OPEN_CREATE, &options));
}

static bool run(kms_store *store, int argc, char **argv)
{
    const char *command = argv[2], *path = argv[3];
    uint64_t number =
        argc > 4 ? strtoull(argv[argc == 6 && strcmp(command, "make") == 0 ? 5 : 4], NULL, 10) : 0;

    if (argc == 6 && strcmp(command, "make") == 0 && number <= BLOCKS_MAX) {
        return ok(kms_ensure_alias(store, argv[4], NULL, NULL)) &&
               make(store, path, argv[4], number);
    }
    if (argc == 6 && strcmp(command, "write") == 0) {
        return write_text(store, path, number, argv[5]);
    }
    if (argc == 5 && strcmp(command, "read") == 0) {
        return read_text(store, path, number);
    }
    if (argc == 4 && strcmp(command, "show") == 0) {
        return show(store, path);
    }
    if (argc == 5 && strcmp(command, "copy") == 0) {
        return ok(kms_ensure_alias(store, argv[4], NULL, NULL)) && copy(store, path, argv[4]);
    }
    fprintf(stderr, "make, write, read, show or copy: see the head of this program's source\n");
    return false;
}

int main(int argc, char **argv)
{
    const char *passphrase = getenv("PASSPHRASE");
    kms_store *store = NULL;
    bool done;

    if (argc < 4 || passphrase == NULL || sodium_init() < 0) {
        fprintf(stderr, "usage: PASSPHRASE='...' %s STORE COMMAND VOLUME ...\n", argv[0]);
        return 2;
    }
    done = open_store(argv[1], passphrase, &store) && run(store, argc, argv);
    kms_close(store);
    return !done;
}
