#include "recorded_streams.h"
#include "base/fork.h"
#include "lmdb_trial.h"
#include "recorded_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- What the records say --------------------------------------------------------------------- */

static stream_sealing sealing_of(const fixture_record *record, const char *prefix)
{
    stream_sealing s = {.key_version = 0};
    char field[64];

    snprintf(field, sizeof field, "%smaterial", prefix);
    fixture_exactly(record, field, s.material, sizeof s.material);
    snprintf(field, sizeof field, "%skey-id", prefix);
    ck_assert(kms__id_parse(fixture_text(record, field), s.key_id));
    snprintf(field, sizeof field, "%skey-version", prefix);
    s.key_version = (uint32_t)fixture_number(record, field);
    snprintf(field, sizeof field, "%skey-suite", prefix);
    s.suite = (kms_suite)fixture_number(record, field);
    snprintf(field, sizeof field, "%snonce", prefix);
    fixture_exactly(record, field, s.nonce, sizeof s.nonce);
    return s;
}

static stream_vector vector_of(const fixture_record *record, fixture_context *room)
{
    stream_vector v = {.suite = recorded_suite(record),
                       .plain_len = (size_t)fixture_number(record, "plaintext-size"),
                       .context = fixture_context_of(record, room),
                       .sealings_count = 1};

    fixture_exactly(record, "stream-key", v.key, sizeof v.key);
    fixture_exactly(record, "salts", v.salts, stream_vector_chunks(&v) * KMS__CHUNK_SALT);
    v.sealings[0] = sealing_of(record, "");
    if (fixture_has(record, "written")) {
        v.sealings[v.sealings_count++] = sealing_of(record, "next-");
        v.written = (size_t)fixture_number(record, "written");
    }
    return v;
}

static bool is_available(const stream_vector *v)
{
    bool available = kms__suite_available(v->suite);

    for (size_t i = 0; i < v->sealings_count; i++)
        available = available && kms__suite_available(v->sealings[i].suite);
    return available;
}

size_t streams_for_each(void (*look)(const fixture_record *, const stream_vector *))
{
    size_t count = 0;

    ck_assert_int_eq(kms__fork_init(), KMS_OK);
    for (const fixture_record *record = fixture_find(fixture_read("streams-0.2.txt"), "stream");
         record != NULL; record = fixture_find(record->next, "stream"), count++) {
        fixture_context room;
        stream_vector v = vector_of(record, &room);

        if (is_available(&v))
            look(record, &v);
        else
            trial_skip(record->name, "this build has no AES-256-GCM");
    }
    return count;
}

static const fixture_record *vector_named(const char *name)
{
    for (const fixture_record *record = fixture_find(fixture_read("streams-0.2.txt"), "stream");
         record != NULL; record = fixture_find(record->next, "stream"))
        if (strcmp(record->name, name) == 0)
            return record;
    ck_abort_msg("no stream %s", name);
    return NULL;
}

void streams_make(const char *name, named_stream *s)
{
    ck_assert_int_eq(kms__fork_init(), KMS_OK);
    s->vector = vector_of(vector_named(name), &s->room);
    s->bytes = stream_vector_make(&s->vector, &s->len);
    s->bytes = realloc(s->bytes, s->len + STREAM_SEALED);
    ck_assert_ptr_nonnull(s->bytes);
}

kms_store *streams_open_store(void)
{
    kms_store *store;

    trial_ok(recorded_open(&store, recorded_copy("store-0.2.kms"), fixture_read("store-0.2.txt"),
                           KMS_OPEN_READ_ONLY));
    return store;
}

/* --- In memory -------------------------------------------------------------------------------- */

static kms_status read_memory(void *data, uint64_t at, void *buffer, size_t len, size_t *len_read)
{
    const named_stream *s = data;
    size_t left = at < s->len ? s->len - (size_t)at : 0;

    *len_read = left < len ? left : len;
    memcpy(buffer, s->bytes + (s->len - left), *len_read);
    return KMS_OK;
}

static kms_status size_of_memory(void *data, uint64_t *size)
{
    *size = ((const named_stream *)data)->len;
    return KMS_OK;
}

static kms_status write_memory(void *data, uint64_t at, const void *buffer, size_t len)
{
    named_stream *s = data;

    ck_assert_uint_le(at + len, KMS_STREAM_HEADER_SIZE);
    memcpy(s->bytes + at, buffer, len);
    return KMS_OK;
}

static kms_status sync_memory(void *data)
{
    (void)data;
    return KMS_OK;
}

kms_stream_io streams_io(named_stream *s)
{
    return (kms_stream_io){KMS_STREAM_IO_VERSION, s,          read_memory, size_of_memory,
                           write_memory,          sync_memory};
}

