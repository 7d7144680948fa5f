/* Counts values by column, key and version. */
#include "reencrypt_table.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct survey_walk {
    struct walk walk;
    struct survey *survey;
    bool open;
};

static bool is_line_of(const struct line *line, const struct page *page, size_t column,
                       const struct cell *cell)
{
    return line->table == page->table && line->column == column && line->state == cell->state &&
           line->key_version == cell->key_version && strcmp(line->key_id, cell->key_id) == 0;
}

static struct line *find_line(struct survey *survey, const struct page *page, size_t column,
                              const struct cell *cell)
{
    struct line *lines;

    for (size_t i = 0; i < survey->count; i++) {
        if (is_line_of(&survey->lines[i], page, column, cell)) {
            return &survey->lines[i];
        }
    }
    lines = realloc(survey->lines, (survey->count + 1) * sizeof *lines);
    if (lines == NULL) {
        fail("no memory for a line");
        return NULL;
    }
    survey->lines = lines;
    lines[survey->count] = (struct line){.table = page->table,
                                         .column = column,
                                         .state = cell->state,
                                         .key_version = cell->key_version};
    memcpy(lines[survey->count].key_id, cell->key_id, KMS_KEY_ID_SIZE);
    return &lines[survey->count++];
}

/* What cannot be read is counted without its key, which it may not even name. */
static bool count_cell(const struct walk *walk, struct survey *survey, const struct page *page,
                       size_t row, size_t column)
{
    struct cell cell = *cell_of(page, row, column);
    struct line *line;

    if (cell.state == NOT_LOOKED_AT) {
        return true;
    }
    if (cell.state == UNREADABLE) {
        cell.key_id[0] = '\0';
        cell.key_version = 0;
    }
    if ((line = find_line(survey, page, column, &cell)) == NULL) {
        return false;
    }
    line->values++;
    if (strcmp(page->table->columns[column].alias, walk->work->alias) == 0) {
        survey->values[cell.state]++;
    } else {
        survey->unreadable_elsewhere += cell.state == UNREADABLE;
    }
    return true;
}

static bool count_page(struct walk *walk, const struct statements *statements, struct page *page)
{
    struct survey_walk *all = (struct survey_walk *)walk;

    (void)statements;
    if (all->open && !page_open(walk, page)) {
        return false;
    }
    for (size_t row = 0; row < page->count; row++) {
        for (size_t column = 0; column < page->table->count; column++) {
            if (!count_cell(walk, all->survey, page, row, column)) {
                return false;
            }
        }
    }
    return true;
}

bool survey_take(const struct work *work, struct survey_options options, struct survey *survey)
{
    struct survey_walk all = {.walk = {.work = work,
                                       .all_columns = options.all_columns,
                                       .quiet = options.quiet,
                                       .visit = count_page},
                              .survey = survey,
                              .open = options.open};

    *survey = (struct survey){0};
    return walk(&all.walk);
}

void survey_free(struct survey *survey)
{
    free(survey->lines);
    *survey = (struct survey){0};
}

static int compare_lines(const void *left, const void *right)
{
    const struct line *a = left, *b = right;

    if (a->table != b->table) {
        return a->table < b->table ? -1 : 1;
    }
    if (a->column != b->column) {
        return a->column < b->column ? -1 : 1;
    }
    if (a->state != b->state) {
        return a->state > b->state ? -1 : 1;
    }
    return a->key_version < b->key_version ? -1 : a->key_version > b->key_version;
}

void survey_print(struct survey *survey)
{
    static const char *const names[] = {[NOT_LOOKED_AT] = "",
                                        [CURRENT] = "current",
                                        [STALE] = "stale",
                                        [UNREADABLE] = "unreadable"};

    if (survey->count > 0) {
        qsort(survey->lines, survey->count, sizeof *survey->lines, compare_lines);
    }
    printf("%-32s  %-36s  %7s  %10s\n", "column", "key", "version", "values");
    for (size_t i = 0; i < survey->count; i++) {
        const struct line *line = &survey->lines[i];
        char column[64];

        snprintf(column, sizeof column, "%s.%s", line->table->name,
                 line->table->columns[line->column].name);
        printf("%-32s  %-36s  %7u  %10" PRIu64 "  %s\n", column,
               line->key_id[0] != '\0' ? line->key_id : "of no known key", line->key_version,
               line->values, names[line->state]);
    }
}

enum outcome survey_conclude(const struct survey *survey)
{
    uint64_t unreadable = survey->values[UNREADABLE] + survey->unreadable_elsewhere;

    if (survey->values[STALE] + unreadable == 0) {
        printf("nothing is left under an old key\n");
        return ALL_DONE;
    }
    printf("%" PRIu64 " values are stale, and %" PRIu64 " cannot be read\n", survey->values[STALE],
           unreadable);
    return SOMETHING_LEFT;
}
