/* Records, their order and their limits: what one transaction at a time can see. */
#include "cases.h"

#include <stdio.h>
#include <stdlib.h>

CASE(the_engine_states_its_abi_and_all_its_functions)
{
    const kms_backend_ops *ops;
    kms_backend *engine;

    TRY(kms__trial_make(t, 0, &engine));
    ops = engine->ops;
    REQUIRE(ops->abi == KMS_BACKEND_ABI, "abi is %u, not KMS_BACKEND_ABI (%d)", (unsigned)ops->abi,
            KMS_BACKEND_ABI);
    REQUIRE(ops->name != NULL && ops->name[0] != '\0', "the engine has no name");
    REQUIRE(ops->open && ops->create && ops->begin && ops->get && ops->scan && ops->put &&
                ops->del && ops->commit && ops->abort && ops->hint && ops->close,
            "a function is missing: all are required");
}

CASE(an_empty_store_holds_nothing)
{
    kms_backend *engine;
    kms_txn *txn;

    TRY(kms__trial_new_store(t, &engine));
    TRY(kms__trial_begin(t, engine, KMS_TXN_READ, &txn, NULL));
    TRY(kms__trial_holds_text(t, txn, "a", NULL));
    TRY(kms__trial_lists(t, txn, "", KMS_SCAN_MAX, ""));
}

CASE(a_record_comes_back_as_it_was_put)
{
    static const unsigned char odd[] = {0x00, 0xff, 0x00, 'k', 0x80, 0x00};
    static const unsigned char value[] = {0x00, 0x00, 0xfe, 0x0a, 0x00};
    kms_slice odd_key = {odd, sizeof odd};
    kms_slice odd_value = {value, sizeof value};
    kms_backend *engine;
    kms_txn *txn;

    TRY(kms__trial_new_store(t, &engine));
    TRY(kms__trial_begin(t, engine, KMS_TXN_WRITE, &txn, NULL));
    TRY(kms__trial_put_text(t, txn, "plain", "text"));
    TRY(kms__trial_put(t, txn, odd_key, odd_value));
    TRY(kms__trial_commit(t, txn));
    TRY(kms__trial_begin(t, engine, KMS_TXN_READ, &txn, NULL));
    TRY(kms__trial_holds_text(t, txn, "plain", "text"));
    TRY(kms__trial_holds(t, txn, odd_key, odd_value));
}

CASE(get_of_an_absent_record_answers_not_found)
{
    static const char *const absent[] = {"a", "al", "aliases", "alia", "b", "alias\x01"};
    kms_backend *engine;
    kms_txn *txn;

    TRY(kms__trial_new_store(t, &engine));
    TRY(kms__trial_write(t, engine, "alias", "here"));
    TRY(kms__trial_begin(t, engine, KMS_TXN_READ, &txn, NULL));
    for (size_t i = 0; i < sizeof absent / sizeof absent[0]; i++)
        TRY(kms__trial_holds_text(t, txn, absent[i], NULL));
}

CASE(put_replaces_an_older_record)
{
    static const char *const values[] = {"first", "a longer one than the first", "", "last"};
    kms_backend *engine;

    TRY(kms__trial_new_store(t, &engine));
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        TRY(kms__trial_write(t, engine, "key", values[i]));
        TRY(kms__trial_sees(t, engine, "key", values[i]));
    }
}

CASE(put_copies_key_and_value)
{
    char key[] = "key";
    char value[] = "value";
    kms_backend *engine;
    kms_txn *txn;

    TRY(kms__trial_new_store(t, &engine));
    TRY(kms__trial_begin(t, engine, KMS_TXN_WRITE, &txn, NULL));
    TRY(kms__trial_put_text(t, txn, key, value));
    memset(key, 'x', sizeof key - 1);
    memset(value, 'x', sizeof value - 1);
    TRY(kms__trial_holds_text(t, txn, "key", "value"));
    TRY(kms__trial_commit(t, txn));
    TRY(kms__trial_sees(t, engine, "key", "value"));
    TRY(kms__trial_sees(t, engine, "xxx", NULL));
}

