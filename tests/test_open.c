/* Opening a store: flags, options, who owns what, and what is refused. */
#include "support/api_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static place here;

static void check_consumed(void)
{
    ck_assert_uint_eq(here.made, here.closed);
    ck_assert_int_eq(atomic_load(&here.control.open_txns), 0);
}

/* Opening fails like this, leaves *store alone, and takes the engine over all the same. */
static void refuses(uint32_t flags, const kms_open_options *options, kms_status wanted)
{
    kms_store *store = (kms_store *)&here;

    fixture_is(place_try_open(&here, &store, flags, options), wanted);
    ck_assert_ptr_eq(store, &here);
    check_consumed();
}

static void make_and_close(void)
{
    kms_close(place_open(&here));
    check_consumed();
}

/* --- flags ---------------------------------------------------------------------------------- */

/* What kms_open() answers to a combination of the known flags. */
static kms_status law_of_flags(uint32_t flags, bool there)
{
    bool create = (flags & KMS_OPEN_CREATE) != 0, exclusive = (flags & KMS_OPEN_EXCLUSIVE) != 0;

    if (create && (flags & (KMS_OPEN_READ_ONLY | KMS_OPEN_FROZEN)) != 0)
        return KMS_ERR_INVALID_ARGUMENT;
    if (exclusive && !create)
        return KMS_ERR_INVALID_ARGUMENT;
    if (there)
        return exclusive ? KMS_ERR_ALREADY_EXISTS : KMS_OK;
    return create ? KMS_OK : KMS_ERR_NOT_FOUND;
}

START_TEST(every_combination_of_flags_does_what_it_says)
{
    uint32_t flags = (uint32_t)_i & 15u;
    bool there = _i >= 16;
    kms_status wanted = law_of_flags(flags, there);
    kms_store *store = NULL;

    place_init(&here);
    if (there)
        make_and_close();
    if (wanted != KMS_OK) {
        refuses(flags, NULL, wanted);
    } else {
        fixture_ok(place_try_open(&here, &store, flags, NULL));
        kms_close(store);
    }
    if (!there && wanted != KMS_OK)
        refuses(0, NULL, KMS_ERR_NOT_FOUND);
    place_free(&here);
}
END_TEST

START_TEST(unknown_flags_are_refused)
{
    place_init(&here);
    for (unsigned bit = 5; bit < 32; bit++)
        refuses(KMS_OPEN_CREATE | 1u << bit, NULL, KMS_ERR_INVALID_ARGUMENT);
    refuses(0, NULL, KMS_ERR_NOT_FOUND);
    place_free(&here);
}
END_TEST

static void check_every_change_is_refused(kms_store *store, const char *id)
{
    kms_create_key_options options = KMS_CREATE_KEY_OPTIONS_INIT;
    char other[KMS_KEY_ID_SIZE] = "untouched";

    fixture_is(kms_create_key(store, &options, other), KMS_ERR_READ_ONLY);
    fixture_is(kms_ensure_alias(store, "alias/new", NULL, other), KMS_ERR_READ_ONLY);
    ck_assert_str_eq(other, "untouched");
    fixture_is(kms_create_key_version(store, id, NULL), KMS_ERR_READ_ONLY);
    fixture_is(kms_enable_key(store, id), KMS_ERR_READ_ONLY);
    fixture_is(kms_disable_key(store, id), KMS_ERR_READ_ONLY);
    fixture_is(kms_create_alias(store, "alias/new", id), KMS_ERR_READ_ONLY);
    fixture_is(kms_update_alias(store, "alias/a", id), KMS_ERR_READ_ONLY);
    fixture_is(kms_delete_alias(store, "alias/a"), KMS_ERR_READ_ONLY);
}

