/* The reader and writer that every format goes through: no step leaves the bounds. */
#include "support/api_fixture.h"
#include "wire/wire.h"

#include <string.h>

static const uint8_t bytes[] = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0xfe, 0xdc, 0xba};

static uint64_t read_one(kms__reader *reader, size_t size)
{
    switch (size) {
    case 1:
        return kms__read_u8(reader);
    case 2:
        return kms__read_u16(reader);
    case 4:
        return kms__read_u32(reader);
    default:
        return kms__read_u64(reader);
    }
}

static void write_one(kms__writer *writer, size_t size, uint64_t value)
{
    if (size == 1)
        kms__write_u8(writer, (uint8_t)value);
    else if (size == 2)
        kms__write_u16(writer, (uint16_t)value);
    else if (size == 4)
        kms__write_u32(writer, (uint32_t)value);
    else
        kms__write_u64(writer, value);
}

static const struct {
    size_t size;
    uint64_t value;
} integers[] = {{1, 0x01}, {2, 0x0123}, {4, 0x01234567}, {8, 0x0123456789abcdef}};
#define INTEGERS 4

START_TEST(integers_are_read_big_endian_and_never_past_the_end)
{
    size_t size = integers[_i].size;

    for (size_t len = 0; len <= sizeof bytes; len++) {
        kms__reader reader = kms__reader_of(bytes, len);
        uint64_t value = read_one(&reader, size);

        ck_assert_uint_eq(value, len >= size ? integers[_i].value : 0);
        ck_assert(kms__reader_ok(&reader) == (len >= size));
        ck_assert(kms__reader_ended(&reader) == (len == size));
    }
}
END_TEST

START_TEST(after_a_step_over_the_end_nothing_more_is_read)
{
    kms__reader reader = kms__reader_of(bytes, 3);
    uint8_t room[2] = {9, 9};

    ck_assert_uint_eq(kms__read_u32(&reader), 0);
    ck_assert_uint_eq(kms__read_u8(&reader), 0);
    kms__read_bytes(&reader, room, sizeof room);
    ck_assert_uint_eq(room[0] | room[1], 0);
    ck_assert_ptr_null(kms__read_slice(&reader, 1).data);
    ck_assert(!kms__reader_ok(&reader));
    ck_assert(!kms__reader_ended(&reader));
}
END_TEST

START_TEST(bytes_and_slices_keep_within_the_bounds)
{
    for (size_t len = 0; len <= sizeof bytes + 1; len++) {
        kms__reader reader = kms__reader_of(bytes, sizeof bytes);
        kms__reader second = reader;
        uint8_t room[sizeof bytes + 1];
        kms_slice slice = kms__read_slice(&second, len);

        memset(room, 0x77, sizeof room);
        kms__read_bytes(&reader, room, len);
        ck_assert(kms__reader_ok(&reader) == (len <= sizeof bytes));
        ck_assert(kms__reader_ok(&second) == (len <= sizeof bytes));
        ck_assert_uint_eq(slice.len, len <= sizeof bytes ? len : 0);
        for (size_t i = 0; i < len; i++)
            ck_assert_uint_eq(room[i], len <= sizeof bytes ? bytes[i] : 0);
        if (len < sizeof room)
            ck_assert_uint_eq(room[len], 0x77);
    }
}
END_TEST

START_TEST(lengths_that_would_wrap_around_are_refused)
{
    kms__reader reader = kms__reader_of(bytes, sizeof bytes);
    uint8_t room[4] = {1, 2, 3, 4};
    kms__writer writer = kms__writer_to(room, sizeof room);

    (void)kms__read_u8(&reader);
    ck_assert_ptr_null(kms__read_slice(&reader, SIZE_MAX).data);
    ck_assert(!kms__reader_ok(&reader));
    kms__write_u8(&writer, 9);
    kms__write_bytes(&writer, bytes, SIZE_MAX);
    ck_assert(!kms__writer_ok(&writer));
    ck_assert_uint_eq(room[1], 2);
}
END_TEST

START_TEST(an_empty_reader_is_at_its_end)
{
    kms__reader reader = kms__reader_of(NULL, 0);

    ck_assert(kms__reader_ended(&reader));
    kms__read_bytes(&reader, NULL, 0);
    ck_assert(kms__reader_ended(&reader));
    ck_assert_uint_eq(kms__read_u8(&reader), 0);
    ck_assert(!kms__reader_ok(&reader));
}
END_TEST

START_TEST(integers_are_written_big_endian_and_never_past_the_end)
{
    size_t size = integers[_i].size;

    for (size_t room = 0; room <= 10; room++) {
        uint8_t buffer[16];
        kms__writer writer = kms__writer_to(buffer, room);

        memset(buffer, 0x77, sizeof buffer);
        write_one(&writer, size, integers[_i].value);
        ck_assert(kms__writer_ok(&writer) == (room >= size));
        ck_assert_uint_eq(writer.len, room >= size ? size : 0);
        for (size_t i = 0; i < sizeof buffer; i++)
            ck_assert_uint_eq(buffer[i], room >= size && i < size ? bytes[i] : 0x77);
    }
}
END_TEST

START_TEST(after_a_step_over_the_end_nothing_more_is_written)
{
    uint8_t buffer[4] = {7, 7, 7, 7};
    kms__writer writer = kms__writer_to(buffer, 3);

    kms__write_u32(&writer, 1);
    kms__write_u8(&writer, 1);
    kms__write_bytes(&writer, bytes, 0);
    ck_assert(!kms__writer_ok(&writer));
    ck_assert_uint_eq(writer.len, 0);
    for (size_t i = 0; i < sizeof buffer; i++)
        ck_assert_uint_eq(buffer[i], 7);
}
END_TEST

START_TEST(signed_integers_survive)
{
    static const int64_t values[] = {0, 1, -1, INT64_MAX, INT64_MIN, 1700000000000};

    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        uint8_t buffer[8];
        kms__writer writer = kms__writer_to(buffer, sizeof buffer);
        kms__reader reader = kms__reader_of(buffer, sizeof buffer);

        kms__write_i64(&writer, values[i]);
        ck_assert(kms__writer_ok(&writer));
        ck_assert_int_eq(kms__read_i64(&reader), values[i]);
        ck_assert(kms__reader_ended(&reader));
    }
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {integers_are_read_big_endian_and_never_past_the_end, INTEGERS},
        {after_a_step_over_the_end_nothing_more_is_read, 0},
        {bytes_and_slices_keep_within_the_bounds, 0},
        {lengths_that_would_wrap_around_are_refused, 0},
        {an_empty_reader_is_at_its_end, 0},
        {integers_are_written_big_endian_and_never_past_the_end, INTEGERS},
        {after_a_step_over_the_end_nothing_more_is_written, 0},
        {signed_integers_survive, 0},
    };

    return fixture_main("wire", tests, sizeof tests / sizeof *tests, 30);
}
