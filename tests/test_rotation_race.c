/*
 * Two processes, and many threads of one handle, meet a key at the moment when its rotation is due,
 * a thousand times: each time exactly one of them makes exactly one version, and whatever any of
 * them encrypted opens for all.
 */
#include "support/lmdb_trial.h"
#include "support/rotation_trial.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define DAYS 7u
#define ROUNDS 1000u
#define ROUNDS_WATCHED 60u
#define SIDES_MAX 8

typedef struct round_blob {
    uint8_t bytes[KMS_CIPHERTEXT_SIZE(sizeof(unsigned))];
} round_blob;

/* In memory that all sides share. */
typedef struct race {
    hand_clock clock;
    pthread_barrier_t barrier;
    const char *path;
    char key_id[KMS_KEY_ID_SIZE];
    unsigned rounds, sides;
    uint64_t made[SIDES_MAX];
    round_blob blobs[SIDES_MAX][ROUNDS];
} race;

typedef struct side {
    race *race;
    kms_store *store;
    unsigned number;
} side;

static kms_store *open_at(race *r)
{
    static const uint8_t root_key[KMS_ROOT_KEY_SIZE] = {1};
    kms_open_options options = KMS_OPEN_OPTIONS_INIT;
    kms_clock clock = hand_clock_of(&r->clock);
    kms_backend *engine;
    kms_root *root;
    kms_store *store;

    options.clock = &clock;
    trial_must(kms_lmdb_backend(&engine, r->path, NULL) == KMS_OK &&
               kms_root_raw(&root, root_key, sizeof root_key) == KMS_OK &&
               kms_open(&store, engine, root, KMS_OPEN_CREATE, &options) == KMS_OK);
    return store;
}

static race *begin_race(unsigned sides, bool shared)
{
    race *r = mmap(NULL, sizeof *r, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_barrierattr_t attr;
    kms_store *store;

    ck_assert_ptr_ne(r, MAP_FAILED);
    r->path = trial_fast_path("store");
    r->rounds = trial_is_watched() ? ROUNDS_WATCHED : ROUNDS;
    r->sides = sides;
    r->clock.now_ms = ROTATION_START_MS;
    ck_assert_int_eq(pthread_barrierattr_init(&attr), 0);
    ck_assert_int_eq(pthread_barrierattr_setpshared(&attr, shared ? PTHREAD_PROCESS_SHARED
                                                                  : PTHREAD_PROCESS_PRIVATE),
                     0);
    ck_assert_int_eq(pthread_barrier_init(&r->barrier, &attr, sides), 0);
    pthread_barrierattr_destroy(&attr);
    store = open_at(r);
    rotation_create_key(store, DAYS, r->key_id);
    kms_close(store);
    return r;
}

/* --- what each side does ------------------------------------------------------------------------ */

static void meet(race *r)
{
    int rc = pthread_barrier_wait(&r->barrier);

    trial_must(rc == 0 || rc == PTHREAD_BARRIER_SERIAL_THREAD);
}

static void encrypt(const side *s, unsigned round)
{
    round_blob *blob = &s->race->blobs[s->number][round];
    size_t len;

    trial_must(kms_encrypt(s->store, s->race->key_id, NULL, &round, sizeof round, blob->bytes,
                           sizeof blob->bytes, &len) == KMS_OK);
}

/* Under the old version, or the new one; somebody used the new one. */
static void look_at_versions(const side *s, unsigned round)
{
    kms_key_info key = {.version = KMS_KEY_INFO_VERSION};
    bool new_one = false;
    kms_blob_info blob;

    trial_must(kms_describe_key(s->store, s->race->key_id, &key) == KMS_OK);
    trial_must(key.version_count == round + 2 && key.primary_version == round + 2);
    for (unsigned i = 0; i < s->race->sides; i++) {
        const round_blob *sealed = &s->race->blobs[i][round];

        trial_must(kms_inspect_blob(sealed->bytes, sizeof sealed->bytes, &blob) == KMS_OK);
        trial_must(blob.key_version == round + 1 || blob.key_version == round + 2);
        new_one |= blob.key_version == round + 2;
    }
    trial_must(new_one);
}

static void open_blobs(kms_store *store, const race *r, unsigned round)
{
    for (unsigned i = 0; i < r->sides; i++) {
        const round_blob *sealed = &r->blobs[i][round];
        unsigned plain = ~round;
        size_t len;

        trial_must(kms_decrypt(store, NULL, sealed->bytes, sizeof sealed->bytes, &plain,
                               sizeof plain, &len) == KMS_OK);
        trial_must(plain == round);
    }
}

static void run(side *s)
{
    race *r = s->race;
    kms_store_info info = {.version = KMS_STORE_INFO_VERSION};

    for (unsigned round = 0; round < r->rounds; round++) {
        if (s->number == 0)
            r->clock.now_ms += DAYS * DAY_MS;
        meet(r);
        encrypt(s, round);
        meet(r);
        look_at_versions(s, round);
        open_blobs(s->store, r, round);
        meet(r);
    }
    trial_must(kms_get_store_info(s->store, &info) == KMS_OK);
    r->made[s->number] = info.rotations_made;
}

/* --- what is there afterwards -------------------------------------------------------------------- */

static void end_race(race *r)
{
    kms_store *store = open_at(r);

    trial_ok(kms_verify(store));
    ck_assert_uint_eq(fixture_describe(store, r->key_id).version_count, r->rounds + 1);
    for (unsigned round = 0; round < r->rounds; round++)
        open_blobs(store, r, round);
    kms_close(store);
}

static int run_process(void *argument)
{
    side *s = argument;

    s->store = open_at(s->race);
    run(s);
    kms_close(s->store);
    return 0;
}

START_TEST(two_processes_that_race_for_a_due_rotation_make_one_version_each_time)
{
    race *r = begin_race(2, true);
    side sides[2];
    pid_t pids[2];

    for (unsigned i = 0; i < 2; i++) {
        sides[i] = (side){.race = r, .number = i};
        pids[i] = trial_fork(run_process, &sides[i]);
    }
    for (unsigned i = 0; i < 2; i++)
        ck_assert_int_eq(trial_wait(pids[i]), 0);
    ck_assert_uint_eq(r->made[0] + r->made[1], r->rounds);
    end_race(r);
}
END_TEST

static void *run_thread(void *argument)
{
    run(argument);
    return NULL;
}

START_TEST(threads_that_race_for_a_due_rotation_make_one_version_each_time)
{
    race *r = begin_race(SIDES_MAX, false);
    kms_store *store = open_at(r);
    pthread_t threads[SIDES_MAX];
    side sides[SIDES_MAX];

    r->rounds = r->rounds / 4;
    for (unsigned i = 0; i < SIDES_MAX; i++) {
        sides[i] = (side){.race = r, .store = store, .number = i};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, run_thread, &sides[i]), 0);
    }
    for (unsigned i = 0; i < SIDES_MAX; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    ck_assert_uint_eq(rotation_store_info(store).rotations_made, r->rounds);
    ck_assert_uint_eq(rotation_store_info(store).rotations_put_off, 0);
    kms_close(store);
    end_race(r);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        two_processes_that_race_for_a_due_rotation_make_one_version_each_time,
        threads_that_race_for_a_due_rotation_make_one_version_each_time,
    };

    return trial_main("rotation_race", tests, sizeof tests / sizeof tests[0]);
}
