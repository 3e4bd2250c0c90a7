#include "conv_shape.h"

#include <string.h>

#define VECTOR 16 /* values in the widest vector: kernels read that far past a run */

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* axis of the operation that is taken as axis `to` of the shape */
static void take_axis(struct covey_conv_shape *s, const struct covey_op *op, int axis, int to)
{
    s->kernel[to] = op->window.kernel[axis];
    s->stride[to] = op->window.stride[axis];
    s->pool_kernel[to] = op->pool ? op->pool_window.kernel[axis] : 1;
    s->pool_stride[to] = op->pool ? op->pool_window.stride[axis] : 1;
}

static void derive(struct covey_conv_shape *s)
{
    s->padded_height = (s->out_height - 1) * s->stride[0] + s->kernel[0];
    s->padded_width = (s->out_width - 1) * s->stride[1] + s->kernel[1];
    s->row_step = s->padded_width * s->channels;
    s->padded_count = s->padded_height * s->row_step + VECTOR;
    s->run = s->kernel[1] * s->channels;
    s->image_count = s->height * s->width * s->channels;
    s->pixels = s->out_height * s->out_width;
    s->pooled_pixels = s->pool_height * s->pool_width;
}

struct covey_conv_shape covey_conv_shape_of(const struct covey_op *op)
{
    const struct covey_window *w = &op->window, *p = op->pool ? &op->pool_window : w;
    bool turned = op->width == 1 && w->width == 1 && w->kernel[1] == 1 && p->width == 1;
    struct covey_conv_shape s = {
        .height = turned ? 1 : op->height,
        .width = turned ? op->height : op->width,
        .channels = op->channels,
        .units = op->units,
        .top = turned ? 0 : w->pad[0],
        .left = turned ? w->pad[0] : w->pad[2],
        .out_height = turned ? 1 : w->height,
        .out_width = turned ? w->height : w->width,
        .relu = op->relu,
        .pool = op->pool,
        .pool_height = turned ? 1 : p->height,
        .pool_width = turned ? p->height : p->width,
    };

    take_axis(&s, op, 0, turned ? 1 : 0);
    take_axis(&s, op, 1, turned ? 0 : 1);
    derive(&s);
    return s;
}

/* The part of the image that the padded one holds: the kernel may stop short of the far edges. */
static size_t held_rows(const struct covey_conv_shape *s)
{
    return s->padded_height > s->top ? smaller(s->height, s->padded_height - s->top) : 0;
}

static size_t held_values(const struct covey_conv_shape *s)
{
    return s->padded_width > s->left ? smaller(s->width, s->padded_width - s->left) * s->channels : 0;
}

void covey_conv_clear(const struct covey_conv_shape *s, float *padded)
{
    memset(padded, 0, s->padded_count * sizeof *padded);
}

void covey_conv_pad(const struct covey_conv_shape *s, const float *x, float *padded)
{
    size_t rows = held_rows(s), values = held_values(s);
    float *first = padded + s->top * s->row_step + s->left * s->channels;

    for (size_t r = 0; r < rows; r++)
        memcpy(first + r * s->row_step, x + r * s->width * s->channels, values * sizeof *x);
}

void covey_conv_crop(const struct covey_conv_shape *s, const float *padded, float *x)
{
    size_t rows = held_rows(s), values = held_values(s);
    const float *first = padded + s->top * s->row_step + s->left * s->channels;

    if (rows < s->height || values < s->width * s->channels)
        memset(x, 0, s->image_count * sizeof *x);
    for (size_t r = 0; r < rows; r++)
        memcpy(x + r * s->width * s->channels, first + r * s->row_step, values * sizeof *x);
}
