#include "named_records.h"

#include <stdlib.h>
#include <string.h>

stolen record_of(char letter, const char *key_id, uint32_t version)
{
    stolen named = {.key_len = 17};
    char hex[33];
    size_t at = 0;

    for (const char *c = key_id; *c != '\0'; c++)
        if (*c != '-')
            hex[at++] = *c;
    named.key[0] = (uint8_t)letter;
    for (size_t i = 0; i < 16; i++) {
        char byte[3] = {hex[2 * i], hex[2 * i + 1], '\0'};

        named.key[1 + i] = (uint8_t)strtoul(byte, NULL, 16);
    }
    if (letter == 'V') {
        named.key[20] = (uint8_t)version;
        named.key_len = 21;
    }
    return named;
}

stolen alias_record(const char *name)
{
    stolen named = {.key_len = 1 + strlen(name)};

    named.key[0] = 'A';
    memcpy(named.key + 1, name, strlen(name));
    return named;
}

const stolen *named_in(const stolen_set *set, stolen named)
{
    for (size_t i = 0; i < set->count; i++)
        if (set->records[i].key_len == named.key_len &&
            memcmp(set->records[i].key, named.key, named.key_len) == 0)
            return &set->records[i];
    ck_abort_msg("no such record of letter %c", named.key[0]);
    return NULL;
}
