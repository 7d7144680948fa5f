/* The power fails, or a process is killed, at any moment of a rewrap: the stream opens, by the old
 * key or by the new one, and can be rewrapped again.
 *
 * What was written and not yet synced is on the disk, or is not, or a part of it is, for each write by
 * itself. A kill loses nothing that was written: the next call sees it, and knows nothing of what the
 * disk has. */
#include "support/api_fixture.h"
#include "support/memory_stream.h"
#include "support/scratch.h"

#include <stdlib.h>
#include <string.h>

#define PLAIN 100
#define SIZE KMS_STREAM_SIZE(PLAIN)
/* Of a write: nothing, a byte, up to each of these, all; and one sector of it alone is there or
 * missing, since sectors go to the disk in any order. */
static const size_t torn_at[] = {0, 1, 8, 17, 60, 200, 512, 4064, 4095, 4096};
#define SECTOR 512
#define SECTORS 8
#define TORN_WAYS (sizeof torn_at / sizeof *torn_at + 2 * SECTORS)

static place here;
static kms_store *store;
static char key[KMS_KEY_ID_SIZE];
static uint8_t plain[PLAIN];

static void setup(memory_stream *stream)
{
    place_init(&here);
    store = place_open(&here);
    fixture_create_key(store, key);
    scratch_fill(plain, sizeof plain, 1);
    memory_stream_encrypt(stream, store, key, NULL, plain, sizeof plain);
}

static void finish(memory_stream *stream)
{
    memory_stream_free(stream);
    kms_close(store);
    place_free(&here);
}

/* Puts of one write onto the disk what this way of tearing it leaves. */
static void apply(uint8_t *disk, const memory_step *step, size_t way)
{
    size_t cuts = sizeof torn_at / sizeof *torn_at, sector = (way - cuts) / 2 * SECTOR;

    if (way < cuts) {
        memcpy(disk + step->at, step->bytes, torn_at[way]);
    } else if ((way - cuts) % 2 == 0) {
        memcpy(disk + step->at + sector, step->bytes + sector, SECTOR);
    } else {
        memcpy(disk + step->at, step->bytes, sector);
        memcpy(disk + step->at + sector + SECTOR, step->bytes + sector + SECTOR,
               step->len - sector - SECTOR);
    }
}

static void opens(const uint8_t *bytes)
{
    memory_stream stream;

    memory_stream_of(&stream, bytes, SIZE);
    fixture_ok(memory_stream_open(&stream, store, NULL, plain, sizeof plain));
    memory_stream_free(&stream);
}

static void can_be_rewrapped(const uint8_t *bytes)
{
    memory_stream stream;

    memory_stream_of(&stream, bytes, SIZE);
    fixture_ok(kms_stream_rewrap(store, NULL, key, NULL, &stream.io, NULL));
    ck_assert_int_eq(memcmp(stream.bytes, stream.bytes + 4096, 4096), 0);
    fixture_ok(memory_stream_open(&stream, store, NULL, plain, sizeof plain));
    memory_stream_free(&stream);
}

/* Looks at every disk that the steps may leave, from one on: those before the last sync are whole, and
 * each behind it is torn in any way. */
static unsigned each_disk(const uint8_t *disk, const memory_step *steps, size_t count,
                          void (*look)(const uint8_t *))
{
    uint8_t one[SIZE];
    unsigned looked = 0;

    while (count > 0 && steps->len == 0) {
        steps++;
        count--;
    }
    if (count == 0) {
        look(disk);
        return 1;
    }
    for (size_t way = 0; way < TORN_WAYS; way++) {
        memcpy(one, disk, sizeof one);
        apply(one, steps, way);
        looked += each_disk(one, steps + 1, count - 1, look);
    }
    return looked;
}

/* Applies what was synced within the first `count` steps; answers how many steps that were. */
static size_t settle(uint8_t *disk, const memory_step *steps, size_t count)
{
    size_t settled = 0;

    for (size_t i = 0; i < count; i++)
        if (steps[i].len == 0)
            settled = i + 1;
    for (size_t i = 0; i < settled; i++)
        memcpy(disk + steps[i].at, steps[i].bytes, steps[i].len);
    return settled;
}

