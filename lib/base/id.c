#include "base/id.h"

#include <sodium.h>

static const char digits[] = "0123456789abcdef";

static bool dash_stands_before(size_t byte)
{
    return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

void kms__id_draw(uint8_t id[KMS__ID_SIZE])
{
    randombytes_buf(id, KMS__ID_SIZE);
    id[6] = (uint8_t)((id[6] & 0x0f) | 0x40);
    id[8] = (uint8_t)((id[8] & 0x3f) | 0x80);
}

void kms__id_format(const uint8_t id[KMS__ID_SIZE], char text[KMS_KEY_ID_SIZE])
{
    for (size_t i = 0; i < KMS__ID_SIZE; i++) {
        if (dash_stands_before(i))
            *text++ = '-';
        *text++ = digits[id[i] >> 4];
        *text++ = digits[id[i] & 0x0f];
    }
    *text = '\0';
}

static int digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool kms__id_parse(const char *text, uint8_t id[KMS__ID_SIZE])
{
    for (size_t i = 0; i < KMS__ID_SIZE; i++) {
        int high, low;

        if (dash_stands_before(i) && *text++ != '-')
            return false;
        /* A final NUL is no digit, so nothing behind it is looked at. */
        if ((high = digit_value(text[0])) < 0 || (low = digit_value(text[1])) < 0)
            return false;
        id[i] = (uint8_t)(high << 4 | low);
        text += 2;
    }
    return *text == '\0';
}