START_TEST(a_read_only_store_is_used_but_never_changed)
{
    static const uint32_t flags[] = {KMS_OPEN_READ_ONLY, KMS_OPEN_FROZEN,
                                     KMS_OPEN_READ_ONLY | KMS_OPEN_FROZEN};
    kms_store_info info = {.version = KMS_STORE_INFO_VERSION};
    char id[KMS_KEY_ID_SIZE], found[KMS_KEY_ID_SIZE];
    uint8_t blob[200];
    kms_store *store;
    size_t len;

    place_init(&here);
    store = place_open(&here);
    fixture_ok(kms_ensure_alias(store, "alias/a", NULL, id));
    len = fixture_encrypt(store, id, "before", blob, sizeof blob);
    kms_close(store);
    fixture_ok(place_try_open(&here, &store, flags[_i], NULL));
    engine_reset_counts(&here.control);
    check_every_change_is_refused(store, id);
    ck_assert_uint_eq(engine_count(&here.control, ENGINE_BEGIN_WRITE), 0);
    fixture_ok(kms_ensure_alias(store, "alias/a", NULL, found));
    ck_assert_str_eq(found, id);
    fixture_opens_as(store, blob, len, "before");
    len = fixture_encrypt(store, "alias/a", "now", blob, sizeof blob);
    fixture_opens_as(store, blob, len, "now");
    fixture_ok(kms_get_store_info(store, &info));
    ck_assert(info.read_only);
    fixture_ok(kms_verify(store));
    kms_close(store);
    place_free(&here);
}
END_TEST

START_TEST(opening_again_finds_the_same_store)
{
    kms_store_info first = {.version = KMS_STORE_INFO_VERSION}, second = first;
    char id[KMS_KEY_ID_SIZE];
    uint8_t blob[200];
    kms_store *store;
    size_t len;

    place_init(&here);
    store = place_open(&here);
    fixture_create_key(store, id);
    len = fixture_encrypt(store, id, "kept", blob, sizeof blob);
    fixture_ok(kms_get_store_info(store, &first));
    ck_assert(!first.read_only);
    kms_close(store);
    store = place_open(&here);
    fixture_ok(kms_get_store_info(store, &second));
    ck_assert_mem_eq(first.store_id, second.store_id, sizeof first.store_id);
    ck_assert_uint_eq(first.changes, 1);
    ck_assert_uint_eq(second.changes, 1);
    ck_assert_str_eq(first.engine, "test");
    fixture_opens_as(store, blob, len, "kept");
    kms_close(store);
    place_free(&here);
}
END_TEST

START_TEST(store_info_checks_its_arguments)
{
    kms_store_info info = {.version = 0, .changes = 77};
    kms_store *store = fixture_memory_store();

    fixture_is(kms_get_store_info(store, &info), KMS_ERR_ABI);
    info.version = KMS_STORE_INFO_VERSION + 1;
    fixture_is(kms_get_store_info(store, &info), KMS_ERR_ABI);
    fixture_is(kms_get_store_info(NULL, &info), KMS_ERR_INVALID_ARGUMENT);
    ck_assert_uint_eq(info.changes, 77);
    fixture_is(kms_get_store_info(store, NULL), KMS_ERR_INVALID_ARGUMENT);
    info.version = KMS_STORE_INFO_VERSION;
    fixture_ok(kms_get_store_info(store, &info));
    ck_assert_str_eq(info.engine, "memory");
    ck_assert_uint_eq(info.changes, 0);
    fixture_is(kms_verify(NULL), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_open_memory(NULL), KMS_ERR_INVALID_ARGUMENT);
    kms_close(store);
    kms_close(NULL);
}
END_TEST

/* --- options -------------------------------------------------------------------------------- */

static int64_t zero_ms(void *data)
{
    (void)data;
    return 0;
}

