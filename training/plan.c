/* From a description to a plan: fuse, see what must be trained, place everything, add up. */
#include "plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "covey/model.h"
#include "covey/trainer.h"

#include "network.h"

#define CHUNK_EXAMPLES                                                                                       \
    64 /* computed at once unless asked otherwise: enough for full speed of the kernels                      \
        */

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static bool has_batch_norm(const struct covey_graph *graph)
{
    for (uint32_t i = 0; i < graph->node_count; i++)
        if (graph->nodes[i].op.kind == COVEY_OP_BATCH_NORM)
            return true;
    return false;
}

static enum covey_status choose_batch(struct covey_training_plan *plan,
                                      const struct covey_training_options *options,
                                      const struct covey_graph *graph, struct covey_error *err)
{
    if (options->chunk > COVEY_BATCH_EXAMPLES)
        return covey_fail(err, COVEY_LIMIT, "chunk %u: at most %d examples at once", options->chunk,
                          COVEY_BATCH_EXAMPLES);
    if (options->examples > COVEY_DATASET_EXAMPLES)
        return covey_fail(err, COVEY_LIMIT, "%u examples, at most %u", options->examples,
                          COVEY_DATASET_EXAMPLES);
    if (!plan->training) {
        plan->chunk = options->chunk > 0 ? options->chunk : CHUNK_EXAMPLES;
        plan->batch = plan->chunk;
        return COVEY_OK;
    }
    if (options->examples == 0)
        return covey_fail(err, COVEY_INVALID, "no examples to train on");
    plan->examples = options->examples;
    plan->batch = plan->recipe.batch == 0 ? plan->examples : least(plan->recipe.batch, plan->examples);
    const uint32_t limit = has_batch_norm(graph) ? COVEY_BATCH_EXAMPLES : CHUNK_EXAMPLES;
    plan->chunk = least(plan->batch, options->chunk > 0 ? options->chunk : limit);
    return COVEY_OK;
}

/* The one node that reads node i, when it can run inside i's kernel. */
static int32_t find_fusable(const struct covey_graph *graph, const struct covey_kernels *kernels,
                            const struct covey_op *op, int32_t last)
{
    const unsigned fuses = kernels->rows[op->kind]->fuses;
    if (graph->nodes[last].consumer_count != 1)
        return -1;
    for (uint32_t next = (uint32_t)last + 1; next < graph->node_count; next++) {
        const struct covey_node *node = &graph->nodes[next];
        for (uint32_t i = 0; i < node->op.input_count; i++) {
            if (node->inputs[i] != last)
                continue;
            const bool takes = (node->op.kind == COVEY_OP_RELU && (fuses & COVEY_FUSES_RELU) != 0) ||
                               (node->op.kind == COVEY_OP_MAX_POOL && (fuses & COVEY_FUSES_MAX_POOL) != 0);
            return takes ? (int32_t)next : -1;
        }
    }
    return -1;
}

/* tensor_of[node]: the tensor that holds its output; nodes that were fused away are marked in `gone`. */
static void make_steps(struct covey_training_plan *plan, const struct covey_graph *graph, uint32_t *tensor_of,
                       bool *gone)
{
    const struct covey_kernels *kernels = plan->engine->kernels;
    for (uint32_t n = 0; n < graph->node_count; n++) {
        if (gone[n])
            continue;
        const struct covey_node *node = &graph->nodes[n];
        struct covey_step *step = &plan->steps[plan->step_count];
        step->op = node->op;
        step->kernels = kernels->rows[node->op.kind];
        step->output = plan->step_count + 1;
        for (uint32_t i = 0; i < node->op.input_count; i++)
            step->inputs[i] = node->inputs[i] < 0 ? COVEY_TENSOR_INPUT : tensor_of[node->inputs[i]];
        tensor_of[n] = step->output;
        for (int32_t next = (int32_t)n; (next = find_fusable(graph, kernels, &step->op, next)) >= 0;) {
            if (!covey_op_fuse(&step->op, &graph->nodes[next].op))
                break;
            gone[next] = true;
            tensor_of[next] = step->output;
        }
        plan->step_count++;
    }
    plan->tensor_count = plan->step_count + 1;
}

