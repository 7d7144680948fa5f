/* Every page of every table that has encrypted columns. */
#include "reencrypt_table.h"

#include <string.h>

bool is_selected(const struct walk *walk, const struct column *column)
{
    return walk->all_columns || strcmp(column->alias, walk->work->alias) == 0;
}

static bool is_wanted(const struct walk *walk, const struct table *table)
{
    for (size_t i = 0; i < table->count; i++) {
        if (is_selected(walk, &table->columns[i])) {
            return true;
        }
    }
    return false;
}

/* The next page begins behind the last id of this one. */
static bool walk_pages(struct walk *walk, struct database *db, const struct statements *statements,
                       struct page *page)
{
    int64_t from = INT64_MIN;

    while (page_read(db, statements, from, page)) {
        if (page->count == 0) {
            return true;
        }
        from = page->ids[page->count - 1];
        if (!page_examine(walk, page) || !walk->visit(walk, statements, page)) {
            return false;
        }
        if (from == INT64_MAX) {
            return true;
        }
        from++;
    }
    return false;
}

static bool walk_table(struct walk *walk, struct database *db, const struct table *table)
{
    struct statements statements;
    struct page page;
    bool walked = page_new(&page, table, walk->work->batch);

    walked = statements_prepare(db, table, &statements) && walked;
    walked = walked && walk_pages(walk, db, &statements, &page);
    statements_finalize(&statements);
    page_free(&page);
    return walked;
}

bool walk(struct walk *walk)
{
    struct database *db = walk->work->db;
    bool has;

    for (size_t i = 0; i < table_count; i++) {
        if (!is_wanted(walk, &tables[i])) {
            continue;
        }
        if (!database_has(db, &tables[i], &has) || (has && !walk_table(walk, db, &tables[i]))) {
            return false;
        }
    }
    return true;
}

bool has_columns(const struct work *work)
{
    const struct walk ours = {.work = work};
    bool has = false;

    for (size_t i = 0; i < table_count && !has; i++) {
        if (is_wanted(&ours, &tables[i]) && !database_has(work->db, &tables[i], &has)) {
            return false;
        }
    }
    return has || fail("the database has no column under %s that columns.c knows", work->alias);
}
