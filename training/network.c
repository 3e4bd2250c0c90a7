/* Runs a plan. Compiled once for f32 and once for f64. */
#include "network.h"

#include <assert.h>
#include <string.h>

#include "loss.h"
#include "op_call.h"
#include "optimiser.h"

static real *at(const struct covey_network *network, uint64_t offset)
{
    return offset == COVEY_NOWHERE ? NULL : (real *)(void *)(network->workspace + offset);
}

/* In the region of activations. */
static real *active(const struct covey_network *network, uint64_t offset)
{
    return offset == COVEY_NOWHERE ? NULL : at(network, network->plan->activations + offset);
}

static const struct covey_step *last_step(const struct covey_network *network)
{
    return &network->plan->steps[network->plan->step_count - 1];
}

static void load(struct covey_network *network, const float *params)
{
    const struct covey_training_plan *plan = network->plan;
    if (plan->params == COVEY_NOWHERE) {
        network->params =
            (void *)(uintptr_t)params; /* written to only by a training, whose caller gave it writable */
        return;
    }
    real *values = at(network, plan->params);
    for (size_t i = 0; i < plan->layout.count; i++)
        values[i] = (real)params[i];
    network->params = values;
}

static void store(const struct covey_network *network, float *params)
{
    const real *values = network->params;
    if ((const void *)values == (const void *)params)
        return;
    for (size_t i = 0; i < network->plan->layout.count; i++)
        params[i] = (float)values[i];
}

/* Calls visit for every trainable tensor of a step. */
static void each_trainable(const struct covey_network *network, const struct covey_step *step,
                           void (*visit)(const struct covey_network *, const struct covey_step *, uint32_t p))
{
    for (uint32_t p = 0; p < step->op.parameter_count; p++)
        if (step->op.parameters[p].count > 0 && step->op.parameters[p].role == COVEY_ROLE_TRAINABLE)
            visit(network, step, p);
}

static real *weights(const struct covey_network *network, const struct covey_step *step, uint32_t p)
{
    return (real *)network->params + step->op.parameters[p].offset;
}

static void take_anchor(const struct covey_network *network, const struct covey_step *step, uint32_t p)
{
    real *anchor = at(network, network->plan->anchor) + step->state[p];
    const size_t count = step->op.parameters[p].count;
    if (network->anchor == NULL)
        memcpy(anchor, weights(network, step, p), count * sizeof(real));
    else
        for (size_t i = 0; i < count; i++)
            anchor[i] = (real)network->anchor[step->op.parameters[p].offset + i];
}

static void begin(struct covey_network *network)
{
    const struct covey_training_plan *plan = network->plan;
    network->passes = 0;
    network->updates = 0;
    if (plan->moment1 != COVEY_NOWHERE)
        memset(at(network, plan->moment1), 0, plan->trainable_count * sizeof(real));
    if (plan->moment2 != COVEY_NOWHERE)
        memset(at(network, plan->moment2), 0, plan->trainable_count * sizeof(real));
    for (uint32_t s = 0; s < plan->step_count && plan->anchored; s++)
        each_trainable(network, &plan->steps[s], take_anchor);
}

static float *staging(const struct covey_network *network)
{
    const struct covey_training_plan *plan = network->plan;
    if (plan->staging != COVEY_NOWHERE)
        return (float *)(void *)(network->workspace + plan->staging);
    return (float *)(void *)active(network, plan->tensors[COVEY_TENSOR_INPUT].value);
}

static enum covey_status check_tokens(const real *x, size_t count, uint32_t limit, struct covey_error *err)
{
    for (size_t i = 0; i < count; i++)
        if (!(x[i] >= REAL_C(0.0) && x[i] < (real)limit))
            return covey_fail(err, COVEY_RANGE,
                              "the data hold the token id %g, the model's vocabulary ends at %u",
                              (double)x[i], limit - 1);
    return COVEY_OK;
}

