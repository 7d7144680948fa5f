/*
 * A peer: what a user would take instead of libkms. Each has a file. It encrypts and decrypts the same
 * messages, without associated data of the user's, and with a fresh random nonce each. Where a peer's
 * headers or its programs are missing, it is left out, and says so in a sentence.
 */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include "rows.h"

typedef struct peer {
    /* As the option --only has it. */
    const char *name;
    /* Makes it ready, and gives NULL; or the sentence why it is left out. */
    const char *(*begin)(void);
    /* Adds rows for messages of so many bytes; both groups are by the thread's time. */
    void (*add)(group *encrypt, group *decrypt, size_t len);
    /* The same for rows that wait for another process, by the wall; NULL: it has none. */
    void (*add_waiting)(group *encrypt, group *decrypt, size_t len);
    /* Frees what the rows added so far have used. */
    void (*drop)(void);
} peer;

extern const peer peer_openssl, peer_softhsm2, peer_libmongocrypt, peer_pgcrypto;

#endif
