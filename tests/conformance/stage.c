/* Threads that take part in a case: each has a trial of its own and reports to the case's. */
#include "trial.h"

#include <errno.h>
#include <time.h>

struct player {
    trial trial;
    stage *stage;
    role *role;
    unsigned number;
    pthread_t thread;
};

/* Nobody need wait for a thread that has failed. */
static void stage_break(stage *s)
{
    pthread_mutex_lock(&s->mutex);
    s->broken = true;
    pthread_cond_broadcast(&s->moved);
    pthread_mutex_unlock(&s->mutex);
}

static void *play(void *data)
{
    struct player *player = data;

    player->role(&player->trial, player->stage, player->number);
    if (player->trial.result != KMS_CONFORMANCE_PASS)
        stage_break(player->stage);
    kms__trial_end(&player->trial);
    return NULL;
}

static bool stage_start(trial *t, stage *s, kms_backend *engine)
{
    pthread_condattr_t monotonic;

    memset(s, 0, sizeof *s);
    s->engine = engine;
    if (pthread_condattr_init(&monotonic) != 0)
        return kms__trial_fail(t, "the suite itself could not make a condition variable");
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&s->mutex, NULL);
    pthread_cond_init(&s->moved, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return true;
}

bool kms__stage_play(trial *t, kms_backend *engine, role *const *roles, size_t role_count,
                     unsigned threads)
{
    struct player players[TRIAL_THREADS];
    unsigned started = 0;
    stage s;

    if (!stage_start(t, &s, engine))
        return false;
    for (; started < threads; started++) {
        struct player *player = &players[started];

        kms__trial_start(&player->trial, t->subject);
        player->stage = &s;
        player->role = roles[started % role_count];
        player->number = started;
        if (pthread_create(&player->thread, NULL, play, player) != 0) {
            kms__trial_fail(t, "the suite itself could not start a thread");
            stage_break(&s);
            break;
        }
    }
    for (unsigned i = 0; i < started; i++) {
        pthread_join(players[i].thread, NULL);
        if (players[i].trial.result != KMS_CONFORMANCE_PASS && players[i].trial.why[0] != '\0')
            kms__trial_fail(t, "%s", players[i].trial.why);
    }
    pthread_cond_destroy(&s.moved);
    pthread_mutex_destroy(&s.mutex);
    return t->result == KMS_CONFORMANCE_PASS;
}

void kms__stage_reach(stage *s, unsigned step)
{
    pthread_mutex_lock(&s->mutex);
    if (step > s->step)
        s->step = step;
    pthread_cond_broadcast(&s->moved);
    pthread_mutex_unlock(&s->mutex);
}

void kms__stage_arrive(stage *s)
{
    pthread_mutex_lock(&s->mutex);
    s->step++;
    pthread_cond_broadcast(&s->moved);
    pthread_mutex_unlock(&s->mutex);
}

unsigned kms__stage_step(stage *s)
{
    unsigned step;

    pthread_mutex_lock(&s->mutex);
    step = s->broken ? UINT_MAX : s->step;
    pthread_mutex_unlock(&s->mutex);
    return step;
}

static bool await(trial *t, stage *s, unsigned step, unsigned patience_ms, const char *what)
{
    uint64_t until_ns = kms__trial_now_ns() + patience_ms * UINT64_C(1000000);
    struct timespec until = {.tv_sec = (time_t)(until_ns / 1000000000u),
                             .tv_nsec = (long)(until_ns % 1000000000u)};
    bool reached;
    bool broken;
    int rc = 0;

    pthread_mutex_lock(&s->mutex);
    while (s->step < step && !s->broken && rc != ETIMEDOUT)
        rc = pthread_cond_timedwait(&s->moved, &s->mutex, &until);
    reached = s->step >= step;
    broken = s->broken;
    pthread_mutex_unlock(&s->mutex);
    if (!reached && broken)
        t->result = KMS_CONFORMANCE_FAIL; /* for the reason of the thread that broke the stage */
    else if (!reached)
        kms__trial_fail(t, "%s: not after %u ms", what, patience_ms);
    return reached;
}

bool kms__stage_await(trial *t, stage *s, unsigned step, const char *what)
{
    return await(t, s, step, TRIAL_PATIENCE_MS, what);
}

bool kms__stage_await_promptly(trial *t, stage *s, unsigned step, const char *what)
{
    return await(t, s, step, TRIAL_PROMPT_MS, what);
}
