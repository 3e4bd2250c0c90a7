#include "stream_fold.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "fold_kernels.h"
#include "grid_internal.h"

#define TURN_TILES 16 /* of an input whose decoder has tables that must come into the cache first */
#define TILE_BLOCKS (COVEY_DECODE_VALUES / COVEY_BLOCK_VALUES)

/* What every task of one fold sees. */
struct fold {
    struct covey_grid *grid;
    const struct covey_fold_input *inputs;
    size_t count;
    size_t chunk_values; /* where every input can begin to be read */
    size_t turn_values;  /* of one input, before the next has its turn */
    bool plain;
    const struct covey_fold_kernels *kernels;
};

/* A tile of codes on its way into the sums. */
struct code_tile {
    const struct fold *fold;
    const struct covey_fold_input *input;
    const struct covey_codes *codes;
    size_t first; /* coordinate of its first value */
};

/* Values [from, to) of the tile through f32: right for every scale, and for the ends of a tensor within a
 * block. */
static void fold_as_floats(const struct code_tile *tile, size_t from, size_t to)
{
    float x[COVEY_BLOCK_VALUES];
    const float scale = tile->codes->scales[from / COVEY_BLOCK_VALUES];
    for (size_t i = from; i < to; i++)
        x[i - from] =
            (float)(tile->codes->codes != NULL ? tile->codes->codes[i] : tile->codes->wide[i]) * scale;
    covey_grid_fold(tile->fold->grid, tile->first + from, x, to - from, tile->input->scale,
                    tile->input->weight);
}

/* A block's scale (nine significant bits) in grid units times the weight, if that is a whole number that the
 * kernel can multiply by: then no value of the block needs rounding. exponent: of the grid's factor,
 * 2^exponent. Without branches: there is one for every 64 values of every update. False: *out is 0. */
static inline bool block_factor(float scale, int exponent, uint32_t odd_weight, int weight_shift,
                                struct covey_fold_block *out)
{
    uint32_t bits;
    memcpy(&bits, &scale, sizeof bits);
    const int shift = (int)(bits >> 23) - 127 - 8 + exponent;
    const uint64_t factor = (uint64_t)((bits >> 15 & 0xFF) | 0x100) * odd_weight;
    const bool whole =
        (bits >> 23 != 0) & (shift >= 0) & (shift + weight_shift <= COVEY_GRID_BITS) & (factor <= INT32_MAX);
    const uint32_t mask = whole ? UINT32_MAX : 0;
    out->factor = (int32_t)((uint32_t)factor & mask);
    out->shift = (int32_t)((uint32_t)(shift + weight_shift) & mask);
    return whole | (bits == 0);
}

/* Blocks [block, last) that lie in one tensor: whole ones are noted for the kernel, the others go through
 * f32. */
static void note_blocks(const struct code_tile *tile, size_t block, size_t last, int exponent,
                        struct covey_fold_block *blocks)
{
    const int weight_shift = __builtin_ctzll(tile->input->weight);
    const uint64_t odd = tile->input->weight >> weight_shift;
    const uint32_t odd_weight =
        odd < UINT32_MAX ? (uint32_t)odd : UINT32_MAX; /* too large to fit: never whole */
    const float *scales = tile->codes->scales;
    bool whole = true;
    for (size_t b = block; b < last; b++)
        whole &= block_factor(scales[b], exponent, odd_weight, weight_shift, &blocks[b]);
    for (size_t b = block; b < last && !whole; b++)
        if (!block_factor(scales[b], exponent, odd_weight, weight_shift, &blocks[b]))
            fold_as_floats(tile, b * COVEY_BLOCK_VALUES, (b + 1) * COVEY_BLOCK_VALUES);
}

/* Values [from, to) of the tile, all in one tensor. */
static void note_segment(const struct code_tile *tile, size_t from, size_t to, int exponent,
                         struct covey_fold_block *blocks)
{
    const size_t block = (from + COVEY_BLOCK_VALUES - 1) / COVEY_BLOCK_VALUES, last = to / COVEY_BLOCK_VALUES;
    if (block > last) { /* within one block */
        fold_as_floats(tile, from, to);
        return;
    }
    if (from < block * COVEY_BLOCK_VALUES)
        fold_as_floats(tile, from, block * COVEY_BLOCK_VALUES);
    note_blocks(tile, block, last, exponent, blocks);
    if (last * COVEY_BLOCK_VALUES < to)
        fold_as_floats(tile, last * COVEY_BLOCK_VALUES, to);
}

/* What of the tile the kernel can take goes to blocks: (TILE_BLOCKS), factor 0 where it cannot; the rest is
 * folded here. */
static void note_tile(const struct code_tile *tile, struct covey_fold_block *blocks)
{
    const struct covey_grid *grid = tile->fold->grid;
    size_t t = covey_grid_tensor_at(grid, tile->first);
    int scale_exponent; /* scale = 2^(scale_exponent - 1) */
    (void)frexp(tile->input->scale, &scale_exponent);
    memset(blocks, 0, TILE_BLOCKS * sizeof *blocks);
    for (size_t from = 0; from < tile->codes->count; t++) {
        const size_t end = grid->ends[t] - tile->first;
        const size_t to = end < tile->codes->count ? end : tile->codes->count;
        note_segment(tile, from, to, grid->split.coordinate_bits - grid->exponents[t] + scale_exponent - 1,
                     blocks);
        from = to;
    }
}

