/* What a plan tells about itself: memory, cost, and its steps one by one. */
#include <stdio.h>
#include <string.h>

#include "network.h"

const char *covey_engine_name(const struct covey_engine *engine)
{
    return engine->name;
}

void covey_training_plan_memory(const struct covey_training_plan *plan, struct covey_training_memory *out)
{
    *out = plan->memory;
}

void covey_training_plan_cost(const struct covey_training_plan *plan, struct covey_training_cost *out)
{
    struct covey_training_cost cost = {.batch = plan->batch, .chunk = plan->chunk};
    uint64_t backward = 0;
    for (uint32_t s = 0; s < plan->step_count; s++) {
        const struct covey_step *step = &plan->steps[s];
        bool passes_on = false;
        for (uint32_t i = 0; i < step->op.input_count; i++)
            passes_on = passes_on || plan->tensors[step->inputs[i]].gradient != COVEY_NOWHERE;
        cost.forward_flops += step->op.forward_flops;
        backward +=
            step->op.forward_flops * ((step->backward && step->trainable ? 1u : 0u) + (passes_on ? 1u : 0u));
    }
    cost.step_flops = (cost.forward_flops + backward) * plan->batch;
    cost.forward_flops *= plan->batch;
    const uint64_t real_bytes = plan->engine->kernels->real_bytes;
    cost.step_bytes = plan->layout.count * real_bytes + plan->trainable_count * real_bytes +
                      2 * plan->memory.optimiser +
                      plan->memory.activations_unshared * ((plan->batch + plan->chunk - 1) / plan->chunk);
    *out = cost;
}

uint32_t covey_training_plan_step_count(const struct covey_training_plan *plan)
{
    return plan->step_count;
}

static const char *kind_text(const struct covey_op *op)
{
    static const char *const conv[2][2] = {{"conv2d", "conv2d+max_pool"},
                                           {"conv2d+relu", "conv2d+relu+max_pool"}};
    if (op->kind == COVEY_OP_CONV2D)
        return conv[op->relu][op->pool];
    if (op->kind == COVEY_OP_DENSE && op->relu)
        return "dense+relu";
    return covey_op_kind_name(op->kind);
}

void covey_training_plan_step(const struct covey_training_plan *plan, uint32_t index,
                              struct covey_training_step *out)
{
    const struct covey_step *step = &plan->steps[index];
    *out = (struct covey_training_step){
        .name = plan->model->ops[step->op.index].name,
        .kind = kind_text(&step->op),
        .kernel = step->kernels->name,
        .output_rank = step->op.out.rank,
        .forward_flops = step->op.forward_flops,
        .output_bytes = (uint64_t)step->op.out.count * plan->chunk * plan->engine->kernels->real_bytes,
        .saved_bytes = step->saved_bytes,
        .scratch_bytes = step->scratch_bytes,
    };
    memcpy(out->output_shape, step->op.out.size, sizeof out->output_shape);
    for (uint32_t p = 0; p < step->op.parameter_count; p++)
        out->parameters += step->op.parameters[p].count;
}
