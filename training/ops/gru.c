/* Gated recurrent unit (Cho et al. 2014) in the form that PyTorch and cuDNN have, where the reset gate acts
 * after the product with the state: r = s(Wir x + bir + Whr h + bhr)      z = s(Wiz x + biz + Whz h + bhz) n
 * = tanh(Win x + bin + r (Whn h + bhn))      h' = (1 - z) n + z h The state starts from zero for every
 * example. */
#include <math.h>
#include <string.h>

#include "../op_call.h"
#include "../real_vector.h"

enum {
    RESET,
    UPDATE,
    NEW,
    PRODUCT,
    STATE,
    SAVED
}; /* what is saved of a time step, `units` values each; PRODUCT = Whn h + bhn */

static size_t saved_bytes(const struct covey_op *op, size_t batch)
{
    return batch * op->rows * SAVED * op->units * sizeof(real);
}

/* Forward: gates of input and state, 3 units each, and, where nothing is saved, two time steps. Backward:
 * gradients of both gates and two of the state. */
static size_t scratch_bytes(const struct covey_op *op, size_t batch)
{
    (void)batch;
    return (6 + 2 * SAVED) * (size_t)op->units * sizeof(real);
}

static real sigmoid(real x)
{
    return REAL_C(1.0) / (REAL_C(1.0) + REAL_MATH(exp)(-x));
}

/* gates = w v + b: (3 units) */
static void product(const real *w, const real *b, const real *v, size_t rows, size_t width, real *gates)
{
    for (size_t i = 0; i < rows; i++)
        gates[i] = dot(w + i * width, v, width) + (b != NULL ? b[i] : REAL_C(0.0));
}

/* One time step. h: the state before, NULL for zero. kept: SAVED * units values, written. */
static void advance(const struct covey_op *op, const struct covey_op_call *call, const real *x, const real *h,
                    real *kept)
{
    const size_t units = op->units;
    real *from_input = call->scratch, *from_state = from_input + 3 * units;
    product(call->w[0], call->w[2], x, 3 * units, op->features, from_input);
    if (h != NULL)
        product(call->w[1], call->w[3], h, 3 * units, units, from_state);
    else if (call->w[3] != NULL)
        memcpy(from_state, call->w[3], 3 * units * sizeof(real));
    else
        memset(from_state, 0, 3 * units * sizeof(real));
    for (size_t i = 0; i < units; i++) {
        const real r = sigmoid(from_input[i] + from_state[i]);
        const real z = sigmoid(from_input[units + i] + from_state[units + i]);
        const real state_part = from_state[2 * units + i];
        const real n = REAL_MATH(tanh)(from_input[2 * units + i] + r * state_part);
        kept[RESET * units + i] = r;
        kept[UPDATE * units + i] = z;
        kept[NEW * units + i] = n;
        kept[PRODUCT * units + i] = state_part;
        kept[STATE * units + i] = (REAL_C(1.0) - z) * n + z * (h != NULL ? h[i] : REAL_C(0.0));
    }
}

/* x: (batch, time, features), y: (batch, time, units), or (batch, units) for the last step only */
static void forward(const struct covey_op *op, const struct covey_op_call *call)
{
    const size_t units = op->units, steps = op->rows, size = SAVED * units;
    real *spare = (real *)call->scratch + 6 * units;
    for (size_t n = 0; n < call->batch; n++) {
        const real *h = NULL;
        for (size_t t = 0; t < steps; t++) {
            real *kept =
                call->training ? (real *)call->saved + (n * steps + t) * size : spare + (t % 2) * size;
            advance(op, call, call->in[0] + (n * steps + t) * op->features, h, kept);
            h = kept + STATE * units;
            if (!op->last_only)
                memcpy(call->out + (n * steps + t) * units, h, units * sizeof(real));
        }
        if (op->last_only)
            memcpy(call->out + n * units, h, units * sizeof(real));
    }
}

