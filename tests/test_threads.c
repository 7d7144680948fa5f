/* Many threads on one store, with a cache that is far too small: never a wrong result, and never
 * an old one after a change was acknowledged. */
#include "support/api_fixture.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define READERS 5
#define KEYS 500
/* Key 0 is rotated, key 1 is switched off and on; alias/moving goes from key 2 to the last. */
#define ROTATED 0
#define SWITCHED 1
#define FIRST_MOVED_TO 2

static place here;
static kms_store *store;
static char keys[KEYS][KMS_KEY_ID_SIZE];
/* A blob of every key, in which its number stands. */
static uint8_t blobs[KEYS][KMS_CIPHERTEXT_SIZE(4)];

/* What was acknowledged to whoever changed it. */
static atomic_uint rotated_to;
static atomic_uint moved_to;
/* Even: key SWITCHED is enabled and nobody is at it; odd: somebody is, or it is disabled. */
static atomic_uint switchings;
/* Whether it is disabled for certain. */
static atomic_uint disabled_since;
static atomic_bool stop;
static atomic_ulong operations;
static atomic_ulong refusals;

static _Thread_local char wrong[512];

#define must(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            snprintf(wrong, sizeof wrong, "%s (%.150s)", #condition, kms_error_message());         \
            return false;                                                                          \
        }                                                                                          \
    } while (0)

/* --- the readers ------------------------------------------------------------------------------- */

static bool decrypt_any(unsigned number)
{
    char plain[4];
    size_t len = 0;
    kms_key_used used;

    if (number == SWITCHED)
        return true;
    must(kms_decrypt_expecting(store, keys[number], NULL, blobs[number], sizeof blobs[number],
                               plain, sizeof plain, &len, &used) == KMS_OK);
    must(len == 4 && (unsigned)atoi(plain) == number);
    must(strcmp(used.key_id, keys[number]) == 0);
    return true;
}

static bool round_trip(unsigned number)
{
    uint8_t blob[KMS_CIPHERTEXT_SIZE(8)];
    char plain[8];
    size_t len;
    kms_blob_info info;

    if (number == SWITCHED)
        return true;
    must(kms_encrypt(store, keys[number], NULL, "pattern", 8, blob, sizeof blob, &len) == KMS_OK);
    must(kms_inspect_blob(blob, len, &info) == KMS_OK && strcmp(info.key_id, keys[number]) == 0);
    must(kms_decrypt(store, NULL, blob, sizeof blob, plain, sizeof plain, &len) == KMS_OK);
    must(strcmp(plain, "pattern") == 0);
    return true;
}

static bool version_is_fresh(void)
{
    unsigned acknowledged = atomic_load(&rotated_to);
    uint8_t blob[KMS_CIPHERTEXT_SIZE(1)];
    kms_blob_info info;
    size_t len;

    must(kms_encrypt(store, keys[ROTATED], NULL, "x", 1, blob, sizeof blob, &len) == KMS_OK);
    must(kms_inspect_blob(blob, len, &info) == KMS_OK);
    must(info.key_version >= acknowledged);
    return true;
}

static bool alias_is_fresh(void)
{
    unsigned acknowledged = atomic_load(&moved_to);
    uint8_t blob[KMS_CIPHERTEXT_SIZE(1)];
    kms_blob_info info;
    unsigned at;
    size_t len;

    must(kms_encrypt(store, "alias/moving", NULL, "x", 1, blob, sizeof blob, &len) == KMS_OK);
    must(kms_inspect_blob(blob, len, &info) == KMS_OK);
    for (at = FIRST_MOVED_TO; at < KEYS && strcmp(keys[at], info.key_id) != 0;)
        at++;
    /* At most one move is on its way. */
    must(at >= acknowledged && at < KEYS);
    return true;
}

