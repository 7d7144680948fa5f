/* kms_would() says what the call then does, and changes nothing. */
#include "support/key_life.h"

#include <string.h>

#define NOBODY "00000000-0000-4000-8000-000000000000"

static place here;
static kms_store *store;
/* byok has material that was imported. */
static char id[KMS_KEY_ID_SIZE], other[KMS_KEY_ID_SIZE], byok[KMS_KEY_ID_SIZE];
static uint8_t blob[200];
static size_t blob_len;

static void setup(void)
{
    place_init(&here);
    store = life_open(&here);
    fixture_create_key(store, id);
    fixture_create_key(store, other);
    life_create_imported(store, 1, byok);
    fixture_ok(kms_create_alias(store, "alias/key", id));
    fixture_ok(kms_create_alias(store, "alias/other", other));
    blob_len = fixture_encrypt(store, id, "text", blob, sizeof blob);
}

static void reopen(uint32_t flags)
{
    kms_close(store);
    fixture_ok(life_try_open(&here, &store, flags));
}

static void finish(void)
{
    kms_close(store);
    place_free(&here);
}

/* --- doing each operation ------------------------------------------------------------------- */

static kms_status create_key(const char *unused)
{
    char made[KMS_KEY_ID_SIZE];

    (void)unused;
    return kms_create_key(store, NULL, made);
}

static kms_status describe(const char *reference)
{
    kms_key_info info = {.version = KMS_KEY_INFO_VERSION};

    return kms_describe_key(store, reference, &info);
}

static kms_status enable(const char *reference)
{
    return kms_enable_key(store, reference);
}

static kms_status disable(const char *reference)
{
    return kms_disable_key(store, reference);
}

static kms_status rotate(const char *reference)
{
    return kms_create_key_version(store, reference, NULL);
}

static kms_status create_alias(const char *reference)
{
    return kms_create_alias(store, "alias/new", reference);
}

static kms_status move_alias(const char *reference)
{
    return kms_update_alias(store, "alias/other", reference);
}

static kms_status delete_alias(const char *reference)
{
    return kms_delete_alias(store, reference);
}

static kms_status encrypt(const char *reference)
{
    uint8_t out[200];
    size_t len;

    return kms_encrypt(store, reference, NULL, "x", 1, out, sizeof out, &len);
}

static kms_status decrypt(const char *unused)
{
    char plain[16];
    size_t len;

    (void)unused;
    return kms_decrypt(store, NULL, blob, blob_len, plain, sizeof plain, &len);
}

static kms_status set_policy(const char *reference)
{
    return kms_update_rotation_policy(store, reference, true, 30);
}

static kms_status describe_anew(const char *reference)
{
    return kms_update_key_description(store, reference, "text");
}

static kms_status tag(const char *reference)
{
    const kms_tag tags[] = {{"name", "value"}};

    return kms_tag_resource(store, reference, tags, 1);
}

static kms_status untag(const char *reference)
{
    return kms_untag_resource(store, reference, NULL, 0);
}

static kms_status schedule(const char *reference)
{
    return kms_schedule_key_deletion(store, reference, 0, NULL);
}

static kms_status cancel(const char *reference)
{
    return kms_cancel_key_deletion(store, reference);
}

static kms_status protect(const char *reference)
{
    return kms_set_deletion_protection(store, reference, true);
}

static kms_status purge(const char *reference)
{
    return kms_purge_key(store, reference, life_now_ms);
}

static kms_status get_parameters(const char *reference)
{
    kms_import_parameters parameters;

    return kms_get_parameters_for_import(store, reference, KMS_WRAPPING_SEALED_BOX, &parameters);
}

static kms_status import_material(const char *reference)
{
    return life_try_import(store, reference, 1, 0);
}

static kms_status import_version(const char *reference)
{
    return life_try_import_version(store, reference, 2, NULL);
}

static kms_status delete_material(const char *reference)
{
    return kms_delete_key_material(store, reference, 0);
}

static kms_status set_minimum(const char *reference)
{
    return kms_set_minimum_version(store, reference, 1, 0);
}

typedef struct operation {
    kms_operation number;
    kms_status (*perform)(const char *reference);
    /* What it is tried on: a key id, an alias, or nothing. */
    const char *reference;
    bool changes;
} operation;