CASE(a_removed_record_is_gone)
{
    kms_backend *engine;
    kms_txn *txn;

    TRY(kms__trial_new_store(t, &engine));
    TRY(kms__trial_write(t, engine, "a", "1"));
    TRY(kms__trial_write(t, engine, "b", "2"));
    TRY(kms__trial_begin(t, engine, KMS_TXN_WRITE, &txn, NULL));
    TRY(kms__trial_del(t, txn, text("a")));
    TRY(kms__trial_commit(t, txn));
    TRY(kms__trial_sees(t, engine, "a", NULL));
    TRY(kms__trial_sees(t, engine, "b", "2"));
    TRY(kms__trial_write(t, engine, "a", "again"));
    TRY(kms__trial_sees(t, engine, "a", "again"));
}

CASE(del_of_an_absent_record_answers_not_found)
{
    kms_backend *engine;
    kms_status answer;
    kms_txn *txn;

    TRY(kms__trial_new_store(t, &engine));
    TRY(kms__trial_write(t, engine, "aa", "1"));
    TRY(kms__trial_begin(t, engine, KMS_TXN_WRITE, &txn, NULL));
    answer = engine->ops->del(txn, text("a"));
    REQUIRE(answer == KMS_ERR_NOT_FOUND, "del() of an absent record answered %s",
            kms_status_name(answer));
    TRY(kms__trial_del(t, txn, text("aa")));
    answer = engine->ops->del(txn, text("aa"));
    REQUIRE(answer == KMS_ERR_NOT_FOUND, "del() of a record removed before answered %s",
            kms_status_name(answer));
    TRY(kms__trial_put_text(t, txn, "b", "goes on"));
    TRY(kms__trial_commit(t, txn));
    TRY(kms__trial_sees(t, engine, "b", "goes on"));
}

CASE(keys_order_as_unsigned_bytes)
{
    kms_record records[KMS_SCAN_MAX];
    kms_backend *engine;
    kms_txn *txn;
    size_t count;

    TRY(kms__trial_new_store(t, &engine));
    for (unsigned half = 0; half < 256; half += 64) {
        TRY(kms__trial_begin(t, engine, KMS_TXN_WRITE, &txn, NULL));
        for (unsigned i = half; i < half + 64; i++) {
            unsigned char byte = (unsigned char)(i * 167); /* every byte once, out of order */

            TRY(kms__trial_put(t, txn, (kms_slice){&byte, 1}, text("v")));
        }
        TRY(kms__trial_commit(t, txn));
    }
    TRY(kms__trial_begin(t, engine, KMS_TXN_READ, &txn, NULL));
    TRY(kms__trial_scan(t, txn, text(""), KMS_SCAN_MAX, records, &count));
    REQUIRE(count == 256, "scan() shows %zu of 256 records", count);
    for (size_t i = 0; i < count; i++)
        REQUIRE(records[i].key.len == 1 && *(const unsigned char *)records[i].key.data == i,
                "record %zu of a scan is not the one with the key byte %zu", i, i);
}

CASE(a_prefix_stands_before_what_it_begins)
{
    static const char *const keys[] = {"ab", "abc", "a", "b", "ab0", "aa"};
    kms_backend *engine;
    kms_txn *txn;

    TRY(kms__trial_new_store(t, &engine));
    TRY(kms__trial_begin(t, engine, KMS_TXN_WRITE, &txn, NULL));
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        TRY(kms__trial_put_text(t, txn, keys[i], "v"));
    TRY(kms__trial_commit(t, txn));
    TRY(kms__trial_begin(t, engine, KMS_TXN_READ, &txn, NULL));
    TRY(kms__trial_lists(t, txn, "", KMS_SCAN_MAX, "a aa ab ab0 abc b"));
}

