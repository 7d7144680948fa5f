/* SoftHSM2 through PKCS#11: a key that never leaves the token, in the process of whoever uses it. */
#include "fail.h"
#include "peer.h"

#ifdef PEERS_HAVE_PKCS11

#include "report.h"
#include "samples.h"
#include "stores.h"

#include <dlfcn.h>
#include <p11-kit/pkcs11.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MODULE "softhsm/libsofthsm2.so"
#define KEY_SIZE 32
#define KEYS 2

typedef struct subject {
    samples with;
    CK_OBJECT_HANDLE key;
} subject;

static const char *const names[KEYS] = {"SoftHSM2, AES-256-GCM, key of the token",
                                        "SoftHSM2, AES-256-GCM, key of the session"};
static CK_FUNCTION_LIST_PTR module;
static CK_SESSION_HANDLE session;
static CK_OBJECT_HANDLE keys[KEYS];
static subject *subjects[KEYS];
static size_t count;
static CK_UTF8CHAR pin[] = "bench-pin";

static void must_rv(CK_RV rv, const char *what)
{
    char text[128];

    if (rv == CKR_OK)
        return;
    snprintf(text, sizeof text, "SoftHSM2: %s: 0x%lx", what, rv);
    fail(text);
}

static CK_MECHANISM gcm(CK_GCM_PARAMS *with, const uint8_t *nonce)
{
    /* In the standard's order: what p11-kit calls the members differs between its releases. */
    *with = (CK_GCM_PARAMS){
        (uint8_t *)(uintptr_t)nonce, SAMPLES_NONCE, SAMPLES_NONCE * 8, NULL, 0, SAMPLES_TAG * 8};
    return (CK_MECHANISM){CKM_AES_GCM, with, sizeof *with};
}

static void seal(void *of)
{
    subject *one = of;
    samples *with = &one->with;
    CK_ULONG written = with->len + SAMPLES_TAG;
    CK_GCM_PARAMS parameters;
    CK_MECHANISM mechanism = gcm(&parameters, with->blob);

    must_rv(module->C_GenerateRandom(session, with->blob, SAMPLES_NONCE), "C_GenerateRandom");
    must_rv(module->C_EncryptInit(session, &mechanism, one->key), "C_EncryptInit");
    must_rv(
        module->C_Encrypt(session, with->plain, with->len, with->blob + SAMPLES_NONCE, &written),
        "C_Encrypt");
    must(written == with->len + SAMPLES_TAG, "SoftHSM2: a ciphertext and its tag");
}

static void unseal(void *of, const uint8_t *blob)
{
    subject *one = of;
    samples *with = &one->with;
    CK_ULONG written = with->len + SAMPLES_TAG;
    CK_GCM_PARAMS parameters;
    CK_MECHANISM mechanism = gcm(&parameters, blob);

    must_rv(module->C_DecryptInit(session, &mechanism, one->key), "C_DecryptInit");
    must_rv(module->C_Decrypt(session, (uint8_t *)(uintptr_t)(blob + SAMPLES_NONCE),
                              with->len + SAMPLES_TAG, with->out, &written),
            "C_Decrypt");
    must(written == with->len, "SoftHSM2: a plaintext");
}

static void run_seal(void *of, size_t n)
{
    for (size_t i = 0; i < n; i++)
        seal(of);
}

static void run_open(void *of, size_t n)
{
    subject *one = of;

    for (size_t i = 0; i < n; i++)
        unseal(one, samples_next(&one->with));
}

static void add(group *encrypt, group *decrypt, size_t len)
{
    for (size_t i = 0; i < KEYS; i++) {
        subject *made = calloc(1, sizeof *made);

        must(made != NULL, "memory for messages");
        made->key = keys[i];
        samples_make(&made->with, len, seal, unseal, made);
        subjects[count++] = made;
        (void)group_add(encrypt, run_seal, made, len, "%s", names[i]);
        (void)group_add(decrypt, run_open, made, len, "%s", names[i]);
    }
}

static void drop(void)
{
    while (count > 0) {
        samples_free(&subjects[--count]->with);
        free(subjects[count]);
    }
}

