/* Drives a network over a data set: order, batches, chunks, when to stop. Knows no precision. */
#include "covey/trainer.h"

#include <math.h>
#include <stdlib.h>

#include "covey/random.h"

#include "network.h"

struct covey_trainer {
    struct covey_training_plan *plan; /* owned */
    struct covey_network network;
    uint8_t *workspace; /* owned */
};

enum covey_status covey_trainer_workspace_bytes(const struct covey_model_description *model,
                                                const struct covey_training_options *options, uint64_t *out,
                                                struct covey_error *err)
{
    struct covey_training_plan *plan = NULL;
    COVEY_TRY(covey_training_plan_create(model, options, &plan, err));
    *out = plan->memory.total;
    covey_training_plan_destroy(plan);
    return COVEY_OK;
}

enum covey_status covey_trainer_create(const struct covey_model_description *model,
                                       const struct covey_training_options *options,
                                       struct covey_trainer **out, struct covey_error *err)
{
    struct covey_training_plan *plan = NULL;
    COVEY_TRY(covey_training_plan_create(model, options, &plan, err));
    struct covey_trainer *trainer = calloc(1, sizeof *trainer);
    uint8_t *workspace = aligned_alloc(COVEY_ARENA_ALIGN, (size_t)plan->memory.total); /* a multiple of it */
    if (trainer == NULL || workspace == NULL) {
        const enum covey_status status =
            covey_fail(err, COVEY_NO_MEMORY, "no memory for a workspace of %llu KiB: use a smaller batch",
                       (unsigned long long)(plan->memory.total >> 10));
        free(workspace);
        free(trainer);
        covey_training_plan_destroy(plan);
        return status;
    }
    trainer->plan = plan;
    trainer->workspace = workspace;
    trainer->network = (struct covey_network){.plan = plan, .workspace = workspace};
    *out = trainer;
    return COVEY_OK;
}

void covey_trainer_destroy(struct covey_trainer *trainer)
{
    if (trainer == NULL)
        return;
    covey_training_plan_destroy(trainer->plan);
    free(trainer->workspace);
    free(trainer);
}

const struct covey_training_plan *covey_trainer_plan(const struct covey_trainer *trainer)
{
    return trainer->plan;
}

const struct covey_layout *covey_trainer_layout(const struct covey_trainer *trainer)
{
    return &trainer->plan->layout;
}

static uint32_t batch_of(const struct covey_recipe *recipe, uint32_t examples)
{
    return recipe->batch == 0 || recipe->batch > examples ? examples : recipe->batch;
}

bool covey_trainer_fits(const struct covey_trainer *trainer, const struct covey_recipe *recipe,
                        uint32_t examples)
{
    const struct covey_training_plan *plan = trainer->plan;
    const bool penalties = recipe->proximal_mu > 0 || recipe->weight_decay > 0 ||
                           recipe->algorithm == COVEY_LOCAL_FEDDYN ||
                           recipe->algorithm == COVEY_LOCAL_SCAFFOLD;
    if (!plan->training || examples == 0 || examples > plan->examples ||
        recipe->optimiser != plan->recipe.optimiser)
        return false;
    if ((recipe->proximal_mu > 0 && !plan->anchored) || (penalties && plan->path == COVEY_UPDATE_AT_ONCE))
        return false;
    return plan->path == COVEY_UPDATE_GATHERED || batch_of(recipe, examples) <= plan->chunk;
}

static enum covey_status check_dataset(const struct covey_training_plan *plan,
                                       const struct covey_dataset *dataset, struct covey_error *err)
{
    const bool classes = plan->model->loss == COVEY_LOSS_SOFTMAX_CROSS_ENTROPY;
    const uint32_t given = classes ? dataset->labels.width : dataset->targets.width;
    if (dataset->count == 0)
        return covey_fail(err, COVEY_INVALID, "the data set is empty");
    if (dataset->inputs.width != plan->input.count)
        return covey_fail(err, COVEY_MISMATCH, "model '%s' takes %zu values an example, the data have %u",
                          plan->model->name, plan->input.count, dataset->inputs.width);
    if (given != plan->target_count)
        return covey_fail(err, COVEY_MISMATCH, "model '%s' learns from %u %s an example, the data have %u",
                          plan->model->name, plan->target_count, classes ? "label(s)" : "target value(s)",
                          given);
    return COVEY_OK;
}

static enum covey_status check_labels(const struct covey_training_plan *plan, const int32_t *labels,
                                      size_t count, struct covey_error *err)
{
    for (size_t i = 0; i < count; i++)
        if (labels[i] < 0 || (uint32_t)labels[i] >= plan->classes)
            return covey_fail(err, COVEY_RANGE, "the data hold the label %d, model '%s' has classes 0 to %u",
                              labels[i], plan->model->name, plan->classes - 1);
    return COVEY_OK;
}

