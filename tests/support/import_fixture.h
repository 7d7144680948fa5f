/*
 * What the tests of imported keys share: material, wrapped as an administrator wraps it elsewhere,
 * and a clock that stands where the test put it.
 */
#ifndef KMS_TESTS_IMPORT_FIXTURE_H
#define KMS_TESTS_IMPORT_FIXTURE_H

#include "api_fixture.h"

/* Every wrapping that has a token. The first one is in every build. */
extern const kms_wrapping import_wrappings[];
#define IMPORT_WRAPPINGS 4

/* Whether this build has it. */
bool import_has(kms_wrapping wrapping);

/* Where the clock of import_open() stands. */
extern int64_t import_now_ms;
#define IMPORT_HOUR_MS (INT64_C(3600) * 1000)

kms_store *import_open(place *p);

/* A key that waits for its material. */
void import_create(kms_store *store, char key_id[KMS_KEY_ID_SIZE]);

/* Material number n; never two the same. */
typedef struct import_material {
    uint8_t bytes[KMS_IMPORT_MATERIAL_SIZE];
} import_material;
import_material import_material_of(uint32_t n);

/* Material on its way in, and all that it stands on. */
typedef struct import_parcel {
    kms_import_parameters parameters;
    uint8_t wrapped[512];
    size_t wrapped_len;
    kms_import import;
} import_parcel;

/* How material is wrapped under RSA: a KMS_WRAPPING_ does it right. */
typedef enum import_padding {
    IMPORT_OAEP_SHA_256,
    IMPORT_OAEP_SHA_1,
    IMPORT_PKCS_1
} import_padding;

/* Wraps len bytes for the public key of the parameters; not more than 256. */
void import_wrap_as(const kms_import_parameters *parameters, import_padding padding,
                    const void *material, size_t len, uint8_t wrapped[512], size_t *wrapped_len);

/* Asks for parameters and wraps these bytes. Copying a parcel does not copy what it points to. */
void import_pack_bytes(kms_store *store, const char *key_id, kms_wrapping wrapping,
                       const void *material, size_t len, import_parcel *parcel);
void import_pack(kms_store *store, const char *key_id, kms_wrapping wrapping, uint32_t n,
                 import_parcel *parcel);

/* Imports material number n, raw. */
kms_status import_try_raw(kms_store *store, const char *key_id, uint32_t n, int64_t expires_ms);
void import_raw(kms_store *store, const char *key_id, uint32_t n, int64_t expires_ms);
kms_status import_try_raw_version(kms_store *store, const char *key_id, uint32_t n,
                                  int64_t expires_ms, uint32_t *number);
uint32_t import_raw_version(kms_store *store, const char *key_id, uint32_t n, int64_t expires_ms);

kms_key_version_info import_describe(kms_store *store, const char *key_id, uint32_t number);

/* --- a store with one external key ------------------------------------------------------------- */

typedef struct import_stage {
    place here;
    kms_store *store;
    char key[KMS_KEY_ID_SIZE];
} import_stage;

void import_setup(import_stage *at);
/* The same, unless the build has no such wrapping, which is said. */
bool import_setup_for(import_stage *at, kms_wrapping wrapping);
/* Verifies and closes the store. */
void import_finish(import_stage *at);

/* The key has no material. */
void import_still_waits(const import_stage *at);

/* Both calls that import refuse this with the status, and the engine writes nothing. */
void import_refused(import_stage *at, const kms_import *import, kms_status wanted);

/* Which bytes of a token or of wrapped material are tried: every so many. Of the longer keys of RSA
 * only some, because libcrypto is slow. index: in import_wrappings. */
size_t import_stride(size_t index);

/* The first len bytes, or all and zero bytes behind, in memory of exactly that size, the caller's
 * to free: a sanitizer sees who reads behind it. */
uint8_t *import_cut(const void *from, size_t from_len, size_t len);

#endif