CASE(scan_starts_at_from_or_after_it)
{
    kms_record record;
    kms_backend *engine;
    kms_txn *txn;
    size_t count;

    TRY(kms__trial_new_store(t, &engine));
    TRY(kms__trial_write(t, engine, "bb", "1"));
    TRY(kms__trial_write(t, engine, "dd", "2"));
    TRY(kms__trial_write(t, engine, "ff", "3"));
    TRY(kms__trial_begin(t, engine, KMS_TXN_READ, &txn, NULL));
    TRY(kms__trial_lists(t, txn, "", 10, "bb dd ff"));
    TRY(kms__trial_lists(t, txn, "a", 10, "bb dd ff"));
    TRY(kms__trial_lists(t, txn, "bb", 10, "bb dd ff"));
    TRY(kms__trial_lists(t, txn, "bb\x01", 10, "dd ff"));
    TRY(kms__trial_lists(t, txn, "d", 10, "dd ff"));
    TRY(kms__trial_lists(t, txn, "ff", 10, "ff"));
    TRY(kms__trial_lists(t, txn, "fff", 10, ""));
    TRY(kms__trial_scan(t, txn, (kms_slice){NULL, 0}, 1, &record, &count));
    REQUIRE(count == 1 && same(record.key, text("bb")) && same(record.value, text("1")),
            "a scan from an empty slice does not show the first record");
}

CASE(scan_stops_at_its_limit)
{
    kms_backend *engine;
    kms_txn *txn;

    TRY(kms__trial_new_store(t, &engine));
    TRY(kms__trial_begin(t, engine, KMS_TXN_WRITE, &txn, NULL));
    for (const char *key = "abcde"; *key != '\0'; key++)
        TRY(kms__trial_put(t, txn, (kms_slice){key, 1}, text("v")));
    TRY(kms__trial_commit(t, txn));
    TRY(kms__trial_begin(t, engine, KMS_TXN_READ, &txn, NULL));
    TRY(kms__trial_lists(t, txn, "", 1, "a"));
    TRY(kms__trial_lists(t, txn, "b", 2, "b c"));
    TRY(kms__trial_lists(t, txn, "", 5, "a b c d e"));
    TRY(kms__trial_lists(t, txn, "", 6, "a b c d e"));
    TRY(kms__trial_lists(t, txn, "d", 3, "d e"));
}

/* Reads the whole store in pages and compares it with "00000", "00001", ... */
static bool pages_show_all(trial *t, kms_txn *txn, size_t page, unsigned total)
{
    kms_record records[KMS_SCAN_MAX];
    char from[16] = "";
    unsigned seen = 0;
    size_t count;

    do {
        if (!kms__trial_scan(t, txn, text(from), page, records, &count))
            return false;
        for (size_t i = 0; i < count; i++, seen++) {
            char due[16];

            snprintf(due, sizeof due, "%05u", seen);
            if (!same(records[i].key, text(due)) || !same(records[i].value, text(due)))
                return kms__trial_fail(t, "pages of %zu records do not show record %u", page, seen);
        }
        snprintf(from, sizeof from, "%05u", seen);
    } while (count == page);
    if (seen != total)
        return kms__trial_fail(t, "pages of %zu records show %u of %u", page, seen, total);
    return true;
}

CASE(scan_pages_through_many_records)
{
    enum { TOTAL = 1000 };
    static const size_t pages[] = {1, 7, 100, KMS_SCAN_MAX};
    kms_backend *engine;
    kms_txn *txn;

    TRY(kms__trial_new_store(t, &engine));
    for (unsigned first = 0; first < TOTAL; first += KMS_TXN_WRITES_MAX) {
        TRY(kms__trial_begin(t, engine, KMS_TXN_WRITE, &txn, NULL));
        for (unsigned i = first; i < first + KMS_TXN_WRITES_MAX; i++) {
            char key[16];

            snprintf(key, sizeof key, "%05u", i * 7 % TOTAL);
            TRY(kms__trial_put_text(t, txn, key, key));
        }
        TRY(kms__trial_commit(t, txn));
    }
    TRY(kms__trial_begin(t, engine, KMS_TXN_READ, &txn, NULL));
    for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++)
        TRY(pages_show_all(t, txn, pages[i], TOTAL));
}

