/* Suite 2 has a key for each message, or for a run of them; a reader then meets as many runs at a
 * time as there were writers whose rows lie side by side. */
#include "fail.h"
#include "messages.h"
#include "report.h"
#include "sections.h"
#include "stores.h"

#include <pthread.h>

#define ALIAS "alias/bench/writers"
#define LEN 64
#define BLOBS 4000

/* Blobs of one writer: every step-th from the first. */
typedef struct writing {
    messages *into;
    size_t first, step;
} writing;

static void *write_blobs(void *argument)
{
    const writing *what = argument;

    for (size_t i = what->first; i < what->into->count; i += what->step)
        messages_seal(what->into, i);
    return NULL;
}

/* Each writer is a thread of its own, and has ended when the next begins. Their rows lie in an
 * order drawn at random. */
static messages *written_by(kms_store *store, size_t writers)
{
    messages *made = messages_new(store, ALIAS, LEN, BLOBS);

    for (size_t i = 0; i < writers; i++) {
        writing what = {made, i, writers};
        pthread_t thread;

        must(pthread_create(&thread, NULL, write_blobs, &what) == 0 &&
                 pthread_join(thread, NULL) == 0,
             "a writer");
    }
    messages_shuffle(made);
    return made;
}

void bench_writers(const options *all)
{
    static const size_t writers[] = {1, 8, 1000};
    enum { COUNT = sizeof writers / sizeof writers[0] };
    kms_store *store = stores_open(stores_path(FAST, "writers.kms"), 0);
    messages *floor = messages_many_of_bare(BARE_AES_SODIUM, LEN, BLOBS), *subjects[COUNT];
    group *rows =
        group_new("writers", THREAD_TIME, "suite 2, 64 B, 4,000 rows in an order drawn at random");
    about what = {.suite = 2, .bytes = LEN};
    char id[KMS_KEY_ID_SIZE];

    stores_add_key(store, KMS_SUITE_AES_256_GCM, ALIAS, id);
    messages_shuffle(floor);
    group_add(rows, run_bare_open, floor, LEN, "open, %s", bare_name(BARE_AES_SODIUM));
    for (size_t i = 0; i < COUNT; i++) {
        subjects[i] = written_by(store, writers[i]);
        group_add(rows, run_decrypt, subjects[i], LEN, "kms_decrypt(), rows of %zu writer%s",
                  writers[i], writers[i] > 1 ? "s" : "");
    }
    group_measure(rows, options_pace(all, 2, 201));
    report_group(rows, what);
    for (size_t i = 0; i < COUNT; i++) {
        double measured = report_ratio(rows, &rows->rows[i + 1], &rows->rows[0], what);

        /* Of a thousand no run is known any more when its next row comes. */
        if (writers[i] < 1000)
            report_goal(AT_MOST, 1.25, measured,
                        "decrypt, suite 2, 64 B, rows of %zu writer%s, of context kept", writers[i],
                        writers[i] > 1 ? "s" : "");
        messages_free(subjects[i]);
    }
    messages_free(floor);
    group_free(rows);
    kms_close(store);
}
