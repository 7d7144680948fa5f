/**
 * @file kms/stream.h
 * Streams: data of any size in constant memory, pushed through in any pieces, or read at any place.
 *
 * A stream has a key of its own, which its header holds, sealed under a key of the store; the data
 * follow in chunks. So it is rotated by rewriting its header alone. Whatever is changed, cut off,
 * added, moved, doubled or taken from another stream is found, and no byte is given before its chunk
 * is verified. Layout and test vectors: docs/stream-format.md. Whole files: kms/file.h.
 *
 * What follows in a file:  header (KMS_STREAM_HEADER_SIZE bytes) | chunks
 */
#ifndef KMS_STREAM_H
#define KMS_STREAM_H

#include <kms/encrypt.h>

/** Bytes of the header. */
#define KMS_STREAM_HEADER_SIZE 8192
/** Plaintext bytes of a chunk; the last one has fewer, perhaps none. */
#define KMS_STREAM_CHUNK_SIZE 65536
/** Bytes that a sealed chunk is longer. */
#define KMS_STREAM_CHUNK_OVERHEAD 32
/** Most plaintext bytes of a stream. */
#define KMS_STREAM_PLAINTEXT_MAX (UINT64_C(1) << 62)
/** Size of the stream of n bytes of plaintext, header included; n is at most
 * KMS_STREAM_PLAINTEXT_MAX. */
#define KMS_STREAM_SIZE(n)                                                                         \
    (KMS_STREAM_HEADER_SIZE + (uint64_t)(n) +                                                      \
     ((uint64_t)(n) / KMS_STREAM_CHUNK_SIZE + 1) * KMS_STREAM_CHUNK_OVERHEAD)
/** Size of the plaintext of a stream of m bytes, header included, which is KMS_STREAM_SIZE() of it. */
#define KMS_STREAM_PLAINTEXT_SIZE(m)                                                               \
    ((uint64_t)(m)-KMS_STREAM_HEADER_SIZE -                                                        \
     (((uint64_t)(m)-KMS_STREAM_HEADER_SIZE) /                                                     \
          (KMS_STREAM_CHUNK_SIZE + KMS_STREAM_CHUNK_OVERHEAD) +                                    \
      1) *                                                                                         \
         KMS_STREAM_CHUNK_OVERHEAD)
/** An output buffer of this size takes everything that kms_stream_push() gives for n bytes, or
 * kms_stream_finish(), for which n is 0. */
#define KMS_STREAM_ROOM(n)                                                                         \
    ((size_t)(n) + KMS_STREAM_CHUNK_SIZE +                                                         \
     ((size_t)(n) / KMS_STREAM_CHUNK_SIZE + 2) * KMS_STREAM_CHUNK_OVERHEAD)

KMS_BEGIN_DECLS

/* --- pushing ------------------------------------------------------------------------------------ */

/**
 * A stream in the making, or being opened: opaque, ended by kms_stream_free(). It takes some 130 KiB
 * of memory, half of it locked, whatever the stream's size. It does not need the store any more. Since 0.2.
 */
typedef struct kms_stream kms_stream;

/**
 * Begins a stream under the primary version of a key.
 *
 * @param store        open store
 * @param keyref       key id, or alias in full
 * @param context      pairs bound to the stream; NULL for none
 * @param[out] header  caller's buffer of KMS_STREAM_HEADER_SIZE bytes: put it in front of what
 *                     kms_stream_push() and kms_stream_finish() give. Unchanged or zero on failure
 * @param[out] stream  end it with kms_stream_free(), before or after kms_close(); untouched on failure
 *
 * The key is used here alone: a stream that is begun goes on, even if its key is disabled meanwhile.
 *
 * @retval KMS_OK
 * @retval KMS_ERR_INVALID_ARGUMENT  NULL, malformed keyref or context
 * @retval the others of kms_encrypt()
 *
 * Threads: any number may share store. Since 0.2. Source: Google Tink, streaming AEAD.
 */
KMS_API KMS_MUST_CHECK kms_status kms_stream_encrypt(kms_store *store, const char *keyref,
                                                     const kms_context *context, void *header,
                                                     kms_stream **stream);