static void make_tensors(struct covey_training_plan *plan)
{
    plan->tensors[COVEY_TENSOR_INPUT] =
        (struct covey_planned_tensor){.count = plan->input.count, .producer = -1};
    for (uint32_t s = 0; s < plan->step_count; s++) {
        const struct covey_step *step = &plan->steps[s];
        plan->tensors[step->output] =
            (struct covey_planned_tensor){.count = step->op.out.count, .producer = (int32_t)s};
        for (uint32_t i = 0; i < step->op.input_count; i++) {
            plan->tensors[step->inputs[i]].consumer_count++;
            plan->tensors[step->inputs[i]].last_consumer = s;
        }
        if (step->op.kind == COVEY_OP_EMBEDDING)
            plan->token_limit =
                plan->token_limit == 0 ? step->op.vocabulary : least(plan->token_limit, step->op.vocabulary);
    }
}

/* Where parameters lie, and which steps have a backward pass. */
static enum covey_status find_parameters(struct covey_training_plan *plan, struct covey_error *err)
{
    for (uint32_t s = 0; s < plan->step_count; s++) {
        struct covey_step *step = &plan->steps[s];
        for (uint32_t p = 0; p < step->op.parameter_count; p++) {
            struct covey_op_parameter *parameter = &step->op.parameters[p];
            char name[COVEY_NAME_BYTES];
            if (parameter->count == 0)
                continue;
            COVEY_TRY(covey_graph_tensor_name(&plan->model->ops[step->op.index], parameter, name, err));
            parameter->offset = covey_layout_find(&plan->layout, name)->offset;
            if (parameter->role != COVEY_ROLE_TRAINABLE)
                continue;
            step->trainable = true;
            step->state[p] = plan->trainable_count;
            plan->trainable_count += parameter->count;
        }
        step->backward = plan->training && step->trainable;
        for (uint32_t i = 0; i < step->op.input_count && plan->training; i++) {
            const int32_t producer = plan->tensors[step->inputs[i]].producer;
            step->backward = step->backward || (producer >= 0 && plan->steps[producer].backward);
        }
    }
    if (plan->training && plan->trainable_count == 0)
        return covey_fail(err, COVEY_INVALID, "model '%s': every weight is frozen, there is nothing to train",
                          plan->model->name);
    return COVEY_OK;
}

static void choose_path(struct covey_training_plan *plan)
{
    const struct covey_recipe *recipe = &plan->recipe;
    const bool corrected =
        recipe->algorithm == COVEY_LOCAL_FEDDYN || recipe->algorithm == COVEY_LOCAL_SCAFFOLD;
    plan->anchored = recipe->proximal_mu > 0 || recipe->algorithm == COVEY_LOCAL_FEDDYN ||
                     recipe->algorithm == COVEY_LOCAL_DITTO;
    if (plan->chunk < plan->batch)
        plan->path = COVEY_UPDATE_GATHERED;
    else if (recipe->optimiser == COVEY_OPTIMISER_MOMENTUM)
        plan->path = COVEY_UPDATE_VELOCITY;
    else if (recipe->optimiser == COVEY_OPTIMISER_ADAM || plan->anchored || corrected ||
             recipe->weight_decay > 0)
        plan->path = COVEY_UPDATE_STEP;
    else
        plan->path = COVEY_UPDATE_AT_ONCE;
}

