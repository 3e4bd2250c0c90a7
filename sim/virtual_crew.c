#include "virtual_crew.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "covey/arena.h"
#include "covey/client_config.h"
#include "upload.h"
#include "virtual_link.h"

struct worker {
    struct covey_crew *crew;
    pthread_t thread;
    bool started;
    struct covey_trainer *trainer, *judge; /* made by the thread that uses them */
    float *local, *residual;
    void *scratch;
    uint32_t *share;
    uint8_t *rooms[COVEY_CREW_FOLD_BATCH];
    struct covey_contribution kept[COVEY_CREW_FOLD_BATCH]; /* in rooms, not in the sum yet */
    uint32_t kept_count, folded;
    enum covey_status status; /* of folding */
    struct covey_error err;
    double training_s, judging_s;
};

enum mode { MODE_IDLE, MODE_JOBS, MODE_EACH };

struct covey_crew {
    struct covey_crew_config config;
    size_t update_count, count, personal_count;
    size_t room_bytes, scratch_bytes;
    bool feedback;
    struct worker *workers; /* (threads) 0: the loop's */

    pthread_mutex_t mutex; /* of all below */
    pthread_cond_t more, done;
    bool stopping, loop_waits;
    enum mode mode;
    uint32_t next, count_all, running, awaited; /* awaited: place behind the last job that was wanted */
    uint32_t ahead;                             /* jobs that may be begun before they are wanted */
    struct covey_crew_job *jobs;
    void (*task)(void *user, uint32_t worker, uint32_t index);
    void *user;

    struct covey_crew_round round;
    atomic_size_t held_bytes;
    FILE *spill;
    atomic_ullong spill_bytes;
};

