/* A checked model: its operations resolved, with the nodes that they read from. */
#ifndef COVEY_GRAPH_H
#define COVEY_GRAPH_H

#include "op.h"

#define COVEY_GRAPH_INPUT (-1) /* the model's input, as a node index */

struct covey_node {
    struct covey_op op;
    int32_t inputs[COVEY_OP_INPUTS]; /* earlier nodes, or COVEY_GRAPH_INPUT */
    uint32_t consumer_count;         /* operations that read its output; the model's output has none */
    bool rectified;                  /* a relu or relu6 is the only one that reads it */
};

struct covey_graph {
    struct covey_shape input;
    uint32_t input_consumer_count;
    uint32_t target_count, classes; /* as in struct covey_model_summary */
    uint32_t node_count;
    struct covey_node nodes[];
};

/* Checks names, connections, shapes, limits and the loss. INVALID or LIMIT, naming the operation. The caller
 * destroys what it gets. */
COVEY_MUST_CHECK enum covey_status covey_graph_create(const struct covey_model_description *model,
                                                      struct covey_graph **out, struct covey_error *err);
void covey_graph_destroy(struct covey_graph *graph);

/* "NAME.weight" of a parameter. out: COVEY_NAME_BYTES. LIMIT when the name is too long. */
COVEY_MUST_CHECK enum covey_status covey_graph_tensor_name(const struct covey_op_description *op,
                                                           const struct covey_op_parameter *parameter,
                                                           char *out, struct covey_error *err);

#endif
