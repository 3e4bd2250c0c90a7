/* The fast table: kernels of our own where they pay, the plain rows for the rest. */
#include "../op_call.h"
#include "fast_rows.h"

const struct covey_kernels covey_kernels_fast = {
    .name = "fast",
    .real_bytes = sizeof(float),
    .rows =
        {
            [COVEY_OP_DENSE] = &covey_fast_dense,
            [COVEY_OP_CONV2D] = &covey_fast_conv2d,
            [COVEY_OP_MAX_POOL] = &covey_fast_max_pool,
            [COVEY_OP_AVERAGE_POOL] = &covey_plain_average_pool_f32,
            [COVEY_OP_GLOBAL_AVERAGE_POOL] = &covey_plain_global_average_pool_f32,
            [COVEY_OP_FLATTEN] = &covey_plain_flatten_f32,
            [COVEY_OP_ADD] = &covey_plain_add_f32,
            [COVEY_OP_CONCAT] = &covey_plain_concat_f32,
            [COVEY_OP_RELU] = &covey_fast_clip,
            [COVEY_OP_RELU6] = &covey_fast_clip,
            [COVEY_OP_TANH] = &covey_plain_tanh_f32,
            [COVEY_OP_SIGMOID] = &covey_plain_sigmoid_f32,
            [COVEY_OP_DROPOUT] = &covey_plain_dropout_f32,
            [COVEY_OP_GROUP_NORM] = &covey_fast_group_norm,
            [COVEY_OP_BATCH_NORM] = &covey_fast_batch_norm,
            [COVEY_OP_EMBEDDING] = &covey_plain_embedding_f32,
            [COVEY_OP_GRU] = &covey_plain_gru_f32,
        },
};
