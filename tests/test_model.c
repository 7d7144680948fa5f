/* A thousand random calls against a model of what they must do. The seed is printed, and
 * KMS_TEST_SEED repeats it. */
#include "support/api_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define STEPS 1000
#define KEYS_MAX 40
#define NAMES 10
#define BLOBS 64

typedef struct model_key {
    char id[KMS_KEY_ID_SIZE];
    bool enabled;
    uint32_t versions;
} model_key;

typedef struct model_alias {
    /* Index of its key, -1: it is not there; and of the key before, -1: none. */
    int key, previous;
} model_alias;

typedef struct model_blob {
    uint8_t bytes[KMS_CIPHERTEXT_SIZE(16)];
    size_t len;
    int key;
    uint32_t version;
    char text[16];
} model_blob;

static struct {
    model_key keys[KEYS_MAX];
    int key_count;
    model_alias aliases[NAMES];
    model_blob blobs[BLOBS];
    uint64_t changes;
} model;

static place here;
static kms_store *store;
static uint64_t random_state;

/* splitmix64 */
static unsigned draw(unsigned below)
{
    uint64_t z = (random_state += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (unsigned)((z ^ (z >> 31)) % below);
}

static const char *name_of(int alias)
{
    static char name[NAMES][16];

    snprintf(name[alias], sizeof name[alias], "alias/n%d", alias);
    return name[alias];
}

static int any_key(void)
{
    return (int)draw((unsigned)model.key_count);
}

static int any_alias(void)
{
    return (int)draw(NAMES);
}

static void answers(kms_status st, kms_status wanted, const char *what)
{
    ck_assert_msg(st == wanted, "%s: %s instead of %s: %s", what, kms_status_name(st),
                  kms_status_name(wanted), kms_error_message());
}

static kms_status of_key(int key)
{
    return model.keys[key].enabled ? KMS_OK : KMS_ERR_DISABLED;
}

/* --- the calls -------------------------------------------------------------------------------- */

static void add_key(const char *id)
{
    model_key *key = &model.keys[model.key_count++];

    strcpy(key->id, id);
    key->enabled = true;
    key->versions = 1;
    model.changes++;
}

static void create_key(void)
{
    char id[KMS_KEY_ID_SIZE];

    if (model.key_count == KEYS_MAX)
        return;
    answers(kms_create_key(store, NULL, id), KMS_OK, "create key");
    add_key(id);
}

static void rotate(void)
{
    int key = any_key();
    uint32_t number = 0;

    answers(kms_create_key_version(store, model.keys[key].id, &number), of_key(key), "rotate");
    if (!model.keys[key].enabled)
        return;
    ck_assert_uint_eq(number, ++model.keys[key].versions);
    model.changes++;
}

static void switch_key(void)
{
    model_key *key = &model.keys[any_key()];
    bool enable = draw(3) != 0;

    answers(enable ? kms_enable_key(store, key->id) : kms_disable_key(store, key->id), KMS_OK,
            "switch");
    model.changes += key->enabled != enable;
    key->enabled = enable;
}

static void create_alias(void)
{
    int alias = any_alias(), key = any_key();
    bool there = model.aliases[alias].key >= 0;

    answers(kms_create_alias(store, name_of(alias), model.keys[key].id),
            there ? KMS_ERR_ALREADY_EXISTS : KMS_OK, "create alias");
    if (there)
        return;
    model.aliases[alias] = (model_alias){key, -1};
    model.changes++;
}

static void move_alias(void)
{
    int alias = any_alias(), key = any_key();
    model_alias *moved = &model.aliases[alias];

    answers(kms_update_alias(store, name_of(alias), model.keys[key].id),
            moved->key >= 0 ? KMS_OK : KMS_ERR_ALIAS_NOT_FOUND, "move alias");
    if (moved->key < 0 || moved->key == key)
        return;
    *moved = (model_alias){key, moved->key};
    model.changes++;
}

static void delete_alias(void)
{
    int alias = any_alias();
    bool there = model.aliases[alias].key >= 0;

    answers(kms_delete_alias(store, name_of(alias)), there ? KMS_OK : KMS_ERR_ALIAS_NOT_FOUND,
            "delete alias");
    model.aliases[alias].key = -1;
    model.changes += there;
}

static void ensure_alias(void)
{
    int alias = any_alias();
    char id[KMS_KEY_ID_SIZE];

    if (model.aliases[alias].key < 0 && model.key_count == KEYS_MAX)
        return;
    answers(kms_ensure_alias(store, name_of(alias), NULL, id), KMS_OK, "ensure alias");
    if (model.aliases[alias].key < 0) {
        add_key(id);
        model.aliases[alias] = (model_alias){model.key_count - 1, -1};
    }
    ck_assert_str_eq(id, model.keys[model.aliases[alias].key].id);
}

static void encrypt(void)
{
    model_blob *blob = &model.blobs[draw(BLOBS)];
    int alias = any_alias();
    bool by_alias = draw(2) != 0;
    int key = by_alias ? model.aliases[alias].key : any_key();
    kms_blob_info info;
    char text[16] = {0};
    kms_status wanted = key < 0 ? KMS_ERR_ALIAS_NOT_FOUND : of_key(key);

    snprintf(text, sizeof text, "%u", draw(1000000));
    answers(kms_encrypt(store, by_alias ? name_of(alias) : model.keys[key].id, NULL, text,
                        sizeof text, blob->bytes, sizeof blob->bytes, &blob->len),
            wanted, "encrypt");
    if (wanted != KMS_OK)
        return;
    fixture_ok(kms_inspect_blob(blob->bytes, blob->len, &info));
    ck_assert_str_eq(info.key_id, model.keys[key].id);
    ck_assert_uint_eq(info.key_version, model.keys[key].versions);
    blob->key = key;
    blob->version = info.key_version;
    memcpy(blob->text, text, sizeof text);
}

static void decrypt(void)
{
    const model_blob *blob = &model.blobs[draw(BLOBS)];
    kms_key_used used;
    char text[16] = {0};
    size_t len;

    if (blob->len == 0)
        return;
    answers(kms_decrypt_expecting(store, draw(2) ? model.keys[blob->key].id : NULL, NULL,
                                  blob->bytes, blob->len, text, sizeof text, &len, &used),
            of_key(blob->key), "decrypt");
    if (!model.keys[blob->key].enabled)
        return;
    ck_assert_int_eq(memcmp(text, blob->text, sizeof text), 0);
    ck_assert_str_eq(used.key_id, model.keys[blob->key].id);
    ck_assert_uint_eq(used.key_version, blob->version);
}

static void reopen(void)
{
    kms_close(store);
    store = place_open(&here);
}

/* --- the whole store against the whole model -------------------------------------------------- */

static int key_with_id(const char *id)
{
    for (int i = 0; i < model.key_count; i++)
        if (strcmp(model.keys[i].id, id) == 0)
            return i;
    ck_abort_msg("a key %s that nobody made", id);
    return -1;
}

static void check_keys(void)
{
    char page[KEYS_MAX + 1][KMS_KEY_ID_SIZE];
    size_t count;

    fixture_ok(kms_list_keys(store, NULL, page, KEYS_MAX + 1, &count, NULL));
    ck_assert_int_eq((int)count, model.key_count);
    for (size_t i = 0; i < count; i++) {
        const model_key *key = &model.keys[key_with_id(page[i])];
        kms_key_info info = fixture_describe(store, page[i]);

        ck_assert_int_eq(info.state, key->enabled ? KMS_KEY_ENABLED : KMS_KEY_DISABLED);
        ck_assert_uint_eq(info.version_count, key->versions);
        ck_assert_uint_eq(info.primary_version, key->versions);
    }
}

static size_t count_aliases_of(int key)
{
    size_t count = 0;

    for (int i = 0; i < NAMES; i++)
        count += model.aliases[i].key >= 0 && (key < 0 || model.aliases[i].key == key);
    return count;
}

static void check_aliases(void)
{
    kms_alias_info page[NAMES + 1];
    size_t count;

    fixture_ok(kms_list_aliases(store, NULL, page, NAMES + 1, &count, NULL));
    ck_assert_uint_eq(count, count_aliases_of(-1));
    for (size_t i = 0; i < count; i++) {
        const model_alias *alias = &model.aliases[atoi(page[i].name + strlen("alias/n"))];

        ck_assert_int_ge(alias->key, 0);
        ck_assert_str_eq(page[i].key_id, model.keys[alias->key].id);
        ck_assert_str_eq(page[i].previous_key_id,
                         alias->previous < 0 ? "" : model.keys[alias->previous].id);
    }
    for (int key = 0; key < model.key_count; key++) {
        fixture_ok(kms_list_aliases_by_key_id(store, model.keys[key].id, NULL, page, NAMES + 1,
                                              &count, NULL));
        ck_assert_uint_eq(count, count_aliases_of(key));
    }
}

static void check_all(void)
{
    check_keys();
    check_aliases();
    ck_assert_uint_eq(fixture_changes(store), model.changes);
    fixture_ok(kms_verify(store));
}

/* --- the walk --------------------------------------------------------------------------------- */

static void step(void)
{
    static void (*const calls[])(void) = {rotate,       switch_key,   create_alias, move_alias,
                                          delete_alias, ensure_alias, encrypt,      encrypt,
                                          decrypt,      decrypt};
    unsigned which = draw(104);

    if (which >= 103)
        reopen();
    else if (which >= 100 || model.key_count == 0)
        create_key();
    else
        calls[which / 10]();
}

static uint64_t choose_seed(void)
{
    const char *given = getenv("KMS_TEST_SEED");
    struct timespec now;

    if (given != NULL)
        return strtoull(given, NULL, 10);
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

START_TEST(a_thousand_random_calls_do_what_the_model_does)
{
    uint64_t seed = choose_seed();

    printf("KMS_TEST_SEED=%llu\n", (unsigned long long)seed);
    fflush(stdout);
    random_state = seed;
    for (int i = 0; i < NAMES; i++)
        model.aliases[i].key = -1;
    place_init(&here);
    store = place_open(&here);
    for (int i = 1; i <= STEPS; i++) {
        step();
        if (i % 50 == 0)
            check_all();
    }
    ck_assert_int_gt(model.key_count, 5);
    ck_assert_uint_gt(model.changes, STEPS / 5);
    kms_close(store);
    place_free(&here);
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {{a_thousand_random_calls_do_what_the_model_does, 2}};

    return fixture_main("model", tests, 1, 120);
}