/* Tiles of several inputs at the same place, whose codes wait for the kernel. */
struct waiting {
    struct covey_fold_lane lanes[COVEY_FOLD_INPUTS];
    struct covey_fold_block blocks[COVEY_FOLD_INPUTS][TILE_BLOCKS];
    int8_t codes[COVEY_FOLD_INPUTS][COVEY_DECODE_VALUES]; /* that do not lie in the stream */
    size_t count, first, block_count;
};

static void fold_waiting(const struct fold *fold, struct waiting *waiting)
{
    if (waiting->count > 0)
        fold->kernels->codes(fold->grid->sums + waiting->first, waiting->lanes, waiting->count,
                             waiting->block_count);
    waiting->count = 0;
}

/* Codes that fit a byte wait for those of other inputs; wider ones are folded at once. */
static void take_codes(const struct code_tile *tile, struct waiting *waiting)
{
    const struct covey_codes *codes = tile->codes;
    const size_t block_count = codes->count / COVEY_BLOCK_VALUES;
    if (waiting->count == COVEY_FOLD_INPUTS || waiting->first != tile->first ||
        waiting->block_count != block_count)
        fold_waiting(tile->fold, waiting);
    struct covey_fold_block *blocks = waiting->blocks[waiting->count];
    note_tile(tile, blocks);
    if (codes->codes == NULL) {
        tile->fold->kernels->wide(tile->fold->grid->sums + tile->first, codes->wide, block_count, blocks);
        return;
    }
    const int8_t *place = codes->codes;
    if (place == codes->storage)
        place = memcpy(waiting->codes[waiting->count], codes->codes, codes->count);
    waiting->first = tile->first;
    waiting->block_count = block_count;
    waiting->lanes[waiting->count++] = (struct covey_fold_lane){place, blocks};
}

/* The next tile of one input. */
static void fold_tile(const struct fold *fold, const struct covey_fold_input *input,
                      struct covey_decoder *decoder, struct waiting *waiting)
{
    const size_t first = decoder->position;
    int exponent;
    enum covey_status status;
    /* Only a power of two keeps codes whole. */
    if (!fold->plain && covey_decoder_has_codes(decoder) && frexp(input->scale, &exponent) == 0.5) {
        struct covey_codes codes;
        status = covey_decoder_next_codes(decoder, &codes);
        assert(status == COVEY_OK);
        take_codes(&(struct code_tile){fold, input, &codes, first}, waiting);
    } else {
        float x[COVEY_DECODE_VALUES];
        size_t count = 0;
        status = covey_decoder_next(decoder, x, &count);
        assert(status == COVEY_OK);
        covey_grid_fold(fold->grid, first, x, count, input->scale, input->weight);
    }
    (void)status;
}

/* One chunk of coordinates: some tiles, every input in turn while the tiles' sums are in the cache. */
static void fold_chunk(void *user, size_t chunk)
{
    const struct fold *fold = user;
    struct covey_decoder decoders[COVEY_FOLD_INPUTS];
    struct waiting waiting;
    const size_t first = chunk * fold->chunk_values;
    const size_t left = fold->grid->count - first;
    const size_t count = left < fold->chunk_values ? left : fold->chunk_values;
    for (size_t i = 0; i < fold->count; i++) {
        decoders[i] = fold->inputs[i].decoder;
        const enum covey_status status = covey_decoder_seek(&decoders[i], first);
        assert(status == COVEY_OK);
        (void)status;
    }
    waiting.count = waiting.first = waiting.block_count = 0;
    for (size_t at = 0; at < count; at += fold->turn_values)
        for (size_t i = 0; i < fold->count; i++)
            while (decoders[i].position < first + count &&
                   decoders[i].position < first + at + fold->turn_values)
                fold_tile(fold, &fold->inputs[i], &decoders[i], &waiting);
    fold_waiting(fold, &waiting);
}

void covey_fold(struct covey_grid *grid, const struct covey_fold_input *inputs, size_t count,
                struct covey_fold_pool *pool, bool plain)
{
    for (size_t at = 0; at < count; at += COVEY_FOLD_INPUTS) {
        const size_t some = count - at < COVEY_FOLD_INPUTS ? count - at : COVEY_FOLD_INPUTS;
        struct fold fold = {grid,
                            inputs + at,
                            some,
                            COVEY_CHUNK_VALUES,
                            COVEY_DECODE_VALUES,
                            plain,
                            covey_fold_kernels_at(0)};
        float peak;
        for (size_t i = 0; i < some; i++) /* a decoder with tables is as large as the sums of half a tile */
            if (covey_decoder_peak(&inputs[at + i].decoder, 0, grid->count, &peak))
                fold.turn_values = TURN_TILES * COVEY_DECODE_VALUES;
        for (size_t i = 0; i < some; i++) /* powers of two: the largest is a multiple of all */
            if (inputs[at + i].decoder.chunk_values > fold.chunk_values)
                fold.chunk_values = inputs[at + i].decoder.chunk_values;
        covey_fold_pool_run(pool, (grid->count + fold.chunk_values - 1) / fold.chunk_values, fold_chunk,
                            &fold);
    }
}