START_TEST(options_out_of_their_limits_are_refused)
{
    static const kms_clock newer = {KMS_CLOCK_VERSION + 1, NULL, zero_ms};
    static const kms_clock empty = {KMS_CLOCK_VERSION, NULL, NULL};
    const struct {
        kms_open_options options;
        kms_status wanted;
    } cases[] = {
        {{0, 1, 16, KMS_STRENGTH_DEFAULT, NULL, 0}, KMS_ERR_ABI},
        {{KMS_OPEN_OPTIONS_VERSION + 1, 1, 16, KMS_STRENGTH_DEFAULT, NULL, 0}, KMS_ERR_ABI},
        {{KMS_OPEN_OPTIONS_VERSION, 1, 0, KMS_STRENGTH_DEFAULT, NULL, 0}, KMS_ERR_INVALID_ARGUMENT},
        {{KMS_OPEN_OPTIONS_VERSION, 1, 15, KMS_STRENGTH_DEFAULT, NULL, 0},
         KMS_ERR_INVALID_ARGUMENT},
        {{KMS_OPEN_OPTIONS_VERSION, 1, 16, KMS_STRENGTH_DEFAULT, NULL, 0}, KMS_OK},
        {{KMS_OPEN_OPTIONS_VERSION, 1, 1048576, KMS_STRENGTH_DEFAULT, NULL, 0}, KMS_OK},
        {{KMS_OPEN_OPTIONS_VERSION, 1, 1048577, KMS_STRENGTH_DEFAULT, NULL, 0},
         KMS_ERR_INVALID_ARGUMENT},
        {{KMS_OPEN_OPTIONS_VERSION, 0, 16, KMS_STRENGTH_SENSITIVE, NULL, 0}, KMS_OK},
        {{KMS_OPEN_OPTIONS_VERSION, KMS_BUSY_FOREVER, 16, KMS_STRENGTH_SENSITIVE, NULL, 0}, KMS_OK},
        {{KMS_OPEN_OPTIONS_VERSION, 1, 16, (kms_strength)4, NULL, 0}, KMS_ERR_INVALID_ARGUMENT},
        {{KMS_OPEN_OPTIONS_VERSION, 1, 16, (kms_strength)-1, NULL, 0}, KMS_ERR_INVALID_ARGUMENT},
        {{KMS_OPEN_OPTIONS_VERSION, 1, 16, KMS_STRENGTH_DEFAULT, &newer, 0}, KMS_ERR_ABI},
        {{KMS_OPEN_OPTIONS_VERSION, 1, 16, KMS_STRENGTH_DEFAULT, &empty, 0},
         KMS_ERR_INVALID_ARGUMENT},
        {{KMS_OPEN_OPTIONS_VERSION, 1, 16, KMS_STRENGTH_DEFAULT, NULL, 1},
         KMS_ERR_INVALID_ARGUMENT},
        {{KMS_OPEN_OPTIONS_VERSION, 1, 16, KMS_STRENGTH_DEFAULT, NULL, 32767},
         KMS_ERR_INVALID_ARGUMENT},
        {{KMS_OPEN_OPTIONS_VERSION, 1, 16, KMS_STRENGTH_DEFAULT, NULL, 32768}, KMS_OK},
        {{KMS_OPEN_OPTIONS_VERSION, 1, 16, KMS_STRENGTH_DEFAULT, NULL, SIZE_MAX}, KMS_OK},
        {{1, 1, 16, KMS_STRENGTH_DEFAULT, NULL, 1}, KMS_OK},
    };

    place_init(&here);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        kms_store *store = NULL;

        fixture_is(place_try_open(&here, &store, KMS_OPEN_CREATE, &cases[i].options),
                   cases[i].wanted);
        ck_assert((store != NULL) == (cases[i].wanted == KMS_OK));
        kms_close(store);
        check_consumed();
    }
    place_free(&here);
}
END_TEST

/* --- engines and roots that cannot be used --------------------------------------------------- */

typedef struct counted_root {
    kms_root base;
    kms_root_ops ops;
} counted_root;

static unsigned roots_closed;
static kms_status root_answer;

static kms_status counted_make(kms_root *root, const kms_root_request *request, uint8_t *parameters,
                               size_t *parameters_len, uint8_t root_key[KMS_ROOT_KEY_SIZE])
{
    (void)root;
    (void)request;
    (void)parameters;
    *parameters_len = 0;
    memset(root_key, FIXTURE_ROOT_FILL, KMS_ROOT_KEY_SIZE);
    return kms_set_error(root_answer, "this root does not want to");
}

