#include "fixture_text.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fail(const char *what, const char *which) __attribute__((noreturn));
static void fail(const char *what, const char *which)
{
    fprintf(stderr, "fixture: %s: %s\n", what, which);
    exit(EXIT_FAILURE);
}

static void *must(void *memory)
{
    if (memory == NULL)
        fail("memory", "there is none");
    return memory;
}

/* What is never freed stays in reach, so that a search for leaks finds none. */
static void *keep(void *memory)
{
    static void *kept[4096];
    static size_t count;

    if (count == sizeof kept / sizeof kept[0])
        fail("fixture_text.c", "keeps too much");
    kept[count++] = memory;
    return memory;
}

const char *fixture_path(const char *name)
{
    static char path[4096];
    const char *folder = getenv("KMS_TEST_FIXTURES");

    snprintf(path, sizeof path, "%s/%s", folder != NULL ? folder : "tests/fixtures", name);
    return path;
}

static char *read_all(const char *path)
{
    FILE *file = fopen(path, "re");
    char *text = NULL;
    size_t size = 0;

    if (file == NULL)
        fail(path, strerror(errno));
    /* The files hold no NUL, so this reads the whole. */
    if (getdelim(&text, &size, '\0', file) < 0)
        fail(path, "empty or unreadable");
    fclose(file);
    return keep(text);
}

/* The first word of a line, which it ends; *rest is what follows. */
static char *word(char *line, char **rest)
{
    char *end = line + strcspn(line, " ");

    *rest = end + strspn(end, " ");
    *end = '\0';
    return line;
}

/* Joins what goes on in the lines after `line`. It shrinks, so that it is done in place. */
static char *join_continuations(char *line, char **next)
{
    char *end = line + strlen(line);

    while (*next != NULL && **next == ' ') {
        char *more = strsep(next, "\n");

        more += strspn(more, " ");
        memmove(end, more, strlen(more) + 1);
        end += strlen(end);
    }
    return line;
}

static fixture_record *begin_record(const char *kind, const char *name)
{
    fixture_record *record = keep(must(calloc(1, sizeof *record)));

    record->kind = kind;
    record->name = name;
    return record;
}

static void add_field(fixture_record *record, const char *name, const char *value)
{
    if (record->count == FIXTURE_FIELDS_MAX)
        fail(record->name, "has too many fields");
    record->fields[record->count++] = (fixture_field){name, value};
}

static bool begins_record(const char *name)
{
    static const char *const kinds[] = {"blob", "store", "key",     "version", "alias",
                                        "tag",  "token", "derived", "index",   "stream"};

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(name, kinds[i]) == 0)
            return true;
    return false;
}

const fixture_record *fixture_read(const char *name)
{
    char *text = read_all(fixture_path(name));
    fixture_record *first = NULL, *last = NULL;

    for (char *line; (line = strsep(&text, "\n")) != NULL;) {
        char *value, *field;

        if (*line == '\0' || *line == '#')
            continue;
        field = word(join_continuations(line, &text), &value);
        if (begins_record(field)) {
            fixture_record *fresh = begin_record(field, value);

            if (last != NULL)
                last->next = fresh;
            else
                first = fresh;
            last = fresh;
        } else if (last != NULL) {
            add_field(last, field, value);
        } else {
            fail(name, "does not begin with a record");
        }
    }
    if (first == NULL)
        fail(name, "has no record");
    return first;
}

const fixture_record *fixture_find(const fixture_record *from, const char *kind)
{
    while (from != NULL && strcmp(from->kind, kind) != 0)
        from = from->next;
    return from;
}

static const char *find_field(const fixture_record *record, const char *field)
{
    for (size_t i = 0; i < record->count; i++)
        if (strcmp(record->fields[i].name, field) == 0)
            return record->fields[i].value;
    return NULL;
}

bool fixture_has(const fixture_record *record, const char *field)
{
    return find_field(record, field) != NULL;
}

const char *fixture_text(const fixture_record *record, const char *field)
{
    const char *value = find_field(record, field);

    if (value == NULL)
        fail(record->name, field);
    return value;
}

uint64_t fixture_number(const fixture_record *record, const char *field)
{
    const char *value = fixture_text(record, field);
    char *end;
    unsigned long long number = strtoull(value, &end, 10);

    if (end == value || *end != '\0')
        fail(field, "is no number");
    return number;
}

static unsigned digit(char c)
{
    if (!isxdigit((unsigned char)c))
        fail("a hexadecimal digit is needed", "something else is there");
    return (unsigned)(isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10);
}

/* With a NUL behind, so that it may be used as a string. */
static uint8_t *from_hex(const char *hex, size_t digits, size_t *len)
{
    uint8_t *bytes = must(calloc(1, digits / 2 + 1));

    *len = 0;
    if (digits == 1 && hex[0] == '-')
        return bytes;
    if (digits % 2 != 0)
        fail("hexadecimal bytes", "half a byte is missing");
    for (; *len < digits / 2; ++*len)
        bytes[*len] = (uint8_t)(digit(hex[2 * *len]) << 4 | digit(hex[2 * *len + 1]));
    return bytes;
}

uint8_t *fixture_bytes(const fixture_record *record, const char *field, size_t *len)
{
    const char *value = fixture_text(record, field);

    return from_hex(value, strlen(value), len);
}

void fixture_exactly(const fixture_record *record, const char *field, void *out, size_t len)
{
    size_t got;
    uint8_t *bytes = fixture_bytes(record, field, &got);

    if (got != len)
        fail(field, "has another length");
    memcpy(out, bytes, len);
    free(bytes);
}

static void read_pair(const char *value, kms_context_pair *pair)
{
    size_t key_digits = strcspn(value, " "), len;
    const char *second = value + key_digits + strspn(value + key_digits, " ");

    pair->key = keep(from_hex(value, key_digits, &len));
    pair->value = keep(from_hex(second, strlen(second), &len));
}

const kms_context *fixture_context_of(const fixture_record *record, fixture_context *room)
{
    memset(room, 0, sizeof *room);
    room->context.pairs = room->pairs;
    for (size_t i = 0; i < record->count; i++) {
        if (strcmp(record->fields[i].name, "context") != 0)
            continue;
        if (room->context.count == FIXTURE_PAIRS_MAX)
            fail(record->name, "has too many pairs");
        read_pair(record->fields[i].value, &room->pairs[room->context.count++]);
    }
    return room->context.count > 0 ? &room->context : NULL;
}
