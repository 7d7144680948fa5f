/*
 * The end of old versions and keys. They are disabled, which can be taken back; destroying them is
 * another step, for another day.
 *
 * Last uses are a hint that can only be too old (kms/key_version.h): a program that never writes its
 * own down, or an old backup of the database, is not seen. So is a row that somebody encrypted before
 * the rotation and has not written yet: let transactions of that time end first.
 */
#include "reencrypt_table.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define HOUR_MS INT64_C(3600000)

/* An old version of the alias' key; or, with version 0, the whole key that the alias pointed to
 * before. */
struct candidate {
    char key_id[KMS_KEY_ID_SIZE];
    uint32_t version;
    bool disabled;
};

static void name_candidate(const struct candidate *candidate, char name[96])
{
    if (candidate->version == 0) {
        snprintf(name, 96, "key %s", candidate->key_id);
    } else {
        snprintf(name, 96, "version %u of key %s", candidate->version, candidate->key_id);
    }
}

static bool stays(const struct candidate *candidate, const char *why)
{
    char name[96];

    name_candidate(candidate, name);
    printf("%s stays enabled: %s\n", name, why);
    return false;
}

/* --- What speaks against it: these are false if anything does, and tell it ---------------------- */

static bool holds_nothing(const struct candidate *candidate, const struct survey *survey)
{
    for (size_t i = 0; i < survey->count; i++) {
        const struct line *line = &survey->lines[i];
        char why[128];

        if (strcmp(line->key_id, candidate->key_id) == 0 &&
            (candidate->version == 0 || candidate->version == line->key_version)) {
            snprintf(why, sizeof why, "%" PRIu64 " values of %s.%s need it", line->values,
                     line->table->name, line->table->columns[line->column].name);
            return stays(candidate, why);
        }
    }
    return true;
}

/* New tokens too follow from version 1 of a key, whichever its primary one is. */
static bool makes_no_tokens(kms_store *store, const struct candidate *candidate)
{
    kms_alias_info alias;

    for (size_t i = 0; i < table_count; i++) {
        for (size_t j = 0; candidate->version == 1 && j < tables[i].count; j++) {
            const struct column *column = &tables[i].columns[j];

            if (column->form == FORM_TOKEN &&
                kms_describe_alias(store, column->alias, &alias) == KMS_OK &&
                strcmp(alias.key_id, candidate->key_id) == 0) {
                return stays(candidate, "the tokens of a blind index follow from it");
            }
        }
    }
    return true;
}

static bool has_no_alias(kms_store *store, const struct candidate *candidate)
{
    kms_alias_info alias;
    char why[KMS_ALIAS_SIZE + 32];
    size_t count = 0;

    if (candidate->version != 0) {
        return true;
    }
    if (!ok(kms_list_aliases_by_key_id(store, candidate->key_id, NULL, &alias, 1, &count, NULL))) {
        return stays(candidate, "its aliases are not known");
    }
    if (count == 0) {
        return true;
    }
    snprintf(why, sizeof why, "%s points to it", alias.name);
    return stays(candidate, why);
}

/* The last use of a version, or of all versions of a key; 0: never. */
static bool find_last_use(kms_store *store, const struct candidate *candidate, int64_t *last_ms)
{
    kms_key_info key = {.version = KMS_KEY_INFO_VERSION};
    kms_key_version_info version;
    uint32_t first = candidate->version, last = candidate->version;

    *last_ms = 0;
    if (first == 0) {
        if (!ok(kms_describe_key(store, candidate->key_id, &key))) {
            return false;
        }
        first = 1;
        last = key.version_count;
    }
    for (uint32_t number = first; number <= last; number++) {
        if (!ok(kms_describe_key_version(store, candidate->key_id, number, &version))) {
            return false;
        }
        *last_ms = version.last_encrypt_ms > *last_ms ? version.last_encrypt_ms : *last_ms;
        *last_ms = version.last_decrypt_ms > *last_ms ? version.last_decrypt_ms : *last_ms;
    }
    return true;
}

/* A use is recorded by the hour that it was in, and so may have been an hour later. */
static bool has_rested(kms_store *store, const struct candidate *candidate, uint32_t hours)
{
    int64_t now_ms = (int64_t)time(NULL) * 1000, last_ms;
    time_t seconds;
    struct tm date;
    char text[32], why[128];

    if (!find_last_use(store, candidate, &last_ms)) {
        return stays(candidate, "its last use is not known");
    }
    if (hours == 0 || last_ms == 0 || last_ms + (1 + (int64_t)hours) * HOUR_MS <= now_ms) {
        return true;
    }
    seconds = (time_t)(last_ms / 1000);
    strftime(text, sizeof text, "%Y-%m-%d %H:00", gmtime_r(&seconds, &date));
    snprintf(why, sizeof why,
             "it was used in the hour of %s UTC, and must rest %u hours (--unused-for)", text,
             hours);
    return stays(candidate, why);
}

/* --- Which they are ----------------------------------------------------------------------------- */

struct candidates {
    size_t count;
    struct candidate *list;
};

static void add_candidate(struct candidates *candidates, const char *key_id, uint32_t version)
{
    struct candidate *candidate = &candidates->list[candidates->count++];

    candidate->version = version;
    snprintf(candidate->key_id, sizeof candidate->key_id, "%s", key_id);
}

