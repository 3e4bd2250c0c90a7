/* The dense row of the fast table. */
#include "dense_rows.h"

#include "../op_call.h"
#include "fast_rows.h"

static struct covey_dense_rows rows_of(const struct covey_op *op, const struct covey_op_call *call)
{
    return (struct covey_dense_rows){
        .rows = call->batch * op->rows,
        .features = op->features,
        .units = op->units,
        .x = call->in[0],
        .w = call->w[0],
        .b = call->w[1],
        .y = call->out,
        .relu = op->relu,
        .dy = call->dy,
        .dx = call->dx[0],
        .dw = call->dw[0],
        .db = call->dw[1],
        .alpha = call->alpha,
        .beta = call->beta,
    };
}

static size_t scratch_bytes(const struct covey_op *op, size_t batch)
{
    return covey_dense_rows_scratch(batch * op->rows, op->units) * sizeof(float);
}

static void forward(const struct covey_op *op, const struct covey_op_call *call)
{
    struct covey_dense_rows d = rows_of(op, call);

    covey_dense_rows_forward(&d);
}

static void backward(const struct covey_op *op, const struct covey_op_call *call)
{
    struct covey_dense_rows d = rows_of(op, call);

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
