/*
 * Which columns are encrypted, and how. This is the part to adapt to a database of your own: list
 * every column that is encrypted under an alias, or retiring the old key takes the rest for nothing.
 *
 * customers is the table of examples/quickstart, people that of examples/searchable_column. Tables
 * that a database does not have are passed over.
 *
 * A deterministic column that is UNIQUE takes a value twice while it is under two keys. Stop who
 * inserts before the alias moves, and until this program has ended with status 0.
 */
#include "reencrypt_table.h"

#include <inttypes.h>
#include <stdio.h>

#define APP_KEY "alias/MyAppKey"

const struct table tables[] = {
    {"customers", "id", .row_in_context = true, .count = 3,
     .columns = {{"id_number", APP_KEY, FORM_BLOB, 0, NULL, 0},
                 {"card_number", APP_KEY, FORM_BLOB, 0, NULL, 0},
                 {"home_address", APP_KEY, FORM_BLOB, 0, NULL, 0}}},
    {"people", "id", .row_in_context = false, .count = 3,
     .columns = {{"id_number", "alias/people/id_number", FORM_TEXT, 0, NULL, 0},
                 {"name", "alias/people/name", FORM_TEXT, 0, NULL, 0},
                 {"name_token", "alias/people/name_index", FORM_TOKEN, .value = 1,
                  .label = "people.name", .bits = 16}}},
};

const size_t table_count = sizeof tables / sizeof *tables;

const kms_context *locate(struct place *place, const struct table *table, size_t column, int64_t id)
{
    snprintf(place->row, sizeof place->row, "%" PRId64, id);
    place->pairs[0] = (kms_context_pair){"table", table->name};
    place->pairs[1] = (kms_context_pair){"column", table->columns[column].name};
    place->pairs[2] = (kms_context_pair){"row", place->row};
    place->context = (kms_context){place->pairs, table->row_in_context ? 3 : 2};
    return &place->context;
}
