/*
 * A process that changes and uses a store at random, together with others of its kind, and keeps a
 * journal in memory that outlives it: what it is about to do, and then what was acknowledged.
 */
#ifndef KMS_TESTS_STORE_WORKER_H
#define KMS_TESTS_STORE_WORKER_H

#include <kms/kms.h>
#include <stdatomic.h>

#define KEYS_MAX 1200
#define ALIASES 6
#define CONTENDED 64
#define BLOBS_MAX 4000
#define PLAIN 16

#define SHARED_ALIAS "alias/shared"
#define SHARED_KEY_ALIAS "alias/shared-key"

typedef struct key_note {
    char id[KMS_KEY_ID_SIZE];
    uint32_t versions;
    bool disabled;
    /* The shared alias was moved to it: others use it, so it stays enabled. */
    bool is_shared;
} key_note;

typedef struct blob_note {
    uint8_t plain[PLAIN];
    uint8_t bytes[KMS_CIPHERTEXT_SIZE(PLAIN)];
} blob_note;

typedef enum intent {
    NONE,
    NEW_KEY,
    NEW_VERSION,
    SHARED_VERSION,
    ALIAS,
    STATE,
    SHARE,
    CONTEND
} intent;

#define NO_KEY (-1)

typedef struct journal {
    /* What was begun and not yet acknowledged, and of which key or alias. */
    _Atomic intent about_to;
    int about;
    int about_key;

    unsigned long changes;
    key_note keys[KEYS_MAX];
    int key_count;
    /* The key that each alias of the process points to, or NO_KEY. */
    int aliases[ALIASES];
    int last_shared;
    /* The key that it made each contended alias with, or NO_KEY. */
    int contended[CONTENDED];
    unsigned long shared_versions;
    uint8_t had_version[KMS_KEY_VERSIONS_MAX + 1];
    blob_note blobs[BLOBS_MAX];
    int blob_count;
    _Atomic unsigned long operations;
} journal;

typedef struct worker {
    journal *journal;
    kms_store *store;
    const char *path;
    unsigned number;
    unsigned long operations;
    uint64_t random;
    char shared_key[KMS_KEY_ID_SIZE];
} worker;

/* All workers of a store have the same root key. Makes the store if there is none. */
kms_store *worker_open_store(const char *path);

/* An empty journal. */
void worker_begin_journal(journal *j);

/* Works until its operations are done, in a process of its own; argument is a worker. A step that
 * goes wrong ends the process with a message. */
int worker_run(void *argument);

/* Names of the aliases: those of one worker, and those that all try to make. */
const char *worker_alias_name(unsigned worker_number, int alias);
const char *worker_contended_name(int number);

/* Opens a blob and compares its plaintext; KMS_ERR_CORRUPT if it is another one. */
kms_status worker_decrypt(kms_store *store, const blob_note *blob);

#endif
