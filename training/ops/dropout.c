/* Zeroes values with probability `rate` in training, and scales the others by 1 / (1 - rate) (Srivastava et
 * al. 2014, in the inverted form). Which ones is a function of (seed, device, round, step, operation):
 * backward draws the same numbers again instead of keeping a mask. */
#include <string.h>

#include "covey/random.h"

#include "../op_call.h"

static void drop(const struct covey_op *op, const struct covey_op_call *call, const real *from, real *to)
{
    const size_t count = call->batch * op->out.count;
    const real scale = REAL_C(1.0) / (REAL_C(1.0) - (real)op->rate);
    const uint64_t place = (uint64_t)call->step << 32 | (op->index + 1);
    struct covey_random random;
    covey_random_init(&random, call->seed ^ place * 0x9E3779B97F4A7C15u, call->device, call->round,
                      COVEY_PURPOSE_DROPOUT);
    for (size_t i = 0; i < count; i++)
        to[i] = covey_random_float(&random) >= op->rate ? scale * from[i] : REAL_C(0.0);
}

static void forward(const struct covey_op *op, const struct covey_op_call *call)
{
    if (call->training)
        drop(op, call, call->in[0], call->out);
    else if (call->out != call->in[0])
        memcpy(call->out, call->in[0], call->batch * op->out.count * sizeof(real));
}

static void backward(const struct covey_op *op, const struct covey_op_call *call)
{
    if (call->dx[0] != NULL)
        drop(op, call, call->dy, call->dx[0]);
}

const struct covey_op_kernels REAL(covey_plain_dropout) = {
    .name = "plain",
    .abilities = COVEY_IN_PLACE,
    .forward = forward,
    .backward = backward,
};
