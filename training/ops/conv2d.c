/* Convolution with stride, padding and groups, directly. In NHWC the inputs under one row of the kernel lie
 * side by side, and so do its weights: the inner loop is over that run, kernel width x channels long (or,
 * with groups, over the channels of the group at one place). */
#include <string.h>

#include "../op_call.h"
#include "../real_vector.h"
#include "depthwise.h"

/* The part of a kernel row or column that falls on the image. */
struct overlap {
    uint32_t first, end; /* kernel positions */
    size_t input;        /* of `first` */
};

static struct overlap overlap_of(const struct covey_window *window, int axis, uint32_t output,
                                 uint32_t length)
{
    const int64_t start = (int64_t)output * window->stride[axis] - window->pad[2 * axis];
    const uint32_t kernel = window->kernel[axis];
    struct overlap overlap = {start < 0 ? (uint32_t)-start : 0, kernel, 0};
    if (start + kernel > length)
        overlap.end = (uint32_t)(length - start);
    overlap.input = (size_t)(start + overlap.first);
    return overlap;
}

/* One output value's place: where its runs of inputs and of weights start, and how long they are. */
struct run {
    size_t input, weight, length,
        count; /* count runs side by side, one for each kernel column, when grouped */
    size_t input_step, weight_step;
};

static struct run run_of(const struct covey_op *op, uint32_t unit, size_t row, uint32_t ky,
                         const struct overlap *x)
{
    const size_t depth = op->channels / op->groups;
    const size_t group = unit / (op->units / op->groups);
    struct run run = {
        .input = (row * op->width + x->input) * op->channels + group * depth,
        .weight = (((size_t)unit * op->window.kernel[0] + ky) * op->window.kernel[1] + x->first) * depth,
        .length = depth,
        .count = x->end - x->first,
        .input_step = op->channels,
        .weight_step = depth,
    };
    if (op->groups == 1) {
        run.length *= run.count;
        run.count = 1;
    }
    return run;
}

static real value_at(const struct covey_op *op, const real *image, const real *w, uint32_t unit,
                     const struct overlap *y, const struct overlap *x)
{
    real sum = 0;
    for (uint32_t ky = y->first; ky < y->end; ky++) {
        const struct run run = run_of(op, unit, y->input + (ky - y->first), ky, x);
        for (size_t i = 0; i < run.count; i++)
            sum +=
                dot(image + run.input + i * run.input_step, w + run.weight + i * run.weight_step, run.length);
    }
    return sum;
}

/* x: (batch, height, width, channels), w: (units, kh, kw, channels / groups), y: (batch, out height, out
 * width, units) */
static void forward(const struct covey_op *op, const struct covey_op_call *call)
{
    if (covey_is_depthwise(op)) {
        REAL(covey_depthwise_forward)(op, call);
        return;
    }
    const struct covey_window *window = &op->window;
    const size_t image_count = op->in[0].count, units = op->units;
    real *out = call->out;
    for (size_t n = 0; n < call->batch; n++)
        for (uint32_t oy = 0; oy < window->height; oy++) {
            const struct overlap y = overlap_of(window, 0, oy, op->height);
            for (uint32_t ox = 0; ox < window->width; ox++, out += units) {
                const struct overlap x = overlap_of(window, 1, ox, op->width);
                for (uint32_t unit = 0; unit < units; unit++)
                    out[unit] = value_at(op, call->in[0] + n * image_count, call->w[0], unit, &y, &x) +
                                (call->w[1] != NULL ? call->w[1][unit] : REAL_C(0.0));
            }
        }
}

/* What one output gradient gives to the inputs and the weights under it. */
static void spread(const struct covey_op *op, const struct covey_op_call *call, size_t n, uint32_t unit,
                   real dy, const struct overlap *y, const struct overlap *x)
{
    const size_t image = n * op->in[0].count;
    for (uint32_t ky = y->first; ky < y->end; ky++) {
        const struct run run = run_of(op, unit, y->input + (ky - y->first), ky, x);
        for (size_t i = 0; i < run.count; i++) {
            const size_t input = image + run.input + i * run.input_step;
            const size_t weight = run.weight + i * run.weight_step;
            if (call->dx[0] != NULL)
                add_scaled(call->dx[0] + input, dy, call->w[0] + weight, run.length);
            if (call->dw[0] != NULL)
                add_scaled(call->dw[0] + weight, call->alpha * dy, call->in[0] + input, run.length);
        }
    }
}

/* One unit of one image after the other, so that its weights stay in the cache. */
static void backward(const struct covey_op *op, const struct covey_op_call *call)
{
    if (covey_is_depthwise(op)) {
        REAL(covey_depthwise_backward)(op, call);
        return;
    }
    const struct covey_window *window = &op->window;
    const size_t units = op->units;
    if (call->dx[0] != NULL)
        memset(call->dx[0], 0, call->batch * op->in[0].count * sizeof(real));
    for (uint32_t p = 0; p < 2; p++)
        if (call->dw[p] != NULL)
            scale_by(call->dw[p], call->beta, op->parameters[p].count);
    for (size_t n = 0; n < call->batch; n++)
        for (uint32_t unit = 0; unit < units; unit++) {
            const real *dy = call->dy + n * op->out.count + unit;
            real sum = 0;
            for (uint32_t oy = 0; oy < window->height; oy++) {
                const struct overlap y = overlap_of(window, 0, oy, op->height);
                for (uint32_t ox = 0; ox < window->width; ox++, dy += units) {
                    const struct overlap x = overlap_of(window, 1, ox, op->width);
                    sum += *dy;
                    if (*dy != REAL_C(0.0)) /* most are, behind relu and pooling */
                        spread(op, call, n, unit, *dy, &y, &x);
                }
            }
            if (call->dw[1] != NULL)
                call->dw[1][unit] += call->alpha * sum;
        }
}

static size_t scratch_bytes(const struct covey_op *op, size_t batch)
{
    (void)batch;
    return covey_is_depthwise(op) ? REAL(covey_depthwise_scratch_bytes)(op) : 0;
}

const struct covey_op_kernels REAL(covey_plain_conv2d) = {
    .name = "plain",
    .needs = COVEY_NEEDS_INPUT,
    .scratch_bytes = scratch_bytes,
    .forward = forward,
    .backward = backward,
};
