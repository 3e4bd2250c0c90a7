/* A filter a channel: everything runs along the channels, which lie side by side. */
#include <string.h>

#include "conv_ways.h"
#include "vector_kernels.h"

struct scratch {
    uint32_t *offsets, *origins; /* (cells), (pixels) */
    uint32_t *codes;             /* (cells of the pooling window) */
    float *w, *dw;               /* (cells, channels): transposed */
    float *db;                   /* (channels) */
    float *x, *dx;               /* one padded image each */
    float *raw; /* (pixels, channels): of one image, before pooling and ReLU; then its gradient */
};

static struct scratch take(const struct covey_conv_shape *s, struct covey_arena *arena)
{
    size_t cells = s->kernel[0] * s->kernel[1];

    return (struct scratch){
        .offsets = covey_arena_take(arena, cells, sizeof(uint32_t)),
        .origins = covey_arena_take(arena, s->pixels, sizeof(uint32_t)),
        .codes = covey_arena_take(arena, s->pool_kernel[0] * s->pool_kernel[1], sizeof(uint32_t)),
        .w = covey_arena_take(arena, cells * s->channels, sizeof(float)),
        .dw = covey_arena_take(arena, cells * s->channels, sizeof(float)),
        .db = covey_arena_take(arena, s->channels, sizeof(float)),
        .x = covey_arena_take(arena, s->padded_count, sizeof(float)),
        .dx = covey_arena_take(arena, s->padded_count, sizeof(float)),
        .raw = covey_arena_take(arena, s->pixels * s->channels, sizeof(float)),
    };
}

static struct covey_depthwise begin(const struct covey_conv_shape *s, const struct covey_op_call *call,
                                    const struct scratch *t)
{
    size_t cells = s->kernel[0] * s->kernel[1];

    for (size_t k = 0; k < cells; k++)
        t->offsets[k] = (uint32_t)(k / s->kernel[1] * s->row_step + k % s->kernel[1] * s->channels);
    for (size_t p = 0; p < s->pixels; p++)
        t->origins[p] = (uint32_t)covey_conv_origin(s, p / s->out_width, p % s->out_width);
    for (size_t c = 0; c < s->channels; c++)
        for (size_t k = 0; k < cells; k++)
            t->w[k * s->channels + c] = call->w[0][c * cells + k];
    covey_conv_fill_codes(s, s->channels, s->out_width * s->channels, t->codes);
    covey_conv_clear(s, t->x);
    return (struct covey_depthwise){.pixels = s->pixels,
                                    .cells = cells,
                                    .channels = s->channels,
                                    .offsets = t->offsets,
                                    .origins = t->origins,
                                    .x = t->x,
                                    .w = t->w,
                                    .b = call->w[1],
                                    .y = t->raw};
}

static void forward(const struct covey_op *op, const struct covey_conv_shape *s,
                    const struct covey_op_call *call, struct covey_arena *arena)
{
    struct scratch t = take(s, arena);
    struct covey_depthwise d = begin(s, call, &t);

    (void)op;
    for (size_t n = 0; n < call->batch; n++) {
        covey_conv_pad(s, covey_conv_input(s, call, n), t.x);
        covey_vector_kernels()->depthwise_forward(&d);
        covey_conv_finish(s, call, n, t.raw, s->channels, t.codes);
    }
}

static void backward_image(const struct covey_conv_shape *s, const struct covey_op_call *call,
                           const struct scratch *t, const struct covey_depthwise *d, size_t n)
{
    covey_conv_spread(s, call, n, t->raw);
    for (size_t p = 0; p < s->pixels; p++)
        for (size_t c = 0; c < s->channels; c++)
            t->db[c] += t->raw[p * s->channels + c];
    if (d->dw)
        covey_conv_pad(s, covey_conv_input(s, call, n), t->x);
    if (d->dx)
        covey_conv_clear(s, t->dx);
    covey_vector_kernels()->depthwise_backward(d);
    if (d->dx)
        covey_conv_crop(s, t->dx, covey_conv_input_gradient(s, call, n));
}

static void backward(const struct covey_op *op, const struct covey_conv_shape *s,
                     const struct covey_op_call *call, struct covey_arena *arena)
{
    struct scratch t = take(s, arena);
    struct covey_depthwise d = begin(s, call, &t);

    (void)op;
    d.dy = t.raw;
    d.dx = call->dx[0] ? t.dx : NULL;
    d.dw = call->dw[0] ? t.dw : NULL;
    memset(t.dw, 0, d.cells * s->channels * sizeof *t.dw);
    memset(t.db, 0, s->channels * sizeof *t.db);
    for (size_t n = 0; n < call->batch; n++)
        backward_image(s, call, &t, &d, n);
    for (size_t c = 0; c < s->channels && call->dw[0]; c++)
        for (size_t k = 0; k < d.cells; k++)
            covey_conv_apply(call, call->dw[0] + c * d.cells + k, t.dw + k * s->channels + c, 1, 1, 1);
    if (call->dw[1])
        covey_conv_apply(call, call->dw[1], t.db, 1, s->channels, s->channels);
}

static void count_scratch(const struct covey_op *op, const struct covey_conv_shape *s,
                          struct covey_arena *arena)
{
    (void)op;
    take(s, arena);
}

const struct covey_conv_way covey_conv_depthwise = {count_scratch, forward, backward};
