#include "vault/foreign.h"
#include "base/kept_error.h"

#include <string.h>

void kms__foreign_begin(void)
{
    static const kms__kept_error none;

    kms__error_restore(&none);
}

static bool is_known(kms_status st)
{
    return strcmp(kms_status_name(st), kms_status_name((kms_status)-1)) != 0;
}

kms_status kms__foreign_end(const char *kind, const char *name, kms_status st)
{
    if (!is_known(st))
        return kms_set_error(KMS_ERR_STORAGE, "%s \"%.64s\" failed with %d, which is no status",
                             kind, name, (int)st);
    if (st == KMS_OK || kms_error_status() == st)
        return st;
    return kms_set_error(st, "%s \"%.64s\" failed without saying why: %s", kind, name,
                         kms_status_sentence(st));
}