static enum covey_status feed(const struct covey_network *network, size_t count, struct covey_error *err)
{
    const struct covey_training_plan *plan = network->plan;
    const size_t values = count * plan->input.count;
    const real scale = (real)plan->model->input_scale, shift = (real)plan->model->input_shift;
    const float *raw = staging(network);
    real *x = active(network, plan->tensors[COVEY_TENSOR_INPUT].value);
    if ((const void *)raw != (const void *)x)
        for (size_t i = 0; i < values; i++)
            x[i] = (real)raw[i];
    if (scale != REAL_C(1.0) || shift != REAL_C(0.0))
        for (size_t i = 0; i < values; i++)
            x[i] = scale * x[i] + shift;
    return plan->token_limit > 0 ? check_tokens(x, values, plan->token_limit, err) : COVEY_OK;
}

/* What forward and backward have in common. */
static struct covey_op_call prepare(const struct covey_network *network, const struct covey_step *step,
                                    size_t count)
{
    const struct covey_training_plan *plan = network->plan;
    struct covey_op_call call = {
        .batch = count,
        .out = active(network, plan->tensors[step->output].value),
        .saved = active(network, step->saved),
        .scratch = at(network, plan->scratch),
        .seed = network->seed,
        .device = network->device,
        .round = network->round,
        .step = network->passes,
    };
    for (uint32_t i = 0; i < step->op.input_count; i++)
        call.in[i] = active(network, plan->tensors[step->inputs[i]].value);
    for (uint32_t p = 0; p < step->op.parameter_count; p++)
        call.w[p] = step->op.parameters[p].count > 0 ? weights(network, step, p) : NULL;
    return call;
}

static void forward(struct covey_network *network, size_t count, bool training)
{
    const struct covey_training_plan *plan = network->plan;
    if (training)
        network->passes++;
    for (uint32_t s = 0; s < plan->step_count; s++) {
        struct covey_op_call call = prepare(network, &plan->steps[s], count);
        call.training = training;
        plan->steps[s].kernels->forward(&plan->steps[s].op, &call);
    }
}

static void loss(const struct covey_network *network, size_t count, size_t batch, bool gradient,
                 struct covey_tally *tally)
{
    const struct covey_training_plan *plan = network->plan;
    const struct covey_planned_tensor *output = &plan->tensors[last_step(network)->output];
    const real *y = active(network, output->value);
    real *dy = gradient ? active(network, output->gradient) : NULL;
    const size_t targets = count * plan->target_count;
    const real scale = (real)(1.0 / ((double)batch * plan->target_count));
    if (plan->model->loss == COVEY_LOSS_SOFTMAX_CROSS_ENTROPY)
        REAL(covey_softmax_cross_entropy)
    (y, covey_network_labels(network), targets, plan->classes, scale, dy, tally);
    else REAL(covey_mean_squared_error)(y, covey_network_targets(network), targets, scale, dy, tally);
}

/* The state of one tensor, for the optimiser. */
static struct covey_updating updating(const struct covey_network *network, const struct covey_step *step,
                                      uint32_t p, real *gradient)
{
    const struct covey_training_plan *plan = network->plan;
    const struct covey_recipe *recipe = &network->recipe;
    const size_t state = step->state[p];
    real *moment1 = at(network, plan->moment1), *moment2 = at(network, plan->moment2);
    const real *anchor = at(network, plan->anchor);
    const size_t count = step->op.parameters[p].count, end = step->op.parameters[p].offset + count;
    return (struct covey_updating){
        .w = weights(network, step, p),
        .g = gradient,
        .m = moment1 != NULL ? moment1 + state : NULL,
        .v = moment2 != NULL ? moment2 + state : NULL,
        .anchor = anchor != NULL && recipe->proximal_mu > 0 ? anchor + state : NULL,
        .correction = end <= network->correction_count ? network->correction + (end - count) : NULL,
        .count = count,
        .rate = network->rate,
        .momentum = (double)recipe->momentum,
        .beta2 = (double)recipe->beta2,
        .epsilon = (double)recipe->epsilon,
        .decay = (double)recipe->weight_decay,
        .proximal = (double)recipe->proximal_mu,
        .step = network->updates + 1,
    };
}

static void update(const struct covey_network *network, const struct covey_updating *tensor, bool accumulated)
{
    switch (network->recipe.optimiser) {
    case COVEY_OPTIMISER_SGD:
        REAL(covey_update_sgd)(tensor);
        break;
    case COVEY_OPTIMISER_MOMENTUM:
        if (!accumulated)
            REAL(covey_accumulate)(tensor);
        REAL(covey_update_velocity)(tensor);
        break;
    case COVEY_OPTIMISER_ADAM:
        REAL(covey_update_adam)(tensor);
        break;
    }
}

