/* The dense row of the fast table. */
#include "dense_rows.h"

#include "fast_rows.h"

static size_t scratch_bytes(const struct covey_op *op, size_t batch)
{
    return covey_dense_rows_scratch(batch * op->rows, op->units) * sizeof(float);
}

static void forward(const struct covey_op *op, const struct covey_op_call *call)
{
    struct covey_dense_rows d = covey_dense_rows_of(op, call, call->batch * op->rows, op->features);

    covey_dense_rows_forward(&d);
}

static void backward(const struct covey_op *op, const struct covey_op_call *call)
{
    struct covey_dense_rows d = covey_dense_rows_of(op, call, call->batch * op->rows, op->features);

    covey_dense_rows_backward(&d, call->scratch);
}

const struct covey_op_kernels covey_fast_dense = {
    .name = "fast",
    .fuses = COVEY_FUSES_RELU,
    .needs = COVEY_NEEDS_INPUT | COVEY_NEEDS_OUTPUT, /* output: the mask of a fused relu */
    .abilities = COVEY_UPDATES_WEIGHTS,
    .scratch_bytes = scratch_bytes,
    .forward = forward,
    .backward = backward,
};