static double thread_cpu_s(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* ------------------------------------------------------------------ a worker's memory */

static enum covey_status take_aligned(void **out, size_t bytes, struct covey_error *err)
{
    bytes = (bytes + COVEY_ARENA_ALIGN - 1) / COVEY_ARENA_ALIGN * COVEY_ARENA_ALIGN;
    *out = bytes == 0 ? NULL : aligned_alloc(COVEY_ARENA_ALIGN, bytes);
    return bytes != 0 && *out == NULL
               ? covey_fail(err, COVEY_NO_MEMORY, "no memory for a worker: %zu bytes", bytes)
               : COVEY_OK;
}

static enum covey_status equip(struct worker *worker, struct covey_error *err)
{
    const struct covey_crew *crew = worker->crew;
    const struct covey_virtual_fleet *fleet = crew->config.fleet;
    const struct covey_training_options training = {.recipe = crew->config.recipe,
                                                    .examples = covey_partition_most(fleet->partition)};
    const struct covey_training_options judging = {0};
    COVEY_TRY(covey_trainer_create(fleet->model, &training, &worker->trainer, err));
    COVEY_TRY(covey_trainer_create(fleet->model, &judging, &worker->judge, err));
    COVEY_TRY(take_aligned((void **)&worker->local, crew->count * sizeof(float), err));
    if (crew->feedback)
        COVEY_TRY(take_aligned((void **)&worker->residual, crew->update_count * sizeof(float), err));
    COVEY_TRY(take_aligned(&worker->scratch, crew->scratch_bytes, err));
    COVEY_TRY(take_aligned((void **)&worker->share, (size_t)training.examples * sizeof(uint32_t), err));
    for (uint32_t i = 0; i < COVEY_CREW_FOLD_BATCH; i++)
        COVEY_TRY(take_aligned((void **)&worker->rooms[i], crew->room_bytes, err));
    return COVEY_OK;
}

static void unequip(struct worker *worker)
{
    covey_trainer_destroy(worker->trainer);
    covey_trainer_destroy(worker->judge);
    free(worker->local);
    free(worker->residual);
    free(worker->scratch);
    free(worker->share);
    for (uint32_t i = 0; i < COVEY_CREW_FOLD_BATCH; i++)
        free(worker->rooms[i]);
}

/* ------------------------------------------------------------------ one job */

static void fold_kept(struct worker *worker)
{
    struct covey_verdict verdicts[COVEY_CREW_FOLD_BATCH];
    const uint32_t count = worker->kept_count;
    worker->kept_count = 0;
    if (count == 0 || worker->status != COVEY_OK)
        return;
    worker->status =
        covey_aggregation_add(worker->crew->round.aggregation, worker->kept, count, verdicts, &worker->err);
    for (uint32_t i = 0; i < count && worker->status == COVEY_OK; i++) {
        worker->status = verdicts[i].status;
        if (worker->status != COVEY_OK)
            worker->err = verdicts[i].error;
        worker->folded += worker->status == COVEY_OK;
    }
}

/* What the device kept from earlier rounds, into local's personal part and residual. */
static void recall(struct worker *worker, const struct covey_crew_job *job)
{
    const struct covey_crew *crew = worker->crew;
    const struct covey_scenario *scenario = crew->config.fleet->scenario;
    uint64_t sequence = 0;
    const float *kept = crew->config.store == NULL
                            ? NULL
                            : covey_personal_store_read(crew->config.store, job->device, &sequence);
    const size_t residuals = crew->feedback ? crew->update_count : 0;
    if (kept != NULL && crew->personal_count > 0)
        memcpy(worker->local + crew->count - crew->personal_count, kept + residuals,
               crew->personal_count * sizeof *kept);
    if (!crew->feedback)
        return;
    if (kept != NULL && crew->round.sequence - sequence <= (uint64_t)scenario->feedback_rounds)
        memcpy(worker->residual, kept, residuals * sizeof *kept);
    else
        memset(worker->residual, 0, residuals * sizeof *kept);
}

/* personal: as trained; local's was overwritten only in the update part. */
static void remember(struct worker *worker, const struct covey_crew_job *job)
{
    const struct covey_crew *crew = worker->crew;
    float *draft =
        crew->config.store == NULL ? NULL : covey_personal_store_draft(crew->config.store, job->device);
    const size_t residuals = crew->feedback ? crew->update_count : 0;
    if (draft == NULL)
        return;
    if (crew->feedback)
        memcpy(draft, worker->residual, residuals * sizeof *draft);
    memcpy(draft + residuals, worker->local + crew->count - crew->personal_count,
           crew->personal_count * sizeof *draft);
}

static enum covey_status train(struct worker *worker, struct covey_crew_job *job,
                               struct covey_training_result *result)
{
    const struct covey_crew *crew = worker->crew;
    const struct covey_virtual_fleet *fleet = crew->config.fleet;
    const struct covey_training_run run = {
        .device = fleet->ids[job->device], .round = job->plan->round, .seed = job->plan->recipe.seed};
    struct covey_dataset dataset;
    covey_virtual_fleet_share(fleet, job->device, job->hostile, worker->share, &dataset);
    memcpy(worker->local, crew->round.published, crew->count * sizeof *worker->local);
    recall(worker, job);
    const double from_s = thread_cpu_s();
    const enum covey_status status =
        covey_trainer_run(worker->trainer, worker->local, &dataset, &job->plan->recipe, &run, result, NULL);
    worker->training_s += thread_cpu_s() - from_s;
    result->ms = job->training_ms;
    if (status == COVEY_OK && job->hostile)
        covey_attack_model(fleet->scenario, job->device, job->plan->round, crew->round.published,
                           worker->local, crew->update_count);
    return status;
}

static enum covey_status encode(struct worker *worker, const struct covey_crew_job *job,
                                const struct covey_training_result *result, struct covey_encoded_update *out)
{
    const struct covey_crew *crew = worker->crew;
    const struct covey_upload_job upload = {.plan = job->plan,
                                            .codec = crew->config.codec,
                                            .layout = &crew->config.fleet->layout,
                                            .model = crew->round.model,
                                            .base = crew->round.published,
                                            .local = worker->local,
                                            .residual = crew->feedback ? worker->residual : NULL,
                                            .clip_norm = crew->config.fleet->scenario->clip_norm,
                                            .device = crew->config.fleet->ids[job->device],
                                            .training = result,
                                            .scratch = worker->scratch,
                                            .scratch_bytes = crew->scratch_bytes,
                                            .room = worker->rooms[worker->kept_count],
                                            .room_bytes = crew->room_bytes};
    return covey_upload_encode(&upload, out, NULL);
}

/* Over the limit, messages wait on the disk. */
static enum covey_status hold(struct covey_crew *crew, struct covey_crew_job *job, struct covey_bytes message)
{
    if (atomic_fetch_add(&crew->held_bytes, message.size) + message.size <= COVEY_CREW_HELD_BYTES) {
        job->message = malloc(message.size);
        if (job->message == NULL)
            return COVEY_NO_MEMORY;
        memcpy(job->message, message.data, message.size);
        return COVEY_OK;
    }
    atomic_fetch_sub(&crew->held_bytes, message.size);
    const uint64_t at = atomic_fetch_add(&crew->spill_bytes, message.size);
    if (crew->spill == NULL ||
        pwrite(fileno(crew->spill), message.data, message.size, (off_t)at) != (ssize_t)message.size)
        return COVEY_IO;
    job->spilled = at + 1;
    return COVEY_OK;
}

/* The server's side, and what can be known of the way there. */
static void deliver(struct worker *worker, struct covey_crew_job *job, struct covey_bytes message)
{
    struct covey_crew *crew = worker->crew;
    const struct covey_crew_round *round = &crew->round;
    struct covey_update update;
    covey_world_transfer(crew->config.world, job->device, round->round, COVEY_TRANSFER_UPDATE, true,
                         message.size, &job->upload);
    job->sent_ms = covey_virtual_link_until(crew->config.world, job->device, job->trained_ms, job->upload.ms);
    job->examined = covey_examine_update(&round->examine, &job->plan->assignment, message, &update, NULL);
    if (job->examined != COVEY_OK)
        return;
    if (round->certain && !job->foreign && !job->upload.failed && job->sent_ms < round->deadline_ms &&
        job->sent_ms < job->vanish_ms) {
        worker->kept[worker->kept_count++] =
            (struct covey_contribution){update.stream, (double)update.examples};
        job->folded = true;
        if (worker->kept_count == COVEY_CREW_FOLD_BATCH)
            fold_kept(worker);
        return;
    }
    job->status = hold(crew, job, message);
}

static void run_job(struct worker *worker, struct covey_crew_job *job)
{
    struct covey_training_result result = {0};
    struct covey_encoded_update encoded = {0};
    job->status = train(worker, job, &result);
    if (job->status == COVEY_OK)
        job->status = encode(worker, job, &result, &encoded);
    if (job->status != COVEY_OK)
        return;
    remember(worker, job);
    job->message_bytes = encoded.message.size;
    job->stream_bytes = encoded.stream_bytes;
    job->examples = result.examples;
    job->steps = result.steps;
    job->loss_before = result.loss_before;
    job->loss_after = result.loss_after;
    deliver(worker, job, encoded.message);
}

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
static void perform(struct covey_crew *crew, struct worker *worker, uint32_t index)
{
    const enum mode mode = crew->mode;
    (void)pthread_mutex_unlock(&crew->mutex);
    if (mode == MODE_JOBS)
        run_job(worker, &crew->jobs[index]);
    else
        crew->task(crew->user, (uint32_t)(worker - crew->workers), index);
    (void)pthread_mutex_lock(&crew->mutex);
    if (mode == MODE_JOBS)
        crew->jobs[index].state = COVEY_JOB_DONE;
    crew->running--;
    if (crew->loop_waits)
        (void)pthread_cond_signal(&crew->done);
}

static void *run_worker(void *user)
{
    struct worker *worker = user;
    struct covey_crew *crew = worker->crew;
    uint32_t index;
    (void)pthread_mutex_lock(&crew->mutex);
    while (!crew->stopping) {
        if (take(crew, &index))
            perform(crew, worker, index);
        else
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
    crew->count = layout->count;
    crew->update_count = layout->update_count;
    crew->personal_count = layout->count - layout->shared_count;
    crew->feedback = config->store != NULL && config->fleet->scenario->feedback == COVEY_FEEDBACK_ON &&
                     strcmp(config->codec->name, "raw32") != 0;
    crew->room_bytes = covey_upload_room_bytes(config->codec, layout->update_count);
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
        status = equip(&crew->workers[i], err);
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
        unequip(&crew->workers[i]);
    }
    if (crew->spill != NULL)
        (void)fclose(crew->spill);
    free(crew->workers);
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
    atomic_store(&crew->held_bytes, 0);
    atomic_store(&crew->spill_bytes, 0);
    for (uint32_t i = 0; i < crew->config.threads; i++) {
        crew->workers[i].folded = crew->workers[i].kept_count = 0;
        crew->workers[i].status = COVEY_OK;
    }
    (void)pthread_mutex_lock(&crew->mutex);
    crew->jobs = jobs;
    crew->count_all = count;
    crew->next = crew->awaited = 0;
    /* what may be in vain is not begun long before it is wanted */
    crew->ahead = round->certain ? count : 4 * crew->config.threads + 12;
    crew->mode = MODE_JOBS;
    if (crew->config.threads > 1)
        (void)pthread_cond_broadcast(&crew->more);
    (void)pthread_mutex_unlock(&crew->mutex);
}

void covey_crew_await(struct covey_crew *crew, struct covey_crew_job *job)
{
    const uint32_t place = (uint32_t)(job - crew->jobs);
    uint32_t index;
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
        else
            wait_done(crew);
    }
    (void)pthread_mutex_unlock(&crew->mutex);
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
    if (job->spilled == 0)
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
        const struct covey_contribution contribution = {update.stream, (double)update.examples};
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
        struct worker *worker = &crew->workers[i];
        fold_kept(worker);
        *folded += worker->folded;
        if (worker->status != COVEY_OK && status == COVEY_OK)
            status = covey_fail(err, worker->status, "an update could not be added: %s", worker->err.text);
    }
    for (uint32_t i = 0; i < crew->count_all; i++)
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
    const struct covey_dataset *parts;
    struct covey_score *scores;
    enum covey_status *statuses;
};

static void judge_part(void *user, uint32_t worker_index, uint32_t index)
{
    const struct judging *judging = user;
    struct worker *worker = &judging->crew->workers[worker_index];
    const double from_s = thread_cpu_s();
    judging->scores[index] = (struct covey_score){0};
    if (judging->parts[index].count == 0)
        return;
    judging->statuses[index] = covey_trainer_evaluate(worker->judge, judging->params, &judging->parts[index],
                                                      &judging->scores[index], NULL);
    worker->judging_s += thread_cpu_s() - from_s;
}

enum covey_status covey_crew_evaluate(struct covey_crew *crew, const float *params,
                                      const struct covey_dataset *parts, uint32_t count,
                                      struct covey_score *scores, struct covey_error *err)
{
    enum covey_status *statuses = calloc(count, sizeof *statuses), status = COVEY_OK;
    if (statuses == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory to judge");
    struct judging judging = {crew, params, parts, scores, statuses};
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

void covey_crew_cpu(const struct covey_crew *crew, double *training_s, double *judging_s)
{
    *training_s = *judging_s = 0;
    for (uint32_t i = 0; i < crew->config.threads; i++) {
        *training_s += crew->workers[i].training_s;
        *judging_s += crew->workers[i].judging_s;
    }
}