/**
 * Begins to open a stream.
 *
 * @param store        open store
 * @param context      the pairs that it was made with; NULL for none
 * @param header       the first bytes of the stream
 * @param header_len   KMS_STREAM_HEADER_SIZE; with fewer, the stream was cut
 * @param[out] stream  push what follows the header into it; end it with kms_stream_free(), before or
 *                     after kms_close(); untouched on failure
 *
 * @retval KMS_OK
 * @retval KMS_ERR_INVALID_ARGUMENT    NULL, malformed context, more than KMS_STREAM_HEADER_SIZE bytes
 * @retval KMS_ERR_INVALID_CIPHERTEXT  no stream of libkms, or one that was made with another context,
 *                                     or a damaged header
 * @retval the others of kms_decrypt()
 *
 * Threads: any number may share store. Since 0.2.
 */
KMS_API KMS_MUST_CHECK kms_status kms_stream_decrypt(kms_store *store, const kms_context *context,
                                                     const void *header, size_t header_len,
                                                     kms_stream **stream);

/**
 * Takes a piece of the plaintext, or of what follows the header, and gives what is ready.
 *
 * @param stream        not finished
 * @param in            the next bytes; NULL only where in_len is 0
 * @param in_len        any number of bytes
 * @param[out] in_used  how many of them were taken: all, if out_size is at least
 *                      KMS_STREAM_ROOM(in_len)
 * @param out           caller's buffer, which must not overlap in; NULL only where out_size is 0
 * @param out_size      its size
 * @param[out] out_len  bytes written
 *
 * Where not all was taken, call again with the rest. While there is something to take or to give, a call
 * with an out_size above 0 does some of it. With 0 up to a chunk is taken, and then nothing any more.
 *
 * Whole chunks in, into a buffer with room for whole chunks, are not copied.
 *
 * On failure *in_used and *out_len are untouched, and out is unchanged or zero. After any failure but
 * KMS_ERR_INVALID_ARGUMENT the stream is lost: every further call fails alike.
 *
 * @retval KMS_OK
 * @retval KMS_ERR_INVALID_ARGUMENT    NULL, overlapping buffers, a stream that is finished
 * @retval KMS_ERR_INVALID_CIPHERTEXT  damaged: changed, cut, added to, moved, doubled, or another
 *                                     stream's
 * @retval KMS_ERR_LIMIT_EXCEEDED      more than KMS_STREAM_PLAINTEXT_MAX bytes
 * @retval KMS_ERR_FORKED              the stream was begun before fork()
 * @retval KMS_ERR_NO_MEMORY           a thread's first call
 *
 * Threads: one at a time uses a stream. Since 0.2.
 */
KMS_API KMS_MUST_CHECK kms_status kms_stream_push(kms_stream *stream, const void *in, size_t in_len,
                                                  size_t *in_used, void *out, size_t out_size,
                                                  size_t *out_len);

/**
 * Ends a stream: gives what is left of it, and when opening, finds out whether that was its end.
 *
 * Until this has answered KMS_OK and *done, a stream that is opened may have been cut: what was given
 * so far is authentic, and perhaps not all.
 *
 * @param stream        every byte was pushed: after this call no more is taken
 * @param out           caller's buffer; NULL only where out_size is 0
 * @param out_size      its size; KMS_STREAM_ROOM(0) is enough for one call
 * @param[out] out_len  bytes written
 * @param[out] done     false: call again for the rest
 *
 * On failure *out_len and *done are untouched, and out is unchanged or zero.
 *
 * @retval KMS_OK
 * @retval KMS_ERR_INVALID_ARGUMENT    NULL
 * @retval KMS_ERR_INVALID_CIPHERTEXT  as kms_stream_push(): above all, cut
 * @retval KMS_ERR_FORKED, KMS_ERR_NO_MEMORY  as kms_stream_push()
 *
 * Threads: one at a time uses a stream. Since 0.2.
 */
KMS_API KMS_MUST_CHECK kms_status kms_stream_finish(kms_stream *stream, void *out, size_t out_size,
                                                    size_t *out_len, bool *done);

/**
 * Wipes and frees a stream, finished or not. NULL is ignored.
 *
 * Threads: no other may use the stream. Since 0.2.
 */
KMS_API void kms_stream_free(kms_stream *stream);

/* --- reading at any place ----------------------------------------------------------------------- */

/** What KMS_STREAM_IO_VERSION is now. */
#define KMS_STREAM_IO_VERSION 1u

