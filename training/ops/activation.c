/* Functions of one value: relu, relu6, tanh, sigmoid. Each derivative is had from the output, so that the
 * output may take the input's place. */
#include <math.h>

#include "../op_call.h"

static size_t value_count(const struct covey_op *op, const struct covey_op_call *call)
{
    return call->batch * op->out.count;
}

static void relu_forward(const struct covey_op *op, const struct covey_op_call *call)
{
    const size_t count = value_count(op, call);
    const real *x = call->in[0];
    for (size_t i = 0; i < count; i++)
        call->out[i] = x[i] > REAL_C(0.0) ? x[i] : REAL_C(0.0);
}

static void relu_backward(const struct covey_op *op, const struct covey_op_call *call)
{
    const size_t count = value_count(op, call);
    real *dx = call->dx[0];
    for (size_t i = 0; dx != NULL && i < count; i++)
        dx[i] = call->out[i] > REAL_C(0.0) ? call->dy[i] : REAL_C(0.0);
}

static void relu6_forward(const struct covey_op *op, const struct covey_op_call *call)
{
    const size_t count = value_count(op, call);
    const real *x = call->in[0];
    for (size_t i = 0; i < count; i++) {
        const real low = x[i] > REAL_C(0.0) ? x[i] : REAL_C(0.0);
        call->out[i] = low < REAL_C(6.0) ? low : REAL_C(6.0);
    }
}

static void relu6_backward(const struct covey_op *op, const struct covey_op_call *call)
{
    const size_t count = value_count(op, call);
    real *dx = call->dx[0];
    for (size_t i = 0; dx != NULL && i < count; i++)
        dx[i] = call->out[i] > REAL_C(0.0) && call->out[i] < REAL_C(6.0) ? call->dy[i] : REAL_C(0.0);
}

static void tanh_forward(const struct covey_op *op, const struct covey_op_call *call)
{
    const size_t count = value_count(op, call);
    for (size_t i = 0; i < count; i++)
        call->out[i] = REAL_MATH(tanh)(call->in[0][i]);
}

static void tanh_backward(const struct covey_op *op, const struct covey_op_call *call)
{
    const size_t count = value_count(op, call);
    real *dx = call->dx[0];
    for (size_t i = 0; dx != NULL && i < count; i++)
        dx[i] = call->dy[i] * (REAL_C(1.0) - call->out[i] * call->out[i]);
}

static void sigmoid_forward(const struct covey_op *op, const struct covey_op_call *call)
{
    const size_t count = value_count(op, call);
    for (size_t i = 0; i < count; i++)
        call->out[i] = REAL_C(1.0) / (REAL_C(1.0) + REAL_MATH(exp)(-call->in[0][i]));
}

static void sigmoid_backward(const struct covey_op *op, const struct covey_op_call *call)
{
    const size_t count = value_count(op, call);
    real *dx = call->dx[0];
    for (size_t i = 0; dx != NULL && i < count; i++)
        dx[i] = call->dy[i] * call->out[i] * (REAL_C(1.0) - call->out[i]);
}

#define ACTIVATION_ROW(function)                                                                             \
    const struct covey_op_kernels REAL(covey_plain_##function) = {                                           \
        .name = "plain",                                                                                     \
        .needs = COVEY_NEEDS_OUTPUT,                                                                         \
        .abilities = COVEY_IN_PLACE,                                                                         \
        .forward = function##_forward,                                                                       \
        .backward = function##_backward,                                                                     \
    };

ACTIVATION_ROW(relu)
ACTIVATION_ROW(relu6)
ACTIVATION_ROW(tanh)
ACTIVATION_ROW(sigmoid)
