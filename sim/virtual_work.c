/* One job: a device's part of a round, and the server's answer to it. */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "covey/arena.h"
#include "crew_parts.h"
#include "local_step.h"
#include "upload.h"
#include "virtual_link.h"

double covey_worker_cpu_s(void)
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

enum covey_status covey_worker_equip(struct covey_worker *worker, struct covey_error *err)
{
    const struct covey_crew *crew = worker->crew;
    const struct covey_virtual_fleet *fleet = crew->config.fleet;
    const struct covey_training_options training = {.recipe = crew->config.recipe,
                                                    .examples = covey_partition_most(fleet->partition)};
    const struct covey_training_options judging = {0};
    COVEY_TRY(covey_trainer_create(fleet->model, &training, &worker->trainer, err));
    COVEY_TRY(covey_trainer_create(fleet->model, &judging, &worker->judge, err));
    COVEY_TRY(take_aligned((void **)&worker->local, crew->count * sizeof(float), err));
    COVEY_TRY(take_aligned((void **)&worker->memory, crew->memory_count * sizeof(float), err));
    COVEY_TRY(take_aligned(&worker->scratch, crew->scratch_bytes, err));
    COVEY_TRY(take_aligned((void **)&worker->share, (size_t)training.examples * sizeof(uint32_t), err));
    for (uint32_t i = 0; i < crew->batch; i++)
        COVEY_TRY(take_aligned((void **)&worker->rooms[i], crew->room_bytes, err));
    return COVEY_OK;
}

void covey_worker_unequip(struct covey_worker *worker)
{
    covey_trainer_destroy(worker->trainer);
    covey_trainer_destroy(worker->judge);
    free(worker->local);
    free(worker->memory);
    free(worker->scratch);
    free(worker->share);
    for (uint32_t i = 0; i < COVEY_CREW_FOLD_BATCH; i++)
        free(worker->rooms[i]);
}

/* ------------------------------------------------------------------ one job */

void covey_worker_fold(struct covey_worker *worker)
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

/* Personal values begin as on a real device (client/local_model.c): by its own seed. */
static enum covey_status begin_personal(struct covey_worker *worker, uint32_t device, const float *published,
                                        struct covey_error *err)
{
    const struct covey_crew *crew = worker->crew;
    const struct covey_virtual_fleet *fleet = crew->config.fleet;
    if (crew->personal_count == 0)
        return COVEY_OK;
    COVEY_TRY(covey_model_initialise(fleet->model, &fleet->layout, fleet->ids[device], worker->local, err));
    memcpy(worker->local, published, fleet->layout.shared_count * sizeof *worker->local);
    return COVEY_OK;
}

/* What the device kept from earlier rounds: into local's personal part and memory, and where its residual
 * lies. A place of the store holds residual, personal values, memory. False: it kept nothing yet. */
static bool recall(struct covey_worker *worker, const struct covey_crew_job *job)
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
    if (kept != NULL && crew->memory_count > 0)
        memcpy(worker->memory, kept + residuals + crew->personal_count, crew->memory_count * sizeof *kept);
    const bool fresh = kept != NULL && crew->feedback &&
                       job->base->sequence - sequence <= (uint64_t)scenario->feedback_rounds;
    worker->kept_back = fresh ? kept : NULL;
    return kept != NULL;
}

enum covey_status covey_worker_own_model(struct covey_worker *worker, uint32_t device, const float *published,
                                         const float **out, struct covey_error *err)
{
    const struct covey_crew *crew = worker->crew;
    uint64_t sequence = 0;
    const float *kept =
        crew->config.store == NULL ? NULL : covey_personal_store_read(crew->config.store, device, &sequence);
    const float *own = kept == NULL ? NULL : kept + (crew->feedback ? crew->update_count : 0);
    *out = published;
    if (crew->config.recipe->algorithm == COVEY_LOCAL_DITTO && own != NULL)
        *out = own;
    if (crew->personal_count == 0)
        return COVEY_OK;
    COVEY_TRY(begin_personal(worker, device, published, err));
    if (own != NULL)
        memcpy(worker->local + crew->count - crew->personal_count, own, crew->personal_count * sizeof *own);
    *out = worker->local;
    return COVEY_OK;
}

