/*
 * Reads the text files under tests/fixtures: what is known of blobs and stores that were made once.
 *
 *     blob suite-1                 a record begins with its kind and its name
 *     plaintext 6c69626b6d73       then one field a line; bytes are in hexadecimal, "-" is none
 *         2e2e2e                   a line that begins with a blank goes on with the field before
 *
 * Empty lines and lines that begin with "#" say nothing. Whatever is malformed or missing ends the
 * test.
 */
#ifndef KMS_TESTS_FIXTURE_TEXT_H
#define KMS_TESTS_FIXTURE_TEXT_H

#include <kms/context.h>

#define FIXTURE_FIELDS_MAX 64
#define FIXTURE_PAIRS_MAX 32

typedef struct fixture_field {
    const char *name;
    const char *value;
} fixture_field;

typedef struct fixture_record {
    struct fixture_record *next;
    const char *kind;
    const char *name;
    size_t count;
    fixture_field fields[FIXTURE_FIELDS_MAX];
} fixture_record;

/* The path of a file under tests/fixtures; valid until the next call. */
const char *fixture_path(const char *name);

/* Reads a file of that folder. It is never freed: a test ends with its process. */
const fixture_record *fixture_read(const char *name);

/* The first record of a kind in the list that begins with `from`; NULL if there is none. */
const fixture_record *fixture_find(const fixture_record *from, const char *kind);

const char *fixture_text(const fixture_record *record, const char *field);
bool fixture_has(const fixture_record *record, const char *field);
uint64_t fixture_number(const fixture_record *record, const char *field);
/* malloc'd; never NULL, for none as well. */
uint8_t *fixture_bytes(const fixture_record *record, const char *field, size_t *len);
/* Exactly len bytes. */
void fixture_exactly(const fixture_record *record, const char *field, void *out, size_t len);

/* The fields "context KEY VALUE", in their order. */
typedef struct fixture_context {
    kms_context_pair pairs[FIXTURE_PAIRS_MAX];
    kms_context context;
} fixture_context;
const kms_context *fixture_context_of(const fixture_record *record, fixture_context *room);

#endif
