/* Dense layers for few examples, where weights are streamed from L2 or L3 once a pass and the rest stays in
 * L1. Expects vector_body.h and the sizes of its register tiles: FORWARD_UNITS x FORWARD_EXAMPLES sums in
 * forward, INPUT_EXAMPLES x INPUT_VECTORS of dx, WEIGHT_UNITS x WEIGHT_VECTORS of dw. */

#define L1_BLOCK_BYTES 16000 /* of x, or x and dx, worked on at once: half of what there is */
#define WORTH_A_LIST 16      /* skip columns when more than one in so many is zero */
#define BLOCK_UNITS 16       /* rows of w that backward keeps near between its two uses of them */
#define LINE 16              /* floats in a cache line */

/* Weights come from L2 or beyond, row by row with a jump between: asked for while the rows before are worked
 * on. */
#define PREFETCH(p) __builtin_prefetch(p, 0, 3)

/* Values of a block of features such that `examples` rows of `arrays` arrays fit, in whole vectors, all
 * blocks of nearly the same size. */
static size_t block_features(size_t features, size_t examples, size_t arrays)
{
    size_t most = L1_BLOCK_BYTES / sizeof(float) / (examples * arrays), blocks, size;

    if (most < 4 * LANES)
        most = 4 * LANES;
    blocks = (features + most - 1) / most;
    size = (features + blocks - 1) / blocks;
    return (size + 2 * LANES - 1) / (2 * LANES) * (2 * LANES);
}

/* ---- columns ---- */

/* The columns of a block that are worked on, as first values of whole vectors; what is less than a vector at
 * the end comes extra. */
struct columns {
    size_t count, whole, rest; /* vectors listed, values in whole vectors, values behind them */
    bool all;                  /* every vector is listed */
    uint32_t at[L1_BLOCK_BYTES / sizeof(float) / LANES + 4];
};

/* Zero in all examples. Most columns are told by the first one. */
static bool is_zero(const float *x, size_t examples, size_t step)
{
    ivec bits = (ivec)load(x) & 0x7fffffff;

    if (ANY_BITS(bits))
        return false;
    for (size_t e = 1; e < examples; e++)
        bits |= (ivec)load(x + e * step) & 0x7fffffff;
    return !ANY_BITS(bits);
}

/* Real data have columns that are zero for a whole batch (the margins of images): their products add nothing,
 * and are left out where `skip` says so and there are enough to pay for the list. */
static void list_columns(struct columns *columns, bool skip, const float *x, size_t examples, size_t step,
                         size_t width)
{
    const size_t vectors = width / LANES;

    columns->count = 0;
    columns->whole = vectors * LANES;
    columns->rest = width - columns->whole;
    for (size_t v = 0; v < vectors && skip; v++) {
        columns->at[columns->count] = (uint32_t)(v * LANES);
        columns->count += !is_zero(x + v * LANES, examples, step);
    }
    columns->all = !skip || columns->count + vectors / WORTH_A_LIST > vectors;
    if (columns->all)
        columns->count = vectors;
}

/* Where the i-th listed vector begins. */
INLINE size_t column_at(const struct columns *columns, bool all, size_t i)
{
    return all ? i * LANES : columns->at[i];
}

/* ---- forward ---- */

/* y[e][u] += w[u] . x[e] over columns. next: a row of w that will be wanted soon. */
INLINE void dot_tile(size_t units, size_t examples, bool all, const struct columns *columns, const float *w,
                     const float *next, const float *x, size_t step, float *y, size_t y_step)
{
    vec acc[FORWARD_EXAMPLES * FORWARD_UNITS + 3] = {0}; /* (examples, units) */
    float sums[FORWARD_EXAMPLES * FORWARD_UNITS + 3];

    for (size_t k = 0; k < columns->count; k++) {
        size_t i = column_at(columns, all, k);
        vec row[FORWARD_UNITS];
        PREFETCH(next + i);
        UNROLL
        for (size_t u = 0; u < units; u++)
            row[u] = load(w + u * step + i);
        UNROLL
        for (size_t e = 0; e < examples; e++) {
            vec value = in_register(load(x + e * step + i));
            UNROLL
            for (size_t u = 0; u < units; u++)
                acc[e * units + u] += row[u] * value;
        }
    }
    if (columns->rest) {
        vec row[FORWARD_UNITS];
        UNROLL
        for (size_t u = 0; u < units; u++)
            row[u] = load_part(w + u * step + columns->whole, columns->rest);
        UNROLL
        for (size_t e = 0; e < examples; e++) {
            vec value = load_part(x + e * step + columns->whole, columns->rest);
            UNROLL
            for (size_t u = 0; u < units; u++)
                acc[e * units + u] += row[u] * value;
        }
    }
    UNROLL
    for (size_t k = 0; k < units * examples; k += 4)
        sum_lanes(acc + k, sums + k);
    UNROLL
    for (size_t e = 0; e < examples; e++)
        UNROLL
    for (size_t u = 0; u < units; u++)
        y[e * y_step + u] += sums[e * units + u];
}

