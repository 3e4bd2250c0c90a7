/* Convolution without groups.
 *
 * Forward: weights are packed by blocks of channels; then each tile of pixels runs once along the kernel's
 * rows, its sums in registers, and pooling follows while the image is in the cache.
 *
 * Backward: an output gradient at pixel p and unit u adds itself times the patch of x under p to dw[u], and
 * itself times w[u] to the patch of dx under p. In padded images and weights a patch is `kernel height` runs
 * of values, so both are the same sum over a list: for dw of the places where unit u has a gradient, for dx
 * of the units that have one at p. ReLU and pooling leave a gradient in one place in eight or so, and only
 * those are listed. */
#include <string.h>

#include "conv_ways.h"
#include "vector_kernels.h"

static size_t round_up(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

/* ---- forward ---- */

#define PASS_BYTES (96u << 10) /* of packed weights that one pass over the pixels uses: they stay in L2 */

struct forward_scratch {
    uint32_t *offsets; /* (pixels, rounded up to whole tiles) */
    uint32_t *codes; /* (cells of the pooling window): offsets in the padded input, as backward wants them */
    float *w, *b;    /* packed; (rounded units) */
    float *x;        /* one padded image */
    float *raw;      /* (rounded pixels, rounded units) */
};

static struct forward_scratch take_forward(const struct covey_conv_shape *s, struct covey_arena *arena)
{
    const struct covey_vector_kernels *v = covey_vector_kernels();
    size_t pixels = round_up(s->pixels, v->pixel_tile), units = round_up(s->units, v->lanes);

    return (struct forward_scratch){
        .offsets = covey_arena_take(arena, pixels, sizeof(uint32_t)),
        .codes = covey_arena_take(arena, s->pool_kernel[0] * s->pool_kernel[1], sizeof(uint32_t)),
        .w = covey_arena_take(arena, units * s->kernel[0] * s->run, sizeof(float)),
        .b = covey_arena_take(arena, units, sizeof(float)),
        .x = covey_arena_take(arena, s->padded_count, sizeof(float)),
        .raw = covey_arena_take(arena, pixels * units, sizeof(float)),
    };
}

/* The last tile is filled up with its last pixel. */
static void fill_offsets(const struct covey_conv_shape *s, uint32_t *offsets)
{
    size_t pixels = round_up(s->pixels, covey_vector_kernels()->pixel_tile);

    for (size_t p = 0; p < pixels; p++) {
        size_t pixel = p < s->pixels ? p : s->pixels - 1;
        offsets[p] = (uint32_t)covey_conv_origin(s, pixel / s->out_width, pixel % s->out_width);
    }
}

/* w: (units, depth) -> blocks of (depth, width) */
static void pack_weights(const struct covey_conv_shape *s, const float *w, float *packed)
{
    const struct covey_vector_kernels *v = covey_vector_kernels();
    size_t depth = s->kernel[0] * s->run, all = round_up(s->units, v->lanes), width;

    for (size_t from = 0; from < all; from += width, packed += depth * width) {
        width = all - from < v->channel_vectors * v->lanes ? all - from : v->channel_vectors * v->lanes;
        size_t units = s->units - from < width ? s->units - from : width;
        if (units < width)
            memset(packed, 0, depth * width * sizeof *packed);
        for (size_t d = 0; d < depth; d++)
            for (size_t u = 0; u < units; u++)
                packed[d * width + u] = w[(from + u) * depth + d];
    }
}

/* All pixels of one image for one block of channels, by as many kernel rows at once as fit. */
static void convolve_block(const struct covey_conv_shape *s, const struct forward_scratch *f, size_t from,
                           size_t width)
{
    const struct covey_vector_kernels *v = covey_vector_kernels();
    size_t row_bytes = s->run * width * sizeof(float), at_once = PASS_BYTES / row_bytes + 1;
    struct covey_conv_tiles t = {
        .pixels = round_up(s->pixels, v->pixel_tile),
        .vectors = width / v->lanes,
        .run = s->run,
        .row_step = s->row_step,
        .out_step = round_up(s->units, v->lanes),
        .offsets = f->offsets,
        .init = f->b + from,
        .out = f->raw + from,
    };

    for (size_t row = 0; row < s->kernel[0]; row += at_once) {
        t.rows = s->kernel[0] - row < at_once ? s->kernel[0] - row : at_once;
        t.x = f->x + row * s->row_step;
        t.w = f->w + (from * s->kernel[0] + row * width) * s->run;
        v->conv_tiles(&t);
        t.init = NULL;
    }
}

static void forward(const struct covey_op *op, const struct covey_conv_shape *s,
                    const struct covey_op_call *call, struct covey_arena *arena)
{
    const struct covey_vector_kernels *v = covey_vector_kernels();
    struct forward_scratch f = take_forward(s, arena);
    size_t all = round_up(s->units, v->lanes), most = v->channel_vectors * v->lanes;

    (void)op;
    fill_offsets(s, f.offsets);
    covey_conv_fill_codes(s, s->stride[1] * s->channels, s->stride[0] * s->row_step, f.codes);
    pack_weights(s, call->w[0], f.w);
    memset(f.b, 0, all * sizeof *f.b);
    if (call->w[1])
        memcpy(f.b, call->w[1], s->units * sizeof *f.b);
    covey_conv_clear(s, f.x);
    for (size_t n = 0; n < call->batch; n++) {
        covey_conv_pad(s, covey_conv_input(s, call, n), f.x);
        for (size_t from = 0; from < all; from += most)
            convolve_block(s, &f, from, all - from < most ? all - from : most);
        covey_conv_finish(s, call, n, f.raw, all, f.codes);
    }
}

/* ---- backward ---- */

/* Not +0 and not -0; as a number, so that no branch is taken. */
static uint32_t is_set(float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof bits);
    return (bits & 0x7fffffff) != 0;
}

