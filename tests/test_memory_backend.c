/*
 * What the engine in memory promises beyond the contract of all engines: that it stays sound when
 * memory runs out, frees everything, allocates nothing for a warm reader, and is fast for many
 * records.
 *
 * Its sources are compiled into this program with an allocator that counts and can fail; the linker
 * then takes nothing of the engine from the library.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

static atomic_long live_blocks;
static atomic_ulong allocations;
static unsigned long fail_at; /* 0: never; else the number of the allocation that fails */

static bool may_allocate(void)
{
    return atomic_fetch_add(&allocations, 1) + 1 != fail_at;
}

static void *counted(void *block)
{
    if (block != NULL)
        atomic_fetch_add(&live_blocks, 1);
    return block;
}

static void *test_malloc(size_t size)
{
    return may_allocate() ? counted(malloc(size)) : NULL;
}

static void *test_calloc(size_t count, size_t size)
{
    return may_allocate() ? counted(calloc(count, size)) : NULL;
}

static void test_free(void *block)
{
    if (block != NULL)
        atomic_fetch_sub(&live_blocks, 1);
    free(block);
}

#define malloc test_malloc
#define calloc test_calloc
#define free test_free
#include "../backends/memory/memory_backend.c" /* NOLINT(bugprone-suspicious-include) */
#include "../backends/memory/memory_tree.c"    /* NOLINT(bugprone-suspicious-include) */
#undef malloc
#undef calloc
#undef free

#include <check.h>
#include <stdio.h>

static const kms_backend_how how = {.version = 1, .busy_timeout_ms = 1000};

static kms_slice text(const char *string)
{
    return (kms_slice){string, strlen(string)};
}

static kms_backend *new_engine(void)
{
    kms_backend *engine = NULL;

    ck_assert_int_eq(kms_memory_backend(&engine), KMS_OK);
    ck_assert_ptr_nonnull(engine);
    return engine;
}

static kms_backend *new_store(void)
{
    kms_backend *engine = new_engine();

    ck_assert_int_eq(engine->ops->create(engine, &how, NULL, 0), KMS_OK);
    return engine;
}

static kms_txn *begin(kms_backend *engine, unsigned mode)
{
    kms_revision revision;
    kms_txn *txn;

    ck_assert_int_eq(engine->ops->begin(engine, mode, &txn, &revision), KMS_OK);
    return txn;
}

/* --- a store's life ------------------------------------------------------------------------ */