/**
 * Where a stream lies: a file, an object of an object store, memory. The functions answer KMS_OK, or a
 * status that the call passes on, with a sentence recorded by kms_set_error(). Since 0.2.
 */
typedef struct kms_stream_io {
    /** KMS_STREAM_IO_VERSION. */
    uint32_t version;
    /** Handed to every function. */
    void *data;
    /** Reads len bytes from offset at; fewer, told in *len_read, only where the source ends. What fails
     * here or below is best told as KMS_ERR_FILE, or KMS_ERR_FULL where there is no room. */
    kms_status (*read_at)(void *data, uint64_t at, void *buffer, size_t len, size_t *len_read);
    /** Tells the size of the whole, header included. */
    kms_status (*get_size)(void *data, uint64_t *size);
    /** Writes len bytes at offset at, all of them. Only for kms_stream_rewrap(); else NULL. */
    kms_status (*write_at)(void *data, uint64_t at, const void *buffer, size_t len);
    /** Makes durable what was written. Only for kms_stream_rewrap(); else NULL. */
    kms_status (*sync)(void *data);
} kms_stream_io;

/**
 * A stream in a file that the caller has open, whose offset is not used.
 *
 * @param[out] io  written whole
 * @param fd       open for reading, for kms_stream_rewrap() for writing too, and not with O_APPEND;
 *                 stays the caller's
 *
 * Threads: any. Since 0.2.
 */
KMS_API void kms_stream_io_of_fd(kms_stream_io *io, int fd);

/** A stream that is read at any place: opaque, ended by kms_stream_reader_close(). It takes some 130 KiB of
 * memory, half of it locked. Since 0.2. */
typedef struct kms_stream_reader kms_stream_reader;

/**
 * Opens a stream to be read at any place. Reads its header and its last chunk, so that its size is
 * authentic.
 *
 * @param store        open store; not needed any more afterwards
 * @param context      the pairs that the stream was made with; NULL for none
 * @param io           copied; what it leads to must stay until kms_stream_reader_close()
 * @param[out] reader  end it with kms_stream_reader_close(), before or after kms_close(); untouched on
 *                     failure
 *
 * @retval KMS_OK
 * @retval KMS_ERR_INVALID_ARGUMENT    NULL, malformed context, read_at or get_size missing
 * @retval KMS_ERR_ABI                 io of an unknown version
 * @retval KMS_ERR_INVALID_CIPHERTEXT  as kms_stream_decrypt(), or cut
 * @retval KMS_ERR_FILE                the file cannot be read (of kms_stream_io_of_fd())
 * @retval whatever a function of io answers
 * @retval the others of kms_decrypt()
 *
 * Threads: any number may share store. Since 0.2.
 */
KMS_API KMS_MUST_CHECK kms_status kms_stream_reader_open(kms_store *store,
                                                         const kms_context *context,
                                                         const kms_stream_io *io,
                                                         kms_stream_reader **reader);

/**
 * The size of the plaintext, bytes, which is authentic.
 *
 * @param reader  not NULL
 * Threads: any. Since 0.2.
 */
KMS_API uint64_t kms_stream_reader_size(const kms_stream_reader *reader);

/**
 * Decrypts a range. Only the chunks in which it lies are read and verified; the last of them is kept,
 * so that reading on in small pieces decrypts each chunk once.
 *
 * @param reader        open
 * @param offset        first byte of the plaintext; at its end or behind it nothing is read
 * @param out           caller's buffer; NULL only where len is 0
 * @param len           bytes wanted
 * @param[out] out_len  bytes written: len, or fewer where the plaintext ends
 *
 * On failure *out_len is untouched, and out is unchanged or zero. The reader stays usable.
 *
 * @retval KMS_OK
 * @retval KMS_ERR_INVALID_ARGUMENT    NULL
 * @retval KMS_ERR_INVALID_CIPHERTEXT  a chunk of the range is damaged, or the source became shorter
 * @retval KMS_ERR_FORKED              the reader was opened before fork()
 * @retval KMS_ERR_FILE                the file cannot be read (of kms_stream_io_of_fd())
 * @retval KMS_ERR_NO_MEMORY           a thread's first call
 * @retval whatever read_at answers
 *
 * Threads: one at a time uses a reader; open one for each. Since 0.2.
 */
KMS_API KMS_MUST_CHECK kms_status kms_stream_reader_read(kms_stream_reader *reader, uint64_t offset,
                                                         void *out, size_t len, size_t *out_len);

