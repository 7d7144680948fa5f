/* Reading and writing integers and bytes within bounds. Integers are big-endian.
 *
 * Both sides remember the first step over the end: whoever reads or writes a whole record asks
 * once, at its end, with kms__reader_ended() or kms__writer_ok(). */
#ifndef KMS__WIRE_WIRE_H
#define KMS__WIRE_WIRE_H

#include <kms/base.h>

typedef struct kms__reader {
    const uint8_t *at;
    size_t left;
    bool failed;
} kms__reader;

kms__reader kms__reader_of(const void *data, size_t len);

/* After a step over the end these give 0, and every later one does. */
uint8_t kms__read_u8(kms__reader *reader);
uint16_t kms__read_u16(kms__reader *reader);
uint32_t kms__read_u32(kms__reader *reader);
uint64_t kms__read_u64(kms__reader *reader);
int64_t kms__read_i64(kms__reader *reader);

/* Copies len bytes; zeroes out where there are not as many. */
void kms__read_bytes(kms__reader *reader, void *out, size_t len);

/* len bytes in place; an empty slice where there are not as many. */
kms_slice kms__read_slice(kms__reader *reader, size_t len);

/* Whether everything was there. */
bool kms__reader_ok(const kms__reader *reader);

/* Whether everything was there, and nothing is left. */
bool kms__reader_ended(const kms__reader *reader);

typedef struct kms__writer {
    uint8_t *start;
    size_t size;
    size_t len;
    bool failed;
} kms__writer;

kms__writer kms__writer_to(void *buffer, size_t size);

/* Over the end these write nothing, and no later one does. */
void kms__write_u8(kms__writer *writer, uint8_t value);
void kms__write_u16(kms__writer *writer, uint16_t value);
void kms__write_u32(kms__writer *writer, uint32_t value);
void kms__write_u64(kms__writer *writer, uint64_t value);
void kms__write_i64(kms__writer *writer, int64_t value);
void kms__write_bytes(kms__writer *writer, const void *data, size_t len);

bool kms__writer_ok(const kms__writer *writer);

#endif
