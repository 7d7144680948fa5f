/* Root keys: raw bytes, passphrases, and a provider of somebody else's. */
#include "support/api_fixture.h"

#include <dlfcn.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/* --- Argon2id, watched ---------------------------------------------------------------------- */

/* Stands before libsodium's: notes what it is asked for, and does the expensive ones cheaply. */
static struct {
    unsigned calls;
    unsigned long long passes;
    size_t memory;
    bool fails;
} watched;

int crypto_pwhash_argon2id(unsigned char *const out, unsigned long long outlen,
                           const char *const passwd, unsigned long long passwdlen,
                           const unsigned char *const salt, unsigned long long opslimit,
                           size_t memlimit, int alg)
{
    int (*real)(unsigned char *, unsigned long long, const char *, unsigned long long,
                const unsigned char *, unsigned long long, size_t, int);
    void *found = dlsym(RTLD_NEXT, "crypto_pwhash_argon2id");

    ck_assert_ptr_nonnull(found);
    memcpy(&real, &found, sizeof real);
    watched.calls++;
    watched.passes = opslimit;
    watched.memory = memlimit;
    if (watched.fails)
        return -1;
    if (memlimit > 65536 * 1024)
        memlimit = 8 * 1024;
    return real(out, outlen, passwd, passwdlen, salt, opslimit, memlimit, alg);
}

static place here;

static kms_status try_passphrase(const char *passphrase, size_t len, uint32_t flags,
                                 kms_strength strength, kms_store **store)
{
    kms_open_options options = KMS_OPEN_OPTIONS_INIT;
    kms_root *root;

    options.strength = strength;
    fixture_ok(kms_root_passphrase(&root, passphrase, len));
    return kms_open(store, place_engine(&here), root, flags, &options);
}

static void make_with_passphrase(const char *passphrase, size_t len)
{
    kms_store *store = NULL;

    fixture_ok(try_passphrase(passphrase, len, KMS_OPEN_CREATE, KMS_STRENGTH_INTERACTIVE, &store));
    kms_close(store);
}

/* --- raw ------------------------------------------------------------------------------------ */

START_TEST(a_raw_root_takes_32_bytes_that_are_not_all_zero)
{
    uint8_t key[KMS_ROOT_KEY_SIZE + 1] = {0};
    kms_root *root = (kms_root *)key;

    fixture_is(kms_root_raw(&root, key, KMS_ROOT_KEY_SIZE), KMS_ERR_INVALID_ARGUMENT);
    fixture_says("all zero");
    key[KMS_ROOT_KEY_SIZE - 1] = 1;
    fixture_is(kms_root_raw(&root, key, 0), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_root_raw(&root, key, KMS_ROOT_KEY_SIZE - 1), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_root_raw(&root, key, KMS_ROOT_KEY_SIZE + 1), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_root_raw(&root, NULL, KMS_ROOT_KEY_SIZE), KMS_ERR_INVALID_ARGUMENT);
    fixture_says("key is NULL");
    fixture_is(kms_root_raw(NULL, key, KMS_ROOT_KEY_SIZE), KMS_ERR_INVALID_ARGUMENT);
    fixture_says("root is NULL");
    ck_assert_ptr_eq(root, key);
    fixture_ok(kms_root_raw(&root, key, KMS_ROOT_KEY_SIZE));
    kms_root_free(root);
    kms_root_free(NULL);
}
END_TEST

START_TEST(a_raw_root_keeps_a_copy_of_its_own)
{
    uint8_t key[KMS_ROOT_KEY_SIZE];
    kms_store *store = NULL;
    kms_root *root;

    place_init(&here);
    memset(key, FIXTURE_ROOT_FILL, sizeof key);
    fixture_ok(kms_root_raw(&root, key, sizeof key));
    memset(key, 0, sizeof key);
    fixture_ok(kms_open(&store, place_engine(&here), root, KMS_OPEN_CREATE, NULL));
    kms_close(store);
    kms_close(place_open(&here));
    place_free(&here);
}
END_TEST

START_TEST(a_raw_slot_has_no_parameters)
{
    kms_root_request request = {.version = 1};
    kms_root *root = fixture_root(1);
    uint8_t key[KMS_ROOT_KEY_SIZE];

    fixture_is(root->ops->unlock(root, &request, key, 1, key), KMS_ERR_CORRUPT);
    fixture_ok(root->ops->unlock(root, &request, NULL, 0, key));
    kms_root_free(root);
}
END_TEST

