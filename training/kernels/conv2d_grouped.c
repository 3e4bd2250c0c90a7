/* The general way: the patches of one image and one group as the rows of a matrix, and products with it. */
#include <string.h>

#include "covey/linalg.h"

#include "conv_ways.h"

struct scratch {
    float *x, *dx;   /* one padded image each */
    float *columns;  /* (pixels, depth) of one group */
    float *raw;      /* (pixels, units) */
    float *db;       /* (units) */
    uint32_t *codes; /* (cells of the pooling window) */
};

/* One group: depth = kernel height * kernel width * channels of the group. */
struct group {
    size_t channels, units, run, depth; /* run: kernel width * channels */
};

static struct group group_of(const struct covey_op *op, const struct covey_conv_shape *s)
{
    size_t channels = s->channels / op->groups;

    return (struct group){channels, s->units / op->groups, s->kernel[1] * channels,
                          s->kernel[0] * s->kernel[1] * channels};
}

static struct scratch take(const struct covey_op *op, const struct covey_conv_shape *s,
                           struct covey_arena *arena)
{
    return (struct scratch){
        .x = covey_arena_take(arena, s->padded_count, sizeof(float)),
        .dx = covey_arena_take(arena, s->padded_count, sizeof(float)),
        .columns = covey_arena_take(arena, s->pixels * group_of(op, s).depth, sizeof(float)),
        .raw = covey_arena_take(arena, s->pixels * s->units, sizeof(float)),
        .db = covey_arena_take(arena, s->units, sizeof(float)),
        .codes = covey_arena_take(arena, s->pool_kernel[0] * s->pool_kernel[1], sizeof(uint32_t)),
    };
}

/* Where cell (row, column) of the kernel at a pixel finds the group's first channel in the padded image. */
static size_t patch(const struct covey_conv_shape *s, size_t pixel, size_t row, size_t column,
                    size_t first_channel)
{
    return covey_conv_origin(s, pixel / s->out_width, pixel % s->out_width) + row * s->row_step +
           column * s->channels + first_channel;
}

static void fill_columns(const struct covey_conv_shape *s, const struct group *g, size_t first,
                         const float *x, float *columns)
{
    for (size_t p = 0; p < s->pixels; p++)
        for (size_t i = 0; i < s->kernel[0]; i++)
            for (size_t j = 0; j < s->kernel[1]; j++, columns += g->channels)
                memcpy(columns, x + patch(s, p, i, j, first), g->channels * sizeof *columns);
}

static void add_columns(const struct covey_conv_shape *s, const struct group *g, size_t first,
                        const float *columns, float *dx)
{
    for (size_t p = 0; p < s->pixels; p++)
        for (size_t i = 0; i < s->kernel[0]; i++)
            for (size_t j = 0; j < s->kernel[1]; j++, columns += g->channels) {
                float *to = dx + patch(s, p, i, j, first);
                for (size_t c = 0; c < g->channels; c++)
                    to[c] += columns[c];
            }
}

static void forward(const struct covey_op *op, const struct covey_conv_shape *s,
                    const struct covey_op_call *call, struct covey_arena *arena)
{
    struct scratch t = take(op, s, arena);
    struct group g = group_of(op, s);

    covey_conv_fill_codes(s, s->units, s->out_width * s->units, t.codes);
    covey_conv_clear(s, t.x);
    for (size_t n = 0; n < call->batch; n++) {
        covey_conv_pad(s, covey_conv_input(s, call, n), t.x);
        for (size_t p = 0; p < s->pixels; p++)
            if (call->w[1])
                memcpy(t.raw + p * s->units, call->w[1], s->units * sizeof *t.raw);
        for (size_t k = 0; k < op->groups; k++) {
            fill_columns(s, &g, k * g.channels, t.x, t.columns);
            covey_sgemm(COVEY_PLAIN, COVEY_TRANSPOSED, s->pixels, g.units, g.depth, 1, t.columns, g.depth,
                        call->w[0] + k * g.units * g.depth, g.depth, call->w[1] ? 1 : 0, t.raw + k * g.units,
                        s->units);
        }
        covey_conv_finish(s, call, n, t.raw, s->units, t.codes);
    }
}

static void input_gradient(const struct covey_op *op, const struct covey_conv_shape *s,
                           const struct covey_op_call *call, const struct scratch *t, size_t n)
{
    struct group g = group_of(op, s);

    covey_conv_spread(s, call, n, t->raw);
    covey_conv_clear(s, t->dx);
    for (size_t k = 0; k < op->groups; k++) {
        covey_sgemm(COVEY_PLAIN, COVEY_PLAIN, s->pixels, g.depth, g.units, 1, t->raw + k * g.units, s->units,
                    call->w[0] + k * g.units * g.depth, g.depth, 0, t->columns, g.depth);
        add_columns(s, &g, k * g.channels, t->columns, t->dx);
    }
    covey_conv_crop(s, t->dx, covey_conv_input_gradient(s, call, n));
}

static void weight_gradient(const struct covey_op *op, const struct covey_conv_shape *s,
                            const struct covey_op_call *call, const struct scratch *t, size_t n)
{
    struct group g = group_of(op, s);

    covey_conv_spread(s, call, n, t->raw);
    for (size_t p = 0; p < s->pixels; p++)
        for (size_t u = 0; u < s->units; u++)
            t->db[u] += t->raw[p * s->units + u];
    covey_conv_pad(s, covey_conv_input(s, call, n), t->x);
    for (size_t k = 0; k < op->groups && call->dw[0]; k++) {
        fill_columns(s, &g, k * g.channels, t->x, t->columns);
        covey_sgemm(COVEY_TRANSPOSED, COVEY_PLAIN, g.units, g.depth, s->pixels, call->alpha,
                    t->raw + k * g.units, s->units, t->columns, g.depth, n == 0 ? call->beta : 1,
                    call->dw[0] + k * g.units * g.depth, g.depth);
    }
}

/* All of dx before the first of dw, which may be w. */
static void backward(const struct covey_op *op, const struct covey_conv_shape *s,
                     const struct covey_op_call *call, struct covey_arena *arena)
{
    struct scratch t = take(op, s, arena);

    for (size_t n = 0; n < call->batch && call->dx[0]; n++)
        input_gradient(op, s, call, &t, n);
    if (!call->dw[0] && !call->dw[1])
        return;
    covey_conv_clear(s, t.x);
    memset(t.db, 0, s->units * sizeof *t.db);
    for (size_t n = 0; n < call->batch; n++)
        weight_gradient(op, s, call, &t, n);
    if (call->dw[1])
        covey_conv_apply(call, call->dw[1], t.db, 1, s->units, s->units);
}

static void count_scratch(const struct covey_op *op, const struct covey_conv_shape *s,
                          struct covey_arena *arena)
{
    take(op, s, arena);
}

const struct covey_conv_way covey_conv_grouped = {count_scratch, forward, backward};