static bool add_versions(kms_store *store, const kms_key_info *key, struct candidates *candidates)
{
    kms_key_version_info version;

    for (uint32_t number = 1; number <= key->version_count; number++) {
        if (!ok(kms_describe_key_version(store, key->key_id, number, &version))) {
            return false;
        }
        if (!version.primary && version.state == KMS_KEY_VERSION_ENABLED) {
            add_candidate(candidates, key->key_id, number);
        }
    }
    return true;
}

static bool add_key_before(kms_store *store, const char *alias_name, struct candidates *candidates)
{
    kms_key_info key = {.version = KMS_KEY_INFO_VERSION};
    kms_alias_info alias;

    if (!ok(kms_describe_alias(store, alias_name, &alias))) {
        return false;
    }
    if (alias.previous_key_id[0] == '\0') {
        return true;
    }
    switch (kms_describe_key(store, alias.previous_key_id, &key)) {
    case KMS_OK:
        if (key.state == KMS_KEY_ENABLED) {
            add_candidate(candidates, key.key_id, 0);
        }
        return true;
    case KMS_ERR_KEY_NOT_FOUND: /* purged */
        return true;
    default:
        return fail("%s", kms_error_message());
    }
}

static bool find_candidates(const struct work *work, struct candidates *candidates)
{
    kms_key_info key = {.version = KMS_KEY_INFO_VERSION};

    if (!ok(kms_describe_key(work->store, work->alias, &key))) {
        return false;
    }
    candidates->list = calloc((size_t)key.version_count + 1, sizeof *candidates->list);
    if (candidates->list == NULL) {
        return fail("no memory for a list of versions");
    }
    return add_versions(work->store, &key, candidates) &&
           add_key_before(work->store, work->alias, candidates);
}

/* --- Doing it, and taking it back ---------------------------------------------------------------- */

static bool disable(kms_store *store, struct candidate *candidate)
{
    char name[96];

    name_candidate(candidate, name);
    candidate->disabled =
        ok(candidate->version == 0
               ? kms_disable_key(store, candidate->key_id)
               : kms_disable_key_version(store, candidate->key_id, candidate->version));
    if (candidate->disabled) {
        printf("%s is disabled\n", name);
    }
    return candidate->disabled;
}

static void enable_again(kms_store *store, const struct candidate *candidate)
{
    char name[96];

    name_candidate(candidate, name);
    if (candidate->disabled &&
        ok(candidate->version == 0
               ? kms_enable_key(store, candidate->key_id)
               : kms_enable_key_version(store, candidate->key_id, candidate->version))) {
        printf("%s is enabled again\n", name);
    }
}

/* How many stay. */
static size_t disable_what_rests(const struct work *work, const struct survey *survey,
                                 struct candidates *candidates)
{
    size_t staying = 0;

    for (size_t i = 0; i < candidates->count; i++) {
        struct candidate *candidate = &candidates->list[i];
        bool disabled = holds_nothing(candidate, survey) &&
                        makes_no_tokens(work->store, candidate) &&
                        has_no_alias(work->store, candidate) &&
                        has_rested(work->store, candidate, work->unused_hours) &&
                        disable(work->store, candidate);

        staying += !disabled;
    }
    return staying;
}

/* Reads every value of every column, and says whether all of them open. Whoever waits for this program
 * hears of it at once. */
static enum outcome read_all(const struct work *work, struct survey *survey)
{
    enum outcome outcome;

    if (!survey_take(work, (struct survey_options){.all_columns = true, .open = true}, survey)) {
        return FAILED;
    }
    outcome = survey_conclude(survey);
    if (outcome == ALL_DONE) {
        printf("every value was read, and opens\n");
    }
    fflush(stdout);
    return outcome;
}

static enum outcome check_again(const struct work *work, const struct candidates *candidates)
{
    struct survey survey;
    enum outcome outcome = read_all(work, &survey);

    for (size_t i = 0; outcome != ALL_DONE && i < candidates->count; i++) {
        enable_again(work->store, &candidates->list[i]);
    }
    survey_free(&survey);
    return outcome;
}

static enum outcome retire_checked(const struct work *work, const struct survey *survey)
{
    struct candidates candidates = {0};
    enum outcome outcome = FAILED;
    size_t staying;

    if (find_candidates(work, &candidates)) {
        staying = disable_what_rests(work, survey, &candidates);
        outcome = staying < candidates.count ? check_again(work, &candidates) : ALL_DONE;
        if (outcome == ALL_DONE && staying > 0) {
            outcome = SOMETHING_LEFT;
        }
        if (candidates.count == 0) {
            printf("no old version is enabled, and no key before\n");
        }
    }
    free(candidates.list);
    return outcome;
}

enum outcome retire(const struct work *work)
{
    struct survey survey;
    enum outcome outcome = read_all(work, &survey);

    if (outcome == ALL_DONE) {
        outcome = retire_checked(work, &survey);
    } else if (outcome == SOMETHING_LEFT) {
        survey_print(&survey);
        printf("so nothing is retired\n");
    }
    survey_free(&survey);
    return outcome;
}
