/* What follows from a description: summary, layout of the flat vector, initial weights. */
#include "covey/model.h"

#include <math.h>
#include <string.h>

#include "covey/random.h"

#include "graph.h"

enum covey_status covey_model_check(const struct covey_model_description *model, struct covey_error *err)
{
    struct covey_layout layout;
    COVEY_TRY(covey_model_layout(model, &layout, err));
    covey_layout_deinit(&layout);
    return COVEY_OK;
}

enum covey_status covey_model_summarise(const struct covey_model_description *model,
                                        struct covey_model_summary *out, struct covey_error *err)
{
    struct covey_graph *graph = NULL;
    struct covey_model_summary summary = {0};
    COVEY_TRY(covey_graph_create(model, &graph, err));
    for (uint32_t i = 0; i < graph->node_count; i++) {
        const struct covey_op *op = &graph->nodes[i].op;
        summary.forward_flops += op->forward_flops;
        for (uint32_t p = 0; p < op->parameter_count; p++) {
            const struct covey_op_parameter *parameter = &op->parameters[p];
            summary.parameters += parameter->count;
            if (parameter->role == COVEY_ROLE_TRAINABLE)
                summary.trainable += parameter->count;
            if (parameter->role != COVEY_ROLE_FROZEN && model->ops[i].scope == COVEY_SCOPE_SHARED)
                summary.update_count += parameter->count;
        }
    }
    const struct covey_shape *output = &graph->nodes[graph->node_count - 1].op.out;
    summary.output_rank = output->rank;
    memcpy(summary.output_shape, output->size, sizeof summary.output_shape);
    summary.target_count = graph->target_count;
    summary.classes = graph->classes;
    covey_graph_destroy(graph);
    *out = summary;
    return COVEY_OK;
}

static enum covey_status add_tensors(const struct covey_op_description *description,
                                     const struct covey_op *op, struct covey_layout *layout,
                                     struct covey_error *err)
{
    for (uint32_t p = 0; p < op->parameter_count; p++) {
        const struct covey_op_parameter *parameter = &op->parameters[p];
        char name[COVEY_NAME_BYTES];
        if (parameter->count == 0)
            continue;
        COVEY_TRY(covey_graph_tensor_name(description, parameter, name, err));
        COVEY_TRY(covey_layout_add(layout, name, parameter->rank, parameter->size, parameter->role,
                                   description->scope, err));
    }
    return COVEY_OK;
}

enum covey_status covey_model_layout(const struct covey_model_description *model, struct covey_layout *out,
                                     struct covey_error *err)
{
    struct covey_graph *graph = NULL;
    struct covey_layout layout;
    COVEY_TRY(covey_graph_create(model, &graph, err));
    covey_layout_init(&layout);
    enum covey_status status = COVEY_OK;
    for (uint32_t i = 0; status == COVEY_OK && i < graph->node_count; i++)
        status = add_tensors(&model->ops[i], &graph->nodes[i].op, &layout, err);
    covey_graph_destroy(graph);
    if (status == COVEY_OK && model->control_variates != 0)
        status = covey_layout_add_controls(&layout, err);
    if (status != COVEY_OK) {
        covey_layout_deinit(&layout);
        return status;
    }
    covey_layout_finish(&layout);
    *out = layout;
    return COVEY_OK;
}

/* Half the width of the uniform distribution that a weight starts from. */
static double weight_bound(const struct covey_node *node, uint32_t parameter)
{
    const struct covey_op_parameter *weight = &node->op.parameters[parameter];
    if (node->op.kind == COVEY_OP_EMBEDDING)
        return 0.05;
    if (node->op.kind == COVEY_OP_GRU)
        return 1.0 / sqrt((double)node->op.units);
    const double fan_in = (double)weight->count / weight->size[0];
    double fan_out = (double)weight->size[0];
    if (node->op.kind == COVEY_OP_CONV2D)
        fan_out *= (double)weight->size[1] * weight->size[2] / node->op.groups;
    return node->rectified ? sqrt(6.0 / fan_in) : sqrt(6.0 / (fan_in + fan_out));
}

static void fill(float *values, size_t count, float value)
{
    for (size_t i = 0; i < count; i++)
        values[i] = value;
}

static void fill_uniform(float *values, size_t count, double bound, uint64_t seed, const char *name)
{
    struct covey_random random;
    covey_random_init(&random, seed, covey_random_id(name), 0, COVEY_PURPOSE_INIT);
    for (size_t i = 0; i < count; i++)
        values[i] = (float)(bound * (2.0 * (double)covey_random_float(&random) - 1.0));
}

static void initialise_tensor(const struct covey_node *node, uint32_t p, uint64_t seed, const char *name,
                              float *values)
{
    const struct covey_op_parameter *parameter = &node->op.parameters[p];
    const bool norm = node->op.kind == COVEY_OP_GROUP_NORM || node->op.kind == COVEY_OP_BATCH_NORM;
    if (strncmp(parameter->suffix, "weight", 6) == 0 && !norm)
        fill_uniform(values, parameter->count, weight_bound(node, p), seed, name);
    else if (norm && (p == 0 || p == 3))
        fill(values, parameter->count, 1.0f);
    else
        fill(values, parameter->count, 0.0f);
}

enum covey_status covey_model_initialise(const struct covey_model_description *model,
                                         const struct covey_layout *layout, uint64_t seed, float *params,
                                         struct covey_error *err)
{
    struct covey_graph *graph = NULL;
    COVEY_TRY(covey_graph_create(model, &graph, err));
    enum covey_status status = COVEY_OK;
    for (uint32_t i = 0; status == COVEY_OK && i < graph->node_count; i++) {
        const struct covey_node *node = &graph->nodes[i];
        for (uint32_t p = 0; status == COVEY_OK && p < node->op.parameter_count; p++) {
            char name[COVEY_NAME_BYTES];
            if (node->op.parameters[p].count == 0)
                continue;
            status = covey_graph_tensor_name(&model->ops[i], &node->op.parameters[p], name, err);
            const struct covey_tensor *tensor = status == COVEY_OK ? covey_layout_find(layout, name) : NULL;
            if (status == COVEY_OK && (tensor == NULL || tensor->count != node->op.parameters[p].count))
                status = covey_fail(err, COVEY_MISMATCH, "the layout is of another model: tensor '%s'", name);
            if (status == COVEY_OK)
                initialise_tensor(node, p, seed, name, params + tensor->offset);
        }
    }
    if (status == COVEY_OK)
        fill(params + layout->update_count - layout->control_count, layout->control_count, 0.0f);
    covey_graph_destroy(graph);
    return status;
}
