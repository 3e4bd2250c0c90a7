/* The fast table: kernels of our own where they pay, the plain rows for the rest. */
#include "../op_call.h"
#include "fast_rows.h"

#define PLAIN(kind, name) [COVEY_OP_##kind] = &covey_plain_##name##_f32,

/* Ours stand in the place of plain ones, which is what later initialisers do. */
#pragma GCC diagnostic ignored "-Woverride-init"

/* clang-format off */
const struct covey_kernels covey_kernels_fast = {
    .name = "fast",
    .real_bytes = sizeof(float),
    .rows =
        {
            COVEY_OPERATIONS(PLAIN)
            [COVEY_OP_DENSE] = &covey_fast_dense,
            [COVEY_OP_CONV2D] = &covey_fast_conv2d,
            [COVEY_OP_MAX_POOL] = &covey_fast_max_pool,
            [COVEY_OP_RELU] = &covey_fast_clip,
            [COVEY_OP_RELU6] = &covey_fast_clip,
            [COVEY_OP_GROUP_NORM] = &covey_fast_group_norm,
            [COVEY_OP_BATCH_NORM] = &covey_fast_batch_norm,
        },
};
/* clang-format on */
