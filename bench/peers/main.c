/* make bench-peers: what libkms costs, beside what a user would take instead. */
#include "fail.h"
#include "messages.h"
#include "peer.h"
#include "report.h"
#include "stores.h"

#include <sodium.h>
#include <stdio.h>

#define SUITES 2

static const peer *const peers[] = {&peer_openssl, &peer_softhsm2, &peer_libmongocrypt,
                                    &peer_pgcrypto};
#define PEERS (sizeof peers / sizeof peers[0])

static const char *const aliases[SUITES] = {"alias/bench/suite-1", "alias/bench/suite-2"};
static const char *const suite_names[SUITES] = {"libkms, suite 1 (XChaCha20-Poly1305)",
                                                "libkms, suite 2 (AES-256-GCM)"};

/* A store that a second process has open too, and the peers that are there. */
typedef struct scene {
    kms_store *store;
    pid_t holder;
    const peer *there[PEERS];
    size_t count;
} scene;

static void begin_store(scene *in)
{
    const char *path = stores_path(FAST, "peers.kms");
    char id[KMS_KEY_ID_SIZE];

    in->store = stores_open(path, 0);
    stores_add_key(in->store, KMS_SUITE_XCHACHA20_POLY1305, aliases[0], id);
    stores_add_key(in->store, KMS_SUITE_AES_256_GCM, aliases[1], id);
    in->holder = stores_hold(path);
}

static void begin_peers(scene *in, const options *all)
{
    for (size_t i = 0; i < PEERS; i++) {
        const char *why;

        if (!options_want(all, peers[i]->name))
            continue;
        why = peers[i]->begin();
        if (why == NULL)
            in->there[in->count++] = peers[i];
        else
            report_note(peers[i]->name, "left out: %s", why);
    }
}

static void end(scene *in)
{
    process_end(in->holder);
    kms_close(in->store);
}

/* Each peer beside both suites; these are the first rows. */
static void report(group *of, size_t len, const options *all)
{
    /* A slice must be long enough for a statement over many rows. */
    pace at = options_pace(all, 4, 101);

    group_measure(of, at);
    report_group(of, (about){.bytes = len});
    for (size_t i = SUITES; i < of->count; i++)
        for (unsigned suite = 1; suite <= SUITES; suite++)
            (void)report_ratio(of, &of->rows[i], &of->rows[suite - 1],
                               (about){.suite = suite, .bytes = len});
    group_free(of);
}

static group *new_group(const char *section, watch by, const char *verb, size_t len)
{
    char title[NAME_SIZE];

    snprintf(title, sizeof title, "%s, %zu B", verb, len);
    return group_new(section, by, title);
}

static void add_library(const scene *in, group *encrypt, group *decrypt, size_t len,
                        messages *made[SUITES])
{
    for (size_t i = 0; i < SUITES; i++) {
        made[i] = messages_of(in->store, aliases[i], len);
        (void)group_add(encrypt, run_encrypt, made[i], len, "%s", suite_names[i]);
        (void)group_add(decrypt, run_decrypt, made[i], len, "%s", suite_names[i]);
    }
}

/* Adds one peer's rows of one kind, if it has any. */
static void add_peer(const peer *of, watch by, group *encrypt, group *decrypt, size_t len)
{
    if (by == THREAD_TIME)
        of->add(encrypt, decrypt, len);
    else if (of->add_waiting != NULL)
        of->add_waiting(encrypt, decrypt, len);
}

static void measure(const options *all, const scene *in, watch by, size_t len)
{
    const char *section = by == THREAD_TIME ? "peers" : "statements";
    group *encrypt = new_group(section, by, "encrypt", len);
    group *decrypt = new_group(section, by, "decrypt", len);
    messages *made[SUITES];

    add_library(in, encrypt, decrypt, len, made);
    for (size_t i = 0; i < in->count; i++)
        add_peer(in->there[i], by, encrypt, decrypt, len);
    if (encrypt->count > SUITES) {
        report(encrypt, len, all);
        report(decrypt, len, all);
    } else {
        group_free(encrypt);
        group_free(decrypt);
    }
    for (size_t i = 0; i < SUITES; i++)
        messages_free(made[i]);
    for (size_t i = 0; i < in->count; i++)
        in->there[i]->drop();
}

int main(int argc, char **argv)
{
    static const size_t sizes[] = {16, 64, 1024, 16384};
    options all =
        options_parse(argc, argv,
                      "Measures libkms against what a user would take instead, in one run. "
                      "Sections: openssl, softhsm2, libmongocrypt, pgcrypto.");
    scene in = {0};

    must(sodium_init() >= 0, "libsodium");
    stores_begin(all.fast_directory, all.fast_directory);
    report_begin(&all);
    begin_peers(&in, &all);
    begin_store(&in);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        if (!all.quick || i % 2 == 1) {
            measure(&all, &in, THREAD_TIME, sizes[i]);
            measure(&all, &in, WALL_TIME, sizes[i]);
        }
    end(&in);
    report_end(&all);
    return 0;
}