/* The power fails when `count` steps were made. */
static unsigned power_fails(const uint8_t *disk, const memory_step *steps, size_t count,
                            void (*look)(const uint8_t *))
{
    uint8_t now[SIZE];
    size_t settled;

    memcpy(now, disk, sizeof now);
    settled = settle(now, steps, count);
    return each_disk(now, steps + settled, count - settled, look);
}

START_TEST(the_power_fails_at_any_moment)
{
    memory_stream stream;
    uint8_t before[SIZE];
    unsigned looked = 0;

    setup(&stream);
    memcpy(before, stream.bytes, SIZE);
    fixture_rotate(store, key);
    fixture_ok(kms_stream_rewrap(store, NULL, key, NULL, &stream.io, NULL));
    for (size_t count = 0; count <= stream.step_count; count++)
        looked += power_fails(before, stream.steps, count, can_be_rewrapped);
    ck_assert_uint_gt(looked, 2 * TORN_WAYS);
    /* A write that was begun, and all before it: the same states, and the reader sees them now. */
    for (size_t count = 0; count <= stream.step_count; count++)
        (void)power_fails(before, stream.steps, count, opens);
    finish(&stream);
}
END_TEST

/* A call is killed after some steps, with the last write torn or whole. What it wrote is read by the
 * next call, at whatever step the power fails then; on the disk, nothing is certain but what was
 * synced. */
static void rewrap_after_a_kill(const uint8_t *disk, const memory_stream *killed, size_t count,
                                size_t torn_to)
{
    memory_step steps[2 * MEMORY_STEPS];
    uint8_t now[SIZE];
    memory_stream next;

    memcpy(steps, killed->steps, count * sizeof *steps);
    memcpy(now, disk, sizeof now);
    if (count > 0 && steps[count - 1].len > 0)
        /* A part of a write, of which the rest is what was there: still a write of one slot. */
        for (size_t i = torn_to; i < steps[count - 1].len; i++)
            steps[count - 1].bytes[i] = disk[steps[count - 1].at + i];
    for (size_t i = 0; i < count; i++)
        memcpy(now + steps[i].at, steps[i].bytes, steps[i].len);
    memory_stream_of(&next, now, SIZE);
    fixture_ok(kms_stream_rewrap(store, NULL, key, NULL, &next.io, NULL));
    memcpy(steps + count, next.steps, next.step_count * sizeof *steps);
    for (size_t more = 0; more <= next.step_count; more++)
        (void)power_fails(disk, steps, count + more, opens);
    memory_stream_free(&next);
}

START_TEST(the_power_fails_while_a_call_finishes_what_a_kill_broke_off)
{
    static const size_t torn[] = {0, 1, 60, 4095, 4096};
    memory_stream stream;
    uint8_t before[SIZE];

    setup(&stream);
    memcpy(before, stream.bytes, SIZE);
    fixture_rotate(store, key);
    fixture_ok(kms_stream_rewrap(store, NULL, key, NULL, &stream.io, NULL));
    for (size_t count = 0; count <= stream.step_count; count++)
        for (size_t i = 0; i < sizeof torn / sizeof *torn; i++)
            rewrap_after_a_kill(before, &stream, count, torn[i]);
    finish(&stream);
}
END_TEST

/* A slot that was torn long ago, and never mended, is as good as none: the other one is kept until it
 * is not needed. */
START_TEST(the_power_fails_when_one_slot_was_damaged_before)
{
    memory_stream stream;
    uint8_t before[SIZE];

    setup(&stream);
    stream.bytes[(size_t)_i * 4096 + 50] ^= 1;
    memcpy(before, stream.bytes, SIZE);
    fixture_ok(kms_stream_rewrap(store, NULL, key, NULL, &stream.io, NULL));
    for (size_t count = 0; count <= stream.step_count; count++)
        (void)power_fails(before, stream.steps, count, can_be_rewrapped);
    finish(&stream);
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {the_power_fails_at_any_moment, 0},
        {the_power_fails_while_a_call_finishes_what_a_kill_broke_off, 0},
        {the_power_fails_when_one_slot_was_damaged_before, 2},
    };

    return fixture_main("stream_power_failure", tests, sizeof tests / sizeof *tests, 120);
}
