/**
 * @file kms/file.h
 * Files: encrypting and decrypting whole files as streams (kms/stream.h), all or nothing.
 *
 * The new file is made beside the one whose place it takes, under a name of its own, synced, and
 * renamed. A kill leaves that one behind, .libkms-XXXXXX, which after a decryption has plaintext in it:
 * remove such files when no call runs. So under its name there is the old
 * file or the whole new one at any moment, and never a part. It gets owner (where the process may give
 * files away), group (where it is of that group; else nothing is for the group) and permissions of the
 * file that it replaces; where there is none, of the source; never set-user-id and its like,
 * access-control lists or extended attributes. A symbolic link at its path stays, and the file that it
 * leads to is replaced; one that leads nowhere is refused. Until it is whole nobody else can read it. Its
 * folder must be readable, so that the new name can be made durable.
 *
 * Permissions are the source's and not the umask's: what is decrypted can be read by whoever could read
 * the encrypted file. For a plaintext of your own alone decrypt into a folder that only you can enter, or
 * over an empty file of mode 0600.
 *
 * Of a file with an access-control list nothing is for the group. Neither path is for the files of a store:
 * closing them again would drop its engine's locks.
 *
 * Source and result may be the same file. Other hard links of a file that is replaced keep the old
 * content. Neither is for pipes, devices, /dev/stdout and the like: there is kms_stream_push().
 */
#ifndef KMS_FILE_H
#define KMS_FILE_H

#include <kms/stream.h>

KMS_BEGIN_DECLS

/** Options of the calls for files. Begin with KMS_FILE_OPTIONS_INIT. Since 0.2. */
typedef struct kms_file_options {
    /** KMS_FILE_OPTIONS_VERSION. */
    uint32_t version;
    /**
     * Called after each chunk, by the calling thread: done of total bytes of the source were handled.
     * false ends the call with KMS_ERR_CANCELLED, and everything is as it was. total may be 0. The last
     * call has done == total, and may be the second that has; after it come syncing and renaming, which
     * cannot be cancelled. NULL: not called. It may use the store, and must not fork. For Ctrl-C let the
     * signal handler set a flag, and return its negation here.
     */
    bool (*progress)(void *data, uint64_t done, uint64_t total);
    /** Handed to progress. */
    void *progress_data;
} kms_file_options;

#define KMS_FILE_OPTIONS_VERSION 1u
#define KMS_FILE_OPTIONS_INIT                                                                      \
    {                                                                                              \
        KMS_FILE_OPTIONS_VERSION, NULL, NULL                                                       \
    }

/**
 * Encrypts a file.
 *
 * @param store      open store
 * @param keyref     key id, or alias in full
 * @param context    pairs bound to the file; NULL for none. The file's name is not bound by itself
 * @param from       path of a regular file
 * @param to         path of the encrypted file, which is replaced if it is there
 * @param options    NULL for the usual ones
 *
 * On failure the file at `to`, or none, is there as before.
 *
 * @retval KMS_OK                    the file is there, and durable
 * @retval KMS_ERR_INVALID_ARGUMENT  NULL, malformed keyref or context
 * @retval KMS_ERR_ABI               options of an unknown version
 * @retval KMS_ERR_NOT_FOUND         from, or the folder of to, is not there
 * @retval KMS_ERR_FILE              from cannot be read or is no regular file, or to cannot be written.
 *                                   Where the sentence says that the folder could not be synced, the
 *                                   new file is there, and perhaps not durable
 * @retval KMS_ERR_FULL              no room
 * @retval KMS_ERR_CHANGED           from was changed meanwhile: it has another size or date
 * @retval KMS_ERR_CANCELLED         progress said so
 * @retval the others of kms_stream_encrypt() and kms_stream_push()
 *
 * Threads: any number may share store; each takes some 130 KiB of memory, half of it locked. Since 0.2.
 */
KMS_API KMS_MUST_CHECK kms_status kms_encrypt_file(kms_store *store, const char *keyref,
                                                   const kms_context *context, const char *from,
                                                   const char *to, const kms_file_options *options);

/**
 * Decrypts a file that kms_encrypt_file() made, or any other that holds a stream.
 *
 * @param store    open store
 * @param context  the pairs that it was made with; NULL for none
 * @param from     path of the encrypted file
 * @param to       path of the file to make, which is replaced if it is there
 * @param options  NULL for the usual ones
 *
 * Nothing is at `to` before the whole of it is verified. On failure the file at `to`, or none, is there
 * as before. kms_rewrap_file() may rewrite the header of `from` meanwhile.
 *
 * @retval KMS_OK                      the file is there, and durable
 * @retval KMS_ERR_INVALID_CIPHERTEXT  as kms_stream_decrypt() and kms_stream_push()
 * @retval the others of kms_encrypt_file(), kms_stream_decrypt() and kms_stream_push()
 *
 * Threads: as kms_encrypt_file(). Since 0.2.
 */
KMS_API KMS_MUST_CHECK kms_status kms_decrypt_file(kms_store *store, const kms_context *context,
                                                   const char *from, const char *to,
                                                   const kms_file_options *options);

/**
 * ReEncrypt of an encrypted file: kms_stream_rewrap() in place, whatever the file's size.
 *
 * @param store                open store
 * @param source_context       the pairs that the file was made with; NULL for none
 * @param keyref               the destination: key id, or alias in full
 * @param destination_context  the pairs to bind from now on; NULL for none
 * @param path                 of the encrypted file
 * @param[out] source          the key and version that opened it; NULL if not wanted; untouched on
 *                             failure
 *
 * A call that fails or is killed, at any moment, leaves a file that decrypts.
 *
 * @retval KMS_OK              the new header is there, and durable
 * @retval KMS_ERR_BUSY        another call, of any process, is rewrapping the file: go on to the next, and
 *                             look at this one later
 * @retval KMS_ERR_CHANGED     another file was put at the path before this one was locked: call again
 * @retval KMS_ERR_NOT_FOUND, KMS_ERR_FILE, KMS_ERR_FULL  the file cannot be read or written
 * @retval the others of kms_stream_rewrap()
 *
 * Threads: any number may share store. Since 0.2. Source: Alibaba Cloud KMS, ReEncrypt.
 */
KMS_API KMS_MUST_CHECK kms_status kms_rewrap_file(kms_store *store,
                                                  const kms_context *source_context,
                                                  const char *keyref,
                                                  const kms_context *destination_context,
                                                  const char *path, kms_key_used *source);

KMS_END_DECLS

#endif
