/* From a model description to a graph: every name found, every shape known, nothing left over. */
#include "graph.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Letters, digits, '_', '-' and '.': names end up in files, messages and terminals. */
static bool legal_name(const char name[static COVEY_NAME_BYTES])
{
    const size_t length = strnlen(name, COVEY_NAME_BYTES);
    if (length == 0 || length == COVEY_NAME_BYTES)
        return false;
    for (size_t i = 0; i < length; i++) {
        const char c = name[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
              c == '-' || c == '.'))
            return false;
    }
    return true;
}

static enum covey_status check_model(const struct covey_model_description *model, struct covey_error *err)
{
    if (!legal_name(model->name))
        return covey_fail(err, COVEY_INVALID, "the model's name must be 1 to %d of a-z A-Z 0-9 _ - .",
                          COVEY_NAME_BYTES - 1);
    if (model->op_count < 1 || model->op_count > COVEY_MODEL_OPS)
        return covey_fail(err, COVEY_LIMIT, "a model has 1 to %d operations, this one %u", COVEY_MODEL_OPS,
                          model->op_count);
    if (model->input_rank < 1 || model->input_rank > COVEY_TENSOR_RANK)
        return covey_fail(err, COVEY_INVALID, "the input's shape has 1 to %d dimensions", COVEY_TENSOR_RANK);
    if (!isfinite(model->input_scale) || !isfinite(model->input_shift))
        return covey_fail(err, COVEY_NOT_FINITE, "the input's scale or shift is not a finite number");
    if ((unsigned)model->loss > COVEY_LOSS_MEAN_SQUARED_ERROR)
        return covey_fail(err, COVEY_INVALID, "an unknown loss");
    return COVEY_OK;
}

static enum covey_status set_input(const struct covey_model_description *model, struct covey_graph *graph,
                                   struct covey_error *err)
{
    uint64_t count = 1;
    graph->input.rank = model->input_rank;
    for (uint32_t i = 0; i < model->input_rank; i++) {
        const uint32_t size = model->input_shape[i];
        if (size == 0)
            return covey_fail(err, COVEY_INVALID, "a dimension of the input is 0");
        count *= size; /* both below 2^32 */
        if (count > COVEY_TENSOR_VALUES)
            return covey_fail(err, COVEY_LIMIT, "the input has more than 2^28 values");
        graph->input.size[i] = size;
    }
    graph->input.count = (size_t)count;
    return COVEY_OK;
}

/* COVEY_GRAPH_INPUT, an index below `before`, or -2. */
static int32_t find_input(const struct covey_model_description *model, uint32_t before, const char *name)
{
    if (strcmp(name, "input") == 0)
        return COVEY_GRAPH_INPUT;
    for (uint32_t i = 0; i < before; i++)
        if (strcmp(model->ops[i].name, name) == 0)
            return (int32_t)i;
    return -2;
}

static enum covey_status connect(const struct covey_model_description *model, uint32_t index,
                                 struct covey_graph *graph, struct covey_shape *shapes,
                                 struct covey_error *err)
{
    const struct covey_op_description *op = &model->ops[index];
    struct covey_node *node = &graph->nodes[index];
    if (op->input_count < 1 || op->input_count > COVEY_OP_INPUTS)
        return covey_fail(err, COVEY_INVALID, "an operation has 1 to %d inputs", COVEY_OP_INPUTS);
    for (uint32_t i = 0; i < op->input_count; i++) {
        if (!legal_name(op->inputs[i]))
            return covey_fail(err, COVEY_INVALID, "an input's name must be 1 to %d of a-z A-Z 0-9 _ - .",
                              COVEY_NAME_BYTES - 1);
        const int32_t from = find_input(model, index, op->inputs[i]);
        if (from < COVEY_GRAPH_INPUT)
            return covey_fail(err, COVEY_INVALID, "no operation before it is called '%s'", op->inputs[i]);
        if (from == COVEY_GRAPH_INPUT && model->input_is_token != (op->kind == COVEY_OP_EMBEDDING))
            return covey_fail(err, COVEY_INVALID, "token ids go into an embedding, and only token ids do");
        if (from != COVEY_GRAPH_INPUT && op->kind == COVEY_OP_EMBEDDING)
            return covey_fail(err, COVEY_INVALID, "an embedding reads the model's input");
        node->inputs[i] = from;
        shapes[i] = from == COVEY_GRAPH_INPUT ? graph->input : graph->nodes[from].op.out;
        if (from == COVEY_GRAPH_INPUT)
            graph->input_consumer_count++;
        else
            graph->nodes[from].consumer_count++;
    }
    return COVEY_OK;
}

