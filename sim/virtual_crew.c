#include "virtual_crew.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "covey/client_config.h"
#include "covey/staleness.h"
#include "crew_parts.h"
#include "local_step.h"
#include "upload.h"

/* ------------------------------------------------------------------ threads */

/* Takes the next thing to do; false: there is none now. With the mutex held. */
static bool take(struct covey_crew *crew, uint32_t *index)
{
    if (crew->mode == MODE_IDLE)
        return false;
    while (crew->mode == MODE_JOBS && crew->next < crew->count_all &&
           (!crew->jobs[crew->next].queued || crew->jobs[crew->next].foreign ||
            crew->jobs[crew->next].state != COVEY_JOB_WAITING))
        crew->next++;
    if (crew->next >= crew->count_all ||
        (crew->mode == MODE_JOBS && crew->next >= crew->awaited + crew->ahead))
        return false;
    *index = crew->next++;
    if (crew->mode == MODE_JOBS)
        crew->jobs[*index].state = COVEY_JOB_RUNNING;
    crew->running++;
    return true;
}

/* Does it, without the mutex; takes it again. */
static void perform(struct covey_crew *crew, struct covey_worker *worker, uint32_t index)
{
    const enum mode mode = crew->mode;
    (void)pthread_mutex_unlock(&crew->mutex);
    if (mode == MODE_JOBS)
        covey_worker_run(worker, &crew->jobs[index]);
    else
        crew->task(crew->user, (uint32_t)(worker - crew->workers), index);
    (void)pthread_mutex_lock(&crew->mutex);
    if (mode == MODE_JOBS)
        crew->jobs[index].state = COVEY_JOB_DONE;
    crew->running--;
    if (crew->loop_waits)
        (void)pthread_cond_signal(&crew->done);
}

/* With nothing left to begin, a worker adds what it kept back while others still train. With the mutex held;
 * false: it kept nothing. */
static bool fold_kept(struct covey_crew *crew, struct covey_worker *worker)
{
    if (crew->mode != MODE_JOBS || worker->kept_count == 0)
        return false;
    crew->running++;
    (void)pthread_mutex_unlock(&crew->mutex);
    covey_worker_fold(worker);
    (void)pthread_mutex_lock(&crew->mutex);
    crew->running--;
    if (crew->loop_waits)
        (void)pthread_cond_signal(&crew->done);
    return true;
}

static void *run_worker(void *user)
{
    struct covey_worker *worker = user;
    struct covey_crew *crew = worker->crew;
    uint32_t index;
    (void)pthread_mutex_lock(&crew->mutex);
    while (!crew->stopping) {
        if (take(crew, &index))
            perform(crew, worker, index);
        else if (!fold_kept(crew, worker))
            (void)pthread_cond_wait(&crew->more, &crew->mutex);
    }
    (void)pthread_mutex_unlock(&crew->mutex);
    return NULL;
}

/* The loop's thread, with the mutex held. */
static void wait_done(struct covey_crew *crew)
{
    crew->loop_waits = true;
    (void)pthread_cond_wait(&crew->done, &crew->mutex);
    crew->loop_waits = false;
}

/* ------------------------------------------------------------------ life */