static bool state_is_fresh(void)
{
    unsigned before = atomic_load(&switchings), off = atomic_load(&disabled_since);
    uint8_t blob[KMS_CIPHERTEXT_SIZE(1)];
    char plain[4];
    size_t len;
    kms_status encrypted =
        kms_encrypt(store, keys[SWITCHED], NULL, "x", 1, blob, sizeof blob, &len);
    kms_status decrypted = kms_decrypt(store, NULL, blobs[SWITCHED], sizeof blobs[SWITCHED], plain,
                                       sizeof plain, &len);

    must(encrypted == KMS_OK || encrypted == KMS_ERR_DISABLED);
    must(decrypted == KMS_OK || decrypted == KMS_ERR_DISABLED);
    if (atomic_load(&switchings) != before)
        return true;
    if (before % 2 == 0)
        must(encrypted == KMS_OK && decrypted == KMS_OK);
    else if (off == before)
        must(encrypted == KMS_ERR_DISABLED && decrypted == KMS_ERR_DISABLED);
    atomic_fetch_add(&refusals, encrypted == KMS_ERR_DISABLED);
    return true;
}

static void *reader(void *argument)
{
    unsigned seed = (unsigned)(uintptr_t)argument;
    bool fine = true;

    while (fine && !atomic_load(&stop)) {
        unsigned number = (unsigned)rand_r(&seed) % KEYS;

        fine = decrypt_any(number) && round_trip((number * 7 + 1) % KEYS) && version_is_fresh() &&
               alias_is_fresh() && state_is_fresh();
        atomic_fetch_add(&operations, 1);
    }
    return fine ? NULL : strdup(wrong);
}

/* --- the changers ------------------------------------------------------------------------------ */

static bool rotate_once(void)
{
    uint32_t number = 0;

    if (atomic_load(&rotated_to) >= 1000)
        return true;
    must(kms_create_key_version(store, keys[ROTATED], &number) == KMS_OK);
    atomic_store(&rotated_to, number);
    return true;
}

static bool move_once(void)
{
    unsigned next = atomic_load(&moved_to) + 1;

    if (next >= KEYS)
        return true;
    must(kms_update_alias(store, "alias/moving", keys[next]) == KMS_OK);
    atomic_store(&moved_to, next);
    return true;
}

static void rest(long ns)
{
    nanosleep(&(struct timespec){.tv_sec = 0, .tv_nsec = ns}, NULL);
}

/* Until every reader has come by. */
static void let_them_look(void)
{
    unsigned long before = atomic_load(&operations);

    while (!atomic_load(&stop) && atomic_load(&operations) < before + 2 * READERS)
        rest(100000);
}

static bool switch_once(void)
{
    unsigned at = atomic_fetch_add(&switchings, 1) + 1;

    must(kms_disable_key(store, keys[SWITCHED]) == KMS_OK);
    atomic_store(&disabled_since, at);
    let_them_look();
    atomic_store(&disabled_since, 0);
    /* A look that began while it was off must not be judged by it any more. */
    atomic_fetch_add(&switchings, 2);
    must(kms_enable_key(store, keys[SWITCHED]) == KMS_OK);
    atomic_fetch_add(&switchings, 1);
    let_them_look();
    return true;
}

static void *changer(void *argument)
{
    bool (*const *change)(void) = argument;
    bool fine = true;

    while (fine && !atomic_load(&stop))
        fine = (*change)();
    return fine ? NULL : strdup(wrong);
}

/* --- the trial --------------------------------------------------------------------------------- */

static void setup(uint32_t cache_entries)
{
    kms_open_options options = KMS_OPEN_OPTIONS_INIT;
    char text[5] = {0};
    size_t len;

    place_init(&here);
    options.cache_entries = cache_entries;
    fixture_ok(kms_open(&store, place_bare_engine(&here), fixture_root(FIXTURE_ROOT_FILL),
                        KMS_OPEN_CREATE, &options));
    for (unsigned i = 0; i < KEYS; i++) {
        fixture_create_key_of(store,
                              i % 2 == 1 && fixture_has_suite_2(store)
                                  ? KMS_SUITE_AES_256_GCM
                                  : KMS_SUITE_XCHACHA20_POLY1305,
                              keys[i]);
        snprintf(text, sizeof text, "%u", i);
        fixture_ok(kms_encrypt(store, keys[i], NULL, text, 4, blobs[i], sizeof blobs[i], &len));
    }
    fixture_ok(kms_create_alias(store, "alias/moving", keys[FIRST_MOVED_TO]));
    atomic_store(&rotated_to, 1);
    atomic_store(&moved_to, FIRST_MOVED_TO);
}

