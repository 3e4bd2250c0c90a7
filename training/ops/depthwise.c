#include "depthwise.h"

#include <string.h>

#include "../real_vector.h"

size_t REAL(covey_depthwise_scratch_bytes)(const struct covey_op *op)
{
    return 2 * op->parameters[0].count * sizeof(real);
}

static size_t tap_count(const struct covey_op *op)
{
    return (size_t)op->window.kernel[0] * op->window.kernel[1];
}

/* w: (channels, taps) -> (taps, channels) */
static const real *turned_weights(const struct covey_op *op, const struct covey_op_call *call)
{
    const size_t taps = tap_count(op), channels = op->channels;
    real *turned = call->scratch;
    for (size_t tap = 0; tap < taps; tap++)
        for (size_t c = 0; c < channels; c++)
            turned[tap * channels + c] = call->w[0][c * taps + tap];
    return turned;
}

/* Calls visit for every place under the window of one output that falls on the image: place = index of its
 * first channel within the image, tap = of the kernel. */
struct visit {
    const struct covey_op *op;
    const real *x, *w, *dy;
    real *y, *dx, *dw; /* of the image, of all taps, of the output */
};

static void each_tap(const struct visit *at, uint32_t oy, uint32_t ox,
                     void (*visit)(const struct visit *at, size_t place, size_t tap))
{
    const struct covey_op *op = at->op;
    const struct covey_window *window = &op->window;
    for (uint32_t ky = 0; ky < window->kernel[0]; ky++) {
        const int64_t y = (int64_t)oy * window->stride[0] - window->pad[0] + ky;
        for (uint32_t kx = 0; kx < window->kernel[1] && y >= 0 && y < op->height; kx++) {
            const int64_t x = (int64_t)ox * window->stride[1] - window->pad[2] + kx;
            if (x >= 0 && x < op->width)
                visit(at, ((size_t)y * op->width + (size_t)x) * op->channels,
                      ((size_t)ky * window->kernel[1] + kx) * op->channels);
        }
    }
}

static void add_product(const struct visit *at, size_t place, size_t tap)
{
    const real *restrict x = at->x + place, *restrict w = at->w + tap;
    real *restrict y = at->y;
    for (size_t c = 0; c < at->op->channels; c++)
        y[c] += x[c] * w[c];
}

static void add_gradients(const struct visit *at, size_t place, size_t tap)
{
    const real *restrict x = at->x + place, *restrict w = at->w + tap, *restrict dy = at->dy;
    real *restrict dw = at->dw + tap;
    for (size_t c = 0; c < at->op->channels; c++)
        dw[c] += dy[c] * x[c];
    if (at->dx == NULL)
        return;
    real *restrict dx = at->dx + place;
    for (size_t c = 0; c < at->op->channels; c++)
        dx[c] += dy[c] * w[c];
}

void REAL(covey_depthwise_forward)(const struct covey_op *op, const struct covey_op_call *call)
{
    const size_t channels = op->channels;
    struct visit at = {.op = op, .w = turned_weights(op, call), .y = call->out};
    for (size_t n = 0; n < call->batch; n++) {
        at.x = call->in[0] + n * op->in[0].count;
        for (uint32_t oy = 0; oy < op->window.height; oy++)
            for (uint32_t ox = 0; ox < op->window.width; ox++, at.y += channels) {
                for (size_t c = 0; c < channels; c++)
                    at.y[c] = call->w[1] != NULL ? call->w[1][c] : REAL_C(0.0);
                each_tap(&at, oy, ox, add_product);
            }
    }
}

void REAL(covey_depthwise_backward)(const struct covey_op *op, const struct covey_op_call *call)
{
    const size_t channels = op->channels, taps = tap_count(op), outputs = op->out.count / channels;
    struct visit at = {.op = op, .w = turned_weights(op, call), .dy = call->dy};
    at.dw = (real *)call->scratch + taps * channels;
    memset(at.dw, 0, taps * channels * sizeof(real));
    if (call->dx[0] != NULL)
        memset(call->dx[0], 0, call->batch * op->in[0].count * sizeof(real));
    for (size_t n = 0; n < call->batch; n++) {
        at.x = call->in[0] + n * op->in[0].count;
        at.dx = call->dx[0] != NULL ? call->dx[0] + n * op->in[0].count : NULL;
        for (uint32_t oy = 0; oy < op->window.height; oy++)
            for (uint32_t ox = 0; ox < op->window.width; ox++, at.dy += channels)
                each_tap(&at, oy, ox, add_gradients);
    }
    for (size_t c = 0; c < channels && call->dw[0] != NULL; c++)
        for (size_t tap = 0; tap < taps; tap++) {
            real *dw = &call->dw[0][c * taps + tap];
            scale_by(dw, call->beta, 1);
            *dw += call->alpha * at.dw[tap * channels + c];
        }
    if (call->dw[1] == NULL)
        return;
    scale_by(call->dw[1], call->beta, channels);
    for (size_t i = 0; i < call->batch * outputs; i++)
        add_scaled(call->dw[1], call->alpha, call->dy + i * channels, channels);
}