/* Where the device's new residual goes: what is kept, once the update is taken. */
static float *residual_of(const struct covey_worker *worker, const struct covey_crew_job *job)
{
    const struct covey_crew *crew = worker->crew;
    return crew->feedback ? covey_personal_store_draft(crew->config.store, job->device) : NULL;
}

/* personal: as trained; local's was overwritten only in the update part. */
static void remember(struct covey_worker *worker, const struct covey_crew_job *job)
{
    const struct covey_crew *crew = worker->crew;
    float *draft =
        crew->config.store == NULL ? NULL : covey_personal_store_draft(crew->config.store, job->device);
    const size_t residuals = crew->feedback ? crew->update_count : 0;
    if (draft == NULL)
        return;
    if (crew->personal_count > 0)
        memcpy(draft + residuals, worker->local + crew->count - crew->personal_count,
               crew->personal_count * sizeof *draft);
    if (crew->memory_count > 0)
        memcpy(draft + residuals + crew->personal_count, worker->memory, crew->memory_count * sizeof *draft);
}

/* Whose examples and seed: with sybils one device's, whatever the name. */
static uint32_t actor_of(const struct covey_worker *worker, const struct covey_crew_job *job)
{
    return job->hostile && worker->crew->twin != NULL ? worker->crew->twin->device : job->device;
}

enum covey_status covey_worker_train(struct covey_worker *worker, const struct covey_crew_job *job,
                                     struct covey_training_result *result, struct covey_error *err)
{
    const struct covey_crew *crew = worker->crew;
    const struct covey_virtual_fleet *fleet = crew->config.fleet;
    const bool stale = job->hostile && fleet->scenario->attack.kind == COVEY_ATTACK_STALE;
    const uint32_t actor = actor_of(worker, job);
    const float *start = stale ? fleet->initial : job->base->published;
    const struct covey_training_run run = {
        .device = fleet->ids[actor], .round = stale ? 1 : job->plan->round, .seed = job->plan->recipe.seed};
    struct covey_dataset dataset;
    covey_virtual_fleet_share(fleet, actor, job->hostile, worker->share, &dataset);
    memcpy(worker->local, start, crew->count * sizeof *worker->local);
    COVEY_TRY(begin_personal(worker, job->device, job->base->published, err));
    if (stale)
        memcpy(worker->local, start, fleet->layout.shared_count * sizeof *worker->local);
    const bool fresh = !recall(worker, job);
    const struct covey_local_step step = {.trainer = worker->trainer,
                                          .layout = &fleet->layout,
                                          .dataset = &dataset,
                                          .recipe = &job->plan->recipe,
                                          .base = start,
                                          .local = worker->local,
                                          .memory = worker->memory,
                                          .fresh = fresh};
    const double from_s = covey_worker_cpu_s();
    const enum covey_status status = covey_local_step_run(&step, &run, result, err);
    worker->training_s += covey_worker_cpu_s() - from_s;
    for (size_t i = 0; stale && i < crew->update_count; i++)
        worker->local[i] = job->base->published[i] + (worker->local[i] - start[i]);
    return status;
}

/* What it made when it was spied on. */
static enum covey_status take_up(struct covey_worker *worker, const struct covey_crew_job *job,
                                 struct covey_training_result *result, struct covey_error *err)
{
    const struct covey_crew *crew = worker->crew;
    const struct covey_seen *seen = &crew->seen[job->seen - 1];
    if (seen->status != COVEY_OK)
        return covey_fail(err, seen->status, "%s", seen->err.text);
    (void)recall(worker, job);
    memcpy(worker->local, seen->local, crew->count * sizeof *worker->local);
    if (crew->memory_count > 0)
        memcpy(worker->memory, seen->memory, crew->memory_count * sizeof *worker->memory);
    *result = seen->result;
    return COVEY_OK;
}

static enum covey_status train(struct covey_worker *worker, struct covey_crew_job *job,
                               struct covey_training_result *result, struct covey_error *err)
{
    const struct covey_crew *crew = worker->crew;
    const enum covey_status status =
        job->seen > 0 ? take_up(worker, job, result, err) : covey_worker_train(worker, job, result, err);
    result->ms = job->training_ms;
    if (status != COVEY_OK || !job->hostile)
        return status;
    covey_attack_model(crew->config.fleet->scenario, job->device, job->plan->round, job->base->published,
                       worker->local, crew->update_count);
    for (size_t i = 0; crew->has_spied && i < crew->update_count; i++)
        worker->local[i] = job->base->published[i] + crew->spied[i];
    return status;
}