/* Where a step's gradients go, by the plan's path; sets alpha and beta. True when weights are updated by the
 * call. */
static bool aim(const struct covey_network *network, const struct covey_step *step, bool first,
                struct covey_op_call *call)
{
    const struct covey_training_plan *plan = network->plan;
    const struct covey_recipe *recipe = &network->recipe;
    const bool at_once =
        plan->path == COVEY_UPDATE_AT_ONCE && (step->kernels->abilities & COVEY_UPDATES_WEIGHTS) != 0;
    real *gradients = at(network, plan->gradients);
    size_t next = 0;
    call->alpha = at_once ? (real)-network->rate : REAL_C(1.0);
    call->beta = at_once ? REAL_C(1.0) : REAL_C(0.0);
    if (at_once)
        assert(recipe->weight_decay == 0 && recipe->proximal_mu == 0);
    else if (plan->path == COVEY_UPDATE_VELOCITY)
        call->beta = (real)recipe->momentum;
    else if (plan->path == COVEY_UPDATE_GATHERED)
        call->beta = first ? REAL_C(0.0) : REAL_C(1.0);
    for (uint32_t p = 0; p < step->op.parameter_count; p++) {
        if (step->op.parameters[p].count == 0 || step->op.parameters[p].role != COVEY_ROLE_TRAINABLE)
            continue;
        if (at_once)
            call->dw[p] = call->w[p];
        else if (plan->path == COVEY_UPDATE_VELOCITY)
            call->dw[p] = at(network, plan->moment1) + step->state[p];
        else if (plan->path == COVEY_UPDATE_GATHERED)
            call->dw[p] = gradients + step->state[p];
        else
            call->dw[p] = gradients + next;
        next += step->op.parameters[p].count;
    }
    return at_once;
}

static void add_to(real *sum, const real *share, size_t count)
{
    for (size_t i = 0; i < count; i++)
        sum[i] += share[i];
}

static void backward_step(struct covey_network *network, const struct covey_step *step, size_t count,
                          bool first, bool last)
{
    const struct covey_training_plan *plan = network->plan;
    struct covey_op_call call = prepare(network, step, count);
    call.training = true;
    call.dy = active(network, plan->tensors[step->output].gradient);
    for (uint32_t i = 0; i < step->op.input_count; i++)
        call.dx[i] =
            active(network, step->temporary[i] != COVEY_NOWHERE ? step->temporary[i]
                                                                : plan->tensors[step->inputs[i]].gradient);
    const bool updated = aim(network, step, first, &call);
    step->kernels->backward(&step->op, &call);
    for (uint32_t i = 0; i < step->op.input_count; i++)
        if (step->temporary[i] != COVEY_NOWHERE)
            add_to(active(network, plan->tensors[step->inputs[i]].gradient), call.dx[i],
                   count * plan->tensors[step->inputs[i]].count);
    for (uint32_t p = 0; p < step->op.parameter_count && !updated && last; p++) {
        if (call.dw[p] == NULL)
            continue;
        const struct covey_updating tensor = updating(network, step, p, call.dw[p]);
        update(network, &tensor, plan->path == COVEY_UPDATE_VELOCITY);
    }
}

static void backward(struct covey_network *network, size_t count, bool first, bool last)
{
    const struct covey_training_plan *plan = network->plan;
    for (uint32_t s = plan->step_count; s-- > 0;)
        if (plan->steps[s].backward)
            backward_step(network, &plan->steps[s], count, first, last);
    if (last)
        network->updates++;
}

static void output(const struct covey_network *network, size_t count, float *out)
{
    const struct covey_planned_tensor *tensor = &network->plan->tensors[last_step(network)->output];
    const real *y = active(network, tensor->value);
    for (size_t i = 0; i < count * tensor->count; i++)
        out[i] = (float)y[i];
}

const struct covey_network_functions REAL(covey_network) = {
    .load = load,
    .store = store,
    .begin = begin,
    .staging = staging,
    .feed = feed,
    .forward = forward,
    .loss = loss,
    .backward = backward,
    .output = output,
};
