/* relu and relu6 of the fast table, where they stand alone. */
#include <math.h>

#include "../op_call.h"
#include "fast_rows.h"
#include "vector_kernels.h"

static float most_of(const struct covey_op *op)
{
    return op->kind == COVEY_OP_RELU6 ? 6.0f : INFINITY;
}

static void forward(const struct covey_op *op, const struct covey_op_call *call)
{
    covey_vector_kernels()->clip_forward(call->batch * op->out.count, most_of(op), call->in[0], call->out);
}

static void backward(const struct covey_op *op, const struct covey_op_call *call)
{
    if (call->dx[0])
        covey_vector_kernels()->clip_backward(call->batch * op->out.count, most_of(op), call->out, call->dy,
                                              call->dx[0]);
}

const struct covey_op_kernels covey_fast_clip = {
    .name = "fast",
    .needs = COVEY_NEEDS_OUTPUT,
    .abilities = COVEY_IN_PLACE,
    .forward = forward,
    .backward = backward,
};