START_TEST(the_constructor_refuses_null)
{
    ck_assert_int_eq(kms_memory_backend(NULL), KMS_ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(kms_error_status(), KMS_ERR_INVALID_ARGUMENT);
}
END_TEST

START_TEST(a_store_is_there_once_it_was_created)
{
    const kms_record other = {{"a", 1}, {"other", 5}};
    kms_backend *engine = new_engine();
    kms_revision revision;
    kms_slice value;
    kms_txn *txn;

    ck_assert_int_eq(engine->ops->open(engine, &how), KMS_ERR_NOT_FOUND);
    ck_assert_int_eq(engine->ops->begin(engine, KMS_TXN_READ, &txn, &revision), KMS_ERR_STORAGE);
    ck_assert_int_eq(engine->ops->create(engine, &how, NULL, 0), KMS_OK);
    txn = begin(engine, KMS_TXN_WRITE);
    ck_assert_int_eq(engine->ops->put(txn, text("a"), text("1")), KMS_OK);
    ck_assert_int_eq(engine->ops->commit(txn), KMS_OK);
    ck_assert_int_eq(engine->ops->create(engine, &how, &other, 1), KMS_ERR_ALREADY_EXISTS);
    ck_assert_int_eq(engine->ops->open(engine, &how), KMS_OK);
    txn = begin(engine, KMS_TXN_READ);
    ck_assert_int_eq(engine->ops->get(txn, text("a"), &value), KMS_OK);
    ck_assert_mem_eq(value.data, "1", 1);
    engine->ops->abort(txn);
    engine->ops->close(engine);
    ck_assert_int_eq(live_blocks, 0);
}
END_TEST

START_TEST(a_store_opened_for_reading_is_not_written)
{
    const kms_backend_how reading = {.version = 1, .flags = KMS_BACKEND_READ_ONLY};
    kms_backend *engine = new_engine();
    kms_revision revision;
    kms_txn *txn;

    ck_assert_int_eq(engine->ops->create(engine, &reading, NULL, 0), KMS_ERR_READ_ONLY);
    ck_assert_int_eq(engine->ops->create(engine, &how, NULL, 0), KMS_OK);
    ck_assert_int_eq(engine->ops->open(engine, &reading), KMS_OK);
    ck_assert_int_eq(engine->ops->begin(engine, KMS_TXN_WRITE, &txn, &revision), KMS_ERR_READ_ONLY);
    ck_assert_int_eq(kms_error_status(), KMS_ERR_READ_ONLY);
    txn = begin(engine, KMS_TXN_READ);
    ck_assert_int_eq(engine->ops->put(txn, text("a"), text("1")), KMS_ERR_READ_ONLY);
    ck_assert_int_eq(engine->ops->del(txn, text("a")), KMS_ERR_READ_ONLY);
    engine->ops->abort(txn);
    engine->ops->close(engine);
}
END_TEST

START_TEST(a_commit_without_changes_keeps_the_revision)
{
    kms_backend *engine = new_store();
    kms_revision before;
    kms_revision after;
    kms_txn *txn;
    uint64_t age;

    ck_assert_int_eq(engine->ops->hint(engine, &before, &age), KMS_OK);
    txn = begin(engine, KMS_TXN_WRITE);
    ck_assert_int_eq(engine->ops->del(txn, text("absent")), KMS_ERR_NOT_FOUND);
    ck_assert_int_eq(engine->ops->commit(txn), KMS_OK);
    ck_assert_int_eq(engine->ops->hint(engine, &after, &age), KMS_OK);
    ck_assert_uint_eq(before.number, after.number);
    ck_assert_uint_eq(age, 0);
    engine->ops->close(engine);
}
END_TEST

/* --- when memory runs out ------------------------------------------------------------------ */

START_TEST(create_is_all_or_nothing_under_every_failed_allocation)
{
    const kms_record records[] = {
        {{"a", 1}, {"1", 1}}, {{"b", 1}, {"2", 1}}, {{"c", 1}, {"3", 1}}, {{"d", 1}, {"4", 1}}};
    kms_status status = KMS_ERR_NO_MEMORY;
    unsigned long nth = 0;

    while (status != KMS_OK) {
        kms_backend *engine = NULL;

        fail_at = ++nth;
        atomic_store(&allocations, 0);
        status = kms_memory_backend(&engine);
        if (engine != NULL) {
            ck_assert_int_eq(status, KMS_OK);
            status = engine->ops->create(engine, &how, records, 4);
            fail_at = 0;
            if (status != KMS_OK)
                ck_assert_int_eq(engine->ops->open(engine, &how), KMS_ERR_NOT_FOUND);
            ck_assert(status == KMS_OK || status == KMS_ERR_NO_MEMORY);
            if (status != KMS_OK)
                ck_assert_int_eq(engine->ops->create(engine, &how, records, 4), KMS_OK);
            engine->ops->close(engine);
        } else {
            ck_assert_int_eq(status, KMS_ERR_NO_MEMORY);
            ck_assert_int_eq(kms_error_status(), KMS_ERR_NO_MEMORY);
        }
        ck_assert_int_eq(live_blocks, 0);
    }
    ck_assert_uint_gt(nth, 9); /* the engine, and a node and its record four times */
}
END_TEST

/* The values of "00" to "19" are their own keys, and there is nothing else. */
static void is_untouched(kms_txn *txn)
{
    kms_record records[32];
    size_t count;

    ck_assert_int_eq(txn->backend->ops->scan(txn, text(""), 32, records, &count), KMS_OK);
    ck_assert_uint_eq(count, 20);
    for (size_t i = 0; i < count; i++) {
        char key[32];

        snprintf(key, sizeof key, "%02zu", i);
        ck_assert_uint_eq(records[i].key.len, 2);
        ck_assert_mem_eq(records[i].key.data, key, 2);
        ck_assert_uint_eq(records[i].value.len, 2);
        ck_assert_mem_eq(records[i].value.data, key, 2);
    }
}

static kms_backend *store_of_twenty(void)
{
    kms_backend *engine = new_store();
    kms_txn *txn = begin(engine, KMS_TXN_WRITE);

    for (int i = 0; i < 20; i++) {
        char key[16];

        snprintf(key, sizeof key, "%02d", i);
        ck_assert_int_eq(engine->ops->put(txn, text(key), text(key)), KMS_OK);
    }
    ck_assert_int_eq(engine->ops->commit(txn), KMS_OK);
    return engine;
}

/* One change of a fresh engine (which has no nodes in stock) with the nth allocation failing. The
 * change must be a failure without a trace, or a success. */
static kms_status change_under_failure(int kind, unsigned long nth)
{
    kms_backend *engine = store_of_twenty();
    kms_status status;
    kms_txn *txn;

    kms__tree_stock_free(&of(engine)->stock);
    txn = begin(engine, KMS_TXN_WRITE);
    atomic_store(&allocations, 0);
    fail_at = nth;
    if (kind == 0)
        status = engine->ops->put(txn, text("10x"), text("new"));
    else if (kind == 1)
        status = engine->ops->put(txn, text("10"), text("over"));
    else
        status = engine->ops->del(txn, text("07"));
    fail_at = 0;
    if (status != KMS_OK) {
        ck_assert_int_eq(status, KMS_ERR_NO_MEMORY);
        ck_assert_int_eq(kms_error_status(), KMS_ERR_NO_MEMORY);
        is_untouched(txn);
        ck_assert_int_eq(engine->ops->put(txn, text("10"), text("10")), KMS_OK);
        is_untouched(txn);
        ck_assert_int_eq(engine->ops->commit(txn), KMS_OK);
    } else {
        engine->ops->abort(txn);
    }
    txn = begin(engine, KMS_TXN_READ);
    is_untouched(txn);
    engine->ops->abort(txn);
    engine->ops->close(engine);
    ck_assert_int_eq(live_blocks, 0);
    return status;
}

START_TEST(a_change_is_all_or_nothing_under_every_failed_allocation)
{
    unsigned long nth = 1;

    while (change_under_failure(_i, nth) != KMS_OK)
        nth++;
    ck_assert_uint_gt(nth, 10); /* not vacuous: a path has some five nodes, each three times */
}
END_TEST

START_TEST(begin_without_memory_leaves_the_way_free)
{
    kms_backend *engine = new_store();
    kms_txn *txn = begin(engine, KMS_TXN_READ); /* takes the only transaction of the pool, if any */
    kms_revision revision;
    kms_txn *other;

    for (unsigned mode = KMS_TXN_READ; mode <= KMS_TXN_WRITE; mode++) {
        atomic_store(&allocations, 0);
        fail_at = 1;
        ck_assert_int_eq(engine->ops->begin(engine, mode, &other, &revision), KMS_ERR_NO_MEMORY);
        fail_at = 0;
    }
    engine->ops->abort(begin(engine, KMS_TXN_WRITE | KMS_TXN_NOWAIT));
    engine->ops->abort(txn);
    engine->ops->close(engine);
    ck_assert_int_eq(live_blocks, 0);
}
END_TEST

/* --- cost ---------------------------------------------------------------------------------- */

START_TEST(a_warm_reader_and_the_hint_allocate_nothing)
{
    kms_backend *engine = store_of_twenty();
    kms_record records[8];
    kms_revision revision;
    kms_slice value;
    uint64_t age;
    size_t count;

    engine->ops->abort(begin(engine, KMS_TXN_READ));
    atomic_store(&allocations, 0);
    for (int i = 0; i < 100; i++) {
        kms_txn *txn = begin(engine, KMS_TXN_READ);

        ck_assert_int_eq(engine->ops->get(txn, text("07"), &value), KMS_OK);
        ck_assert_int_eq(engine->ops->scan(txn, text("07"), 8, records, &count), KMS_OK);
        engine->ops->abort(txn);
        ck_assert_int_eq(engine->ops->hint(engine, &revision, &age), KMS_OK);
    }
    ck_assert_uint_eq(atomic_load(&allocations), 0);
    engine->ops->close(engine);
    ck_assert_int_eq(live_blocks, 0);
}
END_TEST

START_TEST(an_old_snapshot_costs_only_what_changed)
{
    kms_backend *engine = store_of_twenty();
    kms_txn *old = begin(engine, KMS_TXN_READ);
    long before = atomic_load(&live_blocks);
    kms_txn *txn;

    for (int i = 0; i < 1000; i++) {
        txn = begin(engine, KMS_TXN_WRITE);
        ck_assert_int_eq(engine->ops->put(txn, text("05"), text("other")), KMS_OK);
        ck_assert_int_eq(engine->ops->commit(txn), KMS_OK);
    }
    ck_assert_int_le(live_blocks, before + 30); /* a path, its record, and nodes in stock */
    is_untouched(old);
    engine->ops->abort(old);
    engine->ops->close(engine);
    ck_assert_int_eq(live_blocks, 0);
}
END_TEST

static kms_slice numbered(unsigned char key[4], uint32_t number)
{
    for (int i = 0; i < 4; i++)
        key[i] = (unsigned char)(number >> (24 - 8 * i));
    return (kms_slice){key, 4};
}

/* In the order of the keys, which is the worst for a tree that does not balance. Check notes every
 * assertion in a file, so there are few of them here. */
static void fill(kms_backend *engine, uint32_t total)
{
    unsigned char key[4];
    bool right = true;

    for (uint32_t i = 0; i < total;) {
        kms_txn *txn = begin(engine, KMS_TXN_WRITE);

        for (uint32_t end = i + 1000; i < end; i++)
            right &= engine->ops->put(txn, numbered(key, i), (kms_slice){&i, sizeof i}) == KMS_OK;
        right &= engine->ops->commit(txn) == KMS_OK;
    }
    ck_assert(right);
}

/* i, which is even, is there and the next one is not. */
static bool only_even(kms_txn *txn, uint32_t i, uint32_t total)
{
    const kms_backend_ops *ops = txn->backend->ops;
    unsigned char key[4];
    kms_record found;
    kms_slice value;
    size_t count;

    if (ops->get(txn, numbered(key, i), &value) != KMS_OK || value.len != sizeof i ||
        memcmp(value.data, &i, sizeof i) != 0)
        return false;
    if (ops->get(txn, numbered(key, i + 1), &value) != KMS_ERR_NOT_FOUND ||
        ops->scan(txn, numbered(key, i + 1), 1, &found, &count) != KMS_OK)
        return false;
    if (i + 2 >= total)
        return count == 0;
    return count == 1 && memcmp(found.key.data, numbered(key, i + 2).data, 4) == 0;
}

START_TEST(a_million_records_are_kept_in_order)
{
    const char *under = getenv("KMS_TEST_UNDER");
    uint32_t total = under != NULL && strcmp(under, "valgrind") == 0 ? 100000 : 1000000;
    kms_backend *engine = new_store();
    unsigned char key[4];
    bool right = true;
    kms_slice value;
    kms_txn *txn;

    fill(engine, total);
    ck_assert_uint_le(height(of(engine)->root), 29); /* 1.45 log2 of a million */
    txn = begin(engine, KMS_TXN_WRITE);
    for (uint32_t i = 1; i < total; i += 2)
        right &= engine->ops->del(txn, numbered(key, i)) == KMS_OK;
    ck_assert(right);
    ck_assert_uint_le(height(((struct memory_txn *)txn)->root), 28);
    for (uint32_t i = 0; i < total; i += 2)
        right &= only_even(txn, i, total);
    ck_assert(right);
    engine->ops->abort(txn);
    txn = begin(engine, KMS_TXN_READ);
    ck_assert_int_eq(engine->ops->get(txn, numbered(key, total - 1), &value), KMS_OK);
    engine->ops->abort(txn);
    engine->ops->close(engine);
    ck_assert_int_eq(live_blocks, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("memory_backend");
    SRunner *runner = srunner_create(suite);
    TCase *life = tcase_create("life");
    TCase *memory = tcase_create("memory");
    TCase *cost = tcase_create("cost");
    int failed;

    tcase_add_test(life, the_constructor_refuses_null);
    tcase_add_test(life, a_store_is_there_once_it_was_created);
    tcase_add_test(life, a_store_opened_for_reading_is_not_written);
    tcase_add_test(life, a_commit_without_changes_keeps_the_revision);
    tcase_add_test(memory, create_is_all_or_nothing_under_every_failed_allocation);
    tcase_add_loop_test(memory, a_change_is_all_or_nothing_under_every_failed_allocation, 0, 3);
    tcase_add_test(memory, begin_without_memory_leaves_the_way_free);
    tcase_add_test(cost, a_warm_reader_and_the_hint_allocate_nothing);
    tcase_add_test(cost, an_old_snapshot_costs_only_what_changed);
    tcase_add_test(cost, a_million_records_are_kept_in_order);
    tcase_set_timeout(memory, 60);
    tcase_set_timeout(cost, 180);
    suite_add_tcase(suite, life);
    suite_add_tcase(suite, memory);
    suite_add_tcase(suite, cost);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
