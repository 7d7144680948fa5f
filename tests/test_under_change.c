/*
 * A million encrypts while another process rotates, disables, enables, moves the alias, disables
 * versions, makes others primary and raises the lowest: no call answers anything but what the rules
 * allow at that moment, and everything that was encrypted decrypts at the end.
 *
 * The other process writes down in shared memory what holds, and counts a turn before and after each
 * change. Where the turn stayed the same, even number over a call, its answer must be the one that
 * follows from what holds. Where it did not, it must be one that some state allows: done, or disabled.
 */
#include "support/lmdb_trial.h"
#include "support/store_worker.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ALIAS "alias/moved"
#define MESSAGES 1000000u
/* Where everything takes many times as long. */
#define WATCHED_MESSAGES 100000u
/* At most, between two changes. */
#define MESSAGES_A_CHANGE 100
#define VERSIONS 120u
#define PLAIN_SIZE 8

typedef struct key_scene {
    _Atomic bool disabled;
    _Atomic uint32_t primary, count, minimum;
    _Atomic bool version_disabled[VERSIONS + 1];
} key_scene;

/* What holds, as the changing process knows it. */
typedef struct scene {
    /* Odd while a change is on its way. */
    _Atomic uint64_t turn;
    _Atomic unsigned target;
    key_scene keys[2];
    /* Messages so far: changes keep step with them, however busy the machine. */
    _Atomic uint64_t messages;
    _Atomic bool over;
    char ids[2][KMS_KEY_ID_SIZE];
    const char *path;
} scene;

static uint64_t draw(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state >> 33;
}

/* --- The process that changes ------------------------------------------------------------------ */

static kms_status rotate(kms_store *store, scene *s, unsigned at)
{
    key_scene *key = &s->keys[at];
    uint32_t number = 0;
    kms_status st;

    if (key->disabled || key->count == VERSIONS)
        return KMS_OK;
    st = kms_create_key_version(store, s->ids[at], &number);
    trial_must(st != KMS_OK || number == key->count + 1);
    key->count = number;
    key->primary = number;
    return st;
}

static kms_status switch_key(kms_store *store, scene *s, unsigned at, bool disable)
{
    kms_status st =
        disable ? kms_disable_key(store, s->ids[at]) : kms_enable_key(store, s->ids[at]);

    s->keys[at].disabled = disable;
    return st;
}

static kms_status move_alias(kms_store *store, scene *s, unsigned at)
{
    kms_status st = kms_update_alias(store, ALIAS, s->ids[at]);

    s->target = at;
    return st;
}

static kms_status switch_version(kms_store *store, scene *s, unsigned at, uint32_t number,
                                 bool disable)
{
    kms_status st;

    if (number == s->keys[at].primary)
        return KMS_OK;
    st = disable ? kms_disable_key_version(store, s->ids[at], number)
                 : kms_enable_key_version(store, s->ids[at], number);
    s->keys[at].version_disabled[number] = disable;
    return st;
}

static kms_status make_primary(kms_store *store, scene *s, unsigned at, uint32_t number)
{
    key_scene *key = &s->keys[at];
    kms_status st = kms_update_primary_version(store, s->ids[at], number);

    if (number != key->primary && (key->version_disabled[number] || number < key->minimum))
        return st == KMS_ERR_INVALID_STATE ? KMS_OK : KMS_ERR_CORRUPT;
    key->primary = number;
    return st;
}

static kms_status set_minimum(kms_store *store, scene *s, unsigned at, uint32_t number)
{
    kms_status st;

    if (number > s->keys[at].primary)
        number = 0;
    st = kms_set_minimum_version(store, s->ids[at], number, 0);
    s->keys[at].minimum = number;
    return st;
}

static kms_status change(kms_store *store, scene *s, uint64_t *random)
{
    unsigned at = (unsigned)draw(random) % 2;
    uint32_t number = 1 + (uint32_t)(draw(random) % s->keys[at].count);

    switch (draw(random) % 14) {
    case 0:
        return rotate(store, s, at);
    case 1:
        return switch_key(store, s, at, true);
    case 2:
    case 3:
    case 12:
    case 13:
        return switch_key(store, s, at, false);
    case 4:
    case 5:
        return move_alias(store, s, at);
    case 6:
    case 7:
        return switch_version(store, s, at, number, true);
    case 8:
    case 9:
        return switch_version(store, s, at, number, false);
    case 10:
        return make_primary(store, s, at, number);
    default:
        return set_minimum(store, s, at, draw(random) % 2 == 0 ? number : 0);
    }
}

static void wait_for_messages(const scene *s, uint64_t wanted)
{
    while (!s->over && s->messages < wanted)
        usleep(100);
}

static int keep_changing(void *argument)
{
    scene *s = argument;
    kms_store *store = worker_open_store(s->path);
    uint64_t random = (uint64_t)getpid();

    while (!s->over) {
        s->turn++;
        trial_must(change(store, s, &random) == KMS_OK);
        s->turn++;
        wait_for_messages(s, s->messages + draw(&random) % MESSAGES_A_CHANGE);
    }
    for (unsigned at = 0; at < 2; at++) {
        trial_must(switch_key(store, s, at, false) == KMS_OK);
        trial_must(set_minimum(store, s, at, 0) == KMS_OK);
        for (uint32_t number = 1; number <= s->keys[at].count; number++)
            trial_must(switch_version(store, s, at, number, false) == KMS_OK);
    }
    kms_close(store);
    return 0;
}

/* --- The process that encrypts ------------------------------------------------------------------- */

typedef uint8_t blob[KMS_CIPHERTEXT_SIZE(PLAIN_SIZE)];

