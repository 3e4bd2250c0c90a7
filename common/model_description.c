#include "covey/model_description.h"

#include <stddef.h>

const char *covey_op_kind_name(enum covey_op_kind kind)
{
    static const char *const names[] = {
        [COVEY_OP_DENSE] = "dense",
        [COVEY_OP_CONV2D] = "conv2d",
        [COVEY_OP_MAX_POOL] = "max_pool",
        [COVEY_OP_AVERAGE_POOL] = "average_pool",
        [COVEY_OP_GLOBAL_AVERAGE_POOL] = "global_average_pool",
        [COVEY_OP_FLATTEN] = "flatten",
        [COVEY_OP_ADD] = "add",
        [COVEY_OP_CONCAT] = "concat",
        [COVEY_OP_RELU] = "relu",
        [COVEY_OP_RELU6] = "relu6",
        [COVEY_OP_TANH] = "tanh",
        [COVEY_OP_SIGMOID] = "sigmoid",
        [COVEY_OP_DROPOUT] = "dropout",
        [COVEY_OP_GROUP_NORM] = "group_norm",
        [COVEY_OP_BATCH_NORM] = "batch_norm",
        [COVEY_OP_EMBEDDING] = "embedding",
        [COVEY_OP_GRU] = "gru",
    };
    _Static_assert(sizeof names / sizeof names[0] == COVEY_OP_KINDS, "a name for every kind of operation");
    return (unsigned)kind < COVEY_OP_KINDS ? names[kind] : NULL;
}
