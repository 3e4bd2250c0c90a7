/* The rows of the fast table (fast_table.c), each in a file of its own. */
#ifndef COVEY_FAST_ROWS_H
#define COVEY_FAST_ROWS_H

#include "../op.h"

extern const struct covey_op_kernels covey_fast_dense;
extern const struct covey_op_kernels covey_fast_conv2d;
extern const struct covey_op_kernels covey_fast_max_pool;
extern const struct covey_op_kernels covey_fast_clip; /* relu, relu6 */
extern const struct covey_op_kernels covey_fast_group_norm;
extern const struct covey_op_kernels covey_fast_batch_norm;

#endif
