/*
 * The blobs of a page: under which key they are, opening them, re-encrypting them.
 *
 * What is wrong with one value is told, and the others go on. What is wrong with the store ends the
 * program.
 */
#include "reencrypt_table.h"

#include <stdlib.h>
#include <string.h>

/* Whether a status is about one value, and not about the store. */
static bool is_of_the_value(kms_status status)
{
    switch (status) {
    case KMS_ERR_INVALID_CIPHERTEXT:
    case KMS_ERR_NEWER_FORMAT:
    case KMS_ERR_KEY_NOT_FOUND:
    case KMS_ERR_DISABLED:
    case KMS_ERR_PENDING_DELETION:
    case KMS_ERR_PENDING_IMPORT:
    case KMS_ERR_DESTROYED:
    case KMS_ERR_UNSUPPORTED:
        return true;
    default:
        return false;
    }
}

/* False where the work cannot go on. */
static bool refuse(const struct walk *walk, const struct page *page, size_t row, size_t column,
                   kms_status status)
{
    if (!is_of_the_value(status)) {
        return ok(status);
    }
    cell_of(page, row, column)->state = UNREADABLE;
    if (!walk->quiet) {
        complain_of(page, row, column, kms_status_sentence(status));
    }
    return true;
}

/* --- What the cells are ----------------------------------------------------------------------- */

/* Finds the blob, or the token, that a cell holds. */
static kms_status decode(struct cell *cell, enum form form)
{
    int bytes = sqlite3_value_bytes(cell->stored);
    size_t size = KMS_TEXT_BLOB_SIZE(bytes);

    if (sqlite3_value_type(cell->stored) != (form == FORM_TEXT ? SQLITE_TEXT : SQLITE_BLOB)) {
        return KMS_ERR_INVALID_CIPHERTEXT;
    }
    if (form != FORM_TEXT) {
        cell->blob = sqlite3_value_blob(cell->stored);
        cell->len = (size_t)bytes;
        return KMS_OK;
    }
    cell->decoded = malloc(size + 1);
    if (cell->decoded == NULL) {
        return kms_set_error(KMS_ERR_NO_MEMORY, "no memory for a blob");
    }
    cell->blob = cell->decoded;
    return kms_blob_from_text((const char *)sqlite3_value_text(cell->stored), (size_t)bytes,
                              cell->decoded, size, &cell->len);
}

/* What a blob says of itself, which needs no key. */
static kms_status examine_blob(const struct walk *walk, const struct column *column,
                               struct cell *cell)
{
    kms_blob_info info;
    bool stale;
    kms_status status = decode(cell, column->form);

    if (status == KMS_OK) {
        status = kms_inspect_blob(cell->blob, cell->len, &info);
    }
    if (status == KMS_OK) {
        status = kms_blob_is_stale(walk->work->store, column->alias, cell->blob, cell->len, &stale);
    }
    if (status == KMS_OK) {
        cell->state = stale ? STALE : CURRENT;
        cell->key_version = info.key_version;
        memcpy(cell->key_id, info.key_id, sizeof cell->key_id);
    }
    return status;
}

/* The tokens of the value that stands in another column of the row. */
static kms_status tokens_of(const struct walk *walk, const struct page *page, size_t row,
                            const struct column *column, kms_blind_tokens *tokens)
{
    struct cell *value = cell_of(page, row, column->value);
    struct place place;
    unsigned char *plain;
    size_t plain_len;
    kms_status status =
        value->blob != NULL ? KMS_OK : decode(value, page->table->columns[column->value].form);

    if (status != KMS_OK) {
        return status;
    }
    plain = malloc(value->len);
    if (plain == NULL) {
        return kms_set_error(KMS_ERR_NO_MEMORY, "no memory for a value");
    }
    status =
        kms_decrypt(walk->work->store, locate(&place, page->table, column->value, page->ids[row]),
                    value->blob, value->len, plain, value->len, &plain_len);
    if (status == KMS_OK) {
        status = kms_blind_index(walk->work->store, column->alias, column->label, plain, plain_len,
                                 column->bits, tokens);
    }
    explicit_bzero(plain, value->len);
    free(plain);
    return status;
}

static bool is_token(const struct cell *cell, const unsigned char *token, size_t len)
{
    return cell->len == len && memcmp(cell->blob, token, len) == 0;
}

/* A token does not say which key it is of, and so is compared with those that it could be. Tokens
 * follow from version 1 of their key. */
static void compare_token(struct cell *cell, const kms_blind_tokens *tokens,
                          const kms_alias_info *alias)
{
    cell->state = STALE;
    if (is_token(cell, tokens->token, tokens->len)) {
        cell->state = CURRENT;
        cell->key_version = 1;
        memcpy(cell->key_id, alias->key_id, sizeof cell->key_id);
    } else if (tokens->has_previous && is_token(cell, tokens->previous, tokens->len)) {
        cell->key_version = 1;
        memcpy(cell->key_id, alias->previous_key_id, sizeof cell->key_id);
    }
}

