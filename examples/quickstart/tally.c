/* Which key and version rows were encrypted under: blobs tell it themselves. */
#include "quickstart.h"

#include <stdio.h>
#include <string.h>

bool row_key(const struct row *row, kms_blob_info *info)
{
    kms_blob_info other;

    for (int i = 0; i < FIELDS; i++) {
        const struct blob *blob = &row->fields[i];

        if (!ok(kms_inspect_blob(blob->bytes, blob->len, i == 0 ? info : &other))) {
            return false;
        }
        if (i > 0 &&
            (strcmp(other.key_id, info->key_id) != 0 || other.key_version != info->key_version)) {
            return fail("the fields of customer %lld are of several keys", (long long)row->id);
        }
    }
    return true;
}

static struct tally_line *find_line(struct tally *tally, const kms_blob_info *info)
{
    struct tally_line *line = tally->lines;

    for (; line < tally->lines + tally->count; line++) {
        if (strcmp(line->key_id, info->key_id) == 0 && line->key_version == info->key_version) {
            return line;
        }
    }
    if (tally->count == TALLY_MAX) {
        fail("the database has blobs of more keys than this program ever made");
        return NULL;
    }
    tally->count++;
    snprintf(line->key_id, sizeof line->key_id, "%s", info->key_id);
    line->key_version = info->key_version;
    line->rows = 0;
    return line;
}

bool tally_rows(struct database *db, struct tally *tally)
{
    struct row row;
    kms_blob_info info;
    struct tally_line *line;
    enum next next;

    tally->count = 0;
    for (row.id = 0; (next = database_next(db, row.id, &row)) == NEXT_ROW;) {
        if (!row_key(&row, &info) || (line = find_line(tally, &info)) == NULL) {
            return false;
        }
        line->rows++;
    }
    return next == NEXT_END;
}
