#include "kept_keys.h"
#include "base/fork.h"
#include "crypto/aes256gcm.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

const void *kept_keys_of_thread(void)
{
    const uint8_t suite_key[KMS__AEAD_KEY_SIZE] = {1}, nothing[KMS__AEAD_TAG_SIZE] = {0};
    const uint64_t owner = kms__message_keys_owner();
    const kept_nonce nonce = {0};
    kms__thread *thread = kms__thread_self();
    kms__message_key key;

    if (!kms__message_key_of_nonce(thread, owner, suite_key, nonce, &key))
        return NULL;
    ck_assert_int_eq(kms__message_key_open(&key, nonce, (kms_slice){NULL, 0},
                                           (kms_slice){nothing, sizeof nothing}, NULL),
                     KMS_ERR_INVALID_CIPHERTEXT);
    kms__message_keys_forget(owner);
    return thread->attached;
}

bool kept_keys_skip(void)
{
    ck_assert_int_eq(kms__fork_init(), KMS_OK);
    if (!kms__suite_available(KMS_SUITE_AES_256_GCM))
        puts("SKIP: message keys that are kept: this build has no suite 2");
    else if (kept_keys_of_thread() == NULL)
        puts("SKIP: message keys that are kept: no memory can be locked here");
    else
        return false;
    return true;
}

bool kept_keys_hold(const void *places, const uint8_t *suite_key, const kept_nonce nonce)
{
    uint8_t message_key[KMS__AEAD_KEY_SIZE];

    kms__suite_2_message_key(suite_key, nonce, message_key);
    return memmem(places, KMS__MESSAGE_KEYS_SIZE, message_key, 16) != NULL ||
           memmem(places, KMS__MESSAGE_KEYS_SIZE, message_key + 16, 16) != NULL;
}

bool kept_keys_are_wiped(const void *places)
{
    return sodium_is_zero((const uint8_t *)places + KMS__MESSAGE_KEYS_SECRETS_AT,
                          KMS__MESSAGE_KEYS_SIZE - KMS__MESSAGE_KEYS_SECRETS_AT);
}
