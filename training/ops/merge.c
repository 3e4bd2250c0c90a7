/* Where branches of a graph meet: add (the same shape) and concat (along the last dimension). */
#include <string.h>

#include "../op_call.h"

static void add_forward(const struct covey_op *op, const struct covey_op_call *call)
{
    const size_t count = call->batch * op->out.count;
    for (size_t i = 0; i < count; i++)
        call->out[i] = call->in[0][i] + call->in[1][i];
    for (uint32_t k = 2; k < op->input_count; k++)
        for (size_t i = 0; i < count; i++)
            call->out[i] += call->in[k][i];
}

static void add_backward(const struct covey_op *op, const struct covey_op_call *call)
{
    for (uint32_t k = 0; k < op->input_count; k++)
        if (call->dx[k] != NULL)
            memcpy(call->dx[k], call->dy, call->batch * op->out.count * sizeof(real));
}

/* Last dimension of input k. */
static size_t width_of(const struct covey_op *op, uint32_t k)
{
    return op->in[k].size[op->in[k].rank - 1];
}

static void concat_forward(const struct covey_op *op, const struct covey_op_call *call)
{
    real *out = call->out;
    for (size_t r = 0; r < call->batch * op->rows; r++)
        for (uint32_t k = 0; k < op->input_count; k++) {
            const size_t width = width_of(op, k);
            memcpy(out, call->in[k] + r * width, width * sizeof *out);
            out += width;
        }
}

static void concat_backward(const struct covey_op *op, const struct covey_op_call *call)
{
    const real *dy = call->dy;
    for (size_t r = 0; r < call->batch * op->rows; r++)
        for (uint32_t k = 0; k < op->input_count; k++) {
            const size_t width = width_of(op, k);
            if (call->dx[k] != NULL)
                memcpy(call->dx[k] + r * width, dy, width * sizeof *dy);
            dy += width;
        }
}

const struct covey_op_kernels REAL(covey_plain_add) = {
    .name = "plain",
    .forward = add_forward,
    .backward = add_backward,
};

const struct covey_op_kernels REAL(covey_plain_concat) = {
    .name = "plain",
    .forward = concat_forward,
    .backward = concat_backward,
};
