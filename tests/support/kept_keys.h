/* Looking for message keys in the places where threads keep them. */
#ifndef KMS_TESTS_KEPT_KEYS_H
#define KMS_TESTS_KEPT_KEYS_H

#include "crypto/message_keys.h"

#include <check.h>

typedef uint8_t kept_nonce[KMS__AEAD_NONCE_SIZE];

/* Whether this build or machine keeps no message keys of suite 2, told with its reason. */
bool kept_keys_skip(void);

/* The calling thread's places; NULL: it has none. */
const void *kept_keys_of_thread(void);

/* Whether either half of the key that this nonce makes of the suite key is there. */
bool kept_keys_hold(const void *places, const uint8_t *suite_key, const kept_nonce nonce);

/* Whether no key at all is there. */
bool kept_keys_are_wiped(const void *places);

#endif
