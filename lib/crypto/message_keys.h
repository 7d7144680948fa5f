/* Message keys of suite 2 that serve more than one message, in locked memory: AES-256-GCM keys, and
 * beside each what libsodium expands it to. A thread seals a run of messages under one, and blobs that
 * come back find it again. docs/design.md, section 6, says why that is safe and how long a run may be.
 *
 * Each thread has places of its own for them, which no other thread uses. A key has an owner: the opened
 * version from whose suite key it follows. Only who has the owner pinned may take it, and it is wiped no
 * later than the owner's own keys. Nobody waits: where a key is not to be had, the caller derives its own
 * as for a single message. */
#ifndef KMS__CRYPTO_MESSAGE_KEYS_H
#define KMS__CRYPTO_MESSAGE_KEYS_H

#include "base/thread.h"
#include "crypto/aead.h"

/* A thread's places: six pages. */
#define KMS__MESSAGE_KEYS_SIZE 23104
/* What that locks, with libsodium's page before it, where a page has 4 KiB. */
#define KMS__MESSAGE_KEYS_LOCKED 28672
/* Where the keys begin: nothing before it is secret. */
#define KMS__MESSAGE_KEYS_SECRETS_AT 1344

/* The longest plaintext under a key that is kept: 338 messages of a run are 2^20.4 blocks then, and two
 * of so many are equal with a probability of 2^-88. Of what is longer, deriving the key is no part that
 * counts. */
#define KMS__MESSAGE_KEY_LONGEST 65536

typedef struct kms__message_keys kms__message_keys;

/* A key that a call has taken, until it has sealed or opened. */
typedef struct kms__message_key {
    kms__message_keys *keys;
    size_t at;
    uint64_t owner;
} kms__message_key;

/* A number for an owner: no other of this process has it, and it is not 0. */
uint64_t kms__message_keys_owner(void);

/* Wipes every key, in any thread's places, of an owner that nobody has pinned any more; one that its
 * thread has just begun to overwrite is wiped by that thread. 0 is no owner, and ignored. */
void kms__message_keys_forget(uint64_t owner);

static inline bool kms__message_key_serves(size_t plain_len)
{
    return plain_len <= KMS__MESSAGE_KEY_LONGEST;
}

/* Takes the thread's run under an owner, or begins one, and writes the next message's nonce. false: no
 * key is to be had, and nonce is undefined. */
bool kms__message_key_of_run(kms__thread *thread, uint64_t owner, const uint8_t *suite_key,
                             uint8_t nonce[KMS__AEAD_NONCE_SIZE], kms__message_key *key);

/* Takes the key of a message that was sealed under this nonce; false: none is to be had. */
bool kms__message_key_of_nonce(kms__thread *thread, uint64_t owner, const uint8_t *suite_key,
                               const uint8_t nonce[KMS__AEAD_NONCE_SIZE], kms__message_key *key);

/* Under a key that was taken, which they put back. As kms__aead_seal() and kms__aead_open(), but
 * KMS_ERR_FORKED where a signal handler forked meanwhile and this is the child, and
 * KMS_ERR_INVALID_CIPHERTEXT is not recorded. */
kms_status kms__message_key_seal(const kms__message_key *key,
                                 const uint8_t nonce[KMS__AEAD_NONCE_SIZE], kms_slice associated,
                                 kms_slice plain, uint8_t *out);
kms_status kms__message_key_open(const kms__message_key *key,
                                 const uint8_t nonce[KMS__AEAD_NONCE_SIZE], kms_slice associated,
                                 kms_slice sealed, uint8_t *out);

#endif