/* --- passphrases ---------------------------------------------------------------------------- */

START_TEST(a_passphrase_has_1_to_1024_bytes)
{
    static const char text[KMS_PASSPHRASE_MAX + 1];
    kms_root *root = (kms_root *)&here;

    fixture_is(kms_root_passphrase(&root, text, 0), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_root_passphrase(&root, text, sizeof text), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_root_passphrase(&root, NULL, 5), KMS_ERR_INVALID_ARGUMENT);
    fixture_says("passphrase is NULL");
    fixture_is(kms_root_passphrase(NULL, text, 5), KMS_ERR_INVALID_ARGUMENT);
    fixture_says("root is NULL");
    ck_assert_ptr_eq(root, &here);
    fixture_ok(kms_root_passphrase(&root, text, 1));
    kms_root_free(root);
    fixture_ok(kms_root_passphrase(&root, text, KMS_PASSPHRASE_MAX));
    kms_root_free(root);
}
END_TEST

START_TEST(only_the_passphrase_itself_opens_the_store)
{
    static const char right[] = "a pass\0phrase";
    static const struct {
        const char *text;
        size_t len;
    } wrong[] = {
        {"a pass", 6},
        {"a pass\0phras", sizeof right - 2},
        {"a pass\0phrase", sizeof right},
        {"A pass\0phrase", sizeof right - 1},
    };
    kms_store *store = NULL;

    place_init(&here);
    make_with_passphrase(right, sizeof right - 1);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        fixture_is(try_passphrase(wrong[i].text, wrong[i].len, 0, KMS_STRENGTH_DEFAULT, &store),
                   KMS_ERR_WRONG_ROOT_KEY);
    ck_assert_ptr_null(store);
    fixture_ok(try_passphrase(right, sizeof right - 1, 0, KMS_STRENGTH_DEFAULT, &store));
    kms_close(store);
    fixture_is(place_try_open(&here, &store, 0, NULL), KMS_ERR_WRONG_ROOT_KEY);
    place_free(&here);
}
END_TEST

START_TEST(every_strength_costs_what_it_says_and_is_stored_with_the_store)
{
    static const struct {
        kms_strength strength;
        unsigned passes;
        size_t memory_mib;
    } strengths[] = {
        {KMS_STRENGTH_INTERACTIVE, 2, 64},
        {KMS_STRENGTH_MODERATE, 3, 256},
        {KMS_STRENGTH_DEFAULT, 3, 256},
        {KMS_STRENGTH_SENSITIVE, 4, 1024},
    };
    kms_store *store = NULL;

    place_init(&here);
    fixture_ok(try_passphrase("secret", 6, KMS_OPEN_CREATE, strengths[_i].strength, &store));
    kms_close(store);
    ck_assert_uint_eq(watched.calls, 1);
    ck_assert_uint_eq(watched.passes, strengths[_i].passes);
    ck_assert_uint_eq(watched.memory, strengths[_i].memory_mib << 20);
    /* Opening asks for what was stored, whatever the options say. */
    watched.passes = 0;
    watched.memory = 0;
    fixture_ok(try_passphrase("secret", 6, 0, KMS_STRENGTH_INTERACTIVE, &store));
    kms_close(store);
    ck_assert_uint_eq(watched.calls, 2);
    ck_assert_uint_eq(watched.passes, strengths[_i].passes);
    ck_assert_uint_eq(watched.memory, strengths[_i].memory_mib << 20);
    place_free(&here);
}
END_TEST

START_TEST(every_store_has_a_salt_of_its_own)
{
    kms_root_request request = {.version = 1, .strength = KMS_STRENGTH_INTERACTIVE};
    uint8_t one[KMS_ROOT_PARAMETERS_MAX], other[KMS_ROOT_PARAMETERS_MAX];
    uint8_t key[KMS_ROOT_KEY_SIZE], other_key[KMS_ROOT_KEY_SIZE];
    size_t len, other_len;
    kms_root *root;

    fixture_ok(kms_root_passphrase(&root, "secret", 6));
    fixture_ok(root->ops->make(root, &request, one, &len, key));
    fixture_ok(root->ops->make(root, &request, other, &other_len, other_key));
    ck_assert_uint_eq(len, other_len);
    ck_assert_mem_ne(one, other, len);
    ck_assert_mem_ne(key, other_key, sizeof key);
    fixture_ok(root->ops->unlock(root, &request, one, len, other_key));
    ck_assert_mem_eq(key, other_key, sizeof key);
    kms_root_free(root);
}
END_TEST