static void join(pthread_t thread)
{
    void *complaint = NULL;

    ck_assert_int_eq(pthread_join(thread, &complaint), 0);
    ck_assert_msg(complaint == NULL, "%s", (const char *)complaint);
}

static bool enough_was_seen(void)
{
    return atomic_load(&operations) > 200 && atomic_load(&rotated_to) > 5 &&
           atomic_load(&moved_to) > FIRST_MOVED_TO + 5 && atomic_load(&refusals) > 5;
}

START_TEST(threads_see_no_wrong_result_and_no_old_one)
{
    static bool (*changes[])(void) = {rotate_once, move_once, switch_once};
    static const uint32_t entries[] = {16, 4096};
    pthread_t readers[READERS], changers[3];

    setup(entries[_i]);
    for (unsigned i = 0; i < READERS; i++)
        ck_assert_int_eq(pthread_create(&readers[i], NULL, reader, (void *)(uintptr_t)(i + 1)), 0);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_int_eq(pthread_create(&changers[i], NULL, changer, &changes[i]), 0);
    for (int i = 0; i < 15 || (i < 600 && !enough_was_seen()); i++)
        rest(100000000);
    atomic_store(&stop, true);
    for (unsigned i = 0; i < READERS; i++)
        join(readers[i]);
    for (unsigned i = 0; i < 3; i++)
        join(changers[i]);
    /* Not vacuous: everything moved, and refusals were seen. */
    ck_assert(enough_was_seen());
    fixture_ok(kms_verify(store));
    kms_close(store);
    place_free(&here);
}
END_TEST

/* --- threads that come and go ------------------------------------------------------------------- */

static void *one_call(void *argument)
{
    unsigned number = (unsigned)(uintptr_t)argument;

    return decrypt_any(number) && round_trip(number) ? NULL : strdup(wrong);
}

START_TEST(threads_may_come_and_go)
{
    enum { TURNS = 20, AT_ONCE = 24 };
    pthread_t threads[AT_ONCE];

    setup(16);
    for (unsigned turn = 0; turn < TURNS; turn++) {
        for (unsigned i = 0; i < AT_ONCE; i++)
            ck_assert_int_eq(pthread_create(&threads[i], NULL, one_call,
                                            (void *)(uintptr_t)(turn * AT_ONCE + i)),
                             0);
        for (unsigned i = 0; i < AT_ONCE; i++)
            join(threads[i]);
    }
    kms_close(store);
    place_free(&here);
}
END_TEST

/* --- several handles of one process ------------------------------------------------------------- */

static void *own_handle(void *unused)
{
    kms_store *own = NULL;
    char id[KMS_KEY_ID_SIZE];
    kms_status st = KMS_OK;

    (void)unused;
    for (int i = 0; i < 10 && st == KMS_OK; i++) {
        st = kms_open_memory(&own);
        if (st == KMS_OK)
            st = kms_create_key(own, NULL, id);
        if (st == KMS_OK)
            st = kms_verify(own);
        kms_close(own);
        own = NULL;
    }
    return st == KMS_OK ? NULL : strdup(kms_error_message());
}

START_TEST(threads_may_open_and_close_stores_of_their_own)
{
    enum { AT_ONCE = 8 };
    pthread_t threads[AT_ONCE];

    for (unsigned i = 0; i < AT_ONCE; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, own_handle, NULL), 0);
    for (unsigned i = 0; i < AT_ONCE; i++)
        join(threads[i]);
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {threads_see_no_wrong_result_and_no_old_one, 2},
        {threads_may_come_and_go, 0},
        {threads_may_open_and_close_stores_of_their_own, 0},
    };

    return fixture_main("threads", tests, sizeof tests / sizeof *tests, 120);
}
