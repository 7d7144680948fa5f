/* What the tests of kms/file.h share: a store with a key, a scratch folder, and files that a call must
 * leave alone when it fails. */
#ifndef KMS_TESTS_FILE_TRIAL_H
#define KMS_TESTS_FILE_TRIAL_H

#include "api_fixture.h"
#include "scratch.h"

extern place file_place;
extern kms_store *file_store;
extern char file_key[KMS_KEY_ID_SIZE];

void file_setup(void);
void file_finish(void);

/* 300,000 bytes: four chunks and a part. */
#define FILE_PLAIN 300000
extern uint8_t file_plain[FILE_PLAIN];

/* Encrypts bytes into a file of the scratch folder, under file_key and no context. */
void file_encrypted(const char *path, const void *bytes, size_t len);
/* It decrypts to these. */
void file_decrypts_to(const char *path, const void *bytes, size_t len);

/* One of the two calls, without a context. */
typedef enum file_way { FILE_ENCRYPT, FILE_DECRYPT, FILE_WAYS } file_way;
kms_status file_convert(kms_store *store, file_way way, const char *from, const char *to,
                        const kms_file_options *options);
/* A source for either, of FILE_PLAIN bytes in the clear; "source" in the scratch folder. */
const char *file_source(file_way way);
/* Whether a file is what either makes of it. */
bool file_is_made(kms_store *store, file_way way, const char *path);

/* The file that a call must leave alone when it fails: "to" in the scratch folder, which is there, or
 * is not. */
typedef struct file_before {
    bool there;
    struct stat st;
    unsigned names;
} file_before;

file_before file_put(bool there);
/* It is as it was, and the folder has no name more. */
void file_is_untouched(const file_before *before);

/* For children: whether "to" is as file_put(true) made it. */
bool file_is_old(void);

#endif