START_TEST(memory_that_cannot_be_had_is_told_as_such)
{
    kms_store *store = NULL;

    place_init(&here);
    watched.fails = true;
    fixture_is(try_passphrase("secret", 6, KMS_OPEN_CREATE, KMS_STRENGTH_SENSITIVE, &store),
               KMS_ERR_NO_MEMORY);
    fixture_says("1024 MiB");
    fixture_is(try_passphrase("secret", 6, 0, KMS_STRENGTH_SENSITIVE, &store), KMS_ERR_NOT_FOUND);
    place_free(&here);
}
END_TEST

/* Format (1), passes (4), memory in KiB (4), salt (16). */
#define PARAMETERS 25

static void set_u32(uint8_t *at, uint32_t value)
{
    for (int i = 3; i >= 0; i--, value >>= 8)
        at[i] = (uint8_t)value;
}

START_TEST(stored_parameters_out_of_bounds_are_refused_unused)
{
    static const struct {
        uint8_t format;
        uint32_t passes, memory_kib;
        size_t len;
        kms_status wanted;
    } cases[] = {
        {1, 1, 8, PARAMETERS, KMS_OK},
        {1, 16, 8, PARAMETERS, KMS_OK},
        {0, 1, 8, PARAMETERS, KMS_ERR_CORRUPT},
        {2, 1, 8, PARAMETERS, KMS_ERR_NEWER_FORMAT},
        {255, 1, 8, PARAMETERS, KMS_ERR_NEWER_FORMAT},
        {1, 0, 8, PARAMETERS, KMS_ERR_CORRUPT},
        {1, 17, 8, PARAMETERS, KMS_ERR_CORRUPT},
        {1, UINT32_MAX, 8, PARAMETERS, KMS_ERR_CORRUPT},
        {1, 1, 7, PARAMETERS, KMS_ERR_CORRUPT},
        {1, 1, 0, PARAMETERS, KMS_ERR_CORRUPT},
        {1, 1, 2097152, PARAMETERS, KMS_OK},
        {1, 1, 2097153, PARAMETERS, KMS_ERR_CORRUPT},
        {1, 1, UINT32_MAX, PARAMETERS, KMS_ERR_CORRUPT},
        {1, 1, 8, 0, KMS_ERR_CORRUPT},
        {1, 1, 8, 1, KMS_ERR_CORRUPT},
        {1, 1, 8, PARAMETERS - 1, KMS_ERR_CORRUPT},
        {1, 1, 8, PARAMETERS + 1, KMS_ERR_CORRUPT},
    };
    kms_root_request request = {.version = 1};
    uint8_t key[KMS_ROOT_KEY_SIZE];
    kms_root *root;

    fixture_ok(kms_root_passphrase(&root, "secret", 6));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t parameters[PARAMETERS + 1] = {cases[i].format};

        set_u32(parameters + 1, cases[i].passes);
        set_u32(parameters + 5, cases[i].memory_kib);
        watched.calls = 0;
        fixture_is(root->ops->unlock(root, &request, parameters, cases[i].len, key),
                   cases[i].wanted);
        ck_assert_uint_eq(watched.calls, cases[i].wanted == KMS_OK);
    }
    kms_root_free(root);
}
END_TEST

/* --- a provider of somebody else's ---------------------------------------------------------- */

static struct {
    kms_root base;
    /* How it behaves. */
    size_t parameters_len;
    kms_status answer;
    bool gives_zeros;
    bool is_silent;
    /* What it saw. */
    kms_root_request request;
    unsigned made, unlocked, closed;
    bool parameters_came_back;
    long open_txns;
} token;

static void token_note(const kms_root_request *request)
{
    token.request = *request;
    token.open_txns += atomic_load(&here.control.open_txns);
}

static kms_status token_answer(void)
{
    return token.is_silent ? token.answer
                           : kms_set_error(token.answer, "the token is not plugged in");
}

