/* Max pooling of the fast table, where it stands alone; with padding it is left to the plain row. */
#include <string.h>

#include "../op_call.h"
#include "fast_rows.h"
#include "vector_kernels.h"

/* Windows with more cells go the plain way: their codes lie on the stack. */
#define CELLS 64

static bool is_plain(const struct covey_op *op)
{
    const struct covey_window *w = &op->window;

    return (w->pad[0] | w->pad[1] | w->pad[2] | w->pad[3]) != 0 || w->kernel[0] > CELLS ||
           w->kernel[1] > CELLS || w->kernel[0] * w->kernel[1] > CELLS;
}

static size_t saved_bytes(const struct covey_op *op, size_t batch)
{
    return covey_plain_max_pool_f32.saved_bytes(op, batch);
}

/* saved: for each output its input's place, from the first of the window (plain: from the first of the
 * image). */
static void forward(const struct covey_op *op, const struct covey_op_call *call)
{
    const struct covey_window *w = &op->window;
    uint32_t codes[CELLS];

    if (is_plain(op)) {
        covey_plain_max_pool_f32.forward(op, call);
        return;
    }
    for (uint32_t i = 0; i < w->kernel[0] * w->kernel[1]; i++)
        codes[i] = (i / w->kernel[1] * op->width + i % w->kernel[1]) * op->channels;
    for (size_t n = 0; n < call->batch; n++) {
        struct covey_pool_forward p = {
            .width = op->width,
            .channels = op->channels,
            .x_step = op->channels,
            .out_height = w->height,
            .out_width = w->width,
            .kernel = {w->kernel[0], w->kernel[1]},
            .stride = {w->stride[0], w->stride[1]},
            .x = call->in[0] + n * op->in[0].count,
            .y = call->out + n * op->out.count,
            .codes = codes,
            .where = call->training ? (uint32_t *)call->saved + n * op->out.count : NULL,
        };
        covey_vector_kernels()->pool_forward(&p);
    }
}

static void backward_image(const struct covey_op *op, const float *dy, const uint32_t *where, float *dx)
{
    const struct covey_window *w = &op->window;
    const size_t row_step = (size_t)w->stride[0] * op->width * op->channels,
                 step = (size_t)w->stride[1] * op->channels;

    for (size_t i = 0; i < w->height; i++)
        for (size_t j = 0; j < w->width; j++, dy += op->channels, where += op->channels) {
            float *first = dx + i * row_step + j * step;
            for (size_t c = 0; c < op->channels; c++)
                first[where[c] + c] += dy[c];
        }
}

static void backward(const struct covey_op *op, const struct covey_op_call *call)
{
    if (is_plain(op)) {
        covey_plain_max_pool_f32.backward(op, call);
        return;
    }
    if (!call->dx[0])
        return;
    memset(call->dx[0], 0, call->batch * op->in[0].count * sizeof(float));
    for (size_t n = 0; n < call->batch; n++)
        backward_image(op, call->dy + n * op->out.count, (const uint32_t *)call->saved + n * op->out.count,
                       call->dx[0] + n * op->in[0].count);
}

const struct covey_op_kernels covey_fast_max_pool = {
    .name = "fast",
    .saved_bytes = saved_bytes,
    .forward = forward,
    .backward = backward,
};