#define DOT_CASE(units, examples)                                                                            \
    case (units)*16 + (examples):                                                                            \
        dot_tile(units, examples, all, columns, w, next, x, step, y, y_step);                                \
        break;

INLINE void dot_tile_of(size_t units, size_t examples, bool all, const struct columns *columns,
                        const float *w, const float *next, const float *x, size_t step, float *y,
                        size_t y_step)
{
    switch (units * 16 + examples) {
        DOT_CASE(1, 1)
        DOT_CASE(1, 2)
        DOT_CASE(1, 3)
        DOT_CASE(1, 4)
        DOT_CASE(1, 5)
        DOT_CASE(2, 1)
        DOT_CASE(2, 2)
        DOT_CASE(2, 3)
        DOT_CASE(2, 4)
        DOT_CASE(2, 5)
    }
}

INLINE void forward_columns(const struct covey_dense_forward *d, bool all, const struct columns *columns,
                            size_t from)
{
    size_t step = d->features;

    for (size_t u = 0; u < d->units; u += FORWARD_UNITS) {
        size_t units = d->units - u < FORWARD_UNITS ? d->units - u : FORWARD_UNITS;
        for (size_t e = 0, tile = 0; e < d->examples; e += FORWARD_EXAMPLES, tile++) {
            size_t examples = d->examples - e < FORWARD_EXAMPLES ? d->examples - e : FORWARD_EXAMPLES;
            const float *w = d->w + u * step + from,
                        *next = w + (FORWARD_UNITS + tile % FORWARD_UNITS) * step;
            dot_tile_of(units, examples, all, columns, w, next, d->x + e * step + from, step,
                        d->y + e * d->units + u, d->units);
        }
    }
}

static void forward_block(const struct covey_dense_forward *d, size_t from, size_t count)
{
    struct columns columns;

    list_columns(&columns, d->skip_zeros, d->x + from, d->examples, d->features, count);
    if (columns.all)
        forward_columns(d, true, &columns, from);
    else
        forward_columns(d, false, &columns, from);
}

static void dense_forward(const struct covey_dense_forward *d)
{
    size_t block = block_features(d->features, d->examples, 1);

    for (size_t e = 0; e < d->examples; e++)
        if (d->b)
            memcpy(d->y + e * d->units, d->b, d->units * sizeof(float));
        else
            memset(d->y + e * d->units, 0, d->units * sizeof(float));
    for (size_t from = 0; from < d->features; from += block)
        forward_block(d, from, d->features - from < block ? d->features - from : block);
}

/* ---- backward ---- */

/* dx (examples, vectors of columns) (+)= dy w over `units` rows of w. dy: (examples, dy_step). part: values
 * of the last vector, LANES for all of them. */
INLINE void input_tile(size_t examples, size_t vectors, size_t part, size_t units, const float *w,
                       size_t step, const float *dy, size_t dy_step, float *dx, int add)
{
    vec acc[INPUT_EXAMPLES][INPUT_VECTORS] = {0};

    for (size_t u = 0; u < units; u++, w += step) {
        vec row[INPUT_VECTORS];
        PREFETCH(w + BLOCK_UNITS * step);
        UNROLL
        for (size_t v = 0; v < vectors; v++)
            row[v] = in_register(load_up_to(w + v * LANES, v + 1 == vectors ? part : LANES));
        UNROLL
        for (size_t e = 0; e < examples; e++)
            UNROLL
        for (size_t v = 0; v < vectors; v++)
            acc[e][v] += dy[e * dy_step + u] * row[v];
    }
    UNROLL
    for (size_t e = 0; e < examples; e++)
        UNROLL
    for (size_t v = 0; v < vectors; v++) {
        float *out = dx + e * step + v * LANES;
        size_t count = v + 1 == vectors ? part : LANES;
        store_up_to(out, add ? load_up_to(out, count) + acc[e][v] : acc[e][v], count);
    }
}

/* dw (units, columns at[0], at[1], ...) = dy' x + beta dw. part: values of the last vector, LANES for all of
 * them. */
INLINE void weight_tile(size_t units, size_t vectors, size_t part, const size_t *at, size_t examples,
                        const float *x, size_t step, const float *dy, size_t dy_step, float beta, float *dw)
{
    vec acc[WEIGHT_UNITS][WEIGHT_VECTORS] = {0};
    const float *from[WEIGHT_VECTORS];

    UNROLL
    for (size_t v = 0; v < vectors; v++)
        from[v] = x + at[v];
    for (size_t e = 0; e < examples; e++, dy += dy_step) {
        vec row[WEIGHT_VECTORS];
        UNROLL
        for (size_t v = 0; v < vectors; v++)
            row[v] = in_register(load_up_to(from[v] + e * step, part));
        UNROLL
        for (size_t u = 0; u < units; u++)
            UNROLL
        for (size_t v = 0; v < vectors; v++)
            acc[u][v] += dy[u] * row[v];
    }
    UNROLL
    for (size_t u = 0; u < units; u++)
        UNROLL
    for (size_t v = 0; v < vectors; v++) {
        float *out = dw + u * step + at[v];
        if (v * LANES % LINE == 0)
            PREFETCH(out + WEIGHT_UNITS * step);
        if (beta == 1)
            acc[u][v] += load_up_to(out, part);
        else if (beta != 0)
            acc[u][v] += beta * load_up_to(out, part);
        store_up_to(out, acc[u][v], part);
    }
}

