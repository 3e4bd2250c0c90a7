/* Pooling: the largest or the mean value under a window, channel by channel; the mean over the whole image.
 * Padding is no value: it is never the largest, and does not count in a mean. */
#include <string.h>

#include "../op_call.h"

/* The part of the window of one output that falls on the image. */
struct patch {
    uint32_t top, bottom, left, right; /* rows top .. bottom-1, columns left .. right-1 */
};

static uint32_t clip(int64_t value, uint32_t limit)
{
    return value < 0 ? 0 : value > limit ? limit : (uint32_t)value;
}

static struct patch patch_of(const struct covey_op *op, uint32_t oy, uint32_t ox)
{
    const struct covey_window *window = &op->window;
    const int64_t top = (int64_t)oy * window->stride[0] - window->pad[0];
    const int64_t left = (int64_t)ox * window->stride[1] - window->pad[2];
    return (struct patch){clip(top, op->height), clip(top + window->kernel[0], op->height),
                          clip(left, op->width), clip(left + window->kernel[1], op->width)};
}

/* Visits all windows of all images: x of the image, index of the output's first channel. */
static void each_window(const struct covey_op *op, const struct covey_op_call *call,
                        void (*visit)(const struct covey_op *op, const struct covey_op_call *call,
                                      size_t image, size_t output, struct patch patch))
{
    size_t output = 0;
    for (size_t n = 0; n < call->batch; n++)
        for (uint32_t oy = 0; oy < op->window.height; oy++)
            for (uint32_t ox = 0; ox < op->window.width; ox++, output += op->channels)
                visit(op, call, n * op->in[0].count, output, patch_of(op, oy, ox));
}

/* saved: for each output the index of the largest input within its image; the first of equals, as PyTorch. */
static size_t max_saved_bytes(const struct covey_op *op, size_t batch)
{
    return batch * op->out.count * sizeof(uint32_t);
}

static void max_window(const struct covey_op *op, const struct covey_op_call *call, size_t image,
                       size_t output, struct patch patch)
{
    real *out = call->out + output;
    uint32_t *from = call->training ? (uint32_t *)call->saved + output : NULL;
    for (uint32_t c = 0; c < op->channels; c++) {
        size_t best = ((size_t)patch.top * op->width + patch.left) * op->channels + c;
        for (uint32_t y = patch.top; y < patch.bottom; y++)
            for (uint32_t x = patch.left; x < patch.right; x++) {
                const size_t index = ((size_t)y * op->width + x) * op->channels + c;
                if (call->in[0][image + index] > call->in[0][image + best])
                    best = index;
            }
        out[c] = call->in[0][image + best];
        if (from != NULL)
            from[c] = (uint32_t)best;
    }
}

static void max_forward(const struct covey_op *op, const struct covey_op_call *call)
{
    each_window(op, call, max_window);
}

static void max_backward(const struct covey_op *op, const struct covey_op_call *call)
{
    const uint32_t *from = call->saved;
    real *dx = call->dx[0];
    if (dx == NULL)
        return;
    memset(dx, 0, call->batch * op->in[0].count * sizeof *dx);
    for (size_t n = 0; n < call->batch; n++)
        for (size_t i = 0; i < op->out.count; i++)
            dx[n * op->in[0].count + from[n * op->out.count + i]] += call->dy[n * op->out.count + i];
}

static real share_of(struct patch patch)
{
    return REAL_C(1.0) / (real)((size_t)(patch.bottom - patch.top) * (patch.right - patch.left));
}

static void average_window(const struct covey_op *op, const struct covey_op_call *call, size_t image,
                           size_t output, struct patch patch)
{
    const real share = share_of(patch);
    real *out = call->out + output;
    memset(out, 0, op->channels * sizeof *out);
    for (uint32_t y = patch.top; y < patch.bottom; y++)
        for (uint32_t x = patch.left; x < patch.right; x++) {
            const real *in = call->in[0] + image + ((size_t)y * op->width + x) * op->channels;
            for (uint32_t c = 0; c < op->channels; c++)
                out[c] += in[c];
        }
    for (uint32_t c = 0; c < op->channels; c++)
        out[c] *= share;
}

static void average_forward(const struct covey_op *op, const struct covey_op_call *call)
{
    each_window(op, call, average_window);
}

static void average_spread(const struct covey_op *op, const struct covey_op_call *call, size_t image,
                           size_t output, struct patch patch)
{
    const real share = share_of(patch);
    for (uint32_t y = patch.top; y < patch.bottom; y++)
        for (uint32_t x = patch.left; x < patch.right; x++) {
            real *dx = call->dx[0] + image + ((size_t)y * op->width + x) * op->channels;
            for (uint32_t c = 0; c < op->channels; c++)
                dx[c] += share * call->dy[output + c];
        }
}

static void average_backward(const struct covey_op *op, const struct covey_op_call *call)
{
    if (call->dx[0] == NULL)
        return;
    memset(call->dx[0], 0, call->batch * op->in[0].count * sizeof(real));
    each_window(op, call, average_spread);
}

/* x: (batch, rows, features) -> y: (batch, features) */
static void global_forward(const struct covey_op *op, const struct covey_op_call *call)
{
    const size_t features = op->features;
    const real share = REAL_C(1.0) / (real)op->rows;
    for (size_t n = 0; n < call->batch; n++) {
        real *out = call->out + n * features;
        memset(out, 0, features * sizeof *out);
        for (size_t r = 0; r < op->rows; r++)
            for (size_t c = 0; c < features; c++)
                out[c] += call->in[0][(n * op->rows + r) * features + c];
        for (size_t c = 0; c < features; c++)
            out[c] *= share;
    }
}

static void global_backward(const struct covey_op *op, const struct covey_op_call *call)
{
    const size_t features = op->features;
    const real share = REAL_C(1.0) / (real)op->rows;
    if (call->dx[0] == NULL)
        return;
    for (size_t n = 0; n < call->batch; n++)
        for (size_t r = 0; r < op->rows; r++)
            for (size_t c = 0; c < features; c++)
                call->dx[0][(n * op->rows + r) * features + c] = share * call->dy[n * features + c];
}

const struct covey_op_kernels REAL(covey_plain_max_pool) = {
    .name = "plain",
    .saved_bytes = max_saved_bytes,
    .forward = max_forward,
    .backward = max_backward,
};

const struct covey_op_kernels REAL(covey_plain_average_pool) = {
    .name = "plain",
    .forward = average_forward,
    .backward = average_backward,
};

const struct covey_op_kernels REAL(covey_plain_global_average_pool) = {
    .name = "plain",
    .forward = global_forward,
    .backward = global_backward,
};
