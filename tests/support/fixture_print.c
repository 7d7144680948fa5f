#include "crypto/aead.h"
#include "domain/version_record.h"
#include "fixture_maker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEYS_MAX 32

void maker_must(bool condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "making fixtures: %s: %s\n", what, kms_error_message());
    exit(EXIT_FAILURE);
}

void maker_hex(const void *data, size_t len)
{
    const uint8_t *bytes = data;

    if (len == 0)
        putchar('-');
    for (size_t i = 0; i < len; i++) {
        if (i > 0 && i % 40 == 0)
            printf("\n    ");
        printf("%02x", bytes[i]);
    }
}

void maker_bytes(const char *field, const void *data, size_t len)
{
    printf("%s ", field);
    maker_hex(data, len);
    putchar('\n');
}

void maker_context(const kms_context *context)
{
    for (size_t i = 0; context != NULL && i < context->count; i++) {
        printf("context ");
        maker_hex(context->pairs[i].key, strlen(context->pairs[i].key));
        putchar(' ');
        maker_hex(context->pairs[i].value, strlen(context->pairs[i].value));
        putchar('\n');
    }
}

void maker_blob(const uint8_t *blob, size_t blob_len, const void *plain, size_t plain_len,
                const kms_context *context)
{
    kms_blob_info info;

    maker_ok(kms_inspect_blob(blob, blob_len, &info));
    printf("suite %d\nkind %d\nkey-id %s\nkey-version %u\n", info.suite, info.kind, info.key_id,
           info.key_version);
    maker_context(context);
    maker_bytes("plaintext", plain, plain_len);
    maker_bytes("blob-bytes", blob, blob_len);
}

static unsigned blobs_made;

void maker_make_blob(kms_store *store, const char *keyref, const char *expected,
                     const kms_context *context)
{
    char plain[64];
    uint8_t blob[KMS_CIPHERTEXT_SIZE(sizeof plain)];
    size_t blob_len, plain_len;

    snprintf(plain, sizeof plain, "secret %u under %.20s", ++blobs_made, keyref);
    plain_len = blobs_made % 5 == 0 ? 0 : strlen(plain);
    maker_ok(kms_encrypt(store, keyref, context, plain, plain_len, blob, sizeof blob, &blob_len));
    printf("\nblob %s\n", expected);
    maker_blob(blob, blob_len, plain, plain_len, context);
}

static void print_version(const char *key_id, const kms_key_version_info *version)
{
    printf("\nversion %u\nkey-id %s\nstate %d\nsuite %d\nprimary %d\ncreated-ms %lld\n",
           version->number, key_id, version->state, version->suite, version->primary,
           (long long)version->created_ms);
    printf("source %d\nexpires-ms %lld\ndestroy-ms %lld\nlast-encrypt-ms %lld\n"
           "last-decrypt-ms %lld\nretired %d\n",
           version->source, (long long)version->expires_ms, (long long)version->destroy_ms,
           (long long)version->last_encrypt_ms, (long long)version->last_decrypt_ms,
           version->retired);
    maker_bytes("commitment", version->commitment, KMS_COMMITMENT_SIZE);
}

static void print_versions(kms_store *store, const char *key_id)
{
    kms_key_version_info versions[8];
    size_t count;
    bool more;

    maker_ok(kms_list_key_versions(store, key_id, 0, versions, 8, &count, &more));
    maker_must(!more, "a key has too many versions");
    for (size_t i = 0; i < count; i++)
        print_version(key_id, &versions[i]);
}

static void print_description(kms_store *store, const char *key_id)
{
    char text[KMS_DESCRIPTION_MAX + 1];

    maker_ok(kms_get_key_description(store, key_id, text, sizeof text));
    maker_bytes("description", text, strlen(text));
}

static void print_tags(kms_store *store, const char *key_id)
{
    kms_tag_info tags[KMS_TAGS_MAX];
    size_t count;

    maker_ok(kms_list_resource_tags(store, key_id, tags, KMS_TAGS_MAX, &count));
    for (size_t i = 0; i < count; i++) {
        printf("\ntag ");
        maker_hex(tags[i].name, strlen(tags[i].name));
        printf("\nkey-id %s\n", key_id);
        maker_bytes("value", tags[i].value, strlen(tags[i].value));
    }
}

