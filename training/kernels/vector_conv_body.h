/* Convolution and pooling, channels last. Expects vector_body.h and TILE_PIXELS x TILE_VECTORS, the sums of
 * conv_tiles that stay in registers. */

/* ---- direct convolution ---- */

/* One tile: TILE_PIXELS pixels by `vectors` vectors of channels. */
INLINE void conv_tile(const struct covey_conv_tiles *t, size_t vectors, const uint32_t *offsets, float *out)
{
    vec acc[TILE_PIXELS][TILE_VECTORS];
    const float *x[TILE_PIXELS], *w = t->w;

    UNROLL
    for (size_t p = 0; p < TILE_PIXELS; p++) {
        x[p] = t->x + offsets[p];
        UNROLL
        for (size_t v = 0; v < vectors; v++)
            acc[p][v] = load((t->init ? t->init : out + p * t->out_step) + v * LANES);
    }
    for (size_t r = 0; r < t->rows; r++) {
        for (size_t j = 0; j < t->run; j++, w += vectors * LANES) {
            vec weight[TILE_VECTORS];
            UNROLL
            for (size_t v = 0; v < vectors; v++)
                weight[v] = in_register(load(w + v * LANES));
            UNROLL
            for (size_t p = 0; p < TILE_PIXELS; p++)
                UNROLL
            for (size_t v = 0; v < vectors; v++)
                acc[p][v] += x[p][j] * weight[v];
        }
        UNROLL
        for (size_t p = 0; p < TILE_PIXELS; p++)
            x[p] += t->row_step;
    }
    UNROLL
    for (size_t p = 0; p < TILE_PIXELS; p++)
        UNROLL
    for (size_t v = 0; v < vectors; v++)
        store(out + p * t->out_step + v * LANES, acc[p][v]);
}

INLINE void conv_tiles_by(const struct covey_conv_tiles *t, size_t vectors)
{
    for (size_t p = 0; p < t->pixels; p += TILE_PIXELS)
        conv_tile(t, vectors, t->offsets + p, t->out + p * t->out_step);
}

static void conv_tiles(const struct covey_conv_tiles *t)
{
    switch (t->vectors) {
    case 1:
        conv_tiles_by(t, 1);
        break;
    case 2:
        conv_tiles_by(t, 2);
        break;
#if TILE_VECTORS > 2
    case 3:
        conv_tiles_by(t, 3);
        break;
    case 4:
        conv_tiles_by(t, 4);
        break;
#endif
    }
}

/* ---- sums over listed entries: both backward passes of a convolution whose gradient has zeros ---- */

INLINE void gather_tile(const struct covey_gather *g, size_t rows, size_t vectors, const float *x, float *out)
{
    vec acc[GATHER_VECTORS];
    const struct covey_entry *entry = g->entries, *end = entry + g->count;

    UNROLL
    for (size_t r = 0; r < rows; r++)
        UNROLL
    for (size_t v = 0; v < vectors; v++)
        acc[r * vectors + v] = load(out + r * g->out_step + v * LANES);
    for (; entry < end; entry++) {
        const float *source = x + entry->offset;
        float value = entry->value;
        UNROLL
        for (size_t r = 0; r < rows; r++)
            UNROLL
        for (size_t v = 0; v < vectors; v++)
            acc[r * vectors + v] += value * load(source + r * g->x_step + v * LANES);
    }
    UNROLL
    for (size_t r = 0; r < rows; r++)
        UNROLL
    for (size_t v = 0; v < vectors; v++)
        store(out + r * g->out_step + v * LANES, acc[r * vectors + v]);
}

#define GATHER_CASE(rows, vectors)                                                                           \
    case (rows)*16 + (vectors):                                                                              \
        gather_tile(g, rows, vectors, x, out);                                                               \
        break;

static void gather_tile_of(const struct covey_gather *g, size_t rows, size_t vectors, const float *x,
                           float *out)
{
    switch (rows * 16 + vectors) {
        GATHER_CASE(1, 1)
        GATHER_CASE(1, 2)
        GATHER_CASE(1, 3)
        GATHER_CASE(1, 4)
        GATHER_CASE(1, 5)
        GATHER_CASE(1, 6)
        GATHER_CASE(1, 7)
        GATHER_CASE(1, 8)
        GATHER_CASE(1, 9)
        GATHER_CASE(1, 10)
        GATHER_CASE(2, 1)
        GATHER_CASE(2, 2)
        GATHER_CASE(2, 3)
        GATHER_CASE(3, 1)
        GATHER_CASE(3, 2)
        GATHER_CASE(3, 3)
        GATHER_CASE(4, 1)
        GATHER_CASE(4, 2)
        GATHER_CASE(5, 1)
        GATHER_CASE(5, 2)
    }
}