/* --- Every way -------------------------------------------------------------------------------- */

typedef struct opening {
    kms_store *store;
    const kms_context *context;
    uint8_t *stream;
    size_t len;
    /* With room for the stream and a chunk. */
    uint8_t *plain;
    size_t plain_len;
} opening;

static kms_status pushed(opening *o, size_t piece)
{
    size_t at = KMS_STREAM_HEADER_SIZE < o->len ? KMS_STREAM_HEADER_SIZE : o->len, used, got;
    size_t room = o->len + STREAM_SEALED;
    kms_stream *stream = NULL;
    kms_status st = kms_stream_decrypt(o->store, o->context, o->stream, at, &stream);

    o->plain_len = 0;
    while (st == KMS_OK && at < o->len) {
        st = kms_stream_push(stream, o->stream + at, piece < o->len - at ? piece : o->len - at,
                             &used, o->plain + o->plain_len, room - o->plain_len, &got);
        if (st == KMS_OK) {
            at += used;
            o->plain_len += got;
        }
    }
    for (bool done = false; st == KMS_OK && !done;) {
        st = kms_stream_finish(stream, o->plain + o->plain_len, room - o->plain_len, &got, &done);
        if (st == KMS_OK)
            o->plain_len += got;
    }
    kms_stream_free(stream);
    return st;
}

static kms_status by_push(opening *o)
{
    return pushed(o, o->len);
}

static kms_status by_pieces(opening *o)
{
    return pushed(o, 7001);
}

/* From its end to its beginning, so that places count. */
static kms_status by_reader(opening *o)
{
    named_stream memory = {.bytes = o->stream, .len = o->len};
    const kms_stream_io io = streams_io(&memory);
    kms_stream_reader *reader = NULL;
    kms_status st = kms_stream_reader_open(o->store, o->context, &io, &reader);
    size_t got, left;

    if (st != KMS_OK)
        return st;
    o->plain_len = left = (size_t)kms_stream_reader_size(reader);
    while (st == KMS_OK && left > 0) {
        size_t len = left < 50000 ? left : 50000;

        left -= len;
        st = kms_stream_reader_read(reader, left, o->plain + left, len, &got);
        if (st == KMS_OK)
            ck_assert_uint_eq(got, len);
    }
    kms_stream_reader_close(reader);
    return st;
}

static kms_status by_file(opening *o)
{
    const char *from = trial_path("stream");
    char to[TRIAL_PATH_MAX];
    kms_status st;
    FILE *file;

    trial_write_file(from, o->stream, o->len);
    snprintf(to, sizeof to, "%s-opened", from);
    (void)remove(to);
    st = kms_decrypt_file(o->store, o->context, from, to, NULL);
    file = fopen(to, "rbe");
    ck_assert_msg((file != NULL) == (st == KMS_OK), "%s: %s", kms_status_name(st),
                  kms_error_message());
    if (file == NULL)
        return st;
    o->plain_len = fread(o->plain, 1, o->len, file);
    ck_assert_int_eq(fclose(file), 0);
    return st;
}

typedef kms_status (*way)(opening *o);
static const way ways[] = {by_push, by_pieces, by_reader, by_file};
#define WAYS (sizeof ways / sizeof ways[0])

static opening begin_opening(kms_store *store, const kms_context *context, uint8_t *stream,
                             size_t len)
{
    opening o = {store, context, stream, len, calloc(1, len + STREAM_SEALED), 0};

    ck_assert_ptr_nonnull(o.plain);
    return o;
}

void streams_open_by_every_way(kms_store *store, const kms_context *context, uint8_t *stream,
                               size_t len, size_t plain_len)
{
    uint8_t *plain = malloc(plain_len + 1);

    stream_vector_plain(plain, plain_len);
    for (size_t i = 0; i < WAYS; i++) {
        opening o = begin_opening(store, context, stream, len);

        trial_ok(ways[i](&o));
        ck_assert_uint_eq(o.plain_len, plain_len);
        ck_assert_mem_eq(o.plain, plain, plain_len);
        free(o.plain);
    }
    free(plain);
}

void streams_refused_by_every_way(kms_store *store, const kms_context *context, uint8_t *stream,
                                  size_t len, kms_status expected, const char *what)
{
    for (size_t i = 0; i < WAYS; i++) {
        opening o = begin_opening(store, context, stream, len);
        kms_status st = ways[i](&o);

        ck_assert_msg(st == expected, "%s, way %zu: %s: %s", what, i, kms_status_name(st),
                      kms_error_message());
        free(o.plain);
    }
}
