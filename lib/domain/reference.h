/* Key references and alias names, as callers write them. */
#ifndef KMS__DOMAIN_REFERENCE_H
#define KMS__DOMAIN_REFERENCE_H

#include "base/id.h"
#include "vault/record.h"

#include <kms/alias.h>

typedef struct kms__reference {
    bool is_alias;
    /* What the caller wrote, borrowed. */
    const char *text;
    /* Only if it is no alias. */
    uint8_t key_id[KMS__ID_SIZE];
} kms__reference;

/* A key id or an alias in full, service-managed ones too. KMS_ERR_INVALID_ARGUMENT. */
kms_status kms__reference_parse(const char *text, kms__reference *reference);

/* A key id and nothing else; an alias is told that an id is wanted. */
kms_status kms__key_id_parse(const char *text, uint8_t key_id[KMS__ID_SIZE]);

/* A well-formed alias name. */
kms_status kms__alias_name_check(const char *alias);

/* What a well-formed alias name can begin with. */
kms_status kms__alias_prefix_check(const char *prefix);

/* The alias of a service's own key. KMS_ERR_INVALID_ARGUMENT. */
kms_status kms__service_alias(const char *service, char alias[KMS_ALIAS_SIZE]);

/* A well-formed alias name that is not reserved for service-managed keys. */
kms_status kms__alias_name_check_own(const char *alias);

#endif
