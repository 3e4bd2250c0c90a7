/* A row of a table for each token id. Ids arrive as reals, checked by the network against the vocabulary. */
#include <string.h>

#include "../op_call.h"
#include "../real_vector.h"

/* x: (batch, rows) ids, w: (vocabulary, units), y: (batch, rows, units) */
static void forward(const struct covey_op *op, const struct covey_op_call *call)
{
    const size_t units = op->units;
    for (size_t r = 0; r < call->batch * op->rows; r++)
        memcpy(call->out + r * units, call->w[0] + (size_t)call->in[0][r] * units, units * sizeof(real));
}

static void backward(const struct covey_op *op, const struct covey_op_call *call)
{
    const size_t units = op->units;
    if (call->dw[0] == NULL)
        return;
    scale_by(call->dw[0], call->beta, op->parameters[0].count);
    for (size_t r = 0; r < call->batch * op->rows; r++)
        add_scaled(call->dw[0] + (size_t)call->in[0][r] * units, call->alpha, call->dy + r * units, units);
}

const struct covey_op_kernels REAL(covey_plain_embedding) = {
    .name = "plain",
    .needs = COVEY_NEEDS_INPUT,
    .abilities = COVEY_UPDATES_WEIGHTS,
    .forward = forward,
    .backward = backward,
};
