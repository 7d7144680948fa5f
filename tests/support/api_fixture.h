/*
 * What the tests of the public calls share: places that outlive the stores opened on them, short
 * forms of calls that must succeed, and access to the records behind a store's back.
 *
 * KMS_TEST_BACKEND picks the engine of every place: memory (the default), lmdb or file.
 */
#ifndef KMS_TESTS_API_FIXTURE_H
#define KMS_TESTS_API_FIXTURE_H

#include "engine_wrapper.h"

#include <check.h>
#include <kms/kms.h>

/* --- running -------------------------------------------------------------------------------- */

typedef struct fixture_test {
    const TTest *test;
    /* Runs it with _i from 0 to loops - 1; 0: once. */
    int loops;
} fixture_test;

/* The whole main() of a test program. timeout is in seconds, for each test. */
int fixture_main(const char *name, const fixture_test *tests, size_t count, int timeout);

/* Says loudly what could not be tested. */
void fixture_skip(const char *what, const char *why);

/* Whether valgrind or a sanitizer slows the program down. */
bool fixture_is_watched(void);

/* --- what calls answer ---------------------------------------------------------------------- */

#define fixture_ok(call)                                                                           \
    do {                                                                                           \
        kms_status fixture_status = (call);                                                        \
        ck_assert_msg(fixture_status == KMS_OK, "%s: %s: %s", #call,                               \
                      kms_status_name(fixture_status), kms_error_message());                       \
    } while (0)

/* It fails with this status, which the thread's message belongs to. */
#define fixture_is(call, wanted)                                                                   \
    do {                                                                                           \
        kms_status fixture_status = (call);                                                        \
        ck_assert_msg(fixture_status == (wanted), "%s: %s instead of %s: %s", #call,               \
                      kms_status_name(fixture_status), kms_status_name(wanted),                    \
                      kms_error_message());                                                        \
        ck_assert_msg(fixture_status == KMS_OK || (kms_error_status() == fixture_status &&         \
                                                   kms_error_message()[0] != '\0'),                \
                      "%s: %s came without a sentence of its own", #call,                          \
                      kms_status_name(fixture_status));                                            \
    } while (0)

#define fixture_says(words)                                                                        \
    ck_assert_msg(strstr(kms_error_message(), words) != NULL, "no \"%s\" in \"%s\"", words,        \
                  kms_error_message())

/* --- places --------------------------------------------------------------------------------- */

/* Where a store is: it survives kms_close(). One handle at a time in memory. */
typedef struct place {
    /* Counts and disturbs the calls of every engine that place_engine() made. */
    engine_control control;
    /* How many of those engines were made and closed. */
    unsigned long made;
    unsigned long closed;
    /* Only in memory: the engine that is lent out. */
    kms_backend *memory;
    char path[256];
} place;

void place_init(place *p);
/* Every store of it is closed. */
void place_free(place *p);

/* An engine for the place, the caller's to hand to kms_open(). */
kms_backend *place_engine(place *p);
/* An engine that no wrapper slows down. */
kms_backend *place_bare_engine(place *p);

/* The root of all places: 32 bytes of `fill`. */
kms_root *fixture_root(uint8_t fill);
#define FIXTURE_ROOT_FILL 0x52

kms_status place_try_open(place *p, kms_store **store, uint32_t flags,
                          const kms_open_options *options);
/* Makes the store if it is not there. */
kms_store *place_open(place *p);

/* --- records behind the store's back -------------------------------------------------------- */

typedef struct stolen {
    uint8_t key[KMS_RECORD_KEY_MAX];
    size_t key_len;
    uint8_t *value;
    size_t value_len;
} stolen;

typedef struct stolen_set {
    stolen *records;
    size_t count;
} stolen_set;

stolen_set place_steal(place *p);
void stolen_free(stolen_set *set);
/* The first record whose key begins with tag; fails the test if there is none. */
const stolen *stolen_find(const stolen_set *set, char tag);
/* Writes one record; value NULL removes it. */
void place_plant(place *p, const void *key, size_t key_len, const void *value, size_t value_len);
void place_plant_record(place *p, const stolen *record);
/* Makes the place hold exactly these records. */
void place_restore(place *p, const stolen_set *set);
/* Makes a store of records that the core never saw. */
void place_create_raw(place *p, const kms_record *records, size_t count);

/* --- short forms, which fail the test if the call fails ------------------------------------- */

kms_store *fixture_memory_store(void);
void fixture_create_key(kms_store *store, char key_id[KMS_KEY_ID_SIZE]);
void fixture_create_key_of(kms_store *store, kms_suite suite, char key_id[KMS_KEY_ID_SIZE]);
uint32_t fixture_rotate(kms_store *store, const char *key_id);
uint64_t fixture_changes(kms_store *store);
kms_key_info fixture_describe(kms_store *store, const char *keyref);
kms_alias_info fixture_describe_alias(kms_store *store, const char *alias);
/* Encrypts a string with its NUL, without a context; gives the blob's length. */
size_t fixture_encrypt(kms_store *store, const char *keyref, const char *text, uint8_t *blob,
                       size_t blob_size);
/* Decrypts what fixture_encrypt() made and compares. */
void fixture_opens_as(kms_store *store, const uint8_t *blob, size_t blob_len, const char *text);
/* Suites of this build. */
bool fixture_has_suite_2(kms_store *store);

/* Changes a key's record in an ordinary transaction, to states that no public call leads to. */
void fixture_set_key_state(kms_store *store, const char *key_id, kms_key_state state);
void fixture_set_version_state(kms_store *store, const char *key_id, uint32_t number,
                               kms_key_version_state state);

#endif
