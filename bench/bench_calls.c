#include "fail.h"
#include "messages.h"
#include "report.h"
#include "sections.h"
#include "stores.h"

#include <string.h>

#define ALIAS "alias/bench/calls"
#define ALIAS_UNIQUE "alias/bench/unique"
#define LEN 64
#define BATCH 100

/* What the rows work on. */
typedef struct scene {
    kms_store *store;
    messages *messages;
    uint8_t blob[KMS_CIPHERTEXT_SIZE(LEN)], out[KMS_CIPHERTEXT_SIZE(LEN)];
    kms_batch_item items[BATCH];
    uint8_t batch[BATCH][KMS_CIPHERTEXT_SIZE(LEN)];
    char text[KMS_TEXT_SIZE(KMS_CIPHERTEXT_SIZE(LEN))];
} scene;

static const kms_context_pair pairs[] = {{"table", "customers"}, {"column", "id_number"}};
static const kms_context context = {pairs, 2};

static void run_encrypt_context(void *subject, size_t n)
{
    scene *in = subject;
    size_t len;

    for (size_t i = 0; i < n; i++)
        must_ok(kms_encrypt(in->store, ALIAS, &context, in->messages->plain, LEN, in->out,
                            sizeof in->out, &len));
}

/* Each message counts as an operation. */
static void run_encrypt_batch(void *subject, size_t n)
{
    scene *in = subject;

    for (size_t done = 0; done < n; done += BATCH)
        must_ok(
            kms_encrypt_batch(in->store, ALIAS, in->items, n - done < BATCH ? n - done : BATCH));
}

static void run_re_encrypt(void *subject, size_t n)
{
    scene *in = subject;
    size_t len;

    for (size_t i = 0; i < n; i++)
        must_ok(kms_re_encrypt(in->store, NULL, in->blob, sizeof in->blob, ALIAS, NULL, in->out,
                               sizeof in->out, &len, NULL));
}

static void run_data_key(void *subject, size_t n)
{
    scene *in = subject;
    uint8_t data_key[32];
    size_t len;

    for (size_t i = 0; i < n; i++)
        must_ok(kms_generate_data_key(in->store, ALIAS, NULL, data_key, sizeof data_key, in->out,
                                      sizeof in->out, &len));
}

static void run_deterministic(void *subject, size_t n)
{
    scene *in = subject;
    size_t len;

    for (size_t i = 0; i < n; i++)
        must_ok(kms_encrypt_deterministic(in->store, ALIAS_UNIQUE, &context, in->messages->plain,
                                          LEN, in->out, sizeof in->out, &len));
}

static void run_derive(void *subject, size_t n)
{
    scene *in = subject;
    uint8_t derived[32];

    for (size_t i = 0; i < n; i++)
        must_ok(kms_derive_key(in->store, ALIAS, 1, &context, derived, sizeof derived, NULL));
}

static void run_blind_index(void *subject, size_t n)
{
    scene *in = subject;
    kms_blind_tokens tokens;

    for (size_t i = 0; i < n; i++)
        must_ok(kms_blind_index(in->store, ALIAS, "customers.id_number", in->messages->plain, 18,
                                128, &tokens));
}

static void run_to_text(void *subject, size_t n)
{
    scene *in = subject;
    size_t len;

    for (size_t i = 0; i < n; i++)
        must_ok(kms_blob_to_text(in->blob, sizeof in->blob, in->text, sizeof in->text, &len));
}

static void begin(scene *in)
{
    kms_create_key_options unique = KMS_CREATE_KEY_OPTIONS_INIT;
    char id[KMS_KEY_ID_SIZE];
    size_t len;

    memset(in, 0, sizeof *in);
    unique.usage = KMS_KEY_USAGE_DETERMINISTIC;
    in->store = stores_open(stores_path(FAST, "calls.kms"), 0);
    stores_add_key(in->store, KMS_SUITE_XCHACHA20_POLY1305, ALIAS, id);
    must_ok(kms_ensure_alias(in->store, ALIAS_UNIQUE, &unique, id));
    in->messages = messages_of(in->store, ALIAS, LEN);
    must_ok(kms_encrypt(in->store, ALIAS, NULL, in->messages->plain, LEN, in->blob, sizeof in->blob,
                        &len));
    for (size_t i = 0; i < BATCH; i++)
        in->items[i] = (kms_batch_item){.in = in->messages->plain,
                                        .in_len = LEN,
                                        .out = in->batch[i],
                                        .out_size = sizeof in->batch[i]};
}

void bench_calls(const options *all)
{
    static scene in;
    group *rows =
        group_new("calls", THREAD_TIME, "suite 1, warm, on LMDB, 64 B unless it says otherwise");

    begin(&in);
    group_add(rows, run_encrypt, in.messages, 0, "kms_encrypt()");
    group_add(rows, run_encrypt_context, &in, 0, "kms_encrypt(), context of two pairs");
    group_add(rows, run_encrypt_batch, &in, 0, "kms_encrypt_batch() of 100, for each");
    group_add(rows, run_decrypt, in.messages, 0, "kms_decrypt()");
    group_add(rows, run_re_encrypt, &in, 0, "kms_re_encrypt()");
    group_add(rows, run_data_key, &in, 0, "kms_generate_data_key(), 32 B");
    group_add(rows, run_deterministic, &in, 0, "kms_encrypt_deterministic()");
    group_add(rows, run_derive, &in, 0, "kms_derive_key(), 32 B");
    group_add(rows, run_blind_index, &in, 0, "kms_blind_index(), 18 B");
    group_add(rows, run_to_text, &in, 0, "kms_blob_to_text()");
    group_measure(rows, options_pace(all, 0.5, 201));
    report_group(rows, (about){.suite = 1, .bytes = LEN});
    group_free(rows);
    messages_free(in.messages);
    kms_close(in.store);
}