struct backward_scratch {
    size_t run;    /* rounded up to whole vectors: of the rows of w and dw */
    float *x, *dx; /* one padded image each */
    float *w, *dw; /* (units, kernel height, run), zeros behind each row of w */
    float *db;     /* (units) */
    size_t cells;  /* of the pooling window */
    uint32_t *cell_offsets;
    struct covey_entry *by_unit; /* (units, pooled_pixels): where in x, and the gradient */
    struct covey_entry *by_cell; /* (cells, units), of one pooled pixel: where in w, and the gradient */
    uint32_t *unit_counts, *cell_counts;
};

static struct backward_scratch take_backward(const struct covey_conv_shape *s, struct covey_arena *arena)
{
    size_t run = round_up(s->run, covey_vector_kernels()->lanes),
           cells = s->pool_kernel[0] * s->pool_kernel[1];
    size_t weights = s->units * s->kernel[0] * run;

    return (struct backward_scratch){
        .run = run,
        .cells = cells,
        .x = covey_arena_take(arena, s->padded_count, sizeof(float)),
        .dx = covey_arena_take(arena, s->padded_count, sizeof(float)),
        .w = covey_arena_take(arena, weights, sizeof(float)),
        .dw = covey_arena_take(arena, weights, sizeof(float)),
        .db = covey_arena_take(arena, s->units, sizeof(float)),
        .cell_offsets = covey_arena_take(arena, cells, sizeof(uint32_t)),
        .by_unit = covey_arena_take(arena, s->units * s->pooled_pixels, sizeof(struct covey_entry)),
        .by_cell = covey_arena_take(arena, cells * s->units, sizeof(struct covey_entry)),
        .unit_counts = covey_arena_take(arena, s->units, sizeof(uint32_t)),
        .cell_counts = covey_arena_take(arena, cells, sizeof(uint32_t)),
    };
}

static void begin_backward(const struct covey_conv_shape *s, const struct covey_op_call *call,
                           struct backward_scratch *b)
{
    size_t rows = s->units * s->kernel[0];

    covey_conv_clear(s, b->x);
    memset(b->dw, 0, rows * b->run * sizeof *b->dw);
    memset(b->db, 0, s->units * sizeof *b->db);
    covey_conv_fill_codes(s, s->stride[1] * s->channels, s->stride[0] * s->row_step, b->cell_offsets);
    if (b->run == s->run) {
        b->w = call->w[0];
        return;
    }
    memset(b->w, 0, rows * b->run * sizeof *b->w);
    for (size_t r = 0; r < rows; r++)
        memcpy(b->w + r * b->run, call->w[0] + r * s->run, s->run * sizeof *b->w);
}

/* Lists the gradients of one pooled pixel by unit. Zeros are written and then overwritten by the next. */
static void list_by_unit(const struct covey_conv_shape *s, const struct backward_scratch *b, size_t origin,
                         const float *restrict dy, const uint32_t *restrict where)
{
    struct covey_entry *restrict list = b->by_unit;
    uint32_t *restrict counts = b->unit_counts;
    size_t units = s->units, step = s->pooled_pixels;

    for (size_t u = 0; u < units; u++, list += step) {
        uint32_t count = counts[u];
        list[count] = (struct covey_entry){(uint32_t)origin + (where ? where[u] : 0), dy[u]};
        counts[u] = count + is_set(dy[u]);
    }
}