/* Where its tokens are, in the scratch folder. */
static void configure(void)
{
    const char *tokens = stores_path(FAST, "tokens"), *path = stores_path(FAST, "softhsm2.conf");
    FILE *file = fopen(path, "we");

    must(file != NULL && mkdir(tokens, 0700) == 0, "a folder for tokens");
    must(fprintf(file, "directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n",
                 tokens) > 0 &&
             fclose(file) == 0 && setenv("SOFTHSM2_CONF", path, 1) == 0,
         path);
}

static void *load(void)
{
    static const char *const folders[] = {"/usr/lib/", "/usr/local/lib/", "/usr/lib64/"};
    void *found = NULL;
    char path[128];

    for (size_t i = 0; found == NULL && i < sizeof folders / sizeof folders[0]; i++) {
        snprintf(path, sizeof path, "%s%s", folders[i], MODULE);
        found = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    }
    return found;
}

static CK_SLOT_ID first_slot(void)
{
    CK_SLOT_ID slots[8];
    CK_ULONG slots_count = sizeof slots / sizeof slots[0];

    must_rv(module->C_GetSlotList(CK_TRUE, slots, &slots_count), "C_GetSlotList");
    must(slots_count > 0, "SoftHSM2: a slot");
    return slots[0];
}

/* A token with a user; SoftHSM2 gives it a slot of its own, which comes first. */
static void make_token(void)
{
    CK_UTF8CHAR label[33] = "bench                           ";
    CK_SLOT_ID slot = first_slot();

    must_rv(module->C_InitToken(slot, pin, sizeof pin - 1, label), "C_InitToken");
    slot = first_slot();
    must_rv(module->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session),
            "C_OpenSession");
    must_rv(module->C_Login(session, CKU_SO, pin, sizeof pin - 1), "C_Login, security officer");
    must_rv(module->C_InitPIN(session, pin, sizeof pin - 1), "C_InitPIN");
    must_rv(module->C_Logout(session), "C_Logout");
    must_rv(module->C_Login(session, CKU_USER, pin, sizeof pin - 1), "C_Login, user");
}

static void make_key(CK_BBOOL in_token, CK_OBJECT_HANDLE *key)
{
    CK_ULONG size = KEY_SIZE;
    CK_BBOOL yes = CK_TRUE;
    CK_ATTRIBUTE attributes[] = {
        {CKA_TOKEN, &in_token, sizeof in_token}, {CKA_PRIVATE, &yes, sizeof yes},
        {CKA_SENSITIVE, &yes, sizeof yes},       {CKA_ENCRYPT, &yes, sizeof yes},
        {CKA_DECRYPT, &yes, sizeof yes},         {CKA_VALUE_LEN, &size, sizeof size},
    };
    CK_MECHANISM mechanism = {CKM_AES_KEY_GEN, NULL, 0};

    must_rv(module->C_GenerateKey(session, &mechanism, attributes,
                                  sizeof attributes / sizeof attributes[0], key),
            "C_GenerateKey");
}

static void note_version(void)
{
    CK_INFO info;

    must_rv(module->C_GetInfo(&info), "C_GetInfo");
    report_note("SoftHSM2", "%d.%d", info.libraryVersion.major, info.libraryVersion.minor);
}

static const char *begin(void)
{
    void *library = load();
    CK_C_GetFunctionList get;
    void *found;

    if (library == NULL)
        return "there is no module " MODULE " (Debian: apt-get install softhsm2)";
    found = dlsym(library, "C_GetFunctionList");
    must(found != NULL, "C_GetFunctionList of " MODULE);
    memcpy(&get, &found, sizeof get);
    configure();
    must_rv(get(&module), "C_GetFunctionList");
    must_rv(module->C_Initialize(NULL), "C_Initialize");
    note_version();
    make_token();
    make_key(CK_TRUE, &keys[0]);
    make_key(CK_FALSE, &keys[1]);
    return NULL;
}

const peer peer_softhsm2 = {.name = "softhsm2", .begin = begin, .add = add, .drop = drop};

#else

static const char *begin(void)
{
    return "built without the headers of PKCS#11 (Debian: apt-get install libp11-kit-dev softhsm2)";
}

const peer peer_softhsm2 = {.name = "softhsm2", .begin = begin};

#endif
