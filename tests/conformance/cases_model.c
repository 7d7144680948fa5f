/* Random changes, compared with a model that is too simple to be wrong. Always the same ones. */
#include "cases.h"

enum { ALPHABET = 4, KEYS = ALPHABET + ALPHABET * ALPHABET, TRANSACTIONS = 60, CHANGES = 25 };

struct model {
    struct {
        unsigned char bytes[2];
        size_t len;
        uint32_t value; /* 0: no record */
    } keys[KEYS];       /* in order */
};

/* All keys of one or two bytes over an alphabet that signed comparison, string functions and
 * careless prefix comparison each order wrongly. */
static void model_start(struct model *model)
{
    static const unsigned char alphabet[ALPHABET] = {0x00, 0x41, 0x7f, 0x80};
    size_t at = 0;

    memset(model, 0, sizeof *model);
    for (size_t i = 0; i < ALPHABET; i++) {
        model->keys[at].bytes[0] = alphabet[i];
        model->keys[at++].len = 1;
        for (size_t j = 0; j < ALPHABET; j++) {
            model->keys[at].bytes[0] = alphabet[i];
            model->keys[at].bytes[1] = alphabet[j];
            model->keys[at++].len = 2;
        }
    }
}

static kms_slice model_key(const struct model *model, size_t at)
{
    return (kms_slice){model->keys[at].bytes, model->keys[at].len};
}

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static bool change(trial *t, kms_txn *txn, struct model *model, uint32_t *random)
{
    size_t at = next_random(random) % KEYS;
    kms_slice key = model_key(model, at);
    kms_status answer;

    if (next_random(random) % 2 == 0) {
        model->keys[at].value = next_random(random) | 1;
        return kms__trial_put(t, txn, key, (kms_slice){&model->keys[at].value, sizeof(uint32_t)});
    }
    answer = txn->backend->ops->del(txn, key);
    if (answer != (model->keys[at].value != 0 ? KMS_OK : KMS_ERR_NOT_FOUND))
        return kms__trial_fail(t, "del() after random changes answered %s",
                               kms_status_name(answer));
    model->keys[at].value = 0;
    return true;
}

/* A scan, and a get of every record that it should show. */
static bool agrees(trial *t, kms_txn *txn, const struct model *model, size_t from, size_t limit)
{
    kms_record records[KEYS];
    size_t count;
    size_t seen = 0;

    if (!kms__trial_scan(t, txn, model_key(model, from), limit, records, &count))
        return false;
    for (size_t i = from; i < KEYS && seen < limit; i++) {
        kms_slice value = {&model->keys[i].value, sizeof(uint32_t)};

        if (model->keys[i].value == 0)
            continue;
        if (!kms__trial_holds(t, txn, model_key(model, i), value))
            return false;
        if (seen >= count || !same(records[seen].key, model_key(model, i)) ||
            !same(records[seen].value, value))
            return kms__trial_fail(t, "scan() after random changes misses or misplaces a record");
        seen++;
    }
    if (seen != count)
        return kms__trial_fail(t, "scan() after random changes shows %zu records instead of %zu",
                               count, seen);
    return true;
}

CASE(random_changes_match_a_model)
{
    uint32_t random = 20240229;
    struct model committed;
    struct model model;
    kms_backend *engine;
    kms_txn *txn;

    model_start(&committed);
    TRY(kms__trial_new_store(t, &engine));
    for (int i = 0; i < TRANSACTIONS; i++) {
        model = committed;
        TRY(kms__trial_begin(t, engine, KMS_TXN_WRITE, &txn, NULL));
        for (int j = 0; j < CHANGES; j++)
            TRY(change(t, txn, &model, &random));
        TRY(agrees(t, txn, &model, next_random(&random) % KEYS, 1 + next_random(&random) % KEYS));
        if (next_random(&random) % 4 == 0) {
            kms__trial_abort(t, txn);
        } else {
            TRY(kms__trial_commit(t, txn));
            committed = model;
        }
        TRY(kms__trial_begin(t, engine, KMS_TXN_READ, &txn, NULL));
        TRY(agrees(t, txn, &committed, 0, KEYS));
        kms__trial_abort(t, txn);
    }
}
