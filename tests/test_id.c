/* Ids as text and bytes. */
#include "support/api_fixture.h"

#include "base/id.h"

#include <string.h>

#define TEXT "01234567-89ab-4def-8123-456789abcdef"
static const uint8_t id_bytes[KMS__ID_SIZE] = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0x4d, 0xef,
                                               0x81, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef};

START_TEST(bytes_and_text_turn_into_each_other)
{
    char text[KMS_KEY_ID_SIZE];
    uint8_t id[KMS__ID_SIZE];

    kms__id_format(id_bytes, text);
    ck_assert_str_eq(text, TEXT);
    ck_assert(kms__id_parse(TEXT, id));
    ck_assert_mem_eq(id, id_bytes, sizeof id);
    ck_assert(kms__id_parse("01234567-89AB-4DEF-8123-456789ABCDEF", id));
    ck_assert_mem_eq(id, id_bytes, sizeof id);
}
END_TEST

START_TEST(a_wrong_character_anywhere_is_noticed)
{
    static const char wrong[] = {'g', 'G', '/', ':', '@', '`', ' ', '.', '\x80', '\xff', '\n'};
    uint8_t id[KMS__ID_SIZE];

    for (size_t at = 0; at < strlen(TEXT); at++) {
        char text[] = TEXT;
        bool dash = text[at] == '-';

        for (size_t i = 0; i < sizeof wrong; i++) {
            text[at] = wrong[i];
            ck_assert_msg(!kms__id_parse(text, id), "%s", text);
        }
        text[at] = dash ? '0' : '-';
        ck_assert_msg(!kms__id_parse(text, id), "%s", text);
    }
}
END_TEST

START_TEST(another_length_is_noticed)
{
    uint8_t id[KMS__ID_SIZE];

    for (size_t len = 0; len < strlen(TEXT); len++) {
        char text[] = TEXT;

        text[len] = '\0';
        ck_assert_msg(!kms__id_parse(text, id), "%s", text);
    }
    ck_assert(!kms__id_parse(TEXT "0", id));
    ck_assert(!kms__id_parse(" " TEXT, id));
    ck_assert(!kms__id_parse("{" TEXT "}", id));
}
END_TEST

START_TEST(drawn_ids_are_random_uuids_of_version_4)
{
    enum { DRAWN = 1000 };
    static uint8_t ids[DRAWN][KMS__ID_SIZE];
    uint8_t ones[KMS__ID_SIZE] = {0}, zeros[KMS__ID_SIZE] = {0};
    size_t same = 0;

    for (size_t i = 0; i < DRAWN; i++) {
        kms__id_draw(ids[i]);
        ck_assert_uint_eq(ids[i][6] >> 4, 4);
        ck_assert_uint_eq(ids[i][8] >> 6, 2);
        for (size_t j = 0; j < KMS__ID_SIZE; j++) {
            ones[j] |= ids[i][j];
            zeros[j] |= (uint8_t)~ids[i][j];
        }
        for (size_t j = 0; j < i; j++)
            same += memcmp(ids[i], ids[j], KMS__ID_SIZE) == 0;
    }
    ck_assert_uint_eq(same, 0);
    /* Every other bit was seen both ways. */
    for (size_t j = 0; j < KMS__ID_SIZE; j++) {
        ck_assert_uint_eq(ones[j], j == 6 ? 0x4f : j == 8 ? 0xbf : 0xff);
        ck_assert_uint_eq(zeros[j], j == 6 ? 0xbf : j == 8 ? 0x7f : 0xff);
    }
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {bytes_and_text_turn_into_each_other, 0},
        {a_wrong_character_anywhere_is_noticed, 0},
        {another_length_is_noticed, 0},
        {drawn_ids_are_random_uuids_of_version_4, 0},
    };

    return fixture_main("id", tests, sizeof tests / sizeof *tests, 30);
}