/* Values of the largest step that goes through a gradient buffer. */
static size_t gradient_count(const struct covey_training_plan *plan)
{
    size_t most = 0;
    if (plan->path == COVEY_UPDATE_GATHERED)
        return plan->trainable_count;
    if (plan->path == COVEY_UPDATE_VELOCITY)
        return 0;
    for (uint32_t s = 0; s < plan->step_count; s++) {
        const struct covey_step *step = &plan->steps[s];
        size_t count = 0;
        if (plan->path == COVEY_UPDATE_AT_ONCE && (step->kernels->abilities & COVEY_UPDATES_WEIGHTS) != 0)
            continue;
        for (uint32_t p = 0; p < step->op.parameter_count; p++)
            if (step->op.parameters[p].role == COVEY_ROLE_TRAINABLE)
                count += step->op.parameters[p].count;
        most = count > most ? count : most;
    }
    return most;
}

static enum covey_status ask_kernels(struct covey_training_plan *plan, struct covey_error *err)
{
    for (uint32_t s = 0; s < plan->step_count; s++) {
        struct covey_step *step = &plan->steps[s];
        const size_t widest =
            step->op.in[0].count > step->op.out.count ? step->op.in[0].count : step->op.out.count;
        /* Where size_t has 32 bits, kernels must not overflow when they count bytes. */
        if ((uint64_t)plan->chunk * widest > SIZE_MAX / 256)
            return covey_fail(err, COVEY_LIMIT, "operation '%s' is too large for this machine",
                              plan->model->ops[step->op.index].name);
        if (step->kernels->saved_bytes != NULL)
            step->saved_bytes = step->kernels->saved_bytes(&step->op, plan->chunk);
        if (step->kernels->scratch_bytes != NULL)
            step->scratch_bytes = step->kernels->scratch_bytes(&step->op, plan->chunk);
        if (step->scratch_bytes > plan->memory.kernel)
            plan->memory.kernel = step->scratch_bytes;
    }
    return COVEY_OK;
}

/* The next region of the workspace, or COVEY_NOWHERE for none. */
static uint64_t reserve(struct covey_training_plan *plan, uint64_t bytes, uint64_t *kind)
{
    const uint64_t offset = plan->memory.total;
    const uint64_t rounded = (bytes + COVEY_ARENA_ALIGN - 1) / COVEY_ARENA_ALIGN * COVEY_ARENA_ALIGN;
    plan->memory.total += rounded;
    *kind += rounded;
    return bytes > 0 ? offset : COVEY_NOWHERE;
}

static void reserve_batch(struct covey_training_plan *plan)
{
    struct covey_training_memory *memory = &plan->memory;
    const bool classes = plan->model->loss == COVEY_LOSS_SOFTMAX_CROSS_ENTROPY;
    const uint64_t targets = (uint64_t)plan->chunk * plan->target_count;
    const bool staged = plan->engine->kernels->real_bytes != sizeof(float);
    plan->labels = reserve(plan, classes ? targets * sizeof(int32_t) : 0, &memory->batch);
    plan->targets = reserve(plan, classes ? 0 : targets * sizeof(float), &memory->batch);
    plan->staging =
        reserve(plan, staged ? plan->chunk * plan->input.count * sizeof(float) : 0, &memory->batch);
    plan->order = reserve(plan, (uint64_t)plan->examples * sizeof(uint32_t), &memory->batch);
}