static const operation operations[] = {
    {KMS_OP_CREATE_KEY, create_key, NULL, true},
    {KMS_OP_DESCRIBE_KEY, describe, id, false},
    {KMS_OP_DESCRIBE_KEY, describe, "alias/key", false},
    {KMS_OP_ENABLE_KEY, enable, id, true},
    {KMS_OP_DISABLE_KEY, disable, id, true},
    {KMS_OP_CREATE_KEY_VERSION, rotate, id, true},
    {KMS_OP_CREATE_ALIAS, create_alias, id, true},
    {KMS_OP_UPDATE_ALIAS, move_alias, id, true},
    {KMS_OP_DELETE_ALIAS, delete_alias, "alias/key", true},
    {KMS_OP_ENCRYPT, encrypt, id, false},
    {KMS_OP_ENCRYPT, encrypt, "alias/key", false},
    {KMS_OP_DECRYPT, decrypt, id, false},
    {KMS_OP_DECRYPT, decrypt, "alias/key", false},
    {KMS_OP_UPDATE_ROTATION_POLICY, set_policy, id, true},
    {KMS_OP_UPDATE_KEY_DESCRIPTION, describe_anew, id, true},
    {KMS_OP_TAG_RESOURCE, tag, id, true},
    {KMS_OP_UNTAG_RESOURCE, untag, id, true},
    {KMS_OP_SCHEDULE_KEY_DELETION, schedule, id, true},
    {KMS_OP_CANCEL_KEY_DELETION, cancel, id, true},
    {KMS_OP_SET_DELETION_PROTECTION, protect, id, true},
    {KMS_OP_PURGE_KEY, purge, id, true},
    {KMS_OP_GET_PARAMETERS_FOR_IMPORT, get_parameters, byok, false},
    {KMS_OP_IMPORT_KEY_MATERIAL, import_material, byok, true},
    {KMS_OP_IMPORT_KEY_VERSION, import_version, byok, true},
    {KMS_OP_DELETE_KEY_MATERIAL, delete_material, byok, true},
    {KMS_OP_CHANGE_KEY_VERSION, set_minimum, id, true},
};
#define OPERATIONS (sizeof operations / sizeof *operations)

/* Asks, then does; both answer alike, and asking wrote nothing. */
static kms_status compare(const operation *o, const char *reference)
{
    unsigned long writes = engine_count(&here.control, ENGINE_BEGIN_WRITE);
    kms_status asked = kms_would(store, o->number, reference);
    kms_status done;

    ck_assert_uint_eq(engine_count(&here.control, ENGINE_BEGIN_WRITE), writes);
    ck_assert_int_eq(atomic_load(&here.control.open_txns), 0);
    done = o->perform(reference);
    ck_assert_msg(asked == done, "operation %u on %s: would %s, did %s", (unsigned)o->number,
                  reference != NULL ? reference : "NULL", kms_status_name(asked),
                  kms_status_name(done));
    return done;
}

/* What an enabled key refuses. */
static bool needs_a_schedule(const operation *o)
{
    return o->number == KMS_OP_CANCEL_KEY_DELETION || o->number == KMS_OP_PURGE_KEY;
}

/* --- tests ---------------------------------------------------------------------------------- */

START_TEST(would_is_does_in_every_state)
{
    const operation *o = &operations[(size_t)_i / 4];
    kms_key_state state = (kms_key_state)(_i % 4 + 1);

    setup();
    fixture_set_key_state(store, id, state);
    fixture_set_key_state(store, byok, state);
    (void)compare(o, o->reference);
    finish();
}
END_TEST

START_TEST(would_is_does_where_nothing_may_change)
{
    const operation *o = &operations[(size_t)_i / 4];
    kms_key_state state = (kms_key_state)(_i % 4 + 1);
    kms_status st;

    setup();
    fixture_set_key_state(store, id, state);
    fixture_set_key_state(store, byok, state);
    reopen(_i % 2 == 0 ? KMS_OPEN_READ_ONLY : KMS_OPEN_FROZEN);
    st = compare(o, o->reference);
    if (o->changes)
        ck_assert_int_eq(st, KMS_ERR_READ_ONLY);
    (void)compare(o, o->changes ? "malformed" : o->reference);
    finish();
}
END_TEST

START_TEST(would_is_does_for_every_reference)
{
    static const char *const references[] = {
        NULL,         "",          "x",
        "alias/",     "alias/a b", NOBODY,
        "alias/none", "alias/acs", "alias/acs/rds",
        "alias/key",  "ALIAS/key", "00000000-0000-4000-8000-00000000000",
        "alias/other"};
    const operation *o = &operations[_i];

    if (o->number == KMS_OP_DECRYPT || o->number == KMS_OP_CREATE_KEY)
        return;
    setup();
    for (size_t i = 0; i < sizeof references / sizeof *references; i++)
        (void)compare(o, references[i]);
    finish();
}
END_TEST

