/* gelu: y = x Phi(x), Phi the normal distribution (Hendrycks and Gimpel 2016, equation 1; not its
 * approximation by tanh). Its derivative Phi(x) + x phi(x) wants x, so the output takes a place of its own.
 */
#include <math.h>

#include "../op_call.h"

#define ROOT_HALF REAL_C(0.70710678118654752440)
#define DENSITY_AT_0 REAL_C(0.39894228040143267794) /* 1 / sqrt(2 pi) */

static real below(real x)
{
    return REAL_C(0.5) * REAL_MATH(erfc)(-x * ROOT_HALF);
}

static void forward(const struct covey_op *op, const struct covey_op_call *call)
{
    const size_t count = call->batch * op->out.count;
    for (size_t i = 0; i < count; i++)
        call->out[i] = call->in[0][i] * below(call->in[0][i]);
}

static void backward(const struct covey_op *op, const struct covey_op_call *call)
{
    const size_t count = call->batch * op->out.count;
    const real *x = call->in[0];
    real *dx = call->dx[0];
    for (size_t i = 0; dx != NULL && i < count; i++) {
        const real density = DENSITY_AT_0 * REAL_MATH(exp)(REAL_C(-0.5) * x[i] * x[i]);
        dx[i] = call->dy[i] * (below(x[i]) + x[i] * density);
    }
}

const struct covey_op_kernels REAL(covey_plain_gelu) = {
    .name = "plain",
    .needs = COVEY_NEEDS_INPUT,
    .forward = forward,
    .backward = backward,
};