/* The same by cell of the pooling window. */
static void list_by_cell(const struct covey_conv_shape *s, const struct backward_scratch *b,
                         const float *restrict dy, const uint32_t *restrict where)
{
    uint32_t weights = (uint32_t)(s->kernel[0] * b->run);
    size_t units = s->units;

    for (size_t c = 0; c < b->cells; c++) {
        struct covey_entry *restrict list = b->by_cell + c * units;
        uint32_t code = b->cell_offsets[c], count = 0, at = 0;
        for (size_t u = 0; u < units; u++, at += weights) {
            list[count] = (struct covey_entry){at, dy[u]};
            count += (where ? where[u] == code : 1) & is_set(dy[u]);
        }
        b->cell_counts[c] = count;
    }
}

/* What one pooled pixel gives to dx. */
static void gather_inputs(const struct covey_conv_shape *s, const struct backward_scratch *b, size_t origin)
{
    for (size_t c = 0; c < b->cells; c++) {
        struct covey_gather g = {
            .count = b->cell_counts[c],
            .rows = s->kernel[0],
            .run = s->run,
            .x_step = b->run,
            .out_step = s->row_step,
            .entries = b->by_cell + c * s->units,
            .x = b->w,
            .out = b->dx + origin + b->cell_offsets[c],
        };
        if (g.count > 0)
            covey_vector_kernels()->gather(&g);
    }
}

static void gather_weights(const struct covey_conv_shape *s, const struct backward_scratch *b)
{
    for (size_t u = 0; u < s->units; u++) {
        struct covey_gather g = {
            .count = b->unit_counts[u],
            .rows = s->kernel[0],
            .run = s->run,
            .x_step = s->row_step,
            .out_step = b->run,
            .entries = b->by_unit + u * s->pooled_pixels,
            .x = b->x,
            .out = b->dw + u * s->kernel[0] * b->run,
        };
        covey_vector_kernels()->gather(&g);
    }
}

/* Zeroes dy of image n where ReLU stood in the way, and sums it up for the bias. */
static void mask(const struct covey_conv_shape *s, const struct covey_op_call *call,
                 const struct backward_scratch *b, size_t n)
{
    size_t count = s->pooled_pixels * s->units;
    float *dy = call->dy + n * count;
    const float *y = call->out + n * count;

    for (size_t i = 0; i < count && s->relu; i++)
        dy[i] = y[i] > 0 ? dy[i] : 0;
    for (size_t p = 0; p < s->pooled_pixels; p++)
        for (size_t u = 0; u < s->units; u++)
            b->db[u] += dy[p * s->units + u];
}

static void backward_image(const struct covey_conv_shape *s, const struct covey_op_call *call,
                           const struct backward_scratch *b, size_t n)
{
    const float *dy = call->dy + n * s->pooled_pixels * s->units;
    const uint32_t *where = covey_conv_where(s, call, n);
    float *dx = covey_conv_input_gradient(s, call, n);

    mask(s, call, b, n);
    memset(b->unit_counts, 0, s->units * sizeof *b->unit_counts);
    if (dx)
        covey_conv_clear(s, b->dx);
    for (size_t p = 0; p < s->pooled_pixels; p++, dy += s->units, where += where ? s->units : 0) {
        size_t origin = covey_conv_origin(s, p / s->pool_width * s->pool_stride[0],
                                          p % s->pool_width * s->pool_stride[1]);
        list_by_unit(s, b, origin, dy, where);
        if (dx) {
            list_by_cell(s, b, dy, where);
            gather_inputs(s, b, origin);
        }
    }
    if (dx)
        covey_conv_crop(s, b->dx, dx);
    if (call->dw[0]) {
        covey_conv_pad(s, covey_conv_input(s, call, n), b->x);
        gather_weights(s, b);
    }
}

static void backward(const struct covey_op *op, const struct covey_conv_shape *s,
                     const struct covey_op_call *call, struct covey_arena *arena)
{
    struct backward_scratch b = take_backward(s, arena);

    (void)op;
    begin_backward(s, call, &b);
    for (size_t n = 0; n < call->batch; n++)
        backward_image(s, call, &b, n);
    if (call->dw[0])
        covey_conv_apply(call, call->dw[0], b.dw, s->units * s->kernel[0], s->run, b.run);
    if (call->dw[1])
        covey_conv_apply(call, call->dw[1], b.db, 1, s->units, s->units);
}

static void count_scratch(const struct covey_op *op, const struct covey_conv_shape *s,
                          struct covey_arena *arena)
{
    struct covey_arena there = *arena, back = *arena;

    (void)op;
    take_forward(s, &there);
    take_backward(s, &back);
    *arena = there.used > back.used ? there : back;
}

const struct covey_conv_way covey_conv_direct = {count_scratch, forward, backward};