/* A tile across a block of columns: whole ones, then what is left, vector by vector, then value by value. */
#define ACROSS(tile_vectors, call)                                                                           \
    do {                                                                                                     \
        size_t column = 0;                                                                                   \
        for (; column + (tile_vectors)*LANES <= count; column += (tile_vectors)*LANES)                       \
            call(tile_vectors, LANES);                                                                       \
        for (; column + LANES <= count; column += LANES)                                                     \
            call(1, LANES);                                                                                  \
        if (column < count)                                                                                  \
            call(1, count - column);                                                                         \
    } while (0)

INLINE void input_rows(const struct covey_dense_backward *d, size_t examples, size_t e, size_t unit,
                       size_t units, size_t from, size_t count)
{
    const float *w = d->w + unit * d->features + from, *dy = d->dy + e * d->units + unit;
    float *dx = d->dx + e * d->features + from;

#define INPUT(vectors, part)                                                                                 \
    input_tile(examples, vectors, part, units, w + column, d->features, dy, d->units, dx + column, unit > 0)
    ACROSS(INPUT_VECTORS, INPUT);
#undef INPUT
}

static void input_block(const struct covey_dense_backward *d, size_t unit, size_t units, size_t from,
                        size_t count)
{
    size_t e = 0;

    for (; e + INPUT_EXAMPLES <= d->examples; e += INPUT_EXAMPLES)
        input_rows(d, INPUT_EXAMPLES, e, unit, units, from, count);
    switch (d->examples - e) {
    case 1:
        input_rows(d, 1, e, unit, units, from, count);
        break;
    case 2:
        input_rows(d, 2, e, unit, units, from, count);
        break;
    case 3:
        input_rows(d, 3, e, unit, units, from, count);
        break;
    case 4:
        input_rows(d, 4, e, unit, units, from, count);
        break;
    }
}

INLINE void weight_rows(const struct covey_dense_backward *d, size_t units, size_t unit, size_t from,
                        bool all, const struct columns *columns)
{
    const float *x = d->x + from, *dy = d->dy_scaled + unit;
    float *dw = d->dw + unit * d->features + from, beta = d->beta;
    size_t at[WEIGHT_VECTORS], i = 0;

#define WEIGHT(vectors, part)                                                                                \
    weight_tile(units, vectors, part, at, d->examples, x, d->features, dy, d->units, beta, dw)
    for (; i + WEIGHT_VECTORS <= columns->count; i += WEIGHT_VECTORS) {
        UNROLL
        for (size_t v = 0; v < WEIGHT_VECTORS; v++)
            at[v] = column_at(columns, all, i + v);
        WEIGHT(WEIGHT_VECTORS, LANES);
    }
    for (; i < columns->count; i++) {
        at[0] = column_at(columns, all, i);
        WEIGHT(1, LANES);
    }
    at[0] = columns->whole;
    if (columns->rest)
        WEIGHT(1, columns->rest);
#undef WEIGHT
}

INLINE void weight_block(const struct covey_dense_backward *d, size_t unit, size_t units, size_t from,
                         bool all, const struct columns *columns)
{
    size_t u = unit, end = unit + units;

    for (; u + WEIGHT_UNITS <= end; u += WEIGHT_UNITS)
        weight_rows(d, WEIGHT_UNITS, u, from, all, columns);
    switch (end - u) {
    case 1:
        weight_rows(d, 1, u, from, all, columns);
        break;
    case 2:
        weight_rows(d, 2, u, from, all, columns);
        break;
    case 3:
        weight_rows(d, 3, u, from, all, columns);
        break;
    }
}

/* Where beta is not 1 weights change though their x is zero. */
static void backward_block(const struct covey_dense_backward *d, size_t from, size_t count)
{
    struct columns columns;

    if (d->dw)
        list_columns(&columns, d->beta == 1, d->x + from, d->examples, d->features, count);
    for (size_t unit = 0; unit < d->units; unit += BLOCK_UNITS) {
        size_t units = d->units - unit < BLOCK_UNITS ? d->units - unit : BLOCK_UNITS;
        if (d->dx)
            input_block(d, unit, units, from, count);
        if (d->dw && columns.all)
            weight_block(d, unit, units, from, true, &columns);
        else if (d->dw)
            weight_block(d, unit, units, from, false, &columns);
    }
}

static void dense_backward(const struct covey_dense_backward *d)
{
    size_t block = block_features(d->features, d->examples, d->dx && d->dw ? 2 : 1);

    for (size_t from = 0; from < d->features; from += block)
        backward_block(d, from, d->features - from < block ? d->features - from : block);
}
