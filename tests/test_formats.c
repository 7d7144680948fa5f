/* What a newer release writes is refused as such and left alone; what 0.1 wrote is read. The records
 * are forged with the store's own keys, so that nothing but their content is wrong. */
#include "support/named_records.h"

#include "domain/last_use.h"
#include "domain/tags.h"
#include "domain/version_record.h"

#include <stdlib.h>
#include <string.h>

static place here;
static kms_store *store;
static char key[KMS_KEY_ID_SIZE], other[KMS_KEY_ID_SIZE];

static void setup(void)
{
    static const kms_tag tag = {"owner", "anna"};
    kms_create_key_options options = KMS_CREATE_KEY_OPTIONS_INIT;
    uint8_t blob[200];

    place_init(&here);
    store = place_open(&here);
    options.description = "forged";
    options.tags = &tag;
    options.tag_count = 1;
    fixture_ok(kms_create_key(store, &options, key));
    fixture_rotate(store, key);
    fixture_encrypt(store, key, "x", blob, sizeof blob);
    fixture_ok(kms_flush_last_use(store));
    fixture_create_key(store, other);
    fixture_ok(kms_verify(store));
}

static void finish(void)
{
    kms_close(store);
    place_free(&here);
}

/* --- forging ---------------------------------------------------------------------------------- */

/* What is changed in a record's plaintext: a byte, and its length. */
typedef struct forgery {
    char letter;
    size_t at;
    uint8_t value;
    int longer;
    kms_status answer;
} forgery;

/* The version record of the key's primary version. */
static kms__record_key name_of(const forgery *f)
{
    stolen named = record_of(f->letter, key, 2);
    kms__record_key name = {.len = named.key_len};

    memcpy(name.bytes, named.key, named.key_len);
    return name;
}

static kms_status forge(kms__txn *txn, void *argument)
{
    const forgery *f = argument;
    kms__record_key name = name_of(f);
    uint8_t *plain = NULL, *forged;
    size_t len = 0;
    kms_status st = kms__txn_read_alloc(txn, &name, &plain, &len, NULL);

    if (st != KMS_OK)
        return st;
    forged = calloc(1, len + 1);
    ck_assert_ptr_nonnull(forged);
    memcpy(forged, plain, len);
    free(plain);
    forged[f->at] = f->value;
    st = kms__txn_write(txn, &name, (kms_slice){forged, (size_t)((long long)len + f->longer)});
    free(forged);
    return st;
}

/* A call that reads the record. */
static kms_status read_record(char letter)
{
    static kms_tag_info tags[KMS_TAGS_MAX];
    kms_key_version_info version;
    char text[100];
    size_t count;

    switch (letter) {
    case 'D':
        return kms_get_key_description(store, key, text, sizeof text);
    case 'T':
        return kms_list_resource_tags(store, key, tags, KMS_TAGS_MAX, &count);
    default:
        return kms_describe_key_version(store, key, 2, &version);
    }
}

/* Where version 2 stands in a key record. */
#define OF_VERSION_2 (73 + 43)

static const forgery forgeries[] = {
    /* Body formats that are not known yet. */
    {'K', 0, KMS__KEY_BODY + 1, 0, KMS_ERR_NEWER_FORMAT},
    {'V', 0, KMS__VERSION_BODY + 1, 0, KMS_ERR_NEWER_FORMAT},
    {'D', 0, 2, 0, KMS_ERR_NEWER_FORMAT},
    {'T', 0, KMS__TAGS_BODY + 1, 0, KMS_ERR_NEWER_FORMAT},
    {'U', 0, KMS__LAST_USE_BODY + 1, 0, KMS_ERR_NEWER_FORMAT},
    /* Something behind what is known. */
    {'K', 0, KMS__KEY_BODY, 1, KMS_ERR_NEWER_FORMAT},
    {'V', 0, KMS__VERSION_BODY, 1, KMS_ERR_NEWER_FORMAT},
    {'T', 0, KMS__TAGS_BODY, 1, KMS_ERR_NEWER_FORMAT},
    {'U', 0, KMS__LAST_USE_BODY, 1, KMS_ERR_NEWER_FORMAT},
    /* Spec, usage, origin, creator, state and flags. */
    {'K', 1, 2, 0, KMS_ERR_NEWER_FORMAT},
    {'K', 2, 3, 0, KMS_ERR_NEWER_FORMAT},
    {'K', 3, 3, 0, KMS_ERR_NEWER_FORMAT},
    {'K', 4, 3, 0, KMS_ERR_NEWER_FORMAT},
    {'K', 5, 3, 0, KMS_ERR_NEWER_FORMAT},
    {'K', 6, 8, 0, KMS_ERR_NEWER_FORMAT},
    /* More tags, and uses of more versions, than there can be. */
    {'T', 1, KMS_TAGS_MAX + 1, 0, KMS_ERR_NEWER_FORMAT},
    {'U', 3, 0xff, 0, KMS_ERR_NEWER_FORMAT},
    /* What no release can have meant: too short, a primary version that is not there, none. */
    {'K', 0, 0, 0, KMS_ERR_CORRUPT},
    {'K', 0, KMS__KEY_BODY, -1, KMS_ERR_CORRUPT},
    {'V', 0, KMS__VERSION_BODY, -1, KMS_ERR_CORRUPT},
    {'K', 68, 3, 0, KMS_ERR_CORRUPT},
    {'K', 68, 0, 0, KMS_ERR_CORRUPT},
    /* A version that has material, and is said to have none. */
    {'K', OF_VERSION_2 + 1, 0, 0, KMS_ERR_CORRUPT},
};