CASE(scan_shows_own_writes_and_removals)
{
    kms_backend *engine;
    kms_txn *txn;

    TRY(kms__trial_new_store(t, &engine));
    TRY(kms__trial_write(t, engine, "b", "old"));
    TRY(kms__trial_write(t, engine, "d", "old"));
    TRY(kms__trial_begin(t, engine, KMS_TXN_WRITE, &txn, NULL));
    TRY(kms__trial_put_text(t, txn, "a", "new"));
    TRY(kms__trial_put_text(t, txn, "c", "new"));
    TRY(kms__trial_del(t, txn, text("d")));
    TRY(kms__trial_lists(t, txn, "", 10, "a b c"));
    TRY(kms__trial_del(t, txn, text("a")));
    TRY(kms__trial_put_text(t, txn, "e", "new"));
    TRY(kms__trial_put_text(t, txn, "d", "back"));
    TRY(kms__trial_lists(t, txn, "", 10, "b c d e"));
    TRY(kms__trial_lists(t, txn, "c", 2, "c d"));
    TRY(kms__trial_commit(t, txn));
    TRY(kms__trial_begin(t, engine, KMS_TXN_READ, &txn, NULL));
    TRY(kms__trial_lists(t, txn, "", 10, "b c d e"));
}

CASE(keys_may_have_every_length_up_to_the_longest)
{
    char key[KMS_RECORD_KEY_MAX];
    kms_backend *engine;
    kms_txn *txn;

    memset(key, 0xff, sizeof key);
    TRY(kms__trial_new_store(t, &engine));
    for (size_t first = 1; first <= sizeof key; first += 80) {
        TRY(kms__trial_begin(t, engine, KMS_TXN_WRITE, &txn, NULL));
        for (size_t len = first; len < first + 80 && len <= sizeof key; len++)
            TRY(kms__trial_put(t, txn, (kms_slice){key, len}, (kms_slice){&len, sizeof len}));
        TRY(kms__trial_commit(t, txn));
    }
    TRY(kms__trial_begin(t, engine, KMS_TXN_READ, &txn, NULL));
    for (size_t len = 1; len <= sizeof key; len++)
        TRY(kms__trial_holds(t, txn, (kms_slice){key, len}, (kms_slice){&len, sizeof len}));
}

/* size bytes that differ from those of other sizes. */
static kms_slice pattern(unsigned char *buffer, size_t size)
{
    for (size_t i = 0; i < size; i++)
        buffer[i] = (unsigned char)(i * 31 + size * 7 + (i >> 8));
    return (kms_slice){buffer, size};
}

CASE(values_may_have_every_size_up_to_the_largest)
{
    static const size_t sizes[] = {0,    1,    2,    127,  128,   255,   256,   1000,
                                   2047, 2048, 4095, 4096, 16384, 65535, 65536, 4097};
    static const size_t count = sizeof sizes / sizeof sizes[0];
    unsigned char *buffer = malloc(KMS_RECORD_VALUE_MAX);
    kms_backend *engine;
    kms_txn *txn;
    bool right;

    REQUIRE(buffer != NULL, "the suite itself ran out of memory");
    right =
        kms__trial_new_store(t, &engine) && kms__trial_begin(t, engine, KMS_TXN_WRITE, &txn, NULL);
    for (size_t i = 0; right && i < count; i++)
        right = kms__trial_put(t, txn, (kms_slice){&i, sizeof i}, pattern(buffer, sizes[i]));
    right =
        right && kms__trial_commit(t, txn) && kms__trial_begin(t, engine, KMS_TXN_READ, &txn, NULL);
    for (size_t i = 0; right && i < count; i++)
        right = kms__trial_holds(t, txn, (kms_slice){&i, sizeof i}, pattern(buffer, sizes[i]));
    free(buffer);
}

