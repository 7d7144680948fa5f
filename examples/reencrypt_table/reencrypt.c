/*
 * The re-encryption. A page's new blobs are made before its transaction begins, so that the database is
 * locked for the updates only.
 */
#include "reencrypt_table.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

struct pass {
    struct walk walk;
    uint64_t values;
    uint64_t rows;
    uint64_t pages;
    uint64_t changed;
    uint64_t stale; /* that there were before */
};

/* On a terminal one line is written over and over. */
static void show_progress(const struct pass *pass)
{
    if (isatty(STDERR_FILENO)) {
        fprintf(stderr, "\rre-encrypted %" PRIu64 " of %" PRIu64 " values", pass->values,
                pass->stale);
        fflush(stderr);
    }
}

static bool reencrypt_page(struct walk *walk, const struct statements *statements,
                           struct page *page)
{
    struct pass *pass = (struct pass *)walk;
    struct written written;

    if (!page_reencrypt(walk, page) || !page_write(walk->work->db, statements, page, &written)) {
        return false;
    }
    pass->values += written.values;
    pass->rows += written.rows;
    pass->pages += written.rows > 0;
    pass->changed += written.changed;
    show_progress(pass);
    return true;
}

static void tell_pass(const struct pass *pass)
{
    if (isatty(STDERR_FILENO)) {
        fputs("\r\033[K", stderr);
    }
    printf("re-encrypted %" PRIu64 " values of %" PRIu64 " rows in %" PRIu64 " transactions",
           pass->values, pass->rows, pass->pages);
    if (pass->changed > 0) {
        printf("; %" PRIu64 " rows were changed meanwhile", pass->changed);
    }
    printf("\n");
}

static bool make_pass(const struct work *work, bool again, uint64_t stale, struct pass *pass)
{
    bool done;

    *pass = (struct pass){.walk = {.work = work, .quiet = again, .visit = reencrypt_page},
                          .stale = stale};
    done = walk(&pass->walk);
    if (!again || pass->values + pass->changed > 0) {
        tell_pass(pass);
    }
    return done;
}

/* Rows that somebody changed in between, and values that got old because the key was rotated again,
 * are left to another pass. When one can do nothing, what is left cannot be helped here. The first
 * pass tells what it cannot read, and the others need not. */
static bool make_passes(const struct work *work, struct survey *survey)
{
    struct pass pass;
    bool again = false;

    do {
        if (!make_pass(work, again, survey->values[STALE], &pass)) {
            return false;
        }
        survey_free(survey);
        if (!survey_take(work, (struct survey_options){.quiet = true}, survey)) {
            return false;
        }
        again = true;
    } while (survey->values[STALE] > 0 && pass.values > 0);
    return true;
}

static bool can_encrypt(const struct work *work)
{
    kms_key_info key = {.version = KMS_KEY_INFO_VERSION};

    return ok(kms_describe_key(work->store, work->alias, &key)) &&
           ok(kms_would(work->store,
                        key.usage == KMS_KEY_USAGE_DETERMINISTIC ? KMS_OP_ENCRYPT_DETERMINISTIC
                                                                 : KMS_OP_ENCRYPT,
                        work->alias));
}

/* What this program itself has decrypted is a use of the old key, and is written down as one. If the
 * store is busy, kms_close() tries again. */
static bool record_use(kms_store *store)
{
    kms_status status = kms_flush_last_use(store);

    return status == KMS_ERR_BUSY || ok(status);
}

enum outcome reencrypt(const struct work *work)
{
    struct survey survey;
    enum outcome outcome = FAILED;

    if (survey_take(work, (struct survey_options){.quiet = true}, &survey) && can_encrypt(work) &&
        make_passes(work, &survey) && record_use(work->store)) {
        survey_print(&survey);
        outcome = survey_conclude(&survey);
    }
    survey_free(&survey);
    return outcome;
}