static void print_life(const kms_key_info *info)
{
    printf("creator %d\ndeletion-protected %d\nrotation %d\nrotation-days %u\n"
           "last-rotation-ms %lld\nnext-rotation-ms %lld\ndeletion-ms %lld\n"
           "material-expires-ms %lld\nminimum-version %u\nversion-window %u\nlowest-version %u\n",
           info->creator, info->deletion_protected, info->rotation, info->rotation_days,
           (long long)info->last_rotation_ms, (long long)info->next_rotation_ms,
           (long long)info->deletion_ms, (long long)info->material_expires_ms,
           info->minimum_version, info->version_window, info->lowest_version);
}

static void print_key(kms_store *store, const char *key_id)
{
    kms_key_info info = {.version = KMS_KEY_INFO_VERSION};

    maker_ok(kms_describe_key(store, key_id, &info));
    printf("\nkey %s\nstate %d\nspec %d\nusage %d\norigin %d\nsuite %d\nprimary-version %u\n"
           "version-count %u\ncreated-ms %lld\n",
           info.key_id, info.state, info.spec, info.usage, info.origin, info.suite,
           info.primary_version, info.version_count, (long long)info.created_ms);
    print_life(&info);
    print_description(store, key_id);
    print_tags(store, key_id);
    print_versions(store, key_id);
}

static void print_all_keys(kms_store *store)
{
    char ids[KEYS_MAX][KMS_KEY_ID_SIZE];
    size_t count;
    bool more;

    maker_ok(kms_list_keys(store, NULL, ids, KEYS_MAX, &count, &more));
    maker_must(!more, "the store has too many keys");
    for (size_t i = 0; i < count; i++)
        print_key(store, ids[i]);
}

static void print_all_aliases(kms_store *store)
{
    kms_alias_info aliases[KEYS_MAX];
    size_t count;
    bool more;

    maker_ok(kms_list_aliases(store, NULL, aliases, KEYS_MAX, &count, &more));
    maker_must(!more, "the store has too many aliases");
    for (size_t i = 0; i < count; i++)
        printf("\nalias %s\nkey-id %s\nprevious-key-id %s\ncreated-ms %lld\nmoved-ms %lld\n",
               aliases[i].name, aliases[i].key_id,
               aliases[i].previous_key_id[0] != '\0' ? aliases[i].previous_key_id : "-",
               (long long)aliases[i].created_ms, (long long)aliases[i].moved_ms);
}

void maker_store(kms_store *store, int64_t now_ms)
{
    kms_store_info info = {.version = KMS_STORE_INFO_VERSION};

    maker_ok(kms_get_store_info(store, &info));
    printf("changes %llu\ngeneration %u\nnow-ms %lld\n", (unsigned long long)info.changes,
           info.store_key_generation, (long long)now_ms);
    maker_bytes("store-id", info.store_id, sizeof info.store_id);
    print_all_keys(store);
    print_all_aliases(store);
}

typedef struct wanted_material {
    uint8_t id[KMS__ID_SIZE];
    uint32_t version;
    uint8_t *cell;
} wanted_material;

static kms_status load_material(kms__txn *txn, void *argument)
{
    wanted_material *wanted = argument;
    kms__key key;
    kms_status st = kms__key_load(txn, wanted->id, &key, NULL);

    if (st != KMS_OK)
        return st;
    st = kms__version_load(txn, &key, wanted->version, wanted->cell, NULL, NULL);
    kms__key_clear(&key);
    return st;
}

void maker_material(kms_store *store, const char *key_id, uint32_t version, uint8_t material[32])
{
    uint8_t cell[KMS__SECRET_CELL];
    wanted_material wanted = {.version = version, .cell = cell};

    maker_must(kms__id_parse(key_id, wanted.id), "a key id");
    maker_ok(kms__store_read(store, load_material, &wanted));
    memcpy(material, cell, 32);
}

kms_suite maker_other_suite(void)
{
    return kms__suite_available(KMS_SUITE_AES_256_GCM) ? KMS_SUITE_AES_256_GCM
                                                       : KMS_SUITE_XCHACHA20_POLY1305;
}
