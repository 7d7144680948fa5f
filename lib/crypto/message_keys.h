/* Message keys of suite 2 that serve more than one message: libsodium's AES-256-GCM states, expanded,
 * in locked memory. A thread seals a run of messages under one, and blobs that come back find it
 * again. docs/design.md, section 6, says why that is safe and how long a run may be.
 *
 * A key has an owner: the opened version from whose suite key it follows. Only who has the owner
 * pinned may take it, and it is wiped no later than the owner's own keys. Nobody waits: a key that
 * another thread has is not to be had, and the caller derives its own as for a single message. */
#ifndef KMS__CRYPTO_MESSAGE_KEYS_H
#define KMS__CRYPTO_MESSAGE_KEYS_H

#include "base/thread.h"
#include "crypto/aead.h"

#define KMS__MESSAGE_KEYS_SIZE 27648

typedef struct kms__message_keys kms__message_keys;
typedef struct kms__message_key kms__message_key;

/* NULL where nothing can be kept: libsodium has no AES on this processor, or no memory can be had
 * or locked. Records nothing. */
kms__message_keys *kms__message_keys_open(void);

/* Wipes and frees them. No key may be taken. NULL is ignored. */
void kms__message_keys_close(kms__message_keys *keys);

/* Wipes every key of an owner that nobody has pinned any more: at once, or, where a thread has just
 * taken the place for another owner, as that thread puts it back. NULL is ignored. */
void kms__message_keys_forget(kms__message_keys *keys, uint64_t owner);

/* Whether a message is short enough for libsodium's AES-256-GCM to be the faster one. */
bool kms__message_key_serves(size_t plain_len);

/* Takes the thread's run under an owner, or begins one, and writes the next message's nonce. owner is
 * not 0. NULL: no key is to be had, and nonce is undefined. */
kms__message_key *kms__message_key_of_run(kms__message_keys *keys, uint64_t owner,
                                          kms__thread *thread, const uint8_t *suite_key,
                                          uint8_t nonce[KMS__AEAD_NONCE_SIZE]);

/* Takes the key of a message that was sealed under this nonce; NULL: none is to be had. */
kms__message_key *kms__message_key_of_nonce(kms__message_keys *keys, uint64_t owner,
                                            const uint8_t *suite_key,
                                            const uint8_t nonce[KMS__AEAD_NONCE_SIZE]);

/* Under a key that was taken, which they put back. As kms__aead_seal() and kms__aead_open(), but
 * KMS_ERR_FORKED where a signal handler forked meanwhile and this is the child, and
 * KMS_ERR_INVALID_CIPHERTEXT is not recorded. */
kms_status kms__message_key_seal(kms__message_key *key, const uint8_t nonce[KMS__AEAD_NONCE_SIZE],
                                 kms_slice associated, kms_slice plain, uint8_t *out);
kms_status kms__message_key_open(kms__message_key *key, const uint8_t nonce[KMS__AEAD_NONCE_SIZE],
                                 kms_slice associated, kms_slice sealed, uint8_t *out);

#endif