static kms_status counted_unlock(kms_root *root, const kms_root_request *request,
                                 const uint8_t *parameters, size_t parameters_len,
                                 uint8_t root_key[KMS_ROOT_KEY_SIZE])
{
    (void)parameters;
    (void)parameters_len;
    return counted_make(root, request, NULL, &(size_t){0}, root_key);
}

static void counted_close(kms_root *root)
{
    roots_closed++;
    memset(root, 0xee, sizeof(counted_root));
}

static counted_root counted = {{NULL},
                               {KMS_ROOT_ABI, "raw", counted_make, counted_unlock, counted_close}};

static kms_root *use_counted(void)
{
    static const counted_root fresh = {
        {NULL}, {KMS_ROOT_ABI, "raw", counted_make, counted_unlock, counted_close}};

    counted = fresh;
    counted.base.ops = &counted.ops;
    roots_closed = 0;
    return &counted.base;
}

START_TEST(engine_and_root_are_taken_over_whatever_comes_of_it)
{
    static const kms_open_options bad = {.version = 99};
    kms_store *store = NULL;

    place_init(&here);
    fixture_is(kms_open(NULL, place_engine(&here), use_counted(), KMS_OPEN_CREATE, NULL),
               KMS_ERR_INVALID_ARGUMENT);
    ck_assert_uint_eq(roots_closed, 1);
    fixture_is(kms_open(&store, place_engine(&here), use_counted(), 1u << 20, NULL),
               KMS_ERR_INVALID_ARGUMENT);
    ck_assert_uint_eq(roots_closed, 1);
    fixture_is(kms_open(&store, place_engine(&here), use_counted(), 0, &bad), KMS_ERR_ABI);
    ck_assert_uint_eq(roots_closed, 1);
    fixture_is(kms_open(&store, place_engine(&here), NULL, 0, NULL), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_open(&store, NULL, use_counted(), 0, NULL), KMS_ERR_INVALID_ARGUMENT);
    ck_assert_uint_eq(roots_closed, 1);
    fixture_is(kms_open(&store, place_engine(&here), use_counted(), 0, NULL), KMS_ERR_NOT_FOUND);
    ck_assert_uint_eq(roots_closed, 1);
    root_answer = KMS_ERR_STORAGE;
    fixture_is(kms_open(&store, place_engine(&here), use_counted(), KMS_OPEN_CREATE, NULL),
               KMS_ERR_STORAGE);
    ck_assert_uint_eq(roots_closed, 1);
    fixture_says("does not want to");
    root_answer = KMS_OK;
    ck_assert_ptr_null(store);
    check_consumed();
    fixture_ok(kms_open(&store, place_engine(&here), use_counted(), KMS_OPEN_CREATE, NULL));
    ck_assert_uint_eq(roots_closed, 1);
    ck_assert_uint_eq(here.closed + 1, here.made);
    kms_close(store);
    place_free(&here);
}
END_TEST

/* One change of an engine's table at a time. */
static const size_t engine_members[] = {
    offsetof(kms_backend_ops, name),   offsetof(kms_backend_ops, open),
    offsetof(kms_backend_ops, create), offsetof(kms_backend_ops, begin),
    offsetof(kms_backend_ops, get),    offsetof(kms_backend_ops, scan),
    offsetof(kms_backend_ops, put),    offsetof(kms_backend_ops, del),
    offsetof(kms_backend_ops, commit), offsetof(kms_backend_ops, abort),
    offsetof(kms_backend_ops, hint),
};
#define ENGINE_MEMBERS (sizeof engine_members / sizeof *engine_members)

