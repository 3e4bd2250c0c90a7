/* The table of plain kernels, in the precision of this compilation. */
#include "../op_call.h"

const struct covey_kernels REAL(covey_kernels_plain) = {
    .name = REAL_TABLE,
    .real_bytes = sizeof(real),
    .rows =
        {
            [COVEY_OP_DENSE] = &REAL(covey_plain_dense),
            [COVEY_OP_CONV2D] = &REAL(covey_plain_conv2d),
            [COVEY_OP_MAX_POOL] = &REAL(covey_plain_max_pool),
            [COVEY_OP_AVERAGE_POOL] = &REAL(covey_plain_average_pool),
            [COVEY_OP_GLOBAL_AVERAGE_POOL] = &REAL(covey_plain_global_average_pool),
            [COVEY_OP_FLATTEN] = &REAL(covey_plain_flatten),
            [COVEY_OP_ADD] = &REAL(covey_plain_add),
            [COVEY_OP_CONCAT] = &REAL(covey_plain_concat),
            [COVEY_OP_RELU] = &REAL(covey_plain_relu),
            [COVEY_OP_RELU6] = &REAL(covey_plain_relu6),
            [COVEY_OP_TANH] = &REAL(covey_plain_tanh),
            [COVEY_OP_SIGMOID] = &REAL(covey_plain_sigmoid),
            [COVEY_OP_DROPOUT] = &REAL(covey_plain_dropout),
            [COVEY_OP_GROUP_NORM] = &REAL(covey_plain_group_norm),
            [COVEY_OP_BATCH_NORM] = &REAL(covey_plain_batch_norm),
            [COVEY_OP_EMBEDDING] = &REAL(covey_plain_embedding),
            [COVEY_OP_GRU] = &REAL(covey_plain_gru),
        },
};