/* Several rows at once where a row alone is too short to fill the registers. */
static size_t gather_rows(size_t vectors, size_t rows)
{
    static const size_t most[] = {0, 5, 5, 3};
    size_t at_once = vectors < sizeof most / sizeof *most ? most[vectors] : 1;
    return at_once < rows ? at_once : rows;
}

static void gather(const struct covey_gather *g)
{
    size_t vectors = (g->run + LANES - 1) / LANES;
    size_t pieces = (vectors + GATHER_VECTORS - 1) / GATHER_VECTORS;
    size_t at_once = gather_rows(vectors, g->rows);

    for (size_t piece = 0, from = 0; piece < pieces; piece++) {
        size_t count = (vectors - from + pieces - piece - 1) / (pieces - piece);
        for (size_t r = 0; r < g->rows; r += at_once) {
            size_t rows = g->rows - r < at_once ? g->rows - r : at_once;
            gather_tile_of(g, rows, count, g->x + r * g->x_step + from * LANES,
                           g->out + r * g->out_step + from * LANES);
        }
        from += count;
    }
}

/* ---- pooling with ReLU ---- */

/* The maximum of one window for up to LANES channels. part: LANES or fewer. */
INLINE void pool_cell(const struct covey_pool_forward *p, size_t part, const float *x, float *y,
                      uint32_t *where)
{
    vec best = load_up_to(x, part);
    ivec cell = (ivec){0} + (int32_t)p->codes[0];

    for (size_t i = 0, at = 0; i < p->kernel[0]; i++)
        for (size_t j = 0; j < p->kernel[1]; j++, at++) {
            vec value = load_up_to(x + (i * p->width + j) * p->x_step, part);
            ivec more = value > best;
            best = choose(more, value, best);
            cell = (cell & ~more) | (((ivec){0} + (int32_t)p->codes[at]) & more);
        }
    store_up_to(y, p->relu ? positive(best) : best, part);
    if (where)
        memcpy(where, &cell, part * sizeof *where);
}

static void pool_forward(const struct covey_pool_forward *p)
{
    float *y = p->y;
    uint32_t *where = p->where;

    for (size_t i = 0; i < p->out_height; i++)
        for (size_t j = 0; j < p->out_width; j++, y += p->channels) {
            const float *x = p->x + (i * p->stride[0] * p->width + j * p->stride[1]) * p->x_step;
            size_t c = 0;
            for (; c + LANES <= p->channels; c += LANES)
                pool_cell(p, LANES, x + c, y + c, where ? where + c : NULL);
            if (c < p->channels)
                pool_cell(p, p->channels - c, x + c, y + c, where ? where + c : NULL);
            if (where)
                where += p->channels;
        }
}

/* ---- depthwise ---- */

INLINE void depthwise_forward_vector(const struct covey_depthwise *d, size_t c, size_t part)
{
    vec bias = d->b ? load_up_to(d->b + c, part) : (vec){0};

    for (size_t i = 0; i < d->pixels; i++) {
        const float *x = d->x + d->origins[i] + c, *w = d->w + c;
        vec sum = bias;
        for (size_t k = 0; k < d->cells; k++)
            sum += load_up_to(x + d->offsets[k], part) * load_up_to(w + k * d->channels, part);
        store_up_to(d->y + i * d->channels + c, sum, part);
    }
}

static void depthwise_forward(const struct covey_depthwise *d)
{
    size_t c = 0;

    for (; c + LANES <= d->channels; c += LANES)
        depthwise_forward_vector(d, c, LANES);
    if (c < d->channels)
        depthwise_forward_vector(d, c, d->channels - c);
}

/* A cell of the kernel at a time: its weights and its sum of gradients stay in registers. */
INLINE void depthwise_backward_vector(const struct covey_depthwise *d, size_t k, size_t c, size_t part)
{
    vec weight = d->dx ? load_up_to(d->w + k * d->channels + c, part) : (vec){0}, sum = {0};
    size_t offset = d->offsets[k] + c;

    for (size_t i = 0; i < d->pixels; i++) {
        vec dy = load_up_to(d->dy + i * d->channels + c, part);
        size_t at = d->origins[i] + offset;
        if (d->dw)
            sum += dy * load_up_to(d->x + at, part);
        if (d->dx)
            store_up_to(d->dx + at, load_up_to(d->dx + at, part) + weight * dy, part);
    }
    if (d->dw)
        store_up_to(d->dw + k * d->channels + c, load_up_to(d->dw + k * d->channels + c, part) + sum, part);
}

static void depthwise_backward(const struct covey_depthwise *d)
{
    for (size_t k = 0; k < d->cells; k++) {
        size_t c = 0;
        for (; c + LANES <= d->channels; c += LANES)
            depthwise_backward_vector(d, k, c, LANES);
        if (c < d->channels)
            depthwise_backward_vector(d, k, c, d->channels - c);
    }
}
