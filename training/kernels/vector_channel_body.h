/* Loops over matrices of (rows, channels), a block of channels at a time down all rows; and loops over plain
 * arrays. Expects vector_body.h. */

#define BLOCK_VECTORS 4 /* of channels at once: enough sums to hide the latency of an addition */

/* Runs ONE(c, vectors, part) across all channels: blocks, then vectors, then what is left. */
#define BY_CHANNELS(channels, ONE)                                                                           \
    do {                                                                                                     \
        size_t c = 0;                                                                                        \
        for (; c + BLOCK_VECTORS * LANES <= (channels); c += BLOCK_VECTORS * LANES)                          \
            ONE(c, BLOCK_VECTORS, LANES);                                                                    \
        for (; c + LANES <= (channels); c += LANES)                                                          \
            ONE(c, 1, LANES);                                                                                \
        if (c < (channels))                                                                                  \
            ONE(c, 1, (channels)-c);                                                                         \
    } while (0)

INLINE void sums_block(const struct covey_channel_sums *s, size_t c, size_t vectors, size_t part)
{
    vec first[BLOCK_VECTORS] = {0}, second[BLOCK_VECTORS] = {0}, mean[BLOCK_VECTORS];

    UNROLL
    for (size_t v = 0; v < vectors; v++)
        mean[v] = s->mean ? load_up_to(s->mean + c + v * LANES, part) : (vec){0};
    for (size_t r = 0; r < s->rows; r++)
        UNROLL
    for (size_t v = 0; v < vectors; v++) {
        size_t at = r * s->channels + c + v * LANES;
        vec x = load_up_to(s->x + at, part) - mean[v];
        if (s->dy) {
            vec dy = load_up_to(s->dy + at, part);
            first[v] += dy;
            second[v] += dy * x;
        } else {
            first[v] += x;
            second[v] += x * x;
        }
    }
    UNROLL
    for (size_t v = 0; v < vectors; v++) {
        store_up_to(s->first + c + v * LANES, first[v], part);
        store_up_to(s->second + c + v * LANES, second[v], part);
    }
}

static void channel_sums(const struct covey_channel_sums *s)
{
#define SUMS(c, vectors, part) sums_block(s, c, vectors, part)
    BY_CHANNELS(s->channels, SUMS);
#undef SUMS
}

INLINE void blend_block(const struct covey_channel_blend *b, size_t c, size_t vectors, size_t part)
{
    vec of_x[BLOCK_VECTORS], of_dy[BLOCK_VECTORS], constant[BLOCK_VECTORS];

    UNROLL
    for (size_t v = 0; v < vectors; v++) {
        of_x[v] = load_up_to(b->of_x + c + v * LANES, part);
        of_dy[v] = b->dy ? load_up_to(b->of_dy + c + v * LANES, part) : (vec){0};
        constant[v] = load_up_to(b->constant + c + v * LANES, part);
    }
    for (size_t r = 0; r < b->rows; r++)
        UNROLL
    for (size_t v = 0; v < vectors; v++) {
        size_t at = r * b->channels + c + v * LANES;
        vec out = of_x[v] * load_up_to(b->x + at, part) + constant[v];
        if (b->dy)
            out += of_dy[v] * load_up_to(b->dy + at, part);
        store_up_to(b->out + at, out, part);
    }
}

static void channel_blend(const struct covey_channel_blend *b)
{
#define BLEND(c, vectors, part) blend_block(b, c, vectors, part)
    BY_CHANNELS(b->channels, BLEND);
#undef BLEND
}

INLINE vec clip(vec x, float most)
{
    vec low = positive(x), high = (vec){0} + most;

    return choose(low > high, high, low);
}

static void clip_forward(size_t count, float most, const float *x, float *y)
{
    size_t i = 0;

    for (; i + LANES <= count; i += LANES)
        store(y + i, clip(load(x + i), most));
    if (i < count)
        store_part(y + i, clip(load_part(x + i, count - i), most), count - i);
}

INLINE vec clip_gradient(vec y, vec dy, float most)
{
    return (vec)((ivec)dy & (y > 0) & (y < (vec){0} + most));
}

static void clip_backward(size_t count, float most, const float *y, const float *dy, float *dx)
{
    size_t i = 0;

    for (; i + LANES <= count; i += LANES)
        store(dx + i, clip_gradient(load(y + i), load(dy + i), most));
    if (i < count)
        store_part(dx + i, clip_gradient(load_part(y + i, count - i), load_part(dy + i, count - i), most),
                   count - i);
}