/* Gradients of one example, going back in time. */
struct unrolled {
    real *input_gates, *state_gates; /* gradients, (3 units) each */
    real *dh, *dh_before;            /* (units) */
};

/* From the gradient of the state after a step to those of its gates, and of the state before by the direct
 * way. */
static void differentiate_gates(size_t units, const real *kept, const real *h, const struct unrolled *at)
{
    for (size_t i = 0; i < units; i++) {
        const real r = kept[RESET * units + i], z = kept[UPDATE * units + i], n = kept[NEW * units + i];
        const real before = h != NULL ? h[i] : REAL_C(0.0);
        const real dn = at->dh[i] * (REAL_C(1.0) - z) * (REAL_C(1.0) - n * n);
        const real dz = at->dh[i] * (before - n) * z * (REAL_C(1.0) - z);
        const real dr = dn * kept[PRODUCT * units + i] * r * (REAL_C(1.0) - r);
        at->input_gates[i] = at->state_gates[i] = dr;
        at->input_gates[units + i] = at->state_gates[units + i] = dz;
        at->input_gates[2 * units + i] = dn;
        at->state_gates[2 * units + i] = dn * r;
        at->dh_before[i] = at->dh[i] * z;
    }
}

/* sum += w^T gates, dw += alpha gates v^T, db += alpha gates. v NULL: zero. */
static void through_product(const real *w, const real *gates, const real *v, size_t rows, size_t width,
                            real alpha, real *sum, real *dw, real *db)
{
    for (size_t i = 0; i < rows; i++) {
        if (sum != NULL)
            add_scaled(sum, gates[i], w + i * width, width);
        if (dw != NULL && v != NULL)
            add_scaled(dw + i * width, alpha * gates[i], v, width);
        if (db != NULL)
            db[i] += alpha * gates[i];
    }
}

static void backward_example(const struct covey_op *op, const struct covey_op_call *call, size_t n)
{
    const size_t units = op->units, steps = op->rows, features = op->features, size = SAVED * units;
    const real *saved = (const real *)call->saved + n * steps * size;
    real *scratch = call->scratch;
    struct unrolled at = {scratch, scratch + 3 * units, scratch + 6 * units, scratch + 7 * units};
    memset(at.dh, 0, units * sizeof(real));
    for (size_t t = steps; t-- > 0;) {
        const real *h = t > 0 ? saved + (t - 1) * size + STATE * units : NULL;
        const size_t place = n * steps + t;
        real *dx = call->dx[0] != NULL ? call->dx[0] + place * features : NULL;
        if (!op->last_only)
            add_scaled(at.dh, REAL_C(1.0), call->dy + place * units, units);
        else if (t == steps - 1)
            add_scaled(at.dh, REAL_C(1.0), call->dy + n * units, units);
        differentiate_gates(units, saved + t * size, h, &at);
        if (dx != NULL)
            memset(dx, 0, features * sizeof(real));
        through_product(call->w[0], at.input_gates, call->in[0] + place * features, 3 * units, features,
                        call->alpha, dx, call->dw[0], call->dw[2]);
        through_product(call->w[1], at.state_gates, h, 3 * units, units, call->alpha, at.dh_before,
                        call->dw[1], call->dw[3]);
        real *swapped = at.dh;
        at.dh = at.dh_before;
        at.dh_before = swapped;
    }
}

static void backward(const struct covey_op *op, const struct covey_op_call *call)
{
    for (uint32_t p = 0; p < op->parameter_count; p++)
        if (call->dw[p] != NULL)
            scale_by(call->dw[p], call->beta, op->parameters[p].count);
    for (size_t n = 0; n < call->batch; n++)
        backward_example(op, call, n);
}

const struct covey_op_kernels REAL(covey_plain_gru) = {
    .name = "plain",
    .needs = COVEY_NEEDS_INPUT,
    .saved_bytes = saved_bytes,
    .scratch_bytes = scratch_bytes,
    .forward = forward,
    .backward = backward,
};