/* Tags of the records, and how each is damaged. */
#define DAMAGES (6 * 3)

static void damage(int number)
{
    stolen_set set = place_steal(&here);
    char tag = "AHIKVB"[number / 3];

    for (size_t i = 0; i < set.count; i++) {
        stolen *record = &set.records[i];

        if (record->key[0] != (uint8_t)tag)
            continue;
        if (number % 3 == 0) {
            place_plant(&here, record->key, record->key_len, NULL, 0);
        } else {
            /* Another byte of its content, or too short to be a record at all. */
            record->value[record->value_len / 2] ^= 1;
            if (number % 3 == 2)
                record->value_len = 20;
            place_plant_record(&here, record);
        }
    }
    stolen_free(&set);
}

START_TEST(would_is_does_on_a_damaged_store)
{
    const operation *o = &operations[_i / DAMAGES];
    char tag = "AHIKVB"[_i % DAMAGES / 3];
    kms_status st;

    /* kms_would() is not told which alias would be moved, nor kms_decrypt() which leads to it; and
     * which version an import would be about is not known. */
    if ((o->number == KMS_OP_UPDATE_ALIAS && (tag == 'A' || tag == 'I')) ||
        (o->number == KMS_OP_DECRYPT && o->reference != id) || (o->reference == byok && tag == 'V'))
        return;
    setup();
    /* The cache of the handle is cold. */
    reopen(0);
    damage(_i % DAMAGES);
    st = compare(o, o->reference);
    ck_assert_msg(st == KMS_OK || st == KMS_ERR_CORRUPT || st == KMS_ERR_KEY_NOT_FOUND ||
                      st == KMS_ERR_ALIAS_NOT_FOUND ||
                      (st == KMS_ERR_INVALID_STATE && needs_a_schedule(o)),
                  "%s", kms_status_name(st));
    finish();
}
END_TEST

START_TEST(would_is_does_when_the_engine_fails)
{
    const operation *o = &operations[_i];
    kms_status asked, done;

    setup();
    /* The cache of the handle is cold. */
    reopen(0);
    engine_fail(&here.control, ENGINE_GET, 1, KMS_ERR_STORE_REPLACED, true);
    asked = kms_would(store, o->number, o->reference);
    done = o->perform(o->reference);
    ck_assert_uint_gt(engine_disarm(&here.control), 0);
    fixture_is(asked, KMS_ERR_STORE_REPLACED);
    fixture_is(done, KMS_ERR_STORE_REPLACED);
    finish();
}
END_TEST

START_TEST(asking_writes_nothing)
{
    uint64_t changes;

    setup();
    changes = fixture_changes(store);
    for (size_t i = 0; i < OPERATIONS; i++)
        fixture_is(kms_would(store, operations[i].number, operations[i].reference),
                   needs_a_schedule(&operations[i]) ? KMS_ERR_INVALID_STATE : KMS_OK);
    ck_assert_uint_eq(fixture_changes(store), changes);
    ck_assert_int_eq(fixture_describe(store, id).state, KMS_KEY_ENABLED);
    ck_assert_uint_eq(fixture_describe(store, id).version_count, 1);
    fixture_ok(kms_verify(store));
    finish();
}
END_TEST

START_TEST(an_operation_that_is_none_is_refused)
{
    static const int numbers[] = {-1, 0, 26, 27, 1000};

    setup();
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        fixture_is(kms_would(store, (kms_operation)numbers[i], id), KMS_ERR_INVALID_ARGUMENT);
    fixture_is(kms_would(NULL, KMS_OP_ENCRYPT, id), KMS_ERR_INVALID_ARGUMENT);
    finish();
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {
        {would_is_does_in_every_state, OPERATIONS * 4},
        {would_is_does_where_nothing_may_change, OPERATIONS * 4},
        {would_is_does_for_every_reference, OPERATIONS},
        {would_is_does_on_a_damaged_store, OPERATIONS * DAMAGES},
        {would_is_does_when_the_engine_fails, OPERATIONS},
        {asking_writes_nothing, 0},
        {an_operation_that_is_none_is_refused, 0},
    };

    return fixture_main("would", tests, sizeof tests / sizeof *tests, 60);
}
