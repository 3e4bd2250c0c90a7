#include "training_job.h"

#include <stdlib.h>
#include <string.h>

#include "covey/arena.h"
#include "covey/client.h"
#include "covey/hash.h"
#include "covey/log.h"
#include "local_step.h"

/* ------------------------------------------------------------------ memory */

/* Room for count * size bytes, kept when it is large enough. */
static enum covey_status make_room(void **at, size_t *have_bytes, size_t count, size_t size,
                                   struct covey_error *err)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        return covey_fail(err, COVEY_LIMIT, "more memory than this machine can address");
    bytes = (bytes + COVEY_ARENA_ALIGN - 1) / COVEY_ARENA_ALIGN * COVEY_ARENA_ALIGN;
    if (bytes <= *have_bytes)
        return COVEY_OK;
    free(*at);
    *have_bytes = 0;
    *at = aligned_alloc(COVEY_ARENA_ALIGN, bytes);
    if (*at == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for %zu bytes", bytes);
    *have_bytes = bytes;
    return COVEY_OK;
}

static bool same_recipe_for_memory(const struct covey_recipe *a, const struct covey_recipe *b)
{
    return a->batch == b->batch && a->optimiser == b->optimiser &&
           (a->weight_decay != 0) == (b->weight_decay != 0) &&
           (a->proximal_mu != 0) == (b->proximal_mu != 0) && a->algorithm == b->algorithm;
}

static enum covey_status make_trainer(struct covey_training_job *job, struct covey_error *err)
{
    const struct covey_local_model *model = job->model;
    if (job->trainer != NULL && covey_hash_equal(&job->trainer_model, &model->facts.description) &&
        same_recipe_for_memory(&job->trainer_recipe, &job->plan.recipe) &&
        covey_trainer_fits(job->trainer, &job->plan.recipe, job->dataset->count))
        return COVEY_OK;
    struct covey_model_description *description = NULL;
    COVEY_TRY(covey_local_model_decode(model, &description, err));
    covey_trainer_destroy(job->trainer);
    job->trainer = NULL;
    const struct covey_training_options options = {.engine = job->engine,
                                                   .recipe = &job->plan.recipe,
                                                   .examples = job->dataset->count,
                                                   .memory_limit_bytes =
                                                       (uint64_t)job->config->memory_limit_bytes};
    enum covey_status status = covey_trainer_create(description, &options, &job->trainer, err);
    free(description);
    if (status == COVEY_OK) {
        job->trainer_model = model->facts.description;
        job->trainer_recipe = job->plan.recipe;
    }
    return status;
}

static enum covey_status make_buffers(struct covey_training_job *job, struct covey_error *err)
{
    size_t n = job->model->layout.update_count;
    job->feedback = covey_client_keeps_residual(job->config->error_feedback, &job->codec);
    if (job->feedback)
        COVEY_TRY(make_room((void **)&job->residual, &job->residual_bytes, n, sizeof *job->residual, err));
    job->memory_count = covey_local_memory_count(&job->plan.recipe, &job->model->layout);
    if (job->memory_count > 0)
        COVEY_TRY(make_room((void **)&job->memory, &job->memory_bytes, job->memory_count, sizeof *job->memory,
                            err));
    COVEY_TRY(
        make_room((void **)&job->room, &job->room_bytes, covey_upload_room_bytes(&job->codec, n), 1, err));
    return make_room(&job->scratch, &job->scratch_bytes, covey_codec_scratch_bytes(&job->codec, n), 1, err);
}

/* ------------------------------------------------------------------ the residual */

static bool residual_is_ours(const struct covey_training_job *job, const struct covey_state_residual *stored)
{
    const struct covey_state_model *model = &job->model->facts;
    return job->feedback && stored->count == job->model->layout.update_count &&
           covey_hash_equal(&stored->description, &model->description) &&
           strcmp(stored->codec, job->codec.name) == 0 && stored->sequence <= model->sequence &&
           model->sequence - stored->sequence <= (uint64_t)job->config->feedback_rounds;
}

/* However old: a control variate, a momentum or a model of its own ages with the device. */
static bool memory_is_ours(const struct covey_training_job *job, const struct covey_state_residual *stored)
{
    return job->memory_count > 0 && stored->memory_count == job->memory_count &&
           stored->algorithm == (uint32_t)job->plan.recipe.algorithm &&
           covey_hash_equal(&stored->description, &job->model->facts.description);
}

static void say_dropped(const struct covey_training_job *job, const struct covey_state_residual *stored,
                        const char *event, const char *reason)
{
    covey_log_event(job->env.log, COVEY_LOG_INFO, event, "codec=%s sequence=%llu reason=\"%s\"",
                    stored->codec, (unsigned long long)stored->sequence, reason);
}

/* What an earlier assignment left behind, then residual and memory as they hold now; zeros where there is
 * none, or none of use. */