static enum covey_status add_node(const struct covey_model_description *model, uint32_t index,
                                  struct covey_graph *graph, struct covey_error *err)
{
    const struct covey_op_description *op = &model->ops[index];
    struct covey_node *node = &graph->nodes[index];
    struct covey_shape shapes[COVEY_OP_INPUTS];
    if (!legal_name(op->name))
        return covey_fail(err, COVEY_INVALID, "its name must be 1 to %d of a-z A-Z 0-9 _ - .",
                          COVEY_NAME_BYTES - 1);
    if (find_input(model, index, op->name) >= COVEY_GRAPH_INPUT)
        return covey_fail(err, COVEY_INVALID, "another operation has this name");
    COVEY_TRY(connect(model, index, graph, shapes, err));
    COVEY_TRY(covey_op_resolve(op, op->input_count, shapes, &node->op, err));
    node->op.index = index;
    if (op->kind == COVEY_OP_RELU || op->kind == COVEY_OP_RELU6)
        if (node->inputs[0] >= 0)
            graph->nodes[node->inputs[0]].rectified = true;
    return COVEY_OK;
}

static enum covey_status check_output(const struct covey_model_description *model, struct covey_graph *graph,
                                      struct covey_error *err)
{
    const struct covey_shape *out = &graph->nodes[graph->node_count - 1].op.out;
    for (uint32_t i = 0; i + 1 < graph->node_count; i++) {
        struct covey_node *node = &graph->nodes[i];
        node->rectified = node->rectified && node->consumer_count == 1;
        if (node->consumer_count == 0)
            return covey_fail(err, COVEY_INVALID, "operation '%s': nothing reads its output",
                              model->ops[i].name);
    }
    if (model->loss == COVEY_LOSS_SOFTMAX_CROSS_ENTROPY) {
        graph->classes = out->size[out->rank - 1];
        graph->target_count = (uint32_t)(out->count / graph->classes);
        if (graph->classes < 2)
            return covey_fail(err, COVEY_INVALID, "softmax_cross_entropy needs two outputs or more");
    } else {
        graph->target_count = (uint32_t)out->count;
    }
    return COVEY_OK;
}

/* Limits on the model as a whole: parameters, and work for one example. */
static enum covey_status check_totals(const struct covey_graph *graph, struct covey_error *err)
{
    uint64_t parameters = 0, flops = 0, values = 0;
    for (uint32_t i = 0; i < graph->node_count; i++) {
        const struct covey_op *op = &graph->nodes[i].op;
        for (uint32_t p = 0; p < op->parameter_count; p++)
            parameters += op->parameters[p].count; /* at most 256 * 5 * 2^28 */
        flops += op->forward_flops;
        values += op->out.count;
    }
    if (parameters > COVEY_MODEL_PARAMETERS)
        return covey_fail(err, COVEY_LIMIT, "%llu parameters, at most %llu", (unsigned long long)parameters,
                          (unsigned long long)COVEY_MODEL_PARAMETERS);
    if (parameters == 0)
        return covey_fail(err, COVEY_INVALID, "a model without parameters has nothing to learn");
    if (flops > COVEY_EXAMPLE_FLOPS)
        return covey_fail(err, COVEY_LIMIT, "more than 2^40 operations for one example");
    if (values > 4ull * COVEY_TENSOR_VALUES)
        return covey_fail(err, COVEY_LIMIT, "more than 2^30 values for one example");
    return COVEY_OK;
}

enum covey_status covey_graph_create(const struct covey_model_description *model, struct covey_graph **out,
                                     struct covey_error *err)
{
    enum covey_status status = check_model(model, err);
    if (status != COVEY_OK)
        return status;
    struct covey_graph *graph = calloc(1, sizeof *graph + model->op_count * sizeof graph->nodes[0]);
    if (graph == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for a model of %u operations", model->op_count);
    graph->node_count = model->op_count;
    status = set_input(model, graph, err);
    for (uint32_t i = 0; status == COVEY_OK && i < model->op_count; i++) {
        status = add_node(model, i, graph, err);
        if (status != COVEY_OK)
            (void)covey_fail_at(
                err, status, "operation %u '%.*s' (%s): ", i + 1, COVEY_NAME_BYTES - 1,
                legal_name(model->ops[i].name) ? model->ops[i].name : "?",
                (unsigned)model->ops[i].kind < COVEY_OP_KINDS ? covey_op_kind_name(model->ops[i].kind) : "?");
    }
    if (status == COVEY_OK && graph->input_consumer_count == 0)
        status = covey_fail(err, COVEY_INVALID, "nothing reads the input");
    if (status == COVEY_OK)
        status = check_output(model, graph, err);
    if (status == COVEY_OK)
        status = check_totals(graph, err);
    if (status != COVEY_OK) {
        covey_graph_destroy(graph);
        return status;
    }
    *out = graph;
    return COVEY_OK;
}

void covey_graph_destroy(struct covey_graph *graph)
{
    free(graph);
}

enum covey_status covey_graph_tensor_name(const struct covey_op_description *op,
                                          const struct covey_op_parameter *parameter, char *out,
                                          struct covey_error *err)
{
    const int length = snprintf(out, COVEY_NAME_BYTES, "%s.%s", op->name, parameter->suffix);
    if (length < 0 || length >= COVEY_NAME_BYTES)
        return covey_fail(err, COVEY_LIMIT, "operation '%s': the name is too long for a tensor '.%s'",
                          op->name, parameter->suffix);
    return COVEY_OK;
}