CASE(an_empty_value_is_a_record)
{
    kms_backend *engine;
    kms_txn *txn;

    TRY(kms__trial_new_store(t, &engine));
    TRY(kms__trial_begin(t, engine, KMS_TXN_WRITE, &txn, NULL));
    TRY(kms__trial_put(t, txn, text("k"), (kms_slice){NULL, 0}));
    TRY(kms__trial_commit(t, txn));
    TRY(kms__trial_begin(t, engine, KMS_TXN_READ, &txn, NULL));
    TRY(kms__trial_holds_text(t, txn, "k", ""));
    TRY(kms__trial_lists(t, txn, "", 10, "k"));
}

/* As many writes, and as many bytes, as the core puts in one transaction. */
static bool put_the_most(trial *t, kms_txn *txn, unsigned char *buffer)
{
    size_t left = KMS_TXN_BYTES_MAX;

    for (size_t writes = KMS_TXN_WRITES_MAX; writes > 0; writes--) {
        size_t keys = writes * sizeof writes; /* still to come, this one included */
        size_t size = left - keys < KMS_RECORD_VALUE_MAX ? left - keys : KMS_RECORD_VALUE_MAX;

        if (!kms__trial_put(t, txn, (kms_slice){&writes, sizeof writes}, pattern(buffer, size)))
            return false;
        left -= sizeof writes + size;
    }
    return left == 0 || kms__trial_fail(t, "the suite itself counts wrongly");
}

CASE(the_largest_transaction_fits)
{
    unsigned char *buffer = malloc(KMS_RECORD_VALUE_MAX);
    size_t first = KMS_TXN_WRITES_MAX;
    kms_backend *engine;
    kms_txn *txn;
    bool right;

    REQUIRE(buffer != NULL, "the suite itself ran out of memory");
    right = kms__trial_new_store(t, &engine) &&
            kms__trial_begin(t, engine, KMS_TXN_WRITE, &txn, NULL) &&
            put_the_most(t, txn, buffer) && kms__trial_commit(t, txn) &&
            kms__trial_begin(t, engine, KMS_TXN_WRITE, &txn, NULL) &&
            kms__trial_holds(t, txn, (kms_slice){&first, sizeof first},
                             pattern(buffer, KMS_RECORD_VALUE_MAX));
    for (size_t i = 1; right && i <= KMS_TXN_WRITES_MAX; i++)
        right = kms__trial_del(t, txn, (kms_slice){&i, sizeof i});
    if (right && kms__trial_commit(t, txn) && kms__trial_begin(t, engine, KMS_TXN_READ, &txn, NULL))
        kms__trial_lists(t, txn, "", 10, "");
    free(buffer);
}

CASE(slices_last_until_the_next_call)
{
    kms_record records[KMS_SCAN_MAX];
    kms_backend *engine;
    kms_slice value;
    kms_txn *txn;
    kms_txn *other;
    size_t count;

    TRY(kms__trial_new_store(t, &engine));
    TRY(kms__trial_write(t, engine, "a", "first"));
    TRY(kms__trial_write(t, engine, "b", "second"));
    TRY(kms__trial_begin(t, engine, KMS_TXN_READ, &txn, NULL));
    TRY(kms__trial_begin(t, engine, KMS_TXN_READ, &other, NULL));
    REQUIRE(engine->ops->get(txn, text("a"), &value) == KMS_OK, "get() fails");
    TRY(kms__trial_scan(t, other, text(""), KMS_SCAN_MAX, records, &count));
    for (int i = 0; i < 5; i++) {
        TRY(kms__trial_write(t, engine, "a", "other"));
        TRY(kms__trial_write(t, engine, "b", "other"));
    }
    REQUIRE(same(value, text("first")), "what get() showed changed before the next call");
    REQUIRE(count == 2 && same(records[0].key, text("a")) &&
                same(records[0].value, text("first")) && same(records[1].key, text("b")) &&
                same(records[1].value, text("second")),
            "what scan() showed changed before the next call");
}
