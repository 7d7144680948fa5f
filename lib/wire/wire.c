#include "wire/wire.h"

#include <string.h>

kms__reader kms__reader_of(const void *data, size_t len)
{
    kms__reader reader = {.at = data, .left = len, .failed = false};

    return reader;
}

kms_slice kms__read_slice(kms__reader *reader, size_t len)
{
    kms_slice taken = {NULL, 0};

    if (reader->failed || len > reader->left) {
        reader->failed = true;
        return taken;
    }
    taken.data = reader->at;
    taken.len = len;
    if (len > 0)
        reader->at += len;
    reader->left -= len;
    return taken;
}

void kms__read_bytes(kms__reader *reader, void *out, size_t len)
{
    kms_slice taken = kms__read_slice(reader, len);

    if (len == 0)
        return;
    if (taken.len == len)
        memcpy(out, taken.data, len);
    else
        memset(out, 0, len);
}

static uint64_t read_integer(kms__reader *reader, size_t bytes)
{
    kms_slice taken = kms__read_slice(reader, bytes);
    const uint8_t *at = taken.data;
    uint64_t value = 0;

    for (size_t i = 0; i < taken.len; i++)
        value = value << 8 | at[i];
    return value;
}

uint8_t kms__read_u8(kms__reader *reader)
{
    return (uint8_t)read_integer(reader, 1);
}

uint16_t kms__read_u16(kms__reader *reader)
{
    return (uint16_t)read_integer(reader, 2);
}

uint32_t kms__read_u32(kms__reader *reader)
{
    return (uint32_t)read_integer(reader, 4);
}

uint64_t kms__read_u64(kms__reader *reader)
{
    return read_integer(reader, 8);
}

int64_t kms__read_i64(kms__reader *reader)
{
    return (int64_t)read_integer(reader, 8);
}

bool kms__reader_ok(const kms__reader *reader)
{
    return !reader->failed;
}

bool kms__reader_ended(const kms__reader *reader)
{
    return !reader->failed && reader->left == 0;
}

kms__writer kms__writer_to(void *buffer, size_t size)
{
    kms__writer writer = {.start = buffer, .size = size, .len = 0, .failed = false};

    return writer;
}

void kms__write_bytes(kms__writer *writer, const void *data, size_t len)
{
    if (writer->failed || len > writer->size - writer->len) {
        writer->failed = true;
        return;
    }
    if (len > 0)
        memcpy(writer->start + writer->len, data, len);
    writer->len += len;
}

static void write_integer(kms__writer *writer, uint64_t value, size_t bytes)
{
    uint8_t text[8];

    for (size_t i = bytes; i-- > 0; value >>= 8)
        text[i] = (uint8_t)value;
    kms__write_bytes(writer, text, bytes);
}

void kms__write_u8(kms__writer *writer, uint8_t value)
{
    write_integer(writer, value, 1);
}

void kms__write_u16(kms__writer *writer, uint16_t value)
{
    write_integer(writer, value, 2);
}

void kms__write_u32(kms__writer *writer, uint32_t value)
{
    write_integer(writer, value, 4);
}

void kms__write_u64(kms__writer *writer, uint64_t value)
{
    write_integer(writer, value, 8);
}

void kms__write_i64(kms__writer *writer, int64_t value)
{
    write_integer(writer, (uint64_t)value, 8);
}

bool kms__writer_ok(const kms__writer *writer)
{
    return !writer->failed;
}