enum covey_status covey_crew_create(const struct covey_crew_config *config, struct covey_crew **out,
                                    struct covey_error *err)
{
    struct covey_crew *crew = calloc(1, sizeof *crew);
    if (crew == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for the workers");
    const struct covey_layout *layout = &config->fleet->layout;
    crew->config = *config;
    if (crew->config.held_bytes == 0)
        crew->config.held_bytes = COVEY_CREW_HELD_BYTES;
    crew->count = layout->count;
    crew->update_count = layout->update_count;
    crew->personal_count = layout->count - layout->shared_count;
    crew->memory_count = config->store == NULL ? 0 : covey_local_memory_count(config->recipe, layout);
    crew->feedback = config->store != NULL &&
                     covey_client_keeps_residual(config->fleet->scenario->feedback, config->codec);
    crew->room_bytes = covey_upload_room_bytes(config->codec, layout->update_count);
    const size_t batch = COVEY_CREW_KEPT_BYTES / crew->room_bytes;
    crew->batch = batch < 1 ? 1 : batch < COVEY_CREW_FOLD_BATCH ? (uint32_t)batch : COVEY_CREW_FOLD_BATCH;
    crew->scratch_bytes = covey_codec_scratch_bytes(config->codec, layout->update_count);
    (void)pthread_mutex_init(&crew->mutex, NULL);
    (void)pthread_cond_init(&crew->more, NULL);
    (void)pthread_cond_init(&crew->done, NULL);
    crew->spill = tmpfile();
    crew->workers = calloc(config->threads, sizeof *crew->workers);
    enum covey_status status =
        crew->workers == NULL ? covey_fail(err, COVEY_NO_MEMORY, "no memory for the workers") : COVEY_OK;
    for (uint32_t i = 0; i < config->threads && status == COVEY_OK; i++) {
        crew->workers[i].crew = crew;
        status = covey_worker_equip(&crew->workers[i], err);
    }
    for (uint32_t i = 1; i < config->threads && status == COVEY_OK; i++) {
        if (pthread_create(&crew->workers[i].thread, NULL, run_worker, &crew->workers[i]) != 0)
            status = covey_fail(err, COVEY_NO_MEMORY, "worker thread %u could not be started", i);
        else
            crew->workers[i].started = true;
    }
    if (status != COVEY_OK) {
        covey_crew_destroy(crew);
        return status;
    }
    *out = crew;
    return COVEY_OK;
}

void covey_crew_destroy(struct covey_crew *crew)
{
    if (crew == NULL)
        return;
    (void)pthread_mutex_lock(&crew->mutex);
    crew->stopping = true;
    (void)pthread_cond_broadcast(&crew->more);
    (void)pthread_mutex_unlock(&crew->mutex);
    for (uint32_t i = 0; crew->workers != NULL && i < crew->config.threads; i++) {
        if (crew->workers[i].started)
            pthread_join(crew->workers[i].thread, NULL);
        covey_worker_unequip(&crew->workers[i]);
    }
    if (crew->spill != NULL)
        (void)fclose(crew->spill);
    free(crew->workers);
    free(crew->spied);
    free(crew->seen);
    free(crew->seen_values);
    (void)pthread_cond_destroy(&crew->more);
    (void)pthread_cond_destroy(&crew->done);
    (void)pthread_mutex_destroy(&crew->mutex);
    free(crew);
}

/* ------------------------------------------------------------------ a round */

void covey_crew_begin(struct covey_crew *crew, const struct covey_crew_round *round,
                      struct covey_crew_job *jobs, uint32_t count)
{
    crew->round = *round;
    if (!crew->config.lasts) {
        atomic_store(&crew->held_bytes, 0);
        atomic_store(&crew->spill_bytes, 0);
    }
    for (uint32_t i = 0; i < crew->config.threads; i++) {
        crew->workers[i].folded = crew->workers[i].kept_count = 0;
        crew->workers[i].status = COVEY_OK;
    }
    (void)pthread_mutex_lock(&crew->mutex);
    crew->jobs = jobs;
    crew->count_all = count;
    crew->next = crew->awaited = 0;
    /* what may be in vain is not begun long before it is wanted */
    crew->ahead = round->certain || crew->config.lasts ? count : 4 * crew->config.threads + 12;
    crew->mode = MODE_JOBS;
    if (crew->config.threads > 1)
        (void)pthread_cond_broadcast(&crew->more);
    (void)pthread_mutex_unlock(&crew->mutex);
}

void covey_crew_await(struct covey_crew *crew, struct covey_crew_job *job)
{
    uint32_t index;
    if (crew->jobs == NULL) { /* between two rounds: nobody else works */
        if (job->state == COVEY_JOB_WAITING)
            covey_worker_run(&crew->workers[0], job);
        job->state = COVEY_JOB_DONE;
        return;
    }
    const uint32_t place = (uint32_t)(job - crew->jobs);
    (void)pthread_mutex_lock(&crew->mutex);
    if (place >= crew->awaited) {
        crew->awaited = place + 1;
        if (crew->config.threads > 1 && !crew->round.certain)
            (void)pthread_cond_broadcast(&crew->more);
    }
    if (!job->queued && job->state == COVEY_JOB_WAITING) {
        job->state = COVEY_JOB_RUNNING;
        crew->running++;
        perform(crew, &crew->workers[0], place);
    }
    while (job->state != COVEY_JOB_DONE) {
        if (take(crew, &index))
            perform(crew, &crew->workers[0], index);
        else if (!fold_kept(crew, &crew->workers[0]))
            wait_done(crew);
    }
    (void)pthread_mutex_unlock(&crew->mutex);
}

const char *covey_crew_trouble(const struct covey_crew *crew)
{
    return crew->trouble.text;
}

void covey_crew_run_all(struct covey_crew *crew)
{
    uint32_t index;
    (void)pthread_mutex_lock(&crew->mutex);
    crew->ahead = crew->count_all;
    if (crew->config.threads > 1)
        (void)pthread_cond_broadcast(&crew->more);
    while (take(crew, &index))
        perform(crew, &crew->workers[0], index);
    while (crew->running > 0)
        wait_done(crew);
    (void)pthread_mutex_unlock(&crew->mutex);
}

void covey_crew_note(struct covey_crew *crew, struct covey_crew_job *job)
{
    (void)pthread_mutex_lock(&crew->mutex);
    job->state = COVEY_JOB_DONE;
    (void)pthread_mutex_unlock(&crew->mutex);
}

static enum covey_status bring_back(struct covey_crew *crew, struct covey_crew_job *job)
{
    if (job->spilled == 0 || job->message != NULL)
        return COVEY_OK;
    job->message = malloc(job->message_bytes);
    if (job->message == NULL)
        return COVEY_NO_MEMORY;
    atomic_fetch_add(&crew->held_bytes, job->message_bytes);
    const off_t at = (off_t)(job->spilled - 1);
    return pread(fileno(crew->spill), job->message, job->message_bytes, at) == (ssize_t)job->message_bytes
               ? COVEY_OK
               : COVEY_IO;
}

static void let_go(struct covey_crew *crew, struct covey_crew_job *job)
{
    if (job->message == NULL)
        return;
    free(job->message);
    job->message = NULL;
    atomic_fetch_sub(&crew->held_bytes, job->message_bytes);
}

enum covey_status covey_crew_examine(struct covey_crew *crew, struct covey_crew_job *job,
                                     struct covey_error *err)
{
    struct covey_update update;
    struct covey_examine_round round = crew->round.examine;
    covey_crew_await(crew, job);
    enum covey_status status = job->status == COVEY_OK ? bring_back(crew, job) : job->status;
    if (status != COVEY_OK)
        return covey_fail(err, status, "the update of device %u is not there", job->device);
    double norm = -1;
    round.base_model = &job->base->model;
    job->examined =
        covey_examine_update(&round, &job->plan->assignment,
                             (struct covey_bytes){job->message, job->message_bytes}, &update, &norm, NULL);
    if (job->examined != COVEY_OK)
        let_go(crew, job);
    else
        (void)covey_round_terms_weigh(round.terms, &update, norm, &job->weighed);
    return COVEY_OK;
}

enum covey_status covey_crew_fold(struct covey_crew *crew, struct covey_crew_job *job,
                                  struct covey_error *err)
{
    struct covey_update update;
    struct covey_verdict verdict = {.status = COVEY_OK};
    if (job->folded || job->foreign)
        return COVEY_OK;
    enum covey_status status = bring_back(crew, job);
    if (status == COVEY_OK)
        status = covey_update_decode((struct covey_bytes){job->message, job->message_bytes}, &update, err);
    if (status == COVEY_OK) {
        const double weight = covey_weighting_weight(&crew->round.examine.terms->weighting, &job->weighed);
        const struct covey_contribution contribution = {update.stream,
                                                        weight * covey_staleness_weight(job->staleness),
                                                        crew->config.fleet->ids[job->device]};
        status = covey_aggregation_add(crew->round.aggregation, &contribution, 1, &verdict, err);
    }
    let_go(crew, job);
    if (status != COVEY_OK)
        return status;
    if (verdict.status != COVEY_OK)
        return covey_fail(err, verdict.status, "%s", verdict.error.text);
    job->folded = true;
    crew->workers[0].folded++;
    return COVEY_OK;
}

enum covey_status covey_crew_end(struct covey_crew *crew, uint32_t *folded, struct covey_error *err)
{
    enum covey_status status = COVEY_OK;
    (void)pthread_mutex_lock(&crew->mutex);
    crew->mode = MODE_IDLE;
    while (crew->running > 0)
        wait_done(crew);
    (void)pthread_mutex_unlock(&crew->mutex);
    *folded = 0;
    for (uint32_t i = 0; i < crew->config.threads; i++) {
        struct covey_worker *worker = &crew->workers[i];
        covey_worker_fold(worker);
        *folded += worker->folded;
        if (worker->status != COVEY_OK && status == COVEY_OK)
            status = covey_fail(err, worker->status, "an update could not be added: %s", worker->err.text);
    }
    for (uint32_t i = 0; i < crew->count_all; i++)
        if (!crew->jobs[i].kept)
            let_go(crew, &crew->jobs[i]);
    crew->jobs = NULL;
    crew->count_all = 0;
    return status;
}

/* ------------------------------------------------------------------ other work */

void covey_crew_each(struct covey_crew *crew, uint32_t count,
                     void (*task)(void *user, uint32_t worker, uint32_t index), void *user)
{
    uint32_t index;
    (void)pthread_mutex_lock(&crew->mutex);
    crew->task = task;
    crew->user = user;
    crew->next = 0;
    crew->count_all = count;
    crew->mode = MODE_EACH;
    if (crew->config.threads > 1 && count > 1)
        (void)pthread_cond_broadcast(&crew->more);
    while (take(crew, &index))
        perform(crew, &crew->workers[0], index);
    while (crew->running > 0)
        wait_done(crew);
    crew->mode = MODE_IDLE;
    (void)pthread_mutex_unlock(&crew->mutex);
}

struct judging {
    struct covey_crew *crew;
    const float *params;
    const uint32_t *devices; /* whose own the model is; NULL: nobody's */
    const struct covey_dataset *parts;
    struct covey_score *scores;
    enum covey_status *statuses;
};

static void judge_part(void *user, uint32_t worker_index, uint32_t index)
{
    const struct judging *judging = user;
    struct covey_worker *worker = &judging->crew->workers[worker_index];
    const double from_s = covey_worker_cpu_s();
    judging->scores[index] = (struct covey_score){0};
    const float *params = judging->params;
    if (judging->parts[index].count == 0)
        return;
    if (judging->devices != NULL)
        judging->statuses[index] =
            covey_worker_own_model(worker, judging->devices[index], judging->params, &params, NULL);
    if (judging->statuses[index] == COVEY_OK)
        judging->statuses[index] = covey_trainer_evaluate(worker->judge, params, &judging->parts[index],
                                                          &judging->scores[index], NULL);
    worker->judging_s += covey_worker_cpu_s() - from_s;
}

static enum covey_status evaluate(struct covey_crew *crew, const float *params, const uint32_t *devices,
                                  const struct covey_dataset *parts, uint32_t count,
                                  struct covey_score *scores, struct covey_error *err)
{
    enum covey_status *statuses = calloc(count, sizeof *statuses), status = COVEY_OK;
    if (statuses == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory to judge");
    struct judging judging = {crew, params, devices, parts, scores, statuses};
    covey_crew_each(crew, count, judge_part, &judging);
    for (uint32_t i = 0; i < count && status == COVEY_OK; i++)
        status = statuses[i];
    if (status != COVEY_OK) { /* in words */
        struct covey_score score;
        for (uint32_t i = 0; i < count; i++)
            if (statuses[i] != COVEY_OK)
                status = covey_trainer_evaluate(crew->workers[0].judge, params, &parts[i], &score, err);
    }
    free(statuses);
    return status;
}

enum covey_status covey_crew_evaluate(struct covey_crew *crew, const float *params,
                                      const struct covey_dataset *parts, uint32_t count,
                                      struct covey_score *scores, struct covey_error *err)
{
    return evaluate(crew, params, NULL, parts, count, scores, err);
}

enum covey_status covey_crew_evaluate_own(struct covey_crew *crew, const float *params,
                                          const uint32_t *devices, const struct covey_dataset *parts,
                                          uint32_t count, struct covey_score *scores, struct covey_error *err)
{
    return evaluate(crew, params, devices, parts, count, scores, err);
}

void covey_crew_cpu(const struct covey_crew *crew, double *training_s, double *judging_s)
{
    *training_s = *judging_s = 0;
    for (uint32_t i = 0; i < crew->config.threads; i++) {
        *training_s += crew->workers[i].training_s;
        *judging_s += crew->workers[i].judging_s;
    }
}
