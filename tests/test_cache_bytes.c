/* The cache's bound in bytes is what a process grows by, whatever number of keys goes through it. */
#include "support/api_fixture.h"
#include "support/lmdb_trial.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define MANY 12000
#define KIB ((size_t)1024)
/* What the measuring, the C library and the first call of a thread take besides. */
#define SLACK (96 * KIB)

static char keys[MANY][KMS_KEY_ID_SIZE];

/* Pages of this process that lie in no file. */
static size_t anonymous_bytes(void)
{
    char line[256];
    size_t kib = 0;
    FILE *file = fopen("/proc/self/status", "re");

    ck_assert_ptr_nonnull(file);
    while (kib == 0 && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, "RssAnon:", 8) == 0)
            kib = strtoul(line + 8, NULL, 10);
    (void)fclose(file);
    ck_assert_uint_ne(kib, 0);
    return kib * KIB;
}

static void use(kms_store *store, size_t first, size_t last)
{
    uint8_t blob[KMS_CIPHERTEXT_SIZE(1)], plain[1];
    size_t len;

    for (size_t i = first; i < last; i++) {
        fixture_ok(kms_encrypt(store, keys[i], NULL, "x", 1, blob, sizeof blob, &len));
        fixture_ok(kms_decrypt(store, NULL, blob, len, plain, sizeof plain, &len));
    }
}

/* What a handle grows by that opens a store of many keys, and uses all of them twice. */
static size_t growth(place *p, size_t cache_bytes, uint32_t cache_entries)
{
    kms_open_options options = KMS_OPEN_OPTIONS_INIT;
    kms_store *store = NULL;
    size_t before, after;

    options.cache_bytes = cache_bytes;
    options.cache_entries = cache_entries;
    before = anonymous_bytes();
    fixture_ok(place_try_open(p, &store, 0, &options));
    use(store, 0, MANY);
    use(store, 0, MANY);
    after = anonymous_bytes();
    kms_close(store);
    return after > before ? after - before : 0;
}

/* In a process of its own, so that it finds no memory that another case has left free. */
static void growth_is(place *p, size_t cache_bytes, uint32_t cache_entries, size_t least,
                      size_t most)
{
    int state = -1;
    pid_t child = fork();

    if (child == 0) {
        /* Which would take 2 MiB where some are asked for. */
        const bool no_huge_pages = prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) == 0;
        const size_t grown = growth(p, cache_bytes, cache_entries);

        if (grown < least || grown > most)
            fprintf(stderr, "%zu bytes asked for, grew by %zu, not %zu to %zu\n", cache_bytes,
                    grown, least, most);
        _exit(grown < least || (no_huge_pages && grown > most));
    }
    ck_assert_int_gt(child, 0);
    ck_assert_int_eq(waitpid(child, &state, 0), child);
    ck_assert(WIFEXITED(state) && WEXITSTATUS(state) == 0);
}

START_TEST(a_handle_grows_by_no_more_than_its_cache_may_take)
{
    static place here;
    kms_store *store;

    if (trial_is_watched()) {
        puts("SKIP: what a cache takes: not under valgrind or a sanitizer");
        return;
    }
    place_init(&here);
    store = place_open(&here);
    for (size_t i = 0; i < MANY; i++)
        fixture_create_key(store, keys[i]);
    kms_close(store);
    /* Twice as many entries as keys: one that encrypts, one that decrypts. */
    growth_is(&here, 0, 32768, (size_t)2 * MANY * 600, (size_t)2 * MANY * 760 + SLACK);
    growth_is(&here, 0, 1024, 600 * KIB, 1024 * 870 + 128 * KIB + SLACK);
    growth_is(&here, 32 * KIB, 32768, 0, 32 * KIB + SLACK);
    growth_is(&here, 1024 * KIB, 32768, 512 * KIB, 1024 * KIB + SLACK);
    growth_is(&here, 4096 * KIB, 1048576, 2048 * KIB, 4096 * KIB + SLACK);
    /* The smaller bound holds. */
    growth_is(&here, 4096 * KIB, 16, 0, 256 * KIB);
    place_free(&here);
}
END_TEST

int main(void)
{
    const fixture_test tests[] = {{a_handle_grows_by_no_more_than_its_cache_may_take, 0}};

    return fixture_main("cache_bytes", tests, sizeof tests / sizeof tests[0], 120);
}