/**
 * Wipes and frees a reader. NULL is ignored.
 *
 * Threads: no other may use the reader. Since 0.2.
 */
KMS_API void kms_stream_reader_close(kms_stream_reader *reader);

/* --- rotation ----------------------------------------------------------------------------------- */

/**
 * ReEncrypt of a stream: seals its key anew under the primary version of a key, in place, whatever the
 * size of the stream. Its data are not read, nor written.
 *
 * An object that cannot be written in part can be rewrapped too: give an io over a copy of its header, of
 * size KMS_STREAM_HEADER_SIZE, and put header and chunks together anew.
 *
 * The two slots of the header are written and synced in turn: a call that fails or is killed, at any
 * moment, leaves a stream that opens; who makes the call again finishes the work. The call syncs before
 * its first write, too, since the one before it may have been killed before its last sync. One call at a
 * time may rewrite a stream; readers may read meanwhile.
 *
 * @param store                open store
 * @param source_context       the pairs that the stream was made with; NULL for none
 * @param keyref               the destination: key id, or alias in full
 * @param destination_context  the pairs to bind from now on; NULL for none
 * @param io                   where the stream lies, with write_at and sync
 * @param[out] source          the key and version that opened it; NULL if not wanted; untouched on
 *                             failure
 *
 * Whoever has a copy of the old header, and the old version, can still open the data: data that must
 * be lost with a key are encrypted anew.
 *
 * @retval KMS_OK
 * @retval KMS_ERR_INVALID_ARGUMENT    NULL, malformed keyref or context, a function of io missing
 * @retval KMS_ERR_ABI                 io of an unknown version
 * @retval KMS_ERR_INVALID_CIPHERTEXT  as kms_stream_decrypt()
 * @retval KMS_ERR_FILE, KMS_ERR_FULL  the file cannot be written (of kms_stream_io_of_fd())
 * @retval whatever a function of io answers
 * @retval those of kms_re_encrypt()
 *
 * Threads: any number may share store. Since 0.2. Source: Alibaba Cloud KMS, ReEncrypt.
 */
KMS_API KMS_MUST_CHECK kms_status kms_stream_rewrap(kms_store *store,
                                                    const kms_context *source_context,
                                                    const char *keyref,
                                                    const kms_context *destination_context,
                                                    const kms_stream_io *io, kms_key_used *source);

/**
 * Reads which key and version a stream's header is sealed under, with no store and no key. Nothing of
 * it is proven until the stream is opened.
 *
 * @param header      the first bytes of the stream
 * @param header_len  KMS_STREAM_HEADER_SIZE at least
 * @param[out] info   of the header's blob, as kms_inspect_blob() tells: key id and version are those that
 *                    open the stream; the size is that of the stream's key, always 33, and the suite
 *                    that of the header. Untouched on failure
 *
 * Of a stream that somebody rewraps at this moment both slots may be read half-written, one after the
 * other: if KMS_ERR_INVALID_CIPHERTEXT comes, read the header once more.
 *
 * @retval KMS_OK
 * @retval KMS_ERR_INVALID_ARGUMENT    NULL
 * @retval KMS_ERR_NEWER_FORMAT        a newer libkms made it
 * @retval KMS_ERR_INVALID_CIPHERTEXT  no stream of libkms, or a damaged header
 *
 * Threads: any. No allocation. Since 0.2.
 */
KMS_API KMS_MUST_CHECK kms_status kms_inspect_stream(const void *header, size_t header_len,
                                                     kms_blob_info *info);

/**
 * Whether a stream is to be rewrapped: its header is not sealed under the primary version of a key, or
 * its two slots differ, since a rewrap broke off or one of them is damaged.
 *
 * @param store       open store
 * @param keyref      key id, or alias in full: the key under which the stream should be
 * @param header      the first bytes of the stream
 * @param header_len  KMS_STREAM_HEADER_SIZE at least
 * @param[out] stale  untouched on failure
 *
 * @retval those of kms_inspect_stream() and kms_blob_is_stale()
 *
 * Threads: any number may share store. Since 0.2.
 */
KMS_API KMS_MUST_CHECK kms_status kms_stream_is_stale(kms_store *store, const char *keyref,
                                                      const void *header, size_t header_len,
                                                      bool *stale);

KMS_END_DECLS

#endif