static enum covey_status recall(struct covey_training_job *job, struct covey_error *err)
{
    const size_t n = job->model->layout.update_count;
    if (covey_client_state_update(job->state) != NULL)
        COVEY_TRY(covey_client_state_drop_update(job->state, !job->update_offered, err));
    const struct covey_state_residual *stored = covey_client_state_residual(job->state);
    bool residual = stored != NULL && residual_is_ours(job, stored);
    bool memory = stored != NULL && memory_is_ours(job, stored);
    struct covey_error why = {0};
    if ((residual || memory) &&
        covey_client_state_load_residual(job->state, residual ? job->residual : NULL,
                                         memory ? job->memory : NULL, &why) != COVEY_OK)
        residual = memory = false;
    const char *reason = why.text[0] != 0 ? why.text : "of another codec or model, or too old";
    if (stored != NULL && stored->count > 0 && job->feedback && !residual)
        say_dropped(job, stored, "residual-dropped", reason);
    if (stored != NULL && stored->memory_count > 0 && !memory)
        say_dropped(job, stored, "memory-dropped", "of another algorithm or model");
    if (stored != NULL && !residual && !memory && (job->feedback || stored->memory_count > 0))
        COVEY_TRY(covey_client_state_drop_residual(job->state, err));
    if (job->feedback && !residual)
        memset(job->residual, 0, n * sizeof *job->residual);
    job->fresh_memory = !memory;
    return COVEY_OK;
}

/* ------------------------------------------------------------------ the run */

static bool stop_wanted(void *user)
{
    const struct covey_training_job *job = user;
    return atomic_load_explicit(&job->stop, memory_order_relaxed);
}

static void note_progress(void *user, uint32_t step, uint32_t steps, double loss)
{
    struct covey_training_job *job = user;
    atomic_store_explicit(&job->step, step, memory_order_relaxed);
    atomic_store_explicit(&job->steps, steps, memory_order_relaxed);
    atomic_store_explicit(&job->loss, (float)loss, memory_order_relaxed);
}

static enum covey_status train(struct covey_training_job *job, struct covey_error *err)
{
    struct covey_local_model *model = job->model;
    const struct covey_training_run run = {.device = job->device,
                                           .round = job->plan.round,
                                           .seed = job->plan.recipe.seed,
                                           .stop = stop_wanted,
                                           .progress = note_progress,
                                           .user = job,
                                           .now_ms = job->env.now_ms,
                                           .user_clock = job->env.user};
    const struct covey_local_step step = {.trainer = job->trainer,
                                          .layout = &model->layout,
                                          .dataset = job->dataset,
                                          .recipe = &job->plan.recipe,
                                          .base = model->params,
                                          .local = model->local,
                                          .memory = job->memory,
                                          .fresh = job->fresh_memory};
    memcpy(model->local, model->params, model->layout.count * sizeof *model->local);
    COVEY_TRY(covey_local_step_run(&step, &run, &job->training, err));
    /* Personal tensors are trained here and stay here. */
    size_t shared = model->layout.shared_count;
    memcpy(model->params + shared, model->local + shared,
           (model->layout.count - shared) * sizeof *model->params);
    return COVEY_OK;
}

/* The published model, with the device's own personal values, before it is trained; of ditto the model of its
 * own that came of earlier rounds. */
static enum covey_status judge(struct covey_training_job *job, struct covey_error *err)
{
    job->judged = (struct covey_score){0};
    if (job->plan.judge == 0 || !job->config->metrics)
        return COVEY_OK;
    const bool own = job->plan.recipe.algorithm == COVEY_LOCAL_DITTO && !job->fresh_memory;
    return covey_trainer_evaluate(job->trainer, own ? job->memory : job->model->params, job->judged_on,
                                  &job->judged, err);
}

static enum covey_status encode(struct covey_training_job *job, struct covey_error *err)
{
    struct covey_local_model *model = job->model;
    const struct covey_upload_job upload = {.plan = &job->plan,
                                            .codec = &job->codec,
                                            .layout = &model->layout,
                                            .model = &model->facts.model,
                                            .base = model->params,
                                            .local = model->local,
                                            .kept = job->feedback ? job->residual : NULL,
                                            .residual = job->feedback ? job->residual : NULL,
                                            .clip_norm = job->config->clip_norm,
                                            .device = job->device,
                                            .training = &job->training,
                                            .scratch = job->scratch,
                                            .scratch_bytes = job->scratch_bytes,
                                            .room = job->room,
                                            .room_bytes = job->room_bytes};
    COVEY_TRY(covey_upload_encode(&upload, &job->encoded, err));
    job->message = job->encoded.message;
    return COVEY_OK;
}

