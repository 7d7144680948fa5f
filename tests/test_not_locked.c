/* Memory that cannot be locked: it is told, and where locked memory is demanded no secret lies in any
 * other, and calls go on with what was locked. mlock() is this program's own. */
#include "domain/open_version.h"
#include "support/api_calls.h"

#include <errno.h>
#include <sodium.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool refuse_to_lock;

/* Seen by shared libraries, too. */
#pragma GCC visibility push(default)

int mlock(const void *where, size_t size)
{
    if (refuse_to_lock) {
        errno = ENOMEM;
        return -1;
    }
    return (int)syscall(SYS_mlock, where, size);
}

#pragma GCC visibility pop

static place here;
static kms_store *store;
static api_stage stage;

static void setup(void)
{
    place_init(&here);
    store = place_open(&here);
    api_calls_stage(store, &stage);
}

static void finish(void)
{
    kms_close(store);
    place_free(&here);
}

static kms_store *open_unlocked(uint32_t flags, kms_status wanted)
{
    kms_store *opened = NULL;
    kms_status st;

    refuse_to_lock = true;
    st = place_try_open(&here, &opened, flags, NULL);
    refuse_to_lock = false;
    fixture_is(st, wanted);
    ck_assert((opened != NULL) == (wanted == KMS_OK));
    return opened;
}

START_TEST(memory_that_cannot_be_locked_is_told_and_refused_on_demand)
{
    kms_store_info info = {.version = KMS_STORE_INFO_VERSION};

    setup();
    fixture_ok(kms_get_store_info(store, &info));
    if (!info.memory_locked) {
        fixture_skip("locked memory", "RLIMIT_MEMLOCK allows none here");
        finish();
        return;
    }
    kms_close(store);
    (void)open_unlocked(KMS_OPEN_REQUIRE_LOCKED, KMS_ERR_NOT_LOCKED);
    fixture_says("RLIMIT_MEMLOCK");
    store = open_unlocked(0, KMS_OK);
    fixture_ok(kms_get_store_info(store, &info));
    ck_assert(!info.memory_locked);
    for (size_t i = 0; i < api_call_count; i++)
        if (!api_calls[i].changes)
            fixture_ok(api_calls[i].perform(store, &stage));
    kms_close(store);
    fixture_ok(place_try_open(&here, &store, KMS_OPEN_REQUIRE_LOCKED, NULL));
    fixture_ok(kms_get_store_info(store, &info));
    ck_assert(info.memory_locked);
    finish();
}
END_TEST

/* Opened so that secrets must be locked, and from then on no more of them can be. */
static bool setup_and_lock_no_more(void)
{
    setup();
    kms_close(store);
    store = NULL;
    if (place_try_open(&here, &store, KMS_OPEN_REQUIRE_LOCKED, NULL) == KMS_OK) {
        refuse_to_lock = true;
        return true;
    }
    fixture_skip("locked memory", "RLIMIT_MEMLOCK allows none here");
    place_free(&here);
    return false;
}

static void every_secret_is_locked(void)
{
    kms_store_info info = {.version = KMS_STORE_INFO_VERSION};

    refuse_to_lock = false;
    fixture_ok(kms_get_store_info(store, &info));
    ck_assert(info.memory_locked);
}

/* More keys than locked cells, each used while the others stay in the cache. */
#define KEYS 300

START_TEST(keys_in_the_cache_give_way_where_no_more_memory_can_be_locked)
{
    static uint8_t blobs[KEYS][KMS_CIPHERTEXT_SIZE(16)];
    static size_t lens[KEYS];
    char id[KMS_KEY_ID_SIZE];

    if (!setup_and_lock_no_more())
        return;
    (void)kms_set_error(KMS_ERR_FULL, "as it was");
    for (size_t i = 0; i < KEYS; i++) {
        fixture_create_key(store, id);
        lens[i] = fixture_encrypt(store, id, "text", blobs[i], sizeof blobs[i]);
    }
    for (size_t i = 0; i < KEYS; i++)
        fixture_opens_as(store, blobs[i], lens[i], "text");
    fixture_rotate(store, id);
    /* What was got over leaves no message. */
    ck_assert_str_eq(kms_error_message(), "as it was");
    every_secret_is_locked();
    finish();
}
END_TEST

#define MANY_CELLS 1000

START_TEST(looking_at_the_header_needs_no_memory_of_its_own)
{
    kms_store_info info = {.version = KMS_STORE_INFO_VERSION};

    if (!setup_and_lock_no_more())
        return;
    fixture_ok(kms_would(store, KMS_OP_CREATE_KEY, NULL));
    fixture_ok(kms_would(store, KMS_OP_CREATE_KEY_VERSION, stage.a));
    fixture_ok(kms_would(store, KMS_OP_DISABLE_KEY, stage.a));
    fixture_ok(kms_would(store, KMS_OP_DELETE_ALIAS, "alias/a"));
    fixture_ok(kms_get_store_info(store, &info));
    fixture_ok(kms_verify(store));
    every_secret_is_locked();
    finish();
}
END_TEST

static size_t take_all_cells(void **cells)
{
    size_t taken = 0;

    while (taken < MANY_CELLS && kms__cache_take_cell(store->cache, &cells[taken]) == KMS_OK)
        taken++;
    return taken;
}

START_TEST(a_key_in_use_does_not_give_way)
{
    static void *cells[2 * MANY_CELLS];
    uint8_t blob[KMS_CIPHERTEXT_SIZE(16)];
    size_t taken;
    kms__pin pin;

    if (!setup_and_lock_no_more())
        return;
    fixture_ok(kms__pin_primary(store, stage.a, 0, &pin));
    taken = take_all_cells(cells);
    ck_assert_uint_gt(taken, 32);
    ck_assert_uint_lt(taken, MANY_CELLS);
    ck_assert(sodium_is_zero(pin.opened->suite_key, KMS__SECRET_CELL) == 0);
    kms__pin_release(&pin);
    /* That one, and then none. */
    ck_assert_uint_eq(take_all_cells(cells + taken), 1);
    fixture_is(kms_create_key(store, NULL, (char[KMS_KEY_ID_SIZE]){0}), KMS_ERR_NOT_LOCKED);
    fixture_says("RLIMIT_MEMLOCK");
    fixture_says("cache_entries");
    for (size_t i = 0; i <= taken; i++)
        kms__secret_give(store->secrets, cells[i]);
    fixture_encrypt(store, stage.a, "text", blob, sizeof blob);
    every_secret_is_locked();
    finish();
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {memory_that_cannot_be_locked_is_told_and_refused_on_demand, 0},
        {keys_in_the_cache_give_way_where_no_more_memory_can_be_locked, 0},
        {looking_at_the_header_needs_no_memory_of_its_own, 0},
        {a_key_in_use_does_not_give_way, 0},
    };

    return fixture_main("not_locked", tests, sizeof tests / sizeof *tests, 120);
}