static kms_status examine_token(const struct walk *walk, const struct page *page, size_t row,
                                const struct column *column, struct cell *cell)
{
    kms_blind_tokens tokens;
    kms_alias_info alias;
    kms_status status = decode(cell, column->form);

    if (status == KMS_OK) {
        status = kms_describe_alias(walk->work->store, column->alias, &alias);
    }
    if (status == KMS_OK) {
        status = tokens_of(walk, page, row, column, &tokens);
    }
    if (status != KMS_OK) {
        return status;
    }
    compare_token(cell, &tokens, &alias);
    if (cell->state == STALE) {
        cell->fresh = malloc(tokens.len);
        if (cell->fresh == NULL) {
            return kms_set_error(KMS_ERR_NO_MEMORY, "no memory for a token");
        }
        cell->fresh_len = tokens.len;
        memcpy(cell->fresh, tokens.token, tokens.len);
    }
    return KMS_OK;
}

static bool examine(const struct walk *walk, const struct page *page, size_t row, size_t column)
{
    const struct column *what = &page->table->columns[column];
    struct cell *cell = cell_of(page, row, column);
    kms_status status;

    if (!is_selected(walk, what) || sqlite3_value_type(cell->stored) == SQLITE_NULL) {
        return true;
    }
    status = what->form == FORM_TOKEN ? examine_token(walk, page, row, what, cell)
                                      : examine_blob(walk, what, cell);
    return status == KMS_OK || refuse(walk, page, row, column, status);
}

bool page_examine(const struct walk *walk, struct page *page)
{
    for (size_t row = 0; row < page->count; row++) {
        for (size_t column = 0; column < page->table->count; column++) {
            if (!examine(walk, page, row, column)) {
                return false;
            }
        }
    }
    return true;
}

/* --- Batches of blobs ------------------------------------------------------------------------- */

struct batch {
    size_t count;
    kms_batch_item *items;
    struct source {
        size_t row;
        size_t column;
        struct place place;
    } * sources;
};

static void batch_free(struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        if (batch->items[i].out != NULL) {
            explicit_bzero(batch->items[i].out, batch->items[i].out_size);
            free(batch->items[i].out);
        }
    }
    free(batch->items);
    free(batch->sources);
}

static bool batch_add(struct batch *batch, const struct page *page, size_t row, size_t column)
{
    const struct cell *cell = cell_of(page, row, column);
    struct source *source = &batch->sources[batch->count];
    kms_batch_item *item = &batch->items[batch->count];

    source->row = row;
    source->column = column;
    item->in = cell->blob;
    item->in_len = cell->len;
    item->context = item->new_context = locate(&source->place, page->table, column, page->ids[row]);
    item->out = malloc(cell->len);
    item->out_size = cell->len;
    batch->count++;
    return item->out != NULL || fail("no memory for a blob");
}

/* Takes every blob of a page that is stale, or the current ones too. */
static bool batch_new(struct batch *batch, const struct page *page, bool current_too)
{
    size_t size = page->count * page->table->count + 1;

    *batch = (struct batch){0};
    batch->items = calloc(size, sizeof *batch->items);
    batch->sources = calloc(size, sizeof *batch->sources);
    if (batch->items == NULL || batch->sources == NULL) {
        return fail("no memory for a batch");
    }
    for (size_t row = 0; row < page->count; row++) {
        for (size_t column = 0; column < page->table->count; column++) {
            enum state state = cell_of(page, row, column)->state;
            bool wanted = state == STALE || (current_too && state == CURRENT);

            if (wanted && page->table->columns[column].form != FORM_TOKEN &&
                !batch_add(batch, page, row, column)) {
                return false;
            }
        }
    }
    return true;
}

/* Tells which items failed; what else the items came to is looked at by their own statuses. */
static bool batch_refuse(const struct walk *walk, const struct page *page,
                         const struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        kms_status status = batch->items[i].status;

        if (status != KMS_OK &&
            !refuse(walk, page, batch->sources[i].row, batch->sources[i].column, status)) {
            return false;
        }
    }
    return true;
}

bool page_open(const struct walk *walk, struct page *page)
{
    struct batch batch;
    bool opened = batch_new(&batch, page, true);

    if (opened && batch.count > 0 &&
        kms_decrypt_batch(walk->work->store, batch.items, batch.count) != KMS_OK) {
        opened = batch_refuse(walk, page, &batch);
    }
    batch_free(&batch);
    return opened;
}

/* Gives a new blob to its cell, in the form of the column. */
static bool keep(kms_batch_item *item, enum form form, struct cell *cell)
{
    size_t size = KMS_TEXT_SIZE(item->out_len);

    if (form != FORM_TEXT) {
        cell->fresh = item->out;
        cell->fresh_len = item->out_len;
        item->out = NULL;
        return true;
    }
    cell->fresh = malloc(size);
    return cell->fresh != NULL
               ? ok(kms_blob_to_text(item->out, item->out_len, cell->fresh, size, &cell->fresh_len))
               : fail("no memory for a blob");
}

static bool keep_all(const struct page *page, const struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        const struct source *source = &batch->sources[i];

        if (batch->items[i].status == KMS_OK &&
            !keep(&batch->items[i], page->table->columns[source->column].form,
                  cell_of(page, source->row, source->column))) {
            return false;
        }
    }
    return true;
}

bool page_reencrypt(const struct walk *walk, struct page *page)
{
    struct batch batch;
    bool done = batch_new(&batch, page, false);

    if (done && batch.count > 0) {
        done = kms_re_encrypt_batch(walk->work->store, walk->work->alias, batch.items,
                                    batch.count) == KMS_OK ||
               batch_refuse(walk, page, &batch);
        done = done && keep_all(page, &batch);
    }
    batch_free(&batch);
    return done;
}
