/* A signal handler forks while a call runs, and the child returns into that call: there all keys are zero,
 * and nothing that was made of them may leave. The store's clock stands in for the handler, since a warm
 * call reads it before it uses a key. */
#include "crypto/chunk.h"
#include "support/api_fixture.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define LEN 64

static place here;
static kms_store *store;
static char ids[3][KMS_KEY_ID_SIZE];
static uint8_t plain[LEN], blob[KMS_CIPHERTEXT_SIZE(LEN)], indexed[LEN];
static const kms_context_pair pairs[] = {{"table", "customers"}};
static const kms_context context = {pairs, 1};

static bool armed, uses_the_library;
static pid_t child;
static kms_status foreign;

static int64_t forking_ms(void *data)
{
    uint8_t out[sizeof blob];
    size_t len;

    (void)data;
    if (armed) {
        armed = false;
        child = fork();
        /* Which takes a cell of the thread's again. */
        if (child == 0 && uses_the_library)
            foreign = kms_encrypt(store, ids[0], NULL, plain, LEN, out, sizeof out, &len);
    }
    return INT64_C(1800000000000);
}

/* Writes what it makes to out, sizeof blob bytes that were zero. */
typedef kms_status call(uint8_t *out);

static kms_status encrypt(uint8_t *out)
{
    size_t len;

    return kms_encrypt(store, ids[0], NULL, plain, LEN, out, sizeof blob, &len);
}

static kms_status encrypt_by_suite_2(uint8_t *out)
{
    size_t len;

    return kms_encrypt(store, ids[1], NULL, plain, LEN, out, sizeof blob, &len);
}

static kms_status encrypt_deterministic(uint8_t *out)
{
    size_t len;

    return kms_encrypt_deterministic(store, ids[2], &context, plain, LEN, out, sizeof blob, &len);
}

static kms_status encrypt_batch(uint8_t *out)
{
    kms_batch_item item = {.in = plain, .in_len = LEN, .out = out, .out_size = sizeof blob};
    kms_status st = kms_encrypt_batch(store, ids[0], &item, 1);

    return item.status != KMS_OK ? item.status : st;
}

static kms_status generate_data_key(uint8_t *out)
{
    size_t len;

    return kms_generate_data_key(store, ids[0], NULL, out, 32, out + 32, sizeof blob - 32, &len);
}

static kms_status decrypt(uint8_t *out)
{
    size_t len;

    return kms_decrypt(store, NULL, blob, sizeof blob, out, LEN, &len);
}

static kms_status re_encrypt(uint8_t *out)
{
    size_t len;

    return kms_re_encrypt(store, NULL, blob, sizeof blob, ids[1], NULL, out, sizeof blob, &len,
                          NULL);
}

static kms_status derive_key(uint8_t *out)
{
    return kms_derive_key(store, ids[0], 0, &context, out, 32, NULL);
}

static kms_status blind_index(uint8_t *out)
{
    kms_blind_tokens tokens = {0};
    kms_status st = kms_blind_index(store, ids[0], "customers.name", indexed, LEN, 128, &tokens);

    memcpy(out, tokens.token, sizeof tokens.token);
    return st;
}

static const struct {
    const char *name;
    call *call;
} calls[] = {
    {"kms_encrypt", encrypt},
    {"kms_encrypt, suite 2", encrypt_by_suite_2},
    {"kms_encrypt_deterministic", encrypt_deterministic},
    {"kms_encrypt_batch", encrypt_batch},
    {"kms_generate_data_key", generate_data_key},
    {"kms_decrypt", decrypt},
    {"kms_re_encrypt", re_encrypt},
    {"kms_derive_key", derive_key},
    {"kms_blind_index", blind_index},
};
#define CALLS (sizeof calls / sizeof *calls)

static void setup(void)
{
    static const kms_clock clock = {KMS_CLOCK_VERSION, NULL, forking_ms};
    kms_create_key_options deterministic = KMS_CREATE_KEY_OPTIONS_INIT;
    kms_open_options options = KMS_OPEN_OPTIONS_INIT;
    kms_suite second = KMS_SUITE_XCHACHA20_POLY1305;
    kms_store_info info = {.version = KMS_STORE_INFO_VERSION};

    options.clock = &clock;
    place_init(&here);
    fixture_ok(place_try_open(&here, &store, KMS_OPEN_CREATE, &options));
    fixture_ok(kms_get_store_info(store, &info));
    if (info.has_aes_256_gcm)
        second = KMS_SUITE_AES_256_GCM;
    fixture_create_key(store, ids[0]);
    fixture_create_key_of(store, second, ids[1]);
    deterministic.usage = KMS_KEY_USAGE_DETERMINISTIC;
    fixture_ok(kms_create_key(store, &deterministic, ids[2]));
    fixture_ok(encrypt(blob));
}

static void finish(void)
{
    kms_close(store);
    place_free(&here);
}

/* Once warm, and then with a fork in it. */
static void is_refused_in_the_child(size_t at)
{
    uint8_t out[sizeof blob] = {0};
    int state = -1;
    kms_status st;

    fixture_ok(calls[at].call(out));
    memset(out, 0, sizeof out);
    armed = true;
    st = calls[at].call(out);
    ck_assert(!armed);
    if (child == 0) {
        if (st != KMS_ERR_FORKED || !sodium_is_zero(out, sizeof out))
            fprintf(stderr, "%s: %s\n", calls[at].name, kms_status_name(st));
        _exit(st != KMS_ERR_FORKED || !sodium_is_zero(out, sizeof out));
    }
    fixture_ok(st);
    ck_assert_int_eq(waitpid(child, &state, 0), child);
    ck_assert_msg(WIFEXITED(state) && WEXITSTATUS(state) == 0, "%s", calls[at].name);
}

START_TEST(a_child_that_was_forked_amid_a_call_gets_nothing_of_it)
{
    setup();
    for (size_t i = 0; i < CALLS; i++)
        is_refused_in_the_child(i);
    uses_the_library = true;
    for (size_t i = 0; i < CALLS; i++)
        is_refused_in_the_child(i);
    finish();
}
END_TEST

/* The block that a stream's cipher lies in is zero in such a child. */
START_TEST(a_chunk_under_a_wiped_key_is_refused)
{
    static uint8_t out[KMS__CHUNK_SALT + LEN + KMS__AEAD_TAG_SIZE], opened[LEN];
    const kms__chunk_cipher wiped = {0};

    setup();
    memset(out, 1, sizeof out);
    fixture_is(kms__chunk_seal(&wiped, 0, (kms_slice){plain, LEN}, out), KMS_ERR_FORKED);
    ck_assert(sodium_is_zero(out, sizeof out));
    memset(out, 1, sizeof out);
    fixture_is(kms__chunk_open(&wiped, 0, (kms_slice){out, sizeof out}, opened), KMS_ERR_FORKED);
    ck_assert(sodium_is_zero(opened, sizeof opened));
    finish();
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {{a_child_that_was_forked_amid_a_call_gets_nothing_of_it, 0},
                                  {a_chunk_under_a_wiped_key_is_refused, 0}};

    return fixture_main("fork_amid", tests, sizeof tests / sizeof tests[0], 60);
}
