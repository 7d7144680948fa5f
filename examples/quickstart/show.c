/* Shows what the database holds: a customer as an example, and which key each row is under. */
#include "quickstart.h"

#include <stdio.h>
#include <string.h>

/* A blob's beginning, which has its key's id and version in it, and its end. */
static void show_blob(const struct blob *blob)
{
    for (size_t at = 0; at < blob->len; at++) {
        if (at < 26 || at >= blob->len - 6) {
            printf("%02x", blob->bytes[at]);
        } else if (at == 26) {
            printf("...");
        }
    }
    printf(" (%zu bytes)\n", blob->len);
}

bool show_customer(const struct quickstart *app, int64_t id)
{
    struct customer customer;
    struct row row;

    generate_customer(id, &customer);
    if (database_next(app->db, id - 1, &row) != NEXT_ROW) {
        return fail("customer %lld is not there", (long long)id);
    }
    printf("   customer %lld, %s, for example:\n", (long long)id, row.name);
    for (int i = 0; i < FIELDS; i++) {
        printf("   %14s  %s\n   %14s  ", field_names[i], customer.fields[i], "is kept as");
        show_blob(&row.fields[i]);
    }
    return true;
}

static const char *name_of(const struct quickstart *app, const char *key_id)
{
    return strcmp(key_id, app->cmk_a) == 0   ? "CMK-A"
           : strcmp(key_id, app->cmk_b) == 0 ? "CMK-B"
                                             : "another key";
}

bool show_tally(const struct quickstart *app, const char *key_id, uint64_t *rows)
{
    struct tally tally;
    kms_alias_info alias;

    if (!tally_rows(app->db, &tally) || !ok(kms_describe_alias(app->store, ALIAS, &alias))) {
        return false;
    }
    *rows = 0;
    printf("\n   %-36s  %7s  %10s\n", "key", "version", "rows");
    for (const struct tally_line *line = tally.lines; line < tally.lines + tally.count; line++) {
        printf("   %-36s  %7u  %10s  %s%s\n", line->key_id, line->key_version,
               grouped(line->rows).text, name_of(app, line->key_id),
               strcmp(line->key_id, alias.key_id) == 0 ? ", " ALIAS : "");
        *rows += strcmp(line->key_id, key_id) == 0 ? line->rows : 0;
    }
    return true;
}

void print_customers(uint64_t count)
{
    struct customer customer;

    for (uint64_t id = 1; id <= count; id++) {
        generate_customer((int64_t)id, &customer);
        printf("%llu\t%s\t%s\t%s\t%s\n", (unsigned long long)id, customer.name,
               customer.fields[ID_NUMBER], customer.fields[CARD_NUMBER],
               customer.fields[HOME_ADDRESS]);
    }
}