START_TEST(a_record_that_says_more_than_is_known_is_refused_and_others_go_on)
{
    forgery f = forgeries[_i];
    stolen_set before, after;
    uint8_t blob[200];

    setup();
    fixture_ok(kms__store_write(store, forge, &f));
    fixture_is(read_record(f.letter), f.answer);
    before = place_steal(&here);
    fixture_is(kms_verify(store), f.answer);
    if (f.letter == 'K' && f.at < OF_VERSION_2)
        fixture_is(kms_disable_key(store, key), f.answer);
    if (f.letter == 'T')
        fixture_is(kms_untag_resource(store, key, NULL, 0), f.answer);
    after = place_steal(&here);
    ck_assert_mem_eq(stolen_find(&before, 'H')->value, stolen_find(&after, 'H')->value,
                     stolen_find(&before, 'H')->value_len);
    fixture_encrypt(store, other, "goes on", blob, sizeof blob);
    fixture_ok(kms_disable_key(store, other));
    stolen_free(&before);
    stolen_free(&after);
    finish();
}
END_TEST

/* --- the header ------------------------------------------------------------------------------- */

static void plant_header(uint8_t body, size_t longer)
{
    const kms__seal seal = {store->id, store->generation, store->records_key};
    uint8_t plain[KMS__HEADER_PLAIN_SIZE + 1] = {0}, value[KMS__HEADER_VALUE_SIZE + 1];
    stolen_set now = place_steal(&here);
    const stolen *header = stolen_find(&now, 'H');
    size_t len = KMS__HEADER_PLAIN_SIZE + longer;

    fixture_ok(kms__record_open(&seal, kms__header_key(),
                                (kms_slice){header->value, header->value_len}, plain));
    ck_assert_uint_eq(plain[0], KMS__HEADER_BODY);
    plain[0] = body;
    kms__record_seal(&seal, kms__header_key(), (kms_slice){plain, len}, value);
    place_plant(&here, "H", 1, value, len + KMS__RECORD_OVERHEAD);
    stolen_free(&now);
}

static kms_status open_anew(void)
{
    kms_store *fresh = NULL;
    kms_status st;

    kms_close(store);
    st = place_try_open(&here, &fresh, 0, NULL);
    store = fresh;
    return st;
}

START_TEST(a_header_of_a_newer_release_closes_the_whole_store)
{
    uint8_t blob[200];
    stolen_set good;

    setup();
    good = place_steal(&here);
    plant_header(_i == 0 ? KMS__HEADER_BODY + 1 : KMS__HEADER_BODY, _i == 0 ? 0 : 1);
    fixture_is(kms_disable_key(store, key), KMS_ERR_NEWER_FORMAT);
    fixture_is(kms_verify(store), KMS_ERR_NEWER_FORMAT);
    fixture_is(open_anew(), KMS_ERR_NEWER_FORMAT);
    place_restore(&here, &good);
    fixture_ok(open_anew());
    fixture_encrypt(store, key, "goes on", blob, sizeof blob);
    stolen_free(&good);
    finish();
}
END_TEST

/* 0.1 wrote it; the first change makes it one that 0.1 refuses, since there may be records then that
 * it does not know. */
START_TEST(a_header_of_0_1_is_read_and_becomes_one_of_0_2_with_the_first_change)
{
    setup();
    plant_header(1, 0);
    fixture_ok(open_anew());
    fixture_ok(kms_verify(store));
    fixture_ok(kms_disable_key(store, key));
    /* It looks for its own body format there. */
    plant_header(KMS__HEADER_BODY, 0);
    fixture_ok(kms_verify(store));
    finish();
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {a_record_that_says_more_than_is_known_is_refused_and_others_go_on,
         sizeof forgeries / sizeof *forgeries},
        {a_header_of_a_newer_release_closes_the_whole_store, 2},
        {a_header_of_0_1_is_read_and_becomes_one_of_0_2_with_the_first_change, 0},
    };

    return fixture_main("formats", tests, sizeof tests / sizeof *tests, 60);
}