static enum covey_status make_durable(struct covey_training_job *job, struct covey_error *err)
{
    const struct covey_local_model *model = job->model;
    const struct covey_state_update update = {.assignment = job->plan.assignment,
                                              .model = model->facts.model,
                                              .round = job->plan.round,
                                              .examples = job->training.examples,
                                              .steps = job->training.steps,
                                              .training_ms = job->training.ms,
                                              .loss_before = job->training.loss_before,
                                              .loss_after = job->training.loss_after,
                                              .stream_bytes = job->encoded.stream_bytes,
                                              .message_bytes = job->message.size};
    struct covey_state_residual residual = {.description = model->facts.description,
                                            .sequence = model->facts.sequence,
                                            .count = job->feedback ? model->layout.update_count : 0,
                                            .algorithm = (uint32_t)job->plan.recipe.algorithm,
                                            .memory_count = job->memory_count};
    memcpy(residual.codec, job->codec.name, sizeof residual.codec);
    if (model->layout.count > model->layout.shared_count) /* personal values are nowhere else */
        COVEY_TRY(covey_client_state_store_model(job->state, &model->facts, model->description, model->params,
                                                 err));
    return covey_client_state_store_update(job->state, &update, job->message.data,
                                           job->feedback || job->memory_count > 0 ? &residual : NULL,
                                           job->residual, job->memory, err);
}

static enum covey_status run_all(struct covey_training_job *job, struct covey_error *err)
{
    COVEY_TRY(covey_codec_parse(job->plan.codec, &job->codec, err));
    COVEY_TRY(make_trainer(job, err));
    COVEY_TRY(make_buffers(job, err));
    COVEY_TRY(recall(job, err));
    COVEY_TRY(judge(job, err));
    COVEY_TRY(train(job, err));
    COVEY_TRY(encode(job, err));
    if (stop_wanted(job))
        return covey_fail(err, COVEY_CANCELLED, "stopped");
    return make_durable(job, err);
}

static void *run(void *user)
{
    struct covey_training_job *job = user;
    job->status = run_all(job, &job->err);
    atomic_store(&job->ended, true);
    if (!job->in_step)
        job->wake(job->user);
    return NULL;
}

static enum covey_status start_thread(struct covey_training_job *job, struct covey_error *err)
{
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0)
        return covey_fail(err, COVEY_NO_MEMORY, "no thread for training");
    int result = pthread_attr_setstacksize(&attributes, COVEY_CLIENT_STACK_BYTES);
    if (result == 0)
        result = pthread_create(&job->thread, &attributes, run, job);
    pthread_attr_destroy(&attributes);
    return result == 0 ? COVEY_OK
                       : covey_fail(err, COVEY_NO_MEMORY, "no thread for training: %s", strerror(result));
}

enum covey_status covey_training_job_start(struct covey_training_job *job, const struct covey_plan *plan,
                                           struct covey_error *err)
{
    if (job->dataset == NULL)
        return covey_fail(err, COVEY_INVALID,
                          "this device has no data: write a `data:` block into client.yaml");
    if (!job->model->installed)
        return covey_fail(err, COVEY_STATE, "there is no model to train");
    job->plan = *plan;
    job->training = (struct covey_training_result){0};
    job->err = (struct covey_error){0};
    atomic_store(&job->stop, false);
    atomic_store(&job->ended, false);
    atomic_store(&job->step, 0);
    atomic_store(&job->steps, 0);
    if (job->in_step)
        run(job);
    else
        COVEY_TRY(start_thread(job, err));
    job->running = true;
    return COVEY_OK;
}

static void join(struct covey_training_job *job)
{
    if (!job->in_step)
        pthread_join(job->thread, NULL);
    job->running = false;
}

bool covey_training_job_take(struct covey_training_job *job)
{
    if (!job->running || !atomic_load(&job->ended))
        return false;
    join(job);
    return true;
}

void covey_training_job_cancel(struct covey_training_job *job)
{
    if (!job->running)
        return;
    atomic_store(&job->stop, true);
    join(job);
}

enum covey_status covey_training_job_reload(struct covey_training_job *job, struct covey_error *err)
{
    const struct covey_state_update *update = covey_client_state_update(job->state);
    if (update == NULL)
        return covey_fail(err, COVEY_NOT_FOUND, "no update is stored");
    COVEY_TRY(make_room((void **)&job->room, &job->room_bytes, (size_t)update->message_bytes, 1, err));
    COVEY_TRY(covey_client_state_load_update(job->state, job->room, err));
    job->message = (struct covey_bytes){job->room, (size_t)update->message_bytes};
    return COVEY_OK;
}

void covey_training_job_deinit(struct covey_training_job *job)
{
    covey_training_job_cancel(job);
    covey_trainer_destroy(job->trainer);
    free(job->residual);
    free(job->memory);
    free(job->room);
    free(job->scratch);
    job->trainer = NULL;
    job->residual = job->memory = NULL;
    job->room = NULL;
    job->scratch = NULL;
}

void covey_client_memory(const char *codec, int64_t feedback, uint64_t count, uint64_t update_count,
                         struct covey_client_memory *out)
{
    struct covey_codec parsed;
    *out = (struct covey_client_memory){.parameters = 2 * 4 * count, .stack = 16384};
    if (covey_codec_parse(codec, &parsed, NULL) != COVEY_OK)
        return;
    out->residual = covey_client_keeps_residual(feedback, &parsed) ? 4 * update_count : 0;
    out->message = covey_upload_room_bytes(&parsed, (size_t)update_count);
    out->codec = covey_codec_scratch_bytes(&parsed, (size_t)update_count);
}