typedef struct user {
    scene *s;
    kms_store *store;
    /* Of the messages that were not refused; the plaintext is the message's number. */
    blob *blobs;
    size_t made;
    unsigned long refused, steady, refused_steadily, opened, closed_steadily;
} user;

/* The framework's own checks cost a system call each. */
#define must(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            ck_abort_msg("%s: %s: %s", #condition, kms_status_name(kms_error_status()),            \
                         kms_error_message());                                                     \
    } while (0)

static bool is_steady(const scene *s, uint64_t before)
{
    return before % 2 == 0 && s->turn == before;
}

static void encrypt(user *u, uint64_t number)
{
    uint64_t before = u->s->turn;
    unsigned at = number % 4 < 2 ? u->s->target : (unsigned)(number % 2);
    bool disabled = u->s->keys[at].disabled;
    uint32_t primary = u->s->keys[at].primary;
    kms_blob_info info;
    size_t len;
    kms_status st = kms_encrypt(u->store, number % 4 < 2 ? ALIAS : u->s->ids[at], NULL, &number,
                                PLAIN_SIZE, u->blobs[u->made], sizeof *u->blobs, &len);
    bool steady = is_steady(u->s, before);

    must(st == KMS_OK || st == KMS_ERR_DISABLED);
    u->steady += steady;
    u->refused += st != KMS_OK;
    if (steady)
        must(st == (disabled ? KMS_ERR_DISABLED : KMS_OK));
    u->refused_steadily += steady && disabled;
    if (st == KMS_OK) {
        must(kms_inspect_blob(u->blobs[u->made], sizeof *u->blobs, &info) == KMS_OK);
        must(!steady || info.key_version == primary);
        must(!steady || strcmp(info.key_id, u->s->ids[at]) == 0);
        u->made++;
    }
}

static kms_status decrypt(user *u, size_t at, uint64_t *number)
{
    size_t len;

    return kms_decrypt(u->store, NULL, u->blobs[at], sizeof *u->blobs, number, PLAIN_SIZE, &len);
}

/* Opens an older one. */
static void look_back(user *u, uint64_t random)
{
    uint64_t before = u->s->turn, number = UINT64_MAX;
    size_t which = random % u->made;
    const key_scene *key;
    kms_blob_info info;
    bool refused;
    kms_status st;

    must(kms_inspect_blob(u->blobs[which], sizeof *u->blobs, &info) == KMS_OK);
    key = &u->s->keys[strcmp(info.key_id, u->s->ids[0]) == 0 ? 0 : 1];
    refused =
        key->disabled || key->version_disabled[info.key_version] || info.key_version < key->minimum;
    st = decrypt(u, which, &number);
    must(st == KMS_OK || st == KMS_ERR_DISABLED);
    if (is_steady(u->s, before)) {
        must(st == (refused ? KMS_ERR_DISABLED : KMS_OK));
        u->closed_steadily += refused;
    }
    u->opened += st == KMS_OK;
    must(st != KMS_OK || number < MESSAGES);
}

static void use(user *u, unsigned messages)
{
    uint64_t random = (uint64_t)getpid();

    for (unsigned i = 0; i < messages; i++) {
        encrypt(u, i);
        u->s->messages++;
        if (i % 16 == 0 && u->made > 0)
            look_back(u, draw(&random));
    }
}

/* Their numbers rise: each is another one. */
static void everything_opens(user *u)
{
    uint64_t last = 0, number;

    for (size_t i = 0; i < u->made; i++, last = number) {
        number = UINT64_MAX;
        must(decrypt(u, i, &number) == KMS_OK);
        must(number < MESSAGES && (i == 0 || number > last));
    }
}

/* --- The test ------------------------------------------------------------------------------------- */

static scene *make_scene(const char *path)
{
    scene *s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    kms_store *store;

    ck_assert_ptr_ne(s, MAP_FAILED);
    store = worker_open_store(path);
    s->path = path;
    for (unsigned at = 0; at < 2; at++) {
        trial_ok(kms_create_key(store, NULL, s->ids[at]));
        s->keys[at].primary = s->keys[at].count = 1;
    }
    trial_ok(kms_create_alias(store, ALIAS, s->ids[0]));
    kms_close(store);
    return s;
}

START_TEST(test_a_million_encrypts_under_change)
{
    unsigned messages = trial_is_watched() ? WATCHED_MESSAGES : MESSAGES;
    scene *s = make_scene(trial_fast_path("store"));
    size_t size = (size_t)messages * sizeof(blob);
    user u = {.s = s};
    pid_t child = trial_fork(keep_changing, s);

    u.blobs = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(u.blobs, MAP_FAILED);
    u.store = worker_open_store(s->path);
    use(&u, messages);
    s->over = true;
    ck_assert_int_eq(trial_wait(child), 0);
    trial_ok(kms_verify(u.store));
    everything_opens(&u);
    /* Not vacuous: there was change all the time, and calls of every outcome. */
    ck_assert_uint_eq(u.made + u.refused, messages);
    ck_assert_uint_ge(s->turn, 400);
    ck_assert_uint_ge(u.made, messages / 10);
    ck_assert_uint_ge(u.steady, messages / 2);
    ck_assert_uint_ge(u.refused_steadily, 100);
    ck_assert_uint_ge(u.closed_steadily, 100);
    ck_assert_uint_ge(u.opened, 100);
    ck_assert_uint_ge(s->keys[0].count + s->keys[1].count, 10);
    kms_close(u.store);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        test_a_million_encrypts_under_change,
    };

    return trial_main("under_change", tests, sizeof tests / sizeof tests[0]);
}
