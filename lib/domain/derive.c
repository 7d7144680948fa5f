#include "domain/derive.h"
#include "base/kept_error.h"
#include "base/try.h"
#include "crypto/blob.h"
#include "crypto/kdf.h"
#include "crypto/prf.h"
#include "domain/rotate_on_use.h"

#include <sodium.h>
#include <string.h>

/* The version that tokens follow from: one for ever, since a rotation must not change them. */
#define INDEX_VERSION 1

/* The use's own key is derived for the moment: a cell has room for one key that both uses share. */
static kms_status make_value(const kms__pin *pin, kms__use use, uint32_t number,
                             const kms_slice parts[KMS__PRF_PARTS], uint8_t *out, size_t out_len)
{
    const kms__opened *opened = pin->opened;
    uint8_t key[KMS__KDF_OUT_SIZE];

    kms__derive(use, kms__opened_second_key(opened), opened->key_id, opened->version, key);
    kms__prf(key, number, parts, out, out_len);
    sodium_memzero(key, sizeof key);
    return kms__pin_holds(pin) ? KMS_OK : kms__fork_amid_call(out, out_len);
}

/* Goes on to another version of the key that is pinned. Nothing is pinned after a failure. */
static kms_status turn_to_version(kms_store *store, uint32_t version, kms__pin *pin)
{
    uint8_t key_id[KMS__ID_SIZE];

    if (pin->opened->version == version)
        return KMS_OK;
    memcpy(key_id, pin->opened->key_id, sizeof key_id);
    kms__pin_release(pin);
    return kms__pin_version_for_deriving(store, key_id, version, 0, pin);
}

static kms_status pin_wanted(kms_store *store, const char *keyref, uint32_t version, kms__pin *pin)
{
    if (version == 0)
        return kms__pin_for_encrypting(store, keyref, 0, pin);
    KMS__TRY(kms__pin_primary_for(store, keyref, KMS_OP_DERIVE_KEY, 0, pin));
    return turn_to_version(store, version, pin);
}

kms_status kms__derive_key(kms_store *store, const char *keyref, uint32_t version,
                           const kms_context *context, uint8_t *out, size_t out_len,
                           kms_key_used *used)
{
    kms_slice parts[KMS__PRF_PARTS] = {{NULL, 0}, {NULL, 0}};
    kms__associated associated;
    kms__pin pin;
    kms_status st;

    KMS__TRY(kms__associated_begin(context, &associated));
    KMS__TRY(pin_wanted(store, keyref, version, &pin));
    parts[0] = (kms_slice){associated.bytes + KMS__BLOB_HEADER, associated.context_len};
    st = make_value(&pin, KMS__USE_DERIVED_KEY, (uint32_t)out_len, parts, out, out_len);
    if (st == KMS_OK && used != NULL) {
        kms__id_format(pin.opened->key_id, used->key_id);
        used->key_version = pin.opened->version;
    }
    kms__pin_note_use(&pin);
    kms__pin_release(&pin);
    return st;
}

/* --- blind indexes ---------------------------------------------------------------------------- */

static kms_status make_token(const kms__pin *pin, const kms__indexed *indexed,
                             uint8_t token[KMS_BLIND_INDEX_TOKEN_MAX])
{
    const kms_slice parts[KMS__PRF_PARTS] = {{indexed->label, strlen(indexed->label)},
                                             indexed->value};
    size_t len = (indexed->bits + 7) / 8;

    KMS__TRY(make_value(pin, KMS__USE_BLIND_INDEX, indexed->bits, parts, token,
                        KMS_BLIND_INDEX_TOKEN_MAX));
    memset(token + len, 0, KMS_BLIND_INDEX_TOKEN_MAX - len);
    token[len - 1] &= (uint8_t)(0xff << (len * 8 - indexed->bits));
    return KMS_OK;
}

/* Whether a status is about the key before, and not about the store. */
static bool is_of_key(kms_status st)
{
    return st == KMS_ERR_KEY_NOT_FOUND || st == KMS_ERR_DISABLED ||
           st == KMS_ERR_PENDING_DELETION || st == KMS_ERR_PENDING_IMPORT ||
           st == KMS_ERR_DESTROYED || st == KMS_ERR_UNSUPPORTED;
}

/* The key before may be retired: then the current token is all that there is, and the caller is told
 * why. Its use is not noted, or a key would look needed for as long as it is looked for. */
static kms_status make_previous(kms_store *store, const uint8_t key_id[KMS__ID_SIZE],
                                const kms__indexed *indexed, kms_blind_tokens *made)
{
    kms__kept_error kept;
    kms__pin pin;
    kms_status st;

    kms__error_keep(&kept);
    st = kms__pin_version_for_deriving(store, key_id, INDEX_VERSION, 0, &pin);
    if (st != KMS_OK && !is_of_key(st))
        return st;
    made->previous_status = st;
    made->has_previous = st == KMS_OK;
    if (st != KMS_OK) {
        kms__error_restore(&kept);
        return KMS_OK;
    }
    st = make_token(&pin, indexed, made->previous);
    kms__pin_release(&pin);
    return st;
}

kms_status kms__blind_index(kms_store *store, const char *keyref, const kms__indexed *indexed,
                            kms_blind_tokens *tokens)
{
    kms_blind_tokens made = {.len = (indexed->bits + 7) / 8, .previous_status = KMS_ERR_NOT_FOUND};
    uint8_t previous[KMS__ID_SIZE];
    bool was_moved;
    kms__pin pin;
    kms_status st;

    KMS__TRY(kms__pin_primary_for(store, keyref, KMS_OP_DERIVE_KEY, 0, &pin));
    was_moved = pin.opened->has_previous;
    memcpy(previous, pin.opened->previous, sizeof previous);
    KMS__TRY(turn_to_version(store, INDEX_VERSION, &pin));
    st = make_token(&pin, indexed, made.token);
    kms__pin_note_use(&pin);
    kms__pin_release(&pin);
    KMS__TRY(st);
    if (was_moved)
        KMS__TRY(make_previous(store, previous, indexed, &made));
    *tokens = made;
    return KMS_OK;
}