/* Reads a chunk: rows, or first .. first+count-1 where rows is NULL. */
static enum covey_status read_chunk(struct covey_trainer *trainer, const struct covey_dataset *dataset,
                                    const uint32_t *rows, uint32_t first, uint32_t count,
                                    struct covey_error *err)
{
    const struct covey_training_plan *plan = trainer->plan;
    const struct covey_network *network = &trainer->network;
    const bool classes = plan->model->loss == COVEY_LOSS_SOFTMAX_CROSS_ENTROPY;
    int32_t *labels = classes ? covey_network_labels(network) : NULL;
    float *targets = classes ? NULL : covey_network_targets(network);
    const enum covey_status status = covey_dataset_read(
        dataset, rows, first, count, plan->engine->network->staging(network), labels, targets);
    if (status != COVEY_OK)
        return covey_fail(err, status, "cannot read examples from the data set");
    if (classes)
        COVEY_TRY(check_labels(plan, labels, (size_t)count * plan->target_count, err));
    return plan->engine->network->feed(network, count, err);
}

/* One batch, in chunks. Adds its loss to tally. */
static enum covey_status train_batch(struct covey_trainer *trainer, const struct covey_dataset *dataset,
                                     const uint32_t *rows, uint32_t batch, struct covey_tally *tally,
                                     struct covey_error *err)
{
    const struct covey_network_functions *run = trainer->plan->engine->network;
    struct covey_network *network = &trainer->network;
    const uint32_t chunk = trainer->plan->chunk;
    for (uint32_t done = 0; done < batch; done += chunk) {
        const uint32_t count = batch - done < chunk ? batch - done : chunk;
        COVEY_TRY(read_chunk(trainer, dataset, rows + done, 0, count, err));
        run->forward(network, count, true);
        run->loss(network, count, batch, true, tally);
        if (!isfinite(tally->loss))
            return covey_fail(err, COVEY_NOT_FINITE,
                              "the training loss is no longer a finite number: lower the learning rate (%g)",
                              network->rate);
        run->backward(network, count, done == 0, done + count == batch);
    }
    return COVEY_OK;
}

/* Where a training stands. */
struct course {
    const struct covey_training_run *run;
    uint32_t *order;
    uint32_t count, batch; /* examples */
    uint32_t step, steps;  /* done, to do */
    struct covey_training_result result;
};

static double mean_loss(const struct covey_tally *tally)
{
    return tally->count > 0 ? tally->loss / (double)tally->count : 0.0;
}

static enum covey_status train_epoch(struct covey_trainer *trainer, const struct covey_dataset *dataset,
                                     struct course *course, struct covey_error *err)
{
    const struct covey_training_run *run = course->run;
    struct covey_tally epoch = {0};
    uint32_t seen = 0;
    for (uint32_t first = 0; first < course->count && course->step < course->steps; first += course->batch) {
        const uint32_t batch = course->count - first < course->batch ? course->count - first : course->batch;
        struct covey_tally tally = {0};
        if (run->stop != NULL && run->stop(run->user))
            return covey_fail(err, COVEY_CANCELLED, "training was stopped after %u of %u steps", course->step,
                              course->steps);
        COVEY_TRY(train_batch(trainer, dataset, course->order + first, batch, &tally, err));
        course->step++;
        seen += batch;
        epoch.loss += tally.loss;
        epoch.count += tally.count;
        if (run->progress != NULL)
            run->progress(run->user, course->step, course->steps, mean_loss(&tally));
    }
    if (course->result.steps == 0) {
        course->result.loss_before = mean_loss(&epoch);
        course->result.examples = seen;
    }
    course->result.loss_after = mean_loss(&epoch);
    course->result.steps = course->step;
    return COVEY_OK;
}

static enum covey_status plan_course(const struct covey_recipe *recipe, uint32_t examples,
                                     struct course *course, struct covey_error *err)
{
    course->count = examples;
    course->batch = batch_of(recipe, examples);
    const uint64_t per_epoch = ((uint64_t)examples + course->batch - 1) / course->batch;
    uint64_t steps = recipe->epochs > 0 ? recipe->epochs * per_epoch : recipe->steps;
    if (recipe->steps > 0 && recipe->steps < steps)
        steps = recipe->steps;
    if (steps > UINT32_MAX)
        return covey_fail(err, COVEY_LIMIT, "%llu steps in one training: use larger batches",
                          (unsigned long long)steps);
    course->steps = (uint32_t)steps;
    return COVEY_OK;
}

static enum covey_status check_weights(const float *params, size_t count, struct covey_error *err)
{
    for (size_t i = 0; i < count; i++)
        if (!isfinite(params[i]))
            return covey_fail(err, COVEY_NOT_FINITE,
                              "a weight is no longer a finite number: lower the learning rate");
    return COVEY_OK;
}