static kms_status token_make(kms_root *root, const kms_root_request *request, uint8_t *parameters,
                             size_t *parameters_len, uint8_t root_key[KMS_ROOT_KEY_SIZE])
{
    (void)root;
    token.made++;
    token_note(request);
    if (token.parameters_len <= KMS_ROOT_PARAMETERS_MAX)
        memset(parameters, 0x5a, token.parameters_len);
    *parameters_len = token.parameters_len;
    memset(root_key, token.gives_zeros ? 0 : 7, KMS_ROOT_KEY_SIZE);
    return token_answer();
}

static kms_status token_unlock(kms_root *root, const kms_root_request *request,
                               const uint8_t *parameters, size_t parameters_len,
                               uint8_t root_key[KMS_ROOT_KEY_SIZE])
{
    (void)root;
    token.unlocked++;
    token_note(request);
    token.parameters_came_back = parameters_len == token.parameters_len;
    for (size_t i = 0; i < parameters_len; i++)
        token.parameters_came_back &= parameters[i] == 0x5a;
    memset(root_key, token.gives_zeros ? 0 : 7, KMS_ROOT_KEY_SIZE);
    return token_answer();
}

static void token_close(kms_root *root)
{
    (void)root;
    token.closed++;
}

static kms_status open_with_token(uint32_t flags, kms_store **store)
{
    static const kms_root_ops ops = {KMS_ROOT_ABI, "smart-token", token_make, token_unlock,
                                     token_close};
    kms_open_options options = KMS_OPEN_OPTIONS_INIT;

    options.strength = KMS_STRENGTH_SENSITIVE;
    token.base.ops = &ops;
    return kms_open(store, place_engine(&here), &token.base, flags, &options);
}

START_TEST(a_provider_gets_its_parameters_back)
{
    static const size_t lens[] = {0, 1, 2047, KMS_ROOT_PARAMETERS_MAX};
    kms_store_info info = {.version = KMS_STORE_INFO_VERSION};
    kms_store *store = NULL;

    place_init(&here);
    token.parameters_len = lens[_i];
    fixture_ok(open_with_token(KMS_OPEN_CREATE, &store));
    ck_assert_uint_eq(token.made, 1);
    ck_assert_uint_eq(token.request.version, 1);
    ck_assert_int_eq(token.request.strength, KMS_STRENGTH_SENSITIVE);
    fixture_ok(kms_get_store_info(store, &info));
    ck_assert_mem_eq(token.request.store_id, info.store_id, KMS_STORE_ID_SIZE);
    kms_close(store);
    memset(&token.request, 0, sizeof token.request);
    fixture_ok(open_with_token(KMS_OPEN_CREATE, &store));
    ck_assert_uint_eq(token.unlocked, 1);
    ck_assert(token.parameters_came_back);
    ck_assert_mem_eq(token.request.store_id, info.store_id, KMS_STORE_ID_SIZE);
    ck_assert_uint_eq(token.made, 1);
    ck_assert_uint_eq(token.closed, 2);
    ck_assert_int_eq(token.open_txns, 0);
    kms_close(store);
    place_free(&here);
}
END_TEST

START_TEST(a_provider_cannot_store_more_than_2048_bytes)
{
    kms_store *store = NULL;

    place_init(&here);
    token.parameters_len = KMS_ROOT_PARAMETERS_MAX + 1;
    fixture_is(open_with_token(KMS_OPEN_CREATE, &store), KMS_ERR_INVALID_ARGUMENT);
    ck_assert_uint_eq(token.closed, 1);
    fixture_is(open_with_token(0, &store), KMS_ERR_NOT_FOUND);
    place_free(&here);
}
END_TEST

START_TEST(a_providers_own_status_and_sentence_are_passed_on)
{
    kms_store *store = NULL;

    place_init(&here);
    token.answer = KMS_ERR_UNSUPPORTED;
    fixture_is(open_with_token(KMS_OPEN_CREATE, &store), KMS_ERR_UNSUPPORTED);
    fixture_says("not plugged in");
    token.answer = KMS_OK;
    fixture_ok(open_with_token(KMS_OPEN_CREATE, &store));
    kms_close(store);
    token.answer = KMS_ERR_STORAGE;
    fixture_is(open_with_token(0, &store), KMS_ERR_STORAGE);
    fixture_says("not plugged in");
    ck_assert_uint_eq(token.closed, 3);
    fixture_is(place_try_open(&here, &store, 0, NULL), KMS_ERR_WRONG_ROOT_KEY);
    place_free(&here);
}
END_TEST

