/* Looks for plaintext in the files, when all is closed. */
#include "quickstart.h"

#include <stdio.h>

static bool add_texts(struct search *search, int64_t id, bool encrypted)
{
    struct customer customer;
    bool added = true;

    generate_customer(id, &customer);
    if (!encrypted) {
        return search_add(search, customer.name);
    }
    for (int i = 0; added && i < FIELDS; i++) {
        added = search_add(search, customer.fields[i]);
    }
    return added;
}

/* Looks for what is encrypted, or for what is not. */
static bool look(const struct quickstart *app, bool encrypted, struct search_result *result)
{
    struct search *search = search_new();
    bool looked = search != NULL && search_add(search, encrypted ? PASSPHRASE : ALIAS);

    for (uint64_t id = 1; looked && id <= app->records * 2; id++) {
        looked = add_texts(search, (int64_t)id, encrypted);
    }
    looked = looked && search_directory(search, app->place.path, result);
    search_free(search);
    return looked;
}

/* First for what must be there, to prove that it would be found; then for what must not. */
bool look_for_plaintext(const struct quickstart *app)
{
    struct search_result names;
    struct search_result fields;

    printf("\nLooking for plaintext, in pieces of 8 bytes\n");
    if (!look(app, false, &names) || !look(app, true, &fields)) {
        return false;
    }
    printf("   %s bytes of %s files looked at: database, its log, store, lock files\n",
           grouped(fields.bytes).text, grouped(fields.files).text);
    printf("   names and %s, which are not encrypted: %s of %s pieces found\n", ALIAS,
           grouped(names.found).text, grouped(names.sought).text);
    printf("   %s encrypted fields and the passphrase: %s of %s pieces found\n",
           grouped(app->records * 2 * FIELDS).text, grouped(fields.found).text,
           grouped(fields.sought).text);
    if (names.found != names.sought) {
        return fail("the search did not find what is there");
    }
    return fields.found == 0 || fail("plaintext lies in the files");
}