enum covey_status covey_trainer_run(struct covey_trainer *trainer, float *params,
                                    const struct covey_dataset *dataset, const struct covey_recipe *recipe,
                                    const struct covey_training_run *run, struct covey_training_result *out,
                                    struct covey_error *err)
{
    const struct covey_training_plan *plan = trainer->plan;
    struct course course = {.run = run};
    struct covey_random random;
    COVEY_TRY(covey_recipe_check(recipe, err));
    COVEY_TRY(check_dataset(plan, dataset, err));
    if (!covey_trainer_fits(trainer, recipe, dataset->count))
        return covey_fail(err, COVEY_STATE,
                          "the trainer was made for another recipe or for fewer than %u examples",
                          dataset->count);
    if (run->correction != NULL && plan->path == COVEY_UPDATE_AT_ONCE)
        return covey_fail(err, COVEY_STATE, "the trainer was made for training without corrections");
    COVEY_TRY(plan_course(recipe, dataset->count, &course, err));
    const uint64_t started_ms = run->now_ms != NULL ? run->now_ms(run->user_clock) : 0;
    struct covey_network *network = &trainer->network;
    network->seed = run->seed;
    network->device = run->device;
    network->round = run->round;
    network->rate = covey_recipe_rate(recipe, run->round);
    network->recipe = *recipe;
    network->correction = run->correction;
    network->correction_count = run->correction != NULL ? run->correction_count : 0;
    network->anchor = run->anchor;
    plan->engine->network->load(network, params);
    plan->engine->network->begin(network);
    covey_random_init(&random, run->seed, run->device, run->round, COVEY_PURPOSE_SHUFFLE);
    course.order = (uint32_t *)(void *)(trainer->workspace + plan->order);
    for (uint32_t i = 0; i < course.count; i++)
        course.order[i] = i;
    enum covey_status status = COVEY_OK;
    while (status == COVEY_OK && course.step < course.steps) {
        covey_random_shuffle(&random, course.order, course.count);
        status = train_epoch(trainer, dataset, &course, err);
    }
    plan->engine->network->store(network, params);
    if (status == COVEY_OK)
        status = check_weights(params, plan->layout.count, err);
    if (status != COVEY_OK)
        return status;
    course.result.effective_steps = covey_recipe_effective_steps(recipe, run->round, course.result.steps);
    course.result.ms = run->now_ms != NULL ? (uint32_t)(run->now_ms(run->user_clock) - started_ms) : 0;
    *out = course.result;
    return COVEY_OK;
}

enum covey_status covey_trainer_evaluate(struct covey_trainer *trainer, const float *params,
                                         const struct covey_dataset *dataset, struct covey_score *out,
                                         struct covey_error *err)
{
    const struct covey_training_plan *plan = trainer->plan;
    const struct covey_network_functions *run = plan->engine->network;
    struct covey_tally tally = {0};
    COVEY_TRY(check_dataset(plan, dataset, err));
    run->load(&trainer->network, params);
    for (uint32_t first = 0; first < dataset->count; first += plan->chunk) {
        const uint32_t count = dataset->count - first < plan->chunk ? dataset->count - first : plan->chunk;
        COVEY_TRY(read_chunk(trainer, dataset, NULL, first, count, err));
        run->forward(&trainer->network, count, false);
        run->loss(&trainer->network, count, count, false, &tally);
    }
    struct covey_score score = {.examples = dataset->count, .loss = mean_loss(&tally)};
    if (plan->classes > 0) {
        score.accuracy = (double)tally.right / (double)tally.count;
    } else {
        score.rmse = sqrt(tally.squared / (double)tally.count);
        score.mae = tally.absolute / (double)tally.count;
    }
    *out = score;
    return COVEY_OK;
}

enum covey_status covey_trainer_predict(struct covey_trainer *trainer, const float *params, const float *x,
                                        size_t count, float *out, struct covey_error *err)
{
    const struct covey_training_plan *plan = trainer->plan;
    const struct covey_network_functions *run = plan->engine->network;
    const size_t inputs = plan->input.count, outputs = plan->steps[plan->step_count - 1].op.out.count;
    run->load(&trainer->network, params);
    for (size_t first = 0; first < count; first += plan->chunk) {
        const size_t part = count - first < plan->chunk ? count - first : plan->chunk;
        float *staging = run->staging(&trainer->network);
        for (size_t i = 0; i < part * inputs; i++)
            staging[i] = x[first * inputs + i];
        COVEY_TRY(run->feed(&trainer->network, part, err));
        run->forward(&trainer->network, part, false);
        run->output(&trainer->network, part, out + first * outputs);
    }
    return COVEY_OK;
}

enum covey_status covey_evaluate(const struct covey_model_description *model, const float *params,
                                 const struct covey_dataset *dataset, struct covey_score *out,
                                 struct covey_error *err)
{
    struct covey_trainer *trainer = NULL;
    const struct covey_training_options options = {0};
    COVEY_TRY(covey_trainer_create(model, &options, &trainer, err));
    const enum covey_status status = covey_trainer_evaluate(trainer, params, dataset, out, err);
    covey_trainer_destroy(trainer);
    return status;
}
