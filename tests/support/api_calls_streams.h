/* Those of api_calls[] that are about streams and files. */
#ifndef KMS_TESTS_API_CALLS_STREAMS_H
#define KMS_TESTS_API_CALLS_STREAMS_H

#include "api_calls_life.h"

/* The part of the stage that they are performed on. */
void api_streams_stage(kms_store *store, api_stage *stage);

kms_status api_stream_encrypt(kms_store *store, const api_stage *stage);
kms_status api_stream_decrypt(kms_store *store, const api_stage *stage);
kms_status api_stream_reader(kms_store *store, const api_stage *stage);
kms_status api_stream_rewrap(kms_store *store, const api_stage *stage);
kms_status api_stream_is_stale(kms_store *store, const api_stage *stage);
kms_status api_encrypt_file(kms_store *store, const api_stage *stage);
kms_status api_decrypt_file(kms_store *store, const api_stage *stage);
kms_status api_rewrap_file(kms_store *store, const api_stage *stage);

#endif
