#include "domain/reference.h"
#include "base/try.h"

#include <kms/service.h>
#include <stdio.h>
#include <string.h>

#define ALIAS_PREFIX "alias/"
#define ALIAS_PREFIX_LEN (sizeof ALIAS_PREFIX - 1)
#define RESERVED_PREFIX "alias/acs"
#define RESERVED_PREFIX_LEN (sizeof RESERVED_PREFIX - 1)
/* How much of a malformed argument a message shows. */
#define SHOWN 80

static bool looks_like_alias(const char *text)
{
    return strncmp(text, ALIAS_PREFIX, ALIAS_PREFIX_LEN) == 0;
}

static bool allowed_in_alias(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '/';
}

/* A malformed name may hold anything: show only what is surely printable. */
static const char *shown(const char *text, char buffer[SHOWN + 1])
{
    size_t i;

    for (i = 0; i < SHOWN && text[i] != '\0'; i++)
        buffer[i] = text[i];
    buffer[i] = '\0';
    for (i = 0; buffer[i] != '\0'; i++)
        if (buffer[i] < ' ' || buffer[i] > '~')
            buffer[i] = '?';
    return buffer;
}

kms_status kms__alias_name_check(const char *alias)
{
    char buffer[SHOWN + 1];
    size_t len;

    if (alias == NULL)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "the alias is NULL");
    if (!looks_like_alias(alias))
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT,
                             "\"%s\" is no alias: write it in full, as alias/NAME",
                             shown(alias, buffer));
    len = strnlen(alias, KMS_ALIAS_SIZE);
    if (len == ALIAS_PREFIX_LEN || len >= KMS_ALIAS_SIZE)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT,
                             "\"%s\": the name behind alias/ has 1 to 255 characters",
                             shown(alias, buffer));
    for (size_t i = ALIAS_PREFIX_LEN; i < len; i++)
        if (!allowed_in_alias(alias[i]))
            return kms_set_error(KMS_ERR_INVALID_ARGUMENT,
                                 "\"%s\": an alias consists of A-Z a-z 0-9 _ - and /",
                                 shown(alias, buffer));
    return KMS_OK;
}

kms_status kms__alias_prefix_check(const char *prefix)
{
    char buffer[SHOWN + 1];
    size_t len = prefix != NULL ? strnlen(prefix, KMS_ALIAS_SIZE) : 0;
    bool possible =
        prefix != NULL && len < KMS_ALIAS_SIZE &&
        strncmp(prefix, ALIAS_PREFIX, len < ALIAS_PREFIX_LEN ? len : ALIAS_PREFIX_LEN) == 0;

    for (size_t i = ALIAS_PREFIX_LEN; possible && i < len; i++)
        possible = allowed_in_alias(prefix[i]);
    if (possible)
        return KMS_OK;
    return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "\"%s\": no alias begins so",
                         prefix != NULL ? shown(prefix, buffer) : "NULL");
}

kms_status kms__service_alias(const char *service, char alias[KMS_ALIAS_SIZE])
{
    char buffer[SHOWN + 1];
    size_t len = service != NULL ? strnlen(service, KMS_SERVICE_NAME_MAX + 1) : 0;
    bool possible = len >= 1 && len <= KMS_SERVICE_NAME_MAX;

    for (size_t i = 0; possible && i < len; i++)
        possible = allowed_in_alias(service[i]);
    if (!possible)
        return kms_set_error(
            KMS_ERR_INVALID_ARGUMENT, "\"%s\" is no service: 1 to %d of A-Z a-z 0-9 _ - and /",
            service != NULL ? shown(service, buffer) : "NULL", KMS_SERVICE_NAME_MAX);
    snprintf(alias, KMS_ALIAS_SIZE, RESERVED_PREFIX "/%s", service);
    return KMS_OK;
}

kms_status kms__alias_name_check_own(const char *alias)
{
    KMS__TRY(kms__alias_name_check(alias));
    if (strncmp(alias, RESERVED_PREFIX, RESERVED_PREFIX_LEN) == 0)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT,
                             "%s: names that begin with alias/acs are reserved for "
                             "service-managed keys",
                             alias);
    return KMS_OK;
}

kms_status kms__key_id_parse(const char *text, uint8_t key_id[KMS__ID_SIZE])
{
    char buffer[SHOWN + 1];

    if (text == NULL)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "the key id is NULL");
    if (looks_like_alias(text))
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT,
                             "\"%s\" is an alias, but this call takes a key id, because an alias "
                             "may move: kms_describe_key() tells the id",
                             shown(text, buffer));
    if (!kms__id_parse(text, key_id))
        return kms_set_error(
            KMS_ERR_INVALID_ARGUMENT,
            "\"%s\" is no key id: it has the form 8-4-4-4-12 of hexadecimal digits",
            shown(text, buffer));
    return KMS_OK;
}

kms_status kms__reference_parse(const char *text, kms__reference *reference)
{
    char buffer[SHOWN + 1];

    if (text == NULL)
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT, "the key reference is NULL");
    reference->text = text;
    reference->is_alias = looks_like_alias(text);
    if (reference->is_alias)
        return kms__alias_name_check(text);
    if (!kms__id_parse(text, reference->key_id))
        return kms_set_error(KMS_ERR_INVALID_ARGUMENT,
                             "\"%s\" is no key reference: give a key id, or an alias in full as "
                             "alias/NAME",
                             shown(text, buffer));
    return KMS_OK;
}
