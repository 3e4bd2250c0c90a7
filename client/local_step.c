#include "local_step.h"

#include <string.h>

size_t covey_local_memory_count(const struct covey_recipe *recipe, const struct covey_layout *layout)
{
    switch (recipe->algorithm) {
    case COVEY_LOCAL_MOMENTUM:
    case COVEY_LOCAL_FEDDYN:
        return layout->update_count;
    case COVEY_LOCAL_SCAFFOLD:
        return layout->update_count - layout->control_count;
    case COVEY_LOCAL_DITTO:
        return layout->count;
    case COVEY_LOCAL_PLAIN:
        break;
    }
    return 0;
}

static enum covey_status plain(const struct covey_local_step *step, const struct covey_training_run *run,
                               struct covey_training_result *out, struct covey_error *err)
{
    return covey_trainer_run(step->trainer, step->local, step->dataset, step->recipe, run, out, err);
}

/* Worker momentum (Karimireddy et al. 2021, algorithm 2): m = beta m + (1 - beta) delta is sent in the
 * delta's place; m begins at 0. */
static enum covey_status momentum(const struct covey_local_step *step, const struct covey_training_run *run,
                                  struct covey_training_result *out, struct covey_error *err)
{
    const float beta = step->recipe->strength, rest = 1 - beta;
    COVEY_TRY(plain(step, run, out, err));
    for (size_t i = 0; i < step->layout->update_count; i++) {
        step->memory[i] = beta * step->memory[i] + rest * (step->local[i] - step->base[i]);
        step->local[i] = step->base[i] + step->memory[i];
    }
    return COVEY_OK;
}

/* FedDyn (Acar et al. 2021, algorithm 1): the loss gets - <g, w> + alpha / 2 |w - P|^2, then g -= alpha (w -
 * P). memory holds -g: the correction as the trainer wants it. */
static enum covey_status feddyn(const struct covey_local_step *step, const struct covey_training_run *run,
                                struct covey_training_result *out, struct covey_error *err)
{
    const float alpha = step->recipe->strength;
    struct covey_recipe recipe = *step->recipe;
    struct covey_training_run corrected = *run;
    recipe.algorithm = COVEY_LOCAL_PLAIN;
    recipe.proximal_mu = alpha;
    corrected.correction = step->memory;
    corrected.correction_count = step->layout->update_count;
    COVEY_TRY(covey_trainer_run(step->trainer, step->local, step->dataset, &recipe, &corrected, out, err));
    for (size_t i = 0; i < step->layout->update_count; i++)
        step->memory[i] += alpha * (step->local[i] - step->base[i]);
    return COVEY_OK;
}

/* SCAFFOLD (Karimireddy et al. 2020, algorithm 1, option II). The server's c is the update's second half, as
 * it was published; so is its change, as it is sent. memory: c_i. While training goes on, local's second half
 * holds the correction c - c_i. K eta is the way that K gradients of 1 would lead, so momentum is allowed
 * for. */
static enum covey_status scaffold(const struct covey_local_step *step, const struct covey_training_run *run,
                                  struct covey_training_result *out, struct covey_error *err)
{
    const size_t n = step->layout->control_count;
    const float *base = step->base, *control = step->base + n;
    float *local = step->local, *change = step->local + n;
    struct covey_training_run corrected = *run;
    if (n == 0 || step->layout->update_count != 2 * n)
        return covey_fail(err, COVEY_INVALID, "scaffold: the model's description has no control variates");
    for (size_t i = 0; i < n; i++)
        change[i] = control[i] - step->memory[i];
    corrected.correction = change;
    corrected.correction_count = n;
    COVEY_TRY(plain(step, &corrected, out, err));
    const double way = covey_recipe_rate(step->recipe, run->round) * out->effective_steps;
    for (size_t i = 0; i < n; i++) {
        const float added = (float)(((double)base[i] - (double)local[i]) / way) - control[i];
        step->memory[i] += added;
        change[i] = control[i] + added;
    }
    return COVEY_OK;
}

/* Ditto (Li et al. 2021, algorithm 1): beside the shared model the device trains one of its own, v, by the
 * same recipe with lambda / 2 |v - P|^2. memory: v, which begins at P. */
static enum covey_status ditto(const struct covey_local_step *step, const struct covey_training_run *run,
                               struct covey_training_result *out, struct covey_error *err)
{
    struct covey_recipe recipe = *step->recipe;
    struct covey_training_run anchored = *run;
    struct covey_training_result personal;
    if (step->layout->count > step->layout->shared_count)
        return covey_fail(
            err, COVEY_INVALID,
            "ditto keeps a whole model on the device: the model must not have personal tensors");
    COVEY_TRY(plain(step, run, out, err));
    if (step->fresh)
        memcpy(step->memory, step->base, step->layout->count * sizeof *step->memory);
    recipe.algorithm = COVEY_LOCAL_PLAIN;
    recipe.proximal_mu = recipe.strength;
    anchored.anchor = step->base;
    COVEY_TRY(
        covey_trainer_run(step->trainer, step->memory, step->dataset, &recipe, &anchored, &personal, err));
    out->ms += personal.ms;
    return COVEY_OK;
}

enum covey_status covey_local_step_run(const struct covey_local_step *step,
                                       const struct covey_training_run *run,
                                       struct covey_training_result *out, struct covey_error *err)
{
    static enum covey_status (*const ways[])(const struct covey_local_step *,
                                             const struct covey_training_run *,
                                             struct covey_training_result *, struct covey_error *) = {
        [COVEY_LOCAL_PLAIN] = plain,       [COVEY_LOCAL_MOMENTUM] = momentum, [COVEY_LOCAL_FEDDYN] = feddyn,
        [COVEY_LOCAL_SCAFFOLD] = scaffold, [COVEY_LOCAL_DITTO] = ditto,
    };
    const size_t kept = covey_local_memory_count(step->recipe, step->layout);
    COVEY_TRY(covey_recipe_check(step->recipe, err));
    if (step->fresh && kept > 0)
        memset(step->memory, 0, kept * sizeof *step->memory);
    struct covey_score start = {0};
    if (step->recipe->measures != 0)
        COVEY_TRY(covey_trainer_evaluate(step->trainer, step->local, step->dataset, &start, err));
    COVEY_TRY(ways[step->recipe->algorithm](step, run, out, err));
    if (step->recipe->measures != 0)
        out->loss_before = start.loss;
    return COVEY_OK;
}