START_TEST(a_provider_that_does_not_say_why_it_failed_is_named)
{
    static const struct {
        kms_status answer, wanted;
    } cases[] = {
        {KMS_ERR_UNSUPPORTED, KMS_ERR_UNSUPPORTED},
        /* As that of the message before. */
        {KMS_ERR_FULL, KMS_ERR_FULL},
        {(kms_status)4711, KMS_ERR_STORAGE},
        {(kms_status)-1, KMS_ERR_STORAGE},
    };
    kms_store *store = NULL;

    place_init(&here);
    token.is_silent = true;
    for (size_t i = 0; i < 2 * sizeof cases / sizeof *cases; i++) {
        uint32_t flags = i % 2 == 0 ? KMS_OPEN_CREATE : 0;

        token.answer = KMS_OK;
        fixture_ok(open_with_token(KMS_OPEN_CREATE, &store));
        kms_close(store);
        if (flags == KMS_OPEN_CREATE) {
            place_free(&here);
            place_init(&here);
        }
        token.answer = cases[i / 2].answer;
        (void)kms_set_error(KMS_ERR_FULL, "an older failure");
        fixture_is(open_with_token(flags, &store), cases[i / 2].wanted);
        fixture_says("root provider \"smart-token\" ");
    }
    place_free(&here);
}
END_TEST

START_TEST(a_root_key_of_zeros_is_refused_from_any_provider)
{
    kms_store *store = NULL;

    place_init(&here);
    token.gives_zeros = true;
    fixture_is(open_with_token(KMS_OPEN_CREATE, &store), KMS_ERR_INVALID_ARGUMENT);
    fixture_says("\"smart-token\" gave a root key that is all zero");
    fixture_is(open_with_token(0, &store), KMS_ERR_NOT_FOUND);
    token.gives_zeros = false;
    fixture_ok(open_with_token(KMS_OPEN_CREATE, &store));
    kms_close(store);
    token.gives_zeros = true;
    fixture_is(open_with_token(0, &store), KMS_ERR_INVALID_ARGUMENT);
    fixture_says("all zero");
    place_free(&here);
}
END_TEST

START_TEST(altered_parameters_are_noticed_even_if_the_provider_does_not)
{
    kms_store *store = NULL;
    stolen_set set;
    stolen boot;

    place_init(&here);
    token.parameters_len = 40;
    fixture_ok(open_with_token(KMS_OPEN_CREATE, &store));
    kms_close(store);
    set = place_steal(&here);
    boot = *stolen_find(&set, 'B');
    for (size_t at = 26 + 2 + strlen("smart-token") + 2; boot.value[at] == 0x5a; at++) {
        boot.value[at] ^= 1;
        place_plant_record(&here, &boot);
        fixture_is(open_with_token(0, &store), KMS_ERR_CORRUPT);
        boot.value[at] ^= 1;
    }
    ck_assert_uint_ge(token.unlocked, 40);
    stolen_free(&set);
    place_free(&here);
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {a_raw_root_takes_32_bytes_that_are_not_all_zero, 0},
        {a_raw_root_keeps_a_copy_of_its_own, 0},
        {a_raw_slot_has_no_parameters, 0},
        {a_passphrase_has_1_to_1024_bytes, 0},
        {only_the_passphrase_itself_opens_the_store, 0},
        {every_strength_costs_what_it_says_and_is_stored_with_the_store, 4},
        {every_store_has_a_salt_of_its_own, 0},
        {memory_that_cannot_be_had_is_told_as_such, 0},
        {stored_parameters_out_of_bounds_are_refused_unused, 0},
        {a_provider_gets_its_parameters_back, 4},
        {a_provider_cannot_store_more_than_2048_bytes, 0},
        {a_providers_own_status_and_sentence_are_passed_on, 0},
        {a_provider_that_does_not_say_why_it_failed_is_named, 0},
        {a_root_key_of_zeros_is_refused_from_any_provider, 0},
        {altered_parameters_are_noticed_even_if_the_provider_does_not, 0},
    };

    return fixture_main("root", tests, sizeof tests / sizeof *tests, 120);
}