START_TEST(an_engine_of_another_contract_is_refused_and_closed)
{
    kms_store *store = NULL;

    place_init(&here);
    for (size_t i = 0; i < ENGINE_MEMBERS + 2; i++) {
        kms_backend *engine = place_engine(&here);
        kms_backend_ops ops = *engine->ops;
        void *nothing = NULL;

        if (i < ENGINE_MEMBERS)
            memcpy((char *)&ops + engine_members[i], &nothing, sizeof nothing);
        else
            ops.abi = i == ENGINE_MEMBERS ? 0 : KMS_BACKEND_ABI + 1;
        engine->ops = &ops;
        fixture_is(kms_open(&store, engine, use_counted(), KMS_OPEN_CREATE, NULL), KMS_ERR_ABI);
        ck_assert_uint_eq(roots_closed, 1);
        check_consumed();
    }
    ck_assert_ptr_null(store);
    refuses(0, NULL, KMS_ERR_NOT_FOUND);
    place_free(&here);
}
END_TEST

START_TEST(an_engine_that_cannot_even_be_closed_is_left_alone)
{
    kms_backend_ops ops = {.abi = KMS_BACKEND_ABI, .name = "broken"};
    kms_backend engine = {.ops = &ops}, bare = {.ops = NULL};
    kms_store *store = NULL;

    fixture_is(kms_open(&store, &engine, use_counted(), 0, NULL), KMS_ERR_ABI);
    ck_assert_uint_eq(roots_closed, 1);
    fixture_is(kms_open(&store, &bare, use_counted(), 0, NULL), KMS_ERR_INVALID_ARGUMENT);
    ck_assert_uint_eq(roots_closed, 1);
    kms_backend_free(NULL);
}
END_TEST

START_TEST(a_root_of_another_contract_is_refused_and_closed)
{
    static const char long_name[] = "123456789012345678901234567890123";
    const struct {
        kms_root_ops ops;
        kms_status wanted;
    } cases[] = {
        {{0, "raw", counted_make, counted_unlock, counted_close}, KMS_ERR_ABI},
        {{KMS_ROOT_ABI + 1, "raw", counted_make, counted_unlock, counted_close}, KMS_ERR_ABI},
        {{KMS_ROOT_ABI, NULL, counted_make, counted_unlock, counted_close}, KMS_ERR_ABI},
        {{KMS_ROOT_ABI, "raw", NULL, counted_unlock, counted_close}, KMS_ERR_ABI},
        {{KMS_ROOT_ABI, "raw", counted_make, NULL, counted_close}, KMS_ERR_ABI},
        {{KMS_ROOT_ABI, "raw", counted_make, counted_unlock, NULL}, KMS_ERR_ABI},
        {{KMS_ROOT_ABI, "", counted_make, counted_unlock, counted_close}, KMS_ERR_INVALID_ARGUMENT},
        {{KMS_ROOT_ABI, long_name, counted_make, counted_unlock, counted_close},
         KMS_ERR_INVALID_ARGUMENT},
        {{KMS_ROOT_ABI, long_name + 1, counted_make, counted_unlock, counted_close}, KMS_OK},
    };
    kms_store *store = NULL;

    place_init(&here);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        kms_root *root = use_counted();

        counted.ops = cases[i].ops;
        fixture_is(kms_open(&store, place_engine(&here), root, KMS_OPEN_CREATE, NULL),
                   cases[i].wanted);
        ck_assert_uint_eq(roots_closed, cases[i].ops.close != NULL);
        ck_assert((store != NULL) == (cases[i].wanted == KMS_OK));
        kms_close(store);
        check_consumed();
    }
    place_free(&here);
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {every_combination_of_flags_does_what_it_says, 32},
        {unknown_flags_are_refused, 0},
        {a_read_only_store_is_used_but_never_changed, 3},
        {opening_again_finds_the_same_store, 0},
        {store_info_checks_its_arguments, 0},
        {options_out_of_their_limits_are_refused, 0},
        {engine_and_root_are_taken_over_whatever_comes_of_it, 0},
        {an_engine_of_another_contract_is_refused_and_closed, 0},
        {an_engine_that_cannot_even_be_closed_is_left_alone, 0},
        {a_root_of_another_contract_is_refused_and_closed, 0},
    };

    return fixture_main("open", tests, sizeof tests / sizeof *tests, 60);
}
