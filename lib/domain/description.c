#include "domain/description.h"
#include "base/try.h"
#include "wire/wire.h"

#include <kms/key.h>
#include <stdlib.h>
#include <string.h>

kms__record_key kms__description_record_key(const uint8_t id[KMS__ID_SIZE])
{
    return kms__record_key_of(KMS__TAG_DESCRIPTION, id);
}

kms_status kms__description_check(const char *text)
{
    if (text != NULL && strnlen(text, KMS_DESCRIPTION_MAX + 1) > KMS_DESCRIPTION_MAX)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "a description has at most %d bytes",
                             KMS_DESCRIPTION_MAX);
    return KMS_OK;
}

kms_status kms__description_load(kms__txn *txn, const uint8_t id[KMS__ID_SIZE], char **text)
{
    kms__record_key record_key = kms__description_record_key(id);
    char name[KMS__RECORD_NAME_SIZE];
    uint8_t *plain = NULL;
    size_t len = 0;
    kms_status st = kms__txn_read_alloc(txn, &record_key, &plain, &len, NULL);

    if (st == KMS_ERR_NOT_FOUND) {
        *text = calloc(1, 1);
        return *text != NULL ? KMS_OK : kms_set_error(KMS_ERR_NO_MEMORY, "out of memory");
    }
    KMS__TRY(st);
    if (len == 0 || plain[0] != KMS__DESCRIPTION_BODY || len > 1 + KMS_DESCRIPTION_MAX ||
        memchr(plain + 1, 0, len - 1) != NULL) {
        free(plain);
        return kms_set_error(KMS_ERR_NEWER_FORMAT, "%s was written by a newer libkms",
                             kms__record_name(kms__record_slice(&record_key), name));
    }
    memmove(plain, plain + 1, len - 1);
    plain[len - 1] = '\0';
    *text = (char *)plain;
    return KMS_OK;
}

static kms_status write(kms__txn *txn, const uint8_t id[KMS__ID_SIZE], const char *text)
{
    kms__record_key record_key = kms__description_record_key(id);
    uint8_t plain[1 + KMS_DESCRIPTION_MAX];
    kms__writer writer = kms__writer_to(plain, sizeof plain);

    if (text[0] == '\0')
        return kms__txn_delete(txn, &record_key);
    kms__write_u8(&writer, KMS__DESCRIPTION_BODY);
    kms__write_bytes(&writer, text, strlen(text));
    return kms__txn_write(txn, &record_key, (kms_slice){plain, writer.len});
}

kms_status kms__description_save(kms__txn *txn, const uint8_t id[KMS__ID_SIZE], const char *text)
{
    const char *wanted = text != NULL ? text : "";
    char *now;
    bool same;

    KMS__TRY(kms__description_load(txn, id, &now));
    same = strcmp(now, wanted) == 0;
    free(now);
    return same ? KMS_OK : write(txn, id, wanted);
}
