/*
 * The two modules of the application that know libkms. A rotation changes neither of them: one
 * names the alias, the other no key at all.
 */
#include "quickstart.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Where a field belongs. It is bound to the blob and not kept in it: a blob that somebody copies
 * into another row or column does not open there. */
struct location {
    char row[24];
    kms_context_pair pairs[3];
    kms_context context;
};

static const kms_context *locate(struct location *location, int64_t row, int field)
{
    snprintf(location->row, sizeof location->row, "%" PRId64, row);
    location->pairs[0] = (kms_context_pair){"table", "customers"};
    location->pairs[1] = (kms_context_pair){"column", field_names[field]};
    location->pairs[2] = (kms_context_pair){"row", location->row};
    location->context = (kms_context){location->pairs, 3};
    return &location->context;
}

bool encrypt_customer(kms_store *store, const struct customer *customer, struct row *row)
{
    struct location location;

    row->id = customer->id;
    memcpy(row->name, customer->name, sizeof row->name);
    for (int i = 0; i < FIELDS; i++) {
        const char *plain = customer->fields[i];
        struct blob *blob = &row->fields[i];

        if (!ok(kms_encrypt(store, ALIAS, locate(&location, row->id, i), plain, strlen(plain),
                            blob->bytes, sizeof blob->bytes, &blob->len))) {
            return false;
        }
    }
    return true;
}

bool decrypt_customer(kms_store *store, const struct row *row, struct customer *customer)
{
    struct location location;

    customer->id = row->id;
    memcpy(customer->name, row->name, sizeof customer->name);
    for (int i = 0; i < FIELDS; i++) {
        const struct blob *blob = &row->fields[i];
        char *plain = customer->fields[i];
        size_t len;

        if (!ok(kms_decrypt(store, locate(&location, row->id, i), blob->bytes, blob->len, plain,
                            FIELD_SIZE - 1, &len))) {
            return false;
        }
        memset(plain + len, 0, FIELD_SIZE - len);
    }
    return true;
}