static enum covey_status encode(struct covey_worker *worker, const struct covey_crew_job *job,
                                const struct covey_training_result *result, struct covey_encoded_update *out,
                                struct covey_error *err)
{
    const struct covey_crew *crew = worker->crew;
    const struct covey_upload_job upload = {.plan = job->plan,
                                            .codec = crew->config.codec,
                                            .layout = &crew->config.fleet->layout,
                                            .model = &job->base->model,
                                            .base = job->base->published,
                                            .local = worker->local,
                                            .kept = worker->kept_back,
                                            .residual = residual_of(worker, job),
                                            .clip_norm = crew->config.fleet->scenario->clip_norm,
                                            .device = crew->config.fleet->ids[job->device],
                                            .training = result,
                                            .scratch = worker->scratch,
                                            .scratch_bytes = crew->scratch_bytes,
                                            .room = worker->rooms[worker->kept_count],
                                            .room_bytes = crew->room_bytes};
    return covey_upload_encode(&upload, out, err);
}

/* Over the limit, messages wait on the disk. */
static enum covey_status hold(struct covey_crew *crew, struct covey_crew_job *job, struct covey_bytes message)
{
    if (atomic_fetch_add(&crew->held_bytes, message.size) + message.size <= crew->config.held_bytes ||
        crew->config.lasts) { /* then as many as have work at once, at the most */
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
static void deliver(struct covey_worker *worker, struct covey_crew_job *job, struct covey_bytes message)
{
    struct covey_crew *crew = worker->crew;
    const struct covey_crew_round *round = &crew->round;
    struct covey_update update;
    covey_world_transfer(crew->config.world, job->device, job->plan->round, COVEY_TRANSFER_UPDATE, true,
                         message.size, &job->upload);
    job->sent_ms = covey_virtual_link_until(crew->config.world, job->device, job->trained_ms, job->upload.ms);
    if (crew->config.lasts) {
        job->status = hold(crew, job, message);
        return;
    }
    double norm = -1;
    job->examined =
        covey_examine_update(&round->examine, &job->plan->assignment, message, &update, &norm, NULL);
    if (job->examined != COVEY_OK)
        return;
    const double weight = covey_round_terms_weigh(round->examine.terms, &update, norm, &job->weighed);
    if (round->certain && !job->foreign && !job->upload.failed && job->sent_ms < round->deadline_ms &&
        job->sent_ms < job->vanish_ms) {
        worker->kept[worker->kept_count++] =
            (struct covey_contribution){update.stream, weight, crew->config.fleet->ids[job->device]};
        job->folded = true;
        if (worker->kept_count == crew->batch)
            covey_worker_fold(worker);
        return;
    }
    job->status = hold(crew, job, message);
}

/* Diverging is a device's own trouble; anything else is the scenario's, and ends it. */
static void note_trouble(struct covey_crew *crew, enum covey_status status, const struct covey_error *err)
{
    if (status == COVEY_OK || status == COVEY_NOT_FINITE)
        return;
    (void)pthread_mutex_lock(&crew->mutex);
    if (crew->trouble.text[0] == '\0')
        crew->trouble = *err;
    (void)pthread_mutex_unlock(&crew->mutex);
}

void covey_worker_run(struct covey_worker *worker, struct covey_crew_job *job)
{
    struct covey_training_result result = {0};
    struct covey_encoded_update encoded = {0};
    struct covey_error err = {0};
    job->status = train(worker, job, &result, &err);
    if (job->status == COVEY_OK)
        job->status = encode(worker, job, &result, &encoded, &err);
    if (job->status != COVEY_OK) {
        note_trouble(worker->crew, job->status, &err);
        return;
    }
    if (job->hostile)
        covey_attack_bytes(worker->crew->config.fleet->scenario, worker->crew->update_count,
                           (uint8_t *)(uintptr_t)encoded.message.data, encoded.message.size);
    remember(worker, job);
    job->message_bytes = encoded.message.size;
    job->stream_bytes = encoded.stream_bytes;
    job->examples = result.examples;
    job->steps = result.steps;
    job->loss_before = result.loss_before;
    job->loss_after = result.loss_after;
    deliver(worker, job, encoded.message);
    note_trouble(worker->crew, job->status, &err);
}