static enum covey_status reserve_all(struct covey_training_plan *plan, uint64_t limit,
                                     struct covey_error *err)
{
    struct covey_training_memory *memory = &plan->memory;
    const struct covey_recipe *recipe = &plan->recipe;
    const uint64_t real_bytes = plan->engine->kernels->real_bytes;
    const bool converted = real_bytes != sizeof(float);
    const uint64_t state = plan->trainable_count * real_bytes;
    const bool moments = plan->training && recipe->optimiser != COVEY_OPTIMISER_SGD;
    const bool adam = plan->training && recipe->optimiser == COVEY_OPTIMISER_ADAM;
    uint64_t activations = 0, unshared = 0;
    COVEY_TRY(ask_kernels(plan, err));
    COVEY_TRY(covey_plan_place(plan, &activations, &unshared, err));
    const uint64_t scratch = memory->kernel;
    memory->kernel = 0;
    plan->params = reserve(plan, converted ? plan->layout.count * real_bytes : 0, &memory->parameters);
    plan->gradients =
        reserve(plan, plan->training ? gradient_count(plan) * real_bytes : 0, &memory->gradients);
    plan->moment1 = reserve(plan, moments ? state : 0, &memory->optimiser);
    plan->moment2 = reserve(plan, adam ? state : 0, &memory->optimiser);
    plan->anchor = reserve(plan, plan->anchored ? state : 0, &memory->optimiser);
    plan->activations = reserve(plan, activations, &memory->activations);
    plan->scratch = reserve(plan, scratch, &memory->kernel);
    reserve_batch(plan);
    memory->activations_unshared = unshared;
    if (!converted)
        memory->parameters = plan->layout.count * sizeof(float);
    if (memory->total > limit || memory->total > SIZE_MAX)
        return covey_fail(
            err, COVEY_LIMIT,
            "model '%s' with %u examples at once needs %llu KiB of workspace, allowed are %llu KiB: "
            "use a smaller batch or chunk",
            plan->model->name, plan->chunk, (unsigned long long)(memory->total >> 10),
            (unsigned long long)(limit >> 10));
    return COVEY_OK;
}

static enum covey_status build(struct covey_training_plan *plan, const struct covey_training_options *options,
                               const struct covey_graph *graph, struct covey_error *err)
{
    const uint64_t limit =
        options->memory_limit_bytes > 0 && options->memory_limit_bytes < COVEY_WORKSPACE_BYTES
            ? options->memory_limit_bytes
            : COVEY_WORKSPACE_BYTES;
    uint32_t tensor_of[COVEY_MODEL_OPS];
    bool gone[COVEY_MODEL_OPS] = {false};
    COVEY_TRY(choose_batch(plan, options, graph, err));
    plan->input = graph->input;
    plan->target_count = graph->target_count;
    plan->classes = graph->classes;
    plan->steps = calloc(graph->node_count, sizeof plan->steps[0]);
    plan->tensors = calloc(graph->node_count + 1, sizeof plan->tensors[0]);
    if (plan->steps == NULL || plan->tensors == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory to plan model '%s'", plan->model->name);
    make_steps(plan, graph, tensor_of, gone);
    make_tensors(plan);
    COVEY_TRY(find_parameters(plan, err));
    if (plan->training)
        choose_path(plan);
    return reserve_all(plan, limit, err);
}

enum covey_status covey_training_plan_create(const struct covey_model_description *model,
                                             const struct covey_training_options *options,
                                             struct covey_training_plan **out, struct covey_error *err)
{
    struct covey_graph *graph = NULL;
    struct covey_training_plan *plan = NULL;
    enum covey_status status = options->recipe != NULL ? covey_recipe_check(options->recipe, err) : COVEY_OK;
    if (status != COVEY_OK)
        goto cleanup;
    status = covey_graph_create(model, &graph, err);
    if (status != COVEY_OK)
        goto cleanup;
    plan = calloc(1, sizeof *plan);
    if (plan != NULL)
        plan->model = malloc(sizeof *plan->model);
    if (plan == NULL || plan->model == NULL) {
        status = covey_fail(err, COVEY_NO_MEMORY, "no memory to plan model '%s'", model->name);
        goto cleanup;
    }
    *plan->model = *model;
    plan->engine = options->engine != NULL ? options->engine : covey_engine_default();
    plan->training = options->recipe != NULL;
    if (plan->training)
        plan->recipe = *options->recipe;
    status = covey_model_layout(model, &plan->layout, err);
    if (status == COVEY_OK)
        status = build(plan, options, graph, err);
    if (status == COVEY_OK) {
        *out = plan;
        plan = NULL;
    }
cleanup:
    covey_training_plan_destroy(plan);
    covey_graph_destroy(graph);
    return status;
}

void covey_training_plan_destroy(struct covey_training_plan *plan)
{
    if (plan == NULL)
        return;
    covey_layout_deinit(&plan->layout);
    free(plan->model);
    free(plan->tensors);
    free(plan->steps);
    free(plan);
}
