/* y = x w^T + b for every row of every example. */
#include <string.h>

#include "../op_call.h"
#include "../real_vector.h"

/* x: (n, features), w: (units, features), b: (units), y: (n, units), overwritten */
static void forward(const struct covey_op *op, const struct covey_op_call *call)
{
    const size_t n = call->batch * op->rows, features = op->features, units = op->units;
    const real *w = call->w[0], *b = call->w[1];
    for (size_t r = 0; r < n; r++) {
        const real *x = call->in[0] + r * features;
        real *y = call->out + r * units;
        for (size_t u = 0; u < units; u++)
            y[u] = dot(x, w + u * features, features) + (b != NULL ? b[u] : REAL_C(0.0));
    }
}

/* dx = dy w: (n, features) */
static void backward_input(const struct covey_op *op, const struct covey_op_call *call)
{
    const size_t n = call->batch * op->rows, features = op->features, units = op->units;
    for (size_t r = 0; r < n; r++) {
        const real *dy = call->dy + r * units;
        real *dx = call->dx[0] + r * features;
        memset(dx, 0, features * sizeof *dx);
        for (size_t u = 0; u < units; u++)
            if (dy[u] != REAL_C(0.0)) /* half of them are, behind a relu */
                add_scaled(dx, dy[u], call->w[0] + u * features, features);
    }
}

/* dw = alpha dy^T x + beta dw: (units, features), a row of it at a time so that it stays in the cache */
static void backward_weight(const struct covey_op *op, const struct covey_op_call *call)
{
    const size_t n = call->batch * op->rows, features = op->features, units = op->units;
    for (size_t u = 0; u < units; u++) {
        real *dw = call->dw[0] + u * features;
        scale_by(dw, call->beta, features);
        for (size_t r = 0; r < n; r++) {
            const real dy = call->alpha * call->dy[r * units + u];
            if (dy != REAL_C(0.0))
                add_scaled(dw, dy, call->in[0] + r * features, features);
        }
    }
}

/* db = alpha sum of dy + beta db: (units) */
static void backward_bias(const struct covey_op *op, const struct covey_op_call *call)
{
    const size_t n = call->batch * op->rows, units = op->units;
    scale_by(call->dw[1], call->beta, units);
    for (size_t r = 0; r < n; r++)
        add_scaled(call->dw[1], call->alpha, call->dy + r * units, units);
}

static void backward(const struct covey_op *op, const struct covey_op_call *call)
{
    if (call->dx[0] != NULL)
        backward_input(op, call);
    if (call->dw[0] != NULL)
        backward_weight(op, call);
    if (call->dw[1] != NULL)
        backward_bias(op, call);
}

const struct covey_op_kernels REAL(covey_plain_dense) = {
    .name = "plain",
    .needs = COVEY_NEEDS_INPUT,
    .abilities = COVEY_UPDATES_WEIGHTS,
    .forward = forward,
    .backward = backward,
};
